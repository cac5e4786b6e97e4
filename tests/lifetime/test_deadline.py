"""The coarse timer: never early, armed anew, brought forward, stopped. On a clock of the test's."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endwell.lifetime import NEVER, Deadlines
from endwell.lifetime.deadline import GRANULARITY


class Handle:
    """What `call_at` of the clock gives."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class Clock:
    """The methods of a loop that a timer needs; time passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0
        self.armed = 0
        self.told: list[dict[str, Any]] = []
        self._timers: list[tuple[float, int, Handle]] = []
        self._count = itertools.count()

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Handle:
        self.armed += 1
        handle = Handle(callback)
        heapq.heappush(self._timers, (when, next(self._count), handle))
        return handle

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.told.append(context)

    def go_to(self, when: float) -> None:
        while self._timers and self._timers[0][0] <= when:
            self.now, _, handle = heapq.heappop(self._timers)
            if handle.callback is not None:
                handle.callback()
        self.now = when

    @property
    def pending(self) -> int:
        return sum(handle.callback is not None for _, _, handle in self._timers)


class Entry:
    def __init__(self, due: float, deadlines: Deadlines[Any], later: float | None = None) -> None:
        self.due = due
        self.deadlines = deadlines
        self.later = later
        self.expired: list[float] = []

    def expire(self, now: float) -> None:
        self.expired.append(now)
        if self.later is not None:
            self.due, self.later = self.later, None
        else:
            self.deadlines.pop(self)


def watch(entry: Entry) -> None:
    """Put an entry under watch, as an exchange does."""
    deadlines = entry.deadlines
    deadlines[entry] = None
    if entry.due < deadlines.wake:
        deadlines.sooner(entry.due)


def made() -> tuple[Clock, Deadlines[Any]]:
    clock: Any = Clock()
    return clock, Deadlines(clock)


@given(st.lists(st.floats(0, 50), max_size=30))
def test_never_early_and_never_much_later(waits: list[float]) -> None:
    clock, deadlines = made()
    entries = [Entry(100 + wait, deadlines) for wait in waits]
    for entry in entries:
        watch(entry)
    clock.go_to(200)
    for entry in entries:
        (at,) = entry.expired
        assert entry.due <= at <= entry.due + 2 * GRANULARITY + 0.002
    assert not deadlines
    assert not clock.pending


def test_one_timer_for_many() -> None:
    clock, deadlines = made()
    for number in range(1000):
        watch(Entry(110 + number / 1000, deadlines))
    assert clock.armed == 1
    assert clock.pending == 1
    clock.go_to(120)
    assert clock.armed <= 1 + 1 / GRANULARITY


def test_an_entry_that_has_more_time() -> None:
    clock, deadlines = made()
    entry = Entry(101, deadlines, later=103)
    watch(entry)
    clock.go_to(102)
    assert len(entry.expired) == 1
    assert entry in deadlines
    clock.go_to(104)
    assert len(entry.expired) == 2
    assert entry.expired[1] >= 103


def test_brought_forward() -> None:
    clock, deadlines = made()
    entry = Entry(150, deadlines)
    watch(entry)
    entry.due = 101
    deadlines.sooner(101)
    deadlines.sooner(120)  # later than what it waits for: nothing changes
    assert clock.pending == 1
    clock.go_to(102)
    assert entry.expired


def test_put_off_without_telling_the_timer() -> None:
    clock, deadlines = made()
    entry = Entry(101, deadlines)
    watch(entry)
    entry.due = 105
    clock.go_to(104)
    assert entry.expired == []
    clock.go_to(106)
    assert entry.expired


def test_stopped() -> None:
    clock, deadlines = made()
    entry = Entry(101, deadlines)
    watch(entry)
    deadlines.stop()
    deadlines.stop()
    clock.go_to(110)
    assert entry.expired == []
    assert entry in deadlines
    assert not clock.pending


def test_without_a_deadline_there_is_no_timer() -> None:
    clock, deadlines = made()
    watch(Entry(NEVER, deadlines))
    assert clock.armed == 0


def test_an_entry_that_ends_another() -> None:
    clock, deadlines = made()
    second = Entry(101, deadlines)

    class First(Entry):
        def expire(self, now: float) -> None:
            super().expire(now)
            self.deadlines.pop(second, None)

    watch(First(101, deadlines))
    watch(second)
    clock.go_to(102)
    assert second.expired == []


@pytest.mark.parametrize("error", [LookupError, KeyboardInterrupt])
def test_an_entry_that_fails(error: type[BaseException]) -> None:
    clock, deadlines = made()

    class Failing(Entry):
        def expire(self, now: float) -> None:
            self.expired.append(now)
            raise error

    first, failing = Entry(101, deadlines), Failing(101, deadlines)
    second, later = Entry(101, deadlines), Entry(103, deadlines)
    for entry in (first, failing, second, later):
        watch(entry)
    if error is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            clock.go_to(102)
        deadlines.pop(failing)
    clock.go_to(104)
    assert [len(entry.expired) for entry in (first, failing, second, later)] == [1, 1, 1, 1]
    assert not clock.pending
    assert [type(each["exception"]) for each in clock.told] == ([LookupError] if error is LookupError else [])


async def test_on_a_loop() -> None:
    loop = asyncio.get_running_loop()
    deadlines: Deadlines[Any] = Deadlines(loop)
    over = loop.create_future()

    class Last(Entry):
        def expire(self, now: float) -> None:
            super().expire(now)
            over.set_result(now)

    entry = Last(loop.time() + 0.02, deadlines)
    watch(entry)
    assert await over >= entry.due
    deadlines.stop()
