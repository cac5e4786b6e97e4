"""Signals about the life of a request: ``TraceConfig``, the ``Trace*Params`` and the ``Trace`` that sends them.

Used by ``client/session`` and whatever it hands a ``Trace`` to (connector, resolver, response). A session without trace
configs makes no ``Trace``: the callers write ``if trace is not None``.
"""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

from aiosignal import Signal
from multidict import CIMultiDict
from yarl import URL

from endwell.client.request_info import shown_url

if TYPE_CHECKING:
    from endwell.client.response import ClientResponse
    from endwell.client.session import ClientSession

__all__ = (
    "Trace",
    "TraceConfig",
    "TraceConnectionCreateEndParams",
    "TraceConnectionCreateStartParams",
    "TraceConnectionQueuedEndParams",
    "TraceConnectionQueuedStartParams",
    "TraceConnectionReuseconnParams",
    "TraceDnsCacheHitParams",
    "TraceDnsCacheMissParams",
    "TraceDnsResolveHostEndParams",
    "TraceDnsResolveHostStartParams",
    "TraceRequestChunkSentParams",
    "TraceRequestEndParams",
    "TraceRequestExceptionParams",
    "TraceRequestHeadersSentParams",
    "TraceRequestRedirectParams",
    "TraceRequestStartParams",
    "TraceResponseChunkReceivedParams",
    "make_trace",
)


class _Params:
    """What a signal is about: named values, compared and shown by them, never changed."""

    __slots__ = ()
    __match_args__: tuple[str, ...] = ()

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__match_args__)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be set: a signal only tells what happened")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), *self._values()))

    def __repr__(self) -> str:
        inner = ", ".join(f"{name}={self._shown(name)}" for name in self.__match_args__)
        return f"{type(self).__name__}({inner})"

    def _shown(self, name: str) -> str:
        value = getattr(self, name)
        if name == "headers":  # they may hold credentials
            return f"<{len(value)} fields, not shown>"
        return repr(shown_url(value)) if isinstance(value, URL) else repr(value)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._values()


_put = object.__setattr__


class _Head(_Params):
    __slots__ = ("headers", "method", "url")
    __match_args__ = ("method", "url", "headers")

    method: str
    url: URL
    headers: "CIMultiDict[str]"

    def __init__(self, method: str, url: URL, headers: "CIMultiDict[str]") -> None:
        _put(self, "method", method)
        _put(self, "url", url)
        _put(self, "headers", headers)


class _Answer(_Params):
    __slots__ = ("headers", "method", "response", "url")
    __match_args__ = ("method", "url", "headers", "response")

    method: str
    url: URL
    headers: "CIMultiDict[str]"
    response: "ClientResponse"

    def __init__(self, method: str, url: URL, headers: "CIMultiDict[str]", response: "ClientResponse") -> None:
        _put(self, "method", method)
        _put(self, "url", url)
        _put(self, "headers", headers)
        _put(self, "response", response)


class _Chunk(_Params):
    __slots__ = ("chunk", "method", "url")
    __match_args__ = ("method", "url", "chunk")

    method: str
    url: URL
    chunk: bytes

    def __init__(self, method: str, url: URL, chunk: bytes) -> None:
        _put(self, "method", method)
        _put(self, "url", url)
        _put(self, "chunk", chunk)


class _Host(_Params):
    __slots__ = ("host",)
    __match_args__ = ("host",)

    host: str

    def __init__(self, host: str) -> None:
        _put(self, "host", host)


class TraceRequestStartParams(_Head):
    """Of ``on_request_start``: ``method``, ``url``, ``headers``."""

    __slots__ = ()


class TraceRequestHeadersSentParams(_Head):
    """Of ``on_request_headers_sent``: ``method``, ``url`` and the ``headers`` as they were sent."""

    __slots__ = ()


class TraceRequestChunkSentParams(_Chunk):
    """Of ``on_request_chunk_sent``: ``method``, ``url`` and a ``chunk`` of the request's body, before its coding."""

    __slots__ = ()


