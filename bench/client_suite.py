"""The benchmark of clients: against nginx. Used by `__main__.py`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial

from . import ab, peers, workloads
from .rows import ROWS
from .runner import choose_cpus, measure
from .server import running_servers
from .suite import Ready, Suite


@contextlib.contextmanager
def _ready(short: bool) -> Iterator[Ready]:
    worker_cpu, server_cpu = choose_cpus()
    with running_servers(server_cpu) as servers:
        yield Ready(
            partial(measure, servers=servers, cpu=worker_cpu),
            f"nginx {servers.nginx_version}",
            worker_cpu is not None,
        )


CLIENTS = Suite(
    title="clients against nginx, as without this",
    peers=peers.BY_NAME,
    short_peers=peers.SHORT,
    workloads=workloads.BY_NAME,
    short_workloads=workloads.SHORT,
    short_rounds=3,
    ab_workloads=ab.DEFAULT,
    ready=_ready,
    rows=ROWS,
    information=(),
    measured="Time is CPU time of all threads of the client's process; MB/s is for each second of it.",
    setup="bench/setup.sh",
    chart=("small", "CPU time for one GET of 12 bytes, 50 keep-alive connections"),
    stems=("results", "table", "chart"),
    marker="bench",
    picture="docs/images/bench.svg",
)
