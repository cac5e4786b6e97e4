from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from endwell._version import __version__
from tests.support.asgi import Call, app, asgi, get


async def test_a_whole_response_is_one_write() -> None:
    async with asgi(app(lambda call: call.answer(b"hello", 201, (b"x-a", b"1")))) as stage:
        client = await stage.connect()
        await client.send(get())
        data = await asyncio.get_running_loop().sock_recv(client.sock, 2**16)
    pattern = (
        rb"HTTP/1\.1 201 Created\r\nDate: [^\r]+ GMT\r\nServer: Python/[\d.]+ endwell/%b\r\n"
        rb"x-a: 1\r\nContent-Length: 5\r\n\r\nhello"
    )
    assert re.fullmatch(pattern % re.escape(__version__.encode()), data)


async def test_date_and_server_are_the_applications_if_it_likes() -> None:
    async def handle(call: Call) -> None:
        fields = {"/date": [(b"date", b"today")], "/server": [(b"server", b"mine")]}
        await call.answer(b"", 200, *fields[call.path])

    async with asgi(app(handle)) as stage:
        answer = await stage.one(get("/date"))
        assert answer.get("date") == "today"
        assert "endwell" in (answer.get("server") or "")
        answer = await stage.one(get("/server"))
        assert answer.get("server") == "mine"
        assert (answer.get("date") or "").endswith("GMT")


async def test_a_response_in_pieces_comes_in_chunks() -> None:
    async def handle(call: Call) -> None:
        await call.start()
        for piece in (b"one", b"", b"x" * 100_000):
            await call.body(piece, more=True)
        await call.body(b"last")

    async with asgi(app(handle)) as stage:
        client = await stage.connect()
        for _ in range(2):
            await client.send(get())
            answer = await client.answer()
            assert answer.get("transfer-encoding") == "chunked"
            assert answer.get("content-length") is None
            assert answer.body == b"one" + b"x" * 100_000 + b"last"


