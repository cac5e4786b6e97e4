"""Layer 4: the client role. The names that layers above take from here are imported when they are asked for."""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from endwell.client.auth import BasicAuth
    from endwell.client.connector import TCPConnector
    from endwell.client.cookiejar import CookieJar
    from endwell.client.errors import ClientError, ClientPayloadError, ExchangeAbortedError
    from endwell.client.ratelimit import RateLimitMiddleware
    from endwell.client.response import ClientResponse, HttpVersion
    from endwell.client.retry import RetryMiddleware
    from endwell.client.session import ClientSession
    from endwell.client.timeouts import ClientTimeout

__all__ = (
    "BasicAuth",
    "ClientError",
    "ClientPayloadError",
    "ClientResponse",
    "ClientSession",
    "ClientTimeout",
    "CookieJar",
    "ExchangeAbortedError",
    "HttpVersion",
    "RateLimitMiddleware",
    "RetryMiddleware",
    "TCPConnector",
)

_MODULES: Final = {
    "auth": ("BasicAuth",),
    "connector": ("TCPConnector",),
    "cookiejar": ("CookieJar",),
    "errors": ("ClientError", "ClientPayloadError", "ExchangeAbortedError"),
    "ratelimit": ("RateLimitMiddleware",),
    "response": ("ClientResponse", "HttpVersion"),
    "retry": ("RetryMiddleware",),
    "session": ("ClientSession",),
    "timeouts": ("ClientTimeout",),
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
