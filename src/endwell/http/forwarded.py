"""The `Forwarded` field: what proxies say of where a request came from (RFC 7239). Used by the server's requests.

Nobody signs it: a client can write it as well as a proxy. Whoever acts on it must know that a proxy in front removes
what comes from outside.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

__all__ = ("parse_forwarded",)

MAX_ELEMENTS: Final = 256
"""Elements of all fields together; each is one proxy on the way."""

_NAME: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z\-]+"
# One alternative per character in a quoted string: nothing to backtrack into. A port behind a bare value is not in the
# grammar of a token, yet `for=192.0.2.43:80` is written everywhere.
_PAIR: Final = re.compile(rf'({_NAME})=(?:({_NAME}(?::[0-9]{{1,5}})?)|"((?:[^"\\]|\\.)*)")', re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_SPACE: Final = " \t"


def parse_forwarded(fields: Iterable[str]) -> tuple[Mapping[str, str], ...]:
    """Give one read-only mapping for each element of the fields, in their order: the nearest proxy comes last.

    Keys are in lower case (``by``, ``for``, ``host``, ``proto``), values without quotes. Of an element, what stands
    before a mistake is kept and what follows it is skipped up to the next comma. Beyond 256 elements the field is
    ignored. Source: RFC 7239 section 4.
    """
    elements: list[Mapping[str, str]] = []
    for field in fields:
        at = 0
        element: dict[str, str] = {}
        elements.append(MappingProxyType(element))
        while at < len(field):
            sign = field[at]
            if sign == ",":
                if len(elements) == MAX_ELEMENTS:
                    return ()
                element = {}
                elements.append(MappingProxyType(element))
            elif sign not in "; \t":
                pair = _PAIR.match(field, at)
                end = -1 if pair is None else _skip_space(field, pair.end())
                if pair is not None:
                    element[pair[1].lower()] = _ESCAPED.sub(r"\1", pair[3]) if pair[2] is None else pair[2]
                if end < 0 or (end < len(field) and field[end] not in ";,"):
                    comma = field.find(",", max(at, end))
                    end = comma if comma >= 0 else len(field)
                at = end
                continue
            at += 1
    return tuple(elements)


def _skip_space(field: str, at: int) -> int:
    while at < len(field) and field[at] in _SPACE:
        at += 1
    return at
