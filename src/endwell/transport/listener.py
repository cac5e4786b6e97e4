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
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Final, Protocol

from endwell.lifetime import Origin, Owner, Resource, State
from endwell.lifetime.closing import finish_one
from endwell.lifetime.tasks import spawn
from endwell.transport.accepted import Accepted

__all__ = ("HANDSHAKE_TIMEOUT", "Listener", "listen", "remove_stale_socket")

HANDSHAKE_TIMEOUT: Final = 10.0
"""Seconds that a client has for the TLS handshake."""

_NOWHERE: Final = Origin(None, 0)
_NO_TIMEOUT: Final = 24 * 3600.0
"""Of the loop's TLS for its goodbye: it would cut off who reads slowly. Whoever owns the stream knows better."""


class Listener(Resource):
    """The listening sockets of one address.

    Attributes:
        addresses: of the sockets, as `getsockname` gives them.
        path: of a Unix socket, which is removed with the listener.

    """

    __slots__ = ("_gone", "_inode", "_server", "addresses", "path")

    kind = "listener"

    def __init__(self, owner: Owner, server: asyncio.AbstractServer, path: str | None) -> None:
        super().__init__(owner)
        self._server = server
        self._gone: asyncio.Future[None] | None = None
        self.path = path
        self._inode = _inode(path)
        self.addresses: list[Any] = [sock.getsockname() for sock in getattr(server, "sockets", ())]

    def describe(self) -> str:
        """See `Resource.describe`."""
        return f"listener on {self.path or ', '.join(map(str, self.addresses))}"

    async def start(self) -> None:
        """Begin to accept connections."""
        await self._server.start_serving()

    def gone(self) -> asyncio.Future[None] | None:
        """See `Resource.gone`: what the loop had just accepted becomes a stream before this is done."""
        return self._gone

    def _stop(self) -> None:
        self._release()

    def _abort(self, reason: str) -> None:
        self._release()

    def _release(self) -> None:
        if self._gone is not None or self.state in (State.CLOSED, State.FOREIGN):
            return
        loop = self._server.get_loop()
        if isinstance(loop, asyncio.SelectorEventLoop):
            # The loop's own `close` would have it lose what it has just accepted, and not close that socket.
            for sock in getattr(self._server, "sockets", ()):
                if not loop.is_closed():
                    loop.remove_reader(sock.fileno())
                sock._sock.close()  # there is no public way
        elif not loop.is_closed():  # uvloop closes its sockets with it
            self._server.close()
        # Another server may have taken the path meanwhile: its socket is not ours to remove.
        if self.path and self._inode is not None and _inode(self.path) == self._inode:
            with contextlib.suppress(OSError):
                Path(self.path).unlink()
        if loop.is_running():
            self._gone = loop.create_future()
            loop.call_soon(loop.call_soon, self._over)
        else:
            self.ended()

    def _over(self) -> None:
        self.ended()
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    def _inherited(self) -> None:
        # Closed here, it would be taken out of the selector that the child shares with its parent.
        _foreign.append(self._server)


_foreign: list[asyncio.AbstractServer] = []
"""In a forked child: what listens in the parent, kept for as long as the child lives."""


class Gate(Protocol):
    """Bounds the number of handshakes that are under way."""

    def shakes(self, handshake: Accepted) -> bool:
        """Take a new one; False when there are too many connections."""

    def shook(self, handshake: Accepted) -> None:
        """Note its end, one way or the other; idempotent."""


async def listen(
    owner: Owner,
    make: Callable[[], Accepted],
    *,
    host: str | list[str] | None = None,
    port: int = 0,
    path: str | None = None,
    sock: socket.socket | None = None,
    tls: ssl.SSLContext | None = None,
    backlog: int = 128,
    reuse_address: bool | None = None,
    reuse_port: bool | None = None,
    gate: Gate | None = None,
) -> Listener:
    """Start to accept connections, each served by the stream that `make` gives.

    `gate` is asked about TLS handshakes. Cancelled, it leaves nothing that listens.

    Raises:
        OSError: the address can't be had.
        RuntimeError: the owner is being closed.

    """
    factory: Callable[[], asyncio.BaseProtocol] = make
    if tls is not None:
        context = tls
        factory = lambda: _Handshake(owner, make, context, gate)  # noqa: E731
    loop = owner.loop
    server: asyncio.AbstractServer
    # Not serving yet: the loop waits for a pass after it has begun to serve, and who is cancelled there loses a server.
    if path is not None:
        sock = _bound(path, backlog)
    if sock is not None and sock.family == getattr(socket, "AF_UNIX", None):
        server = await _unix_server(loop, factory, sock, backlog)
    elif sock is not None:
        server = await loop.create_server(factory, sock=sock, backlog=backlog, start_serving=False)
    else:
        server = await loop.create_server(
            factory,
            host,
            port,
            backlog=backlog,
            reuse_address=reuse_address,
            reuse_port=reuse_port,
            start_serving=False,
        )
    listener = Listener(owner, server, path)
    started = False
    try:
        if owner.state is State.OPEN:
            await listener.start()
            started = owner.state is State.OPEN
    finally:
        if not started:
            await finish_one(listener, 0)
    if not started:
        message = f"{owner.describe()} is being closed, or was: nothing can listen for it any more"
        raise RuntimeError(message)
    return listener


async def _unix_server(
    loop: asyncio.AbstractEventLoop,
    factory: Callable[[], asyncio.BaseProtocol],
    sock: socket.socket,
    backlog: int,
) -> asyncio.AbstractServer:
    """Make a server that leaves the path alone: the listener removes it, or another process that shares it."""
    if sys.version_info >= (3, 13):
        with contextlib.suppress(TypeError):  # uvloop before 0.22 does not know the argument, and leaves it alone
            return await loop.create_unix_server(
                factory, sock=sock, backlog=backlog, start_serving=False, cleanup_socket=False
            )
    return await loop.create_unix_server(factory, sock=sock, backlog=backlog, start_serving=False)


