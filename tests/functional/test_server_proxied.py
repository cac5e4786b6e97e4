"""A server that trusts the nginx in front of it: whom handlers and ASGI applications see, and whom nobody can play.

The client of nginx has the address 127.0.0.2: 127.0.0.1 is that of nginx itself, a proxy.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

import endwell
from endwell import web
from endwell.server.asgi import AsgiRunner
from endwell.server.runner import BaseRunner
from tests.support.fronting import Front, front
from tests.support.programs import SECONDS
from tests.support.raw import ListHandler
from tests.support.telling import application
from tests.support.tls import client_context

__all__ = ("front",)  # a fixture

ALL = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host")
X = ALL[1:]
CLIENT = "127.0.0.2"
LIES = {
    "X-Forwarded-For": "8.8.8.8, 127.0.0.1",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "Forwarded": 'for=8.8.4.4;proto=https;host="evil.example',
    "X-Real-IP": "8.8.8.8",
}


async def told(scope: Any, receive: Any, send: Any) -> None:
    """Answer with what the scope says, as an application of ASGI; over a WebSocket too."""
    assert scope["type"] in {"http", "websocket"}, "lifespan is off"
    client = scope["client"]
    host = dict(scope["headers"])[b"host"].decode()
    text = f"{scope['scheme']} {client and client[0]} {client and client[1]} {host}"
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": text})
        await send({"type": "websocket.close"})
    else:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": text.encode()})


@contextlib.asynccontextmanager
async def running(front: Front, runner: BaseRunner) -> AsyncIterator[None]:
    try:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", front.upstream).start()
        await web.UnixSite(runner, front.socket).start()
        yield
    finally:
        report = await runner.cleanup()
    assert not report.aborted
    assert not report.errors


def app_runner(**settings: Any) -> BaseRunner:
    return web.AppRunner(application(), shutdown_timeout=5.0, access_log=None, **settings)


def asgi_runner(**settings: Any) -> BaseRunner:
    return AsgiRunner(told, lifespan="off", shutdown_timeout=5.0, **({"access_log": None} | settings))


def session(address: str = CLIENT) -> endwell.ClientSession:
    connector = endwell.TCPConnector(ssl=client_context(), local_addr=(address, 0))
    return endwell.ClientSession(connector=connector, timeout=endwell.ClientTimeout(total=SECONDS))


async def seen(client: endwell.ClientSession, url: str, **fields: str) -> Any:
    """Ask `tell`; give remote, scheme and host."""
    async with client.get(url, headers={name.replace("_", "-"): value for name, value in fields.items()}) as response:
        found = await response.json()
        assert found["url"] == f"{found['scheme']}://{found['host']}/tell"
        return found["remote"], found["scheme"], found["host"]


async def text(client: endwell.ClientSession, url: str, **fields: str) -> str:
    async with client.get(url, headers=fields) as response:
        return await response.text()


@pytest.mark.parametrize("path", ["", "/old", "/raw", "/local"])
@pytest.mark.parametrize("fields", [ALL, X, X[:2]], ids=["forwarded", "x-forwarded", "default"])
@pytest.mark.parametrize("lies", [{}, LIES], ids=["honest", "lying"])
async def test_a_handler_sees_the_client_of_nginx(front: Front, path: str, fields: Any, lies: dict[str, str]) -> None:
    runner = app_runner(trusted_proxies=["127.0.0.1", "unix"], trusted_fields=fields)
    async with running(front, runner), session() as client:
        for tls in (False, True):
            host = f"localhost:{front.tls_port}" if tls else f"127.0.0.1:{front.port}"
            scheme = "https" if tls else "http"
            assert await seen(client, front.url(f"{path}/tell", tls=tls), **lies) == (CLIENT, scheme, host)


@pytest.mark.parametrize("path", ["", "/old", "/raw", "/local"])
@pytest.mark.parametrize("fields", [ALL, X[:2]], ids=["forwarded", "default"])
@pytest.mark.parametrize("lies", [{}, LIES], ids=["honest", "lying"])
async def test_an_asgi_application_sees_it(front: Front, path: str, fields: Any, lies: dict[str, str]) -> None:
    runner = asgi_runner(trusted_proxies=["127.0.0.1", "unix"], trusted_fields=fields)
    async with running(front, runner), session() as client:
        for tls in (False, True):
            host = f"localhost:{front.tls_port}" if tls else f"127.0.0.1:{front.port}"
            scheme = "https" if tls else "http"
            assert await text(client, front.url(f"{path}/", tls=tls), **lies) == f"{scheme} {CLIENT} 0 {host}"


@pytest.mark.parametrize("trusted", [None, ["192.0.2.1", "10.0.0.0/8"], ["unix"]])
async def test_a_peer_that_is_not_trusted_is_the_client(front: Front, trusted: Any) -> None:
    own = f"127.0.0.1:{front.upstream}"
    async with running(front, app_runner(trusted_proxies=trusted, trusted_fields=ALL)), session() as client:
        assert await seen(client, f"http://{own}/tell", **LIES) == (CLIENT, "http", own)
        assert (await seen(client, front.url("/tell", tls=True)))[:2] == ("127.0.0.1", "http")
    async with running(front, asgi_runner(trusted_proxies=trusted, trusted_fields=ALL)), session() as client:
        assert (await text(client, f"http://{own}/", **LIES)).startswith(f"http {CLIENT} ")


async def test_who_comes_beside_nginx_is_not_believed(front: Front) -> None:
    """The same server, that trusts nginx: a client that reaches it directly plays nobody."""
    own = f"127.0.0.1:{front.upstream}"
    async with running(front, app_runner(trusted_proxies="127.0.0.1,unix", trusted_fields=ALL)), session() as client:
        assert await seen(client, f"http://{own}/tell", **LIES) == (CLIENT, "http", own)
        assert (await seen(client, front.url("/tell")))[0] == CLIENT
    async with running(front, asgi_runner(trusted_proxies="127.0.0.1,unix")), session() as client:
        assert (await text(client, f"http://{own}/", **LIES)).startswith(f"http {CLIENT} ")


async def test_the_requests_of_one_connection_are_of_several_clients(front: Front) -> None:
    """nginx keeps its connections to the server for all its clients."""
    async with (
        running(front, app_runner(trusted_proxies="127.0.0.1")),
        session() as one, session("127.0.0.3") as two,
    ):  # fmt: skip
        for _ in range(3):
            for client, address in ((one, CLIENT), (two, "127.0.0.3")):
                for tls in (False, True):
                    remote, scheme, _ = await seen(client, front.url("/tell", tls=tls))
                    assert (remote, scheme) == (address, "https" if tls else "http")


async def test_what_a_middleware_says_outweighs_the_proxy(front: Front) -> None:
    @web.middleware
    async def replace(request: web.Request, handler: Any) -> Any:
        return await handler(request.clone(remote="192.0.2.7", host="other.example"))

    async def tell(request: web.Request) -> web.Response:
        return web.json_response([request.remote, request.scheme, request.secure, request.host, str(request.url)])

    app = web.Application(middlewares=[replace])
    app.router.add_get("/", tell)
    runner = web.AppRunner(app, trusted_proxies="127.0.0.1", trusted_fields=X)
    async with running(front, runner), session() as client:
        async with client.get(front.url("/", tls=True)) as response:
            assert await response.json() == [
                "192.0.2.7", "https", True, "other.example", "https://other.example/",
            ]  # fmt: skip


@pytest.mark.parametrize("make", [app_runner, asgi_runner], ids=["web", "asgi"])
@pytest.mark.parametrize("path", ["/tell", "/local/tell"])
async def test_the_access_log_has_the_client(front: Front, make: Any, path: str) -> None:
    keeper = ListHandler()
    logger = logging.Logger("access", logging.INFO)  # noqa: LOG001  # of this test alone
    logger.addHandler(keeper)
    settings = {"access_log": logger, "access_log_format": "%a %s", "trusted_proxies": "127.0.0.1,unix"}
    if make is app_runner:
        runner: BaseRunner = web.AppRunner(application(), **settings)
    else:
        runner = make(**settings)
    async with running(front, runner), session() as client:
        await text(client, front.url(path), **LIES)
    assert [record.getMessage() for record in keeper.records] == [f"{CLIENT} 200"]


@pytest.mark.parametrize(("proto", "scheme"), [("https", "wss"), ("http", "ws"), ("wss", "wss"), ("x", "ws")])
async def test_a_websocket_of_asgi(front: Front, proto: str, scheme: str) -> None:
    """The client plays the proxy here."""
    fields = {"X-Forwarded-For": "203.0.113.9:4711", "X-Forwarded-Proto": proto}
    async with running(front, asgi_runner(trusted_proxies=CLIENT)), session() as client:
        async with client.ws_connect(f"http://127.0.0.1:{front.upstream}/", headers=fields) as ws:
            said = (await ws.receive_str()).split(" ")
            await ws.receive()
    assert said == [scheme, "203.0.113.9", "4711", f"127.0.0.1:{front.upstream}"]


async def test_malformed_fields_leave_what_the_connection_says(front: Front) -> None:
    own = f"127.0.0.1:{front.upstream}"
    bad = {"X-Forwarded-For": "8.8.8.8, unknown", "X-Forwarded-Proto": "gopher", "X-Forwarded-Host": "a b@c"}
    async with running(front, app_runner(trusted_proxies=CLIENT, trusted_fields=ALL)), session() as client:
        assert await seen(client, f"http://{own}/tell", **bad) == (CLIENT, "http", own)
        assert await seen(client, f"http://{own}/tell", Forwarded='for=_x;proto=y;host="a/b"') == (CLIENT, "http", own)
    async with running(front, asgi_runner(trusted_proxies=CLIENT, trusted_fields=ALL)), session() as client:
        assert (await text(client, f"http://{own}/", **bad)).startswith(f"http {CLIENT} ")
