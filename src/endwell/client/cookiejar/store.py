"""The cookies of a jar: which one replaces, which ones a request carries, which ones have to go.

RFC 6265bis sections 5.7, 5.8.3 and 6.1. Used by the jar. Nothing here reads a clock: `now` is an argument.
"""

from collections.abc import Iterator
from math import inf
from typing import Final

from endwell.client.cookiejar.rules import Cookie, domain_match, is_ip_address, path_match

__all__ = ("CookieStore",)

MAX_PER_DOMAIN: Final = 180
MAX_IN_ALL: Final = 3300
MAX_PER_REQUEST: Final = 150
# What servers commonly read as one line of a request; a longer field would be answered with 431.
MAX_FIELD_SIZE: Final = 8190

# So many go at once, so that a peer that keeps setting cookies does not make each of them cost a search.
_SURPLUS_OF_DOMAIN: Final = 30
_SURPLUS_IN_ALL: Final = 300


class CookieStore:
    """The cookies by domain.

    `count` is their number, `next_expiry` a time before which none expires (``inf`` if none does), `version` counts all
    changes and `sent_version` those which a request could notice.
    """

    __slots__ = ("_clock", "_domains", "_secure", "count", "next_expiry", "sent_version", "version")

    def __init__(self) -> None:
        self._domains: dict[str, dict[tuple[str, str, bool], Cookie]] = {}
        self._secure: dict[str, set[Cookie]] = {}
        self._clock = 0
        self.count = 0
        self.next_expiry = inf
        self.version = self.sent_version = 0

    def __iter__(self) -> Iterator[Cookie]:
        for bucket in self._domains.values():
            yield from bucket.values()

    def add(self, cookie: Cookie, now: float) -> bool:
        """Store `cookie` in place of the one of its name, path and domain; false when it deletes or finds no room."""
        self._clock += 1
        bucket = self._domains.get(cookie.domain)
        old = bucket.get(cookie.identity) if bucket else None
        if cookie.expires <= now:
            if old is not None:
                self.remove(old)
            return False
        cookie.created = cookie.used = self._clock
        if old is not None and bucket is not None:
            cookie.created = old.created
            old.stored = False
            self._unlist(old)
            bucket[cookie.identity] = cookie
            if old.coded != cookie.coded or old.secure != cookie.secure:
                self.sent_version += 1
        elif not self._make_room(cookie, now):
            return False
        else:
            self._domains.setdefault(cookie.domain, {})[cookie.identity] = cookie
            self.count += 1
            self.sent_version += 1
        cookie.stored = True
        if cookie.secure:
            self._secure.setdefault(cookie.name, set()).add(cookie)
        self.version += 1
        self.next_expiry = min(self.next_expiry, cookie.expires)
        return True

    def remove(self, cookie: Cookie) -> None:
        """Let go of `cookie`, which is stored here."""
        bucket = self._domains[cookie.domain]
        del bucket[cookie.identity]
        if not bucket:
            del self._domains[cookie.domain]
        cookie.stored = False
        self._unlist(cookie)
        self.count -= 1
        self.version += 1
        self.sent_version += 1

    def purge(self, now: float) -> None:
        """Remove what has expired and find out when the next one does."""
        for cookie in [cookie for cookie in self if cookie.expires <= now]:
            self.remove(cookie)
        self.next_expiry = min((cookie.expires for cookie in self), default=inf)

    def shadows_secure(self, cookie: Cookie) -> bool:
        """Tell whether `cookie`, set over an open connection, would stand before a secure one of its name.

        Source: RFC 6265bis section 5.7, "leave secure cookies alone".
        """
        return any(
            (domain_match(other.domain, cookie.domain) or domain_match(cookie.domain, other.domain))
            and path_match(cookie.path, other.path)
            for other in self._secure.get(cookie.name, ())
            if other.domain
        )

    def select(self, host: str, path: str, *, secure: bool) -> list[Cookie]:
        """Give the cookies of a request in the order of the field: longest path first, then oldest first.

        Where they are too many or too long for one request, those of longer paths and domains go before, then younger
        ones. Expired ones must have been purged. Source: RFC 6265bis section 5.8.3.
        """
        found: list[Cookie] = []
        for domain in _domains_of(host):
            bucket = self._domains.get(domain)
            if bucket:
                found += [
                    cookie
                    for cookie in bucket.values()
                    if (not cookie.host_only or cookie.domain == host)
                    and (secure or not cookie.secure)
                    and path_match(path, cookie.path)
                ]
        if len(found) > MAX_PER_REQUEST or sum(map(_sent_size, found)) > MAX_FIELD_SIZE:
            found = _fit(found)
        found.sort(key=_field_order)
        self._clock += 1
        for cookie in found:
            cookie.used = self._clock
        return found

    def _make_room(self, cookie: Cookie, now: float) -> bool:
        """Evict as RFC 6265bis section 6.1 has it; false when an open cookie would have to displace secure ones."""
        bucket = self._domains.get(cookie.domain, {})
        if len(bucket) < MAX_PER_DOMAIN and self.count < MAX_IN_ALL:
            return True
        self.purge(now)
        if len(bucket) >= MAX_PER_DOMAIN:
            rivals = [other for other in bucket.values() if cookie.secure or not other.secure]
            if not rivals:
                return False
            rivals.sort(key=_eviction_order)
            for other in rivals[: len(bucket) - MAX_PER_DOMAIN + _SURPLUS_OF_DOMAIN]:
                self.remove(other)
        if self.count >= MAX_IN_ALL:
            for other in sorted(self, key=_use_order)[: self.count - MAX_IN_ALL + _SURPLUS_IN_ALL]:
                self.remove(other)
        return True

    def _unlist(self, cookie: Cookie) -> None:
        if cookie.secure:
            others = self._secure[cookie.name]
            others.discard(cookie)
            if not others:
                del self._secure[cookie.name]


def _domains_of(host: str) -> Iterator[str]:
    """Give `host`, the domains above it, and the one of the cookies for every host."""
    if host:
        yield host
        if not is_ip_address(host):
            dot = host.find(".")
            while 0 <= dot < len(host) - 1:
                yield host[dot + 1 :]
                dot = host.find(".", dot + 1)
    yield ""


def _fit(cookies: list[Cookie]) -> list[Cookie]:
    """Choose what one request can carry."""
    cookies.sort(key=_worth, reverse=True)
    chosen: list[Cookie] = []
    room = MAX_FIELD_SIZE
    for cookie in cookies:
        size = _sent_size(cookie)
        if size <= room:
            room -= size
            chosen.append(cookie)
            if len(chosen) == MAX_PER_REQUEST:
                break
    return chosen


def _sent_size(cookie: Cookie) -> int:
    return len(cookie.name) + len(cookie.coded) + 3


def _worth(cookie: Cookie) -> tuple[int, int, int]:
    return len(cookie.path), len(cookie.domain), cookie.created


def _field_order(cookie: Cookie) -> tuple[int, int]:
    return -len(cookie.path), cookie.created


def _use_order(cookie: Cookie) -> int:
    return cookie.used


def _eviction_order(cookie: Cookie) -> tuple[bool, int]:
    return cookie.secure, cookie.used
