"""The benchmark of servers: under wrk. Used by `bench/__main__.py`."""

from __future__ import annotations

import contextlib
import resource
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench.runner import choose_cpus
from bench.suite import Ready, Suite

from . import load, peers, workloads
from .content import FILE_BYTES, FILE_NAME
from .rows import LATENCY, ROWS
from .runner import Place, measure

SECONDS = 2
SHORT_SECONDS = 1
# The idle connections, on either side, and what else a process has open.
DESCRIPTORS = 4096


@contextlib.contextmanager
def placed(short: bool) -> Iterator[Place]:
    """What all measurements under wrk need: wrk, the file that is served, CPUs, descriptors."""
    wrk = load.find_wrk()
    allow_descriptors()
    server_cpu, load_cpu = choose_cpus()
    with tempfile.TemporaryDirectory(prefix="endwell-bench-") as folder:
        file = Path(folder, FILE_NAME)
        file.write_bytes(FILE_BYTES)
        yield Place(wrk, file, SHORT_SECONDS if short else SECONDS, server_cpu, load_cpu)


@contextlib.contextmanager
def _ready(short: bool) -> Iterator[Ready]:
    with placed(short) as place:
        yield Ready(partial(measure, place=place), place.other_side, place.server_cpu is not None)


def allow_descriptors() -> None:
    """Let this process and those that it starts have as many sockets open as the idle connections need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < DESCRIPTORS:
        most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


SERVERS = Suite(
    title="servers under wrk",
    peers=peers.BY_NAME,
    short_peers=peers.SHORT,
    workloads=workloads.BY_NAME,
    short_workloads=workloads.SHORT,
    short_rounds=2,
    ab_workloads=("text", "json", "echo", "path"),
    ready=_ready,
    rows=ROWS,
    information=LATENCY,
    measured="Time is CPU time of the server's processes, all threads, for each request.",
    setup="bench/setup.sh servers",
    chart=("text", "CPU time for answering one GET of 12 bytes, 50 keep-alive connections"),
    stems=("servers", "servers", "servers"),
    marker="bench-servers",
    picture="docs/images/bench-servers.svg",
)
