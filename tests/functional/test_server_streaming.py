"""Bodies that stream, both ways at once: back-pressure, event streams, codings, uploads, early answers.

What is bounded is shown by counters of the connection and of its transport, once nothing moves any more: never by time.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import pytest

import endwell
from endwell import web
from endwell.server.exchange import Exchange
from endwell.testing.mocked import make_mocked_request
from tests.support.raw import RawClient, facing, passes, until
from tests.support.serving import RunningServer, serving
from tests.support.tls import client_context, server_context

WIRES = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
FRAMINGS = pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
BUFFER: Final = 2**14
"""What the servers here take of a body before a handler reads it."""

READ: Final = 2**19
"""Bytes that may come on top of any limit: what a loop reads at once, and as much again that TLS had held back."""

PIECE: Final = 10_000
ENDLESS: Final = 64 * 2**20
"""Bytes that do not fit into any buffers on the way, those of the kernel included."""


def context(*, tls: bool) -> ssl.SSLContext | None:
    return server_context() if tls else None


def session(**kwargs: Any) -> endwell.ClientSession:
    timeout = endwell.ClientTimeout(total=None, sock_read=None)
    connector = endwell.TCPConnector(ssl=client_context())
    return endwell.ClientSession(connector=connector, timeout=timeout, **kwargs)


class Sending:
    """A body of the client that counts the bytes that were asked of it."""

    def __init__(self, size: int, piece: bytes = b"p" * PIECE) -> None:
        self.sent = 0
        self.ended = False
        self._size = size
        self._piece = piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while self.sent < self._size:
                self.sent += len(self._piece)
                yield self._piece
        finally:
            self.ended = True


async def stands_still(*counters: Callable[[], int]) -> None:
    """Return when none of the counters moves any more, and each has moved."""
    before: list[int] = []
    while True:
        now = [counter() for counter in counters]
        if now == before and all(now):
            return
        before = now
        await asyncio.sleep(0.05)


def only(server: RunningServer) -> Exchange:
    """Give the one exchange that the server has."""
    (connection,) = server.core.connections
    assert isinstance(connection.exchange, Exchange)
    return connection.exchange


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
    """write() waits for the client; `memory` is bounded, whatever the size of the pieces."""
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


# Event streams


@WIRES
async def test_events_go_on_where_they_were(tls: bool) -> None:
    """The connection ends, once because a server stops and another begins: no event is lost, and none comes twice."""
    asked: list[str] = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        async with web.event_stream(request, retry=1) as events:
            asked.append(events.last_event_id)
            first = int(events.last_event_id or -1) + 1
            for number in range(first, first + 5):
                await events.send(f"event {number}\nof many", id=str(number), event="tick")
            if len(asked) == 3:
                await asyncio.Event().wait()
        return events

    connector = endwell.TCPConnector(ssl=client_context())
    runner = web.ServerRunner(web.Server(handler))
    port = 0
    found = []
    async with endwell.ClientSession(connector=connector) as client:
        await runner.setup()
        site = web.TCPSite(runner, "localhost", 0, ssl_context=context(tls=tls))
        await site.start()
        port = site.port
        async with client.get(f"http{'s' * tls}://localhost:{port}/") as response, endwell.sse(response) as stream:
            async for event in stream:
                assert (event.event, event.data) == ("tick", f"event {event.id}\nof many")
                found.append(int(event.id))
                if len(found) == 15:
                    report = await runner.cleanup()
                    assert not report.aborted
                    runner = web.ServerRunner(web.Server(handler))
                    await runner.setup()
                    await web.TCPSite(runner, "localhost", port, ssl_context=context(tls=tls)).start()
                if len(found) == 25:
                    break
    assert not (await runner.cleanup()).aborted
    assert found == list(range(25))
    assert asked[:5] == ["", "4", "9", "14", "19"]


@WIRES
async def test_a_slow_reader_of_events(tls: bool) -> None:
    """send() waits for it, heartbeats do not pile up behind; and the stop of the server ends the stream where it is."""
    sent = 0

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal sent
        async with web.event_stream(request, heartbeat=0.01) as events:
            while sent < ENDLESS // 1000:
                await events.send("x" * 1000, id=str(sent))
                sent += 1
        return events

    async with serving(handler, tls=context(tls=tls), host="localhost") as server, session() as client:
        async with client.get(server.url, read_bufsize=BUFFER) as response:
            await stands_still(lambda: sent)
            assert sent < ENDLESS // 1000
            assert only(server).connection.unsent() < 2**19 + READ
            closing = asyncio.ensure_future(server.close())
            ids = [int(event.id) async for event in endwell.sse(response, reconnect=False)]
        report = await closing
    assert not report.aborted
    assert ids == list(range(len(ids))), "none is lost in between"
    assert len(ids) in (sent, sent + 1), "what was being sent is sent whole"


async def test_the_reader_of_an_event_stream_goes() -> None:
    """A heartbeat finds out, and ends the block; that is no error of the program, so nobody is told of one."""
    ended: list[BaseException] = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        try:
            async with web.event_stream(request, heartbeat=0.01) as events:
                await asyncio.Event().wait()
        except ConnectionResetError as error:
            ended.append(error)
            raise
        return events

    async with facing(handler, alive=False) as stage:
        for reset in (True, False):
            client = await stage.connect()
            await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await until(lambda: stage.server.core.work)
            if reset:
                client.reset()
            else:
                client.sock.close()
            await until(lambda: not stage.server.core.work)
        assert len(ended) == 2
        assert stage.said() == []


# Uploads


SIZE: Final = 20 * 2**20


class Counted:
    """A file that a client sends."""

    def __init__(self) -> None:
        self.data = b"".join(b"%015d\n" % number for number in range(SIZE // 16))
        self.digest = hashlib.blake2b(self.data).hexdigest()


@pytest.fixture(scope="module")
def counted() -> Counted:
    return Counted()


@WIRES
async def test_a_large_file_in_a_form_that_is_streamed(tls: bool, counted: Counted) -> None:
    most = 0

    async def handler(request: web.BaseRequest) -> web.Response:
        nonlocal most
        found = []
        body = request._exchange.body
        assert body is not None
        async for part in await request.multipart():
            digest, size = hashlib.blake2b(), 0
            while piece := await part.read_chunk(30_000):
                digest.update(piece)
                size += len(piece)
                most = max(most, body.size)
            found.append([part.name, part.filename, size, digest.hexdigest()])
        return web.json_response(found)

    async with serving(handler, tls=context(tls=tls), host="localhost", read_bufsize=BUFFER) as server:
        async with session() as client:
            form = endwell.FormData(quote_fields=False)
            form.add_field("before", "b")
            form.add_field("file", counted.data, filename="é.bin", content_type="application/x-test")
            form.add_field("after", "a")
            async with client.post(server.url, data=form) as response:
                found = await response.json()
    assert found == [
        ["before", None, 1, hashlib.blake2b(b"b").hexdigest()],
        ["file", "é.bin", SIZE, counted.digest],
        ["after", None, 1, hashlib.blake2b(b"a").hexdigest()],
    ]
    assert most <= 2 * BUFFER + READ


@WIRES
async def test_a_large_file_in_a_form_that_is_kept(tls: bool, counted: Counted) -> None:
    """It is on the disk while the handler runs, and closed behind it; over the limit it is refused."""
    kept: list[Any] = []

    async def handler(request: web.Request) -> web.Response:
        form = await request.post()
        file = form["file"]
        assert isinstance(file, web.FileField)
        kept.append(file.file)
        return web.json_response([form["before"], file.filename, hashlib.blake2b(file.file.read()).hexdigest()])

    app = web.Application(client_max_size=SIZE + 1000)
    app.router.add_post("/", handler)
    async with serving(app, tls=context(tls=tls), host="localhost") as server, session() as client:
        for more in (0, 1000):
            form = endwell.FormData()
            form.add_field("before", "b")
            form.add_field("file", counted.data + bytes(more), filename="f")
            async with client.post(server.url, data=form) as response:
                if more:
                    assert response.status == 413
                else:
                    assert await response.json() == ["b", "f", counted.digest]
    assert [file.closed for file in kept] == [True]


@FRAMINGS
async def test_readers_of_a_body(chunked: bool) -> None:
    """Every way to read, on one body, cut where it likes."""
    lines = b"first line\nsecond line\n"
    told: list[Any] = []

    async def handler(request: web.BaseRequest) -> web.Response:
        content = request.content
        told.append(await content.readline())
        told.append(await content.readuntil(b"ond"))
        told.append(await content.readexactly(6))
        told.append(await content.readexactly(5))
        told.append(b"".join([piece async for piece in content.iter_chunked(7)]))
        told.append((await content.readany(), await content.read(), content.at_eof(), content.total_bytes))
        with pytest.raises(asyncio.IncompleteReadError):
            await content.readexactly(1)
        return web.Response()

    body = lines + b"tail " + b"x" * 1000
    if chunked:
        framing = b"Transfer-Encoding: chunked\r\n\r\n"
        sizes = (3, 9, 1, 500, 10**6)
        sent, rest = b"", body
        for size in sizes:
            piece, rest = rest[:size], rest[size:]
            sent += b"%x\r\n%b\r\n" % (len(piece), piece)
        sent += b"0\r\n\r\n"
    else:
        framing, sent = b"Content-Length: %d\r\n\r\n" % len(body), body
    async with facing(handler, alive=False) as stage:
        for size in (1, 7, 10**6):
            told.clear()
            client = await stage.connect()
            await client.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + framing)
            await client.send(*[sent[start : start + size] for start in range(0, len(sent), size)])
            assert (await client.answer()).status == 200
            assert told == [
                b"first line\n", b"second", b" line\n", b"tail ", b"x" * 1000, (b"", b"", True, len(body)),
            ]  # fmt: skip


async def test_chunks_as_they_were_sent() -> None:
    told: list[tuple[bytes, bool]] = []

    async def handler(request: web.BaseRequest) -> web.Response:
        whole = b""
        async for data, end in request.content.iter_chunks():
            whole += data
            if end:
                told.append((whole, end))
                whole = b""
        assert not whole
        return web.Response()

    async with facing(handler, alive=False) as stage:
        client = await stage.connect()
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        await client.send(b"3\r\nab", b"c\r\n5\r\nd", b"efgh\r\n1\r\ni\r\n0\r\n\r\n")
        assert (await client.answer()).status == 200
    assert told == [(b"abc", True), (b"defgh", True), (b"i", True)]


async def test_a_line_that_does_not_end() -> None:
    async def handler(request: web.BaseRequest) -> web.Response:
        with pytest.raises(ValueError, match="too big"):
            await request.content.readline()
        return web.Response(status=422)

    async with serving(handler, read_bufsize=BUFFER) as server, session() as client:
        async with client.post(server.url, data=Sending(2**20)) as response:
            assert response.status == 422


# Early answers


@WIRES
async def test_an_answer_before_the_body_has_come(tls: bool) -> None:
    """The client has the answer and its body, and stops; the next request goes out on a new connection."""

    async def handler(request: web.BaseRequest) -> web.Response:
        first = await request.content.readexactly(1000)
        return web.Response(status=202, body=first * 100)

    async with serving(handler, tls=context(tls=tls), host="localhost", read_bufsize=BUFFER) as server:
        async with session() as client:
            for _ in range(3):
                sending = Sending(ENDLESS)
                async with client.post(server.url, data=sending) as response:
                    assert (response.status, len(await response.read())) == (202, 100_000)
                await until(lambda sending=sending: sending.ended)
                assert sending.sent < ENDLESS
            assert server.core.served == 3


@WIRES
async def test_a_long_answer_while_the_body_comes(tls: bool) -> None:
    """The handler never reads, and says a lot: the client, who sends and reads, gets all of it."""

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(200):
            await response.write(b"w" * PIECE)
        return response

    async with serving(handler, tls=context(tls=tls), host="localhost", read_bufsize=BUFFER) as server:
        async with session() as client:
            async with client.post(server.url, data=Sending(ENDLESS)) as response:
                assert len(await response.read()) == 200 * PIECE


async def test_a_little_that_nobody_read_keeps_the_connection() -> None:
    async def handler(_request: web.BaseRequest) -> web.Response:
        return web.Response(text="enough")

    async with serving(handler) as server, session() as client:
        for _ in range(5):
            async with client.post(server.url, data=Sending(50_000), headers={"Content-Length": "50000"}) as response:
                assert await response.text() == "enough"
        assert len(server.core.connections) == 1


@WIRES
async def test_a_body_that_is_refused_before_it_is_sent(tls: bool) -> None:
    """With Expect: 100-continue no byte of it goes out, and the connection is good for the next request."""

    async def handler(request: web.BaseRequest) -> web.Response:
        if request.method == "PUT":
            raise web.HTTPForbidden
        return web.Response(text=str(len(await request.read())))

    sending = Sending(1_000_000)
    async with serving(handler, tls=context(tls=tls), host="localhost") as server, session() as client:
        async with client.put(server.url, data=sending, expect100=True) as response:
            assert response.status == 403
        assert sending.sent <= PIECE
        async with client.post(server.url, data=b"x" * 100_000, expect100=True) as response:
            assert await response.text() == "100000"


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
