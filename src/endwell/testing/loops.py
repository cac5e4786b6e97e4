"""Event loops for tests that make their own, and the end of such a loop in order.

Used by the `loop` fixture of the pytest plugin and by tests that are no coroutines.
"""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ("loop_context", "setup_test_loop", "teardown_test_loop")

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def setup_test_loop(loop_factory: LoopFactory = asyncio.new_event_loop) -> asyncio.AbstractEventLoop:
    """Make an event loop and have it be the current one of this thread. `teardown_test_loop` ends it."""
    loop = loop_factory()
    asyncio.set_event_loop(loop)
    return loop


def teardown_test_loop(loop: asyncio.AbstractEventLoop, fast: bool = False) -> None:
    """End an event loop as `asyncio.run` does, and close it; idempotent.

    Tasks that still run are cancelled and awaited, sessions and servers that are still open are closed, and named by a
    `ResourceWarning`.

    Args:
        loop: one that does not run now.
        fast: leave out the garbage collection, which finds what was forgotten in a cycle.

    """
    # Warnings are held back until the loop is closed: where they are errors they would come up in the middle of that.
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", ResourceWarning)
        try:
            if not loop.is_closed():
                runner = asyncio.Runner(loop_factory=lambda: loop)
                runner.get_loop()
                runner.close()
        finally:
            asyncio.set_event_loop(None)
        if not fast:
            gc.collect()
    for each in seen:
        if issubclass(each.category, ResourceWarning):
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno, source=each.source)
        else:
            show_warning(each)


def show_warning(recorded: warnings.WarningMessage) -> None:
    """Show a warning that was recorded: it has passed the filters."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        each = recorded
        warnings.warn_explicit(each.message, each.category, each.filename, each.lineno, source=each.source)


@contextmanager
def loop_context(
    loop_factory: LoopFactory = asyncio.new_event_loop, fast: bool = False
) -> Iterator[asyncio.AbstractEventLoop]:
    """Give an event loop, the current one of this thread, and end it. See `setup_test_loop`, `teardown_test_loop`."""
    loop = setup_test_loop(loop_factory)
    try:
        yield loop
    finally:
        teardown_test_loop(loop, fast=fast)
