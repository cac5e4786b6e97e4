"""The demo runs, and both of its ends end well."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"


def test_demo(tmp_path: Path) -> None:
    command = [sys.executable, str(DEMO), "--out", str(tmp_path / "out")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    said = run.stdout + run.stderr
    assert re.search(r"^(\d+) of \1 files are equal to their source", said, re.MULTILINE), said
    for end in ("ClientSession", "AppRunner"):
        assert re.search(rf"^closed {end} in [\d.]+ ms: \d+ finished, 0 aborted", said, re.MULTILINE), said
    assert "the server ended with exit status 0" in said
