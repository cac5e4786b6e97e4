"""At the end of a run in one process: what the cases came to, section by section, and which were not strict."""

from __future__ import annotations

import itertools

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = itertools.chain(*(terminalreporter.getreports(name) for name in ("passed", "failed")))
    lines = [value for each in reports for name, value in each.user_properties if name == "conformance"]
    if lines:
        terminalreporter.section("conformance (Autobahn)")
        for line in lines:
            terminalreporter.line(line)
