"""What the report shows of the servers, and the goals, which the project set itself before it wrote its server."""

from __future__ import annotations

from bench.rows import Goal, Row, cpu, times

from .peers import PYTHON_CODED, WITH_ROUTER

BEST_OF_PYTHON = Goal("best of those in Python", factor=1, best_of=PYTHON_CODED)

ROWS = (
    cpu("text, 12 bytes", "text", times(3), times(1, "granian"), times(1, "blacksheep")),
    cpu("JSON, 1 KB", "json", times(2.5), BEST_OF_PYTHON),
    cpu("POST, 1 KB echoed", "echo", times(2.5), BEST_OF_PYTHON),
    cpu("path parameter, 100 routes", "path", times(4), Goal("best with a router", factor=1, best_of=WITH_ROUTER)),
    cpu("file of 1 MB", "file", times(1)),
    Row("memory of an idle connection", "idle", "kb_per_connection", "KB", 1, goals=(Goal("at most 5 KB", limit=5),)),
)

_LOADS = {row.workload: row.title for row in ROWS if row.figure == "cpu_us"}
LATENCY = tuple(
    Row(f"{title}, {words}", workload, figure, "ms", 2)
    for workload, title in _LOADS.items()
    for figure, words in (("p50_ms", "median"), ("p99_ms", "99th percentile"))
)
"""For information: under full load, most of it is waiting until the requests of the other connections are answered."""
