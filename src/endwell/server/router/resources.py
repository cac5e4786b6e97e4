"""Resources: a path and the routes for its methods. Made and asked by the dispatcher; users get them by their names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sized
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from yarl import URL

from endwell.http import hdrs
from endwell.server.abc import AbstractView
from endwell.server.router.matches import UrlMappingMatchInfo
from endwell.server.router.patterns import Template, quote_static, safe_path
from endwell.server.router.routes import AbstractRoute, ExpectHandler, Handler, ResourceRoute

if TYPE_CHECKING:
    from endwell.server.request import Request

__all__ = (
    "NOT_HERE",
    "AbstractResource",
    "DynamicResource",
    "Found",
    "PlainResource",
    "PrefixResource",
    "Resolved",
    "Resource",
    "check_prefix",
    "index_key",
)

Resolved: TypeAlias = "tuple[UrlMappingMatchInfo | None, set[str]]"
Found: TypeAlias = "tuple[UrlMappingMatchInfo | None, Collection[str]]"
NOT_HERE: Final[Found] = (None, ())


def check_prefix(prefix: str) -> None:
    """Check what is to be put before the path of a resource.

    Raises:
        ValueError: it does not begin with a slash, ends with one, or is only that.

    """
    if not prefix.startswith("/") or prefix.endswith("/"):
        message = f"a prefix begins with a slash and does not end with one, such as '/admin', not {prefix!r}"
        raise ValueError(message)


def index_key(path: str) -> str:
    """Give the key of a path that `safe_path` has made: the path itself, without slashes at its end."""
    return path.rstrip("/") or "/"


class AbstractResource(Sized, Iterable[AbstractRoute], ABC):
    """A path, or several, and their routes, which are what it iterates over.

    Args:
        name: under which the dispatcher gives the resource, None for no name.

    """

    _only_async = True
    """Whether `resolve` is the only way to ask; else `_find` gives the same without awaiting."""

    def __init__(self, *, name: str | None = None) -> None:
        self._name = name

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "_find" in cls.__dict__:
            cls._only_async = False
        elif "resolve" in cls.__dict__:  # which may give something else than the `_find` of a base class
            cls._only_async = True

    @property
    def name(self) -> str | None:
        """The name, None for none."""
        return self._name

    @property
    @abstractmethod
    def canonical(self) -> str:
        """The path without regular expressions, such as ``/user/{name}``."""

    @abstractmethod
    def url_for(self, **kwargs: str) -> URL:
        """Make a relative URL."""

    @abstractmethod
    async def resolve(self, request: Request) -> Resolved:
        """Find the route of a request.

        Returns:
            What was found, or None; and the methods of the resource when only the method of the request is another.

        """

    def _find(self, method: str, path: str, request: Request | None) -> Found | None:
        """Do what `resolve` does without awaiting; None when that can't be: only `resolve` knows.

        Args:
            method: the method of the request.
            path: that of the request, as `safe_path` makes it.
            request: the request, None when nobody has it; some resources then find nothing.

        """
        return None

    @abstractmethod
    def add_prefix(self, prefix: str) -> None:
        """Put a static text before the path. For sub-applications.

        Raises:
            ValueError: it is no prefix, such as ``/admin``.

        """

    @abstractmethod
    def get_info(self) -> dict[str, Any]:
        """Describe the path."""

    def freeze(self) -> None:
        """Do what is to be done when no routes are added any more; nothing, unless overridden."""

    @abstractmethod
    def raw_match(self, path: str) -> bool:
        """Whether the resource was made with this very path."""

    def _index_key(self) -> str:
        """Give the key under which the dispatcher finds the resource: the static segments the path begins with."""
        path = self.canonical
        if "{" in path:
            path = path.partition("{")[0].rpartition("/")[0]
        return index_key(safe_path(path))


class Resource(AbstractResource):
    """A resource with a route for each method."""

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self._routes: dict[str, ResourceRoute] = {}

    def add_route(
        self,
        method: str,
        handler: type[AbstractView] | Handler,
        *,
        expect_handler: ExpectHandler | None = None,
    ) -> ResourceRoute:
        """Add a route.

        Args:
            method: such as ``"GET"``, or ``"*"`` for every one that has no route of its own yet.
            handler: an async function of a request, or a subclass of `AbstractView`.
            expect_handler: an async function of a request, asked before the handler when the request has a field
                ``Expect``. What it returns, unless None, is the response.

        Raises:
            RuntimeError: the route would never run, because there is one for the method, or for all.
            ValueError: `method` is none.
            TypeError: a handler is no async function.

        """
        route = ResourceRoute(method, handler, self, expect_handler=expect_handler)
        there = self._routes.get(route.method) or self._routes.get(hdrs.METH_ANY)
        if there is not None:
            message = f"the route for {route.method} would never run: {self!r} has one for {there.method} already"
            raise RuntimeError(message)
        self.register_route(route)
        return route

    def register_route(self, route: ResourceRoute) -> None:
        """Add a route that was made already.

        Raises:
            TypeError: it is no `ResourceRoute`.

        """
        if not isinstance(route, ResourceRoute):
            message = f"a ResourceRoute is needed, not {route!r}"
            raise TypeError(message)
        self._routes[route.method] = route

    async def resolve(self, request: Request) -> Resolved:
        """Find the route of a request; see `AbstractResource.resolve`."""
        found, allowed = self._find(request.method, request.rel_url.path_safe, request)
        return found, set(allowed)

    def _find(self, method: str, path: str, request: Request | None) -> Found:
        values = self._match(path)
        if values is None:
            return NOT_HERE
        route = self._routes.get(method) or self._routes.get(hdrs.METH_ANY)
        if route is None:
            return None, self._routes
        return UrlMappingMatchInfo(values, route), ()

    @abstractmethod
    def _match(self, path: str) -> dict[str, str] | None:
        """Match a path that `safe_path` has made; give the decoded values of the variables, None for no match."""

    def __len__(self) -> int:
        return len(self._routes)

    def __iter__(self) -> Iterator[ResourceRoute]:
        return iter(self._routes.values())

    def __repr__(self) -> str:
        name = "" if self._name is None else f"'{self._name}' "
        return f"<{type(self).__name__} {name}{self.canonical}>"


class PlainResource(Resource):
    """A resource with a path without variables.

    Args:
        path: the path, decoded or percent-encoded; an empty one becomes ``/`` when the router is frozen.
        name: see `AbstractResource`.

    """

    def __init__(self, path: str, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self._path = path
        self._matched = safe_path(path)

    @property
    def canonical(self) -> str:
        """The path as it was given."""
        return self._path

    def freeze(self) -> None:
        """Turn an empty path into ``/``."""
        if not self._path:
            self._path = self._matched = "/"

    def add_prefix(self, prefix: str) -> None:
        """Put a static text before the path."""
        check_prefix(prefix)
        self._path = prefix + self._path
        self._matched = safe_path(self._path)

    def _match(self, path: str) -> dict[str, str] | None:
        return {} if path == self._matched else None

    def _index_key(self) -> str:
        return index_key(self._matched)

    def raw_match(self, path: str) -> bool:
        """Whether this is the path."""
        return self._path == path

    def get_info(self) -> dict[str, Any]:
        """Give the ``path``."""
        return {"path": self._path}

    def url_for(self) -> URL:  # type: ignore[override] # a path without variables takes none
        """Make a relative URL of the path."""
        return URL.build(path=quote_static(self._path), encoded=True)


class DynamicResource(Resource):
    """A resource with a path with variables: ``/user/{name}/{id:[0-9]+}``.

    A variable without a regular expression matches one or more characters of a segment, except braces.

    Args:
        path: the template.
        name: see `AbstractResource`.

    Raises:
        ValueError: it is no template.

    """

    def __init__(self, path: str, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self._template = Template(path)
        self._given = path

    @property
    def canonical(self) -> str:
        """The template without regular expressions, percent-encoded."""
        return self._template.formatter

    def add_prefix(self, prefix: str) -> None:
        """Put a static text before the template."""
        check_prefix(prefix)
        self._template.add_prefix(prefix)

    def _match(self, path: str) -> dict[str, str] | None:
        return self._template.match(path)

    def _index_key(self) -> str:
        return index_key(self._template.static_start.rpartition("/")[0])

    def raw_match(self, path: str) -> bool:
        """Whether this is the template."""
        return self._given == path

    def get_info(self) -> dict[str, Any]:
        """Give the ``formatter``, which is `canonical`, and the ``pattern``, a compiled regular expression."""
        return {"formatter": self._template.formatter, "pattern": self._template.pattern}

    def url_for(self, /, **parts: str) -> URL:
        """Make a relative URL.

        Args:
            parts: a value for each variable, which is percent-encoded, except for slashes; others are not used.

        Raises:
            KeyError: a variable has no value.
            TypeError: a value is no string.

        """
        return self._template.fill(parts)


class PrefixResource(AbstractResource):
    """A resource for all paths that begin with a text: that itself, and what comes after it and a slash.

    Args:
        prefix: the text, decoded or percent-encoded: empty or ``/``, or without a slash at its end.
        name: see `AbstractResource`.

    Raises:
        ValueError: it is no prefix, such as ``/static``.

    """

    def __init__(self, prefix: str, *, name: str | None = None) -> None:
        if prefix not in ("", "/"):
            check_prefix(prefix)
        super().__init__(name=name)
        self._set_prefix(quote_static(prefix))

    def _set_prefix(self, prefix: str) -> None:
        self._prefix = prefix
        self._matched = safe_path(prefix)

    @property
    def canonical(self) -> str:
        """The prefix, percent-encoded."""
        return self._prefix

    def add_prefix(self, prefix: str) -> None:
        """Put a static text before the prefix."""
        check_prefix(prefix)
        self._set_prefix(quote_static(prefix) + self._prefix)

    def _index_key(self) -> str:
        return index_key(self._matched)

    def _after_prefix(self, path: str) -> str | None:
        """Give what of a path that `safe_path` has made comes after the prefix and a slash; None: it is another one."""
        prefix = self._matched
        if path == prefix:
            return ""
        if not path.startswith(prefix):
            return None
        if prefix.endswith("/"):
            return path[len(prefix) :]
        return path[len(prefix) + 1 :] if path[len(prefix)] == "/" else None

    def raw_match(self, path: str) -> bool:
        """No: a second resource with the same prefix is another one."""
        return False
