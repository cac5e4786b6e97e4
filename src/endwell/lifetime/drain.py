"""Waiting for the work in flight: the second step of a closing (closing.md C2, C4, C5).

The last piece of work to end wakes the closing; nothing is polled. A task whose exchange ends while its session drains
may go straight on to its next request: it has `_PASSES` passes of the event loop to do so, enough for it to be woken,
to run on, and to ask again. Once it lets that pass it has let go of the session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from endwell.lifetime.report import Aborted, CloseReport
from endwell.lifetime.resource import Owner, Work

__all__ = ("Drain",)

_PASSES: Final = 3


class Drain:
    """What one closing waits for, over all owners of the subtree."""

    def __init__(self, loop: asyncio.AbstractEventLoop, report: CloseReport) -> None:
        self.loop = loop
        self.owners: dict[Owner, None] = {}
        self.report = report
        self.tasks: set[asyncio.Task[Any]] = set()
        self.closers: set[asyncio.Task[Any]] = set()
        self._watched: dict[Owner, None] = {}
        self._lingering: dict[asyncio.Task[Any] | None, int] = {}
        self._waiter: asyncio.Future[None] | None = None
        self._refusing = False
        self.hurried: str | None = None

    def take(self, owners: Iterable[Owner]) -> None:
        """Wait for the work of these owners (too)."""
        for owner in owners:
            self.owners[owner] = None
            owner.drain = self
            self._watch(owner)
        for work in self._busy():
            # The work of a connector belongs to sessions, which need not be closing.
            self._watch(work.owner)
            if work.asker is not None and work.asker not in self.tasks:
                self.tasks.add(work.asker)
                work.asker.add_done_callback(self._asker_done)
        self._close_leftovers()

    def may_go_on(self, task: asyncio.Task[Any] | None) -> bool:
        """Tell whether this task may start one more piece of work."""
        if self._refusing or task is None:
            return False
        return task in self.tasks or any(task in owner.tasks for owner in self.owners)

    def add_closer(self, task: asyncio.Task[Any] | None) -> None:
        """Do not wait for what a task that waits for us holds open: end it now, with what finished tasks left."""
        if task is not None:
            self.closers.add(task)
        self._close_leftovers()
        self._check()

    def work_ended(self, work: Work) -> None:
        """Note the end of a piece of work, from `Owner.work_ended`."""
        self.report.finished += 1
        self._lingering[work.asker] = self._lingering.get(work.asker, 0) + 1
        self.loop.call_soon(self._linger, work.asker, _PASSES)

    def task_ended(self, task: asyncio.Task[Any], *, counts: bool) -> None:
        """Note the end of an owned task."""
        self.report.finished += counts and not task.cancelled()
        self._asker_done(task)
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
        timer = None if timeout is None else self.loop.call_later(timeout, self.wake)
        try:
            await self._waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def abort_rest(self, reason: str) -> list[asyncio.Task[Any]]:
        """End what is still in flight; return the tasks that were cancelled and are to be awaited."""
        self._refusing = True  # whoever gets the error may not answer it by asking again
        asked = set()
        for work in self._busy():
            self.abort(work, reason)
            asked.add(work.asker)
        cancelled = self.pending_tasks()
        for task in cancelled:
            owner = next((owner for owner in self.owners if task in owner.tasks), None)
            if task in asked and owner is not None and task in owner.parts:
                continue  # the work has cancelled its own task: a second time would count as another reason
            if owner is None or task not in owner.parts:
                origin = owner.tasks[task] if owner is not None else None
                self.report.aborted.append(Aborted(f"task {task.get_name()!r}", reason, origin))
            task.cancel(reason)
        return cancelled

    def hurry(self, reason: str) -> None:
        """Wait no longer; what is in flight ends for this reason."""
        self.hurried = reason
        self.wake()

    def wake(self) -> None:
        """Wait no longer."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def over(self) -> None:
        """Let go of the tasks that were watched."""
        for task in self.tasks:
            task.remove_done_callback(self._asker_done)
        self.tasks.clear()
        for owner in self._watched:
            owner.watchers.remove(self)
        self._watched.clear()

    def _watch(self, owner: Owner) -> None:
        if owner not in self._watched:
            self._watched[owner] = None
            owner.watchers.append(self)

    def _close_leftovers(self) -> None:
        """End what the closing tasks hold open themselves, and what finished tasks left behind."""
        if not self.closers:
            return
        for work in self._busy():
            if work.asker is None or work.asker in self.closers:
                self.abort(work, "left open by the task that closes")
            elif work.asker.done():
                self.abort(work, "left open by a task that had ended")

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
        left = self._lingering[task] = self._lingering[task] - 1
        if not left:
            # Another exchange of this task may have ended since: only the last of them ends its time.
            del self._lingering[task]
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
            self.wake()
