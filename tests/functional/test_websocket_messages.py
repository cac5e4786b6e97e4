"""The message API of WebSockets, api.md section 9, with endwell at both ends: each promise holds for either role."""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import Any

import pytest

import endwell
from endwell import WSMessage, WSMessageTypeError, WSMsgType
from tests.support.websockets import ROLES, TLS, ends, pair

CLOSED = (WSMsgType.CLOSED, None, None)
CLOSING = (WSMsgType.CLOSING, None, None)


# Sending and receiving


@TLS
@ROLES
async def test_text_and_bytes(role: str, tls: bool) -> None:
    async with pair(tls=tls) as both:
        here, there = ends(both, role)
        for text in ("hello", "", "grüße, 世界 \U0001f642", "x" * 70_000, "\0"):
            await there.send_str(text)
            message = await here.receive()
            assert isinstance(message, WSMessage)
            assert (message.type, message.data) == (WSMsgType.TEXT, text)
        for data in (b"\xff\x00", b"", bytes(range(256)) * 300, bytes(1_000_000)):
            await there.send_bytes(data)
            message = await here.receive()
            assert (message.type, message.data) == (WSMsgType.BINARY, data)
            assert type(message.data) is bytes


@ROLES
async def test_messages_of_all_sizes(role: str) -> None:
    """The size of the size changes at 126 and at 65536."""
    async with pair() as both:
        here, there = ends(both, role)
        for size in (1, 125, 126, 127, 65535, 65536, 65537):
            await there.send_bytes(b"x" * size)
            assert await here.receive_bytes() == b"x" * size
            await there.send_str("y" * size)
            assert await here.receive_str() == "y" * size


@ROLES
async def test_many_messages_keep_their_order(role: str) -> None:
    async with pair() as both:
        here, there = ends(both, role)
        for number in range(500):
            await there.send_str(str(number))
        assert [await here.receive_str() for _ in range(500)] == [str(number) for number in range(500)]


@TLS
async def test_both_ends_at_once(tls: bool) -> None:
    async with pair(tls=tls) as both:

        async def talk(end: Any) -> list[str]:
            found = []
            for number in range(200):
                await end.send_str(str(number))
                found.append(await end.receive_str())
            return found

        wanted = [str(number) for number in range(200)]
        assert await asyncio.gather(talk(both.client), talk(both.server)) == [wanted, wanted]


@ROLES
async def test_several_tasks_send(role: str) -> None:
    """Messages are whole, whoever sends them; each task's own are in order."""
    async with pair() as both:
        here, there = ends(both, role)

        async def send(name: str) -> None:
            for number in range(50):
                await there.send_str(f"{name}{number:03}" + name * 3000)

        sending = asyncio.gather(*(send(name) for name in "abcd"))
        found = [await here.receive_str() for _ in range(200)]
        await sending
        for name in "abcd":
            assert [each for each in found if each[0] == name] == [f"{name}{n:03}" + name * 3000 for n in range(50)]


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
@ROLES
async def test_kinds_of_bytes(role: str, make: Any) -> None:
    async with pair() as both:
        here, there = ends(both, role)
        await there.send_bytes(make(b"data"))
        assert await here.receive_bytes() == b"data"


@ROLES
async def test_a_buffer_that_changes_after_it_was_sent(role: str) -> None:
    async with pair() as both:
        here, there = ends(both, role)
        buffer = bytearray(b"first" * 1000)
        await there.send_bytes(buffer)
        buffer[:5] = b"XXXXX"
        assert await here.receive_bytes() == b"first" * 1000


@ROLES
async def test_wrong_kinds_of_data(role: str) -> None:
    async with pair() as both:
        here, there = ends(both, role)
        with pytest.raises(TypeError):
            await there.send_str(b"bytes")
        with pytest.raises(TypeError):
            await there.send_bytes("text")
        with pytest.raises(TypeError):
            await there.send_json(object())
        with pytest.raises(UnicodeEncodeError):
            await there.send_str("half of a pair: \ud800")
        await there.send_str("nothing was sent")
        assert await here.receive_str() == "nothing was sent"


@ROLES
async def test_json(role: str) -> None:
    async with pair() as both:
        here, there = ends(both, role)
        value = {"a": [1, None, "é"]}
        await there.send_json(value)
        assert await here.receive_json() == value
        await there.send_json(value)
        assert (await here.receive()).json() == value
        await there.send_json(value, dumps=lambda each: json.dumps(list(each)))
        assert await here.receive_json(loads=lambda text: ("loaded", text)) == ("loaded", '["a"]')
        await there.send_json_bytes(value, dumps=lambda each: json.dumps(each).encode())
        message = await here.receive()
        assert (message.type, message.json()) == (WSMsgType.BINARY, value)
        await there.send_str("{no json")
        with pytest.raises(json.JSONDecodeError):
            await here.receive_json()
        await there.send_json(1)
        assert await here.receive_json() == 1


