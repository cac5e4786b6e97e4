"""What a client call can raise.

Used by every module of ``client`` and exported at the top of the package under aiohttp's names. The layers below raise
low errors of their own; one table in ``client`` maps them to these. What is marked with ``+`` is not in aiohttp.

The tree (a class with two parents is drawn under both; in brackets the parents in the order of the class statement):

    ClientError(Exception)
      ClientResponseError(ClientError)
        ContentTypeError(ClientResponseError)
        WSServerHandshakeError(ClientResponseError)
        ClientHttpProxyError(ClientResponseError)
        TooManyRedirects(ClientResponseError)
      ClientConnectionError(ClientError)
        ClientConnectionResetError(ClientConnectionError, ConnectionResetError)
        ClientOSError(ClientConnectionError, OSError)
          ClientConnectorError(ClientOSError)
            ClientConnectorDNSError(ClientConnectorError)
            ClientProxyConnectionError(ClientConnectorError)
            UnixClientConnectorError(ClientConnectorError)
            AddressDeniedError(ClientConnectorError) +
            ClientSSLError(ClientConnectorError)
              ClientConnectorSSLError(ClientSSLError, SSLError)
              ClientConnectorCertificateError(ClientSSLError, SSLCertVerificationError)
        ServerConnectionError(ClientConnectionError)
          ServerDisconnectedError(ServerConnectionError)
          ServerTimeoutError(ServerConnectionError, TimeoutError)
            ConnectionTimeoutError(ServerTimeoutError)
              PoolTimeoutError(ConnectionTimeoutError) +
            SocketTimeoutError(ServerTimeoutError)
          ServerFingerprintMismatch(ServerConnectionError)
        ExchangeAbortedError(ClientConnectionError) +
      ClientPayloadError(ClientError)
        ContentCodingError(ClientPayloadError) +
          DecompressionLimitError(ContentCodingError) +
      UploadAbortedError(ClientError)
      InvalidURL(ClientError, ValueError)
        InvalidUrlClientError(InvalidURL)
          InvalidUrlRedirectClientError(InvalidUrlClientError, RedirectClientError)
      RedirectClientError(ClientError)
        InvalidUrlRedirectClientError(InvalidUrlClientError, RedirectClientError)
        NonHttpUrlRedirectClientError(NonHttpUrlClientError, RedirectClientError)
      NonHttpUrlClientError(ClientError)
        NonHttpUrlRedirectClientError(NonHttpUrlClientError, RedirectClientError)
    WebSocketError(Exception)
    WSMessageTypeError(TypeError)
    SessionClosedError(RuntimeError) +

Over 500 lines: one tree in one file, each class a few lines and its documentation.

No text of an error contains a secret: a URL is shown without its userinfo, and the fields of a request or a response
are counted, never listed. The attributes keep the real objects.
"""

import ssl
import warnings
from typing import Any, Protocol

from multidict import CIMultiDict, MultiMapping
from yarl import URL

from endwell.client.request_info import RequestInfo, shown_fields, shown_url
from endwell.http.typedefs import StrOrURL
from endwell.transport.errors import host_port
from endwell.wire.websocket.errors import WebSocketError, WSMessageTypeError

__all__ = (
    "AddressDeniedError",
    "ClientConnectionError",
    "ClientConnectionResetError",
    "ClientConnectorCertificateError",
    "ClientConnectorDNSError",
    "ClientConnectorError",
    "ClientConnectorSSLError",
    "ClientError",
    "ClientHttpProxyError",
    "ClientOSError",
    "ClientPayloadError",
    "ClientProxyConnectionError",
    "ClientResponseError",
    "ClientSSLError",
    "ConnectionTimeoutError",
    "ContentCodingError",
    "ContentTypeError",
    "DecompressionLimitError",
    "ExchangeAbortedError",
    "InvalidURL",
    "InvalidUrlClientError",
    "InvalidUrlRedirectClientError",
    "NonHttpUrlClientError",
    "NonHttpUrlRedirectClientError",
    "PoolTimeoutError",
    "RedirectClientError",
    "RequestInfo",
    "ServerConnectionError",
    "ServerDisconnectedError",
    "ServerFingerprintMismatch",
    "ServerTimeoutError",
    "SessionClosedError",
    "SocketTimeoutError",
    "TooManyRedirects",
    "UnixClientConnectorError",
    "UploadAbortedError",
    "WSMessageTypeError",
    "WSServerHandshakeError",
    "WebSocketError",
    "shown_url",
)

