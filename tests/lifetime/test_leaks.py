"""Faces, leases and the guard of the loop's end, on the smallest owner there is."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

from endwell.lifetime import (
    CloseReport,
    Face,
    LeakReport,
    Lease,
    Owner,
    Resource,
    State,
    caller,
    close,
    guard,
    name_leak,
    open_resources,
    spawn,
)
from tests.conftest import LOOPS
from tests.support.closing import passes, resource_warnings, until


class Thing(Face):
    """A face with a guarded core."""

    def __init__(self) -> None:
        self._core = Owner(asyncio.get_running_loop(), close_timeout=0, advice="close the thing")
        guard(self._core)


class Held:
    """What a lease is held for."""

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self.told = 0

    def forgotten(self) -> None:
        self.told += 1

    def _abort(self, reason: str) -> None:
        self.told += 1


async def test_a_forgotten_face_has_its_core_closed_and_is_named_once() -> None:
    with resource_warnings() as texts:
        thing: Any = Thing()
        core = thing._core
        del thing
        gc.collect()
        await until(lambda: core.state is State.CLOSED)
    (text,) = texts
    assert text.startswith("owner was never closed")
    assert __file__ in text
    assert text.endswith("close the thing")
    assert isinstance(core.report, CloseReport)
    assert open_resources() == []


async def test_a_face_that_was_closed_says_nothing() -> None:
    with resource_warnings() as texts:
        thing: Any = Thing()
        await close(thing._core, timeout=0, at=caller())
        del thing
        gc.collect()
        await passes()
    assert texts == []


def test_a_face_whose_making_failed_has_no_core() -> None:
    with resource_warnings() as texts:
        Thing.__new__(Thing)
        gc.collect()
    assert texts == []


def test_the_guard_closes_with_the_loop(loop_kind: str) -> None:
    kept: list[Thing] = []

    async def main() -> None:
        kept.append(Thing())

    factory: Any = LOOPS[loop_kind]
    with resource_warnings() as texts, asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
        assert kept[0]._core.state is State.OPEN
    assert kept[0]._core.state is State.CLOSED
    assert len(texts) == 1


async def test_a_lease() -> None:
    owner = Owner(asyncio.get_running_loop(), close_timeout=0, advice="")
    held = Held(owner)
    lease: Any = Lease(held)
    assert not held.told
    del lease
    gc.collect()
    assert held.told
    owner.ended()


def test_a_lease_on_a_loop_that_is_gone_lets_its_work_go() -> None:
    async def main() -> tuple[Owner, Lease]:
        owner = Owner(asyncio.get_running_loop(), close_timeout=0, advice="")
        held: Any = Held(owner)
        owner.work[held] = None
        return owner, Lease(held)

    owner, lease = asyncio.run(main())
    assert len(owner.work) == 1
    del lease
    gc.collect()
    assert not owner.work
    owner.ended()


async def test_the_tree_of_what_is_open() -> None:
    thing = Thing()
    Resource(thing._core)
    task = spawn(thing._core, asyncio.Event().wait(), origin=caller(), name="waiting")
    (root,) = open_resources()
    assert root.kind == "owner"
    assert root.origin is not None
    assert [each.text for each in root.children] == ["resource", "task 'waiting'"]
    assert str(root).split("\n")[1:] == ["  resource", f"  task 'waiting' made at {thing._core.tasks[task]}"]
    await close(thing._core, timeout=0, at=caller())


async def test_a_leak_is_remembered_for_the_report() -> None:
    thing = Thing()
    leak = LeakReport("something", origin=None, task=None, age=0, held=(), advice="")
    with resource_warnings() as texts:
        name_leak(thing._core, leak)
    assert len(texts) == 1
    report = await close(thing._core, timeout=0, at=caller())
    assert report.leaked == [leak]


def test_what_a_closed_loop_left_at_work_is_dropped_when_another_is_made() -> None:
    async def make() -> Owner:
        thing = Thing()
        held: Any = Held(thing._core)
        held.face = thing  # as an exchange holds its session
        thing._core.work[held] = None
        held.describe, held.busy, held.origin = str, list, None
        return thing._core

    loop = asyncio.new_event_loop()
    core = loop.run_until_complete(make())
    loop.close()
    gc.collect()
    assert core.state is State.OPEN

    async def another() -> None:
        thing = Thing()
        await close(thing._core, timeout=0, at=caller())

    asyncio.run(another())
    assert core.state is State.CLOSED
    assert open_resources() == []
