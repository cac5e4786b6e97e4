"""The router of an application: takes routes, finds the one of a request, knows resources by name."""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sized
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast

from endwell.http import hdrs
from endwell.http.typedefs import PathLike
from endwell.server.abc import AbstractRouter, AbstractView
from endwell.server.router.definitions import AbstractRouteDef
from endwell.server.router.index import ResourceIndex
from endwell.server.router.matches import MatchInfoError, UrlMappingMatchInfo
from endwell.server.router.resources import AbstractResource, DynamicResource, PlainResource, Resource
from endwell.server.router.routes import AbstractRoute, ExpectHandler, Handler
from endwell.server.router.subapps import MatchedSubAppResource

if TYPE_CHECKING:
    from endwell.server.request import Request

__all__ = ("ResourcesView", "RoutesView", "UrlDispatcher")

_NO_VALUES: Final[dict[str, str]] = {}
_NAME_SEPARATOR: Final = re.compile(r"[.:-]")


class ResourcesView(Sized, Iterable[AbstractResource], Container[AbstractResource]):
    """The resources of a dispatcher."""

    def __init__(self, resources: list[AbstractResource]) -> None:
        self._resources = resources

    def __len__(self) -> int:
        return len(self._resources)

    def __iter__(self) -> Iterator[AbstractResource]:
        return iter(self._resources)

    def __contains__(self, resource: object) -> bool:
        return resource in self._resources


class RoutesView(Sized, Iterable[AbstractRoute], Container[AbstractRoute]):
    """The routes of a dispatcher."""

    def __init__(self, resources: list[AbstractResource]) -> None:
        self._routes = [route for resource in resources for route in resource]

    def __len__(self) -> int:
        return len(self._routes)

    def __iter__(self) -> Iterator[AbstractRoute]:
        return iter(self._routes)

    def __contains__(self, route: object) -> bool:
        return route in self._routes


