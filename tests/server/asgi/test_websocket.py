from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from endwell.wire.websocket import MessageReader, MessageWriter, WSMessage, WSMsgType
from tests.support.asgi import AsgiStage, Call, app, asgi, get
from tests.support.raw import Answer, RawClient, passes, until

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
FIELDS = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}")


def ask(target: str = "/", *fields: str) -> bytes:
    return get(target, *FIELDS, *fields)


class Peer:
    """The client's end of a WebSocket."""

    def __init__(self, client: RawClient) -> None:
        self.client = client
        self.reader = MessageReader(masked=False)
        self.writer = MessageWriter(masked=True)
        self.messages: list[WSMessage] = []

    async def text(self, text: str) -> None:
        await self.client.send(self.writer.message(WSMsgType.TEXT, text.encode()))

    async def close(self, code: int = 1000, reason: bytes = b"") -> None:
        await self.client.send(self.writer.control(WSMsgType.CLOSE, code.to_bytes(2, "big") + reason))

    async def next(self) -> WSMessage:
        while not self.messages:
            data = bytes(self.client._buffer)
            self.client._buffer.clear()
            self.messages += self.reader.feed(data)
            if not self.messages:
                assert await self.client._more(), self.client.ended
        return self.messages.pop(0)


async def opened(stage: AsgiStage, target: str = "/", *fields: str) -> tuple[Peer, Answer]:
    client = await stage.connect()
    await client.send(ask(target, *fields))
    answer = await client.answer()
    assert answer.status == 101, answer
    return Peer(client), answer


async def accept(call: Call, **more: Any) -> None:
    assert await call.receive() == {"type": "websocket.connect"}
    await call.send({"type": "websocket.accept", **more})


async def test_the_scope() -> None:
    scopes = []

    async def handle(call: Call) -> None:
        scopes.append(call.scope)
        await accept(call)
        await call.receive()

    async with asgi(app(handle), root_path="/r") as stage:
        peer, _ = await opened(stage, "/a%20b?c", "Sec-WebSocket-Protocol: one, two", "Sec-WebSocket-Protocol: three")
        await peer.close()
        assert (await peer.next()).data == 1000
    scope = scopes[0]
    assert scope["type"] == "websocket"
    assert scope["scheme"] == "ws"
    assert scope["path"] == "/r/a b"
    assert scope["query_string"] == b"c"
    assert scope["subprotocols"] == ["one", "two", "three"]
    assert scope["extensions"] == {"websocket.http.response": {}}
    assert scope["http_version"] == "1.1"
    assert (b"upgrade", b"websocket") in scope["headers"]
    assert "method" not in scope
    assert {"client", "server", "state", "root_path", "raw_path", "asgi"} <= set(scope)


async def test_the_handshake_and_messages_of_both_kinds() -> None:
    async def handle(call: Call) -> None:
        await accept(call, subprotocol="two", headers=[(b"x-a", b"1")])
        while (event := await call.receive())["type"] == "websocket.receive":
            await call.send({**event, "type": "websocket.send"})
        assert event == {"type": "websocket.disconnect", "code": 4001, "reason": "enough"}

    async with asgi(app(handle)) as stage:
        peer, answer = await opened(stage, "/", "Sec-WebSocket-Protocol: one, two")
        assert answer.get("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert answer.get("sec-websocket-protocol") == "two"
        assert answer.get("x-a") == "1"
        assert answer.get("content-length") is None
        await peer.text("hällo")
        assert await peer.next() == (WSMsgType.TEXT, "hällo", "")
        await peer.client.send(peer.writer.message(WSMsgType.BINARY, b"\0\1"))
        assert await peer.next() == (WSMsgType.BINARY, b"\0\1", "")
        await peer.client.send(peer.writer.control(WSMsgType.PING, b"p"))
        assert await peer.next() == (WSMsgType.PONG, b"p", "")
        await peer.close(4001, b"enough")
        assert (await peer.next()).data == 4001
        assert await peer.client.closed() == "fin"


@pytest.mark.parametrize(("data", "code"), [(b"", 1005), (b"\x03\xe9", 1001)])
async def test_the_code_of_the_clients_close(data: bytes, code: int) -> None:
    events: list[Any] = []

    async def handle(call: Call) -> None:
        await accept(call)
        events.extend([await call.receive(), await call.receive()])

    async with asgi(app(handle)) as stage:
        peer, _ = await opened(stage)
        await peer.client.send(peer.writer.control(WSMsgType.CLOSE, data))
        await peer.next()
        await until(lambda: len(events) == 2)
    assert events[0] == {"type": "websocket.disconnect", "code": code, "reason": ""}
    assert events[1]["type"] == "websocket.disconnect"


@pytest.mark.parametrize("how", ["half", "whole", "reset"])
async def test_a_client_that_goes_without_a_word_is_1006(how: str) -> None:
    told: list[Any] = []

    async def handle(call: Call) -> None:
        await accept(call)
        told.append(await call.receive())

    async with asgi(app(handle)) as stage:
        peer, _ = await opened(stage)
        {"half": peer.client.half_close, "whole": peer.client.sock.close, "reset": peer.client.reset}[how]()
        await until(lambda: told)
    assert told[0]["code"] == 1006


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [({}, 1000, ""), ({"code": None, "reason": None}, 1000, ""), ({"code": 4444, "reason": "why"}, 4444, "why")],
)
async def test_the_application_closes(message: dict[str, Any], code: int, reason: str) -> None:
    events: list[Any] = []

    async def handle(call: Call) -> None:
        await accept(call)
        await call.send({"type": "websocket.close", **message})
        events.append(await call.receive())
        with pytest.raises(RuntimeError, match=r"after 'websocket\.close'"):
            await call.send({"type": "websocket.send", "text": "late"})
        with pytest.raises(RuntimeError, match=r"after 'websocket\.close'"):
            await call.send({"type": "websocket.close"})

    async with asgi(app(handle)) as stage:
        peer, _ = await opened(stage)
        assert await peer.next() == (WSMsgType.CLOSE, code, reason)
        await peer.close(code)
        assert await peer.client.closed() == "fin"
    assert events == [{"type": "websocket.disconnect", "code": code, "reason": ""}]


