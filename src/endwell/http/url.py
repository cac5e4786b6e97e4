"""Where a request goes: a parsed URL with the parts that each request needs ready as bytes (RFC 9112 section 3.2).

Parsing a URL costs more than sending the request; so parsed targets are kept in a small cache. Used by the client.
"""

from __future__ import annotations

import re
from typing import Final

from yarl import URL

from endwell.http.typedefs import StrOrURL

__all__ = ("DEFAULT_PORTS", "Target", "known_target", "target_of")

DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443, "unix": 80}
"""By scheme; that of ``unix`` is only for show: the connector knows where the socket is."""
_SECURE: Final = frozenset({"https", "wss"})
_CACHE_MAX: Final = 2048

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_NOT_IN_LINE: Final = re.compile(r"[\x00-\x20\x7f]")
_OTHER_DIGITS: Final = re.compile(r"[^/?#]*//[^/?#]*:[0-9]*[^0-9\]/?#@:][^/?#@:]*(?:[/?#]|$)")
_HOST: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=%-]+")

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
        if not host:
            message = "it has no host"
            raise ValueError(message)
        default = DEFAULT_PORTS.get(scheme)
        if default is None:
            message = f"the scheme {scheme!r} is not one of {', '.join(DEFAULT_PORTS)}"
            raise ValueError(message)
        _check_host(host)
        port = url.port or (default if url.explicit_port is None else 0)
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
        if _NOT_IN_LINE.search(self.path) is not None:
            message = "its path or query has a space or a control character that is not quoted"
            raise ValueError(message)
        self.line = f" {self.path} HTTP/1.1\r\nHost: {self.authority}\r\n".encode()


def _check_host(host: str) -> None:
    """Refuse what a host cannot be (RFC 3986 section 3.2.2); yarl lets much of it pass."""
    if ":" in host:
        import ipaddress

        ipaddress.IPv6Address(host)
    elif _HOST.fullmatch(host) is None:
        message = "its host has a character that no name can have"
        raise ValueError(message)


known_target = _targets.get
"""Find a target among those parsed before."""


def target_of(url: StrOrURL) -> Target:
    """Parse an absolute URL, or find it among those parsed before.

    Raises:
        ValueError: it cannot be parsed, or nothing can be sent there.
        TypeError: it is neither text nor a URL.

    """
    target = _targets.get(url)
    if target is None:
        if isinstance(url, str):
            if _CONTROL.search(url) is not None:
                message = "it has a control character (CR, LF, NUL or another); quote it, or strip the line end"
                raise ValueError(message)
            if not url.isascii() and _OTHER_DIGITS.match(url) is not None:
                message = "its port is not a number in ASCII digits"
                raise ValueError(message)
            target = Target(URL(url))
        elif isinstance(url, URL):
            target = Target(url)
        else:
            message = f"a URL is a str or a yarl.URL, not {type(url).__name__}"
            raise TypeError(message)
        if target.url.scheme == "unix":
            return target  # not for every connector: to be checked at each call
        if len(_targets) >= _CACHE_MAX:
            _targets.clear()
        _targets[url] = target
    return target
