"""The hooks of the pytest plugin: runs tests and fixtures that are coroutines on the `loop` of `testing.fixtures`.

A test belongs to another plugin when it has that plugin's mark or asks for its backend, or when the plugin runs every
asynchronous test (the auto modes of pytest-asyncio and anyio): then nothing is done here.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import re
import warnings
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from typing import Any, Final, cast

import pytest

from endwell.testing import fixtures
from endwell.testing.fixtures import loop_factories
from endwell.testing.loops import show_warning

__all__ = (
    "pytest_addoption",
    "pytest_configure",
    "pytest_fixture_setup",
    "pytest_generate_tests",
    "pytest_pycollect_makeitem",
    "pytest_pyfunc_call",
)

_OTHERS: Final = frozenset({"anyio", "asyncio", "tornado", "trio", "twisted"})
_AUTO_MODES: Final = (("asyncio", "asyncio_mode"), ("anyio", "anyio_mode"))
_ENDED: Final = object()
_NEVER_AWAITED: Final = r"coroutine .* was never awaited"


def pytest_addoption(parser: pytest.Parser) -> None:
    """See pytest."""
    group = parser.getgroup("endwell", "asynchronous tests")
    try:
        group.addoption(
            "--aiohttp-fast", action="store_true", help="leave out the garbage collection at the end of each test"
        )
        group.addoption("--aiohttp-loop", default="pyloop", help="the loops to run tests on: pyloop, uvloop or all")
        group.addoption("--aiohttp-enable-loop-debug", action="store_true", help="have the loops be in debug mode")
    except ValueError as error:
        message = f"endwell.pytest_plugin and aiohttp.pytest_plugin can't be loaded together: {error}"
        raise pytest.UsageError(message) from error


def pytest_configure(config: pytest.Config) -> None:
    """See pytest: a loop that there is not is told before anything is collected."""
    loop_factories(config)


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Module | pytest.Class, name: str, obj: Any) -> None:
    """Give each test that is to run here a loop."""
    function = obj.__func__ if isinstance(obj, (classmethod, staticmethod)) else obj
    if not inspect.iscoroutinefunction(function) or not collector.istestfunction(obj, name):
        return
    marks = {mark.name for mark in (*collector.iter_markers(), *getattr(function, "pytestmark", ()))}
    if not (marks & _OTHERS or _somebody_runs_all(collector.config) or _asks_for(function, "anyio_backend")):
        pytest.mark.usefixtures("loop")(function)


def _somebody_runs_all(config: pytest.Config) -> bool:
    """Tell whether another plugin is told to run every asynchronous test."""
    for plugin, option in _AUTO_MODES:
        if config.pluginmanager.hasplugin(plugin):
            with contextlib.suppress(ValueError):  # an older version, which has no such mode
                if str(config.getoption(option, None) or config.getini(option)) == "auto":
                    return True
    return False


def _asks_for(function: Any, fixture: str) -> bool:
    return fixture in inspect.signature(function).parameters


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test on each loop, when there are several."""
    if "loop_factory" in metafunc.fixturenames:
        factories = loop_factories(metafunc.config)
        if len(factories) > 1:
            metafunc.parametrize("loop_factory", list(factories.values()), ids=list(factories))


# As the innermost wrapper it comes after the plugins that make something else of fixtures of their own.
@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, Any, Any]:
    """Run asynchronous fixtures on the loop of the test."""
    function = fixturedef.func
    is_generator = inspect.isasyncgenfunction(function)
    if not is_generator and not inspect.iscoroutinefunction(function):
        return (yield)
    if "loop" not in request.fixturenames and function.__module__ != fixtures.__name__:
        return (yield)  # the test does not run here
    loop: asyncio.AbstractEventLoop = request.getfixturevalue("loop")
    bound = _bound(function, request.instance)
    stand_in: Any = _generator_fixture(loop, bound) if is_generator else _coroutine_fixture(loop, bound)
    fixturedef.func = stand_in  # type: ignore[misc]  # Final for pytest's own code; pytest-asyncio and anyio do the same
    try:
        return (yield)
    finally:
        fixturedef.func = function  # type: ignore[misc]  # as above


def _bound(function: Any, instance: object) -> Any:
    """Give the method of the instance that the test is called on; a fixture's own is bound to another one."""
    if instance is not None and isinstance(instance, getattr(function, "__self__", None).__class__):
        return function.__func__.__get__(instance)
    return function


def _coroutine_fixture(loop: asyncio.AbstractEventLoop, function: Callable[..., Any]) -> Callable[..., Any]:
    def run(**kwargs: Any) -> Any:
        return loop.run_until_complete(function(**kwargs))

    return run


def _generator_fixture(
    loop: asyncio.AbstractEventLoop, function: Callable[..., AsyncGenerator[Any, None]]
) -> Callable[..., Iterator[Any]]:
    def run(**kwargs: Any) -> Iterator[Any]:
        generator = function(**kwargs)
        value = loop.run_until_complete(_next(generator))
        if value is _ENDED:
            pytest.fail(f"the fixture {function.__name__} did not yield a value", pytrace=False)
        yield value
        if loop.run_until_complete(_next(generator)) is not _ENDED:
            loop.run_until_complete(generator.aclose())
            pytest.fail(f"the fixture {function.__name__} yields more than once", pytrace=False)

    return run


async def _next(generator: AsyncGenerator[Any, None]) -> Any:
    return await anext(generator, _ENDED)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine; it fails when it leaves a coroutine behind that was never awaited."""
    function = pyfuncitem.obj
    names = pyfuncitem.fixturenames
    if not inspect.iscoroutinefunction(function) or "loop" not in names or "anyio_backend" in names:
        return None
    loop = cast("asyncio.AbstractEventLoop", pyfuncitem.funcargs["loop"])
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    seen: list[warnings.WarningMessage] = []
    forgotten: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.filterwarnings("always", _NEVER_AWAITED, RuntimeWarning)
            loop.run_until_complete(function(**arguments))
        forgotten = [each for each in seen if _is_forgotten_coroutine(each)]
    finally:
        for each in seen:
            if each not in forgotten:
                show_warning(each)
    if forgotten:
        lines = "\n".join(f"{each.filename}:{each.lineno}: {each.message}" for each in forgotten)
        pytest.fail(f"the test forgot to await:\n{lines}", pytrace=False)
    return True


def _is_forgotten_coroutine(warning: warnings.WarningMessage) -> bool:
    return issubclass(warning.category, RuntimeWarning) and re.match(_NEVER_AWAITED, str(warning.message)) is not None
