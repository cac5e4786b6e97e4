"""A route: one method of a resource and what answers it. Made by the resources; `add_get` and others return it."""

from __future__ import annotations

import functools
import inspect
import warnings
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from endwell.http import hdrs
from endwell.http.fields import TOKEN
from endwell.http.version import HttpVersion11
from endwell.lifetime.origin import caller
from endwell.server.abc import AbstractView

if TYPE_CHECKING:
    from yarl import URL

    from endwell.server.errors import HTTPException
    from endwell.server.request import Request
    from endwell.server.response import StreamResponse
    from endwell.server.router.resources import AbstractResource

__all__ = ("AbstractRoute", "ExpectHandler", "Handler", "ResourceRoute", "SystemRoute")

Handler: TypeAlias = "Callable[[Request], Awaitable[StreamResponse]]"
ExpectHandler: TypeAlias = "Callable[[Request], Awaitable[StreamResponse | None]]"


def _is_coroutine_function(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(type(function), "__call__", None)  # noqa: B004 # not whether it is callable, but how
    )


def _awaitable_handler(handler: Any) -> Handler:
    """Return the handler, or around a function that is no coroutine function one that is.

    Raises:
        TypeError: what it calls could not be awaited.

    """
    if not callable(handler):
        message = f"a handler is an async def function or a View class, not {handler!r}"
        raise TypeError(message)
    if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
        message = f"a handler returns a response, and {handler!r} is a generator: take out `yield`, write async def"
        raise TypeError(message)
    if _is_coroutine_function(handler) or (isinstance(handler, type) and issubclass(handler, AbstractView)):
        return cast("Handler", handler)
    origin = caller()
    warnings.warn_explicit(
        f"a handler is an async def function: {handler!r} is a plain one",
        DeprecationWarning,
        origin.filename,
        origin.lineno,
    )

    @functools.wraps(handler)
    async def answer(request: Request) -> StreamResponse:
        result = handler(request)
        if inspect.isawaitable(result):
            result = await result
        return cast("StreamResponse", result)

    return answer


class AbstractRoute(ABC):
    """A method and what answers it.

    Args:
        method: such as ``"GET"``, or ``"*"`` for every one; it is taken in upper case.
        handler: an async function of a request, or a subclass of `AbstractView`.
        expect_handler: an async function of a request, asked before the handler when the request has a field
            ``Expect``. What it returns, unless None, is the response.
        resource: what the route belongs to.

    Raises:
        ValueError: `method` is not a token (RFC 9110 section 5.6.2).
        TypeError: a handler is no async function.

    """

    def __init__(
        self,
        method: str,
        handler: Handler | type[AbstractView],
        *,
        expect_handler: ExpectHandler | None = None,
        resource: AbstractResource | None = None,
    ) -> None:
        method = method.upper()
        if TOKEN.fullmatch(method) is None:
            message = f"{method!r} is not a method: letters, digits and !#$%&'*+.^_`|~- only"
            raise ValueError(message)
        if expect_handler is not None and not _is_coroutine_function(expect_handler):
            message = f"expect_handler is an async def function, not {expect_handler!r}"
            raise TypeError(message)
        self._method = method
        self._handler = _awaitable_handler(handler)
        self._expect_handler = expect_handler
        self._resource = resource

    @property
    def method(self) -> str:
        """The method, ``"*"`` for every one."""
        return self._method

    @property
    def handler(self) -> Handler:
        """What answers."""
        return self._handler

    @property
    @abstractmethod
    def name(self) -> str | None:
        """The name of the resource, None when it has none."""

    @property
    def resource(self) -> AbstractResource | None:
        """What the route belongs to; None where nothing was found."""
        return self._resource

    @abstractmethod
    def get_info(self) -> dict[str, Any]:
        """Describe the path."""

    @abstractmethod
    def url_for(self, *args: str, **kwargs: str) -> URL:
        """Make a URL; see the method of the resource."""

    async def handle_expect_header(self, request: Request) -> StreamResponse | None:
        """Do what the field ``Expect`` asks for; what is returned, unless None, is the response.

        By default there is nothing to do for 100-continue: the request's body is asked for when the handler first
        waits for it.

        Raises:
            HTTPExpectationFailed: the client expects something that is not known (417).

        Source: RFC 9110 section 10.1.1.
        """
        if self._expect_handler is not None:
            return await self._expect_handler(request)
        if request.version >= HttpVersion11:
            expected = request.headers.get(hdrs.EXPECT, "")
            if expected.lower() != "100-continue":
                from endwell.server.errors import HTTPExpectationFailed

                raise HTTPExpectationFailed(text=f"Unknown Expect: {expected}")
        return None


class ResourceRoute(AbstractRoute):
    """A route of a resource."""

    def __init__(
        self,
        method: str,
        handler: Handler | type[AbstractView],
        resource: AbstractResource,
        *,
        expect_handler: ExpectHandler | None = None,
    ) -> None:
        super().__init__(method, handler, expect_handler=expect_handler, resource=resource)

    def __repr__(self) -> str:
        return f"<ResourceRoute [{self._method}] {self._resource!r} -> {self._handler!r}>"

    @property
    def name(self) -> str | None:
        """The name of the resource, None when it has none."""
        return None if self._resource is None else self._resource.name

    def url_for(self, *args: str, **kwargs: str) -> URL:
        """Make a URL; see the method of the resource."""
        assert self._resource is not None
        return self._resource.url_for(*args, **kwargs)

    def get_info(self) -> dict[str, Any]:
        """Describe the path."""
        assert self._resource is not None
        return self._resource.get_info()


class SystemRoute(AbstractRoute):
    """What answers when nothing was found: it raises an error."""

    def __init__(self, http_exception: HTTPException) -> None:
        # Made for each request that nothing was found for: what the base class checks is known here.
        self._method = hdrs.METH_ANY
        self._handler = self._handle
        self._expect_handler = None
        self._resource = None
        self._http_exception = http_exception

    def __repr__(self) -> str:
        return f"<SystemRoute {self.status}: {self.reason}>"

    async def _handle(self, request: Request) -> StreamResponse:
        raise self._http_exception

    @property
    def name(self) -> str | None:
        """None."""
        return None

    @property
    def status(self) -> int:
        """The status of the error."""
        return self._http_exception.status

    @property
    def reason(self) -> str:
        """The reason phrase of the error."""
        return self._http_exception.reason or ""

    def url_for(self, *args: str, **kwargs: str) -> URL:
        """Refuse.

        Raises:
            RuntimeError: always.

        """
        raise RuntimeError("the route of an error has no URL")

    def get_info(self) -> dict[str, Any]:
        """Give the error, as ``http_exception``."""
        return {"http_exception": self._http_exception}
