"""The jars that users make: ``CookieJar``, which keeps cookies in memory, and ``DummyCookieJar``, which keeps none.

RFC 6265bis sections 5.7 and 5.8, without ``SameSite``: there is no user who looks at a page. Used by the session, which
asks for ready text (``cookie_header``) and hands over fields as they came (``update_from_set_cookie``): most responses
of a server set the very cookies that it set before, and most requests carry what the last one carried.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http.cookies import BaseCookie, Morsel, SimpleCookie
from math import inf
from types import MappingProxyType
from typing import Any, Final

from yarl import URL

from endwell.client.cookiejar.base import NOWHERE, AbstractCookieJar, ClearCookiePredicate
from endwell.client.cookiejar.rules import (
    Cookie,
    Source,
    accept,
    default_path,
    domain_match,
    is_ip_address,
    lifetime,
)
from endwell.client.cookiejar.store import CookieStore
from endwell.http.cookies import iter_cookies, make_morsel, parse_set_cookie, unquote_cookie_value, wire_value
from endwell.http.typedefs import LooseCookies, PathLike, StrOrURL

__all__ = ("CookieJar", "DummyCookieJar")

_SECURE_SCHEMES: Final = frozenset({"https", "wss"})
_RENDERED_LIMIT: Final = 512
_KNOWN_LINES_LIMIT: Final = 512
_KNOWN_LINE_SIZE: Final = 2048

_RequestKey = tuple[str, str | None, str]
_OriginKey = tuple[str, str | None]


class _KnownLine:
    """What became of one ``Set-Cookie`` field, so that the same field need not be read again."""

    __slots__ = ("age", "cookie", "directory", "version")

    def __init__(self, cookie: Cookie | None, age: int | None, directory: str | None, version: int) -> None:
        self.cookie = cookie  # None when nothing was stored
        self.age = age  # seconds of Max-Age, to be counted anew each time
        self.directory = directory  # of the request, where the field names no path; it then decides about the cookie's
        self.version = version  # of the store, where nothing was stored


class CookieJar(AbstractCookieJar):
    """Cookies in memory for one session or several.

    `unsafe` keeps cookies of hosts that are IP addresses. `quote_cookie` off sends the bare value of a cookie that is
    written as a quoted string. `treat_as_secure_origin` names origins, absolute URLs, which may set and get ``Secure``
    cookies without TLS. `loop` is taken for the sake of old callers and not used. Raises ValueError for an origin that
    is no absolute URL.

    What a server set goes back to it letter by letter. Limits: 180 cookies for a domain, 3300 in all, 150 and 8190
    bytes for one request; those that were not in use for longest go first. No cookie outlives 400 days. A jar is for
    one thread at a time. Source: RFC 6265bis section 5.
    """

    def __init__(
        self,
        *,
        unsafe: bool = False,
        quote_cookie: bool = True,
        treat_as_secure_origin: StrOrURL | Iterable[StrOrURL] | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(loop=loop)
        self._unsafe = unsafe
        self._quote = quote_cookie
        self._secure_origins = _origins(treat_as_secure_origin)
        self._store = CookieStore()
        self._rendered: dict[_RequestKey, str] = {}
        self._rendered_version = 0
        self._known: dict[_OriginKey, dict[str, _KnownLine]] = {}
        self._known_number = 0
        self._view: tuple[int, Mapping[tuple[str, str], SimpleCookie]] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Lead the session past the fast ways where a subclass writes the method that they are short for."""
        super().__init_subclass__(**kwargs)
        written = cls.__dict__
        plain = AbstractCookieJar
        reroute: list[tuple[str, Any]] = []
        if "filter_cookies" in written:
            reroute.append(("cookie_header", plain.cookie_header))
        if "update_cookies" in written:
            reroute.append(("update_cookies_from_headers", plain.update_cookies_from_headers))
        if "update_cookies" in written or "update_cookies_from_headers" in written:
            reroute.append(("update_from_set_cookie", plain.update_from_set_cookie))
        for name, method in reroute:
            if name not in written:
                setattr(cls, name, method)

    def __len__(self) -> int:
        """Give the number of cookies that have not expired."""
        self._purge()
        return self._store.count

    def __iter__(self) -> Iterator["Morsel[str]"]:
        self._purge()
        return iter([cookie.morsel() for cookie in self._store])

    @property
    def unsafe(self) -> bool:
        """Whether cookies of hosts that are IP addresses are kept."""
        return self._unsafe

    @property
    def quote_cookie(self) -> bool:
        """Whether values go out in their quoted form where they need one."""
        return self._quote

    @property
    def treat_as_secure_origin(self) -> frozenset[URL]:
        """The origins that count as secure although they are not reached over TLS."""
        return self._secure_origins

    @property
    def cookies(self) -> Mapping[tuple[str, str], SimpleCookie]:
        """The cookies as they are now, by domain and path.

        A path is written without its last slash, so ``/`` is ``""``. Cookies for every host have the domain ``""``.
        """
        self._purge()
        if self._view is None or self._view[0] != self._store.version:
            view: dict[tuple[str, str], SimpleCookie] = {}
            for cookie in self._store:
                key = cookie.domain, cookie.path.rstrip("/")
                dict.__setitem__(view.setdefault(key, SimpleCookie()), cookie.name, cookie.morsel())
            self._view = self._store.version, MappingProxyType(view)
        return self._view[1]

    @property
    def host_only_cookies(self) -> frozenset[tuple[str, str, str]]:
        """Domain, path (as in `cookies`) and name of the cookies that go to one host and not to its subdomains."""
        self._purge()
        return frozenset((c.domain, c.path.rstrip("/"), c.name) for c in self._store if c.host_only)

    def clear(self, predicate: ClearCookiePredicate | None = None) -> None:
        """Remove every cookie, or those for which `predicate` is true, and all that have expired."""
        self._purge()
        self._remove([c for c in self._store if predicate is None or predicate(c.morsel())])

    def clear_domain(self, domain: str) -> None:
        """Remove the cookies of `domain` and of its subdomains; ``""`` means those for every host."""
        domain = domain.lower()
        self._remove([c for c in self._store if c.domain == domain or (domain and domain_match(c.domain, domain))])

    def update_cookies(self, cookies: LooseCookies, response_url: URL = NOWHERE) -> None:
        """Take `cookies` as if `response_url` had set them; without a URL they belong to every host.

        `cookies` is a mapping or pairs of name and value; a value is text, a ``Morsel`` with its attributes, or a
        ``SimpleCookie``. Cookies that the URL may not set are ignored, as those of a response are. Raises
        CookieSyntaxError, a ValueError, for a cookie that could not be sent; those before it are then stored.
        """
        source = self._source(response_url)
        if source is None:
            return
        now = time.time()
        for morsel, bare in iter_cookies(cookies):
            pair = morsel.key, str(morsel.value), morsel.coded_value
            self._add(accept(pair, dict(morsel), source, now, trusted=bare), source, now)

    def update_cookies_from_headers(self, headers: Sequence[str], response_url: URL) -> None:
        """Take the cookies of the ``Set-Cookie`` fields `headers`; those that cannot be read or set are ignored."""
        # Not through self: a subclass that writes this method is asked first, and comes here by super().
        CookieJar.update_from_set_cookie(self, headers, response_url)

    def update_from_set_cookie(self, values: Sequence[str], response_url: URL) -> None:
        """Do what ``update_cookies_from_headers`` does, without reading again what the same host has set before."""
        key = self._origin_key(response_url)
        lines = self._known.get(key)
        if lines is None:
            if self._refuses(response_url):
                return
            if len(self._known) >= _KNOWN_LINES_LIMIT:
                self._known.clear()
                self._known_number = 0
            lines = self._known[key] = {}
        for value in values:
            line = lines.get(value)
            if line is None or not self._still_holds(line, response_url):
                self._read(value, response_url, lines)

    def filter_cookies(self, request_url: URL = NOWHERE) -> "BaseCookie[str]":
        """Give the cookies that a request to `request_url` carries, without their attributes, by name.

        Of two cookies of one name it holds the one of the longer path; ``cookie_header`` sends both.
        """
        found: BaseCookie[str] = BaseCookie()
        for cookie in self._select(request_url):
            if cookie.name not in found:
                coded = wire_value(cookie.value, cookie.coded, quote=self._quote)
                dict.__setitem__(found, cookie.name, make_morsel(cookie.name, cookie.value, coded))
        return found

    def cookie_header(self, request_url: URL) -> str:
        """Give the value of the ``Cookie`` field of a request to `request_url`, ``""`` when there is none."""
        store = self._store
        if not store.count:
            return ""
        if store.next_expiry != inf:
            self._purge()
        scheme, host = self._origin_key(request_url)
        key = scheme, host, request_url.raw_path
        if self._rendered_version != store.sent_version or len(self._rendered) > _RENDERED_LIMIT:
            self._rendered.clear()
            self._rendered_version = store.sent_version
        field = self._rendered.get(key)
        if field is None:
            field = self._rendered[key] = "; ".join(
                f"{cookie.name}={wire_value(cookie.value, cookie.coded, quote=self._quote)}"
                for cookie in self._select(request_url)
            )
        return field

    def save(self, file_path: PathLike) -> None:
        """Write the cookies to `file_path` as JSON, readable by the owner only.

        The file is written aside and then takes the place of an older one, so a reader sees one or the other. Blocks
        for as long as the disk does. Raises OSError.
        """
        from endwell.client.cookiejar.files import dump, replace_file

        self._purge()
        replace_file(file_path, dump(self._store))

    def load(self, file_path: PathLike) -> None:
        """Put the cookies of `file_path` in the place of those of this jar.

        Reads what ``save`` wrote, here or in aiohttp, and the pickles that older versions of aiohttp wrote: from these
        only cookies are taken, nothing in them is called. Raises OSError, or ValueError for a file that holds no
        cookies or damaged ones; the jar is then as it was.
        """
        from endwell.client.cookiejar.files import load_file

        now = time.time()
        store = CookieStore()
        for cookie in load_file(file_path, now):
            store.add(cookie, now)
        store.version += self._store.version + 1
        store.sent_version += self._store.sent_version + 1
        for cookie in self._store:
            cookie.stored = False
        self._store = store

    def _purge(self) -> None:
        store = self._store
        if store.next_expiry != inf and store.next_expiry <= (now := time.time()):
            store.purge(now)

    def _remove(self, cookies: list[Cookie]) -> None:
        for cookie in cookies:
            self._store.remove(cookie)

    def _origin_key(self, url: URL) -> _OriginKey:
        """Give what of `url`, apart from the path, decides about cookies: scheme and host, or whether it is secure."""
        if self._secure_origins:
            return ("https" if self._is_secure(url) else "http"), url.raw_host
        return url.scheme, url.raw_host

    def _is_secure(self, url: URL) -> bool:
        if url.scheme in _SECURE_SCHEMES:
            return True
        return bool(self._secure_origins) and url.absolute and url.origin() in self._secure_origins

    def _refuses(self, url: URL) -> bool:
        return not self._unsafe and is_ip_address(url.raw_host or "")

    def _source(self, url: URL) -> Source | None:
        if self._refuses(url):
            return None
        return Source((url.raw_host or "").lower(), url.raw_path or "/", secure=self._is_secure(url))

    def _select(self, url: URL) -> list[Cookie]:
        if not isinstance(url, URL):
            url = URL(url)
        self._purge()
        host = "" if self._refuses(url) else (url.raw_host or "").lower()
        return self._store.select(host, url.raw_path or "/", secure=self._is_secure(url))

    def _add(self, cookie: Cookie | None, source: Source, now: float) -> Cookie | None:
        """Store `cookie` if the rules that look at the others let it; None when nothing was stored."""
        if cookie is None:
            return None
        if source.host and not source.secure and not cookie.secure and self._store.shadows_secure(cookie):
            return None
        return cookie if self._store.add(cookie, now) else None

    def _read(self, value: str, url: URL, lines: dict[str, _KnownLine]) -> None:
        """Take one ``Set-Cookie`` field and note what became of it."""
        parsed = parse_set_cookie(value)
        source = self._source(url)
        if parsed is None or source is None:
            return
        now = time.time()
        attributes = parsed.attributes
        pair = parsed.name, unquote_cookie_value(parsed.coded), parsed.coded
        cookie = self._add(accept(pair, attributes, source, now), source, now)
        if len(value) > _KNOWN_LINE_SIZE:
            return
        if self._known_number >= _KNOWN_LINES_LIMIT:
            self._known.clear()
            self._known_number = 0
            lines.clear()
            self._known[self._origin_key(url)] = lines
        directory = None if str(attributes.get("path", "")).startswith("/") else default_path(source.path)
        lines[value] = _KnownLine(cookie, lifetime(attributes), directory, self._store.version)
        self._known_number += 1

    def _still_holds(self, line: _KnownLine, url: URL) -> bool:
        """Tell whether reading the field again would change nothing; starts its ``Max-Age`` anew."""
        if line.directory is not None and line.directory != default_path(url.raw_path):
            return False
        cookie = line.cookie
        if cookie is None:
            return line.version == self._store.version
        if not cookie.stored:
            return False
        if line.age is not None:
            cookie.expires = time.time() + line.age
            self._store.next_expiry = min(self._store.next_expiry, cookie.expires)
        return True


