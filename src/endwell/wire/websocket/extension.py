"""Sec-WebSocket-Extensions: its grammar and the negotiation of permessage-deflate (RFC 6455 section 9.1, RFC 7692).

Used by the handshake. An offer with a parameter that is unknown, repeated or invalid is declined by a server (RFC 7692
section 7); a response with one fails the handshake of a client (section 7.1).
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from endwell.wire.websocket.deflate import Deflate

__all__ = ("accept_offer", "accept_response", "check_offer", "make_offer", "parse_extensions")

Params: TypeAlias = list[tuple[str, str | None]]
Extensions: TypeAlias = list[tuple[str, Params]]

_NAME: Final = "permessage-deflate"
_SERVER_ALONE: Final = "server_no_context_takeover"
_CLIENT_ALONE: Final = "client_no_context_takeover"
_SERVER_BITS: Final = "server_max_window_bits"
_CLIENT_BITS: Final = "client_max_window_bits"

_MAX_TEXT: Final = 8192  # characters
_MAX_OFFERS: Final = 32

_WORD: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PART: Final = re.compile(
    rf"[ \t]*({_WORD})[ \t]*(?:=[ \t]*(?:({_WORD})|\"((?:[^\"\\]|\\.)*)\")[ \t]*)?([,;]|$)", re.DOTALL
)
_BLANK: Final = re.compile(r"[ \t]*(,|$)")
_BITS: Final = re.compile(r"[89]|1[0-5]")  # no leading zeros (RFC 7692 section 7.1.2.1)


def make_offer(compress: int) -> str | None:
    """Give what a client offers for `compress` window bits (9 to 15), None for 0.

    Raises:
        ValueError: anything else.

    """
    if compress == 0:
        return None
    if isinstance(compress, bool) or not 9 <= compress <= 15:
        message = f"compress={compress!r}: write 0 for no compression, or 9 to 15 for the bits of its window"
        raise ValueError(message)
    if compress == 15:
        return f"{_NAME}; {_CLIENT_BITS}"
    return f"{_NAME}; {_CLIENT_BITS}={compress}; {_SERVER_BITS}={compress}"


def parse_extensions(text: str) -> Extensions:
    """Split the value of the field, its lines joined by commas, into extensions with their parameters.

    Raises:
        ValueError: it does not keep to the grammar, or it is too long.

    """
    if len(text) > _MAX_TEXT:
        raise ValueError("Sec-WebSocket-Extensions is too long")
    found: Extensions = []
    at = 0
    params: Params | None = None  # of the extension that is being read
    while at < len(text):
        if params is None and (blank := _BLANK.match(text, at)) is not None:  # an empty element of the list
            at = max(blank.end(), at + 1)
            continue
        part = _PART.match(text, at)
        if part is None:
            raise ValueError("Sec-WebSocket-Extensions is malformed")
        name, value, quoted, mark = part.groups()
        if quoted is not None:
            value = re.sub(r"\\(.)", r"\1", quoted)
            if re.fullmatch(_WORD, value) is None:
                raise ValueError("Sec-WebSocket-Extensions has a quoted value that is no token")
        if params is not None:
            params.append((name, value))
        elif value is None:
            params = []
            found.append((name, params))
        else:
            raise ValueError("Sec-WebSocket-Extensions has an extension with a value")
        at = part.end()
        if mark == ",":
            params = None
        elif mark == ";" and at == len(text):
            raise ValueError("Sec-WebSocket-Extensions ends with a semicolon")
    if len(found) > _MAX_OFFERS:
        raise ValueError("Sec-WebSocket-Extensions has too many extensions")
    return found


def accept_offer(offers: Extensions) -> tuple[Deflate, str] | None:
    """Choose as a server: the first offer that can be accepted; give the agreement and the field of the answer."""
    for name, params in offers:
        known = _parameters(params) if name.lower() == _NAME else None
        if known is None or known.get(_SERVER_BITS, "") is None:
            continue
        answer = [_NAME]
        answer += [param for param in (_SERVER_ALONE, _CLIENT_ALONE) if param in known]
        server_bits = known.get(_SERVER_BITS)
        if server_bits is not None:
            answer.append(f"{_SERVER_BITS}={server_bits}")
        # A hint, worth an answer where it saves memory. Some clients say 8 and use 9: old versions of zlib did.
        client_bits = known.get(_CLIENT_BITS)
        if client_bits in (None, "8", "15"):
            client_bits = "15"
        else:
            answer.append(f"{_CLIENT_BITS}={client_bits}")
        deflate = Deflate(_SERVER_ALONE in known, _CLIENT_ALONE in known, int(server_bits or 15), int(client_bits))
        return deflate, "; ".join(answer)
    return None


def accept_response(response: Extensions, offer: str | None) -> Deflate | None:
    """Take as a client what the server has chosen.

    Raises:
        ValueError: it was not offered, it is something else than permessage-deflate, or its parameters are wrong.

    """
    if not response:
        return None
    if offer is None:
        raise ValueError(f"the server uses the extension {response[0][0]!r}, and none was offered")
    if len(response) > 1 or response[0][0].lower() != _NAME:
        names = ", ".join(name for name, _ in response)
        raise ValueError(f"the server uses the extensions {names!r}; {_NAME} was offered, once")
    offered = dict(parse_extensions(offer)[0][1])
    known = _parameters(response[0][1])
    if known is None:
        raise ValueError(f"the server answered {_NAME} with parameters that are unknown, repeated or invalid")
    bits = []
    for name in (_SERVER_BITS, _CLIENT_BITS):
        most = int(offered.get(name) or 15)
        if name not in known:
            # The server compresses with what it likes then; this end keeps to what it offered.
            bits.append(15 if name == _SERVER_BITS else most)
            continue
        value = known[name]
        if value is None or int(value) > most or (name == _CLIENT_BITS and name not in offered):
            raise ValueError(f"the server answered {_NAME} with {name}={value}, which was not offered")
        bits.append(int(value))
    # Who offers to compress each message by itself has to (RFC 7692 section 7.1.1.2).
    return Deflate(_SERVER_ALONE in known, _CLIENT_ALONE in known or _CLIENT_ALONE in offered, *bits)


def check_offer(text: str) -> None:
    """Refuse what a client cannot offer here.

    Raises:
        ValueError: it is something else than one offer of permessage-deflate, or its parameters are wrong.

    """
    offers = parse_extensions(text)
    if len(offers) != 1 or offers[0][0].lower() != _NAME or _parameters(offers[0][1]) is None:
        raise ValueError(f"Sec-WebSocket-Extensions is {text!r}: one offer of {_NAME} is what there can be")


def _parameters(params: Params) -> dict[str, str | None] | None:
    """Give the parameters of permessage-deflate by name, or None when one is unknown, repeated or invalid."""
    known: dict[str, str | None] = {}
    for written, value in params:
        name = written.lower()
        if name in known:
            return None
        if name in (_SERVER_ALONE, _CLIENT_ALONE):
            if value is not None:
                return None
        elif name not in (_SERVER_BITS, _CLIENT_BITS) or (value is not None and _BITS.fullmatch(value) is None):
            return None
        known[name] = value
    return known
