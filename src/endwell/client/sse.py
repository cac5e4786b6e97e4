"""Server-sent events: the event stream parsed, and read across lost connections.

WHATWG HTML, section 9.2 ("Server-sent events"). ``sse`` is exported; ``EventStreamParser`` does no I/O.

    async with session.get(url, headers={"Accept": "text/event-stream"}) as response:
        async with sse(response) as events:
            async for event in events:
                print(event.event, event.json())
"""

import asyncio
import json
import re
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from endwell.client.errors import (
    ClientConnectionError,
    ClientPayloadError,
    ClientResponseError,
    ContentCodingError,
    ContentTypeError,
    ExchangeAbortedError,
    SessionClosedError,
)

if TYPE_CHECKING:
    from endwell.client.response import ClientResponse

__all__ = ("EventSource", "EventStreamError", "EventStreamParser", "ServerSentEvent", "sse")

DEFAULT_RETRY: Final = 3.0
"""Seconds before a reconnection, until the server says otherwise; what browsers take."""
MAX_LINE: Final = 8 * 1024 * 1024
MAX_EVENT: Final = 8 * 1024 * 1024

_MEDIA_TYPE: Final = "text/event-stream"
_BOM: Final = b"\xef\xbb\xbf"
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
# What a line costs beside its text: a body of nothing but empty lines of data must not grow.
_LINE_COST: Final = 8
# A longer id is ignored: it has to go into a field of the next request.
_MAX_ID: Final = 4096
# Statuses of a reconnection after which the next one may do better.
_PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})
# Connections that bring no event are repeated ever more slowly, from this many seconds on.
_LEAST_BACKOFF: Final = 0.5


class EventStreamError(ValueError):
    """A line or an event of the stream is longer than is allowed; ``events`` came before it in the same bytes."""

    events: "list[ServerSentEvent]"


class ServerSentEvent(NamedTuple):
    """An event: its type (``message`` unless named), its text, the last id seen, and ``retry`` if it came with it.

    ``retry`` is in milliseconds, as the server wrote it.
    """

    event: str
    data: str
    id: str = ""
    retry: int | None = None

    def json(self, *, loads: Callable[[str], Any] = json.loads) -> Any:
        """``data``, parsed. Raises ValueError when it is not JSON."""
        return loads(self.data)


