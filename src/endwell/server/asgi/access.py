"""What an access log is shown of a request that an ASGI application has answered (see `server.access_log`).

Light stand-ins for request and response, made only when somebody reads the log; each has the attributes that
`AccessLogger` asks for, and `scope`, for other loggers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from multidict import CIMultiDict, CIMultiDictProxy

if TYPE_CHECKING:
    from endwell.http.version import HttpVersion
    from endwell.server.asgi.exchange import AsgiExchange

__all__ = ("AnsweredRequest", "SentResponse")


class AnsweredRequest:
    """The request of an exchange."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: AsgiExchange) -> None:
        self._exchange = exchange

    @property
    def method(self) -> str:
        """As it was sent."""
        return self._exchange.head.method

    @property
    def path_qs(self) -> str:
        """The target as it was sent."""
        return self._exchange.head.target

    raw_path = path_qs

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.path_qs.partition("?")[0]

    @property
    def version(self) -> HttpVersion:
        """Of HTTP."""
        return self._exchange.head.version

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """The fields."""
        return self._exchange.head.headers

    @property
    def remote(self) -> str | None:
        """The address of the client."""
        proxied = self._exchange.proxied
        if proxied is not None and proxied.client is not None:
            return proxied.client[0]
        peer: Any = self._exchange.get_extra_info("peername")
        return str(peer[0]) if isinstance(peer, tuple) else None


class SentResponse:
    """The response of an exchange."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: AsgiExchange) -> None:
        self._exchange = exchange

    @property
    def status(self) -> int:
        """That was sent."""
        return self._exchange.status

    @property
    def body_length(self) -> int:
        """Bytes of the body, without framing."""
        return self._exchange.body_size

    @property
    def headers(self) -> CIMultiDict[str]:
        """The fields that the application gave."""
        fields = self._exchange.fields
        pairs = () if fields is None else fields.pairs
        return CIMultiDict((name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs)
