"""permessage-deflate (RFC 7692) between both ends: what is agreed on, windows, context takeover, and when not."""

from __future__ import annotations

import asyncio
import os
import zlib
from typing import Any

import pytest

import endwell
from endwell import WSMsgType
from tests.support.peer import PeerConnection, ScriptedPeer
from tests.support.raw import facing
from tests.support.websockets import (
    BINARY,
    CLOSE,
    ROLES,
    TEXT,
    TLS,
    Frame,
    closing,
    ends,
    frame,
    masked,
    pair,
    read_frame,
    switching,
    upgrade,
)

NOISE = os.urandom(3000)
TEXTS = ["", "x", "a text that is long enough to be worth it, " * 50, "grüße " * 1000]


@TLS
@ROLES
@pytest.mark.parametrize("window", [9, 12, 15])
async def test_windows(role: str, tls: bool, window: int) -> None:
    async with pair(tls=tls, client={"compress": window}) as both:
        assert "permessage-deflate" in both.request.headers["Sec-WebSocket-Extensions"]
        assert 0 < both.client.compress <= window
        assert both.server.compress
        here, there = ends(both, role)
        for _ in range(3):
            for text in TEXTS:
                await there.send_str(text)
                assert await here.receive_str() == text
            for data in (b"", NOISE, NOISE * 40, bytes(300_000)):
                sending = asyncio.ensure_future(there.send_bytes(data))
                assert await here.receive_bytes() == data
                await sending


@pytest.mark.parametrize("window", [8, 16, 1, -15, 100])
async def test_windows_that_do_not_exist(window: int) -> None:
    async with endwell.ClientSession() as session:
        with pytest.raises(ValueError):
            await session.ws_connect("http://127.0.0.1:1/", compress=window)


async def test_without_an_offer_nothing_is_compressed() -> None:
    async with pair() as both:
        assert "Sec-WebSocket-Extensions" not in both.request.headers
        assert not both.client.compress
        assert not both.server.compress


async def test_a_server_that_does_not_want_it() -> None:
    async with pair(client={"compress": 15}, server={"compress": False}) as both:
        assert not both.client.compress
        assert not both.server.compress
        await both.client.send_str("x" * 1000)
        assert await both.server.receive_str() == "x" * 1000


@ROLES
async def test_one_message_as_one_likes(role: str) -> None:
    """`compress=` of a message: 0 not at all, 9 to 15 with another window; all in one WebSocket."""
    async with pair(client={"compress": 15}) as both:
        here, there = ends(both, role)
        for compress in (None, 0, 9, 15, None, 12, 0, None):
            await there.send_str(TEXTS[2], compress=compress)
            assert await here.receive_str() == TEXTS[2]
            await there.send_bytes(NOISE, compress=compress)
            assert await here.receive_bytes() == NOISE
            await there.send_json({"a": TEXTS[2]}, compress=compress)
            assert await here.receive_json() == {"a": TEXTS[2]}


@ROLES
async def test_pings_and_large_messages_at_once(role: str) -> None:
    """A large message may be compressed beside the loop; nothing else comes between its bytes."""
    async with pair(client={"compress": 15}) as both:
        here, there = ends(both, role)
        large = os.urandom(400_000)
        sending = asyncio.gather(*(there.send_bytes(large) for _ in range(3)), there.send_str("small"), there.ping())
        found = [await here.receive() for _ in range(4)]
        await sending
        assert sorted(len(each.data) for each in found) == [5, 400_000, 400_000, 400_000]
        assert all(each.data in (large, "small") for each in found)


async def test_a_large_message_whose_sending_is_cancelled() -> None:
    """It was sent, or not; or the WebSocket is closed. What comes later is never garbage."""
    for passes in range(6):
        async with pair(client={"compress": 15}) as both:
            large = os.urandom(400_000)
            task = asyncio.ensure_future(both.client.send_bytes(large))
            for _ in range(passes):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            try:
                await both.client.send_str("after")
            except ConnectionResetError:
                assert (await both.server.receive()).type is WSMsgType.CLOSE
                continue
            message = await both.server.receive()
            if message.data != "after":
                assert message.data == large
                assert await both.server.receive_str() == "after"


# On the wire


def inflate(payload: bytes, inflater: Any) -> bytes:
    return bytes(inflater.decompress(payload + b"\x00\x00\xff\xff"))


