"""Loops of tests that are no coroutines: they end as `asyncio.run` ends one, and say what was left."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable

import pytest
import uvloop

from endwell import ClientSession, open_resources, web
from endwell.test_utils import TestClient, TestServer, loop_context, setup_test_loop, teardown_test_loop
from tests.support.leaks import open_sockets

FACTORIES = pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])


@FACTORIES
def test_the_loop_of_a_block(factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    with loop_context(factory) as loop:
        assert asyncio.get_event_loop_policy().get_event_loop() is loop
        assert loop.run_until_complete(asyncio.sleep(0, "done")) == "done"
    assert loop.is_closed()
    with pytest.raises(RuntimeError):
        asyncio.get_event_loop_policy().get_event_loop()


@FACTORIES
def test_what_still_runs_is_cancelled_and_awaited(factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    loop = setup_test_loop(factory)
    ends = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ends.append("task")

    async def produce():  # type: ignore[no-untyped-def] # a test's
        try:
            yield
        finally:
            await asyncio.sleep(0)
            ends.append("generator")

    async def begin() -> None:
        tasks.append(asyncio.create_task(work()))
        generators.append(produce())
        await anext(generators[0])

    tasks: list[asyncio.Task[None]] = []
    generators: list[object] = []
    loop.run_until_complete(begin())
    teardown_test_loop(loop)
    assert ends == ["task", "generator"]
    assert tasks[0].cancelled()
    teardown_test_loop(loop, fast=True)  # once more: nothing to do


@FACTORIES
def test_what_was_left_open_is_closed_and_an_error_where_warnings_are(
    factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def forget() -> None:
        client = TestClient(TestServer(web.Application()))
        await client.start_server()
        async with client.get("/") as response:
            assert response.status == 404
        kept.append(client)

    kept: list[TestClient[web.Request, web.Application]] = []
    before = open_sockets()
    with (
        pytest.raises(ResourceWarning, match=r"was never closed\n  made at .*test_loops.py"),
        loop_context(factory) as loop,
    ):
        loop.run_until_complete(forget())
    assert loop.is_closed()
    assert open_resources() == []
    assert open_sockets() == before


def test_other_warnings_are_shown_as_they_were() -> None:
    async def warn_at_the_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            warnings.warn("at the end", UserWarning, stacklevel=1)

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with loop_context() as loop:
            task = loop.create_task(warn_at_the_end())
            loop.run_until_complete(asyncio.sleep(0))
    assert [str(each.message) for each in seen] == ["at the end"]
    assert task.done()


def test_a_client_that_is_made_before_its_loop_runs() -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/", handler)

    async def ask() -> str:
        async with client.get("/") as response:
            return await response.text()

    with loop_context() as loop:
        client = TestClient(TestServer(app), loop=loop)
        with pytest.raises(RuntimeError, match="no running event loop"):
            _ = client.session
        loop.run_until_complete(client.start_server())
        assert isinstance(client.session, ClientSession)
        assert loop.run_until_complete(ask()) == "hello"
        loop.run_until_complete(client.close())
