"""CPU time and memory of a process and of those it has started, seen from outside. Linux. Used by `runner.py`."""

from __future__ import annotations

import time
from pathlib import Path

from bench.worker import memory


def family(process: int) -> list[int]:
    """The process, its children and theirs, by their ids."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name, in brackets, may itself contain anything.
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended
        children.setdefault(parent, []).append(int(stat.parent.name))
    found = [process]
    for one in found:  # grows meanwhile
        found += children.get(one, ())
    return found


def cpu_seconds(processes: list[int]) -> float:
    """CPU time of the processes so far, user and system, all threads, those that have ended as well."""
    return sum(time.clock_gettime(_cpu_clock(process)) for process in processes)


def _cpu_clock(process: int) -> int:
    """The clock of another process, as clock_getcpuclockid(3) gives it, which Python has for threads only."""
    return (~process << 3) | 2


def memory_kib(processes: list[int]) -> int:
    """The resident memory of the processes together."""
    return sum(memory("VmRSS", process) for process in processes)
