"""Applications for the tests of closing: `Site` has all that can be in flight, `Told` tells what becomes of it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from endwell import web
from endwell.lifetime import CloseReport, open_resources
from tests.support.closing import passes, until
from tests.support.leaks import open_sockets
from tests.support.serving import RunningServer, serving
from tests.support.tls import server_context
from tests.support.visitor import Place


class Site:
    """An application with everything that can be in flight; `go` lets the held handlers go on."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.app = web.Application()
        self.app.add_routes(
            [
                web.get("/", self.quick),
                web.get("/held", self.held),
                web.get("/stuck", self.stuck),
                web.get("/big", self.big),
                web.get("/stream", self.stream),
                web.get("/events", self.events),
                web.post("/upload", self.upload),
                web.post("/early", self.quick),
                web.get("/fail", self.fail),
                web.get("/teapot", self.teapot),
                web.get("/file", self.file),
            ]
        )
        self.app.on_shutdown.append(self.signal("on_shutdown"))
        self.app.cleanup_ctx.append(self.context)
        self.app.on_cleanup.append(self.signal("on_cleanup"))

    def signal(self, name: str) -> Any:
        async def called(app: web.Application) -> None:
            self.ended.append(name)

        return called

    async def context(self, app: web.Application) -> AsyncIterator[None]:
        yield
        self.ended.append("context")

    async def quick(self, request: web.Request) -> web.Response:
        return web.Response(text="quick")

    async def held(self, request: web.Request) -> web.Response:
        self.begun.append(request.path_qs)
        await self.go.wait()
        return web.Response(text="held")

    async def stuck(self, request: web.Request) -> web.Response:
        self.begun.append(request.path_qs)
        try:
            await asyncio.Event().wait()
        finally:
            await passes()
            self.ended.append("stuck")
        raise AssertionError

    async def big(self, request: web.Request) -> web.Response:
        self.begun.append(request.path_qs)
        if "held" in request.query:
            await self.go.wait()
        return web.Response(body=bytes(int(request.query["size"])))

    async def stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first,")
        self.begun.append(request.path_qs)
        await self.go.wait()
        await response.write(b"second")
        return response

    async def events(self, request: web.Request) -> web.StreamResponse:
        async with web.event_stream(request) as events:
            await events.send("first")
            self.begun.append(request.path_qs)
            await asyncio.Event().wait()
        return events

    async def upload(self, request: web.Request) -> web.Response:
        self.begun.append(request.path_qs)
        return web.Response(text=str(len(await request.read())))

    async def fail(self, request: web.Request) -> web.Response:
        await self.held(request)
        raise ValueError("by the test")

    async def teapot(self, request: web.Request) -> web.Response:
        await self.held(request)
        raise web.HTTPNotFound

    async def file(self, request: web.Request) -> web.FileResponse:
        await self.held(request)
        return web.FileResponse(Path(__file__))


@contextlib.asynccontextmanager
async def served(
    *, tls: bool = False, allow_aborted: bool = False, **settings: Any
) -> AsyncIterator[tuple[Site, RunningServer, Place]]:
    """Give what serves the site; nothing is left of it at the end."""
    site = Site()
    before = open_sockets()
    async with serving(
        site.app, tls=server_context() if tls else None, allow_aborted=allow_aborted, **settings
    ) as server:
        yield site, server, Place(server.port, tls=tls)
        if server._report is None:
            site.go.set()
    assert not server.core.children
    assert not server.core.work
    assert not [task for task in server.core.tasks if not task.done()]
    assert open_resources() == []
    await until(lambda: open_sockets() <= before)  # those of the clients
    assert site.ended[-3:] == ["on_shutdown", "context", "on_cleanup"] or site.ended[0] == "on_shutdown"
    assert site.ended[-2:] == ["context", "on_cleanup"]


def narrow(server: RunningServer) -> None:
    """Have the kernel take little of what is sent to the clients that there are."""
    for connection in server.core.connections:
        sock = (connection.below or connection.transport).get_extra_info("socket")  # type: ignore[union-attr]  # open
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)


async def stopping(server: RunningServer) -> asyncio.Task[CloseReport]:
    """Begin to close; return when the server has stopped."""
    task = asyncio.create_task(server.close())
    await until(lambda: server.core.state.name != "OPEN")
    return task


class Told:
    """An application that tells what becomes of it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.begun = asyncio.Event()
        self.app = web.Application()
        self.app.router.add_get("/", self.quick)
        self.app.router.add_get("/stuck", self.stuck)
        self.managed = ""
        self.app.cleanup_ctx.append(self.context)
        self.app.cleanup_ctx.append(self.manager)
        self.app.on_startup.append(self.signal("on_startup"))
        self.app.on_shutdown.append(self.signal("on_shutdown"))
        self.app.on_cleanup.append(self.signal("on_cleanup"))

    def signal(self, name: str) -> Any:
        async def called(app: web.Application) -> None:
            self.lines.append(name)

        return called

    async def context(self, app: web.Application) -> AsyncIterator[None]:
        self.lines.append("enter")
        yield
        await asyncio.sleep(0)
        self.lines.append("leave")

    @contextlib.asynccontextmanager
    async def manager(self, app: web.Application) -> AsyncIterator[None]:
        await asyncio.sleep(0)
        yield
        await asyncio.sleep(0)
        self.managed = "left"

    async def quick(self, request: web.Request) -> web.Response:
        return web.Response(text="quick")

    async def stuck(self, request: web.Request) -> web.Response:
        self.begun.set()
        await asyncio.Event().wait()
        raise AssertionError


WHOLE = ["enter", "on_startup", "on_shutdown", "leave", "on_cleanup"]


async def listening(app: web.Application, *, tls: bool = False, **settings: Any) -> tuple[web.AppRunner, Place]:
    runner = web.AppRunner(app, **settings)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_context() if tls else None)
    await site.start()
    return runner, Place(site.port, tls=tls)


def refused(place: Place) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", place.where)) != 0
