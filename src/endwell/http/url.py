"""Where a request goes: a parsed URL with the parts that each request needs ready as bytes (RFC 9112 section 3.2).

Parsing a URL costs more than sending the request; so parsed targets are kept in a small cache. Used by the client.
"""

from __future__ import annotations

from typing import Final

from yarl import URL

from endwell.http.typedefs import StrOrURL

__all__ = ("DEFAULT_PORTS", "Target", "known_target", "target_of")

DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_SECURE: Final = frozenset({"https", "wss"})
_CACHE_MAX: Final = 2048

_targets: dict[StrOrURL, Target] = {}


class Target:
    r"""A URL that a request can be sent to.

    Attributes:
        url: without fragment and userinfo.
        real_url: with its fragment, without userinfo.
        credentials: user name and password of the URL, decoded.
        secure: whether TLS is spoken.
        host: name or address, without brackets.
        port: the number of the port.
        key: (host, port, secure), what connections are pooled by.
        line: the request line after the method, and the Host field: ``" /path HTTP/1.1\r\nHost: x\r\n"``.

    """

    __slots__ = (
        "authority",
        "credentials",
        "host",
        "key",
        "line",
        "origin",
        "path",
        "port",
        "real_url",
        "secure",
        "url",
    )

    def __init__(self, url: URL) -> None:
        """Take an absolute URL with a host.

        Raises:
            ValueError: no host, no scheme that has a port, or a bad port.

        """
        host = url.raw_host
        scheme = url.scheme
        port = url.port if scheme != "unix" else 80  # where the socket is, the connector knows
        if not host or port is None:
            message = "it has no host" if not host else f"the scheme {scheme!r} has no default port"
            raise ValueError(message)
        if not 0 < port < 65536:
            message = f"port {port} is not between 1 and 65535"
            raise ValueError(message)
        self.credentials: tuple[str, str] | None = None
        if url.raw_user is not None or url.raw_password is not None:
            self.credentials = url.user or "", url.password or ""
            url = url.with_user(None)
        self.real_url = url
        self.url = url.with_fragment(None) if url.raw_fragment else url
        self.secure = scheme in _SECURE
        self.host = host
        self.port = port
        self.key = (self.host, port, self.secure)
        self.origin = (scheme, self.host, port)
        self.authority = url.host_port_subcomponent or ""
        self.path = url.raw_path_qs or "/"
        self.line = f" {self.path} HTTP/1.1\r\nHost: {self.authority}\r\n".encode()


known_target = _targets.get
"""Find a target among those parsed before."""


def target_of(url: StrOrURL) -> Target:
    """Parse an absolute URL, or find it among those parsed before.

    Raises:
        ValueError: it cannot be parsed, or nothing can be sent there.

    """
    target = _targets.get(url)
    if target is None:
        target = Target(URL(url) if type(url) is str else url)  # type: ignore[arg-type]
        if len(_targets) >= _CACHE_MAX:
            _targets.clear()
        _targets[url] = target
    return target
