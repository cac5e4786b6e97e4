"""Hostile clients of a WebSocket (hostile.md): raw bytes against the server; what each is told, and the handler."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from endwell import WebSocketError, WSMsgType, web
from tests.support.faulty_frames import DEFLATE_FAULTS, FAULTS, bomb, cases
from tests.support.raw import RawClient, Stage, facing
from tests.support.websockets import (
    BINARY,
    CLOSE,
    PING,
    TEXT,
    closing,
    frame,
    masked,
    read_frame,
    upgrade,
)

SECRET = b"s3cr3t"


class Told:
    """What the handlers saw, in order: the messages, and at the end close code and exception of each WebSocket."""

    def __init__(self, **kwargs: Any) -> None:
        self.messages: list[Any] = []
        self.ends: list[tuple[int | None, BaseException | None]] = []
        self._kwargs = kwargs

    async def handler(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/fine":
            return web.Response(text="fine")
        ws = web.WebSocketResponse(**self._kwargs)
        await ws.prepare(request)
        async for message in ws:
            self.messages.append(message)
        self.ends.append((ws.close_code, ws.exception()))
        return ws


@contextlib.asynccontextmanager
async def meeting(*fields: str, **kwargs: Any) -> AsyncIterator[tuple[RawClient, Told, Stage]]:
    """Give a client whose handshake is over; at the end the server still serves, and has logged nothing."""
    told = Told(**kwargs)
    async with facing(told.handler) as stage:
        client = await stage.connect()
        await client.send(upgrade(*fields))
        assert (await client.answer()).status == 101
        yield client, told, stage


async def failed(client: RawClient, told: Told, code: int) -> None:
    """Check that both were told, and that the connection ends though the client goes on."""
    each = await read_frame(client._exactly)
    assert (each.opcode, each.code, each.mask) == (CLOSE, code, None), each
    assert each.reason
    assert SECRET.decode() not in each.reason
    await client.send(masked(TEXT, b"late") * 1000)
    await client.closed()
    while not told.ends:
        await asyncio.sleep(0)
    last = told.messages[-1]
    assert last.type is WSMsgType.ERROR
    assert isinstance(last.data, WebSocketError)
    assert last.data.code == code
    assert told.ends == [(code, last.data)]
    assert SECRET.decode() not in str(last.data)


@pytest.mark.parametrize("fault", cases(FAULTS))
async def test_faults(fault: str) -> None:
    make, code = FAULTS[fault]
    async with meeting() as (client, told, _):
        await client.send(make(masked))
        await failed(client, told, code)
        assert [each for each in told.messages[:-1] if each.data] == []


@pytest.mark.parametrize("fault", cases(FAULTS))
async def test_faults_byte_by_byte_behind_a_good_message(fault: str) -> None:
    make, code = FAULTS[fault]
    async with meeting() as (client, told, _):
        sent = masked(TEXT, b"good") + make(masked)
        for at in range(0, len(sent), 1 if len(sent) < 40 else 50):
            await client.send(sent[at : at + (1 if len(sent) < 40 else 50)])
        await failed(client, told, code)
        assert told.messages[0].data == "good"


@pytest.mark.parametrize("fault", cases(DEFLATE_FAULTS))
async def test_faults_of_compression(fault: str) -> None:
    make, code = DEFLATE_FAULTS[fault]
    async with meeting("Sec-WebSocket-Extensions: permessage-deflate") as (client, _, _):
        await client.send(make(masked))
        each = await read_frame(client._exactly)
        assert each.code in (code, 1007), each
        await client.closed()


@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, CLOSE, 0])
async def test_frames_that_are_not_masked(opcode: int) -> None:
    """RFC 6455 section 5.1: a server closes upon them."""
    async with meeting() as (client, told, _):
        await client.send(frame(opcode, closing(1000) if opcode == CLOSE else b"ab"))
        await failed(client, told, 1002)


async def test_a_fault_is_seen_in_the_first_byte_that_shows_it() -> None:
    """A frame that can't be right is not waited for."""
    for head in (b"\x83", b"\xc1", b"\x81\x05", b"\x09", b"\x89\xfe", b"\x88\xff", b"\x80"):
        async with meeting() as (client, told, _):
            await client.send(head if len(head) == 2 else head + b"\x80")
            await failed(client, told, 1002)


async def test_text_that_goes_wrong_is_refused_before_its_end() -> None:
    """Not only when megabytes of it have come (RFC 6455 section 8.1)."""
    async with meeting() as (client, told, _):
        await client.send(masked(TEXT, b"\xff" * 1000, fin=False))
        await failed(client, told, 1007)


