"""Medians, ratios and goals from the results of a run, and the tables of them. Pure: no I/O, no clock.

Used by `__main__.py` and `ab.py`; the results are those of `runner.run_rounds`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from .rows import BASE, ROWS, SUBJECT, Goal, Row

Results = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Line:
    """One row with what was measured."""

    row: Row
    figures: dict[str, float]
    """The median for each peer that has one."""
    ratios: dict[str, float]
    """How many times better than the base each peer is: the median of the rounds' ratios."""
    span: tuple[float, float] | None
    """The lowest and the highest of the rounds' ratios of the subject."""
    verdicts: tuple[tuple[Goal, float | None], ...]
    """For each goal, what it is held against: the ratio to its peer, or the figure itself; None if not measured."""


def analyse(results: Results, subject: str = SUBJECT, base: str = BASE, rows: Sequence[Row] = ROWS) -> list[Line]:
    """The rows for which anything was measured."""
    lines = []
    for row in rows:
        rounds = by_round(results, row)
        if not rounds:
            continue
        peers = list(dict.fromkeys(peer for figures in rounds.values() for peer in figures))
        values = {peer: [figures[peer] for figures in rounds.values() if peer in figures] for peer in peers}
        ratios = {peer: times_better(rounds, row, peer, base) for peer in peers}
        own = ratios.get(subject)
        lines.append(
            Line(
                row,
                {peer: median(found) for peer, found in values.items()},
                {peer: median(found) for peer, found in ratios.items() if found},
                (min(own), max(own)) if own else None,
                tuple((goal, _held_against(goal, row, rounds, values, subject)) for goal in row.goals),
            )
        )
    return lines


def by_round(results: Results, row: Row) -> dict[int, dict[str, float]]:
    """The figures of one row: round, then peer."""
    rounds: dict[int, dict[str, float]] = {}
    for result in results:
        if result["workload"] == row.workload and "figures" in result:
            rounds.setdefault(result["round"], {})[result["peer"]] = result["figures"][row.figure]
    return rounds


def times_better(rounds: dict[int, dict[str, float]], row: Row, peer: str, base: str) -> list[float]:
    """Each round's ratio of a peer to the base, in the rounds that have both; above 1 the peer is better."""
    found = []
    for figures in rounds.values():
        if peer in figures and base in figures:
            own, other = figures[peer], figures[base]
            above, below = (own, other) if row.higher_is_better else (other, own)
            if below > 0:
                found.append(above / below)
    return found


def _held_against(
    goal: Goal, row: Row, rounds: dict[int, dict[str, float]], values: dict[str, list[float]], subject: str
) -> float | None:
    rivals = goal.best_of or (goal.peer,)
    found = []
    for rival in rivals:
        if rival is None:
            return median(values[subject]) if subject in values else None
        ratios = times_better(rounds, row, subject, rival)
        if not ratios:
            return None
        found.append(median(ratios))
    return min(found)


def is_met(goal: Goal, value: float | None) -> bool | None:
    """Whether a goal is reached; None if it was not measured."""
    if value is None:
        return None
    if goal.limit is not None:
        return value <= goal.limit
    if goal.least is not None:
        return value >= goal.least
    assert goal.factor is not None
    return value >= goal.factor


def verdict(goal: Goal, value: float | None) -> str:
    """A goal in words, with what was reached."""
    met = is_met(goal, value)
    if met is None or value is None:
        return f"{goal.text}: not measured"
    if met:
        return f"{goal.text}: met"
    reached = f"{value:.1f}" if goal.limit is not None else f"{value:.2f}{'x' if goal.least is None else ''}"
    return f"{goal.text}: missed ({reached})"


def figures_table(lines: Sequence[Line], peers: Sequence[str]) -> list[list[str]]:
    """The medians, one column a peer."""
    table = [["median", "unit", *peers]]
    for line in lines:
        cells = [f"{line.figures[peer]:,.{line.row.digits}f}" if peer in line.figures else "-" for peer in peers]
        table.append([line.row.title, line.row.unit, *cells])
    return table


def ratios_table(lines: Sequence[Line], peers: Sequence[str], base: str = BASE) -> list[list[str]]:
    """How many times better than the base, and the goals."""
    table = [[f"times better than {base}", *peers, "lowest-highest", "goal"]]
    for line in lines:
        cells = [f"{line.ratios[peer]:.2f}" if peer in line.ratios else "-" for peer in peers]
        span = f"{line.span[0]:.2f}-{line.span[1]:.2f}" if line.span else "-"
        goals = "; ".join(verdict(goal, value) for goal, value in line.verdicts)
        table.append([line.row.title, *cells, span, goals])
    return table


def as_text(table: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """A table for the terminal: the columns of `left` and the last are flush left, numbers flush right."""
    widths = [max(len(cells[column]) for cells in table) for column in range(len(table[0]))]
    lines = []
    for cells in table:
        padded = [
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        lines.append("  ".join(padded).rstrip())
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines)


def as_markdown(lines: Sequence[Line], peers: Sequence[str], base: str = BASE) -> str:
    """One table of figures, ratios in brackets, and goals if there are any, for the README."""
    has_goals = any(line.row.goals for line in lines)
    rows = [["", *peers], ["---", *["---:"] * len(peers)]]
    for line in lines:
        cells = []
        for peer in peers:
            if peer not in line.figures:
                cells.append("-")
                continue
            ratio = f" ({line.ratios[peer]:.2f}x)" if peer in line.ratios and peer != base else ""
            cells.append(f"{line.figures[peer]:,.{line.row.digits}f}{ratio}")
        rows.append([f"{line.row.title}, {line.row.unit}", *cells])
    if has_goals:
        goals = ("; ".join(verdict(goal, value) for goal, value in line.verdicts) for line in lines)
        for cells, last in zip(rows, ("goal", "---", *goals), strict=True):
            cells.append(last)
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def failures(results: Results) -> list[str]:
    """What could not be measured and why, each reason once."""
    found: dict[tuple[str, str, str], int] = {}
    for result in results:
        if "failed" in result:
            key = (result["workload"], result["peer"], result["failed"])
            found[key] = found.get(key, 0) + 1
    return [f"{workload}, {peer}: {why} ({times} of its rounds)" for (workload, peer, why), times in found.items()]


def summary(lines: Sequence[Line]) -> str:
    """How many of the goals are met."""
    verdicts = [is_met(goal, value) for line in lines for goal, value in line.verdicts]
    text = f"{verdicts.count(True)} of {len(verdicts)} goals met, {verdicts.count(False)} missed"
    return f"{text}, {verdicts.count(None)} not measured" if None in verdicts else text