# A message names at most this many holders of a full pool; the attribute has them all.
_HOLDERS_SHOWN = 5


class ConnectionKeyLike(Protocol):
    """What the connector errors read of the key of a connection (which peer, and how it is reached)."""

    @property
    def host(self) -> str:
        """The name or address that was dialled."""

    @property
    def port(self) -> int | None:
        """The port that was dialled."""

    @property
    def is_ssl(self) -> bool:
        """Whether the connection is a TLS one."""

    @property
    def ssl(self) -> Any:
        """The ``ssl`` argument: True, False, an SSLContext or a Fingerprint."""


class ClientError(Exception):
    """What every error of a client call is, unless it is a bug of the caller (``TypeError``, ``RuntimeError``)."""


class ClientResponseError(ClientError):
    """A response came, and it is not what was wanted.

    Attributes: ``request_info``, ``history`` (the redirects before it), ``status`` (0 when there was none), ``message``
    (the reason phrase, mostly), ``headers`` of the response or None. A pickle leaves the history out: responses do not
    travel.
    """

    def __init__(
        self,
        request_info: RequestInfo,
        history: tuple[Any, ...],
        *,
        code: int | None = None,
        status: int | None = None,
        message: str = "",
        headers: MultiMapping[str] | None = None,
    ) -> None:
        if code is not None:
            if status is not None:
                raise ValueError("give status only: code is its deprecated name, and both were given")
            warnings.warn("the argument code is deprecated: use status", DeprecationWarning, stacklevel=2)
            status = code
        self.request_info = request_info
        self.history = history
        self.status = 0 if status is None else status
        self.message = message
        self.headers = headers
        super().__init__(request_info, history)

    def __str__(self) -> str:
        url = None if self.request_info is None else shown_url(self.request_info.real_url)
        return f"{self.status}, message={self.message!r}, url={url!r}"

    def __repr__(self) -> str:
        text = f"{self.request_info!r}, {self.history!r}"
        if self.status != 0:
            text += f", status={self.status!r}"
        if self.message != "":
            text += f", message={self.message!r}"
        if self.headers is not None:
            text += f", headers={shown_fields(self.headers)}"
        return f"{type(self).__name__}({text})"

    @property
    def code(self) -> int:
        """The deprecated name of ``status``."""
        warnings.warn("the attribute code is deprecated: use status", DeprecationWarning, stacklevel=2)
        return self.status

    @code.setter
    def code(self, value: int) -> None:
        warnings.warn("the attribute code is deprecated: use status", DeprecationWarning, stacklevel=2)
        self.status = value

    def __copy__(self) -> "ClientResponseError":
        twin = type(self)(*self.args)
        twin.__dict__.update(self.__dict__)
        return twin

    def __reduce__(self) -> tuple[Any, ...]:
        state = self.__dict__.copy()
        state["history"] = ()
        if isinstance(self.headers, MultiMapping):
            state["headers"] = CIMultiDict(self.headers)
        args = tuple(() if arg is self.history else arg for arg in self.args)
        return type(self), args, state


class ContentTypeError(ClientResponseError):
    """The media type of the response is not the one that ``json()`` or ``sse()`` can read."""


class WSServerHandshakeError(ClientResponseError):
    """The server did not switch to the WebSocket protocol, or switched wrongly (RFC 6455 section 4.1)."""


class ClientHttpProxyError(ClientResponseError):
    """The proxy answered CONNECT with something else than 2xx; ``status`` and ``message`` are the proxy's."""


class TooManyRedirects(ClientResponseError):  # noqa: N818 - aiohttp's name
    """More redirects than ``max_redirects``; ``history`` has those that were followed."""


class ClientConnectionError(ClientError):
    """The connection failed, could not be made, or ended in the middle."""


class ClientConnectionResetError(ClientConnectionError, ConnectionResetError):
    """The request could not be written: the connection was already closing."""


class ClientOSError(ClientConnectionError, OSError):
    """An ``OSError`` of a socket: ``errno`` and ``strerror`` are its own."""


