"""`run_app`: one program that is one server, from its start to its end in order (closing.md C13).

The first SIGINT or SIGTERM ends the server in order. The second cuts short what it waits for; everything is still
cleaned up. The third ends the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Final

from endwell.http.typedefs import PathLike
from endwell.lifetime import CloseReport
from endwell.lifetime.tasks import start
from endwell.server.access_log import AbstractAccessLogger, AccessLogger
from endwell.server.application import Application
from endwell.server.core import access_logger
from endwell.server.runner import AppRunner, GracefulExit
from endwell.server.sites import BaseSite, SockSite, TCPSite, UnixSite

__all__ = ("run_app",)

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class _Ending:
    """Counts the signals, and says what each of them means."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.asked: asyncio.Future[None] = loop.create_future()
        self.runner: AppRunner | None = None
        self.starting: asyncio.Task[Any] | None = None
        self.count = 0
        self.listening = False

    def ask(self) -> None:
        """Take a signal."""
        self.count += 1
        if self.count == 1:
            self.begin()
            return
        if self.runner is not None:
            self.runner._hasten()
        self.deaf()
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)  # the third ends the process, also one that never comes to its loop

    def begin(self) -> None:
        """Have the server end in order; a start under way is broken off."""
        if not self.asked.done():
            self.asked.set_result(None)
            if self.starting is not None:
                self.starting.cancel("the program is told to end")

    def listen(self) -> None:
        """Take the signals of the process."""
        self.listening = True
        for number in _SIGNALS:
            try:
                self.loop.add_signal_handler(number, self.ask)
            except NotImplementedError:  # Windows
                signal.signal(number, lambda number, _: self.loop.call_soon_threadsafe(self.ask))

    def deaf(self) -> None:
        """Leave the signals to the process."""
        if self.listening:
            self.listening = False
            for number in _SIGNALS:
                with contextlib.suppress(NotImplementedError, RuntimeError):
                    self.loop.remove_signal_handler(number)

    def over(self) -> None:
        """Leave the signals as they were found."""
        self.deaf()
        if self.count > 1:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def run_app(  # long: its arguments, one line each
    app: Application | Awaitable[Application],
    *,
    host: str | Iterable[str] | None = None,
    port: int | None = None,
    path: PathLike | Iterable[PathLike] | None = None,
    sock: socket.socket | Iterable[socket.socket] | None = None,
    shutdown_timeout: float = 60.0,
    keepalive_timeout: float = 75.0,
    ssl_context: ssl.SSLContext | None = None,
    print: Callable[..., None] | None = print,  # noqa: A002 - aiohttp's name
    backlog: int = 128,
    access_log_class: type[AbstractAccessLogger] = AccessLogger,
    access_log_format: str = AccessLogger.LOG_FORMAT,
    access_log: logging.Logger | None = access_logger,
    handle_signals: bool = True,
    reuse_address: bool | None = None,
    reuse_port: bool | None = None,
    handler_cancellation: bool = False,
    loop: asyncio.AbstractEventLoop | None = None,
    **settings: Any,
) -> None:
    """Serve an application until the process is told to end, then end in order.

    Args:
        app: the application, or a coroutine that makes it.
        host: where to listen; several are possible. None: all addresses.
        port: 8080 by default, with TLS 8443.
        path: of a Unix socket to listen on, instead or as well.
        sock: to listen on, instead or as well.
        shutdown_timeout: seconds that requests in flight have to end.
        keepalive_timeout: seconds a connection may idle between two requests.
        ssl_context: speak TLS.
        print: tells the user where it listens; None for silence.
        backlog: connections that wait to be accepted.
        access_log_class: makes the lines of the access log.
        access_log_format: see `AccessLogger`.
        access_log: gets them; None for no access log.
        handle_signals: end in order on SIGINT and SIGTERM. The second signal stops the waiting, the third the process.
        reuse_address: see `socket.SO_REUSEADDR`.
        reuse_port: see `socket.SO_REUSEPORT`.
        handler_cancellation: cancel a handler when its client has gone.
        loop: to run on; it is closed at the end. By default a new one is made.
        **settings: see `server.settings.core_settings`.

    Returns when all was drained; the exit status of the program is its own then.

    Raises:
        SystemExit: with status 1, when requests or tasks had to be cut short.

    """
    if loop is None:
        loop = asyncio.new_event_loop()
    if loop.get_debug() and access_log is not None and access_log.name == access_logger.name:
        if access_log.level == logging.NOTSET:
            access_log.setLevel(logging.DEBUG)
        if not access_log.hasHandlers():
            access_log.addHandler(logging.StreamHandler())
    places = _Places(host, port, path, sock, ssl_context, backlog, reuse_address, reuse_port)
    settings.update(
        shutdown_timeout=shutdown_timeout,
        keepalive_timeout=keepalive_timeout,
        access_log_class=access_log_class,
        access_log_format=access_log_format,
        access_log=access_log,
        handler_cancellation=handler_cancellation,
    )
    ending = _Ending(loop)
    report: CloseReport | None = None
    try:
        asyncio.set_event_loop(loop)
        if handle_signals:
            ending.listen()
        _run(loop, ending, _serve(app, places, ending, settings, print))
        report = ending.runner._report if ending.runner is not None else None
    finally:
        ending.over()
        _end_loop(loop)
        asyncio.set_event_loop(None)
    if report is not None and report.aborted:
        sys.exit(1)


