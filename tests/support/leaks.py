"""The leak check that every test ends with (closing.md, "How it is tested"); used by `tests/conftest.py`.

A `LeakWatch` is begun before the body of a test and ended after its loop is closed. It knows about file descriptors,
threads, tasks, exceptions that nobody retrieved, and whatever Python could only print (a ResourceWarning in a
finaliser that is an error, a coroutine that was never awaited).
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import traceback
from typing import Any

# Threads that a library starts once for the whole process, on first use, and that no close of ours may stop.
PROCESS_WIDE_THREADS = ("_run_safe_shutdown_loop",)  # pycares: destroys c-ares channels outside their own callbacks


def open_fds() -> dict[int, str]:
    """Return what `/proc/self/fd` shows: number and target of each open descriptor (the listing's own left out)."""
    found: dict[int, str] = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:  # the descriptor of the listing itself
            continue
    return found


def open_sockets() -> set[str]:
    """Return the sockets this process has, by inode: for tests that count them while the loop still runs."""
    return {target for target in open_fds().values() if target.startswith("socket:")}


def describe_task(task: asyncio.Task[Any]) -> str:
    """Return name, coroutine and the chain of awaits down to where the task waits."""
    coroutine: Any = task.get_coro()
    name = f"{task.get_name()} {getattr(coroutine, '__qualname__', coroutine)}"
    places = []
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is not None:
            places.append(f"{frame.f_code.co_filename}:{frame.f_lineno}")
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    return f"{name} at {' > '.join(places)}"


class LeakWatch:
    """What was open before a test, and what the test left behind."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._fds = open_fds()
        self._threads = set(threading.enumerate())
        self._previous_hook = sys.unraisablehook
        sys.unraisablehook = self._unraisable

    def note_tasks(self) -> None:
        """Record the tasks of the running loop, the current one apart: called at the end of a test's body."""
        left = asyncio.all_tasks() - {asyncio.current_task()}
        self.problems += sorted(f"task left: {describe_task(task)}" for task in left)

    def loop_exception(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Be the exception handler of a loop: whatever arrives here was lost."""
        error = context.get("exception")
        text = "".join(traceback.format_exception(error)) if error is not None else ""
        self.problems.append(f"never retrieved: {context.get('message')} {text}".rstrip())

    def _unraisable(self, lost: Any) -> None:
        # Only text is kept: the object and its traceback would stay alive with us.
        text = "".join(traceback.format_exception_only(lost.exc_type, lost.exc_value)).strip()
        self.problems.append(f"unraisable: {lost.err_msg or 'in'} {lost.object!r}: {text}")

    def end(self, *, look: bool) -> list[str]:
        """Collect garbage, put the hook back and return the problems; `look=False` for a test that failed by itself."""
        try:
            gc.collect()
            if not look:
                return []
            self._look_at_threads()
            self._look_at_fds()
            return self.problems
        finally:
            sys.unraisablehook = self._previous_hook

    def _look_at_fds(self) -> None:
        known = set(self._fds.items())
        self.problems += [
            f"fd left: {fd} -> {target}" for fd, target in open_fds().items() if (fd, target) not in known
        ]

    def _look_at_threads(self) -> None:
        for thread in set(threading.enumerate()) - self._threads:
            if any(name in thread.name for name in PROCESS_WIDE_THREADS):
                continue
            thread.join(0.2)  # one that has been told to end may still be on its last lines
            if thread.is_alive():
                self.problems.append(f"thread left: {thread.name}")
