"""Waiting for the work in flight: the second step of a closing (closing.md C2, C4, C5).

The last piece of work to end wakes the closing; nothing is polled. A task whose exchange ends while its session drains
may go straight on to its next request: it has `_PASSES` passes of the event loop to do so, enough for it to be woken,
to run on, and to ask again. Once it lets that pass it has let go of the session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from endwell.lifetime.report import Aborted, CloseReport
from endwell.lifetime.resource import Owner, Work

__all__ = ("Drain",)

_PASSES: Final = 3


class Drain:
    """What one closing waits for, over all owners of the subtree."""

    def __init__(self, owners: Sequence[Owner], report: CloseReport) -> None:
        self.loop = owners[0].loop
        self.owners = owners
        self.report = report
        self.tasks: set[asyncio.Task[Any]] = set()
        self.closers: set[asyncio.Task[Any]] = set()
        self._lingering = 0
        self._waiter: asyncio.Future[None] | None = None
        for owner in owners:
            owner.drain = self
        for work in self._busy():
            if work.asker is not None and work.asker not in self.tasks:
                self.tasks.add(work.asker)
                work.asker.add_done_callback(self._asker_done)

    def may_go_on(self, task: asyncio.Task[Any] | None) -> bool:
        """Tell whether this task may start one more piece of work."""
        return task is not None and (task in self.tasks or any(task in owner.tasks for owner in self.owners))

    def add_closer(self, task: asyncio.Task[Any] | None) -> None:
        """Do not wait for what a task that waits for us holds open: end it now, with what finished tasks left."""
        if task is not None:
            self.closers.add(task)
        for work in self._busy():
            if work.asker is None or work.asker in self.closers:
                self.abort(work, "left open by the task that closes")
            elif work.asker.done():
                self.abort(work, "left open by a task that had ended")
        self._check()

    def work_ended(self, work: Work) -> None:
        """Note the end of a piece of work, from `Owner.work_ended`."""
        self.report.finished += 1
        self._lingering += 1
        self.loop.call_soon(self._linger, work.asker, _PASSES)

    def task_ended(self, task: asyncio.Task[Any]) -> None:
        """Note the end of an owned task."""
        self.report.finished += not task.cancelled()
        self._check()

    def abort(self, work: Work, reason: str) -> None:
        """End a piece of work and put it into the report."""
        self.report.aborted.append(Aborted(work.describe(), reason, work.origin))
        self.report.finished -= 1  # work_ended counts it
        work._abort(reason)

    def pending_tasks(self) -> list[asyncio.Task[Any]]:
        """Give the owned tasks that still run, those that wait for this closing left out."""
        return [task for owner in self.owners for task in owner.tasks if not task.done() and task not in self.closers]

    async def wait(self, timeout: float | None) -> None:
        """Return when nothing is in flight any more, or after `timeout` seconds."""
        if timeout == 0 or not self._open():
            return
        self._waiter = self.loop.create_future()
        timer = None if timeout is None else self.loop.call_later(timeout, self._wake)
        try:
            await self._waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def abort_rest(self, reason: str) -> list[asyncio.Task[Any]]:
        """End what is still in flight; return the tasks that were cancelled and are to be awaited."""
        for work in self._busy():
            self.abort(work, reason)
        cancelled = self.pending_tasks()
        for task in cancelled:
            origin = next((owner.tasks[task] for owner in self.owners if task in owner.tasks), None)
            self.report.aborted.append(Aborted(f"task {task.get_name()!r}", reason, origin))
            task.cancel(reason)
        return cancelled

    def over(self) -> None:
        """Let go of the tasks that were watched."""
        for task in self.tasks:
            task.remove_done_callback(self._asker_done)
        self.tasks.clear()

    def _busy(self) -> list[Work]:
        seen: dict[Work, None] = {}
        for owner in self.owners:
            seen.update(dict.fromkeys(owner.busy()))
        return list(seen)

    def _open(self) -> bool:
        return bool(self._lingering or self._busy() or self.pending_tasks())

    def _linger(self, task: asyncio.Task[Any] | None, passes: int) -> None:
        if passes and task is not None and not task.done():
            self.loop.call_soon(self._linger, task, passes - 1)
            return
        self._lingering -= 1
        if task is not None and not any(work.asker is task for work in self._busy()):
            self.tasks.discard(task)
            task.remove_done_callback(self._asker_done)
        self._check()

    def _asker_done(self, task: asyncio.Task[Any]) -> None:
        for work in self._busy():
            if work.asker is task:
                self.abort(work, "left open by a task that had ended")

    def _check(self) -> None:
        if self._waiter is not None and not self._open():
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
