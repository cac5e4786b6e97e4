"""The command as a process, and the server it fetches from."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import pytest

_DIRECT = build_opener(ProxyHandler({}))
_UNWANTED = ("_proxy", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "TERMINAL_WIDTH")


class Site:
    """The running server: `url(path)`, `hits(path)`, `wait_until_held()`, `release()`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self._events = process.stdout.fileno()
        self._heard = b""
        self.port = int(self._event())
        self.folder = f"127.0.0.1+{self.port}"

    def url(self, path: str, userinfo: str = "") -> str:
        return f"http://{userinfo}127.0.0.1:{self.port}{path}"

    def get(self, path: str) -> bytes:
        with _DIRECT.open(self.url(path), timeout=30) as response:
            return bytes(response.read())

    def hits(self, path: str) -> int:
        return int(json.loads(self.get("/hits")).get(path, 0))

    def wait_until_held(self, number: int = 1) -> None:
        for _ in range(number):
            assert self._event().startswith(b"held")

    def _event(self) -> bytes:
        while b"\n" not in self._heard:
            assert select.select([self._events], [], [], 20)[0], (
                "the request never came: the command has failed or hangs"
            )
            self._heard += os.read(self._events, 4096)
        event, _, self._heard = self._heard.partition(b"\n")
        return event

    def release(self) -> None:
        self.get("/release")


def _start() -> subprocess.Popen[bytes]:
    command = [sys.executable, str(Path(__file__).with_name("server.py"))]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with _start() as process:
        yield Site(process)
        process.communicate()


@pytest.fixture
def own_site() -> Iterator[Site]:
    """A server of the test's own, for those who hold requests back."""
    with _start() as process:
        yield Site(process)
        process.communicate()


class Command:
    """Runs `endwell get` in a folder of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.lower().endswith(_UNWANTED)}
        self.environment = {**kept, "HOME": str(folder), "COLUMNS": "200"}

    def start(self, *arguments: str, **options: object) -> subprocess.Popen[bytes]:
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command = [sys.executable, "-W", "error", "-m", "endwell.cli", "get", *arguments]
        # Whoever runs the tests in the background may have had SIGINT ignored, and that would be inherited.
        pipes["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, **{**pipes, **options})  # type: ignore[call-overload]

    def run(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        with self.start(*arguments, stdin=subprocess.PIPE) as process:
            out, err = process.communicate(stdin, timeout=60)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def urls(self, lines: Sequence[str], name: str = "urls") -> str:
        (self.folder / name).write_text("".join(f"{line}\n" for line in lines))
        return name

    def records(self, name: str) -> dict[str, dict[str, object]]:
        """The records of a file by the end of their URL's path; the last one of a URL counts."""
        found = [json.loads(line) for line in (self.folder / name).read_text().splitlines()]
        return {str(record["url"]).rpartition("/")[2]: record for record in found}


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)
