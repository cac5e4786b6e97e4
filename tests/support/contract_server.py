"""The resources of the server in the contract of `tests.support.contract`: the peer is a client, with its manners.

A polite one closes when the server does; a silent one reads nothing any more; one that is gone resets its connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from endwell import web
from endwell.connection import serving
from endwell.connection.serving import ServerConnection
from endwell.lifetime import Origin, Owner, Starter, close
from endwell.lifetime.closing import finish_one
from endwell.server.core import ServerCore
from tests.support.closing import passes, until
from tests.support.contract import BRIEFLY, Situation, Stage, Subject
from tests.support.leaks import open_fds
from tests.support.peer import unix_path
from tests.support.tls import server_context
from tests.support.visitor import Place, Visitor, request

HERE = Origin(None, 0)
BODY = 8 * 1024 * 1024


def server_sockets(where: int | str) -> list[str]:
    """Return the sockets of this process that are bound to a port or a path: listening, or accepted there."""
    found = []
    for number, target in open_fds().items():
        if target.startswith("socket:"):
            with contextlib.suppress(OSError), socket.socket(fileno=socket.dup(number)) as sock:
                name: Any = sock.getsockname()
                if (name[1] if isinstance(name, tuple) else name) == where:
                    found.append(f"{target} at {name}")
    return found


class Served:
    """A runner, and what its clients do."""

    def __init__(self, stage: Stage, runner: web.AppRunner) -> None:
        self.stage = stage
        self.runner = runner
        self.begun: list[str] = []

    @property
    def core(self) -> ServerCore:
        core = self.runner.server
        assert core is not None
        return core

    async def stuck(self, request: web.Request) -> web.Response:
        self.begun.append(request.path)
        await asyncio.Event().wait()
        raise AssertionError

    async def early(self, request: web.Request) -> web.Response:
        return web.Response(text="early")

    async def upload(self, request: web.Request) -> web.Response:
        self.begun.append(request.path)
        return web.Response(body=await request.read())

    async def big(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        self.begun.append(request.path)
        await response.write(bytes(BODY))
        return response

    async def events(self, request: web.Request) -> web.StreamResponse:
        async with web.event_stream(request) as events:
            self.begun.append(request.path)
            await asyncio.Event().wait()
        return events

    def connection(self) -> ServerConnection:
        """Give the only connection there is."""
        (connection,) = self.core.connections
        return connection

    async def cleanup(self) -> None:
        await self.runner.cleanup()


async def serve(stage: Stage, *, unix: bool = False) -> tuple[Served, Place]:
    """Set a server up, and have it listen."""
    patch = stage.stack.enter_context(pytest.MonkeyPatch.context())
    patch.setattr(serving, "_FAREWELL", BRIEFLY)
    app = web.Application()
    runner = web.AppRunner(app, shutdown_timeout=BRIEFLY, access_log=None)
    served = Served(stage, runner)
    app.add_routes(
        [
            web.get("/stuck", served.stuck),
            web.get("/big", served.big),
            web.get("/events", served.events),
            web.get("/", served.early),
            web.post("/early", served.early),
            web.post("/upload", served.upload),
        ]
    )
    await runner.setup()
    context = server_context() if stage.tls else None
    where: int | str
    if unix:
        where = unix_path(stage.directory)
        await web.UnixSite(runner, where, ssl_context=context).start()
    else:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        where = site.port
    stage.watched.append(lambda: server_sockets(where))
    return served, Place(where, tls=stage.tls)


async def visit(stage: Stage, place: Place, asked: bytes, *, answered: bool = False) -> None:
    """Have a client ask something, and behave from then on."""
    visitor = await stage.stack.enter_async_context(Visitor(place))
    visitor.send(asked)
    if answered:
        await visitor.answer()

    async def behave() -> None:
        if stage.manners == "polite":
            await visitor.ended()
            visitor.writer.close()
        elif stage.manners == "silent":
            visitor.deaf()
        else:
            await stage.leaving.wait()
            sock = visitor.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            visitor.writer.transport.abort()

    task = asyncio.create_task(behave())

    async def end() -> None:
        task.cancel()
        await asyncio.wait([task])

    stage.stack.push_async_callback(end)
    await asyncio.sleep(0)


@contextlib.contextmanager
def silent(place: Place) -> Iterator[None]:
    """Give a client that has connected, and says nothing."""
    with socket.create_connection(("127.0.0.1", int(place.where))):
        yield


async def server_set_up(stage: Stage) -> Subject:
    """It does not listen."""
    runner = web.AppRunner(web.Application())
    await runner.setup()
    return Subject(runner.cleanup)


async def server_listening(stage: Stage) -> Subject:
    """Nobody has come."""
    served, _ = await serve(stage)
    return Subject(served.runner.cleanup)


async def server_unix(stage: Stage) -> Subject:
    """A connection idles on a Unix socket."""
    served, place = await serve(stage, unix=True)
    await visit(stage, place, request(), answered=True)
    return Subject(served.runner.cleanup)


async def server_idle(stage: Stage) -> Subject:
    """A connection idles."""
    served, place = await serve(stage)
    await visit(stage, place, request(), answered=True)
    return Subject(served.runner.cleanup)


async def _begun(stage: Stage, asked: bytes) -> Subject:
    served, place = await serve(stage)
    await visit(stage, place, asked)
    await until(lambda: served.begun)
    return Subject(served.runner.cleanup)


async def server_busy(stage: Stage) -> Subject:
    """A handler that does not end."""
    return await _begun(stage, request("/stuck"))


async def server_uploading(stage: Stage) -> Subject:
    """A body that does not come to its end."""
    return await _begun(stage, request("/upload", "POST", "Content-Length: 100") + b"begun")


async def server_sending(stage: Stage) -> Subject:
    """An answer that is more than the buffers hold."""
    return await _begun(stage, request("/big"))


async def server_events(stage: Stage) -> Subject:
    """A stream of events."""
    return await _begun(stage, request("/events"))


async def server_lingering(stage: Stage) -> Subject:
    """A client that was answered, and has not sent all that it announced."""
    served, place = await serve(stage)
    await visit(stage, place, request("/early", "POST", "Content-Length: 1000000"))
    await until(lambda: served.core.served)
    return Subject(served.runner.cleanup)


async def server_task(stage: Stage) -> Subject:
    """A task of the application's."""
    served, _ = await serve(stage)
    served.runner.app.create_task(asyncio.Event().wait())
    await passes()
    return Subject(served.runner.cleanup)


