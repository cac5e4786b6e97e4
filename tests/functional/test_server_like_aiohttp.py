"""What programs written for aiohttp's server do beside the usual: their own listening sockets, interim responses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from endwell import ClientSession, web
from tests.support.serving import serving


async def hello(request: web.BaseRequest) -> web.Response:
    return web.Response(text="hello")


@asynccontextmanager
async def listening(factory: Any) -> AsyncIterator[str]:
    """Listen as asyncio does it, with a protocol factory."""
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()


async def ask(port: int, request: bytes) -> bytes:
    """Send a request and return all that comes until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


# Listening without a runner


async def test_a_server_is_a_protocol_factory() -> None:
    server = web.Server(hello, keepalive_timeout=5)
    assert (server.connections, server.requests_count) == ([], 0)
    async with listening(server) as url, ClientSession() as session:
        async with session.get(url) as response:
            assert await response.text() == "hello"
        assert server.requests_count == 1
        (connection,) = server.connections
        assert isinstance(connection, web.RequestHandler)
        assert connection.connected
        assert connection.peername[0] == connection.sockname[0] == "127.0.0.1"
        assert connection.ssl_context is None
        server.pre_shutdown()
        report = await server.shutdown(5)
        assert not report.aborted
        assert server.connections == []
        assert not connection.connected


async def test_a_server_that_was_shut_down_serves_again() -> None:
    server = web.Server(hello)
    for _ in range(2):
        async with listening(server) as url, ClientSession() as session, session.get(url) as response:
            assert response.status == 200
        await server.shutdown(5)


async def test_a_server_that_served_nobody_has_nothing_to_shut_down() -> None:
    server = web.Server(hello)
    server.pre_shutdown()
    assert not (await server.shutdown()).aborted


async def test_requests_in_flight_end_within_the_time_of_a_shutdown() -> None:
    begun = asyncio.Event()

    async def slow(request: web.BaseRequest) -> web.Response:
        begun.set()
        await asyncio.Event().wait()
        return web.Response()

    server = web.Server(slow)
    async with listening(server) as url, ClientSession() as session:
        request = asyncio.create_task(_status(session, url))
        await begun.wait()
        report = await server.shutdown(0)
        assert len(report.aborted) == 1
        assert await request == 503


async def _status(session: ClientSession, url: str) -> int:
    async with session.get(url) as response:
        return response.status


async def test_an_access_log_without_a_runner(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "endwell.access")
    server = web.Server(hello, access_log_format="%s %r")
    async with listening(server) as url, ClientSession() as session:
        assert await _status(session, url) == 200
        await server.shutdown(5)
    assert [record.message for record in caplog.records if record.name == "endwell.access"] == ["200 GET / HTTP/1.1"]


async def test_the_server_of_a_runner_is_a_protocol_factory(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "endwell.access")
    app = web.Application()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app, access_log_format="%s")
    await runner.setup()
    assert runner.server is not None
    async with listening(runner.server) as url, ClientSession() as session:
        assert await _status(session, url) == 200
        assert runner.server.requests_count == 1
        await runner.cleanup()
    assert [record.message for record in caplog.records if record.name == "endwell.access"] == ["200"]


async def test_what_make_handler_gives_sends_on_response_prepare() -> None:
    async def add(request: web.Request, response: web.StreamResponse) -> None:
        response.headers["X-Added"] = "yes"

    app = web.Application()
    app.router.add_get("/", hello)
    app.on_response_prepare.append(add)
    with pytest.warns(DeprecationWarning, match="make_handler"):
        server = app.make_handler()
    async with listening(server) as url, ClientSession() as session:
        async with session.get(url) as response:
            assert response.headers["X-Added"] == "yes"
        await server.shutdown(5)


# Handlers


async def test_a_handler_that_timed_out_is_a_504(caplog: pytest.LogCaptureFixture) -> None:
    async def late(request: web.BaseRequest) -> web.Response:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()
        return web.Response()

    async with serving(late) as server:
        answer = await ask(server.port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
    assert b"Connection: close" in answer
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "GET / from" in record.message


async def test_another_response_than_the_one_that_was_begun(caplog: pytest.LogCaptureFixture) -> None:
    async def two(request: web.BaseRequest) -> web.Response:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"abc")
        return web.Response(text="other")

    async with serving(two) as server:
        answer = await ask(server.port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.endswith(b"\r\n\r\n3\r\nabc\r\n")
    assert "had begun to send a response and returned another one" in caplog.text


@pytest.mark.parametrize("how", ["writer", "transport"])
async def test_an_expect_handler_that_sends_the_interim_response(how: str) -> None:
    async def expect(request: web.Request) -> None:
        interim = b"HTTP/1.1 100 Continue\r\n\r\n"
        if how == "writer":
            await request.writer.write(interim)
        else:
            assert request.transport is not None
            request.transport.write(interim)

    async def handler(request: web.Request) -> web.Response:
        return web.Response(text=await request.text())

    app = web.Application()
    app.router.add_post("/", handler, expect_handler=expect)
    async with serving(app) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        )
        interim = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"hi")
        rest = await reader.read()
        writer.close()
        await writer.wait_closed()
    assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert rest.endswith(b"\r\n\r\nhi")
    # One that was written past us is not known of; a second one does no harm (RFC 9110 section 15.2).
    assert rest.count(b"100 Continue") == (0 if how == "writer" else 1)
