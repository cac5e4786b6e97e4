"""Runs a server: `AppRunner` for an application, `ServerRunner` for a bare handler (closing.md C13).

A runner is the face of a `ServerCore`. While a site of it listens, the event loop keeps it: a server that nobody holds
is not a forgotten one. Whatever is still open when the loop ends is closed with it, and named.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from endwell.lifetime import CloseReport, Face, State, caller, close, hurry, stop
from endwell.lifetime.tasks import start
from endwell.server.core import ServerCore
from endwell.server.request import BaseRequest
from endwell.server.settings import core_settings, make_access_log

if TYPE_CHECKING:
    from endwell.server.application import Application
    from endwell.server.response import StreamResponse
    from endwell.server.sites import BaseSite

__all__ = ("AppRunner", "BaseRunner", "GracefulExit", "Server", "ServerRunner")

Handler = Callable[[BaseRequest], Awaitable["StreamResponse"]]
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class GracefulExit(SystemExit):
    """Raised to end `run_app` in order, from wherever the program notices that it should end."""

    code = 1


def _raise_graceful_exit() -> None:
    raise GracefulExit


class BaseRunner(Face, ABC):
    """What the runners have in common.

    Args:
        handle_signals: have SIGINT and SIGTERM raise `GracefulExit` in the loop.
        shutdown_timeout: seconds that requests in flight have to end when the server is closed; they are spent once.
            None for as long as they like.
        **settings: see `server.settings.core_settings`.

    """

    _core: ServerCore

    def __init__(self, *, handle_signals: bool = False, shutdown_timeout: float | None = 60.0, **settings: Any) -> None:
        self._handle_signals = handle_signals
        self._shutdown_timeout = shutdown_timeout
        self._settings = core_settings(**settings)
        self._sites: list[BaseSite] = []
        self._hurry: asyncio.Future[None] | None = None
        self._cleaning: asyncio.Future[CloseReport] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(site.name for site in self._sites) or 'not listening'}>"

    @property
    def server(self) -> ServerCore | None:
        """The running server, None before `setup` and after `cleanup`."""
        core: ServerCore | None = getattr(self, "_core", None)
        return core if core is not None and core.state is not State.CLOSED else None

    @property
    def addresses(self) -> list[Any]:
        """The addresses that the sites listen on."""
        return [address for site in self._sites for address in site.addresses]

    @property
    def sites(self) -> set[BaseSite]:
        """The sites that listen."""
        return set(self._sites)

    async def setup(self) -> None:
        """Start what the sites are going to serve. If that fails everything that had started is ended again.

        Raises:
            RuntimeError: it was set up already.

        """
        if self.server is not None:
            message = f"{self!r} was set up already"
            raise RuntimeError(message)
        loop = asyncio.get_running_loop()
        settings = dict(self._settings)
        self._access = settings.pop("access")
        core = self._core = self._make_core(loop, shutdown_timeout=self._shutdown_timeout, **settings)
        self._hurry = loop.create_future()
        self._cleaning = None
        ready = False
        try:
            await self._startup()
            ready = True
        finally:
            if not ready:
                await close(core, timeout=0, at=caller())
        if self._handle_signals:
            with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C raises KeyboardInterrupt
                for number in _SIGNALS:
                    loop.add_signal_handler(number, _raise_graceful_exit)

    async def shutdown(self) -> None:
        """Tell the application that the end has begun; `cleanup` calls this."""

    async def cleanup(self) -> CloseReport:
        """Close the server; return what was done.

        The listeners close first, then the idle connections; requests in flight are answered, for `shutdown_timeout`
        seconds at most, then cancelled and awaited; what the application has set up is cleaned up in reverse order. A
        second caller awaits the first. Cancelling it ends the waiting, never the cleaning up.
        """
        core: ServerCore | None = getattr(self, "_core", None)
        if core is None:
            return CloseReport(repr(self))
        if self._cleaning is not None:
            return await asyncio.wait_for(_result(self._cleaning), None)
        task = asyncio.current_task()
        if task is not None and task in core.tasks:
            message = (
                "A handler cannot await the end of its own server, which awaits the handler; raise web.GracefulExit(), "
                "or set an event that whoever runs the server waits for"
            )
            raise RuntimeError(message)
        core.check_loop()
        self._cleaning = core.loop.create_future()
        report: CloseReport | None = None
        try:
            report = await self._clean_up(core)
        finally:
            self._sites.clear()
            self._cleaning.set_result(report or core.report or CloseReport(core.describe()))
        return report

    async def _clean_up(self, core: ServerCore) -> CloseReport:
        if self._handle_signals:
            with contextlib.suppress(NotImplementedError):
                for number in _SIGNALS:
                    core.loop.remove_signal_handler(number)
        at = caller()
        began = core.loop.time()
        limit = self._shutdown_timeout
        try:
            stop(core)
            await self._announce(limit)
            left = None if limit is None else max(0.0, limit - (core.loop.time() - began))
            if self._hurry is not None and self._hurry.done():
                left = 0.0
            reason = f"it did not finish within shutdown_timeout={limit} s"
            return await close(core, timeout=left, at=at, reason=reason)
        finally:
            try:
                if core.state is not State.CLOSED:
                    await close(core, timeout=0, at=at)
            finally:
                await self._cleanup()
                if core.report is not None:
                    core.logger.info("%s", core.report)

    async def _announce(self, limit: float | None) -> None:
        """Run what the application does at the beginning of its end, within the time that there is."""
        assert self._hurry is not None
        task = start(self._core.loop, self.shutdown(), "endwell: shutdown of an application")
        try:
            await asyncio.wait([task, self._hurry], timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not task.done():
                task.cancel("it did not finish within shutdown_timeout")
                await asyncio.wait([task])
        if not task.cancelled():
            task.result()

    def _hasten(self) -> None:
        """Have a cleanup that waits for requests in flight wait no longer."""
        if self._hurry is not None and not self._hurry.done():
            self._hurry.set_result(None)
            hurry(self._core)

    def _site_started(self, site: BaseSite) -> None:
        if site in self._sites:
            message = f"Site {site} is already registered in runner {self}"
            raise RuntimeError(message)
        self._sites.append(site)
        self._core.access_log = make_access_log(self._access)
        self._core.face = self

    def _site_stopped(self, site: BaseSite) -> None:
        if site not in self._sites:
            message = f"Site {site} is not registered in runner {self}"
            raise RuntimeError(message)
        self._sites.remove(site)
        if not self._sites:
            self._core.face = None

    @property
    def _core_to_serve(self) -> ServerCore:
        core = self.server
        if core is None:
            message = "Call runner.setup() before making a site"
            raise RuntimeError(message)
        return core

    @abstractmethod
    def _make_core(self, loop: asyncio.AbstractEventLoop, **settings: Any) -> ServerCore:
        """Make the server."""

    async def _startup(self) -> None:
        """Start what is served."""

    async def _cleanup(self) -> None:
        """End what is served."""


class Server:
    """A handler for every request, without an application: ``web.Server(handler)``.

    Args:
        handler: gives the response to a `BaseRequest`.
        request_factory: makes the request of an exchange.
        **settings: see `server.settings.core_settings`.

    """

    def __init__(
        self, handler: Handler, *, request_factory: Callable[[Any], BaseRequest] | None = None, **settings: Any
    ) -> None:
        core_settings(**settings)  # an error shows here, where it was made
        self.handler = handler
        self.settings = settings
        self.request_factory = request_factory or BaseRequest


class ServerRunner(BaseRunner):
    """Runs a `Server`."""

    def __init__(self, web_server: Server, **settings: Any) -> None:
        for name in ("handle_signals", "shutdown_timeout"):
            if name in web_server.settings and name not in settings:
                settings[name] = web_server.settings[name]
        super().__init__(**{**web_server.settings, **settings})
        self._web_server = web_server

    def _make_core(self, loop: asyncio.AbstractEventLoop, **settings: Any) -> ServerCore:
        server = self._web_server
        return ServerCore(loop, server.handler, server.request_factory, name="Server", **settings)


class AppRunner(BaseRunner):
    """Runs an `Application`."""

    def __init__(self, app: Application, **settings: Any) -> None:
        from endwell.server.application import Application

        if not isinstance(app, Application):
            message = f"The first argument should be a web.Application, not {type(app).__name__}"
            raise TypeError(message)
        super().__init__(**{**(app._handler_args or {}), **settings})
        self._app = app

    @property
    def app(self) -> Application:
        """The application."""
        return self._app

    async def shutdown(self) -> None:
        """Send the application's `on_shutdown`."""
        await self._app.shutdown()

    def _make_core(self, loop: asyncio.AbstractEventLoop, **settings: Any) -> ServerCore:
        app = self._app
        core = ServerCore(loop, app._handle, app._make_request, name="AppRunner", **settings)
        app._tasks = lambda coro, name: core.create_task(coro, name=name, origin=caller())
        return core

    async def _startup(self) -> None:
        await self._app.startup()
        self._app.freeze()
        self._core.has_prepare_hooks = self._app._has_prepare_hooks()

    async def _cleanup(self) -> None:
        await self._app.cleanup()


async def _result(future: asyncio.Future[CloseReport]) -> CloseReport:
    await asyncio.wait([future])
    return future.result()
