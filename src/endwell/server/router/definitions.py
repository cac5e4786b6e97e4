"""Routes as values, for tables of them: ``web.get("/", handler)`` and `RouteTableDef`. `add_routes` takes them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeVar, overload

from endwell.http import hdrs
from endwell.http.typedefs import PathLike
from endwell.server.abc import AbstractView
from endwell.server.router.routes import AbstractRoute, Handler

if TYPE_CHECKING:
    from endwell.server.router.dispatcher import UrlDispatcher

__all__ = (
    "AbstractRouteDef",
    "RouteDef",
    "RouteTableDef",
    "StaticDef",
    "delete",
    "get",
    "head",
    "options",
    "patch",
    "post",
    "put",
    "route",
    "static",
    "view",
)

AnyHandler: TypeAlias = "Handler | type[AbstractView]"
_H = TypeVar("_H", bound="Handler | type[AbstractView]")


class AbstractRouteDef(ABC):
    """Something that adds routes to a router."""

    __slots__ = ()

    @abstractmethod
    def register(self, router: UrlDispatcher) -> list[AbstractRoute]:
        """Add the routes to a router and return them."""


class _Definition(AbstractRouteDef):
    """A definition that does not change, and equals those that say the same."""

    __slots__ = ()

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        message = f"{self!r} does not change: make another one"
        raise AttributeError(message)

    def __delattr__(self, name: str) -> NoReturn:
        self.__setattr__(name, None)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        names: tuple[str, ...] = type(self).__slots__
        return all(getattr(self, name) == getattr(other, name) for name in names)

    __hash__ = None  # type: ignore[assignment] # arguments for a route need have no hash

    @staticmethod
    def _arguments(kwargs: dict[str, Any]) -> str:
        return "".join(f", {name}={value!r}" for name, value in sorted(kwargs.items()))


class RouteDef(_Definition):
    """A route that is to be added, with the arguments of `UrlDispatcher.add_route`."""

    __slots__ = ("handler", "kwargs", "method", "path")

    method: str
    path: str
    handler: AnyHandler
    kwargs: dict[str, Any]

    def __init__(self, method: str, path: str, handler: AnyHandler, kwargs: dict[str, Any]) -> None:
        self._set(method=method, path=path, handler=handler, kwargs=kwargs)

    def __repr__(self) -> str:
        name = getattr(self.handler, "__name__", repr(self.handler))
        return f"<RouteDef {self.method} {self.path} -> {name!r}{self._arguments(self.kwargs)}>"

    def register(self, router: UrlDispatcher) -> list[AbstractRoute]:
        """Add the route to a router; a route for GET also for HEAD, unless `allow_head` is false."""
        if self.method in hdrs.METH_ALL:
            add = getattr(router, f"add_{self.method.lower()}", None)  # so that a router's own `add_get` is called
            if add is not None:
                return [add(self.path, self.handler, **self.kwargs)]
        return [router.add_route(self.method, self.path, self.handler, **self.kwargs)]


class StaticDef(_Definition):
    """A directory of files that is to be served, with the arguments of `UrlDispatcher.add_static`."""

    __slots__ = ("kwargs", "path", "prefix")

    prefix: str
    path: PathLike
    kwargs: dict[str, Any]

    def __init__(self, prefix: str, path: PathLike, kwargs: dict[str, Any]) -> None:
        self._set(prefix=prefix, path=path, kwargs=kwargs)

    def __repr__(self) -> str:
        return f"<StaticDef {self.prefix} -> {self.path}{self._arguments(self.kwargs)}>"

    def register(self, router: UrlDispatcher) -> list[AbstractRoute]:
        """Add the directory to a router; return its routes."""
        return list(router.add_static(self.prefix, self.path, **self.kwargs))


def route(method: str, path: str, handler: AnyHandler, **kwargs: Any) -> RouteDef:
    """Define a route, see `UrlDispatcher.add_route`."""
    return RouteDef(method, path, handler, kwargs)


def head(path: str, handler: AnyHandler, **kwargs: Any) -> RouteDef:
    """Define a route for HEAD, see `UrlDispatcher.add_route`."""
    return route(hdrs.METH_HEAD, path, handler, **kwargs)


def options(path: str, handler: AnyHandler, **kwargs: Any) -> RouteDef:
    """Define a route for OPTIONS, see `UrlDispatcher.add_route`."""
    return route(hdrs.METH_OPTIONS, path, handler, **kwargs)


def get(path: str, handler: AnyHandler, *, name: str | None = None, allow_head: bool = True, **kwargs: Any) -> RouteDef:
    """Define a route for GET, see `UrlDispatcher.add_get`."""
    return route(hdrs.METH_GET, path, handler, name=name, allow_head=allow_head, **kwargs)


def post(path: str, handler: AnyHandler, **kwargs: Any) -> RouteDef:
    """Define a route for POST, see `UrlDispatcher.add_route`."""
    return route(hdrs.METH_POST, path, handler, **kwargs)


def put(path: str, handler: AnyHandler, **kwargs: Any) -> RouteDef:
    """Define a route for PUT, see `UrlDispatcher.add_route`."""
    return route(hdrs.METH_PUT, path, handler, **kwargs)


def patch(path: str, handler: AnyHandler, **kwargs: Any) -> RouteDef:
    """Define a route for PATCH, see `UrlDispatcher.add_route`."""
    return route(hdrs.METH_PATCH, path, handler, **kwargs)


def delete(path: str, handler: AnyHandler, **kwargs: Any) -> RouteDef:
    """Define a route for DELETE, see `UrlDispatcher.add_route`."""
    return route(hdrs.METH_DELETE, path, handler, **kwargs)


def view(path: str, handler: type[AbstractView], **kwargs: Any) -> RouteDef:
    """Define a route for every method to a class, see `UrlDispatcher.add_view`."""
    return route(hdrs.METH_ANY, path, handler, **kwargs)


def static(prefix: str, path: PathLike, **kwargs: Any) -> StaticDef:
    """Define a directory that is served, see `UrlDispatcher.add_static`."""
    return StaticDef(prefix, path, kwargs)


class RouteTableDef(Sequence[AbstractRouteDef]):
    """A table of routes, filled by decorators, in the order of the module: ``@routes.get("/")``."""

    def __init__(self) -> None:
        self._items: list[AbstractRouteDef] = []

    def __repr__(self) -> str:
        return f"<RouteTableDef count={len(self._items)}>"

    @overload
    def __getitem__(self, index: int) -> AbstractRouteDef: ...

    @overload
    def __getitem__(self, index: slice) -> list[AbstractRouteDef]: ...

    def __getitem__(self, index: int | slice) -> AbstractRouteDef | list[AbstractRouteDef]:
        return self._items[index]

    def __iter__(self) -> Iterator[AbstractRouteDef]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, item: object) -> bool:
        return item in self._items

    def route(self, method: str, path: str, **kwargs: Any) -> Callable[[_H], _H]:
        """Add a route to the decorated handler, see `UrlDispatcher.add_route`."""

        def add(handler: _H) -> _H:
            self._items.append(RouteDef(method, path, handler, kwargs))
            return handler

        return add

    def head(self, path: str, **kwargs: Any) -> Callable[[_H], _H]:
        """Add a route for HEAD to the decorated handler, see `UrlDispatcher.add_route`."""
        return self.route(hdrs.METH_HEAD, path, **kwargs)

    def get(self, path: str, **kwargs: Any) -> Callable[[_H], _H]:
        """Add a route for GET to the decorated handler, see `UrlDispatcher.add_get`."""
        return self.route(hdrs.METH_GET, path, **kwargs)

    def post(self, path: str, **kwargs: Any) -> Callable[[_H], _H]:
        """Add a route for POST to the decorated handler, see `UrlDispatcher.add_route`."""
        return self.route(hdrs.METH_POST, path, **kwargs)

    def put(self, path: str, **kwargs: Any) -> Callable[[_H], _H]:
        """Add a route for PUT to the decorated handler, see `UrlDispatcher.add_route`."""
        return self.route(hdrs.METH_PUT, path, **kwargs)

    def patch(self, path: str, **kwargs: Any) -> Callable[[_H], _H]:
        """Add a route for PATCH to the decorated handler, see `UrlDispatcher.add_route`."""
        return self.route(hdrs.METH_PATCH, path, **kwargs)

    def delete(self, path: str, **kwargs: Any) -> Callable[[_H], _H]:
        """Add a route for DELETE to the decorated handler, see `UrlDispatcher.add_route`."""
        return self.route(hdrs.METH_DELETE, path, **kwargs)

    def options(self, path: str, **kwargs: Any) -> Callable[[_H], _H]:
        """Add a route for OPTIONS to the decorated handler, see `UrlDispatcher.add_route`."""
        return self.route(hdrs.METH_OPTIONS, path, **kwargs)

    def view(self, path: str, **kwargs: Any) -> Callable[[_H], _H]:
        """Add a route for every method to the decorated class, see `UrlDispatcher.add_view`."""
        return self.route(hdrs.METH_ANY, path, **kwargs)

    def static(self, prefix: str, path: PathLike, **kwargs: Any) -> None:
        """Add a directory that is served, see `UrlDispatcher.add_static`."""
        self._items.append(StaticDef(prefix, path, kwargs))
