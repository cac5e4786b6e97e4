"""`endwell serve` as people run it: a process, requests, signals, exit codes, and what is said when it can't be."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer import BadParameter
from typer.testing import CliRunner

from endwell.cli.serve import add_to, plan_of
from endwell.cli.served import ClientCertificate, Interface, Level, Lifespan, Loop, Served
from endwell.service.plan import ServicePlan
from tests.support.programs import program
from tests.support.tls import authority, certificate, client_context

SECONDS = 30
PROGRAM = """
import asyncio, os
from endwell import web

async def hello(request):
    return web.Response(text=f"Hello from {os.getpid()}")

async def held(request):
    HELD.set()
    await GO.wait()
    return web.Response(text="held")

async def wait_until_held(request):
    await HELD.wait()
    return web.Response(text="held")

HELD, GO = asyncio.Event(), asyncio.Event()

def make():
    app = web.Application()
    app.add_routes([web.get("/", hello), web.get("/held", held), web.get("/wait", wait_until_held)])
    return app

app = make()

async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("only HTTP")
    body = scope["root_path"].encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})

def wsgi(environ, start_response):
    return []
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "broken.py").write_text("import program\n\nraise RuntimeError('no settings')\n")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("<p>page</p>")
    return tmp_path


def start(folder: Path, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    environ = {
        name: value for name, value in os.environ.items() if name not in {"PORT", "WEB_CONCURRENCY", "LISTEN_FDS"}
    }
    environ |= {"COLUMNS": "200", "TMPDIR": str(folder), **options.pop("environ", {})}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "endwell", "serve", *arguments],
        cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        **options,
    )  # fmt: skip


