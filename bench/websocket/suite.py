"""The benchmark of WebSockets. Used by `bench/__main__.py`."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Iterator
from functools import partial

from bench.processes import free_ports, running
from bench.runner import CHECKOUT, choose_cpus
from bench.servers.suite import allow_descriptors
from bench.suite import Ready, Suite

from . import peers, workloads
from .rows import BUSY, ROWS
from .runner import Place, measure

SECONDS = 1.0
SHORT_SECONDS = 0.5


@contextlib.contextmanager
def _ready(short: bool) -> Iterator[Ready]:
    expect_compiled()
    allow_descriptors()
    cpu, other_cpu = choose_cpus()
    [port] = free_ports(1)
    command = [sys.executable, "-m", "bench.websocket.echo", str(port)]
    with running("the echoing server", command, other_cpu, port, {}, CHECKOUT):
        place = Place(SHORT_SECONDS if short else SECONDS, port, cpu, other_cpu)
        yield Ready(partial(measure, place=place), "an other side of the benchmark's own", cpu is not None)


def expect_compiled() -> None:
    """Ends the program if a library is there without its parts in C: that would be no comparison."""
    for peer in peers.PEERS:
        if importlib.util.find_spec(peer.module) is not None:
            missing = [name for name in peer.compiled if not _is_compiled(name)]
            if missing:
                raise SystemExit(f"{peer.name} is there without its compiled {', '.join(missing)}: install its wheel")


def _is_compiled(name: str) -> bool:
    spec = importlib.util.find_spec(name)
    return spec is not None and (spec.origin or "").endswith((".so", ".pyd"))


WEBSOCKETS = Suite(
    title="WebSockets, servers and clients",
    peers=peers.BY_NAME,
    short_peers=peers.SHORT,
    workloads=workloads.BY_NAME,
    short_workloads=workloads.SHORT,
    short_rounds=2,
    ab_workloads=("server-100", "server-64k", "client-100", "client-64k"),
    ready=_ready,
    rows=ROWS,
    information=BUSY,
    measured="Time is CPU time of the process that is measured, all threads, for each message that came and went.",
    setup="bench/setup.sh servers",
    chart=("server-100", "CPU time of a server for echoing 100 bytes, 50 WebSockets"),
    stems=("websockets", "websockets", "websockets"),
    marker="bench-websockets",
    picture="docs/images/bench-websockets.svg",
)
