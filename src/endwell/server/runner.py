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

from endwell.lifetime import Aborted, CloseReport, Face, Origin, State, caller, close, hurry, stop
from endwell.lifetime.closing import GOODBYE
from endwell.lifetime.drain import Drain
from endwell.server.core import ServerCore
from endwell.server.errors import CleanupError
from endwell.server.request import BaseRequest
from endwell.server.settings import core_settings, make_access_log

if TYPE_CHECKING:
    from endwell.connection.serving import ServerConnection
    from endwell.server.application import Application
    from endwell.server.response import StreamResponse
    from endwell.server.sites import BaseSite

__all__ = ("AppRunner", "BaseRunner", "GracefulExit", "Server", "ServerRunner")

Handler = Callable[[BaseRequest], Awaitable["StreamResponse"]]
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_HURRIED: Final = "the server was told a second time to end"


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
        self._hurried = False
        self._announcing: asyncio.Timeout | None = None
        self._cleaning: asyncio.Future[CloseReport] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(site.name for site in self._sites) or 'not listening'}>"

    @property
    def server(self) -> ServerCore | None:
        """The running server, None before `setup` and after `cleanup`."""
        core: ServerCore | None = getattr(self, "_core", None)
        return core if core is not None and core.state is not State.CLOSED else None

    @property
    def _report(self) -> CloseReport | None:
        """What was done when the server was closed, None before."""
        core: ServerCore | None = getattr(self, "_core", None)
        return None if core is None else core.report

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
        core.access_log = make_access_log(self._access)  # anew when a site starts: the logger may be set up meanwhile
        self._hurried = False
        self._cleaning = None
        ready = False
        try:
            await self._startup()
            if self._handle_signals:
                self._on_signals(_raise_graceful_exit)
            ready = True
        finally:
            if not ready:
                core.end_app = None
                try:
                    await close(core, timeout=0, at=caller())
                finally:
                    await self._cleanup()

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
        if core.state is State.FOREIGN or core.loop.is_closed():
            return await close(core, timeout=0, at=caller())  # nothing of it is ours to close, or nothing is left
        core.check_loop()
        task = asyncio.current_task()
        if task is not None and (task in core.tasks or core.starter.is_spare(task)):
            message = (
                "A handler, or a task of the server's, cannot await the end of its own server, which awaits it; raise "
                "web.GracefulExit(), or set an event that whoever runs the server waits for"
            )
            raise RuntimeError(message)
        if self._cleaning is not None:
            await asyncio.wait([self._cleaning])
            return self._cleaning.result()
        self._cleaning = core.loop.create_future()
        try:
            return await self._clean_up(core, caller())
        finally:
            self._sites.clear()
            self._cleaning.set_result(core.report or CloseReport(core.describe()))

    async def _clean_up(self, core: ServerCore, at: Origin) -> CloseReport:
        if self._handle_signals:
            self._on_signals(self._second_signal)
        core.end_app = None  # that is done here
        began = core.loop.time()
        limit = self._shutdown_timeout
        errors: list[BaseException] = []
        cut: Aborted | None = None
        report: CloseReport | None = None
        try:
            stop(core)
            early = Drain(core.loop, CloseReport(""))  # it only counts: the closing itself has not begun to wait
            core.watchers.append(early)
            try:
                cut = await self._announce(core, limit, errors)
            finally:
                core.watchers.remove(early)
            left = None if limit is None else max(0.0, limit - (core.loop.time() - began))
            reason = f"it did not finish within shutdown_timeout={limit} s"
            if self._hurried:
                left, reason = 0.0, _HURRIED
            report = await close(core, timeout=left, at=at, reason=reason)
            report.finished += early.report.finished
            report.duration = core.loop.time() - began
        finally:
            try:
                await _leave_nothing(core, at)
            finally:
                try:
                    await self._clean_app(errors)
                finally:
                    if cut is not None and core.report is not None:
                        core.report.aborted.append(cut)
                    self._end_signals(core)
                    core.logger.info("%s", core.report)
                    if report is None:  # something else is on its way up
                        _log_errors(core, errors)
        _raise_errors(errors)
        return report

    async def _announce(self, core: ServerCore, limit: float | None, errors: list[BaseException]) -> Aborted | None:
        """Run what the application does at the beginning of its end, within the time that there is."""
        seconds = GOODBYE if self._hurried else None if limit is None else max(limit, GOODBYE)
        announcing = self._announcing = asyncio.timeout(seconds)
        try:
            async with announcing:
                await self.shutdown()
        except Exception as error:  # noqa: BLE001 - it is raised when everything is cleaned up
            if not (announcing.expired() and isinstance(error, TimeoutError)):
                _note(errors, error)
                return None
            reason = f"it did not finish within {GOODBYE if self._hurried else seconds} s"
            return Aborted(f"on_shutdown of {core.describe()}", reason, None)
        finally:
            self._announcing = None
        return None

    async def _clean_app(self, errors: list[BaseException]) -> None:
        try:
            await self._cleanup()
        except Exception as error:  # noqa: BLE001 - it is raised when everything is cleaned up
            _note(errors, error)

    def _hasten(self) -> None:
        """Have a cleanup, under way or to come, wait no longer for requests in flight."""
        self._hurried = True
        core: ServerCore | None = getattr(self, "_core", None)
        if core is None or core.state is State.CLOSED:
            return
        announcing = self._announcing
        if announcing is not None and not announcing.expired():
            due, until = announcing.when(), core.loop.time() + GOODBYE
            announcing.reschedule(until if due is None else min(due, until))
        hurry(core, _HURRIED)

    def _on_signals(self, callback: Callable[[], object]) -> None:
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C raises KeyboardInterrupt
            for number in _SIGNALS:
                self._core.loop.add_signal_handler(number, callback)

    def _second_signal(self) -> None:
        """Hurry; the next signal ends the process."""
        self._end_signals(self._core)
        self._hasten()

    def _end_signals(self, core: ServerCore) -> None:
        if self._handle_signals:
            with contextlib.suppress(NotImplementedError):
                for number in _SIGNALS:
                    core.loop.remove_signal_handler(number)

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

    A `ServerRunner` runs it. It is a protocol factory as well, for those who listen by themselves::

        listening = await loop.create_server(server, "127.0.0.1", 8080)
        ...
        listening.close()
        await server.shutdown()

    Args:
        handler: gives the response to a `BaseRequest`.
        request_factory: makes the request of an exchange.
        handler_cancellation: cancel the handler when its client has gone.
        **settings: see `server.settings.core_settings`.

    """

    def __init__(
        self,
        handler: Handler,
        *,
        request_factory: Callable[[Any], BaseRequest] | None = None,
        handler_cancellation: bool = False,
        **settings: Any,
    ) -> None:
        self.handler_cancellation = handler_cancellation
        self.settings = {**settings, "handler_cancellation": True} if handler_cancellation else settings
        core_settings(**self.settings)  # an error shows here, where it was made
        self.request_handler = handler
        self.request_factory = request_factory or BaseRequest
        self._core: ServerCore | None = None

    def __call__(self) -> ServerConnection:
        """Make what serves one accepted connection."""
        core = self._core
        if core is None or core.state is State.CLOSED:
            settings = core_settings(**self.settings)
            access_log = make_access_log(settings.pop("access"))
            core = self._make_core(asyncio.get_running_loop(), access_log=access_log, **settings)
        return core.connection()

    def _make_core(self, loop: asyncio.AbstractEventLoop, **settings: Any) -> ServerCore:
        core = ServerCore(loop, self.request_handler, self.request_factory, name="Server", **settings)
        core.has_prepare_hooks = self.request_factory is not BaseRequest  # another request may know of some
        self._core = core
        return core

    @property
    def connections(self) -> list[ServerConnection]:
        """The connections that are open."""
        return [] if self._core is None else list(self._core.connections)

    @property
    def requests_count(self) -> int:
        """The requests so far."""
        return 0 if self._core is None else self._core.served

    def pre_shutdown(self) -> None:
        """Close the connections that idle, and each of the others after its answer; `shutdown` is to follow."""
        if self._core is not None:
            self._core.pre_shutdown()

    async def shutdown(self, timeout: float | None = None) -> CloseReport:
        """Close all connections; return what was done. Of a server that a runner runs: see `BaseRunner.cleanup`.

        Args:
            timeout: seconds that requests in flight have to end, None for as long as they like.

        Cancelled, it aborts what is left.
        """
        return CloseReport("Server") if self._core is None else await self._core.shutdown(timeout)


class ServerRunner(BaseRunner):
    """Runs a `Server`."""

    def __init__(self, web_server: Server, **settings: Any) -> None:
        for name in ("handle_signals", "shutdown_timeout"):
            if name in web_server.settings and name not in settings:
                settings[name] = web_server.settings[name]
        super().__init__(**{**web_server.settings, **settings})
        self._web_server = web_server

    def _make_core(self, loop: asyncio.AbstractEventLoop, **settings: Any) -> ServerCore:
        return self._web_server._make_core(loop, **settings)


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
        app = self._app
        await app.startup()
        app.freeze()
        self._core.has_prepare_hooks = app._has_prepare_hooks()

        async def end_app() -> None:  # of the application, not of the runner, which may be what was forgotten
            try:
                await app.shutdown()
            finally:
                await app.cleanup()

        self._core.end_app = end_app

    async def _cleanup(self) -> None:
        await self._app.cleanup()


async def _leave_nothing(core: ServerCore, at: Origin) -> None:
    """End what a closing that was cancelled has left: what it has cancelled and aborted is not over yet."""
    if core.state is not State.CLOSED:
        await close(core, timeout=0, at=at, reason="the closing itself was cancelled")
    left: set[asyncio.Future[Any]] = {task for task in core.tasks if not task.done()}
    left |= {future for node in core.subtree() if (future := node.gone()) is not None and not future.done()}
    spare = core.starter.end()
    if not spare.done():
        left.add(spare)
    if left:
        await asyncio.wait(left, timeout=GOODBYE)


def _note(errors: list[BaseException], error: Exception) -> None:
    errors += error.exceptions if isinstance(error, CleanupError) else [error]


def _log_errors(core: ServerCore, errors: list[BaseException]) -> None:
    for error in errors:
        core.logger.error("Error while %s was cleaned up: %r", core.describe(), error, exc_info=error)


def _raise_errors(errors: list[BaseException]) -> None:
    """Raise the one error, or a `CleanupError` of several."""
    if len(errors) == 1 and isinstance(errors[0], Exception):
        raise errors[0]
    if errors:
        message = f"{len(errors)} things failed while the server was cleaned up"
        raise CleanupError(message, errors)
