"""The benchmark of ASGI servers. Used by `bench/__main__.py`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

from bench.servers import runner
from bench.servers.runner import Place, attempt
from bench.servers.suite import placed
from bench.suite import Ready, Suite

from . import peers, scaling, workloads
from .peers import AsgiServer
from .rows import BASE, RATES, ROWS
from .work import loops_for
from .workloads import Workload

WORK_SECONDS = 0.001


def measure(server: AsgiServer, workload: Workload, place: Place, loops: int) -> dict[str, Any]:
    """One measurement: `{"figures": ...}`, or `{"failed": why}`."""
    if workload.kind == "scaling":
        return attempt(lambda: scaling.measure(server, workload, place, loops))
    return runner.measure(server.serving(workload.app), workload, place)


@contextlib.contextmanager
def _ready(short: bool) -> Iterator[Ready]:
    with placed(short) as place:
        yield Ready(
            partial(measure, place=place, loops=loops_for(WORK_SECONDS)), place.other_side, place.server_cpu is not None
        )


ASGI = Suite(
    title="ASGI servers under wrk",
    peers=peers.BY_NAME,
    short_peers=peers.SHORT,
    workloads=workloads.BY_NAME,
    short_workloads=workloads.SHORT,
    short_rounds=2,
    ab_workloads=("bare", "starlette"),
    ready=_ready,
    rows=ROWS,
    information=RATES,
    measured="Time is CPU time of the server's processes, all threads, for each request.",
    setup="bench/setup.sh servers",
    chart=("starlette", "CPU time for answering one GET of 12 bytes by Starlette, 50 keep-alive connections"),
    stems=("asgi", "asgi", "asgi"),
    marker="bench-asgi",
    picture="docs/images/bench-asgi.svg",
    base=BASE,
)
