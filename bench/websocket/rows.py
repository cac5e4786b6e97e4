"""What the report shows of WebSockets, and the goals, which the project set itself before it had any."""

from __future__ import annotations

from bench.rows import BASE, Goal, Row, cpu, times

SMALL = times(1.5)
LARGE = Goal("1.1 of its cost", BASE, 1 / 1.1)

ROWS = (
    cpu("server, text of 100 bytes", "server-100", SMALL, digits=1),
    cpu("server, text of 100 bytes, deflate", "server-100-deflate", SMALL, digits=1),
    cpu("server, binary of 64 KB", "server-64k", LARGE),
    cpu("server, binary of 64 KB, deflate", "server-64k-deflate", LARGE),
    cpu("client, text of 100 bytes", "client-100", SMALL, digits=1),
    cpu("client, text of 100 bytes, deflate", "client-100-deflate", SMALL, digits=1),
    cpu("client, binary of 64 KB", "client-64k", LARGE),
    cpu("client, binary of 64 KB, deflate", "client-64k-deflate", LARGE),
    Row("memory of an idle WebSocket of a server", "idle", "kb_per_connection", "KB", 1, goals=(times(2),)),
    Row("the same, after a compressed message", "idle-deflate", "kb_per_connection", "KB", 1),
)

BUSY = tuple(
    Row(f"{row.title}, its CPU busy", row.workload, "busy_percent", "%") for row in ROWS if row.figure == "cpu_us"
)
"""For information: below 90, the other side, or something else on the machine, was what had to be waited for."""
