"""How an application ends: its cleanup contexts, and the walk in which everything is run whatever fails.

Used by `application`. closing.md C13, and C7 in spirit: no error and no cancellation keeps the rest from its clean-up.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, TypeAlias

from frozenlist import FrozenList

from endwell.server.errors import CleanupError

if TYPE_CHECKING:
    from endwell.server.application import Application

__all__ = ("CleanupContext", "ContextFactory", "Failures")

ContextFactory: TypeAlias = "Callable[[Application], AsyncIterator[None] | AbstractAsyncContextManager[None]]"


class Failures:
    """Collects what goes wrong in a row of callbacks, all of which are run.

    A cancellation interrupts the callback that it finds; the ones after that can run, and `end` goes on with it.
    """

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self.cancelled: asyncio.CancelledError | None = None
        self._task = asyncio.current_task()
        self._seen = self._cancellations()

    def _cancellations(self) -> int:
        return 0 if self._task is None else self._task.cancelling()

    async def run(self, callback: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """Await the callback, and keep what it raises."""
        try:
            await callback(*args)
        except asyncio.CancelledError as error:
            count = self._cancellations()
            if self._task is None or count > self._seen:
                self._seen, self.cancelled = count, error
            else:  # nobody cancelled us: the callback awaited a task that was
                self.errors.append(error)
        except CleanupError as error:
            self.errors += error.exceptions or [error]
        except Exception as error:  # noqa: BLE001 -- it is raised, or logged, at the end
            self.errors.append(error)

    def log(self, logger: logging.Logger, what: str) -> None:
        """Write every error to a log: for when something else is raised."""
        for error in self.errors:
            logger.error("Error while %s: %r", what, error, exc_info=error)

    def end(self, logger: logging.Logger, what: str) -> None:
        """Raise the one error, a `CleanupError` of several, or the cancellation (the errors are logged then)."""
        if self.cancelled is not None:
            self.log(logger, what)
            raise self.cancelled
        if len(self.errors) == 1 and isinstance(self.errors[0], Exception):
            raise self.errors[0]
        if self.errors:
            raise CleanupError(f"{len(self.errors)} things failed while {what}", self.errors)


class CleanupContext(FrozenList["ContextFactory"]):
    """The cleanup contexts of an application, `Application.cleanup_ctx`: a list until the application is frozen.

    Each is called with the application and gives an async generator with one ``yield``, or an async context manager.
    What comes before the ``yield`` runs at startup, what follows it at cleanup, in the reverse order.
    """

    def __init__(self) -> None:
        super().__init__()
        self._entered: list[tuple[str, AsyncIterator[None] | AbstractAsyncContextManager[None]]] = []

    async def _enter(self, app: Application) -> None:
        """Enter each context; what one of them raises ends that, those before it stay entered."""
        for factory in self:
            context = factory(app)
            name = getattr(factory, "__qualname__", None) or repr(factory)
            if isinstance(context, AbstractAsyncContextManager):
                await _Unnoticed(context.__aenter__())
            elif isinstance(context, AsyncIterator):
                if not await _Unnoticed(_advance(context)):
                    message = (
                        f"the cleanup context {name} ended without a yield: what is before its yield is run at startup,"
                        " what is behind it at cleanup"
                    )
                    raise RuntimeError(message)
            else:
                if inspect.iscoroutine(context):
                    context.close()
                message = (
                    f"the cleanup context {name} gave a {type(context).__name__}: it has to be an async generator"
                    " function with one yield, or to give an async context manager"
                )
                raise TypeError(message)
            self._entered.append((name, context))

    async def _leave(self, failures: Failures) -> None:
        """Leave the contexts that were entered, the last one first."""
        while self._entered:
            name, context = self._entered.pop()
            if isinstance(context, AbstractAsyncContextManager):
                await failures.run(context.__aexit__, None, None, None)
            else:
                await failures.run(_finish, name, context)


class _Unnoticed:
    """Awaits something, and keeps the generators that begin in its first step from the event loop.

    The loop closes all that it knows at its end, which is also when a server that nobody has closed cleans up: what
    follows the yield of a cleanup context would be skipped.
    """

    def __init__(self, awaitable: Awaitable[Any]) -> None:
        self._inner: Any = awaitable.__await__()
        self._begun = False

    def __await__(self) -> _Unnoticed:
        return self

    def __iter__(self) -> _Unnoticed:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        if self._begun:
            return self._inner.send(value)
        self._begun = True
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, None)
        try:
            return self._inner.send(None)
        finally:
            sys.set_asyncgen_hooks(*hooks)

    def throw(self, *error: Any) -> Any:
        return self._inner.throw(*error)

    def close(self) -> None:
        self._inner.close()


async def _advance(context: AsyncIterator[None]) -> bool:
    """Run a generator to its next yield; return False when it ended instead."""
    try:
        await anext(context)
    except StopAsyncIteration:
        return False
    return True


async def _finish(name: str, context: AsyncIterator[None]) -> None:
    if await _advance(context):
        if inspect.isasyncgen(context):
            await context.aclose()
        message = f"the cleanup context {name} has more than one yield: what followed the second one was not run"
        raise RuntimeError(message)
