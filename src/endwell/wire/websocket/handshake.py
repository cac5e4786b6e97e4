"""The opening handshake, in both roles (RFC 6455 sections 1.3, 4.1 and 4.2).

Used by `ws_connect` and by `WebSocketResponse`: what a client asks and how it judges the answer, what a server answers.
Tokens are compared without regard to case, subprotocols exactly; of several lines of a list field one list is made.
"""

from __future__ import annotations

import binascii
import os
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Final

from multidict import CIMultiDictProxy

from endwell.http.fields import TOKEN, check_text
from endwell.wire.websocket.deflate import Deflate
from endwell.wire.websocket.errors import HandshakeError
from endwell.wire.websocket.extension import accept_offer, accept_response, make_offer, parse_extensions

__all__ = ("Agreement", "accept_key", "answer", "check_response", "new_key", "offer", "request_fields")

_VERSION: Final = "13"
_MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
_MAX_PROTOCOLS: Final = 8192  # characters of the list that a peer sends

_UPGRADE: Final = "Upgrade"
_CONNECTION: Final = "Connection"
_KEY: Final = "Sec-WebSocket-Key"
_ACCEPT: Final = "Sec-WebSocket-Accept"
_PROTOCOL: Final = "Sec-WebSocket-Protocol"
_EXTENSIONS: Final = "Sec-WebSocket-Extensions"
_VERSION_FIELD: Final = "Sec-WebSocket-Version"


class Agreement:
    """What both ends agreed on: `protocol`, `deflate`, and `fields`, which a server sends with its 101."""

    __slots__ = ("deflate", "fields", "protocol")

    def __init__(self, protocol: str | None, deflate: Deflate | None, fields: dict[str, str]) -> None:
        self.protocol = protocol
        self.deflate = deflate
        self.fields = fields

    def __repr__(self) -> str:
        return f"Agreement(protocol={self.protocol!r}, deflate={self.deflate!r})"


def new_key() -> str:
    """Give the key of a handshake: 16 random bytes in base64 (RFC 6455 section 4.1)."""
    return b64encode(os.urandom(16)).decode("ascii")


def accept_key(key: str) -> str:
    """Give what a server answers to a key (RFC 6455 section 4.2.2)."""
    import hashlib

    digest = hashlib.sha1(key.encode() + _MAGIC, usedforsecurity=False).digest()
    return b64encode(digest).decode("ascii")


def offer(compress: int) -> str | None:
    """Give the Sec-WebSocket-Extensions of a client that wants a window of `compress` bits: 9 to 15, or 0 for none.

    Raises:
        ValueError: any other number.

    """
    return make_offer(compress)


def request_fields(key: str, protocols: Sequence[str], offer: str | None) -> dict[str, str]:
    """Give the fields that make a GET the request for a WebSocket; `protocols` in the order of preference.

    Raises:
        ValueError: a subprotocol is no token (RFC 6455 section 4.1), or something has CR, LF or NUL.
        TypeError: `protocols` is a single string.

    """
    fields = {
        _UPGRADE: "websocket",
        _CONNECTION: "Upgrade",
        _VERSION_FIELD: _VERSION,
        _KEY: check_text(_KEY, key),
    }
    if isinstance(protocols, str):
        message = f"protocols={protocols!r} is one string: write a sequence, such as ({protocols!r},)"
        raise TypeError(message)
    for protocol in protocols:
        if not isinstance(protocol, str) or TOKEN.fullmatch(protocol) is None:
            message = f"Subprotocol {protocol!r} is not a token: it may hold letters, digits and !#$%&'*+-.^_`|~ only"
            raise ValueError(message)
    if protocols:
        fields[_PROTOCOL] = ", ".join(dict.fromkeys(protocols))  # each once (section 4.1)
    if offer is not None:
        fields[_EXTENSIONS] = check_text(_EXTENSIONS, offer)
    return fields


