"""One HTTP request in the hands of an ASGI application: what it calls as `receive` and `send` (RFC 9110, RFC 9112).

The response is over with its last body event, not with the application: the connection goes on to the next request
while the application may still work in the background, as a piece of the server's work that a closing waits for.

    event of the application      what is sent
    http.response.start           nothing, it is kept; its fields are checked
    ... body, the first and last  head and body in one write, with Content-Length
    ... body, more to come        head and a first piece: by the length that was given, in chunks, or (HTTP/1.0) until
                                  the connection ends
    ... pathsend                  head and file (`pathsend`)
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from endwell.server.asgi.access import AnsweredRequest, SentResponse
from endwell.server.asgi.response_fields import Fields, read_fields
from endwell.server.errors import PayloadAccessError
from endwell.server.exchange import Exchange
from endwell.server.response_head import SERVER_SOFTWARE, date_and_server, http_date, reason_of, status_line
from endwell.wire.http1 import encode_chunk
from endwell.wire.http1.chunked import LAST_CHUNK

if TYPE_CHECKING:
    from endwell.connection.body import BodyStream
    from endwell.server.asgi.core import AsgiCore
    from endwell.server.asgi.interface import Message

__all__ = ("AsgiExchange",)

_COPIED: Final = 64 * 1024
"""Bytes of a body up to which a copy behind its head costs less than a second write."""

_EVENT: Final = 64 * 1024
"""Bytes of a request's body that one event brings together, when they came in smaller pieces."""

_AT_ONCE: Final = 2**20
"""Bytes after which others have their turn, though the transport takes more; each event counts for some."""

_EACH: Final = 1024

_BODILESS: Final = frozenset({204, 205, 304})


