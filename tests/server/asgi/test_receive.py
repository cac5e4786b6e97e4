from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.asgi import Call, app, asgi, get
from tests.support.raw import passes, until


async def test_no_body_is_one_empty_event() -> None:
    async def handle(call: Call) -> None:
        assert await call.receive() == {"type": "http.request", "body": b"", "more_body": False}
        await call.answer()

    async with asgi(app(handle)) as stage:
        assert (await stage.one(get())).status == 200
        assert (await stage.one(get("/", "Content-Length: 0", method="POST"))).status == 200


async def test_a_body_that_came_with_the_head_is_one_event() -> None:
    async def handle(call: Call) -> None:
        assert await call.receive() == {"type": "http.request", "body": b"abc", "more_body": False}
        await call.answer()

    async with asgi(app(handle)) as stage:
        assert (await stage.one(get(method="POST", body=b"abc"))).status == 200


async def test_a_body_comes_as_it_arrives() -> None:
    events: list[Any] = []

    async def handle(call: Call) -> None:
        while not events or events[-1]["more_body"]:
            events.append(await call.receive())
        await call.answer()

    async with asgi(app(handle)) as stage:
        client = await stage.connect()
        await client.send(get("/", "Content-Length: 9", method="PUT"))
        for number, piece in enumerate((b"abc", b"def", b"ghi"), 1):
            await client.send(piece)
            await until(lambda number=number: len(events) == number)
        assert (await client.answer()).status == 200
    assert [event["body"] for event in events] == [b"abc", b"def", b"ghi"]
    assert [event["more_body"] for event in events] == [True, True, False]


async def test_tiny_chunks_are_one_event_when_they_are_there() -> None:
    events: list[Any] = []
    go = asyncio.Event()

    async def handle(call: Call) -> None:
        await go.wait()
        while not events or events[-1]["more_body"]:
            events.append(await call.receive())
        await call.answer()

    async with asgi(app(handle)) as stage:
        client = await stage.connect()
        await client.send(get("/", "Transfer-Encoding: chunked", method="POST"), b"1\r\na\r\n" * 5000)
        go.set()
        await passes()
        await client.send(b"0\r\n\r\n")
        assert (await client.answer()).status == 200
    assert b"".join(event["body"] for event in events) == b"a" * 5000
    assert len(events) < 10


async def test_a_content_coding_is_the_applications_to_undo() -> None:
    async def handle(call: Call) -> None:
        await call.answer(await call.read())

    async with asgi(app(handle)) as stage:
        answer = await stage.one(get("/", "Content-Encoding: gzip", method="POST", body=b"not gzip"))
        assert answer.body == b"not gzip"


async def test_a_client_that_sends_too_fast_is_made_to_wait() -> None:
    go = asyncio.Event()

    async def handle(call: Call) -> None:
        await call.receive()
        await go.wait()
        size = 0
        while (event := await call.receive())["more_body"]:
            size += len(event["body"])
        await call.answer(str(size + len(event["body"])).encode())

    async with asgi(app(handle), read_bufsize=2**14) as stage:
        client = await stage.connect(send=2**14)
        await client.send(get("/", "Content-Length: 1000001", method="POST"), b"x")
        left = 1_000_000
        stuck = 0
        while stuck < 50:  # passes of the loop in which nothing was taken
            sent = client.send_now(bytes(min(left, 2**16)))
            left -= sent
            stuck = 0 if sent else stuck + 1
            await asyncio.sleep(0)
        assert left > 500_000
        go.set()
        await client.send(bytes(left))
        assert (await client.answer()).body == b"1000000"


async def test_the_body_is_asked_for_when_the_application_wants_it() -> None:
    async def handle(call: Call) -> None:
        if call.path == "/read":
            await call.answer(await call.read())
        else:
            await call.answer(b"unread")

    async with asgi(app(handle)) as stage:
        client = await stage.connect()
        await client.send(get("/read", "Content-Length: 3", "Expect: 100-continue", method="POST"))
        assert (await client.answer()).status == 100
        await client.send(b"abc")
        assert (await client.answer()).body == b"abc"
        await client.send(get("/", "Content-Length: 3", "Expect: 100-continue", method="POST"))
        answer = await client.answer()
        assert answer.body == b"unread"
        assert answer.closes
        assert await client.closed() == "fin"


async def test_a_streaming_answer_without_a_continue_ends_the_connection() -> None:
    async def handle(call: Call) -> None:
        await call.start()
        await call.body(b"a", more=True)
        await call.body(b"b")

    async with asgi(app(handle)) as stage:
        client = await stage.connect()
        await client.send(get("/", "Content-Length: 3", "Expect: 100-continue", method="POST"))
        answer = await client.answer()
        assert answer.body == b"ab"
        assert answer.closes
        assert await client.closed() == "fin"


