"""Owned tasks: remembered while they run or while their exception was not seen."""

from __future__ import annotations

import asyncio

import pytest

from endwell.lifetime import Owner, caller, close, failures, spawn
from tests.support.closing import passes


def owner() -> Owner:
    return Owner(asyncio.get_running_loop(), close_timeout=0, advice="close it")


async def fail() -> None:
    raise ValueError("lost?")


async def test_a_task_that_ends_is_forgotten() -> None:
    mine = owner()
    task = spawn(mine, asyncio.sleep(0, 5), origin=caller(), name="five")
    assert task in mine.tasks
    assert task.get_name() == "five"
    assert await task == 5
    await passes()
    assert mine.tasks == {}
    mine.ended()


async def test_an_exception_that_was_awaited_is_no_failure() -> None:
    mine = owner()
    with pytest.raises(ValueError, match="lost"):
        await spawn(mine, fail(), origin=caller())
    await passes()
    assert mine.tasks == {}
    assert failures(mine) == []
    mine.ended()


async def test_an_exception_that_nobody_saw_is_kept_and_given_once() -> None:
    mine = owner()
    spawn(mine, fail(), origin=caller())
    await passes(5)
    (error,) = failures(mine)
    assert str(error) == "lost?"
    assert failures(mine) == []
    mine.ended()


@pytest.mark.parametrize("part", [False, True])
async def test_what_counts_as_finished(part: bool) -> None:
    mine = owner()
    go_on = asyncio.Event()
    spawn(mine, go_on.wait(), origin=caller(), part_of_work=part)
    asyncio.get_running_loop().call_soon(go_on.set)
    report = await close(mine, timeout=None, at=caller())
    assert report.finished == (0 if part else 1)
    assert report.aborted == []


@pytest.mark.parametrize("part", [False, True])
async def test_what_counts_as_aborted(part: bool) -> None:
    mine = owner()
    task = spawn(mine, asyncio.Event().wait(), origin=caller(), name="never", part_of_work=part)
    report = await close(mine, timeout=0, at=caller())
    assert task.cancelled()
    assert [each.what for each in report.aborted] == ([] if part else ["task 'never'"])
