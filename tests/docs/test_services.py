"""The services of the documentation serve what it says, and end when they are told to."""

from __future__ import annotations

import contextlib
import doctest
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import Block, blocks_of, consoles_of, files_before, python_blocks
from tests.support.programs import free_port, program

SERVICES = [block for block in python_blocks() if block.is_service and block.skip is None]
TESTS = [block for block in python_blocks() if block.is_tests and block.skip is None]
SECONDS = 30
_COMMAND = re.compile(r"^\$ (.*(?:\\\n.*)*)\n", re.MULTILINE)


def write_files(block: Block, folder: Path, port: int = 8080) -> Path:
    """Write a block, and the files it needs; return its path."""
    (folder / "photo.jpg").write_bytes(b"\xff\xd8" + bytes(200_000))
    (folder / "public").mkdir()
    (folder / "public" / "style.css").write_text("body { margin: 0 }\n", encoding="utf-8")
    for each in (*files_before(block), block):
        path = folder / (each.file_name or "program.py")
        path.write_text(with_port(each.text, port), encoding="utf-8")
    return path


def with_port(text: str, port: int) -> str:
    """Put another port in the place of 8080."""
    return re.sub(r"(?<=[:=])8080\b", str(port), text)


@contextlib.contextmanager
def service(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a program that serves; at the end of the block it is told to end, and must do so in order."""
    with (
        (path.parent / "log").open("w+", encoding="utf-8") as log,
        subprocess.Popen(
            [sys.executable, "-W", "error", "-u", path.name],
            cwd=path.parent,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            assert "Running on" in first, first + (path.parent / "log").read_text(encoding="utf-8")
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS) == 0, (path.parent / "log").read_text(encoding="utf-8")
        finally:
            process.kill()


def same(expected: str, printed: str) -> bool:
    """Whether this was printed; `...` stands for anything."""
    return doctest.OutputChecker().check_output(expected, printed, doctest.ELLIPSIS)


@pytest.mark.parametrize("block", SERVICES, ids=lambda block: block.name)
def test_service(block: Block, tmp_path: Path) -> None:
    program("curl", "curl")
    port = free_port()
    path = write_files(block, tmp_path, port)
    with service(path):
        for console in consoles_of(block):
            pieces = _COMMAND.split(console.text)
            assert pieces[0] == "", f"{console.name} does not begin with a command"
            for command, expected in zip(pieces[1::2], pieces[2::2], strict=True):
                assert command.startswith("curl "), f"{console.name} has another command than curl"
                run = subprocess.run(
                    with_port(command, port),
                    cwd=tmp_path, shell=True, capture_output=True, text=True, timeout=SECONDS, check=False,
                )  # fmt: skip
                printed = re.sub(rf"(?<=:){port}\b", "8080", run.stdout.replace("\r", ""))
                if not same(expected.strip(), printed.strip()):
                    text = f"{console.name}: {command} should print\n{expected}\nand prints\n{printed}\n{run.stderr}"
                    pytest.fail(text, pytrace=False)
    log = (tmp_path / "log").read_text(encoding="utf-8")
    assert "Traceback" not in log
    if block.output is not None:
        printed = re.sub(rf"(?<=:){port}\b", "8080", log)
        assert same(block.output, printed), f"{block.name} should log\n{block.output}\nand logs\n{printed}"


@pytest.mark.parametrize("block", TESTS, ids=lambda block: block.name)
def test_tests(block: Block, tmp_path: Path) -> None:
    path = write_files(block, tmp_path)
    options = ["-q", "-W", "error", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", "."]
    command = [sys.executable, "-m", "pytest", *options, path.name]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"\b\d+ passed", run.stdout), run.stdout


def test_consoles_belong_to_services() -> None:
    tried = {console.name for block in SERVICES for console in consoles_of(block)}
    found = {
        each.name
        for path in {block.path for block in python_blocks()}
        for each in blocks_of(path)
        if each.info == "console"
    }
    assert found == tried
