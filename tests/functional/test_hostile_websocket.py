"""Hostile servers of a WebSocket (hostile.md): raw bytes against the client; what each is told, and what the user."""

from __future__ import annotations

import asyncio
import contextlib
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest

import endwell
from endwell import WebSocketError, WSMsgType
from endwell.connection import websocket
from tests.support.faulty_frames import DEFLATE_FAULTS, FAULTS, bomb, cases
from tests.support.peer import PeerConnection, ScriptedPeer
from tests.support.tls import server_context
from tests.support.websockets import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    TLS,
    Frame,
    closing,
    frame,
    masked,
    read_frame,
    switching,
    trusting,
)


class Server:
    """Sends its bytes after the handshake, piece by piece; `answers` are what came, `ended` how the client ended."""

    def __init__(self, *pieces: bytes, fields: tuple[str, ...] = (), goes_on: bytes = b"") -> None:
        self.pieces = pieces
        self.fields = fields
        self.goes_on = goes_on
        self.answers: list[Frame] = []
        self.ended = ""

    async def script(self, conn: PeerConnection) -> None:
        request = await conn.read_request()
        if request.get("Upgrade") is None:
            await conn.answer()
            return
        await conn.send(switching(request.get("Sec-WebSocket-Key"), *self.fields))
        with contextlib.suppress(ConnectionError):
            await conn.send(*self.pieces)
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                each = await read_frame(conn.read_exactly)
                self.answers.append(each)
                if each.opcode == CLOSE:
                    if not self.goes_on:
                        return  # a server closes first
                    await conn.send(self.goes_on)
        self.ended = await conn.closed_by_client()


@contextlib.asynccontextmanager
async def meeting(server: Server, *, tls: bool = False, **kwargs: Any) -> AsyncIterator[Any]:
    """Give a WebSocket to this server; the session goes on to make a request that works, in the same place."""
    connector = trusting(limit=1)
    async with ScriptedPeer(server.script, tls=server_context() if tls else None) as peer:
        async with endwell.ClientSession(connector=connector) as session:
            url = peer.url("/", host="localhost" if tls else "127.0.0.1")
            timeout = endwell.ClientWSTimeout(ws_close=0.05)
            ws = await session.ws_connect(url, **{"timeout": timeout} | kwargs)
            yield ws
            await ws.close()
            async with session.get(url) as response:
                assert await response.read() == b"fine"
        await peer.finished()


async def failed(ws: Any, server: Server, code: int) -> None:
    message = await ws.receive()
    while message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
        message = await ws.receive()
    assert message.type is WSMsgType.ERROR, message
    assert isinstance(message.data, WebSocketError)
    assert message.data.code == code
    assert str(message.data)
    assert (ws.close_code, ws.exception(), ws.closed) == (code, message.data, True)
    assert (await ws.receive()).type is WSMsgType.CLOSED
    with pytest.raises(endwell.ClientConnectionResetError):
        await ws.send_str("x")


@pytest.mark.parametrize("fault", cases(FAULTS))
async def test_faults(fault: str) -> None:
    make, code = FAULTS[fault]
    server = Server(make(frame))
    async with meeting(server) as ws:
        await failed(ws, server, code)
    assert [each.code for each in server.answers if each.opcode == CLOSE] == [code]
    assert all(each.mask is not None for each in server.answers)


@TLS
@pytest.mark.parametrize("fault", ["opcode 3", "text that is no UTF-8", "a continuation of nothing"])
async def test_a_server_that_goes_on_after_its_fault(fault: str, tls: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "_FOLLOWS", 0.05)
    make, code = FAULTS[fault]
    server = Server(frame(TEXT, b"good") + make(frame), goes_on=frame(TEXT, b"late") * 2000)
    async with meeting(server, tls=tls) as ws:
        assert await ws.receive_str() == "good"
        await failed(ws, server, code)
    assert server.ended


@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, CLOSE, 0])
async def test_frames_that_are_masked(opcode: int) -> None:
    """RFC 6455 section 5.1: a client closes upon them."""
    server = Server(masked(opcode, closing(1000) if opcode == CLOSE else b"ab"))
    async with meeting(server) as ws:
        await failed(ws, server, 1002)


@pytest.mark.parametrize("fault", cases(DEFLATE_FAULTS))
async def test_faults_of_compression(fault: str) -> None:
    make, code = DEFLATE_FAULTS[fault]
    server = Server(make(frame), fields=("Sec-WebSocket-Extensions: permessage-deflate",))
    async with meeting(server, compress=15) as ws:
        message = await ws.receive()
        assert message.type is WSMsgType.ERROR
        assert message.data.code in (code, 1007)
        assert ws.close_code == message.data.code


async def test_a_deflate_bomb() -> None:
    sent = frame(BINARY, bomb(300 * 2**20), rsv=4)
    server = Server(sent, fields=("Sec-WebSocket-Extensions: permessage-deflate",))
    async with meeting(server, compress=15) as ws:
        tracemalloc.start()
        try:
            await failed(ws, server, 1009)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 16 * 2**20
    assert [each.code for each in server.answers if each.opcode == CLOSE] == [1009]


