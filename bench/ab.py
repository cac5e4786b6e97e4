"""Two versions of endwell against each other, in turns, for a commit on the hot path. Used by `__main__.py`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .peers import BY_NAME
from .report import Results, analyse, as_text
from .rows import ROWS, SUBJECT, Row

OTHER = "other"
DEFAULT = ("small", "json", "10k")


def contenders(other_source: Path, own: Any = BY_NAME[SUBJECT]) -> tuple[Any, Any]:
    """This checkout's endwell, and the one whose sources are in the folder given (its `src`, or the checkout itself).

    `own` is endwell as a peer, the client or the server. Raises SystemExit if there is no package `endwell` in it.
    """
    folder = other_source.resolve()
    for source in (folder, folder / "src"):
        if (source / SUBJECT / "__init__.py").exists():
            return own, dataclasses.replace(own, name=OTHER, paths=(str(source),))
    raise SystemExit(f"no package endwell in {other_source} nor in its src: give --ab the folder of another checkout")


def compare(results: Results, rows: Sequence[Row] = ROWS) -> str:
    """The medians of both, and how many times better this checkout is, with the lowest and the highest round."""
    table = [["", "unit", "this", OTHER, "this is better", "lowest", "highest", "rounds won"]]
    for line in analyse(results, SUBJECT, OTHER, rows):
        if line.span is None:
            continue
        figures, ratio = line.figures, line.ratios[SUBJECT]
        table.append(
            [
                line.row.title,
                line.row.unit,
                f"{figures[SUBJECT]:,.2f}",
                f"{figures[OTHER]:,.2f}",
                f"{ratio:.3f}x",
                f"{line.span[0]:.3f}",
                f"{line.span[1]:.3f}",
                _won(results, line.row.workload, line.row.figure, line.row.higher_is_better),
            ]
        )
    return as_text(table, left=(0, 1))


def _won(results: Results, workload: str, figure: str, higher_is_better: bool) -> str:
    found: dict[str, Sequence[float]] = {}
    for peer in (SUBJECT, OTHER):
        found[peer] = [
            result["figures"][figure]
            for result in results
            if result["peer"] == peer and result["workload"] == workload and "figures" in result
        ]
    pairs = list(zip(found[SUBJECT], found[OTHER], strict=False))
    won = sum(own > other if higher_is_better else own < other for own, other in pairs)
    return f"{won} of {len(pairs)}"