@ROLES
async def test_receiving_another_type(role: str) -> None:
    """The message is lost, the WebSocket is not."""
    async with pair() as both:
        here, there = ends(both, role)
        for receive, send, data, name in (
            (here.receive_str, there.send_bytes, b"bytes", "TEXT"),
            (here.receive_json, there.send_bytes, b"[]", "TEXT"),
            (here.receive_bytes, there.send_str, "text", "BINARY"),
        ):
            await send(data)
            with pytest.raises(WSMessageTypeError, match=name) as caught:
                await receive()
            assert isinstance(caught.value, TypeError)
        await there.send_str("go on")
        assert await here.receive_str() == "go on"
        receiving = asyncio.ensure_future(here.receive_str())
        await there.close()
        with pytest.raises(WSMessageTypeError):
            await receiving
        with pytest.raises(WSMessageTypeError):
            await here.receive_bytes()


@ROLES
async def test_frames_are_sent_by_opcode(role: str) -> None:
    async with pair() as both:
        here, there = ends(both, role)
        await there.send_frame(b"text", WSMsgType.TEXT)
        assert await here.receive() == (WSMsgType.TEXT, "text", "")
        await there.send_frame(b"bytes", WSMsgType.BINARY)
        assert await here.receive() == (WSMsgType.BINARY, b"bytes", "")


@ROLES
async def test_text_that_is_not_decoded(role: str) -> None:
    async with pair(**{role: {"decode_text": False}}) as both:
        here, there = ends(both, role)
        await there.send_str("grüße")
        message = await here.receive()
        assert (message.type, message.data) == (WSMsgType.TEXT, "grüße".encode())
        await there.send_str("grüße")
        assert await here.receive_str() == "grüße".encode()
        await there.send_str("[1]")
        assert await here.receive_json() == [1]
        await there.send_str("[2]")
        assert (await here.receive()).json() == [2]
        await there.send_str("")
        assert await here.receive_str() == b""


# Pings


@ROLES
async def test_pings_are_answered_unseen(role: str) -> None:
    """Whoever pings sees the answer when it turned `autoping` off; the other end sees nothing."""
    other = "server" if role == "client" else "client"
    async with pair(**{other: {"autoping": False}}) as both:
        here, there = ends(both, role)
        receiving = asyncio.ensure_future(here.receive())
        for data in (b"", b"payload", b"x" * 125):
            await there.ping(data)
            message = await there.receive()
            assert (message.type, bytes(message.data)) == (WSMsgType.PONG, data)
        await there.send_str("after")
        assert (await receiving).data == "after"


@ROLES
async def test_pongs_that_nobody_asked_for_are_not_seen(role: str) -> None:
    async with pair() as both:
        here, there = ends(both, role)
        await there.pong(b"unasked")
        await there.send_str("after")
        assert await here.receive_str() == "after"


@ROLES
async def test_pings_are_the_users_without_autoping(role: str) -> None:
    async with pair(**{role: {"autoping": False}}) as both:
        here, there = ends(both, role)
        await there.ping(b"ping")
        await there.pong(b"pong")
        await there.send_str("text")
        found = [await here.receive() for _ in range(3)]
        assert [each.type for each in found] == [WSMsgType.PING, WSMsgType.PONG, WSMsgType.TEXT]
        assert [bytes(each.data) for each in found[:2]] == [b"ping", b"pong"]


@ROLES
async def test_pings_that_are_too_long_are_refused_where_they_are_made(role: str) -> None:
    """RFC 6455 section 5.5: at most 125 bytes. (aiohttp sends them, and the peer ends the connection.)"""
    async with pair() as both:
        here, there = ends(both, role)
        for send in (here.ping, here.pong):
            with pytest.raises(ValueError, match="125"):
                await send(b"x" * 126)
        await here.send_str("fine")
        assert await there.receive_str() == "fine"


# Iteration


@TLS
@ROLES
async def test_iteration_ends_with_the_close(role: str, tls: bool) -> None:
    async with pair(tls=tls) as both:
        here, there = ends(both, role)
        await there.send_str("one")
        await there.send_bytes(b"two")
        closing = asyncio.ensure_future(there.close())
        assert [(each.type, each.data) async for each in here] == [(WSMsgType.TEXT, "one"), (WSMsgType.BINARY, b"two")]
        assert here.closed
        assert await closing
        assert [each async for each in here] == []


