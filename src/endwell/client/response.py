"""The response as users hold it: a light face over an exchange.

The exchange does not know it; when the last holder of an unfinished response (or of its ``content``) lets go, the lease
tells the exchange (closing.md C10, C11).
"""

from __future__ import annotations

from collections.abc import Awaitable, Generator, Mapping
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from multidict import CIMultiDict, CIMultiDictProxy, MultiDict, MultiDictProxy
from yarl import URL

from endwell.client.errors import ClientConnectionError, ClientResponseError, ContentTypeError
from endwell.client.exchange import ClientExchange, Step
from endwell.client.request_info import RequestInfo
from endwell.connection.http1 import ClientConnection
from endwell.connection.reader import StreamReader
from endwell.http import hdrs
from endwell.http.typedefs import DEFAULT_JSON_DECODER, JSONDecoder, RawHeaders
from endwell.http.version import HttpVersion
from endwell.lifetime import Lease

if TYPE_CHECKING:
    from endwell.client.request import ClientRequest
    from endwell.client.session import ClientSession

__all__ = ("ClientResponse", "ContentDisposition")


_ENDED: Final = Step.ENDED
_MADE_ANEW: Final = (
    hdrs.COOKIE,
    hdrs.LAST_EVENT_ID,
    hdrs.CONTENT_LENGTH,
    hdrs.TRANSFER_ENCODING,
    hdrs.CONTENT_ENCODING,
)
"""Fields of a request that is repeated which do not come from the one before."""


class ContentDisposition(NamedTuple):
    """The Content-Disposition field of a response, parsed."""

    type: str | None
    parameters: Mapping[str, str]
    filename: str | None


class _Done:
    """What `release()` returns: there is nothing to await, and awaiting it does no harm."""

    def __await__(self) -> Generator[None, None, None]:
        return
        yield


_DONE = _Done()


