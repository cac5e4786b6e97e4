"""`heartbeat`: a silent peer is asked, one that does not answer is dropped, and one that talks is left alone."""

from __future__ import annotations

import asyncio
from typing import Any

import endwell
from endwell import WSMsgType
from tests.support.peer import PeerConnection, ScriptedPeer
from tests.support.raw import facing
from tests.support.websockets import (
    PING,
    PONG,
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
    trusting,
    upgrade,
)

BEAT = 0.05


def opposite(role: str) -> str:
    return "server" if role == "client" else "client"


@TLS
@ROLES
async def test_pings_that_are_answered_keep_it_open(role: str, tls: bool) -> None:
    """The peer sees the pings here, and answers by itself; a message is received long after some of them."""
    async with pair(tls=tls, **{role: {"heartbeat": BEAT}, opposite(role): {"autoping": False}}) as both:
        here, there = ends(both, role)
        receiving = asyncio.ensure_future(here.receive())
        for _ in range(3):
            message = await there.receive()
            assert message.type is WSMsgType.PING
            await there.pong(bytes(message.data))
        await there.send_str("after three beats")
        assert (await receiving).data == "after three beats"
        assert not here.closed


@ROLES
async def test_nobody_needs_to_receive_for_that(role: str) -> None:
    async with pair(**{role: {"heartbeat": BEAT}, opposite(role): {"autoping": False}}) as both:
        here, there = ends(both, role)
        for _ in range(3):
            message = await there.receive()
            await there.pong(bytes(message.data))
        await there.send_str("kept")
        assert await here.receive_str() == "kept"


@TLS
@ROLES
async def test_a_peer_that_does_not_answer(role: str, tls: bool) -> None:
    async with pair(tls=tls, **{role: {"heartbeat": BEAT}, opposite(role): {"autoping": False}}) as both:
        here, there = ends(both, role)
        message = await here.receive()
        assert message.type is WSMsgType.ERROR
        assert isinstance(message.data, TimeoutError)
        if role == "client":
            assert isinstance(message.data, endwell.ServerTimeoutError)
        assert "0.025" in str(message.data)
        assert here.exception() is message.data
        assert here.closed
        assert here.close_code == 1006
        assert (await here.receive()).type is WSMsgType.CLOSED
        assert (await there.receive()).type is WSMsgType.PING
        assert (await there.receive()).type in (WSMsgType.CLOSED, WSMsgType.ERROR)
        assert there.close_code == 1006


@ROLES
async def test_nobody_needs_to_receive_for_that_either(role: str) -> None:
    async with pair(**{role: {"heartbeat": BEAT}, opposite(role): {"autoping": False}}) as both:
        here, there = ends(both, role)
        assert (await there.receive()).type is WSMsgType.PING
        assert (await there.receive()).type in (WSMsgType.CLOSED, WSMsgType.ERROR)
        assert (await here.receive()).type is WSMsgType.ERROR


@ROLES
async def test_any_byte_is_an_answer(role: str) -> None:
    """A peer that sends all the time, but no pong, is not dropped: it is there."""
    async with pair(**{role: {"heartbeat": BEAT}, opposite(role): {"autoping": False}}) as both:
        here, there = ends(both, role)
        for number in range(60):
            await there.send_str(str(number))
            assert await here.receive_str() == str(number)
            await asyncio.sleep(BEAT / 10)
        assert not here.closed


async def test_a_frame_that_never_comes_to_its_end_is_bounded_by_the_heartbeat() -> None:
    """A client that begins a frame and says nothing more: without a heartbeat it may, as an idle one may."""

    async def handler(request: Any) -> Any:
        ws = endwell.web.WebSocketResponse(heartbeat=BEAT)
        await ws.prepare(request)
        seen.append(await ws.receive())
        return ws

    for begun in (b"\x81", b"\x81\x85", b"\x81\x85abcd", b"\x81\x85abcdxx", masked(TEXT, b"x", fin=False)):
        seen: list[Any] = []
        async with facing(handler, alive=False) as stage:
            client = await stage.connect()
            await client.send(upgrade(), begun)
            assert (await client.answer()).status == 101
            assert (await read_frame(client._exactly)).opcode == PING
            await client.closed()
        assert seen[0].type is WSMsgType.ERROR
        assert isinstance(seen[0].data, TimeoutError)


@TLS
async def test_a_server_that_is_silent_from_the_handshake_on(tls: bool) -> None:
    from tests.support.tls import server_context

    async def script(conn: PeerConnection) -> None:
        request = await conn.read_request()
        await conn.send(switching(request.get("Sec-WebSocket-Key")))
        await conn.closed_by_client()

    context = server_context() if tls else None
    async with ScriptedPeer(script, tls=context) as peer, endwell.ClientSession(connector=trusting()) as session:
        async with session.ws_connect(peer.url("/", host="localhost"), heartbeat=BEAT) as ws:
            assert isinstance((await ws.receive()).data, endwell.ServerTimeoutError)
        assert await peer.connections[0].closed_by_client_seen()


async def test_a_peer_that_does_not_read_is_dropped_too() -> None:
    """Pings can't be sent into full buffers, and no pong can come."""

    async def handler(request: Any) -> Any:
        ws = endwell.web.WebSocketResponse(heartbeat=BEAT)
        await ws.prepare(request)
        try:
            while True:
                await ws.send_bytes(bytes(100_000))
        except ConnectionResetError:
            seen.append(ws.close_code)
        return ws

    seen: list[Any] = []
    async with facing(handler, alive=False) as stage:
        client = await stage.connect(receive=4096)
        await client.send(upgrade())
        assert (await client.answer()).status == 101
        while not seen:
            await asyncio.sleep(0.001)
        client.reset()
    assert seen == [1006]


async def test_a_pong_with_another_payload_is_an_answer_all_the_same() -> None:
    async def script(conn: PeerConnection) -> None:
        request = await conn.read_request()
        await conn.send(switching(request.get("Sec-WebSocket-Key")))
        for _ in range(3):
            assert (await read_frame(conn.read_exactly)).opcode == PING
            await conn.send(frame(PONG, b"something else"))
        await conn.send(frame(8, closing(1000)))
        await conn.closed_by_client()

    async with ScriptedPeer(script) as peer, endwell.ClientSession() as session:
        async with session.ws_connect(peer.url(), heartbeat=BEAT) as ws:
            assert (await ws.receive()).type is WSMsgType.CLOSE
            assert ws.close_code == 1000


async def test_no_heartbeat_beats_after_the_close() -> None:
    """What a test leaves behind, a timer's call into a closed WebSocket too, fails it."""
    async with pair(client={"heartbeat": BEAT}, server={"heartbeat": BEAT}) as both:
        answering = asyncio.ensure_future(both.server.receive())
        await both.client.close()
        await answering
        await asyncio.sleep(3 * BEAT)