@pytest.mark.parametrize("mask", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\1\0\1"])
async def test_odd_masks(mask: bytes) -> None:
    """Any key is a key."""
    async with meeting() as (client, told, _):
        await client.send(masked(TEXT, "grüße".encode() * 100, mask=mask), masked(CLOSE, closing(1000), mask=mask))
        assert (await read_frame(client._exactly)).code == 1000
        await client.closed()
        assert [each.data for each in told.messages] == ["grüße" * 100]


async def test_a_close_without_a_code() -> None:
    async with meeting() as (client, told, _):
        await client.send(masked(CLOSE))
        assert (await read_frame(client._exactly)).payload == b""
        await client.closed()
        while not told.ends:
            await asyncio.sleep(0)
        assert told.ends == [(1005, None)]


# Bombs and floods


@pytest.mark.parametrize("size", [64 * 2**20, 500 * 2**20])
async def test_a_deflate_bomb(size: int) -> None:
    """It is inflated up to the limit, and no further."""
    sent = masked(BINARY, bomb(size), rsv=4)
    async with meeting("Sec-WebSocket-Extensions: permessage-deflate", max_msg_size=2**20) as (client, told, _):
        tracemalloc.start()
        try:
            await client.send(sent)
            await failed(client, told, 1009)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 8 * 2**20


async def test_a_row_of_bombs_that_are_each_within_the_limit() -> None:
    """The handler receives nothing: not more than a few of them are inflated."""
    go = asyncio.Event()
    state: list[Any] = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        state.append(ws)
        await go.wait()
        return ws

    sent = masked(BINARY, bomb(4 * 2**20 - 1), rsv=4)
    async with facing(handler, alive=False) as stage:
        client = await stage.connect()
        await client.send(upgrade("Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover"))
        assert (await client.answer()).status == 101
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(50):  # 200 MB from 200 KB
            client.send_now(sent)
            for _ in range(5):
                await asyncio.sleep(0)
        held = sum(len(each.data) for each in state[0]._ws.queue or () if each.data)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        client.reset()
        go.set()
    assert held <= 16 * 2**20
    assert grown < 100 * 2**10, "KiB"


async def test_tiny_fragments_do_not_cost_their_square() -> None:
    """100,000 fragments, each in its own segment of 500: the CPU of twice as many is about twice as much."""

    async def cost(number: int) -> float:
        async with meeting(max_msg_size=0) as (client, told, _):
            begun = resource.getrusage(resource.RUSAGE_SELF).ru_utime
            await client.send(masked(TEXT, b"x", fin=False))
            for _ in range(number // 500):
                await client.send(masked(0, b"y", fin=False) * 500)
            await client.send(masked(0, b"z"), masked(CLOSE, closing(1000)))
            assert (await read_frame(client._exactly)).code == 1000
            await client.closed()
            assert len(told.messages[0].data) == number + 2
            return resource.getrusage(resource.RUSAGE_SELF).ru_utime - begun

    await cost(5_000)
    assert await cost(100_000) < 40 * await cost(10_000) + 0.2


@pytest.mark.parametrize("opcode", [TEXT, 0])
async def test_a_large_frame_in_small_pieces_does_not_cost_its_square(opcode: int) -> None:
    async with meeting() as (client, told, _):
        whole = masked(TEXT, b"x", fin=False) if opcode == 0 else b""
        whole += masked(opcode, b"y" * 2**20)
        begun = resource.getrusage(resource.RUSAGE_SELF).ru_utime
        for at in range(0, len(whole), 512):
            await client._loop.sock_sendall(client.sock, whole[at : at + 512])
            await asyncio.sleep(0)
        await client.send(masked(CLOSE, closing(1000)))
        assert (await read_frame(client._exactly)).code == 1000
        await client.closed()
        assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - begun < 5
        assert len(told.messages[0].data) >= 2**20


async def test_partial_frames_without_end_hold_little() -> None:
    """Without a heartbeat they are like idle WebSockets: open until the client goes.

    With one, it bounds them: `test_websocket_heartbeat`.
    """
    told = Told()
    async with facing(told.handler) as stage:
        clients = []
        for _ in range(200):
            client = await stage.connect()
            await client.send(upgrade() + frame(BINARY, b"", length=4 * 2**20, mask=b"abcd") + b"begun")
            assert (await client.answer()).status == 101
            clients.append(client)
        for client in clients:
            client.half_close()
            await client.closed()
        while len(told.ends) < 200:
            await asyncio.sleep(0)
    assert {code for code, _ in told.ends} == {1006}


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("sent", [b"", b"\x81", b"\x81\x85abcd", masked(TEXT, b"x", fin=False), masked(TEXT, b"whole")])
async def test_ends_without_a_close_frame(sent: bytes, how: str) -> None:
    async with meeting() as (client, told, _):
        await client.send(sent)
        if how == "fin":
            client.half_close()
            await client.closed()
        else:
            client.reset()
        while not told.ends:
            await asyncio.sleep(0)
        assert told.ends[0][0] == 1006
        assert [each.data for each in told.messages if each.type is WSMsgType.TEXT] in ([], ["whole"])


async def test_a_request_behind_a_websocket_does_not_run() -> None:
    """What follows the handshake is frames, and nothing but frames."""
    async with meeting() as (client, _, stage):
        await client.send(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        each = await read_frame(client._exactly)
        assert each.code == 1002
        await client.closed()
        assert stage.calls == []


async def test_a_handler_that_never_looks_at_types_does_not_spin() -> None:
    """`while True: await ws.receive()` on a closed WebSocket is told so."""
    ended: list[BaseException] = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        try:
            while True:
                await ws.receive()
        except RuntimeError as error:
            ended.append(error)
            raise

    async with facing(handler, alive=False) as stage:
        client = await stage.connect()
        await client.send(upgrade(), masked(CLOSE, closing(1000)))
        await client.answer()
        assert (await read_frame(client._exactly)).code == 1000
        await client.closed()
        while not ended:
            await asyncio.sleep(0)
        assert len(stage.said()) == 1


@pytest.mark.parametrize(
    "value",
    ["permessage-deflate" + "; x=1" * 500, "a, " * 1500, "permessage-deflate; server_max_window_bits=" + "9" * 4000,
     'x; y="' + "\\" * 2000, ";" * 3000, "," * 3000],
    ids=["parameters", "extensions", "digits", "backslashes", "semicolons", "commas"],
)  # fmt: skip
async def test_odd_extension_fields(value: str) -> None:
    """Refused or declined, in little time."""
    async with facing(Told().handler) as stage:
        client = await stage.connect()
        await client.send(upgrade(f"Sec-WebSocket-Extensions: {value}"))
        answer = await client.answer()
        assert answer.status in (101, 400)
        assert answer.get("sec-websocket-extensions") in (None, "permessage-deflate")
        client.reset()
        stage.said()
