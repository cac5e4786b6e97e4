"""Hosts, ports and numeric addresses: what is one, what needs no resolving, what is private (RFC 6761, 6874, 6890).

Pure functions, no I/O. Used by the resolvers, by dialling, and by whoever checks a host that a user or a peer gave.
"""

import functools
import ipaddress
import socket
from collections.abc import Callable, Iterable
from typing import Final, TypedDict

AddrInfo = tuple[
    int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[str, int] | tuple[str, int, int, int]
]
"""One address to connect to, in the shape of getaddrinfo: family, type, protocol, canonical name, socket address."""

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

Deny = Callable[[IPAddress], bool]
"""A policy: told an address, returns True to refuse it. See `denied`."""

NUMERIC: Final = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
# What an IPv4 address stands at the end of: compatible (RFC 4291), mapped, translated (RFC 7915), NAT64 (RFC 6052).
_ENDS_IN_IPV4: Final = frozenset({0, 0xFFFF, 0xFFFF0000, 0x0064FF9B << 64})
_ISATAP: Final = frozenset({0x00005EFE, 0x02005EFE})  # RFC 5214: the first half of an interface's identifier
# Newer than what Python 3.11 knows: NAT64 for local use (RFC 8215), documentation (RFC 9637), SRv6 (RFC 9602),
# the special IPv4 block of RFC 6890 with the holes Python leaves in it, and the 6to4 relays (RFC 7526).
_ALSO_PRIVATE: Final = tuple(
    ipaddress.ip_network(net)
    for net in (
        "64:ff9b:1::/48",
        "3fff::/20",
        "5f00::/16",
        "fec0::/10",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "192.31.196.0/24",
    )
)
_MAX_HOST: Final = 255
_BAD_IN_HOST: Final = frozenset("[]/\\?#@<>^|\"' ") | {chr(code) for code in range(0x20)} | {"\x7f"}


class ResolveResult(TypedDict):
    """One address of a name, with aiohttp's keys; ``host`` is numeric."""

    hostname: str
    host: str
    port: int
    family: int
    proto: int
    flags: int


def _is(family: int, host: str) -> bool:
    try:
        socket.inet_pton(family, host)
    except (OSError, ValueError):
        return False
    return True


def split_zone(host: str) -> tuple[str, str]:
    """Separate an IPv6 address from its zone (RFC 6874): ``fe80::1%eth0`` and ``fe80::1%25eth0`` as in a URL."""
    address, _, zone = host.partition("%")
    if zone.startswith("25") and len(zone) > 2:
        zone = zone[2:]
    return address, zone


def is_ip_address(host: str) -> bool:
    """Tell whether ``host`` is a numeric address, dotted IPv4 of four parts or IPv6 (a zone allowed), no brackets."""
    if ":" in host:
        address, percent, _ = host.partition("%")
        return _is(socket.AF_INET6, address) and (not percent or split_zone(host)[1] != "")
    return _is(socket.AF_INET, host)


def check_host(host: str) -> str:
    """Return ``host`` without brackets; ValueError when it can be neither a name nor an address."""
    if host.startswith("[") or host.endswith("]"):
        inner = host[1:-1]
        if not (host.startswith("[") and host.endswith("]") and ":" in inner and is_ip_address(inner)):
            raise ValueError(f"{host[:80]!r} is not an IPv6 address in brackets; write it as [::1]")
        return inner
    if not host:
        raise ValueError("the host is empty; name a host to connect to")
    if len(host) > _MAX_HOST:
        raise ValueError(f"a host name has at most {_MAX_HOST} characters, this one has {len(host)}")
    if not _BAD_IN_HOST.isdisjoint(host):
        raise ValueError(f"{host!r} is not a host: it has a character that no host name has")
    if ":" in host and not is_ip_address(host):
        raise ValueError(f"{host!r} is neither a host name nor an IPv6 address; give the port separately")
    return host


def check_port(port: int) -> int:
    """Return ``port``; ValueError unless it is in 1..65535."""
    if not 0 < port <= 65535:
        shown = str(port) if abs(port) < 10**9 else "a number of many digits"
        raise ValueError(f"the port must be in 1..65535, not {shown}")
    return port


