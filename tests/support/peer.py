"""A server that does exactly what a test says, byte by byte; used by the hostile tests and the contract tests.

`ScriptedPeer` listens on loopback (TCP, TLS or a Unix socket) in the test's own loop, so that nothing is left to two
threads' luck. Each accepted connection runs a script, a plain `async def script(conn)`: the first connection the first
script, the second the second, later ones the last. When a script returns its connection is closed with a FIN (over
TLS after close_notify). An assertion that fails in a script fails the test when the peer is left.

    async def script(conn: PeerConnection) -> None:
        request = await conn.read_request()
        assert request.target == "/"
        await conn.send(b"HTTP/1.1 200 OK\\r\\nContent-Le", b"ngth: 2\\r\\n\\r\\nok")
        assert await conn.closed_by_client() == "fin"

    async with ScriptedPeer(script) as peer, endwell.ClientSession() as session:
        await session.get(peer.url("/"))

Raw sockets and `ssl.SSLObject` are used, never transports, so that a script decides about each FIN, RST and
close_notify, and so that a fault of endwell's transport can't hide in its peer.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Iterator
from types import TracebackType
from typing import Any, Self

Script = Callable[["PeerConnection"], Awaitable[None]]

# How often a script yields between two pieces so that the client has read the first before the second is sent.
FLUSH_PASSES = 4


class PeerRequest:
    """A request as it arrived: `method`, `target`, `version`, `fields` (names as sent), `body`, `raw_head`."""

    def __init__(self, raw_head: bytes) -> None:
        self.raw_head = raw_head
        lines = raw_head.removesuffix(b"\r\n\r\n").decode("latin-1").split("\r\n")
        self.method, self.target, self.version = lines[0].split(" ")
        self.fields = [(name, value.strip(" \t")) for name, _, value in (line.partition(":") for line in lines[1:])]
        self.body = b""

    def get_all(self, name: str) -> list[str]:
        """Return the values of a field, in order; names in any case."""
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        """Return the one value of a field or None; more than one is an error of the test's client."""
        values = self.get_all(name)
        assert len(values) <= 1, f"{name} was sent {len(values)} times"
        return values[0] if values else None


