"""`max_msg_size`: what is larger ends a WebSocket with 1009, on both ends, and is not kept in memory."""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import Any

import pytest

import endwell
from endwell import WebSocketError, WSMsgType
from tests.support.peer import PeerConnection, ScriptedPeer
from tests.support.raw import facing
from tests.support.websockets import (
    BINARY,
    ROLES,
    TEXT,
    TLS,
    closing,
    ends,
    frame,
    masked,
    pair,
    read_frame,
    switching,
    upgrade,
)

MIB = 2**20


async def too_big(here: Any, there: Any, *, limit: int) -> None:
    """Check that both ends learn that a message was over the limit."""
    reading = asyncio.ensure_future(there.receive())
    message = await here.receive()
    assert message.type is WSMsgType.ERROR
    assert isinstance(message.data, WebSocketError)
    assert message.data.code == 1009
    assert str(limit) in str(message.data)
    assert here.closed
    assert here.close_code == 1009
    assert (await here.receive()).type is WSMsgType.CLOSED
    answered = await reading
    assert (answered.type, answered.data) == (WSMsgType.CLOSE, 1009)
    assert there.close_code == 1009


@TLS
@ROLES
async def test_one_byte_too_many(role: str, tls: bool) -> None:
    async with pair(tls=tls, **{role: {"max_msg_size": 1000}}) as both:
        here, there = ends(both, role)
        await there.send_bytes(bytes(999))
        assert len(await here.receive_bytes()) == 999
        await there.send_str("é" * 499)
        assert len(await here.receive_str()) == 499
        await there.send_bytes(bytes(1001))
        await too_big(here, there, limit=1000)


@ROLES
async def test_bytes_count_not_characters(role: str) -> None:
    async with pair(**{role: {"max_msg_size": 1000}}) as both:
        here, there = ends(both, role)
        await there.send_str("é" * 501)
        await too_big(here, there, limit=1000)


@ROLES
async def test_the_default_is_4_mib(role: str) -> None:
    async with pair() as both:
        here, there = ends(both, role)
        sending = asyncio.ensure_future(there.send_bytes(bytes(4 * MIB - 1)))
        assert len(await here.receive_bytes()) == 4 * MIB - 1
        await sending
        sending = asyncio.ensure_future(there.send_bytes(bytes(4 * MIB + 1)))
        await too_big(here, there, limit=4 * MIB)
        await asyncio.gather(sending, return_exceptions=True)


@ROLES
async def test_no_limit(role: str) -> None:
    async with pair(**{role: {"max_msg_size": 0}}) as both:
        here, there = ends(both, role)
        sending = asyncio.ensure_future(there.send_bytes(bytes(5 * MIB)))
        assert len(await here.receive_bytes()) == 5 * MIB
        await sending


@ROLES
async def test_fragments_count_together(role: str) -> None:
    async with pair(**{role: {"max_msg_size": 1000}}) as both:
        here, there = ends(both, role)
        await there.send_bytes(bytes(999), fragment_size=100)
        assert len(await here.receive_bytes()) == 999
        await there.send_bytes(bytes(1100), fragment_size=100)
        await too_big(here, there, limit=1000)


@ROLES
async def test_what_is_decompressed_counts(role: str) -> None:
    async with pair(client={"compress": 15} | ({"max_msg_size": 1000} if role == "client" else {}),
                    server={"max_msg_size": 1000} if role == "server" else {}) as both:  # fmt: skip
        here, there = ends(both, role)
        await there.send_bytes(bytes(999))
        assert len(await here.receive_bytes()) == 999
        await there.send_bytes(bytes(100_000))  # a few hundred bytes on the wire
        await too_big(here, there, limit=1000)


@ROLES
async def test_messages_before_the_one_that_is_too_big_are_received(role: str) -> None:
    async with pair(**{role: {"max_msg_size": 1000}}) as both:
        here, there = ends(both, role)
        await there.send_str("one")
        await there.send_str("two")
        await there.send_bytes(bytes(2000))
        assert [await here.receive_str(), await here.receive_str()] == ["one", "two"]
        await too_big(here, there, limit=1000)


@ROLES
@pytest.mark.parametrize("how", ["one frame", "fragments"])
async def test_the_announced_size_is_enough(role: str, how: str) -> None:
    """A frame whose head says too much is refused before a byte of it has come."""
    head = frame(BINARY, b"", length=2**40, mask=b"abcd" if role == "server" else None)
    if how == "fragments":
        first = masked(BINARY, b"x", fin=False) if role == "server" else frame(BINARY, b"x", fin=False)
        head = first + frame(0, b"", length=2**40, mask=b"abcd" if role == "server" else None)
    codes: list[int | None] = []
    if role == "server":
        seen: list[Any] = []

        async def handler(request: Any) -> Any:
            ws = endwell.web.WebSocketResponse()
            await ws.prepare(request)
            seen.append(await ws.receive())
            return ws

        async with facing(handler, alive=False) as stage:
            client = await stage.connect()
            await client.send(upgrade(), head)
            assert (await client.answer()).status == 101
            codes.append((await read_frame(client._exactly)).code)
            client.reset()
        assert seen[0].data.code == 1009
    else:

        async def script(conn: PeerConnection) -> None:
            request = await conn.read_request()
            await conn.send(switching(request.get("Sec-WebSocket-Key")), head)
            codes.append((await read_frame(conn.read_exactly)).code)
            await conn.closed_by_client()

        async with ScriptedPeer(script) as peer, endwell.ClientSession() as session:
            async with session.ws_connect(peer.url()) as ws:
                assert (await ws.receive()).data.code == 1009
    assert codes == [1009]


async def test_many_tiny_fragments_hold_no_more_than_the_limit() -> None:
    """100,000 of them, with nothing in them or a byte: neither memory nor time that grows with their square."""
    received: list[Any] = []

    async def handler(request: Any) -> Any:
        ws = endwell.web.WebSocketResponse(max_msg_size=2**20)
        await ws.prepare(request)
        received.extend([message async for message in ws])
        return ws

    async with facing(handler, alive=False) as stage:
        client = await stage.connect()
        await client.send(upgrade())
        assert (await client.answer()).status == 101
        tracemalloc.start()
        try:
            await client.send(masked(TEXT, b"x", fin=False))
            for _ in range(100):
                await client.send(masked(0, b"y", fin=False) * 500 + masked(0, b"", fin=False) * 500)
            await client.send(masked(0, b"z") + masked(8, closing(1000)))
            assert (await read_frame(client._exactly)).code == 1000
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert await client.closed() == "fin"
    assert [len(each.data) for each in received] == [50_002]
    assert peak < 8 * MIB
