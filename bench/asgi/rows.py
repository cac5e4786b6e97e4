"""What the report shows of ASGI servers, and the goals, which the project set itself before it had one."""

from __future__ import annotations

from bench.rows import Goal, Row, cpu, times

BASE = "uvicorn"

ROWS = (
    cpu("ASGI, 12 bytes, no framework", "bare"),
    cpu("Starlette, 12 bytes", "starlette", times(1, BASE)),
    Row(
        "two workers against one",
        "scaling",
        "times",
        "x",
        2,
        higher_is_better=True,
        goals=(Goal("at least 1.8", least=1.8),),
    ),
)
RATES = (
    Row("ASGI, 12 bytes, no framework", "bare", "requests_per_s", "1/s", higher_is_better=True),
    Row("Starlette, 12 bytes", "starlette", "requests_per_s", "1/s", higher_is_better=True),
    Row("1 ms of work, one worker", "scaling", "one_per_s", "1/s", higher_is_better=True),
    Row("1 ms of work, two workers", "scaling", "two_per_s", "1/s", higher_is_better=True),
    Row("what two processes do against one on this machine", "scaling", "machine_times", "x", 2, higher_is_better=True),
)
"""For information."""
