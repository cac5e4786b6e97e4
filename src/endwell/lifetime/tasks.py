"""Tasks that have an owner. The only place of endwell that makes tasks.

When its owner closes, an owned task is awaited, then cancelled and awaited; its exception is never lost (C4).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from endwell.lifetime.origin import Origin
from endwell.lifetime.resource import Owner

__all__ = ("failures", "own", "retrieve", "spawn", "start")

T = TypeVar("T")


def start(loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, T], name: str | None = None) -> asyncio.Task[T]:
    """Start a task whose end the caller, itself in `lifetime` or an exchange, awaits in every case."""
    return loop.create_task(coro, name=name)


def spawn(
    owner: Owner,
    coro: Coroutine[Any, Any, T],
    *,
    origin: Origin,
    name: str | None = None,
    part_of_work: bool = False,
    counts: bool = True,
) -> asyncio.Task[T]:
    """Start a task that `owner` owns.

    One that is `part_of_work` in flight is not named beside it in reports. One that does not count is named when it was
    cut short, and is no news when it has finished.
    """
    task = owner.loop.create_task(coro, name=name)
    own(owner, task, origin, part_of_work=part_of_work, counts=counts)
    return task


def own(
    owner: Owner, task: asyncio.Task[Any], origin: Origin, *, part_of_work: bool = False, counts: bool = True
) -> None:
    """Make `owner` the owner of a task that runs already; see `spawn`."""
    owner.tasks[task] = origin
    if part_of_work:
        owner.parts.add(task)

    def ended(task: asyncio.Task[Any]) -> None:
        _forget_if_seen(owner, task)
        if task in owner.tasks and not owner.loop.is_closed():
            owner.loop.call_soon(_forget_if_seen, owner, task)  # whoever awaits it sees the exception in this pass
        if owner.drain is not None:
            owner.drain.task_ended(task, counts=counts and task not in owner.parts)
        owner.parts.discard(task)

    task.add_done_callback(ended)


def _forget_if_seen(owner: Owner, task: asyncio.Task[Any]) -> None:
    """Let go of a task that has no exception, or one that somebody has seen."""
    if task.cancelled() or not task._log_traceback:
        owner.tasks.pop(task, None)


def failures(owner: Owner) -> list[BaseException]:
    """Take the exceptions of owned tasks that nobody has awaited; they count as retrieved afterwards."""
    found: list[BaseException] = []
    for task in list(owner.tasks):
        if task.done():
            del owner.tasks[task]
            # The flag behind "Task exception was never retrieved": false once somebody has seen the exception.
            if not task.cancelled() and task._log_traceback:
                error = task.exception()
                if error is not None:
                    found.append(error)
    return found


def retrieve(
    owner: Owner,
    task: asyncio.Task[Any],
    tell: Callable[[asyncio.Task[Any], BaseException, Origin], None],
) -> None:
    """Tell of the exception of a task that has ended, unless whoever awaits it has seen it two passes later."""

    def look(passes: int) -> None:
        if passes:
            owner.loop.call_soon(look, passes - 1)
            return
        origin = owner.tasks.pop(task, None)
        if origin is not None and not task.cancelled() and task._log_traceback:
            error = task.exception()
            if error is not None:
                tell(task, error, origin)

    if not owner.loop.is_closed():
        look(2)
