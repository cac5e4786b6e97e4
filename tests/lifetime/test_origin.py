"""Where a thing was made."""

from __future__ import annotations

import asyncio
import inspect
import os
import subprocess
import sys

import endwell
from endwell.lifetime import Origin, caller


def test_the_line_of_the_caller() -> None:
    frame = inspect.currentframe()
    assert frame is not None
    origin, line = caller(), frame.f_lineno
    assert (origin.filename, origin.lineno) == (__file__, line)
    assert origin.function == "test_the_line_of_the_caller"
    assert str(origin) == f"{__file__}:{line} in test_the_line_of_the_caller"


async def test_frames_of_endwell_are_passed_over() -> None:
    async with endwell.ClientSession() as session:
        assert session._core.origin.filename == __file__
        assert session.connector is not None
        assert session.connector._core.origin.filename == __file__


async def test_called_by_the_loop() -> None:
    made: asyncio.Future[Origin] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(lambda: made.set_result(caller()))
    assert (await made).filename == __file__


def test_an_unknown_place() -> None:
    origin = Origin(None, 0)
    assert (origin.filename, origin.lineno, origin.function) == ("?", 0, "?")
    assert str(origin) == "an unknown place"


def test_a_full_stack_when_debugging() -> None:
    code = "from endwell.lifetime import caller\ndef f():\n    return caller()\nprint(f())"
    for debug in ("1", "0", ""):
        environment = {**os.environ, "ENDWELL_DEBUG": debug}
        out = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
        assert (len(out.stdout.strip().split("\n")) > 1) is (debug == "1")
