"""The `Content-Disposition` field: reading, writing, and the file name it names.

RFC 6266 (the field in HTTP), RFC 8187 (``filename*=utf-8''...``), RFC 2231 section 3 (parameters in numbered pieces),
RFC 7578 section 4.2 (in forms). Used by multipart bodies, payloads, responses and the server's forms. All of it is
linear in the length of the field.
"""

import re
import warnings
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes

from .fields import FORBIDDEN, TOKEN
from .mediatype import usable_charset

__all__ = (
    "BadContentDispositionHeader",
    "BadContentDispositionParam",
    "content_disposition_filename",
    "content_disposition_header",
    "parse_content_disposition",
)

# RFC 8187's attr-char and percent: what an extended value may consist of
_EXT_VALUE: Final = re.compile(r"[!#$&+\-.^_`|~0-9A-Za-z%]*\Z")
_SPACE: Final = re.compile(r"[ \t]*")
# One alternative per character, so there is nothing to backtrack into.
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)
_TO_ESCAPE: Final = re.compile(r'(["\\])')
_PLAIN: Final = re.compile(r"[\t -~]*\Z")


class BadContentDispositionHeader(RuntimeWarning):
    """A `Content-Disposition` field that could not be read; the warning's text is the field."""


class BadContentDispositionParam(RuntimeWarning):
    """A parameter of a `Content-Disposition` field that could not be read; the others still count."""


_warned: dict[Any, Any] = {}


def _warn(text: str, category: type[RuntimeWarning]) -> None:
    # A warning's text is remembered for ever in the registry of the module that warns; here the text comes from the
    # peer, so the registry is ours, and bounded.
    if len(_warned) > 256:
        _warned.clear()
    warnings.warn_explicit(text, category, __file__, 1, module=__name__, registry=_warned)


def parse_content_disposition(header: str | None) -> tuple[str | None, dict[str, str]]:
    """Give the disposition type in lower case, and the parameters by name.

    Parameters with a star (``filename*``) are decoded; numbered pieces (``filename*0``) are left for
    `content_disposition_filename`. A field that cannot be read gives ``(None, {})`` and a
    `BadContentDispositionHeader` warning, a bad parameter is left out with a `BadContentDispositionParam` warning.
    Sources: RFC 6266 section 4, RFC 8187 section 3.2.
    """
    if not header:
        return None, {}
    at = _skip_space(header, 0)
    kind = TOKEN.match(header, at)
    if kind is None:
        _warn(header, BadContentDispositionHeader)
        return None, {}
    at = _skip_space(header, kind.end())
    params: dict[str, str] = {}
    while at < len(header):
        if header[at] != ";":
            _warn(header, BadContentDispositionHeader)
            return None, {}
        at = _skip_space(header, at + 1)
        if at == len(header) or header[at] == ";":  # an empty parameter harms nobody
            _warn(header, BadContentDispositionHeader)
            continue
        found = _parameter(header, at)
        if found is None:
            _warn(header, BadContentDispositionHeader)
            return None, {}
        at, name, value, is_quoted = found
        if name in params:
            # Two names for one file: whoever reads the other one sees another file (RFC 6266 section 4.1)
            _warn(header, BadContentDispositionHeader)
            return None, {}
        decoded = _understand(name, value, is_quoted=is_quoted)
        if decoded is None:
            _warn(f"{name}={value}", BadContentDispositionParam)
        else:
            params[name] = decoded
    return kind[0].lower(), params


def _skip_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _parameter(header: str, at: int) -> tuple[int, str, str, bool] | None:
    """Read ``name = value`` at `at`: where it ends (white space included), name, value, and whether it was quoted."""
    token = TOKEN.match(header, at)
    name = token[0].lower() if token else ""
    at = _skip_space(header, token.end() if token else at)
    if at >= len(header) or header[at] != "=":
        return None
    at = _skip_space(header, at + 1)
    quoted = _QUOTED.match(header, at)
    if quoted:
        value = _QUOTED_PAIR.sub(r"\1", quoted[1])
        at = quoted.end()
    else:
        plain = TOKEN.match(header, at)
        if plain is None:
            return _unreadable_extension(header, at, name)
        value = plain[0]
        at = plain.end()
    at = _skip_space(header, at)
    if at < len(header) and header[at] != ";":
        return _unreadable_extension(header, at, name)
    return at, name, value, quoted is not None


def _unreadable_extension(header: str, at: int, name: str) -> tuple[int, str, str, bool] | None:
    """Step over a bad extended value: the plain parameter beside it may still be good (RFC 8187 section 3.2.1)."""
    if not name.endswith("*"):
        return None
    end = header.find(";", at)
    return (len(header) if end < 0 else end), name, "", True