class UrlDispatcher(AbstractRouter, Mapping[str, AbstractResource]):
    """The router of an application, and a mapping of the resources that have a name.

    Several routes may match a request. Then the one with more whole static segments at its beginning wins, and among
    those with the same ones the first that was added. Applications for a domain come before all others.
    """

    def __init__(self) -> None:
        super().__init__()
        self._resources: list[AbstractResource] = []
        self._named: dict[str, AbstractResource] = {}
        self._matched: list[MatchedSubAppResource] = []
        self._index = ResourceIndex()
        self._exact = self._index.exact

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "resolve" in cls.__dict__ and "_lookup" not in cls.__dict__:
            cls._lookup = cls._only_resolve  # type: ignore[method-assign] # what a user's `resolve` finds, only it knows

    def __iter__(self) -> Iterator[str]:
        return iter(self._named)

    def __len__(self) -> int:
        return len(self._named)

    def __contains__(self, name: object) -> bool:
        return name in self._named

    def __getitem__(self, name: str) -> AbstractResource:
        return self._named[name]

    def resources(self) -> ResourcesView:
        """Give the resources, in the order in which they were added."""
        return ResourcesView(self._resources)

    def routes(self) -> RoutesView:
        """Give the routes of all resources, those of sub-applications too."""
        return RoutesView(self._resources)

    def named_resources(self) -> Mapping[str, AbstractResource]:
        """Give the resources that have a name, by name."""
        return MappingProxyType(self._named)

    def freeze(self) -> None:
        """Take no more resources from now on."""
        super().freeze()
        for resource in self._resources:
            resource.freeze()
        self._reindex()

    # Finding

    async def resolve(self, request: Request) -> UrlMappingMatchInfo:
        """Find the route of a request; where there is none, what is returned raises 404, or 405 with ``Allow``."""
        found = self._find(request)
        return await self._resolve_each(request) if found is None else found

    def _find(self, request: Request) -> UrlMappingMatchInfo | None:
        """Find the route of a request at once; None when `resolve` must be awaited instead."""
        path = request._target
        if "?" in path:
            path = path.partition("?")[0]
        if path[:1] != "/" or "%" in path or "#" in path:
            path = request.rel_url.path_safe
        return self._lookup(request.method, path, request)

    def _lookup(self, method: str, path: str, request: Request | None = None) -> UrlMappingMatchInfo | None:
        """Find a route at once; None when only `resolve` can, because a user's class must be asked with ``await``.

        Args:
            method: the method of the request.
            path: its path, as `patterns.safe_path` makes it.
            request: the request, for rules that look at other parts of it.

        """
        if self._matched:
            for rule in self._matched:
                answer = rule._find(method, path, request)
                if answer is None:
                    return None
                if answer[0] is not None:
                    return answer[0]
        plain = self._exact.get(path)
        if plain is not None:
            route = plain._routes.get(method) or plain._routes.get(hdrs.METH_ANY)
            if route is not None:
                return UrlMappingMatchInfo(_NO_VALUES, route)
        allowed: Collection[str] = ()
        for bucket in self._index.buckets(path):
            for resource in bucket.select(path):
                answer = resource._find(method, path, request)
                if answer is None:
                    return None
                found, methods = answer
                if found is not None:
                    return found
                if methods:
                    allowed = {*allowed, *methods}
        return _not_found(method, allowed)

    def _only_resolve(self, method: str, path: str, request: Request | None = None) -> None:
        return None

    async def _resolve_each(self, request: Request) -> UrlMappingMatchInfo:
        """Do what `_lookup` does with the public method of the resources."""
        path = request.rel_url.path_safe
        allowed: set[str] = set()
        for rule in self._matched:
            found, _ = await rule.resolve(request)
            if found is not None:
                return found
        for bucket in self._index.buckets(path):
            for resource in bucket.select(path):
                found, methods = await resource.resolve(request)
                if found is not None:
                    return found
                allowed |= methods
        return _not_found(request.method, allowed)

    # Resources

    def register_resource(self, resource: AbstractResource) -> None:
        """Add a resource that was made already.

        Raises:
            TypeError: it is no resource.
            RuntimeError: the router is frozen.
            ValueError: its name is no name, or another one has it.

        """
        if not isinstance(resource, AbstractResource):
            message = f"a resource is an AbstractResource, not {resource!r}"
            raise TypeError(message)
        if self.frozen:
            message = f"{resource!r} can't be added: the router is frozen since the application was set up"
            raise RuntimeError(message)
        name = resource.name
        if name is not None:
            self._check_name(name)
            self._named[name] = resource
        self._resources.append(resource)
        if isinstance(resource, MatchedSubAppResource):
            self._matched.append(resource)
        else:
            self.index_resource(resource)

    def _check_name(self, name: str) -> None:
        for part in _NAME_SEPARATOR.split(name):
            if keyword.iskeyword(part):
                message = f"{name!r} is no name of a route: {part!r} is a keyword of Python"
                raise ValueError(message)
            if not part.isidentifier():
                message = f"{name!r} is no name of a route: write identifiers with dots, colons or hyphens between them"
                raise ValueError(message)
        if name in self._named:
            message = f"the name {name!r} is not free: {self._named[name]!r} has it"
            raise ValueError(message)

    def index_resource(self, resource: AbstractResource) -> None:
        """Have a resource found by its path; `register_resource` has done that. It comes after those indexed before."""
        self._index.add(resource)

    def unindex_resource(self, resource: AbstractResource) -> None:
        """Have a resource found no more, before its path is changed.

        Raises:
            ValueError: it is not in the index.

        """
        self._index.remove(resource)

    def _add_prefix(self, prefix: str) -> None:
        """Put a static text before the paths of all resources."""
        for resource in self._resources:
            resource.add_prefix(prefix)
        self._reindex()

    def _reindex(self) -> None:
        self._index = ResourceIndex()
        self._exact = self._index.exact
        for resource in self._resources:
            if not isinstance(resource, MatchedSubAppResource):
                self._index.add(resource)

    def add_resource(self, path: str, *, name: str | None = None) -> Resource:
        """Add a path, to which routes are added then.

        The same path and name as in the call before give the same resource.

        Args:
            path: plain, such as ``/users``, decoded or percent-encoded, or with variables: ``/users/{name}`` with any
                text of one segment, ``/users/{id:[0-9]+}`` with what a regular expression matches. The expression sees
                the path decoded, except for ``%2F`` and ``%25``.
            name: under which the router gives the resource: identifiers with dots, colons or hyphens between them.

        Raises:
            ValueError: the path does not begin with a slash, or its braces are no variables; or the name is no name, or
                is taken.
            RuntimeError: the router is frozen.

        """
        if path and not path.startswith("/"):
            message = f"a path begins with a slash or is empty, not {path!r}"
            raise ValueError(message)
        if self._resources:
            last = self._resources[-1]
            if last.name == name and last.raw_match(path):
                return cast("Resource", last)
        resource = (DynamicResource if "{" in path or "}" in path else PlainResource)(path, name=name)
        self.register_resource(resource)
        return resource

    # Routes

    def add_route(
        self,
        method: str,
        path: str,
        handler: Handler | type[AbstractView],
        *,
        name: str | None = None,
        expect_handler: ExpectHandler | None = None,
    ) -> AbstractRoute:
        """Add a route.

        Args:
            method: such as ``"GET"``, or ``"*"`` for every one that has no route of its own yet.
            path: see `add_resource`.
            handler: an async function of a request that returns a response, or a subclass of `View`.
            name: see `add_resource`.
            expect_handler: see `Resource.add_route`.

        Raises:
            ValueError: `method`, `path` or `name` is none.
            TypeError: a handler is no async function.
            RuntimeError: the route would never run, or the router is frozen.

        """
        return self.add_resource(path, name=name).add_route(method, handler, expect_handler=expect_handler)

    def add_static(
        self,
        prefix: str,
        path: PathLike,
        *,
        name: str | None = None,
        expect_handler: ExpectHandler | None = None,
        chunk_size: int = 256 * 1024,
        show_index: bool = False,
        follow_symlinks: bool = False,
        append_version: bool = False,
    ) -> AbstractResource:
        """Serve the files of a directory below a prefix.

        Args:
            prefix: such as ``/static``; a slash at its end is dropped.
            path: the directory.
            name: see `add_resource`.
            expect_handler: see `Resource.add_route`.
            chunk_size: bytes that are read of a file at once.
            show_index: answer for a directory with a list of its files, instead of 403.
            follow_symlinks: serve what links point to, also outside of the directory.
            append_version: let `url_for` add a hash of the file, so that caches see a new one.

        Raises:
            ValueError: it is no prefix, or there is no such directory.
            RuntimeError: the router is frozen.

        """
        from endwell.server.static import StaticResource

        if not prefix.startswith("/"):
            message = f"a prefix begins with a slash, not {prefix!r}"
            raise ValueError(message)
        resource = StaticResource(
            prefix.removesuffix("/"),
            path,
            name=name,
            expect_handler=expect_handler,
            chunk_size=chunk_size,
            show_index=show_index,
            follow_symlinks=follow_symlinks,
            append_version=append_version,
        )
        self.register_resource(resource)
        return resource

    def add_head(self, path: str, handler: Handler, **kwargs: Any) -> AbstractRoute:
        """Add a route for HEAD, see `add_route`."""
        return self.add_route(hdrs.METH_HEAD, path, handler, **kwargs)

    def add_options(self, path: str, handler: Handler, **kwargs: Any) -> AbstractRoute:
        """Add a route for OPTIONS, see `add_route`."""
        return self.add_route(hdrs.METH_OPTIONS, path, handler, **kwargs)

    def add_get(
        self, path: str, handler: Handler, *, name: str | None = None, allow_head: bool = True, **kwargs: Any
    ) -> AbstractRoute:
        """Add a route for GET, see `add_route`, and the same for HEAD, unless `allow_head` is false."""
        resource = self.add_resource(path, name=name)
        if allow_head:
            resource.add_route(hdrs.METH_HEAD, handler, **kwargs)
        return resource.add_route(hdrs.METH_GET, handler, **kwargs)

    def add_post(self, path: str, handler: Handler, **kwargs: Any) -> AbstractRoute:
        """Add a route for POST, see `add_route`."""
        return self.add_route(hdrs.METH_POST, path, handler, **kwargs)

    def add_put(self, path: str, handler: Handler, **kwargs: Any) -> AbstractRoute:
        """Add a route for PUT, see `add_route`."""
        return self.add_route(hdrs.METH_PUT, path, handler, **kwargs)

    def add_patch(self, path: str, handler: Handler, **kwargs: Any) -> AbstractRoute:
        """Add a route for PATCH, see `add_route`."""
        return self.add_route(hdrs.METH_PATCH, path, handler, **kwargs)

    def add_delete(self, path: str, handler: Handler, **kwargs: Any) -> AbstractRoute:
        """Add a route for DELETE, see `add_route`."""
        return self.add_route(hdrs.METH_DELETE, path, handler, **kwargs)

    def add_view(self, path: str, handler: type[AbstractView], **kwargs: Any) -> AbstractRoute:
        """Add a route for every method to a class, see `add_route` and `View`."""
        return self.add_route(hdrs.METH_ANY, path, handler, **kwargs)

    def add_routes(self, routes: Iterable[AbstractRouteDef]) -> list[AbstractRoute]:
        """Add routes made with `get`, `post`, `static` ... or those of a `RouteTableDef`; return them."""
        return [route for definition in routes for route in definition.register(self)]


def _not_found(method: str, allowed: Collection[str]) -> MatchInfoError:
    from endwell.server.errors import HTTPMethodNotAllowed, HTTPNotFound

    return MatchInfoError(HTTPMethodNotAllowed(method, allowed) if allowed else HTTPNotFound())
