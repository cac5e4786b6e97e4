"""The one contract that everything goes through that must end (closing.md, "How it is tested").

A situation is a resource in some state, with a peer that behaves in some way: `SITUATIONS` names them, `arrange` makes
one. `tests/lifetime/test_contract.py` closes each of them in every way there is; `cancelled_at` drives a closing up to
one of its suspensions and cancels it there.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from pathlib import Path
from typing import Any

import pytest

import endwell
from endwell.connection.http1 import ClientConnection
from endwell.lifetime.closing import finish_one
from endwell.transport.resolver import AsyncResolver, ThreadedResolver
from tests.support.closing import client_sockets, fetch, passes, trusting, until
from tests.support.peer import PeerConnection, ScriptedPeer, full_backlog, unix_path
from tests.support.tls import server_context

MANNERS = ("polite", "silent", "gone")
BRIEFLY = 0.02  # seconds that closings of busy things are given: nothing here would end by itself


class Subject:
    """A resource in some state.

    Attributes:
        close: closes it; after that nothing is left of it.
        rest: closes what it hangs on (its session, its connector).
        tasks: of the user's, that wait for something it does.

    """

    def __init__(
        self,
        close: Callable[[], Awaitable[Any]],
        rest: Callable[[], Awaitable[Any]] | None = None,
        tasks: tuple[asyncio.Task[Any], ...] = (),
    ) -> None:
        self.close = close
        self.rest = rest
        self.tasks = tasks


class Stage:
    """Where a situation is arranged: a peer with its manners, and what makes sessions that can reach it."""

    def __init__(self, manners: str, *, tls: bool, directory: Path) -> None:
        self.manners = manners
        self.tls = tls
        self.directory = directory
        self.leaving = asyncio.Event()
        self.over = asyncio.Event()
        self.places: list[int | str] = []
        self.asked: list[str] = []
        self.others: list[str] = []
        self.watched: list[Callable[[], list[str]]] = []
        self.stack = contextlib.AsyncExitStack()

    async def peer(self, **how: Any) -> ScriptedPeer:
        """Start a peer."""
        context = server_context() if self.tls and "path" not in how else None
        peer = await self.stack.enter_async_context(ScriptedPeer(self._behave, **{"tls": context} | how))
        self.places.append(how.get("path") or peer.port)
        return peer

    def session(self, **kwargs: Any) -> endwell.ClientSession:
        """Make a session that gives up on what is busy after `BRIEFLY`."""
        if "connector" not in kwargs:
            kwargs["connector"] = trusting(self.tls)
        return endwell.ClientSession(close_timeout=BRIEFLY, **kwargs)

    def left(self) -> list[str]:
        """Give the client's sockets, or what is watched instead: the server's."""
        if self.watched:
            return [each for watch in self.watched for each in watch()]
        return [each for each in client_sockets(*self.places) if each not in self.others]

    async def _behave(self, conn: PeerConnection) -> None:
        """Answer ``/``; begin to answer ``/half``; say nothing to anything else. Then have manners."""
        while True:
            request = await conn.read_head()
            self.asked.append(request.target)
            if request.target == "/":
                await conn.answer()
                if self.manners == "polite":
                    continue
            elif request.target == "/half":
                await conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nbegun")
            break
        if self.manners == "polite":
            await conn.closed_by_client()
        elif self.manners == "silent":
            await self.over.wait()
        else:
            await self.leaving.wait()
            conn.reset()


Situation = Callable[[Stage], Coroutine[Any, Any, Subject]]


async def session_new(stage: Stage) -> Subject:
    """Nothing was asked yet."""
    return Subject(stage.session().close)


async def session_idle(stage: Stage) -> Subject:
    """A connection lies in the pool."""
    session, peer = stage.session(), await stage.peer()
    await fetch(session, peer.url())
    return Subject(session.close)


async def session_busy(stage: Stage) -> Subject:
    """One task waits for an answer, another for a connection."""
    session, peer = stage.session(connector=trusting(stage.tls, limit=1)), await stage.peer()
    asking = asyncio.create_task(fetch(session, peer.url("/never")))
    waiting = asyncio.create_task(fetch(session, peer.url("/never")))
    await until(lambda: "/never" in stage.asked)
    return Subject(session.close, tasks=(asking, waiting))


async def connector_tcp(stage: Stage) -> Subject:
    """A connector that its session does not own, with a connection in its pool."""
    connector, peer = trusting(stage.tls), await stage.peer()
    session = stage.session(connector=connector, connector_owner=False)
    await fetch(session, peer.url())

    async def close() -> None:
        await connector.close()

    return Subject(close, session.close)


async def connector_unix(stage: Stage) -> Subject:
    """The same over a Unix socket."""
    path = unix_path(stage.directory)
    await stage.peer(path=path)
    connector = endwell.UnixConnector(path)
    session = stage.session(connector=connector, connector_owner=False)
    await fetch(session, "http://localhost/")

    async def close() -> None:
        await connector.close()

    return Subject(close, session.close)


def _only_connection(session: endwell.ClientSession) -> ClientConnection:
    assert session.connector is not None
    (connection,) = session.connector._core.children or ()
    assert isinstance(connection, ClientConnection)
    return connection


async def connection_idle(stage: Stage) -> Subject:
    """The connection itself, in the pool."""
    session, peer = stage.session(), await stage.peer()
    await fetch(session, peer.url())
    connection = _only_connection(session)
    return Subject(lambda: finish_one(connection, BRIEFLY), session.close)


async def connection_busy(stage: Stage) -> Subject:
    """The connection itself, in the middle of a response."""
    session, peer = stage.session(), await stage.peer()
    response = await session.get(peer.url("/half"))
    connection = _only_connection(session)

    async def rest() -> None:
        response.close()
        await session.close()

    return Subject(lambda: finish_one(connection, BRIEFLY), rest)


async def connection_opening(stage: Stage) -> Subject:
    """A connection that will never be open: no answer to the SYN, or to the TLS hello."""
    session = stage.session()
    if stage.tls:
        peer = await stage.peer(tls=None)
        url = f"https://127.0.0.1:{peer.port}/"
        asking = asyncio.create_task(fetch(session, url))
        await until(stage.left)
    else:
        port = stage.stack.enter_context(full_backlog())
        stage.others = stage.left()
        asking = asyncio.create_task(fetch(session, f"http://127.0.0.1:{port}/"))
        await passes(5)
    return Subject(session.close, tasks=(asking,))


async def response_begun(stage: Stage) -> Subject:
    """A response whose body has only begun to come."""
    session, peer = stage.session(), await stage.peer()
    response = await session.get(peer.url("/half"))
    await response.content.readany()
    return Subject(response.wait_for_close, session.close)


async def upload(stage: Stage) -> Subject:
    """The body of a request never comes to its end."""
    session, peer = stage.session(), await stage.peer()

    async def endless() -> AsyncIterator[bytes]:
        yield b"begun"
        await asyncio.Event().wait()

    async def post() -> None:
        async with session.post(peer.url("/never"), data=endless()):
            pass

    posting = asyncio.create_task(post())
    await until(lambda: "/never" in stage.asked)
    return Subject(session.close, tasks=(posting,))


async def owned_task(stage: Stage) -> Subject:
    """A task of the session's, that never ends by itself and takes a while to."""
    session = stage.session()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await passes()

    session.create_task(work())
    await passes()
    return Subject(session.close)


