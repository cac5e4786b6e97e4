"""A request as handlers get it: `BaseRequest` for low-level servers, `Request` for applications (RFC 9110, RFC 9112).

Nothing is computed before somebody asks: the constructor keeps the exchange, and each property reads the head, which is
bytes, when it is first read. Made by the server for each request, and by `make_mocked_request`. The fields are in
`server.request_fields`, the target is in `server.request_target`; how the body is read as a whole is in
`server.request_body`, how as a form in `server.form`.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Coroutine, Iterator, MutableMapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeVar, overload

from multidict import CIMultiDict, CIMultiDictProxy, MultiDictProxy
from yarl import URL

from endwell.connection.reader import EMPTY_PAYLOAD, StreamReader
from endwell.http.chainmap import ChainMapProxy
from endwell.http.typedefs import DEFAULT_JSON_DECODER, JSONDecoder, LooseHeaders
from endwell.http.version import HttpVersion
from endwell.server.appkey import NotAppKeyWarning, RequestKey
from endwell.server.request_target import RequestTarget

if TYPE_CHECKING:
    from endwell.connection.open_file import Closable
    from endwell.http.multipart import MultipartReader
    from endwell.http.writer import AbstractStreamWriter
    from endwell.server.application import Application
    from endwell.server.form import FileField, Form
    from endwell.server.response import StreamResponse
    from endwell.server.router import UrlMappingMatchInfo
    from endwell.server.seams import RequestExchange
    from endwell.wire.http1.request_head import RequestHead

__all__ = ("BaseRequest", "Request")

_T = TypeVar("_T")
_D = TypeVar("_D")
_Key = str | RequestKey[Any]
_MAX_SIZE: Final = 1024**2
_MAX_FIELDS: Final = 1000
_NOT_GIVEN: Final[Any] = object()
_warned_keys: set[Any] = set()
_WARNED_MAX: Final = 1024


class BaseRequest(RequestTarget, MutableMapping[_Key, Any]):
    """A request, and a mapping for what middlewares and handlers keep with it.

    Two requests are equal only when they are the same object.

    Args:
        exchange: what the request is part of.
        client_max_size: bytes of the decoded body that `read`, `text`, `json` and `post` take, 0 for no limit.
        client_max_fields: fields that `post` takes, and parts of `multipart`, 0 for no limit.
        scheme: instead of what the connection says.
        host: instead of what the target or the field `Host` says.
        remote: instead of the address of the peer.
        rel_url: instead of the target.
        headers: instead of the fields of the head.
        method: instead of that of the head.
        state: what the mapping holds, by reference.

    """

    POST_METHODS: ClassVar[frozenset[str]] = frozenset({"DELETE", "PATCH", "POST", "PUT", "TRACE"})

    # What is not set for a request is found here. (Slots would all have to be set: a third of a microsecond.)
    _client_max_size: int = _MAX_SIZE
    _client_max_fields: int = _MAX_FIELDS
    _state: dict[_Key, Any] | None = None
    _content: StreamReader | None = None
    _body: bytes | None = None
    _pieces: bytearray | None = None
    _form: Form | None = None
    _opened: list[Closable] | None = None
    _cloned_from: BaseRequest | None = None

    def __init__(
        self,
        exchange: RequestExchange,
        *,
        client_max_size: int = _MAX_SIZE,
        client_max_fields: int = _MAX_FIELDS,
        scheme: str | None = None,
        host: str | None = None,
        remote: str | None = None,
        rel_url: URL | None = None,
        headers: CIMultiDictProxy[str] | None = None,
        method: str | None = None,
        state: dict[_Key, Any] | None = None,
    ) -> None:
        head = exchange.head
        self._exchange = exchange
        self._head: RequestHead = head
        self.method = head.method if method is None else method
        self._target = head.target if rel_url is None else str(rel_url)
        if client_max_size != _MAX_SIZE:
            self._client_max_size = client_max_size
        if client_max_fields != _MAX_FIELDS:
            self._client_max_fields = client_max_fields
        if scheme is not None:
            self._scheme = scheme
        if host is not None:
            self._host = host
        if remote is not None:
            self._remote = remote
        if headers is not None:
            self._headers = headers
        if state is not None:
            self._state = state

    def clone(
        self,
        *,
        method: str = _NOT_GIVEN,
        rel_url: str | URL = _NOT_GIVEN,
        headers: LooseHeaders = _NOT_GIVEN,
        scheme: str = _NOT_GIVEN,
        host: str = _NOT_GIVEN,
        remote: str = _NOT_GIVEN,
        client_max_size: int = _NOT_GIVEN,
        client_max_fields: int = _NOT_GIVEN,
    ) -> Self:
        """Give a copy in which what is given is replaced. Both are of one exchange: its body can be read once.

        The copy has a mapping of its own, with what is in this one. With an absolute `rel_url` its host counts.

        Raises:
            RuntimeError: the body was read already.

        """
        if self._body or self._pieces:
            message = "Cannot clone request after reading its content"
            raise RuntimeError(message)

        def choose(given: Any, own: Any) -> Any:
            return own if given is _NOT_GIVEN else given

        fields = self._headers if headers is _NOT_GIVEN else CIMultiDictProxy(CIMultiDict(headers))
        if isinstance(rel_url, str):
            rel_url = URL(rel_url)
        own_target = URL(self._target, encoded=True) if self._target is not self._head.target else None
        copy = type(self)(
            self._exchange,
            client_max_size=choose(client_max_size, self._client_max_size),
            client_max_fields=choose(client_max_fields, self._client_max_fields),
            scheme=choose(scheme, self._scheme),
            host=choose(host, self._host),
            remote=choose(remote, self._remote),
            rel_url=choose(rel_url, own_target),
            headers=fields,
            method=choose(method, self.method),
            state=dict(self._state) if self._state else None,
        )
        self._give_to(copy)
        return copy

    def _give_to(self, copy: Self) -> None:
        """Give a copy what it shares with this request."""
        copy._content = self._content
        copy._cloned_from = self

    # The mapping

    @overload
    def __getitem__(self, key: RequestKey[_T]) -> _T: ...

    @overload
    def __getitem__(self, key: str) -> Any: ...

    def __getitem__(self, key: _Key) -> Any:
        if self._state is None:
            raise KeyError(key)
        return self._state[key]

    @overload
    def __setitem__(self, key: RequestKey[_T], value: _T) -> None: ...

    @overload
    def __setitem__(self, key: str, value: Any) -> None: ...

    def __setitem__(self, key: _Key, value: Any) -> None:
        if not isinstance(key, RequestKey) and key not in _warned_keys:
            if len(_warned_keys) < _WARNED_MAX:
                _warned_keys.add(key)
            message = (
                f"request[{key!r}] = ...: two libraries may choose the same key; use one made with web.RequestKey(...)"
            )
            warnings.warn(message, category=NotAppKeyWarning, stacklevel=2)
        if self._state is None:
            self._state = {}
        self._state[key] = value

    @overload  # type: ignore[override]  # a key says the type of its value
    def get(self, key: RequestKey[_T], default: None = ...) -> _T | None: ...

    @overload
    def get(self, key: RequestKey[_T], default: _D) -> _T | _D: ...

    @overload
    def get(self, key: str, default: Any = ...) -> Any: ...

    def get(self, key: _Key, default: Any = None) -> Any:
        """Give what is kept under a key, or the default."""
        return self._state.get(key, default) if self._state else default

    def __delitem__(self, key: _Key) -> None:
        if self._state is None:
            raise KeyError(key)
        del self._state[key]

    def __len__(self) -> int:
        return len(self._state) if self._state else 0

    def __iter__(self) -> Iterator[_Key]:
        return iter(self._state or ())

    def __bool__(self) -> bool:
        return True

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.method} {self.path!r}>"

    # The exchange

    @property
    def version(self) -> HttpVersion:
        """The version of HTTP that the client speaks."""
        return self._head.version

    @property
    def keep_alive(self) -> bool:
        """Whether the client lets the connection be used again."""
        return self._head.keep_alive

    @property
    def task(self) -> asyncio.Task[Any] | None:
        """The task that runs the handler."""
        return self._exchange.task

    @property
    def protocol(self) -> Any:
        """The connection."""
        return self._exchange.protocol

    @property
    def transport(self) -> asyncio.Transport | None:
        """The transport below, None when the client has gone."""
        return self._exchange.transport

    @property
    def writer(self) -> AbstractStreamWriter:
        """What the body of the response goes through.

        Before its head was sent it takes interim responses: ``b"HTTP/1.1 100 Continue\r\n\r\n"`` in an
        `expect_handler`.
        """
        return self._exchange.writer or self._exchange.interim_writer()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop. Deprecated: write `asyncio.get_running_loop()`."""
        message = "request.loop is deprecated: write asyncio.get_running_loop()"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return self._exchange.loop

    @property
    def message(self) -> RequestHead:
        """The head of the request. Deprecated: the attributes of the request say the same."""
        message = "request.message is deprecated: method, version, headers, rel_url ... of the request say the same"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return self._head

    @property
    def client_max_size(self) -> int:
        """Bytes of the decoded body that are read at once, 0 for no limit."""
        return self._client_max_size

    @property
    def client_max_fields(self) -> int:
        """Fields of a form, and parts of a multipart body, 0 for no limit."""
        return self._client_max_fields

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Ask the transport, see `asyncio.BaseTransport.get_extra_info`; `default` when the client has gone."""
        return self._exchange.get_extra_info(name, default)

    def create_task(self, coro: Coroutine[Any, Any, _T], *, name: str | None = None) -> asyncio.Task[_T]:
        """Start a task that the server owns: it may outlive the request, and is awaited, then cancelled, at the end.

        What it raises is logged when nobody awaits it.
        """
        return self._exchange.create_task(coro, name=name)

    async def wait_for_disconnection(self) -> None:
        """Return when the client has gone, or will send no more: it looks the same. Cancelling it changes nothing."""
        await self._exchange.wait_for_disconnection()

    # The body

    @property
    def content(self) -> StreamReader:
        """The body as it comes; `read`, `text`, `json` and `post` read it for you, within `client_max_size`."""
        if self._content is None:
            body = self._exchange.body
            self._content = EMPTY_PAYLOAD if body is None else StreamReader(body, None, self._exchange.loop)
        return self._content

    @property
    def body_exists(self) -> bool:
        """Whether the request has a body, also when it was read already."""
        return self._exchange.body is not None or self.content is not EMPTY_PAYLOAD

    @property
    def can_read_body(self) -> bool:
        """Whether some of the body was not read yet."""
        return self.body_exists and not self.content.at_eof()

    @property
    def has_body(self) -> bool:
        """Deprecated: write `can_read_body`."""
        warnings.warn("request.has_body is deprecated: write can_read_body", DeprecationWarning, stacklevel=2)
        return self.can_read_body

    async def read(self) -> bytes:
        """Read the body, decoded, and keep it: a second call gives the same.

        A cancelled call loses nothing: the next one goes on.

        Raises:
            HTTPRequestEntityTooLarge: it has more than `client_max_size` bytes (413).
            RequestPayloadError: the body is broken, or the client went before its end.

        """
        if self._body is None:
            whole = self._exchange.whole
            if whole and self._content is None and len(whole) <= (self._client_max_size or len(whole)):
                self._body = whole
            elif not self.body_exists:
                self._body = b""
            else:
                from endwell.server.request_body import read_body

                self._body = await read_body(self)
        return self._body

    async def text(self) -> str:
        """Read the body as text in the charset of `Content-Type`, UTF-8 when it names none.

        Raises:
            HTTPUnsupportedMediaType: nobody here knows that charset (415); it is a LookupError too.
            HTTPBadRequest: the body is not in it (400); it is a UnicodeDecodeError too.
            HTTPRequestEntityTooLarge, RequestPayloadError: see `read`.

        """
        from endwell.server.request_body import decode_body

        return decode_body(await self.read(), self.charset)

    async def json(self, *, loads: JSONDecoder = DEFAULT_JSON_DECODER, content_type: str | None = None) -> Any:
        """Read the body as JSON.

        Args:
            loads: makes an object of the text.
            content_type: what the media type must be, None for any; ``application/json`` takes ``+json`` types too.

        Raises:
            HTTPBadRequest: it is not JSON, or the media type is another one (400). For the first it is a
                `json.JSONDecodeError` too; what else `loads` raises comes as it is.
            HTTPUnsupportedMediaType, HTTPRequestEntityTooLarge, RequestPayloadError: see `text`.

        """
        text = await self.text()
        from endwell.server.request_body import check_content_type, parse_json

        if content_type is not None:
            check_content_type(self.content_type, content_type)
        return parse_json(text, loads)

    async def multipart(self) -> MultipartReader:
        """Give a reader of the parts of a multipart body, one after another; `post` reads whole forms.

        The reader takes `client_max_fields` parts, and `client_max_size` bytes of a part that is read as a whole.
        Beyond, it raises `TooManyPartsError` and `HTTPRequestEntityTooLarge`: both are answered with 413.

        Raises:
            HTTPBadRequest: `Content-Type` is not multipart, or has no good boundary (400); it is a ValueError too.

        """
        from endwell.server.form import multipart_reader

        return multipart_reader(self)

    async def post(self) -> MultiDictProxy[str | bytes | FileField]:
        """Read the body as a form, and keep it: a second call gives the same.

        Empty for methods and media types that have no form. Files are closed when the request ends. A cancelled call
        loses what it has read.

        Raises:
            HTTPRequestEntityTooLarge: over `client_max_size` bytes in all, or over `client_max_fields` fields (413).
            HTTPBadRequest: the body is not the form that its media type says (400).
            HTTPUnsupportedMediaType: a charset or a coding that is not known (415).
            RequestPayloadError: see `read`.

        """
        if self._form is None:
            from endwell.server.form import read_form

            self._form = form = await read_form(self)
            self._close_at_end(form)
            origin = self._cloned_from
            while origin is not None:
                origin._form = form
                origin = origin._cloned_from
        return self._form.fields

    async def release(self) -> None:
        """Read the rest of the body away."""
        content = self.content
        while await content.readany():
            pass

    # What the server calls

    def _close_at_end(self, opened: Closable) -> None:
        """Have something closed at the end of the request, whatever becomes of it until then."""
        origin: BaseRequest = self
        while origin._cloned_from is not None:  # the server knows the first one only
            origin = origin._cloned_from
        if origin._opened is None:
            origin._opened = []
        origin._opened.append(opened)

    def _close_opened(self) -> None:
        """Close what was opened for the request, at its end."""
        for opened in self._opened or ():
            opened.close()

    @property
    def _has_prepare_hooks(self) -> bool:
        """Whether somebody wants to see the response before it is sent."""
        return False

    async def _prepare_hook(self, response: StreamResponse) -> None:
        """Show the response to whoever wants to see it before it is sent."""


class Request(BaseRequest):
    """A request that a router has found a handler for."""

    _match_info: UrlMappingMatchInfo | None = None

    def _give_to(self, copy: Self) -> None:
        super()._give_to(copy)
        copy._match_info = self._match_info

    @property
    def match_info(self) -> UrlMappingMatchInfo:
        """What the router found: the variable parts of the path, the route, the handler."""
        match_info = self._match_info
        assert match_info is not None, "the application sets it before the handler runs"
        return match_info

    @property
    def app(self) -> Application:
        """The application whose handler or middleware runs."""
        return self.match_info.current_app

    @property
    def config_dict(self) -> ChainMapProxy:
        """What is kept in the application and in those around it; the innermost that has a key wins."""
        apps = self.match_info.apps
        inner = apps.index(self.app)
        return ChainMapProxy(apps[inner::-1])

    @property
    def _has_prepare_hooks(self) -> bool:
        match_info = self._match_info
        if match_info is not None:
            for app in match_info.apps:
                if app.on_response_prepare:
                    return True
        return False

    async def _prepare_hook(self, response: StreamResponse) -> None:
        match_info = self._match_info
        if match_info is not None:
            for app in match_info.apps:
                if app.on_response_prepare:
                    await app.on_response_prepare.send(self, response)
