"""Resources that stand for an application below another one. Made by `Application.add_subapp` and `add_domain`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from endwell.server.router.domains import AbstractRuleMatching, Domain
from endwell.server.router.matches import MatchInfoError, UrlMappingMatchInfo
from endwell.server.router.patterns import quote_static
from endwell.server.router.resources import (
    NOT_HERE,
    AbstractResource,
    Found,
    PrefixResource,
    Resolved,
    check_prefix,
)
from endwell.server.router.routes import AbstractRoute

if TYPE_CHECKING:
    from endwell.server.application import Application
    from endwell.server.request import Request

__all__ = ("MatchedSubAppResource", "PrefixedSubAppResource")


class PrefixedSubAppResource(PrefixResource):
    """All paths below a prefix, for an application. What it does not find is not found: nobody else is asked.

    Args:
        prefix: such as ``/admin``; it is put before the paths of the application's resources at once.
        app: the application.

    Raises:
        ValueError: it is no prefix.

    """

    def __init__(self, prefix: str, app: Application) -> None:
        check_prefix(prefix)
        super().__init__(prefix)
        self._app = app
        self._add_prefix_to_resources(prefix)

    def __repr__(self) -> str:
        return f"<PrefixedSubAppResource {self._prefix} -> {self._app!r}>"

    def __len__(self) -> int:
        return len(self._app.router.routes())

    def __iter__(self) -> Iterator[AbstractRoute]:
        return iter(self._app.router.routes())

    def add_prefix(self, prefix: str) -> None:
        """Put a static text before the prefix and before the paths of the application's resources."""
        super().add_prefix(prefix)
        self._add_prefix_to_resources(prefix)

    def _add_prefix_to_resources(self, prefix: str) -> None:
        self._app.router._add_prefix(prefix)

    def url_for(self, *args: str, **kwargs: str) -> NoReturn:
        """Refuse.

        Raises:
            RuntimeError: always.

        """
        raise RuntimeError("a sub-application has no URL: ask one of the resources of its router")

    def get_info(self) -> dict[str, Any]:
        """Give the ``app`` and the ``prefix``."""
        return {"app": self._app, "prefix": self._prefix}

    async def resolve(self, request: Request) -> Resolved:
        """Let the application's router find the route of a request; see `AbstractResource.resolve`."""
        if self._after_prefix(request.rel_url.path_safe) is None:
            return None, set()
        return await self._ask(request)

    def _find(self, method: str, path: str, request: Request | None) -> Found | None:
        if self._after_prefix(path) is None:
            return NOT_HERE
        return self._ask_at_once(method, path, request)

    async def _ask(self, request: Request) -> Resolved:
        found, allowed = self._with_app(await self._app.router.resolve(request))
        return found, set(allowed)

    def _ask_at_once(self, method: str, path: str, request: Request | None) -> Found | None:
        found = self._app.router._lookup(method, path, request)
        return None if found is None else self._with_app(found)

    def _with_app(self, found: UrlMappingMatchInfo) -> Found:
        found.add_app(self._app)
        if isinstance(found, MatchInfoError):
            return found, getattr(found.http_exception, "allowed_methods", ())
        return found, ()


class MatchedSubAppResource(PrefixedSubAppResource):
    """All paths of the requests that a rule is for, such as those to a domain, for an application.

    Args:
        rule: decides whether a request is for the application.
        app: the application.

    """

    def __init__(self, rule: AbstractRuleMatching, app: Application) -> None:
        AbstractResource.__init__(self)
        self._set_prefix("")
        self._app = app
        self._rule = rule

    def __repr__(self) -> str:
        return f"<MatchedSubAppResource -> {self._app!r}>"

    @property
    def canonical(self) -> str:
        """The rule as a text."""
        return self._rule.canonical

    def add_prefix(self, prefix: str) -> None:
        """Put a static text before the paths of the application's resources."""
        check_prefix(prefix)
        self._set_prefix(quote_static(prefix) + self._prefix)
        self._add_prefix_to_resources(prefix)

    def get_info(self) -> dict[str, Any]:
        """Give the ``app`` and the ``rule``."""
        return {"app": self._app, "rule": self._rule}

    async def resolve(self, request: Request) -> Resolved:
        """Let the application's router find the route of a request; see `AbstractResource.resolve`."""
        if not await self._rule.match(request):
            return None, set()
        return await self._ask(request)

    def _find(self, method: str, path: str, request: Request | None) -> Found | None:
        rule = self._rule
        if not isinstance(rule, Domain) or type(rule).match is not Domain.match:
            return None
        if request is None or not rule.match_domain(request.host):
            return NOT_HERE
        return self._ask_at_once(method, path, request)
