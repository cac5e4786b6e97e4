"""Clients that take their time: heads, bodies and silence have limits, and slow ones do not stop the others.

RFC 9110 section 15.5.9 (408), RFC 9112 section 9.5. The limits are settings; here they are small, and what is waited
for is what must happen then, never a time.
"""

from __future__ import annotations

import asyncio
import resource
import socket

import pytest

from endwell import web
from tests.support.raw import facing, passes, until

HOST = b"Host: a\r\n"
SHORT = 0.05

BEGINNINGS = {
    "a byte": b"G",
    "a request line": b"GET /s3cr3t HTTP/1.1\r\n",
    "a field": b"GET / HTTP/1.1\r\nHost: a\r\nCookie: s3cr3t",
    "all but the last byte": b"GET / HTTP/1.1\r\nHost: a\r\n\r",
}


@pytest.mark.parametrize("beginning", BEGINNINGS.values(), ids=BEGINNINGS)
@pytest.mark.parametrize("before", [0, 1], ids=["first", "second"])
async def test_a_head_that_does_not_come_is_given_up(beginning: bytes, before: int) -> None:
    async with facing(header_timeout=SHORT) as stage:
        client = await stage.connect()
        await client.send((b"GET / HTTP/1.1\r\n" + HOST + b"\r\n") * before + beginning)
        for _ in range(before):
            assert (await client.answer()).status == 200
        answer = await client.answer()
        assert (answer.status, answer.closes) == (408, True)
        assert await client.closed() == "fin"
        assert len(stage.calls) == before
        (said,) = stage.said()
        assert "408" in said
        assert "s3cr3t" not in said


async def test_a_head_that_comes_byte_by_byte_is_given_up() -> None:
    """Each byte comes in time; the limit is on the whole."""
    async with facing(header_timeout=0.3) as stage:
        client = await stage.connect()
        answering = asyncio.create_task(client.answer())
        await client.send(b"GET / HTTP/1.1\r\n" + HOST + b"A: ")
        while not answering.done():
            await client.send(b"s3cr3t")
            await asyncio.sleep(0.01)
        assert (await answering).status == 408
        (said,) = stage.said()
        assert "s3cr3t" not in said


async def test_empty_lines_win_no_time() -> None:
    async with facing(header_timeout=SHORT, keepalive_timeout=SHORT) as stage:
        client = await stage.connect()
        await client.send(b"\r\n", b"\r\n")
        assert await client.closed() == "fin"
        client = await stage.connect()
        await client.send(b"\r")
        assert [answer.status for answer in await client.answers()] == [408]
        assert len(stage.said()) == 1


async def test_a_client_that_says_nothing_is_closed_without_a_word() -> None:
    async with facing(header_timeout=SHORT) as stage:
        client = await stage.connect()
        assert await client.closed() == "fin"
        assert stage.said() == []


async def test_an_idle_connection_is_closed_without_a_word() -> None:
    async with facing(keepalive_timeout=SHORT) as stage:
        client = await stage.connect()
        await client.send((b"GET / HTTP/1.1\r\n" + HOST + b"\r\n") * 3)
        for _ in range(3):
            assert (await client.answer()).status == 200
        assert await client.closed() == "fin"
        assert stage.said() == []


FRAMES = {
    "length": b"Content-Length: 100000\r\n\r\nbegun",
    "chunked": b"Transfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n",
}
READERS = ("read", "text", "readany", "chunks", "post", "multipart")


async def read_in_some_way(request: web.BaseRequest, how: str) -> None:
    """Read the body to its end."""
    if how == "read":
        await request.read()
    elif how == "text":
        await request.text()
    elif how == "readany":
        while await request.content.readany():
            pass
    elif how == "chunks":
        async for _ in request.content.iter_chunked(1):
            pass
    elif how == "post":
        await request.post()
    else:
        async for part in await request.multipart():
            await part.read()


def post(frame: bytes, *, parts: bool = False) -> bytes:
    kind = b"Content-Type: multipart/form-data; boundary=begun\r\n" if parts else b""
    return b"POST /slow HTTP/1.1\r\n" + HOST + b"Cookie: s3cr3t\r\n" + kind + frame


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
@pytest.mark.parametrize("how", READERS)
async def test_a_body_that_does_not_come_is_given_up(how: str, frame: bytes) -> None:
    async def handler(request: web.BaseRequest) -> web.Response:
        if request.method == "POST":
            await read_in_some_way(request, how)
        return web.Response()

    async with facing(handler, body_timeout=SHORT) as stage:
        client = await stage.connect()
        await client.send(post(frame, parts=how in ("post", "multipart")))
        answer = await client.answer()
        assert (answer.status, answer.closes) == (408, True)
        assert await client.closed() == "fin"
        (said,) = stage.said()
        assert "408" in said
        assert "s3cr3t" not in said
        assert "begun" not in said


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
@pytest.mark.parametrize("how", READERS)
async def test_a_body_that_comes_too_slowly_is_given_up(how: str, frame: bytes) -> None:
    """Byte by byte, each of them in time: the rate counts, however the handler reads."""

    async def handler(request: web.BaseRequest) -> web.Response:
        if request.method == "POST":
            await read_in_some_way(request, how)
        return web.Response()

    async with facing(handler, body_timeout=0.5, body_rate=10_000, body_grace=0.05) as stage:
        client = await stage.connect()
        await client.send(post(frame, parts=how in ("post", "multipart")))
        answering = asyncio.create_task(client.answer())
        while not answering.done():
            await client.send(b"1\r\nx\r\n" if b"chunked" in frame else b"x")
            await asyncio.sleep(0.005)
        answer = await answering
        assert (answer.status, answer.closes) == (408, True)
        assert len(stage.said()) == 1


