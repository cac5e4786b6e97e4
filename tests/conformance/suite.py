"""The cases of the Autobahn suite, run by `kosoku` (PyPI): who asks what, and what became of it.

`kosoku -m fuzzingclient` asks a server, `-m fuzzingserver` is asked by a client; either writes an ``index.json``, from
which `Results` is made. A case has failed unless it behaved, and closed, in one of the ways of `ACCEPTED`.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest

import endwell
from endwell import WSMsgType, web
from tests.support.programs import free_port, listening

ACCEPTED = ("OK", "NON-STRICT", "INFORMATIONAL")
ALWAYS = ("1", "2", "3", "4", "5", "6", "7", "10")
"""Sections that are quick: framing, pings, reserved bits, opcodes, fragments, UTF-8, closing; and fragments again."""

SECTIONS = tuple(os.environ.get("ENDWELL_CONFORMANCE", " ".join(ALWAYS)).split())
SECONDS = float(os.environ.get("ENDWELL_CONFORMANCE_SECONDS", "50"))
AT_ONCE = 4
OFFER = "permessage-deflate; client_no_context_takeover; client_max_window_bits"


def found() -> str:
    """Return the path of the program; skip, or fail where everything must be there."""
    if importlib.util.find_spec("kosoku") is None:
        text = "kosoku is missing: pip install kosoku"
        if os.environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(text)
    return str(Path(sys.executable).with_name("kosoku"))


class Results:
    """What became of the cases, by their names (``"7.9.5"``): how each behaved, and how it was closed."""

    def __init__(self, directory: Path) -> None:
        (self.cases,) = json.loads((directory / "index.json").read_text()).values()
        self._directory = directory

    def named(self, *, accepted: bool) -> list[str]:
        """Give a line for each case that is not simply OK, of those that have failed, or of the others."""
        lines = []
        for name in sorted(self.cases, key=lambda name: [int(part) for part in name.split(".")]):
            how, closed = self.cases[name]["behavior"], self.cases[name]["behaviorClose"]
            if (how in ACCEPTED and closed in ACCEPTED) is accepted and (how, closed) != ("OK", "OK"):
                lines.append(f"{name} {how}, closing {closed}: {self._told(name)}")
        return lines

    def _told(self, name: str) -> str:
        told = json.loads((self._directory / self.cases[name]["reportfile"]).read_text())
        return (
            f"{told['result']} {told['resultClose']} (code {told['remoteCloseCode']}) {told['wasNotCleanReason'] or ''}"
        )

    def table(self) -> list[str]:
        """Give a line for each section."""
        lines = []
        for section in sorted({name.split(".")[0] for name in self.cases}, key=int):
            cases = [each for name, each in self.cases.items() if name.split(".")[0] == section]
            good = [each for each in cases if each["behavior"] == each["behaviorClose"] == "OK"]
            failed = [each for each in cases if not {each["behavior"], each["behaviorClose"]} <= set(ACCEPTED)]
            lines.append(
                f"section {section:>2}: {len(cases)} cases, {len(good)} OK, {len(cases) - len(good) - len(failed)} "
                f"not strict or informational, {len(failed)} failed"
            )
        return lines

    def check(self, record: Any, role: str) -> None:
        """Fail when a case has failed; tell the rest."""
        for each in [*self.table(), *self.named(accepted=True)]:
            record("conformance", f"{role}: {each}")
        failed = self.named(accepted=False)
        assert not failed, "\n".join(["cases that failed:", *failed])


def kosoku(*args: object) -> subprocess.Popen[str]:
    """Start the program, with the cases of `SECTIONS`."""
    cases = [part for section in SECTIONS for part in ("-i", f"{section}.*")]
    return subprocess.Popen(
        [found(), *cases, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


async def over(process: subprocess.Popen[str], directory: Path) -> Results:
    """Wait for the end of the program and its report."""
    try:
        said, _ = await asyncio.to_thread(process.communicate, timeout=SECONDS)
    finally:
        process.kill()
        with contextlib.suppress(ValueError):  # closed
            process.communicate()
    assert (directory / "index.json").exists(), said
    return Results(directory)


# Who is asked


async def echo(request: web.Request) -> web.WebSocketResponse:
    """Send back what comes; the closing handshake is that of the `WebSocketResponse`."""
    ws = web.WebSocketResponse(max_msg_size=0)
    await ws.prepare(request)
    with contextlib.suppress(ConnectionResetError):  # too late: the peer broke the rules
        await answer(ws)
    return ws


async def answer(ws: Any) -> None:
    """Send messages back as they came."""
    async for message in ws:
        if message.type is WSMsgType.TEXT:
            await ws.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await ws.send_bytes(message.data)


async def ask_client(port: int, agent: str) -> None:
    """Be the client: ask how many cases there are, go through them, and ask for the report."""
    url = f"ws://127.0.0.1:{port}"
    timeout = endwell.ClientTimeout(total=None)
    # Section 13 negotiates: half of its cases are for clients that offer to compress each message by itself.
    headers = {"Sec-WebSocket-Extensions": OFFER} if "13" in SECTIONS else None
    async with endwell.ClientSession(timeout=timeout) as session:
        async with session.ws_connect(f"{url}/getCaseCount") as ws:
            cases: Iterable[int] = iter(range(1, int(await ws.receive_str()) + 1))

        async def go_through() -> None:
            for case in cases:
                where = f"{url}/runCase?case={case}&agent={agent}"
                async with session.ws_connect(where, max_msg_size=0, compress=15, headers=headers) as ws:
                    with contextlib.suppress(endwell.ClientConnectionResetError):  # too late: the peer broke the rules
                        await answer(ws)

        await asyncio.gather(*(go_through() for _ in range(AT_ONCE)))
        async with session.ws_connect(f"{url}/updateReports?agent={agent}") as ws:
            await ws.receive()


@contextlib.asynccontextmanager
async def fuzzing_server(directory: Path) -> AsyncIterator[tuple[int, subprocess.Popen[str]]]:
    """Give the port of a `kosoku` that serves, and the program."""
    port = free_port()
    process = kosoku("-m", "fuzzingserver", "-o", directory, f"127.0.0.1:{port}")
    try:
        while not listening(port):
            assert process.poll() is None, process.communicate()[0]
            await asyncio.sleep(0.01)
        yield port, process
    finally:
        process.kill()
        with contextlib.suppress(ValueError):  # closed
            process.communicate()
