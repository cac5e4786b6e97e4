"""The arguments of a call, merged with the session's defaults into one typed object that travels from there.

A call without arguments gets the session's own object: nothing is merged, nothing is checked twice.
"""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from yarl import URL

from endwell.client.auth import BasicAuth
from endwell.client.errors import InvalidURL
from endwell.client.timeouts import DEFAULT_TIMEOUT, ClientTimeout
from endwell.http.typedefs import LooseCookies, LooseHeaders, Query, StrOrURL
from endwell.lifetime import caller
from endwell.wire.http1 import Limits

if TYPE_CHECKING:
    from endwell.client.middlewares import ClientMiddlewareType
    from endwell.client.response import ClientResponse
    from endwell.client.upload import UploadTracker

__all__ = ("DEFAULT_DECOMPRESS_LIMIT", "RequestOptions", "sentinel")


class _Sentinel:
    """Stands for "not given" where None has a meaning."""

    def __repr__(self) -> str:
        return "<not given>"


sentinel: Final[Any] = _Sentinel()

DEFAULT_DECOMPRESS_LIMIT: Final = 1 << 30
"""Bytes that may come out of the content codings of one response."""


class RequestOptions:
    """What can be said of one request. The class holds the defaults, an object what was given."""

    params: Query = None
    data: Any = None
    json: Any = None
    cookies: LooseCookies | None = None
    headers: LooseHeaders | None = None
    skip_auto_headers: Iterable[str] | None = None
    auth: BasicAuth | None = None
    allow_redirects: bool = True
    max_redirects: int = 10
    compress: str | bool | None = None
    chunked: bool | None = None
    expect100: bool = False
    raise_for_status: bool | Callable[[ClientResponse], Awaitable[None]] | None = None
    read_until_eof: bool = True
    proxy: StrOrURL | None = None
    proxy_auth: BasicAuth | None = None
    proxy_headers: LooseHeaders | None = None
    timeout: ClientTimeout = DEFAULT_TIMEOUT
    ssl: Any = True
    server_hostname: str | None = None
    trace_request_ctx: Any = None
    read_bufsize: int = 2**18
    auto_decompress: bool = True
    max_line_size: int = 8190
    max_field_size: int = 8190
    max_headers: int = 128
    decompress_limit: int | None = DEFAULT_DECOMPRESS_LIMIT
    decompress_ratio: float | None = 200.0
    middlewares: Sequence[ClientMiddlewareType] = ()
    upload_tracker: UploadTracker | None = None
    _switches: bool = False
    """Whether the response may be a 101, which ends the exchange by `ClientExchange.switch`."""

    limits: Limits = Limits()
    plain: bool = True
    """Whether nothing was given that changes the head, but for a body."""
    direct: bool = True
    """Whether nothing was given that changes the way to the peer."""

    def merged(self, given: Mapping[str, Any]) -> RequestOptions:
        """Return these options with those that were given in a call.

        Raises:
            TypeError: an argument that there is not.
            ValueError: arguments that exclude each other, or out of range.

        """
        options = RequestOptions()
        values = options.__dict__
        values.update(self.__dict__)
        effects = 0
        for name, value in given.items():
            argument = _ARGUMENTS.get(name)
            if argument is None:
                message = f"a request has no argument {name!r}"
                raise TypeError(message)
            check, effect = argument
            effects |= effect
            if check is None:
                values[name] = value
            else:
                check(values, name, value)
        if options.data is not None and options.json is not None:
            message = "data and json parameters can not be used at the same time"
            raise ValueError(message)
        if effects:
            if effects & _LIMIT:
                options.limits = Limits(options.max_line_size, options.max_field_size, options.max_headers)
            if effects & (_HEAD | _WAY):
                options.plain = False
            if effects & _WAY:
                options.direct = False
        return options

    def without_cookies(self) -> RequestOptions:
        """Return these options without the cookies and credentials of the call, for another origin."""
        options = RequestOptions()
        options.__dict__.update(self.__dict__)
        options.__dict__.pop("cookies", None)
        options.__dict__.pop("auth", None)
        return options


_Check = Callable[[dict[str, Any], str, Any], None]


def _deprecated(message: str) -> None:
    """Warn at the place of the call, which a stack level cannot name: the call may be awaited elsewhere."""
    place = caller()
    warnings.warn_explicit(message, DeprecationWarning, place.filename, place.lineno)


