"""Servers as processes of their own, for the time of a `with` block. Used by `server.py` and `servers/`."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

START_SECONDS = 10
STOP_SECONDS = 2


class DidNotStart(SystemExit):
    """A server ended at its start or does not listen. Whoever can do without it catches this; else the program ends."""


def free_ports(count: int) -> list[int]:
    """Numbers of ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]


@contextlib.contextmanager
def pinned(cpu: int | None) -> Iterator[None]:
    """Let the processes that are started in the block run on this CPU; None: on any.

    They inherit it before their interpreters start, so that what counts CPUs counts right.
    """
    if cpu is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def running(
    name: str,
    command: Sequence[str],
    cpu: int | None,
    port: int,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Iterator[int]:
    """Start a server on a CPU and wait until it listens; stop it, and what it has started, at the end of the block.

    Gives its process id. Raises DidNotStart with what the server wrote.
    """
    with tempfile.TemporaryFile() as written:
        with pinned(cpu):
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=written,
                env=environment,
                cwd=folder,
                start_new_session=True,  # so that all of them can be ended, and Ctrl-C is for this program alone
            )
        try:
            if not _listens(process, port):
                written.seek(0)
                text = written.read().decode(errors="replace").strip()
                status = process.poll()
                how = "does not listen" if status is None else f"ended with status {status}"
                raise DidNotStart(f"{name} {how} at its start:\n{text}")
            yield process.pid
        finally:
            _stop(process)


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return True
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with contextlib.suppress(ProcessLookupError):  # all have gone: as it should be
        os.killpg(process.pid, signal.SIGKILL)
