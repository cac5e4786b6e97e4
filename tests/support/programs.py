"""Programs that others wrote, run on loopback for a test: where they are, when they are ready, and an nginx with files.

Used by `tests/functional/test_real_peers.py`, whose docstring says what happens where a program is missing.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.support.tls import certificate

TEXT = b"".join(b"line %d of a text that compresses well\n" % number for number in range(5000))
BLOB = bytes(range(256)) * 4096
SECONDS = 10


def program(name: str, package: str) -> str:
    """Return the path of a program; skip, or fail where everything must be there."""
    path = shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/bin")
    if path is None:
        text = f"{name} is missing: apt-get install {package}"
        if os.environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(text)
    return path


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def listening(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def running(command: list[str], port: int, **kwargs) -> Iterator[subprocess.Popen]:
    """Run a program in the foreground until the end of the block; it is ready when its port answers."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **kwargs
    )
    try:
        until = time.monotonic() + SECONDS
        while not listening(port):
            if process.poll() is not None or time.monotonic() > until:
                process.kill()
                pytest.fail(f"{command[0]} does not listen: {process.communicate()[1].decode(errors='replace')}")
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=SECONDS)
        process.kill()
        process.communicate()


NGINX = """
daemon off; master_process off; worker_processes 1; pid {root}/pid; error_log {root}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; default_type application/octet-stream; types {{ text/plain txt; }}
  client_body_temp_path {root}/t1; proxy_temp_path {root}/t2; fastcgi_temp_path {root}/t3;
  uwsgi_temp_path {root}/t4; scgi_temp_path {root}/t5;
  gzip_types text/plain; gzip_min_length 100; gzip_http_version 1.1; keepalive_requests 1000;
  ssl_certificate {root}/certificate.pem; ssl_certificate_key {root}/key.pem;
  ssl_session_cache shared:s:1m; ssl_protocols TLSv1.2 TLSv1.3;
  server {{
    listen 127.0.0.1:{plain}; listen 127.0.0.1:{tls} ssl;
    root {root}/files;
    location /zipped/ {{ alias {root}/files/; gzip on; }}
    location /told {{ default_type application/json;
      return 200 '{{"connection": "$connection", "requests": "$connection_requests", "method": "$request_method",
      "uri": "$request_uri", "host": "$http_host", "protocol": "$ssl_protocol", "reused": "$ssl_session_reused"}}'; }}
    location /moved {{ return 301 /blob; }}
    location /gone {{ return 410; }}
    location /nothing {{ return 204; }}
    location /dropped {{ return 444; }}
    location /small {{ client_max_body_size 10; proxy_pass http://127.0.0.1:{upstream}; }}
    location /up/ {{ proxy_pass http://127.0.0.1:{upstream}/; proxy_http_version 1.1; proxy_buffering off;
      proxy_request_buffering off; client_max_body_size 0; }}
  }}
}}
"""


class Nginx(NamedTuple):
    root: pathlib.Path
    port: int
    tls_port: int
    upstream: int

    def url(self, path: str, *, tls: bool = False) -> str:
        return f"https://127.0.0.1:{self.tls_port}{path}" if tls else f"http://127.0.0.1:{self.port}{path}"


@pytest.fixture(scope="module")
def nginx(tmp_path_factory) -> Iterator[Nginx]:
    path = program("nginx", "nginx-light")
    root = tmp_path_factory.mktemp("nginx")
    (root / "files").mkdir()
    (root / "files" / "text.txt").write_bytes(TEXT)
    (root / "files" / "blob").write_bytes(BLOB)
    (root / "files" / "empty").write_bytes(b"")
    leaf = certificate()
    leaf.private_key_pem.write_to_path(root / "key.pem")
    leaf.cert_chain_pems[0].write_to_path(root / "certificate.pem")
    served = Nginx(root, free_port(), free_port(), free_port())
    config = root / "nginx.conf"
    config.write_text(NGINX.format(root=root, plain=served.port, tls=served.tls_port, upstream=served.upstream))
    with running([path, "-p", str(root), "-c", str(config), "-e", str(root / "error.log")], served.port):
        yield served