async def test_the_first_piece_leaves_with_the_head_and_before_the_others() -> None:
    go = asyncio.Event()

    async def handle(call: Call) -> None:
        await call.start()
        await call.body(b"first", more=True)
        await go.wait()
        await call.body(b"second")

    async with asgi(app(handle)) as stage:
        client = await stage.connect()
        await client.send(get())
        data = await asyncio.get_running_loop().sock_recv(client.sock, 2**16)
        assert data.endswith(b"Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        go.set()
        assert await client._exactly(16) == b"6\r\nsecond\r\n0\r\n\r\n"


async def test_the_head_waits_for_the_body() -> None:
    started = asyncio.Event()
    go = asyncio.Event()

    async def handle(call: Call) -> None:
        await call.start()
        started.set()
        await go.wait()
        await call.body(b"x")

    async with asgi(app(handle)) as stage:
        client = await stage.connect()
        await client.send(get())
        await started.wait()
        with pytest.raises(BlockingIOError):
            client.sock.recv(1)
        go.set()
        assert (await client.answer()).body == b"x"


async def test_a_length_that_was_given_is_kept() -> None:
    async def handle(call: Call) -> None:
        await call.start(200, (b"content-length", b"6"))
        await call.body(b"abc", more=True)
        await call.body(b"def", more=True)
        await call.body()

    async with asgi(app(handle)) as stage:
        client = await stage.connect()
        for _ in range(2):
            await client.send(get())
            answer = await client.answer()
            assert answer.get("content-length") == "6"
            assert answer.get("transfer-encoding") is None
            assert answer.body == b"abcdef"


async def test_chunked_is_a_wish_that_counts_for_more_than_the_length() -> None:
    async def handle(call: Call) -> None:
        await call.start(200, (b"content-length", b"9"), (b"transfer-encoding", b"chunked"))
        if call.path == "/stream":
            await call.body(b"abc", more=True)
        await call.body(b"def")

    async with asgi(app(handle)) as stage:
        answer = await stage.one(get("/stream"))
        assert answer.get("content-length") is None
        assert answer.body == b"abcdef"
        answer = await stage.one(get("/"))
        assert answer.get("transfer-encoding") is None
        assert answer.body == b"def"


async def test_http_1_0_gets_no_chunks() -> None:
    async def handle(call: Call) -> None:
        await call.start()
        await call.body(b"abc", more=True)
        await call.body(b"def")

    async with asgi(app(handle)) as stage:
        client = await stage.connect()
        await client.send(get("/", "Connection: keep-alive", version="1.0"))
        answer = await client.answer()
        assert answer.version == "HTTP/1.0"
        assert answer.get("connection") is None
        assert answer.body == b"abcdef"
        assert await client.closed() == "fin"


async def test_http_1_0_keeps_the_connection_where_the_end_can_be_told() -> None:
    async with asgi(app(lambda call: call.answer(b"abc"))) as stage:
        client = await stage.connect()
        for _ in range(2):
            await client.send(get("/", "Connection: keep-alive", version="1.0"))
            answer = await client.answer()
            assert answer.get("connection") == "keep-alive"
            assert answer.body == b"abc"
        await client.send(get("/", version="1.0"))
        assert (await client.answer()).body == b"abc"
        assert await client.closed() == "fin"


async def test_head_gets_no_body() -> None:
    async def handle(call: Call) -> None:
        length = [(b"content-length", b"10")] if "length" in call.path else []
        await call.start(200, *length)
        if "stream" in call.path:
            await call.body(b"abcde", more=True)
        if "nothing" not in call.path:
            await call.body(b"fghij")
        else:
            await call.body()

    wanted = {
        "/": "5", "/length": "10", "/stream": None, "/length/stream": "10", "/length/nothing": "10", "/nothing": None,
    }  # fmt: skip
    async with asgi(app(handle)) as stage:
        client = await stage.connect()
        for target, length in wanted.items():
            await client.send(get(target, method="HEAD"))
            answer = await client.answer("HEAD")
            assert answer.get("content-length") == length, target
            assert answer.get("transfer-encoding") is None


@pytest.mark.parametrize("status", [204, 304])
async def test_statuses_without_a_body(status: int) -> None:
    async def handle(call: Call) -> None:
        await call.start(status, (b"content-length", b"3"))
        if call.path == "/stream":
            await call.body(b"abc", more=True)
        await call.body(b"def")

    async with asgi(app(handle)) as stage:
        client = await stage.connect()
        for target in ("/", "/stream", "/"):
            await client.send(get(target))
            answer = await client.answer()
            assert answer.status == status
            assert answer.get("content-length") is None
            assert answer.get("transfer-encoding") is None


async def test_reset_content_is_empty() -> None:
    async with asgi(app(lambda call: call.answer(b"abc", 205))) as stage:
        answer = await stage.one(get())
        assert (answer.get("content-length"), answer.body) == ("0", b"")


async def test_an_application_can_have_the_connection_closed() -> None:
    async with asgi(app(lambda call: call.answer(b"abc", 200, (b"connection", b"close")))) as stage:
        client = await stage.connect()
        await client.send(get())
        assert (await client.answer()).closes
        assert await client.closed() == "fin"


async def test_bytes_of_all_kinds_and_what_may_be_left_out() -> None:
    async def handle(call: Call) -> None:
        await call.send({"type": "http.response.start", "status": 200})
        await call.send({"type": "http.response.body", "body": bytearray(b"ab"), "more_body": True})
        await call.send({"type": "http.response.body", "body": memoryview(b"cd"), "more_body": True})
        await call.send({"type": "http.response.body"})

    async with asgi(app(handle)) as stage:
        assert (await stage.one(get())).body == b"abcd"


async def test_a_large_response() -> None:
    data = bytes(range(256)) * 40_000
    async with asgi(app(lambda call: call.answer(data))) as stage:
        client = await stage.connect(receive=4096)
        for _ in range(2):
            await client.send(get())
            assert (await client.answer()).body == data


async def test_a_status_without_a_phrase_and_an_int_enum() -> None:
    from http import HTTPStatus

    statuses: list[Any] = [599, HTTPStatus.IM_A_TEAPOT]
    async with asgi(app(lambda call: call.answer(b"", statuses[int(call.path[1:])]))) as stage:
        assert (await stage.one(get("/0"))).reason == ""
        assert (await stage.one(get("/1"))).reason == "I'm a Teapot"


async def test_a_slow_reader_makes_the_application_wait() -> None:
    sent = 0

    async def handle(call: Call) -> None:
        nonlocal sent
        await call.start()
        for _ in range(1000):
            await call.body(bytes(2**16), more=True)
            sent += 1
        await call.body()

    async with asgi(app(handle)) as stage:
        client = await stage.connect(receive=4096)
        await client.send(get())
        assert await client._until(b"\r\n\r\n") is not None
        last = -1
        while sent != last:  # it stands still
            last = sent
            for _ in range(20):
                await asyncio.sleep(0)
        assert sent < 300
        size = 0
        while not client._buffer.endswith(b"0\r\n\r\n"):
            size += len(client._buffer) - 5 if len(client._buffer) > 5 else 0
            del client._buffer[:-5]
            await client._more()
        assert sent == 1000


async def test_an_application_that_never_waits_leaves_others_their_turn() -> None:
    stop = asyncio.Event()

    async def handle(call: Call) -> None:
        await call.start()
        if call.path == "/endless":
            while not stop.is_set():
                await call.body(b"x", more=True)
        await call.body()

    async with asgi(app(handle)) as stage:
        client = await stage.connect()
        await client.send(get("/endless"))
        assert (await stage.one(get("/"))).status == 200
        stop.set()
        assert set((await client.answer()).body) == {ord("x")}


# The connection goes on with the last body event


async def test_work_behind_the_response_holds_nobody_up() -> None:
    go = asyncio.Event()
    done: list[str] = []

    async def handle(call: Call) -> None:
        await call.answer(call.path.encode())
        if call.path == "/work":
            await go.wait()
            assert await call.receive() == {"type": "http.disconnect"}
        done.append(call.path)

    async with asgi(app(handle)) as stage:
        client = await stage.connect()
        await client.send(get("/work"))
        assert (await client.answer()).body == b"/work"
        await client.send(get("/next"))
        assert (await client.answer()).body == b"/next"
        assert done == ["/next"]
        go.set()
    assert done == ["/next", "/work"]


async def test_pipelined_requests_go_on_behind_a_response_whose_work_goes_on() -> None:
    go = asyncio.Event()

    async def handle(call: Call) -> None:
        if call.path == "/late":
            await asyncio.sleep(0)
        await call.answer(call.path.encode())
        await go.wait()

    async with asgi(app(handle)) as stage:
        client = await stage.connect()
        await client.send(get("/1") + get("/late") + get("/3"))
        assert [(await client.answer()).body for _ in range(3)] == [b"/1", b"/late", b"/3"]
        go.set()


async def test_an_early_response_is_followed_by_the_next_request() -> None:
    async with asgi(app(lambda call: call.answer(call.path.encode()))) as stage:
        client = await stage.connect()
        await client.send(get("/early", "Content-Length: 10") + b"01234")
        assert (await client.answer()).body == b"/early"
        await client.send(b"56789" + get("/next"))
        assert (await client.answer()).body == b"/next"


async def test_after_an_early_response_a_long_body_ends_the_connection() -> None:
    async with asgi(app(lambda call: call.answer(call.path.encode()))) as stage:
        client = await stage.connect()
        await client.send(get("/early", "Content-Length: 10000000") + b"01234")
        answer = await client.answer()
        assert answer.closes
        assert await client.closed() == "fin"


async def test_bodies_in_both_directions_at_once() -> None:
    async def handle(call: Call) -> None:
        await call.start()
        more = True
        while more:
            event = await call.receive()
            more = event["more_body"]
            await call.body(event["body"].upper(), more=True)
        await call.body(b"!")

    async with asgi(app(handle)) as stage:
        client = await stage.connect()
        for _ in range(2):
            await client.send(get("/", "Transfer-Encoding: chunked") + b"1\r\na\r\n")
            assert await client._until(b"1\r\nA\r\n") is not None
            await client.send(b"2\r\nbc\r\n")
            assert await client._until(b"2\r\nBC\r\n") is not None
            await client.send(b"0\r\n\r\n")
            assert await client._until(b"1\r\n!\r\n0\r\n\r\n") is not None


# The file


async def test_a_file_is_sent(tmp_path) -> None:
    data = bytes(range(256)) * 4000
    (tmp_path / "file").write_bytes(data)

    async def handle(call: Call) -> None:
        fields = [(b"content-length", b"1000")] if call.path == "/part" else []
        await call.start(200, *fields)
        await call.send({"type": "http.response.pathsend", "path": str(tmp_path / "file")})

    async with asgi(app(handle)) as stage:
        client = await stage.connect()
        for target, size in (("/", len(data)), ("/part", 1000), ("/", len(data))):
            await client.send(get(target))
            assert (await client.answer()).body == data[:size]
        await client.send(get(method="HEAD") + get())
        assert (await client.answer("HEAD")).get("content-length") == str(len(data))
        assert (await client.answer()).body == data


async def test_a_file_that_cannot_be_sent_is_a_500(tmp_path) -> None:
    (tmp_path / "short").write_bytes(b"abc")

    async def handle(call: Call) -> None:
        await call.start(200, (b"content-length", b"4"))
        await call.send({"type": "http.response.pathsend", "path": str(tmp_path / call.path[1:])})

    async with asgi(app(handle)) as stage:
        for target, why in (("/none", "FileNotFoundError"), ("/short", "has 3 bytes"), ("/", "no regular file")):
            assert (await stage.one(get(target))).status == 500
            assert why in "".join(stage.said())
