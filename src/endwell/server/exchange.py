"""One request and its response on a connection (closing.md, "Words"): what `server.seams.RequestExchange` describes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, TypeVar

from endwell.connection.body import BodyStream
from endwell.connection.serving import peer_of
from endwell.connection.writer import BodyWriter
from endwell.http.writer import AbstractStreamWriter
from endwell.lifetime import NEVER, Origin, caller

if TYPE_CHECKING:
    from endwell.connection.serving import ServerConnection
    from endwell.server.core import ServerCore
    from endwell.server.proxied import Proxied
    from endwell.server.response import StreamResponse
    from endwell.wire.http1.request_head import RequestHead

__all__ = ("Exchange", "ResponseWriter")

_T = TypeVar("_T")
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Exchange:
    """A request that is being served.

    It is a piece of its server's work (`lifetime.Work`) from the moment its handler waits.

    Attributes:
        complete: the response has been handed to the transport to its last byte.
        asker: the task that runs the handler, None as long as it has not waited.

    """

    # What is not set for an exchange is found here: most of them end at once.
    started = False
    complete = False
    status = 0
    asker: asyncio.Task[Any] | None = None
    due = NEVER
    origin: Origin | None = None
    began = 0.0
    writer: AbstractStreamWriter | None = None
    response: StreamResponse | None = None
    proxied: Proxied | None = None
    _continued = False
    _until_close = False
    _left = False
    _silent = False
    _leaving: asyncio.Future[None] | None = None
    _at_stop: dict[object, Callable[[], None]] | None = None
    _stopping = False
    _aborted = False

    def __init__(
        self,
        owner: ServerCore,
        connection: ServerConnection,
        head: RequestHead,
        incoming: BodyStream | None,
        whole: bytes,
    ) -> None:
        self.owner = owner
        self.connection = connection
        self.head = head
        self.incoming = incoming
        self.whole = whole
        self.keep_alive = head.keep_alive

    # What request and response use

    @property
    def body(self) -> BodyStream | None:
        """See `RequestExchange.body`."""
        if self.incoming is None and self.whole:
            self.incoming = BodyStream(self.owner.loop, None, len(self.whole))
            self.incoming.feed([self.whole])
            self.incoming.end()
        return self.incoming

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop."""
        return self.owner.loop

    @property
    def transport(self) -> asyncio.Transport | None:
        """See `RequestExchange.transport`."""
        return None if self._left else self.connection.transport

    @property
    def protocol(self) -> ServerConnection:
        """See `RequestExchange.protocol`."""
        return self.connection

    @property
    def task(self) -> asyncio.Task[Any] | None:
        """See `RequestExchange.task`."""
        return self.asker or asyncio.current_task(self.owner.loop)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See `RequestExchange.get_extra_info`."""
        return self.connection.get_extra_info(name, default)

    def send(self, data: bytes) -> None:
        """See `RequestExchange.send`."""
        self.started = True
        self.complete = True
        transport = self.connection.transport
        if transport is not None and not self._left:
            transport.write(data)

    def begin(self, head: bytes, length: int | None, *, chunked: bool) -> BodyWriter:
        """See `RequestExchange.begin`."""
        self.started = True
        transport = self.connection.transport
        if transport is not None and not self._left:
            transport.write(head)
        writer = self.writer = ResponseWriter(self, length)
        if chunked:
            writer.enable_chunking()
        elif length is None:
            self.keep_alive = False
            self._until_close = True
        return writer

    def switch(self, head: bytes) -> tuple[ServerConnection, bytes]:
        """See `RequestExchange.switch`."""
        self.started = True
        self.status = 101
        self.keep_alive = False
        transport = self.connection.transport
        if transport is not None and not self._left:
            transport.write(head)
        return self.connection, self.connection.switch()

    def settle(self) -> None:
        """Have the response say that the connection ends, if the rest of the body is not going to be read away.

        A client that was not told to continue may leave the body out: what comes next then would have two readings.
        """
        body = self.incoming
        if body is not None and not body.ended:
            unasked = not self._continued and self.head.waits_for_continue
            if unasked or not self.connection.reads_away:
                self.keep_alive = False

    def cut(self) -> None:
        """End a response that has begun and will not be complete, so that the client can see that it is not."""
        self.keep_alive = False
        if self._until_close:
            self.connection.reset()  # an orderly end of the connection would look like the end of the body

    def interim_writer(self) -> BodyWriter:
        """See `RequestExchange.interim_writer`."""
        self._continued = True
        return BodyWriter(self.connection, None)

    def send_continue(self) -> None:
        """See `RequestExchange.send_continue`."""
        if self._continued or self.started or self._left or not self.head.waits_for_continue:
            return
        self._continued = True
        transport = self.connection.transport
        if transport is not None:
            transport.write(_CONTINUE)

    def call_at_stop(self, callback: Callable[[], None]) -> Callable[[], None]:
        """See `RequestExchange.call_at_stop`."""
        if self._at_stop is None:
            self._at_stop = {}
        mark = object()
        self._at_stop[mark] = callback
        if self._stopping:
            callback()
        at_stop = self._at_stop
        return lambda: at_stop.pop(mark, None) and None

    def create_task(self, coro: Coroutine[Any, Any, _T], *, name: str | None = None) -> asyncio.Task[_T]:
        """See `RequestExchange.create_task`."""
        return self.owner.create_task(coro, name=name, origin=caller())

    async def wait_for_disconnection(self) -> None:
        """See `RequestExchange.wait_for_disconnection`."""
        if self._silent:
            return
        if self._leaving is None:
            self._leaving = self.owner.loop.create_future()
        await asyncio.wait([self._leaving])

    # What the connection tells

    def reader_waits(self) -> None:
        """See `ServedExchange.reader_waits`."""
        if self.head.expects:
            self.send_continue()

    def gone(self, error: Exception | None) -> None:
        """See `ServedExchange.gone`."""
        if error is not None or self.connection.transport is None or self.connection.transport.is_closing():
            self._left = True
        self._silent = True
        self.keep_alive = False
        if self._leaving is not None and not self._leaving.done():
            self._leaving.set_result(None)
        if self.owner.handler_cancellation:
            self._cancel("the client has gone")

    def stop(self) -> None:
        """See `ServedExchange.stop`."""
        self.keep_alive = False
        if not self._stopping:
            self._stopping = True
            for callback in list((self._at_stop or {}).values()):
                try:
                    callback()
                except Exception as error:  # noqa: BLE001 - a stop cannot fail: the loop's handler is told
                    message = f"What was to be called at the stop of {self.describe()} failed"
                    self.loop.call_exception_handler({"message": message, "exception": error})

    # What the closing walk calls, and its report

    def describe(self) -> str:
        """One line for reports; the query may hold secrets."""
        head = self.head
        return f"{head.method} {head.target.partition('?')[0][:200]} from {peer_of(self.connection)}"

    def expire(self, now: float) -> None:
        """See `Timed.expire`: a handler may take as long as it likes."""

    def _abort(self, reason: str) -> None:
        self.keep_alive = False
        if not self._aborted:  # who is cancelled and cleans up is not cancelled in that as well
            self._aborted = True
            self._cancel(reason)

    def _cancel(self, reason: str) -> None:
        """Cancel the handler in the next pass of the loop.

        Its task may not have taken its first step: cancelled now it would never be in the block that ends the exchange.
        """
        if self.asker is not None and not self.loop.is_closed():
            self.loop.call_soon(self.asker.cancel, reason)


class ResponseWriter(BodyWriter):
    """Writes the body of a response, and tells the exchange when that has ended."""

    def __init__(self, exchange: Exchange, length: int | None) -> None:
        super().__init__(exchange.connection, length)
        self._exchange = exchange

    async def write_eof(self, chunk: bytes = b"") -> None:
        """See `BodyWriter.write_eof`."""
        await super().write_eof(chunk)
        self._exchange.complete = True
