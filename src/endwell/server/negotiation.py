"""Which content coding a response is sent in (RFC 9110 sections 8.4.1, 12.4.2 and 12.5.3).

Used by responses whose `enable_compression` was called.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from typing import Final

from endwell.http.codings import available_codings

__all__ = ("ContentCoding", "choose_coding")


class ContentCoding(Enum):
    """The content codings a response can be sent in; br and zstd take a package that may not be installed."""

    deflate = "deflate"
    gzip = "gzip"
    identity = "identity"
    br = "br"
    zstd = "zstd"


# What is taken first of codings the client likes equally well: the most saved for the least work.
_PREFERENCE: Final = ("zstd", "br", "gzip", "deflate")
# What `*` stands for: whoever accepts anything has hardly the newest in mind.
_ANY: Final = frozenset({"gzip", "deflate"})
_ALIASES: Final = {"x-gzip": "gzip"}
_WEIGHT: Final = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\Z")
# Whoever names more codings than this hides none of ours behind them.
_MOST: Final = 64


def _weights(values: Iterable[str]) -> dict[str, float]:
    """Give the weight of each coding that is named; one with a faulty weight counts as refused."""
    weights: dict[str, float] = {}
    for entry in ",".join(values).split(",", _MOST)[:_MOST]:
        coding, _, parameter = entry.partition(";")
        coding = coding.strip(" \t").lower()
        if not coding:
            continue
        weight = 1.0
        if parameter:
            name, _, value = parameter.partition("=")
            value = value.strip(" \t")
            proper = name.strip(" \t").lower() == "q" and _WEIGHT.match(value) is not None
            weight = float(value) if proper else 0.0
        weights.setdefault(_ALIASES.get(coding, coding), weight)
    return weights


def choose_coding(accept_encoding: Iterable[str]) -> str | None:
    """Give the content coding for a client that sent these `Accept-Encoding` fields, None for identity.

    The coding with the highest weight is taken; a coding before identity when both weigh the same, and one that was not
    named is used only where ``*`` was, and br and zstd not even then. When nothing is acceptable, identity goes out all
    the same: section 12.5.3 lets a server disregard the field, and a page in plain text helps more than an error.
    """
    weights = _weights(accept_encoding)
    if not weights:
        return None
    other = weights.get("*", 0.0)
    here = available_codings().split(", ")
    best, most = None, 0.0
    for coding in _PREFERENCE:
        weight = weights.get(coding, other if coding in _ANY else 0.0)
        if weight > most and coding in here:
            best, most = coding, weight
    return None if most < weights.get("identity", other) else best
