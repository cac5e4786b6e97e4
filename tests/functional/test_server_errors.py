"""Errors in odd places of a program (signals, factories) give 500 all the same; a request has one response."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from endwell import web
from tests.support.raw import ListHandler, facing

GET = b"GET /s HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
async def test_an_error_that_no_encoding_has_gives_500(debug: bool) -> None:
    async def handler(_: web.BaseRequest) -> web.Response:
        raise ValueError("\udcff")

    async with facing(handler, debug=debug, alive=False) as stage:
        client = await stage.connect()
        await client.send(GET)
        assert (await client.answer()).status == 500
        assert len(stage.said()) == 1


async def found(_: web.Request) -> web.Response:
    return web.Response()


async def not_found(_: web.Request) -> web.Response:
    raise web.HTTPNotFound


async def fails(_: web.Request) -> web.Response:
    raise ValueError("by the handler")


@pytest.mark.parametrize("handler", [found, not_found, fails])
async def test_a_signal_that_raises_gives_500(handler: Callable[..., Awaitable[web.Response]]) -> None:
    """Also when it does so for each response, that to its own error too."""

    async def prepare(_: web.Request, __: web.StreamResponse) -> None:
        raise ValueError("by the signal")

    app = web.Application()
    app.on_response_prepare.append(prepare)
    app.router.add_get("/s", handler)
    async with facing(app, alive=False) as stage:
        client = await stage.connect()
        await client.send(GET)
        answer = await client.answer()
        assert (answer.status, answer.closes, answer.complete) == (500, True, True)
        assert await client.closed() == "fin"
        assert "by the signal" in stage.said()[-1]


async def test_a_request_that_cannot_be_made_gives_500() -> None:
    def make_request(_: Any) -> web.BaseRequest:
        raise ValueError("by the factory")

    keeper = ListHandler()
    logger = logging.Logger("endwell.test")  # noqa: LOG001  # of this test alone
    logger.addHandler(keeper)
    runner = web.ServerRunner(web.Server(found, request_factory=make_request, logger=logger))
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(GET)
        assert (await reader.read()).startswith(b"HTTP/1.1 500 ")
        writer.close()
        await writer.wait_closed()
    finally:
        report = await runner.cleanup()
    assert report.clean
    assert "by the factory" in logging.Formatter().format(keeper.records[0])


@pytest.mark.parametrize("how", ["begun", "prepared"])
async def test_there_is_no_second_head(how: str) -> None:
    """It would be read as a part of the first one's body, or as the answer to the next request."""

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        first, second = web.StreamResponse(), web.Response(text="second")
        if how == "prepared":
            await second.prepare(request)  # its head waits for its body
        await first.prepare(request)
        await first.write(b"first")
        if how == "begun":
            await second.prepare(request)
        await second.write_eof()
        return second

    async with facing(handler, alive=False) as stage:
        client = await stage.connect()
        await client.send(GET)
        answer = await client.answer()
        assert (answer.status, answer.body, answer.complete) == (200, b"first", False)
        await client.closed()
        (said,) = stage.said()
        assert "RuntimeError: Another response was begun for this request" in said