async def server_handshake(stage: Stage) -> Subject:
    """A client that says nothing in the TLS handshake."""
    served, place = await serve(stage)
    stage.stack.enter_context(silent(place))
    await until(lambda: [node for node in served.core.children or () if node.kind == "TLS handshake"])
    return Subject(served.runner.cleanup)


async def listener(stage: Stage) -> Subject:
    """The listener itself, with a connection that it has accepted."""
    served, place = await serve(stage)
    await visit(stage, place, request(), answered=True)
    (node,) = [node for node in served.core.children or () if node.kind == "listener"]
    return Subject(lambda: finish_one(node, 0), served.cleanup)


async def handshake(stage: Stage) -> Subject:
    """The handshake itself."""
    served, place = await serve(stage)
    stage.stack.enter_context(silent(place))
    await until(lambda: [node for node in served.core.children or () if node.kind == "TLS handshake"])
    (node,) = [node for node in served.core.children or () if node.kind == "TLS handshake"]
    return Subject(lambda: finish_one(node, BRIEFLY), served.cleanup)


def _itself(asked: bytes, *, answered: bool = False) -> Callable[[Stage], Awaitable[Subject]]:
    async def connection(stage: Stage) -> Subject:
        served, place = await serve(stage)
        await visit(stage, place, asked, answered=answered)
        await until(lambda: served.core.served)
        node = served.connection()
        return Subject(lambda: finish_one(node, BRIEFLY), served.cleanup)

    return connection


async def served_idle(stage: Stage) -> Subject:
    """The connection itself, between two requests."""
    return await _itself(request(), answered=True)(stage)


async def served_busy(stage: Stage) -> Subject:
    """The connection itself, while a handler is at work."""
    return await _itself(request("/stuck"))(stage)


async def served_sending(stage: Stage) -> Subject:
    """The connection itself, in the middle of an answer."""
    return await _itself(request("/big"))(stage)


async def served_lingering(stage: Stage) -> Subject:
    """The connection itself, after its last answer."""
    return await _itself(request("/early", "POST", "Content-Length: 1000000"))(stage)


async def spare_task(stage: Stage) -> Subject:
    """What handlers take their first step in."""
    owner = Owner(asyncio.get_running_loop(), close_timeout=BRIEFLY, advice="")
    starter = Starter(owner)
    await asyncio.sleep(0)

    async def end() -> None:
        await asyncio.wait([starter.end()])

    async def rest() -> None:
        await end()
        await close(owner, timeout=0, at=HERE)

    return Subject(end, rest)


SITUATIONS: tuple[Situation, ...] = (
    server_set_up, server_listening, server_unix, server_idle, server_busy, server_uploading, server_sending,
    server_events, server_lingering, server_task, server_handshake, listener, handshake, served_idle, served_busy,
    served_sending, served_lingering, spare_task,
)  # fmt: skip
WITHOUT_PEER = (server_set_up, server_listening, server_task, spare_task)
WITHOUT_TLS = (server_set_up, spare_task)
ONLY_WITH_TLS = (server_handshake, handshake)
WITHOUT_FACE = tuple(each for each in SITUATIONS if each is not server_set_up)
"""What listens is kept by its loop until that ends; the rest no user holds."""
