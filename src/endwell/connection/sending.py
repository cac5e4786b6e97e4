"""The sending side of a WebSocket, in either role: whose turn it is, and how much waits for a slow peer.

The base of `connection.websocket.WebSocket`.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
from collections.abc import AsyncIterable, AsyncIterator, Awaitable
from typing import Any, Final, Protocol

from endwell.connection.writer import write_together
from endwell.wire.websocket import MessageWriter, WSCloseCode, WSMsgType

__all__ = ("Below", "Phase", "Sending")

_AT_ONCE: Final = 1024
"""Messages after which others have their turn, though the peer reads (see `connection.writer`)."""

_APART: Final = 16 * 1024
"""Bytes from which on a message and its head are handed to the transport one by one: to join them would be a copy."""

_OFF_LOOP: Final = 256 * 1024
"""Bytes from which on a message is compressed in a thread: this takes as long as a thousand small requests."""


class Phase(enum.Enum):
    """How far a WebSocket is from its end."""

    OPEN = "open"
    ASKED = "asked to close"
    """The peer has sent a close frame, and its answer is left to the user (``autoclose=False``)."""
    CLOSING = "closing"
    """Our close frame is sent, and the peer's is awaited."""
    ENDING = "ending"
    """Both close frames were sent, or the peer broke the protocol: the connection is to end."""
    CLOSED = "closed"


_OPEN: Final = Phase.OPEN


class Below(Protocol):
    """The connection below: of a client or of a server."""

    transport: asyncio.Transport | None
    loop: asyncio.AbstractEventLoop
    _writable: list[asyncio.Future[None]] | None
    """None while the transport takes more."""

    def describe(self) -> str:
        """One line for reports."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""

    def pause_writing(self) -> None:
        """The transport takes no more."""

    def resume_writing(self) -> None:
        """The transport takes more."""

    async def writable(self) -> None:
        """Return when the transport takes more."""

    def discard(self) -> None:
        """Close without ceremony."""

    def websocket_over(self, *, orderly: bool) -> None:
        """Both close frames were sent; or, not `orderly`, the peer broke the protocol and may go on sending."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Ask the transport."""


