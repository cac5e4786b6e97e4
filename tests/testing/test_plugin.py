"""The pytest plugin, in programs of its own: what it runs, what it leaves to others, and what it fails."""

from __future__ import annotations

import re

import pytest

pytest_plugins = ["pytester"]

CONFTEST = 'pytest_plugins = "endwell.pytest_plugin"'
APPLICATION = """
import asyncio, warnings
import pytest
from endwell import open_resources, web
from endwell.test_utils import AioHTTPTestCase, RawTestServer, TestClient, TestServer

async def hello(request):
    return web.Response(text="hello")

def make_app(*args):
    app = web.Application()
    app.router.add_get("/", hello)
    return app

async def read(client):
    async with client.get("/") as response:
        return await response.text()
"""

RUN_HERE = """
steps = []

@pytest.fixture
async def value(request):
    steps[:] = ["value for " + request.node.name.partition("[")[0]]
    return asyncio.get_running_loop()

@pytest.fixture
async def opened(value):
    assert value is asyncio.get_running_loop()
    steps.append("open")
    yield value
    await asyncio.sleep(0)
    assert value is asyncio.get_running_loop()
    steps.append("close")

@pytest.fixture
def plain(loop):
    return loop

async def test_fixtures(opened, value, plain, loop):
    assert asyncio.get_running_loop() is opened is value is plain is loop
    assert steps == ["value for test_fixtures", "open"]

def test_fixtures_have_ended(loop):
    assert steps == ["value for test_fixtures", "open", "close"]
    assert loop.run_until_complete(asyncio.sleep(0, "done")) == "done"

def test_a_plain_test_uses_an_async_fixture(value, loop):
    assert value is loop is asyncio.get_event_loop_policy().get_event_loop()

class TestClass:
    @pytest.fixture
    async def me(self):
        return self

    @pytest.fixture
    async def also_me(self):
        yield self

    async def test_method(self, me, also_me):
        assert me is also_me is self

    @staticmethod
    async def test_static(me):
        assert isinstance(me, TestClass)

    @classmethod
    async def test_class(cls):
        assert cls is TestClass

@pytest.mark.parametrize("number", [1, 2])
async def test_parameters(number):
    assert number in (1, 2)

async def test_client(aiohttp_client, endwell_client):
    async def raw(request):
        return web.Response(text="raw")

    assert await read(await aiohttp_client(make_app())) == "hello"
    assert await read(await endwell_client(make_app(), headers={"X-A": "b"})) == "hello"
    assert await read(await aiohttp_client(make_app)) == "hello"
    assert await read(await aiohttp_client(RawTestServer(raw))) == "raw"
    client = await aiohttp_client(make_app(), server_kwargs={"host": "localhost"})
    assert client.make_url("/").host == "localhost"
    await client.close()

async def test_servers(aiohttp_server, aiohttp_raw_server, endwell_server, endwell_raw_server, aiohttp_unused_port):
    port = aiohttp_unused_port()
    assert (await aiohttp_server(make_app(), port=port)).port == port
    for server in (
        await endwell_server(make_app(), keepalive_timeout=3),
        await aiohttp_raw_server(hello, keepalive_timeout=3),
        await endwell_raw_server(hello, keepalive_timeout=3),
    ):
        assert server.handler.times.keepalive == 3
        async with TestClient(server) as client:
            assert await read(client) == "hello"

@pytest.fixture
def client(loop, aiohttp_client):
    return loop.run_until_complete(aiohttp_client(make_app()))

async def test_a_client_of_a_plain_fixture(client):
    assert await read(client) == "hello"

def test_a_client_of_a_plain_test(aiohttp_client):
    loop = asyncio.get_event_loop_policy().get_event_loop()
    assert loop.run_until_complete(read(loop.run_until_complete(aiohttp_client(make_app())))) == "hello"

async def test_a_task_that_still_runs():
    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            steps.append("cancelled")

    asyncio.create_task(work())
    await asyncio.sleep(0)

async def test_nothing_is_open(fast, loop_debug, loop):
    assert steps.pop() == "cancelled"
    assert open_resources() == []
    assert fast and loop_debug and loop.get_debug()

class TestCase(AioHTTPTestCase):
    async def get_application(self):
        return make_app()

    async def test_case(self):
        assert await read(self.client) == "hello"
"""

