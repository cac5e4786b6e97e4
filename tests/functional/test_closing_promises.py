"""Each promise of the closing contract that a client keeps has tests, without and with TLS (both loops: every test)."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PROMISES = [number for number in range(1, 17) if number != 13]  # C13 is the server's: test_closing_server*.py


def _tests() -> dict[str, set[str]]:
    """Return the arguments of each test of the contract."""
    found = {}
    for path in Path(__file__).parent.glob("test_closing_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
                found[node.name] = {each.arg for each in node.args.args}
    return found


TESTS = _tests()


@pytest.mark.parametrize("number", PROMISES)
def test_each_promise_has_tests_without_and_with_tls(number: int) -> None:
    promised = {name: args for name, args in TESTS.items() if re.search(rf"_c{number}_", name)}
    both = [name for name, args in promised.items() if args & {"tls", "url"}]  # `url`: of a server of either kind
    assert both, f"no test of C{number} runs without and with TLS"