class ClientConnectorError(ClientOSError):
    """No connection to the peer could be made.

    Attributes: ``host``, ``port``, ``ssl`` (what was asked for), ``os_error``, and ``errno`` and ``strerror`` of it.
    """

    def __init__(self, connection_key: ConnectionKeyLike, os_error: OSError) -> None:
        self._conn_key = connection_key
        self._os_error = os_error
        super().__init__(os_error.errno, os_error.strerror)
        self.args = (connection_key, os_error)

    @property
    def os_error(self) -> OSError:
        """The error of the operating system."""
        return self._os_error

    @property
    def host(self) -> str:
        """The host that was dialled."""
        return self._conn_key.host

    @property
    def port(self) -> int | None:
        """The port that was dialled."""
        return self._conn_key.port

    @property
    def ssl(self) -> Any:
        """The ``ssl`` argument in force: True, False, an SSLContext or a Fingerprint."""
        return self._conn_key.ssl

    def _cause(self) -> str:
        # asyncio raises OSErrors without errno and strerror, "Multiple exceptions: ..." for one.
        return self.strerror or str(self._os_error) or type(self._os_error).__name__

    def _how(self) -> str:
        return f"ssl:{'default' if self.ssl is True else self.ssl} [{self._cause()}]"

    def __str__(self) -> str:
        return f"Cannot connect to host {self.host}:{self.port} {self._how()}"

    def __repr__(self) -> str:
        # The key may hold the credentials of a proxy.
        return f"<{type(self).__name__} {self}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args, self.__dict__.copy()


class ClientConnectorDNSError(ClientConnectorError):
    """The name of the host did not resolve."""


class ClientProxyConnectionError(ClientConnectorError):
    """No connection to the proxy could be made; ``host`` and ``port`` are the proxy's."""


class UnixClientConnectorError(ClientConnectorError):
    """No connection to the Unix socket at ``path`` could be made."""

    def __init__(self, path: str, connection_key: ConnectionKeyLike, os_error: OSError) -> None:
        self._path = path
        super().__init__(connection_key, os_error)

    @property
    def path(self) -> str:
        """The path of the socket."""
        return self._path

    def __str__(self) -> str:
        return f"Cannot connect to unix socket {self.path} {self._how()}"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._path, *self.args), self.__dict__.copy()


class AddressDeniedError(ClientConnectorError):
    """The ``deny`` of the connector refuses every address of the host; nothing was sent to any of them.

    ``addresses`` has them, numeric. Never retried.
    """

    @property
    def addresses(self) -> tuple[str, ...]:
        """The numeric addresses that were refused."""
        return tuple(getattr(self._os_error, "addresses", ()))

    def __str__(self) -> str:
        peer, refused = host_port(self.host, self.port or 0), ", ".join(self.addresses)
        return f"Cannot connect to host {peer}: deny= of the connector refuses {refused}"


class ClientSSLError(ClientConnectorError):
    """TLS could not be set up."""


class ClientConnectorSSLError(ClientSSLError, ssl.SSLError):
    """The TLS handshake failed."""


class ClientConnectorCertificateError(ClientSSLError, ssl.SSLCertVerificationError):
    """The certificate of the peer was not accepted; ``certificate_error`` says why."""

    def __init__(self, connection_key: ConnectionKeyLike, certificate_error: Exception) -> None:
        self._certificate_error = certificate_error
        os_error = certificate_error if isinstance(certificate_error, OSError) else OSError()
        super().__init__(connection_key, os_error)
        self.args = (connection_key, certificate_error)

    @property
    def certificate_error(self) -> Exception:
        """What the check of the certificate raised."""
        return self._certificate_error

    @property
    def ssl(self) -> bool:
        """Whether the connection is a TLS one."""
        return self._conn_key.is_ssl

    def __str__(self) -> str:
        cause = self._certificate_error
        return f"Cannot connect to host {self.host}:{self.port} ssl:{self.ssl} [{type(cause).__name__}: {cause.args}]"


class ServerConnectionError(ClientConnectionError):
    """The server's side of a connection went wrong."""


class ServerDisconnectedError(ServerConnectionError):
    """The server closed the connection where a response was due; ``message`` is its text."""

    def __init__(self, message: Any = None) -> None:
        self.message = "Server disconnected" if message is None else message
        super().__init__(self.message)


class ServerTimeoutError(ServerConnectionError, TimeoutError):
    """The server took longer than ``ClientTimeout`` allows."""


class ConnectionTimeoutError(ServerTimeoutError):
    """No connection within ``ClientTimeout.connect`` or ``sock_connect``."""


