"""Runs the measurements: each in a fresh process, the clients in turns, the worker and the servers on different CPUs.

A result is a plain dict that goes into the JSON file as it is: `round`, `peer`, `workload`, and either `figures` or
`failed`. Used by `__main__.py`, `client_suite.py` and `websocket/`.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from .peers import Peer
from .server import Servers
from .workloads import DOCUMENT, Workload

HERE = Path(__file__).parent
CHECKOUT = HERE.parent
# No site: a `.pth` file of one peer must not run, or import anything, in the processes of the others.
PYTHON = (sys.executable, "-I", "-S")
LIMIT_SECONDS = 180
COLD_STARTS = 7


def choose_cpus() -> tuple[int | None, int | None]:
    """The CPUs of the worker and of the servers; None where there is only one for both."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    cpus = sorted(os.sched_getaffinity(0))
    return (cpus[0], cpus[1]) if len(cpus) > 1 else (None, None)


def run_rounds(
    peers: Sequence[Any],
    workloads: Sequence[Any],
    rounds: int,
    measure: Callable[[Any, Any], dict[str, Any]],
    progress: Callable[[str], None],
) -> Iterator[dict[str, Any]]:
    """Each round runs each workload once with each peer; who begins changes from round to round.

    What a peer says it does not support is left out. `measure` gives `{"figures": ...}` or `{"failed": why}`.
    """
    total = rounds * sum(workload.name not in peer.unsupported for peer in peers for workload in workloads)
    done = 0
    for number in range(rounds):
        for place, workload in enumerate(workloads):
            first = (number + place) % len(peers)
            for peer in [*peers[first:], *peers[:first]]:
                if workload.name in peer.unsupported:
                    continue
                done += 1
                progress(f"[{done}/{total}] round {number + 1}: {workload.name}, {peer.name}")
                yield {"round": number, "peer": peer.name, "workload": workload.name, **measure(peer, workload)}


def measure(peer: Peer, workload: Workload, servers: Servers, cpu: int | None) -> dict[str, Any]:
    """One measurement: `{"figures": ...}`, or `{"failed": why}`."""
    if workload.kind in ("import", "first"):
        return _attempt(lambda: _cold(peer, workload, servers, cpu))
    return run_worker(HERE / "worker.py", _spec(peer, workload, servers), cpu)


def run_worker(script: Path, spec: dict[str, Any], cpu: int | None) -> dict[str, Any]:
    """Run a script that prints its figures and its errors on a CPU; what it says is the measurement."""
    return _attempt(lambda: json.loads(_run([str(script), json.dumps(spec)], {}, cpu)))


def _attempt(measurement: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        figures = measurement()
    except subprocess.CalledProcessError as error:
        return {"failed": _reason(error)}
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {LIMIT_SECONDS} s"}
    if figures.get("errors"):
        return {"failed": f"{figures['errors']} errors, the first: {figures['first_error']}"}
    return {"figures": {name: value for name, value in figures.items() if name not in ("errors", "first_error")}}


def _spec(peer: Peer, workload: Workload, servers: Servers) -> dict[str, Any]:
    def url(path: str) -> str:
        return servers.url(workload.server, workload.host, path)

    count = workload.count
    if workload.kind == "requests":
        count = max(int(count * peer.share), 2 * workload.connections)
    path = f"{workload.path}/{workload.count}" if workload.kind == "idle" else workload.path
    return {
        "paths": module_paths(peer),
        "adapter": peer.adapter,
        "module": peer.module,
        "kind": workload.kind,
        "method": workload.method,
        "loop": workload.loop,
        "url": url(path),
        "small_url": url("/small"),
        "check_url": url("/cookie-check"),
        "connections": workload.connections,
        "count": count,
        "warm_up": workload.warm_up,
        "body": workload.body,
        "cookies": workload.cookies,
        "redirects": workload.redirects,
        "ca_file": str(servers.ca_file) if workload.server.startswith("https") else None,
        "document": DOCUMENT if workload.method == "json" else None,
    }


def module_paths(peer: Any) -> list[str]:
    """Where a worker finds modules: what was asked for, the checkout this file is in, the installed packages."""
    purelib, platlib = sysconfig.get_path("purelib"), sysconfig.get_path("platlib")
    return list(dict.fromkeys([*peer.paths, str(CHECKOUT / "src"), str(CHECKOUT), purelib, platlib]))


def _cold(peer: Peer, workload: Workload, servers: Servers, cpu: int | None) -> dict[str, float]:
    """The median of several fresh processes, after one whose only purpose is to write the compiled files."""
    arguments = [str(HERE / "cold.py"), workload.kind, peer.module]
    if workload.kind == "first":
        arguments += [peer.adapter, servers.url(workload.server, workload.host, workload.path)]
    environment = {"BENCH_PATHS": os.pathsep.join(module_paths(peer))}
    seconds = [float(_run(arguments, environment, cpu)) for _ in range(COLD_STARTS + 1)]
    return {"cpu_ms": statistics.median(seconds[1:]) * 1000}


def _run(arguments: list[str], environment: dict[str, str], cpu: int | None) -> str:
    def pin() -> None:
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})

    done = subprocess.run(
        [*PYTHON, *arguments],
        env={"PATH": os.environ.get("PATH", ""), **environment},  # no proxies, no settings of the user's
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT_SECONDS,
        preexec_fn=pin,  # before the interpreter starts, so that a client that counts CPUs counts right
    )
    return done.stdout


def _reason(error: subprocess.CalledProcessError) -> str:
    """Why a process failed: what it says of a crash of the interpreter, or the last line of its traceback."""
    lines = error.stderr.strip().splitlines()
    crashes = [line for line in lines if line.startswith("Fatal Python error")]
    return (crashes or lines or [f"ended with status {error.returncode} without a word"])[-1]