async def resolver_threaded(stage: Stage) -> Subject:
    """A lookup in a thread."""
    resolver = ThreadedResolver()
    asking = asyncio.create_task(resolver.resolve("localhost", 80, socket.AF_INET))
    await asyncio.sleep(0)
    return Subject(resolver.close, tasks=(asking,))


async def resolver_async(stage: Stage) -> Subject:
    """A question to a DNS server that does not answer."""
    server = stage.stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    server.bind(("127.0.0.1", 0))
    stage.others = stage.left()
    resolver = AsyncResolver(nameservers=[f"127.0.0.1:{server.getsockname()[1]}"], lookups="b", timeout=30)
    asking = asyncio.create_task(resolver.resolve("a.example", 80, socket.AF_INET))
    await passes(5)
    return Subject(resolver.close, tasks=(asking,))


async def connector_shared(stage: Stage) -> Subject:
    """Two sessions own one connector; the one that is closed last is busy."""
    connector, peer = trusting(stage.tls), await stage.peer()
    first, second = stage.session(connector=connector), stage.session(connector=connector)
    asking = asyncio.create_task(fetch(second, peer.url("/never")))
    await until(lambda: "/never" in stage.asked)

    async def close() -> None:
        await first.close()
        await second.close()

    return Subject(close, second.close, tasks=(asking,))


