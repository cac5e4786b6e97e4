"""Fragments (RFC 6455 section 5.4): sent on demand, received always; beyond what aiohttp has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import endwell
from endwell import WSMsgType
from tests.support.peer import PeerConnection, ScriptedPeer
from tests.support.raw import facing
from tests.support.websockets import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    ROLES,
    TEXT,
    TLS,
    closing,
    ends,
    masked,
    pair,
    read_frame,
    switching,
    upgrade,
)


@TLS
@ROLES
@pytest.mark.parametrize("compress", [0, 15], ids=["as it is", "deflate"])
@pytest.mark.parametrize("size", [1, 7, 1000, 100_000])
async def test_sizes_of_fragments(role: str, tls: bool, compress: int, size: int) -> None:
    async with pair(tls=tls, client={"compress": compress}) as both:
        here, there = ends(both, role)
        for text in ("", "x", "grüße, 世界 " * 30):
            await there.send_str(text, fragment_size=size)
            assert await here.receive_str() == text
        for data in (b"", b"\xff", bytes(range(256)) * 3):
            await there.send_bytes(data, fragment_size=size)
            assert await here.receive_bytes() == data
        await there.send_str("and a whole one")
        assert await here.receive_str() == "and a whole one"


@ROLES
@pytest.mark.parametrize("size", [0, -1])
async def test_sizes_that_make_no_sense(role: str, size: int) -> None:
    async with pair() as both:
        here, there = ends(both, role)
        with pytest.raises(ValueError, match="fragment_size"):
            await there.send_str("text", fragment_size=size)
        await there.send_str("fine")
        assert await here.receive_str() == "fine"


async def frames_of(send: Any, *, session: dict[str, Any] | None = None, **kwargs: Any) -> list[tuple[Any, ...]]:
    """Give the frames that `send(ws)` makes of a client."""
    found: list[tuple[Any, ...]] = []

    async def script(conn: PeerConnection) -> None:
        request = await conn.read_request()
        await conn.send(switching(request.get("Sec-WebSocket-Key")))
        while True:
            each = await read_frame(conn.read_exactly)
            assert each.mask is not None
            if each.opcode == CLOSE:
                return
            found.append((each.opcode, each.fin, each.payload))

    async with ScriptedPeer(script) as peer, endwell.ClientSession() as client:
        ws = await client.ws_connect(peer.url(), timeout=endwell.ClientWSTimeout(ws_close=0.05), **kwargs)
        await send(ws)
        await ws.close()
    return found


async def test_frames_of_a_text() -> None:
    """A fragment may end within a character."""
    frames = await frames_of(lambda ws: ws.send_str("aéb", fragment_size=2))
    assert b"".join(payload for _, _, payload in frames) == "aéb".encode()
    assert [opcode for opcode, _, _ in frames] == [TEXT] + [0] * (len(frames) - 1)
    assert [fin for _, fin, _ in frames] == [False] * (len(frames) - 1) + [True]
    assert max(len(payload) for _, _, payload in frames) == 2


async def test_a_message_that_fits_is_one_frame_of_its_own() -> None:
    assert await frames_of(lambda ws: ws.send_bytes(b"abc")) == [(BINARY, True, b"abc")]


# Streams


async def pieces(*each: Any) -> AsyncIterator[Any]:
    for piece in each:
        await asyncio.sleep(0)
        yield piece


@TLS
@ROLES
async def test_streams(role: str, tls: bool) -> None:
    async with pair(tls=tls) as both:
        here, there = ends(both, role)
        await there.send_stream(pieces("grü", "", "ße"), text=True)
        assert await here.receive_str() == "grüße"
        await there.send_stream(pieces(b"one,", bytearray(b"two,"), memoryview(b"three")))
        assert await here.receive_bytes() == b"one,two,three"
        await there.send_stream(pieces())
        assert await here.receive_bytes() == b""
        await there.send_stream(pieces(), text=True)
        assert await here.receive_str() == ""


async def test_each_piece_is_sent_as_it_comes() -> None:
    """The peer has the first before the second is made."""
    go = asyncio.Event()
    seen: list[bytes] = []

    async def slow() -> AsyncIterator[bytes]:
        yield b"first"
        await go.wait()
        yield b"second"

    async def script(conn: PeerConnection) -> None:
        request = await conn.read_request()
        await conn.send(switching(request.get("Sec-WebSocket-Key")))
        seen.append((await read_frame(conn.read_exactly)).payload)
        go.set()
        while True:
            each = await read_frame(conn.read_exactly)
            if each.opcode == CLOSE:
                return
            seen.append(each.payload)

    async with ScriptedPeer(script) as peer, endwell.ClientSession() as session:
        ws = await session.ws_connect(peer.url(), timeout=endwell.ClientWSTimeout(ws_close=0.05))
        await ws.send_stream(slow())
        await ws.close()
    assert b"".join(seen) == b"firstsecond"
    assert seen[0] == b"first"


@ROLES
async def test_other_messages_wait_and_pings_do_not(role: str) -> None:
    other = "server" if role == "client" else "client"
    async with pair(**{other: {"autoping": False}}) as both:
        here, there = ends(both, role)
        go = asyncio.Event()

        async def slow() -> AsyncIterator[str]:
            yield "first,"
            await go.wait()
            yield "second"

        streaming = asyncio.ensure_future(here.send_stream(slow(), text=True))
        await asyncio.sleep(0)
        sending = asyncio.ensure_future(here.send_str("behind it"))
        await here.ping(b"between")
        message = await there.receive()
        assert (message.type, bytes(message.data)) == (WSMsgType.PING, b"between")
        assert not sending.done()
        go.set()
        await asyncio.gather(streaming, sending)
        assert await there.receive_str() == "first,second"
        assert await there.receive_str() == "behind it"


@ROLES
async def test_two_streams_at_once(role: str) -> None:
    async with pair() as both:
        here, there = ends(both, role)
        sending = asyncio.gather(*(here.send_stream(pieces(*(name * 20)), text=True) for name in "abc"))
        assert sorted([await there.receive_str() for _ in range(3)]) == ["a" * 20, "b" * 20, "c" * 20]
        await sending


@ROLES
@pytest.mark.parametrize("fault", ["raises", "wrong type", "cancelled"])
async def test_a_stream_that_is_cut_closes_with_1011(role: str, fault: str) -> None:
    """The message can't be completed: the peer must not take what it has for a message."""
    async with pair() as both:
        here, there = ends(both, role)
        begun = asyncio.Event()

        async def broken() -> AsyncIterator[Any]:
            yield "begun"
            begun.set()
            if fault == "raises":
                raise LookupError("by the test")
            if fault == "wrong type":
                yield b"bytes"
            await asyncio.Event().wait()

        task = asyncio.ensure_future(here.send_stream(broken(), text=True))
        await begun.wait()
        if fault == "cancelled":
            task.cancel()
        wanted = {"raises": LookupError, "wrong type": TypeError, "cancelled": asyncio.CancelledError}[fault]
        with pytest.raises(wanted):
            await task
        message = await there.receive()
        assert (message.type, message.data) == (WSMsgType.CLOSE, 1011)
        with pytest.raises(ConnectionResetError):
            await here.send_str("too late")
        assert not await here.close() or here.closed
        assert there.close_code == 1011


