"""One coarse timer for many deadlines.

A `loop.call_later` with its cancel costs 4 us and `asyncio.timeout` 18 us for each request; a dict entry costs a tenth
of one. So the exchanges of a session stand in one dict, each with the time when it is due, and one timer of the loop
looks through them when the earliest is due. A deadline is kept to within `GRANULARITY` seconds, never early.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, TypeVar

__all__ = ("GRANULARITY", "NEVER", "Deadlines", "Timed")

NEVER = float("inf")
GRANULARITY = 0.005
"""The timer fires at most once in this many seconds."""


class Timed(Protocol):
    """What can stand under a deadline."""

    due: float
    """Loop time at which `expire` is to be called, `NEVER` for none."""

    def expire(self, now: float) -> None:
        """Act on the deadline; an entry that finds it has more time sets `due` anew and returns."""


T = TypeVar("T", bound=Timed)


class Deadlines(dict[T, None]):
    """The entries under watch, in the order they came.

    With ten thousand entries a look at all of them costs a millisecond: who has so many gives a `granularity` (seconds
    between two looks) that is coarser. `wake` is the loop time at which the timer fires: who puts an entry in that is
    due before calls `sooner`.
    """

    __slots__ = ("_granularity", "_handle", "_loop", "wake")

    def __init__(self, loop: asyncio.AbstractEventLoop, granularity: float = GRANULARITY) -> None:
        super().__init__()
        self._loop = loop
        self._granularity = granularity
        self._handle: asyncio.TimerHandle | None = None
        self.wake = NEVER

    __hash__ = object.__hash__  # type: ignore[assignment]  # dict says None: it is compared here by identity

    def sooner(self, due: float) -> None:
        """Say that an entry's `due` was moved forward to this loop time."""
        if due < self.wake:
            self._arm(due)

    def stop(self) -> None:
        """Cancel the timer; the entries stay."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self.wake = NEVER

    def _arm(self, due: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        # The timers of uvloop have a resolution of 1 ms and may fire just before the time that was asked for.
        self.wake = max(due, self._loop.time() + self._granularity)
        self._handle = self._loop.call_at(self.wake + 0.001, self._fire)

    def _fire(self) -> None:
        self._handle = None
        self.wake = NEVER
        now = self._loop.time()
        try:
            for entry in [entry for entry in self if entry.due <= now]:
                if entry in self:
                    self._expire(entry, now)
        finally:
            earliest = min((entry.due for entry in self), default=NEVER)
            if earliest < self.wake:
                self._arm(earliest)

    def _expire(self, entry: T, now: float) -> None:
        """Tell one entry; what goes wrong there is not the others' business."""
        try:
            entry.expire(now)
        except Exception as error:  # noqa: BLE001 - a fault of ours, which the loop's handler is told
            if entry.due <= now:
                entry.due = NEVER  # asked again, it would fail again, for ever
            message = f"The deadline of {entry!r} could not be acted on"
            self._loop.call_exception_handler({"message": message, "exception": error})
