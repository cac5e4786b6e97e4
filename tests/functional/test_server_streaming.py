"""Bodies that stream, both ways at once: back-pressure, codings, clients that go.

What is bounded is shown by counters of the connection and of its transport, once nothing moves any more: never by time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

import endwell
from endwell import web
from endwell.testing.mocked import make_mocked_request
from tests.support.raw import RawClient, facing, passes, until
from tests.support.serving import serving
from tests.support.streams import (
    BUFFER,
    ENDLESS,
    FRAMINGS,
    PIECE,
    READ,
    WIRES,
    Sending,
    context,
    only,
    session,
    stands_still,
)


async def echo(request: web.BaseRequest) -> web.StreamResponse:
    """Send each piece back as it comes."""
    response = web.StreamResponse()
    await response.prepare(request)
    async for piece in request.content.iter_any():
        await response.write(piece)
    return response


# Both ways at once


@WIRES
async def test_an_endless_echo_whose_client_does_not_read(tls: bool) -> None:
    """The handler's writes stop, so its reads stop, so the client's sends stop; then everything goes on."""
    sending = Sending(ENDLESS)
    async with (
        serving(echo, tls=context(tls=tls), host="localhost", read_bufsize=BUFFER) as server,
        session() as client,
    ):
        async with client.post(server.url, data=sending, read_bufsize=BUFFER) as response:
            await until(lambda: server.core.work)
            exchange = only(server)
            incoming, writer = exchange.incoming, exchange.writer
            assert incoming is not None
            assert writer is not None
            await stands_still(lambda: sending.sent, lambda: writer.body_size)
            assert sending.sent < ENDLESS
            assert incoming.paused, "the client is made to wait"
            assert incoming.size <= 2 * BUFFER + READ
            assert incoming.delivered - writer.body_size <= READ, "only what the handler has in its hands"
            assert exchange.connection.unsent() <= 2**19 + 2 * READ
            size = 0
            async for piece in response.content.iter_any():
                size += len(piece)
                assert incoming.size <= 2 * BUFFER + READ
            assert size == sending.sent >= ENDLESS
        assert sending.ended


@WIRES
@FRAMINGS
async def test_a_handler_that_does_not_read(tls: bool, chunked: bool) -> None:
    """The client's sends stop; nothing is lost."""
    go_on = asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.Response:
        await go_on.wait()
        size = 0
        async for piece in request.content.iter_any():
            size += len(piece)
        return web.Response(text=str(size))

    sending = Sending(ENDLESS)
    headers = {} if chunked else {"Content-Length": str(-(-ENDLESS // PIECE) * PIECE)}
    async with serving(handler, tls=context(tls=tls), host="localhost", read_bufsize=BUFFER) as server:
        async with session() as client:
            asking = asyncio.ensure_future(client.post(server.url, data=sending, headers=headers))
            await until(lambda: server.core.work)
            incoming = only(server).incoming
            assert incoming is not None
            await stands_still(lambda: sending.sent, lambda: incoming.received)
            assert sending.sent < ENDLESS
            assert incoming.size <= 2 * BUFFER + READ
            go_on.set()
            async with await asking as response:
                assert int(await response.text()) == sending.sent >= ENDLESS


@WIRES
async def test_a_handler_that_reads_slowly(tls: bool) -> None:
    """It never holds more than its limit, however fast the client."""
    most = 0

    async def handler(request: web.BaseRequest) -> web.Response:
        nonlocal most
        size = 0
        while piece := await request.content.read(5000):
            size += len(piece)
            body = request._exchange.body
            assert body is not None
            most = max(most, body.size)
            if not size % 50:
                await asyncio.sleep(0)
        return web.Response(text=str(size))

    sending = Sending(4 * 2**20)
    async with serving(handler, tls=context(tls=tls), host="localhost", read_bufsize=BUFFER) as server:
        async with session() as client, client.post(server.url, data=sending) as response:
            assert int(await response.text()) == sending.sent
    assert most <= 2 * BUFFER + READ


@WIRES
async def test_a_conversation(tls: bool) -> None:
    """Each piece is answered before the next one is sent: nothing is held back, on either side."""
    said: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def body() -> AsyncIterator[bytes]:
        while (piece := await said.get()) is not None:
            yield piece

    async with serving(echo, tls=context(tls=tls), host="localhost") as server, session() as client:
        said.put_nowait(b"hello 0\n")
        async with client.post(server.url, data=body()) as response:
            for number in range(1, 100):
                assert await response.content.readline() == b"hello %d\n" % (number - 1)
                said.put_nowait(b"hello %d\n" % number)
            assert await response.content.readline() == b"hello 99\n"
            said.put_nowait(None)
            assert await response.content.read() == b""


@WIRES
@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
async def test_a_coded_conversation(tls: bool, coding: str) -> None:
    """Coded both ways; an encoder holds back what it likes, so the whole is compared."""

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_compression()
        await response.prepare(request)
        async for piece in request.content.iter_any():
            await response.write(piece)
        return response

    text = b"".join(b"line %d of what is said\n" % number for number in range(200_000))

    async def body() -> AsyncIterator[bytes]:
        for start in range(0, len(text), 12_345):
            yield text[start : start + 12_345]

    async with serving(handler, tls=context(tls=tls), host="localhost", read_bufsize=BUFFER) as server:
        async with session() as client:
            headers = {"Accept-Encoding": coding}
            async with client.post(server.url, data=body(), compress=coding, headers=headers) as response:
                assert response.headers["Content-Encoding"] == coding
                assert await response.read() == text


@WIRES
async def test_a_server_that_stops_in_the_middle_of_an_echo(tls: bool) -> None:
    """Both directions are drained."""
    said: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def body() -> AsyncIterator[bytes]:
        while (piece := await said.get()) is not None:
            yield piece

    async with serving(echo, tls=context(tls=tls), host="localhost") as server, session() as client:
        said.put_nowait(b"before")
        async with client.post(server.url, data=body()) as response:
            assert await response.content.readexactly(6) == b"before"
            closing = asyncio.ensure_future(server.close())
            await passes()
            said.put_nowait(b"after")
            assert await response.content.readexactly(5) == b"after"
            said.put_nowait(None)
            assert await response.content.read() == b""
        report = await closing
    assert report.finished == 1


@WIRES
async def test_clients_that_leave_in_the_middle_of_an_echo(tls: bool) -> None:
    ended: list[str] = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await echo(request)
        except Exception as error:
            ended.append(type(error).__name__)
            raise

    async with serving(handler, tls=context(tls=tls), host="localhost", read_bufsize=BUFFER) as server:
        async with session() as client:
            for wanted in range(1, 6):
                sending = Sending(ENDLESS)
                async with client.post(server.url, data=sending) as response:
                    await response.content.readexactly(wanted * 50_000)
                    response.close()
                await until(lambda wanted=wanted: len(ended) == wanted)
                await until(lambda sending=sending: sending.ended)
        await until(lambda: not server.core.work)
    assert set(ended) <= {"ConnectionResetError", "TruncatedError", "RequestPayloadError"}


# Responses


@WIRES
@FRAMINGS
async def test_a_response_that_nobody_reads(tls: bool, chunked: bool) -> None:
    """write() waits for the client; memory is bounded, whatever the size of the pieces."""
    written = 0

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse()
        if not chunked:
            response.content_length = ENDLESS
        await response.prepare(request)
        while written < ENDLESS:
            size = min(1 + written // 7 % 60_000, ENDLESS - written)
            await response.write(b"w" * size)
            written += size
        return response

    async with serving(handler, tls=context(tls=tls), host="localhost") as server, session() as client:
        async with client.get(server.url) as response:
            await stands_still(lambda: written)
            assert written < ENDLESS
            assert only(server).connection.unsent() < 2**19 + READ
            size = 0
            async for piece in response.content.iter_any():
                size += len(piece)
        assert size == ENDLESS
        async with client.get(server.url) as response:
            assert response.status == 200


@WIRES
async def test_a_handler_that_writes_without_end(tls: bool) -> None:
    """It never waits for anything but its writes; when the client has gone it is told so, whatever is below."""
    failed: list[Exception] = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"w" * 1000)
        except ConnectionResetError as error:
            failed.append(error)
            raise

    async with serving(handler, tls=context(tls=tls), host="localhost") as server, session() as client:
        for number in range(1, 4):
            async with client.get(server.url) as response:
                await response.content.readexactly(number * 1_000_000)
                response.close()
            await until(lambda number=number: len(failed) == number)


@pytest.mark.parametrize("size", [1, 1000, 100_000])
async def test_others_have_their_turn_while_a_handler_writes(size: int) -> None:
    """Also when its client reads as fast as it writes, so that it has never to wait."""
    request = make_mocked_request("GET", "/", loop=asyncio.get_running_loop())
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    response = web.StreamResponse()
    await response.prepare(request)
    task = asyncio.ensure_future(other())
    for _ in range(min(10_000, 10**7 // size)):
        await response.write(b"w" * size)
    assert 5 < turns < 100
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize("minor", [0, 1])
@pytest.mark.parametrize("length", [False, True])
async def test_a_response_of_pieces_on_the_wire(minor: int, length: bool) -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        if length:
            response.content_length = 6
        await response.prepare(request)
        for piece in (b"a", bytearray(b"bc"), memoryview(b"def")):
            await response.write(piece)
        await response.write_eof()
        return response

    async with facing(handler, alive=False) as stage:
        client = await stage.connect()
        await client.send(b"GET / HTTP/1.%d\r\nHost: a\r\n\r\n" % minor)
        answer = await client.answer()
        assert (answer.body, answer.complete) == (b"abcdef", True)
        assert answer.get("content-length") == ("6" if length else None)
        assert answer.get("transfer-encoding") == ("chunked" if minor and not length else None)
        if not minor:
            assert await client.closed() == "fin"


@WIRES
async def test_a_handler_that_fails_in_the_middle_of_its_response(tls: bool) -> None:
    """Whatever the framing, the client can tell that it has not all; the log says it once."""

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        if "length" in request.query:
            response.content_length = 10**6
        await response.prepare(request)
        await response.write(b"begun")
        message = "in the middle"
        raise LookupError(message)

    lines = Lines()
    async with serving(handler, tls=context(tls=tls), host="localhost", logger=lines.logger) as server:
        async with session() as client:
            for query in ("chunks", "length"):
                async with client.get(server.url.with_query(query)) as response:
                    with pytest.raises(endwell.ClientPayloadError):
                        await response.read()
                await until(lambda: lines.errors)
                (record,) = lines.errors
                assert record.exc_info is not None
                lines.errors.clear()
        async with session(version=endwell.HttpVersion10) as client, client.get(server.url) as response:
            with pytest.raises(endwell.ClientPayloadError):
                await response.read()


async def test_a_reset_that_nobody_has_seen() -> None:
    """The client resets the connection while nothing is read from it, and the handler fails without another write."""
    go_on = asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await go_on.wait()
        raise LookupError

    async with facing(handler, alive=False, read_bufsize=BUFFER) as stage:
        client = await stage.connect()
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % ENDLESS)
        await until(lambda: stage.server.core.work)
        incoming = only(stage.server).incoming
        assert incoming is not None
        while not incoming.paused:
            client.send_now(bytes(PIECE))
            await passes()
        client.reset()
        go_on.set()
        await until(lambda: not stage.server.core.connections)
        assert len(stage.said()) == 1


class Lines(logging.Handler):
    """Keeps what a server logs as an error."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.errors: list[logging.LogRecord] = []
        self.logger = logging.Logger("endwell.test")  # noqa: LOG001  # of this test alone
        self.logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.errors.append(record)


@WIRES
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "identity"])
@pytest.mark.parametrize("kind", ["whole", "pieces"])
async def test_codings(tls: bool, coding: str, kind: str) -> None:
    text = b"".join(b"line %d of a text that compresses well\n" % number for number in range(50_000))

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        if kind == "whole":
            whole = web.Response(body=text, content_type="text/plain")
            whole.enable_compression()
            return whole
        response = web.StreamResponse()
        response.content_type = "text/plain"
        response.enable_compression()
        await response.prepare(request)
        for start in range(0, len(text), 70_000):
            await response.write(text[start : start + 70_000])
        return response

    async with serving(handler, tls=context(tls=tls), host="localhost") as server, session() as client:
        for _ in range(2):
            async with client.get(server.url, headers={"Accept-Encoding": coding}) as response:
                assert response.headers.get("Content-Encoding", "identity") == coding
                assert response.headers["Vary"] == "Accept-Encoding"
                assert await response.read() == text
                assert response.content.total_bytes < len(text) // 4 or coding == "identity"
        async with client.head(server.url, headers={"Accept-Encoding": coding}) as response:
            assert await response.read() == b""
        assert len(server.core.connections) == 1


# Who has gone


@WIRES
async def test_what_can_be_asked_when_the_client_has_gone(tls: bool) -> None:
    told: list[Any] = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        await request.wait_for_disconnection()
        response = web.StreamResponse()
        with pytest.raises(ConnectionResetError):
            await write_on(request, response)
        told.append((request.remote in (None, "127.0.0.1", "::1"), request.host, request.scheme in ("http", "https")))
        told.append((request.get_extra_info("peername", 1) is not None, request.path, request.url.path))
        return response

    async with serving(handler, tls=context(tls=tls), host="localhost") as server, session() as client:
        asking = asyncio.ensure_future(client.get(server.url / "a"))
        await until(lambda: server.core.work)
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking
        await until(lambda: told)
        await until(lambda: not server.core.work)
    assert told == [(True, f"localhost:{server.port}", True), (True, "/a", "/a")]


async def test_pipelined_requests_of_a_client_that_has_gone(caplog: pytest.LogCaptureFixture) -> None:
    """It resets the connection while the first of them are served: the others do not run, and nobody logs a thing."""
    calls = 0

    async def handler(_request: web.BaseRequest) -> web.Response:
        nonlocal calls
        calls += 1
        if calls == 10:
            client.reset()
        return web.Response(text="x")

    async with facing(handler, alive=False) as stage:
        client = await stage.connect()
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 500)
        await until(lambda: not stage.server.core.connections)
    assert calls <= 64, "uvloop learns of it in a later pass"
    assert not caplog.records


async def write_on(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Write until the client has gone altogether: it may have ended its own side only, and read on."""
    await response.prepare(request)
    while True:
        await response.write(b"nobody reads this")
        await asyncio.sleep(0)


async def test_a_client_that_speaks_no_more_and_listens() -> None:
    """Half-closed, it gets its echo to the end (RFC 9112 section 9.6)."""
    async with facing(echo, alive=False) as stage:
        client: RawClient = await stage.connect()
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"e" * 100_000)
        client.half_close()
        answer = await client.answer()
        assert (len(answer.body), answer.complete) == (100_000, True)
        assert await client.closed() == "fin"
