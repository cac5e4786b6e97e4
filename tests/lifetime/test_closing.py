"""The walk and the drain, on resources made for the purpose."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from endwell.lifetime import NEVER, Owner, Resource, State, caller, close, drop, spawn
from endwell.lifetime import closing as walk
from tests.support.closing import passes


class Handle(Resource):
    """Writes down what is asked of it."""

    kind = "handle"

    def __init__(self, owner: Resource, log: list[str], name: str) -> None:
        super().__init__(owner)
        self.log = log
        self.name = name
        self.goodbye: Any = None
        self.open = True

    def _stop(self) -> None:
        if f"stop {self.name}" not in self.log:  # a walk may ask more than once
            self.log.append(f"stop {self.name}")

    async def _finish(self) -> None:
        self.log.append(f"finish {self.name}")
        if self.goodbye is not None:
            await self.goodbye()
        self.ended()
        self.open = False

    def _abort(self, reason: str) -> None:
        if self.open:
            self.log.append(f"abort {self.name}")
            self.open = False
            self.ended()


class Job:
    """A piece of work."""

    due = NEVER
    origin = None

    def __init__(self, owner: Owner, asker: asyncio.Task[Any] | None = None) -> None:
        self.owner = owner
        self.asker = asker
        self.reason: str | None = None
        owner.work[self] = None

    def describe(self) -> str:
        return "job"

    def expire(self, now: float) -> None:
        """It has no deadline."""

    def end(self) -> None:
        self.owner.work_ended(self)

    def _abort(self, reason: str) -> None:
        self.reason = reason
        self.end()


def owner() -> Owner:
    return Owner(asyncio.get_running_loop(), close_timeout=0, advice="close it")


async def test_stop_owners_first_then_finish_children_first() -> None:
    mine, log = owner(), []
    outer = Handle(mine, log, "outer")
    Handle(outer, log, "inner")
    report = await close(mine, timeout=None, at=caller())
    assert log == ["stop outer", "stop inner", "finish inner", "finish outer"]
    assert report.closed == 2
    assert report.clean
    assert mine.state is State.CLOSED


async def test_without_time_nobody_says_goodbye() -> None:
    mine, log = owner(), []
    Handle(mine, log, "one")
    await close(mine, timeout=0, at=caller())
    assert log == ["stop one", "abort one"]


async def test_a_goodbye_that_fails_is_reported_and_the_others_go_on() -> None:
    mine, log = owner(), []

    async def fail() -> None:
        raise OSError("no goodbye")

    Handle(mine, log, "bad").goodbye = fail
    Handle(mine, log, "good")
    report = await close(mine, timeout=None, at=caller())
    assert [str(each) for each in report.errors] == ["no goodbye"]
    assert "abort bad" in log
    assert "abort good" not in log


async def test_a_goodbye_that_takes_too_long_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "GOODBYE", 0.02)
    mine, log = owner(), []
    Handle(mine, log, "slow").goodbye = asyncio.Event().wait
    report = await close(mine, timeout=None, at=caller())
    assert log[-1] == "abort slow"
    (error,) = report.errors
    assert "handle took over 0.02 s to say goodbye" in str(error)


async def test_what_ends_while_others_say_goodbye_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "_LAST_WAIT", 60)
    mine, log = owner(), []

    class Early(Resource):
        def gone(self) -> asyncio.Future[None]:
            return mine.loop.create_future()  # of one that asks too late

    early = Early(mine)

    async def goodbye() -> None:
        early.ended()

    Handle(mine, log, "other").goodbye = goodbye
    report = await close(mine, timeout=None, at=caller())
    assert report.clean


async def test_the_last_work_to_end_wakes_the_closing() -> None:
    mine = owner()
    stranger = asyncio.create_task(asyncio.Event().wait())
    first, second = Job(mine, stranger), Job(mine, stranger)
    closing = asyncio.create_task(close(mine, timeout=None, at=caller()))
    await passes()
    first.end()
    await passes(10)
    assert not closing.done()
    second.end()
    report = await closing
    assert report.finished == 2
    assert report.clean
    stranger.cancel()
    await passes()


async def test_work_that_takes_too_long_is_aborted_with_the_reason() -> None:
    mine = owner()
    stranger = asyncio.create_task(asyncio.Event().wait())
    job = Job(mine, stranger)
    report = await close(mine, timeout=0.01, at=caller())
    assert report.finished == 0
    assert [each.what for each in report.aborted] == ["job"]
    assert job.reason is not None
    assert "close_timeout=0.01 s" in job.reason
    assert __file__ in job.reason
    stranger.cancel()
    await passes()


async def test_work_of_the_closing_task_and_of_finished_ones_is_not_waited_for() -> None:
    mine = owner()
    done = asyncio.create_task(passes(0))
    await done
    jobs = [Job(mine, asyncio.current_task()), Job(mine, done), Job(mine, None)]
    report = await close(mine, timeout=None, at=caller())
    assert len(report.aborted) == 3
    assert all(job.reason is not None for job in jobs)


async def test_a_task_may_go_straight_on_and_loses_that_when_it_lets_go() -> None:
    mine = owner()
    wake = asyncio.Event()
    admitted = []

    async def ask() -> None:
        job = Job(mine, asyncio.current_task())
        await wake.wait()
        job.end()
        admitted.append(mine.admit())
        await passes(20)
        admitted.append(mine.admit())

    asking = asyncio.create_task(ask())
    await passes()
    closing = asyncio.create_task(close(mine, timeout=None, at=caller()))
    await passes()
    assert not mine.admit(), "a stranger is refused"
    wake.set()
    await asking
    await closing
    assert admitted == [True, False]


def test_drop_needs_no_loop() -> None:
    log: list[str] = []

    async def make() -> Owner:
        mine = owner()
        Handle(mine, log, "one")
        Job(mine)
        return mine

    mine = asyncio.run(make())
    report = drop(mine)
    assert log == ["stop one", "abort one"]
    assert [each.reason for each in report.aborted] == ["its event loop is gone"]
    assert drop(mine) is report
    assert asyncio.run(close(mine, timeout=None, at=caller())) is report


async def test_a_cancelled_closing_frees_everything_at_once() -> None:
    mine, log = owner(), []
    Handle(mine, log, "one").goodbye = asyncio.Event().wait
    task = spawn(mine, asyncio.Event().wait(), origin=caller())
    closing = asyncio.create_task(close(mine, timeout=None, at=caller()))
    await passes(5)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert log[-1] == "abort one"
    assert mine.state is State.CLOSED
    await passes()
    assert task.cancelled()
