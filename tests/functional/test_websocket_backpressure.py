"""Slow readers at either end: whoever sends is made to wait, and memory stays bounded however long that takes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import endwell
from endwell import WSMsgType
from tests.support.raw import facing
from tests.support.streams import READ, stands_still
from tests.support.websockets import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    ROLES,
    TLS,
    closing,
    ends,
    masked,
    pair,
    read_frame,
    upgrade,
)

PIECE = bytes(10_000)
MANY = 6000  # pieces that do not fit into any buffers on the way
UNREAD = 256 * 1024
KERNEL = 12 * 2**20
"""What the kernel may hold between two sockets of loopback."""


class Sending:
    """Sends pieces, one after the other, and counts them."""

    def __init__(self, end: Any, number: int = MANY) -> None:
        self.sent = 0
        self._end = end
        self.task = asyncio.ensure_future(self._send(number))

    async def _send(self, number: int) -> None:
        for count in range(number):
            await self._end.send_bytes(count.to_bytes(4, "big") + PIECE)
            self.sent += 1


def waiting(end: Any) -> int:
    """Give the bytes that an end holds because its peer does not read."""
    return int(end._ws.transport.get_write_buffer_size())


@TLS
@ROLES
async def test_a_peer_that_receives_nothing_stops_the_sender(role: str, tls: bool) -> None:
    """And then all arrives, in its order."""
    async with pair(tls=tls) as both:
        here, there = ends(both, role)
        sending = Sending(here)
        await stands_still(lambda: sending.sent)
        assert sending.sent * len(PIECE) < KERNEL + UNREAD + 4 * READ
        assert len(there._ws.queue or ()) * len(PIECE) <= UNREAD + READ, "what was read, and nobody has received"
        assert waiting(here) <= 2**18 + READ
        for number in range(MANY):
            assert int.from_bytes((await there.receive_bytes())[:4], "big") == number
        await sending.task
        assert (sending.sent, waiting(here)) == (MANY, 0)


@TLS
@pytest.mark.parametrize("limit", [0, 20_000, 500_000])
async def test_the_writer_limit_of_a_server(limit: int, tls: bool) -> None:
    async with pair(tls=tls, server={"writer_limit": limit}) as both:
        sending = Sending(both.server)
        await stands_still(lambda: sending.sent)
        held = waiting(both.server)
        assert held > 0
        assert held <= limit + len(PIECE) + 20 + (READ if tls else 0)
        async for message in both.client:
            if int.from_bytes(message.data[:4], "big") == MANY - 1:
                break
        await sending.task


async def test_tiny_messages_count_too() -> None:
    """Each is an object far larger than what it holds: those that nobody receives are bounded in number."""
    go = asyncio.Event()
    state: list[Any] = []

    async def handler(request: Any) -> Any:
        ws = endwell.web.WebSocketResponse()
        await ws.prepare(request)
        state.append(ws)
        await go.wait()
        return ws

    async with facing(handler, alive=False) as stage:
        client = await stage.connect()
        await client.send(upgrade())
        assert (await client.answer()).status == 101
        flood = masked(BINARY) * 20_000
        accepted = 0

        async def pour() -> None:
            nonlocal accepted
            for _ in range(200):
                await client.send(flood)
                accepted += 1

        task = asyncio.ensure_future(pour())
        await stands_still(lambda: accepted, lambda: len(state[0]._ws.queue or ()))
        assert accepted < 200
        assert len(state[0]._ws.queue or ()) <= (UNREAD + READ) / len(masked(BINARY))
        task.cancel()
        await asyncio.wait([task])
        client.reset()
        go.set()


@ROLES
async def test_a_sender_that_waits_is_told_when_its_own_end_closes(role: str) -> None:
    options = {"client": {"timeout": endwell.ClientWSTimeout(ws_close=0.05)}, "server": {"timeout": 0.05}}
    async with pair(**{role: options[role]}, allow_aborted=True) as both:
        here, _ = ends(both, role)
        sending = Sending(here)
        await stands_still(lambda: sending.sent)
        await here.close()
        with pytest.raises(ConnectionResetError):
            await sending.task
        assert here.close_code == 1006, "the peer never got as far as the close frame"


@ROLES
async def test_a_sender_that_waits_is_told_when_the_peer_is_gone(role: str) -> None:
    async with pair(allow_aborted=True) as both:
        here, there = ends(both, role)
        sending = Sending(here)
        await stands_still(lambda: sending.sent)
        there._ws.abort()
        with pytest.raises(ConnectionResetError):
            await sending.task
        await here.receive()
        assert here.close_code == 1006


@ROLES
async def test_a_sender_that_waits_can_be_cancelled(role: str) -> None:
    """The WebSocket is as it was, and no message is cut."""
    async with pair() as both:
        here, there = ends(both, role)
        sending = Sending(here)
        await stands_still(lambda: sending.sent)
        sending.task.cancel()
        await asyncio.wait([sending.task])
        count = sending.sent
        later = asyncio.ensure_future(here.send_str("after"))
        found = 0
        while (message := await there.receive()).type is WSMsgType.BINARY:
            assert int.from_bytes(message.data[:4], "big") == found
            found += 1
        assert message.data == "after"
        assert found in (count, count + 1)
        await later


@ROLES
async def test_a_close_while_a_sender_waits_and_the_peer_goes_on_reading(role: str) -> None:
    """The close frame is behind what was sent before: nothing of it is lost."""
    async with pair() as both:
        here, there = ends(both, role)
        sending = Sending(here)
        await stands_still(lambda: sending.sent)
        task = asyncio.ensure_future(here.close(code=4000))
        count = 0
        async for message in there:
            assert int.from_bytes(message.data[:4], "big") == count
            count += 1
        assert await task
        assert there.close_code == here.close_code == 4000
        with pytest.raises(ConnectionResetError):
            await sending.task
        assert count in (sending.sent, sending.sent + 1)


@TLS
async def test_the_answer_to_a_close_is_found_behind_what_nobody_receives(tls: bool) -> None:
    """The peer has sent a lot before it saw our close frame."""
    async with pair(tls=tls) as both:
        sending = Sending(both.server)
        await stands_still(lambda: sending.sent)
        receiving = asyncio.ensure_future(both.server.receive())
        assert await both.client.close(code=4000)
        assert (await receiving).data == 4000
        assert both.client.close_code == both.server.close_code == 4000
        with pytest.raises(ConnectionResetError):
            await sending.task


async def test_a_stream_waits_for_a_slow_peer() -> None:
    made = 0

    async def endless() -> Any:
        nonlocal made
        for _ in range(MANY):
            made += 1
            yield PIECE

    async with pair(client={"max_msg_size": 0}) as both:
        task = asyncio.ensure_future(both.server.send_stream(endless()))
        # A client reads until it has the message, of any size: only its limit ends that.
        assert len(await both.client.receive_bytes()) == MANY * len(PIECE)
        await task
    made = 0

    async def handler(request: Any) -> Any:
        ws = endwell.web.WebSocketResponse()
        await ws.prepare(request)
        try:
            await ws.send_stream(endless())
        except ConnectionResetError:
            ended.append(True)
        return ws

    ended: list[bool] = []
    async with facing(handler, alive=False) as stage:
        client = await stage.connect(receive=4096)
        await client.send(upgrade())
        assert (await client.answer()).status == 101
        await stands_still(lambda: made)
        assert made * len(PIECE) < KERNEL + 2**18 + READ
        client.reset()
        while not ended:
            await asyncio.sleep(0.001)


# Floods


@pytest.mark.parametrize("reads", [False, True], ids=["never reads", "reads"])
async def test_a_flood_of_pings(reads: bool) -> None:
    """A peer that never reads its pongs: they do not pile up, at most one waits. One that reads gets them all."""
    from tests.support.websockets import PONG

    state: list[Any] = []

    async def handler(request: Any) -> Any:
        ws = endwell.web.WebSocketResponse()
        state.append(ws)
        await ws.prepare(request)
        state.append(await ws.receive())
        return ws

    pings = 300_000
    flood = masked(PING, b"x" * 125) * 1000
    async with facing(handler, alive=False) as stage:
        client = await stage.connect(receive=4096 if not reads else None)
        await client.send(upgrade())
        assert (await client.answer()).status == 101
        if reads:
            for _ in range(20):
                sending = asyncio.ensure_future(client.send(flood))
                for _ in range(1000):
                    each = await read_frame(client._exactly)
                    assert (each.opcode, each.payload) == (PONG, b"x" * 125)
                await sending
            await client.send(masked(CLOSE, closing(1000)))
            assert (await read_frame(client._exactly)).code == 1000
        else:
            peak = 0
            for _ in range(pings // 1000):
                await asyncio.wait_for(client.send(flood), 5)
                peak = max(peak, waiting(state[0]))
            assert peak <= 2**18 + READ
            client.reset()
            while len(state) < 2:
                await asyncio.sleep(0.001)


async def test_a_flood_of_pings_while_the_handler_receives_nothing() -> None:
    """They are answered all the same, and nothing is kept for the handler."""
    go = asyncio.Event()
    state: list[Any] = []

    async def handler(request: Any) -> Any:
        ws = endwell.web.WebSocketResponse()
        await ws.prepare(request)
        state.append(ws)
        await go.wait()
        return ws

    async with facing(handler, alive=False) as stage:
        client = await stage.connect()
        await client.send(upgrade())
        assert (await client.answer()).status == 101
        for _ in range(5):
            await client.send(masked(PING, b"p") * 1000)
            for _ in range(1000):
                assert (await read_frame(client._exactly)).opcode == PONG
        assert not state[0]._ws.queue
        go.set()
        assert (await read_frame(client._exactly)).code == 1000
        await client.send(masked(CLOSE, closing(1000)))
        await client.closed()


async def test_a_flood_of_pings_without_autoping_is_held_back_like_messages() -> None:
    """They are the user's then, who receives nothing: the reading stops."""
    go = asyncio.Event()
    state: list[Any] = []

    async def handler(request: Any) -> Any:
        ws = endwell.web.WebSocketResponse(autoping=False)
        await ws.prepare(request)
        state.append(ws)
        await go.wait()
        return ws

    async with facing(handler, alive=False) as stage:
        client = await stage.connect()
        await client.send(upgrade())
        assert (await client.answer()).status == 101
        flood = masked(PING, b"x" * 125) * 1000
        accepted = 0

        async def pour() -> None:
            nonlocal accepted
            for _ in range(200):
                await client.send(flood)
                accepted += len(flood)

        task = asyncio.ensure_future(pour())
        await stands_still(lambda: accepted)
        assert accepted < 200 * len(flood)
        assert len(state[0]._ws.queue or ()) * 125 < UNREAD + READ
        task.cancel()
        await asyncio.wait([task])
        client.reset()
        go.set()


async def test_data_from_a_client_to_a_handler_that_only_sends() -> None:
    """What it never receives does not grow, and does not keep it from learning that the client closes."""
    state: list[Any] = []

    async def handler(request: Any) -> Any:
        ws = endwell.web.WebSocketResponse()
        await ws.prepare(request)
        state.append(ws)
        await asyncio.Event().wait()

    async with facing(handler, alive=False, handler_cancellation=True) as stage:
        client = await stage.connect()
        await client.send(upgrade())
        assert (await client.answer()).status == 101
        accepted = 0

        async def pour() -> None:
            nonlocal accepted
            for _ in range(2000):
                await client.send(masked(BINARY, PIECE))
                accepted += 1

        task = asyncio.ensure_future(pour())
        await stands_still(lambda: accepted)
        assert len(state[0]._ws.queue or ()) * len(PIECE) <= UNREAD + READ
        task.cancel()
        await asyncio.wait([task])
        client.reset()
        stage.said()