class _Handshake(Accepted):
    """An accepted connection before its TLS handshake is over.

    What the client sends with the end of the handshake comes before the loop has said that it is over: it is kept here,
    and given to the stream that goes on.
    """

    __slots__ = ("_context", "_early", "_ended", "_gate", "_make", "_stream")

    kind = "TLS handshake"

    def __init__(self, owner: Owner, make: Callable[[], Accepted], context: ssl.SSLContext, gate: Gate | None) -> None:
        super().__init__(owner, owner.loop)
        self._gate = gate
        self._make = make
        self._context = context
        self._early: list[bytes] = []
        self._ended = False
        self._stream: Accepted | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        super().connection_made(transport)
        if self._gate is not None and not self._gate.shakes(self):
            self.discard()
        elif not transport.is_closing():
            assert isinstance(self.owner, Owner)
            spawn(self.owner, self._shake_hands(), origin=_NOWHERE, name="endwell: TLS handshake", part_of_work=True)

    def ended(self) -> None:
        """See `Resource.ended`."""
        super().ended()
        if self._gate is not None:
            self._gate.shook(self)

    def data_received(self, data: bytes) -> None:
        """Keep what comes with the end of the handshake; or before its beginning, which uvloop cannot be kept from."""
        self._early.append(data)
        if self.transport is not None:
            self.transport.pause_reading()  # a client that sends a lot would fill the memory before anybody is there

    def eof_received(self) -> None:
        """Note that the client has ended its side already."""
        self._ended = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection is gone; the stream's end may be told to us, when it came just before."""
        if self._stream is not None:
            self._stream.connection_lost(exc)
        else:
            super().connection_lost(exc)

    def _stop(self) -> None:
        self.discard()

    async def _shake_hands(self) -> None:
        raw = self.transport
        if raw is None or raw.is_closing():
            return
        secure: asyncio.Transport | None = None
        try:
            secure = await self._secured(raw)
        except OSError:  # those of TLS are
            pass
        finally:
            if secure is None or raw.get_protocol() is None:  # there is none any more when the connection is gone
                self._failed(raw)
                secure = None
        if secure is not None:
            self.loop.call_soon(self._hand_over, raw, secure)  # no task is to be the current one when requests begin

    async def _secured(self, raw: asyncio.Transport) -> asyncio.Transport | None:
        """Begin TLS; what has come already goes to it in its turn: behind its beginning, before what comes next."""
        early, self._early = self._early, []
        starting = self.loop.start_tls(
            raw,
            self,
            self._context,
            server_side=True,
            ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
            ssl_shutdown_timeout=_NO_TIMEOUT,
        ).__await__()
        shaken: asyncio.Future[None] = next(starting)
        if early:
            self.loop.call_soon(_feed, raw.get_protocol(), b"".join(early))
        begun = False
        try:
            await asyncio.wait([shaken])
            begun = True
        finally:
            if not begun and shaken.cancel():
                starting.close()
            elif not begun:  # it was over in the same pass
                with contextlib.suppress(OSError):
                    unwanted = _end_of(starting)
                    if unwanted is not None:
                        unwanted.abort()
        return _end_of(starting)

    def _failed(self, raw: asyncio.Transport) -> None:
        """Free the connection: the layer of TLS does not tell us of its end."""
        if raw.get_protocol() is None:
            self.connection_lost(None)
        else:
            raw.set_protocol(self)
            raw.abort()

    def _hand_over(self, raw: asyncio.Transport, secure: asyncio.Transport) -> None:
        """Have the stream go on that serves the connection."""
        if self.state is not State.OPEN or raw.get_protocol() is None:
            return
        stream = self._stream = self._make()
        stream.below = raw
        secure.set_protocol(stream)
        self.transport = None
        self.ended()
        if self._early and not raw.is_closing():
            raw.resume_reading()
        stream.connection_made(secure)
        for data in self._early:
            stream.data_received(data)
        if self._ended:
            stream.eof_received()


def _end_of(starting: Generator[Any, None, asyncio.Transport | None]) -> asyncio.Transport | None:
    """Give what a coroutine returns that waits no longer; or raise what it raises."""
    try:
        next(starting)
    except StopIteration as end:
        secure: asyncio.Transport | None = end.value
        return secure
    return None


def _feed(protocol: Any, data: bytes) -> None:
    """Give bytes to a `BufferedProtocol`."""
    while data:
        buffer = protocol.get_buffer(len(data))
        size = min(len(buffer), len(data))
        buffer[:size] = data[:size]
        protocol.buffer_updated(size)
        data = data[size:]


def _inode(path: str | None) -> tuple[int, int] | None:
    if path is None or path.startswith("\0"):
        return None
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _bound(path: str, backlog: int) -> socket.socket:
    """Bind a Unix socket. The loop's own way would take the path away from a server that still lives."""
    taken = remove_stale_socket(path)
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.bind(path)
        sock.listen(backlog)  # at once: another server that looks at the path is to see that we live
    except OSError as error:
        sock.close()
        why = taken or error.strerror or error
        raise OSError(error.errno, f"Cannot listen on the Unix socket {path!r}: {why}") from error
    return sock


def remove_stale_socket(path: str) -> str | None:
    """Remove the socket that a server left behind which did not end well; say what else is there."""
    try:
        if path.startswith("\0"):
            return None
        if not stat.S_ISSOCK(Path(path).lstat().st_mode):
            return "there is something else than a socket at this path"
    except (OSError, ValueError):
        return None
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()
            return None
        except OSError:
            pass
    return "another server listens on it"
