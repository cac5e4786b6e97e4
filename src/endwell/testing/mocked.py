"""Requests without a socket: `make_mocked_request`, and the exchange in memory that stands behind them.

For tests of handlers, middlewares and responses. The request, its head, its reader and the writer of the response's
body are the real classes; what would go to the client is collected in `request._exchange.sent`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from urllib.parse import quote

from multidict import CIMultiDict

from endwell.connection.body import BodyStream
from endwell.connection.reader import EMPTY_PAYLOAD, StreamReader
from endwell.connection.writer import BodyWriter
from endwell.http import hdrs
from endwell.http.fields import check_field, check_text, render_fields
from endwell.http.version import HttpVersion, HttpVersion11
from endwell.http.writer import AbstractStreamWriter
from endwell.lifetime import Resource, start
from endwell.server.request import Request
from endwell.transport.stream import Stream
from endwell.wire.http1.request_head import RequestHead

if TYPE_CHECKING:
    from unittest.mock import AsyncMock

    from endwell.server.application import Application
    from endwell.server.proxied import Proxied
    from endwell.server.response import StreamResponse

__all__ = ("MockedExchange", "make_mocked_coro", "make_mocked_request")

_T = TypeVar("_T")
_NOT_GIVEN: Final[Any] = object()
_READ_LIMIT: Final = 2**16


class _Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self, sent: bytearray, extra: dict[str, Any]) -> None:
        super().__init__(extra)
        self._sent = sent
        self._closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._sent += data

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        for data in list_of_data:
            self._sent += data

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True

    abort = close

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


class MockedExchange:
    """A `server.seams.RequestExchange` in memory.

    Attributes:
        sent: everything the client would have got, framing included.
        stream: what the writer of the body writes to; call its ``pause_writing``, ``resume_writing`` and
            ``connection_lost`` to play a slow client, or one that goes.
        writer: of the body of the response, None before `begin`.
        ended: the response was sent to its end.
        continued: 100 (Continue) was asked for.

    """

    def __init__(
        self,
        head: RequestHead,
        body: BodyStream | None = None,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.head = head
        self.proxied: Proxied | None = None
        self.whole = b""
        self.body = body
        self.keep_alive = head.keep_alive
        self.started = False
        self.status = 0
        self.response: StreamResponse | None = None
        self.sent = bytearray()
        self.continued = False
        self.stream = Stream(cast("Resource", None), cast("asyncio.AbstractEventLoop", loop))
        self.stream.connection_made(_Transport(self.sent, dict(extra or {})))
        self.writer: AbstractStreamWriter | None = None
        self._whole = False
        self._loop = loop
        self._given: dict[str, Any] = {}
        self._stopping = False
        self._at_stop: dict[object, Callable[[], None]] = {}
        self._left = asyncio.Event()

    def give(self, **parts: Any) -> None:
        """Have ``transport``, ``protocol``, ``writer`` or ``task`` be what the test gives."""
        self._given.update(parts)
        self.writer = self._given.get("writer", self.writer)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that was given, else the running one. Raises RuntimeError when there is none."""
        return asyncio.get_running_loop() if self._loop is None else self._loop

    @loop.setter
    def loop(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop

    @property
    def ended(self) -> bool:
        """Whether the response was sent to its end."""
        return self._whole or bool(getattr(self.writer, "ended", False))

    @property
    def transport(self) -> asyncio.Transport | None:
        """See `RequestExchange.transport`."""
        given = self._given.get("transport", _NOT_GIVEN)
        return self.stream.transport if given is _NOT_GIVEN else given

    @property
    def protocol(self) -> Any:
        """See `RequestExchange.protocol`."""
        return self._given.get("protocol", self.stream)

    @property
    def task(self) -> asyncio.Task[Any] | None:
        """The task that was given, else the running one, None outside of a loop."""
        try:
            return self._given["task"] if "task" in self._given else asyncio.current_task()
        except RuntimeError:
            return None

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See `RequestExchange.get_extra_info`."""
        transport = self.transport
        return default if transport is None else transport.get_extra_info(name, default)

    def send(self, data: bytes) -> None:
        """See `RequestExchange.send`."""
        self._begins(data)
        self._whole = True
        self.sent += data

    def begin(self, head: bytes, length: int | None, *, chunked: bool) -> AbstractStreamWriter:
        """See `RequestExchange.begin`."""
        self._begins(head)
        self.sent += head
        if "writer" in self._given:
            return cast("AbstractStreamWriter", self._given["writer"])
        self.writer = writer = BodyWriter(self.stream, length)
        if chunked:
            writer.enable_chunking()
        return writer

    def switch(self, head: bytes) -> tuple[Any, bytes]:
        """See `RequestExchange.switch`."""
        message = "A mocked request has no connection that could switch protocols: use TestServer and TestClient"
        raise RuntimeError(message)

    def _begins(self, head: bytes) -> None:
        if self.started:
            message = "A response was sent for this request already"
            raise RuntimeError(message)
        if self.status == 0:
            self.status = int(head[9:12])
        self.started = True

    def interim_writer(self) -> BodyWriter:
        """See `RequestExchange.interim_writer`."""
        self.continued = True
        return BodyWriter(self.stream, None)

    def send_continue(self) -> None:
        """See `RequestExchange.send_continue`."""
        if self.head.waits_for_continue and not self.continued and not self.started:
            self.sent += b"HTTP/1.1 100 Continue\r\n\r\n"
            self.continued = True

    def call_at_stop(self, callback: Callable[[], None]) -> Callable[[], None]:
        """See `RequestExchange.call_at_stop`; `stop` calls the callback."""
        if self._stopping:
            callback()
            return _nothing
        key = object()
        self._at_stop[key] = callback

        def take_back() -> None:
            self._at_stop.pop(key, None)

        return take_back

    def stop(self) -> None:
        """Play a server that begins to stop."""
        self._stopping = True
        self.keep_alive = False
        while self._at_stop:
            self._at_stop.pop(next(iter(self._at_stop)))()

    def disconnect(self) -> None:
        """Play a client that goes."""
        self.stream.connection_lost(None)
        self.stream.transport = None
        self._left.set()

    def create_task(self, coro: Coroutine[Any, Any, _T], *, name: str | None = None) -> asyncio.Task[_T]:
        """Start a task; here nobody awaits it but the test."""
        return start(self.loop, coro, name)

    async def wait_for_disconnection(self) -> None:
        """Return when `disconnect` was called."""
        await self._left.wait()


def _nothing() -> None:
    return None


def make_mocked_request(
    method: str,
    path: str,
    headers: Any = None,
    *,
    match_info: Any = _NOT_GIVEN,
    version: HttpVersion = HttpVersion11,
    closing: bool = False,
    app: Application | Any | None = None,
    writer: Any = _NOT_GIVEN,
    protocol: Any = _NOT_GIVEN,
    transport: Any = _NOT_GIVEN,
    payload: StreamReader | bytes = EMPTY_PAYLOAD,
    sslcontext: Any | None = None,
    client_max_size: int = 1024**2,
    client_max_fields: int = 1000,
    loop: Any = ...,
) -> Request:
    """Make a request without a connection, for tests of handlers. Needs no running loop.

    Args:
        method: such as ``"GET"``.
        path: the target of the request, with its query; what may not stand there is quoted.
        headers: a mapping or pairs; nothing is added to them.
        match_info: what the router found: a mapping, or a ready `UrlMappingMatchInfo`.
        version: of HTTP.
        closing: the client wants the connection closed after the response.
        app: the application, by default a new one without routes.
        writer: of the body of the response; by default one whose bytes are found in ``request._exchange.sent``.
        protocol: what `request.protocol` gives.
        transport: what `request.transport` gives and `get_extra_info` asks.
        payload: the body, a `StreamReader` or bytes (that is ours: aiohttp takes no bytes).
        sslcontext: when given, the scheme is ``https``.
        client_max_size: bytes of a body that are read at most; 0 for no limit.
        client_max_fields: fields of a form.
        loop: what the exchange uses; by default the running one.

    Raises:
        ValueError: the head could not have been parsed: CR, LF or NUL somewhere, or a name that is no token.

    """
    head = _make_head(method, path, headers, version, closing=closing)
    if isinstance(payload, bytes):
        payload = _complete(payload) if payload else EMPTY_PAYLOAD
    body = payload._body if isinstance(payload, StreamReader) and payload is not EMPTY_PAYLOAD else None
    extra = {"peername": None, "sockname": ("127.0.0.1", 80), "sslcontext": sslcontext}
    exchange = MockedExchange(head, body, loop=None if loop is ... else loop, extra=extra)
    given = {"writer": writer, "protocol": protocol, "transport": transport}
    exchange.give(**{name: part for name, part in given.items() if part is not _NOT_GIVEN})
    scheme = None if sslcontext is None else "https"
    request = Request(exchange, client_max_size=client_max_size, client_max_fields=client_max_fields, scheme=scheme)
    request._content = payload
    request._match_info = _make_match_info(match_info, app)
    return request


def _complete(data: bytes) -> StreamReader:
    """Give a body that has arrived. It never waits, so it never asks its loop for anything."""
    no_loop = cast("asyncio.AbstractEventLoop", None)
    body = BodyStream(no_loop, None, _READ_LIMIT)
    body.feed([data])
    body.end()
    return StreamReader(body, None, no_loop)


class _MockedHead(RequestHead):
    """A head that need not be one the server would let pass: `Host` may be missing, the version any."""

    __slots__ = ("_version",)

    _version: HttpVersion

    @property
    def host(self) -> str | None:
        if self.target[0] in "/*" or "://" in self.target or self.method == "CONNECT":
            return super().host
        host = self.first(b"\r\nhost:")
        return None if host is None else host.decode("utf-8", "surrogateescape")

    @property
    def version(self) -> HttpVersion:
        return self._version


def _make_head(method: str, path: str, headers: Any, version: HttpVersion, *, closing: bool) -> RequestHead:
    """Make the head of the bytes in which a client would have sent it."""
    fields: CIMultiDict[str] = CIMultiDict(headers or {})
    check_field(method, "")
    target = quote(check_text("path", path), safe="!#$%&'()*+,/:;=?@[]~", encoding="utf-8", errors="surrogateescape")
    target = target or "/"
    raw = f"{method} {target} HTTP/{version.major}.{version.minor}\r\n".encode() + render_fields(fields) + b"\r\n"
    head = _MockedHead(raw, raw.lower(), method, target, int(version >= HttpVersion11))
    head.keep_alive = head.keep_alive and not closing
    head._version = version
    length = fields.get(hdrs.CONTENT_LENGTH, "")
    head.length = int(length) if length.isascii() and length.isdigit() else None
    head.chunked = "chunked" in fields.get(hdrs.TRANSFER_ENCODING, "").lower()
    return head


def _make_match_info(given: Any, app: Any) -> Any:
    from endwell.server.application import Application
    from endwell.server.router import UrlMappingMatchInfo

    if isinstance(given, UrlMappingMatchInfo):
        match_info = given
    else:
        from unittest.mock import Mock

        match_info = UrlMappingMatchInfo({} if given is _NOT_GIVEN else dict(given), Mock())
    if not match_info.apps:
        match_info.add_app(Application() if app is None else app)
    return match_info


def make_mocked_coro(return_value: Any = _NOT_GIVEN, raise_exception: Any = _NOT_GIVEN) -> AsyncMock:
    """Make a mock that is awaited: it gives `return_value` (None by default), or raises `raise_exception`."""
    from unittest.mock import AsyncMock

    mock = AsyncMock(return_value=None if return_value is _NOT_GIVEN else return_value)
    if raise_exception is not _NOT_GIVEN:
        mock.side_effect = raise_exception
    return mock
