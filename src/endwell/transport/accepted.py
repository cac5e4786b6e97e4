"""A stream that a listener has accepted. `connection.serving` inherits from it; `transport.listener` makes them."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Final

from endwell.lifetime import Resource, State
from endwell.transport.stream import Stream

__all__ = ("Accepted",)

_INTERNET: Final = (socket.AF_INET, socket.AF_INET6)


class Accepted(Stream):
    """One accepted connection.

    Attributes:
        below: the transport of the socket itself, when `transport` speaks TLS over it.

    """

    __slots__ = ("below",)

    def __init__(self, owner: Resource, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(owner, loop)
        self.below: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport; of what was accepted as the server stopped nothing is left."""
        super().connection_made(transport)
        if self.owner is None or self.owner.state is not State.OPEN:
            self.discard()

    @property
    def connected(self) -> bool:
        """See `Stream.connected`; the TLS of asyncio learns only in a later pass that the socket below it is gone."""
        below = self.below
        return super().connected and (below is None or not below.is_closing())

    def unsent(self) -> int:
        """Give the number of bytes that the operating system has not taken yet."""
        transport = self.transport
        if transport is None or self.state is State.CLOSED:
            return 0
        size = transport.get_write_buffer_size()
        if self.below is not None:
            size += self.below.get_write_buffer_size()  # the layer of TLS does not count what it has handed down
        return size

    def reset(self) -> None:
        """Close in such a way that the peer cannot take it for an orderly end (RST; over TLS no close_notify)."""
        sock = self.get_extra_info("socket")
        if sock is not None and sock.family in _INTERNET:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.discard()

    def gone(self) -> asyncio.Future[None] | None:
        """See `Resource.gone`; a socket that the loop has accepted is there before `connection_made` is called."""
        if self.state in (State.CLOSED, State.FOREIGN):
            return None
        if self._gone is None:
            self._gone = self.loop.create_future()
        return self._gone

    async def _finish(self) -> None:
        if self.transport is not None:
            await super()._finish()
