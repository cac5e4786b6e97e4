"""`ClientSession`: the public face of the client, with aiohttp's arguments and methods.

The face is light: what must be closed hangs on its core, an owner of `lifetime`, which does not know the face.
"""

from __future__ import annotations

import asyncio
import json as json_module
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self, TypeVar

from multidict import CIMultiDict, istr

from endwell._version import __version__
from endwell.client.attempts import refuse_unless_admitted
from endwell.client.auth import BasicAuth
from endwell.client.call import perform, resend
from endwell.client.connections import ConnectorCore
from endwell.client.connector import BaseConnector, TCPConnector
from endwell.client.context import RequestContext
from endwell.client.cookiejar import AbstractCookieJar, CookieJar
from endwell.client.core import SessionCore, checked_base, merge_headers, one_timeout
from endwell.client.options import RequestOptions, sentinel
from endwell.client.request import ClientRequest
from endwell.client.response import ClientResponse
from endwell.client.session_view import SessionView
from endwell.client.timeouts import ClientWSTimeout
from endwell.client.websocket import ClientWebSocketResponse, Wanted, WebSocketContext, connect, one_ws_timeout
from endwell.http import hdrs
from endwell.http.codings import available_codings
from endwell.http.fields import render_fields
from endwell.http.typedefs import JSONEncoder, LooseCookies, LooseHeaders, StrOrURL
from endwell.http.version import HttpVersion, HttpVersion11
from endwell.lifetime import CloseReport, Origin, State, caller, close, failures, spawn

if TYPE_CHECKING:
    from types import TracebackType

    from endwell.client.middlewares import ClientMiddlewareType
    from endwell.client.tracing import TraceConfig

__all__ = ("DEFAULT_CLOSE_TIMEOUT", "ClientSession")

T = TypeVar("T")

DEFAULT_CLOSE_TIMEOUT: Final = 10.0
"""Seconds that work in flight may take to finish when a session closes."""

USER_AGENT: Final = f"Python/{sys.version_info[0]}.{sys.version_info[1]} endwell/{__version__}"

_NOT_PLAIN: Final = (
    hdrs.HOST,
    hdrs.COOKIE,
    hdrs.CONTENT_LENGTH,
    hdrs.CONTENT_TYPE,
    hdrs.CONTENT_ENCODING,
    hdrs.TRANSFER_ENCODING,
    hdrs.EXPECT,
)
"""Fields that, as defaults of a session, have to be reconciled with each request."""


