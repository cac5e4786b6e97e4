"""What each part of the benchmark gives to the program that runs it.

Used by `__main__.py` and `output.py`; the parts are `client_suite.py` and the `suite.py` of each folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from .rows import BASE, Row

Measure = Callable[[Any, Any], dict[str, Any]]
"""Measures a peer at a workload: `{"figures": ...}`, or `{"failed": why}`."""


@dataclass(frozen=True)
class Ready:
    """What the measurements of a run need is there."""

    measure: Measure
    other_side: str
    """The program on the other side, and its version."""
    pinned: bool
    """Whether the two sides have CPUs of their own."""


@dataclass(frozen=True)
class Suite:
    """What is compared, by what work, and how it is shown."""

    title: str
    peers: Mapping[str, Any]
    """By name; each has `name`, `module`, `distributions`, `unsupported` and `paths`."""
    short_peers: Sequence[str]
    workloads: Mapping[str, Any]
    short_workloads: Sequence[str]
    short_rounds: int
    ab_workloads: Sequence[str]
    """What two versions of endwell are compared by."""
    ready: Callable[[bool], AbstractContextManager[Ready]]
    """Starts what all measurements of a run need; the argument is whether it is a short run."""
    rows: Sequence[Row]
    information: Sequence[Row]
    """Rows without goals, which have a table of their own."""
    measured: str
    """What the figures are, above the tables."""
    setup: str
    """The command that installs the peers."""
    chart: tuple[str, str]
    """The workload whose CPU time the chart shows, and its title."""
    stems: tuple[str, str, str]
    """Names, without suffix, of the files of results, tables and chart."""
    marker: str
    """Marks where the README has the table."""
    picture: str
    """Where the README has the chart from."""
    base: str = BASE
    """The peer that all others are held against."""