async def test_several_tasks_may_wait() -> None:
    async def handle(call: Call) -> None:
        tasks = [asyncio.ensure_future(call.receive()) for _ in range(4)]
        await asyncio.wait(tasks[:1])
        assert tasks[0].result() == {"type": "http.request", "body": b"a", "more_body": True}
        tasks[1].cancel()
        await asyncio.wait(tasks[2:3])
        assert tasks[2].result() == {"type": "http.request", "body": b"b", "more_body": False}
        await passes()
        assert not tasks[3].done()
        await call.answer()
        assert await tasks[3] == {"type": "http.disconnect"}
        assert await call.receive() == {"type": "http.disconnect"}

    async with asgi(app(handle)) as stage:
        client = await stage.connect()
        await client.send(get("/", "Content-Length: 2", method="POST"), b"a")
        await passes(10)
        await client.send(b"b")
        assert (await client.answer()).status == 200


@pytest.mark.parametrize("how", ["half", "whole", "reset"])
async def test_the_application_is_told_when_the_client_goes(how: str) -> None:
    told = asyncio.Event()
    waiting = asyncio.Event()

    async def handle(call: Call) -> None:
        await call.read()
        waiting.set()
        both = await asyncio.gather(call.receive(), call.receive())
        assert both == [{"type": "http.disconnect"}] * 2
        assert await call.receive() == {"type": "http.disconnect"}
        told.set()

    async with asgi(app(handle)) as stage:
        client = await stage.connect()
        await client.send(get())
        await waiting.wait()
        {"half": client.half_close, "whole": client.sock.close, "reset": client.reset}[how]()
        await told.wait()


async def test_a_client_that_has_gone_before_the_application_waits() -> None:
    go = asyncio.Event()
    told = asyncio.Event()

    async def handle(call: Call) -> None:
        await go.wait()
        await call.read()
        assert await call.receive() == {"type": "http.disconnect"}
        told.set()

    async with asgi(app(handle)) as stage:
        client = await stage.connect()
        await client.send(get())
        client.half_close()
        await passes(10)
        go.set()
        await told.wait()


async def test_a_client_that_only_ends_its_sending_is_answered() -> None:
    go = asyncio.Event()

    async def handle(call: Call) -> None:
        await go.wait()
        await call.start()
        await call.body(b"a", more=True)
        await call.body(b"b")

    async with asgi(app(handle)) as stage:
        client = await stage.connect()
        await client.send(get())
        client.half_close()
        await passes(10)
        go.set()
        answer = await client.answer()
        assert answer.body == b"ab"
        assert await client.closed() == "fin"


async def test_a_body_that_is_cut_short_is_a_disconnect() -> None:
    events: list[Any] = []
    over = asyncio.Event()

    async def handle(call: Call) -> None:
        while not events or events[-1]["type"] == "http.request":
            events.append(await call.receive())
        over.set()

    async with asgi(app(handle)) as stage:
        client = await stage.connect()
        await client.send(get("/", "Content-Length: 9", method="POST"), b"abc")
        await until(lambda: events)
        client.sock.close()
        await over.wait()
    assert [event["type"] for event in events] == ["http.request", "http.disconnect"]


async def test_a_broken_body_is_a_disconnect_and_a_400() -> None:
    async def handle(call: Call) -> None:
        while (await call.receive())["type"] != "http.disconnect":
            pass
        if call.path == "/raises":
            raise RuntimeError("the client has gone")

    async with asgi(app(handle)) as stage:
        for target in ("/", "/raises"):
            client = await stage.connect()
            await client.send(get(target, "Transfer-Encoding: chunked", method="POST"), b"3\r\nabc\r\n", b"zzz\r\n")
            answer = await client.answer()
            assert answer.status == 400
            assert answer.closes
            assert await client.closed() == "fin"
            said = stage.said()
            assert len(said) == 1, said
            assert said[0].startswith("400 for POST")


async def test_a_body_that_comes_too_slowly_is_a_408() -> None:
    async def handle(call: Call) -> None:
        await call.receive()
        await call.receive()

    async with asgi(app(handle), body_timeout=0.05) as stage:
        client = await stage.connect()
        await client.send(get("/", "Content-Length: 9", method="POST"), b"abc")
        assert (await client.answer()).status == 408
        assert "408" in stage.said()[0]


async def test_after_the_response_the_body_is_not_to_be_had() -> None:
    ended = asyncio.Event()

    async def handle(call: Call) -> None:
        waiting = asyncio.ensure_future(call.receive())
        await passes()
        await call.answer()
        assert await waiting == {"type": "http.disconnect"}
        assert await call.receive() == {"type": "http.disconnect"}
        ended.set()

    async with asgi(app(handle)) as stage:
        client = await stage.connect()
        await client.send(get("/", "Content-Length: 9", method="POST"))
        assert (await client.answer()).status == 200
        await ended.wait()
