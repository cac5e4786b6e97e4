"""The places of the workers, and what is decided about them without doing anything: waits, and who covers for whom."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Mapping
from typing import Final

from endwell.service.process import Phase, Worker

__all__ = ("STABLE", "Slot", "coverage", "pause", "spent_at")

STABLE: Final = 10.0
"""Seconds after which a worker that ends is not one of a row of failures any more."""

_FIRST_PAUSE: Final = 0.5
_MOST_DOUBLINGS: Final = 16


class Slot:
    """The place of one worker.

    Attributes:
        number: of the slot.
        serving: the worker that is ready, or None.
        incoming: the one that starts, to be the first or to take the place of the other; or None.
        failures: failed starts and early deaths in a row.
        restarts: how many workers have come after the first one.
        error: why the last one failed; None when all is well.
        timer: of the next attempt.

    """

    __slots__ = ("error", "failures", "incoming", "number", "restarts", "serving", "timer")

    def __init__(self, number: int) -> None:
        self.number = number
        self.serving: Worker | None = None
        self.incoming: Worker | None = None
        self.failures = 0
        self.restarts = -1
        self.error: str | None = None
        self.timer: asyncio.TimerHandle | None = None

    @property
    def ready(self) -> bool:
        """Whether somebody accepts from its sockets who belongs there."""
        return self.serving is not None and self.serving.phase is Phase.READY

    def wait_no_longer(self) -> None:
        """Forget about the next attempt."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


def pause(failures: int, longest: float) -> float:
    """Give the seconds before the next attempt after so many failures in a row: twice as long each time.

    The first worker that dies after it was ready is replaced at once: count its death only then.
    """
    if failures <= 0:
        return 0.0
    return min(longest, _FIRST_PAUSE * 2.0 ** min(failures - 1, _MOST_DOUBLINGS))


def coverage(vacant: Collection[int], ready: Collection[int], current: Mapping[int, int]) -> dict[int, int]:
    """Say which slot's worker accepts from the sockets of each vacant slot.

    Args:
        vacant: slots without a worker that is ready.
        ready: slots with one.
        current: who does so now: vacant slot to covering slot.

    A worker that covers already goes on; the others share the rest evenly.
    """
    covered = {slot: by for slot, by in current.items() if slot in vacant and by in ready}
    load = dict.fromkeys(sorted(ready), 0)
    for by in covered.values():
        load[by] += 1
    for slot in sorted(vacant):
        if slot not in covered and load:
            by = min(load, key=load.__getitem__)
            covered[slot] = by
            load[by] += 1
    return covered


def spent_at(most: int, jitter: int) -> int:
    """Give the number of requests after which a worker is replaced; 0 for none."""
    return most + random.randint(0, jitter) if most else 0  # noqa: S311 - nobody is to guess it
