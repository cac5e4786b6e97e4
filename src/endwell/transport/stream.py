"""A connected byte stream: an `asyncio.Protocol` that is a resource (closing.md, "How it is built", 8).

The protocols of layer 3 inherit from it instead of standing on it: one Python call less for each read and each write.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from endwell.lifetime import Event, Resource, State
from endwell.lifetime.resource import transition

if TYPE_CHECKING:
    import ssl

__all__ = ("Stream",)


class Stream(Resource, asyncio.Protocol):
    """One transport, from `connection_made` to `connection_lost`.

    Owned by the connector or the server; it ends when the loop has given the socket back to the operating system.

    Attributes:
        held: whether the last write that went to a `Cork` is still there, or will never leave it.

    """

    __slots__ = ("_gone", "_writable", "held", "loop", "transport")

    kind = "connection"

    def __init__(self, owner: Resource, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(owner)
        self.loop = loop
        self.transport: asyncio.Transport | None = None
        self.held = False
        self._gone: asyncio.Future[None] | None = None
        self._writable: list[asyncio.Future[None]] | None = None
        """Those who wait for the peer to read; None when the transport takes more."""

    # What the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self.transport = transport  # type: ignore[assignment]  # the loops give what has the methods of Transport

    def pause_writing(self) -> None:
        """Note that the peer reads slower than we write."""
        if self._writable is None:
            self._writable = []

    def resume_writing(self) -> None:
        """Let the writer go on."""
        waiting, self._writable = self._writable, None
        for waiter in tuple(waiting or ()):
            if not waiter.done():
                waiter.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that nothing is left of the socket."""
        self.resume_writing()
        self.ended()
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    # What the owner of the stream calls

    async def writable(self) -> None:
        """Return when the transport takes more bytes.

        Raises:
            ConnectionResetError: the connection is gone.

        """
        if self._writable is not None:
            waiter = self.loop.create_future()  # one for each who waits: the cancellation of one is not that of all
            waiting = self._writable
            waiting.append(waiter)
            try:
                await waiter
            finally:
                waiting.remove(waiter)
        if self.state is State.CLOSED:
            message = "The connection was lost while sending"
            raise ConnectionResetError(message)

    def close(self) -> None:
        """Send what is buffered, say goodbye (TLS), close; `gone` tells when it is done."""
        transport = self.transport
        if transport is None or self.state in (State.CLOSED, State.FOREIGN):
            return
        self.state = transition(self.state, Event.STOP)
        if not self.loop.is_running():
            self.discard()  # nobody is left to say goodbye to the peer
        elif not transport.is_closing():
            transport.close()

    def discard(self) -> None:
        """Close without ceremony: what is buffered is lost."""
        transport = self.transport
        if transport is None or self.state in (State.CLOSED, State.FOREIGN):
            return
        self.state = transition(self.state, Event.STOP)
        if self.loop.is_running():
            transport.abort()
        elif _take_away(transport, self.loop):
            if not self.loop.is_closed():
                self.loop.call_soon(self.connection_lost, None)  # as the transport would, should the loop run again
        elif not self.loop.is_closed():
            transport.abort()

    def write_failed(self, error: Exception) -> None:
        """Note that the transport would not take what a `Cork` had for it: there is no telling what it has sent."""
        self.discard()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Ask the transport (see `asyncio.BaseTransport.get_extra_info`)."""
        if self.transport is None:
            return default
        try:
            return self.transport.get_extra_info(name, default)
        except (OSError, ValueError):  # uvloop asks the socket for its addresses, also when it is closed
            return default

    @property
    def connected(self) -> bool:
        """Whether there is a transport that is not being closed."""
        return self.transport is not None and not self.transport.is_closing()

    @property
    def peername(self) -> Any:
        """The address of the peer as the socket gives it, None when it is not known."""
        return self.get_extra_info("peername")

    @property
    def sockname(self) -> Any:
        """Our own address as the socket gives it, None when it is not known."""
        return self.get_extra_info("sockname")

    @property
    def ssl_context(self) -> ssl.SSLContext | None:
        """What TLS was set up with, None for a connection without TLS."""
        context: ssl.SSLContext | None = self.get_extra_info("sslcontext")
        return context

    def force_close(self) -> None:
        """Close; aiohttp's other name for `close`."""
        self.close()

    # What the closing walk calls

    def ending(self) -> bool:
        """See `Resource.ending`."""
        return self.transport is None or self.transport.is_closing()

    def gone(self) -> asyncio.Future[None] | None:
        """See `Resource.gone`."""
        if self.state is State.CLOSED or self.transport is None:
            return None
        if self._gone is None:
            self._gone = self.loop.create_future()
        return self._gone

    async def _finish(self) -> None:
        gone = self.gone()
        if gone is not None:
            self.close()
            await gone

    def _abort(self, reason: str) -> None:
        self.discard()

    def _inherited(self) -> None:
        # To close it, or to let it be collected, would take the parent's sockets out of the selector both share.
        if self.transport is not None:
            _foreign.append(self.transport)
            self.transport = None


_foreign: list[asyncio.Transport] = []
"""In a forked child: the transports of the parent, kept for as long as the child lives."""


def _take_away(transport: Any, loop: Any) -> bool:
    """Close the socket of a transport of asyncio whose loop does not run, and may never run again (closing.md C15).

    Such a transport can be freed only by a pass of its loop; that of a closed loop keeps its socket, and warns of it
    when it is collected. There is no public way to the socket (it lies below the layers of TLS), so this reads private
    attributes; where one is missing nothing is done and False returned. uvloop has none of them: it closes its sockets
    with the loop.
    """
    while (layer := getattr(transport, "_ssl_protocol", None)) is not None:
        transport._closed = True  # keeps the finaliser silent
        transport = getattr(layer, "_transport", None)
    sock = getattr(transport, "_sock", None)
    lost = getattr(transport, "_conn_lost", None)
    if sock is None or lost is None:
        return False
    if not loop.is_closed():
        if lost or not hasattr(loop, "_remove_reader"):
            return False  # its last pass is on the loop's list already, and would miss the socket
        loop._remove_reader(sock.fileno())
        loop._remove_writer(sock.fileno())
    transport._closing = True
    transport._conn_lost = lost + 1  # as after `abort`: what is still on the loop's list returns at once
    transport._sock = None
    sock.close()
    return True