class _Raw:
    """One socket: bytes as they come, and the way the client ended it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.ended: str | None = None
        self._loop = asyncio.get_running_loop()

    async def receive(self) -> bytes:
        try:
            data = await self._loop.sock_recv(self.sock, 65536)
        except ConnectionError:
            self.ended = "rst"
            raise
        if not data:
            self.ended = self.ended or "fin"
        return data

    async def send(self, data: bytes) -> None:
        try:
            await self._loop.sock_sendall(self.sock, data)
        except ConnectionError:
            self.ended = "rst"
            raise


class _Tls:
    """TLS over a raw connection or over another TLS: records are made in memory and sent by the layer below."""

    def __init__(self, below: _Raw | _Tls, context: ssl.SSLContext) -> None:
        self._below = below
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.close_notify_seen = False

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._below.send(self._outgoing.read())

    async def handshake(self) -> None:
        while True:
            try:
                self.object.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                data = await self._below.receive()
                if not data:
                    raise ConnectionResetError("the client left during the TLS handshake") from None
                self._incoming.write(data)
            except ssl.SSLError:
                await self._flush()  # the alert that says why
                raise
            else:
                await self._flush()
                return

    async def receive(self) -> bytes:
        while True:
            try:
                data = self.object.read(65536)
            except ssl.SSLWantReadError:
                raw = await self._below.receive()
                if not raw:
                    return b""
                self._incoming.write(raw)
                continue
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):  # theirs, or ours before
                data = b""
            if not data:
                self.close_notify_seen = True
            return data

    async def send(self, data: bytes) -> None:
        self.object.write(data)
        await self._flush()

    async def close_notify(self) -> None:
        with contextlib.suppress(ssl.SSLError):
            self.object.unwrap()
        await self._flush()


class PeerConnection:
    """The peer's side of one connection, in the hands of a script."""

    def __init__(self, sock: socket.socket) -> None:
        self._raw = _Raw(sock)
        self._top: _Raw | _Tls = self._raw
        self._buffer = bytearray()
        self.received = bytearray()  # everything the client sent, decrypted
        self.requests: list[PeerRequest] = []
        self.open = True
        self.started = asyncio.Event()  # a request head has been read
        self.over = asyncio.Event()  # the script has returned

    @property
    def ended(self) -> str | None:
        """How the client ended the connection, as far as somebody read: `"fin"`, `"rst"` or None."""
        return self._raw.ended

    @property
    def close_notify_seen(self) -> bool:
        """Whether the client took leave of TLS before it ended the connection."""
        return isinstance(self._top, _Tls) and self._top.close_notify_seen

    @property
    def tls(self) -> ssl.SSLObject:
        """The TLS object of the innermost layer (for `version()`, `session_reused`, ...)."""
        assert isinstance(self._top, _Tls)
        return self._top.object

    # -- reading

    async def read(self) -> bytes:
        """Return the bytes that come next, `b""` at the end; raise `ConnectionError` after a reset."""
        if self._buffer:
            data = bytes(self._buffer)
            self._buffer.clear()
            return data
        data = await self._top.receive()
        self.received += data
        return data

    async def _more(self) -> None:
        data = await self._top.receive()
        if not data:
            raise EOFError(f"the client ended the connection after {bytes(self._buffer[-200:])!r}")
        self.received += data
        self._buffer += data

    async def read_exactly(self, size: int) -> bytes:
        """Return the next `size` bytes; raise `EOFError` when the client ends before."""
        while len(self._buffer) < size:
            await self._more()
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    async def read_until(self, end: bytes) -> bytes:
        """Return the bytes up to and including `end`; raise `EOFError` when the client ends before."""
        while (position := self._buffer.find(end)) < 0:
            await self._more()
        return await self.read_exactly(position + len(end))

    async def read_head(self) -> PeerRequest:
        """Read a request head and leave the body alone."""
        request = PeerRequest(await self.read_until(b"\r\n\r\n"))
        self.requests.append(request)
        self.started.set()
        return request

    async def read_request(self) -> PeerRequest:
        """Read a request with its body, by Content-Length or chunked."""
        request = await self.read_head()
        length, coding = request.get("Content-Length"), request.get("Transfer-Encoding")
        assert length is None or coding is None, "the client sent Content-Length and Transfer-Encoding"
        if length is not None:
            request.body = await self.read_exactly(int(length))
        elif coding is not None:
            assert coding == "chunked"
            request.body = await self.read_chunked()
        return request

    async def read_chunked(self) -> bytes:
        """Read a chunked body up to its end and return what it holds."""
        body = b""
        while size := int((await self.read_until(b"\r\n")).partition(b";")[0], 16):
            body += await self.read_exactly(size)
            assert await self.read_exactly(2) == b"\r\n"
        assert await self.read_until(b"\r\n") == b"\r\n", "trailers"
        return body

    # -- writing

    async def send(self, *pieces: bytes) -> None:
        """Send each piece by itself: the client has the chance to read one before the next is sent."""
        for piece in pieces:
            await self._top.send(piece)
            await self.flush()

    async def flush(self) -> None:
        """Let the loop run until what was sent has reached the client's protocol."""
        for _ in range(FLUSH_PASSES):
            await asyncio.sleep(0)

    async def answer(self, body: bytes = b"fine", *fields: str, status: str = "200 OK") -> None:
        """Send a whole response with a Content-Length, faultless as far as `fields` ("Name: value") are."""
        head = [f"HTTP/1.1 {status}", *fields, f"Content-Length: {len(body)}"]
        await self._top.send("\r\n".join([*head, "", ""]).encode("latin-1") + body)

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Shake hands; from here the connection speaks TLS (inside what it spoke before)."""
        assert not self._buffer
        layer = _Tls(self._top, context)
        await layer.handshake()
        self._top = layer

    async def send_raw(self, data: bytes) -> None:
        """Send bytes below TLS."""
        await self._raw.send(data)

    # -- endings

    async def closed_by_client(self) -> str:
        """Read until the client ends the connection; return `"fin"` or `"rst"`.

        Over TLS a close_notify is answered, and a client that has closed already answers that with an RST.
        """
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while await self.read():
                pass
            if isinstance(self._top, _Tls) and self._raw.ended is None:
                await self._top.close_notify()  # as RFC 8446 section 6.1 has it: a client may wait for it
        with contextlib.suppress(ConnectionError):
            while self._raw.ended is None:  # after close_notify the FIN is still to come
                await self._raw.receive()
        assert self._raw.ended is not None
        return self._raw.ended

    async def closed_by_client_seen(self) -> str:
        """Wait until the script has seen the client end the connection; for the test, while the script reads."""
        await self.over.wait()
        assert self.ended is not None, "the script returned before the client ended the connection"
        return self.ended

    async def half_close(self) -> None:
        """Send FIN (over TLS close_notify first) and go on reading."""
        if isinstance(self._top, _Tls):
            await self._top.close_notify()
        self._raw.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """End the connection with an RST, now."""
        self._raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.cut()

    def cut(self) -> None:
        """Close the socket, now: over TLS there is no close_notify (an RST when unread bytes are left)."""
        self.open = False
        self._raw.sock.close()

    async def close(self) -> None:
        """Take leave properly: close_notify where TLS is, FIN, and the socket is closed."""
        if not self.open:
            return
        if isinstance(self._top, _Tls):
            with contextlib.suppress(ConnectionError):
                await self._top.close_notify()
        self.cut()


class ScriptedPeer:
    """A listener on loopback whose connections run scripts; an async context manager.

    `tls` is a server's context, `path` a Unix socket's; both absent is plain TCP. `connections` lists what was
    accepted, `failed_handshakes` what TLS said about clients that would not have it.
    """

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None, path: str | None = None) -> None:
        assert scripts
        self._scripts = scripts
        self._tls = tls
        self._path = path
        self.connections: list[PeerConnection] = []
        self.failed_handshakes: list[Exception] = []
        self._failures: list[BaseException] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._new = asyncio.Event()

    @property
    def port(self) -> int:
        """The TCP port it listens on."""
        return int(self._listener.getsockname()[1])

    def url(self, target: str = "/", *, host: str = "127.0.0.1", scheme: str | None = None) -> str:
        """Return a URL of this peer; `scheme` for a peer that is not what it is taken for."""
        return f"{scheme or ('https' if self._tls else 'http')}://{host}:{self.port}{target}"

    @property
    def requests(self) -> list[PeerRequest]:
        """All requests that scripts have read, connection by connection."""
        return [request for connection in self.connections for request in connection.requests]

    async def connection(self, number: int = 0) -> PeerConnection:
        """Return a connection, waiting for it to be accepted."""
        while len(self.connections) <= number:
            self._new.clear()
            await self._new.wait()
        return self.connections[number]

    async def finished(self) -> None:
        """Wait until the scripts of all connections so far have returned."""
        while running := self._tasks - {self._accepting}:
            await asyncio.wait(running)

    async def __aenter__(self) -> Self:
        if self._path is not None:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(self._path)
        else:
            self._listener = socket.socket()
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(512)
        self._listener.setblocking(False)
        self._accepting = self._spawn(self._accept())
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        self._accepting.cancel()
        if error is None:
            # A client that has closed lets the scripts that wait for its end finish by themselves.
            await asyncio.wait(self._tasks - {self._accepting} or {self._accepting}, timeout=1)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._listener.close()
        if self._failures:
            raise self._failures[0]  # whatever the client made of it, this was first

    def _spawn(self, coroutine: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            sock, _ = await loop.sock_accept(self._listener)
            sock.setblocking(False)
            if self._path is None:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = PeerConnection(sock)
            script = self._scripts[min(len(self.connections), len(self._scripts) - 1)]
            self.connections.append(connection)
            self._new.set()
            self._spawn(self._run(script, connection))

    async def _run(self, script: Script, connection: PeerConnection) -> None:
        try:
            if self._tls is not None:
                try:
                    await connection.start_tls(self._tls)
                except (ssl.SSLError, ConnectionError) as error:
                    self.failed_handshakes.append(error)
                    return
            await script(connection)
            await connection.close()
        except (ConnectionError, EOFError):
            pass  # the client went away: `ended` says how, and whoever cares has asked for it
        except Exception as error:
            self._failures.append(error)
        finally:
            connection.cut()
            connection.over.set()


# -- scripts and places that many tests need


async def answer_fine(conn: PeerConnection) -> None:
    """Answer each request of the connection with 200 and `fine`."""
    while True:
        await conn.read_request()
        await conn.answer()


async def silence(conn: PeerConnection) -> None:
    """Read and never answer."""
    await conn.closed_by_client()


def answer_with(*pieces: bytes, then: Script | None = None) -> Script:
    """Return a script: read one request, send these bytes piece by piece, then `then` (without it: FIN)."""

    async def script(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.send(*pieces)
        if then is not None:
            await then(conn)

    return script


@contextlib.contextmanager
def full_backlog() -> Iterator[int]:
    """Give a port on 127.0.0.1 where a connection attempt gets no answer at all: its queue is full (Linux)."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        while True:
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(listener.getsockname())
            if not select.select([], [filler], [], 0.05)[1]:
                break
        yield listener.getsockname()[1]


def refused_port() -> int:
    """Return a port on 127.0.0.1 where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def unix_path(directory: os.PathLike[str] | str) -> str:
    """Return a path for a Unix socket in a directory; refuse one that the kernel would."""
    path = os.path.join(directory, "s")
    assert len(path) < 104
    return path
