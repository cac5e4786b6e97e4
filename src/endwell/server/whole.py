"""`Response`: a response whose body is there as a whole, and the short way to send it (RFC 9110, RFC 9112).

Most responses are a status, a type and some text. `Response._whole` makes their head and body one bytes object without
ever making a multidict, from parts that are kept; everything else goes through `prepare` and `write_eof`. Used by
handlers, by `errors`, and by the server's loop, which asks for the short way first.
"""

from __future__ import annotations

import json
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Final

from multidict import CIMultiDict

from endwell.http import hdrs
from endwell.http.codings import make_encoder
from endwell.http.fields import check_text
from endwell.http.json_text import to_json
from endwell.http.mediatype import DEFAULT_TYPE
from endwell.http.payload import PAYLOAD_REGISTRY, Payload
from endwell.http.payload import LookupError as PayloadLookupError
from endwell.http.typedefs import Byteish, JSONBytesEncoder, JSONEncoder, LooseHeaders
from endwell.server.response import StreamResponse
from endwell.server.response_framing import Framing, frame, is_bodiless, say_connection
from endwell.server.response_head import date_and_server, render_head
from endwell.server.seams import check_not_begun

if TYPE_CHECKING:
    from endwell.server.request import BaseRequest
    from endwell.server.seams import RequestExchange

__all__ = ("Response", "json_bytes_response", "json_response")

_MISSING: Final[Any] = object()
_TEXT_TYPE: Final = "text/plain; charset=utf-8"
_JSON_TYPE: Final = "application/json"
_JSON_TEXT_TYPE: Final = "application/json; charset=utf-8"

_COPIED_MAX: Final = 256 * 1024
"""Bytes of a body that are copied behind its head; a larger one is handed to the transport as it is."""

_IN_EXECUTOR: Final = 4096
"""Bytes of a body that are compressed at once; a larger one is compressed in an executor."""

_LEADS_MAX: Final = 512
_leads: Final[dict[tuple[int, str | None], bytes]] = {}
"""By status and type: the head up to the number in Content-Length, for HTTP/1.1 and a connection that is kept."""

# Their responses are framed otherwise.
_ODD_METHODS: Final = frozenset({hdrs.METH_HEAD, hdrs.METH_CONNECT})
# A subclass that has its own of these wants them called.
_HOOKS: Final = ("prepare", "_start", "_open", "write_eof", "headers", "body", "status", "reason", "cookies")