def check_response(
    status: int, fields: CIMultiDictProxy[str], key: str, protocols: Sequence[str], offer: str | None
) -> Agreement:
    """Judge the answer of a server (RFC 6455 section 4.1); `key`, `protocols` and `offer` are those of the request.

    Raises:
        HandshakeError: this is no WebSocket, or not the one that was asked for; its `status` is that of the answer.

    """
    if status != 101:
        raise HandshakeError(f"The server answered {status} instead of 101, so this is no WebSocket", status=status)
    fault = ""
    if _tokens(fields, _UPGRADE) != ["websocket"]:
        fault = f"{_UPGRADE} is {fields.get(_UPGRADE)!r}, not 'websocket'"
    elif "upgrade" not in _tokens(fields, _CONNECTION):
        fault = f"{_CONNECTION} is {fields.get(_CONNECTION)!r}, without 'upgrade'"
    elif fields.getall(_ACCEPT, []) != [accept_key(key)]:
        fault = f"{_ACCEPT} does not belong to the key of the request"
    if fault:
        raise HandshakeError(f"The server answered wrongly: {fault}", status=status)
    protocol = None
    if _PROTOCOL in fields:
        protocol = ", ".join(fields.getall(_PROTOCOL)).strip(" \t")
        if protocol not in protocols:
            message = f"The server chose the subprotocol {protocol!r}, which was not offered"
            raise HandshakeError(message, status=status)
    try:
        deflate = accept_response(parse_extensions(",".join(fields.getall(_EXTENSIONS, []))), offer)
    except ValueError as error:
        raise HandshakeError(f"The server answered wrongly: {error}", status=status) from None
    return Agreement(protocol, deflate, {})


def answer(
    method: str,
    version: tuple[int, int],
    fields: CIMultiDictProxy[str],
    protocols: Sequence[str],
    compress: bool,
) -> Agreement:
    """Judge the request of a client and make the answer (RFC 6455 section 4.2).

    Of `protocols` the first that the client names is chosen, in the client's order; none when there is none.
    `compress`: whether permessage-deflate is accepted where it is offered.

    Raises:
        HandshakeError: the request asks for no WebSocket, or for one that cannot be; `status` and `fields` are for the
            answer: 405 for another method than GET, 426 for another version than 13, 400 for all else.

    """
    if method != "GET":
        raise HandshakeError(f"A WebSocket is asked for with GET, not {method}", status=405, fields={"Allow": "GET"})
    fault = ""
    if version < (1, 1):
        fault = "A WebSocket needs HTTP/1.1"
    elif "websocket" not in _tokens(fields, _UPGRADE):
        fault = f"This is a WebSocket: {_UPGRADE} has to be 'websocket'"
    elif "upgrade" not in _tokens(fields, _CONNECTION):
        fault = f"This is a WebSocket: {_CONNECTION} has to name 'upgrade'"
    if fault:
        raise HandshakeError(fault)
    _check_version(fields.getall(_VERSION_FIELD, []))
    key = _checked_key(fields.getall(_KEY, []))
    reply = {_UPGRADE: "websocket", _CONNECTION: "Upgrade", _ACCEPT: accept_key(key)}
    protocol = _chosen(fields.getall(_PROTOCOL, []), protocols)
    if protocol is not None:
        reply[_PROTOCOL] = protocol
    deflate = None
    if _EXTENSIONS in fields:
        try:
            offers = parse_extensions(",".join(fields.getall(_EXTENSIONS)))
        except ValueError as error:
            raise HandshakeError(str(error)) from None
        if compress and (accepted := accept_offer(offers)) is not None:
            deflate, reply[_EXTENSIONS] = accepted
    return Agreement(protocol, deflate, reply)


def _tokens(fields: CIMultiDictProxy[str], name: str) -> list[str]:
    """Give the tokens of a list field in lower case."""
    parts = [part.strip(" \t").lower() for line in fields.getall(name, []) for part in line.split(",")]
    return [part for part in parts if part]


def _check_version(versions: list[str]) -> None:
    if versions == [_VERSION]:
        return
    ours = {_VERSION_FIELD: _VERSION}
    if len(versions) != 1:
        message = f"A request for a WebSocket has {_VERSION_FIELD} once, not {len(versions)} times"
        raise HandshakeError(message, fields=ours)
    # 426 names what to upgrade to (RFC 9110 section 15.5.22).
    fields = {_UPGRADE: "websocket", _CONNECTION: "Upgrade", **ours}
    raise HandshakeError(f"The version of the WebSocket protocol is {_VERSION}", status=426, fields=fields)


def _checked_key(keys: list[str]) -> str:
    if len(keys) != 1:
        raise HandshakeError(f"A request for a WebSocket has {_KEY} once, not {len(keys)} times")
    key = keys[0]
    try:
        fits = len(key) == 24 and len(b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        fits = False
    if not fits:
        raise HandshakeError(f"{_KEY} is not 16 bytes in base64")
    return key


def _chosen(lines: list[str], protocols: Sequence[str]) -> str | None:
    if not lines or not protocols:
        return None
    text = ",".join(lines)
    if len(text) > _MAX_PROTOCOLS:
        raise HandshakeError(f"{_PROTOCOL} is too long")
    for part in text.split(","):
        name = part.strip(" \t")
        if name in protocols:
            return name
    return None