@ROLES
async def test_iteration_ends_when_this_end_closes(role: str) -> None:
    async with pair() as both:
        here, there = ends(both, role)

        async def iterate() -> list[Any]:
            return [each async for each in here]

        iterating = asyncio.ensure_future(iterate())
        answering = asyncio.ensure_future(there.receive())
        await asyncio.sleep(0)
        assert await here.close(code=4000, message=b"enough")
        assert await iterating == []
        assert await answering == (WSMsgType.CLOSE, 4000, "enough")


# Time-outs and concurrency


@TLS
@ROLES
async def test_a_receive_that_times_out(role: str, tls: bool) -> None:
    """The WebSocket stays as it was, and no message is lost."""
    async with pair(tls=tls) as both:
        here, there = ends(both, role)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await here.receive(timeout=0.01)
        for receive in (here.receive_str, here.receive_bytes, here.receive_json):
            with pytest.raises(TimeoutError):
                await receive(timeout=0.01)
        assert not here.closed
        await there.send_str("late")
        assert await here.receive_str(timeout=5) == "late"
        await here.send_str("and back")
        assert await there.receive_str() == "and back"


@pytest.mark.parametrize("timeout", [0.01, 0.001])
@ROLES
async def test_the_receive_timeout_of_a_websocket(role: str, timeout: float) -> None:
    options = {
        "client": {"timeout": endwell.ClientWSTimeout(ws_receive=timeout)},
        "server": {"receive_timeout": timeout},
    }
    async with pair(**{role: options[role]}) as both:
        here, there = ends(both, role)
        with pytest.raises(TimeoutError):
            await here.receive()
        assert not here.closed
        await there.send_str("late")
        assert await here.receive_str(timeout=5) == "late"


async def test_the_old_receive_timeout_of_a_client() -> None:
    async with pair() as both:
        with pytest.warns(DeprecationWarning, match="receive_timeout"):
            connecting = both.session.ws_connect(both.url, receive_timeout=0.01)
        connecting.close()


@ROLES
async def test_one_receive_at_a_time(role: str) -> None:
    async with pair() as both:
        here, there = ends(both, role)
        first = asyncio.ensure_future(here.receive())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="receive"):
            await here.receive()
        await there.send_str("for the first")
        assert (await first).data == "for the first"


@ROLES
async def test_a_receive_that_is_cancelled(role: str) -> None:
    """No message is lost; sending goes on."""
    async with pair() as both:
        here, there = ends(both, role)
        for number in range(20):
            receiving = asyncio.ensure_future(here.receive())
            for _ in range(number % 4):
                await asyncio.sleep(0)
            receiving.cancel()
            await there.send_str(str(number))
            with pytest.raises(asyncio.CancelledError):
                await receiving
            assert await here.receive_str() == str(number)
        await here.send_str("fine")
        assert await there.receive_str() == "fine"


@ROLES
async def test_a_message_and_a_cancellation_in_the_same_pass(role: str) -> None:
    """Whichever is first: the message is received by this call or by the next one."""
    async with pair() as both:
        here, there = ends(both, role)
        for number in range(50):
            receiving = asyncio.ensure_future(here.receive())
            await there.send_str(str(number))
            for _ in range(number % 7):
                await asyncio.sleep(0)
            receiving.cancel()
            try:
                message = await receiving
            except asyncio.CancelledError:
                message = await here.receive()
            assert message.data == str(number)


# What else it tells


@TLS
@ROLES
async def test_extra_info(role: str, tls: bool) -> None:
    async with pair(tls=tls) as both:
        here, there = ends(both, role)
        assert here.get_extra_info("peername") == there.get_extra_info("sockname")
        assert here.get_extra_info("nothing", "default") == "default"
        assert here.get_extra_info("nothing") is None
        assert (here.get_extra_info("ssl_object") is not None) == tls
        if tls:
            assert isinstance(here.get_extra_info("ssl_object"), (ssl.SSLObject, ssl.SSLSocket))


@ROLES
async def test_names_of_what_was_agreed(role: str) -> None:
    async with pair() as both:
        assert both.client.protocol is None
        assert both.server.ws_protocol is None
        assert not both.client.compress
        assert not both.server.compress
        assert both.client.client_notakeover is False
        assert both.server.status == 101
        assert both.server.prepared


def test_types_and_codes_have_aiohttps_values() -> None:
    assert {each.name: each.value for each in WSMsgType} == {
        "CONTINUATION": 0, "TEXT": 1, "BINARY": 2, "PING": 9, "PONG": 10, "CLOSE": 8,
        "CLOSING": 256, "CLOSED": 257, "ERROR": 258,
    }  # fmt: skip
    assert WSMsgType.text is WSMsgType.TEXT
    assert WSMsgType.closed is WSMsgType.CLOSED
    assert sorted(endwell.WSCloseCode) == [1000, 1001, 1002, 1003, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014]
