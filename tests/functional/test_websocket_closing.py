"""The end of a WebSocket, with endwell at both ends: codes and reasons, and what the ends tell of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import endwell
from endwell import WSMsgType
from tests.support.websockets import ROLES, TLS, ended, ends, pair

CLOSED = (WSMsgType.CLOSED, None, None)
CLOSING = (WSMsgType.CLOSING, None, None)


# Closing


@TLS
@ROLES
@pytest.mark.parametrize("receiving", [False, True], ids=["closing", "receiving"])
async def test_a_close_with_code_and_reason(role: str, tls: bool, receiving: bool) -> None:
    """Both ends learn the code. (aiohttp answers with 1000, and that is what the end that closed learns.)"""
    async with pair(tls=tls) as both:
        here, there = ends(both, role)
        assert (here.close_code, here.closed) == (None, False)
        if receiving:
            reading = asyncio.ensure_future(here.receive())
            await asyncio.sleep(0)
        answering = asyncio.ensure_future(there.receive())
        assert await here.close(code=4001, message="grüße".encode())
        assert await answering == (WSMsgType.CLOSE, 4001, "grüße")
        if receiving:
            assert await reading == CLOSING
        for end in (here, there):
            assert end.closed
            assert end.close_code == 4001
            assert end.exception() is None
            assert await end.receive() == CLOSED
            assert await end.receive() == CLOSED
            assert not await end.close(), "it was closed before"


@ROLES
async def test_a_close_without_arguments(role: str) -> None:
    async with pair() as both:
        here, there = ends(both, role)
        answering = asyncio.ensure_future(there.receive())
        assert await here.close()
        assert await answering == (WSMsgType.CLOSE, 1000, "")
        assert (here.close_code, there.close_code) == (1000, 1000)


@ROLES
async def test_a_reason_may_be_text(role: str) -> None:
    async with pair() as both:
        here, there = ends(both, role)
        answering = asyncio.ensure_future(there.receive())
        assert await here.close(code=1001, message="text")
        assert await answering == (WSMsgType.CLOSE, 1001, "text")


@ROLES
async def test_both_ends_close_at_once(role: str) -> None:
    async with pair() as both:
        here, there = ends(both, role)
        assert await asyncio.gather(here.close(), there.close()) == [True, True]
        assert here.closed
        assert there.closed
        assert (here.close_code, there.close_code) == (1000, 1000)


@ROLES
@pytest.mark.parametrize(
    ("code", "reason"),
    [(1005, b""), (1006, b""), (1015, b""), (999, b""), (1004, b""), (5000, b""), (0, b""), (-1, b""), (70000, b""),
     (1000, b"x" * 124), (1000, b"\xff"), (2000, b"")],
    ids=["1005", "1006", "1015", "999", "1004", "5000", "0", "-1", "70000", "long", "no-utf-8", "2000"],
)  # fmt: skip
async def test_a_close_that_may_not_be_sent_is_refused(role: str, code: int, reason: bytes) -> None:
    """RFC 6455 sections 5.5 and 7.4. (aiohttp sends it, and the peer answers 1002.)"""
    async with pair() as both:
        here, there = ends(both, role)
        with pytest.raises(ValueError):
            await here.close(code=code, message=reason)
        assert not here.closed
        await here.send_str("still open")
        assert await there.receive_str() == "still open"


@pytest.mark.parametrize("code", [1001, 1003, 1008, 1011, 1012, 1013, 1014, 3000, 4999])
async def test_codes_that_may_be_sent(code: int) -> None:
    async with pair() as both:
        answering = asyncio.ensure_future(both.client.receive())
        assert await both.server.close(code=code)
        assert await answering == (WSMsgType.CLOSE, code, "")
        assert (both.server.close_code, both.client.close_code) == (code, code)


@ROLES
async def test_sending_after_the_close(role: str) -> None:
    async with pair() as both:
        here, there = ends(both, role)
        answering = asyncio.ensure_future(there.receive())
        await here.close()
        await answering
        for end in (here, there):
            for send, data in (
                (end.send_str, "x"), (end.send_bytes, b"x"), (end.send_json, []), (end.ping, b""), (end.pong, b""),
            ):  # fmt: skip
                with pytest.raises(ConnectionResetError, match="clos") as caught:
                    await send(data)
                if end is both.client:
                    assert isinstance(caught.value, endwell.ClientConnectionResetError)
            with pytest.raises(ConnectionResetError):
                await end.send_frame(b"", WSMsgType.TEXT)
            with pytest.raises(ConnectionResetError):
                await end.send_str("in pieces", fragment_size=2)


@ROLES
async def test_messages_that_came_before_the_close_are_received(role: str) -> None:
    async with pair() as both:
        here, there = ends(both, role)
        for number in range(3):
            await there.send_str(str(number))
        closing = asyncio.ensure_future(there.close(code=4000))
        assert [await here.receive_str() for _ in range(3)] == ["0", "1", "2"]
        assert await here.receive() == (WSMsgType.CLOSE, 4000, "")
        assert await closing


@ROLES
async def test_the_users_close_without_autoclose(role: str) -> None:
    async with pair(**{role: {"autoclose": False}}) as both:
        here, there = ends(both, role)
        closing = asyncio.ensure_future(there.close(code=4001, message=b"bye"))
        assert await here.receive() == (WSMsgType.CLOSE, 4001, "bye")
        assert not here.closed
        assert not closing.done()
        assert await here.close(code=4002)
        assert await closing
        assert here.closed
        assert await here.receive() == CLOSED
        # Each end learns what the other one said.
        assert (here.close_code, there.close_code) == (4001, 4002)


@ROLES
async def test_the_peer_is_gone(role: str) -> None:
    """Without a close frame: 1006."""
    async with pair() as both:
        here, there = ends(both, role)
        receiving = asyncio.ensure_future(here.receive())
        await asyncio.sleep(0)
        there._ws.abort()
        message = await receiving
        assert message.type in (WSMsgType.CLOSED, WSMsgType.ERROR)
        assert here.closed
        assert here.close_code == 1006
        assert await here.receive() == CLOSED
        with pytest.raises(ConnectionResetError):
            await here.send_str("x")
        assert not await here.close()
        await there.receive()


async def test_the_session_or_the_server_says_who_is_gone() -> None:
    """`async with` of a client's WebSocket closes it; a handler that returns closes the server's."""
    async with pair() as both:
        async with both.client as same:
            assert same is both.client
            await same.send_str("hello")
            answering = asyncio.ensure_future(both.server.receive())
        assert both.client.closed
        assert (await answering).data == "hello"
    async with pair() as both:
        receiving = asyncio.ensure_future(both.client.receive())
        await ended(both)
        assert await receiving == (WSMsgType.CLOSE, 1000, "")
        assert both.server.closed
        assert both.client.close_code == 1000


async def test_a_handler_that_fails_closes_with_1011() -> None:
    """An exception is told to the client by the code, not by its text. (aiohttp drops the connection: 1006.)"""
    from tests.support.raw import facing  # its server notes what is logged

    async def handler(request: Any) -> Any:
        ws = endwell.web.WebSocketResponse()
        await ws.prepare(request)
        await ws.receive()
        raise ValueError("a secret")

    async with facing(handler, alive=False) as stage, endwell.ClientSession() as session:
        async with session.ws_connect(f"ws://127.0.0.1:{stage.server.port}/") as ws:
            await ws.send_str("x")
            message = await ws.receive()
            assert (message.type, message.data) == (WSMsgType.CLOSE, 1011)
            assert "secret" not in str(message.extra)
            assert ws.close_code == 1011
        said = stage.said()
        assert len(said) == 1
        assert "ValueError: a secret" in said[0]