class AsgiExchange(Exchange):
    """A request that an ASGI application serves.

    Attributes:
        fields: of the response, None before its start.
        body_size: bytes of the response's body that were sent.
        disconnected: the client has gone, or sends no more.
        told: the application knows that the client has gone: by http.disconnect, or by an error of `respond`.
        given: it was given the whole body of the request.

    """

    owner: AsgiCore
    fields: Fields | None = None
    body_size = 0
    disconnected = False
    told = False
    given = False
    _turns: asyncio.Lock | None = None
    _bodiless = False
    _chunked = False
    _left_to_send: int | None = None
    _turn = 0

    # What the application calls: receive

    async def receive(self) -> Message:
        """Give the next event: pieces of the body, then http.disconnect when the client goes or all is answered.

        Any number of tasks may wait; each event is given to one of them, http.disconnect to all. Only as much of the
        body is taken from the client as is asked for here, and ``read_bufsize`` bytes more.
        """
        if not (self.given or self.complete):
            if self.incoming is None:
                self.given = True
                return {"type": "http.request", "body": self.whole, "more_body": False}
            event = await self._next_event()
            if event is not None:
                return event
        if not (self.complete or self.disconnected):
            await asyncio.wait([self.leaving()])
        return self._disconnect()

    def leaving(self) -> asyncio.Future[None]:
        """Give the future that is done when the client has gone, or the response is complete."""
        if self._leaving is None:
            self._leaving = self.owner.loop.create_future()
        return self._leaving

    async def _next_event(self) -> Message | None:
        """Give the next piece of the body, None when nothing more of it comes."""
        body = self.incoming
        assert body is not None
        turns = self._turns
        if turns is None:
            turns = self._turns = asyncio.Lock()
        async with turns:
            while not (self.complete or self.given or body.error is not None):
                piece = body.take()
                if piece or body.drained:
                    if body.size and len(piece) < _EVENT:
                        piece = _gathered(body, piece)
                    self.given = body.drained
                    return {"type": "http.request", "body": piece, "more_body": not self.given}
                await body.wait()
        if body.error is not None and not self.complete:
            self.disconnected = True
        return None

    def _disconnect(self) -> Message:
        if not self.complete:
            self.told = True
        return {"type": "http.disconnect"}

    # What the application calls: send

    async def respond(self, message: Message) -> None:
        """Take an event of the application; returns when the transport takes more.

        Raises:
            ConnectionResetError: the client has gone.
            RuntimeError: the events are in the wrong order, or the body does not have the announced length.
            ValueError: see `read_fields`; the status is none of a response that ends an exchange.
            TypeError: the body is not bytes.

        """
        kind = message["type"]
        if kind == "http.response.body":
            fields = self.fields
            if fields is None or self.complete:
                raise self._out_of_order(kind)
            body = message.get("body", b"")
            if body.__class__ is not bytes:
                body = as_bytes(body)
            self.check_client()
            if self.started:
                await self._go_on(body, more=message.get("more_body", False))
            elif message.get("more_body", False):
                await self._stream(fields, body)
            else:
                self._answer(fields, body)
        elif kind == "http.response.start":
            if self.fields is not None:
                raise self._out_of_order(kind)
            self.start(message)
        elif kind == "http.response.pathsend":
            fields = self.fields
            if fields is None or self.started:
                raise self._out_of_order(kind)
            self.check_client()
            from endwell.server.asgi.pathsend import send_path

            await send_path(self, fields, message["path"])
            self.end()
        else:
            raise self._out_of_order(kind)

    def start(self, message: Message) -> None:
        """Take status and fields of the response.

        Raises:
            ValueError, TypeError: see `respond`.

        """
        status = message["status"]
        if not isinstance(status, int) or not 200 <= status <= 999:
            text = f"Status {status!r} cannot be that of a response: it is an int from 200 to 999"
            raise ValueError(text)
        self.fields = read_fields(message.get("headers", ()))
        self.status = int(status)

    def check_client(self) -> None:
        """Have the application know that nobody reads on (ASGI since 2.4)."""
        transport = self.connection.transport
        if self._left or transport is None or transport.is_closing():
            self.told = True
            message = f"The client has gone: {self.describe()}"
            raise ConnectionResetError(message)

    def _out_of_order(self, kind: Any) -> RuntimeError:
        """Give the error for an event that cannot come now; one for a client that has gone is raised before it."""
        if not self.complete:
            self.check_client()
        if self.complete:
            message = f"{kind!r} was sent after the response to {self.describe()} was complete"
        elif self.started:
            message = f"{kind!r} was sent where 'http.response.body' was expected, in the response to {self.describe()}"
        elif self.fields is not None:
            message = f"{kind!r} was sent where the body was expected, after the start of {self.describe()}"
        else:
            message = f"{kind!r} was sent where 'http.response.start' was expected, for {self.describe()}"
        return RuntimeError(message)

    # Sending

    def _answer(self, fields: Fields, body: bytes) -> None:
        """Send a whole response."""
        if self.incoming is not None:
            self.settle()
        size = len(body)
        if self.status in _BODILESS or self.head.method == "HEAD":
            line = self._length_without_body(fields, size)
            body = b""
        elif fields.length is None:
            line = b"Content-Length: %d\r\n" % size
        elif fields.length == size or fields.chunked:
            line = fields.length_line if fields.length == size else b"Content-Length: %d\r\n" % size
        else:
            message = f"The body has {size} bytes, and Content-Length said {fields.length}: {self.describe()}"
            raise RuntimeError(message)
        head = self.render(fields, line)
        self.started = True
        transport = self.connection.transport
        assert transport is not None
        if size <= _COPIED:
            transport.write(head + body)
        else:
            transport.write(head)
            transport.write(body)
        self.body_size = len(body)
        self.end()

    def _length_without_body(self, fields: Fields, size: int) -> bytes:
        """Give the line for a response that has no body, whatever the application sends (RFC 9110 section 8.6)."""
        if self.status == 205:
            return b"Content-Length: 0\r\n"
        if self.status in _BODILESS or fields.chunked:
            return b""
        if fields.length is not None:
            return fields.length_line
        return b"Content-Length: %d\r\n" % size if size else b""

    def render(self, fields: Fields, framing: bytes) -> bytes:
        """Give the head with the lines that mark the end of the body; from here on it is decided what is kept alive."""
        minor = self.head.minor
        if fields.closes or not self.keep_alive:
            self.keep_alive = False
            connection = b"Connection: close\r\n\r\n" if minor else b"\r\n"
        else:
            connection = b"\r\n" if minor else b"Connection: keep-alive\r\n\r\n"
        ours = date_and_server() if not (fields.has_date or fields.has_server) else _ours(fields)
        return b"".join((status_line(self.status, None, minor), ours, fields.lines, framing, connection))

    def frame(self, fields: Fields, length: int | None) -> bytes:
        """Decide how a response that comes in pieces ends; give its head."""
        if self.status in _BODILESS or self.head.method == "HEAD":
            self._bodiless = True
            line = self._length_without_body(fields, length or 0)
        elif length is not None:
            self._left_to_send = length
            line = b"Content-Length: %d\r\n" % length
        elif self.head.minor:
            self._chunked = True
            line = b"Transfer-Encoding: chunked\r\n"
        else:
            self.keep_alive = False
            self._until_close = True
            line = b""
        if self.head.expects and not self._continued and self.head.waits_for_continue:
            self.keep_alive = False  # the client may leave the body out: what comes next would have two readings
        return self.render(fields, line)

    async def _stream(self, fields: Fields, body: bytes) -> None:
        """Send the head and a first piece."""
        head = self.frame(fields, None if fields.chunked and self.head.minor else fields.length)
        piece = self._piece(body)
        self.started = True
        transport = self.connection.transport
        assert transport is not None
        transport.write(head + piece)
        await self._drain(len(piece))

    async def _go_on(self, body: bytes, *, more: bool) -> None:
        """Send a further piece."""
        piece = self._piece(body)
        if not more:
            if self._left_to_send:
                message = (
                    f"The body ended {self._left_to_send} bytes before the Content-Length that was announced: "
                    f"{self.describe()}"
                )
                raise RuntimeError(message)
            if self._chunked:
                piece += LAST_CHUNK
        transport = self.connection.transport
        assert transport is not None
        if piece:
            transport.write(piece)
        if more:
            await self._drain(len(piece))
        else:
            self.end()

    def _piece(self, body: bytes) -> bytes:
        """Give a piece of the body as it is sent."""
        size = len(body)
        if self._bodiless or not size:
            return b""
        if self._left_to_send is not None:
            if size > self._left_to_send:
                message = (
                    f"The body is {size - self._left_to_send} bytes longer than the Content-Length that was "
                    f"announced: {self.describe()}"
                )
                raise RuntimeError(message)
            self._left_to_send -= size
        self.body_size += size
        return encode_chunk(body) if self._chunked else body

    async def _drain(self, size: int) -> None:
        """Wait until the client has read enough, and now and then until others have had their turn."""
        self._turn += size + _EACH
        if self._turn > _AT_ONCE:
            self._turn = 0
            await asyncio.sleep(0)
        try:
            await self.connection.writable()
        except ConnectionError:
            self.told = True
            raise

    def end(self) -> None:
        """Let the connection go on: the response is complete, whatever the application still does."""
        self.complete = True
        incoming = self.incoming
        if incoming is not None and not incoming.ended:
            message = "The response is complete: the rest of the request's body is not to be had any more"
            incoming.fail(PayloadAccessError(message))
        if self._leaving is not None and not self._leaving.done():
            self._leaving.set_result(None)
        connection = self.connection
        if connection.exchange is self:
            connection.over(reusable=self.keep_alive)
        if self.owner.access_log is not None:
            self.log()

    def log(self) -> None:
        """Note the request in the access log."""
        log = self.owner.access_log
        if log is not None:
            try:
                request, response = AnsweredRequest(self), SentResponse(self)
                log.log(request, response, self.owner.loop.time() - self.began)  # type: ignore[arg-type]  # see `access`
            except Exception:
                self.owner.logger.exception("The access log failed for %s", self.describe())

    def push(self, data: bytes) -> None:
        """Send what needs no framing."""
        self.started = True
        transport = self.connection.transport
        if transport is not None:
            transport.write(data)

    # What the handler does when the application has not

    @property
    def is_left(self) -> bool:
        """Whether nobody is there to read an answer."""
        return self._left or not self.connection.connected

    @property
    def stopping(self) -> bool:
        """Whether the server has begun to stop."""
        return self._stopping

    @property
    def is_bodiless(self) -> bool:
        """Whether nothing follows the head that `frame` has given."""
        return self._bodiless

    def abandon(self) -> None:
        """End the connection: the application is over, and the response is not complete."""
        self.keep_alive = False
        self.complete = True
        incoming = self.incoming
        if incoming is not None and not incoming.ended:
            message = "The request is over: its body can be read only while its application runs"
            incoming.fail(PayloadAccessError(message))
        if self._leaving is not None and not self._leaving.done():
            self._leaving.set_result(None)
        if self.connection.exchange is self:
            self.connection.over(reusable=False)

    def refuse(self, status: int, text: str, fields: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Answer instead of the application, and end the connection; for as long as nothing was sent."""
        self.keep_alive = False
        self.status = status
        body = f"{status}: {reason_of(status)}{text}\n".encode("utf-8", "backslashreplace")
        self.fields = read_fields([(b"Content-Type", b"text/plain; charset=utf-8"), *fields])
        if self.connection.connected and not self._left:
            self._answer(self.fields, body)

    # What the connection tells

    def gone(self, error: Exception | None) -> None:
        """See `ServedExchange.gone`."""
        self.disconnected = True
        super().gone(error)


def as_bytes(body: Any) -> bytes:
    """Give a body as bytes.

    Raises:
        TypeError: it is none.

    """
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body)
    message = f"The body of an event is bytes, not {type(body).__name__}; write .encode() behind a str"
    raise TypeError(message)


def _gathered(body: BodyStream, first: bytes) -> bytes:
    """Give small pieces that have come as one: each would be an event of its own."""
    pieces = [first]
    size = len(first)
    while size < _EVENT and (piece := body.take(_EVENT - size)):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


def _ours(fields: Fields) -> bytes:
    """Give the lines of Date and Server that the application has not given."""
    date = "" if fields.has_date else f"Date: {http_date()}\r\n"
    server = "" if fields.has_server else f"Server: {SERVER_SOFTWARE}\r\n"
    return (date + server).encode()
