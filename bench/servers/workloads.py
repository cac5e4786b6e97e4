"""What is measured: each workload is one kind of request that wrk repeats, or the memory of idle connections.

A workload is one measurement of one server in a process of its own. Their titles, the figures taken from them and the
goals are in `rows.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from .content import CHOSEN


@dataclass(frozen=True)
class Workload:
    """One thing every server is asked to do."""

    name: str
    """How the command line and the results call it."""
    path: str
    """`{id}` in it stands for a number that is new in each request."""
    kind: str = "load"
    """`load`: wrk repeats the request. `idle`: it is sent once on each of many connections, which stay open."""
    method: str = "GET"
    sends: int = 0
    """The length of the request's body in bytes."""
    connections: int = 50


WORKLOADS = (
    Workload("text", "/text"),
    Workload("json", "/json"),
    Workload("echo", "/echo", method="POST", sends=1024),
    Workload("path", CHOSEN),
    Workload("file", "/file", connections=10),
    Workload("idle", "/text", kind="idle", connections=1000),
)
BY_NAME = {workload.name: workload for workload in WORKLOADS}
SHORT = ("text", "json", "path", "idle")
