"""The access log of a server has one line for each request, however it ended, with what its client has got."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from endwell import web
from tests.support.raw import ListHandler, RawClient, Stage, facing, until

GET = b"GET /it HTTP/1.1\r\nHost: a\r\n\r\n"

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Noted:
    """What `noting` gives: the server, and the lines of its access log."""

    def __init__(self, stage: Stage, keeper: ListHandler) -> None:
        self.stage = stage
        self._keeper = keeper

    async def line(self) -> str:
        """Give the one line there is, once it is there; it is forgotten then."""
        await until(lambda: self._keeper.records)
        (record,) = self._keeper.records
        self._keeper.records.clear()
        return record.getMessage()


@contextlib.asynccontextmanager
async def noting(handler: Handler, **settings: Any) -> AsyncIterator[Noted]:
    keeper = ListHandler()
    logger = logging.Logger("endwell.test.access")  # noqa: LOG001  # of this test alone
    logger.addHandler(keeper)
    settings = {"access_log": logger, "access_log_format": "%r %s %b", "alive": False, **settings}
    async with facing(handler, **settings) as stage:
        noted = Noted(stage, keeper)
        yield noted
        assert keeper.records == []


async def received(client: RawClient) -> int:
    """Read all there is; return the number of bytes."""
    while await client._more():
        pass
    return len(client._buffer)


async def begun(request: web.BaseRequest, length: int | None = None) -> web.StreamResponse:
    response = web.StreamResponse(status=201)
    response.content_length = length
    await response.prepare(request)
    await response.write(b"x" * 1000)
    return response


async def raises(request: web.BaseRequest) -> web.StreamResponse:
    await begun(request)
    raise ValueError


async def raises_a_response(request: web.BaseRequest) -> web.StreamResponse:
    await begun(request)
    raise web.HTTPNotFound


async def is_too_short(request: web.BaseRequest) -> web.StreamResponse:
    return await begun(request, 1001)


async def returns_another(request: web.BaseRequest) -> web.StreamResponse:
    await begun(request)
    return web.Response(status=202)


async def begins_another(request: web.BaseRequest) -> web.StreamResponse:
    await begun(request)
    another = web.Response(status=202)
    await another.prepare(request)
    return another


@pytest.mark.parametrize("handler", [raises, raises_a_response, is_too_short, returns_another, begins_another])
async def test_a_response_that_is_cut_off(handler: Handler) -> None:
    async with noting(handler) as noted:
        client = await noted.stage.connect()
        await client.send(GET)
        size = await received(client)
        assert size > 1000
        assert await noted.line() == f"GET /it HTTP/1.1 201 {size}"
        (said,) = noted.stage.said()
        assert "GET /it" in said


async def test_a_response_that_ends_before_its_handler_fails() -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        response = await begun(request)
        await response.write_eof()
        raise ValueError

    async with noting(handler) as noted:
        client = await noted.stage.connect()
        await client.send(GET)
        assert await noted.line() == f"GET /it HTTP/1.1 201 {await received(client)}"
        assert noted.stage.said()


@pytest.mark.parametrize("has_begun", [False, True])
async def test_what_the_end_of_the_server_cuts_off(has_begun: bool) -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        if has_begun:
            await begun(request)
        waiting.set()
        await asyncio.Event().wait()
        raise AssertionError

    waiting = asyncio.Event()
    async with noting(handler, shutdown_timeout=0, allow_aborted=True) as noted:
        client = await noted.stage.connect()
        await client.send(GET)
        await waiting.wait()
        await noted.stage.server.close()
        assert await noted.line() == f"GET /it HTTP/1.1 {201 if has_begun else 503} {await received(client)}"


@pytest.mark.parametrize("cancelling", [False, True])
@pytest.mark.parametrize("data", [GET, b"POST /it HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"])
async def test_a_client_that_leaves_before_its_answer_begins(data: bytes, cancelling: bool) -> None:
    """It has the number that nginx gives it: the status of a response would say that there was one."""

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        waiting.set()
        await request.read()
        await request.wait_for_disconnection()
        if cancelling:
            await asyncio.Event().wait()
        return await begun(request)

    waiting = asyncio.Event()
    async with noting(handler, handler_cancellation=cancelling) as noted:
        client = await noted.stage.connect()
        await client.send(data)
        await waiting.wait()
        client.reset()
        line = await noted.line()
        if data is GET and not cancelling:
            assert line.startswith("GET /it HTTP/1.1 201 "), "it is answered, though nobody is there"
        else:
            assert line == f"{data[:4].decode().strip()} /it HTTP/1.1 499 0"


async def test_a_client_that_leaves_while_it_is_answered() -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        response = await begun(request)
        while True:
            await response.write(b"x" * 2**16)

    async with noting(handler) as noted:
        client = await noted.stage.connect()
        await client.send(GET)
        assert await client._more()
        client.reset()
        line, _, size = (await noted.line()).rpartition(" ")
        assert line == "GET /it HTTP/1.1 201"
        assert int(size) > 1000
