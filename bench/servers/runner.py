"""One measurement of a server: in a fresh process on one CPU, under wrk on the other.

Used by `suite.py`, and by the benchmarks of WebSockets and of ASGI.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.processes import DidNotStart, free_ports, running
from bench.runner import CHECKOUT

from . import load, observe
from .check import check
from .content import FILE, TEXT
from .load import WrongAnswerError
from .peers import Server
from .workloads import Workload

WARM_UP_SECONDS = 1
# Time for a server to put away what it needed for the last answer.
SETTLE_SECONDS = 0.3
WARM_UP_CONNECTIONS = 50
REQUEST = b"%b %b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@dataclass(frozen=True)
class Place:
    """What all measurements of a run have in common."""

    wrk: str
    file: Path
    """What `/file` serves."""
    seconds: int
    """How long wrk makes load in one measurement."""
    server_cpu: int | None
    load_cpu: int | None

    @property
    def other_side(self) -> str:
        """The program that makes the load, and its version."""
        return f"wrk {load.version(self.wrk)}"


def measure(server: Server, workload: Workload, place: Place) -> dict[str, Any]:
    """One measurement: `{"figures": ...}`, or `{"failed": why}`."""
    return attempt(lambda: _serve(server, workload, place))


def _serve(server: Server, workload: Workload, place: Place) -> dict[str, float]:
    with serving(server, place.server_cpu, {FILE: str(place.file)}) as (process, port):
        check(workload, port)
        if workload.kind == "idle":
            return _idle(process, workload, port)
        return _load(process, workload, port, place)


@contextlib.contextmanager
def serving(server: Server, cpu: int | None, settings: Mapping[str, str] | None = None) -> Iterator[tuple[int, int]]:
    """Let a server run on a CPU for the time of a `with` block: its process id and its port."""
    [port] = free_ports(1)
    command = [sys.executable, *server.command(port)]
    # No proxies, no settings of the user's.
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": os.pathsep.join([*server.paths, str(CHECKOUT / "src")]),
        "PYTHONNOUSERSITE": "1",
        **(settings or {}),
    }
    with running(server.name, command, cpu, port, environment, CHECKOUT) as process:
        yield process, port


def attempt(measurement: Callable[[], dict[str, float]]) -> dict[str, Any]:
    """The figures of a measurement, or why there are none."""
    try:
        return {"figures": measurement()}
    except DidNotStart as error:
        return {"failed": str(error).strip().rpartition("\n")[2]}
    except subprocess.TimeoutExpired:
        return {"failed": f"wrk did not end within {load.PATIENCE_SECONDS} s after its time"}
    except (WrongAnswerError, OSError) as error:
        return {"failed": str(error)}


def _load(process: int, workload: Workload, port: int, place: Place) -> dict[str, float]:
    def run(seconds: int) -> dict[str, Any]:
        return load.run(load.command(place.wrk, workload, port, seconds), place.load_cpu, seconds)

    run(WARM_UP_SECONDS)
    family = observe.family(process)
    before = observe.cpu_seconds(family)
    found = run(place.seconds)
    cpu = observe.cpu_seconds(family) - before
    if observe.family(process) != family:
        raise WrongAnswerError("its processes were not the same at the end as at the beginning")
    count, seconds = found.pop("requests"), found.pop("seconds")
    return {"cpu_us": cpu / count * 1e6, "requests_per_s": count / seconds, **found}


def _idle(process: int, workload: Workload, port: int) -> dict[str, float]:
    with _connections(WARM_UP_CONNECTIONS, workload, port):
        pass
    family = observe.family(process)
    time.sleep(SETTLE_SECONDS)
    before = observe.memory_kib(family)
    with _connections(workload.connections, workload, port) as sockets:
        time.sleep(SETTLE_SECONDS)
        after = observe.memory_kib(family)
        _expect_open(sockets)
    return {"kb_per_connection": (after - before) / workload.connections}


@contextlib.contextmanager
def _connections(count: int, workload: Workload, port: int) -> Iterator[list[socket.socket]]:
    """Connections, on each of which one request was answered, one after another."""
    with contextlib.ExitStack() as stack:
        sockets: list[socket.socket] = []
        for _ in range(count):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            sock.sendall(REQUEST % (workload.method.encode(), workload.path.encode()))
            answer = b""
            while not answer.endswith(TEXT.encode()):
                piece = sock.recv(4096)
                if not piece:
                    raise WrongAnswerError(f"connection {len(sockets) + 1} was closed after {len(answer)} bytes")
                answer += piece
            sockets.append(sock)
        yield sockets


def _expect_open(sockets: list[socket.socket]) -> None:
    for number, sock in enumerate(sockets, 1):
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            raise WrongAnswerError(
                f"idle connection {number} was closed, or got {len(sock.recv(1))} bytes nobody asked for"
            )