class TraceResponseChunkReceivedParams(_Chunk):
    """Of ``on_response_chunk_received``: ``method``, ``url`` and a ``chunk`` of the response's body, decoded."""

    __slots__ = ()


class TraceRequestEndParams(_Answer):
    """Of ``on_request_end``: ``method``, ``url``, ``headers`` of the request, and the ``response``."""

    __slots__ = ()


class TraceRequestRedirectParams(_Answer):
    """Of ``on_request_redirect``: ``method``, ``url``, ``headers`` of the request, and the redirect as ``response``."""

    __slots__ = ()


class TraceRequestExceptionParams(_Params):
    """Of ``on_request_exception``: ``method``, ``url``, ``headers`` of the request, and the ``exception``."""

    __slots__ = ("exception", "headers", "method", "url")
    __match_args__ = ("method", "url", "headers", "exception")

    method: str
    url: URL
    headers: "CIMultiDict[str]"
    exception: BaseException

    def __init__(self, method: str, url: URL, headers: "CIMultiDict[str]", exception: BaseException) -> None:
        _put(self, "method", method)
        _put(self, "url", url)
        _put(self, "headers", headers)
        _put(self, "exception", exception)


class TraceConnectionQueuedStartParams(_Params):
    """Of ``on_connection_queued_start``: the request waits for a connection of the pool."""

    __slots__ = ()


class TraceConnectionQueuedEndParams(_Params):
    """Of ``on_connection_queued_end``: it has waited."""

    __slots__ = ()


class TraceConnectionCreateStartParams(_Params):
    """Of ``on_connection_create_start``: a connection is about to be opened."""

    __slots__ = ()


class TraceConnectionCreateEndParams(_Params):
    """Of ``on_connection_create_end``: it is open."""

    __slots__ = ()


class TraceConnectionReuseconnParams(_Params):
    """Of ``on_connection_reuseconn``: an idle connection was taken."""

    __slots__ = ()


class TraceDnsResolveHostStartParams(_Host):
    """Of ``on_dns_resolvehost_start``: ``host`` is about to be resolved."""

    __slots__ = ()


class TraceDnsResolveHostEndParams(_Host):
    """Of ``on_dns_resolvehost_end``: ``host`` was resolved."""

    __slots__ = ()


class TraceDnsCacheHitParams(_Host):
    """Of ``on_dns_cache_hit``: ``host`` was in the cache."""

    __slots__ = ()


class TraceDnsCacheMissParams(_Host):
    """Of ``on_dns_cache_miss``: ``host`` was not in the cache."""

    __slots__ = ()


class _CtxFactory(Protocol):
    def __call__(self, *, trace_request_ctx: Any) -> Any:
        """A new context for one request."""