async def frames_of_server(offer: str, *texts: str, protocol: str = "") -> tuple[str | None, list[Frame]]:
    """Give what a server agrees to, and the frames of these texts."""

    async def handler(request: Any) -> Any:
        ws = endwell.web.WebSocketResponse()
        await ws.prepare(request)
        for text in texts:
            await ws.send_str(text)
        return ws

    async with facing(handler, alive=False) as stage:
        client = await stage.connect()
        await client.send(upgrade(f"Sec-WebSocket-Extensions: {offer}"))
        answer = await client.answer()
        assert answer.status == 101
        frames = []
        while (each := await read_frame(client._exactly)).opcode != CLOSE:
            frames.append(each)
        await client.send(masked(CLOSE, closing(1000)))
        await client.closed()
        return answer.get("sec-websocket-extensions"), frames


async def test_frames_of_a_server_keep_their_context() -> None:
    agreed, frames = await frames_of_server("permessage-deflate", TEXTS[2], TEXTS[2])
    assert agreed is not None
    assert agreed.startswith("permessage-deflate")
    assert [(each.opcode, each.rsv, each.fin) for each in frames] == [(TEXT, 4, True)] * 2
    inflater = zlib.decompressobj(-15)
    assert [inflate(each.payload, inflater).decode() for each in frames] == [TEXTS[2]] * 2
    assert len(frames[1].payload) < len(frames[0].payload), "the second refers to the first"


async def test_frames_of_a_server_without_context() -> None:
    agreed, frames = await frames_of_server("permessage-deflate; server_no_context_takeover", TEXTS[2], TEXTS[2])
    assert agreed is not None
    assert "server_no_context_takeover" in agreed
    for each in frames:
        assert inflate(each.payload, zlib.decompressobj(-15)).decode() == TEXTS[2]


@pytest.mark.parametrize("bits", [9, 10, 12])
async def test_frames_of_a_server_with_a_small_window(bits: int) -> None:
    text = "".join(str(number) for number in range(3000))
    agreed, frames = await frames_of_server(f"permessage-deflate; server_max_window_bits={bits}", text, text)
    assert agreed is not None
    assert f"server_max_window_bits={bits}" in agreed
    inflater = zlib.decompressobj(-bits)
    assert [inflate(each.payload, inflater).decode() for each in frames] == [text] * 2


@pytest.mark.parametrize(
    "offer",
    ["x-unknown", "permessage-deflate; unknown=1", "permessage-deflate; server_max_window_bits=7",
     "permessage-deflate; server_max_window_bits=16", "permessage-deflate; server_max_window_bits",
     "permessage-deflate; client_max_window_bits=abc", "permessage-deflate; server_no_context_takeover=1",
     "permessage-deflate; server_max_window_bits=10; server_max_window_bits=11", "permessage-deflate-x"],
)  # fmt: skip
async def test_offers_that_are_declined(offer: str) -> None:
    """RFC 7692 section 7.1: a server declines what it does not understand, and goes on without."""
    agreed, frames = await frames_of_server(offer, "text")
    assert agreed is None
    assert [(each.rsv, each.payload) for each in frames] == [(0, b"text")]


async def test_the_second_offer_will_do() -> None:
    agreed, frames = await frames_of_server(
        'permessage-deflate; server_max_window_bits=7, x-a; y="z", permessage-deflate; client_max_window_bits', "t"
    )
    assert agreed is not None
    assert frames[0].rsv == 4


ANSWERS = {
    "plain": "permessage-deflate",
    "no context": "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
    "windows": "permessage-deflate; client_max_window_bits=10; server_max_window_bits=10",
}


@pytest.mark.parametrize("kind", ANSWERS)
async def test_a_client_keeps_to_what_the_server_says(kind: str) -> None:
    frames: list[Frame] = []
    no_context = kind == "no context"

    async def script(conn: PeerConnection) -> None:
        request = await conn.read_request()
        assert "client_max_window_bits" in (request.get("Sec-WebSocket-Extensions") or "")
        answer = switching(request.get("Sec-WebSocket-Key"), f"Sec-WebSocket-Extensions: {ANSWERS[kind]}")
        await conn.send(answer)
        deflater = None
        for _ in range(2):
            each = await read_frame(conn.read_exactly)
            frames.append(each)
            if deflater is None or no_context:
                deflater = zlib.compressobj(wbits=-10)
            data = deflater.compress(b"and back " * 100) + deflater.flush(zlib.Z_SYNC_FLUSH)
            await conn.send(frame(TEXT, data[:-4], rsv=4))
        await conn.send(frame(CLOSE, closing(1000)))
        await conn.closed_by_client()

    async with ScriptedPeer(script) as peer, endwell.ClientSession() as session:
        async with session.ws_connect(peer.url(), compress=15) as ws:
            assert ws.client_notakeover is no_context
            for _ in range(2):
                await ws.send_str(TEXTS[2])
                assert await ws.receive_str() == "and back " * 100
            assert (await ws.receive()).type is WSMsgType.CLOSE
    bits = -10 if kind == "windows" else -15
    inflater = zlib.decompressobj(bits)
    for each in frames:
        assert each.rsv == 4
        assert inflate(each.payload, zlib.decompressobj(bits) if no_context else inflater).decode() == TEXTS[2]