# One test of each of these lines runs once on whatever loops there are.
ONCE = ("test_a_client_of_a_plain_test", "test_case")


def test_what_runs(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(APPLICATION + RUN_HERE)
    options = ("--aiohttp-loop=all", "--aiohttp-fast", "--aiohttp-enable-loop-debug")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-W", "error", "-v", *options)
    tests = RUN_HERE.count("def test_") + 1  # one of them has two parameters
    result.assert_outcomes(passed=2 * tests - len(ONCE))
    result.stdout.fnmatch_lines(["*::test_fixtures[[]pyloop] PASSED*", "*::test_client[[]uvloop] PASSED*"])


WIDER = """
@pytest.fixture(scope="module")
def loop():
    with loop_context() as loop:
        yield loop

@pytest.fixture(scope="module")
async def kept():
    loop = asyncio.get_running_loop()
    yield loop
    assert asyncio.get_running_loop() is loop

async def test_one(kept, loop):
    assert asyncio.get_running_loop() is kept is loop

async def test_two(kept, aiohttp_client):
    assert asyncio.get_running_loop() is kept
    assert await read(await aiohttp_client(make_app())) == "hello"

class TestItsOwn:
    @pytest.fixture
    def loop_factory(self):
        return Loop

    @pytest.fixture
    def loop(self, loop_factory):
        with loop_context(loop_factory) as loop:
            yield loop

    async def test_three(self):
        assert type(asyncio.get_running_loop()) is Loop

class Loop(asyncio.SelectorEventLoop):
    pass
"""


def test_loops_of_the_users(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(APPLICATION + "from endwell.test_utils import loop_context\n" + WIDER)
    pytester.runpytest_subprocess("-p", "no:cacheprovider", "-W", "error").assert_outcomes(passed=3)


FAIL = """
async def test_never_awaited(fast, loop_debug):
    assert not fast and not loop_debug
    asyncio.sleep(0)

@pytest.mark.filterwarnings("error")
async def test_never_awaited_where_warnings_are_errors():
    asyncio.sleep(0)

@pytest.mark.filterwarnings("ignore")
async def test_never_awaited_where_warnings_are_ignored():
    asyncio.sleep(0)

async def test_passes_with_a_warning():
    warnings.warn("a warning of the test", RuntimeWarning)

async def test_fails_with_a_warning():
    warnings.warn("another warning of the test", UserWarning)
    raise LookupError("the test")

@pytest.mark.filterwarnings("error::ResourceWarning")
async def test_leaves_a_server():
    await TestServer(make_app()).start_server()

async def test_client_of_nothing(aiohttp_client):
    await aiohttp_client(5)

async def test_client_arguments(aiohttp_client):
    await aiohttp_client(make_app(), 5)

async def test_client_server_arguments(aiohttp_client):
    await aiohttp_client(TestServer(make_app()), server_kwargs={"port": 0})

@pytest.fixture
async def yields_twice():
    yield 1
    yield 2

async def test_yields_twice(yields_twice):
    pass

@pytest.fixture
async def yields_never():
    if False:
        yield

async def test_yields_never(yields_never):
    pass

@pytest.fixture
async def fails_at_the_end():
    yield
    raise LookupError("at the end")

async def test_fails_at_the_end(fails_at_the_end):
    pass

@pytest.fixture
async def fails():
    raise LookupError("the fixture")

async def test_fixture_fails(fails):
    pass

async def test_is_cancelled():
    raise asyncio.CancelledError
"""
# Under the name of a test: its outcomes in order, and what it says.
FAILURES = {
    "test_never_awaited": ("FAILED", "the test forgot to await:\n*: coroutine 'sleep' was never awaited"),
    "test_never_awaited_where_warnings_are_errors": ("FAILED", "the test forgot to await"),
    "test_never_awaited_where_warnings_are_ignored": ("FAILED", "the test forgot to await"),
    "test_passes_with_a_warning": ("PASSED", "RuntimeWarning: a warning of the test"),
    "test_fails_with_a_warning": ("FAILED", "LookupError: the test*UserWarning: another warning of the test"),
    "test_leaves_a_server": ("PASSED ERROR", "ResourceWarning: AppRunner was never closed"),
    "test_client_of_nothing": (
        "FAILED",
        "TypeError: aiohttp_client() takes a web.Application or a TestServer, not int",
    ),
    "test_client_arguments": ("FAILED", "TypeError: aiohttp_client(app) takes nothing else but keyword arguments"),
    "test_client_server_arguments": ("FAILED", "TypeError: server_kwargs are for a server that aiohttp_client() makes"),
    "test_yields_twice": ("PASSED ERROR", "the fixture yields_twice yields more than once"),
    "test_yields_never": ("ERROR", "the fixture yields_never did not yield a value"),
    "test_fails_at_the_end": ("PASSED ERROR", "LookupError: at the end"),
    "test_fixture_fails": ("ERROR", "LookupError: the fixture"),
    "test_is_cancelled": ("FAILED", "CancelledError"),
}


def test_what_fails(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(APPLICATION + FAIL)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-v", "--tb=short")
    output = result.stdout.str()
    assert len(FAILURES) == FAIL.count("async def test_")
    for name, (outcomes, text) in FAILURES.items():
        found = re.findall(rf"::{name} ([A-Z]+) +\[", output)
        assert found == outcomes.split(), name
        rest = output
        for part in text.split("*"):
            _, seen, rest = rest.partition(part)
            assert seen, f"{name} does not say {part!r}"


# A plugin as pytest-asyncio is, in what matters here.
OTHER = """
import asyncio, inspect
import pytest

pytest_plugins = "endwell.pytest_plugin"

class Other:
    def __init__(self, config):
        self.auto = config.getini("asyncio_mode") == "auto"

    def has(self, item):
        return self.auto or item.get_closest_marker("asyncio") is not None

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem):
        if not inspect.iscoroutinefunction(pyfuncitem.obj) or not self.has(pyfuncitem):
            return None
        asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}))
        return True

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef, request):
        function = fixturedef.func
        if self.auto and inspect.iscoroutinefunction(function):
            fixturedef.func = lambda **arguments: ("theirs", asyncio.run(function(**arguments)))
        try:
            return (yield)
        finally:
            fixturedef.func = function

def pytest_addoption(parser):
    parser.addini("asyncio_mode", "which tests it runs", default="strict")

def pytest_configure(config):
    config.addinivalue_line("markers", "asyncio: theirs")
    config.pluginmanager.register(Other(config), "asyncio")

@pytest.fixture
async def fixture():
    return "value"
"""
OTHERS_TESTS = """
@pytest.mark.asyncio
async def test_theirs(request):
    assert "loop" not in request.fixturenames

class TestTheirs:
    pytestmark = pytest.mark.asyncio

    async def test_theirs(self, request):
        assert "loop" not in request.fixturenames

async def test_neither(request, fixture):
    assert ("loop" in request.fixturenames) == ({mode} == "strict")
    assert fixture == ("value" if {mode} == "strict" else ("theirs", "value"))
"""
CROSSED = """
@pytest.mark.asyncio
async def test_crossed(aiohttp_client):
    with pytest.raises(RuntimeError, match="another loop than the one that runs the test.*leave the mark out"):
        await aiohttp_client(make_app())
"""


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_what_is_left_to_others(pytester: pytest.Pytester, mode: str) -> None:
    pytester.makeini(f"[pytest]\nasyncio_mode = {mode}\nfilterwarnings = error\n")
    pytester.makeconftest(OTHER)
    tests = OTHERS_TESTS.replace("{mode}", repr(mode)) + (CROSSED if mode == "strict" else "")
    pytester.makepyfile(APPLICATION + tests)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=tests.count("def test_"))


def test_a_loop_that_there_is_not(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--aiohttp-loop=fast")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --aiohttp-loop=fast: there is no loop 'fast' here, only pyloop*and all"])


def test_beside_a_plugin_with_the_same_options(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(first='def pytest_addoption(parser): parser.addoption("--aiohttp-fast", action="store_true")')
    pytester.makeconftest('pytest_plugins = ["first", "endwell.pytest_plugin"]')
    pytester.syspathinsert()
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    assert result.ret != pytest.ExitCode.OK
    result.stderr.fnmatch_lines(["*endwell.pytest_plugin and aiohttp.pytest_plugin can't be loaded together*"])


def test_it_does_not_load_itself(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import sys\ndef test_it():\n    assert not any('endwell' in name for name in sys.modules)")
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)
