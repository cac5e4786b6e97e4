"""Small real servers and clients for the tests of this package."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

from tests.support.accepting import Accepting


class Recorder(asyncio.Protocol):
    """A client protocol that writes down what the loop tells it."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.received = bytearray()
        self.error: Exception | None = None
        self.on_end: Callable[[], None] | None = None
        loop = asyncio.get_running_loop()
        self.got_data = loop.create_future()
        self.lost = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.events.append("made")

    def data_received(self, data: bytes) -> None:
        self.received += data
        if not self.got_data.done():
            self.got_data.set_result(None)

    def eof_received(self) -> None:
        self.events.append("eof")

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append("lost")
        self.error = exc
        if self.on_end is not None:
            self.on_end()
        self.lost.set_result(None)


class Silent(asyncio.Protocol):
    """A peer that accepts and says nothing."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport


class Answering(Silent):
    """A peer that answers every read with ``ok``."""

    def data_received(self, data: bytes) -> None:
        self.transport.write(b"ok")


@contextlib.asynccontextmanager
async def serving(
    factory: Callable[[], Any], *, context: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[int]:
    """Serve on a free port of loopback and yield the port; every connection is aborted at the end."""
    peers: list[Any] = []

    def make() -> Any:
        peers.append(factory())
        return peers[-1]

    async with Accepting(make, tls=context, host=host) as accepting:
        try:
            yield accepting.port
        finally:
            for peer in peers:
                if getattr(peer, "transport", None) is not None:
                    peer.transport.abort()
            await passes()


async def passes(count: int = 3) -> None:
    """Let the loop turn."""
    for _ in range(count):
        await asyncio.sleep(0)
