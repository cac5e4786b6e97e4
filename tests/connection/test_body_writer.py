from __future__ import annotations

import asyncio
import contextlib
import socket
import zlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from endwell.connection.writer import BodyWriter
from endwell.lifetime import Resource
from endwell.transport.stream import Stream
from endwell.wire.http1 import ChunkedDecoder, Limits


@contextlib.asynccontextmanager
async def wire(*, buffer: int | None = None) -> AsyncIterator[tuple[Stream, socket.socket]]:
    """Give a connected stream and the socket at its other end."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    if buffer is not None:
        for sock in (ours, theirs):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
    _, stream = await loop.create_connection(lambda: Stream(Resource(None), loop), sock=ours)
    try:
        yield stream, theirs
    finally:
        theirs.close()
        stream.discard()
        gone = stream.gone()
        if gone is not None:
            await gone


async def received(stream: Stream, theirs: socket.socket) -> bytes:
    """Close our end and give all that was sent."""
    stream.close()
    data = b""
    while piece := await asyncio.get_running_loop().sock_recv(theirs, 2**16):
        data += piece
    return data


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_a_body_of_known_length(kind):
    async with wire() as (stream, theirs):
        writer = BodyWriter(stream, 6)
        await writer.write(kind(b"abc"))
        assert writer.length == 3
        await writer.write(kind(b""))
        await writer.write_eof(b"def")
        await writer.write_eof()
        assert (writer.length, writer.ended, writer.output_size) == (0, True, 6)
        assert await received(stream, theirs) == b"abcdef"


async def test_a_body_that_ends_with_the_connection():
    async with wire() as (stream, theirs):
        writer = BodyWriter(stream, None)
        await writer.write(b"abc")
        await writer.write_eof()
        assert await received(stream, theirs) == b"abc"


async def test_chunks():
    async with wire() as (stream, theirs):
        writer = BodyWriter(stream, None)
        writer.enable_chunking()
        await writer.write(b"abc")
        await writer.write(b"")  # would end the body
        await writer.write(b"x" * 16)
        await writer.write_eof()
        await writer.write_eof()
        assert await received(stream, theirs) == b"3\r\nabc\r\n10\r\n" + b"x" * 16 + b"\r\n0\r\n\r\n"
        assert writer.output_size == 8 + 4 + 16 + 2 + 5


@given(st.lists(st.binary(max_size=30), max_size=6), st.sampled_from([None, "deflate", "gzip"]))
async def test_chunks_and_codings_are_undone_by_a_reader(pieces, coding):
    async with wire() as (stream, theirs):
        writer = BodyWriter(stream, None)
        writer.enable_chunking()
        if coding is not None:
            writer.enable_compression(coding)
        for piece in pieces:
            await writer.write(piece)
        await writer.write_eof()
        decoder = ChunkedDecoder(Limits())
        body = b"".join(decoder.feed(await received(stream, theirs)))
        assert decoder.ended
        assert not decoder.rest
        if coding is not None:
            body = zlib.decompress(body, 31 if coding == "gzip" else 15)
        assert body == b"".join(pieces)


async def test_a_large_piece_is_one_chunk():
    data = bytes(range(256)) * 1024
    async with wire() as (stream, theirs):
        reading = asyncio.get_running_loop().create_task(read_all(theirs))
        writer = BodyWriter(stream, None)
        writer.enable_chunking()
        await writer.write(data)
        await writer.write_eof()
        stream.close()
        assert await reading == b"40000\r\n" + data + b"\r\n0\r\n\r\n"


async def read_all(theirs: socket.socket) -> bytes:
    data = bytearray()
    while piece := await asyncio.get_running_loop().sock_recv(theirs, 2**16):
        data += piece
    return bytes(data)


async def test_more_than_was_announced_is_refused_before_it_is_sent():
    async with wire() as (stream, theirs):
        writer = BodyWriter(stream, 4)
        await writer.write(b"abc")
        with pytest.raises(ValueError, match="1 bytes longer"):
            await writer.write(b"de")
        assert await received(stream, theirs) == b"abc"


async def test_less_than_was_announced_is_an_error():
    async with wire() as (stream, _):
        writer = BodyWriter(stream, 4)
        await writer.write(b"abc")
        with pytest.raises(ValueError, match="1 bytes before"):
            await writer.write_eof()
        assert not writer.ended


async def test_after_the_end_nothing_more_is_sent():
    """What follows the last chunk would be taken for the next message."""
    async with wire() as (stream, theirs):
        writer = BodyWriter(stream, None)
        writer.enable_chunking()
        await writer.write_eof(b"a")
        with contextlib.suppress(RuntimeError, ValueError):
            await writer.write(b"GET / HTTP/1.1")
        assert await received(stream, theirs) == b"1\r\na\r\n0\r\n\r\n"


async def test_a_peer_that_does_not_read_holds_the_writer():
    async with wire(buffer=4096) as (stream, theirs):
        stream.transport.set_write_buffer_limits(high=1024)
        writer = BodyWriter(stream, None)
        task = asyncio.get_running_loop().create_task(writer.write(b"x" * 500_000))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not task.done()
        got = 0
        while got < 500_000:
            got += len(await asyncio.get_running_loop().sock_recv(theirs, 2**16))
        await task
        assert writer.buffer_size == 0


async def test_a_writer_that_waits_is_told_that_the_connection_was_lost():
    async with wire(buffer=4096) as (stream, _):
        stream.transport.set_write_buffer_limits(high=1024)
        task = asyncio.get_running_loop().create_task(BodyWriter(stream, None).write(b"x" * 500_000))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not task.done()
        stream.discard()
        with pytest.raises(ConnectionResetError):
            await task


async def test_on_a_lost_connection_nothing_is_written():
    async with wire() as (stream, _):
        stream.discard()
        with pytest.raises(ConnectionResetError, match="lost while sending"):
            await BodyWriter(stream, None).write(b"x")


async def test_each_piece_is_told_before_it_is_coded():
    told = []

    async def on_chunk(piece: bytes) -> None:
        told.append(piece)

    async with wire() as (stream, theirs):
        writer = BodyWriter(stream, None, on_chunk)
        writer.enable_chunking()
        writer.enable_compression("gzip")
        await writer.write(bytearray(b"abc"))
        await writer.write(memoryview(b"def"))
        await writer.write_eof(b"ghi")
        await received(stream, theirs)
    assert told == [b"abc", b"def", b"ghi"]
    assert all(type(piece) is bytes for piece in told)


async def test_a_memoryview_of_wider_items_is_sent_whole():
    async with wire() as (stream, theirs):
        writer = BodyWriter(stream, None)
        await writer.write(memoryview(b"abcdefgh").cast("I"))
        await writer.write_eof()
        assert await received(stream, theirs) == b"abcdefgh"


async def test_the_head_is_sent_already():
    async with wire() as (stream, _):
        with pytest.raises(RuntimeError, match="already"):
            await BodyWriter(stream, None).write_headers("GET / HTTP/1.1", CIMultiDict())
