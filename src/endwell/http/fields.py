"""Fields of a head: what may stand in them, and the raw block as multidict (RFC 9110 section 5, RFC 9112 section 5).

Used by the wire in both roles, by everything that lets a user name a field, and by multipart. The block that came from
a peer is kept as bytes and turned into a multidict on first access: most callers look at one field or at none.
"""

from __future__ import annotations

import re
from typing import Final

from multidict import CIMultiDict, CIMultiDictProxy, istr

from endwell.http.typedefs import RawHeaders

__all__ = ("FORBIDDEN", "TOKEN", "block_pairs", "check_field", "check_text", "multidict_of", "render_fields")

TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""A token (RFC 9110 section 5.6.2): names of fields, methods, parameters."""
FORBIDDEN: Final = re.compile(r"[\r\n\0]")
"""What would break out of a line of a head (RFC 9110 section 5.5)."""

_RAW_LINE: Final = re.compile(rb"([^:\r\n]+):([^\r\n]*)\r\n")
_LINE: Final = re.compile(r"([^:\r\n]+):[ \t]*([^\r\n]*)\r\n")

_names: dict[str, istr] = {}
_NAMES_MAX: Final = 1024


def check_text(what: str, text: str) -> str:
    """Refuse CR, LF and NUL in a text that goes into a head; return the text.

    Raises:
        ValueError: one of them is there; the message names `what`, not the text, which may be a secret.

    """
    if FORBIDDEN.search(text) is not None:
        message = f"{what} contains a CR, LF or NUL character: it would start a line of its own in the message head"
        raise ValueError(message)
    return text


def check_field(name: str, value: str) -> None:
    """Refuse a field that cannot be sent as it is (RFC 9110 section 5.1 and 5.5).

    Raises:
        ValueError: the name is no token, or the value has CR, LF or NUL.
        TypeError: name or value is no string.

    """
    if not isinstance(value, str) or not isinstance(name, str):
        wrong = name if not isinstance(name, str) else value
        message = f"Field {name!r}: names and values are strings, not {type(wrong).__name__}; write str(value)"
        raise TypeError(message)
    if TOKEN.fullmatch(name) is None:
        message = f"Field name {name!r} is not a token: it may hold letters, digits and !#$%&'*+-.^_`|~ only"
        raise ValueError(message)
    if FORBIDDEN.search(value) is not None:
        check_text(f"The value of field {name!r}", value)


def render_fields(fields: CIMultiDict[str]) -> bytes:
    """Give the field lines, each with its CRLF, after checking every one.

    Raises:
        ValueError: see `check_field`.

    """
    lines = []
    for name, value in fields.items():
        if type(value) is not str or FORBIDDEN.search(value) is not None or TOKEN.fullmatch(name) is None:
            check_field(name, value)
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode("utf-8", "surrogateescape")


def block_pairs(block: bytes) -> RawHeaders:
    """Split a block of field lines (CRLF after each, no folding, checked by the wire) into names and values."""
    return tuple([(name, value.strip(b" \t")) for name, value in _RAW_LINE.findall(block)])


def multidict_of(block: bytes) -> CIMultiDictProxy[str]:
    """Make the multidict of such a block; bytes that are not UTF-8 are kept by surrogate escapes."""
    text = block.decode("utf-8", "surrogateescape")
    known = _names
    fields = []
    for raw, value in _LINE.findall(text):
        name = known.get(raw)
        if name is None:
            name = istr(raw)
            if len(known) < _NAMES_MAX:
                known[raw] = name
        fields.append((name, value))
    if " \r\n" in text or "\t\r\n" in text:
        fields = [(name, value.rstrip(" \t")) for name, value in fields]
    return CIMultiDictProxy(CIMultiDict(fields))