def _understand(name: str, value: str, *, is_quoted: bool) -> str | None:
    """Give the text that a parameter's value stands for, None when it cannot be read."""
    if not name:
        return None
    base, star, _ = name.partition("*")
    if star and not base:
        return None
    if name.endswith("*") and name.count("*") == 1:
        return None if is_quoted else _decode_extended(value)
    if base == "filename":
        # a name that begins with slashes is an attack or an accident; it never means the root of this machine
        return value.lstrip("/\\") if star == "" or name in {"filename*0", "filename*0*"} else value
    return value


def _decode_extended(value: str) -> str | None:
    parts = value.split("'", 2)
    if len(parts) != 3 or not _EXT_VALUE.match(parts[2]):
        return None
    return _decode_percent(unquote_to_bytes(parts[2]), parts[0])


def _decode_percent(raw: bytes, charset: str) -> str | None:
    charset = charset or "utf-8"
    if not usable_charset(charset):
        return None
    try:
        return raw.decode(charset)
    except ValueError:
        return None


def content_disposition_filename(params: Mapping[str, str], name: str = "filename") -> str | None:
    """Give the file name (or another parameter) out of what `parse_content_disposition` gave, None when there is none.

    The extended form wins over the plain one, the plain one over numbered pieces; pieces are joined from 0 up to the
    first gap. Sources: RFC 6266 section 4.3, RFC 2231 sections 3 and 4.1.
    """
    if not params:
        return None
    extended = params.get(f"{name}*")
    if extended is not None:
        return extended
    plain = params.get(name)
    if plain is not None:
        return plain
    return _join_pieces(params, name)


def _join_pieces(params: Mapping[str, str], name: str) -> str | None:
    pieces: list[bytes] = []
    charset = ""
    for number in range(len(params)):
        key = f"{name}*{number}"
        encoded = params.get(f"{key}*")
        if encoded is None:
            literal = params.get(key)
            if literal is None:
                break
            # a quoted piece among encoded ones is ASCII by RFC 2231; decoded with the rest, whatever it is
            pieces.append(literal.encode("utf-8", "surrogateescape"))
            continue
        if number == 0 and encoded.count("'") >= 2:
            charset, _, encoded = encoded.split("'", 2)
        pieces.append(unquote_to_bytes(encoded.encode("utf-8", "surrogateescape")))
    if not pieces:
        return None
    return _decode_percent(b"".join(pieces), charset)


def content_disposition_header(disptype: str, quote_fields: bool = True, _charset: str = "utf-8", **params: str) -> str:
    """Give the value of a `Content-Disposition` field.

    With `quote_fields` a ``filename`` is percent-encoded in `_charset` and other values outside ASCII become extended
    parameters (``name*=utf-8''...``). In ``form-data`` there are no extended parameters (RFC 7578 section 4.2): there
    a ``name`` goes out as it is, as UTF-8, as browsers do it. Without `quote_fields` all values are quoted strings.

    Raises ValueError for a type or a parameter name that is not a token, and for CR, LF or NUL in a value that would
    be sent as it is.
    """
    if not disptype or not TOKEN.fullmatch(disptype):
        raise ValueError(
            f"bad content disposition type {disptype!r}: write a token such as 'attachment' or 'form-data'"
        )
    if not params:
        return disptype
    is_form = disptype.lower() == "form-data"
    fields = [disptype]
    for key, value in params.items():
        if not key or not TOKEN.fullmatch(key):
            raise ValueError(f"bad content disposition parameter {key!r}: its name must be a token")
        if not isinstance(value, str):
            raise TypeError(f"content disposition parameter {key!r} must be a str, not {type(value).__name__}")
        fields.append(_render(key.lower(), value, quote_fields=quote_fields, charset=_charset, is_form=is_form))
    return "; ".join(fields)


def _render(key: str, value: str, *, quote_fields: bool, charset: str, is_form: bool) -> str:
    if quote_fields and key == "filename":
        return f'{key}="{quote(value, safe="", encoding=charset)}"'
    if quote_fields and not is_form and not _PLAIN.match(value):
        return f"{key}*={charset}''{quote(value, safe='', encoding=charset)}"
    if FORBIDDEN.search(value):
        raise ValueError(f"CR, LF or NUL in the content disposition parameter {key!r}: they would forge a field")
    escaped = _TO_ESCAPE.sub(r"\\\1", value)
    return f'{key}="{escaped}"'
