"""Who a request is from when proxies stand in between: X-Forwarded-For and its like, and Forwarded (RFC 7239).

Anybody can write these fields. Each proxy adds at the right end what it has seen by itself; so a list is read from the
right, and only as far as those who wrote it are trusted: what stands left of the first stranger is the stranger's word.
Made by `server.settings`, asked by `server.core` for each request.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from endwell.http.forwarded import parse_forwarded
from endwell.wire.http1 import ProtocolError
from endwell.wire.http1.request_line import check_authority

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

    from endwell.wire.http1.request_head import RequestHead

__all__ = ("Proxied", "TrustedProxies")

MAX_HOPS: Final = 32
"""Proxies of one request; what stands further left in a list is not read."""

_COMMON: Final = b"forwarded"
"""What all the names have in them."""

_NAMES: Final = ("forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host")
_ELEMENT_MAX: Final = 1024
_HOST_MAX: Final = 300
_KEPT_LENGTH: Final = 256
_KEPT_MAX: Final = 1024

# An address with or without a port, which in Forwarded may be an obfuscated one (RFC 7239 section 6).
_NODE: Final = re.compile(
    r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9.]{7,15}))(?::(?:([0-9]{1,5})|_[0-9A-Za-z._\-]{1,64}))?|([0-9A-Fa-f:.]{2,45})"
)
_MAPPED: Final = bytes(10) + b"\xff\xff"
_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_SPACE: Final = " \t"

_Network = tuple[int, int, int]
"""Bytes of an address, the mask, and what is left of each address in the network under it."""


class Proxied(NamedTuple):
    """What trusted proxies say of one request; None for what they do not say."""

    client: tuple[str, int] | None
    """Address, in its one canonical spelling, and port, 0 when it is not known."""
    scheme: str | None
    """``"http"`` or ``"https"``."""
    host: str | None
    """With its port, if it has one."""


_NOTHING: Final = Proxied(None, None, None)


class _Connection(Protocol):
    def get_extra_info(self, name: str, default: Any = None) -> Any: ...


class TrustedProxies:
    """The proxies that are believed, and which of their fields.

    Args:
        proxies: addresses and networks; ``"unix"`` for whoever comes by a Unix socket; ``"*"`` for every peer, which
            does not make a proxy of each address in a list: there only those count that are named. As one string: with
            commas between.
        fields: names of the fields that these proxies set, whatever comes from outside.

    Raises:
        ValueError: nothing of that kind.

    """

    __slots__ = ("_everybody", "_keys", "_known", "_networks", "_read", "_unix")

    def __init__(self, proxies: str | Collection[str], fields: str | Collection[str]) -> None:
        names = _listed(proxies)
        self._everybody = "*" in names
        self._unix = self._everybody or "unix" in names
        self._networks = [_network(name) for name in names if name not in {"*", "unix"}]
        chosen = {name.lower() for name in _listed(fields)}
        if unknown := sorted(chosen.difference(_NAMES)):
            message = f"{', '.join(map(repr, unknown))}: the fields that can be trusted are {', '.join(_NAMES)}"
            raise ValueError(message)
        self._keys = [b"\r\n%b:" % name.encode() if name in chosen else None for name in _NAMES]
        self._known: dict[str, bool] = {}
        self._read: dict[tuple[bytes, ...], Proxied] = {}

    def origin(self, connection: _Connection, head: RequestHead) -> Proxied | None:
        """Give what is believed of a request; None when its peer is not trusted, or says nothing."""
        if head.lower.find(_COMMON) < 0:
            return None
        peer = connection.get_extra_info("peername")
        if isinstance(peer, tuple):
            if not self._everybody and not self._trusts(peer[0]):
                return None
        elif not self._unix or not isinstance(connection.get_extra_info("sockname"), (str, bytes)):
            return None
        values = tuple([b"" if key is None else b",".join(head.every(key)) for key in self._keys])
        found = self._read.get(values)
        if found is None:
            found = self._find(*[value.decode("latin-1") for value in values])
            if sum(map(len, values)) <= _KEPT_LENGTH:
                if len(self._read) >= _KEPT_MAX:
                    self._read.clear()
                self._read[values] = found
        return None if found is _NOTHING else found

    def _find(self, forwarded: str, addresses: str, schemes: str, hosts: str) -> Proxied:
        """Read the fields; each is empty when there is none, or it is not trusted."""
        if forwarded:
            found = self._in_elements(forwarded)
        else:
            listed = _from_the_right(addresses)
            client, depth = self._client(listed)
            found = Proxied(
                client,
                _scheme(_beside(schemes, addresses, depth)),
                _host(_beside(hosts, addresses, depth)),
            )
        return _NOTHING if found == _NOTHING else found

    def _client(self, listed: Iterable[str]) -> tuple[tuple[str, int] | None, int]:
        """Give the first stranger, else the last whom those behind it know, and its distance from the right end."""
        client, depth = None, 0
        for depth, text in enumerate(listed):  # noqa: B007 - how far it came is wanted
            if not text:
                continue
            node = _node(text)
            if node is None:
                break
            client = node
            if not self._trusts(node[0]):
                break
        return client, depth

    def _in_elements(self, field: str) -> Proxied:
        """Do the same with the elements of Forwarded, each of which has all that one proxy says."""
        client = None
        element: Mapping[str, str] = {}
        for element in _elements(field):
            node = _node(element.get("for", ""))
            if node is None:
                break
            client = node
            if not self._trusts(node[0]):
                break
        return Proxied(client, _scheme(element.get("proto", "")), _host(element.get("host", "")))

    def _trusts(self, address: str) -> bool:
        """Tell whether an address is that of a proxy which was named."""
        known = self._known.get(address)
        if known is None:
            known = self._is_named(address)
            if len(self._known) >= _KEPT_MAX:
                self._known.clear()
            self._known[address] = known
        return known

    def _is_named(self, address: str) -> bool:
        packed = _packed(address.partition("%")[0])  # a peer of the own link has a zone
        if packed is None:
            return False
        number, size = int.from_bytes(packed), len(packed)
        return any(size == of and number & mask == common for of, mask, common in self._networks)


def _listed(names: str | Collection[str]) -> list[str]:
    return [str(name).strip() for name in (names.split(",") if isinstance(names, str) else names)]


def _network(name: str) -> _Network:
    """Read an address or a network."""
    from ipaddress import ip_network

    try:
        network: IPv4Network | IPv6Network = ip_network(name)
        if network.version == 6 and network.prefixlen >= 96 and (mapped := network.network_address.ipv4_mapped):
            network = ip_network(f"{mapped}/{network.prefixlen - 96}")
    except ValueError as error:
        message = (
            f'{name!r} names no proxy ({error}): write an address, a network such as 10.0.0.0/8, "unix" for Unix '
            'sockets, or "*" for every peer; names are not resolved'
        )
        raise ValueError(message) from None
    if network.prefixlen == 0:
        message = f'{name} is every address, so every address in a list would be a proxy: write "*" to trust every peer'
        raise ValueError(message)
    return network.max_prefixlen // 8, int(network.netmask), int(network.network_address)


def _packed(address: str) -> bytes | None:
    """Give the bytes of an address, None when it is none. An IPv4 address in an IPv6 one is itself."""
    try:
        packed = socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
    except (OSError, ValueError):
        return None
    return packed[12:] if packed.startswith(_MAPPED) else packed


def _node(text: str) -> tuple[str, int] | None:
    """Read an address with or without a port; None for what is no address: ``unknown``, obfuscated, or nonsense."""
    found = _NODE.fullmatch(text)
    if found is None:
        return None
    packed = _packed(found[1] or found[2] or found[4])
    port = int(found[3] or 0)
    if packed is None or port > 65535 or (found[1] is not None and ":" not in found[1]):
        return None
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed), port


def _from_the_right(values: str) -> Iterator[str]:
    """Give the values of a list, the last first, up to a bound."""
    pieces = values.rsplit(",", MAX_HOPS)
    if len(pieces) > MAX_HOPS:
        del pieces[0]
    return (piece.strip(_SPACE) for piece in reversed(pieces))


def _elements(field: str) -> Iterator[Mapping[str, str]]:
    """Give the elements of Forwarded, the last first, up to a bound.

    They are told apart from the right too: a quote that a client leaves open must not swallow what a proxy adds.
    """
    whole = ""
    for piece in _from_the_right(field):
        whole = f"{piece},{whole}" if whole else piece
        if len(whole) > _ELEMENT_MAX:
            return
        if whole and whole.count('"') % 2 == 0:
            yield parse_forwarded([whole])[-1]
            whole = ""


def _beside(values: str, addresses: str, depth: int) -> str:
    """Give what stands beside an address: in the same place of a list of that length, else what came last."""
    if values.count(",") != addresses.count(","):
        depth = 0
    return values.rsplit(",", depth + 1)[-1 - depth].strip(_SPACE)


def _scheme(text: str) -> str | None:
    return _SCHEMES.get(text.lower()) if len(text) < 6 else None


def _host(text: str) -> str | None:
    if not text or len(text) > _HOST_MAX:
        return None
    try:
        return text if check_authority(text) else None
    except ProtocolError:
        return None
