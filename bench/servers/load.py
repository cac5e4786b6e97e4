"""wrk, which makes the load, and what it says. Used by `runner.py`."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from bench.processes import pinned

from .workloads import Workload

SCRIPT = Path(__file__).with_name("load.lua")
# Beyond what the measurement itself takes: wrk waits for answers that do not come.
PATIENCE_SECONDS = 30


class WrongAnswerError(Exception):
    """Something other than what was asked for came, or nothing."""


def find_wrk() -> str:
    """The path of wrk; ends the program with a text that says how to install it."""
    found = shutil.which("wrk")
    if found is None:
        raise SystemExit(
            "The benchmark of servers needs wrk, which is not installed. On Debian or Ubuntu: apt-get install wrk"
        )
    return found


def version(wrk: str) -> str:
    """wrk's own word on its version."""
    done = subprocess.run([wrk, "-v"], capture_output=True, text=True, check=False)  # its status is 1, always
    return (done.stdout or done.stderr).partition("[")[0].removeprefix("wrk").strip()


def command(wrk: str, workload: Workload, port: int, seconds: int) -> list[str]:
    """One thread of wrk that repeats the workload's request."""
    options = ["-t1", f"-c{workload.connections}", f"-d{seconds}s", "-s", str(SCRIPT), f"http://127.0.0.1:{port}/"]
    return [wrk, *options, "--", workload.method, workload.path, str(workload.sends)]


def run(arguments: list[str], cpu: int | None, seconds: int) -> dict[str, Any]:
    """Run wrk on a CPU; its figures. Raises WrongAnswerError if it got anything but good answers."""
    with pinned(cpu):
        done = subprocess.run(
            arguments, capture_output=True, text=True, check=False, timeout=seconds + PATIENCE_SECONDS
        )
    if done.returncode:
        raise WrongAnswerError(f"wrk ended with status {done.returncode}: {(done.stdout + done.stderr).strip()}")
    return figures(done.stdout)


def figures(written: str) -> dict[str, Any]:
    """What the script wrote as the last line. Raises WrongAnswerError if there were errors, or no answer at all."""
    found: dict[str, Any] = json.loads(written.strip().rpartition("\n")[2])
    errors = {kind: count for kind, count in found.pop("errors").items() if count}
    if errors:
        raise WrongAnswerError("wrk counted errors: " + ", ".join(f"{kind} {count}" for kind, count in errors.items()))
    if not found["requests"]:
        raise WrongAnswerError("wrk got no answer")
    return found
