"""What the layers below raise, as the exceptions that users know: the one boundary, from one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from endwell.client.errors import (
    ClientConnectionError,
    ClientError,
    ClientOSError,
    ClientPayloadError,
    ClientResponseError,
    ContentCodingError,
    DecompressionLimitError,
    ServerDisconnectedError,
)
from endwell.http.codings import CodingError, DecodedTooLargeError
from endwell.wire.http1 import ProtocolError, TruncatedError

if TYPE_CHECKING:
    from endwell.client.exchange import ClientExchange

__all__ = ("public_error", "upload_error")


def _truncated(error: TruncatedError, exchange: ClientExchange) -> ClientError:
    if error.phase == "body":
        return ClientPayloadError(f"Response payload is not completed: {error} ({exchange.describe()})")
    return ServerDisconnectedError(f"Server disconnected: {error} ({exchange.describe()})")


def _protocol(error: ProtocolError, exchange: ClientExchange) -> ClientError:
    if error.phase == "body":
        return ClientPayloadError(f"Response payload is not completed: {error} ({exchange.describe()})")
    return ClientResponseError(exchange.request_info, (), status=400, message=str(error))


def _limit(error: DecodedTooLargeError, exchange: ClientExchange) -> ClientError:
    advice = "raise decompress_limit or decompress_ratio if you trust the peer"
    return DecompressionLimitError(f"{error}; {advice} ({exchange.describe()})", coding=error.coding, limit=error.limit)


def _coding(error: CodingError, exchange: ClientExchange) -> ClientError:
    return ContentCodingError(f"Can not decode content-encoding: {error} ({exchange.describe()})", coding=error.coding)


def _os(error: OSError, exchange: ClientExchange) -> ClientError:
    return ClientOSError(error.errno, f"{error.strerror or error} ({exchange.describe()})")


_TABLE: Final[tuple[tuple[type[BaseException], Callable[..., ClientError]], ...]] = (
    (TruncatedError, _truncated),
    (ProtocolError, _protocol),
    (DecodedTooLargeError, _limit),
    (CodingError, _coding),
    (OSError, _os),
)


def public_error(error: BaseException, exchange: ClientExchange) -> BaseException:
    """Return the public exception for a low one, with the low one as its cause; others as they are."""
    if isinstance(error, ClientError) or (isinstance(error, TimeoutError) and error.errno is None):
        return error
    for low, make in _TABLE:
        if isinstance(error, low):
            public = make(error, exchange)
            public.__cause__ = error
            return public
    return error


def upload_error(error: Exception) -> BaseException:
    """Return what a request raises whose body could not be sent: because of the connection, or of the body itself."""
    if isinstance(error, ConnectionError):
        return error
    public = ClientConnectionError(f"The body of the request could not be sent: {type(error).__name__}: {error}")
    public.__cause__ = error
    return public
