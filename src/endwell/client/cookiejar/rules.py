"""What becomes of one cookie: whether it is kept, for which hosts and paths, and until when.

RFC 6265bis sections 5.1.3, 5.1.4, 5.4 to 5.7. Used by the jar. Nothing here reads a clock: `now` is an argument.
"""

from collections.abc import Mapping
from math import inf
from typing import Any, Final

from endwell.client.cookiejar.suffixes import is_public_suffix
from endwell.http.cookies import make_morsel
from endwell.http.dates import parse_cookie_date

__all__ = (
    "Cookie",
    "Source",
    "accept",
    "default_path",
    "domain_match",
    "expiry",
    "is_ip_address",
    "lifetime",
    "path_match",
)

MAX_AGE: Final = 400 * 86_400

_VIEW_ONLY: Final = ("expires", "max-age", "httponly", "samesite", "secure", "comment", "version", "partitioned")


class Cookie:
    """One cookie of a jar. `domain` is ``""`` for a cookie that a program gave to every host; `expires` is ``inf`` for
    one that lasts as long as the jar; `stored` turns false when the jar lets go of it.
    """

    __slots__ = (
        "_morsel",
        "attributes",
        "coded",
        "created",
        "domain",
        "expires",
        "host_only",
        "name",
        "path",
        "secure",
        "stored",
        "used",
        "value",
    )

    def __init__(
        self,
        name: str,
        value: str,
        coded: str,
        *,
        domain: str,
        path: str,
        host_only: bool,
        secure: bool,
        expires: float,
    ) -> None:
        self.name = name
        self.value = value
        self.coded = coded
        self.domain = domain
        self.path = path
        self.host_only = host_only
        self.secure = secure
        self.expires = expires
        self.attributes: Mapping[str, Any] = {}
        self.created = self.used = 0
        self.stored = False
        self._morsel: Any = None

    @property
    def identity(self) -> tuple[str, str, bool]:
        """What, within one domain, makes a later cookie replace this one (RFC 6265bis section 5.7)."""
        return self.path, self.name, self.host_only

    def morsel(self) -> Any:
        """Give the cookie as a ``Morsel`` with its attributes, always the same object."""
        morsel = self._morsel
        if morsel is None:
            morsel = self._morsel = make_morsel(self.name, self.value, self.coded)
            for key in _VIEW_ONLY:
                if key in morsel and (value := self.attributes.get(key)):
                    morsel[key] = value
            morsel["domain"] = self.domain
            morsel["path"] = self.path
            if self.secure:
                morsel["secure"] = True
        return morsel


class Source:
    """Where a cookie comes from: host (``""`` when a program named none), path as in the request line, and security."""

    __slots__ = ("host", "path", "secure")

    def __init__(self, host: str, path: str, *, secure: bool) -> None:
        self.host = host
        self.path = path
        self.secure = secure


def accept(
    pair: tuple[str, str, str], attributes: Mapping[str, Any], source: Source, now: float, *, trusted: bool = False
) -> Cookie | None:
    """Give the cookie as it is to be stored, or None when `source` may not set it.

    `pair` is name, value and coded value. `trusted` is for a bare name and value that a program gave: it has no
    attributes that could satisfy the rules of ``Secure`` and of the name prefixes. A cookie whose `expires` is not
    after `now` deletes. Whether `source` may be an IP address is for the caller to say. Source: RFC 6265bis 5.7.
    """
    name, value, coded = pair
    found = _domain(str(attributes.get("domain") or ""), source.host)
    if found is None:
        return None
    domain, host_only = found
    path = str(attributes.get("path") or "")
    named_path = path.startswith("/")
    if not named_path:
        path = default_path(source.path)
    secure = bool(attributes.get("secure"))
    if source.host and not trusted:
        if secure and not source.secure:
            return None
        prefix = name[:9].lower()
        if prefix == "__secure-" and not secure:
            return None
        if prefix.startswith("__host-") and not (secure and host_only and named_path and path == "/"):
            return None
    cookie = Cookie(
        name,
        value,
        coded,
        domain=domain,
        path=path,
        host_only=host_only,
        secure=secure,
        expires=expiry(attributes, now),
    )
    cookie.attributes = attributes
    return cookie


def expiry(attributes: Mapping[str, Any], now: float) -> float:
    """Give the epoch seconds at which a cookie ends: ``-inf`` at once, ``inf`` with the jar, at most 400 days ahead.

    ``Max-Age`` beats ``Expires``; either is ignored when it cannot be read. Source: RFC 6265bis sections 5.6.1, 5.6.2.
    """
    age = lifetime(attributes)
    if age is not None:
        return now + age if age > 0 else -inf
    expires = attributes.get("expires")
    date = parse_cookie_date(str(expires)) if expires else None
    if date is None:
        return inf
    return min(date, now + MAX_AGE) if date > now else -inf


def lifetime(attributes: Mapping[str, Any]) -> int | None:
    """Give the seconds of ``Max-Age``, at most 400 days; None when there is none that can be read."""
    text = attributes.get("max-age")
    if text is None or text == "":
        return None
    text = str(text)
    digits = text.removeprefix("-")
    if len(text) > 1024 or not (digits.isascii() and digits.isdigit()):
        return None
    return min(int(text), MAX_AGE)


def _domain(text: str, host: str) -> tuple[str, bool] | None:
    """Give the domain of a cookie and whether it is for that host only; None when `host` may not set it."""
    domain = text.removeprefix(".").lower()
    if not domain.isascii():
        return None
    if not domain:
        return host, bool(host)
    if not host:
        return domain, False
    if domain == host:
        return host, is_ip_address(host) or is_public_suffix(host)
    if not domain_match(host, domain) or is_public_suffix(domain):
        return None
    return domain, False


def domain_match(host: str, domain: str) -> bool:
    """Tell whether `host` is `domain` or one of its subdomains. Source: RFC 6265bis section 5.1.3."""
    return host == domain or (host.endswith(domain) and host[-len(domain) - 1] == "." and not is_ip_address(host))


def is_ip_address(host: str) -> bool:
    """Tell whether `host` is an address: it holds a colon, or its last label is a number, as no name's ever is."""
    if ":" in host:
        return True
    label = host.removesuffix(".").rpartition(".")[2].lower()
    if label.startswith("0x"):
        return all(digit in "0123456789abcdef" for digit in label[2:])
    return label.isascii() and label.isdigit()


def default_path(path: str) -> str:
    """Give the directory of a request's path. Source: RFC 6265bis section 5.1.4."""
    return path[: path.rfind("/")] or "/" if path.startswith("/") else "/"


def path_match(request: str, path: str) -> bool:
    """Tell whether a cookie of `path` goes to a request of path `request`. Source: RFC 6265bis section 5.1.4."""
    return request == path or (request.startswith(path) and (path[-1] == "/" or request[len(path)] == "/"))
