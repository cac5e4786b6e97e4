"""The walk that closes: stop, drain, abort, finish, done (closing.md, "How it is built", 2).

The only caller of the three hooks of a resource. One walk for each closing, one report for each walk.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from endwell.lifetime.drain import Drain
from endwell.lifetime.origin import Origin
from endwell.lifetime.report import CloseReport
from endwell.lifetime.resource import Event, Owner, Resource, State, Work, transition
from endwell.lifetime.tasks import start

__all__ = ("GOODBYE", "abort", "abort_work", "close", "drop", "finish_one")

GOODBYE: Final = 5.0
"""Seconds that the goodbyes of one level of the tree, and cancelled tasks, may take; what is late is aborted."""

_LAST_WAIT: Final = 1.0


async def close(owner: Owner, *, timeout: float | None, at: Origin, reason: str | None = None) -> CloseReport:
    """Close `owner` and everything below it; return what was done.

    Args:
        owner: the root of what is to be closed.
        timeout: seconds that work in flight may take to finish; 0 aborts it at once, None waits for ever.
        at: where the closing was asked for, for the error that later use raises.
        reason: why work is aborted, when it is not for the time-out.

    A second caller awaits the first closing. Cancelling the first caller aborts, before the cancellation goes on,
    everything that is left.

    """
    if owner.state is State.FOREIGN or (owner.report is not None and owner.state is State.CLOSED):
        return owner.report or CloseReport(owner.describe())
    if owner.loop.is_closed():
        return drop(owner)
    owner.check_loop()
    if owner.closing is not None:
        if owner.drain is not None:
            owner.drain.add_closer(asyncio.current_task(owner.loop))
        return await asyncio.shield(owner.closing)
    return await _Walk(owner, at, timeout, reason).run()


def abort(resource: Resource, reason: str) -> None:
    """End one resource and what is below it, now."""
    for node in reversed(list(resource.subtree())):
        node.state = transition(node.state, Event.STOP)
        node._abort(reason)


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


def drop(owner: Owner) -> CloseReport:
    """Free everything without an event loop: the loop is gone, or the process forgot us (closing.md C15)."""
    report = owner.report = owner.report or CloseReport(owner.describe())
    nodes = [node for level in _stop(owner) for node in level]
    for node in reversed(nodes):
        node._abort("the event loop is gone")
        node.ended()
    return report


def _stop(root: Resource) -> list[list[Resource]]:
    """Stop a subtree, owners first: what a `_stop` takes over is stopped with it. Returns its levels."""
    levels = []
    level: list[Resource] = [root]
    while level:
        for node in level:
            node.state = transition(node.state, Event.STOP)
            node._stop()
        levels.append(level)
        level = [child for node in level for child in node.children or ()]
    return levels


class _Walk:
    """One closing under way."""

    def __init__(self, owner: Owner, at: Origin, timeout: float | None, reason: str | None) -> None:
        self.owner = owner
        self.loop = owner.loop
        self.timeout = timeout
        self.reason = reason or f"it did not finish within close_timeout={timeout} s"
        if timeout == 0 and reason is None:
            self.reason = f"{owner.kind} closed with close_timeout=0"
        self.report = CloseReport(owner.describe())
        self.began = owner.loop.time()
        self.levels: list[list[Resource]] = []
        owner.closed_at = at
        owner.closing = owner.loop.create_future()

    async def run(self) -> CloseReport:
        self.levels = _stop(self.owner)
        owners = [node for level in self.levels for node in level if isinstance(node, Owner)]
        drain = Drain(owners, self.report)
        try:
            drain.add_closer(asyncio.current_task(self.loop))
            await drain.wait(self.timeout)
            await self._await_cancelled(drain.abort_rest(self.reason))
            await self._finish()
        except BaseException:
            self.reason = "the closing itself was cancelled"
            drain.abort_rest(self.reason)
            self._abort_everything()
            raise
        finally:
            drain.over()
            self._done(owners)
        return self.report

    async def _await_cancelled(self, tasks: list[asyncio.Task[Any]]) -> None:
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=GOODBYE)
        for task in late:
            message = f"task {task.get_name()!r} did not end within {GOODBYE} s of its cancellation"
            self.report.errors.append(RuntimeError(message))

    async def _finish(self) -> None:
        """Let each level say goodbye, the deepest first, siblings at once."""
        for depth in range(len(self.levels) - 1, -1, -1):
            level = list(dict.fromkeys(child for node in self._parents(depth) for child in node.children or ()))
            if depth == 0:
                level = [self.owner]
            goodbyes = {
                start(self.loop, node._finish(), f"endwell: goodbye of {node.kind}"): node
                for node in level
                if self.timeout != 0 and type(node)._finish is not Resource._finish
            }
            try:
                await self._say(goodbyes)
            finally:
                for task in goodbyes:
                    task.cancel()
                for node in level:
                    node._abort(self.reason)
            self.report.closed += sum(not isinstance(node, Owner) for node in level)
            await self._gone(level)

    def _parents(self, depth: int) -> list[Resource]:
        """The owners of a level; asked for anew, since what was opening at the stop may have been added."""
        return self.levels[depth - 1] if depth else []

    async def _say(self, goodbyes: dict[asyncio.Task[None], Resource]) -> None:
        if not goodbyes:
            return
        done, late = await asyncio.wait(goodbyes, timeout=GOODBYE)
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
        waiting = {future: node for node in level if (future := node.gone()) is not None and not future.done()}
        if waiting:
            _, left = await asyncio.wait(waiting, timeout=_LAST_WAIT)
            for future in left:
                self.report.errors.append(RuntimeError(f"{waiting[future].describe()} could not be freed in time"))

    def _abort_everything(self) -> None:
        for node in reversed(list(self.owner.subtree())):
            node._abort(self.reason)

    def _done(self, owners: list[Owner]) -> None:
        report = self.report
        for owner in reversed(owners):
            report.leaked += owner.leaks
            owner.drain = None
            owner.report = report
            owner.ended()
        report.duration = self.loop.time() - self.began
        closing = self.owner.closing
        if closing is not None and not closing.done():
            closing.set_result(report)
