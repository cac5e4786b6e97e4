"""Every resource of client and server, closed in every way there is (closing.md, "How it is tested").

What a test leaves behind (descriptors, tasks, threads, lost exceptions) fails it: `tests/conftest.py`.
"""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

import endwell
from tests.support.closing import outcome, passes, resource_warnings, until
from tests.support.contract import (
    MANNERS,
    Situation,
    cancelled_at,
    each,
    settled,
    staged,
)


async def whole(subject: Any) -> None:
    """Close it, as a coroutine: some closings are other awaitables."""
    await subject.close()


@each()
async def test_closed_twice(situation: Situation, tls: bool) -> None:
    async with staged("polite", tls=tls) as stage:
        subject = await situation(stage)
        await asyncio.gather(whole(subject), whole(subject))
        await whole(subject)
        await settled(subject)
        assert stage.left() == []


@each(*MANNERS)
async def test_closed_with_such_a_peer(situation: Situation, tls: bool, manners: str) -> None:
    async with staged(manners, tls=tls) as stage:
        subject = await situation(stage)
        stage.leaving.set()
        await whole(subject)
        if subject.rest is None:
            assert stage.left() == [], "nothing is left when close() returns"
        await settled(subject)
        assert stage.left() == []


@each(alone=False)
async def test_the_peer_goes_first(situation: Situation, tls: bool) -> None:
    async with staged("gone", tls=tls) as stage:
        subject = await situation(stage)
        stage.leaving.set()
        await passes(10)
        await whole(subject)
        await settled(subject)
        assert stage.left() == []


@each("polite", "silent")
async def test_cancelled_at_every_await(situation: Situation, tls: bool, manners: str) -> None:
    for number in range(100):
        async with staged(manners, tls=tls) as stage:
            subject = await situation(stage)
            driven = cancelled_at(whole(subject), number)

            async def closing(driven: cancelled_at = driven) -> None:
                await driven

            task = asyncio.create_task(closing())
            await asyncio.wait([task])
            if driven.reached:
                assert task.cancelled(), f"the cancellation at await {number} was swallowed: {task!r}"
            else:
                assert task.exception() is None
            if subject.rest is None:
                await passes(3)  # the loop frees descriptors in its next pass
                assert stage.left() == [], f"sockets after a cancellation at await {number}"
            await whole(subject)
            await settled(subject)
            assert stage.left() == []
        if not driven.reached:
            return
    pytest.fail("the closing never came to its end")


@each(faceless=False)
async def test_its_owner_is_gone(situation: Situation, tls: bool) -> None:
    async with staged("polite", tls=tls) as stage:
        with resource_warnings():
            subject: Any = await situation(stage)
            for task in subject.tasks:
                task.cancel()
                await outcome(task)
            del subject
            task = None  # type: ignore[assignment]  # its exception holds frames
            # What a cancelled call leaves in cycles is only garbage once the loop has seen its connection off.
            await until(lambda: gc.collect() >= 0 and not endwell.open_resources())
        assert stage.left() == []
