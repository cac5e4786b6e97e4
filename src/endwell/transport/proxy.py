"""Proxies: which one the environment names, their credentials, and SOCKS (RFC 1928, RFC 1929; python-socks).

Used by the connector. HTTP proxies are spoken to by the HTTP/1.1 machine; from here they have only their address.
"""

import ipaddress
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from yarl import URL

from endwell.transport.address import check_host, check_port, is_ip_address, split_zone
from endwell.transport.errors import ProxyError

SOCKS_SCHEMES: Final = frozenset({"socks4", "socks4a", "socks5", "socks5h"})
_DEFAULT_PORTS: Final = {"http": 80, "https": 443} | dict.fromkeys(SOCKS_SCHEMES, 1080)
_REMOTE: Final = {"socks4": "socks4a", "socks5": "socks5h"}
_BACKSTOP: Final = 3600.0  # seconds; python-socks insists on a time-out, ours is the caller's


class Credentials(NamedTuple):
    """What a proxy's URL says before the ``@``, decoded. The repr shows no secret."""

    login: str
    password: str

    def __repr__(self) -> str:
        """Hide both."""
        return "Credentials(login=..., password=...)"


def split_credentials(url: URL) -> tuple[URL, Credentials | None]:
    """Return a proxy's URL without its user info, and the user info; ValueError for control characters in it."""
    if url.raw_user is None and url.raw_password is None:
        return url, None
    found = Credentials(url.user or "", url.password or "")
    _refuse_control(found, url.host)
    return url.with_user(None), found


def _refuse_control(credentials: Credentials, host: str | None) -> None:
    if any(ord(char) < 0x20 or ord(char) == 0x7F for text in credentials for char in text):
        raise ValueError(f"the credentials for proxy {host} have control characters")


def check_proxy(url: URL) -> URL:
    """Return a proxy's URL without user info, checked: scheme, host and port; ValueError says what is wrong."""
    if url.scheme not in _DEFAULT_PORTS:
        known = ", ".join(sorted(_DEFAULT_PORTS))
        raise ValueError(f"a proxy's URL begins with one of {known}, not {url.scheme or 'no scheme'!r}")
    if not url.host:
        raise ValueError(f"the {url.scheme} proxy's URL names no host")
    clean, _ = split_credentials(url)
    if clean.explicit_port is not None:
        check_port(clean.explicit_port)
    return clean


def proxy_port(url: URL) -> int:
    """Return the port of a proxy: its own, or 80, 443 or 1080 by its scheme."""
    return url.explicit_port or _DEFAULT_PORTS[url.scheme]


def _excluded(host: str, port: int | None, entry: str) -> bool:
    """Match one entry of NO_PROXY: a name with its subdomains, an address, a network, any of them with a port."""
    entry = entry.strip().lower()
    if not entry:
        return False
    if entry == "*":
        return True
    if "/" in entry:
        try:
            return ipaddress.ip_address(split_zone(host)[0]) in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    name, wanted = entry, ""
    if entry.startswith("["):
        name, _, rest = entry[1:].partition("]")
        wanted = rest.removeprefix(":")
    elif entry.count(":") == 1:
        name, _, wanted = entry.partition(":")
    if wanted and wanted != str(port):
        return False
    name = name.removeprefix("*").strip(".")
    if is_ip_address(host) and is_ip_address(name):
        return ipaddress.ip_address(split_zone(host)[0]) == ipaddress.ip_address(split_zone(name)[0])
    return bool(name) and (host == name or host.endswith("." + name))


def proxy_from_environment(url: URL) -> tuple[URL, Credentials | None] | None:
    """Return the proxy that the environment names for ``url`` and its credentials, or None.

    HTTP_PROXY, HTTPS_PROXY, WS_PROXY, WSS_PROXY by the scheme of ``url``, else ALL_PROXY, in either case (lower case
    wins; HTTP_PROXY in upper case is ignored under CGI, CVE-2016-5386). NO_PROXY lists names with their subdomains,
    addresses, networks (10.0.0.0/8) and ``*``, each with or without a port. A proxy without a scheme is an http one.
    On macOS and Windows the settings of the system are asked where there are no variables.

    Raises ValueError when the variable holds no proxy; the message names the variable's scheme, not its value.
    """
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    value = proxies.get(url.scheme) or proxies.get("all")
    if not value or not url.host:
        return None
    host, port = url.host.lower().removesuffix("."), url.port
    if any(_excluded(host, port, entry) for entry in proxies.get("no", "").split(",")):
        return None
    if "no" not in proxies and proxy_bypass(host):
        return None
    try:
        proxy = URL(value if "://" in value else "http://" + value)
        return check_proxy(proxy), split_credentials(proxy)[1]
    except ValueError:
        raise ValueError(
            f"the environment's proxy for {url.scheme} URLs (or for all) is no proxy URL; write http://host:port"
        ) from None


