from __future__ import annotations

import asyncio
import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endwell.connection.body import BodyStream
from endwell.http.codings import CodingError, make_decoder


class Tap:
    """A source that notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.awaited = 0

    def pause_reading(self) -> None:
        self.asked.append("pause")

    def resume_reading(self) -> None:
        self.asked.append("resume")

    def reader_waits(self) -> None:
        self.awaited += 1

    @property
    def paused(self) -> bool:
        return self.asked[-1:] == ["pause"]


def stream(limit: int = 10, coding: str | None = None) -> tuple[BodyStream, Tap]:
    tap = Tap()
    decoder = make_decoder(coding) if coding else None
    return BodyStream(asyncio.get_running_loop(), tap, limit, decoder), tap


def waiting(coroutine) -> asyncio.Task:
    return asyncio.get_running_loop().create_task(coroutine)


async def turns(number: int = 3) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


# Flow control


async def test_the_peer_is_made_to_wait_above_the_high_mark_only():
    body, tap = stream(limit=10)
    assert body.limits == (10, 20)
    body.feed([b"x" * 20])
    assert tap.asked == []
    body.feed([b"y"])
    assert tap.asked == ["pause"]
    body.feed([b"z" * 100])
    assert tap.asked == ["pause"]


async def test_the_peer_goes_on_at_the_low_mark():
    body, tap = stream(limit=10)
    body.feed([b"x" * 11, b"y" * 10])
    assert tap.paused
    assert body.take(10) == b"x" * 10
    assert tap.paused
    assert body.take(1) == b"x"
    assert tap.asked == ["pause", "resume"]
    assert body.size == 10


async def test_who_waits_for_more_lets_the_peer_go_on():
    body, tap = stream(limit=10)
    body.feed([b"x" * 30])
    task = waiting(body.wait())
    await turns()
    assert tap.asked == ["pause", "resume"]
    body.feed([b"y"])
    await task


async def test_a_pause_is_undone_at_the_end():
    body, tap = stream(limit=1)
    body.feed([b"xxxxx"])
    body.end()
    assert tap.asked == ["pause", "resume"]
    assert body.take() == b"xxxxx"
    assert tap.asked == ["pause", "resume"], "the connection belongs to somebody else by now"


async def test_a_pause_is_undone_by_a_failure():
    body, tap = stream(limit=1)
    body.feed([b"xxxxx"])
    body.fail(ValueError("why"))
    assert tap.asked == ["pause", "resume"]
    assert body.size == 0


async def test_marks_of_chunks_take_no_room():
    body, tap = stream(limit=1)
    body.feed([b""] * 100)
    assert (body.size, body.received, tap.asked) == (0, 0, [])


async def test_a_coded_body_is_counted_as_it_came():
    plain = b"x" * 1_000_000
    coded = gzip.compress(plain)
    body, tap = stream(limit=10, coding="gzip")
    body.feed([coded])
    assert (body.size, body.received, body.delivered) == (len(coded), len(coded), 0)
    assert tap.paused
    piece = body.take()
    assert piece
    assert len(piece) < len(plain), "it is decoded a piece at a time"
    body.end()
    assert piece + await body.read_all() == plain
    assert (body.delivered, body.size) == (len(plain), 0)
    assert not tap.paused


async def test_nothing_is_decoded_that_nobody_reads():
    body, _ = stream(coding="gzip")
    body.feed([b"this is not gzip"])
    body.end()
    assert body.error is None
    with pytest.raises(CodingError):
        await body.next()


async def test_a_coding_error_ends_the_exchange_by_what_refuse_returns():
    body, _ = stream(coding="gzip")
    low: list[CodingError] = []

    def refuse(error: CodingError) -> Exception:
        low.append(error)
        return LookupError("public")

    body.refuse = refuse
    body.feed([b"this is not gzip"])
    with pytest.raises(LookupError, match="public") as caught:
        await body.next()
    assert caught.value.__cause__ is low[0]
    with pytest.raises(LookupError, match="public"):
        await body.next()
    assert len(low) == 1


async def test_half_a_coding_is_an_error_after_what_it_gave():
    coded = gzip.compress(b"a" * 1000)
    body, _ = stream(coding="gzip")
    body.feed([coded[:-4]])
    body.end()
    with pytest.raises(CodingError):
        await body.read_all()


# Taking and putting back


async def test_take_gives_pieces_as_they_came_and_uncopied():
    body, _ = stream()
    first = b"abc" * 10
    body.feed([first, b"def"])
    assert body.take() is first
    assert body.take(2) == b"de"
    assert body.take(0) == b""
    assert body.take(100) == b"f"
    assert body.take() == b""


async def test_find_looks_at_the_first_piece_from_where_it_was_read():
    body, _ = stream()
    body.feed([b"a\nbc\nd", b"\n"])
    assert body.find(b"\n") == 2
    assert body.take(2) == b"a\n"
    assert body.find(b"\n") == 3
    body.take(3)
    assert body.find(b"\n") == -1
    body.take()
    assert body.find(b"\n") == 1


async def test_put_back_undoes_a_take():
    body, _ = stream(limit=100)
    body.feed([b"abcdef", b"ghi"])
    taken = body.take(4)
    before = body.size, body.delivered
    body.put_back(taken[2:])
    assert (body.size, body.delivered) == (before[0] + 2, before[1] - 2)
    body.put_back(b"")
    body.end()
    assert await body.read_all() == b"cdefghi"
    assert body.drained


async def test_put_back_at_the_end_is_read_once_more():
    body, _ = stream()
    body.feed([b"abc"])
    body.end()
    assert body.take() == b"abc"
    assert body.drained
    body.put_back(b"bc")
    assert not body.drained
    assert await body.next() == b"bc"


# Marks


async def test_the_end_of_a_chunk_is_told_with_the_piece_it_ends():
    body, _ = stream()
    body.feed([b"ab", b"", b"cd", b"ef", b""])
    told = []
    while piece := body.take():
        told.append((piece, body.at_mark()))
    assert told == [(b"ab", True), (b"cd", False), (b"ef", True)]


async def test_a_mark_is_told_once():
    body, _ = stream()
    body.feed([b"ab", b"", b"cd"])
    body.take()
    assert body.at_mark()
    assert not body.at_mark()
    body.take()
    assert not body.at_mark()


async def test_inside_a_piece_there_is_no_mark():
    body, _ = stream()
    body.feed([b"abcd", b""])
    assert body.take(2) == b"ab"
    assert not body.at_mark()
    assert body.take(2) == b"cd"
    assert body.at_mark()


async def test_a_mark_at_the_very_end_does_not_hide_that_all_was_read():
    body, _ = stream()
    body.feed([b"ab", b""])
    body.end()
    assert body.take() == b"ab"
    assert body.drained


# Waiting


async def test_wait_ends_by_bytes_by_the_end_and_by_a_failure():
    for change in (lambda b: b.feed([b"x"]), lambda b: b.end(), lambda b: b.fail(ValueError())):
        body, _ = stream()
        task = waiting(body.wait())
        await turns()
        assert not task.done()
        change(body)
        await task


async def test_only_one_can_wait():
    body, _ = stream()
    task = waiting(body.wait())
    await turns()
    with pytest.raises(RuntimeError, match="another task"):
        await body.wait()
    body.end()
    await task


async def test_a_cancelled_wait_leaves_room_for_another():
    body, _ = stream()
    task = waiting(body.next())
    await turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    body.feed([b"x"])
    assert await body.next() == b"x"


async def test_wait_end_takes_all_without_waking_for_each_piece():
    body, tap = stream(limit=1)
    task = waiting(body.wait_end())
    await turns()
    for _ in range(50):
        body.feed([b"x" * 100])
        await turns(1)
    assert tap.asked == []
    assert body.size == 5000
    body.end()
    await task
    assert body.limits == (1, 2)


async def test_wait_end_starts_a_peer_that_was_made_to_wait():
    body, tap = stream(limit=1)
    body.feed([b"xxxxx"])
    assert tap.paused
    task = waiting(body.wait_end())
    await turns()
    assert not tap.paused
    body.end()
    await task


async def test_flow_control_is_back_after_a_cancelled_wait_end():
    body, tap = stream(limit=1)
    task = waiting(body.wait_end())
    await turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    body.feed([b"xxxxx"])
    assert tap.paused
    body.end()


async def test_wait_end_returns_on_a_failure():
    body, _ = stream()
    task = waiting(body.wait_end())
    await turns()
    body.fail(ValueError("why"))
    await task
    assert isinstance(body.error, ValueError)


# Failing


async def test_a_failure_is_raised_now_and_later_and_the_first_one_counts():
    body, _ = stream()
    body.feed([b"abc"])
    body.fail(ValueError("first"))
    body.fail(ValueError("second"))
    body.feed([b"late"])
    for _ in range(2):
        with pytest.raises(ValueError, match="first"):
            await body.next()
        with pytest.raises(ValueError, match="first"):
            await body.read_all()


async def test_a_failure_after_the_end_changes_nothing():
    body, _ = stream()
    body.feed([b"abc"])
    body.end()
    body.fail(ValueError("late"))
    assert await body.read_all() == b"abc"
    assert body.error is None


async def test_read_all_of_one_piece_does_not_copy_it():
    body, _ = stream(limit=1000)
    piece = b"x" * 500
    body.feed([piece])
    body.end()
    assert await body.read_all() is piece
    assert await body.read_all() == b""


steps = st.lists(
    st.one_of(
        st.tuples(st.just("feed"), st.lists(st.binary(max_size=12), max_size=3)),
        st.tuples(st.just("take"), st.integers(-1, 15)),
        st.tuples(st.just("back"), st.integers(0, 5)),
    ),
    max_size=30,
)


@given(steps)
async def test_flow_control_and_counts_hold_whatever_is_done(todo):
    body, tap = stream(limit=8)
    held = b""
    received = 0
    last = b""
    for what, value in todo:
        if what == "feed":
            body.feed(value)
            held += b"".join(value)
            received += sum(map(len, value))
            assert tap.paused or len(held) <= 16
        elif what == "take":
            last = body.take(value)
            assert held.startswith(last)
            assert bool(last) is (bool(held) and value != 0)
            held = held[len(last) :]
            assert not tap.paused or len(held) > 8
        else:
            back = last[len(last) - value :] if 0 < value <= len(last) else b""
            last = b""
            body.put_back(back)
            held = back + held
        assert body.size == len(held)
        assert body.received == received
        assert body.delivered == received - len(held)
    body.end()
    assert not tap.paused
    assert await body.read_all() == held
    assert body.drained
