"""A server that is the first process of its container: the kernel keeps signals from it that it has no handler for."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.signalled import ServerProcess, server
from tests.support.visitor import request

AS_ROOT = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
CONTAINER = ["unshare", *AS_ROOT, "--pid", "--fork", "--kill-child"]


def has_containers() -> bool:
    try:
        return subprocess.run([*CONTAINER, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


pytestmark = pytest.mark.skipif(not has_containers(), reason="unshare is not there, or not permitted")


@pytest.fixture
def process(tmp_path: Path, loop_kind: str) -> Iterator[ServerProcess]:
    with server(tmp_path, loop_kind) as process:
        process.before = CONTAINER
        yield process


def test_it_ends_in_order(process: ServerProcess) -> None:
    process.start("say(os.getpid())\nrun(make_app())").ready()
    assert process.lines[0] == "1"
    with process.connect() as busy:
        busy.send(request("/held"))
        process.hears("held")
        process.signal()
        process.hears("on_shutdown")
        process.tell("go")
        assert busy.answer().body == b"held"
    status, lines, log = process.end()
    assert (status, lines[-1]) == (0, "returned"), log


@pytest.mark.parametrize("hang", ["await asyncio.Event().wait()", "while True: pass"], ids=["waits", "computes"])
def test_a_third_signal_ends_the_process(process: ServerProcess, hang: str) -> None:
    process.start(
        f"""
        async def hang(app):
            say("hanging")
            while signal.getsignal(signal.SIGTERM).__name__ != "_end_process":  # the second has been taken then
                await asyncio.sleep(0.001)
            say("going")
            {hang}

        app = make_app()
        app.on_cleanup.append(hang)
        run(app)
        """
    ).ready()
    process.signal()
    process.hears("hanging")
    process.signal()
    process.hears("going")
    process.signal()
    status, lines, _ = process.end()
    assert status == 128 + signal.SIGTERM
    assert "returned" not in lines
