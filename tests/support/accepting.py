"""Accepts connections for test servers; a TLS handshake that fails is noted, and is no error of the server.

The loop's own `create_server` tells its exception handler (in debug mode) of each client that does not like the
certificate, or leaves in the handshake: for these tests that is what clients do.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any, Self


class Accepting:
    """A listener on loopback, TCP or a Unix socket, that gives each connection a protocol; a context manager.

    `failed_handshakes` are the errors of those that never became connections. The protocols are the user's to close.
    Its tasks are put into `tasks`; leaving the context cancels all that are there, those of the user too.
    """

    def __init__(
        self,
        factory: Callable[[], asyncio.BaseProtocol],
        *,
        tls: ssl.SSLContext | None = None,
        path: str | None = None,
        host: str = "127.0.0.1",
        tasks: set[asyncio.Task[None]] | None = None,
    ) -> None:
        self.failed_handshakes: list[OSError] = []
        self._factory = factory
        self._tls = tls
        self._path = path
        self._host = host
        self._tasks: set[asyncio.Task[None]] = set() if tasks is None else tasks

    @property
    def port(self) -> int:
        """The TCP port it listens on."""
        return int(self._listener.getsockname()[1])

    async def __aenter__(self) -> Self:
        if self._path is not None:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(self._path)
        else:
            family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
            self._listener = socket.create_server((self._host, 0), family=family)
        self._listener.listen(512)
        self._listener.setblocking(False)
        self._start(self._accept())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._listener.close()

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            sock, _ = await loop.sock_accept(self._listener)
            sock.setblocking(False)
            if self._path is None:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._start(self._shake_hands(sock))

    async def _shake_hands(self, sock: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._factory, sock, ssl=self._tls)
        except OSError as error:
            self.failed_handshakes.append(error)
