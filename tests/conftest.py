"""How this suite runs: async tests on two loops, a guard against hanging, and the leak check after every test.

An async test is a plain `async def test_x()`; it runs once on asyncio's loop and once on uvloop's, each time on a loop
of its own (`asyncio.Runner`). `@given` works on it too. There are no async fixtures: what a test opens it opens with
`async with` in its body, so that it is closed before the check. A test for one loop only says
`@pytest.mark.parametrize("loop_kind", ["asyncio"], indirect=True)`.

A test that passed fails after all when it left a descriptor, a task, a thread, an exception nobody retrieved, or
something Python could only print; see `tests/support/leaks.py`. A test that failed is not asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import functools
import gc
import inspect
import os
import signal
import sys
import warnings
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from tests.support.leaks import LeakWatch, describe_task

# A suite that a shell started in the background has SIGINT ignored, and so would the programs that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

try:
    import uvloop
except ImportError:  # not on every platform
    uvloop = None  # type: ignore[assignment] # the absence of an optional module

HANG_SECONDS = float(os.environ.get("ENDWELL_TEST_HANG", "60"))
# A test that blocks its loop can't be cancelled: the whole run ends then, with every thread's stack.
BLOCKED_SECONDS = HANG_SECONDS + 15

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop] | None] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.new_event_loop if uvloop else None,
}
_watch_key = pytest.StashKey[LeakWatch]()


@pytest.fixture(scope="module", params=list(LOOPS))
def loop_kind(request: pytest.FixtureRequest) -> str:
    """The kind of loop the test runs on: `asyncio` or `uvloop`."""
    if LOOPS[request.param] is None:
        pytest.skip("uvloop is not installed")
    return str(request.param)


def _coroutine_function(function: Any) -> Any:
    """Return the `async def` behind a test function (inside `@given` too), or None."""
    inner = getattr(getattr(function, "hypothesis", None), "inner_test", function)
    return inner if inspect.iscoroutinefunction(inner) else None


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: Any, name: str, obj: Any) -> None:
    if collector.istestfunction(obj, name) and _coroutine_function(obj):
        pytest.mark.usefixtures("loop_kind")(obj)


def pytest_make_parametrize_id(val: Any) -> str | None:
    """Name what gzip made by its length: it may hold the time, and the workers of pytest-xdist compare the names."""
    return f"gzip-{len(val)}" if isinstance(val, bytes) and val.startswith(b"\x1f\x8b") else None


def pytest_collection_finish() -> None:
    for factory in LOOPS.values():
        if factory is not None:  # libuv keeps one pipe for signals from its first loop on: not a test's leak
            with asyncio.Runner(loop_factory=factory) as runner:
                runner.run(asyncio.sleep(0))
    gc.collect()
    gc.freeze()  # what was imported so far is not looked at again: a collection then costs a millisecond


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    faulthandler.dump_traceback_later(BLOCKED_SECONDS, exit=True, file=sys.__stderr__)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    watch = pyfuncitem.stash[_watch_key] = LeakWatch()
    passed = False
    try:
        result = yield
        passed = True
    finally:
        problems = watch.end(look=passed)
    if problems:
        pytest.fail("the test left something behind:\n- " + "\n- ".join(problems), pytrace=False)
    return result


@contextlib.contextmanager
def _runner(watch: LeakWatch, kind: str) -> Iterator[asyncio.Runner]:
    """Give a new loop and close it; what it warns of while it closes is a problem of the test.

    Such a warning is recorded, not raised: uvloop waits for ever in `close()` when its warning of an open transport
    becomes an exception.
    """
    runner = asyncio.Runner(loop_factory=LOOPS[kind])
    try:
        yield runner
    finally:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ResourceWarning)
            runner.close()
        watch.problems += [f"{each.category.__name__}: {each.message}" for each in caught]


class _AsyncTests:
    """Runs coroutine functions; a plugin of its own because one module can hold only one `pytest_pyfunc_call`."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool | None:
        function = _coroutine_function(pyfuncitem.obj)
        if function is None:
            return None
        watch = pyfuncitem.stash[_watch_key]
        kind = pyfuncitem.funcargs["loop_kind"]
        with _runner(watch, kind) as runner:
            runner.get_loop().set_exception_handler(watch.loop_exception)
            if function is pyfuncitem.obj:
                names = pyfuncitem._fixtureinfo.argnames
                runner.run(_guarded(watch, function(**{name: pyfuncitem.funcargs[name] for name in names})))
                return True
            holder = pyfuncitem.obj.hypothesis

            @functools.wraps(function)
            def run_example(*args: Any, **kwargs: Any) -> None:
                runner.run(_guarded(watch, function(*args, **kwargs)))

            holder.inner_test = run_example
            try:
                names = pyfuncitem._fixtureinfo.argnames
                pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names})
            finally:
                holder.inner_test = function
            return True


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_AsyncTests(), "endwell-async-tests")


async def _guarded(watch: LeakWatch, body: Any) -> None:
    """Await a test's body; fail it with the stacks of all tasks when it takes longer than `HANG_SECONDS`."""
    task = asyncio.current_task()
    stacks: list[str] = []

    def give_up() -> None:
        stacks.extend(describe_task(each) for each in asyncio.all_tasks())
        assert task is not None
        task.cancel()

    timer = asyncio.get_running_loop().call_later(HANG_SECONDS, give_up)
    try:
        await body
    except asyncio.CancelledError:
        if not stacks:
            raise
    finally:
        timer.cancel()
    if stacks:
        pytest.fail(f"hung for {HANG_SECONDS:g} s:\n- " + "\n- ".join(stacks), pytrace=False)
    watch.note_tasks()
