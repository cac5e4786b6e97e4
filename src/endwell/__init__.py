"""endwell: an asynchronous HTTP client and server in which everything that is opened ends well.

The names of aiohttp's client, with its behaviour (`web` has those of the server), and what it does not have:
`CloseReport`, `open_resources`, `RetryMiddleware`, `RateLimitMiddleware`, `sse`. What most programs do not touch is
imported when it is asked for.
"""

from typing import TYPE_CHECKING, Any, Final

from endwell._version import __version__
from endwell.client.auth import BasicAuth, encode_basic_auth
from endwell.client.connector import BaseConnector, Connection, NamedPipeConnector, TCPConnector, UnixConnector
from endwell.client.cookiejar import AbstractCookieJar, CookieJar, DummyCookieJar
from endwell.client.errors import (
    AddressDeniedError,
    ClientConnectionError,
    ClientConnectionResetError,
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ClientError,
    ClientHttpProxyError,
    ClientOSError,
    ClientPayloadError,
    ClientProxyConnectionError,
    ClientResponseError,
    ClientSSLError,
    ConnectionTimeoutError,
    ContentCodingError,
    ContentTypeError,
    DecompressionLimitError,
    ExchangeAbortedError,
    InvalidURL,
    InvalidUrlClientError,
    InvalidUrlRedirectClientError,
    NonHttpUrlClientError,
    NonHttpUrlRedirectClientError,
    PoolTimeoutError,
    RedirectClientError,
    ServerConnectionError,
    ServerDisconnectedError,
    ServerFingerprintMismatch,
    ServerTimeoutError,
    SessionClosedError,
    SocketTimeoutError,
    TooManyRedirects,
    UnixClientConnectorError,
    UploadAbortedError,
    WebSocketError,
    WSMessageTypeError,
    WSServerHandshakeError,
)
from endwell.client.middlewares import ClientHandlerType, ClientMiddlewareType
from endwell.client.once import request
from endwell.client.request import ClientRequest
from endwell.client.request_info import RequestInfo
from endwell.client.response import ClientResponse
from endwell.client.session import ClientSession
from endwell.client.timeouts import ClientTimeout, ClientWSTimeout
from endwell.client.tracing import (
    TraceConfig,
    TraceConnectionCreateEndParams,
    TraceConnectionCreateStartParams,
    TraceConnectionQueuedEndParams,
    TraceConnectionQueuedStartParams,
    TraceConnectionReuseconnParams,
    TraceDnsCacheHitParams,
    TraceDnsCacheMissParams,
    TraceDnsResolveHostEndParams,
    TraceDnsResolveHostStartParams,
    TraceRequestChunkSentParams,
    TraceRequestEndParams,
    TraceRequestExceptionParams,
    TraceRequestHeadersSentParams,
    TraceRequestRedirectParams,
    TraceRequestStartParams,
    TraceResponseChunkReceivedParams,
)
from endwell.client.upload import UploadTracker
from endwell.client.websocket import ClientWebSocketResponse
from endwell.connection.reader import EMPTY_PAYLOAD, StreamReader
from endwell.http import hdrs
from endwell.http.codings import set_zlib_backend
from endwell.http.payload import (
    PAYLOAD_REGISTRY,
    AsyncIterablePayload,
    BufferedReaderPayload,
    BytesIOPayload,
    BytesPayload,
    IOBasePayload,
    JsonPayload,
    Payload,
    StringIOPayload,
    StringPayload,
    TextIOPayload,
    get_payload,
    payload_type,
)
from endwell.http.version import HttpVersion, HttpVersion10, HttpVersion11
from endwell.lifetime import CloseReport, ForkedError, LeakReport, WrongLoopError, open_resources
from endwell.wire.websocket import WSCloseCode, WSMessage, WSMsgType

if TYPE_CHECKING:
    from endwell.client.digest_auth import DigestAuthMiddleware
    from endwell.client.ratelimit import RateLimitMiddleware
    from endwell.client.retry import RetryBudget, RetryEvent, RetryMiddleware, RetryPolicy
    from endwell.client.sse import EventSource, EventStreamError, ServerSentEvent, sse
    from endwell.http.chainmap import ChainMapProxy
    from endwell.http.disposition import (
        BadContentDispositionHeader,
        BadContentDispositionParam,
        content_disposition_filename,
        parse_content_disposition,
    )
    from endwell.http.etag import ETag
    from endwell.http.formdata import FormData
    from endwell.http.multipart import BodyPartReader, MultipartReader, MultipartWriter
    from endwell.transport.address import AddrInfo as AddrInfoType
    from endwell.transport.address import ResolveResult, private_address
    from endwell.transport.dial import SocketFactory as SocketFactoryType
    from endwell.transport.resolver import AbstractResolver, AsyncResolver, DefaultResolver, ThreadedResolver
    from endwell.transport.tls import Fingerprint

