from __future__ import annotations

import asyncio
import gzip

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from endwell.connection.body import BodyStream
from endwell.connection.reader import EMPTY_PAYLOAD, StreamReader
from endwell.http.codings import make_decoder


def reading(pieces: list[bytes], *, limit: int = 2**16, end: bool = True, coding: str | None = None) -> StreamReader:
    loop = asyncio.get_running_loop()
    body = BodyStream(loop, None, limit, make_decoder(coding) if coding else None)
    body.feed(pieces)
    if end:
        body.end()
    return StreamReader(body, None, loop)


def waiting(coroutine) -> asyncio.Task:
    return asyncio.get_running_loop().create_task(coroutine)


async def turns() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


# Each method


async def test_read():
    reader = reading([b"abc", b"def", b"", b"ghi"])
    assert await reader.read(0) == b""
    assert await reader.read(2) == b"ab"
    assert await reader.read(3) == b"cde", "as much as is there, across pieces"
    assert await reader.read(100) == b"fghi"
    assert await reader.read(1) == b""
    assert await reader.read() == b""
    assert await reading([b"abc", b"def"]).read() == b"abcdef"
    assert await reading([b"abc", b"def"]).read(-1) == b"abcdef"


async def test_read_returns_what_there_is_and_waits_only_for_the_first():
    reader = reading([], end=False)
    task = waiting(reader.read(10))
    await turns()
    assert not task.done()
    reader.feed_data(b"abc")
    assert await task == b"abc"
    task = waiting(reader.read())
    reader.feed_data(b"def")
    await turns()
    assert not task.done()
    reader.feed_eof()
    assert await task == b"def"


async def test_readany():
    reader = reading([b"abc", b"def"])
    assert await reader.readany() + await reader.readany() + await reader.readany() == b"abcdef"
    assert await reader.readany() == b""


async def test_readexactly():
    reader = reading([b"abc", b"def"])
    assert await reader.readexactly(0) == b""
    assert await reader.readexactly(4) == b"abcd"
    with pytest.raises(asyncio.IncompleteReadError) as caught:
        await reader.readexactly(3)
    assert (caught.value.partial, caught.value.expected) == (b"ef", 3)


async def test_readline():
    reader = reading([b"one\ntw", b"o\n", b"\n", b"three"])
    assert [await reader.readline() for _ in range(5)] == [b"one\n", b"two\n", b"\n", b"three", b""]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
async def test_readuntil(size):
    data = b"one--two-three---four-"
    reader = reading([data[at : at + size] for at in range(0, len(data), size)])
    assert [await reader.readuntil(b"--") for _ in range(4)] == [b"one--", b"two-three--", b"-four-", b""]


async def test_readuntil_wants_a_separator():
    with pytest.raises(ValueError, match="at least one-byte"):
        await reading([b"a"]).readuntil(b"")


@pytest.mark.parametrize("size", [1, 3, 100])
async def test_a_line_is_bounded_in_any_split(size):
    data = b"x" * 11 + b"\ny\n"
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    for read in (
        reading(pieces, limit=5).readline(),
        reading(pieces).readline(max_line_length=11),
        reading(pieces).readuntil(b"\n", max_size=11),
    ):
        with pytest.raises(ValueError, match="too big"):
            await read
    assert await reading(pieces, limit=6).readline() == b"x" * 11 + b"\n"
    assert await reading(pieces, limit=1).readline(max_line_length=12) == b"x" * 11 + b"\n"


async def test_a_line_without_end_is_not_kept_for_ever():
    reader = reading([], limit=10, end=False)
    task = waiting(reader.readline())
    for _ in range(10):
        reader.feed_data(b"xxxx")
        await turns()
        if task.done():
            break
    with pytest.raises(ValueError, match="too big"):
        await task


async def test_readchunk_and_iter_chunks():
    pieces = [b"ab", b"", b"cd", b"ef", b"", b"gh"]
    reader = reading(pieces)
    assert [await reader.readchunk() for _ in range(5)] == [
        (b"ab", True),
        (b"cd", False),
        (b"ef", True),
        (b"gh", False),
        (b"", False),
    ]
    assert [chunk async for chunk in reading(pieces).iter_chunks()] == [
        (b"ab", True),
        (b"cd", False),
        (b"ef", True),
        (b"gh", False),
    ]


def put_together(told: list[tuple[bytes, bool]]) -> list[bytes]:
    """Put the chunks together again, as a user does who needs them whole."""
    chunks = [b""]
    for data, end in told:
        chunks[-1] += data
        if end:
            chunks.append(b"")
    return chunks


async def test_a_chunk_whose_end_comes_later_is_not_taken_for_part_of_the_next():
    reader = reading([b"ab"], end=False)
    told = [await reader.readchunk()]
    reader._body.feed([b"", b"cd", b""])
    reader.feed_eof()
    told += [chunk async for chunk in reader.iter_chunks()]
    assert put_together(told) == [b"ab", b"cd", b""]


