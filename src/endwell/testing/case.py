"""`AioHTTPTestCase`: a `unittest` test case with a client and a server for an application."""

from __future__ import annotations

import asyncio
import unittest
import warnings
from typing import TYPE_CHECKING, Any

from endwell.testing.client import TestClient
from endwell.testing.servers import TestServer

if TYPE_CHECKING:
    from endwell.server.application import Application
    from endwell.server.request import Request

__all__ = ("AioHTTPTestCase", "unittest_run_loop")


class AioHTTPTestCase(unittest.IsolatedAsyncioTestCase):
    """Write `get_application`, and tests as ``async def test_...``.

    Attributes:
        app: what `get_application` gave.
        server: serves it.
        client: makes requests to the server; it is closed at the end of each test, also when `tearDownAsync` is
            overridden without a call of ``super()``, and when `setUpAsync` fails after it was started.
        loop: the event loop of the test.

    """

    app: Application
    server: TestServer
    client: TestClient[Request, Application]
    loop: asyncio.AbstractEventLoop

    async def get_application(self) -> Application:
        """Give the application to be tested; to be overridden."""
        return self.get_app()

    def get_app(self) -> Application:
        """Give the application. An older form of `get_application`."""
        message = f"{type(self).__name__} does not say what it tests: write async def get_application(self)"
        raise RuntimeError(message)

    async def get_server(self, app: Application) -> TestServer:
        """Give the server, not yet started; may be overridden."""
        return TestServer(app)

    async def get_client(self, server: TestServer) -> TestClient[Request, Application]:
        """Give the client, which starts the server; may be overridden."""
        return TestClient(server)

    async def asyncSetUp(self) -> None:
        """See `unittest.IsolatedAsyncioTestCase`; calls `setUpAsync`."""
        self.loop = asyncio.get_running_loop()
        await self.setUpAsync()

    async def setUpAsync(self) -> None:  # noqa: N802 - aiohttp's name
        """Start what the tests use; may be extended."""
        self.app = await self.get_application()
        self.server = await self.get_server(self.app)
        self.client = await self.get_client(self.server)
        self.addAsyncCleanup(self.client.close)
        await self.client.start_server()

    async def asyncTearDown(self) -> None:
        """See `unittest.IsolatedAsyncioTestCase`; calls `tearDownAsync`."""
        await self.tearDownAsync()

    async def tearDownAsync(self) -> None:  # noqa: N802 - aiohttp's name
        """End what `setUpAsync` has started; may be extended."""
        await self.client.close()


def unittest_run_loop(func: Any, *args: Any, **kwargs: Any) -> Any:
    """Give the function as it is. *Deprecated*: `AioHTTPTestCase` runs coroutines by itself."""
    warnings.warn("@unittest_run_loop does nothing; leave it out", DeprecationWarning, stacklevel=2)
    return func
