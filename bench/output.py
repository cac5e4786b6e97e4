"""Shows and writes what a run measured: tables, JSON, chart. Used by `__main__.py`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import chart, report
from .report import Line
from .rows import SUBJECT
from .suite import Suite


def show(suite: Suite, data: dict[str, Any]) -> None:
    """Print the tables of a run."""
    facts, results, peers = data["environment"], data["results"], data["peers"]
    lines = report.analyse(results, SUBJECT, suite.base, suite.rows)
    print(
        f"{data['rounds']} rounds on {facts['cpus']} CPUs ({facts['processor']}), Python {facts['python']}, "
        f"{facts['other_side']}, {'pinned' if facts['pinned'] else 'not pinned'}, "
        f"load {facts['load_before']:.1f} to {facts['load_after']:.1f}, {facts['seconds']} s"
    )
    print(f"{suite.measured}\n")
    print(report.as_text(report.figures_table(lines, peers), left=(0, 1)))
    if suite.base in peers:
        table = report.ratios_table(lines, peers, suite.base)
        print("\n" + report.as_text(table, left=(0, len(table[0]) - 1)))
        print(f"\n{report.summary(lines)}")
    information = report.analyse(results, SUBJECT, suite.base, suite.information)
    if information:
        print("\nfor information\n" + report.as_text(report.figures_table(information, peers), left=(0, 1)))
    show_failures(results)


def show_failures(results: Sequence[dict[str, Any]]) -> None:
    """Print what could not be measured and why."""
    for failure in report.failures(results):
        print(f"FAILED {failure}")


def write(suite: Suite, data: dict[str, Any], out: Path) -> None:
    """The JSON file, the tables in Markdown and the chart."""
    out.mkdir(parents=True, exist_ok=True)
    results, table, picture = (
        out / f"{stem}.{kind}" for stem, kind in zip(suite.stems, ("json", "md", "svg"), strict=True)
    )
    lines = report.analyse(data["results"], SUBJECT, suite.base, suite.rows)
    results.write_text(json.dumps(data, indent=1) + "\n")
    table.write_text(_tables(suite, data, lines))
    written = [results.name, table.name]
    for line in lines:
        workload, title = suite.chart
        if (line.row.workload, line.row.figure) == (workload, "cpu_us"):
            facts = data["environment"]
            place = f"{facts['other_side']} on loopback, Python {facts['python']}, uvloop"
            note = f"median of {data['rounds']} rounds, {place}; less is better"
            picture.write_text(chart.bar_chart(line, title, note), encoding="utf-8")
            written.append(picture.name)
    print(f"\nwritten to {out}: {', '.join(written)}")


def _tables(suite: Suite, data: dict[str, Any], lines: Sequence[Line]) -> str:
    """What the README has between its markers, and after them what only the benchmark's page has."""
    facts, peers = data["environment"], data["peers"]
    where = f"{data['rounds']} rounds, Python {facts['python']}, {facts['other_side']}, uvloop unless said"
    parts = [
        f"<!-- {suite.marker}:begin -->",
        f"{where}: {report.summary(lines)}.",
        f"![CPU time per request]({suite.picture})",
        report.as_markdown(lines, peers, suite.base),
        f"<!-- {suite.marker}:end -->",
    ]
    information = report.analyse(data["results"], SUBJECT, suite.base, suite.information)
    if information:
        parts.append(report.as_markdown(information, peers, suite.base))
    return "\n\n".join(parts) + "\n"
