"""Rules for applications of one server: by the host of the request (RFC 9110 section 7.2). Made by `add_domain`."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from yarl import URL

if TYPE_CHECKING:
    from endwell.server.request import Request

__all__ = ("AbstractRuleMatching", "Domain", "MaskDomain")


class AbstractRuleMatching(ABC):
    """Decides whether a request is for an application."""

    @abstractmethod
    async def match(self, request: Request) -> bool:
        """Decide whether the request is for the application."""

    @abstractmethod
    def get_info(self) -> dict[str, Any]:
        """Describe the rule."""

    @property
    @abstractmethod
    def canonical(self) -> str:
        """The rule as a text."""


class Domain(AbstractRuleMatching):
    """Requests to a host: ``"example.org"``, which may have any port, or ``"example.org:8080"``.

    Args:
        domain: the host, in any case and script, and a port. 80 is as good as none.

    Raises:
        TypeError: it is no string.
        ValueError: it is no host.

    """

    _label = re.compile(r"(?!-)[a-z\d-]{1,63}(?<!-)", re.ASCII)

    def __init__(self, domain: str) -> None:
        self._domain = self.validation(domain)

    @property
    def canonical(self) -> str:
        """The host in lower case, encoded for the DNS, and the port."""
        return self._domain

    def validation(self, domain: str) -> str:
        """Check a domain; give it in lower case, encoded for the DNS, without the port 80.

        Raises:
            TypeError: it is no string.
            ValueError: it is no host.

        """
        if not isinstance(domain, str):
            message = f"a domain is a string, not {type(domain).__name__}"
            raise TypeError(message)
        domain = domain.rstrip(".").lower()
        if not domain:
            raise ValueError("a domain can't be empty")
        if "://" in domain:
            message = f"a domain has no scheme: write example.org instead of {domain!r}"
            raise ValueError(message)
        url = URL("http://" + domain)
        host = url.raw_host
        if host is None or url.user is not None or not all(self._label.fullmatch(label) for label in host.split(".")):
            message = f"{domain!r} is not a domain: labels of letters, digits and hyphens with dots between them"
            raise ValueError(message)
        return host if url.port == 80 else f"{host}:{url.port}"

    async def match(self, request: Request) -> bool:
        """Whether the request is to this host."""
        return self.match_domain(request.host)

    def match_domain(self, host: str) -> bool:
        """Whether `host` is this one; without a port in the rule, with whatever port."""
        host = host.lower()
        return host == self._domain or (":" not in self._domain and host.partition(":")[0] == self._domain)

    def get_info(self) -> dict[str, Any]:
        """Give the ``domain``."""
        return {"domain": self._domain}


class MaskDomain(Domain):
    """Requests to hosts with something in common: in ``"*.example.org"`` the asterisk stands for any text.

    It stands for dots too, and for nothing; not for the colon before a port.

    Args:
        domain: see `Domain`; each label may have asterisks.

    Raises:
        TypeError: it is no string.
        ValueError: it is no host.

    """

    _label = re.compile(r"(?!-)[a-z\d*-]{1,63}(?<!-)", re.ASCII)

    def __init__(self, domain: str) -> None:
        super().__init__(domain)
        self._masks = [part.split("*") for part in self._domain.split(":")]

    @property
    def canonical(self) -> str:
        """The mask as a regular expression."""
        return re.escape(self._domain).replace(r"\*", "[^:]*") + "(:.*)?"

    def match_domain(self, host: str) -> bool:
        """Whether `host` is one of these; without a port in the mask, with whatever port."""
        parts = host.lower().split(":")
        return len(parts) >= len(self._masks) and all(map(_fits, self._masks, parts))


def _fits(pieces: list[str], text: str) -> bool:
    """Whether the pieces of a mask are in a text, in order, the first and the last at its ends; in linear time."""
    if len(pieces) == 1:
        return text == pieces[0]
    start, end = len(pieces[0]), len(text) - len(pieces[-1])
    if start > end or not text.startswith(pieces[0]) or not text.endswith(pieces[-1]):
        return False
    for piece in pieces[1:-1]:
        at = text.find(piece, start, end)
        if at < 0:
            return False
        start = at + len(piece)
    return True
