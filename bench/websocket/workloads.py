"""What is measured: each workload is one kind of message echoed by a server or to a client, or idle WebSockets.

A workload is one measurement of one peer in a process of its own. Their titles, the figures taken from them and the
goals are in `rows.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from .content import BINARY, TEXT


@dataclass(frozen=True)
class Workload:
    """One thing every peer is asked to do."""

    name: str
    side: str
    """What is measured: `server`, `client`, or `idle`, the memory of a server's WebSockets that do nothing."""
    kind: int = TEXT
    """The opcode of the messages, of which each WebSocket has one under way."""
    deflate: bool = False
    connections: int = 50
    count: int = 20000
    """How many messages a client has echoed. Servers are measured for a time."""


WORKLOADS = (
    Workload("server-100", "server"),
    Workload("server-100-deflate", "server", deflate=True),
    Workload("server-64k", "server", BINARY, connections=10),
    Workload("server-64k-deflate", "server", BINARY, deflate=True, connections=10),
    Workload("client-100", "client"),
    Workload("client-100-deflate", "client", deflate=True),
    Workload("client-64k", "client", BINARY, connections=10, count=5000),
    Workload("client-64k-deflate", "client", BINARY, deflate=True, connections=10, count=800),
    Workload("idle", "idle", connections=1000),
    Workload("idle-deflate", "idle", deflate=True, connections=1000),
)
BY_NAME = {workload.name: workload for workload in WORKLOADS}
SHORT = ("server-100", "server-100-deflate", "server-64k", "client-100", "client-64k", "idle")
