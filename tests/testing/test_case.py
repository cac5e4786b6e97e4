"""The test case for `unittest`, run by `unittest` itself: what it starts, in which order, and that it ends."""

from __future__ import annotations

import asyncio
import unittest

import pytest

from endwell import open_resources, web
from endwell.test_utils import AioHTTPTestCase, TestClient, TestServer, unittest_run_loop

steps: list[str] = []


class _Case(AioHTTPTestCase):
    """The names begin with an underscore for pytest to leave them alone."""

    async def get_application(self) -> web.Application:
        steps.append("application")
        app = web.Application()
        app.router.add_get("/", self.hello)
        app.on_cleanup.append(self.on_cleanup)
        return app

    async def hello(self, request: web.Request) -> web.Response:
        return web.Response(text="hello")

    async def on_cleanup(self, app: web.Application) -> None:
        steps.append("cleanup")


def run(case: type[unittest.TestCase], test: str = "test_it") -> unittest.TestResult:
    steps.clear()
    result = unittest.TestResult()
    case(test).run(result)
    assert open_resources() == []
    return result


def test_what_a_test_has() -> None:
    class Case(_Case):
        async def get_server(self, app: web.Application) -> TestServer:
            steps.append("server")
            assert app is self.app
            return await super().get_server(app)

        async def get_client(self, server: TestServer) -> TestClient[web.Request, web.Application]:
            steps.append("client")
            assert server is self.server
            assert not server.started
            return await super().get_client(server)

        async def setUpAsync(self) -> None:  # noqa: N802 # the name is given
            assert self.loop is asyncio.get_running_loop()
            await super().setUpAsync()
            steps.append("set up")

        async def tearDownAsync(self) -> None:  # noqa: N802 # the name is given
            steps.append("tear down")
            await super().tearDownAsync()
            assert self.client.session.closed

        async def test_it(self) -> None:
            assert (self.client.server, self.client.app) == (self.server, self.app)
            async with self.client.get("/") as response:
                assert await response.text() == "hello"
            steps.append("test")

    result = run(Case)
    assert (result.errors, result.failures) == ([], [])
    assert steps == ["application", "server", "client", "set up", "test", "tear down", "cleanup"]


def test_it_ends_although_the_hooks_forget_it() -> None:
    class Case(_Case):
        async def tearDownAsync(self) -> None:  # noqa: N802 # the name is given
            steps.append("tear down")

        async def test_it(self) -> None:
            await self.client.get("/")  # a response that is left open

    result = run(Case)
    assert (result.errors, result.failures) == ([], [])
    assert steps == ["application", "tear down", "cleanup"]


def test_it_ends_when_the_rest_of_the_set_up_fails() -> None:
    class Case(_Case):
        async def setUpAsync(self) -> None:  # noqa: N802 # the name is given
            await super().setUpAsync()
            raise LookupError("later")

        async def test_it(self) -> None:
            steps.append("test")

    result = run(Case)
    assert len(result.errors) == 1
    assert "LookupError: later" in result.errors[0][1]
    assert steps == ["application", "cleanup"]


def test_it_ends_when_a_test_fails() -> None:
    class Case(_Case):
        async def test_it(self) -> None:
            await self.client.get("/")
            self.fail("on purpose")

    result = run(Case)
    assert len(result.failures) == 1
    assert steps == ["application", "cleanup"]


def test_an_application_must_be_given() -> None:
    class Case(AioHTTPTestCase):
        async def test_it(self) -> None:
            steps.append("test")

    result = run(Case)
    assert "RuntimeError: Case does not say what it tests: write async def get_application(self)" in result.errors[0][1]
    assert steps == []


def test_the_older_form() -> None:
    class Case(AioHTTPTestCase):
        def get_app(self) -> web.Application:
            return web.Application()

        async def test_it(self) -> None:
            async with self.client.get("/") as response:
                assert response.status == 404

    result = run(Case)
    assert (result.errors, result.failures) == ([], [])


def test_the_decorator_of_old() -> None:
    def function() -> None:
        """Do nothing."""

    with pytest.warns(DeprecationWarning, match="leave it out"):
        assert unittest_run_loop(function) is function
