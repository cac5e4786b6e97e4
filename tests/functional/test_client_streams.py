"""Bodies read as streams: every method of `response.content`, flow control, codings, multipart, limits."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

import endwell
from tests.support.echo import EchoServer, Reply
from tests.support.peer import PeerConnection, ScriptedPeer, answer_with, silence

LINES = b"".join(b"line %d\n" % number for number in range(1000)) + b"the rest"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def serving(body: bytes | AsyncIterator[bytes], **headers: str) -> EchoServer:
    return EchoServer({"/a": lambda _: Reply(body, headers=headers)})


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


# -- ways of reading


async def test_lines() -> None:
    async with serving(LINES) as server, endwell.ClientSession() as session:
        async with session.get(server.url("/a")) as response:
            assert [line async for line in response.content] == LINES.splitlines(keepends=True)
            assert response.content.at_eof()


@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 20])
async def test_iter_chunked(size: int) -> None:
    async with serving(LINES) as server, endwell.ClientSession() as session:
        async with session.get(server.url("/a")) as response:
            parts = [part async for part in response.content.iter_chunked(size)]
    assert b"".join(parts) == LINES
    assert max(map(len, parts)) <= size
    assert all(parts)


async def test_iter_any() -> None:
    async with serving(pieces(b"a" * 10, LINES, b"z")) as server, endwell.ClientSession() as session:
        async with session.get(server.url("/a")) as response:
            assert b"".join([part async for part in response.content.iter_any()]) == b"a" * 10 + LINES + b"z"


async def test_iter_chunks_tells_where_chunks_end() -> None:
    async def script(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.send(CHUNKED, b"5\r\nfi", b"rst\r\n", b"6\r\nsecond\r\n3\r\nend\r\n", b"0\r\n\r\n")

    async with ScriptedPeer(script) as peer, endwell.ClientSession() as session:
        async with session.get(peer.url()) as response:
            found = [each async for each in response.content.iter_chunks()]
    chunks, current = [], b""
    for data, ended in found:
        current += data
        if ended:
            chunks.append(current)
            current = b""
    assert chunks == [b"first", b"second", b"end"]
    assert current == b""


async def test_reading_in_many_ways() -> None:
    async with serving(LINES) as server, endwell.ClientSession() as session:
        async with session.get(server.url("/a")) as response:
            content = response.content
            assert await content.readline() == b"line 0\n"
            assert await content.readexactly(7) == b"line 1\n"
            assert await content.readuntil(b"e") == b"line"
            assert await content.readuntil(b" 2\n") == b" 2\n"
            assert await content.read(4) == b"line"
            assert await content.read(0) == b""
            assert not content.at_eof()
            rest = await content.read()
            assert b"line" + rest == LINES[21:]
            assert content.at_eof()
            assert content.is_eof()
            assert content.total_bytes == len(LINES)
            assert await content.read() == b""
            assert await content.readany() == b""
            assert await content.readline() == b""
            assert await content.readchunk() == (b"", False)
            with pytest.raises(asyncio.IncompleteReadError) as caught:
                await content.readexactly(1)
            assert caught.value.partial == b""


async def test_readexactly_of_too_much() -> None:
    async with serving(b"12345") as server, endwell.ClientSession() as session:
        async with session.get(server.url("/a")) as response:
            with pytest.raises(asyncio.IncompleteReadError) as caught:
                await response.content.readexactly(10)
    assert (caught.value.partial, caught.value.expected) == (b"12345", 10)


async def test_at_eof_when_all_was_read() -> None:
    """`while not content.at_eof()` is how many programs loop: no empty piece at the end, whatever the framing."""
    for body in (LINES, pieces(LINES[:4000], LINES[4000:])):
        async with serving(body) as server, endwell.ClientSession() as session:
            async with session.get(server.url("/a")) as response:
                content = response.content
                await content.readexactly(len(LINES) - 1)
                await content.wait_eof()
                assert not content.at_eof()
                await content.readexactly(1)
                assert content.at_eof()


async def test_at_eof_when_all_was_read_and_decoded() -> None:
    async with serving(gzip.compress(LINES), **{"Content-Encoding": "gzip"}) as server:
        async with endwell.ClientSession() as session, session.get(server.url("/a")) as response:
            await response.content.wait_eof()
            assert await response.content.readexactly(len(LINES)) == LINES
            assert response.content.at_eof()


async def test_read_nowait() -> None:
    async def script(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", b"12345")
        go.set()
        await more.wait()
        await conn.send(b"67890")

    go, more = asyncio.Event(), asyncio.Event()
    async with ScriptedPeer(script) as peer, endwell.ClientSession() as session:
        async with session.get(peer.url()) as response:
            await go.wait()
            assert await response.content.read(2) == b"12"
            assert response.content.read_nowait(1) == b"3"
            assert response.content.read_nowait() == b"45"
            assert response.content.read_nowait() == b""
            more.set()
            assert await response.content.read() == b"67890"


async def test_two_readers_at_once() -> None:
    async def script(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        await more.wait()
        await conn.send(b"1234567890")

    more = asyncio.Event()
    async with ScriptedPeer(script) as peer, endwell.ClientSession() as session:
        async with session.get(peer.url()) as response:
            first = asyncio.ensure_future(response.content.read(10))
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="another task"):
                await response.content.read(10)
            more.set()
            assert await first == b"1234567890"


async def test_a_line_that_is_too_long() -> None:
    async with serving(b"x" * 5000 + b"\n") as server, endwell.ClientSession() as session:
        async with session.get(server.url("/a"), read_bufsize=1000) as response:
            with pytest.raises(ValueError):
                await response.content.readline()


async def test_a_reader_that_was_cancelled_goes_on() -> None:
    async def script(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        await more.wait()
        await conn.send(b"1234567890")

    more = asyncio.Event()
    async with ScriptedPeer(script) as peer, endwell.ClientSession() as session:
        async with session.get(peer.url()) as response:
            reading = asyncio.ensure_future(response.content.readany())
            await asyncio.sleep(0)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            more.set()
            assert await response.content.readexactly(10) == b"1234567890"


# -- flow control


@pytest.mark.parametrize("where", ["session", "call"])
async def test_read_bufsize_holds_the_peer_back(where: str) -> None:
    """Who does not read takes little: the peer stands still long before it has sent everything."""
    total = 64 << 20
    kwargs: Any = {"read_bufsize": 4096}
    by_session, by_call = (kwargs, {}) if where == "session" else ({}, kwargs)
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < total:
            sent += 1 << 16
            yield bytes(1 << 16)

    async with serving(body()) as server, endwell.ClientSession(**by_session) as session:
        async with session.get(server.url("/a"), **by_call) as response:
            assert response.content.get_read_buffer_limits() == (4096, 8192)
            previous = -1
            while previous != sent:  # the server goes on until the sockets are full
                previous = sent
                for _ in range(50):
                    await asyncio.sleep(0)
            assert sent < total
            assert response.content.total_bytes < 2 << 20
            assert len(await response.read()) == total


# -- codings


@pytest.mark.parametrize("where", ["session", "call"])
async def test_auto_decompress_off(where: str) -> None:
    packed = gzip.compress(LINES)
    by_session, by_call = ({"auto_decompress": False}, {}) if where == "session" else ({}, {"auto_decompress": False})
    async with (
        serving(packed, **{"Content-Encoding": "gzip"}) as server,
        endwell.ClientSession(**by_session) as session,
        session.get(server.url("/a"), **by_call) as response,
    ):
        assert await response.read() == packed
        assert response.headers["Content-Encoding"] == "gzip"


async def test_auto_decompress_on_for_a_call() -> None:
    async with serving(zlib.compress(LINES), **{"Content-Encoding": "deflate"}) as server:
        async with endwell.ClientSession(auto_decompress=False) as session:
            async with session.get(server.url("/a"), auto_decompress=True) as response:
                assert await response.read() == LINES


async def test_raw_deflate() -> None:
    packer = zlib.compressobj(wbits=-15)
    raw = packer.compress(LINES) + packer.flush()
    async with serving(raw, **{"Content-Encoding": "deflate"}) as server, endwell.ClientSession() as session:
        async with session.get(server.url("/a")) as response:
            assert await response.read() == LINES


async def test_lines_of_a_coded_chunked_body() -> None:
    packed = gzip.compress(LINES)
    parts = [packed[start : start + 100] for start in range(0, len(packed), 100)]
    async with serving(pieces(*parts), **{"Content-Encoding": "gzip"}) as server, endwell.ClientSession() as session:
        async with session.get(server.url("/a")) as response:
            assert [line async for line in response.content] == LINES.splitlines(keepends=True)
            assert response.content.total_compressed_bytes == len(packed)


async def test_decompress_limit() -> None:
    packed = gzip.compress(bytes(1 << 20))
    async with serving(packed, **{"Content-Encoding": "gzip"}) as server:
        async with endwell.ClientSession(decompress_limit=1 << 19) as session:
            with pytest.raises(endwell.DecompressionLimitError):
                async with session.get(server.url("/a")) as response:
                    await response.read()
            async with session.get(server.url("/a"), decompress_limit=None) as response:
                assert len(await response.read()) == 1 << 20


# -- framings


async def test_a_body_until_the_end_of_the_connection() -> None:
    answer = answer_with(b"HTTP/1.1 200 OK\r\n\r\nfi", b"ne")
    async with ScriptedPeer(answer) as peer, endwell.ClientSession() as session:
        async with session.get(peer.url()) as response:
            assert await response.read() == b"fine"
        assert response.content_length is None


async def test_read_until_eof_off() -> None:
    """Without a length there is no body then, and nothing is waited for."""
    answer = answer_with(b"HTTP/1.1 200 OK\r\n\r\n", then=silence)
    async with ScriptedPeer(answer) as peer, endwell.ClientSession() as session:
        async with session.get(peer.url(), read_until_eof=False) as response:
            assert await response.read() == b""


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
async def test_statuses_without_a_body(status: str) -> None:
    answer = answer_with(f"HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\n".encode(), then=silence)
    async with ScriptedPeer(answer) as peer, endwell.ClientSession() as session:
        async with session.get(peer.url()) as response:
            assert await response.read() == b""


async def test_chunk_extensions_and_trailers() -> None:
    answer = answer_with(CHUNKED + b'3;a=b;c="d"\r\nabc\r\n0;x\r\nX-After: 1\r\n\r\n', then=silence)
    async with ScriptedPeer(answer) as peer, endwell.ClientSession() as session:
        async with session.get(peer.url()) as response:
            assert await response.read() == b"abc"
            assert "X-After" not in response.headers


async def test_early_hints_before_the_answer() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 2
    answer = answer_with(hints + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", then=silence)
    async with ScriptedPeer(answer) as peer, endwell.ClientSession() as session:
        async with session.get(peer.url()) as response:
            assert (response.status, await response.text()) == (200, "ok")
            assert "Link" not in response.headers


# -- limits of the head


@pytest.mark.parametrize("where", ["session", "call"])
@pytest.mark.parametrize(
    ("limit", "head"),
    [
        ({"max_line_size": 100}, "HTTP/1.1 200 " + "x" * 200),
        ({"max_field_size": 100}, "HTTP/1.1 200 OK\r\nX-A: " + "x" * 200),
        ({"max_headers": 10}, "HTTP/1.1 200 OK" + "\r\nX-A: x" * 12),
    ],
)
async def test_limits_of_the_head(where: str, limit: dict[str, Any], head: str) -> None:
    answer = answer_with(f"{head}\r\nContent-Length: 0\r\n\r\n".encode(), then=silence)
    by_session, by_call = (limit, {}) if where == "session" else ({}, limit)
    async with ScriptedPeer(answer) as peer, endwell.ClientSession(**by_session) as session:
        with pytest.raises(endwell.ClientResponseError, match=next(iter(limit))):
            await session.get(peer.url(), **by_call)
    async with ScriptedPeer(answer) as peer, endwell.ClientSession() as session:
        async with session.get(peer.url()) as response:
            assert response.status == 200


async def test_limits_can_be_raised() -> None:
    head = "HTTP/1.1 200 OK\r\nX-A: " + "x" * 20_000 + "\r\nX-B: 1" * 200
    answer = answer_with(f"{head}\r\nContent-Length: 0\r\n\r\n".encode(), then=silence)
    async with ScriptedPeer(answer) as peer, endwell.ClientSession() as session:
        async with session.get(peer.url(), max_field_size=30_000, max_headers=300) as response:
            assert len(response.headers["X-A"]) == 20_000
            assert len(response.headers) == 202


@pytest.mark.parametrize("name", ["max_line_size", "max_field_size", "max_headers", "read_bufsize"])
async def test_a_limit_must_be_positive(name: str) -> None:
    async with endwell.ClientSession() as session:
        with pytest.raises(ValueError, match=name):
            await session.get("http://127.0.0.1:9/", **{name: 0})


# -- multipart


async def test_multipart() -> None:
    body = (
        b"--frontier\r\nContent-Type: application/json\r\n\r\n{}\r\n"
        b'--frontier\r\nContent-Disposition: attachment; filename="a.txt"\r\n\r\ntext\r\n--frontier--\r\n'
    )
    reply = Reply(body, content_type="multipart/mixed; boundary=frontier")
    async with EchoServer({"/a": lambda _: reply}) as server, endwell.ClientSession() as session:
        async with session.get(server.url("/a")) as response:
            reader = endwell.MultipartReader.from_response(response)
            first = await reader.next()
            assert await first.json() == {}
            second = await reader.next()
            assert (second.filename, await second.text()) == ("a.txt", "text")
            assert await reader.next() is None
            assert reader.at_eof()
        async with session.get(server.url("/a")) as response:
            found = [await part.read() async for part in endwell.MultipartReader.from_response(response)]
        assert found == [b"{}", b"text"]
        assert len(server.connections) == 1


async def test_leaving_a_multipart_response_half_read() -> None:
    body = b"--frontier\r\n\r\n" + b"x" * 1000 + b"\r\n--frontier\r\n\r\nsecond\r\n--frontier--\r\n"
    reply = Reply(body, content_type="multipart/mixed; boundary=frontier")
    async with EchoServer({"/a": lambda _: reply}) as server, endwell.ClientSession() as session:
        for _ in range(2):
            async with session.get(server.url("/a")) as response:
                part = await endwell.MultipartReader.from_response(response).next()
                assert await part.read_chunk(10) == b"x" * 10
        assert len(server.connections) == 1
