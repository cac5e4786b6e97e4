"""The helper that the tests of the server stand on: it serves, and it does not let an aborted request pass."""

from __future__ import annotations

import asyncio

import pytest

from endwell import ClientSession, open_resources, web
from tests.support.serving import serving
from tests.support.tls import client_context, server_context


async def hello(request: web.BaseRequest) -> web.Response:
    return web.Response(text=f"hello from {request.scheme}")


async def test_an_application_and_a_handler() -> None:
    app = web.Application()
    app.router.add_get("/", hello)
    async with serving(app, keepalive_timeout=3) as first, serving(hello, tls=server_context()) as second:
        assert first.core is first.runner.server
        assert first.core.times.keepalive == 3
        assert first.url.port == first.port
        async with ClientSession() as session:
            async with session.get(first.url) as response:
                assert await response.text() == "hello from http"
            async with session.get(second.url / "any", ssl=client_context()) as response:
                assert await response.text() == "hello from https"
    assert first.report.clean
    assert open_resources() == []


async def stuck(*, allow_aborted: bool) -> None:
    """End a server while a request waits for ever."""
    began = asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.Response:
        began.set()
        await asyncio.Event().wait()
        return web.Response()

    async with ClientSession() as session:
        try:
            async with serving(handler, shutdown_timeout=0, allow_aborted=allow_aborted) as server:
                asking = asyncio.create_task(session.get(server.url))
                await began.wait()
        finally:
            async with await asking as response:
                assert response.status == 503


async def test_aborted_work_fails_the_test_unless_it_is_expected() -> None:
    with pytest.raises(AssertionError, match="GET / from"):
        await stuck(allow_aborted=False)
    await stuck(allow_aborted=True)
    assert open_resources() == []


async def test_a_block_that_fails_is_not_outdone() -> None:
    with pytest.raises(LookupError, match="in the block"):
        async with serving(hello) as server:
            raise LookupError("in the block")
    assert server.runner.server is None


async def test_closed_in_the_block() -> None:
    async with serving(hello) as server:
        with pytest.raises(AssertionError, match="the server runs"):
            _ = server.report
        report = await server.close()
    assert server.report is report