async def test_an_application_that_returns_closes_with_1000_and_one_that_fails_with_1011() -> None:
    async def handle(call: Call) -> None:
        await accept(call)
        if call.path == "/fails":
            raise ValueError("by the test")

    async with asgi(app(handle)) as stage:
        for target, code in (("/", 1000), ("/fails", 1011)):
            peer, _ = await opened(stage, target)
            assert (await peer.next()).data == code
            await peer.close(code)
            assert await peer.client.closed() == "fin"
        said = stage.said()
        assert len(said) == 1
        assert "by the test" in said[0]


async def test_what_an_application_raises_when_its_client_has_gone_is_no_fault() -> None:
    done: list[str] = []

    async def handle(call: Call) -> None:
        await accept(call)
        try:
            if call.path == "/receives":
                await call.receive()
                raise RuntimeError("disconnected")
            while True:
                await call.send({"type": "websocket.send", "bytes": bytes(2**16)})
        finally:
            done.append(call.path)

    async with asgi(app(handle)) as stage:
        for number, target in enumerate(("/receives", "/sends"), 1):
            peer, _ = await opened(stage, target)
            peer.client.reset()
            await until(lambda number=number: len(done) == number)


async def test_a_denial_is_403() -> None:
    events: list[Any] = []

    async def handle(call: Call) -> None:
        await call.receive()
        await call.send({"type": "websocket.close", "code": 4000})
        events.append(await call.receive())
        with pytest.raises(RuntimeError, match="after the handshake was refused"):
            await call.send({"type": "websocket.accept"})

    async with asgi(app(handle)) as stage:
        client = await stage.connect()
        for _ in range(2):
            await client.send(ask())
            answer = await client.answer()
            assert (answer.status, answer.body) == (403, b"")
    assert [event["code"] for event in events] == [1006, 1006]


async def test_a_denial_can_be_a_response() -> None:
    async def handle(call: Call) -> None:
        await call.receive()
        start = {"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-a", b"1")]}
        await call.send(start)
        with pytest.raises(RuntimeError, match=r"where 'websocket\.http\.response\.body'"):
            await call.send({"type": "websocket.accept"})
        if call.path == "/stream":
            await call.send({"type": "websocket.http.response.body", "body": b"st", "more_body": True})
        await call.send({"type": "websocket.http.response.body", "body": b"op"})

    async with asgi(app(handle)) as stage:
        client = await stage.connect()
        for target, body in (("/", b"op"), ("/stream", b"stop")):
            await client.send(ask(target))
            answer = await client.answer()
            assert (answer.status, answer.get("x-a"), answer.body) == (401, "1", body)


async def test_an_application_that_does_not_answer_the_handshake_is_a_500() -> None:
    async def handle(call: Call) -> None:
        await call.receive()
        if call.path == "/half":
            await call.send({"type": "websocket.http.response.start", "status": 401})

    async with asgi(app(handle)) as stage:
        for target, why in (("/", "without a response"), ("/half", "before its response was complete")):
            client = await stage.connect()
            await client.send(ask(target))
            assert (await client.answer()).status == 500
            assert why in stage.said()[0]


