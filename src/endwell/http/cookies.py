"""Cookies on the wire: the ``Set-Cookie`` and ``Cookie`` fields, read and written.

RFC 6265bis sections 4.1, 5.6 and 5.8.3. Used by the cookie jar, by ``response.cookies`` and by ``request.cookies``.

The syntax of section 4.1 is what servers should send; what they do send is read by the rules of section 5: one cookie
for each ``Set-Cookie`` field, never split at a comma, pairs of a ``Cookie`` field split at every semicolon, quotes or
not. So two cookies never become one, and the time is linear in the length of the field. A pair without a name is
dropped, as RFC 6265 had it: it would be rendered as the bare value and read back as a cookie of another name.

``http.cookies`` is kept for the objects that users see. Its parser and its check of names are not used: real servers
set names such as ``cart[id]`` or ``app:sid``, which it refuses. Since Python 3.13.12 and 3.14.3 its objects refuse
control characters, tab among them, so names and values with one are dropped on every version.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http.cookies import BaseCookie, CookieError, Morsel, SimpleCookie
from typing import Any, Final, Protocol, cast

from endwell.http.typedefs import LooseCookies

__all__ = (
    "CookieSyntaxError",
    "SetCookie",
    "is_sendable",
    "iter_cookies",
    "make_morsel",
    "merge_cookie_headers",
    "parse_cookie_header",
    "parse_set_cookie",
    "parse_set_cookie_headers",
    "render_cookie_header",
    "set_cookies_as_simple_cookie",
    "unquote_cookie_value",
    "wire_value",
)

MAX_PAIR_SIZE: Final = 4096
MAX_ATTRIBUTE_SIZE: Final = 1024

_BLANK: Final = " \t"
# Patterns stay text: `re` compiles them when the first unusual cookie comes, not when the package is imported.
_CONTROLS: Final = r"[\x00-\x1f\x7f]"
_CONTROLS_BUT_TAB: Final = r"[\x00-\x08\x0a-\x1f\x7f]"
_NOT_IN_GIVEN_NAME: Final = r"[\x00-\x20\x7f;=,\s\"]"
_ESCAPE: Final = r"(?s)\\(?:([0-3][0-7][0-7])|(.))"

_TEXT_ATTRIBUTES: Final = frozenset({"expires", "max-age", "domain", "path", "samesite", "version", "comment"})
_FLAG_ATTRIBUTES: Final = frozenset({"secure", "httponly", "partitioned"})
# Before Python 3.14 a Morsel refuses the key "partitioned".
_MORSEL_KEYS: Final = frozenset(Morsel())
_ENCODER: Final = SimpleCookie()


class CookieSyntaxError(CookieError, ValueError):
    """A cookie that a program gave cannot be sent; the text names the cookie, never its value.

    It is a ``CookieError``, which aiohttp raises here, and a ValueError, as all that is refused before it is sent.
    """


class SetCookie:
    """One ``Set-Cookie`` field as it was read: `name`, `coded` (the value as it stood, quotes included), `attributes`.

    The keys of `attributes` are lower-case names that section 4.1 or ``Morsel`` know; flags have the value True.
    """

    __slots__ = ("attributes", "coded", "name")

    def __init__(self, name: str, coded: str, attributes: dict[str, str | bool]) -> None:
        self.name = name
        self.coded = coded
        self.attributes = attributes

    def morsel(self) -> Morsel[str]:
        """Give the cookie as the object of the public API."""
        morsel = make_morsel(self.name, unquote_cookie_value(self.coded), self.coded)
        for key, value in self.attributes.items():
            if key in _MORSEL_KEYS:
                morsel[key] = value
        return morsel


class _Stateful(Protocol):
    def __setstate__(self, state: dict[str, str]) -> None: ...


def make_morsel(name: str, value: str, coded: str) -> Morsel[str]:
    """Give a ``Morsel`` of any name; `value` becomes `coded` where it holds a control character.

    ``Morsel.set`` refuses names that are in daily use, restoring a pickled Morsel does not.
    """
    morsel: Morsel[str] = Morsel()
    if _has_controls(value):
        value = coded
    cast("_Stateful", morsel).__setstate__({"key": name, "value": value, "coded_value": coded})
    return morsel


def parse_set_cookie(field: str) -> SetCookie | None:
    """Read the value of one ``Set-Cookie`` field; None when it is to be ignored as a whole.

    That is a field with control characters, without a name, or with name and value of together over 4096 bytes.
    Attributes over 1024 bytes are left out, so are unknown ones; of two attributes of one name the last one counts.
    Source: RFC 6265bis section 5.6.
    """
    if not field.isprintable() and re.search(_CONTROLS_BUT_TAB, field):
        return None
    pair, _, rest = field.partition(";")
    name, equals, coded = pair.partition("=")
    name = name.strip(_BLANK)
    coded = coded.strip(_BLANK)
    if not equals or not name or "\t" in name or "\t" in coded or _size(name) + _size(coded) > MAX_PAIR_SIZE:
        return None
    attributes: dict[str, str | bool] = {}
    for part in rest.split(";") if rest else ():
        key, _, value = part.partition("=")
        key = key.strip(_BLANK).lower()
        if key in _TEXT_ATTRIBUTES:
            value = value.strip(_BLANK)
            if _size(value) <= MAX_ATTRIBUTE_SIZE and "\t" not in value:
                attributes[key] = value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
        elif key in _FLAG_ATTRIBUTES:
            attributes[key] = True
    return SetCookie(name, coded, attributes)


def parse_set_cookie_headers(fields: Sequence[str]) -> list[tuple[str, Morsel[str]]]:
    """Give name and ``Morsel`` of each ``Set-Cookie`` field that can be read, in their order."""
    cookies = map(parse_set_cookie, fields)
    return [(cookie.name, cookie.morsel()) for cookie in cookies if cookie is not None]


def set_cookies_as_simple_cookie(fields: Sequence[str]) -> SimpleCookie:
    """Give the cookies of `fields` as ``response.cookies`` shows them: by name, the last one of each name."""
    return _collect(parse_set_cookie_headers(fields))


def parse_cookie_header(field: str) -> list[tuple[str, Morsel[str]]]:
    """Give name and ``Morsel`` of each pair of a ``Cookie`` field, in their order, repeated names included.

    Pairs that no client should send (no name, a control character) are left out; the others are still read.
    Source: RFC 6265bis section 4.2.
    """
    result = []
    for pair in field.split(";"):
        name, equals, coded = pair.partition("=")
        name = name.strip(_BLANK)
        coded = coded.strip(_BLANK)
        if equals and name and not _has_controls(name) and not _has_controls(coded):
            result.append((name, make_morsel(name, unquote_cookie_value(coded), coded)))
    return result


def render_cookie_header(cookies: LooseCookies, *, quote: bool = True) -> str:
    """Give the value of a ``Cookie`` field for cookies that a program gave; ``""`` when there are none.

    `quote` as in `wire_value`. Raises CookieSyntaxError for what cannot be sent.
    """
    return "; ".join(
        f"{morsel.key}={wire_value(str(morsel.value), morsel.coded_value, quote=quote)}"
        for morsel, _ in iter_cookies(cookies)
    )


def merge_cookie_headers(field: str, stronger: str) -> str:
    """Give one ``Cookie`` field of two; a name that `stronger` holds is left out of `field`. Either may be ``""``."""
    if not field or not stronger:
        return field or stronger
    names = {pair.partition("=")[0].strip(_BLANK) for pair in stronger.split(";")}
    kept = [pair.strip(_BLANK) for pair in field.split(";") if pair.partition("=")[0].strip(_BLANK) not in names]
    return "; ".join((*kept, stronger))


def iter_cookies(cookies: LooseCookies) -> Iterator[tuple[Morsel[Any], bool]]:
    """Give every cookie of the loose type as a ``Morsel``, and whether it was a bare value, encoded here as ``str``.

    Raises CookieSyntaxError for a name that is empty or holds white space, a control character or one of ``;,="``, and
    for a value with CR, LF or NUL. In the name of a ``Morsel`` white space, quotes and commas pass: servers use them.
    """
    pairs: Iterable[tuple[str, Any]] = cookies.items() if isinstance(cookies, Mapping) else cookies
    for name, value in pairs:
        if isinstance(value, Morsel):
            yield _checked_morsel(value), False
        elif isinstance(value, BaseCookie):
            for morsel in value.values():
                yield _checked_morsel(morsel), False
        else:
            yield _given(name, value if isinstance(value, str) else str(value)), True


def is_sendable(name: str, coded: str) -> bool:
    """Tell whether a server that is sent this pair reads the same name and the same value."""
    return bool(
        name
        and not _has_controls(name + coded)
        and not any(sign in name for sign in ";=")
        and ";" not in coded
        and name == name.strip(_BLANK)
        and coded == coded.strip(_BLANK)
    )


def wire_value(value: str, coded: str, *, quote: bool) -> str:
    """Give what is sent for a cookie: its `coded` form, or the bare `value` where `quote` is off and it can be sent.

    A quoted string may hide a semicolon or a line end that must not come out in the open: such a value stays coded.
    """
    return coded if quote or ";" in value or _has_controls(value) else value


def unquote_cookie_value(coded: str) -> str:
    """Give the value that ``http.cookies`` would have encoded as `coded`; other values come back as they are."""
    if len(coded) < 2 or coded[0] != '"' or coded[-1] != '"':
        return coded
    return re.sub(_ESCAPE, _unescape, coded[1:-1]) if "\\" in coded else coded[1:-1]


def _unescape(match: re.Match[str]) -> str:
    return chr(int(match[1], 8)) if match[1] else match[2]


def _has_controls(text: str) -> bool:
    return not text.isprintable() and re.search(_CONTROLS, text) is not None


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _given(name: str, value: str) -> Morsel[str]:
    """Make the Morsel of a name and a value that a program gave."""
    if not name or re.search(_NOT_IN_GIVEN_NAME, name):
        raise CookieSyntaxError(
            f"{name[:64]!r} cannot be the name of a cookie: use letters, digits and signs other than ; , = and quotes"
        )
    if any(end in value for end in "\r\n\0"):
        raise CookieSyntaxError(f"the value of cookie {name[:64]!r} holds CR, LF or NUL; encode it before it is set")
    _, coded = _ENCODER.value_encode(value)
    return make_morsel(name, value, coded)


def _checked_morsel(morsel: Morsel[Any]) -> Morsel[Any]:
    """Refuse a Morsel that would be read back as something else."""
    name, coded = morsel.key, morsel.coded_value
    if not isinstance(name, str) or not isinstance(coded, str) or not is_sendable(name, coded):
        raise CookieSyntaxError(
            f"cookie {str(name)[:64]!r} cannot be sent: its name is empty or holds ; or =, or its coded value holds a"
            " semicolon, a control character or outer blanks; let SimpleCookie encode the value"
        )
    return morsel


def _collect(pairs: Iterable[tuple[str, Morsel[str]]]) -> SimpleCookie:
    cookies = SimpleCookie()
    for name, morsel in pairs:
        dict.__setitem__(cookies, name, morsel)
    return cookies
