"""What `docs/how-to/serve.md` shows: its service runs, its command lines are ones, its numbers are the right ones."""

from __future__ import annotations

import http.client
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from endwell.cli.serve import declare, plan_of
from endwell.cli.served import Served
from endwell.service import plan
from tests.docs.blocks import ROOT, blocks_of
from tests.support.programs import free_port
from tests.support.tls import authority, certificate

PAGE = ROOT / "docs/how-to/serve.md"
BLOCKS = blocks_of(PAGE)
SECONDS = 30


def commands() -> Iterator[str]:
    """The command lines of the page, those of systemd and Docker too."""
    for block in BLOCKS:
        for whole in block.text.splitlines():
            line = whole.partition("  #")[0].rstrip()
            if line.startswith("endwell serve "):
                yield line
            elif line.startswith("ExecStart="):
                yield "endwell " + line.partition("/endwell ")[2]
            elif line.startswith("CMD ["):
                yield shlex.join(re.findall(r'"([^"]*)"', line))


@pytest.mark.parametrize("command", list(commands()))
def test_commands(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("public", "dist"):
        (tmp_path / folder).mkdir()
    certificate().cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    certificate().private_key_pem.write_to_path(tmp_path / "key.pem")
    authority().cert_pem.write_to_path(tmp_path / "ca.pem")
    program, name, *arguments = shlex.split(command)
    assert (program, name) == ("endwell", "serve")
    given: list[Served] = []

    def take(version: bool, **values: Any) -> None:
        given.append(Served(**values))

    declare(take)
    app = typer.Typer()
    app.command()(take)
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert plan_of(given[0]).target == arguments[0]


def test_the_service(tmp_path: Path) -> None:
    (block,) = [each for each in BLOCKS if each.file_name == "service.py"]
    (tmp_path / "service.py").write_text(block.text, encoding="utf-8")
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "endwell", "serve", "service:app", "--port", str(port)],
        cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stderr is not None
            said = ""
            for line in process.stderr:
                said += line
                if " ready: " in line:
                    break
            else:
                pytest.fail(said)
            for path, text in (("/", "Hello\n"), ("/health", "ok\n")):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
                connection.request("GET", path)
                assert connection.getresponse().read().decode() == text
                connection.close()
            process.send_signal(signal.SIGTERM)
            process.stderr.read()
            assert process.wait(SECONDS) == 0
        finally:
            process.kill()


def test_exit_codes() -> None:
    text = PAGE.read_text(encoding="utf-8").partition("## Exit codes")[2].partition("## ")[0]
    codes = [int(each) for each in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)]
    known = [plan.EXIT_ORDERLY, plan.EXIT_CUT_SHORT, 2, plan.EXIT_NO_START, plan.EXIT_NO_ADDRESS]
    assert codes == known


def test_limits() -> None:
    text = PAGE.read_text(encoding="utf-8").partition("## Limits")[2]
    told = {
        name.replace("-", "_"): float(value.replace(",", ""))
        for name, value in re.findall(r"`--([\w-]+)` \| ([\d,]+)", text)
    }
    defaults = Served(target="x")
    assert told == {name: float(getattr(defaults, name)) for name in told}
    assert len(told) == 6
