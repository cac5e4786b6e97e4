"""`python -m bench`: runs the benchmark and writes its tables, a JSON file and a chart. See `bench/README.md`."""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import importlib.util
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import ab, output
from .asgi.suite import ASGI
from .client_suite import CLIENTS
from .rows import SUBJECT
from .runner import run_rounds
from .servers.suite import SERVERS
from .suite import Ready, Suite
from .websocket.suite import WEBSOCKETS

SUITES = {"clients": CLIENTS, "servers": SERVERS, "websockets": WEBSOCKETS, "asgi": ASGI}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parts = parser.add_mutually_exclusive_group()
    parts.set_defaults(suite=CLIENTS)
    for name, suite in SUITES.items():
        parts.add_argument(f"--{name}", dest="suite", action="store_const", const=suite, help=f"measure {suite.title}")
    parser.add_argument("--rounds", type=int, help="how often each measurement is made (default 5, short 3 or 2)")
    for what in ("peers", "workloads"):
        known = (f"with --{name}: {_names(getattr(suite, what))}" for name, suite in SUITES.items())
        parser.add_argument(f"--{what}", help="comma-separated, of: " + "; ".join(known))
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="folder of what is written (build/bench)")
    parser.add_argument("--short", action="store_true", help="a minute or two: main workloads and peers, few rounds")
    parser.add_argument("--ab", type=Path, metavar="SOURCES", help="compare with the endwell in this folder instead")
    parser.add_argument("--report", type=Path, metavar="JSON", help="measure nothing, report on an earlier run's file")
    return parser.parse_args()


def _names(known: Mapping[str, Any]) -> str:
    return ", ".join(known)


def choose(names: str | None, default: Sequence[str], known: Mapping[str, Any], what: str) -> list[Any]:
    """The things named in a comma-separated list; ends the program if one is unknown."""
    chosen = names.split(",") if names else list(default)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise SystemExit(f"unknown {what} {', '.join(unknown)}; there are {_names(known)}")
    return [known[name] for name in chosen]


def installed(chosen: Sequence[Any], setup: str) -> list[Any]:
    """Those that are there; a word about those that are not."""
    found = []
    for peer in chosen:
        if peer.name != SUBJECT and importlib.util.find_spec(peer.module.partition(".")[0]) is None:
            print(f"{peer.name} is not installed and left out ({setup} installs it)", file=sys.stderr)
        else:
            found.append(peer)
    return found


def environment(chosen: Sequence[Any], ready: Ready) -> dict[str, Any]:
    """What the figures depend on."""
    versions = {}
    for name in dict.fromkeys([*(name for peer in chosen for name in peer.distributions), "multidict", "uvloop"]):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "from the checkout"
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "other_side": ready.other_side,
        "pinned": ready.pinned,
        "versions": versions,
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()


def show_progress(text: str) -> None:
    """One line that is overwritten on a terminal; nothing elsewhere."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def run(suite: Suite, chosen: Sequence[Any], tasks: Sequence[Any], rounds: int, short: bool) -> dict[str, Any]:
    """Measure; an interrupt keeps what was measured so far."""
    results: list[dict[str, Any]] = []
    begin = time.monotonic()
    with suite.ready(short) as ready:
        facts = environment(chosen, ready)
        try:
            for result in run_rounds(chosen, tasks, rounds, ready.measure, show_progress):
                results.append(result)  # noqa: PERF402 - an interrupt must not lose what is there
        except KeyboardInterrupt:
            print("\ninterrupted; this is what was measured", file=sys.stderr)
    show_progress("")
    facts["load_after"] = os.getloadavg()[0]
    facts["seconds"] = round(time.monotonic() - begin)
    return {"environment": facts, "peers": [peer.name for peer in chosen], "rounds": rounds, "results": results}


def compare_versions(suite: Suite, sources: Path, workloads: str | None, rounds: int, short: bool) -> int:
    """This checkout against another one; the exit status."""
    chosen = list(ab.contenders(sources, suite.peers[SUBJECT]))
    tasks = choose(workloads, suite.ab_workloads, suite.workloads, "workload")
    data = run(suite, chosen, tasks, rounds, short)
    print(ab.compare(data["results"], suite.rows))
    output.show_failures(data["results"])
    return 0


def main() -> int:
    arguments = parse_arguments()
    # So that the servers and their folders go when somebody ends this program.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    suite: Suite = arguments.suite
    short = arguments.short
    if arguments.report:
        data = json.loads(arguments.report.read_text())
        output.show(suite, data)
        output.write(suite, data, arguments.out)
        return 0
    if arguments.ab:
        return compare_versions(suite, arguments.ab, arguments.workloads, arguments.rounds or 9, short)
    peers = choose(arguments.peers, suite.short_peers if short else tuple(suite.peers), suite.peers, "peer")
    default = suite.short_workloads if short else tuple(suite.workloads)
    tasks = choose(arguments.workloads, default, suite.workloads, "workload")
    rounds = arguments.rounds or (suite.short_rounds if short else 5)
    data = run(suite, installed(peers, suite.setup), tasks, rounds, short)
    output.show(suite, data)
    output.write(suite, data, arguments.out)
    return 1 if any("failed" in result for result in data["results"] if result["peer"] == SUBJECT) else 0


if __name__ == "__main__":
    sys.exit(main())