class PoolTimeoutError(ConnectionTimeoutError):
    """The pool was full for the whole of ``ClientTimeout.connect``.

    ``holders``: what has the connections, one line each, with the place where it was made. The text shows a few.
    """

    def __init__(self, message: str = "no free connection in the pool", *, holders: tuple[str, ...] = ()) -> None:
        self.holders = tuple(holders)
        super().__init__(message)

    def __str__(self) -> str:
        text = str(self.args[0]) if self.args else ""
        if not self.holders:
            return text
        held = "; ".join(self.holders[:_HOLDERS_SHOWN])
        more = len(self.holders) - _HOLDERS_SHOWN
        return f"{text}, held by: {held}" + (f"; and {more} more" if more > 0 else "")


class SocketTimeoutError(ServerTimeoutError):
    """Nothing was received for ``ClientTimeout.sock_read`` seconds."""


class ServerFingerprintMismatch(ServerConnectionError):  # noqa: N818 - aiohttp's name
    """The certificate of the server is another than the one its ``Fingerprint`` names."""

    def __init__(self, expected: bytes, got: bytes, host: str, port: int) -> None:
        self.expected = expected
        self.got = got
        self.host = host
        self.port = port
        super().__init__(expected, got, host, port)

    def __str__(self) -> str:
        return (
            f"the certificate of {self.host}:{self.port} has the SHA-256 fingerprint {self.got.hex()}, "
            f"expected {self.expected.hex()}"
        )

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} expected={self.expected!r} got={self.got!r} host={self.host!r} port={self.port!r}>"
        )


class ExchangeAbortedError(ClientConnectionError):
    """The session or connector was closed under an exchange; ``reason`` says why, and where it was closed."""

    def __init__(self, message: str = "the exchange was aborted", *, reason: str | None = None) -> None:
        self.reason = message if reason is None else reason
        super().__init__(message)

    def __str__(self) -> str:
        text = str(self.args[0]) if self.args else ""
        return text if self.reason in text else f"{text}: {self.reason}"


class ClientPayloadError(ClientError):
    """The body of a response is broken or incomplete, or that of a request cannot be sent again."""


class ContentCodingError(ClientPayloadError):
    """The body does not decode by its ``Content-Encoding``, or ends in the middle of it; ``coding`` names it."""

    def __init__(self, *args: Any, coding: str | None = None) -> None:
        self.coding = coding
        super().__init__(*args)


class DecompressionLimitError(ContentCodingError):
    """The body grew past what may come out of a content coding; ``limit`` is that many bytes, or None for the ratio."""

    def __init__(self, *args: Any, coding: str | None = None, limit: int | None = None) -> None:
        self.limit = limit
        super().__init__(*args, coding=coding)


class UploadAbortedError(ClientError):
    """The body of the request was not sent to its end."""


class RedirectClientError(ClientError):
    """A redirect leads nowhere."""


class InvalidURL(ClientError, ValueError):  # noqa: N818 - aiohttp's name
    """The URL cannot be used; ``url`` as it was given, ``description`` of what is wrong with it, or None."""

    _url: StrOrURL
    _description: str | None

    def __init__(self, url: StrOrURL, description: str | None = None) -> None:
        self._url = url
        self._description = description
        if description:
            super().__init__(url, description)
        else:
            super().__init__(url)

    @property
    def url(self) -> StrOrURL:
        """The URL as it was given."""
        return self._url

    @property
    def description(self) -> str | None:
        """What is wrong with it."""
        return self._description

    def __str__(self) -> str:
        shown = shown_url(self._url)
        return f"{shown} - {self._description}" if self._description else shown

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"


class InvalidUrlClientError(InvalidURL):
    """The URL of the call cannot be used."""


class InvalidUrlRedirectClientError(InvalidUrlClientError, RedirectClientError):
    """The ``Location`` of a redirect is not a URL."""


class NonHttpUrlClientError(ClientError):
    """The URL has a scheme that the connector does not speak."""

    def __str__(self) -> str:
        return ", ".join(shown_url(arg) if isinstance(arg, (str, URL)) else str(arg) for arg in self.args)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class NonHttpUrlRedirectClientError(NonHttpUrlClientError, RedirectClientError):
    """A redirect leads to a scheme that the connector does not speak."""


class SessionClosedError(RuntimeError):
    """A closed session was asked for something; ``closed_at`` is the line that closed it (``file:line``), if known."""

    def __init__(self, message: str = "Session is closed", *, closed_at: str | None = None) -> None:
        self.closed_at = closed_at
        super().__init__(message)

    def __str__(self) -> str:
        text = str(self.args[0]) if self.args else ""
        return text if self.closed_at is None else f"{text} (closed at {self.closed_at})"
