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
from endwell.connection.patience import GOODBYE, Patience
from endwell.lifetime import NEVER, Owner, Resource, State
from endwell.transport.stream import Stream
from endwell.wire.http1 import ProtocolError, TruncatedError
from endwell.wire.http1.phase import Phase
from endwell.wire.http1.request_reader import RequestReader

if TYPE_CHECKING:
    from endwell.connection.served import ServedExchange, Serving
    from endwell.connection.websocket import WebSocket
    from endwell.wire.http1.request_head import RequestHead

__all__ = ("READ_AWAY", "ServerConnection", "peer_of")

READ_AWAY: Final = 64 * 1024
"""Bytes of a request's body that are read away to keep the connection, when nobody wanted them."""

_HELD: Final = 64 * 1024
"""Bytes of further requests that are taken before the answer to this one is sent."""

_AT_ONCE: Final = 64
"""Requests of one client, sent ahead of their answers, that are served before it is others' turn."""

_FAREWELL: Final = 1.0
"""Seconds that a client has to answer our goodbye when the server ends."""


class Mode(enum.Enum):
    """What a connection does."""

    IDLE = "idle"
    HEAD = "reading a head"
    BUSY = "busy"
    AWAY = "reading a body away"
    BLOCKED = "waiting for the client to read"
    LINGER = "waiting for the client to close"
    SWITCHED = "WebSocket"
    CLOSING = "closing"


_IDLE: Final = Mode.IDLE
_HEAD: Final = Mode.HEAD
_BUSY: Final = Mode.BUSY
_AWAY: Final = Mode.AWAY
_BLOCKED: Final = Mode.BLOCKED
_LINGER: Final = Mode.LINGER
_SWITCHED: Final = Mode.SWITCHED
_CLOSING: Final = Mode.CLOSING
_WRITING: Final = (_BUSY, _BLOCKED, _SWITCHED)
_ENDED: Final = Phase.ENDED
_OPEN: Final = State.OPEN


