"""Work that needs nothing but a CPU, always as much: what `/work` does, and what the machine itself can do of it.

Run with a number of loops and seconds, it prints how often it did so many loops in the time. Used by `bare_app.py` and
`scaling.py`.
"""

from __future__ import annotations

import sys
import time

LOOPS = "BENCH_LOOPS"
"""The environment variable with the number of loops."""


def work(loops: int) -> None:
    """So many turns of an empty loop."""
    for _ in range(loops):
        pass


def loops_for(seconds: float) -> int:
    """How many loops take so long here, now; the shortest time of several counts."""
    count = 100_000
    shortest = float("inf")
    for _ in range(20):
        begin = time.perf_counter()
        work(count)
        shortest = min(shortest, time.perf_counter() - begin)
    return int(count * seconds / shortest)


def often(loops: int, seconds: float) -> float:
    """How often a second the work is done."""
    begin = time.perf_counter()
    count = 0
    while (taken := time.perf_counter() - begin) < seconds:
        work(loops)
        count += 1
    return count / taken


if __name__ == "__main__":
    print(often(int(sys.argv[1]), float(sys.argv[2])))
