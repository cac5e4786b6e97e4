"""What is measured: each workload names an address of the server, what is done with it, and how often.

A workload is one measurement of one client in a process of its own. Their titles, the figures taken from them and the
goals are in `rows.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

SMALL_BODY = b"hello world\n"
STREAM_BYTES = 100 * 1024 * 1024
PIECE_BYTES = 64 * 1024

# About 1,000 bytes of JSON, of the sort that interfaces exchange.
DOCUMENT = {
    "kind": "order",
    "id": 4170238,
    "customer": {"name": "Ada Example", "email": "ada@example.org", "verified": True, "discount": None},
    "lines": [
        {
            "sku": f"AB-{n:05d}",
            "title": f"Article number {n}",
            "quantity": n % 4 + 1,
            "price": 12.5 + n,
            "tags": ["a", "b"],
        }
        for n in range(9)
    ],
}


@dataclass(frozen=True)
class Workload:
    """One thing every client is asked to do."""

    name: str
    """How the command line and the results call it."""
    kind: str
    """What the worker does: `requests`, `download`, `upload`, `idle`, `import` or `first` (see `cold.py`)."""
    path: str = "/small"
    method: str = "get"
    """`get`, `json` (a POST of `DOCUMENT`), `field` (a GET and a look-up in the fields) or `fresh` (each URL new)."""
    connections: int = 50
    count: int = 8000
    """How many requests are measured; for streams, how many streams; for `idle`, how many connections."""
    warm_up: int = 800
    body: int = len(SMALL_BODY)
    """The length of the body that a right answer has, in bytes."""
    server: str = "http"
    """Which of the server's ports: `http`, `http_close`, `https`, `https_close` or `hold`."""
    loop: str = "uvloop"
    host: str = "127.0.0.1"
    cookies: bool = False
    redirects: bool = False


WORKLOADS = (
    Workload("small", "requests"),
    Workload("fields", "requests", path="/fields"),
    Workload("fields-read", "requests", path="/fields", method="field"),
    Workload("urls", "requests", method="fresh"),
    Workload("json", "requests", path="/json", method="json"),
    # A cookie jar refuses the cookies of an IP address, so this one goes by the name.
    Workload("cookies", "requests", path="/cookie", host="localhost", cookies=True),
    Workload("redirect", "requests", path="/redirect", redirects=True, count=5000),
    Workload("serial", "requests", connections=1, count=6000),
    Workload("thousand", "requests", connections=1000, count=12000, warm_up=3000),
    Workload("asyncio", "requests", loop="asyncio"),
    Workload("10k", "requests", path="/10k", body=10 * 1024),
    Workload("1m", "requests", path="/1m", body=1024 * 1024, connections=10, count=800, warm_up=50),
    Workload("download", "download", path="/100m", connections=1, count=8, warm_up=20, body=STREAM_BYTES),
    Workload("upload", "upload", path="/upload", connections=1, count=8, warm_up=20, body=STREAM_BYTES),
    Workload("tls", "requests", server="https"),
    Workload("connect", "requests", server="http_close", count=4000, warm_up=400),
    Workload("tls-connect", "requests", server="https_close", count=1000, warm_up=100),
    Workload("idle", "idle", server="hold", path="/hold", connections=1000, count=1000, warm_up=20),
    Workload("import", "import"),
    Workload("first", "first"),
)
BY_NAME = {workload.name: workload for workload in WORKLOADS}
SHORT = ("small", "json", "10k", "download", "tls", "connect")
