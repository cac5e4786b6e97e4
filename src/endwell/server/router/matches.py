"""What a router has found: the decoded variables of the path, the route, and the applications around the handler."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from endwell.server.abc import AbstractMatchInfo
from endwell.server.router.routes import AbstractRoute, ExpectHandler, Handler, SystemRoute

if TYPE_CHECKING:
    from endwell.server.application import Application
    from endwell.server.errors import HTTPException

__all__ = ("MatchInfoError", "UrlMappingMatchInfo")


class UrlMappingMatchInfo(dict[str, str], AbstractMatchInfo):
    """The variables of the path, decoded, and what answers. It is made for one request, and may be changed.

    Args:
        match_dict: the variables.
        route: what answers.

    """

    __slots__ = ("_apps", "_current_app", "_frozen", "_route")

    def __init__(self, match_dict: Mapping[str, str], route: AbstractRoute) -> None:
        if match_dict:
            self.update(match_dict)
        self._route = route
        self._apps: tuple[Application, ...] = ()
        self._current_app: Application | None = None
        self._frozen = False

    def __repr__(self) -> str:
        return f"<MatchInfo {super().__repr__()}: {self._route!r}>"

    @property
    def handler(self) -> Handler:
        """What answers the request."""
        return self._route.handler

    @property
    def route(self) -> AbstractRoute:
        """The route."""
        return self._route

    @property
    def expect_handler(self) -> ExpectHandler:
        """What is asked before the handler when the request has a field ``Expect``."""
        return self._route.handle_expect_header

    @property
    def http_exception(self) -> HTTPException | None:
        """The error that the handler raises when nothing was found, else None."""
        return None

    def get_info(self) -> dict[str, Any]:
        """Describe the path that was found."""
        return self._route.get_info()

    @property
    def apps(self) -> tuple[Application, ...]:
        """The applications the request goes through, the outermost first."""
        return self._apps

    def add_app(self, app: Application) -> None:
        """Put an application around the ones that are there.

        Raises:
            RuntimeError: after `freeze`.

        """
        if self._frozen:
            raise RuntimeError("what the router found is frozen: applications are added before middlewares run")
        if self._current_app is None:
            self._current_app = app
        self._apps = (app, *self._apps)

    @property
    def current_app(self) -> Application:
        """The application whose middleware or handler runs.

        Raises:
            RuntimeError: no application has taken the request yet.

        """
        app = self._current_app
        if app is None:
            raise RuntimeError("no application has taken this request: add_app() was not called")
        return app

    @current_app.setter
    def current_app(self, app: Application) -> None:
        if app not in self._apps:
            message = f"{app!r} is none of the applications of this request: {self._apps!r}"
            raise RuntimeError(message)
        self._current_app = app

    @contextmanager
    def set_current_app(self, app: Application) -> Iterator[None]:
        """Have another application as the current one, until the ``with`` block ends.

        Raises:
            RuntimeError: it is none of `apps`.

        """
        before = self._current_app
        self.current_app = app
        try:
            yield
        finally:
            self._current_app = before

    def freeze(self) -> None:
        """Take no more applications from now on."""
        self._frozen = True


class MatchInfoError(UrlMappingMatchInfo):
    """What is found when nothing is: its handler raises the error."""

    __slots__ = ("_exception",)

    def __init__(self, http_exception: HTTPException) -> None:
        self._exception = http_exception
        super().__init__({}, SystemRoute(http_exception))

    @property
    def http_exception(self) -> HTTPException:
        """The error."""
        return self._exception

    def __repr__(self) -> str:
        return f"<MatchInfoError {self._exception.status}: {self._exception.reason}>"
