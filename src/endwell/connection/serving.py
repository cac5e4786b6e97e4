"""An HTTP/1.1 connection in the server's role: drives `wire.http1` over a stream, one exchange at a time.

RFC 9112. Requests that a client sends ahead of their answers wait here, unparsed and bounded. The server above is told
of each request; it says when the exchange is over, and the connection goes on to the next, or ends: in such a way that
the client can read what was sent before it notices (section 9.6).
"""

from __future__ import annotations

import asyncio
import enum
from typing import TYPE_CHECKING, Final

from endwell.connection.body import BodyStream
from endwell.lifetime import NEVER, Resource, State
from endwell.transport.stream import Stream
from endwell.wire.http1 import ProtocolError, TruncatedError
from endwell.wire.http1.phase import Phase
from endwell.wire.http1.request_reader import RequestReader

if TYPE_CHECKING:
    from endwell.connection.served import ServedExchange, Serving
    from endwell.wire.http1.request_head import RequestHead

__all__ = ("READ_AWAY", "ServerConnection", "peer_of")

READ_AWAY: Final = 64 * 1024
"""Bytes of a request's body that are read away to keep the connection, when nobody wanted them."""

_HELD: Final = 64 * 1024
"""Bytes of further requests that are taken before the answer to this one is sent."""


class Mode(enum.Enum):
    """What a connection does."""

    IDLE = "idle"
    HEAD = "reading a head"
    BUSY = "busy"
    AWAY = "reading a body away"
    BLOCKED = "waiting for the client to read"
    LINGER = "waiting for the client to close"


_IDLE: Final = Mode.IDLE
_HEAD: Final = Mode.HEAD
_BUSY: Final = Mode.BUSY
_AWAY: Final = Mode.AWAY
_BLOCKED: Final = Mode.BLOCKED
_LINGER: Final = Mode.LINGER
_ENDED: Final = Phase.ENDED
_OPEN: Final = State.OPEN


