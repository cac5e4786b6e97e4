"""The Link field (RFC 8288), as aiohttp's `ClientResponse.links` gives it. Linear in the length of the field."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from multidict import MultiDict
from yarl import URL

__all__ = ("parse_links",)

_MAX_SIZE: Final = 64 * 1024
_MAX_LINKS: Final = 500
_TARGET: Final = re.compile(r"[ \t,]*<([^<>]*)>")
_PARAMETER: Final = re.compile(
    r"[ \t]*;[ \t]*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)(?:[ \t]*=[ \t]*(?:\"([^\"]*)\"|([^;,\" \t]*)))?"
)


def parse_links(values: Sequence[str], base: URL) -> Iterator[tuple[str, MultiDict[str | URL]]]:
    """Give (relation, parameters) for each link; the relation is the URL where there is none."""
    text = ", ".join(values)[:_MAX_SIZE]
    position = 0
    for _ in range(_MAX_LINKS):
        target = _TARGET.match(text, position)
        if target is None:
            following = text.find(",", position)
            if following < 0:
                return
            position = following + 1
            continue
        position = target.end()
        parameters: MultiDict[str | URL] = MultiDict()
        while (found := _PARAMETER.match(text, position)) is not None:
            position = found.end()
            parameters.add(found[1], found[2] if found[2] is not None else found[3] or "")
        try:
            url = base.join(URL(target[1], encoded=False))
        except ValueError:
            continue
        key = str(parameters.get("rel", target[1]))
        parameters.add("url", url)
        yield key, parameters
