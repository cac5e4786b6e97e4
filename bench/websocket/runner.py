"""One measurement of a WebSocket peer: in a fresh process on one CPU, the other side on another. Used by `suite.py`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.processes import pinned
from bench.runner import module_paths, run_worker
from bench.servers import observe
from bench.servers.load import WrongAnswerError
from bench.servers.runner import SETTLE_SECONDS, WARM_UP_CONNECTIONS, attempt, serving

from . import load
from .echo import DEFLATE
from .peers import Peer
from .workloads import Workload

WORKER = Path(__file__).with_name("worker.py")
WARM_UP_SECONDS = 0.5
WARM_UP_MESSAGES = 20
"""Of each WebSocket of a client."""


@dataclass(frozen=True)
class Place:
    """What all measurements of a run have in common."""

    seconds: float
    """How long a server is measured."""
    echo_port: int
    """Where the server of `echo.py` listens."""
    cpu: int | None
    """Of what is measured."""
    other_cpu: int | None


def measure(peer: Peer, workload: Workload, place: Place) -> dict[str, Any]:
    """One measurement: `{"figures": ...}`, or `{"failed": why}`."""
    if workload.side == "client":
        return run_worker(WORKER, _spec(peer, workload, place), place.cpu)
    return attempt(lambda: _serve(peer, workload, place))


def _serve(peer: Peer, workload: Workload, place: Place) -> dict[str, float]:
    with serving(peer, place.cpu) as (process, port), pinned(place.other_cpu):
        if workload.side == "idle":
            return _idle(process, workload, port)
        return _echoes(process, workload, port, place.seconds)


def _echoes(process: int, workload: Workload, port: int, seconds: float) -> dict[str, float]:
    with load.opened(workload.connections, port, kind=workload.kind, deflate=workload.deflate) as lanes:
        load.run(lanes, WARM_UP_SECONDS)
        family = observe.family(process)
        before = observe.cpu_seconds(family)
        count, taken = load.run(lanes, seconds)
        cpu = observe.cpu_seconds(family) - before
        if observe.family(process) != family:
            raise WrongAnswerError("its processes were not the same at the end as at the beginning")
    return {"cpu_us": cpu / count * 1e6, "messages_per_s": count / taken, "busy_percent": cpu / taken * 100}


def _idle(process: int, workload: Workload, port: int) -> dict[str, float]:
    with load.opened(WARM_UP_CONNECTIONS, port, deflate=workload.deflate):
        pass
    family = observe.family(process)
    time.sleep(SETTLE_SECONDS)
    before = observe.memory_kib(family)
    with load.opened(workload.connections, port, deflate=workload.deflate) as lanes:
        time.sleep(SETTLE_SECONDS)
        after = observe.memory_kib(family)
        load.expect_open(lanes)
    return {"kb_per_connection": (after - before) / workload.connections}


def _spec(peer: Peer, workload: Workload, place: Place) -> dict[str, Any]:
    return {
        "paths": module_paths(peer),
        "hidden": peer.hidden,
        "adapter": peer.adapter,
        "module": peer.module,
        "url": f"ws://127.0.0.1:{place.echo_port}{DEFLATE if workload.deflate else '/plain'}",
        "kind": workload.kind,
        "deflate": workload.deflate,
        "connections": workload.connections,
        "count": workload.count,
        "warm_up": WARM_UP_MESSAGES * workload.connections,
    }