class Response(StreamResponse):
    """A response with its body.

    Args:
        body: bytes, or anything a payload is registered for: str, files, async iterables, `Payload` objects; not
            together with `text`.
        status: 100 to 999.
        reason: the reason phrase; that of the status when None.
        text: the body as text; sent in `charset`, UTF-8 by default, and as ``text/plain`` by default.
        headers: the first fields.
        content_type: the media type, without charset; not together with a Content-Type in `headers`.
        charset: of the text; not together with a Content-Type in `headers`.
        zlib_executor_size: a body larger than this many bytes is compressed in an executor.
        zlib_executor: the executor for that; that of the loop when None.

    Raises:
        ValueError: arguments that exclude each other; a body nobody can send; CR, LF or NUL in what becomes a field.
        TypeError: `text` is no string.
        LookupError: Python does not know the charset.
        UnicodeEncodeError: the charset does not have a character of the text.

    """

    _body: bytes | bytearray | Payload | None = None
    _coded: bytes | None = None
    _held: bytes | None = None
    _length: int | None = None
    _zlib_executor_size: int = _IN_EXECUTOR
    _zlib_executor: Executor | None = None
    _overridden: bool = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in cls.__mro__[: cls.__mro__.index(Response)]:
            if any(name in vars(base) for name in _HOOKS):
                cls._overridden = True
                cls._plain = False

    def __init__(
        self,
        *,
        body: Any = None,
        status: int = 200,
        reason: str | None = None,
        text: str | None = None,
        headers: LooseHeaders | None = None,
        content_type: str | None = None,
        charset: str | None = None,
        zlib_executor_size: int = _IN_EXECUTOR,
        zlib_executor: Executor | None = None,
    ) -> None:
        if status.__class__ is int and status == 200 and reason is None:
            self._status = 200
        else:
            self._set_status(status, reason)
        if headers is not None:
            self._headers = CIMultiDict(headers)
            self._plain = False
            if (content_type is not None or charset is not None) and hdrs.CONTENT_TYPE in self._headers:
                message = "headers has a Content-Type: leave out that, or the arguments content_type and charset"
                raise ValueError(message)
        if content_type is not None:
            if "charset" in content_type:
                message = "charset must not be in the argument content_type: use the argument charset"
                raise ValueError(message)
            if content_type != _JSON_TYPE:
                check_text("The argument content_type", content_type)
        if text is not None:
            if body is not None:
                message = "Give body or text, not both"
                raise ValueError(message)
            self._init_text(text, content_type, charset)
        elif body is not None or content_type is not None:
            if content_type is not None:
                if charset is not None:
                    content_type = f"{content_type}; charset={check_text('The argument charset', charset)}"
                self._set_type_field(content_type)
            if body is not None:
                self.body = body
        if zlib_executor_size != _IN_EXECUTOR:
            self._zlib_executor_size = zlib_executor_size
        if zlib_executor is not None:
            self._zlib_executor = zlib_executor

    def _init_text(self, text: str, content_type: str | None, charset: str | None) -> None:
        if not isinstance(text, str):
            message = f"The argument text is a string, not {type(text).__name__}: give bytes as body"
            raise TypeError(message)
        if charset is None and self._headers is None:
            self._body = text.encode()
            if content_type is None:
                self._type = _TEXT_TYPE
            else:
                self._type = _JSON_TEXT_TYPE if content_type == _JSON_TYPE else f"{content_type}; charset=utf-8"
            return
        if self._headers is not None and hdrs.CONTENT_TYPE in self._headers:
            self.text = text
            return
        charset = "utf-8" if charset is None else check_text("The argument charset", charset)
        self._body = text.encode(charset)
        self._set_type_field(f"{content_type or 'text/plain'}; charset={charset}")

    # The body

    @property
    def body(self) -> bytes | bytearray | Payload | None:
        """The body: bytes, a payload, or None.

        May be set to bytes, a bytearray, None, or what a payload is registered for, until the head was sent. Raises
        ValueError for other types, RuntimeError after the head.
        """
        return self._body

    @body.setter
    def body(self, value: Any) -> None:
        self._check_open()
        self._coded = None
        if value is None or isinstance(value, (bytes, bytearray)):
            self._body = value
            return
        try:
            payload = PAYLOAD_REGISTRY.get(value)
        except PayloadLookupError as error:
            message = f"No payload is registered for a body of {type(value)}: give bytes, text=..., or json_response()"
            raise ValueError(message) from error
        self._body = payload
        fields = self.headers
        if hdrs.CONTENT_TYPE not in fields:
            fields[hdrs.CONTENT_TYPE] = payload.content_type
        for name, field in payload.headers.items():
            if name not in fields:
                fields[name] = field

    @property
    def text(self) -> str | None:
        """The body as text, None when there is no body. In the charset of the response, UTF-8 when it has none.

        May be set to a string until the head was sent; the type becomes ``text/plain`` when there was none. Raises
        UnicodeDecodeError, or UnicodeEncodeError and LookupError when it is set; TypeError when it is set to something
        else, RuntimeError after the head.
        """
        body = self._body
        if body is None:
            return None
        charset = self.charset or "utf-8"
        return body.decode(charset)

    @text.setter
    def text(self, value: str) -> None:
        if not isinstance(value, str):
            message = f"response.text is a string, not {type(value).__name__}: set response.body to None or to bytes"
            raise TypeError(message)
        self._check_open()
        if self._type_field() is None:
            self._set_type_field("text/plain")
        charset = self.charset
        if charset is None:
            charset = "utf-8"
            if self.content_type != DEFAULT_TYPE:
                self.charset = charset
        self._body = value.encode(charset)
        self._coded = None

    def _check_open(self) -> None:
        if self._head_made:
            message = "Cannot change the body: the head of the response was sent, with the length of the body in it"
            raise RuntimeError(message)

    @property
    def content_length(self) -> int | None:
        """The bytes of the body; None with `enable_chunked_encoding`, and for a payload before it is prepared.

        It cannot be set: RuntimeError.
        """
        if self._chunked:
            return None
        stated = self._stated_length()
        if stated is not None:
            return stated
        if self._coded is not None:
            return len(self._coded)
        body = self._body
        if isinstance(body, Payload):
            return None
        return 0 if body is None else len(body)

    @content_length.setter
    def content_length(self, value: int | None) -> None:
        message = "The Content-Length of a Response is that of its body: set body or text, or use a StreamResponse"
        raise RuntimeError(message)

    def _first_fields(self) -> CIMultiDict[str]:
        fields = super()._first_fields()
        if self._ended and not isinstance(self._body, Payload) and self._status not in (204, 304):
            fields[hdrs.CONTENT_LENGTH] = str(len(self._body or b""))  # as it was sent, for the access log
        return fields

    # The short way

    def _whole(self, request: BaseRequest) -> bytes | None:
        """Give head and body as one bytes object, and take the response for sent; None when that is not possible.

        It is up to the caller to send the bytes, and to make sure that nobody is to see the response before
        (``request._has_prepare_hooks``). With None nothing has changed: ``prepare`` and ``write_eof`` are the way.

        Raises:
            ValueError: see `StreamResponse.prepare`.
            TypeError: see `StreamResponse.prepare`.

        """
        if self._plain:
            exchange = request._exchange
            head = exchange.head
            if exchange.keep_alive and head.minor and head.method not in _ODD_METHODS and not exchange.started:
                body: Any = self._body or b""  # never a payload: that would not be plain
                lead = _leads.get((self._status, self._type or (DEFAULT_TYPE if body else None)))
                if lead is not None and len(body) <= _COPIED_MAX:
                    data = b"%b%d\r\n%b\r\n%b" % (lead, len(body), date_and_server(), body)
                    self._body_length = len(data)
                    self._ended = True
                    return data
        if self._overridden or self._exchange is not None or self._compression or self._chunked or self._spent:
            return None
        whole = self._body
        if isinstance(whole, Payload) or (whole is not None and len(whole) > _COPIED_MAX):
            return None
        exchange = request._exchange
        if exchange.started:
            return None
        return self._whole_of(exchange, whole or b"")

    def _whole_of(self, exchange: RequestExchange, body: bytes | bytearray) -> bytes | None:
        """Do what `_whole` does, for fields, cookies, methods and versions of any kind."""
        fields = self._headers
        if fields is None:
            fields = CIMultiDict()
            if self._type is not None:
                fields[hdrs.CONTENT_TYPE] = self._type
        elif hdrs.TRANSFER_ENCODING in fields:
            return None
        status, head = self._status, exchange.head
        bodiless = is_bodiless(status, head.method)
        if hdrs.CONTENT_TYPE not in fields and self._has_type(head_only=head.method == hdrs.METH_HEAD):
            fields[hdrs.CONTENT_TYPE] = DEFAULT_TYPE
        if self._plain and len(_leads) < _LEADS_MAX and not is_bodiless(status, ""):
            lead = render_head(status, None, 1, fields)[:-2]
            _leads[(status, fields.get(hdrs.CONTENT_TYPE))] = lead + b"Content-Length: "
        keep_alive = exchange.keep_alive and self._keep_alive is not False
        usual = keep_alive and head.minor and not bodiless and head.method != hdrs.METH_CONNECT
        if usual and hdrs.CONNECTION not in fields:
            fields[hdrs.CONTENT_LENGTH] = str(len(body))
            passing = False
        else:
            passing = hdrs.CONNECTION not in fields
            framing = frame(
                fields,
                status=status,
                method=head.method,
                minor=head.minor,
                size=self._size(head_only=head.method == hdrs.METH_HEAD),
                chunked=False,
                keep_alive=keep_alive,
            )
            keep_alive = say_connection(fields, status, head.minor, keep_alive=framing.keep_alive)
        more = date_and_server()
        if hdrs.DATE in fields:
            more = more[more.index(b"\n") + 1 :]
        if hdrs.SERVER in fields:
            more = more[: more.index(b"Server")]
        if self._cookies:
            more = self._cookie_lines() + more
        data = render_head(status, self._reason, head.minor, fields, more)
        if not keep_alive:
            exchange.keep_alive = False
        if passing:
            fields.popall(hdrs.CONNECTION, None)  # of this exchange only: the response may be sent again
        if not bodiless:
            data += body
        self._body_length = len(data)
        self._ended = True
        return data

    # The long way

    def _size(self, *, head_only: bool) -> int | None:
        if head_only and not self._body:
            return self._stated_length()  # what GET would say, if the handler knows
        if self._coded is not None:
            return len(self._coded)
        if self._coding is not None:
            return None
        body = self._body
        if isinstance(body, Payload):
            return body.size
        return 0 if body is None else len(body)

    def _has_type(self, *, head_only: bool) -> bool:
        if is_bodiless(self._status, ""):
            return False
        return bool(self._body) or (head_only and bool(self._stated_length()))

    async def _code(self, request: BaseRequest) -> None:
        if not self._body or not self._compression:
            return
        await super()._code(request)
        body = self._body
        if self._coding is None or self._coded is not None or isinstance(body, Payload):
            return
        exchange = request._exchange
        if exchange.head.method == hdrs.METH_HEAD:
            return  # the length is left out then (RFC 9110 section 9.3.2)
        if len(body) <= self._zlib_executor_size:
            self._coded = _encode(self._coding, self._compression_strategy, body)
        else:
            self._coded = await exchange.loop.run_in_executor(
                self._zlib_executor, _encode, self._coding, self._compression_strategy, bytes(body)
            )

    def _open(self, exchange: RequestExchange, head: bytes, framing: Framing) -> None:
        body = self._body if self._coded is None else self._coded
        self._length = framing.length
        if self._bodiless or (
            framing.length is not None and not isinstance(body, Payload) and framing.length <= _COPIED_MAX
        ):
            self._held = head  # it goes out with the body, in write_eof()
            return
        coding = self._coding
        if self._coded is not None:
            self._coding = None
        super()._open(exchange, head, framing)
        self._coding = coding

    def _writer_for(self, what: str) -> Any:
        if self._held is not None:
            message = f"Cannot call {what} of a Response: its body is a whole; use a StreamResponse to write pieces"
            raise RuntimeError(message)
        return super()._writer_for(what)

    async def write_eof(self, data: Byteish = b"") -> None:
        """Send the body and end the response. Idempotent.

        Raises:
            RuntimeError: before `prepare`, or with `data`: the body is `body`.
            ValueError: the payload has another size than it said.
            ConnectionResetError: the client has gone.

        """
        if data:
            message = "write_eof() of a Response takes no data: its body is response.body; use a StreamResponse"
            raise RuntimeError(message)
        if self._ended:
            return
        body = self._body if self._coded is None else self._coded
        try:
            if self._held is not None:
                self._send_held(self._held, b"" if isinstance(body, Payload) else body or b"")
                return
            writer = self._writer_for("write_eof()")
            if isinstance(body, Payload):
                await body.write_with_length(writer, self._length)
            elif body:
                await writer.write(body)
            await super().write_eof()
        finally:
            if isinstance(self._body, Payload):
                await self._body.close()

    def _send_held(self, head: bytes, body: bytes | bytearray) -> None:
        exchange = self._exchange
        assert exchange is not None  # it is there from prepare() to the end
        check_not_begun(exchange)
        self._held = None
        data = head if self._bodiless else head + body
        exchange.send(data)
        self._end(len(data))