SITUATIONS: tuple[Situation, ...] = (
    session_new, session_idle, session_busy, connector_tcp, connector_unix, connector_shared, connection_idle,
    connection_busy, connection_opening, response_begun, upload, owned_task, resolver_threaded, resolver_async,
)  # fmt: skip
WITHOUT_PEER = (session_new, owned_task, resolver_threaded, resolver_async)
WITHOUT_TLS = (*WITHOUT_PEER, connector_unix)
WITHOUT_FACE = (connection_idle, connection_busy, resolver_threaded, resolver_async)
"""What no user holds, or what has no finaliser: a resolver is closed by its connector."""


def each(*manners: str, alone: bool = True, faceless: bool = True) -> pytest.MarkDecorator:
    """Parametrize a test by `situation` and `tls`, and by `manners` when some are given; impossible cases are left out.

    What has no peer (left out with ``alone=False``) meets only the first of the manners. `faceless=False` leaves out
    what nobody can forget.
    """
    from tests.support import contract_server as server  # its situations are made on our stage

    without_peer = WITHOUT_PEER + server.WITHOUT_PEER
    cases = []
    for situation in SITUATIONS + server.SITUATIONS:
        if not alone and situation in without_peer:
            continue
        if not faceless and situation in WITHOUT_FACE + server.WITHOUT_FACE:
            continue
        for tls in (False, True):
            if situation in (WITHOUT_TLS + server.WITHOUT_TLS if tls else server.ONLY_WITH_TLS):
                continue
            name = f"{situation.__name__}{'-tls' if tls else ''}"
            met = manners[:1] if situation in without_peer else manners
            cases += [pytest.param(situation, tls, each, id=f"{name}-{each}") for each in met]
            if not manners:
                cases.append(pytest.param(situation, tls, id=name))
    return pytest.mark.parametrize(("situation", "tls", "manners") if manners else ("situation", "tls"), cases)


@contextlib.asynccontextmanager
async def staged(manners: str, *, tls: bool) -> AsyncIterator[Stage]:
    """Give a stage; its peers are gone afterwards."""
    with tempfile.TemporaryDirectory() as directory:
        stage = Stage(manners, tls=tls, directory=Path(directory))
        async with stage.stack:
            try:
                yield stage
            finally:
                stage.over.set()
                stage.leaving.set()


class cancelled_at:  # noqa: N801 # reads as a verb where it is awaited
    """Await a coroutine and cancel the task at its `number`-th suspension; `reached` tells whether there was one."""

    def __init__(self, coro: Coroutine[Any, Any, Any], number: int) -> None:
        self._coro = coro
        self._number = number
        self.reached = False

    def __await__(self) -> Generator[Any, None, Any]:
        inner = self._coro.__await__()
        task = asyncio.current_task()
        assert task is not None
        count = 0
        step: Callable[[], Any] = lambda: inner.send(None)  # noqa: E731 # it changes with what came
        while True:
            try:
                future = step()
            except StopIteration as end:
                return end.value
            if count == self._number:
                self.reached = True
                task.cancel("by the test")
            count += 1
            try:
                yield future
            except BaseException as error:
                step = lambda error=error: inner.throw(error)  # type: ignore[misc]  # noqa: E731 # as above
            else:
                step = lambda: inner.send(None)  # noqa: E731 # as above


async def settled(subject: Subject) -> None:
    """Await the user's tasks, whatever became of them, and close what is left around the subject."""
    if subject.rest is not None:
        await subject.rest()
    await asyncio.gather(*subject.tasks, return_exceptions=True)
