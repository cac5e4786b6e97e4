"""WebSocket peers with manners, for the tests of closing: one answers a close frame, one is silent, one is gone.

`Guest` is a raw client of endwell's server; `host` the script of a raw server that endwell's client meets. Both tell
what they saw: `frames`, and how the connection ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from typing import Self

import pytest

from tests.support.peer import PeerConnection, ScriptedPeer
from tests.support.tls import server_context
from tests.support.visitor import Place, Visitor
from tests.support.websockets import CLOSE, Frame, closing, frame, masked, read_frame, switching, upgrade

MANNERS = ("answers", "silent", "gone")
EACH = pytest.mark.parametrize("manners", MANNERS)


class Host:
    """A server of WebSockets, one for each connection; `frames` are all that came, `ends` how connections ended."""

    def __init__(self, manners: str, *, tls: bool, greeting: bytes = b"") -> None:
        self.manners = manners
        self.greeting = greeting
        self.frames: list[Frame] = []
        self.ends: list[str] = []
        self.leaving = asyncio.Event()
        self.open = 0
        self.peer = ScriptedPeer(self._serve, tls=server_context() if tls else None)
        self._host = "localhost" if tls else "127.0.0.1"

    @property
    def url(self) -> str:
        return self.peer.url("/ws", host=self._host)

    @property
    def codes(self) -> list[int | None]:
        """The codes of the close frames that came."""
        return [each.code for each in self.frames if each.opcode == CLOSE]

    async def _serve(self, conn: PeerConnection) -> None:
        request = await conn.read_request()
        if request.get("Upgrade") is None:
            await conn.answer()
            return
        await conn.send(switching(request.get("Sec-WebSocket-Key")) + self.greeting)
        self.open += 1
        try:
            if self.manners == "gone":
                await self.leaving.wait()
                conn.reset()
                self.ends.append("left")
                return
            with contextlib.suppress(EOFError, ConnectionError):
                while True:
                    each = await read_frame(conn.read_exactly)
                    self.frames.append(each)
                    if each.opcode == CLOSE:
                        if self.manners == "answers":
                            await conn.send(frame(CLOSE, each.payload))
                            return  # a server closes first (RFC 6455 section 7.1.1)
                        break
            self.ends.append(await conn.closed_by_client())
        finally:
            self.open -= 1


@contextlib.asynccontextmanager
async def host(manners: str, *, tls: bool, greeting: bytes = b"") -> AsyncIterator[Host]:
    """Give a server; one that is to go goes when the block is left at the latest."""
    made = Host(manners, tls=tls, greeting=greeting)
    async with made.peer:
        try:
            yield made
        finally:
            made.leaving.set()


class Guest:
    """A client of a WebSocket; `frames` are what came, `how` how the connection ended (see `Visitor`)."""

    def __init__(self, place: Place, manners: str, *, target: str = "/ws") -> None:
        self.manners = manners
        self.frames: list[Frame] = []
        self.over = asyncio.Event()
        self._visitor = Visitor(place)
        self._target = target

    @property
    def codes(self) -> list[int | None]:
        """The codes of the close frames that came."""
        return [each.code for each in self.frames if each.opcode == CLOSE]

    @property
    def how(self) -> str | None:
        return self._visitor.how

    def send(self, data: bytes) -> None:
        self._visitor.send(data)

    def leave(self) -> None:
        """Reset the connection."""
        sock = self._visitor.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._visitor.writer.transport.abort()

    async def __aenter__(self) -> Self:
        await self._visitor.__aenter__()
        self._visitor.send(upgrade(target=self._target))
        answer = await self._visitor.head()
        assert answer.status == 101, answer
        self._task = asyncio.ensure_future(self._behave())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        await self._visitor.__aexit__()
        if not self._task.cancelled():
            self._task.result()

    async def _behave(self) -> None:
        try:
            with contextlib.suppress(EOFError, ConnectionError):
                while True:
                    each = await read_frame(self._visitor.reader.readexactly)
                    self.frames.append(each)
                    if each.opcode == CLOSE and self.manners == "answers":
                        self.send(masked(CLOSE, each.payload))
            await self._visitor.ended()
        finally:
            self.over.set()

    def close(self, code: int = 1000) -> None:
        """Send a close frame."""
        self.send(masked(CLOSE, closing(code)))


def briefly(monkeypatch: pytest.MonkeyPatch, seconds: float = 0.05) -> None:
    """Have sessions and servers that end wait a shorter time for WebSocket peers."""
    from endwell.connection import websocket

    monkeypatch.setattr(websocket, "_GOING_AWAY", seconds)