def _literal(hostname: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(
        hostname=hostname, host=address, port=port, family=family, proto=socket.IPPROTO_TCP, flags=NUMERIC
    )


def literal_addresses(host: str, port: int, family: int = 0) -> list[ResolveResult] | None:
    """Return the addresses of a host that needs no resolving, or None when it has to be asked for.

    Those are numeric addresses, as they are (``family`` is not asked: the user named the address), and ``localhost``
    with all its subdomains, which are the loopback addresses of ``family`` (RFC 6761 section 6.3), IPv4 first because
    most servers under development listen there only.
    """
    if is_ip_address(host):
        address, zone = split_zone(host)
        return [_literal(host, f"{address}%{zone}" if zone else address, port)]
    name = host.removesuffix(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        loopback = [_literal(host, address, port) for address in ("127.0.0.1", "::1")]
        return [each for each in loopback if family in (0, each["family"])]
    return None


def addr_infos(results: Iterable[ResolveResult]) -> list[AddrInfo]:
    """Turn resolved addresses into what a socket connects to; a zone becomes a scope id.

    Raises ValueError when an answer's ``host`` is not numeric (a resolver must resolve), OSError for a zone that names
    no interface.
    """
    found: list[AddrInfo] = []
    for each in results:
        host, port = each["host"], each["port"]
        if not is_ip_address(host):
            raise ValueError(f"the resolver answered {host!r} for {each['hostname']!r}; it must give numeric addresses")
        proto = each["proto"] or socket.IPPROTO_TCP
        if ":" in host:
            address, zone = split_zone(host)
            scope = 0 if not zone else int(zone) if zone.isascii() and zone.isdigit() else socket.if_nametoindex(zone)
            found.append((socket.AF_INET6, socket.SOCK_STREAM, proto, "", (address, port, 0, scope)))
        else:
            found.append((socket.AF_INET, socket.SOCK_STREAM, proto, "", (host, port)))
    return found


def inner_ipv4(address: IPAddress) -> tuple[ipaddress.IPv4Address, ...]:
    """Return the IPv4 addresses that an IPv6 address leads to.

    Mapped, compatible, translated, NAT64 by its well-known prefix, 6to4, ISATAP; of Teredo the client's and the
    server's.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return ()
    number = int(address)
    if number < 2:  # the unspecified address and the loopback, no IPv4 ones
        return ()
    if number >> 32 in _ENDS_IN_IPV4 or (number >> 32) & 0xFFFFFFFF in _ISATAP:
        return (ipaddress.IPv4Address(number & 0xFFFFFFFF),)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    return (address.teredo[1], address.teredo[0]) if address.teredo is not None else ()


@functools.lru_cache(maxsize=1024)
def private_address(address: str | IPAddress) -> bool:
    """Tell whether an address leads anywhere but to the public internet; True for what is no address.

    Loopback, private and shared networks, link-local (cloud metadata), multicast, reserved and documentation ranges,
    and IPv6 forms that hide such an IPv4 address. A policy for fetching what strangers name: `TCPConnector(deny=...)`.
    """
    if isinstance(address, str):
        try:
            address = ipaddress.ip_address(split_zone(address)[0])
        except ValueError:
            return True
    inner = inner_ipv4(address)
    if inner:
        return any(map(private_address, inner))
    if not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified:
        return True
    return any(address in net for net in _ALSO_PRIVATE if net.version == address.version)


def denied(address: str, deny: Deny) -> bool:
    """Tell whether a policy refuses a numeric address, or an IPv4 address that it leads to.

    Whoever refuses 10.0.0.0/8 means `::ffff:10.0.0.1` too, and should not have to know it.
    """
    parsed = ipaddress.ip_address(split_zone(address)[0])
    return any(map(deny, (parsed, *inner_ipv4(parsed))))


def spelled_addresses(host: str) -> list[str]:
    """Return the addresses that a host means without being resolved, in any spelling; none for a name.

    For a host that somebody else will resolve: `127.1`, `0x7f000001`, `2130706433` and `017700000001` are all
    127.0.0.1 to C libraries, and so they may be to a proxy; a percent sign may be undone on the way.
    """
    if "%" in host and ":" not in host:
        from urllib.parse import unquote

        host = unquote(host)
    host = host.removesuffix(".")
    known = literal_addresses(host, 0)
    if known is not None:
        return [each["host"] for each in known]
    try:
        return [socket.inet_ntoa(socket.inet_aton(host))]
    except OSError:
        return []