@pytest.mark.parametrize(
    ("events", "why"),
    [
        ([{"type": "websocket.send", "text": "x"}], r"where 'websocket\.accept'"),
        ([{"type": "http.response.start", "status": 200}], r"where 'websocket\.accept'"),
        ([{"type": "websocket.accept"}, {"type": "websocket.accept"}], r"where 'websocket\.send'"),
        ([{"type": "websocket.accept", "subprotocol": "x"}], "did not offer"),
        ([{"type": "websocket.accept", "headers": [(b"Sec-WebSocket-Protocol", b"x")]}], "is the server's to send"),
        ([{"type": "websocket.accept", "headers": [(b"x", b"a\r\nb: c")]}], "CR, LF or NUL"),
        ([{"type": "websocket.accept"}, {"type": "websocket.send"}], "has 'text', a str, or 'bytes'"),
        ([{"type": "websocket.accept"}, {"type": "websocket.send", "text": b"x"}], "is a str"),
        ([{"type": "websocket.accept"}, {"type": "websocket.close", "code": 1005}], "cannot be closed with code 1005"),
        ([{"type": "websocket.accept"}, {"type": "websocket.close", "reason": "x" * 124}], "at most 123"),
    ],
)
async def test_wrong_events_are_named(events: list[dict[str, Any]], why: str) -> None:
    raised = 0

    async def handle(call: Call) -> None:
        nonlocal raised
        await call.receive()
        for event in events[:-1]:
            await call.send(event)
        with pytest.raises((RuntimeError, ValueError, TypeError), match=why):
            await call.send(events[-1])
        raised += 1
        if len(events) == 1:
            await call.send({"type": "websocket.close"})

    async with asgi(app(handle)) as stage:
        client = await stage.connect()
        await client.send(ask())
        assert (await client.answer()).status == (403 if len(events) == 1 else 101)
    assert raised == 1


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"), 400),
        ((*FIELDS, f"Sec-WebSocket-Key: {KEY}"), 400),
        ((*FIELDS[:2], "Sec-WebSocket-Version: 8", FIELDS[3]), 426),
        ((*FIELDS[:3], "Sec-WebSocket-Key: short"), 400),
        ((*FIELDS, "Content-Length: 1"), 400),
    ],
)
async def test_what_is_no_handshake_never_reaches_the_application(fields: tuple[str, ...], status: int) -> None:
    async def handle(call: Call) -> None:
        raise AssertionError

    async with asgi(app(handle)) as stage:
        client = await stage.connect()
        await client.send(get("/", *fields))
        answer = await client.answer()
        assert answer.status == status
        assert answer.closes or status == 426
        if status == 426:
            assert answer.get("sec-websocket-version") == "13"
        assert len(stage.said()) == 1


@pytest.mark.parametrize(
    "data",
    [
        get("/", "Upgrade: h2c", "Connection: Upgrade"),
        get("/", "Upgrade: websocket"),
        get("/", "Upgrade: websocket", "Connection: keep-alive, upgrade", version="1.0"),
        get("/", *FIELDS, method="POST"),
    ],
)
async def test_what_asks_for_something_else_is_a_request(data: bytes) -> None:
    async def handle(call: Call) -> None:
        await call.answer(call.scope["type"].encode())

    async with asgi(app(handle)) as stage:
        assert (await stage.one(data)).body == b"http"


async def test_messages_that_came_early_are_given_after_the_accept() -> None:
    events: list[Any] = []
    go = asyncio.Event()

    async def handle(call: Call) -> None:
        await go.wait()
        await accept(call)
        events.append(await call.receive())

    async with asgi(app(handle)) as stage:
        client = await stage.connect()
        peer = Peer(client)
        await client.send(ask() + peer.writer.message(WSMsgType.TEXT, b"early"))
        go.set()
        assert (await client.answer()).status == 101
        assert (await peer.next()).data == 1000
    assert events == [{"type": "websocket.receive", "text": "early"}]


async def test_several_tasks_may_wait() -> None:
    got: list[Any] = []

    async def handle(call: Call) -> None:
        waiting = asyncio.ensure_future(call.receive())
        await waiting
        early = asyncio.ensure_future(call.receive())
        await passes()
        await call.send({"type": "websocket.accept"})
        tasks = [early, *(asyncio.ensure_future(call.receive()) for _ in range(3))]
        tasks[2].cancel()
        got.extend(await asyncio.gather(*tasks, return_exceptions=True))

    async with asgi(app(handle)) as stage:
        peer, _ = await opened(stage)
        await peer.text("a")
        await peer.text("b")
        await peer.close()
        await until(lambda: got)
    given = {each.get("text", each.get("code")) for each in got if isinstance(each, dict)}
    assert given == {"a", "b", 1000}