class Service:
    """A running service: where it listens, and what it has said on standard error so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said = ""
        self.urls = re.findall(r"https?://[^\s,]+", self.hears(" ready: "))
        self.port = int(self.urls[0].rpartition(":")[2].strip("/")) if self.urls and self.urls[0][-1].isdigit() else 0

    def hears(self, text: str) -> str:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said += line
            if text in line:
                return line
        raise AssertionError(f"the service ended, and never said {text!r}:\n{self.said}")

    def get(self, path: str = "/", tls: ssl.SSLContext | None = None) -> tuple[int, str]:
        if tls is None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        else:
            connection = http.client.HTTPSConnection("localhost", self.port, timeout=SECONDS, context=tls)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Connection": "close"})
            response = connection.getresponse()
            return response.status, response.read().decode()

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Tell it to end; return the exit status, and all that it wrote."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, out, self.said + err


@contextlib.contextmanager
def service(folder: Path, *arguments: str, port: bool = True, **options: Any) -> Iterator[Service]:
    where = ["--port", "0"] if port else []
    with start(folder, *arguments, *where, **options) as process:
        try:
            yield Service(process)
        finally:
            process.kill()


def fails(folder: Path, *arguments: str, **options: Any) -> tuple[int, str]:
    with start(folder, *arguments, **options) as process:
        try:
            out, err = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
    assert out == ""
    return process.returncode, re.sub(r"\s*\n[│ ]*", " ", err)


# What works


def test_an_application(folder: Path) -> None:
    with service(folder, "program:app") as served:
        assert served.get() == (200, f"Hello from {served.process.pid}")
        assert f"serving program:app: process {served.process.pid}, 1 worker; Ctrl-C or SIGTERM ends it" in served.said
        status, out, err = served.end()
    assert status == 0, err
    assert re.fullmatch(r'127\.0\.0\.1 \[.*\] "GET / HTTP/1\.1" 200 .*\n', out)
    assert " closed AppRunner in " in err
    assert "Traceback" not in err


def test_several_workers_and_ctrl_c(folder: Path) -> None:
    with service(folder, "program:make()", "--no-access-log", environ={"WEB_CONCURRENCY": "2"}) as served:
        assert " 2 workers" in served.said
        assert served.get()[1] != f"Hello from {served.process.pid}"
        status, out, err = served.end(signal.SIGINT)
    assert (status, out) == (0, ""), err


def test_a_second_signal_waits_no_longer(folder: Path) -> None:
    with service(folder, "--factory", "program:make") as served:
        with socket.create_connection(("127.0.0.1", served.port), SECONDS) as client:
            client.sendall(b"GET /held HTTP/1.1\r\nHost: here\r\n\r\n")
            assert served.get("/wait") == (200, "held")
            served.process.send_signal(signal.SIGTERM)
            served.hears("told to end")
            status, _, err = served.end()
            assert client.recv(1000).startswith(b"HTTP/1.1 503 ")
    assert status == 1, err
    assert "1 aborted" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_import_that_blocks_is_broken_off(folder: Path, number: int, workers: str) -> None:
    (folder / "blocking.py").write_text(
        "import sys\nsys.stdout.write('importing\\n')\nsys.stdout.flush()\nwhile True: pass\n"
    )
    with start(folder, "blocking:app", "-p", "0", "-w", workers) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("importing")
            process.send_signal(number)
            _, err = process.communicate(timeout=SECONDS)
            assert process.returncode == 0, err
            assert "Traceback" not in err
        finally:
            process.kill()


def test_a_folder(folder: Path) -> None:
    curl = program("curl", "curl")
    with service(folder, "site", "--listing") as served:
        assert served.get() == (200, "<p>page</p>")
        assert served.get("/program.py")[0] == 404
        head = subprocess.run(
            [curl, "-sI", f"http://127.0.0.1:{served.port}/"], capture_output=True, text=True, check=True
        )
        assert "Content-Type: text/html" in head.stdout
        assert served.end()[0] == 0


def test_asgi(folder: Path) -> None:
    with service(folder, "program:asgi", "--root-path", "/api", "--lifespan", "off") as served:
        assert served.get() == (200, "/api")
        assert served.end()[0] == 0


def test_a_unix_socket(folder: Path) -> None:
    with service(folder, "program:app", "--unix", "s", "--unix-mode", "600", port=False) as served:
        path = folder / "s"
        assert path.stat().st_mode & 0o777 == 0o600
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(SECONDS)
            client.connect(str(path))
            client.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert served.end()[0] == 0
    assert not path.exists()


def test_tls(folder: Path) -> None:
    certificate().private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    authority().cert_pem.write_to_path(folder / "ca.pem")
    with service(
        folder, "program:app", "--ssl-certfile", "server.pem", "--ssl-ca-certs", "ca.pem", "--ssl-cert-reqs", "required"
    ) as served:
        assert served.urls[0].startswith("https://")
        assert served.get("/", client_context(client_certificate=True))[0] == 200
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
            served.get("/", client_context())
        assert served.end()[0] == 0


def test_an_inherited_socket(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        fd = str(sock.fileno())
        with service(folder, "program:app", "--fd", fd, port=False, pass_fds=[sock.fileno()]) as served:
            assert str(sock.getsockname()[1]) in served.said
            served.port = sock.getsockname()[1]
            assert served.get()[0] == 200
            assert served.end()[0] == 0


def test_quiet(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        fd = sock.fileno()
        with start(folder, "program:app", "-q", "--fd", str(fd), pass_fds=[fd]) as process:
            try:
                with socket.create_connection(sock.getsockname(), SECONDS) as client:  # it waits for the service
                    client.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
                    assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
                process.terminate()
                assert process.communicate(timeout=SECONDS) == ("", "")
                assert process.returncode == 0
            finally:
                process.kill()


# What cannot be


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("program:ap", "has no attribute ap; did you mean app?"),
        ("progam:app", "did you mean program:app?"),
        ("program:wsgi", "is an application of WSGI"),
        ("broken:app", "The module broken could not be imported: Traceback"),
        ("broken:app", "RuntimeError: no settings"),
    ],
)
def test_an_application_that_cannot_be_served(folder: Path, target: str, text: str) -> None:
    status, err = fails(folder, target, "--port", "0")
    assert status == 3, err
    assert text in err


def test_it_fails_with_several_workers_too(folder: Path) -> None:
    status, err = fails(folder, "broken:app", "--port", "0", "--workers", "2")
    assert status == 3, err
    assert "RuntimeError: no settings" in err


def test_an_address_in_use(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        status, err = fails(folder, "program:app", "--port", str(sock.getsockname()[1]))
    assert status == 4, err
    assert str(sock) not in err
    assert "in use" in err


def test_a_wrong_command_line_binds_nothing(folder: Path) -> None:
    status, err = fails(folder, "program:app", "--port", "99999")
    assert status == 2
    assert "--port" in err
    assert "65535" in err
    assert "listening" not in err


# The command line


def plan(**options: Any) -> ServicePlan:
    return plan_of(Served(**{"target": "program:app", **options}))


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    for name in ("PORT", "LISTEN_FDS", "LISTEN_PID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(folder)
    return folder


def test_where_it_listens(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def where(**options: Any) -> tuple[list[str], int | None]:
        made = plan(**options)
        return made.host, made.port

    assert where() == (["127.0.0.1"], None)
    assert where(port=80) == (["127.0.0.1"], 80)
    assert where(host=["::", "0.0.0.0"]) == (["::", "0.0.0.0"], None)
    assert where(unix=["s"]) == ([], None)
    assert where(unix=["s"], port=80) == (["127.0.0.1"], 80)
    assert where(fd=[3]) == ([], None)
    monkeypatch.setenv("PORT", "5000")
    assert where() == (["127.0.0.1"], 5000)
    assert where(port=80) == (["127.0.0.1"], 80)
    assert where(host=["::"]) == (["::"], 5000)
    assert where(unix=["s"]) == ([], None)
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    assert where() == ([], None)
    monkeypatch.setenv("LISTEN_PID", "1")
    assert where() == (["127.0.0.1"], 5000)


def test_all_options_reach_the_plan(clean: Path) -> None:
    made = plan(
        factory=True, interface=Interface.ASGI, app_dir=".", lifespan=Lifespan.ON, root_path="/a", unix=["s"],
        ws_max_size=1, ws_heartbeat=0.0, start_timeout=4.0,
        unix_mode="660", workers=3, reload=True, reload_dir=["site"], reload_include=["*.txt"], reload_exclude=["x*"],
        max_requests=9, max_requests_jitter=2, loop=Loop.ASYNCIO, pidfile="p", control="", shutdown_timeout=5.0,
        keepalive_timeout=6.0, header_timeout=7.0, limit_connections=8, access_log_format="%a", log_level=Level.DEBUG,
        proxy_headers=True, forwarded_allow_ips="10.0.0.0/8, unix",
    )  # fmt: skip
    assert ServicePlan.from_json(made.to_json()) == made
    assert made.options == {"lifespan": "on", "websocket_max_size": 1, "websocket_heartbeat": None}
    assert made.settings == {"max_connections": 8}
    assert (made.proxy_headers, made.forwarded_allow_ips) == (True, ["10.0.0.0/8", "unix"])
    assert (made.interface, made.loop, made.log_level, made.unix_mode) == ("asgi", "asyncio", "debug", 0o660)
    assert (made.workers, made.max_requests, made.reload_dirs, made.control) == (3, 9, ["site"], "")
    assert plan(target="site", listing=True).options == {"listing": True, "spa": False}
    assert (plan(quiet=True).access_log, plan(quiet=True).log_level) == (False, "warning")


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"target": "nowhere"}, "TARGET", "There is no folder 'nowhere'"),
    ({"target": "program.py"}, "TARGET", "is a file: name its module, program:app"),
    ({"target": "site", "factory": True}, "--factory", "it is for applications, and site is a folder"),
    ({"listing": True}, "--listing", "it is for folders, and there is no folder program:app"),
    ({"app_dir": "nowhere"}, "--app-dir", "there is no folder nowhere"),
    ({"root_path": "api"}, "--root-path", "it begins with a slash: /api"),
    ({"reload_dir": ["site"]}, "--reload-dir", "give that too"),
    ({"forwarded_allow_ips": "*"}, "--forwarded-allow-ips", "it says whom --proxy-headers believes: give that too"),
    ({"proxy_headers": True, "forwarded_allow_ips": "front"}, "--forwarded-allow-ips", "'front' names no proxy"),
    ({"proxy_headers": True, "forwarded_allow_ips": ""}, "--forwarded-allow-ips", "'' names no proxy"),
    ({"reload": True, "reload_dir": ["nowhere"]}, "--reload-dir", "there is no folder nowhere"),
    ({"max_requests_jitter": 3}, "--max-requests-jitter", "give that too"),
    ({"unix": ["s"], "unix_mode": "999"}, "--unix-mode", "three octal digits"),
    ({"unix_mode": "660"}, "--unix-mode", "it is for --unix"),
    ({"shutdown_timeout": float("inf")}, "--shutdown-timeout", "a number of seconds"),
    ({"ssl_keyfile": "key.pem"}, "--ssl-keyfile", "it needs the certificate of the server too"),
    ({"ssl_certfile": "nowhere.pem"}, "--ssl-certfile", "nowhere.pem: No such file or directory"),
    ({"ssl_certfile": "program.py"}, "--ssl-certfile", "program.py has no certificate in PEM in it"),
    ({"ssl_certfile": "cert.pem"}, "--ssl-keyfile", "cert.pem has no key in it: name the file that has"),
    ({"ssl_certfile": "cert.pem", "ssl_keyfile": "program.py"}, "--ssl-keyfile", "has no private key in PEM in it"),
    ({"ssl_certfile": "cert.pem", "ssl_keyfile": "other.pem"}, "--ssl-keyfile", "is not that of cert.pem"),
    (
        {"ssl_certfile": "cert.pem", "ssl_keyfile": "key.pem", "ssl_cert_reqs": ClientCertificate.REQUIRED},
        "--ssl-cert-reqs",
        "it needs --ssl-ca-certs",
    ),
    (
        {"ssl_certfile": "cert.pem", "ssl_keyfile": "key.pem", "ssl_ca_certs": "program.py"},
        "--ssl-ca-certs",
        "has no certificate in PEM in it",
    ),
    (
        {"ssl_certfile": "cert.pem", "ssl_keyfile": "secret.pem"},
        "--ssl-keyfile-password",
        "is encrypted: its password is needed",
    ),
    (
        {"ssl_certfile": "cert.pem", "ssl_keyfile": "secret.pem", "ssl_keyfile_password": "wrong"},
        "--ssl-keyfile-password",
        "it does not open the key",
    ),
]


@pytest.mark.parametrize(("options", "option", "text"), WRONG, ids=[f"{each[1]}-{n}" for n, each in enumerate(WRONG)])
def test_what_is_wrong_is_said(clean: Path, options: dict[str, Any], option: str, text: str) -> None:
    write_certificates(clean)
    with pytest.raises(BadParameter) as raised:
        plan(**options)
    assert raised.value.param_hint == option
    assert text in raised.value.message


def write_certificates(folder: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    good, other = certificate(), certificate("wrong-name")
    good.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    good.private_key_pem.write_to_path(folder / "key.pem")
    other.private_key_pem.write_to_path(folder / "other.pem")
    key = serialization.load_pem_private_key(good.private_key_pem.bytes(), None)
    encrypted = serialization.BestAvailableEncryption(b"swordfish")
    (folder / "secret.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encrypted)
    )


def test_the_password_of_a_key(clean: Path) -> None:
    write_certificates(clean)
    made = plan(ssl_certfile="cert.pem", ssl_keyfile="secret.pem", ssl_keyfile_password="swordfish")
    assert "swordfish" not in repr(made)


@pytest.mark.parametrize("text", ["http", "-1", "65536", "99999999999"])
def test_a_wrong_port_in_the_environment(clean: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("PORT", text)
    with pytest.raises(BadParameter, match="is no port") as raised:
        plan()
    assert raised.value.param_hint == "$PORT"


def both() -> typer.Typer:
    app = typer.Typer()
    app.callback()(lambda: None)
    add_to(app)
    return app


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["program:app", "--workers", "0"], "'--workers'"),
        (["program:app", "--loop", "other"], "'--loop'"),
        (["program:app", "--wrokers", "2"], "--workers"),
    ],
)
def test_typer_refuses(clean: Path, arguments: list[str], text: str) -> None:
    done = CliRunner().invoke(both(), ["serve", *arguments], env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert text in done.output


def test_both_commands_are_listed() -> None:
    done = subprocess.run([sys.executable, "-m", "endwell", "--help"], capture_output=True, text=True, check=True)
    assert re.search(r"\bget +Fetch URLs", done.stdout)
    assert re.search(r"\bserve +Serve an application", done.stdout)


def test_help() -> None:
    text = CliRunner().invoke(both(), ["serve", "--help"], env={"COLUMNS": "200"}).output
    for each in ("--shutdown-timeout", "WEB_CONCURRENCY", "$PORT", "Exit codes:", "4: an address", "SIGHUP"):
        assert each in text
