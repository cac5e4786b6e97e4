"""What tests of streams share: wires, sizes, a body that counts what is asked of it, when nothing moves any more."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import pytest

import endwell
from endwell.server.exchange import Exchange
from tests.support.serving import RunningServer
from tests.support.tls import client_context, server_context

WIRES = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
FRAMINGS = pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
BUFFER: Final = 2**14
"""What the servers here take of a body before a handler reads it."""

READ: Final = 2**19
"""Bytes that may come on top of any limit: what a loop reads at once, and as much again that TLS had held back."""

PIECE: Final = 10_000
ENDLESS: Final = 64 * 2**20
"""Bytes that do not fit into any buffers on the way, those of the kernel included."""


def context(*, tls: bool) -> ssl.SSLContext | None:
    return server_context() if tls else None


def session(**kwargs: Any) -> endwell.ClientSession:
    timeout = endwell.ClientTimeout(total=None, sock_read=None)
    connector = endwell.TCPConnector(ssl=client_context())
    return endwell.ClientSession(connector=connector, timeout=timeout, **kwargs)


class Sending:
    """A body of the client that counts the bytes that were asked of it."""

    def __init__(self, size: int, piece: bytes = b"p" * PIECE) -> None:
        self.sent = 0
        self.ended = False
        self._size = size
        self._piece = piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while self.sent < self._size:
                self.sent += len(self._piece)
                yield self._piece
        finally:
            self.ended = True


async def stands_still(*counters: Callable[[], int]) -> None:
    """Return when none of the counters moves any more, and each has moved."""
    before: list[int] = []
    while True:
        now = [counter() for counter in counters]
        if now == before and all(now):
            return
        before = now
        await asyncio.sleep(0.05)


def only(server: RunningServer) -> Exchange:
    """Give the one exchange that the server has."""
    (connection,) = server.core.connections
    assert isinstance(connection.exchange, Exchange)
    return connection.exchange