class TraceConfig:
    """Handlers to be told about requests: ``config.on_request_start.append(handler)``, and so on for each signal.

    A handler is ``async def handler(session, ctx, params)``. ``ctx`` is made once for a request, by
    ``trace_config_ctx_factory(trace_request_ctx=...)`` (a ``SimpleNamespace`` by default), from the argument
    ``trace_request_ctx`` of the call. The request waits for its handlers, and what they raise ends it. A session
    freezes the configs that it is given: a handler appended later raises RuntimeError.
    """

    __slots__ = (
        "_ctx_factory",
        "on_connection_create_end",
        "on_connection_create_start",
        "on_connection_queued_end",
        "on_connection_queued_start",
        "on_connection_reuseconn",
        "on_dns_cache_hit",
        "on_dns_cache_miss",
        "on_dns_resolvehost_end",
        "on_dns_resolvehost_start",
        "on_request_chunk_sent",
        "on_request_end",
        "on_request_exception",
        "on_request_headers_sent",
        "on_request_redirect",
        "on_request_start",
        "on_response_chunk_received",
    )

    def __init__(self, trace_config_ctx_factory: _CtxFactory = SimpleNamespace) -> None:
        self._ctx_factory = trace_config_ctx_factory
        self.on_request_start: Signal[ClientSession, Any, TraceRequestStartParams] = Signal(self)
        self.on_request_chunk_sent: Signal[ClientSession, Any, TraceRequestChunkSentParams] = Signal(self)
        self.on_response_chunk_received: Signal[ClientSession, Any, TraceResponseChunkReceivedParams] = Signal(self)
        self.on_request_end: Signal[ClientSession, Any, TraceRequestEndParams] = Signal(self)
        self.on_request_exception: Signal[ClientSession, Any, TraceRequestExceptionParams] = Signal(self)
        self.on_request_redirect: Signal[ClientSession, Any, TraceRequestRedirectParams] = Signal(self)
        self.on_connection_queued_start: Signal[ClientSession, Any, TraceConnectionQueuedStartParams] = Signal(self)
        self.on_connection_queued_end: Signal[ClientSession, Any, TraceConnectionQueuedEndParams] = Signal(self)
        self.on_connection_create_start: Signal[ClientSession, Any, TraceConnectionCreateStartParams] = Signal(self)
        self.on_connection_create_end: Signal[ClientSession, Any, TraceConnectionCreateEndParams] = Signal(self)
        self.on_connection_reuseconn: Signal[ClientSession, Any, TraceConnectionReuseconnParams] = Signal(self)
        self.on_dns_resolvehost_start: Signal[ClientSession, Any, TraceDnsResolveHostStartParams] = Signal(self)
        self.on_dns_resolvehost_end: Signal[ClientSession, Any, TraceDnsResolveHostEndParams] = Signal(self)
        self.on_dns_cache_hit: Signal[ClientSession, Any, TraceDnsCacheHitParams] = Signal(self)
        self.on_dns_cache_miss: Signal[ClientSession, Any, TraceDnsCacheMissParams] = Signal(self)
        self.on_request_headers_sent: Signal[ClientSession, Any, TraceRequestHeadersSentParams] = Signal(self)

    def trace_config_ctx(self, trace_request_ctx: Any = None) -> Any:
        """The context for one request."""
        return self._ctx_factory(trace_request_ctx=trace_request_ctx)

    def freeze(self) -> None:
        """Take no more handlers. May be called again."""
        for signal in _SIGNALS:
            getattr(self, signal).freeze()


_SIGNALS: Final = tuple(name for name in TraceConfig.__slots__ if name.startswith("on_"))


