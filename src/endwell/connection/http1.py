"""An HTTP/1.1 connection in the client's role: drives `wire.http1` over a stream, one exchange at a time.

The exchange is told: ``on_head`` once, then its body stream is fed, then ``on_end`` once; or ``fail``, at any time.
The pool is told when the connection can be used again or is lost.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from endwell.lifetime import Owner, Resource, State
from endwell.transport.cork import Cork
from endwell.transport.stream import Stream
from endwell.transport.tls import ended_cleanly
from endwell.wire.http1 import Limits, ProtocolError, ResponseHead, ResponseReader, TruncatedError
from endwell.wire.http1.reader import Phase

if TYPE_CHECKING:
    from ssl import SSLObject

    from endwell.connection.body import BodyStream
    from endwell.connection.websocket import WebSocket

__all__ = ("ClientConnection", "ConnectionOwner", "ExchangeEvents")

_CLOSED: Final = State.CLOSED
_ENDED: Final = Phase.ENDED


class ExchangeEvents(Protocol):
    """What a connection tells the exchange it serves."""

    asker: asyncio.Task[Any] | None
    body: BodyStream | None
    method: str
    limits: Limits
    read_until_eof: bool
    watches_reads: bool

    def on_continue(self) -> None:
        """The peer wants the body (100)."""

    def on_head(self, head: ResponseHead, pieces: list[bytes], *, complete: bool) -> None:
        """The head is there, and what came of the body with it."""

    def on_end(self) -> None:
        """The message is complete."""

    def fail(self, error: BaseException) -> None:
        """The exchange cannot be completed; the connection is of no more use."""


class ConnectionOwner(Protocol):
    """Whose pool a connection belongs to."""

    def lost(self, connection: ClientConnection) -> None:
        """The connection can't be used (any more): its socket is closed, or the peer has said goodbye."""


