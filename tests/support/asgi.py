"""An ASGI application on a real socket, and a client that sends exactly what a test says.

    async with asgi(app) as stage:
        client = await stage.connect()
        await client.send(get())
        assert (await client.answer()).body == b"..."

The stage is that of `tests.support.raw`: at its end all that was logged must have been looked at (`stage.said`). Most
applications here are a function of `Call`, which holds the scope and speaks the events: ``app(handle)``.
"""

from __future__ import annotations

import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from yarl import URL

from endwell.server.asgi import AsgiRunner
from endwell.server.sites import TCPSite, UnixSite
from tests.support.raw import Answer, ListHandler, Stage
from tests.support.serving import RunningServer


class Call:
    """One call of an application: `scope`, `receive`, `send`, and what most handlers do with them."""

    def __init__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send

    @property
    def path(self) -> str:
        return self.scope["path"]

    async def read(self) -> bytes:
        """Read the body; it must come whole."""
        body = b""
        more = True
        while more:
            event = await self.receive()
            assert event["type"] == "http.request", event
            body += event["body"]
            more = event["more_body"]
        return body

    async def start(self, status: int = 200, *headers: tuple[bytes, bytes]) -> None:
        await self.send({"type": "http.response.start", "status": status, "headers": headers})

    async def body(self, data: bytes = b"", *, more: bool = False) -> None:
        await self.send({"type": "http.response.body", "body": data, "more_body": more})

    async def answer(self, data: bytes = b"fine", status: int = 200, *headers: tuple[bytes, bytes]) -> None:
        """Send a whole response."""
        await self.start(status, *headers)
        await self.body(data)


def app(handle: Callable[[Call], Awaitable[None]]) -> Any:
    """Make an application that does not know lifespan."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        await handle(Call(scope, receive, send))

    return application


def get(target: str = "/", *fields: str, method: str = "GET", version: str = "1.1", body: bytes | None = None) -> bytes:
    """Give the bytes of a request."""
    lines = [f"{method} {target} HTTP/{version}", "Host: example.org", *fields]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


class AsgiStage(Stage):
    """A stage with an ASGI application on it."""

    async def one(self, data: bytes, method: str = "GET") -> Answer:
        """Send on a new connection, give the answer, and leave."""
        client = await self.connect()
        await client.send(data)
        answer = await client.answer(method)
        client.sock.close()
        return answer


@contextlib.asynccontextmanager
async def asgi(
    application: Any,
    *,
    tls: ssl.SSLContext | None = None,
    unix: str | None = None,
    allow_aborted: bool = False,
    **settings: Any,
) -> AsyncIterator[AsgiStage]:
    """Serve an application, at a port of its own or on a Unix socket, and close it."""
    keeper = ListHandler()
    logger = logging.Logger("endwell.test")  # noqa: LOG001  # of this test alone
    logger.addHandler(keeper)
    settings = {"shutdown_timeout": 5.0, "logger": logger, "access_log": None} | settings
    runner = AsgiRunner(application, **settings)
    await runner.setup()
    try:
        if unix is None:
            site = TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
            await site.start()
            port = site.port
        else:
            await UnixSite(runner, unix).start()
            port = 0
        core = runner.server
        assert core is not None
        url = URL.build(scheme="https" if tls is not None else "http", host="127.0.0.1", port=port or 80, path="/")
        stage = AsgiStage(RunningServer(runner, core, url, port), keeper, [])
        try:
            yield stage
        finally:
            stage.leave()
    except BaseException:
        await runner.cleanup()
        raise
    report = await stage.server.close()
    assert stage.said() == [], "something was logged that the test did not look at"
    if not allow_aborted:
        assert not report.aborted, report
        assert not report.errors, report
