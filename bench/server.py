"""Starts Debian's nginx, as it is, on loopback for the time of a `with` block; its configuration is made here.

One worker process, no access log, keep-alive without end, everything in a temporary folder. Also starts the server of
`hold.py`. Used by `__main__.py`.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .certificates import make_certificates
from .processes import free_ports, running
from .workloads import SMALL_BODY, STREAM_BYTES

HERE = Path(__file__).parent

# nginx sends Server, Date, Content-Type, Content-Length and Connection by itself; these fifteen make it twenty.
FIELDS = (
    ("Cache-Control", "private, max-age=0, must-revalidate"),
    ("ETag", '\\"5f2b6c1e-3c\\"'),
    ("Last-Modified", "Tue, 04 Aug 2020 09:12:30 GMT"),
    ("Vary", "Accept-Encoding, Accept-Language"),
    ("Content-Language", "en"),
    ("Strict-Transport-Security", "max-age=31536000; includeSubDomains"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "strict-origin-when-cross-origin"),
    ("Content-Security-Policy", "default-src 'self'; img-src *; frame-ancestors 'none'"),
    ("X-Request-Id", "8f14e45f-ceea-467f-a3f1-0c5e2d6b7a90"),
    ("X-RateLimit-Limit", "5000"),
    ("X-RateLimit-Remaining", "4987"),
    ("Alt-Svc", "clear"),
    ("Server-Timing", "db;dur=53, app;dur=47.2"),
)

CONFIGURATION = """
daemon off;
{user}
worker_processes 1;
worker_rlimit_nofile 16384;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    default_type text/plain;
    sendfile on;
    open_file_cache max=16;
    absolute_redirect off;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    client_max_body_size 0;
    client_body_buffer_size 256k;
    client_body_temp_path {spool}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    # nginx before 1.23.4 leaves 1.3 out by default.
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate {certificate};
    ssl_certificate_key {certificate};

    # The JSON document, whatever spaces the client's serialiser writes, sent as JSON.
    map "$content_length $content_type" $is_document {{
        default 0;
        "~^(9[0-9][0-9]|1[01][0-9][0-9]) application/json" 1;
    }}

    server {{
        {listen_http}
        {listen_https}
        root {folder}/files;
        location = /small {{ return 200 "{small}"; }}
        location = /fields {{
            {fields}
            return 200 "{small}";
        }}
        # nginx drops the body that a client sends here. If it did not read it, the body would be taken for the next
        # request of the connection, and fail.
        location = /json {{
            if ($is_document = 0) {{ return 400; }}
            return 200 "{small}";
        }}
        location = /cookie {{
            add_header Set-Cookie "session=$request_id; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax";
            return 200 "{small}";
        }}
        # Says whether the client keeps cookies and sends them back.
        location = /cookie-check {{
            if ($cookie_session = "") {{ return 403; }}
            return 200 "{small}";
        }}
        location = /redirect {{ return 302 /small; }}
        location = /10k {{ }}
        location = /1m {{ }}
        location = /100m {{ }}
        # nginx reads the whole body into its spool, then asks the other server, which answers how many bytes came.
        location = /upload {{
            proxy_pass http://unix:{folder}/inner.socket;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_set_header X-Received $request_length;
        }}
    }}
    server {{
        {listen_http_close}
        {listen_https_close}
        keepalive_timeout 0;
        location = /small {{ return 200 "{small}"; }}
    }}
    server {{
        listen unix:{folder}/inner.socket;
        location / {{ return 200 $http_x_received; }}
    }}
}}
"""


@dataclass(frozen=True)
class Servers:
    """Where the servers of a run listen."""

    ports: dict[str, int]
    """Port numbers by the names that `Workload.server` has."""
    ca_file: Path
    nginx_version: str

    def url(self, server: str, host: str, path: str) -> str:
        """The address of a path of a server."""
        scheme = "https" if server.startswith("https") else "http"
        return f"{scheme}://{host}:{self.ports[server]}{path}"


def find_nginx() -> str:
    """The path of nginx; ends the program with a text that says how to install it."""
    found = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        raise SystemExit(
            "The benchmark needs nginx, which is not installed. On Debian or Ubuntu: apt-get install nginx-light"
        )
    return found


@contextlib.contextmanager
def running_servers(cpu: int | None) -> Iterator[Servers]:
    """Start nginx and the holding server, on the CPU given; stop them at the end of the block."""
    nginx = find_nginx()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="endwell-bench-")))
        spool = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="endwell-bench-", dir=_spool_parent())))
        ca_file, certificate = make_certificates(folder)
        _write_files(folder / "files")
        names = ("http", "https", "http_close", "https_close", "hold")
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        configuration = folder / "nginx.conf"
        configuration.write_text(_configuration(folder, spool, certificate, ports))
        command = [nginx, "-p", str(folder), "-c", str(configuration), "-e", "stderr"]
        stack.enter_context(running("nginx", command, cpu, ports["http"]))
        hold = [sys.executable, str(HERE / "hold.py"), str(ports["hold"])]
        stack.enter_context(running("the holding server", hold, cpu, ports["hold"]))
        yield Servers(ports, ca_file, _nginx_version(nginx))


def _spool_parent() -> str | None:
    """Memory rather than a disk for the uploads that nginx spools, where there is room for them."""
    shared = "/dev/shm"  # the size is checked, the name is made by tempfile
    if os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > 4 * STREAM_BYTES:
        return shared
    return None


def _write_files(folder: Path) -> None:
    folder.mkdir()
    (folder / "10k").write_bytes(bytes(range(256)) * 40)
    (folder / "1m").write_bytes(bytes(range(256)) * 4096)
    with (folder / "100m").open("wb") as file:
        file.truncate(STREAM_BYTES)  # a hole: it takes no room on the disk
    with (folder / "100m").open("rb") as file:
        while file.read(1 << 20):
            pass  # so that the first client finds it in the page cache as the others do


def _configuration(folder: Path, spool: Path, certificate: Path, ports: dict[str, int]) -> str:
    listen = {}
    for name, port in ports.items():
        tls = " ssl" if name.startswith("https") else ""
        lines = [f"listen {address}:{port}{tls} backlog=4096;" for address in _loopback_addresses()]
        listen[f"listen_{name}"] = " ".join(lines)
    user = f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""
    small = SMALL_BODY.decode().replace("\n", "\\n")
    fields = " ".join(f'add_header {name} "{value}";' for name, value in FIELDS)
    return CONFIGURATION.format(
        folder=folder, spool=spool, certificate=certificate, user=user, small=small, fields=fields, **listen
    )


def _loopback_addresses() -> list[str]:
    addresses = ["127.0.0.1"]
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
        addresses.append("[::1]")
    except OSError:
        pass  # a machine without IPv6
    return addresses


def _nginx_version(nginx: str) -> str:
    done = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=True)
    return done.stderr.strip().rpartition("/")[2]