class EventStreamParser:
    """Bytes of an event stream, split anywhere, to events.

    ``last_event_id`` and ``retry`` (milliseconds, or None) are what the stream said last; a parser for the next
    connection is made with that id. ``max_line`` and ``max_event``: bytes of a line, and of the data of an event.
    """

    __slots__ = (
        "_began", "_data", "_event", "_id", "_line", "_new_retry", "_size", "_skip_lf",
        "last_event_id", "max_event", "max_line", "retry",
    )  # fmt: skip

    def __init__(self, last_event_id: str = "", *, max_line: int = MAX_LINE, max_event: int = MAX_EVENT) -> None:
        self.last_event_id = last_event_id
        self.retry: int | None = None
        self.max_line = max_line
        self.max_event = max_event
        self._began = False
        self._skip_lf = False
        # The line that is not complete.
        self._line = bytearray()
        self._data: list[str] = []
        self._size = 0
        self._event = ""
        self._id = last_event_id
        self._new_retry: int | None = None

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """The events that ``data`` completes.

        Raises EventStreamError past a limit; the parser is of no more use then.
        """
        events: list[ServerSentEvent] = []
        try:
            self._feed(data, events)
        except EventStreamError as error:
            error.events = events
            raise
        return events

    def _feed(self, data: bytes, events: list[ServerSentEvent]) -> None:
        start = 0
        if self._skip_lf and data:
            start = 1 if data[0] == 0x0A else 0  # the second half of a CRLF
            self._skip_lf = False
        for end in _LINE_END.finditer(data, start):
            event = self._take_line(self._finished(data[start : end.start()]))
            start = end.end()
            if event is not None:
                events.append(event)
        if start < len(data):
            self._check_line(len(data) - start)
            self._line += data[start:]
        elif start and data[start - 1] == 0x0D:
            self._skip_lf = True

    def successor(self) -> "EventStreamParser":
        """A parser for the next connection: it goes on from the last event that was complete."""
        return EventStreamParser(self.last_event_id, max_line=self.max_line, max_event=self.max_event)

    def _check_line(self, more: int) -> None:
        if len(self._line) + more > self.max_line:
            raise EventStreamError(f"a line of the event stream is longer than {self.max_line} bytes (max_line)")

    def _finished(self, part: bytes) -> bytes:
        """The line that ends with ``part``."""
        self._check_line(len(part))
        line = part
        if self._line:
            line = bytes(self._line) + part
            self._line = bytearray()
        if not self._began:
            self._began = True
            line = line.removeprefix(_BOM)
        return line

    def _take_line(self, line: bytes) -> ServerSentEvent | None:
        if not line:
            return self._dispatch()
        name, _, raw = line.partition(b":")
        value = raw.removeprefix(b" ").decode("utf-8", "replace")
        if name == b"data":
            self._size += len(raw) + _LINE_COST
            if self._size > self.max_event:
                raise EventStreamError(f"an event of the stream is longer than {self.max_event} bytes (max_event)")
            self._data.append(value)
        elif name == b"event":
            self._event = value
        elif name == b"id":
            if "\0" not in value and len(raw) <= _MAX_ID:
                self._id = value
        elif name == b"retry" and value.isascii() and value.isdigit():
            self._new_retry = self.retry = int(value[:12])  # more digits than that are no time at all
        return None

    def _dispatch(self) -> ServerSentEvent | None:
        self.last_event_id = self._id
        event = None
        if self._data:
            event = ServerSentEvent(self._event or "message", "\n".join(self._data), self._id, self._new_retry)
            self._data.clear()
            self._size = 0
        self._event = ""
        self._new_retry = None
        return event


