"""`run_app`: one program that is one server, from its start to its end in order (closing.md C13).

What the signals mean, and how the loop is run and ended, is in `ending`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

from endwell.http.typedefs import PathLike
from endwell.lifetime import CloseReport
from endwell.server.access_log import AbstractAccessLogger, AccessLogger
from endwell.server.application import Application
from endwell.server.core import access_logger
from endwell.server.ending import Ending, end_loop, run, serve
from endwell.server.runner import AppRunner, BaseRunner
from endwell.server.sites import BaseSite, SockSite, TCPSite, UnixSite

__all__ = ("run_app",)


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
    ending = Ending(loop)
    report: CloseReport | None = None
    try:
        asyncio.set_event_loop(loop)
        if handle_signals:
            ending.listen()
        run(ending, serve(ending, _make_runner(app, settings), places.sites, partial(_tell, print)))
        report = ending.runner._report if ending.runner is not None else None
    finally:
        ending.over()
        end_loop(loop)
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

    def sites(self, runner: BaseRunner) -> list[BaseSite]:
        """Make the sites, not yet started."""
        tls, backlog = self.tls, self.backlog
        sites: list[BaseSite] = [
            TCPSite(runner, host, self.port, ssl_context=tls, backlog=backlog, **self.reuse) for host in self.hosts
        ]
        sites += [UnixSite(runner, path, ssl_context=tls, backlog=backlog) for path in self.paths]
        sites += [SockSite(runner, sock, ssl_context=tls, backlog=backlog) for sock in self.socks]
        return sites


async def _make_runner(app: Application | Awaitable[Application], settings: dict[str, Any]) -> AppRunner:
    return AppRunner(app if isinstance(app, Application) else await app, **settings)


def _tell(tell: Callable[..., None] | None, runner: BaseRunner) -> None:
    if tell is not None:
        names = ", ".join(sorted(str(site.name) for site in runner.sites))
        tell(f"======== Running on {names} ========\n(Press CTRL+C to quit)")
