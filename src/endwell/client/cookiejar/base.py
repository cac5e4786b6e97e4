"""The interface of a cookie jar, for the session and for jars that users write."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from http.cookies import BaseCookie, Morsel, SimpleCookie
from typing import Final

from yarl import URL

from endwell.http.cookies import parse_set_cookie_headers, render_cookie_header
from endwell.http.typedefs import LooseCookies

__all__ = ("AbstractCookieJar", "ClearCookiePredicate")

ClearCookiePredicate = Callable[["Morsel[str]"], bool]

NOWHERE: Final = URL()


class AbstractCookieJar(Sized, Iterable["Morsel[str]"], ABC):
    """What a session asks of its jar. Nothing here waits, so nothing can be cancelled half-way.

    The length tells whether there is anything to send: a session does not ask an empty jar. The two last methods are
    the fast ways of the session; a jar that does not write its own gets them in terms of the others.
    """

    def __init__(self, *, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Take `loop` for the sake of old callers; it is not used."""

    @property
    @abstractmethod
    def unsafe(self) -> bool:
        """Whether cookies of hosts that are IP addresses are kept."""

    @property
    @abstractmethod
    def quote_cookie(self) -> bool:
        """Whether values go out in their quoted form where they need one."""

    @property
    def treat_as_secure_origin(self) -> frozenset[URL]:
        """The origins that count as secure although they are not reached over TLS."""
        return frozenset()

    @property
    @abstractmethod
    def cookies(self) -> Mapping[tuple[str, str], SimpleCookie]:
        """The cookies of the jar by domain and path; ``("", "")`` holds those for every host."""

    @property
    @abstractmethod
    def host_only_cookies(self) -> frozenset[tuple[str, str, str]]:
        """Domain, path and name of the cookies that go to one host and not to its subdomains."""

    @abstractmethod
    def clear(self, predicate: ClearCookiePredicate | None = None) -> None:
        """Remove every cookie, or those for which `predicate` is true, and all that have expired."""

    @abstractmethod
    def clear_domain(self, domain: str) -> None:
        """Remove the cookies of `domain` and of its subdomains."""

    @abstractmethod
    def update_cookies(self, cookies: LooseCookies, response_url: URL = NOWHERE) -> None:
        """Take `cookies` as if `response_url` had set them; without a URL they belong to every host."""

    def update_cookies_from_headers(self, headers: Sequence[str], response_url: URL) -> None:
        """Take the cookies of the ``Set-Cookie`` fields `headers`; those that cannot be read are ignored."""
        if found := parse_set_cookie_headers(headers):
            self.update_cookies(found, response_url)

    @abstractmethod
    def filter_cookies(self, request_url: URL) -> "BaseCookie[str]":
        """Give the cookies that a request to `request_url` carries."""

    def cookie_header(self, request_url: URL) -> str:
        """Give the value of the ``Cookie`` field of a request to `request_url`, ``""`` when there is none."""
        return render_cookie_header(self.filter_cookies(request_url))

    def update_from_set_cookie(self, values: Sequence[str], response_url: URL) -> None:
        """Do what ``update_cookies_from_headers`` does; called by the session for each response that sets cookies."""
        self.update_cookies_from_headers(values, response_url)