class ClientResponse:
    """A response. Its head is there; its body comes when it is read, and can be read once it has come.

    Use it as ``async with``: on leaving, the connection is free again. Reading to the end frees it, too.

    Attributes:
        status: the status code.
        method: of the request that it answers.
        request_info: what was asked.

    """

    __slots__ = (
        "__weakref__", "_body", "_content", "_cookies", "_exchange", "_head", "_history", "_lease", "_released",
        "_request", "_session", "method", "status",
    )  # fmt: skip

    def __init__(self, session: ClientSession, request: ClientRequest, exchange: ClientExchange) -> None:
        head = exchange.head
        assert head is not None
        self.method = request.method
        self.status = head.status
        self._session = session
        self._request = request
        self._exchange = exchange
        self._head = head
        self._history: tuple[ClientResponse, ...] = ()
        self._body: bytes | None = None
        self._content: StreamReader | None = None
        self._cookies: SimpleCookie | None = None
        self._released = False
        self._lease: Lease | None = None if exchange.step is _ENDED else Lease(exchange)

    def __repr__(self) -> str:
        # The fields are not shown: cookies are among them.
        return f"<{type(self).__name__}({self._request.url}) [{self.status} {self.reason}]>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        await self._leave(failed=kind is not None)

    # The head

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status < 400

    @property
    def reason(self) -> str:
        """The reason phrase."""
        return self._head.reason

    @property
    def version(self) -> HttpVersion:
        """The version the peer speaks."""
        return HttpVersion(*self._head.version)

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """The fields."""
        return self._head.headers

    @property
    def raw_headers(self) -> RawHeaders:
        """The fields as they came: a tuple of (name, value) in bytes."""
        return self._head.raw_headers

    @property
    def url(self) -> URL:
        """The URL of the request, without fragment."""
        return self._request.target.url

    @property
    def url_obj(self) -> URL:
        """The same as `url`."""
        return self._request.target.url

    @property
    def real_url(self) -> URL:
        """The URL of the request, with its fragment."""
        return self._request.target.real_url

    @property
    def host(self) -> str:
        """The host that was asked."""
        return self._request.target.host

    @property
    def request_info(self) -> RequestInfo:
        """What was asked."""
        return self._exchange.request_info

    @property
    def history(self) -> tuple[ClientResponse, ...]:
        """The redirects that led here, the first one first."""
        return self._history

    @property
    def cookies(self) -> SimpleCookie:
        """The cookies that this response sets."""
        if self._cookies is None:
            from endwell.http.cookies import set_cookies_as_simple_cookie

            values = [value.decode("utf-8", "surrogateescape") for value in self._head.every(b"\r\nset-cookie:")]
            self._cookies = set_cookies_as_simple_cookie(values)
        return self._cookies

    @property
    def links(self) -> MultiDictProxy[MultiDictProxy[str | URL]]:
        """The Link fields (RFC 8288): relation to parameters, with ``url`` absolute."""
        from endwell.client.links import parse_links

        links: MultiDict[MultiDictProxy[str | URL]] = MultiDict()
        for key, parameters in parse_links(self.headers.getall(hdrs.LINK, []), self.url):
            links.add(key, MultiDictProxy(parameters))
        return MultiDictProxy(links)

    @property
    def content_type(self) -> str:
        """The media type without parameters, ``application/octet-stream`` when the peer named none."""
        value = self.headers.get(hdrs.CONTENT_TYPE)
        kind = value.partition(";")[0].strip().lower() if value else ""
        return kind if "/" in kind else "application/octet-stream"

    @property
    def charset(self) -> str | None:
        """The charset parameter of Content-Type."""
        value = self.headers.get(hdrs.CONTENT_TYPE)
        if not value or ";" not in value:
            return None
        from endwell.http.mediatype import parse_mimetype

        return parse_mimetype(value).parameters.get("charset")

    @property
    def content_length(self) -> int | None:
        """The value of Content-Length, None when there is none."""
        value = self.headers.get(hdrs.CONTENT_LENGTH)
        return int(value) if value is not None and value.isascii() and value.isdigit() else None

    @property
    def content_disposition(self) -> ContentDisposition | None:
        """The Content-Disposition field."""
        value = self.headers.get(hdrs.CONTENT_DISPOSITION)
        if value is None:
            return None
        from endwell.http.disposition import content_disposition_filename, parse_content_disposition

        kind, parameters = parse_content_disposition(value)
        return ContentDisposition(kind, parameters, content_disposition_filename(parameters))

    def raise_for_status(self) -> None:
        """Raise `ClientResponseError` if the status is 400 or above; the response is released then."""
        if self.status >= 400:
            self.release()
            raise ClientResponseError(
                self.request_info, self.history, status=self.status, message=self.reason, headers=self.headers
            )

    # The body

    @property
    def content(self) -> StreamReader:
        """The body as a stream."""
        if self._content is None:
            self._content = StreamReader(self._exchange.stream(), self._lease, self._exchange.owner.loop)
        return self._content

    async def read(self) -> bytes:
        """Read the whole body, decoded; at a second call the same bytes again.

        Raises:
            ClientPayloadError: the body is broken; the connection is closed.
            ClientConnectionError: the response was released or closed before its body was read.
            TimeoutError: a deadline of the request passed.

        Cancelled, it closes the connection.
        """
        if self._body is None:
            if self._released and not self._exchange.complete:
                message = "Connection closed"
                raise ClientConnectionError(message)
            exchange = self._exchange
            traces = self._request.traces
            done = False
            try:
                if self._content is not None:
                    self._body = await self._content.read()
                else:
                    self._body = await exchange.read_all()
                done = True
            finally:
                if not done and exchange.step is not _ENDED:
                    exchange.close()
            if traces is not None:
                await traces.send_response_chunk_received(self.method, self.url, self._body)
        return self._body

    def get_encoding(self) -> str:
        """Give the encoding that `text` uses: the charset, else UTF-8 for JSON, else what the session's resolver says.

        Raises:
            RuntimeError: the body was not read, and there is a resolver that would look at it.

        """
        charset = self.charset
        if charset is not None:
            import codecs

            try:
                return codecs.lookup(charset).name
            except (LookupError, ValueError):
                pass
        kind = self.content_type
        if kind.startswith("application/") and (kind in ("application/json", "application/rdap+json")):
            return "utf-8"
        if self._body is None:
            message = "Cannot compute fallback encoding of a not yet read body"
            raise RuntimeError(message)
        return self._session._fallback_charset_resolver(self, self._body)

    async def text(self, encoding: str | None = None, errors: str = "strict") -> str:
        """Read the body and decode it.

        Raises:
            UnicodeDecodeError: with ``errors="strict"``, it is not in that encoding.

        """
        body = await self.read()
        return body.decode(encoding or self.get_encoding(), errors)

    async def json(
        self,
        *,
        encoding: str | None = None,
        loads: JSONDecoder = DEFAULT_JSON_DECODER,
        content_type: str | None = "application/json",
    ) -> Any:
        """Read the body and parse it as JSON; None for an empty one.

        Args:
            encoding: of the text; found as by `text` when not given.
            loads: the parser.
            content_type: what the media type must be, None for any; ``application/json`` allows ``+json`` types.

        Raises:
            ContentTypeError: the media type is another one.

        """
        body = await self.read()
        if content_type and not _is_expected(self.content_type, content_type):
            raise ContentTypeError(
                self.request_info,
                self.history,
                status=self.status,
                message=f"Attempt to decode JSON with unexpected mimetype: {self.content_type}",
                headers=self.headers,
            )
        stripped = body.strip()
        if not stripped:
            return None
        return loads(stripped.decode(encoding or self.get_encoding()))

    # The end

    @property
    def connection(self) -> ClientConnection | None:
        """The connection while the response has it, None afterwards."""
        return self._exchange.connection

    @property
    def closed(self) -> bool:
        """Whether the response has let its connection go."""
        return self._exchange.step is _ENDED

    def release(self) -> Any:
        """Let the connection go: a small unread rest of the body is read away, a large one costs the connection."""
        self._released = True
        self._exchange.release()
        return _DONE

    def close(self) -> None:
        """Close the connection, unless the response has let it go already."""
        self._released = True
        self._exchange.close()

    async def wait_for_close(self) -> None:
        """Send what is left of the request's body, then let the connection go."""
        await self._leave(failed=False)

    @property
    def output_size(self) -> int:
        """Bytes of the request's body that were sent. Deprecated: use `UploadTracker`."""
        tracker = self._request.options.upload_tracker
        return 0 if tracker is None else tracker.bytes_written

    @property
    def upload_complete(self) -> bool:
        """Whether the request's body was sent. Deprecated: use `UploadTracker`."""
        return self._exchange.uploading is None

    def _leave(self, *, failed: bool) -> Awaitable[None]:
        """Leave the ``async with`` block (closing.md C8)."""
        self._released = True
        exchange = self._exchange
        if exchange.step is _ENDED:
            return exchange.owner.nothing
        if failed:
            exchange.close()
            return exchange.owner.nothing
        return exchange.leave()

    async def _replay(self, headers: Mapping[str, str]) -> ClientResponse:
        """Ask the same again, with some fields set (for event streams that reconnect)."""
        fields: CIMultiDict[str] = CIMultiDict(self._request.headers)
        for name in _MADE_ANEW:
            fields.popall(name, None)
        request, session = self._request, self._session
        if request.options.auth is not None or request.target.credentials is not None or session.auth is not None:
            fields.popall(hdrs.AUTHORIZATION, None)
        fields.update(headers)
        return await session._again(request, fields)


def _is_expected(actual: str, expected: str) -> bool:
    if expected == "application/json":
        kind, _, subtype = actual.partition("/")
        return kind == "application" and (subtype == "json" or subtype.endswith("+json"))
    return expected in actual
