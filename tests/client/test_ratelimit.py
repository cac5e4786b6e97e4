"""The limit of requests per second: spacing on a clock of the test's own, order, cancellation, and memory."""

import asyncio
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from yarl import URL

from endwell.client.ratelimit import RateLimitMiddleware, _Turns


class Clock:
    """The time and the timers of a loop, moved by hand; the futures are the real loop's."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def create_future(self) -> "asyncio.Future[None]":
        return asyncio.get_running_loop().create_future()

    def call_at(self, when: float, callback: Callable[[], None]) -> Any:
        entry = (when, callback)
        self.timers.append(entry)
        return SimpleNamespace(cancel=lambda: entry in self.timers and self.timers.remove(entry))

    async def move(self, seconds: float) -> None:
        self.now += seconds
        for entry in [timer for timer in self.timers if timer[0] <= self.now]:
            self.timers.remove(entry)
            entry[1]()
        for _ in range(5):
            await asyncio.sleep(0)


class Line:
    """Tasks that wait for turns; ``gone`` lists those that had theirs."""

    def __init__(self, turns: _Turns) -> None:
        self.turns = turns
        self.gone: list[int] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def join(self, count: int) -> None:
        for number in range(len(self.tasks), len(self.tasks) + count):
            self.tasks.append(asyncio.ensure_future(self.go(number)))
        for _ in range(5):
            await asyncio.sleep(0)

    async def go(self, number: int) -> None:
        await self.turns.take()
        self.gone.append(number)

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


def line(clock: Clock, *, interval: float = 1.0, burst: int = 1) -> Line:
    return Line(_Turns(clock, interval, (burst - 1) * interval))  # type: ignore[arg-type] # it has what is used of a loop


async def test_one_turn_each_interval_in_order() -> None:
    clock = Clock()
    waiting = line(clock)
    await waiting.join(4)
    assert waiting.gone == [0]
    await clock.move(0.5)
    assert waiting.gone == [0]
    await clock.move(0.5)
    assert waiting.gone == [0, 1]
    await clock.move(1.0)
    await clock.move(1.0)
    assert waiting.gone == [0, 1, 2, 3]
    assert not clock.timers


async def test_a_late_timer_costs_no_rate_and_a_late_loop_gives_no_burst() -> None:
    clock = Clock()
    waiting = line(clock, interval=0.001)
    await waiting.join(100)
    assert len(waiting.gone) == 1
    await clock.move(0.005)
    assert len(waiting.gone) == 6
    await clock.move(5)
    assert 6 + 10 <= len(waiting.gone) <= 6 + 12
    await waiting.end()


async def test_a_pause_saves_up_no_more_than_the_burst() -> None:
    clock = Clock()
    waiting = line(clock, burst=3)
    await waiting.join(5)
    assert waiting.gone == [0, 1, 2]
    await clock.move(1)
    assert waiting.gone == [0, 1, 2, 3]
    await clock.move(100)
    assert waiting.gone == [0, 1, 2, 3, 4]
    await waiting.join(5)
    assert waiting.gone == [0, 1, 2, 3, 4, 5, 6]
    await waiting.end()
    assert not clock.timers


async def test_who_comes_later_waits_behind() -> None:
    clock = Clock()
    waiting = line(clock)
    await waiting.join(2)
    await clock.move(0.9)
    await waiting.join(1)
    await clock.move(0.2)
    assert waiting.gone == [0, 1]
    await clock.move(1.0)
    assert waiting.gone == [0, 1, 2]


async def test_a_cancelled_waiter_gives_its_place_on() -> None:
    clock = Clock()
    waiting = line(clock)
    await waiting.join(4)
    waiting.tasks[1].cancel()
    waiting.tasks[2].cancel()
    await clock.move(1)
    assert waiting.gone == [0, 3]
    assert waiting.tasks[1].cancelled()


async def test_a_waiter_cancelled_at_its_turn_gives_it_on() -> None:
    """Its turn came and it was cancelled before it could run: the next one goes at once, not an interval later."""
    clock = Clock()
    waiting = line(clock)
    await waiting.join(3)
    clock.now += 1
    clock.timers.pop()[1]()
    waiting.tasks[1].cancel()
    await asyncio.gather(waiting.tasks[1], return_exceptions=True)
    await clock.move(0)
    assert waiting.gone == [0, 2]
    await waiting.join(1)
    await clock.move(0.99)
    assert waiting.gone == [0, 2]
    await clock.move(0.02)
    assert waiting.gone == [0, 2, 3]


async def test_a_waiter_cancelled_in_the_step_of_its_turn() -> None:
    """The other way round: cancelled first, then the turn comes, before its task has run."""
    clock = Clock()
    waiting = line(clock)
    await waiting.join(3)
    waiting.tasks[1].cancel()
    await clock.move(1)
    assert waiting.gone == [0, 2]
    await waiting.join(1)
    assert waiting.gone == [0, 2]
    await clock.move(1)
    assert waiting.gone == [0, 2, 3]


async def test_the_last_to_leave_stops_the_timer() -> None:
    clock = Clock()
    waiting = line(clock)
    await waiting.join(5)
    assert len(clock.timers) == 1
    await waiting.end()
    assert not clock.timers
    assert not waiting.turns.waited_for


async def answer(request: Any) -> Any:
    return request.url


def request(url: str) -> Any:
    return SimpleNamespace(url=URL(url))


async def test_the_middleware_keeps_the_order() -> None:
    limit = RateLimitMiddleware(2000)
    done: list[int] = []

    async def handler(this: Any) -> Any:
        done.append(this.number)
        return this.number

    async def go(number: int) -> None:
        this: Any = SimpleNamespace(url=URL("http://h/"), number=number)
        assert await limit(this, handler) == number

    await asyncio.gather(*(go(number) for number in range(20)))
    assert done == list(range(20))


async def test_hosts_do_not_wait_for_each_other() -> None:
    limit = RateLimitMiddleware(0.001)
    for url in ("http://a/", "http://b/", "http://a:81/", "https://a/"):
        assert await limit(request(url), answer) == URL(url)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await limit(request("http://A/other"), answer)


async def test_all_hosts_together() -> None:
    limit = RateLimitMiddleware(0.001, per_host=False, burst=2)
    await limit(request("http://a/"), answer)
    await limit(request("http://b/"), answer)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await limit(request("http://c/"), answer)


async def test_hosts_are_forgotten_but_not_those_that_are_waited_for() -> None:
    limit = RateLimitMiddleware(0.001, max_hosts=10)
    await limit(request("http://busy/"), answer)
    waiting = asyncio.ensure_future(limit(request("http://busy/"), answer))
    await asyncio.sleep(0)
    for number in range(1000):
        await limit(request(f"http://h{number}/"), answer)
    assert len(limit._hosts) == 10
    assert ("busy", 80) in limit._hosts
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


def test_another_loop_starts_afresh() -> None:
    limit = RateLimitMiddleware(0.001)
    for _ in range(2):
        assert asyncio.run(limit(request("http://a/"), answer)) == URL("http://a/")


@pytest.mark.parametrize(
    ("rate", "options"),
    [(0, {}), (-1, {}), (math.nan, {}), (math.inf, {}), (1, {"burst": 0}), (1, {"max_hosts": 0})],
)
def test_bad_limits(rate: float, options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(options), "rate")):
        RateLimitMiddleware(rate, **options)