async def test_read_nowait():
    reader = reading([b"abc", b"def"], end=False)
    assert reader.read_nowait(4) == b"abcd"
    assert reader.read_nowait() == b"ef"
    assert reader.read_nowait() == b""
    reader.feed_data(b"x")
    assert reader.read_nowait(0) == b""
    assert reader.read_nowait(-1) == b"x"
    reader.set_exception(LookupError("why"))
    with pytest.raises(LookupError, match="why"):
        reader.read_nowait()


async def test_read_nowait_beside_a_task_that_waits_is_refused():
    reader = reading([], end=False)
    task = waiting(reader.readany())
    await turns()
    with pytest.raises(RuntimeError):
        reader.read_nowait()
    reader.feed_eof()
    assert await task == b""


async def test_iterations():
    data = [b"ab\nc", b"d\nef"]
    assert [line async for line in reading(data)] == [b"ab\n", b"cd\n", b"ef"]
    assert b"".join([piece async for piece in reading(data).iter_any()]) == b"".join(data)
    pieces = [piece async for piece in reading(data).iter_chunked(3)]
    assert b"".join(pieces) == b"".join(data)
    assert max(map(len, pieces)) <= 3
    assert [piece async for piece in reading([]).iter_any()] == []


async def test_unread_data():
    reader = reading([b"abcdef"])
    await reader.readexactly(4)
    reader.unread_data(b"cd")
    assert await reader.read() == b"cdef"


# State


async def test_eof_arrived_and_eof_read_are_two_things():
    reader = reading([b"ab"], end=False)
    assert (reader.is_eof(), reader.at_eof()) == (False, False)
    reader.feed_eof()
    assert (reader.is_eof(), reader.at_eof()) == (True, False)
    await reader.read(1)
    assert not reader.at_eof()
    await reader.read(1)
    assert reader.at_eof()
    assert reading([]).at_eof()
    assert "eof" in repr(reader)


@pytest.mark.parametrize("way", ["readany", "readexactly", "read_nowait", "readchunk", "readuntil"])
async def test_after_the_last_byte_of_a_chunked_body_it_is_at_eof(way):
    reader = reading([b"ab", b""])
    if way == "readexactly":
        await reader.readexactly(2)
    elif way == "read_nowait":
        reader.read_nowait(2)
    else:
        await getattr(reader, way)()
    assert reader.at_eof()


async def test_after_the_last_byte_of_a_coded_body_it_is_at_eof():
    reader = reading([gzip.compress(b"abc")], coding="gzip")
    assert await reader.readexactly(3) == b"abc"
    assert reader.at_eof()


async def test_wait_eof():
    reader = reading([b"ab"], end=False)
    task = waiting(reader.wait_eof())
    await turns()
    assert not task.done()
    reader.feed_eof()
    await task
    assert await reader.read() == b"ab"
    reader = reading([], end=False)
    reader.set_exception(LookupError("why"))
    with pytest.raises(LookupError, match="why"):
        await reader.wait_eof()


async def test_an_error_meets_every_way_of_reading():
    reader = reading([b"abc\n"], end=False)
    assert reader.exception() is None
    error = LookupError("why")
    reader.set_exception(error)
    assert reader.exception() is error
    for read in (
        reader.read(),
        reader.read(1),
        reader.readany(),
        reader.readexactly(1),
        reader.readline(),
        reader.readuntil(b"x"),
        reader.readchunk(),
        anext(reader.iter_any()),
        anext(reader.iter_chunked(2)),
        anext(reader.iter_chunks()),
        anext(aiter(reader)),
    ):
        with pytest.raises(LookupError, match="why"):
            await read


async def test_counts_and_limits():
    coded = gzip.compress(b"x" * 1000)
    reader = reading([coded], coding="gzip", limit=100)
    assert await reader.read() == b"x" * 1000
    assert reader.total_raw_bytes == reader.total_compressed_bytes == len(coded)
    assert reader.get_read_buffer_limits() == (100, 200)


async def test_the_empty_body():
    assert EMPTY_PAYLOAD.at_eof()
    assert EMPTY_PAYLOAD.is_eof()
    assert await EMPTY_PAYLOAD.read() == b""
    assert await EMPTY_PAYLOAD.readline() == b""
    assert await EMPTY_PAYLOAD.readchunk() == (b"", False)
    assert EMPTY_PAYLOAD.read_nowait() == b""
    assert [line async for line in EMPTY_PAYLOAD] == []


async def test_a_cancelled_reader_loses_nothing():
    reader = reading([], end=False)
    for read in (reader.read(5), reader.readany(), reader.readchunk()):
        task = waiting(read)
        await turns()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    reader.feed_data(b"abc")
    reader.feed_eof()
    assert await reader.read() == b"abc"


