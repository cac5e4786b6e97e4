"""The abstract classes of the server's side: a router, what it finds, and a handler that is a class.

`server.router` implements them. Users implement `AbstractRouter` for a router of their own, and ask with `isinstance`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from endwell.server.application import Application
    from endwell.server.errors import HTTPException
    from endwell.server.request import Request
    from endwell.server.response import StreamResponse

__all__ = ("AbstractMatchInfo", "AbstractRouter", "AbstractView")


class AbstractRouter(ABC):
    """What finds the handler of a request."""

    def __init__(self) -> None:
        self._frozen = False

    def post_init(self, app: Application) -> None:  # noqa: B027 # most routers have nothing to do
        """Do what the router has to do once it belongs to an application; nothing, unless overridden."""

    @property
    def frozen(self) -> bool:
        """Whether the router takes no more routes."""
        return self._frozen

    def freeze(self) -> None:
        """Take no more routes from now on."""
        self._frozen = True

    @abstractmethod
    async def resolve(self, request: Request) -> AbstractMatchInfo:
        """Find what answers a request; where nothing does, what is returned answers with the error."""


class AbstractMatchInfo(ABC):
    """What a router has found for a request."""

    __slots__ = ()

    @property
    @abstractmethod
    def handler(self) -> Callable[[Request], Awaitable[StreamResponse]]:
        """What answers the request."""

    @property
    @abstractmethod
    def expect_handler(self) -> Callable[[Request], Awaitable[StreamResponse | None]]:
        """What is asked before the handler when the request has a field ``Expect``."""

    @property
    @abstractmethod
    def http_exception(self) -> HTTPException | None:
        """The error that the handler raises when nothing was found, else None."""

    @abstractmethod
    def get_info(self) -> dict[str, Any]:
        """Describe what was found."""

    @property
    @abstractmethod
    def apps(self) -> tuple[Application, ...]:
        """The applications the request goes through, the outermost first."""

    @abstractmethod
    def add_app(self, app: Application) -> None:
        """Put an application around the ones that are there.

        Raises:
            RuntimeError: after `freeze`.

        """

    @abstractmethod
    def freeze(self) -> None:
        """Take no more applications from now on."""


class AbstractView(ABC):
    """A handler that is a class: made for each request, then awaited.

    Args:
        request: the request to answer.

    """

    def __init__(self, request: Request) -> None:
        self._request = request

    @property
    def request(self) -> Request:
        """The request to answer."""
        return self._request

    @abstractmethod
    def __await__(self) -> Generator[Any, None, StreamResponse]:
        """Answer the request."""