class Trace:
    """Sends the signals of one request to the trace configs of its session, in their order.

    Each ``send_*`` returns when every handler has, and raises what a handler raised. Cancelled, it cancels the handler
    that runs; the later ones are not told.
    """

    __slots__ = ("_pairs", "_session")

    def __init__(self, session: "ClientSession", pairs: Sequence[tuple[TraceConfig, Any]]) -> None:
        self._session = session
        self._pairs = pairs

    async def send_request_start(self, method: str, url: URL, headers: "CIMultiDict[str]") -> None:
        """Send ``on_request_start``."""
        for config, ctx in self._pairs:
            if config.on_request_start:
                await config.on_request_start.send(self._session, ctx, TraceRequestStartParams(method, url, headers))

    async def send_request_chunk_sent(self, method: str, url: URL, chunk: bytes) -> None:
        """Send ``on_request_chunk_sent``."""
        for config, ctx in self._pairs:
            if config.on_request_chunk_sent:
                await config.on_request_chunk_sent.send(
                    self._session, ctx, TraceRequestChunkSentParams(method, url, chunk)
                )

    async def send_response_chunk_received(self, method: str, url: URL, chunk: bytes) -> None:
        """Send ``on_response_chunk_received``."""
        for config, ctx in self._pairs:
            if config.on_response_chunk_received:
                await config.on_response_chunk_received.send(
                    self._session, ctx, TraceResponseChunkReceivedParams(method, url, chunk)
                )

    async def send_request_end(
        self, method: str, url: URL, headers: "CIMultiDict[str]", response: "ClientResponse"
    ) -> None:
        """Send ``on_request_end``."""
        for config, ctx in self._pairs:
            if config.on_request_end:
                await config.on_request_end.send(
                    self._session, ctx, TraceRequestEndParams(method, url, headers, response)
                )

    async def send_request_exception(
        self, method: str, url: URL, headers: "CIMultiDict[str]", exception: BaseException
    ) -> None:
        """Send ``on_request_exception``."""
        for config, ctx in self._pairs:
            if config.on_request_exception:
                await config.on_request_exception.send(
                    self._session, ctx, TraceRequestExceptionParams(method, url, headers, exception)
                )

    async def send_request_redirect(
        self, method: str, url: URL, headers: "CIMultiDict[str]", response: "ClientResponse"
    ) -> None:
        """Send ``on_request_redirect``."""
        for config, ctx in self._pairs:
            if config.on_request_redirect:
                await config.on_request_redirect.send(
                    self._session, ctx, TraceRequestRedirectParams(method, url, headers, response)
                )

    async def send_connection_queued_start(self) -> None:
        """Send ``on_connection_queued_start``."""
        for config, ctx in self._pairs:
            if config.on_connection_queued_start:
                await config.on_connection_queued_start.send(self._session, ctx, TraceConnectionQueuedStartParams())

    async def send_connection_queued_end(self) -> None:
        """Send ``on_connection_queued_end``."""
        for config, ctx in self._pairs:
            if config.on_connection_queued_end:
                await config.on_connection_queued_end.send(self._session, ctx, TraceConnectionQueuedEndParams())

    async def send_connection_create_start(self) -> None:
        """Send ``on_connection_create_start``."""
        for config, ctx in self._pairs:
            if config.on_connection_create_start:
                await config.on_connection_create_start.send(self._session, ctx, TraceConnectionCreateStartParams())

    async def send_connection_create_end(self) -> None:
        """Send ``on_connection_create_end``."""
        for config, ctx in self._pairs:
            if config.on_connection_create_end:
                await config.on_connection_create_end.send(self._session, ctx, TraceConnectionCreateEndParams())

    async def send_connection_reuseconn(self) -> None:
        """Send ``on_connection_reuseconn``."""
        for config, ctx in self._pairs:
            if config.on_connection_reuseconn:
                await config.on_connection_reuseconn.send(self._session, ctx, TraceConnectionReuseconnParams())

    async def send_dns_resolvehost_start(self, host: str) -> None:
        """Send ``on_dns_resolvehost_start``."""
        for config, ctx in self._pairs:
            if config.on_dns_resolvehost_start:
                await config.on_dns_resolvehost_start.send(self._session, ctx, TraceDnsResolveHostStartParams(host))

    async def send_dns_resolvehost_end(self, host: str) -> None:
        """Send ``on_dns_resolvehost_end``."""
        for config, ctx in self._pairs:
            if config.on_dns_resolvehost_end:
                await config.on_dns_resolvehost_end.send(self._session, ctx, TraceDnsResolveHostEndParams(host))

    async def send_dns_cache_hit(self, host: str) -> None:
        """Send ``on_dns_cache_hit``."""
        for config, ctx in self._pairs:
            if config.on_dns_cache_hit:
                await config.on_dns_cache_hit.send(self._session, ctx, TraceDnsCacheHitParams(host))

    async def send_dns_cache_miss(self, host: str) -> None:
        """Send ``on_dns_cache_miss``."""
        for config, ctx in self._pairs:
            if config.on_dns_cache_miss:
                await config.on_dns_cache_miss.send(self._session, ctx, TraceDnsCacheMissParams(host))

    async def send_request_headers(self, method: str, url: URL, headers: "CIMultiDict[str]") -> None:
        """Send ``on_request_headers_sent``."""
        for config, ctx in self._pairs:
            if config.on_request_headers_sent:
                await config.on_request_headers_sent.send(
                    self._session, ctx, TraceRequestHeadersSentParams(method, url, headers)
                )


def make_trace(session: "ClientSession", configs: Sequence[TraceConfig], trace_request_ctx: Any = None) -> Trace | None:
    """The ``Trace`` of a new request, with a fresh context for each config; None when there are no configs."""
    if not configs:
        return None
    return Trace(session, [(config, config.trace_config_ctx(trace_request_ctx)) for config in configs])