# Against plain bytes

operations = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(1, 12)),
        st.tuples(st.just("readexactly"), st.integers(0, 12)),
        st.tuples(st.just("readany"), st.none()),
        st.tuples(st.just("readline"), st.none()),
        st.tuples(st.just("readuntil"), st.sampled_from([b"a", b"\n\n", b"aba", b"ab\na"])),
        st.tuples(st.just("readchunk"), st.none()),
        st.tuples(st.just("read_nowait"), st.integers(-1, 12)),
        st.tuples(st.just("unread"), st.integers(0, 4)),
    ),
    max_size=25,
)
bodies = st.lists(st.text("ab\n", max_size=8).map(str.encode), max_size=10)


@given(bodies, operations, st.integers(0, 4), st.booleans())
@example([b"ab\n", b"", b"a"], [("readuntil", b"ab\na"), ("readany", None)], 0, False)
async def test_any_operations_in_any_split_agree_with_plain_bytes(pieces, todo, size, coded):
    left = b"".join(pieces)
    if coded:
        data = gzip.compress(left)
        pieces = [data[at : at + size + 1] for at in range(0, len(data), size + 1)]
    reader = reading(pieces, coding="gzip" if coded else None)
    last = b""
    for name, value in todo:
        if name == "unread":
            back = last[max(0, len(last) - value) :] if value else b""
            reader.unread_data(back)
            left, last = back + left, b""
            continue
        if name == "readexactly" and value > len(left):
            with pytest.raises(asyncio.IncompleteReadError) as caught:
                await reader.readexactly(value)
            assert caught.value.partial == left
            got = left
        elif name in ("readexactly", "read"):
            got = await getattr(reader, name)(value)
            assert len(got) == value if name == "readexactly" else 0 < len(got) <= value or not left
        elif name in ("readline", "readuntil"):
            separator = value or b"\n"
            got = await (reader.readline() if name == "readline" else reader.readuntil(separator))
            found = left.find(separator)
            assert got == (left if found < 0 else left[: found + len(separator)])
        elif name == "read_nowait":
            got = reader.read_nowait(value)
            assert value < 0 or len(got) <= value
        else:
            got = await getattr(reader, name)()
            ended = False
            if name == "readchunk":
                got, ended = got  # an end alone is told by (b"", True)
            assert got or ended or not left
        assert left.startswith(got)
        left, last = left[len(got) :], got
        assert left or coded or reader.is_eof()
    assert await reader.read() == left
    assert reader.at_eof()


@given(bodies, st.lists(st.integers(0, 5), max_size=10))
async def test_lines_that_arrive_while_they_are_read(pieces, pauses):
    reader = reading([], end=False, limit=4)

    async def arrive() -> None:
        for number, piece in enumerate(pieces):
            for _ in range(pauses[number % len(pauses)] if pauses else 0):
                await asyncio.sleep(0)
            reader.feed_data(piece)
        reader.feed_eof()

    task = waiting(arrive())
    try:
        lines = []
        while line := await reader.readline(max_line_length=1000):
            lines.append(line)
    finally:
        await task
    assert lines == b"".join(pieces).splitlines(keepends=True)


# Work, counted


class Counted(bytes):
    """Bytes that count how many of them are looked at or copied."""

    work = 0

    def find(self, sub, start=0, end=None):
        found = bytes.find(self, sub, start) if end is None else bytes.find(self, sub, start, end)
        Counted.work += (found if found >= 0 else len(self)) - start
        return found

    def __getitem__(self, key):
        piece = bytes.__getitem__(self, key)
        if isinstance(key, slice):
            Counted.work += len(piece)
        return Counted(piece) if isinstance(key, slice) else piece

    def __add__(self, other):
        Counted.work += len(self) + len(other)
        return Counted(bytes.__add__(self, other))


async def counting(reader: StreamReader, read) -> int:
    Counted.work = 0
    while await read():
        pass
    assert reader.at_eof()
    return Counted.work


async def test_many_small_lines_in_one_piece_are_read_in_linear_time():
    data = Counted(b"ab\n" * 20_000)
    reader = reading([data])
    assert await counting(reader, reader.readline) <= 4 * len(data)


async def test_many_small_reads_of_one_piece_are_linear():
    data = Counted(b"x" * 20_000)
    reader = reading([data])
    assert await counting(reader, lambda: reader.read(1)) <= 4 * len(data)
    reader = reading([data])
    assert await counting(reader, lambda: reader.readuntil(b"xx")) <= 4 * len(data)


async def test_many_small_pieces_are_put_together_in_linear_time():
    pieces = [Counted(b"x") for _ in range(20_000)]
    reader = reading(pieces)
    assert await counting(reader, lambda: reader.read(2**16)) <= 10 * len(pieces)
