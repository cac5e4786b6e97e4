from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import random
import socket
import ssl
import threading
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from endwell.connection import sendfile
from endwell.connection.open_file import OpenFile, open_in_thread
from endwell.connection.writer import BodyWriter
from endwell.lifetime import Resource
from endwell.transport.stream import Stream
from endwell.wire.http1 import ChunkedDecoder, Limits

CONTENT = random.Random(7).randbytes(3_000_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "content.bin"
    path.write_bytes(CONTENT)
    return path


@contextlib.contextmanager
def opened(path: Path) -> Any:
    file = OpenFile(os.open(path, os.O_RDONLY), str(path))
    try:
        yield file
    finally:
        file.close()


@contextlib.asynccontextmanager
async def wire(
    family: str = "unix", *, buffer: int | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[Stream, socket.socket]]:
    """Give a connected stream and the socket at its other end."""
    loop = asyncio.get_running_loop()
    if family == "unix":
        ours, theirs = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            theirs = socket.create_connection(listener.getsockname())
            ours = listener.accept()[0]
    theirs.setblocking(False)
    if buffer is not None:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
    _, stream = await loop.create_connection(lambda: Stream(Resource(None), loop), sock=ours)
    try:
        yield stream, theirs
    finally:
        theirs.close()
        stream.discard()
        gone = stream.gone()
        if gone is not None:
            await gone


async def read(theirs: socket.socket, count: int, piece: int = 2**16) -> bytes:
    """Read `count` bytes, or fewer at the end of the connection."""
    loop = asyncio.get_running_loop()
    data = bytearray()
    while len(data) < count:
        got = await loop.sock_recv(theirs, min(piece, count - len(data)))
        if not got:
            break
        data += got
    return bytes(data)


async def rest(theirs: socket.socket) -> bytes:
    return await read(theirs, 2**40)


async def sent(stream: Stream, theirs: socket.socket, sending: Any) -> bytes:
    """Send while the other side reads; close, and give all it got."""

    async def send() -> None:
        await sending
        stream.close()

    async with asyncio.TaskGroup() as group:
        reading = group.create_task(rest(theirs))
        group.create_task(send())
    return reading.result()


async def whole_body(writer: BodyWriter, file: OpenFile, offset: int, count: int, **options: Any) -> None:
    await writer.send_file(file, offset, count, **options)
    await writer.write_eof()


@pytest.fixture
def no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every read of the file that is longer than a nudge an error: the bytes must come from the kernel."""
    pread = os.pread

    def nudges_only(fd: int, count: int, offset: int) -> bytes:
        assert count <= sendfile._NUDGE
        return pread(fd, count, offset)

    monkeypatch.setattr(os, "pread", nudges_only)


@pytest.mark.usefixtures("no_reading")
@pytest.mark.parametrize("family", ["unix", "tcp"])
@pytest.mark.parametrize(
    ("offset", "count"), [(0, 3_000_000), (0, 1), (2_999_999, 1), (1, 2_999_998), (1_048_000, 1_048_576), (5, 0)]
)
async def test_the_kernel_sends(path, family, offset, count):
    async with wire(family) as (stream, theirs):
        writer = BodyWriter(stream, count)
        assert stream.transport is not None
        stream.transport.write(b"head")
        with opened(path) as file:
            data = await sent(stream, theirs, whole_body(writer, file, offset, count))
        assert data == b"head" + CONTENT[offset : offset + count]
        assert (writer.length, writer.body_size, writer.output_size, writer.ended) == (0, count, count, True)


@pytest.mark.usefixtures("no_reading")
@pytest.mark.parametrize("before", [b"x" * 100, b"x" * 1_000_000])
async def test_what_is_buffered_goes_first_and_what_is_written_next_comes_after(path, before):
    async with wire(buffer=2**14) as (stream, theirs):
        writer = BodyWriter(stream, len(before) + 200_000 + 3)

        async def send() -> None:
            assert stream.transport is not None
            stream.transport.write(before)
            writer._went_past(len(before))
            with opened(path) as file:
                await writer.send_file(file, 0, 200_000)
            await writer.write(b"end")
            await writer.write_eof()

        assert await sent(stream, theirs, send()) == before + CONTENT[:200_000] + b"end"


@pytest.mark.usefixtures("no_reading")
async def test_a_reader_of_small_pieces(path):
    async with wire(buffer=2**13) as (stream, theirs):
        writer = BodyWriter(stream, 300_000)
        with opened(path) as file:
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(read(theirs, 300_000, piece=777))
                group.create_task(whole_body(writer, file, 0, 300_000))
        assert reading.result() == CONTENT[:300_000]


async def test_a_slow_reader_costs_little_memory_and_the_limits_are_put_back(path):
    async with wire(buffer=2**13) as (stream, theirs):
        transport = stream.transport
        assert transport is not None
        transport.set_write_buffer_limits(50_000, 40_000)
        writer = BodyWriter(stream, len(CONTENT))
        most = 0
        with opened(path) as file:
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(whole_body(writer, file, 0, len(CONTENT)))
                for _ in range(30):
                    await read(theirs, 100_000)
                    most = max(most, transport.get_write_buffer_size())
        assert sending.done()
        assert 0 < most <= sendfile._NUDGE
        assert transport.get_write_buffer_limits() == (40_000, 50_000)


@pytest.mark.usefixtures("no_reading")
async def test_others_get_their_turn_while_a_fast_reader_is_served(path, monkeypatch):
    monkeypatch.setattr(sendfile, "_AT_ONCE", 1000)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with wire() as (stream, theirs):
        task = asyncio.get_running_loop().create_task(others())
        with opened(path) as file:
            await whole_body(BodyWriter(stream, 100_000), file, 0, 100_000)
        task.cancel()
        assert turns >= 99
        assert await read(theirs, 100_000) == CONTENT[:100_000]


@pytest.mark.parametrize("code", sorted(sendfile._NOT_THIS_FILE))
async def test_what_the_kernel_cannot_send_is_read(path, monkeypatch, code):
    calls = []

    def refused(*args: Any) -> int:
        calls.append(args)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "sendfile", refused)
    async with wire() as (stream, theirs):
        writer = BodyWriter(stream, 1_000_000)
        with opened(path) as file:
            data = await sent(stream, theirs, whole_body(writer, file, 7, 1_000_000, chunk_size=100_001))
    assert data == CONTENT[7:1_000_007]
    assert len(calls) == 1
    assert (writer.length, writer.body_size, writer.output_size) == (0, 1_000_000, 1_000_000)


async def test_a_platform_without_it(path, monkeypatch):
    monkeypatch.delattr(os, "sendfile")
    async with wire() as (stream, theirs):
        with opened(path) as file:
            data = await sent(stream, theirs, whole_body(BodyWriter(stream, 1_000_000), file, 7, 1_000_000))
    assert data == CONTENT[7:1_000_007]


@pytest.mark.parametrize("code", [errno.EPIPE, errno.ECONNRESET, errno.ETIMEDOUT])
async def test_a_connection_that_breaks_under_the_kernel(path, monkeypatch, code):
    def broken(*_args: Any) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "sendfile", broken)
    async with wire() as (stream, _theirs):
        with opened(path) as file, pytest.raises(ConnectionResetError):
            await BodyWriter(stream, 1000).send_file(file, 0, 1000)


async def test_a_file_that_cannot_be_read(path, monkeypatch):
    def broken(*_args: Any) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "sendfile", broken)
    async with wire() as (stream, _theirs):
        with opened(path) as file, pytest.raises(OSError, match="Input/output"):
            await BodyWriter(stream, 1000).send_file(file, 0, 1000)


async def test_coded(path):
    async with wire() as (stream, theirs):
        writer = BodyWriter(stream, None)
        writer.enable_compression("gzip")
        with opened(path) as file:
            data = await sent(stream, theirs, whole_body(writer, file, 10, 1_000_000, chunk_size=333_333))
    assert zlib.decompress(data, 31) == CONTENT[10:1_000_010]
    assert writer.body_size == writer.output_size == len(data)


@pytest.mark.parametrize("coded", [False, True])
async def test_in_chunks(path, coded):
    async with wire() as (stream, theirs):
        writer = BodyWriter(stream, None)
        writer.enable_chunking()
        if coded:
            writer.enable_compression("deflate")
        with opened(path) as file:
            data = await sent(stream, theirs, whole_body(writer, file, 10, 500_000, chunk_size=100_000))
    decoder = ChunkedDecoder(Limits())
    body = b"".join(decoder.feed(data))
    assert decoder.ended
    assert (zlib.decompress(body) if coded else body) == CONTENT[10:500_010]


async def test_over_tls(path):
    loop = asyncio.get_running_loop()
    authority = trustme.CA()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server_side)
    client_side = ssl.create_default_context()
    authority.configure_trust(client_side)
    made: asyncio.Future[Stream] = loop.create_future()

    class Ours(Stream):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            made.set_result(self)

    server = await loop.create_server(lambda: Ours(Resource(None), loop), "127.0.0.1", 0, ssl=server_side)
    async with server:
        reader, theirs = await asyncio.open_connection(
            *server.sockets[0].getsockname(), ssl=client_side, server_hostname="localhost"
        )
        stream = await made
        writer = BodyWriter(stream, 700_000)
        with opened(path) as file:
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(reader.readexactly(700_000))
                group.create_task(whole_body(writer, file, 0, 700_000))
        assert reading.result() == CONTENT[:700_000]
        gone = stream.gone()
        theirs.close()
        await theirs.wait_closed()
        stream.close()
        if gone is not None:
            await gone


@pytest.mark.parametrize("how", ["kernel", "read", "coded"])
async def test_a_file_that_becomes_shorter_ends_the_connection(path, monkeypatch, how):
    async with wire(buffer=2**13) as (stream, theirs):
        writer = BodyWriter(stream, None if how == "coded" else len(CONTENT))
        if how == "coded":
            writer.enable_chunking()
            writer.enable_compression("gzip")
        elif how == "read":
            monkeypatch.delattr(os, "sendfile")

        async def send() -> None:
            with opened(path) as file:
                with pytest.raises(RuntimeError, match=r"content.bin' became shorter .* bytes of it are missing"):
                    await writer.send_file(file, 0, len(CONTENT))
            assert stream.ending()

        async with asyncio.TaskGroup() as group:
            sending = group.create_task(send())
            data = await read(theirs, 10)
            os.truncate(path, 1_000_000)
            data += await rest(theirs)
            await sending
    assert not writer.ended
    if how != "coded":
        assert len(data) < len(CONTENT)
        assert data[:1_000_000] == CONTENT[:1_000_000]
    assert not data.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("how", ["kernel", "read"])
async def test_of_a_file_that_grows_only_what_was_announced_is_sent(path, monkeypatch, how):
    if how == "read":
        monkeypatch.delattr(os, "sendfile")
    async with wire(buffer=2**13) as (stream, theirs):
        with opened(path) as file:
            async with asyncio.TaskGroup() as group:
                group.create_task(whole_body(BodyWriter(stream, len(CONTENT)), file, 0, len(CONTENT)))
                data = await read(theirs, 10)
                with path.open("ab") as more:
                    more.write(b"more")
                data += await read(theirs, len(CONTENT) - 10)
        stream.close()
        assert data + await rest(theirs) == CONTENT


@pytest.mark.parametrize("how", ["kernel", "read"])
async def test_a_client_that_goes(path, monkeypatch, how):
    if how == "read":
        monkeypatch.delattr(os, "sendfile")
    async with wire(buffer=2**13) as (stream, theirs):
        with opened(path) as file:
            sending = asyncio.get_running_loop().create_task(
                BodyWriter(stream, len(CONTENT)).send_file(file, 0, len(CONTENT))
            )
            await read(theirs, 10)
            theirs.close()
            with pytest.raises(ConnectionResetError):
                await sending


@pytest.mark.parametrize("how", ["kernel", "read"])
async def test_cancelled_while_the_client_does_not_read(path, monkeypatch, how):
    if how == "read":
        monkeypatch.delattr(os, "sendfile")
    async with wire(buffer=2**13) as (stream, theirs):
        assert stream.transport is not None
        before = stream.transport.get_write_buffer_limits()
        with opened(path) as file:
            sending = asyncio.get_running_loop().create_task(
                BodyWriter(stream, len(CONTENT)).send_file(file, 0, len(CONTENT))
            )
            await read(theirs, 10)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
        assert stream.transport.get_write_buffer_limits() == before


async def test_a_connection_that_is_gone_already(path):
    async with wire() as (stream, _theirs):
        stream.discard()
        with opened(path) as file, pytest.raises(ConnectionResetError):
            await BodyWriter(stream, 1000).send_file(file, 0, 1000)


async def test_more_than_was_announced_is_refused_before_a_byte_is_sent(path):
    async with wire() as (stream, theirs):
        with opened(path) as file, pytest.raises(ValueError, match="1 bytes longer than the Content-Length"):
            await BodyWriter(stream, 999).send_file(file, 0, 1000)
        stream.close()
        assert await rest(theirs) == b""


async def test_not_after_the_end(path):
    async with wire() as (stream, _theirs):
        writer = BodyWriter(stream, 0)
        await writer.write_eof()
        with opened(path) as file, pytest.raises(RuntimeError, match="the body has ended"):
            await writer.send_file(file, 0, 0)


async def test_tracing_sees_the_pieces_before_they_are_coded(path):
    seen = []

    async def on_chunk(chunk: bytes) -> None:
        seen.append(chunk)

    async with wire() as (stream, theirs):
        writer = BodyWriter(stream, None, on_chunk)
        writer.enable_compression("deflate")
        with opened(path) as file:
            data = await sent(stream, theirs, whole_body(writer, file, 0, 1000, chunk_size=600))
    assert seen == [CONTENT[:600], CONTENT[600:1000]]
    assert zlib.decompress(data) == CONTENT[:1000]


# The open file


def test_a_closed_file_says_so(path):
    with opened(path) as file:
        assert file.read_at(5, 3) == CONTENT[5:8]
        assert file.read_at(len(CONTENT), 3) == b""
        assert "open" in repr(file)
    file.close()
    assert file.closed
    for use in (file.fileno, lambda: file.read_at(0, 1)):
        with pytest.raises(ValueError, match=r"content.bin' is closed"):
            use()


def test_a_file_that_a_thread_reads_is_closed_by_the_thread(path, monkeypatch):
    reading, go_on = threading.Event(), threading.Event()
    pread = os.pread

    def slow(fd: int, count: int, offset: int) -> bytes:
        reading.set()
        assert go_on.wait(10)
        return pread(fd, count, offset)

    monkeypatch.setattr(os, "pread", slow)
    file = OpenFile(os.open(path, os.O_RDONLY), "x")
    number = file.fileno()
    got: list[bytes] = []
    thread = threading.Thread(target=lambda: got.append(file.read_at(0, 4)))
    thread.start()
    assert reading.wait(10)
    file.close()
    assert os.fstat(number).st_size == len(CONTENT)  # still open
    go_on.set()
    thread.join()
    assert got == [CONTENT[:4]]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


class Opened:
    def __init__(self) -> None:
        self.closed = threading.Event()

    def close(self) -> None:
        self.closed.set()


async def test_opening_in_a_thread():
    thing = Opened()
    assert await open_in_thread(lambda: thing) is thing
    assert not thing.closed.is_set()


async def test_what_opening_raises():
    def fail() -> Opened:
        raise FileNotFoundError("no such")

    with pytest.raises(FileNotFoundError, match="no such"):
        await open_in_thread(fail)


async def test_what_is_opened_for_nobody_is_closed():
    loop = asyncio.get_running_loop()
    thing, go_on = Opened(), threading.Event()
    started: asyncio.Future[None] = loop.create_future()

    def slow() -> Opened:
        loop.call_soon_threadsafe(started.set_result, None)
        assert go_on.wait(10)
        return thing

    task = loop.create_task(open_in_thread(slow))
    await started
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not thing.closed.is_set()
    go_on.set()
    assert await loop.run_in_executor(None, thing.closed.wait, 10)


async def test_what_was_opened_in_the_moment_of_the_cancellation_is_closed():
    loop = asyncio.get_running_loop()
    thing = Opened()
    ended = threading.Event()

    def quick() -> Opened:
        ended.set()
        return thing

    task = loop.create_task(open_in_thread(quick))
    await asyncio.sleep(0)
    ended.wait(10)  # the loop stands still: the thread is done, or nearly, and the task does not know
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await loop.run_in_executor(None, thing.closed.wait, 10)
