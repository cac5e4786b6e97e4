"""A service in processes of its own, and the gate at which its program waits for the test.

All that its processes write comes on one pipe, line by line: `hears` reads up to what it waits for. The pipe ends when
the last of them has ended, so `end` leaves no process behind unnoticed.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SECONDS = 30

PROGRAM = """
import asyncio, os, sys
from endwell import web

async def gate(name):
    reader, writer = await asyncio.open_unix_connection(os.environ["GATE"])
    writer.write(f"{name} {os.getpid()}\\n".encode())
    try:
        return (await reader.readline()).decode().strip()
    finally:
        writer.close()

async def pid(request):
    return web.Response(text=str(os.getpid()))

async def held(request):
    return web.Response(text=await gate("held"))

async def leave(request):
    raise web.GracefulExit

async def begin(app):
    if os.environ.get("ASKS") and await gate("start") == "fail":
        raise RuntimeError("there is no database")

def make():
    app = web.Application()
    app.on_startup.append(begin)
    app.add_routes([web.get("/", pid), web.get("/held", held), web.get("/exit", leave)])
    return app

app = make()
"""

COMMAND = "import sys; from endwell.service import ServicePlan, run; sys.exit(run(ServicePlan.from_json(sys.argv[1])))"


class Gate:
    """Where the program stops until the test lets it go on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.bind(str(path))
        self._sock.listen()
        self._sock.settimeout(SECONDS)

    def wait(self, name: str) -> Waiting:
        """Wait until the program comes to this place."""
        sock, _ = self._sock.accept()
        sock.settimeout(SECONDS)
        line = sock.makefile("r").readline().split()
        assert line[0] == name
        return Waiting(sock, int(line[1]))

    def close(self) -> None:
        self._sock.close()


class Waiting:
    """One that waits at the gate."""

    def __init__(self, sock: socket.socket, pid: int) -> None:
        self.sock = sock
        self.pid = pid

    def go(self, answer: str = "go") -> None:
        with self.sock:
            self.sock.sendall(f"{answer}\n".encode())

    def gone(self) -> None:
        """Wait until it waits no longer."""
        with self.sock:
            assert self.sock.recv(1) == b""


class Service:
    """The service; `service` below gives one and ends it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.gate = Gate(folder / "gate")
        self.lines: list[str] = []
        self.port = 0
        self.process: subprocess.Popen[str] | None = None
        self._used: list[subprocess.Popen[str]] = []
        (folder / "program.py").write_text(PROGRAM)

    def start(
        self, *, launcher: str = "", env: dict[str, str] | None = None, pass_fds: Iterable[int] = (), **options: Any
    ) -> Service:
        """Start it, on any port of 127.0.0.1 unless the options say otherwise.

        Args:
            launcher: code that runs before, in the process of the service.
            env: further variables.
            pass_fds: descriptors that it inherits.
            **options: of the plan.

        """
        plan: dict[str, Any] = {
            "target": "program:app",
            "app_dir": str(self.folder),
            "workers": 2,
            "access_log": False,
            "control": str(self.folder / "control"),
            "shutdown_timeout": SECONDS,
            "loop": "asyncio",
        }
        if not {"unix", "fds", "host", "systemd"} & options.keys():
            plan |= {"host": ["127.0.0.1"], "port": 0}
        self.process = subprocess.Popen(
            [sys.executable, "-c", launcher + "\n" + COMMAND, json.dumps(plan | options)],
            cwd=ROOT,
            env={**os.environ, "GATE": str(self.gate.path), "PYTHONUNBUFFERED": "1", **(env or {})},
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[*pass_fds, *options.get("fds", ())],
        )
        self._used.append(self.process)
        return self

    def ready(self) -> Service:
        """Wait until all workers are ready."""
        line = self.hears(r"ready: \d+ workers? on ").string
        found = re.search(r"127\.0\.0\.1:(\d+)", line)
        self.port = int(found[1]) if found else 0
        return self

    def hears(self, pattern: str) -> re.Match[str]:
        """Read up to a line that matches."""
        assert self.process is not None
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            self.lines.append(line.rstrip("\n"))
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"the service ended, and never said {pattern!r}:\n" + "\n".join(self.lines))

    def end(self) -> tuple[int, str]:
        """Wait for the end of all its processes; return the exit status and the whole log."""
        assert self.process is not None
        assert self.process.stdout is not None
        with self.process.stdout as log:
            self.lines += log.read().splitlines()
        return self.process.wait(SECONDS), "\n".join(self.lines)

    def signal(self, number: int = signal.SIGTERM) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def ask(self, path: str = "/") -> str:
        """Ask on a new connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Connection": "close"})
            return connection.getresponse().read().decode()

    def asking(self, path: str) -> http.client.HTTPConnection:
        """Ask without waiting for the answer; the caller closes the connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        connection.request("GET", path)
        return connection

    @contextlib.contextmanager
    def on_each(self) -> Iterator[list[socket.socket]]:
        """Have connections that idle, at least one with each worker."""
        with contextlib.ExitStack() as stack:
            missing, found = set(self.pids()), []
            while missing:
                connection = stack.enter_context(contextlib.closing(self.asking("/")))
                missing.discard(int(connection.getresponse().read()))
                found.append(connection.sock)
            yield found

    def control(self, path: str) -> tuple[int, Any]:
        """Ask the control socket."""
        return over_unix(str(self.folder / "control"), path)

    def pids(self) -> list[int]:
        """Give the processes of the workers that are ready."""
        return [each["pid"] for each in self.control("/-/workers")[1]["workers"] if each["state"] == "ready"]

    def close(self) -> None:
        self.gate.close()
        for process in self._used:
            with contextlib.suppress(ProcessLookupError):
                process.kill()  # its workers end when they notice
            assert process.stdout is not None
            if not process.stdout.closed:
                os.set_blocking(process.stdout.fileno(), False)
                print(*self.lines, process.stdout.read(), sep="\n")  # noqa: T201 - why it failed
                process.stdout.close()
            process.wait(SECONDS)


def over_unix(path: str, target: str) -> tuple[int, Any]:
    """Ask a server on a Unix socket for JSON."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(SECONDS)
        sock.connect("\0" + path[1:] if path.startswith("@") else path)
        connection = http.client.HTTPConnection("localhost")
        connection.sock = sock
        with contextlib.closing(connection):
            connection.request("GET", target)
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"{}")


def children(pid: int) -> dict[int, str]:
    """Give the state of each child process, as /proc has it: Z is a zombie."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid:
                found[int(stat.parent.name)] = state
    return found


def refused(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) != 0


def wait_for(pid: int) -> None:
    """Wait for the end of a process that is not our child."""
    with contextlib.suppress(ProcessLookupError):
        fd = os.pidfd_open(pid)
        try:
            import select

            poll = select.poll()
            poll.register(fd, select.POLLIN)
            assert poll.poll(SECONDS * 1000), f"process {pid} does not end"
        finally:
            os.close(fd)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Service]:
    service = Service(folder)
    try:
        yield service
    finally:
        service.close()