@pytest.mark.parametrize(
    "answer",
    ["permessage-deflate; unknown", "permessage-deflate; server_max_window_bits=16",
     "permessage-deflate, permessage-deflate", "permessage-deflate; client_max_window_bits",
     "permessage-deflate; client_max_window_bits=7", "permessage-deflate; server_no_context_takeover=yes",
     "permessage-deflate; server_no_context_takeover; server_no_context_takeover", "x-other"],
)  # fmt: skip
async def test_answers_that_fail_the_handshake(answer: str) -> None:
    async def script(conn: PeerConnection) -> None:
        request = await conn.read_request()
        await conn.send(switching(request.get("Sec-WebSocket-Key"), f"Sec-WebSocket-Extensions: {answer}"))
        await conn.closed_by_client()

    async with ScriptedPeer(script) as peer, endwell.ClientSession() as session:
        with pytest.raises(endwell.WSServerHandshakeError) as caught:
            await session.ws_connect(peer.url(), compress=15)
        assert caught.value.status == 101


async def test_a_client_that_asked_for_a_small_window_is_not_given_a_larger_one() -> None:
    """`compress=10` says what the client can send with; more from the server would be a fault of ours."""
    async with pair(client={"compress": 10}) as both:
        assert both.client.compress <= 10
        await both.client.send_str("".join(map(str, range(5000))))
        assert len(await both.server.receive_str()) == 18_890


@ROLES
async def test_frames_without_the_bit_are_as_they_are(role: str) -> None:
    """What is not marked is not compressed, even where that was agreed on (RFC 7692 section 6)."""
    async with pair(client={"compress": 15}) as both:
        here, there = ends(both, role)
        await there.send_bytes(b"\x00\x01garbage for an inflater", compress=0)
        assert await here.receive_bytes() == b"\x00\x01garbage for an inflater"


async def test_fragments_are_compressed_together() -> None:
    received: list[Any] = []

    async def handler(request: Any) -> Any:
        ws = endwell.web.WebSocketResponse()
        await ws.prepare(request)
        received.extend([each.data async for each in ws])
        return ws

    deflater = zlib.compressobj(wbits=-15)
    data = deflater.compress(b"abc" * 1000) + deflater.flush(zlib.Z_SYNC_FLUSH)
    data = data[:-4]
    async with facing(handler, alive=False) as stage:
        client = await stage.connect()
        await client.send(upgrade("Sec-WebSocket-Extensions: permessage-deflate"))
        assert (await client.answer()).status == 101
        await client.send(
            masked(BINARY, data[:1], rsv=4, fin=False), masked(0, b"", fin=False), masked(0, data[1:]),
            masked(CLOSE, closing(1000)),
        )  # fmt: skip
        assert (await read_frame(client._exactly)).code == 1000
        await client.closed()
    assert received == [b"abc" * 1000]


async def test_an_offer_in_words() -> None:
    """A field of the user's own is the offer, and what it offers is kept."""
    offer = "permessage-deflate; client_no_context_takeover; server_max_window_bits=10"
    given = {"Sec-WebSocket-Extensions": offer}
    async with pair(client={"headers": given}) as both:
        assert both.request.headers["Sec-WebSocket-Extensions"] == offer
        assert both.client.compress
        assert both.client.client_notakeover
        assert both.server.compress == 10
        await both.client.send_str(TEXTS[2])
        assert await both.server.receive_str() == TEXTS[2]


async def test_an_offer_of_something_else() -> None:
    async with endwell.ClientSession() as session:
        with pytest.raises(ValueError, match="one offer of permessage-deflate"):
            await session.ws_connect("ws://localhost:1/", headers={"Sec-WebSocket-Extensions": "x-better"})