class _Dialled:
    """Stands where python-socks wants a proxy to go through first, and gives it a socket that we have connected.

    So names are resolved and addresses raced by us; its own way would use the loop's default executor.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    async def connect(self, dest_host: str, dest_port: int, timeout: float | None = None, **_: Any) -> socket.socket:
        return self._sock


async def open_socks(  # long: a row of checks and one call
    proxy: URL,
    host: str,
    port: int,
    *,
    dial: Callable[[str, int], Awaitable[socket.socket]],
    resolve: Callable[[str, int], Awaitable[str]] | None = None,
    credentials: Credentials | None = None,
) -> socket.socket:
    """Connect to ``host``:``port`` through a SOCKS proxy; returns a non-blocking socket.

    ``dial(host, port)`` connects to the proxy itself. socks5h and socks4a send the name to the proxy; for socks5 and
    socks4 ``resolve(host, port)`` gives a numeric address first (IPv4 for socks4). ``credentials`` win over those in
    the URL. The time is bounded by the caller.

    Raises ProxyError when the proxy refuses or speaks nonsense, RuntimeError without the extra ``socks``, ValueError
    for a host or port that is none, and whatever ``dial`` and ``resolve`` raise. When cancelled, the socket is closed.
    """
    if proxy.scheme not in SOCKS_SCHEMES:
        raise ValueError(f"{proxy.scheme!r} is no SOCKS proxy; it must be one of {', '.join(sorted(SOCKS_SCHEMES))}")
    try:
        from python_socks import ProxyError as SocksError
        from python_socks import ProxyTimeoutError, ProxyType
        from python_socks.async_.asyncio import Proxy
    except ImportError as exc:
        raise RuntimeError("SOCKS proxies need python-socks; install it with: pip install 'endwell[socks]'") from exc
    host, port = check_host(host), check_port(port)
    clean, written = split_credentials(proxy)
    proxy_host = check_proxy(clean).host or ""
    login, password = None, None
    if (known := credentials or written) is not None:
        _refuse_control(known, proxy_host)
        if any(len(text) > 255 or not text.isascii() for text in known):  # python-socks knows no others
            raise ValueError(f"the credentials for proxy {proxy_host} must be ASCII of at most 255 characters each")
        login, password = known
    remote = proxy.scheme in ("socks4a", "socks5h")
    if not remote and not is_ip_address(host):
        if resolve is None:
            raise ValueError(f"{proxy.scheme} needs a numeric address, or a proxy of scheme {_REMOTE[proxy.scheme]}")
        target = await resolve(host, port)
    else:
        target = host
    if proxy.scheme.startswith("socks4") and ":" in target:
        raise ProxyError(proxy_host, proxy_port(clean), host, port, "SOCKS4 knows no IPv6 address")
    sock = await dial(proxy_host, proxy_port(clean))
    connected = False
    try:
        kind = ProxyType.SOCKS4 if proxy.scheme.startswith("socks4") else ProxyType.SOCKS5
        through = Proxy(kind, proxy_host, proxy_port(clean), login, password, remote, forward=_Dialled(sock))  # type: ignore[arg-type]  # has what is called
        await through.connect(split_zone(target)[0], port, timeout=_BACKSTOP)
        connected = True
    except SocksError as exc:
        code = getattr(exc, "error_code", None)
        raise ProxyError(proxy_host, proxy_port(clean), host, port, str(exc), code=code) from exc
    except (OSError, ProxyTimeoutError) as exc:
        reason = (exc.strerror if isinstance(exc, OSError) else None) or str(exc) or "the connection was lost"
        raise ProxyError(proxy_host, proxy_port(clean), host, port, reason) from exc
    finally:
        if not connected:
            sock.close()  # python-socks has done so for all that it foresees
    return sock