class _Places:
    """Where to listen."""

    def __init__(  # noqa: PLR0917 - one caller, the arguments of `run_app` in their order
        self,
        host: str | Iterable[str] | None,
        port: int | None,
        path: PathLike | Iterable[PathLike] | None,
        sock: socket.socket | Iterable[socket.socket] | None,
        tls: ssl.SSLContext | None,
        backlog: int,
        reuse_address: bool | None,
        reuse_port: bool | None,
    ) -> None:
        self.hosts: list[str | None] = []
        if host is not None:
            self.hosts += [host] if isinstance(host, str) else list(host)
        elif (path is None and sock is None) or port is not None:
            self.hosts.append(None)
        self.port = port
        self.paths = [] if path is None else [path] if isinstance(path, (str, os.PathLike)) else list(path)
        self.socks = [] if sock is None else [sock] if isinstance(sock, socket.socket) else list(sock)
        self.tls = tls
        self.backlog = backlog
        self.reuse = {"reuse_address": reuse_address, "reuse_port": reuse_port}

    def sites(self, runner: AppRunner) -> list[BaseSite]:
        """Make the sites, not yet started."""
        tls, backlog = self.tls, self.backlog
        sites: list[BaseSite] = [
            TCPSite(runner, host, self.port, ssl_context=tls, backlog=backlog, **self.reuse) for host in self.hosts
        ]
        sites += [UnixSite(runner, path, ssl_context=tls, backlog=backlog) for path in self.paths]
        sites += [SockSite(runner, sock, ssl_context=tls, backlog=backlog) for sock in self.socks]
        return sites


async def _serve(
    app: Application | Awaitable[Application],
    places: _Places,
    ending: _Ending,
    settings: dict[str, Any],
    tell: Callable[..., None] | None,
) -> None:
    """Serve until told to end."""
    ending.starting = asyncio.current_task()
    try:
        if not isinstance(app, Application):
            app = await app
        runner = ending.runner = AppRunner(app, **settings)
        await runner.setup()
        for site in places.sites(runner):
            await site.start()
        ending.starting = None
        if tell is not None and not ending.asked.done():
            names = ", ".join(sorted(str(site.name) for site in runner.sites))
            tell(f"======== Running on {names} ========\n(Press CTRL+C to quit)")
        await asyncio.wait([ending.asked])
    finally:
        ending.starting = None
        if ending.runner is not None:
            await ending.runner.cleanup()


def _run(loop: asyncio.AbstractEventLoop, ending: _Ending, coro: Coroutine[Any, Any, None]) -> None:
    """Run to the end, also when something raises `GracefulExit` or the user presses Ctrl-C meanwhile."""
    task = start(loop, coro, "endwell: run_app")
    while True:
        try:
            loop.run_until_complete(task)
        except (GracefulExit, KeyboardInterrupt) as error:
            if task.done():
                if not task.cancelled():
                    task.exception()  # it is seen
                return
            if isinstance(error, GracefulExit):
                ending.begin()
            elif ending.count < 2:
                ending.ask()
            else:
                raise
        except asyncio.CancelledError:
            if not ending.asked.done():
                raise
            return
        else:
            return


def _end_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what still runs, and close the loop, as `asyncio.run` does."""
    try:
        tasks = [task for task in asyncio.all_tasks(loop) if not task.done()]
        for task in tasks:
            task.cancel()
        loop.run_until_complete(_gather(tasks))
        for task in tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                context = {"message": "unhandled exception during run_app() shutdown", "exception": error, "task": task}
                loop.call_exception_handler(context)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


async def _gather(tasks: list[asyncio.Task[Any]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
