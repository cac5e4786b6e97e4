"""A client that sends exactly what a test says, byte by byte, to endwell's server; used by the hostile tests of it.

    async with facing(handler, header_timeout=0.05) as stage:
        client = await stage.connect()
        await client.send(b"GET / HTTP/1.1\\r\\n", b"Host: a\\r\\n\\r\\n")
        assert (await client.answer()).status == 200
        assert await client.closed() == "fin"

Raw sockets are used, never transports or a client of endwell's: what is wrong on the wire must not hide in the client.
`facing` gives what runs: the server, what its handler was called with, and what it logged. At its end a client that
behaves is still served, and everything that was logged must have been looked at (`stage.said`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

from endwell import web
from tests.support.serving import RunningServer, Served, serving

FLUSH_PASSES = 4  # of the loop, so that the server has read one piece before the next is sent
FINE = b"GET /fine HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


class Answer:
    """One response: `status`, `reason`, `version`, `fields` (names in lower case), `body`, `complete`."""

    def __init__(self, head: bytes) -> None:
        lines = head.decode("latin-1").split("\r\n")
        self.version, status, self.reason = lines[0].split(" ", 2)
        self.status = int(status)
        self.fields = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
        self.body = b""
        self.complete = True

    def __repr__(self) -> str:
        return f"<{self.status} {self.body[:60]!r}{'' if self.complete else ' (cut off)'}>"

    def get(self, name: str) -> str | None:
        """Return the one value of a field or None."""
        values = [value for key, value in self.fields if key == name]
        assert len(values) <= 1, f"{name} was sent {len(values)} times"
        return values[0] if values else None

    @property
    def closes(self) -> bool:
        """Whether it says that the connection ends."""
        return (self.get("connection") or "").lower() == "close"


class RawClient:
    """One connection to the server, in the hands of a test."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.ended: str | None = None
        self._buffer = bytearray()
        self._loop = asyncio.get_running_loop()

    async def send(self, *pieces: bytes) -> None:
        """Send each piece by itself; what the server does not take any more is dropped."""
        for piece in pieces:
            with contextlib.suppress(ConnectionError):
                await self._loop.sock_sendall(self.sock, piece)
            await passes()

    def send_now(self, data: bytes) -> int:
        """Send what the socket takes at once; return how many bytes that were."""
        try:
            return self.sock.send(data)
        except (BlockingIOError, ConnectionError):
            return 0

    def half_close(self) -> None:
        """Say that nothing more comes, and go on reading."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """End the connection with an RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    async def _more(self) -> bool:
        try:
            data = await self._loop.sock_recv(self.sock, 2**16)
        except ConnectionError:
            self.ended = "rst"
            return False
        if not data:
            self.ended = self.ended or "fin"
        self._buffer += data
        return bool(data)

    async def _until(self, end: bytes) -> bytes | None:
        while (at := self._buffer.find(end)) < 0:
            if not await self._more():
                return None
        data = bytes(self._buffer[:at])
        del self._buffer[: at + len(end)]
        return data

    async def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size and await self._more():
            pass
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    async def answer(self, method: str = "GET") -> Answer:
        """Read one response, that to a request with this method."""
        head = await self._until(b"\r\n\r\n")
        assert head is not None, f"the connection ended ({self.ended}) after {bytes(self._buffer)!r}"
        answer = Answer(head)
        length = answer.get("content-length")
        if method == "HEAD" or answer.status in (204, 304) or answer.status < 200:
            return answer
        if answer.get("transfer-encoding") is not None:
            assert length is None
            answer.body, answer.complete = await self._chunks()
        elif length is not None:
            answer.body = await self._exactly(int(length))
            answer.complete = len(answer.body) == int(length)
        else:
            while await self._more():
                pass
            answer.body = bytes(self._buffer)
            self._buffer.clear()
            answer.complete = self.ended == "fin"
        return answer

    async def _chunks(self) -> tuple[bytes, bool]:
        body = b""
        while (line := await self._until(b"\r\n")) is not None:
            size = int(line, 16)
            chunk = await self._exactly(size + 2)
            body += chunk[:size]
            if len(chunk) < size + 2:
                break
            if not size:
                return body, True
        return body, False

    async def answers(self) -> list[Answer]:
        """Read responses to GET until the server ends the connection."""
        found = []
        while self._buffer or await self._more():
            found.append(await self.answer())
        return found

    async def closed(self) -> str:
        """Wait until the server ends the connection, with nothing more on it; return ``"fin"`` or ``"rst"``."""
        while self.ended is None:
            await self._more()
        assert not self._buffer, f"before its end the server sent {bytes(self._buffer)!r}"
        return self.ended


