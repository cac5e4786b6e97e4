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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import ab, chart, peers, report, workloads
from .peers import Peer
from .rows import BASE, SUBJECT
from .runner import choose_cpus, run_rounds
from .server import running_servers
from .workloads import Workload


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, help="how often each measurement is made (default 5, short 3)")
    parser.add_argument("--clients", help=f"comma-separated, of: {', '.join(peers.BY_NAME)}")
    parser.add_argument("--workloads", help=f"comma-separated, of: {', '.join(workloads.BY_NAME)}")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="folder of what is written (build/bench)")
    parser.add_argument("--short", action="store_true", help="a minute: the main workloads and clients, 3 rounds")
    parser.add_argument("--ab", type=Path, metavar="SOURCES", help="compare with the endwell in this folder instead")
    parser.add_argument("--report", type=Path, metavar="JSON", help="measure nothing, report on an earlier run's file")
    return parser.parse_args()


def choose(names: str | None, default: Sequence[str], known: dict[str, Any], what: str) -> list[Any]:
    """The things named in a comma-separated list; ends the program if one is unknown."""
    chosen = names.split(",") if names else list(default)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise SystemExit(f"unknown {what} {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in chosen]


def installed(chosen: Sequence[Peer]) -> list[Peer]:
    """Those that are there; a word about those that are not."""
    found = []
    for peer in chosen:
        if peer.name != SUBJECT and importlib.util.find_spec(peer.module.partition(".")[0]) is None:
            print(f"{peer.name} is not installed and left out (bench/setup.sh installs it)", file=sys.stderr)
        else:
            found.append(peer)
    return found


def environment(nginx: str, chosen: Sequence[Peer]) -> dict[str, Any]:
    """What the figures depend on."""
    versions = {}
    for name in [*dict.fromkeys(peer.distribution for peer in chosen), "uvloop"]:
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
        "nginx": nginx,
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


def run(chosen: Sequence[Peer], tasks: Sequence[Workload], rounds: int) -> dict[str, Any]:
    """Measure; an interrupt keeps what was measured so far."""
    worker_cpu, server_cpu = choose_cpus()
    results: list[dict[str, Any]] = []
    begin = time.monotonic()
    with running_servers(server_cpu) as servers:
        facts = environment(servers.nginx_version, chosen)
        facts["pinned"] = worker_cpu is not None
        try:
            for result in run_rounds(chosen, tasks, rounds, servers, worker_cpu, show_progress):
                results.append(result)  # noqa: PERF402 - an interrupt must not lose what is there
        except KeyboardInterrupt:
            print("\ninterrupted; this is what was measured", file=sys.stderr)
    show_progress("")
    facts["load_after"] = os.getloadavg()[0]
    facts["seconds"] = round(time.monotonic() - begin)
    return {"environment": facts, "peers": [peer.name for peer in chosen], "rounds": rounds, "results": results}


def show(data: dict[str, Any]) -> list[report.Line]:
    """Print the tables of a run."""
    facts, results = data["environment"], data["results"]
    lines = report.analyse(results)
    print(
        f"{data['rounds']} rounds on {facts['cpus']} CPUs ({facts['processor']}), Python {facts['python']}, "
        f"nginx {facts['nginx']}, {'pinned' if facts['pinned'] else 'not pinned'}, "
        f"load {facts['load_before']:.1f} to {facts['load_after']:.1f}, {facts['seconds']} s"
    )
    print("Time is CPU time of all threads of the client's process; MB/s is for each second of it.\n")
    print(report.as_text(report.figures_table(lines, data["peers"]), left=(0, 1)))
    if BASE in data["peers"]:
        table = report.ratios_table(lines, data["peers"])
        print("\n" + report.as_text(table, left=(0, len(table[0]) - 1)))
        print(f"\n{report.summary(lines)}")
    for failure in report.failures(results):
        print(f"FAILED {failure}")
    return lines


def write(data: dict[str, Any], lines: Sequence[report.Line], out: Path) -> None:
    """The JSON file, the table in Markdown and the chart."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(json.dumps(data, indent=1) + "\n")
    (out / "table.md").write_text(report.as_markdown(lines, data["peers"]) + "\n")
    written = ["results.json", "table.md"]
    for line in lines:
        if (line.row.workload, line.row.figure) == ("small", "cpu_us"):
            facts = data["environment"]
            place = f"nginx {facts['nginx']} on loopback, Python {facts['python']}, uvloop"
            note = f"median of {data['rounds']} rounds, {place}; less is better"
            title = "CPU time for one GET of 12 bytes, 50 keep-alive connections"
            (out / "chart.svg").write_text(chart.bar_chart(line, title, note), encoding="utf-8")
            written.append("chart.svg")
    print(f"\nwritten to {out}: {', '.join(written)}")


def main() -> int:
    arguments = parse_arguments()
    # So that the servers and their folders go when somebody ends this program.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    if arguments.report:
        data = json.loads(arguments.report.read_text())
        write(data, show(data), arguments.out)
        return 0
    if arguments.ab:
        chosen: list[Peer] = list(ab.contenders(arguments.ab))
        tasks = choose(arguments.workloads, ab.DEFAULT, workloads.BY_NAME, "workload")
        data = run(chosen, tasks, arguments.rounds or 9)
        print(ab.compare(data["results"]))
        for failure in report.failures(data["results"]):
            print(f"FAILED {failure}")
        return 0
    short = arguments.short
    default_clients = peers.SHORT if short else tuple(peers.BY_NAME)
    default_tasks = workloads.SHORT if short else tuple(workloads.BY_NAME)
    chosen = installed(choose(arguments.clients, default_clients, peers.BY_NAME, "client"))
    tasks = choose(arguments.workloads, default_tasks, workloads.BY_NAME, "workload")
    data = run(chosen, tasks, arguments.rounds or (3 if short else 5))
    write(data, show(data), arguments.out)
    return 1 if any("failed" in result for result in data["results"] if result["peer"] == SUBJECT) else 0


if __name__ == "__main__":
    sys.exit(main())
