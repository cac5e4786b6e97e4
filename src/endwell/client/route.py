"""How the peer of a request is reached: directly, through a proxy, with which TLS. Decided without I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from multidict import CIMultiDict
from yarl import URL

from endwell.client.auth import encode_basic_auth
from endwell.client.core import merge_headers
from endwell.client.errors import InvalidURL
from endwell.http import hdrs
from endwell.http.url import Target
from endwell.transport.proxy import Credentials, check_proxy, proxy_from_environment, split_credentials

if TYPE_CHECKING:
    from endwell.client.options import RequestOptions
    from endwell.client.session import ClientSession

__all__ = ("ConnectionKey", "Route", "find_route")


class ConnectionKey(NamedTuple):
    """What an error says of the connection that could not be made (aiohttp's names)."""

    host: str
    port: int | None
    is_ssl: bool
    ssl: Any
    proxy: URL | None = None
    proxy_auth: Any = None
    proxy_headers_hash: int | None = None

    def __repr__(self) -> str:
        return f"ConnectionKey(host={self.host!r}, port={self.port!r}, is_ssl={self.is_ssl!r}, ssl={self.ssl!r})"


class Route:
    """The way to one origin.

    Attributes:
        proxy: without credentials; None for the direct way.
        credentials: for the proxy.
        proxy_headers: fields for the proxy alone, Proxy-Authorization among them.
        tunnel: whether the proxy is asked to CONNECT (or is a SOCKS proxy): for TLS, and for WebSockets, which few
            proxies know otherwise (RFC 6455 section 4.1).
        ssl: the ``ssl`` argument in force for the origin.
        server_hostname: the name its certificate must have.
        key: what connections that go this way are pooled by.

    """

    __slots__ = ("credentials", "key", "proxy", "proxy_headers", "server_hostname", "ssl", "target", "tunnel")

    def __init__(
        self,
        target: Target,
        *,
        ssl: Any = True,
        server_hostname: str | None = None,
        proxy: URL | None = None,
        credentials: Credentials | None = None,
        proxy_headers: CIMultiDict[str] | None = None,
        switches: bool = False,
    ) -> None:
        self.target = target
        self.ssl = ssl
        self.server_hostname = server_hostname or target.host
        self.proxy = proxy
        self.credentials = credentials
        self.tunnel = proxy is not None and (target.secure or switches or proxy.scheme.startswith("socks"))
        self.proxy_headers = proxy_headers
        if proxy is not None and credentials is not None and not proxy.scheme.startswith("socks"):
            self.proxy_headers = CIMultiDict(proxy_headers or {})
            value = encode_basic_auth(credentials.login, credentials.password)
            self.proxy_headers.setdefault(hdrs.PROXY_AUTHORIZATION, value)
        if proxy is None and ssl is True and server_hostname is None:
            self.key: Any = target.key
        elif proxy is not None and not self.tunnel:
            self.key = (proxy, credentials, ssl)
        else:
            fields = tuple(sorted(self.proxy_headers.items())) if self.proxy_headers else ()
            self.key = (target.host, target.port, target.secure, ssl, server_hostname, proxy, credentials, fields)

    @property
    def absolute_form(self) -> bool:
        """Whether the request target is the whole URL (RFC 9112 section 3.2.2)."""
        return self.proxy is not None and not self.tunnel

    @property
    def connection_key(self) -> ConnectionKey:
        """The facts for errors; of the proxy's credentials only that there are some."""
        target = self.target
        return ConnectionKey(target.host, target.port, target.secure, self.ssl, self.proxy)

    @property
    def first_key(self) -> ConnectionKey:
        """The facts for errors of the first connection of the way."""
        return self.connection_key if self.proxy is None else self.proxy_key

    @property
    def proxy_key(self) -> ConnectionKey:
        """The facts for errors of the connection to the proxy."""
        assert self.proxy is not None
        return ConnectionKey(self.proxy.host or "", self.proxy.port, self.proxy.scheme == "https", self.ssl, self.proxy)


def find_route(target: Target, options: RequestOptions, session: ClientSession) -> Route:
    """Decide the way from the arguments of the call, the session's, and the environment.

    Raises:
        InvalidURL: the proxy is none.

    """
    proxy = options.proxy
    credentials: Credentials | None = None
    if proxy is not None:
        try:
            proxy, credentials = split_credentials(URL(proxy))
            proxy = check_proxy(proxy)
        except ValueError as error:
            raise InvalidURL(options.proxy or "", f"it is no proxy: {error}") from error
        if options.proxy_auth is not None:
            credentials = Credentials(options.proxy_auth.login, options.proxy_auth.password)
    elif session.trust_env and (found := proxy_from_environment(target.url)) is not None:
        proxy, credentials = split_credentials(found[0])
        credentials = credentials or found[1]
    fields = merge_headers(None, options.proxy_headers) if options.proxy_headers and proxy is not None else None
    return Route(
        target,
        ssl=options.ssl,
        server_hostname=options.server_hostname,
        proxy=proxy,
        credentials=credentials,
        proxy_headers=fields,
        switches=options._switches,
    )
