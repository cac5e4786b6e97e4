"""Server-sent events: a response that is a stream of events (WHATWG HTML, section 9.2).

`event_stream` is exported; the client's half is `endwell.sse`. Used by handlers:

    async def ticks(request):
        async with web.event_stream(request) as events:
            async for tick in clock():
                await events.send(tick)
        return events

When the server stops, the block ends at once, in order, and the handler goes on behind it: browsers connect again by
themselves, to a server that is there.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from endwell.http.fields import check_text
from endwell.http.typedefs import JSONEncoder, LooseHeaders
from endwell.server.negotiation import ContentCoding
from endwell.server.response import StreamResponse
from endwell.wire.http1 import encode_chunk

if TYPE_CHECKING:
    from endwell.server.request import BaseRequest

__all__ = ("EventStreamResponse", "event_stream")

# The standard's ends of a line, and no others: str.splitlines knows ten.
_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_HEARTBEAT: Final = b":\n\n"
_GONE: Final = "The client of the event stream has gone"


def _field(name: str, value: str) -> str:
    return f"{name}: {check_text(f'The {name} of a server-sent event', value)}\n"


def _retry_field(milliseconds: int) -> str:
    if not isinstance(milliseconds, int) or isinstance(milliseconds, bool) or milliseconds < 0:
        message = f"retry is {milliseconds!r}: give the milliseconds before a reconnection as an int, 0 or more"
        raise ValueError(message)
    return f"retry: {milliseconds}\n"


class EventStreamResponse(StreamResponse):
    """A response of server-sent events; `event_stream` makes it and starts it.

    Args:
        heartbeat: seconds without an event after which a comment is sent, so that nobody between takes the connection
            for dead; None for never. At each heartbeat it is seen whether the client is still there.
        headers: further fields; they win over those of the stream.
        retry: milliseconds after which the client is to connect again.

    Attributes:
        stopped: the block was ended because the server stops.

    """

    def __init__(
        self, *, heartbeat: float | None = 15.0, headers: LooseHeaders | None = None, retry: int | None = None
    ) -> None:
        if heartbeat is not None and not heartbeat > 0:
            message = f"heartbeat is {heartbeat!r}: give a positive number of seconds, or None for no heartbeat"
            raise ValueError(message)
        super().__init__(headers=headers)
        for name, value in (
            ("Content-Type", "text/event-stream"),
            ("Cache-Control", "no-cache"),
            ("X-Accel-Buffering", "no"),
        ):
            self.headers.setdefault(name, value)
        self.stopped = False
        self._heartbeat = heartbeat
        self._first = "" if retry is None else _retry_field(retry) + "\n"
        self._for: BaseRequest | None = None
        self._inside: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self._interrupted = False
        self._gone = False
        self._last = 0.0
        self._timer: asyncio.Handle | None = None
        self._interruption: asyncio.Handle | None = None
        self._take_back: Callable[[], None] | None = None

    @property
    def last_event_id(self) -> str:
        """The id of the last event that the client got before it lost its connection, ``""`` when it tells none."""
        request = self._for or self._request
        return "" if request is None else request.headers.get("Last-Event-ID", "")

    def enable_compression(self, force: bool | ContentCoding | None = None, strategy: int | None = None) -> None:
        """Do nothing: an encoder would hold events back until it has enough to compress."""

    # What is sent

    async def send(
        self,
        data: str,
        event: str | None = None,
        id: str | None = None,  # noqa: A002 - the field's name
        retry: int | None = None,
    ) -> None:
        """Send an event; returns when the client keeps up.

        Args:
            data: any text; a line for each of its lines.
            event: its type, ``message`` when None.
            id: what the client tells as `last_event_id` when it connects again.
            retry: milliseconds after which it is to do so.

        Raises:
            ConnectionResetError: the client has gone.
            RuntimeError: before the stream was prepared, or after its end.
            ValueError: CR, LF or NUL in `event` or `id`, or a `retry` that is no number of milliseconds.
            TypeError: `data` is no string.

        """
        if not isinstance(data, str):
            message = f"The data of an event is a string, not {type(data).__name__}: see send_json() for other values"
            raise TypeError(message)
        fields = []
        if event is not None:
            fields.append(_field("event", event))
        if id is not None:
            fields.append(_field("id", id))
        if retry is not None:
            fields.append(_retry_field(retry))
        if "\n" in data or "\r" in data:
            fields.extend([f"data: {line}\n" for line in _LINE_END.split(data)])
        else:
            fields.append(f"data: {data}\n")
        fields.append("\n")
        await self._send("".join(fields))

    async def send_json(
        self,
        data: Any,
        event: str | None = None,
        id: str | None = None,  # noqa: A002 - the field's name
        retry: int | None = None,
        *,
        dumps: JSONEncoder = json.dumps,
    ) -> None:
        """Send an event whose data is JSON, by `dumps`; see `send` for the rest."""
        await self.send(dumps(data), event, id, retry)

    async def comment(self, text: str = "") -> None:
        """Send a comment, which clients ignore: a line for each line of `text`. Raises as `send` does."""
        await self._send("".join([f": {line}\n" for line in _LINE_END.split(text)]) + "\n")

    async def _send(self, text: str) -> None:
        exchange = self._exchange
        if exchange is not None:
            self._last = exchange.loop.time()
            transport = exchange.transport
            if transport is None or transport.is_closing():
                raise ConnectionResetError(_GONE)
        if self._bodiless:
            await asyncio.sleep(0)  # nothing is written that could wait, and so nothing would end the block
        await self.write(text.encode())

    # The block

    async def __aenter__(self) -> Self:
        """Send the head, and begin to watch the server and the client."""
        if self._for is None:
            message = "An EventStreamResponse is entered by `async with web.event_stream(request) as events`"
            raise RuntimeError(message)
        if self.prepared:
            message = "This event stream was used already: make a new one for each request"
            raise RuntimeError(message)
        task = asyncio.current_task()
        assert task is not None  # this is a coroutine of one
        await self.prepare(self._for)
        if self._first:
            await self.write(self._first.encode())
        exchange = self._exchange
        assert exchange is not None  # it is prepared
        self._inside = task
        self._cancelling = task.cancelling()
        self._last = exchange.loop.time()
        self._take_back = exchange.call_at_stop(self._stop)
        if self._bodiless:
            self._interrupt()  # the client asked for the head (HEAD), and has it
        elif self._heartbeat is not None:
            self._timer = exchange.loop.call_later(self._heartbeat, self._beat, self._heartbeat)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """End the stream; swallow the cancellation by which we ended the block, and no other."""
        task, self._inside = self._inside, None
        self._forget()
        ours = False
        if self._interrupted and task is not None:
            others = task.uncancel() > self._cancelling
            ours = not others and kind is not None and issubclass(kind, asyncio.CancelledError)
        if ours and self._gone:
            raise ConnectionResetError(_GONE) from error
        if kind is None or ours:
            await self.write_eof()
        return ours

    def _forget(self) -> None:
        """Take back what could still call us."""
        for handle in (self._timer, self._interruption):
            if handle is not None:
                handle.cancel()
        self._timer = self._interruption = None
        if self._take_back is not None:
            self._take_back()
            self._take_back = None

    def _stop(self) -> None:
        self.stopped = True
        self._interrupt()

    def _interrupt(self) -> None:
        """Have the block end, as `asyncio.timeout` does it.

        Never in the task's own step: a cancellation that finds it running would strike wherever it waits next, perhaps
        behind the block.
        """
        if self._interruption is None and not self._interrupted and self._inside is not None:
            self._interruption = self._inside.get_loop().call_soon(self._cancel)

    def _cancel(self) -> None:
        if self._inside is not None and not self._inside.done():
            self._interrupted = True
            self._inside.cancel("the event stream ends")

    def _beat(self, every: float) -> None:
        exchange = self._exchange
        if exchange is None or self._interrupted:
            return
        transport = exchange.transport
        if transport is None or transport.is_closing():
            # The handler may wait for its next event for a long time yet.
            self._gone = True
            self._interrupt()
            return
        now = exchange.loop.time()
        due = self._last + every
        if now >= due:
            # What is not written yet shows the client as well that we are there.
            if transport.get_write_buffer_size() == 0:
                beat = encode_chunk(_HEARTBEAT) if self._in_chunks else _HEARTBEAT
                transport.write(beat)
                self._head_size += len(beat)  # the writer has not counted it
            self._last = now
            due = now + every
        self._timer = exchange.loop.call_at(due, self._beat, every)

    @property
    def _in_chunks(self) -> bool:
        return "Transfer-Encoding" in self.headers


def event_stream(
    request: BaseRequest,
    *,
    heartbeat: float | None = 15.0,
    headers: LooseHeaders | None = None,
    retry: int | None = None,
) -> EventStreamResponse:
    """Answer a request with server-sent events: ``async with web.event_stream(request) as events``.

    Inside the block ``await events.send(...)`` sends an event; behind it the handler returns `events`. When the server
    stops, the block is interrupted where it waits, as by `asyncio.timeout`, the stream ends in order and
    ``events.stopped`` is true; the handler's own ``finally`` and ``except`` clauses run. On cancellation from outside,
    and when the block raises, the stream is cut off instead, so that the client can tell.

    Args:
        request: what is answered. For HEAD the block is interrupted at its first ``await``.
        heartbeat: seconds without an event after which a comment is sent; None for never.
        headers: further fields; they win over those of the stream.
        retry: milliseconds after which the client is to connect again.

    Raises:
        ValueError: `heartbeat` or `retry` is out of range; from the block's beginning also what
            `StreamResponse.prepare` raises.
        ConnectionResetError: from `send`, and from the block when the client has gone while it waited (found out by the
            heartbeat).

    """
    response = EventStreamResponse(heartbeat=heartbeat, headers=headers, retry=retry)
    response._for = request
    return response
