"""A listening socket: accepts connections until it is stopped (closing.md C13).

TLS is begun here on a connection that was accepted already, and not by the loop's own server: so a handshake under way
is a resource like any other, and a closing finds it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from endwell.lifetime import Owner, Resource
from endwell.lifetime.origin import caller
from endwell.lifetime.tasks import spawn
from endwell.transport.stream import Stream

__all__ = ("HANDSHAKE_TIMEOUT", "Listener", "listen")

HANDSHAKE_TIMEOUT: Final = 10.0
"""Seconds that a client has for the TLS handshake."""

_SHUTDOWN_TIMEOUT: Final = 5.0


class Listener(Resource):
    """The listening sockets of one address.

    Attributes:
        sockets: addresses as `getsockname` gives them.
        path: of a Unix socket, which is removed with the listener.

    """

    __slots__ = ("_inode", "_server", "addresses", "path")

    kind = "listener"

    def __init__(self, owner: Owner, server: asyncio.AbstractServer, path: str | None) -> None:
        super().__init__(owner)
        self._server = server
        self.path = path
        self._inode = _inode(path)
        self.addresses: list[Any] = [sock.getsockname() for sock in getattr(server, "sockets", ())]

    def describe(self) -> str:
        """See `Resource.describe`."""
        return f"listener on {self.path or ', '.join(map(str, self.addresses))}"

    def _stop(self) -> None:
        self._release()

    def _abort(self, reason: str) -> None:
        self._release()

    def _release(self) -> None:
        if self._server.is_serving():
            if self._server.get_loop().is_closed():
                for sock in getattr(self._server, "sockets", ()):
                    sock._sock.close()  # of asyncio: there is no public way, and uvloop has closed its own
            else:
                self._server.close()
            # Another server may have taken the path meanwhile: its socket is not ours to remove.
            if self.path and self._inode is not None and _inode(self.path) == self._inode:
                with contextlib.suppress(OSError):
                    Path(self.path).unlink()
        self.ended()


async def listen(
    owner: Owner,
    make: Callable[[], Stream],
    *,
    host: str | list[str] | None = None,
    port: int = 0,
    path: str | None = None,
    sock: socket.socket | None = None,
    tls: ssl.SSLContext | None = None,
    backlog: int = 128,
    reuse_address: bool | None = None,
    reuse_port: bool | None = None,
) -> Listener:
    """Start to accept connections, each served by the stream that `make` gives.

    Raises:
        OSError: the address can't be had.

    """
    factory: Callable[[], asyncio.BaseProtocol] = make
    if tls is not None:
        context = tls
        factory = lambda: _Handshake(owner, make, context)  # noqa: E731
    loop = owner.loop
    server: asyncio.AbstractServer
    if path is not None:
        sock = _bound(path)
    if sock is not None and sock.family == getattr(socket, "AF_UNIX", None):
        server = await loop.create_unix_server(factory, sock=sock, backlog=backlog)
    elif sock is not None:
        server = await loop.create_server(factory, sock=sock, backlog=backlog)
    else:
        server = await loop.create_server(
            factory, host, port, backlog=backlog, reuse_address=reuse_address, reuse_port=reuse_port
        )
    return Listener(owner, server, path)


class _Handshake(Stream):
    """An accepted connection before its TLS handshake is over."""

    __slots__ = ("_context", "_made", "_make")

    kind = "TLS handshake"

    def __init__(self, owner: Owner, make: Callable[[], Stream], context: ssl.SSLContext) -> None:
        super().__init__(owner, owner.loop)
        self._make = make
        self._context = context
        self._made: Stream | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        super().connection_made(transport)
        assert isinstance(self.owner, Owner)
        spawn(self.owner, self._shake_hands(), origin=caller(), name="endwell: TLS handshake", part_of_work=True)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection is gone."""
        if self._made is None:
            super().connection_lost(exc)

    def _stop(self) -> None:
        self.discard()

    async def _shake_hands(self) -> None:
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        stream = self._make()
        try:
            secure = await self.loop.start_tls(
                transport,
                stream,
                self._context,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
                ssl_shutdown_timeout=_SHUTDOWN_TIMEOUT,
            )
        except (OSError, ssl.SSLError):
            secure = None
        if secure is None:
            stream.ended()
            self.discard()
            return
        self._made = stream
        self.ended()
        stream.connection_made(secure)


def _inode(path: str | None) -> tuple[int, int] | None:
    if path is None or path.startswith("\0"):
        return None
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _bound(path: str) -> socket.socket:
    """Bind a Unix socket. The loop's own way would take the path away from a server that still lives."""
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.bind(path)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"Cannot listen on the Unix socket {path!r}: {error.strerror}") from error
    return sock


def _remove_stale(path: str) -> None:
    """Remove the socket that a server left behind which did not end well; a living one keeps it."""
    try:
        if path.startswith("\0") or not stat.S_ISSOCK(Path(path).stat().st_mode):
            return
    except OSError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()
        except OSError:
            pass