class ServerConnection(Patience):
    """One client's connection.

    Attributes:
        served: how many requests it has had.
        websocket: what has taken the transport over, after a switch of protocols.

    """

    __slots__ = (
        "_held", "_inside", "_mode", "_reader", "served", "websocket",
    )  # fmt: skip

    def __init__(self, owner: Resource, loop: asyncio.AbstractEventLoop, serving: Serving) -> None:
        super().__init__(owner, loop, serving)
        self._mode = _IDLE
        self._reader: RequestReader | None = None
        self._held = b""
        self._inside = False
        self.served = 0
        self.websocket: WebSocket | None = None

    def describe(self) -> str:
        """See `Resource.describe`."""
        return f"{self._mode.value} connection from {peer_of(self)}"

    # What the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        super().connection_made(transport)
        watch = self._serving.watch
        watch[self] = None
        if self.owner is None or self.owner.state is not _OPEN or not self._serving.made(self):
            self.close()
            return
        self.due = self.loop.time() + self._serving.times.head
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
            if self._mode is _BUSY and self._writable is None:
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
        if reader is not None and reader.head is not None:
            reader.next()  # what else it has asked for: nothing more comes that would have to be read away
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
            self._read_away()
        elif self._writable is not None:
            self._mode = _BLOCKED
            self._expect(self._serving.times.send)
        else:
            if reader is not None and reader.head is not None:
                self._held = reader.next() + self._held
            if self._held and not self._inside:
                self._go_on_soon()  # not from within the task of the exchange that has just ended
            else:
                self._mode = _IDLE
                self._expect(self._serving.times.keepalive)

    def switch(self) -> bytes:
        """Serve no more requests; return what the client has sent behind the one that asked to switch protocols."""
        reader, self._reader = self._reader, None
        rest = self._held if reader is None or reader.head is None else reader.next() + self._held
        self._held = b""
        self._mode = _SWITCHED
        self.due = NEVER
        return rest

    def websocket_over(self, *, orderly: bool) -> None:
        """See `Below.websocket_over`."""
        if orderly:
            self.close()
        else:
            self._linger()

    @property
    def reads_away(self) -> bool:
        """Whether little enough is left of the body to read it away, and keep the connection."""
        left = None if self._reader is None else self._reader.length
        return left is not None and left <= READ_AWAY

    def leave(self) -> None:
        """Close, but not under the hands of a client that still sends: it would lose what was sent to it."""
        self.exchange = None
        transport = self.transport
        if transport is None:
            return
        if self._mode is _SWITCHED and self.websocket is not None:
            self.websocket.fail()  # nobody uses it any more; a closing that is under way goes on
            return
        reader = self._reader
        if transport.is_closing():
            self.close()
            return
        if not self._held and (reader is None or reader.head is None or (self._all_came(reader) and not reader.rest)):
            self.close()
            return
        self._linger()

    def _linger(self) -> None:
        """Tell a client that still sends that nobody listens any more, and wait until it has seen that."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        self._mode = _LINGER
        self._held = b""
        self._leave_within(self._serving.times.linger)
        transport.resume_reading()
        if transport.can_write_eof():
            try:
                transport.write_eof()
            except OSError:  # the client has reset the connection, and the transport has not seen it yet
                self.discard()

    def close(self) -> None:
        """Send what is buffered, say goodbye (TLS), close; `expire` sees to it that this comes to an end."""
        if self._mode is not _CLOSING:
            super().close()
            if self.state is State.STOPPED and self.transport is not None and self.transport.is_closing():
                self._mode = _CLOSING
                self._held = b""
                self._leave_within(min(GOODBYE, self._serving.times.send))

    def reader_waits(self) -> None:
        """Note that a task waits for the body."""
        exchange = self.exchange
        if exchange is not None:
            exchange.reader_waits()
            self._read_at = self.loop.time()
            self._expect_by(self._serving.times.body)

    # Deadlines

    def expire(self, now: float) -> None:
        """Act on a deadline (see `Timed`)."""
        mode = self._mode
        self.due = NEVER
        if self._writable is not None and mode in _WRITING and self._stands_still(now):
            self.discard()
        elif mode is _BUSY:
            self._check_body(now)
        elif mode is _HEAD:
            seconds = self._serving.times.head
            self._refuse(ProtocolError(f"The head of the request did not come within {seconds} s", status=408))
        elif mode is _CLOSING or mode is _LINGER:
            self._check_leaving(now)
        elif mode is not _BLOCKED and mode is not _SWITCHED:
            self.close()

    # Reading

    def _feed(self, data: bytes) -> None:
        """Take what begins with a head, or goes on with one; serve all requests in it that end at once."""
        serving = self._serving
        reader = self._reader
        if reader is None:
            reader = self._reader = RequestReader(serving.limits, serving.known, serving.heads)
        left = _AT_ONCE
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
                if self._mode is _BUSY:
                    if reader.phase is not _ENDED:
                        self._expect_by(min(serving.times.body, serving.times.grace or serving.times.body))
                    elif self._writable is None:
                        self.due = NEVER
                return
            left -= 1
            if not left and self._held:
                self._go_on_soon()
                return
            data, self._held = self._held, b""
            if data and not self.connected:
                return  # the rest was asked by somebody who has gone

    def _serve(self, head: RequestHead, pieces: list[bytes]) -> None:
        """Begin the exchange of a request whose head is there, with what has come of its body."""
        serving = self._serving
        reader = self._reader
        assert reader is not None
        incoming, whole = None, b""
        if head.has_body:
            try:
                decoder = serving.decoder(head)
            except ProtocolError as error:
                self._refuse(error)
                return
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

    def _read_away(self) -> None:
        """Keep the connection if only a little of a body is left that nobody wanted, else end it."""
        if not self.reads_away:
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

    def _go_on_soon(self) -> None:
        """Serve what is held in the next pass of the loop."""
        self._mode = _BLOCKED
        self.due = NEVER
        self.loop.call_soon(self._go_on)

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
        mode = self._mode
        if mode is _BUSY:
            if self.exchange is not None:
                self.exchange.stop()
        elif mode is _AWAY:
            self.leave()
        elif mode is _LINGER or mode is _CLOSING:
            self._see_off()
        elif mode is not _SWITCHED:
            self.close()
        elif self.websocket is not None:
            self.websocket.go_away(self.owner.limit if isinstance(self.owner, Owner) else None)
            if self.exchange is not None:
                self.exchange.stop()

    async def _finish(self) -> None:
        gone = self.gone()
        if gone is None or self.transport is None:
            return
        if self._mode is _SWITCHED:
            await asyncio.wait([gone])  # the WebSocket has its own time limit for that
            return
        if not self.unsent():  # else the time for that is over
            if self._mode is not _LINGER:
                self.close()
            await asyncio.wait([gone], timeout=_FAREWELL)
        self.discard()

    def _inherited(self) -> None:
        if self.websocket is not None:
            self.websocket.inherited()
        super()._inherited()


def peer_of(connection: Stream) -> str:
    """Give the client's address as text, ``"?"`` when it is not known."""
    name = connection.get_extra_info("peername")
    if isinstance(name, tuple) and name:
        return str(name[0])
    return str(name) if name else "?"