async def test_a_client_that_goes_before_the_accept() -> None:
    told: list[Any] = []

    async def handle(call: Call) -> None:
        await call.receive()
        told.append(await call.receive())
        await until(lambda: call.send.__self__._exchange.is_left)
        with pytest.raises(ConnectionResetError):
            await call.send({"type": "websocket.accept"})
        told.append(None)

    async with asgi(app(handle)) as stage:
        client = await stage.connect()
        await client.send(ask())
        client.reset()
        await until(lambda: len(told) == 2)
    assert told[0] == {"type": "websocket.disconnect", "code": 1006, "reason": ""}


async def test_faults_of_the_client_and_their_codes() -> None:
    codes: list[int] = []

    async def handle(call: Call) -> None:
        await accept(call)
        codes.append((await call.receive())["code"])

    faults = {1002: b"\x81\x01x", 1007: None, 1009: None}
    async with asgi(app(handle), websocket_max_size=1000) as stage:
        for code, data in faults.items():
            peer, _ = await opened(stage)
            await peer.client.send(data or peer.writer.message(WSMsgType.TEXT, b"\xff" * (1 if code == 1007 else 2000)))
            assert (await peer.next()).data == code
    assert codes == list(faults)


async def test_compression_is_agreed_on() -> None:
    async def handle(call: Call) -> None:
        await accept(call)

    offer = "Sec-WebSocket-Extensions: permessage-deflate"
    async with asgi(app(handle)) as stage:
        _, answer = await opened(stage, "/", offer)
        assert (answer.get("sec-websocket-extensions") or "").startswith("permessage-deflate")
    async with asgi(app(handle), websocket_compress=False) as stage:
        _, answer = await opened(stage, "/", offer)
        assert answer.get("sec-websocket-extensions") is None


async def test_a_silent_client_is_pinged() -> None:
    async def handle(call: Call) -> None:
        await accept(call)
        await call.receive()

    async with asgi(app(handle), websocket_heartbeat=0.05) as stage:
        peer, _ = await opened(stage)
        assert (await peer.next()).type is WSMsgType.PING
        await peer.close()


async def test_a_slow_reader_makes_the_application_wait() -> None:
    sent = 0

    async def handle(call: Call) -> None:
        nonlocal sent
        await accept(call)
        with contextlib.suppress(ConnectionError):
            while True:
                await call.send({"type": "websocket.send", "bytes": bytes(2**16)})
                sent += 1

    async with asgi(app(handle)) as stage:
        await opened(stage)
        last = -1
        while sent != last:
            last = sent
            await passes(20)
        assert sent < 300


# The stop


async def test_at_a_stop_the_code_is_1001_on_both_ends() -> None:
    events: list[Any] = []

    async def handle(call: Call) -> None:
        await accept(call)
        while not events or events[-1]["type"] == "websocket.receive":
            events.append(await call.receive())

    async with asgi(app(handle)) as stage:
        peer, _ = await opened(stage)
        await peer.text("x")
        closing = asyncio.ensure_future(stage.server.close())
        assert (await peer.next()).data == 1001
        await peer.close(1001)
        assert await peer.client.closed() == "fin"
        await closing
    assert events[1:] == [{"type": "websocket.disconnect", "code": 1001, "reason": ""}]


async def test_a_handshake_that_is_under_way_at_the_stop() -> None:
    go = asyncio.Event()
    events: list[Any] = []

    async def handle(call: Call) -> None:
        await go.wait()
        await accept(call)
        events.append(await call.receive())

    async with asgi(app(handle)) as stage:
        client = await stage.connect()
        await client.send(ask())
        closing = asyncio.ensure_future(stage.server.close())
        await until(lambda: stage.server.core.state.name != "OPEN")
        go.set()
        assert (await client.answer()).status == 101
        peer = Peer(client)
        assert (await peer.next()).data == 1001
        await peer.close(1001)
        await closing
    assert events[0]["code"] == 1001


async def test_an_application_that_does_not_end_is_cancelled() -> None:
    ended: list[str] = []

    async def handle(call: Call) -> None:
        await accept(call)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    async with asgi(app(handle), shutdown_timeout=0.05, allow_aborted=True) as stage:
        peer, _ = await opened(stage)
        closing = asyncio.ensure_future(stage.server.close())
        assert (await peer.next()).data == 1001
        await peer.close(1001)
        report = await closing
        assert len(report.aborted) == 1
    assert ended == ["cancelled"]