@ROLES
async def test_a_stream_that_fails_before_its_first_piece_costs_nothing(role: str) -> None:
    async def broken() -> AsyncIterator[str]:
        raise LookupError("by the test")
        yield ""

    async with pair() as both:
        here, there = ends(both, role)
        with pytest.raises(LookupError):
            await here.send_stream(broken(), text=True)
        await here.send_str("fine")
        assert await there.receive_str() == "fine"


# What arrives in fragments


async def test_control_frames_between_fragments() -> None:
    received: list[Any] = []

    async def handler(request: Any) -> Any:
        ws = endwell.web.WebSocketResponse()
        await ws.prepare(request)
        received.extend([each.data async for each in ws])
        return ws

    async with facing(handler, alive=False) as stage:
        client = await stage.connect()
        await client.send(
            upgrade(), masked(TEXT, b"gr\xc3", fin=False), masked(PING, b"p"), masked(0, b"", fin=False),
            masked(PONG, b"q"), masked(0, b"\xbc\xc3\x9fe"), masked(CLOSE, closing(1000)),
        )  # fmt: skip
        assert (await client.answer()).status == 101
        pong = await read_frame(client._exactly)
        assert (pong.opcode, pong.payload, pong.mask) == (PONG, b"p", None)
        assert (await read_frame(client._exactly)).code == 1000
        assert await client.closed() == "fin"
    assert received == ["grüße"]
