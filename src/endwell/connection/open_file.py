"""A file that is open to be sent: its descriptor, read off the event loop and closed exactly once.

Used by `BodyWriter.send_file` and by the server's file responses. Whatever opens, reads or stats a file may wait for a
disk, or for a network, so it runs in the loop's default executor (`asyncio.run` ends that with the loop; whoever makes
a loop by hand ends it with `loop.shutdown_default_executor()`). A thread cannot be cancelled, so two things are looked
after here: what a thread opens for somebody who has been cancelled meanwhile is closed by the thread, and a descriptor
is not closed under a thread that reads it, for its number could be another file's by then.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from threading import Lock
from typing import Generic, Protocol, TypeVar

__all__ = ("Closable", "OpenFile", "open_in_thread")


class Closable(Protocol):
    """What is closed by `close`, more than once without harm."""

    def close(self) -> None:
        """Free what is held."""


_Opened = TypeVar("_Opened", bound=Closable)


class OpenFile:
    """A file, open for reading, that is read at positions: nothing moves, so any number may read it.

    Args:
        fd: the descriptor, which this owns from now on.
        name: what errors call the file.

    """

    __slots__ = ("_closed", "_fd", "_lock", "_readers", "name")

    def __init__(self, fd: int, name: str) -> None:
        self.name = name
        self._fd = fd
        self._closed = False
        self._readers = 0
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"<OpenFile {self.name!r} {'closed' if self._closed else 'open'}>"

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def fileno(self) -> int:
        """Give the descriptor. Raises ValueError when the file is closed."""
        if self._closed:
            message = f"{self.name!r} is closed"
            raise ValueError(message)
        return self._fd

    def read_at(self, offset: int, count: int) -> bytes:
        """Read at most `count` bytes from `offset` on; nothing at the end of the file. In any thread; blocks.

        Raises:
            OSError: it cannot be read.
            ValueError: it is closed.

        """
        with self._lock:
            fd = self.fileno()
            self._readers += 1
        try:
            return os.pread(fd, count, offset)
        finally:
            with self._lock:
                self._readers -= 1
                last = self._closed and not self._readers
            if last:
                os.close(fd)

    def close(self) -> None:
        """Close the file, or have the thread do so that reads it now. Idempotent.

        Runs on the loop: nothing was written, so there is nothing that a close has to wait for.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            unused = not self._readers
        if unused:
            os.close(self._fd)


class _Opening(Generic[_Opened]):
    """What a thread opens, for whoever waits for it."""

    __slots__ = ("_abandoned", "_call", "_lock", "_opened")

    def __init__(self, call: Callable[[], _Opened]) -> None:
        self._call = call
        self._lock = Lock()
        self._opened: _Opened | None = None
        self._abandoned = False

    def run(self) -> _Opened:
        opened = self._call()
        with self._lock:
            self._opened = opened
            abandoned = self._abandoned
        if abandoned:
            opened.close()
        return opened

    def abandon(self) -> None:
        with self._lock:
            self._abandoned = True
            opened = self._opened
        if opened is not None:
            opened.close()


async def open_in_thread(call: Callable[[], _Opened]) -> _Opened:
    """Run `call` in the loop's executor and give what it opened, which the caller closes.

    On cancellation what `call` gives, now or later, is closed. What it raises is raised here.
    """
    opening = _Opening(call)
    taken = False
    try:
        opened = await asyncio.get_running_loop().run_in_executor(None, opening.run)
        taken = True
        return opened
    finally:
        if not taken:
            opening.abandon()