class ClientSession(SessionView):
    """Makes requests. One session for many requests: it keeps connections and cookies.

    Use it as ``async with ClientSession() as session``, or close it by ``await session.close()``. Either waits for the
    work in flight; see `close`.

    Args:
        base_url: what relative URLs are joined to; must end in a slash if it has a path.
        connector: who opens connections; a `TCPConnector` of its own by default.
        connector_owner: whether closing the session closes the connector (with the last session that owns it).
        cookies, cookie_jar: cookies to start with; where they are kept (`DummyCookieJar` for nowhere).
        headers: fields for every request.
        skip_auto_headers: names of fields that are not added by themselves.
        json_serialize, json_serialize_bytes: how ``json=`` becomes text, or bytes.
        version: of HTTP, 1.1 or 1.0.
        raise_for_status: True, or an async function of the response: what to do with each response.
        timeout: a `ClientTimeout`; 300 s in all and 30 s for connecting by default.
        auto_decompress: whether content codings are undone.
        trust_env: take proxies and netrc from the environment.
        requote_redirect_url: whether the characters of a Location are put into canonical form.
        trace_configs: who wants to be told what happens.
        read_bufsize: bytes of a body that are held before the peer is made to wait.
        max_line_size, max_field_size, max_headers: limits of a response's head.
        decompress_limit: bytes that may come out of the codings of one body, 1 GiB; None for no limit.
        decompress_ratio: how many times its size a body may grow by decoding (from 8 MiB on), 200; None for no limit.
        fallback_charset_resolver: names the encoding of a text whose response does not.
        middlewares: what every request goes through.
        proxy, proxy_auth: for every request.
        close_timeout: seconds that work in flight may take when the session closes: 10; 0 aborts it, None waits for it.
        ssl_shutdown_timeout: see `BaseConnector`.
        request_class, response_class, ws_response_class: subclasses to use.
        loop, read_timeout, conn_timeout, auth: deprecated, as in aiohttp.

    Raises:
        RuntimeError: there is no running event loop.

    """

    def __init__(  # long: a line or two for each argument that aiohttp's has
        self,
        base_url: StrOrURL | None = None,
        *,
        connector: BaseConnector | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        cookies: LooseCookies | None = None,
        headers: LooseHeaders | None = None,
        proxy: StrOrURL | None = None,
        proxy_auth: BasicAuth | None = None,
        skip_auto_headers: Iterable[str] | None = None,
        auth: BasicAuth | None = None,
        json_serialize: JSONEncoder = json_module.dumps,
        json_serialize_bytes: Callable[[Any], bytes] | None = None,
        request_class: type[ClientRequest] = ClientRequest,
        response_class: type[ClientResponse] = ClientResponse,
        ws_response_class: type[ClientWebSocketResponse] = ClientWebSocketResponse,
        version: HttpVersion = HttpVersion11,
        cookie_jar: AbstractCookieJar | None = None,
        connector_owner: bool = True,
        raise_for_status: bool | Callable[[ClientResponse], Awaitable[None]] = False,
        read_timeout: Any = sentinel,
        conn_timeout: float | None = None,
        timeout: Any = sentinel,
        auto_decompress: bool = True,
        trust_env: bool = False,
        requote_redirect_url: bool = True,
        trace_configs: list[TraceConfig] | None = None,
        read_bufsize: int = 2**18,
        max_line_size: int = 8190,
        max_field_size: int = 8190,
        max_headers: int = 128,
        decompress_limit: int | None = RequestOptions.decompress_limit,
        decompress_ratio: float | None = RequestOptions.decompress_ratio,
        fallback_charset_resolver: Callable[[ClientResponse, bytes], str] = lambda r, b: "utf-8",
        middlewares: Sequence[ClientMiddlewareType] = (),
        ssl_shutdown_timeout: Any = sentinel,
        close_timeout: float | None = DEFAULT_CLOSE_TIMEOUT,
    ) -> None:
        running = asyncio.get_running_loop()
        if loop is not None and loop is not running:
            message = "A session belongs to the running event loop; loop= can't name another one"
            raise RuntimeError(message)
        self._base_url = checked_base(base_url)
        if tuple(version) not in ((1, 1), (1, 0)):
            message = f"version must be HttpVersion11 or HttpVersion10, not {version!r}"
            raise ValueError(message)
        if close_timeout is not None and not close_timeout >= 0:
            message = f"close_timeout must be None or a number of seconds, not {close_timeout!r}"
            raise ValueError(message)
        given = {
            "timeout": one_timeout(timeout, read_timeout, conn_timeout),
            "auto_decompress": auto_decompress,
            "read_bufsize": read_bufsize,
            "max_line_size": max_line_size,
            "max_field_size": max_field_size,
            "max_headers": max_headers,
            "decompress_limit": decompress_limit,
            "decompress_ratio": decompress_ratio,
            "middlewares": tuple(middlewares),
            "proxy": proxy,
            "proxy_auth": proxy_auth,
        }
        self._defaults = RequestOptions().merged(given)
        self._defaults.plain = self._defaults.direct = True
        self._direct = proxy is None and not trust_env
        self._version = version
        self._default_auth = auth
        self._json_serialize = json_serialize
        self._json_serialize_bytes = json_serialize_bytes
        self._request_class = request_class
        self._response_class = response_class
        self._ws_response_class = ws_response_class
        self._raise_for_status = raise_for_status
        self._trust_env = trust_env
        self._requote_redirect_url = requote_redirect_url
        self._fallback_charset_resolver = fallback_charset_resolver
        self._skip_auto_headers = frozenset(map(istr, skip_auto_headers or ()))
        self._skip_names = frozenset(name.lower() for name in self._skip_auto_headers)
        self._default_headers: CIMultiDict[str] = merge_headers(None, headers)
        self._trace_configs = list(trace_configs or ())
        for config in self._trace_configs:
            config.freeze()
        self._cookie_jar = CookieJar() if cookie_jar is None else cookie_jar
        if cookies:
            self._cookie_jar.update_cookies(cookies)
        render_fields(self._default_headers)  # refused now, before there is anything to close
        if connector is None:
            connector = TCPConnector(ssl_shutdown_timeout=ssl_shutdown_timeout)
        elif connector._core.loop is not running:
            message = f"Session and connector have to use same event loop; {connector!r} was made in another one"
            raise RuntimeError(message)
        self._connector_face: BaseConnector | None = connector
        self._schemes = connector.allowed_protocol_schema_set
        self._plain = (
            self._direct
            and tuple(version) == (1, 1)
            and auth is None
            and not self._trace_configs
            and "content-type" not in self._skip_names
            and not any(name in self._default_headers for name in _NOT_PLAIN)
        )
        self._tail = render_fields(self._plain_fields()) + b"\r\n"
        self._core = SessionCore(type(self).__name__, running, close_timeout, connector, connector_owner)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._core.state.value}, made at {self._core.origin.filename}>"

    # Requests

    def request(self, method: str, url: StrOrURL, **kwargs: Any) -> RequestContext:
        """Make a request.

        Args:
            method: the method, such as ``"GET"``.
            url: where to.
            kwargs: see `RequestOptions`, or docs/reference/client.md.

        Raises:
            ClientError: and its kin; `TimeoutError` for the total time-out.
            RuntimeError: the session is closed.

        """
        return RequestContext(self._request(method, url, _origin=caller(), **kwargs))

    def get(self, url: StrOrURL, *, allow_redirects: bool = True, **kwargs: Any) -> RequestContext:
        """Make a GET request. See `request`."""
        if not allow_redirects:
            kwargs["allow_redirects"] = False
        return RequestContext(self._request("GET", url, _origin=caller(), **kwargs))

    def options(self, url: StrOrURL, *, allow_redirects: bool = True, **kwargs: Any) -> RequestContext:
        """Make an OPTIONS request. See `request`."""
        if not allow_redirects:
            kwargs["allow_redirects"] = False
        return RequestContext(self._request("OPTIONS", url, _origin=caller(), **kwargs))

    def head(self, url: StrOrURL, *, allow_redirects: bool = False, **kwargs: Any) -> RequestContext:
        """Make a HEAD request, which does not follow redirects by itself. See `request`."""
        kwargs["allow_redirects"] = allow_redirects
        return RequestContext(self._request("HEAD", url, _origin=caller(), **kwargs))

    def post(self, url: StrOrURL, *, data: Any = None, **kwargs: Any) -> RequestContext:
        """Make a POST request. See `request`."""
        if data is not None:
            kwargs["data"] = data
        return RequestContext(self._request("POST", url, _origin=caller(), **kwargs))

    def put(self, url: StrOrURL, *, data: Any = None, **kwargs: Any) -> RequestContext:
        """Make a PUT request. See `request`."""
        if data is not None:
            kwargs["data"] = data
        return RequestContext(self._request("PUT", url, _origin=caller(), **kwargs))

    def patch(self, url: StrOrURL, *, data: Any = None, **kwargs: Any) -> RequestContext:
        """Make a PATCH request. See `request`."""
        if data is not None:
            kwargs["data"] = data
        return RequestContext(self._request("PATCH", url, _origin=caller(), **kwargs))

    def delete(self, url: StrOrURL, **kwargs: Any) -> RequestContext:
        """Make a DELETE request. See `request`."""
        return RequestContext(self._request("DELETE", url, _origin=caller(), **kwargs))

    def ws_connect(
        self,
        url: StrOrURL,
        *,
        method: str = "GET",
        protocols: Iterable[str] = (),
        timeout: ClientWSTimeout | Any = sentinel,
        receive_timeout: float | None = None,
        autoclose: bool = True,
        autoping: bool = True,
        heartbeat: float | None = None,
        origin: str | None = None,
        compress: int = 0,
        max_msg_size: int = 4 * 1024 * 1024,
        decode_text: bool = True,
        **kwargs: Any,
    ) -> WebSocketContext:
        """Open a WebSocket: ``async with session.ws_connect(url) as ws``, or ``ws = await session.ws_connect(url)``.

        Args:
            url: of scheme ws, wss, http or https.
            method: of the handshake.
            protocols: subprotocols, the one that is liked best first; `ClientWebSocketResponse.protocol` tells which
                one the server chose.
            timeout: a `ClientWSTimeout`: for the next message, none by default, and for closing, 10 s.
            receive_timeout: deprecated: seconds for the next message.
            autoclose, autoping: answer the server's close frame, and its pings.
            heartbeat: seconds of silence after which the server is sent a ping, to be answered in half that time.
            origin: the Origin field.
            compress: bits of the window for permessage-deflate, 9 to 15, which is then offered; 0 for no compression.
                Other parameters are offered by a field of `headers`, Sec-WebSocket-Extensions.
            max_msg_size: bytes of a message, decompressed, over which the WebSocket is closed (1009); 0 for any.
            decode_text: False to get the bytes of texts.
            kwargs: auth, params, headers, proxy, proxy_auth, proxy_headers, ssl, server_hostname and the other
                arguments of a request: see `RequestOptions`.

        Raises:
            WSServerHandshakeError: the server did not agree to a WebSocket, or wrongly.
            ClientError: and its kin, as for any request; RuntimeError: the session is closed.

        When the session closes, the WebSocket is closed with 1001.
        """
        given = {
            "autoclose": autoclose, "autoping": autoping, "heartbeat": heartbeat, "max_msg_size": max_msg_size,
            "decode_text": decode_text,
        }  # fmt: skip
        times = one_ws_timeout(timeout, receive_timeout)
        wanted = Wanted(tuple(protocols), times, origin, compress, given, caller())
        return WebSocketContext(connect(self, method, url, wanted, kwargs))

    def _request(
        self, method: str, str_or_url: StrOrURL, *, _origin: Origin | None = None, **kwargs: Any
    ) -> Coroutine[Any, Any, ClientResponse]:
        return perform(self, method, str_or_url, kwargs, _origin)

    async def _again(self, request: ClientRequest, fields: CIMultiDict[str]) -> ClientResponse:
        return await resend(self, request, fields)

    # The end

    def close(self, close_timeout: Any = sentinel) -> Coroutine[Any, Any, CloseReport]:
        """Close the session: no new requests, those in flight finish, everything is freed. Idempotent.

        Args:
            close_timeout: seconds that exchanges and tasks in flight may take, by default what the session was made
                with; 0 aborts them, None waits for them.

        When it returns, the operating system has nothing left of the session. What the calling task itself still holds
        open is closed, not waited for. A second caller awaits the first closing.

        Cancelled, it aborts what is left before the cancellation goes on.
        """
        core = self._core
        return self._close(core.close_timeout if close_timeout is sentinel else close_timeout, caller())

    async def _close(self, close_timeout: float | None, at: Origin) -> CloseReport:
        core = self._core
        report = await close(core, timeout=close_timeout, at=at)
        for error in failures(core):
            report.errors.append(error)
            core.loop.call_exception_handler(
                {"message": f"A task of {core.describe()}, made at {core.origin}, failed", "exception": error}
            )
        return report

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        core = self._core
        if error is None:
            await close(core, timeout=core.close_timeout, at=caller())
        else:
            await close(core, timeout=0, at=caller(), reason=f"its session's block ended by {type(error).__name__}")
        failed = failures(core)
        if not failed:
            return
        if error is None:
            message = f"unhandled errors in tasks of the {core.describe()} made at {core.origin}"
            raise BaseExceptionGroup(message, failed)
        for task_error in failed:
            error.add_note(f"A task of the session failed, too: {type(task_error).__name__}: {task_error}")

    def __enter__(self) -> NoReturn:
        message = "Use async with instead"
        raise TypeError(message)

    def __exit__(self, *exc: object) -> None:
        """Never called: `__enter__` raises."""

    def create_task(self, coro: Coroutine[Any, Any, T], *, name: str | None = None) -> asyncio.Task[T]:
        """Start a task that the session owns.

        Closing awaits it for up to `close_timeout`, then cancels it and awaits that. Its exception, unless somebody
        awaited the task, is raised from the session's ``async with`` block, in an exception group.

        Raises:
            RuntimeError: the session is closed.

        """
        core = self._core
        if core.state is not State.OPEN or self._loop_moved():
            try:
                refuse_unless_admitted(self)
            finally:
                if not core.admit():
                    coro.close()
        return spawn(core, coro, origin=caller(), name=name)

    def detach(self) -> None:
        """Give the connector up without closing it; the session is closed afterwards.

        Exchanges in flight go on and the connector must be closed by whoever has it.
        """
        core = self._core
        if self._connector_face is not None:
            self._connector_face._core.holders.pop(core, None)
        self._connector_face = None
        core.connector = None
        core.closed_at = caller()
        core.ended()

    @property
    def closed(self) -> bool:
        """Whether the session is closed or closing."""
        return self._core.state is not State.OPEN

    # For the modules of the client

    def _loop_moved(self) -> bool:
        return asyncio.get_running_loop() is not self._core.loop

    def _connector_core(self) -> ConnectorCore:
        if self._connector_face is None:
            refuse_unless_admitted(self)
        assert self._connector_face is not None
        return self._connector_face._core

    def _auth_applies(self, target: Any) -> bool:
        """Tell whether the session's credentials are for this origin."""
        base = self._base_url
        return base is None or (base.scheme, base.raw_host, base.port) == target.origin

    def _plain_fields(self, skip: Iterable[str] | None = None) -> CIMultiDict[str]:
        """Give the fields of a request without any of its own."""
        fields = CIMultiDict(self._default_headers)
        left_out = self._skip_names if not skip else self._skip_names | {name.lower() for name in skip}
        automatic = {hdrs.ACCEPT: "*/*", hdrs.ACCEPT_ENCODING: available_codings(), hdrs.USER_AGENT: USER_AGENT}
        for name, value in automatic.items():
            if name not in fields and name.lower() not in left_out:
                fields[name] = value
        connector = self._connector_face
        if connector is not None and connector.force_close and hdrs.CONNECTION not in fields:
            fields[hdrs.CONNECTION] = "close"
        elif tuple(self._version) == (1, 0) and hdrs.CONNECTION not in fields:
            fields[hdrs.CONNECTION] = "keep-alive"
        return fields
