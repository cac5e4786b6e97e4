"""What the report shows: the figure that is taken from each workload, and the goal it is held against.

The goals are those the project set itself before the first line of the client was written.
"""

from __future__ import annotations

from dataclasses import dataclass

SUBJECT = "endwell"
BASE = "aiohttp"


@dataclass(frozen=True)
class Goal:
    """Something `endwell` must reach: a factor over a peer, or a limit."""

    text: str
    peer: str | None = None
    factor: float | None = None
    """How many times better than the peer (1 is equal, more is better)."""
    limit: float | None = None
    """The most that the figure may be, in the row's unit."""
    least: float | None = None
    """The least that the figure may be, in the row's unit."""
    best_of: tuple[str, ...] = ()
    """Instead of one peer: the factor over whichever of these is the best. Not measured, if one of them was not."""


@dataclass(frozen=True)
class Row:
    """One line of the report."""

    title: str
    workload: str
    figure: str
    unit: str
    digits: int = 0
    higher_is_better: bool = False
    goals: tuple[Goal, ...] = ()


def times(factor: float, peer: str = BASE) -> Goal:
    """The goal to be so many times better than a peer."""
    return Goal(f"{factor:g}x" if peer == BASE else f"{factor:g}x {peer}", peer, factor)


def cpu(title: str, workload: str, *goals: Goal, digits: int = 0) -> Row:
    """A row of CPU microseconds for each request or message."""
    return Row(title, workload, "cpu_us", "us", digits, goals=goals)


ROWS = (
    cpu("GET 12 bytes, 50 connections", "small", times(3.3), times(1.15, "pyreqwest")),
    cpu("20 response fields", "fields", times(3)),
    cpu("20 response fields, one looked up", "fields-read"),
    cpu("every URL new", "urls"),
    cpu("POST of 1 KB of JSON", "json", times(2.5)),
    cpu("Set-Cookie on each response", "cookies", times(2.5)),
    cpu("through one redirect", "redirect", times(2.5)),
    cpu("1 connection at a time", "serial", times(2.5)),
    cpu("1,000 connections at once", "thousand", times(3.3)),
    cpu("default loop instead of uvloop", "asyncio", times(2)),
    cpu("GET 10 KB", "10k", times(3)),
    cpu("GET 1 MB", "1m", times(1.5)),
    Row("streaming download of 100 MB", "download", "mb_per_cpu_s", "MB/s", 0, True, (times(1.3),)),
    Row("streaming upload of 100 MB", "upload", "mb_per_cpu_s", "MB/s", 0, True, (times(1),)),
    cpu("TLS, keep-alive", "tls", times(2)),
    cpu("new connection each time", "connect", times(2)),
    cpu("new TLS connection each time", "tls-connect", times(2)),
    Row("memory of an idle connection", "idle", "kb_per_connection", "KB", 1, goals=(Goal("at most 10 KB", limit=10),)),
    Row("import", "import", "cpu_ms", "ms", 1, goals=(Goal("0.6 of its time", BASE, 1 / 0.6),)),
    Row("import, one GET, close", "first", "cpu_ms", "ms", 1),
    Row("peak memory, download", "download", "peak_mb", "MB", 1, goals=(Goal("at most 10 MB", limit=10),)),
    Row("peak memory, upload", "upload", "peak_mb", "MB", 1, goals=(Goal("at most 10 MB", limit=10),)),
)