async def test_a_message_without_end() -> None:
    """Fragments of nothing at all, for ever: neither a message nor memory comes of it, and the close ends it."""
    server = Server(frame(TEXT, b"", fin=False), *([frame(0, b"", fin=False) * 1000] * 50))
    async with meeting(server) as ws:
        tracemalloc.start()
        try:
            with pytest.raises(TimeoutError):
                await ws.receive(timeout=0.2)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 4 * 2**20


async def test_a_flood_of_pings_from_a_server_that_never_reads() -> None:
    """At most one pong waits."""
    go = asyncio.Event()

    async def script(conn: PeerConnection) -> None:
        request = await conn.read_request()
        await conn.send(switching(request.get("Sec-WebSocket-Key")))
        for _ in range(300):
            await conn.send(frame(PING, b"x" * 125) * 1000)
        go.set()
        await asyncio.Event().wait()

    async with ScriptedPeer(script) as peer, endwell.ClientSession() as session:
        ws = await session.ws_connect(peer.url(), timeout=endwell.ClientWSTimeout(ws_close=0.02))
        peak = 0
        while not go.is_set():
            await asyncio.sleep(0.001)
            peak = max(peak, ws._ws.transport.get_write_buffer_size())  # type: ignore[union-attr]  # it is there
        assert peak < 2**20
        await ws.close()


async def test_a_flood_of_close_frames() -> None:
    """The first is answered, once."""
    server = Server(frame(CLOSE, closing(4000)) * 10_000)
    async with meeting(server) as ws:
        assert (await ws.receive()).data == 4000
    assert [each.code for each in server.answers] == [4000]


async def test_pongs_and_messages_behind_a_close_are_ignored() -> None:
    server = Server(frame(CLOSE, closing(4000)) + frame(PONG) + frame(TEXT, b"late") + b"\xff" * 100)
    async with meeting(server) as ws:
        assert (await ws.receive()).data == 4000
        assert (await ws.receive()).type is WSMsgType.CLOSED
        assert ws.exception() is None


async def test_pings_while_we_close_are_not_answered() -> None:
    """RFC 6455 section 5.5.1: nothing is sent behind a close frame."""
    server = Server(goes_on=frame(PING, b"now?") * 10 + frame(TEXT, b"late") + frame(CLOSE, closing(1000)))
    async with meeting(server) as ws:
        await ws.close()
        assert ws.close_code == 1000
    assert [each.opcode for each in server.answers] == [CLOSE]


async def test_a_close_without_a_code() -> None:
    server = Server(frame(CLOSE))
    async with meeting(server) as ws:
        message = await ws.receive()
        assert (message.type, message.data) == (WSMsgType.CLOSE, 0)
        assert ws.close_code == 1005
    assert [each.payload for each in server.answers] == [b""]


@TLS
@pytest.mark.parametrize("sent", [b"", b"\x81", b"\x81\x7e\x01", frame(TEXT, b"x", fin=False)])
async def test_ends_without_a_close_frame(sent: bytes, tls: bool) -> None:
    async def script(conn: PeerConnection) -> None:
        request = await conn.read_request()
        await conn.send(switching(request.get("Sec-WebSocket-Key")) + frame(TEXT, b"whole") + sent)

    async with ScriptedPeer(script, tls=server_context() if tls else None) as peer:
        async with endwell.ClientSession(connector=trusting()) as session:
            async with session.ws_connect(peer.url("/", host="localhost")) as ws:
                assert await ws.receive_str() == "whole"
                assert (await ws.receive()).type in (WSMsgType.CLOSED, WSMsgType.ERROR)
                assert ws.close_code == 1006


async def test_masks_are_not_to_be_foreseen() -> None:
    """RFC 6455 section 5.3: a key of its own for each frame, from a strong source."""
    server = Server()
    async with meeting(server) as ws:
        for _ in range(200):
            await ws.send_bytes(b"same")
        await ws.close()
    keys = [each.mask for each in server.answers]
    assert len(set(keys)) > 195
    assert None not in keys


async def test_secrets_are_in_no_error() -> None:
    async def script(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.answer(b"no", status="403 Forbidden")

    async with ScriptedPeer(script) as peer, endwell.ClientSession() as session:
        url = peer.url("/").replace("http://", "ws://user:s3cr3t@")
        with pytest.raises(endwell.WSServerHandshakeError) as caught:
            await session.ws_connect(url, headers={"Cookie": "a=s3cr3t"})
        assert "s3cr3t" not in str(caught.value)


async def test_a_101_that_nobody_asked_for() -> None:
    """A plain GET is no WebSocket, whatever the server says."""

    async def script(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x00"
        )
        await conn.closed_by_client()

    async with ScriptedPeer(script) as peer, endwell.ClientSession() as session:
        with pytest.raises(endwell.ClientError):
            async with session.get(peer.url()) as response:
                await response.read()
