"""Coroutines whose first step is taken at once (`lifetime.eager`)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from contextvars import ContextVar
from typing import Any

import pytest

from endwell.lifetime import CloseReport, Origin, Owner, Starter, close, drop

HERE = Origin(None, 0)
mark: ContextVar[str] = ContextVar("mark", default="outside")


@contextlib.asynccontextmanager
async def starter() -> AsyncIterator[Starter]:
    owner = Owner(asyncio.get_running_loop(), close_timeout=1, advice="")
    made = Starter(owner)
    await asyncio.sleep(0)
    try:
        yield made
    finally:
        await asyncio.wait([made.end()])
        drop(owner)


async def begin(made: Starter, coro: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
    """Start from a callback of the loop, as a connection does: no task is current there."""
    loop = asyncio.get_running_loop()
    started: asyncio.Future[asyncio.Task[None] | None] = loop.create_future()
    loop.call_soon(lambda: started.set_result(made.start(coro, HERE)))
    return await started


async def test_what_does_not_wait_needs_no_task() -> None:
    seen: list[Any] = []

    async def quick() -> None:
        mark.set("inside")
        seen.append(asyncio.current_task())

    async with starter() as made:
        assert await begin(made, quick()) is None
        assert await begin(made, quick()) is None
    assert seen[0] is seen[1]
    assert isinstance(seen[0], asyncio.Task)
    assert mark.get() == "outside"


async def test_what_waits_goes_on_as_the_same_task_in_the_same_context() -> None:
    seen: list[Any] = []

    async def waits() -> None:
        mark.set("inside")
        seen.append(asyncio.current_task())
        await asyncio.sleep(0)
        seen.append(asyncio.current_task())
        await asyncio.sleep(0.001)
        seen.append((asyncio.current_task(), mark.get()))

    async with starter() as made:
        task = await begin(made, waits())
        assert task is not None
        await task
    assert seen == [task, task, (task, "inside")]


async def test_a_timeout_that_was_entered_in_the_first_step_holds() -> None:
    seen: list[str] = []

    async def late() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.get_running_loop().create_future()
        seen.append("timed out")

    async with starter() as made:
        task = await begin(made, late())
        assert task is not None
        await task
    assert seen == ["timed out"]


@pytest.mark.parametrize("passes", [0, 1, 3])
async def test_cancelling_reaches_the_coroutine(passes: int) -> None:
    seen: list[Any] = []

    async def patient() -> None:
        inner = asyncio.get_running_loop().create_future()
        try:
            await inner
        except asyncio.CancelledError as error:
            seen.extend((error.args, inner.cancelled()))
            raise

    async with starter() as made:
        task = await begin(made, patient())
        assert task is not None
        for _ in range(passes):
            await asyncio.sleep(0)
        task.cancel("why")
        with pytest.raises(asyncio.CancelledError):
            await task
    assert seen == [("why",), True]


async def test_cancelled_between_two_steps_without_a_future() -> None:
    seen: list[str] = []

    async def yields() -> None:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async with starter() as made:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[asyncio.Task[None]] = loop.create_future()

        def start_and_cancel() -> None:
            task = made.start(yields(), HERE)
            assert task is not None
            task.cancel()
            ended.set_result(task)

        loop.call_soon(start_and_cancel)
        with pytest.raises(asyncio.CancelledError):
            await (await ended)
    assert seen == ["cancelled"]


async def test_a_coroutine_that_cancels_its_own_task_harms_no_other() -> None:
    seen: list[str] = []

    async def selfish(waits: bool) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        if waits:
            await asyncio.sleep(0)
        seen.append("went on")

    async def quick() -> None:
        seen.append("quick")

    async with starter() as made:
        assert await begin(made, selfish(waits=False)) is None
        await asyncio.sleep(0)
        task = await begin(made, selfish(waits=True))
        assert task is not None
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await begin(made, quick()) is None
    assert seen == ["went on", "quick"]


async def test_a_swallowed_cancellation_lets_the_coroutine_go_on() -> None:
    seen: list[str] = []

    async def stubborn() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            seen.append("swallowed")
        await asyncio.sleep(0)
        seen.append("end")

    async with starter() as made:
        task = await begin(made, stubborn())
        assert task is not None
        task.cancel()
        await task
    assert seen == ["swallowed", "end"]


async def test_many_at_once_when_only_one_task_is_spare() -> None:
    seen: list[int] = []

    async def waits(number: int) -> None:
        await asyncio.sleep(0)
        seen.append(number)

    async with starter() as made:
        loop = asyncio.get_running_loop()
        tasks: list[asyncio.Task[None] | None] = []
        for number in range(5):
            loop.call_soon(lambda number=number: tasks.append(made.start(waits(number), HERE)))
        await asyncio.sleep(0)
        await asyncio.gather(*[task for task in tasks if task is not None])
    assert sorted(seen) == [0, 1, 2, 3, 4]


async def test_an_error_of_the_first_step_is_the_loops() -> None:
    told: list[Any] = []

    async def wrong() -> None:
        message = "wrong"
        raise ValueError(message)

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
    try:
        async with starter() as made:
            assert await begin(made, wrong()) is None
            await asyncio.sleep(0)
    finally:
        loop.set_exception_handler(None)
    assert [str(error) for error in told] == ["wrong"]


async def test_a_closing_awaits_what_waits() -> None:
    owner = Owner(asyncio.get_running_loop(), close_timeout=1, advice="")
    made = Starter(owner)
    await asyncio.sleep(0)
    seen: list[str] = []

    async def waits() -> None:
        await asyncio.sleep(0.01)
        seen.append("done")

    assert await begin(made, waits()) is not None
    report = await close(owner, timeout=5, at=HERE)
    await asyncio.wait([made.end()])
    assert isinstance(report, CloseReport)
    assert seen == ["done"]
    assert not report.aborted
