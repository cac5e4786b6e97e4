"""What the tests of the closing contract share: places where an exchange can be, and what is left of a client.

Everything runs in one process, so that a socket says by its peer's address whose end it is: `client_sockets` counts the
ends of the client and not those of the server beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import socket
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

import endwell
from tests.support.echo import EchoServer, Reply, Request
from tests.support.leaks import open_fds
from tests.support.tls import client_context, server_context

TLS = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
BIG = 4 * 1024 * 1024  # more than the buffers of two sockets and a stream hold


def client_sockets(*servers: int | str) -> list[str]:
    """Return the sockets of this process that are connected, or being connected, to one of these ports or paths."""
    found = []
    for number, target in open_fds().items():
        if not target.startswith("socket:"):
            continue
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(number)) as sock:
            try:
                peer: Any = sock.getpeername()
            except OSError:
                # On its way; or reset by the other side, and then the server's own when it has the server's port.
                if sock.family == socket.AF_INET and sock.getsockname()[1] not in servers:
                    found.append(f"{target} without a peer")
                continue
            if (peer[1] if isinstance(peer, tuple) else peer) in servers:
                found.append(f"{target} to {peer}")
    return found


async def passes(number: int = 3) -> None:
    """Let the loop go round."""
    for _ in range(number):
        await asyncio.sleep(0)


async def until(condition: Callable[[], Any]) -> None:
    """Let the loop go round until something holds; the suite's guard against hanging ends what never does."""
    while not condition():
        await asyncio.sleep(0)


def line(offset: int = 0) -> str:
    """Return ``file:line`` of the caller, as reports write it."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return f"{frame.f_back.f_code.co_filename}:{frame.f_back.f_lineno + offset}"


@contextlib.contextmanager
def lost_exceptions() -> Iterator[list[dict[str, Any]]]:
    """Collect what goes to the exception handler of the running loop."""
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    found: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: found.append(context))
    try:
        yield found
    finally:
        loop.set_exception_handler(before)


@contextlib.contextmanager
def resource_warnings() -> Iterator[list[str]]:
    """Collect the texts of the ResourceWarnings of endwell."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        yield texts
    texts += [str(each.message) for each in caught if issubclass(each.category, ResourceWarning)]


class Server(EchoServer):
    """The echo server, with bodies that stand still until `release` is set, and a count of the client's ends.

    ``/stuck`` sends head and first half of a body and waits; ``/big`` sends more than all buffers hold; ``/sink`` reads
    a body of any size as it comes and answers its length.
    """

    def __init__(self, *, tls: bool = False, path: str | None = None) -> None:
        async def stuck(request: Request) -> Reply:
            async def halves() -> AsyncIterator[bytes]:
                yield b"first,"
                await self.release.wait()
                yield b"second"

            return Reply(halves())

        super().__init__(
            {"/stuck": stuck, "/big": lambda _: Reply(bytes(BIG)), "/sink": lambda r: Reply(str(len(r.body)))},
            tls=server_context() if tls else None,
            path=path,
        )

    def client_ends(self) -> list[str]:
        """Return the client's sockets to this server."""
        return client_sockets(self.path if self.path is not None else self.port)


def trusting(tls: bool = True, **kwargs: Any) -> endwell.TCPConnector:
    """Make a connector that trusts the servers of the tests."""
    return endwell.TCPConnector(ssl=client_context() if tls else True, **kwargs)


@contextlib.asynccontextmanager
async def serving(*, tls: bool = False) -> AsyncIterator[Server]:
    """Give a server; whatever it still holds is let go at the end."""
    async with Server(tls=tls) as server:
        try:
            yield server
        finally:
            server.release.set()


async def fetch(session: endwell.ClientSession, url: str, **kwargs: Any) -> bytes:
    """Get a body."""
    async with session.get(url, **kwargs) as response:
        return await response.read()


async def outcome(task: Awaitable[Any]) -> Any:
    """Await a task and return its result or its exception."""
    return (await asyncio.gather(task, return_exceptions=True))[0]
