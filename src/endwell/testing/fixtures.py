"""The fixtures of the pytest plugin: a loop, and factories of servers and clients that are closed with the test.

The factories are asynchronous generators, so they run on the loop of whoever runs the test: ours (`testing.plugin`),
or pytest-asyncio in its auto mode, or anyio.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any, Protocol, overload

import pytest

from endwell.server.application import Application
from endwell.server.request import BaseRequest, Request
from endwell.server.response import StreamResponse
from endwell.testing.client import TestClient
from endwell.testing.loops import LoopFactory, loop_context
from endwell.testing.ports import unused_port
from endwell.testing.servers import BaseTestServer, RawTestServer, TestServer

__all__ = (
    "AiohttpClient",
    "AiohttpRawServer",
    "AiohttpServer",
    "aiohttp_client",
    "aiohttp_raw_server",
    "aiohttp_server",
    "aiohttp_unused_port",
    "endwell_client",
    "endwell_raw_server",
    "endwell_server",
    "fast",
    "loop",
    "loop_debug",
    "loop_factories",
    "loop_factory",
    "proactor_loop",
)

RawHandler = Callable[[BaseRequest], Awaitable[StreamResponse]]


class AiohttpClient(Protocol):
    """What the fixture `aiohttp_client` gives."""

    @overload
    async def __call__(
        self, app: Application, /, *, server_kwargs: dict[str, Any] | None = None, **kwargs: Any
    ) -> TestClient[Request, Application]: ...

    @overload
    async def __call__(self, server: TestServer, /, **kwargs: Any) -> TestClient[Request, Application]: ...

    @overload
    async def __call__(self, server: BaseTestServer, /, **kwargs: Any) -> TestClient[BaseRequest, None]: ...

    @overload
    async def __call__(
        self, make_app: Callable[..., Application], /, *args: Any, **kwargs: Any
    ) -> TestClient[Request, Application]: ...


class AiohttpServer(Protocol):
    """What the fixture `aiohttp_server` gives."""

    async def __call__(self, app: Application, *, port: int | None = None, **kwargs: Any) -> TestServer:
        """Start a server."""


class AiohttpRawServer(Protocol):
    """What the fixture `aiohttp_raw_server` gives."""

    async def __call__(self, handler: RawHandler, *, port: int | None = None, **kwargs: Any) -> RawTestServer:
        """Start a server."""


def loop_factories(config: pytest.Config) -> dict[str, LoopFactory]:
    """Give what makes the loops that ``--aiohttp-loop`` asks for, by name; never empty.

    Raises:
        pytest.UsageError: a name that there is not, or uvloop when it is not installed.

    """
    asked = str(config.getoption("--aiohttp-loop"))
    known: dict[str, LoopFactory] = {"pyloop": asyncio.new_event_loop}
    if asked != "pyloop":
        try:
            import uvloop
        except ImportError:
            pass
        else:
            known["uvloop"] = uvloop.new_event_loop
    names = list(known) if asked == "all" else [name.strip() for name in asked.split(",")]
    for name in names:
        if name not in known:
            message = f"--aiohttp-loop={asked}: there is no loop {name!r} here, only {', '.join(known)} and all"
            raise pytest.UsageError(message)
    return {name: known[name] for name in names}


@pytest.fixture
def fast(pytestconfig: pytest.Config) -> bool:
    """Whether ``--aiohttp-fast`` was given: no garbage collection after each test."""
    return bool(pytestconfig.getoption("--aiohttp-fast"))


@pytest.fixture
def loop_debug(pytestconfig: pytest.Config) -> bool:
    """Whether ``--aiohttp-enable-loop-debug`` was given."""
    return bool(pytestconfig.getoption("--aiohttp-enable-loop-debug"))


@pytest.fixture
def loop_factory(pytestconfig: pytest.Config) -> LoopFactory:
    """Makes the loop; may be overridden. With several loops on the command line each test runs on each of them."""
    return next(iter(loop_factories(pytestconfig).values()))


@pytest.fixture
def loop(loop_factory: LoopFactory, fast: bool, loop_debug: bool) -> Iterator[asyncio.AbstractEventLoop]:
    """The event loop of the test. What is still open or runs on it when the test is over is ended, and named."""
    with loop_context(loop_factory, fast=fast) as made:
        if loop_debug:
            made.set_debug(True)
        yield made


@pytest.fixture
def proactor_loop(fast: bool) -> Iterator[asyncio.AbstractEventLoop]:
    """A proactor loop; the test is skipped where there is none."""
    factory: LoopFactory | None = getattr(asyncio, "ProactorEventLoop", None)
    if factory is None:
        pytest.skip("there is no proactor loop on this platform")
    with loop_context(factory, fast=fast) as made:
        yield made


@pytest.fixture
def aiohttp_unused_port() -> Callable[[], int]:
    """`endwell.test_utils.unused_port`."""
    return unused_port


@pytest.fixture
async def aiohttp_server() -> AsyncIterator[AiohttpServer]:
    """Start servers for applications: ``server = await aiohttp_server(app)``. See `TestServer` for the arguments."""
    here = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:

        async def go(app: Application, *, port: int | None = None, **kwargs: Any) -> TestServer:
            _check_loop(here)
            return await stack.enter_async_context(TestServer(app, port=port, **kwargs))

        yield go


@pytest.fixture
async def aiohttp_raw_server() -> AsyncIterator[AiohttpRawServer]:
    """Start servers for handlers: ``server = await aiohttp_raw_server(handler)``. See `RawTestServer`."""
    here = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:

        async def go(handler: RawHandler, *, port: int | None = None, **kwargs: Any) -> RawTestServer:
            _check_loop(here)
            return await stack.enter_async_context(RawTestServer(handler, port=port, **kwargs))

        yield go


@pytest.fixture
async def aiohttp_client() -> AsyncIterator[AiohttpClient]:
    """Start clients, each with its server: ``client = await aiohttp_client(app)``.

    It takes an application, a test server, or a function that makes an application of the loop and what else is given.
    `server_kwargs` are arguments of `TestServer`, the others those of `TestClient`.
    """
    here = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:

        async def go(
            served: Any, /, *args: Any, server_kwargs: dict[str, Any] | None = None, **kwargs: Any
        ) -> TestClient[Any, Any]:
            _check_loop(here)
            if not isinstance(served, (Application, BaseTestServer)):
                if not callable(served):
                    message = f"aiohttp_client() takes a web.Application or a TestServer, not {type(served).__name__}"
                    raise TypeError(message)
                served, args, kwargs = served(here, *args, **kwargs), (), {}
            if args:
                message = "aiohttp_client(app) takes nothing else but keyword arguments"
                raise TypeError(message)
            if isinstance(served, Application):
                served = TestServer(served, **(server_kwargs or {}))
            elif server_kwargs:
                message = "server_kwargs are for a server that aiohttp_client() makes; give them to your TestServer"
                raise TypeError(message)
            client: TestClient[Any, Any] = TestClient(served, **kwargs)
            return await stack.enter_async_context(client)

        yield go


endwell_client = aiohttp_client
endwell_server = aiohttp_server
endwell_raw_server = aiohttp_raw_server


def _check_loop(here: asyncio.AbstractEventLoop) -> None:
    if asyncio.get_running_loop() is not here:
        message = (
            "This fixture was set up on another loop than the one that runs the test. If the test is marked for "
            "pytest-asyncio, leave the mark out, and endwell.pytest_plugin runs it; or write asyncio_mode = auto, "
            "and pytest-asyncio runs them both"
        )
        raise RuntimeError(message)
