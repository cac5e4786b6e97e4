"""Takes the first step of a coroutine at once, and makes a task only of what has to wait.

A handler that answers without waiting needs no task, no future and no pass of the event loop: that is half of what a
small request costs beside its bytes. So its first step is taken where its request arrives, with a spare task as the
current one (`asyncio.current_task`, `asyncio.timeout` and the like see a real task). Does it wait, the spare task goes
on with it, in the same context and as the same task; another one is made to be the spare.

Python 3.12 has eager tasks; these cost one task object for each coroutine, and 3.11 has none. `_enter_task` and
`_leave_task` are asyncio's documented hooks for implementations of tasks.
"""

from __future__ import annotations

import asyncio
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Coroutine, Generator
from contextvars import Context, copy_context
from typing import Any

from endwell.lifetime.origin import Origin
from endwell.lifetime.resource import Owner
from endwell.lifetime.tasks import own

__all__ = ("Starter",)


class Starter:
    """Starts coroutines for one owner; those that wait become tasks of the owner, each part of a piece of its work."""

    __slots__ = ("_ended", "_owner", "_spare")

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._ended = False
        self._spare = _Spare(owner.loop)

    def start(self, coro: Coroutine[Any, Any, None], origin: Origin) -> asyncio.Task[None] | None:
        """Run `coro` to its end, or to where it waits; return the task that goes on with it, None when it has ended.

        Not to be called while a task runs. An exception of the coroutine is the loop's, as that of a task would be.
        """
        spare = self._spare
        loop = self._owner.loop
        if not spare.ready:
            task = loop.create_task(coro)
            own(self._owner, task, origin, part_of_work=True)
            return task
        context = copy_context()
        _enter_task(loop, spare.task)
        try:
            awaited = context.run(coro.send, None)
        except StopIteration:
            return None
        except BaseException as error:  # noqa: BLE001 - handed on
            if not isinstance(error, asyncio.CancelledError):
                loop.call_soon(_raise, error)  # out of the loop, or to its handler: whatever it does with such an error
            return None
        finally:
            _leave_task(loop, spare.task)
            if spare.waiter.done():  # the coroutine has cancelled its task
                self._renew()
        if self._spare is spare:
            self._renew()
        spare.go_on(coro, context, awaited)
        own(self._owner, spare.task, origin, part_of_work=True)
        return spare.task

    def is_spare(self, task: asyncio.Task[Any]) -> bool:
        """Tell whether this task is the spare one, which is the current one while a coroutine takes its first step."""
        return task is self._spare.task

    def end(self) -> asyncio.Task[None]:
        """Cancel the spare task, and return it."""
        self._ended = True
        self._spare.ready = False
        self._spare.task.cancel()
        return self._spare.task

    def _renew(self) -> None:
        if not self._ended:
            self._spare = _Spare(self._owner.loop)


class _Spare:
    """A task that waits for a coroutine to go on with."""

    __slots__ = ("_awaited", "_context", "_coro", "ready", "task", "waiter")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.ready = False
        self.waiter: asyncio.Future[None] = loop.create_future()
        self._coro: Coroutine[Any, Any, None] | None = None
        self._context: Context | None = None
        self._awaited: asyncio.Future[Any] | None = None
        self.task = loop.create_task(self._run(), name="endwell: spare task")

    def go_on(self, coro: Coroutine[Any, Any, None], context: Context, awaited: asyncio.Future[Any] | None) -> None:
        """Take over a coroutine that has taken its first step and awaits a future (None: the next pass)."""
        self._coro = coro
        self._context = context
        self._awaited = awaited
        if not self.waiter.done():
            self.waiter.set_result(None)

    async def _run(self) -> None:
        self.ready = True
        cancelled: asyncio.CancelledError | None = None
        try:
            await self.waiter
        except asyncio.CancelledError as error:
            if self._coro is None:
                return  # nobody needs a spare task any more
            cancelled = error
        finally:
            self.ready = False
        await _Rest(self, cancelled)

    def rest(self, cancelled: asyncio.CancelledError | None) -> Generator[Any, Any, None]:
        """Give what the coroutine awaits to the task, and what comes of it back to the coroutine."""
        assert self._coro is not None
        assert self._context is not None
        coro, run, awaited = self._coro, self._context.run, self._awaited
        error: BaseException | None = None
        if cancelled is not None and (awaited is None or not awaited.cancel(*cancelled.args)):
            error = cancelled
        while True:
            if error is None:
                try:
                    yield awaited
                except BaseException as thrown:  # noqa: BLE001 - handed on to whom it is for
                    error = thrown
            try:
                if error is None:
                    awaited = run(coro.send, None)
                else:
                    given, error = error, None
                    awaited = run(coro.throw, given)
            except StopIteration:
                return


class _Rest:
    """Awaits the rest of a coroutine."""

    __slots__ = ("_cancelled", "_spare")

    def __init__(self, spare: _Spare, cancelled: asyncio.CancelledError | None) -> None:
        self._spare = spare
        self._cancelled = cancelled

    def __await__(self) -> Generator[Any, Any, None]:
        return self._spare.rest(self._cancelled)


def _raise(error: BaseException) -> None:
    raise error