class ServerConnection(Stream):
    """One client's connection.

    Attributes:
        exchange: the request that is being served, None between two.
        served: how many requests it has had.
        due: loop time at which `expire` looks at it.

    """

    __slots__ = (
        "_began", "_held", "_inside", "_measured", "_mode", "_read_at", "_reader", "_serving", "due", "exchange",
        "served",
    )  # fmt: skip

    def __init__(self, owner: Resource, loop: asyncio.AbstractEventLoop, serving: Serving) -> None:
        super().__init__(owner, loop)
        self._serving = serving
        self._mode = _IDLE
        self._reader: RequestReader | None = None
        self._held = b""
        self._inside = False
        self.exchange: ServedExchange | None = None
        self.served = 0
        self.due = NEVER

    def describe(self) -> str:
        """See `Resource.describe`."""
        return f"{self._mode.value} connection from {peer_of(self)}"

    # What the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        super().connection_made(transport)
        if self.owner is None or self.owner.state is not _OPEN or not self._serving.made(self):
            self.close()
            return
        watch = self._serving.watch
        self.due = self.loop.time() + self._serving.times.head
        watch[self] = None
        if self.due < watch.wake:
            watch.sooner(self.due)

    def data_received(self, data: bytes) -> None:
        """Take bytes from the client."""
        mode = self._mode
        if mode is _IDLE:
            serving = self._serving
            head = serving.heads.get(data)
            if head is None:
                self._feed(data)
                return
            self._mode = _BUSY
            self.served += 1
            self._inside = True
            serving.begin(self, head, None, b"")
            self._inside = False
            if self._mode is _BUSY:
                self.due = NEVER
        elif mode is _HEAD:
            self._feed(data)
        elif mode is _BUSY or mode is _AWAY:
            self._feed_body(data)
        elif mode is _BLOCKED:
            self._hold(data)
        # else the client speaks on after the last answer: nobody listens

    def eof_received(self) -> bool:
        """Take the client's end of sending: what was asked for is still answered, where the transport can do that."""
        mode = self._mode
        reader = self._reader
        if mode is not _BUSY or (reader is not None and reader.head is not None and reader.phase is not _ENDED):
            return False
        if self.transport is None or not self.transport.can_write_eof():
            return False
        exchange = self.exchange
        if exchange is not None:
            exchange.gone(None)
        self._held = b""
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection is gone."""
        super().connection_lost(exc)
        self._serving.watch.pop(self, None)
        self._serving.lost(self)
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            self._fail_body(exchange, exc)
            exchange.gone(exc)

    def resume_writing(self) -> None:
        """Let the writer go on, and the client, who has read its answers, ask again."""
        super().resume_writing()
        if self._mode is _BLOCKED:
            self.loop.call_soon(self._go_on)

    # What the exchange calls

    def over(self, *, reusable: bool) -> None:
        """Go on to the next request, or close: the exchange has ended."""
        self.exchange = None
        reader = self._reader
        if not reusable or self.state is not _OPEN:
            self.leave()
        elif reader is not None and reader.head is not None and reader.phase is not _ENDED:
            self._read_away(reader)
        elif self._writable is not None:
            self._mode = _BLOCKED
            self._expect(self._serving.times.send)
        else:
            if reader is not None and reader.head is not None:
                self._held = reader.next() + self._held
            if self._held and not self._inside:
                # Not from within the task of the exchange that has just ended.
                self._mode = _BLOCKED
                self.due = NEVER
                self.loop.call_soon(self._go_on)
            else:
                self._mode = _IDLE
                self._expect(self._serving.times.keepalive)

    def leave(self) -> None:
        """Close, but not under the hands of a client that still sends: it would lose what was sent to it."""
        self.exchange = None
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        reader = self._reader
        if not self._held and (reader is None or reader.head is None or (self._all_came(reader) and not reader.rest)):
            self.close()
            return
        self._mode = _LINGER
        self._held = b""
        self._expect(self._serving.times.linger)
        transport.resume_reading()
        if transport.can_write_eof():
            transport.write_eof()

    def pause_reading(self) -> None:
        """Stop taking bytes from the client (flow control of the body)."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Take bytes again."""
        if self.transport is not None and not self.transport.is_closing():
            self._measure()
            self.transport.resume_reading()

    def reader_waits(self) -> None:
        """Note that a task waits for the body."""
        exchange = self.exchange
        if exchange is not None:
            exchange.reader_waits()
            times = self._serving.times
            self._read_at = self.loop.time()
            self._expect(times.body)

    # Deadlines

    def expire(self, now: float) -> None:
        """Act on a deadline (see `Timed`)."""
        mode = self._mode
        self.due = NEVER
        if mode is _BUSY:
            self._check_body(now)
        elif mode is _HEAD:
            seconds = self._serving.times.head
            self._refuse(ProtocolError(f"The head of the request did not come within {seconds} s", status=408))
        elif mode is _LINGER or mode is _BLOCKED:
            self.discard()
        else:
            self.close()

    def _expect(self, seconds: float) -> None:
        """Have `expire` called in so many seconds."""
        self.due = due = self.loop.time() + seconds
        watch = self._serving.watch
        if due < watch.wake:
            watch.sooner(due)

    def _check_body(self, now: float) -> None:
        """End a body that does not come, or not fast enough, while somebody waits for it."""
        exchange = self.exchange
        body = exchange.incoming if exchange is not None else None
        reader = self._reader
        if exchange is None or body is None or body.ended or body.error is not None or reader is None:
            return
        times = self._serving.times
        if not body.awaited:
            self._measure()
            self._expect(times.body)
            return
        if now - self._read_at >= times.body:
            self._fail(exchange, self._serving.too_slow(f"no byte of the body came for {times.body} s"))
            return
        elapsed = now - self._began
        if times.rate and elapsed >= times.grace and body.received - self._measured < times.rate * elapsed:
            self._fail(exchange, self._serving.too_slow(f"the body came slower than {times.rate} bytes a second"))
            return
        self._expect(min(times.body - (now - self._read_at), times.grace or times.body))

    def _fail(self, exchange: ServedExchange, error: Exception) -> None:
        """End the body of a request, and the connection after its answer; what else comes is nobody's."""
        exchange.keep_alive = False
        if exchange.incoming is not None:
            exchange.incoming.fail(error)
        self.pause_reading()

    def _measure(self) -> None:
        """Begin to measure the rate anew: what was held up by us is not the client's fault."""
        exchange = self.exchange
        if exchange is not None and exchange.incoming is not None:
            self._began = self._read_at = self.loop.time()
            self._measured = exchange.incoming.received

    # Reading

    def _feed(self, data: bytes) -> None:
        """Take what begins with a head, or goes on with one; serve all requests in it that end at once."""
        serving = self._serving
        reader = self._reader
        if reader is None:
            reader = self._reader = RequestReader(serving.limits, serving.heads)
        while data:
            if self._writable is not None:
                self._hold(data)
                self._mode = _BLOCKED
                return
            try:
                pieces = reader.feed(data)
            except ProtocolError as error:
                self._refuse(error)
                return
            head = reader.head
            if head is None:
                if self._mode is _IDLE and reader.started:
                    self._mode = _HEAD
                    self._expect(serving.times.head)
                return
            self._serve(head, pieces)
            if self._mode is not _IDLE:
                if self._mode is _BUSY and reader.phase is _ENDED:
                    self.due = NEVER
                elif self._mode is _BUSY:
                    self._expect(serving.times.body)
                return
            data, self._held = self._held, b""

    def _serve(self, head: RequestHead, pieces: list[bytes]) -> None:
        """Begin the exchange of a request whose head is there, with what has come of its body."""
        serving = self._serving
        reader = self._reader
        assert reader is not None
        incoming, whole = None, b""
        if head.has_body:
            decoder = serving.decoder(head)
            if decoder is None and reader.phase is _ENDED:
                whole = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            else:
                incoming = BodyStream(self.loop, self, serving.read_bufsize, decoder)
                incoming.feed(pieces)
                if reader.phase is _ENDED:
                    incoming.end()
                else:
                    self._began = self._read_at = self.loop.time()
                    self._measured = incoming.received
        self._mode = _BUSY
        self.served += 1
        self._inside = True
        serving.begin(self, head, incoming, whole)
        self._inside = False

    def _feed_body(self, data: bytes) -> None:
        """Take what comes while a request is being served, or read away."""
        reader = self._reader
        if reader is None or reader.head is None or reader.phase is _ENDED:
            self._hold(data)
            return
        exchange = self.exchange
        body = exchange.incoming if exchange is not None else None
        self._read_at = self.loop.time()
        try:
            pieces = reader.feed(data)
        except ProtocolError as error:
            if exchange is None:
                self.leave()
            else:
                self._fail(exchange, error)
            return
        if body is not None:
            body.feed(pieces)
        if self._all_came(reader):
            if body is not None:
                body.end()
            if self._mode is _AWAY:
                self.over(reusable=True)

    def _read_away(self, reader: RequestReader) -> None:
        """Keep the connection if only a little of a body is left that nobody wanted, else end it."""
        left = reader.length
        if left is None or left > READ_AWAY:
            self.leave()
            return
        self._mode = _AWAY
        self._expect(self._serving.times.linger)
        self.resume_reading()

    def _hold(self, data: bytes) -> None:
        """Keep bytes of further requests for later."""
        self._held += data
        if len(self._held) > _HELD:
            self.pause_reading()

    def _go_on(self) -> None:
        """Serve what was held."""
        if self._mode is not _BLOCKED or self._writable is not None:
            return
        data, self._held = self._held, b""
        if self.state is not _OPEN or self.transport is None or self.transport.is_closing():
            self.close()
            return
        reader = self._reader
        if reader is not None and reader.head is not None:
            data = reader.next() + data
        self._mode = _IDLE
        self._expect(self._serving.times.keepalive)
        if len(data) > _HELD:
            self.transport.resume_reading()
        self._feed(data)

    def _refuse(self, error: ProtocolError) -> None:
        """Answer what is no request, and end."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        transport.write(self._serving.refuse(self, error))
        self._mode = _LINGER
        self._held = b"?"  # whatever it was, more of it may come
        self.leave()

    def _all_came(self, reader: RequestReader) -> bool:
        return reader.phase is _ENDED

    def _fail_body(self, exchange: ServedExchange, exc: Exception | None) -> None:
        body = exchange.incoming
        if body is None or body.ended or body.error is not None:
            return
        try:
            if self._reader is not None:
                self._reader.eof()
            error: ProtocolError = TruncatedError("The connection was lost", "body")
        except ProtocolError as truncated:
            error = truncated
        error.__cause__ = exc
        body.fail(error)

    # What the closing walk calls

    def _stop(self) -> None:
        if self._mode in (_IDLE, _BLOCKED):
            self.close()
        elif self.exchange is not None:
            self.exchange.stop()


def peer_of(connection: Stream) -> str:
    """Give the client's address as text, ``"?"`` when it is not known."""
    name = connection.get_extra_info("peername")
    if isinstance(name, tuple) and name:
        return str(name[0])
    return str(name) if name else "?"
