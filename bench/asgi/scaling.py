"""Two workers against one, on two CPUs: a measurement of its own, since only a rate can show it. Used by `suite.py`.

wrk needs a CPU as well. So each request is a millisecond of work, and wrk's share of the time is a fiftieth. What two
processes that do the same work, without a server, reach against one is measured before and after: two CPUs of a rented
machine are not always two, and where they are not, or others use them, there is no measurement.
"""

from __future__ import annotations

import http.client
import subprocess
import sys
import time
from typing import Any

from bench.runner import CHECKOUT
from bench.servers import load
from bench.servers.check import check
from bench.servers.content import FILE
from bench.servers.load import WrongAnswerError
from bench.servers.runner import WARM_UP_SECONDS, Place, serving

from .peers import AsgiServer
from .work import LOOPS
from .workloads import Workload

WORKERS_SECONDS = 10
"""In which all workers must have answered once."""
MACHINE_SECONDS = 0.5
FREE = (1.85, 2.15)
"""What two processes must do against one, for two CPUs to be free."""


def measure(server: AsgiServer, workload: Workload, place: Place, loops: int) -> dict[str, Any]:
    """The rates of one worker and of two, and what the machine gives. Raises WrongAnswerError if it is not free."""
    before = _expect_free(_machine(2, loops) / _machine(1, loops))
    one = _rate(server, workload, place, loops, 1)
    two = _rate(server, workload, place, loops, 2)
    after = _expect_free(_machine(2, loops) / _machine(1, loops))
    return {"one_per_s": one, "two_per_s": two, "times": two / one, "machine_times": (before + after) / 2}


def _expect_free(times: float) -> float:
    if not FREE[0] <= times <= FREE[1]:
        raise WrongAnswerError(
            f"two CPUs are not free: two processes without a server do {times:.2f} times as much as one"
        )
    return times


def _machine(processes: int, loops: int) -> float:
    command = [sys.executable, "-m", "bench.asgi.work", str(loops), str(MACHINE_SECONDS)]
    running = [
        subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True, env={}) for _ in range(processes)
    ]
    return sum(float(process.communicate()[0]) for process in running)


def _rate(server: AsgiServer, workload: Workload, place: Place, loops: int, workers: int) -> float:
    settings = {FILE: str(place.file), LOOPS: str(loops)}
    with serving(server.serving(workload.app, workers), None, settings) as (_, port):
        _expect_workers(port, workers)
        check(workload, port)
        load.run(load.command(place.wrk, workload, port, WARM_UP_SECONDS), None, WARM_UP_SECONDS)
        found = load.run(load.command(place.wrk, workload, port, place.seconds), None, place.seconds)
    rate: float = found["requests"] / found["seconds"]
    return rate


def _expect_workers(port: int, workers: int) -> None:
    """Wait until so many processes have answered. Raises WrongAnswerError if they do not."""
    deadline = time.monotonic() + WORKERS_SECONDS
    seen: set[bytes] = set()
    while len(seen) < workers:
        if time.monotonic() > deadline:
            raise WrongAnswerError(f"{len(seen)} of {workers} workers answered within {WORKERS_SECONDS} s")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WORKERS_SECONDS)
        try:
            connection.request("GET", "/process")
            seen.add(connection.getresponse().read())
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)  # a worker that is about to be there
        finally:
            connection.close()
