"""A client of the tests of closing: one connection, plain or TLS, TCP or a Unix socket; asks, and looks how it ends.

`Place` says where a server listens; `Visitor` speaks to it in the test's own loop, by asyncio's streams. A visitor that
is `deaf` reads nothing any more: it takes no answer and says no goodbye.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any, Self

from tests.support.raw import Answer
from tests.support.tls import client_context


class Place:
    """Where a server listens: a port of 127.0.0.1, or the path of a Unix socket."""

    def __init__(self, where: int | str, *, tls: bool) -> None:
        self.where = where
        self.tls = tls

    @property
    def context(self) -> ssl.SSLContext | None:
        return client_context() if self.tls else None


def request(target: str = "/", method: str = "GET", *fields: str, version: str = "1.1", body: bytes = b"") -> bytes:
    """Give the bytes of a request; a body adds its length."""
    lines = [f"{method} {target} HTTP/{version}", "Host: localhost", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


class Visitor:
    """One connection; an async context manager. `receive` is the size of the socket's buffer: for slow readers."""

    def __init__(self, place: Place, *, receive: int | None = None) -> None:
        self._place = place
        self._receive = receive
        self.how: str | None = None

    async def __aenter__(self) -> Self:
        place = self._place
        how: dict[str, Any] = {"ssl": place.context, "limit": self._receive or 2**16}
        if place.tls:
            how["server_hostname"] = "localhost"
        sock = socket.socket(socket.AF_INET if isinstance(place.where, int) else socket.AF_UNIX)
        connected = False
        try:
            if self._receive is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive)
            sock.setblocking(False)
            address: Any = ("127.0.0.1", place.where) if isinstance(place.where, int) else place.where
            await asyncio.get_running_loop().sock_connect(sock, address)
            connected = True
        finally:
            if not connected:
                sock.close()
        if isinstance(place.where, int):
            self.reader, self.writer = await asyncio.open_connection(sock=sock, **how)
        else:
            self.reader, self.writer = await asyncio.open_unix_connection(sock=sock, **how)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    def send(self, data: bytes) -> None:
        """Send, without waiting."""
        self.writer.write(data)

    def deaf(self) -> None:
        """Read nothing from now on."""
        self.writer.transport.pause_reading()

    async def head(self) -> Answer:
        """Read the head of an answer."""
        return Answer((await self.reader.readuntil(b"\r\n\r\n")).removesuffix(b"\r\n\r\n"))

    async def answer(self) -> Answer:
        """Read an answer, by its length or in chunks; one that has neither, or is cut, up to the end."""
        answer = await self.head()
        length = answer.get("content-length")
        try:
            if answer.get("transfer-encoding") == "chunked":
                while size := int(await self.reader.readuntil(b"\r\n"), 16):
                    answer.body += (await self.reader.readexactly(size + 2))[:-2]
                assert await self.reader.readexactly(2) == b"\r\n"
            elif length is not None:
                answer.body = await self.reader.readexactly(int(length))
            else:
                answer.body = await self.reader.read()
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            answer.body += getattr(error, "partial", b"")
            answer.complete = False
        return answer

    async def ask(self, *args: Any, **kwargs: Any) -> Answer:
        """Send a request and read its answer."""
        self.send(request(*args, **kwargs))
        return await self.answer()

    async def ended(self) -> bytes:
        """Wait until the server has ended the connection; return what it sent before."""
        rest = b""
        try:
            while data := await self.reader.read(2**16):
                rest += data
            self.how = "fin"
        except ConnectionError:
            self.how = "rst"
        return rest


@contextlib.asynccontextmanager
async def visiting(place: Place) -> AsyncIterator[Visitor]:
    """Give a visitor that the server has answered once: its connection idles."""
    async with Visitor(place) as visitor:
        answer = await visitor.ask("/")
        assert not answer.closes
        yield visitor