def _encode(coding: str, strategy: int | None, body: bytes | bytearray) -> bytes:
    encoder = make_encoder(coding, strategy=strategy)
    return encoder.compress(body) + encoder.flush()


def json_response(
    data: Any = _MISSING,
    *,
    text: str | None = None,
    body: bytes | None = None,
    status: int = 200,
    reason: str | None = None,
    headers: LooseHeaders | None = None,
    content_type: str = _JSON_TYPE,
    dumps: JSONEncoder = json.dumps,
) -> Response:
    """Make a response of `data` as JSON, by `dumps`; or of `text` or `body`, when that was made already.

    Raises:
        ValueError: more than one of the three was given; see also `Response`.
        TypeError: `dumps` cannot serialise `data`.

    """
    if data is not _MISSING:
        if text or body:
            message = "Give one of data, text and body"
            raise ValueError(message)
        text = to_json(data) if dumps is json.dumps else dumps(data)
    return Response(text=text, body=body, status=status, reason=reason, headers=headers, content_type=content_type)


def json_bytes_response(
    data: Any = _MISSING,
    *,
    dumps: JSONBytesEncoder,
    body: bytes | None = None,
    status: int = 200,
    reason: str | None = None,
    headers: LooseHeaders | None = None,
    content_type: str = _JSON_TYPE,
) -> Response:
    """Make a response of `data` as JSON, by a `dumps` that gives bytes (orjson, msgspec); or of `body`.

    Raises:
        ValueError: data and body were both given; see also `Response`.

    """
    if data is not _MISSING:
        if body:
            message = "Give one of data and body"
            raise ValueError(message)
        body = dumps(data)
    return Response(body=body, status=status, reason=reason, headers=headers, content_type=content_type)
