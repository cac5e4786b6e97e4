"""The ASGI servers that are compared, and how each is started: uvloop, HTTP/1.1, no access log."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from bench.servers.peers import Server


@dataclass(frozen=True)
class AsgiServer(Server):
    """A server in the benchmark. `{app}` and `{workers}` in its arguments stand for what it serves, and by how many."""

    def serving(self, app: str, workers: int = 1) -> Server:
        """This server with an application."""
        arguments = self.arguments.format(app=app, workers=workers, port="{port}")
        return dataclasses.replace(self, arguments=arguments)


SERVERS = (
    AsgiServer(
        "endwell",
        "-m endwell.cli serve {app} --host 127.0.0.1 --port {port} --workers {workers} --loop uvloop "
        "--no-access-log --log-level warning",
        "endwell",
        ("endwell", "starlette"),
    ),
    AsgiServer(
        "uvicorn",
        "-m uvicorn {app} --host 127.0.0.1 --port {port} --workers {workers} --loop uvloop --http httptools "
        "--no-access-log --log-level warning",
        "uvicorn",
        ("uvicorn", "starlette", "httptools"),
    ),
    AsgiServer(
        "granian",
        "-m granian {app} --host 127.0.0.1 --port {port} --workers {workers} --loop uvloop --http 1 --interface asgi "
        "--log-level warning",
        "granian",
        ("granian", "starlette"),
    ),
    AsgiServer(
        "hypercorn",
        "-m hypercorn {app} --bind 127.0.0.1:{port} --workers {workers} --worker-class uvloop --log-level warning",
        "hypercorn",
        ("hypercorn", "starlette", "h11"),
    ),
)
BY_NAME = {server.name: server for server in SERVERS}
SHORT = ("endwell", "uvicorn", "granian")
