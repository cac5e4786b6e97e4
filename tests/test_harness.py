"""The house of the tests itself: the two loops, the leak check and the hang guard, proved on deliberate leaks."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest_plugins = ["pytester"]

LEAKS = """
import asyncio, gc, os, socket, threading, time, warnings
import pytest
from hypothesis import given, settings, strategies as st

kept = []

async def test_clean():
    a, b = socket.socketpair()
    with b:
        _, writer = await asyncio.open_connection(sock=a)
        writer.close()
        await writer.wait_closed()

def test_leak_fd():
    kept.append(os.dup(1))

async def test_leak_socket():
    kept.append(socket.socketpair())

async def test_leak_forgotten_socket():
    socket.socket()

async def test_leak_forgotten_transport():
    a, b = socket.socketpair()
    kept.append(b)
    await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=a)

async def test_leak_task():
    kept.append(asyncio.create_task(asyncio.sleep(3600)))

def test_leak_thread():
    event = threading.Event()
    thread = threading.Thread(target=event.wait, daemon=True)
    thread.start()
    kept.append(event)

async def test_leak_exception():
    async def fails():
        raise LookupError("lost")
    task = asyncio.create_task(fails())
    await asyncio.sleep(0)
    await asyncio.sleep(0)

def test_leak_unraisable():
    class Bad:
        def __del__(self):
            raise ValueError("in a finaliser")
    Bad()

def test_leak_cycle_unraisable():
    class Bad:
        def __init__(self):
            self.me = self
        def __del__(self):
            warnings.warn("open", ResourceWarning)
    Bad()

async def test_leak_coroutine():
    asyncio.sleep(1)

@settings(max_examples=3, database=None)
@given(st.integers())
async def test_leak_property(number):
    kept.append(asyncio.create_task(asyncio.sleep(3600)))

async def test_leak_hang():
    await asyncio.Event().wait()
"""
TEXTS = {
    "test_leak_fd": "fd left:",
    "test_leak_socket": "fd left:",
    "test_leak_forgotten_socket": "unclosed <socket",
    "test_leak_forgotten_transport": "unclosed",
    "test_leak_task": "task left:*sleep",
    "test_leak_thread": "thread left:",
    "test_leak_exception": "never retrieved:*",
    "test_leak_unraisable": "in a finaliser",
    "test_leak_cycle_unraisable": "ResourceWarning: open",
    "test_leak_coroutine": "was never awaited",
    "test_leak_property": "task left:*sleep",
    "test_leak_hang": "hung for 0.3 s*locks.py",
}


def test_every_leak_fails_its_test(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENDWELL_TEST_HANG", "0.3")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    pytester.makeconftest('pytest_plugins = ["tests.conftest"]')
    pytester.makepyfile(LEAKS)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    both = sum("async def " + name in LEAKS for name in TEXTS)
    result.assert_outcomes(passed=2, failed=both * 2 + len(TEXTS) - both)
    output = result.stdout.str()
    for name, text in TEXTS.items():
        loops = ["[asyncio]", "[uvloop]"] if "async def " + name in LEAKS else [""]
        for loop in loops:
            _, found, section = output.partition(f"_ {name}{loop} _")
            assert found, f"{name}{loop} is missing"
            section = section.partition("\n____")[0]
            for part in text.split("*"):
                assert part in section, f"{name}{loop} does not say {part!r}: {section}"


async def test_each_kind_of_loop_is_what_it_says(loop_kind: str) -> None:
    assert type(asyncio.get_running_loop()).__module__.partition(".")[0] == loop_kind


@settings(max_examples=5, database=None)
@given(number=st.integers())
async def test_properties_may_be_async(number: int) -> None:
    await asyncio.sleep(0)
    assert number == int(str(number))