class Sending(asyncio.Protocol):
    """Sends messages, in their order, as fast as the peer reads.

    Attributes:
        below: the connection.
        reset: what a sender gets when it is too late.
        clear: nothing keeps a message from being sent at once.

    """

    __slots__ = (
        "_left",
        "_lock",
        "_message",
        "_owed",
        "_phase",
        "_turns",
        "_writer",
        "below",
        "clear",
        "loop",
        "reset",
        "transport",
    )

    def __init__(self, below: Below, writer: MessageWriter, reset: type[ConnectionError]) -> None:
        self.below = below
        self.loop = below.loop
        self.transport = below.transport
        self.reset = reset
        self._writer = writer
        self._message = writer.message
        self._phase = _OPEN
        self._left = _AT_ONCE
        self.clear = True
        self._lock: asyncio.Lock | None = None
        self._turns = 0
        """Who holds the lock, or waits for it."""
        self._owed: bytes | None = None
        """The last ping, to be answered when the peer reads: it would not let more of them pile up."""

    @property
    def open(self) -> bool:
        """Whether messages can be sent."""
        return self._phase is _OPEN

    def close(self, code: int, reason: bytes, *, timeout: float | None = None) -> None:
        """See `WebSocket.close`."""
        raise NotImplementedError

    def describe(self) -> str:
        """Say what it is doing, in a word."""
        return self._phase.value

    def _enter(self, phase: Phase) -> None:
        """Change the phase; none but the first lets messages be sent."""
        self._phase = phase
        self.clear = False
        for waiter in tuple(self.below._writable or ()):
            if not waiter.done():
                waiter.set_result(None)  # who waits to send is told that it is too late

    def pause_writing(self) -> None:
        """Note that the peer reads slower than we write."""
        self.clear = False
        self.below.pause_writing()

    def resume_writing(self) -> None:
        """Let those who send go on."""
        owed, self._owed = self._owed, None
        if owed is not None and self._phase is _OPEN:
            self._write(self._writer.control(WSMsgType.PONG, owed))
        self.below.resume_writing()
        self._clear()

    def send(self, opcode: int, payload: bytes, compress: int | bool | None = None) -> Awaitable[None] | None:
        """Send a message; return what is to be awaited for that, if there is something.

        Raises:
            ConnectionError: of the class `reset`: the WebSocket is closed, or closing.

        """
        size = len(payload)
        if self.clear and self._left and size < _OFF_LOOP:
            self._left -= 1
            if size >= _APART:
                self._write_parts(opcode, payload, compress)
                return None
            self.transport.write(self._message(opcode, payload, compress))  # type: ignore[union-attr]  # it is there while open
            return None
        if self._phase is not _OPEN:
            raise self._too_late()
        return self._send_in_turn(opcode, payload, compress)

    async def send_fragments(self, opcode: int, pieces: AsyncIterable[bytes]) -> None:
        """Send one message in fragments, each as it comes (RFC 6455 section 5.4); other messages wait for its end.

        On cancellation, and when `pieces` raises, the message can't be completed: the WebSocket is closed with 1011.
        """
        async with self._alone():
            await self._room()
            first, done = True, False
            try:
                async for piece in pieces:
                    self._write(self._writer.fragment(opcode, piece, first=first, last=False))
                    first = False
                    await self._room()
                self._write(self._writer.fragment(opcode, b"", first=first, last=True))
                done = True
            finally:
                if not done and not first:
                    self.close(WSCloseCode.INTERNAL_ERROR, b"")

    async def control(self, opcode: int, payload: bytes) -> None:
        """Send a ping or a pong.

        Raises:
            ValueError: over 125 bytes.

        """
        if self._phase is not _OPEN:
            raise self._too_late()
        frame = self._writer.control(opcode, payload)
        await self._room()
        self._write(frame)

    async def _send_in_turn(self, opcode: int, payload: bytes, compress: int | bool | None) -> None:
        """Send when it is our turn, and the peer reads; what takes long to compress is not to hold up the loop."""
        if not self._left:
            await asyncio.sleep(0)
            self._left = _AT_ONCE
        big = len(payload) >= _OFF_LOOP and self._writer.compresses(compress)
        if self._lock is None and not big:
            await self._room()
            self._write(self._message(opcode, payload, compress))
            return
        async with self._alone():
            await self._room()
            if not big:
                self._write(self._message(opcode, payload, compress))
                return
            done = False
            try:
                frame = await self.loop.run_in_executor(None, self._message, opcode, payload, compress)
                done = True
            finally:
                if not done:  # the next message would be compressed with what the peer does not have
                    self.close(WSCloseCode.INTERNAL_ERROR, b"")
            await self._room()
            self._write(frame)

    @contextlib.asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Keep others from sending in between."""
        if self._lock is None:
            self._lock = asyncio.Lock()
        self.clear = False
        self._turns += 1
        try:
            async with self._lock:
                yield
        finally:
            self._turns -= 1
            if not self._turns:
                self._lock = None
                self._clear()

    def _clear(self) -> None:
        self.clear = self._phase is _OPEN and self._lock is None and self.below._writable is None

    async def _room(self) -> None:
        """Return when the peer reads.

        Raises:
            ConnectionError: of the class `reset`.

        """
        while self._phase is _OPEN and self.below._writable is not None:
            try:
                await self.below.writable()
            except ConnectionError:
                break
        if self._phase is not _OPEN:
            raise self._too_late()

    def _write_parts(self, opcode: int, payload: bytes, compress: int | bool | None) -> None:
        """Write a long message."""
        transport = self.transport
        if transport is not None and not transport.is_closing():
            write_together(transport, self._writer.parts(opcode, payload, compress))

    def _write(self, data: bytes) -> None:
        transport = self.transport
        if transport is not None and not transport.is_closing():
            transport.write(data)

    def _too_late(self) -> ConnectionError:
        return self.reset("Cannot write to closing transport: the WebSocket is " + self._phase.value)

    def _pong(self, payload: bytes) -> None:
        """Answer a ping, now or when the peer reads."""
        if self.below._writable is not None:
            self._owed = payload
        else:
            self._write(self._writer.control(WSMsgType.PONG, payload))
