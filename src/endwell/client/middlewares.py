"""Client middlewares: their types, and the handler that runs a row of them.

Used by ``client/session``. A middleware is ``async def middleware(request, handler) -> response``; it may change the
request, call the handler more than once, or answer by itself. The first one of a row is the outermost.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from endwell.client.request import ClientRequest
    from endwell.client.response import ClientResponse

__all__ = ("ClientHandlerType", "ClientMiddlewareType", "build_client_middlewares")

ClientHandlerType: TypeAlias = Callable[["ClientRequest"], Awaitable["ClientResponse"]]
ClientMiddlewareType: TypeAlias = Callable[["ClientRequest", ClientHandlerType], Awaitable["ClientResponse"]]


def build_client_middlewares(
    handler: ClientHandlerType, middlewares: Sequence[ClientMiddlewareType]
) -> ClientHandlerType:
    """A handler that sends a request through ``middlewares``, the first one outermost, and then to ``handler``."""
    for middleware in reversed(middlewares):
        handler = _Link(middleware, handler)
    return handler


class _Link:
    """A middleware with the handler it calls."""

    __slots__ = ("_handler", "_middleware")

    def __init__(self, middleware: ClientMiddlewareType, handler: ClientHandlerType) -> None:
        self._middleware = middleware
        self._handler = handler

    def __call__(self, request: "ClientRequest") -> Awaitable["ClientResponse"]:
        return self._middleware(request, self._handler)
