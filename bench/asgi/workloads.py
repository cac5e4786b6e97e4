"""What ASGI servers are asked to do: the same answer from two applications, and work that needs a CPU.

Titles, figures and goals are in `rows.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.servers import workloads as servers

BARE = "bench.asgi.bare_app:app"
STARLETTE = "bench.servers.apps.starlette_app:app"


@dataclass(frozen=True)
class Workload(servers.Workload):
    """What wrk asks for, as in the servers' benchmark, and of whom."""

    app: str = BARE


WORKLOADS = (
    Workload("bare", "/text"),
    Workload("starlette", "/text", app=STARLETTE),
    Workload("scaling", "/work", kind="scaling"),
)
BY_NAME = {workload.name: workload for workload in WORKLOADS}
SHORT = ("bare", "starlette")