class EventSource:
    """The events of a response, and of the ones after it: an async iterator and an async context manager.

    Made by ``sse()``. ``response`` is the one that is read now; ``last_event_id`` what the server would be told.
    """

    def __init__(
        self,
        response: "ClientResponse",
        *,
        reconnect: bool,
        max_reconnects: int | None,
        retry: float,
        max_delay: float,
        max_line: int,
        max_event: int,
    ) -> None:
        self.response = response
        self._reconnects = reconnect
        self._max_reconnects = max_reconnects
        self._retry = retry
        self._max_delay = max_delay
        self._parser = EventStreamParser(max_line=max_line, max_event=max_event)
        self._events: deque[ServerSentEvent] = deque()
        self._checked = False
        self._first = True
        self._lost = False
        self._over = False
        # Connections in a row that brought no event.
        self._failures = 0
        # To be raised when the events before it were taken.
        self._fault: Exception | None = None

    @property
    def last_event_id(self) -> str:
        """The id of the last event that was complete; empty: none had one."""
        return self._parser.last_event_id

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ServerSentEvent:
        """The next event.

        Cancelled, it loses no event and may be called again.
        """
        while not self._events:
            if self._fault is not None:
                fault, self._fault = self._fault, None
                raise fault
            if self._over:
                raise StopAsyncIteration
            if self._lost:
                await self._connect()
            elif not self._checked:
                self._check()
            else:
                await self._read()
        return self._events.popleft()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the response that is read; the iterator ends."""
        self._end()
        self._events.clear()
        self._fault = None

    def _end(self) -> None:
        self._over = True
        self.response.close()

    def _check(self) -> None:
        """Look at the head of the response before anything of its body is read."""
        response = self.response
        status = response.status
        if status == 204:  # the server wants no further connection
            self._end()
        elif status in _PASSING and not self._first:
            self._lose(self._unfit(f"{status} {response.reason}"))
        elif status != 200:
            self._end()
            raise self._unfit(response.reason or "not an event stream")
        elif response.content_type != _MEDIA_TYPE:
            self._end()
            text = f"the media type is {response.content_type!r}, an event stream has {_MEDIA_TYPE!r}"
            raise ContentTypeError(
                response.request_info, response.history, status=status, message=text, headers=response.headers
            )
        else:
            self._checked = True
            self._first = False

    def _unfit(self, message: str) -> ClientResponseError:
        response = self.response
        return ClientResponseError(
            response.request_info, response.history, status=response.status, message=message, headers=response.headers
        )

    async def _read(self) -> None:
        try:
            data = await self.response.content.readany()
        except (ExchangeAbortedError, SessionClosedError):
            self._end()
            return
        except ContentCodingError:
            self._end()
            raise
        except (ClientConnectionError, ClientPayloadError, TimeoutError) as error:
            self._lose(error)
            return
        if not data:
            self._lose(None)
            return
        try:
            events = self._parser.feed(data)
        except EventStreamError as error:
            self._end()
            self._fault = ClientPayloadError(str(error))
            self._fault.__cause__ = error
            events = error.events
        if self._parser.retry is not None:
            self._retry = self._parser.retry / 1000
        if events:
            self._failures = 0
            self._events.extend(events)

    def _lose(self, error: Exception | None) -> None:
        """Take the connection for lost; raise ``error`` if there will be no other."""
        self.response.close()
        self._failures += 1
        self._checked = False
        if self._reconnects and (self._max_reconnects is None or self._failures <= self._max_reconnects):
            self._lost = True
            # What was incomplete is dropped, as the standard says.
            self._parser = self._parser.successor()
            return
        self._over = True
        if error is not None:
            raise error

    async def _connect(self) -> None:
        await asyncio.sleep(self._delay())
        last = self._parser.last_event_id
        try:
            self.response = await self.response._replay({"Last-Event-ID": last} if last else {})
        except (ExchangeAbortedError, SessionClosedError):
            self._end()
        except (ClientConnectionError, TimeoutError) as error:
            self._lose(error)
        else:
            self._lost = False
            self._first = False

    def _delay(self) -> float:
        """Seconds to wait: what the server wants, longer after connections that brought nothing."""
        if self._failures <= 1:
            return min(self._retry, self._max_delay)
        return min(max(self._retry, _LEAST_BACKOFF) * 2.0 ** min(self._failures - 1, 60), self._max_delay)


def sse(
    response: "ClientResponse",
    *,
    reconnect: bool = True,
    max_reconnects: int | None = None,
    retry: float = DEFAULT_RETRY,
    max_delay: float = 300.0,
    max_line: int = MAX_LINE,
    max_event: int = MAX_EVENT,
) -> EventSource:
    """The server-sent events of ``response``: ``async for event in sse(response)``.

    When the connection is lost or the stream ends, the request is sent again, with ``Last-Event-ID``, after ``retry``
    seconds or what the server asks for; twice as long after each connection that brought no event, at most
    ``max_delay``. ``max_reconnects``: how many of those in a row; then the last error is raised, or the iterator ends
    if there was none. It ends too when the server answers 204, and when the session is closed. ``reconnect=False``:
    one connection only.

    The iterator raises ClientResponseError for a status other than 200, ContentTypeError for another media type,
    ClientPayloadError for a line over ``max_line`` or an event over ``max_event`` bytes. ``aclose()``, or leaving
    ``async with``, closes the response.

    Set ``ClientTimeout(total=None, sock_read=...)`` on the request: the usual ``total`` ends every stream after five
    minutes, for it to be connected again.
    """
    if max_reconnects is not None and max_reconnects < 0:
        raise ValueError(f"max_reconnects must not be negative, got {max_reconnects!r}; None is without limit")
    return EventSource(
        response,
        reconnect=reconnect,
        max_reconnects=max_reconnects,
        retry=retry,
        max_delay=max_delay,
        max_line=max_line,
        max_event=max_event,
    )
