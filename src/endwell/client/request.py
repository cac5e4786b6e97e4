"""One request of a call: method, target, fields and body, and how they look on the wire (RFC 9110, RFC 9112).

Middlewares get it and may change it. A request without anything of its own is *plain*: its head is the request line and
a block of bytes that the session made once; the multidict of its fields exists only if somebody looks at it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from endwell.client.auth import BasicAuth
from endwell.client.outgoing import Outgoing
from endwell.client.request_info import RequestInfo
from endwell.http import hdrs
from endwell.http.cookies import merge_cookie_headers, render_cookie_header
from endwell.http.fields import TOKEN, check_text, multidict_of, render_fields
from endwell.http.mediatype import DEFAULT_TYPE
from endwell.http.payload import Payload
from endwell.http.url import Target
from endwell.lifetime import NEVER, Origin

if TYPE_CHECKING:
    from endwell.client.options import RequestOptions
    from endwell.client.route import Route
    from endwell.client.session import ClientSession
    from endwell.client.tracing import Trace
    from endwell.http.version import HttpVersion

__all__ = ("FRAMING", "ClientRequest", "check_method")

FRAMING: Final = (hdrs.CONTENT_LENGTH, hdrs.TRANSFER_ENCODING, hdrs.CONTENT_ENCODING)
"""Fields that say how one body is framed and coded: another body has others."""

_NOTHING_POSTED: Final = f"Content-Type: {DEFAULT_TYPE}\r\nContent-Length: 0\r\n".encode()


class ClientRequest:
    """A request, ready to be sent.

    Attributes:
        method: upper case as given.
        url: where it goes, without userinfo and fragment.
        headers: the fields that will be sent; may be changed until it is.
        body: what is sent after them; change it by `update_body`.
        session: whose request it is.
        options: the arguments of the call.
        expects: whether the body waits for the peer's 100 (Continue).

    """

    GET_METHODS: ClassVar = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
    POST_METHODS: ClassVar = frozenset({"PATCH", "POST", "PUT"})
    ALL_METHODS: ClassVar = GET_METHODS | POST_METHODS | {"DELETE"}
    DEFAULT_HEADERS: ClassVar = {hdrs.ACCEPT: "*/*"}

    __slots__ = (
        "_fields", "_lines", "_outgoing", "_route", "began", "due", "expects", "method", "options", "origin",
        "session", "target", "traces",
    )  # fmt: skip

    def __init__(  # noqa: PLR0917  # keywords cost, and this is the hot path
        self,
        session: ClientSession,
        method: str,
        target: Target,
        options: RequestOptions,
        origin: Origin | None = None,
        began: float = 0.0,
        due: float = NEVER,
        fields: CIMultiDict[str] | None = None,
        traces: Trace | None = None,
    ) -> None:
        """Make a request; `fields` None means plain."""
        self.session = session
        self.method = method
        self.target = target
        self.options = options
        self.origin = origin
        self.began = began
        self.due = due
        self.traces = traces
        self.expects = False
        self._lines = b""
        self._outgoing: Outgoing | None = None
        self._route: Route | None = None
        self._fields = fields
        if fields is not None:
            self._add_cookies(fields)

    def __repr__(self) -> str:
        return f"<ClientRequest {self.method} {self.target.url}>"

    # What middlewares use

    @property
    def url(self) -> URL:
        """Where the request goes."""
        return self.target.url

    @property
    def original_url(self) -> URL:
        """The URL as it was asked for, with its fragment."""
        return self.target.real_url

    @property
    def headers(self) -> CIMultiDict[str]:
        """The fields that will be sent (Host is added when it is not among them)."""
        if self._fields is None:
            self._frame(self._spell_out())
        return self._spell_out()

    @property
    def version(self) -> HttpVersion:
        """The version of HTTP that is spoken."""
        return self.session._version

    @property
    def body(self) -> Payload | bytes:
        """What is sent after the fields, ``b""`` for nothing."""
        return b"" if self._outgoing is None else self._outgoing.body

    async def update_body(self, body: Any) -> None:
        """Replace the body; Content-Length, Transfer-Encoding and Content-Type follow it.

        Takes what ``data=`` takes; None for no body. The body before is closed now, the new one when the call ends.
        """
        fields = self.headers
        if self._outgoing is not None:
            await self._outgoing.end()
        for name in FRAMING:
            fields.popall(name, None)
        if self._outgoing is not None and self._outgoing.set_type:
            fields.popall(hdrs.CONTENT_TYPE, None)
        self._outgoing = Outgoing.of(body, self.options)
        self._frame(fields)

    @property
    def host(self) -> str:
        """The host of the URL."""
        return self.target.host

    @property
    def port(self) -> int:
        """The port of the URL."""
        return self.target.port

    def is_ssl(self) -> bool:
        """Tell whether TLS is spoken with the origin."""
        return self.target.secure

    @property
    def ssl(self) -> Any:
        """The ``ssl`` argument in force."""
        return self.options.ssl

    @property
    def proxy(self) -> URL | None:
        """The proxy that is used."""
        return self.route.proxy

    @property
    def proxy_headers(self) -> CIMultiDict[str] | None:
        """The fields for the proxy alone."""
        return self.route.proxy_headers

    @property
    def server_hostname(self) -> str | None:
        """The name to check the certificate against, when it is not the host."""
        return self.options.server_hostname

    @property
    def auth(self) -> BasicAuth | None:
        """The credentials of the call."""
        return self.options.auth

    @property
    def chunked(self) -> bool:
        """Whether the body goes in chunks."""
        return self._outgoing is not None and self._outgoing.chunked

    @property
    def compress(self) -> str | None:
        """The content coding that is applied to the body."""
        return None if self._outgoing is None else self._outgoing.coding

    @property
    def connection_key(self) -> Any:
        """What connections that can carry this request are pooled by."""
        return self.route.connection_key

    @property
    def request_info(self) -> RequestInfo:
        """What would be asked now; responses and errors carry what was asked (`info_of`)."""
        headers = CIMultiDict(self.headers)
        headers.setdefault(hdrs.HOST, self.target.authority)
        return RequestInfo(self.target.url, self.method, CIMultiDictProxy(headers), self.target.real_url)

    # What the call and the connector use

    @property
    def outgoing(self) -> Outgoing | None:
        """The body, prepared."""
        return self._outgoing

    @property
    def key(self) -> Any:
        """The key of the pool."""
        if self._route is not None:
            return self._route.key
        return self.target.key if self.session._direct and self.options.direct else self.route.key

    @property
    def route(self) -> Route:
        """How the peer is reached."""
        if self._route is None:
            from endwell.client.route import find_route

            self._route = find_route(self.target, self.options, self.session)
        return self._route

    def prepare_plain(self, outgoing: Outgoing | None) -> bool:
        """Complete a plain request; False when its body makes it one that is not plain."""
        if outgoing is None:
            if self.method not in self.GET_METHODS:
                self._lines = _NOTHING_POSTED if self.method in self.POST_METHODS else b"Content-Length: 0\r\n"
            return True
        lines = outgoing.lines
        if lines is None:
            return False
        self._lines = lines
        self._outgoing = outgoing
        return True

    def prepare(self, auth: BasicAuth | None, outgoing: Outgoing | None) -> None:
        """Complete the fields of a request that is not plain.

        Raises:
            ValueError: credentials in two places, or a body that contradicts the fields.

        """
        fields = self._spell_out()
        if auth is not None:
            if hdrs.AUTHORIZATION in fields:
                message = "Cannot combine AUTHORIZATION header with AUTH argument or credentials encoded in URL"
                raise ValueError(message)
            fields[hdrs.AUTHORIZATION] = auth.encode()
        self._outgoing = outgoing
        self._frame(fields)
        if self.options.expect100:
            fields[hdrs.EXPECT] = "100-continue"
        self.expects = fields.get(hdrs.EXPECT, "").lower() == "100-continue"

    def render(self) -> bytes:
        """Give the head as bytes.

        Raises:
            ValueError: something in it would break it.

        """
        method = self.method
        fields = self._fields
        session = self.session
        if fields is None:
            cookies = session._cookie_jar.cookie_header(self.target.url)
            line = f"Cookie: {check_text('A cookie', cookies)}\r\n".encode() if cookies else b""
            return b"".join((method.encode(), self.target.line, line, self._lines, session._tail))
        line = self.target.line
        if self._route is not None and self._route.absolute_form:
            line = f" {self.target.url} HTTP/1.1\r\nHost: {self.target.authority}\r\n".encode()
            if self._route.proxy_headers:
                fields = CIMultiDict(fields)
                fields.extend(self._route.proxy_headers)
        if hdrs.HOST in fields:
            line = line[: line.index(b"\r\n") + 2]
        if self.version == (1, 0):
            line = line.replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1)
        return method.encode() + line + render_fields(fields) + b"\r\n"

    def info_of(self, head: bytes) -> RequestInfo:
        """Say what was asked by a head that `render` gave: session, cookies and fields may be others by now."""
        fields = multidict_of(head[head.index(b"\n") + 1 : head.index(b"\r\n\r\n") + 2])
        return RequestInfo(self.target.url, self.method, fields, self.target.real_url)

    def _spell_out(self) -> CIMultiDict[str]:
        """Give the fields; a plain request has them made now."""
        fields = self._fields
        if fields is None:
            fields = self._fields = self.session._plain_fields()
            self._add_cookies(fields)
        return fields

    def _frame(self, fields: CIMultiDict[str]) -> None:
        """Say in the fields how the body is delimited and what it is."""
        outgoing, sends = self._outgoing, self.method not in self.GET_METHODS
        skip = {name.lower() for name in self.options.skip_auto_headers or ()} | self.session._skip_names
        if outgoing is None and (hdrs.TRANSFER_ENCODING in fields or (self.options.chunked and sends)):
            outgoing = self._outgoing = Outgoing.of(b"", self.options)  # also of nothing, the last chunk is awaited
        if outgoing is not None:
            outgoing.describe(fields, skip_type="content-type" in skip, http10=self.version == (1, 0))
            return
        if fields.get(hdrs.CONTENT_LENGTH, "0") != "0":
            message = f"Content-Length says {fields[hdrs.CONTENT_LENGTH]} bytes, but there is no body"
            raise ValueError(message)
        if sends:
            fields[hdrs.CONTENT_LENGTH] = "0"
        if self.method in self.POST_METHODS and "content-type" not in skip:
            fields.setdefault(hdrs.CONTENT_TYPE, DEFAULT_TYPE)  # as aiohttp does

    def _add_cookies(self, fields: CIMultiDict[str]) -> None:
        """Add the cookies of the jar, and those of the call over them."""
        jar = self.session._cookie_jar
        value = jar.cookie_header(self.target.url)
        if self.options.cookies is not None:
            value = merge_cookie_headers(value, render_cookie_header(self.options.cookies, quote=jar.quote_cookie))
        given = fields.pop(hdrs.COOKIE, None)
        if given:
            value = merge_cookie_headers(given, value)
        if value:
            fields[hdrs.COOKIE] = value


def check_method(method: str) -> str:
    """Return the method in upper case.

    Raises:
        ValueError: it is not a token (RFC 9110 section 9.1).

    """
    if TOKEN.fullmatch(method) is None:
        message = f"Method cannot contain non-token characters {method!r}"
        raise ValueError(message)
    return method.upper()