__all__ = (
    "EMPTY_PAYLOAD",
    "PAYLOAD_REGISTRY",
    "AbstractCookieJar",
    "AbstractResolver",
    "AddrInfoType",
    "AddressDeniedError",
    "AsyncIterablePayload",
    "AsyncResolver",
    "BadContentDispositionHeader",
    "BadContentDispositionParam",
    "BaseConnector",
    "BasicAuth",
    "BodyPartReader",
    "BufferedReaderPayload",
    "BytesIOPayload",
    "BytesPayload",
    "ChainMapProxy",
    "ClientConnectionError",
    "ClientConnectionResetError",
    "ClientConnectorCertificateError",
    "ClientConnectorDNSError",
    "ClientConnectorError",
    "ClientConnectorSSLError",
    "ClientError",
    "ClientHandlerType",
    "ClientHttpProxyError",
    "ClientMiddlewareType",
    "ClientOSError",
    "ClientPayloadError",
    "ClientProxyConnectionError",
    "ClientRequest",
    "ClientResponse",
    "ClientResponseError",
    "ClientSSLError",
    "ClientSession",
    "ClientTimeout",
    "ClientWSTimeout",
    "ClientWebSocketResponse",
    "CloseReport",
    "Connection",
    "ConnectionTimeoutError",
    "ContentCodingError",
    "ContentTypeError",
    "CookieJar",
    "DecompressionLimitError",
    "DefaultResolver",
    "DigestAuthMiddleware",
    "DummyCookieJar",
    "ETag",
    "EventSource",
    "EventStreamError",
    "ExchangeAbortedError",
    "Fingerprint",
    "ForkedError",
    "FormData",
    "HttpVersion",
    "HttpVersion10",
    "HttpVersion11",
    "IOBasePayload",
    "InvalidURL",
    "InvalidUrlClientError",
    "InvalidUrlRedirectClientError",
    "JsonPayload",
    "LeakReport",
    "MultipartReader",
    "MultipartWriter",
    "NamedPipeConnector",
    "NonHttpUrlClientError",
    "NonHttpUrlRedirectClientError",
    "Payload",
    "PoolTimeoutError",
    "RateLimitMiddleware",
    "RedirectClientError",
    "RequestInfo",
    "ResolveResult",
    "RetryBudget",
    "RetryEvent",
    "RetryMiddleware",
    "RetryPolicy",
    "ServerConnectionError",
    "ServerDisconnectedError",
    "ServerFingerprintMismatch",
    "ServerSentEvent",
    "ServerTimeoutError",
    "SessionClosedError",
    "SocketFactoryType",
    "SocketTimeoutError",
    "StreamReader",
    "StringIOPayload",
    "StringPayload",
    "TCPConnector",
    "TextIOPayload",
    "ThreadedResolver",
    "TooManyRedirects",
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
    "UnixClientConnectorError",
    "UnixConnector",
    "UploadAbortedError",
    "UploadTracker",
    "WSCloseCode",
    "WSMessage",
    "WSMessageTypeError",
    "WSMsgType",
    "WSServerHandshakeError",
    "WebSocketError",
    "WrongLoopError",
    "__version__",
    "content_disposition_filename",
    "encode_basic_auth",
    "get_payload",
    "hdrs",
    "open_resources",
    "parse_content_disposition",
    "payload_type",
    "private_address",
    "request",
    "set_zlib_backend",
    "sse",
)

_LATER: Final = {
    "endwell.client.digest_auth": ("DigestAuthMiddleware",),
    "endwell.client.ratelimit": ("RateLimitMiddleware",),
    "endwell.client.retry": (
        "RetryBudget",
        "RetryEvent",
        "RetryMiddleware",
        "RetryPolicy",
    ),
    "endwell.client.sse": (
        "EventSource",
        "EventStreamError",
        "ServerSentEvent",
        "sse",
    ),
    "endwell.http.chainmap": ("ChainMapProxy",),
    "endwell.http.disposition": (
        "BadContentDispositionHeader",
        "BadContentDispositionParam",
        "content_disposition_filename",
        "parse_content_disposition",
    ),
    "endwell.http.etag": ("ETag",),
    "endwell.http.formdata": ("FormData",),
    "endwell.http.multipart": (
        "BodyPartReader",
        "MultipartReader",
        "MultipartWriter",
    ),
    "endwell.transport.address": ("ResolveResult", "private_address"),
    "endwell.transport.resolver": (
        "AbstractResolver",
        "AsyncResolver",
        "DefaultResolver",
        "ThreadedResolver",
    ),
    "endwell.transport.tls": ("Fingerprint",),
}
_RENAMED: Final = {
    "AddrInfoType": ("endwell.transport.address", "AddrInfo"),
    "SocketFactoryType": ("endwell.transport.dial", "SocketFactory"),
}
_SUBMODULES: Final = frozenset({"abc", "client_exceptions", "resolver", "test_utils", "tracing", "typedefs", "web"})
_MODULE_OF: Final = {name: module for module, names in _LATER.items() for name in names}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    module, attribute = _RENAMED.get(name, (_MODULE_OF.get(name), name))
    if module is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value = globals()[name] = getattr(import_module(module), attribute)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
