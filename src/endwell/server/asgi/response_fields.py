"""The fields of a response as an ASGI application gives them: checked, rendered, and what they say about framing.

RFC 9110 section 5, RFC 9112 sections 6 and 9.6. Used by `exchange` for each response, and for WebSocket handshakes.
Responses are alike: their fields are kept, and known ones are not looked at again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

__all__ = ("Fields", "read_fields")

_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_MAX_DIGITS: Final = 18

_PLAIN, _LENGTH, _CODING, _CONNECTION, _DATE, _SERVER, _SECRET = range(7)
_FRAMING: Final = frozenset({_LENGTH, _CODING, _CONNECTION})
_KINDS: Final = {
    b"content-length": _LENGTH,
    b"transfer-encoding": _CODING,
    b"connection": _CONNECTION,
    b"keep-alive": _CONNECTION,
    b"date": _DATE,
    b"server": _SERVER,
    b"set-cookie": _SECRET,
}

_KEPT: Final = 512
_KEPT_SIZE: Final = 1024

_names: dict[bytes, int] = dict(_KINDS)
"""The kind of each name that was checked."""


class Fields:
    """What an application says in the fields of a response.

    Attributes:
        lines: of all fields that do not concern the connection.
        length: Content-Length, None when none was given.
        length_line: the line of that, ``b""`` without.
        chunked: chunks are wished for.
        closes: the connection is to end.
        has_date: Date is there.
        has_server: Server is there.
        pairs: all fields, as they were given.

    """

    __slots__ = ("chunked", "closes", "has_date", "has_server", "length", "length_line", "lines", "pairs")

    def __init__(self, pairs: tuple[tuple[bytes, bytes], ...]) -> None:
        self.lines = b""
        self.length: int | None = None
        self.length_line = b""
        self.chunked = False
        self.closes = False
        self.has_date = False
        self.has_server = False
        self.pairs = pairs


_fields: dict[tuple[Any, ...], Fields] = {}


def read_fields(headers: Iterable[Any]) -> Fields:
    """Read the fields of a response.

    Raises:
        ValueError: a name is no token; a value has CR, LF or NUL; Content-Length is no number, or given twice;
            Transfer-Encoding is another than chunked.
        TypeError: they are no pairs of bytes.

    """
    key = tuple(headers)
    try:
        known = _fields.get(key)
    except TypeError:  # pairs that are lists
        key = tuple([tuple(pair) for pair in key])
        known = _fields.get(key)
    if known is not None:
        return known
    fields = Fields(key)
    lines: list[bytes] = []
    is_secret = False
    for pair in key:
        name, value = _pair(pair)
        kind = _names.get(name)
        if kind is None:
            kind = _kind_of(name)
        if b"\n" in value or b"\r" in value or b"\0" in value:
            _refuse_value(name)
        if kind in _FRAMING:
            _frame(fields, kind, name, value)
            continue
        lines.append(b"%b: %b\r\n" % (name, value))
        if kind == _SECRET:
            is_secret = True
        elif kind == _DATE:
            fields.has_date = True
        elif kind == _SERVER:
            fields.has_server = True
    fields.lines = b"".join(lines)
    if not is_secret and len(fields.lines) <= _KEPT_SIZE:
        if len(_fields) >= _KEPT:
            _fields.clear()
        _fields[key] = fields
    return fields


def _pair(pair: Any) -> tuple[bytes, bytes]:
    """Refuse what is no pair of bytes."""
    try:
        name, value = pair
    except (TypeError, ValueError):
        name = value = None
    if isinstance(name, bytes) and isinstance(value, bytes):
        return name, value
    shown = f"{name!r} with a value of type {type(value).__name__}" if isinstance(name, (str, bytes)) else repr(pair)
    message = f"A field of a response is a pair of bytes, (name, value), not {shown[:200]}"
    raise TypeError(message)


def _kind_of(name: bytes) -> int:
    """Check a name and give its kind."""
    if _TOKEN.fullmatch(name) is None:
        message = f"Field name {name!r} is not a token: it may hold letters, digits and !#$%&'*+-.^_`|~ only"
        raise ValueError(message)
    kind = _KINDS.get(name.lower(), _PLAIN)
    if len(_names) < _KEPT:
        _names[name] = kind
    return kind


def _refuse_value(name: bytes) -> None:
    message = f"The value of field {name!r} contains a CR, LF or NUL character: it would start a line of its own"
    raise ValueError(message)


def _frame(fields: Fields, kind: int, name: bytes, value: bytes) -> None:
    """Take what a field says about the body or the connection."""
    value = value.strip(b" \t").lower()
    if kind == _LENGTH:
        if fields.length is not None:
            message = "Content-Length is there twice"
            raise ValueError(message)
        if not value.isdigit() or len(value) > _MAX_DIGITS:
            message = f"Content-Length {value[:40]!r} is not a number of bytes"
            raise ValueError(message)
        fields.length = int(value)
        fields.length_line = b"Content-Length: %d\r\n" % fields.length
    elif kind == _CODING:
        if value != b"chunked":
            message = f"Transfer-Encoding {value[:40]!r}: it can only be chunked, and the server sets it; leave it out"
            raise ValueError(message)
        fields.chunked = True
    elif name.lower() == b"connection" and b"close" in {option.strip(b" \t") for option in value.split(b",")}:
        fields.closes = True
