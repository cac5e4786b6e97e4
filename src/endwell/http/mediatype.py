"""Media types: reading `Content-Type`, its charset, and guessing a type from a file name.

RFC 9110 section 8.3 (media types and their parameters), RFC 6839 (structured suffixes such as ``+json``), RFC 8259.
Used by payloads, multipart bodies, and by requests and responses of both roles.
"""

import codecs
import re
from functools import lru_cache
from typing import Final, NamedTuple

from multidict import MultiDict, MultiDictProxy

__all__ = (
    "DEFAULT_TYPE",
    "MimeType",
    "charset_of",
    "guess_type",
    "is_expected_content_type",
    "is_json",
    "parse_mimetype",
    "usable_charset",
)

DEFAULT_TYPE: Final = "application/octet-stream"

_TOKEN_VALUE: Final = re.compile(r"[^;]*")
_QUOTED_VALUE: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)
_CHARSET_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,39}\Z")

# Not charsets of any peer, or decoders whose cost grows with the square of the input (idna, punycode): a peer that
# names one of these gets no decoder.
_REFUSED_CODECS: Final = frozenset(
    {"idna", "mbcs", "oem", "punycode", "raw_unicode_escape", "undefined", "unicode_escape", "unicode_internal"}
)


class MimeType(NamedTuple):
    """A parsed media type: ``text/vnd.x+json; a=b`` is ``("text", "vnd.x", "json", {"a": "b"})``.

    Type, subtype, suffix and the names of parameters are in lower case; values of parameters are as they came.
    """

    type: str
    subtype: str
    suffix: str
    parameters: "MultiDictProxy[str]"


def _parse_parameters(text: str) -> "MultiDict[str]":
    parameters: MultiDict[str] = MultiDict()
    at = 0
    size = len(text)
    while at < size:
        # `at` stands behind a semicolon. A value in quotes may hold semicolons, so one cannot simply split at them.
        equals = text.find("=", at)
        end = text.find(";", at)
        if end < 0:
            end = size
        if equals < 0 or equals > end:
            name, value = text[at:end], ""
        else:
            name = text[at:equals]
            begin = equals + 1
            while begin < size and text[begin] in " \t":
                begin += 1
            quoted = _QUOTED_VALUE.match(text, begin)
            if quoted:
                value = _QUOTED_PAIR.sub(r"\1", quoted[1])
                end = text.find(";", quoted.end())
                if end < 0:
                    end = size
            else:
                plain = _TOKEN_VALUE.match(text, begin)
                value = plain[0].strip(' \t"') if plain else ""
        name = name.strip().lower()
        if name:
            parameters.add(name, value)
        at = end + 1
    return parameters


@lru_cache(maxsize=128)
def parse_mimetype(mimetype: str) -> MimeType:
    """Give the parts of a media type.

    Never fails: what is not there is an empty string, and ``*`` alone means ``*/*``. Parameters without ``=`` have an
    empty value. Source: RFC 9110 section 8.3.1; the cost is linear in the length of the text.
    """
    essence, _, rest = mimetype.partition(";")
    main, _, sub = essence.strip().lower().partition("/")
    if main == "*" and not sub:
        sub = "*"
    sub, _, suffix = sub.partition("+")
    return MimeType(main, sub, suffix, MultiDictProxy(_parse_parameters(rest) if rest else MultiDict()))


def charset_of(content_type: str | None) -> str | None:
    """Give the ``charset`` parameter of a `Content-Type` value as it was written, None when there is none."""
    if not content_type or ";" not in content_type:
        return None
    return parse_mimetype(content_type).parameters.get("charset") or None


@lru_cache(maxsize=128)
def usable_charset(name: str) -> bool:
    """Say whether Python can decode text in the charset that a peer named, in time linear in its length."""
    if not _CHARSET_NAME.match(name):
        return False
    try:
        codec = codecs.lookup(name)
        "".encode(codec.name)  # refuses what maps bytes to bytes, such as hex or zlib
    except (LookupError, UnicodeError, ValueError):
        return False
    return codec.name.replace("-", "_") not in _REFUSED_CODECS


def is_json(content_type: str) -> bool:
    """Say whether a `Content-Type` value means JSON: ``application/json`` or ``application/<anything>+json``."""
    if content_type == "application/json":
        return True
    kind = parse_mimetype(content_type)
    if kind.type != "application":
        return False
    return (kind.subtype == "json" and not kind.suffix) or kind.suffix.rpartition("+")[2] == "json"


def is_expected_content_type(content_type: str, expected: str) -> bool:
    """Say whether a body of type `content_type` may be read as `expected`; any JSON is ``application/json``."""
    if expected == "application/json":
        return is_json(content_type)
    return expected in content_type


def guess_type(filename: str, default: str | None = None) -> str | None:
    """Give the media type that the extension of a file name stands for, or `default`.

    The tables of the standard library (and of the system) are read at the first call, not at import.
    """
    import mimetypes

    return mimetypes.guess_type(filename)[0] or default
