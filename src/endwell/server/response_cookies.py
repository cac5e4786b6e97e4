"""The cookies that a response sets (RFC 6265bis section 4.1). Used by every response."""

from __future__ import annotations

import re
from http.cookies import CookieError, SimpleCookie
from typing import Final

from endwell.http.cookies import CookieSyntaxError
from endwell.http.fields import check_text

__all__ = ("ResponseCookies",)

_EPOCH: Final = "Thu, 01 Jan 1970 00:00:00 GMT"
# Whatever ends an attribute. As text: compiled when the first cookie is set.
_NOT_IN_ATTRIBUTE: Final = r"[\x00-\x1f\x7f;]"
_NUMBER: Final = r"-?[0-9]{1,18}"


def _attribute(name: str, key: str, value: str) -> str:
    """Refuse a value that would begin another attribute, or another field; return it."""
    value = str(value)
    if re.search(_NOT_IN_ATTRIBUTE, value):
        message = f"{key} of cookie {name[:64]!r} contains a semicolon or a control character such as CR, LF or NUL"
        raise CookieSyntaxError(message)
    return value


class ResponseCookies:
    """What a `StreamResponse` can do with cookies."""

    _cookies: SimpleCookie | None = None
    # Before Python 3.14 a Morsel refuses this attribute.
    _partitioned: frozenset[str] = frozenset()
    _plain: bool

    @property
    def cookies(self) -> SimpleCookie:
        """The cookies that the response will set. They may be changed until the response is prepared."""
        if self._cookies is None:
            self._plain = False
            self._cookies = SimpleCookie()
        return self._cookies

    def set_cookie(
        self,
        name: str,
        value: str,
        *,
        expires: str | None = None,
        domain: str | None = None,
        max_age: int | str | None = None,
        path: str | None = "/",
        secure: bool | None = None,
        httponly: bool | None = None,
        version: str | None = None,
        samesite: str | None = None,
        partitioned: bool | None = None,
    ) -> None:
        """Have the client keep a cookie. There is one cookie of each name; attributes not given stay as they were.

        Args:
            name: letters, digits and most signs; no white space, semicolon, comma, equals sign or quote.
            value: any text without CR, LF and NUL; it is quoted where needed.
            expires: the date of its end, as an HTTP date.
            domain: the domain whose hosts get the cookie; only this host when None.
            max_age: seconds it is kept, 0 to delete it; it wins over `expires`.
            path: below which it is sent.
            secure: only over TLS.
            httponly: hidden from scripts.
            version: of an obsolete standard.
            samesite: ``"Lax"``, ``"Strict"`` or ``"None"``.
            partitioned: kept apart for each top-level site (CHIPS).

        Raises:
            CookieSyntaxError: it cannot be sent as it is; a ``ValueError`` and an ``http.cookies.CookieError``.

        """
        given: dict[str, str] = {}
        for key, text in (("expires", expires), ("domain", domain), ("path", path), ("version", version)):
            if text is not None:
                given[key] = _attribute(name, key, text)
        if samesite is not None:
            given["samesite"] = _attribute(name, "samesite", samesite)
        if max_age is not None:
            given["max-age"] = str(int(max_age) if isinstance(max_age, (bool, float)) else max_age)
            if not re.fullmatch(_NUMBER, given["max-age"]):
                message = f"max_age of cookie {name[:64]!r} is {max_age!r}: give a whole number of seconds"
                raise CookieSyntaxError(message)
        self._put_cookie(name, value)
        morsel = self.cookies[name]
        if morsel["expires"] == _EPOCH:
            morsel["expires"] = ""
        morsel["max-age"] = ""
        for key, text in given.items():
            morsel[key] = text
        if secure is not None:
            morsel["secure"] = secure
        if httponly is not None:
            morsel["httponly"] = httponly
        if partitioned is not None:
            self._partitioned = self._partitioned - {name} | ({name} if partitioned else set())

    def _put_cookie(self, name: str, value: str) -> None:
        """Give the cookie its value, and make it if there is none of this name."""
        check_text(f"The value of cookie {name[:64]!r}", str(value))
        try:
            self.cookies[name] = value
        except CookieError:
            # The message of the standard library may hold the value.
            message = (
                f"{name[:64]!r} cannot be the name of a cookie, or its value has a control character: use letters,"
                " digits and !#$%&'*+-.^_`|~ for the name, and encode the value"
            )
            raise CookieSyntaxError(message) from None

    def del_cookie(
        self,
        name: str,
        *,
        domain: str | None = None,
        path: str | None = "/",
        secure: bool | None = None,
        httponly: bool | None = None,
        samesite: str | None = None,
    ) -> None:
        """Have the client delete a cookie; `domain` and `path` must be those it was set with.

        Raises:
            CookieSyntaxError: see `set_cookie`.

        """
        self.cookies.pop(name, None)
        self.set_cookie(
            name,
            "",
            expires=_EPOCH,
            domain=domain,
            max_age=0,
            path=path,
            secure=secure,
            httponly=httponly,
            samesite=samesite,
        )

    def _cookie_lines(self) -> bytes:
        """Give the field lines of all cookies.

        Raises:
            ValueError: somebody put CR, LF or NUL into the attributes of `cookies`.

        """
        if not self._cookies:
            return b""
        lines = []
        for name, morsel in self._cookies.items():
            text = check_text(f"Cookie {name[:64]!r}", morsel.OutputString())
            if name in self._partitioned:
                text += "; Partitioned"
            lines.append(f"Set-Cookie: {text}\r\n")
        return "".join(lines).encode("utf-8", "surrogateescape")