class DummyCookieJar(AbstractCookieJar):
    """A jar that keeps nothing, for a session that is to send only the cookies of each call."""

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator["Morsel[str]"]:
        return iter(())

    @property
    def unsafe(self) -> bool:
        """False: no cookies of IP addresses either."""
        return False

    @property
    def quote_cookie(self) -> bool:
        """True, which decides about the cookies of a call."""
        return True

    @property
    def cookies(self) -> Mapping[tuple[str, str], SimpleCookie]:
        """No cookies."""
        return MappingProxyType({})

    @property
    def host_only_cookies(self) -> frozenset[tuple[str, str, str]]:
        """No cookies."""
        return frozenset()

    def clear(self, predicate: ClearCookiePredicate | None = None) -> None:
        """Do nothing."""

    def clear_domain(self, domain: str) -> None:
        """Do nothing."""

    def update_cookies(self, cookies: LooseCookies, response_url: URL = NOWHERE) -> None:
        """Do nothing."""

    def update_cookies_from_headers(self, headers: Sequence[str], response_url: URL) -> None:
        """Do nothing; the fields are not read."""

    def update_from_set_cookie(self, values: Sequence[str], response_url: URL) -> None:
        """Do nothing; the fields are not read."""

    def filter_cookies(self, request_url: URL) -> "BaseCookie[str]":
        """Give no cookies."""
        return SimpleCookie()

    def cookie_header(self, request_url: URL) -> str:
        """Give ``""``."""
        return ""


def _origins(given: StrOrURL | Iterable[StrOrURL] | None) -> frozenset[URL]:
    if given is None:
        return frozenset()
    several: Iterable[StrOrURL] = (given,) if isinstance(given, str | URL) else given
    origins = set()
    for each in several:
        url = URL(each)
        if not url.absolute:
            raise ValueError(f"treat_as_secure_origin holds {str(url)!r}, which is no origin; write http://host:port")
        origins.add(url.origin())
    return frozenset(origins)
