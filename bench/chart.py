"""A bar chart as SVG, for the README; it follows the reader's light or dark scheme. Pure text."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .report import Line
from .rows import SUBJECT

WIDTH = 720
LABEL = 96
BAR = 18
STEP = 28
TOP = 56
MARGIN = 16
VALUE_ROOM = 120

STYLE = """
    text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #24292f; }
    .title { font-size: 15px; font-weight: 600; }
    .note { font-size: 12px; fill: #57606a; }
    .own { font-weight: 600; }
    .axis { stroke: #d0d7de; }
    rect { fill: #afb8c1; }
    rect.own { fill: #0969da; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; }
      .note { fill: #9198a1; }
      .axis { stroke: #3d444d; }
      rect { fill: #656c76; }
      rect.own { fill: #4493f8; }
    }
"""


def bar_chart(line: Line, title: str, note: str, subject: str = SUBJECT) -> str:
    """One bar for each peer, the best on top, with its figure and how it compares with the subject's."""
    best_first = sorted(line.figures.items(), key=lambda item: item[1], reverse=line.row.higher_is_better)
    height = TOP + STEP * len(best_first) + MARGIN
    most = max(line.figures.values()) or 1
    room = WIDTH - LABEL - VALUE_ROOM - MARGIN
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title note">',
        f"  <style>{STYLE}  </style>",
        f'  <text id="title" class="title" x="{MARGIN}" y="24">{escape(title)}</text>',
        f'  <text id="note" class="note" x="{MARGIN}" y="42">{escape(note)}</text>',
        f'  <line class="axis" x1="{LABEL}" x2="{LABEL}" y1="{TOP - 4}" y2="{height - MARGIN + 4}"/>',
    ]
    for place, (peer, value) in enumerate(best_first):
        parts.extend(_bar(place, peer, value, room * value / most, line, subject))
    return "\n".join([*parts, "</svg>", ""])


def _bar(place: int, peer: str, value: float, length: float, line: Line, subject: str) -> Sequence[str]:
    top = TOP + STEP * place
    base = top + BAR - 4
    own = ' class="own"' if peer == subject else ""
    text = f"{value:,.{line.row.digits}f} {line.row.unit}".replace(" us", " \u00b5s")
    compared = line.figures.get(subject)
    if compared and peer != subject and value:
        factor = compared / value if line.row.higher_is_better else value / compared
        text += f" \u00b7 {factor:.1f}x"
    return (
        f'  <text{own} x="{LABEL - 8}" y="{base}" text-anchor="end">{escape(peer)}</text>',
        f'  <rect{own} x="{LABEL}" y="{top}" width="{max(length, 1):.1f}" height="{BAR}" rx="2"/>',
        f'  <text{own} x="{LABEL + length + 8:.1f}" y="{base}">{escape(text)}</text>',
    )
