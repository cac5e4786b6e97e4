"""`StreamResponse`: a response whose body is written piece by piece, and the base of all others (RFC 9110, RFC 9112).

Its head is made by `prepare`: from then on its fields are fixed. The decisions are elsewhere: `response_framing` marks
the end of the body, `negotiation` chooses the coding, `response_head` makes the bytes. Used by handlers; `whole`,
`file_response`, `event_stream` and WebSockets build on it.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from multidict import CIMultiDict

from endwell.http import hdrs
from endwell.http.codings import available_codings
from endwell.http.mediatype import DEFAULT_TYPE
from endwell.http.typedefs import Byteish, LooseHeaders
from endwell.http.writer import AbstractStreamWriter
from endwell.server.appkey import NotAppKeyWarning, ResponseKey
from endwell.server.negotiation import ContentCoding, choose_coding
from endwell.server.response_cookies import ResponseCookies
from endwell.server.response_fields import ResponseFields
from endwell.server.response_framing import Framing, frame, is_bodiless, say_connection
from endwell.server.response_head import (
    REASONS,
    SERVER_SOFTWARE,
    check_reason,
    check_status,
    http_date,
    reason_of,
    render_head,
)
from endwell.server.seams import check_not_begun

if TYPE_CHECKING:
    from endwell.server.request import BaseRequest
    from endwell.server.seams import RequestExchange

__all__ = ("ContentCoding", "StreamResponse")

_T = TypeVar("_T")

# What an earlier look at the framing may have set, for those who see the fields before the head is made.
_FRAMING_FIELDS: Final = (hdrs.CONTENT_LENGTH, hdrs.TRANSFER_ENCODING, hdrs.CONNECTION)

_warned_keys: set[Any] = set()
_WARNED_MAX: Final = 1024


class StreamResponse(ResponseCookies, ResponseFields, MutableMapping[str | ResponseKey[Any], Any]):
    """A response whose body is written piece by piece, and a mapping for what middlewares keep with it.

    Args:
        status: 100 to 999.
        reason: the reason phrase; that of the status when None.
        headers: the first fields.

    Raises:
        ValueError: the status has not three digits, or CR, LF or NUL is in the reason.

    Two responses are equal only when they are the same object. Use:

        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"...")
        await response.write_eof()
        return response

    """

    # Defaults on the class, so that a response sets only what differs.
    _status: int = 200
    _reason: str | None = None
    _state: dict[Any, Any] | None = None
    _keep_alive: bool | None = None
    _compression: bool = False
    _compression_force: ContentCoding | None = None
    _compression_strategy: int | None = None
    _coding: str | None = None
    _request: BaseRequest | None = None
    _exchange: RequestExchange | None = None
    _writer: AbstractStreamWriter | None = None
    _head_made: bool = False
    _head_size: int = 0
    _body_length: int = 0
    _bodiless: bool = False
    _ended: bool = False
    _spent: bool = False
    """It was prepared, and its fields are those of that exchange."""

    def __init__(
        self,
        *,
        status: int = 200,
        reason: str | None = None,
        headers: LooseHeaders | None = None,
        _real_headers: CIMultiDict[str] | None = None,
    ) -> None:
        if _real_headers is not None:
            self._headers = _real_headers
            self._plain = False
        elif headers is not None:
            self._headers = CIMultiDict(headers)
            self._plain = False
        self._set_status(status, reason)

    def __repr__(self) -> str:
        if self._ended:
            how = "eof"
        elif self._request is not None:
            how = f"{self._request.method} {self._request.path}"
        else:
            how = "not prepared"
        return f"<{type(self).__name__} {self.reason} {how}>"

    # The status

    @property
    def status(self) -> int:
        """The status code."""
        return self._status

    @property
    def reason(self) -> str:
        """The reason phrase."""
        return reason_of(self._status) if self._reason is None else self._reason

    def set_status(self, status: int, reason: str | None = None) -> None:
        """Change the status, and the reason phrase with it: that of the status when `reason` is None.

        Raises:
            RuntimeError: the head was sent.
            ValueError: the status has not three digits, or CR, LF or NUL is in the reason.

        """
        if self._head_made or self._ended:
            message = "Cannot change the status: the head of the response was sent"
            raise RuntimeError(message)
        self._set_status(status, reason)

    def _set_status(self, status: int, reason: str | None) -> None:
        self._status = status if status.__class__ is int and status in REASONS else check_status(status)
        self._reason = None
        if reason is not None:
            self._reason = check_reason(reason)
            self._plain = False

    # How it is sent

    @property
    def prepared(self) -> bool:
        """Whether `prepare` was called."""
        return self._exchange is not None or self._ended

    @property
    def task(self) -> asyncio.Task[Any] | None:
        """The task that runs the handler, from `prepare` to the end of the response; else None."""
        return None if self._exchange is None else self._exchange.task

    @property
    def keep_alive(self) -> bool | None:
        """Whether the connection serves another request after this one; None when that is not decided yet."""
        return self._keep_alive

    def force_close(self) -> None:
        """Have the connection closed after this response."""
        self._keep_alive = False
        self._plain = False
        if self._exchange is not None:
            self._exchange.keep_alive = False

    @property
    def chunked(self) -> bool:
        """Whether `enable_chunked_encoding` was called."""
        return self._chunked

    def enable_chunked_encoding(self, chunk_size: int | None = None) -> None:
        """Have the body sent in chunks, even when its length is known. For HTTP/1.0 the connection ends it instead.

        `chunk_size` is deprecated and ignored. Raises RuntimeError when a Content-Length was set.
        """
        if self._field(hdrs.CONTENT_LENGTH) is not None and not self._head_made:
            message = "There are no chunks with a Content-Length: set response.content_length = None before"
            raise RuntimeError(message)
        if chunk_size is not None:
            warnings.warn("chunk_size is deprecated and ignored", DeprecationWarning, stacklevel=2)
        self._chunked = True
        self._plain = False

    @property
    def compression(self) -> bool:
        """Whether `enable_compression` was called."""
        return self._compression

    def enable_compression(self, force: bool | ContentCoding | None = None, strategy: int | None = None) -> None:
        """Have the body sent in a content coding.

        Args:
            force: this coding, without asking what the client accepts; None to choose among gzip, deflate, br and zstd
                by its Accept-Encoding (and to say so in Vary). True (deflate) and False (none) are deprecated.
            strategy: of zlib, for gzip and deflate.

        Nothing is coded where a Content-Encoding was set, and where the response has no body or a part of one. A strong
        entity tag becomes a weak one: the coded form is another representation (RFC 9110 section 8.8.1).

        Raises:
            TypeError: `force` is something else.
            RuntimeError: the package for the coding is not installed.

        """
        if isinstance(force, bool):
            message = "enable_compression() with a boolean is deprecated: give a web.ContentCoding"
            warnings.warn(message, DeprecationWarning, stacklevel=2)
            force = ContentCoding.deflate if force else ContentCoding.identity
        elif force is not None:
            if not isinstance(force, ContentCoding):
                message = f"enable_compression() takes a web.ContentCoding or None, not {type(force).__name__}"
                raise TypeError(message)
            if force is not ContentCoding.identity and force.value not in available_codings().split(", "):
                message = f"{force} is not available here: install endwell[codings], or take ContentCoding.gzip"
                raise RuntimeError(message)
        self._compression = True
        self._compression_force = force
        self._compression_strategy = strategy
        self._plain = False

    @property
    def body_length(self) -> int:
        """Bytes that were sent, head and framing included, once the response has ended or was cut off; 0 before."""
        return self._body_length

    @property
    def output_length(self) -> int:
        """Bytes that were sent so far. Deprecated: see `body_length`."""
        warnings.warn("output_length is deprecated: see body_length", DeprecationWarning, stacklevel=2)
        return self._body_length if self._writer is None else self._head_size + self._writer.output_size

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        """Make the head and send it; what follows is the body. Idempotent.

        Before that, the signal ``on_response_prepare`` is sent, whose handlers see the fields and may change them. When
        it fails or is cancelled before the head was sent, the response counts as not prepared.

        Raises:
            ValueError: a field, the content type or a cookie has CR, LF or NUL, or cannot be a field at all.
            TypeError: the value of a field is no string.
            RuntimeError: the response was sent for another request, or another one was begun for this request.
            ConnectionResetError: the client has gone.

        """
        if self._exchange is not None:
            return self._writer
        if self._ended:
            if request._exchange.started:
                return None
            if self._spent:
                message = f"{self!r} was sent already, for another request: make a new response for each request"
                raise RuntimeError(message)
            self._ended = False
        return await self._start(request)

    async def _start(self, request: BaseRequest) -> AbstractStreamWriter | None:
        exchange = request._exchange
        check_not_begun(exchange)
        self._request = request
        self._exchange = exchange
        fields = self.headers
        try:
            await self._code(request)
            self._complete(fields, exchange)
            if request._has_prepare_hooks:
                given = [fields.getall(name, ()) for name in _FRAMING_FIELDS]
                self._frame(fields, exchange)
                shown = [fields.getall(name, ()) for name in _FRAMING_FIELDS]
                await request._prepare_hook(self)
                for name, before, after in zip(_FRAMING_FIELDS, given, shown, strict=True):
                    if fields.getall(name, ()) == after:
                        fields.popall(name, None)
                        fields.extend([(name, value) for value in before])
                await self._code(request)
            framing = self._frame(fields, exchange)
            head = exchange.head
            self._bodiless = is_bodiless(self._status, head.method)
            self._keep_alive = framing.keep_alive
            if not framing.keep_alive:
                exchange.keep_alive = False
            self._spent = True
            sent = render_head(self._status, self._reason, head.minor, fields, self._cookie_lines())
            check_not_begun(exchange)  # again: there were signals, and threads that compress
            self._head_made = True
            exchange.status = self._status
            self._open(exchange, sent, framing)
        finally:
            if not self._head_made:
                self._request = self._exchange = None
        return self._writer

    def _whole(self, request: BaseRequest) -> bytes | None:
        """Give head and body as one bytes object where that is possible: see `Response`."""
        return None

    def _open(self, exchange: RequestExchange, head: bytes, framing: Framing) -> None:
        """Send the head."""
        self._writer = writer = exchange.begin(head, framing.length, chunked=framing.chunked)
        exchange.response = self
        # Some writers count the head, some don't.
        self._head_size = 0 if writer.output_size else len(head)
        if self._coding is not None and not self._bodiless:
            writer.enable_compression(self._coding, self._compression_strategy)

    def _size(self, *, head_only: bool) -> int | None:
        """Give the bytes of the body as it will be sent, None when they are not known; `head_only`: it is not sent."""
        return self._stated_length()

    def _has_type(self, *, head_only: bool) -> bool:
        """Whether there is something that has a type; `head_only`: it is not sent, but GET would be told of it."""
        return not is_bodiless(self._status, "") and self._stated_length() != 0

    def _frame(self, fields: CIMultiDict[str], exchange: RequestExchange) -> Framing:
        head = exchange.head
        method = head.method
        framing = frame(
            fields,
            status=self._status,
            method=method,
            minor=head.minor,
            size=self._size(head_only=method == hdrs.METH_HEAD),
            chunked=self._chunked,
            keep_alive=exchange.keep_alive and self._keep_alive is not False,
        )
        keep_alive = say_connection(fields, self._status, head.minor, keep_alive=framing.keep_alive)
        return framing._replace(keep_alive=keep_alive)

    def _complete(self, fields: CIMultiDict[str], exchange: RequestExchange) -> None:
        """Set what the application left out."""
        head_only = exchange.head.method == hdrs.METH_HEAD
        if hdrs.CONTENT_TYPE not in fields and self._has_type(head_only=head_only):
            fields[hdrs.CONTENT_TYPE] = DEFAULT_TYPE
        if hdrs.DATE not in fields:
            fields[hdrs.DATE] = http_date()
        if hdrs.SERVER not in fields:
            fields[hdrs.SERVER] = SERVER_SOFTWARE

    # The content coding

    async def _code(self, request: BaseRequest) -> None:
        """Choose a coding, if one is wanted and was not chosen before, and set the fields that tell of it."""
        if not self._compression or self._coding is not None:
            return
        status = self._status
        fields = self.headers
        if status < 200 or status in (204, 205, 206) or hdrs.CONTENT_RANGE in fields:
            return
        given = fields.get(hdrs.CONTENT_ENCODING)
        if given is not None:
            if given.strip(" \t").lower() != "identity":
                return
            del fields[hdrs.CONTENT_ENCODING]
        force = self._compression_force
        if force is not None:
            coding = None if force is ContentCoding.identity else force.value
        else:
            vary = ",".join(fields.getall(hdrs.VARY, ())).lower()
            if not {"*", "accept-encoding"} & {name.strip(" \t") for name in vary.split(",")}:
                fields.add(hdrs.VARY, hdrs.ACCEPT_ENCODING)
            coding = choose_coding(request.headers.getall(hdrs.ACCEPT_ENCODING, ()))
        if coding is None or status == 304:
            return
        self._coding = coding
        fields[hdrs.CONTENT_ENCODING] = coding
        fields.popall(hdrs.CONTENT_LENGTH, None)
        etag = fields.get(hdrs.ETAG)
        if etag is not None and etag.startswith('"'):
            fields[hdrs.ETAG] = f"W/{etag}"

    # The body

    async def write(self, data: Byteish) -> None:
        """Send a piece of the body; returns when the client keeps up. What cannot have a body (HEAD, 204) sends none.

        Raises:
            RuntimeError: before `prepare`, or after `write_eof`.
            TypeError: `data` is neither bytes, bytearray nor memoryview.
            ValueError: more than the Content-Length.
            ConnectionResetError: the client has gone.

        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            message = f"write() takes bytes, bytearray or memoryview, not {type(data).__name__}"
            raise TypeError(message)
        writer = self._writer_for("write()")
        if data and not self._bodiless:
            await writer.write(data)

    async def drain(self) -> None:
        """Wait until the client keeps up. Deprecated: `write` does that.

        Raises RuntimeError before `prepare` and after `write_eof`.
        """
        warnings.warn("drain() is deprecated: write() waits itself", DeprecationWarning, stacklevel=2)
        await self._writer_for("drain()").drain()

    async def write_eof(self, data: Byteish = b"") -> None:
        """Send a last piece and end the response. Idempotent.

        Raises:
            RuntimeError: before `prepare`.
            TypeError: `data` is neither bytes, bytearray nor memoryview.
            ValueError: more or less than the Content-Length.
            ConnectionResetError: the client has gone.

        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            message = f"write_eof() takes bytes, bytearray or memoryview, not {type(data).__name__}"
            raise TypeError(message)
        if self._ended:
            return
        writer = self._writer_for("write_eof()")
        if data and not self._bodiless:
            await writer.write(data)
        await writer.write_eof()
        self._end(self._head_size + writer.output_size)

    def _writer_for(self, what: str) -> AbstractStreamWriter:
        if self._writer is None:
            if self._ended:
                message = f"Cannot call {what} after write_eof(): the response has ended"
            else:
                message = f"Cannot call {what} before prepare(): write `await response.prepare(request)` first"
            raise RuntimeError(message)
        return self._writer

    def _end(self, sent: int) -> None:
        """Note that the response was sent, `sent` bytes in all, and let go of what it was sent by."""
        self._body_length = sent
        self._ended = True
        self._request = self._exchange = self._writer = None

    def _cut(self) -> None:
        """Note that no more of the response is going to be sent, though it has not ended."""
        if self._writer is not None:
            self._body_length = self._head_size + self._writer.output_size

    # What is kept with it

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    @overload
    def __getitem__(self, key: ResponseKey[_T]) -> _T: ...

    @overload
    def __getitem__(self, key: str) -> Any: ...

    def __getitem__(self, key: Any) -> Any:
        if self._state is None:
            raise KeyError(key)
        return self._state[key]

    @overload
    def __setitem__(self, key: ResponseKey[_T], value: _T) -> None: ...

    @overload
    def __setitem__(self, key: str, value: Any) -> None: ...

    def __setitem__(self, key: Any, value: Any) -> None:
        if not isinstance(key, ResponseKey) and key not in _warned_keys:
            if len(_warned_keys) < _WARNED_MAX:
                _warned_keys.add(key)
            message = (
                f"response[{key!r}] = ...: two libraries may choose the same key; make one with web.ResponseKey(...)"
            )
            warnings.warn(message, category=NotAppKeyWarning, stacklevel=2)
        if self._state is None:
            self._state = {}
        self._state[key] = value

    def __delitem__(self, key: str | ResponseKey[Any]) -> None:
        if self._state is None:
            raise KeyError(key)
        del self._state[key]

    def __len__(self) -> int:
        return 0 if self._state is None else len(self._state)

    def __iter__(self) -> Iterator[Any]:
        return iter(() if self._state is None else self._state)
