"""The walk that closes: stop, drain, abort, finish, done (closing.md, "How it is built", 2).

The only caller of the three hooks of a resource. One walk for each closing, one report for each walk.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from endwell.lifetime.drain import Drain
from endwell.lifetime.origin import Origin
from endwell.lifetime.report import Aborted, CloseReport
from endwell.lifetime.resource import Event, Owner, Resource, State, Work, transition
from endwell.lifetime.tasks import start

__all__ = ("GOODBYE", "abort_work", "close", "drop", "finish_one", "hurry", "stop")

GOODBYE: Final = 5.0
"""Seconds that all goodbyes, and the end of cancelled tasks, may take; what is late is aborted."""

_LAST_WAIT: Final = 1.0


async def close(owner: Owner, *, timeout: float | None, at: Origin, reason: str | None = None) -> CloseReport:
    """Close `owner` and everything below it; return what was done.

    Args:
        owner: the root of what is to be closed.
        timeout: seconds that work in flight may take to finish; 0 aborts it at once, None waits for ever.
        at: where the closing was asked for, for the error that later use raises.
        reason: why work is aborted, when it is not for the time-out.

    A second caller awaits the first closing, also when that is the closing of what owns this. Cancelling the first
    caller aborts, before the cancellation goes on, everything that is left.

    """
    if owner.state is State.FOREIGN:
        return owner.report or CloseReport(owner.describe())
    if owner.loop.is_closed():
        return drop(owner)
    owner.check_loop()
    report = owner.report
    if report is None or owner.state is not State.CLOSED:
        if owner.closing is None:
            report = await _Walk(owner, at, timeout, reason).run()
        else:
            if owner.drain is not None:
                owner.drain.add_closer(asyncio.current_task(owner.loop))
            report = await asyncio.shield(owner.closing)
    await _await_closers(owner, timeout, report)
    return report


async def _await_closers(owner: Owner, timeout: float | None, report: CloseReport) -> None:
    """Await the owned tasks that a closing could not await because they awaited it."""
    if not owner.tasks or asyncio.current_task(owner.loop) in owner.tasks:
        return
    tasks = [task for task in owner.tasks if not task.done()]
    if not tasks:
        return
    late: set[asyncio.Task[Any]] = set(tasks)
    try:
        _, late = await asyncio.wait(tasks, timeout=timeout)
    finally:
        for task in late:
            task.cancel("its session closed")
    await _await_cancelled(owner, list(late), report)


async def _await_cancelled(owner: Owner, tasks: list[asyncio.Task[Any]], report: CloseReport) -> None:
    """Await tasks that were cancelled, but not for ever."""
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=GOODBYE)
    for task in late:
        message = f"task {task.get_name()!r} did not end within {GOODBYE} s of its cancellation"
        report.errors.append(RuntimeError(message))
        owner.tasks.pop(task, None)


def abort_work(work: Work, reason: str) -> None:
    """End one piece of work, now."""
    work._abort(reason)


async def finish_one(resource: Resource, timeout: float) -> None:
    """Let one resource without work of its own say goodbye, for at most `timeout` seconds."""
    resource.state = transition(resource.state, Event.STOP)
    resource._stop()
    try:
        async with asyncio.timeout(timeout):
            await resource._finish()
    except TimeoutError:
        pass
    finally:
        resource._abort("it took too long to say goodbye")


def stop(owner: Owner) -> None:
    """Take the first step of a closing, for an owner who has something to do between that and the others.

    Nothing new is taken on from here; `close` is to follow in every case.
    """
    level: list[Resource] = [owner]
    for node in level:
        node.state = transition(node.state, Event.STOP)
        node._stop()
        level += node.children or ()


def hurry(owner: Owner, reason: str) -> None:
    """Have a closing that waits for work in flight wait no longer; what is in flight ends for this reason."""
    if owner.drain is not None:
        owner.drain.hurry(reason)


def drop(owner: Owner) -> CloseReport:
    """Free everything without an event loop: it is gone, or does not run and may never run again (closing.md C15)."""
    report = owner.report = owner.report or CloseReport(owner.describe())
    reason = "its event loop is gone" if owner.loop.is_closed() else "its event loop does not run"
    for each in _stop(owner, None):
        for work in each.busy():
            report.aborted.append(Aborted(work.describe(), reason, work.origin))
            if not each.loop.is_closed():  # on a closed loop nobody is left to be told
                work._abort(reason)
        for task in [task for task in each.tasks if not task.done()]:
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # it never ends, and that is not its fault
            if not each.loop.is_closed():
                task.cancel(reason)
    for node in reversed(list(owner.subtree())):
        node._abort(reason)
        node.ended()
    report.leaked += owner.leaks
    return report


def _stop(root: Owner, closing: asyncio.Future[CloseReport] | None, limit: float | None = None) -> list[Owner]:
    """Stop a subtree, owners first: what a `_stop` takes over is stopped with it. Returns the owners in it.

    An owner that another walk closes already is left to that.
    """
    owners = []
    level: list[Resource] = [root]
    while level:
        below: list[Resource] = []
        for node in level:
            if isinstance(node, Owner):
                if node.closing is None:
                    node.closing = closing
                elif node.closing is not closing:
                    continue
                owners.append(node)
                node.limit = limit
            node.state = transition(node.state, Event.STOP)
            node._stop()
            below += node.children or ()
        level = below
    return owners


class _Walk:
    """One closing under way."""

    def __init__(self, owner: Owner, at: Origin, timeout: float | None, reason: str | None) -> None:
        self.owner = owner
        self.loop = owner.loop
        self.timeout = timeout
        self.reason = reason or f"it did not finish within close_timeout={timeout} s"
        if timeout == 0 and reason is None:
            self.reason = f"{owner.kind} closed with close_timeout=0"
        if at.code is not None:
            self.reason += f"; closed at {at.filename}:{at.lineno}"
        self.report = CloseReport(owner.describe())
        self.began = owner.loop.time()
        self.owners: list[Owner] = []
        self.drain = Drain(owner.loop, self.report)
        self.closing: asyncio.Future[CloseReport] = owner.loop.create_future()
        owner.closed_at = at

    async def run(self) -> CloseReport:
        try:
            self.drain.add_closer(asyncio.current_task(self.loop))
            await self._work()
            await self._finish()
        except BaseException:
            self.reason = "the closing itself was cancelled"
            self.drain.abort_rest(self.reason)
            for node in reversed(list(self.owner.subtree())):
                node._abort(self.reason)
            raise
        finally:
            self.drain.over()
            self._done()
        return self.report

    async def _work(self) -> None:
        """Stop the tree and let its work end. What the work held on to may be ours to close only then: once more."""
        while fresh := [
            owner for owner in _stop(self.owner, self.closing, self.timeout) if owner not in self.drain.owners
        ]:
            self.owners += fresh
            self.drain.take(fresh)
            left = None if self.timeout is None else max(0.0, self.began + self.timeout - self.loop.time())
            await self.drain.wait(left)
            late = self.drain.abort_rest(self.drain.hurried or self.reason)
            await _await_cancelled(self.owner, late, self.report)

    async def _finish(self) -> None:
        """Let each level say goodbye, the deepest first, siblings at once, all under one deadline.

        The tree is looked at anew for each level: what was being opened appears in it, what is gone is not.
        """
        until = self.loop.time() + GOODBYE
        finished: set[Resource] = set()
        while level := self._deepest(finished):
            finished.update(level)
            late = self.loop.time() >= until
            self.report.closed += sum(not isinstance(node, Owner) and not node.ending() for node in level)
            goodbyes = {
                start(self.loop, self._goodbye(node), f"endwell: goodbye of {node.kind}"): node
                for node in level
                if not late and self._has_a_goodbye(node)
            }
            try:
                await self._say(goodbyes, until)
            finally:
                for task in goodbyes:
                    task.cancel()
                for node in level:
                    node._abort(self.reason)
            await self._gone(level)

    def _deepest(self, finished: set[Resource]) -> list[Resource]:
        found: list[Resource] = []
        level: list[Resource] = [self.owner]
        while level:
            found = [node for node in level if node not in finished] or found
            level = [child for node in level if self._is_ours(node) for child in node.children or ()]
        return found

    def _is_ours(self, node: Resource) -> bool:
        return not isinstance(node, Owner) or node.closing in (None, self.closing)

    def _has_a_goodbye(self, node: Resource) -> bool:
        """Tell what to await: without time no peer, but always what an owner frees (the threads of a resolver)."""
        if isinstance(node, Owner):
            return not self._is_ours(node) or type(node)._finish is not Resource._finish
        return self.timeout != 0 and type(node)._finish is not Resource._finish

    async def _goodbye(self, node: Resource) -> None:
        if isinstance(node, Owner) and node.closing is not None and not self._is_ours(node):
            await asyncio.shield(node.closing)  # another walk closes it
        else:
            await node._finish()

    async def _say(self, goodbyes: dict[asyncio.Task[None], Resource], until: float) -> None:
        if not goodbyes:
            return
        done, late = await asyncio.wait(goodbyes, timeout=max(0.0, until - self.loop.time()))
        for task in done:
            if not task.cancelled() and (error := task.exception()) is not None:
                self.report.errors.append(error)
        for task in late:
            what = goodbyes[task].describe()
            self.report.errors.append(TimeoutError(f"{what} took over {GOODBYE} s to say goodbye and was aborted"))
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=_LAST_WAIT)

    async def _gone(self, level: list[Resource]) -> None:
        left = [node for node in level if node.state is not State.CLOSED]  # others may have ended meanwhile
        waiting = {future: node for node in left if (future := node.gone()) is not None and not future.done()}
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=_LAST_WAIT)
            for future in late:
                self.report.errors.append(RuntimeError(f"{waiting[future].describe()} could not be freed in time"))

    def _done(self) -> None:
        report = self.report
        for owner in reversed(self.owners):
            report.leaked += owner.leaks
            owner.drain = None
            owner.report = report
            owner.ended()
        report.duration = self.loop.time() - self.began
        if not self.closing.done():
            self.closing.set_result(report)