class ListHandler(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class Stage:
    """What `facing` gives: `server`, `calls` (method, target and body of each request that was handled), `said`."""

    def __init__(self, server: RunningServer, handler: ListHandler, calls: list[tuple[str, str, bytes]]) -> None:
        self.server = server
        self.calls = calls
        self._handler = handler
        self._clients: list[RawClient] = []

    async def connect(self, *, receive: int | None = None, send: int | None = None) -> RawClient:
        """Connect; `receive` and `send` are the sizes of the socket's buffers."""
        sock = socket.socket()
        for option, size in ((socket.SO_RCVBUF, receive), (socket.SO_SNDBUF, send)):
            if size is not None:
                sock.setsockopt(socket.SOL_SOCKET, option, size)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        client = RawClient(sock)
        self._clients.append(client)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.server.port))
        return client

    async def ask(self, *pieces: bytes) -> list[Answer]:
        """Send on a new connection and give all that is answered until the server ends it."""
        client = await self.connect()
        await client.send(*pieces)
        return await client.answers()

    def said(self) -> list[str]:
        """Give what was logged from level WARNING on, with tracebacks; it is forgotten then."""
        records = [each for each in self._handler.records if each.levelno >= logging.WARNING]
        self._handler.records.clear()
        return [logging.Formatter().format(each) for each in records]

    def leave(self) -> None:
        """Close what clients are open."""
        for client in self._clients:
            client.sock.close()


async def passes(number: int = FLUSH_PASSES) -> None:
    """Let the loop run."""
    for _ in range(number):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object]) -> None:
    """Return when the condition holds; the suite's guard against hanging ends what never comes true."""
    while not condition():
        await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def facing(served: Served | None = None, *, alive: bool = True, **settings: Any) -> AsyncIterator[Stage]:
    """Serve; with no handler given each request is noted and, its body read, answered with ``fine`` and its target.

    `alive=False`: a client that behaves is not served at the end (there is no room for it, or its handler is another).
    """
    calls: list[tuple[str, str, bytes]] = []

    async def handler(request: web.BaseRequest) -> web.Response:
        body = await request.read()
        calls.append((request.method, request.raw_path, body))
        return web.Response(text=f"fine {request.raw_path}")

    keeper = ListHandler()
    logger = logging.Logger("endwell.test")  # noqa: LOG001  # of this test alone
    logger.addHandler(keeper)
    async with serving(served or handler, logger=logger, **settings) as server:
        stage = Stage(server, keeper, calls)
        try:
            yield stage
            if alive:
                answers = await stage.ask(FINE)
                assert [answer.status in (200, 404) for answer in answers] == [True], answers
            assert stage.said() == [], "something was logged that the test did not look at"
        finally:
            stage.leave()


async def refused(
    stage: Stage, *pieces: bytes, status: int | tuple[int, ...] = 400, secret: bytes = b"s3cr3t"
) -> Answer:
    """Send what must be refused, and a whole request behind it that must not run; return the refusal.

    There is one answer, which says that it is the last; the connection ends; it was logged once, without the payload.
    """
    answers = await stage.ask(*pieces, b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
    assert len(answers) == 1, answers
    answer = answers[0]
    wanted = status if isinstance(status, tuple) else (status,)
    assert answer.status in wanted, answer
    assert answer.version == "HTTP/1.1"
    assert answer.closes
    assert answer.complete
    assert not [call for call in stage.calls if "smuggled" in call[1]], stage.calls
    said = stage.said()
    assert len(said) == 1, said
    assert str(answer.status) in said[0]
    assert "Traceback" not in said[0]
    assert secret.decode() not in said[0]
    return answer
