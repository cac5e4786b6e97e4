"""Lets a signal break off what blocks the event loop while a service starts. Used by `loading` and `worker`.

A loop takes its signals between two callbacks: a module that waits for its database while it is imported, or a factory
that does, would have the process deaf until then.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any, Final, NoReturn

__all__ = ("hold", "interruptible", "release")

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_held: set[int] = set()


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Have SIGINT and SIGTERM raise KeyboardInterrupt in the block; then they are handled as they were.

    A loop that takes them hears of the signal nevertheless, as soon as it runs again. Does nothing outside of the main
    thread, nor for signals that are ignored.
    """
    kept: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        kept = {number: signal.getsignal(number) for number in _SIGNALS}
    kept = {number: handler for number, handler in kept.items() if handler not in {None, signal.SIG_IGN}}
    for number in kept:
        signal.signal(number, _break_off)
    try:
        release()
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def hold() -> None:
    """Have SIGINT and SIGTERM wait for the next `interruptible`, or for `release`: none is to come just before it."""
    _held.update(set(_SIGNALS) - signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS))


def release() -> None:
    """Let come what `hold` has held. Idempotent."""
    held = set(_held)
    _held.clear()
    if held:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, held)


def _break_off(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt
