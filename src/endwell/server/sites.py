"""Where a server listens: a TCP address, a Unix socket, a socket that somebody gives."""

from __future__ import annotations

import os
import socket
import ssl
from abc import ABC, abstractmethod
from typing import Any

from yarl import URL

from endwell.http.typedefs import PathLike
from endwell.lifetime import State
from endwell.lifetime.closing import finish_one
from endwell.server.runner import BaseRunner
from endwell.transport.listener import Listener, listen

__all__ = ("BaseSite", "SockSite", "TCPSite", "UnixSite")


class BaseSite(ABC):
    """One place to listen at.

    Args:
        runner: what is served; it must be set up.
        ssl_context: speak TLS.
        backlog: connections that wait to be accepted.

    """

    def __init__(
        self,
        runner: BaseRunner,
        *,
        shutdown_timeout: float | None = None,
        ssl_context: ssl.SSLContext | None = None,
        backlog: int = 128,
    ) -> None:
        self._core = runner._core_to_serve
        if shutdown_timeout is not None:
            self._core.close_timeout = runner._shutdown_timeout = shutdown_timeout
        self._runner = runner
        self._ssl_context = ssl_context
        self._backlog = backlog
        self._listener: Listener | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    @property
    @abstractmethod
    def name(self) -> str:
        """The address as a URL."""

    @property
    def addresses(self) -> list[Any]:
        """The addresses of the sockets, as `getsockname` gives them."""
        return [] if self._listener is None else self._listener.addresses

    async def start(self) -> None:
        """Listen.

        Raises:
            RuntimeError: this site listens already; or the server is being closed, belongs to another event loop, or
                is the parent's.
            OSError: the address can't be had.

        """
        core = self._core
        core.check_loop()
        if core.state is not State.OPEN:
            message = f"{core.describe()} is being closed, or was: {self!r} cannot listen for it any more"
            raise RuntimeError(message)
        self._runner._site_started(self)
        started = False
        try:
            self._listener = await self._listen()
            started = True
        finally:
            if not started and self in self._runner.sites:
                self._runner._site_stopped(self)

    async def stop(self) -> None:
        """Stop listening; connections that there are stay."""
        self._runner._site_stopped(self)
        if self._listener is not None:
            await finish_one(self._listener, 0)

    @abstractmethod
    async def _listen(self) -> Listener:
        """Start to listen."""

    @property
    def _scheme(self) -> str:
        return "https" if self._ssl_context is not None else "http"


class TCPSite(BaseSite):
    """Listens at a host (None: all addresses of this machine) and a port (0: any; None: 8080, with TLS 8443)."""

    def __init__(
        self,
        runner: BaseRunner,
        host: str | None = None,
        port: int | None = None,
        *,
        shutdown_timeout: float | None = None,
        ssl_context: ssl.SSLContext | None = None,
        backlog: int = 128,
        reuse_address: bool | None = None,
        reuse_port: bool | None = None,
    ) -> None:
        super().__init__(runner, shutdown_timeout=shutdown_timeout, ssl_context=ssl_context, backlog=backlog)
        self._host = host
        self._port = port if port is not None else (8443 if ssl_context is not None else 8080)
        self._reuse_address = reuse_address
        self._reuse_port = reuse_port

    @property
    def port(self) -> int:
        """The port; the real one once the site listens."""
        addresses = self.addresses
        return int(addresses[0][1]) if addresses else self._port

    @property
    def name(self) -> str:
        """See `BaseSite.name`."""
        return str(URL.build(scheme=self._scheme, host=self._host or "0.0.0.0", port=self.port))  # noqa: S104

    async def _listen(self) -> Listener:
        return await listen(
            self._core,
            self._core.connection,
            host=self._host,
            port=self._port,
            tls=self._ssl_context,
            backlog=self._backlog,
            reuse_address=self._reuse_address,
            reuse_port=self._reuse_port,
            gate=self._core,
        )


class UnixSite(BaseSite):
    """Listens on a Unix socket, which is removed at the end."""

    def __init__(
        self,
        runner: BaseRunner,
        path: PathLike,
        *,
        shutdown_timeout: float | None = None,
        ssl_context: ssl.SSLContext | None = None,
        backlog: int = 128,
    ) -> None:
        super().__init__(runner, shutdown_timeout=shutdown_timeout, ssl_context=ssl_context, backlog=backlog)
        self._path = os.fspath(path)

    @property
    def name(self) -> str:
        """See `BaseSite.name`."""
        return f"{self._scheme}://unix:{self._path}:"

    async def _listen(self) -> Listener:
        return await listen(
            self._core,
            self._core.connection,
            path=self._path,
            tls=self._ssl_context,
            backlog=self._backlog,
            gate=self._core,
        )


class SockSite(BaseSite):
    """Listens on a socket that was bound already; it is closed at the end."""

    def __init__(
        self,
        runner: BaseRunner,
        sock: socket.socket,
        *,
        shutdown_timeout: float | None = None,
        ssl_context: ssl.SSLContext | None = None,
        backlog: int = 128,
    ) -> None:
        super().__init__(runner, shutdown_timeout=shutdown_timeout, ssl_context=ssl_context, backlog=backlog)
        self._sock = sock
        if sock.family == getattr(socket, "AF_UNIX", None):
            self._name = f"{self._scheme}://unix:{sock.getsockname()}:"
        else:
            host, port = sock.getsockname()[:2]
            self._name = str(URL.build(scheme=self._scheme, host=host, port=port))

    @property
    def name(self) -> str:
        """See `BaseSite.name`."""
        return self._name

    async def _listen(self) -> Listener:
        return await listen(
            self._core,
            self._core.connection,
            sock=self._sock,
            tls=self._ssl_context,
            backlog=self._backlog,
            gate=self._core,
        )
