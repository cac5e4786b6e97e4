"""Bodies of requests: forms with large files, every way to read, and answers that come before the body has."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any, Final

import pytest

import endwell
from endwell import web
from tests.support.raw import facing, until
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
    session,
)

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