def _unless_none(values: dict[str, Any], name: str, value: Any) -> None:
    if value is not None:
        values[name] = value


def _timeout(values: dict[str, Any], name: str, value: Any) -> None:
    if value is sentinel:
        return
    if value is None:
        value = ClientTimeout()
    elif not isinstance(value, ClientTimeout):
        _deprecated("A number as timeout is deprecated: write timeout=ClientTimeout(total=...)")
        value = ClientTimeout(total=value)
    values[name] = value


def _size(values: dict[str, Any], name: str, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, int) or value <= 0:
        message = f"{name} must be a positive number of bytes, not {value!r}"
        raise ValueError(message)
    values[name] = value


def _redirects(values: dict[str, Any], name: str, value: Any) -> None:
    if value is not None and not isinstance(value, int):
        message = f"{name} must be a whole number, 0 or None for no limit, not {type(value).__name__}"
        raise TypeError(message)
    values[name] = value or 0


def _ssl(values: dict[str, Any], name: str, value: Any) -> None:
    check_ssl(value)
    values["ssl"] = True if value is None else value


def _old_ssl(values: dict[str, Any], name: str, value: Any) -> None:
    """Take one of the three arguments that `ssl` replaced."""
    if value is None or (name == "verify_ssl" and value is True):
        return
    _deprecated(f"{name} is deprecated, use ssl=... instead")
    if name == "verify_ssl":
        value = False
    elif name == "fingerprint":
        from endwell.transport.tls import Fingerprint

        value = Fingerprint(value)
    check_ssl(value)
    values["ssl"] = value


def check_ssl(value: Any) -> None:
    """Refuse what cannot say how TLS is to be spoken.

    Raises:
        TypeError: neither bool, SSLContext nor Fingerprint.

    """
    if value is None or isinstance(value, bool):
        return
    import ssl

    from endwell.transport.tls import Fingerprint

    if not isinstance(value, (ssl.SSLContext, Fingerprint)):
        message = f"ssl should be SSLContext, Fingerprint, or bool, got {value!r} instead."
        raise TypeError(message)


def _proxy(values: dict[str, Any], name: str, value: Any) -> None:
    if value is None:
        return
    try:
        values[name] = URL(value)
    except ValueError as error:
        raise InvalidURL(value, f"it is no proxy: {error}") from error


# What an argument changes besides its own value.
_HEAD: Final = 1
"""The head of the request, more than by a body: it is not plain."""
_WAY: Final = 2
"""The way to the peer."""
_LIMIT: Final = 4
"""The limits of the response's head."""

_ARGUMENTS: Final[dict[str, tuple[_Check | None, int]]] = {
    "params": (None, 0),
    "data": (None, 0),
    "json": (None, 0),
    "cookies": (None, _HEAD),
    "headers": (None, _HEAD),
    "skip_auto_headers": (None, _HEAD),
    "auth": (None, _HEAD),
    "allow_redirects": (None, 0),
    "max_redirects": (_redirects, 0),
    "compress": (None, _HEAD),
    "chunked": (None, _HEAD),
    "expect100": (None, _HEAD),
    "raise_for_status": (_unless_none, 0),
    "read_until_eof": (None, 0),
    "proxy": (_proxy, _WAY),
    "proxy_auth": (_unless_none, _WAY),
    "proxy_headers": (_unless_none, _WAY),
    "timeout": (_timeout, 0),
    "ssl": (_ssl, _WAY),
    "verify_ssl": (_old_ssl, _WAY),
    "fingerprint": (_old_ssl, _WAY),
    "ssl_context": (_old_ssl, _WAY),
    "server_hostname": (None, _WAY),
    "trace_request_ctx": (None, 0),
    "read_bufsize": (_size, 0),
    "auto_decompress": (_unless_none, 0),
    "max_line_size": (_size, _LIMIT),
    "max_field_size": (_size, _LIMIT),
    "max_headers": (_size, _LIMIT),
    "decompress_limit": (None, 0),
    "decompress_ratio": (None, 0),
    "middlewares": (_unless_none, 0),
    "_switches": (None, _HEAD),
    "upload_tracker": (None, _HEAD),  # so that it takes the long way, which tells it how the call ended
}