async def test_a_body_that_comes_fast_enough_is_read_however_long_it_takes() -> None:
    async with facing(body_timeout=20, body_rate=100, body_grace=0.02) as stage:
        client = await stage.connect()
        await client.send(b"POST /fast HTTP/1.1\r\n" + HOST + b"Content-Length: 20000\r\n\r\n")
        for _ in range(20):
            await client.send(b"x" * 1000)
            await asyncio.sleep(0.01)
        assert (await client.answer()).status == 200
        assert stage.calls == [("POST", "/fast", b"x" * 20_000)]


async def test_a_handler_that_takes_its_time_is_not_the_clients_fault() -> None:
    """Nobody reads for longer than every limit; the client, who was made to wait, is not given up for it."""
    go_on = asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.Response:
        if request.method == "POST":
            assert await request.content.read(1) == b"x"
            await go_on.wait()
            assert len(await request.content.read()) == 99_999
        return web.Response()

    async with facing(handler, body_timeout=100, body_rate=10**6, body_grace=1, read_bufsize=1000) as stage:
        client = await stage.connect()
        await client.send(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 100000\r\n\r\n" + b"x" * 50_000)
        await until(lambda: stage.server.core.connections)
        (connection,) = stage.server.core.connections
        await until(lambda: connection.exchange is not None and connection.exchange.incoming.paused)
        connection.expire(asyncio.get_running_loop().time() + 1000)  # as if so much time had passed
        go_on.set()
        await client.send(b"x" * 50_000)
        assert (await client.answer()).status == 200


@pytest.mark.parametrize(("announced", "sent"), [(30_000, 10), (10**9, 10), (None, 10)])
async def test_a_body_nobody_wants_is_not_waited_for_for_ever(announced: int | None, sent: int) -> None:
    async def handler(request: web.BaseRequest) -> web.Response:
        return web.Response(text="no")

    frame = b"Transfer-Encoding: chunked\r\n\r\n" if announced is None else b"Content-Length: %d\r\n\r\n" % announced
    async with facing(handler, lingering_time=SHORT) as stage:
        client = await stage.connect()
        await client.send(b"POST / HTTP/1.1\r\n" + HOST + frame + b"1\r\nx\r\n" * sent)
        answer = await client.answer()
        assert (answer.status, answer.body) == (200, b"no")
        assert answer.closes == (announced != 30_000)
        assert await client.closed() in ("fin", "rst")
        await until(lambda: not stage.server.core.connections)


async def test_a_client_that_goes_on_after_a_refusal_is_not_listened_to_for_ever() -> None:
    async with facing(lingering_time=SHORT) as stage:
        client = await stage.connect()
        await client.send(b"s3cr3t\r\n\r\n")
        assert (await client.answer()).status == 400
        while stage.server.core.connections:
            await client.send(b"x" * 1000)
        assert len(stage.said()) == 1


SLOW = {
    "silent": b"",
    "heads": b"GET / HTTP/1.1\r\nHost: a\r\nA: ",
    "bodies": b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n",
    "readers": b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
    "waiters": b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("first", SLOW.values(), ids=SLOW)
async def test_five_hundred_slow_connections_do_not_stop_others_from_being_served(first: bytes) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 2000:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(2000, hard), hard))
    gate = asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        if request.raw_path == "/wait":
            await gate.wait()
        if request.raw_path == "/large":
            request.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            response = web.StreamResponse()
            await response.prepare(request)
            for _ in range(4 if gate.is_set() else 10**6):
                await response.write(b"x" * 2**16)
            return response
        return web.Response(body=await request.read())

    async with facing(handler, allow_aborted=True, shutdown_timeout=0) as stage:
        slow = [await stage.connect(receive=4096) for _ in range(500)]
        for client in slow:
            client.send_now(first)
        await until(lambda: len(stage.server.core.connections) == 500)
        await passes()
        other = await stage.connect()
        for number in range(50):
            await other.send(b"POST /fine HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n%02d" % number)
            assert (await other.answer()).body == b"%02d" % number
            slow[number].send_now(b"s")
        gate.set()


async def test_each_time_is_told_in_the_log_once_for_each_client() -> None:
    """Twenty clients that stop in the middle of a head are twenty lines, with the address and nothing they sent."""
    async with facing(header_timeout=0.3) as stage:
        clients = [await stage.connect() for _ in range(20)]
        for client in clients:
            await client.send(b"GET / HTTP/1.1\r\nAuthorization: s3cr3t")
        for client in clients:
            assert (await client.answer()).status == 408
        said = stage.said()
        assert len(said) == 20
        assert set(said) == {"408 for 127.0.0.1: The head of the request did not come within 0.3 s"}
