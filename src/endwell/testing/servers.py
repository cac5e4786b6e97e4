"""Servers for tests, on real sockets of this machine: `TestServer` for an application, `RawTestServer` for a handler.

Used by users' tests, by `testing.client` and by the fixtures of the pytest plugin.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from enum import Enum
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn, Self

from yarl import URL

from endwell.http.typedefs import StrOrURL
from endwell.lifetime import CloseReport
from endwell.server.runner import AppRunner, BaseRunner, Server, ServerRunner
from endwell.server.sites import SockSite
from endwell.testing.ports import get_port_socket

if TYPE_CHECKING:
    from ssl import SSLContext

    from endwell.server.application import Application
    from endwell.server.core import ServerCore
    from endwell.server.request import BaseRequest
    from endwell.server.response import StreamResponse

__all__ = ("BaseTestServer", "RawTestServer", "TestServer")

SocketFactory = Callable[[str, int, socket.AddressFamily], socket.socket]

SHUTDOWN_TIMEOUT: Final = 10.0
"""Seconds that requests in flight have to end when a test server closes: a program may wait longer than a test."""


class _Stage(Enum):
    """Where a server is in its life."""

    NEW = "not started"
    STARTING = "being started"
    RUNNING = "running"
    CLOSED = "closed"


class BaseTestServer(ABC):
    """What the test servers have in common. Use it as ``async with TestServer(app) as server``, or `close` it.

    Args:
        scheme: of the URLs that `make_url` gives; by default ``https`` with `ssl`, else ``http``.
        loop: not used: the server runs on the loop that `start_server` is awaited on.
        host: an address of this machine, or a name of one.
        port: by default one that nobody uses.
        skip_url_asserts: have `make_url` leave absolute URLs as they are, and not refuse them.
        socket_factory: gives the bound socket for a host, a port and a family; the server closes it.
        ssl: speak TLS.
        **settings: what a runner can be told (see `AppRunner`). Unlike there, `handler_cancellation` is on, and
            `shutdown_timeout` 10 seconds: a test does not wait for what nobody is going to read.

    Attributes:
        host, port, scheme: where it listens; `port` is None as long as it does not.
        runner: runs the server, None as long as it was not started.

    """

    __test__: ClassVar = False  # not a class with tests, whatever its name says to pytest

    def __init__(
        self,
        *,
        scheme: str = "",
        loop: asyncio.AbstractEventLoop | None = None,
        host: str = "127.0.0.1",
        port: int | None = None,
        skip_url_asserts: bool = False,
        socket_factory: SocketFactory = get_port_socket,
        ssl: SSLContext | None = None,
        **settings: Any,
    ) -> None:
        self.host = host
        self.port = port
        self.scheme = scheme
        self.skip_url_asserts = skip_url_asserts
        self.socket_factory = socket_factory
        self.runner: BaseRunner | None = None
        self._wanted_port = port or 0
        self._given_scheme = scheme
        self._ssl = ssl
        self._settings = settings
        self._root: URL | None = None
        self._stage = _Stage.NEW

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._stage.value if self._root is None else self._root}>"

    async def start_server(self, loop: asyncio.AbstractEventLoop | None = None, **settings: Any) -> None:
        """Start to listen; nothing happens when it listens already.

        Args:
            loop: not used.
            **settings: more of what the constructor takes for the runner, and ``ssl``.

        When it fails or is cancelled everything that had started is ended again.

        Raises:
            RuntimeError: it was closed, or somebody is starting it right now.
            OSError: the address can't be had.
            TypeError: a setting that there is not.

        """
        if self._stage is _Stage.RUNNING:
            return
        if self._stage is not _Stage.NEW:
            again = "await the start" if self._stage is _Stage.STARTING else "make a new one"
            message = f"{self!r} can't be started again; {again}"
            raise RuntimeError(message)
        settings = {
            "handler_cancellation": True,
            "shutdown_timeout": SHUTDOWN_TIMEOUT,
            **self._settings,
            **settings,
        }
        tls = settings.pop("ssl", self._ssl)
        self._stage = _Stage.STARTING
        try:
            runner = await self._make_runner(**settings)
            port = await self._listen(runner, tls)
            self._stage = _Stage.RUNNING
        finally:
            if self._stage is _Stage.STARTING:
                self._stage = _Stage.NEW
        self.runner = runner
        self.port = port
        self.scheme = self._given_scheme or ("https" if tls is not None else "http")
        self._root = URL.build(scheme=self.scheme, host=self.host, port=port, path="/")

    async def _listen(self, runner: BaseRunner, tls: SSLContext | None) -> int:
        """Set the runner up and have it listen; return the port."""
        started = False
        sock: socket.socket | None = None
        try:
            await runner.setup()
            if runner.server is not None:
                runner.server.advice = "write: async with TestServer(...) as server, or await server.close()"
            sock = self.socket_factory(self.host, self._wanted_port, _family(self.host))
            port = int(sock.getsockname()[1])
            await SockSite(runner, sock, ssl_context=tls).start()
            sock = None  # the site's now
            if self._stage is not _Stage.STARTING:
                message = f"{self!r} was closed while it was being started"
                raise RuntimeError(message)
            started = True
        finally:
            if not started:
                if sock is not None:
                    sock.close()
                await runner.cleanup()
        return port

    @abstractmethod
    async def _make_runner(self, **settings: Any) -> BaseRunner:
        """Make the runner, which is set up by the caller."""

    def make_url(self, path: StrOrURL) -> URL:
        """Give the URL of a path on this server.

        Raises:
            RuntimeError: the server does not listen.
            ValueError: what was given is not relative.

        """
        url = URL(path)
        if url.absolute:
            if self.skip_url_asserts:
                return url
            message = f"make_url() takes a path on {self!r}, not a whole URL ({url.scheme or ''}://{url.host or ''})"
            raise ValueError(message)
        if self._root is None:
            message = f"{self!r} has no URL: it does not listen; write: async with TestServer(...) as server"
            raise RuntimeError(message)
        return self._root.join(url)

    @property
    def started(self) -> bool:
        """Whether `start_server` has been here; stays true."""
        return self.runner is not None

    @property
    def closed(self) -> bool:
        """Whether it was closed after a start, or during it."""
        return self._stage is _Stage.CLOSED

    @property
    def handler(self) -> ServerCore:
        """The running server, as `BaseRunner.server` gives it.

        Raises:
            RuntimeError: there is none.

        """
        core = self.runner.server if self.runner is not None else None
        if core is None:
            message = f"{self!r} does not run; write: async with TestServer(...) as server"
            raise RuntimeError(message)
        return core

    async def close(self) -> CloseReport | None:
        """Close the server; return what was done, None when it had not been started.

        Requests in flight are answered, for `shutdown_timeout` seconds at most; when it returns nothing is left. A
        second caller awaits the first. Cancelling it ends the waiting, never the cleaning up. A start under way fails.
        """
        if self._stage is not _Stage.NEW:
            self._stage = _Stage.CLOSED
        if self.runner is None:
            return None
        self._root = None
        self.port = None
        return await self.runner.cleanup()

    def __enter__(self) -> NoReturn:
        message = f"Use async with instead: async with {type(self).__name__}(...) as server"
        raise TypeError(message)

    def __exit__(self, *exc: object) -> None:  # noqa: B027 - never called, so not to be overridden
        """Never called: `__enter__` raises."""

    async def __aenter__(self) -> Self:
        await self.start_server()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class TestServer(BaseTestServer):
    """Serves an application. See `BaseTestServer` for the other arguments.

    Attributes:
        app: the application.

    """

    def __init__(
        self, app: Application, *, scheme: str = "", host: str = "127.0.0.1", port: int | None = None, **kwargs: Any
    ) -> None:
        self.app = app
        super().__init__(scheme=scheme, host=host, port=port, **kwargs)

    async def _make_runner(self, **settings: Any) -> BaseRunner:
        return AppRunner(self.app, **settings)


class RawTestServer(BaseTestServer):
    """Serves every request with one handler, which gets a `BaseRequest`. See `BaseTestServer` for the other arguments.

    The answer to an error of the handler shows the traceback (``debug=True``).
    """

    def __init__(
        self,
        handler: Callable[[BaseRequest], Awaitable[StreamResponse]],
        *,
        scheme: str = "",
        host: str = "127.0.0.1",
        port: int | None = None,
        **kwargs: Any,
    ) -> None:
        self._handler = handler
        super().__init__(scheme=scheme, host=host, port=port, **kwargs)

    async def _make_runner(self, debug: bool = True, **settings: Any) -> BaseRunner:
        return ServerRunner(Server(self._handler), debug=debug, **settings)


def _family(host: str) -> socket.AddressFamily:
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:  # a name
        return socket.AF_INET
    return socket.AF_INET6 if version == 6 else socket.AF_INET