class ClientConnection(Stream):
    """One connection to an origin or to a proxy.

    Attributes:
        key: what it is pooled by.
        exchange: the exchange it serves, None when idle.
        uses: how many exchanges it has served.
        idle_since: loop time of its return to the pool.
        read_at: loop time of the last read, kept only while the exchange watches reads.
        tls: the TLS object, when TLS is spoken.
        websocket: what has taken the transport over, after a switch of protocols.

    """

    __slots__ = (
        "_cork", "exchange", "idle_since", "key", "peer", "pool", "read_at", "reader", "tls", "uses", "websocket",
    )  # fmt: skip

    def __init__(  # noqa: PLR0917  # one caller, on the way of each new connection
        self,
        owner: Resource,
        pool: ConnectionOwner,
        loop: asyncio.AbstractEventLoop,
        key: Any,
        peer: str,
        cork: Cork | None = None,
    ) -> None:
        super().__init__(owner, loop)
        self._cork = Cork(loop) if cork is None else cork
        self.pool = pool
        self.key = key
        self.peer = peer
        self.reader = ResponseReader()
        self.exchange: ExchangeEvents | None = None
        self.uses = 0
        self.idle_since = 0.0
        self.read_at = 0.0
        self.tls: SSLObject | None = None
        self.websocket: WebSocket | None = None

    def describe(self) -> str:
        """See `Resource.describe`."""
        if self.websocket is not None:
            return f"connection to {self.peer} with a WebSocket"
        state = "idle" if self.exchange is None else "busy"
        return f"{state} connection to {self.peer}"

    def flush(self) -> None:
        """Send what was held back to the end of this pass of the loop: something is to follow it."""
        self._cork.flush()

    def start(self, exchange: ExchangeEvents, data: bytes) -> None:
        """Send a request head, perhaps with its body, and expect the response for `exchange`."""
        self.exchange = exchange
        self.uses += 1
        self.reader.begin(exchange.method, exchange.limits, exchange.read_until_eof)
        if exchange.watches_reads:
            self.read_at = self.loop.time()
        if self.state is _CLOSED:
            # Lost while its taker was on the way here (told a trace config, say): nobody else is going to say so.
            self.held = True
            self.loop.call_soon(self.connection_lost, None)
            return
        self._cork.write(self, data)

    def finished(self) -> bool:
        """Let go of the exchange; tell whether the connection can serve another one.

        Whether its end has begun meanwhile is asked (`ending`) when it is handed out again.
        """
        self.exchange = None
        reader = self.reader
        head = reader.head
        return reader.phase is _ENDED and not reader.rest and head is not None and head.keep_alive

    def drop(self) -> None:
        """Let go of the exchange and of the connection, at once."""
        self.exchange = None
        self.pool.lost(self)
        self.discard()

    def switched(self) -> bytes:
        """Let go of the exchange after a 101; return what came behind its head, in the other protocol."""
        self.exchange = None
        rest = self.reader.rest
        self.reader.rest = b""
        return bytes(rest)

    def websocket_over(self, *, orderly: bool) -> None:
        """See `Below.websocket_over`: it is for the server to close the connection."""

    def reader_waits(self) -> None:
        """Note that the running task is the one that the exchange is for, from now on."""
        if self.exchange is not None:
            self.exchange.asker = asyncio.current_task(self.loop)

    def pause_reading(self) -> None:
        """Stop taking bytes from the peer (flow control of the body)."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Take bytes again."""
        if self.exchange is not None and self.exchange.watches_reads:
            self.read_at = self.loop.time()
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    # What the loop calls

    def data_received(self, data: bytes) -> None:
        """Take bytes from the peer."""
        exchange = self.exchange
        if exchange is None:
            # Bytes on an idle connection never become an answer (RFC 9112 section 9.2).
            self.drop()
            return
        if exchange.watches_reads:
            self.read_at = self.loop.time()
        if self.held:
            # Sent before the request was, a 408 at the end of the peer's patience, say: it answers nothing (as above).
            message = "The peer sent bytes before the request went out, and they are no answer to it"
            exchange.fail(TruncatedError(message, "start"))
            return
        reader = self.reader
        phase = reader.phase
        if phase is _ENDED:
            if reader.switches:
                reader.rest += data
                return
            reader.refuse_reuse()  # the response is complete, only the request is not: what comes now is nobody's
            return
        try:
            pieces = reader.feed(data)
        except ProtocolError as error:
            exchange.fail(error)
            return
        body = exchange.body
        if body is not None:
            body.feed(pieces)
            if reader.phase is _ENDED:
                exchange.on_end()
        elif reader.head is not None:
            exchange.on_head(reader.head, pieces, complete=reader.phase is _ENDED)
        elif reader.continued:
            exchange.on_continue()

    def eof_received(self) -> bool:
        """Take the peer's end of sending: nothing more can come, so the transport closes."""
        exchange = self.exchange
        if exchange is None:
            self.pool.lost(self)
        elif self.reader.phase is Phase.UNTIL_EOF and self._orderly_end():
            self.reader.eof()
            self.reader.refuse_reuse()
            exchange.on_end()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection is gone."""
        super().connection_lost(exc)
        exchange = self.exchange
        self.exchange = None
        self.pool.lost(self)
        if exchange is not None:
            exchange.fail(self._how_lost(exc))

    # What the closing walk calls

    def _stop(self) -> None:
        if self.websocket is not None:
            self.websocket.go_away(self.owner.limit if isinstance(self.owner, Owner) else None)

    async def _finish(self) -> None:
        if self.websocket is not None:
            await self.websocket.ended()
            if isinstance(self.websocket.error, TimeoutError):
                raise self.websocket.error  # for the report
        await super()._finish()

    def _inherited(self) -> None:
        if self.websocket is not None:
            self.websocket.inherited()
        super()._inherited()

    # Details

    def _orderly_end(self) -> bool:
        """Tell whether the peer's end of sending can be trusted to be its own (RFC 9112 section 9.8)."""
        return self.tls is None or ended_cleanly(self.tls)

    def write_failed(self, error: Exception) -> None:
        """See `Stream.write_failed`."""
        exchange = self.exchange
        if exchange is None:
            self.discard()
            return
        failure = ConnectionResetError(f"The transport did not take the request: {type(error).__name__}")
        failure.__cause__ = error
        exchange.fail(failure)

    def _how_lost(self, exc: Exception | None) -> BaseException:
        reader = self.reader
        if self.held:
            return exc or TruncatedError("The connection was lost before the request went out", "start")
        if not reader.started:
            return exc or TruncatedError("The peer closed the connection without an answer", "start")
        if reader.phase is Phase.UNTIL_EOF:
            error = TruncatedError(
                "The connection was cut: a body that ends with the connection may be incomplete", "body"
            )
        else:
            try:
                reader.eof()
                error = TruncatedError("The connection was lost", "body")
            except TruncatedError as truncated:
                error = truncated
        error.__cause__ = exc
        return error
