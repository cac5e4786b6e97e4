"""`endwell serve` behind a proxy: whom it believes with `--proxy-headers`, and nobody without."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from endwell.cli.serve import plan_of
from endwell.cli.served import Served
from tests.cli.test_serve import SECONDS, Service, service

PROGRAM = """
from endwell import web

async def tell(request):
    return web.Response(text=f"{request.remote} {request.scheme} {request.host}")

app = web.Application()
app.router.add_get("/", tell)

trusting = web.Application(handler_args={"trusted_proxies": "127.0.0.1"})
trusting.router.add_get("/", tell)

async def asgi(scope, receive, send):
    assert scope["type"] == "http"
    host = dict(scope["headers"])[b"host"].decode()
    body = f"{(scope['client'] or [''])[0]} {scope['scheme']} {host}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
"""
REQUEST = (
    b"GET / HTTP/1.0\r\nHost: own\r\nX-Forwarded-For: 8.8.8.8, 203.0.113.9\r\nX-Forwarded-Proto: https\r\n"
    b"X-Forwarded-Host: evil.example\r\nForwarded: for=8.8.4.4;host=evil.example\r\n\r\n"
)
BELIEVED = "203.0.113.9 https own"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path


def ask(service: Service, unix: Path | None = None) -> str:
    """Play the proxy."""
    with socket.socket(socket.AF_UNIX if unix is not None else socket.AF_INET) as sock:
        sock.settimeout(SECONDS)
        sock.connect(("127.0.0.1", service.port) if unix is None else str(unix))
        sock.sendall(REQUEST)
        with sock.makefile("rb") as answer:
            return answer.read().decode().partition("\r\n\r\n")[2]


@pytest.mark.parametrize("target", ["program:app", "program:asgi"])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "127.0.0.1 http own"),
        (["--no-proxy-headers"], "127.0.0.1 http own"),
        (["--proxy-headers"], BELIEVED),
        (["--proxy-headers", "--forwarded-allow-ips", "10.0.0.0/8, 192.0.2.1,unix"], "127.0.0.1 http own"),
        (["--proxy-headers", "--forwarded-allow-ips", "*", "--workers", "2"], BELIEVED),
    ],
    ids=["default", "off", "on", "others", "all"],
)
def test_whom_it_believes(folder: Path, target: str, options: list[str], said: str) -> None:
    with service(folder, target, *options) as running:
        assert ask(running) == said
        status, out, _ = running.end()
    assert status == 0
    assert out.startswith(said.partition(" ")[0] + " ["), "the access log has the same address"


@pytest.mark.parametrize("target", ["program:app", "program:asgi"])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], " http own"),
        (["--proxy-headers"], BELIEVED),
        (["--proxy-headers", "--forwarded-allow-ips", "127.0.0.1"], " http own"),
    ],
    ids=["default", "on", "others"],
)
def test_a_unix_socket(folder: Path, target: str, options: list[str], said: str) -> None:
    with service(folder, target, "--unix", "socket", *options, port=False) as running:
        assert ask(running, folder / "socket") == said
        assert running.end()[0] == 0


def test_an_application_that_says_so_itself_is_left_alone(folder: Path) -> None:
    with service(folder, "program:trusting") as running:
        assert ask(running) == BELIEVED
        assert running.end()[0] == 0


def test_nobody_is_believed_by_default_and_those_of_this_machine_when_asked() -> None:
    assert not plan_of(Served(target="service:app")).proxy_headers
    plan = plan_of(Served(target="service:app", proxy_headers=True))
    assert plan.proxy_headers
    assert plan.forwarded_allow_ips == ["127.0.0.1", "::1", "unix"]
