"""Test servers: on real sockets, ended with everything they had started."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from yarl import URL

from endwell import ClientSession, open_resources, web
from endwell.test_utils import BaseTestServer, RawTestServer, TestServer
from tests.support.closing import passes, resource_warnings
from tests.support.contract import cancelled_at
from tests.support.leaks import open_sockets
from tests.support.tls import client_context, server_context


async def hello(request: web.BaseRequest) -> web.Response:
    return web.Response(text=f"hello from {request.scheme}")


def application() -> web.Application:
    app = web.Application()
    app.router.add_get("/", hello)
    return app


def make_app() -> BaseTestServer:
    return TestServer(application())


def make_raw() -> BaseTestServer:
    return RawTestServer(hello)


KINDS = pytest.mark.parametrize("make", [make_app, make_raw])


async def read(url: URL, **kwargs: Any) -> str:
    async with ClientSession() as session, session.get(url, **kwargs) as response:
        return await response.text()


@KINDS
async def test_one_life(make: Callable[[], BaseTestServer]) -> None:
    server = make()
    assert (server.started, server.closed, server.host, server.port) == (False, False, "127.0.0.1", None)
    assert "not started" in repr(server)
    async with server:
        assert (server.started, server.closed, server.scheme) == (True, False, "http")
        assert server.runner is not None
        assert server.handler is server.runner.server
        assert server.make_url("/") == URL(f"http://127.0.0.1:{server.port}/")
        assert str(server.make_url("/")) in repr(server)
        assert await read(server.make_url("/")) == "hello from http"
    assert (server.started, server.closed, server.port) == (True, True, None)
    assert "closed" in repr(server)


@KINDS
async def test_without_a_block(make: Callable[[], BaseTestServer]) -> None:
    server = make()
    assert await server.close() is None
    assert not server.closed
    await server.start_server()
    runner = server.runner
    await server.start_server(loop=asyncio.get_running_loop())
    assert server.runner is runner
    reports = await asyncio.gather(server.close(), server.close())
    assert reports[0] is not None
    assert reports[0] is reports[1]
    assert reports[0].clean
    with pytest.raises(RuntimeError, match=r"<\w+ closed> can't be started again; make a new one"):
        await server.start_server()


async def test_before_and_after_there_is_nothing_to_ask() -> None:
    server = TestServer(application())
    for _ in range(2):
        with pytest.raises(RuntimeError, match="has no URL: it does not listen"):
            server.make_url("/")
        with pytest.raises(RuntimeError, match="does not run"):
            _ = server.handler
        async with TestServer(application()) as server:
            pass


def test_a_plain_block_is_refused() -> None:
    with pytest.raises(TypeError, match=r"async with TestServer\("), TestServer(web.Application()):
        pytest.fail("the block was entered")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a?b=1", "/a?b=1"),
        ("a", "/a"),
        ("", "/"),
        ("?q", "/?q"),
        ("/a//b", "/a//b"),
        ("/a b/é", "/a%20b/%C3%A9"),
        (URL("/%2e/%41", encoded=True), "/%2e/%41"),
    ],
)
async def test_urls(path: str | URL, expected: str) -> None:
    async with TestServer(application()) as server:
        assert str(server.make_url(path)) == f"http://127.0.0.1:{server.port}{expected}"


@pytest.mark.parametrize("url", ["http://user:secret@example.org/x", "//example.org/x"])
async def test_whole_urls(url: str) -> None:
    async with TestServer(application()) as server:
        with pytest.raises(ValueError, match=r"takes a path .* not a whole URL \(\S*//example.org\)"):
            server.make_url(url)
    async with TestServer(application(), skip_url_asserts=True) as server:
        assert server.make_url(url) == URL(url)
        assert server.make_url("/x").port == server.port


@pytest.mark.parametrize(("host", "authority"), [("::1", "[::1]"), ("localhost", "localhost")])
async def test_other_hosts(host: str, authority: str) -> None:
    async with TestServer(application(), host=host) as server:
        assert str(server.make_url("/")) == f"http://{authority}:{server.port}/"
        assert await read(server.make_url("/")) == "hello from http"


@pytest.mark.parametrize("late", [False, True])
async def test_tls(late: bool) -> None:
    context = {"ssl": server_context()}
    server = TestServer(application(), **({} if late else context))
    await server.start_server(**(context if late else {}))
    try:
        assert server.scheme == "https"
        assert await read(server.make_url("/"), ssl=client_context()) == "hello from https"
    finally:
        await server.close()


async def test_a_scheme_of_its_own() -> None:
    async with TestServer(application(), scheme="https") as server:
        assert server.make_url("/").scheme == "https"
        assert await read(server.make_url("/").with_scheme("http")) == "hello from http"


async def test_a_port_and_a_socket_of_its_own() -> None:
    asked = []

    def factory(host: str, port: int, family: socket.AddressFamily) -> socket.socket:
        asked.append((host, port, family))
        sock = socket.socket(family)
        sock.bind((host, 0))
        return sock

    async with TestServer(application(), port=7, socket_factory=factory) as server:
        assert server.port != 7
        assert await read(server.make_url("/")) == "hello from http"
    assert asked == [("127.0.0.1", 7, socket.AF_INET)]


async def test_the_settings_of_a_runner_and_no_others() -> None:
    async with TestServer(application(), keepalive_timeout=3) as server:
        assert server.handler.times.keepalive == 3
        assert server.handler.handler_cancellation
        assert server.handler.close_timeout == 10
    server = TestServer(application(), keepalive_timeout=3)
    await server.start_server(keepalive_timeout=4, shutdown_timeout=5, handler_cancellation=False)
    assert server.handler.times.keepalive == 4
    assert not server.handler.handler_cancellation
    assert server.handler.close_timeout == 5
    await server.close()
    server = TestServer(application(), no_such=1)
    with pytest.raises(TypeError, match="no setting no_such"):
        await server.start_server()
    assert not server.started
    assert await server.close() is None


async def test_only_the_raw_server_shows_tracebacks() -> None:
    async def fails(request: web.BaseRequest) -> web.Response:
        raise LookupError("a detail")

    app = web.Application()
    app.router.add_get("/", fails)
    shown = []
    for server in (TestServer(app), RawTestServer(fails), RawTestServer(fails, debug=False)):
        async with server:
            shown.append("a detail" in await read(server.make_url("/")))
    assert shown == [False, True, False]


async def test_a_client_that_has_gone_ends_its_handler() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.Response:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return web.Response()

    async with RawTestServer(handler) as server:
        _, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await began.wait()
        writer.close()
        await ended.wait()
        await writer.wait_closed()


@pytest.mark.parametrize("limit", [0, None])
async def test_requests_in_flight_when_it_closes(limit: float | None) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.Response:
        began.set()
        await go_on.wait()
        return web.Response(text="done")

    server = RawTestServer(handler, shutdown_timeout=limit)
    await server.start_server()
    asking = asyncio.create_task(read(server.make_url("/")))
    await began.wait()
    closing = asyncio.create_task(server.close())
    await passes()
    go_on.set()
    report = await closing
    assert report is not None
    if limit is None:
        assert await asking == "done"
        assert (report.finished, report.aborted) == (1, [])
    else:
        assert "503" in await asking
        assert [each.what.partition(" from")[0] for each in report.aborted] == ["GET /"]


async def test_a_start_that_fails_ends_what_had_started() -> None:
    steps = []

    async def context(app: web.Application) -> AsyncIterator[None]:
        steps.append("set up")
        yield
        steps.append("cleaned up")

    async def fails(app: web.Application) -> None:
        raise LookupError("on startup")

    app = application()
    app.cleanup_ctx.append(context)
    app.on_startup.append(fails)
    before = open_sockets()
    server = TestServer(app)
    with pytest.raises(LookupError, match="on startup"):
        await server.start_server()
    assert steps == ["set up", "cleaned up"]
    assert not server.started
    await passes()
    assert open_sockets() == before


async def test_a_port_that_is_taken_ends_what_had_started() -> None:
    ended = []

    async def on_cleanup(app: web.Application) -> None:
        ended.append(app)

    app = application()
    app.on_cleanup.append(on_cleanup)
    async with TestServer(application()) as first:
        second = TestServer(app, port=first.port)
        with pytest.raises(OSError, match=f"Cannot listen on 127.0.0.1, port {first.port}"):
            await second.start_server()
    assert ended == [app]
    assert not second.started
    assert open_resources() == []


def slow_to_start() -> tuple[TestServer, asyncio.Event, asyncio.Event]:
    """Return a server whose start waits, an event that says so, and one that lets it go on."""
    waits, go_on = asyncio.Event(), asyncio.Event()

    async def on_startup(app: web.Application) -> None:
        waits.set()
        await go_on.wait()

    app = application()
    app.on_startup.append(on_startup)
    return TestServer(app), waits, go_on


async def test_two_starts_at_once() -> None:
    server, waits, go_on = slow_to_start()
    first = asyncio.create_task(server.start_server())
    await waits.wait()
    with pytest.raises(RuntimeError, match="being started> can't be started again; await the start"):
        await server.start_server()
    go_on.set()
    await first
    assert await read(server.make_url("/")) == "hello from http"
    await server.close()


async def test_closed_while_it_starts() -> None:
    server, waits, go_on = slow_to_start()
    starting = asyncio.create_task(server.start_server())
    await waits.wait()
    assert await server.close() is None
    assert server.closed
    go_on.set()
    with pytest.raises(RuntimeError, match="was closed while it was being started"):
        await starting
    await passes()
    assert open_resources() == []


@KINDS
@pytest.mark.parametrize("what", ["start_server", "close"])
async def test_cancelled_at_every_await(make: Callable[[], BaseTestServer], what: str) -> None:
    before = open_sockets()
    for number in range(100):
        server = make()
        if what == "close":
            await server.start_server()
        driven = cancelled_at(getattr(server, what)(), number)

        async def driving(driven: cancelled_at = driven) -> None:
            await driven

        task = asyncio.create_task(driving())
        await asyncio.wait([task])
        assert task.cancelled() == driven.reached, f"the cancellation at await {number} was swallowed"
        await server.close()
        await passes()
        assert open_resources() == [], f"after a cancellation at await {number}"
        assert open_sockets() == before, f"after a cancellation at await {number}"
        async with make() as other:  # most likely it gets the descriptor that the first one had
            assert await read(other.make_url("/")) == "hello from http"
        if not driven.reached:
            return
    pytest.fail("it never came to its end")


async def test_a_block_that_fails_closes_it() -> None:
    with pytest.raises(LookupError, match="in the block"):
        async with TestServer(application()) as server:
            raise LookupError("in the block")
    assert server.closed


@pytest.mark.parametrize("loop_kind", ["asyncio"], indirect=True)
async def test_forgotten_it_is_named_with_the_right_advice(loop_kind: str) -> None:
    def life() -> None:
        async def forget() -> None:
            kept.append(TestServer(application()))
            await kept[0].start_server()

        kept: list[TestServer] = []
        asyncio.run(forget())

    with resource_warnings() as texts:
        await asyncio.to_thread(life)
        gc.collect()
        await asyncio.get_running_loop().shutdown_default_executor()
    assert len(texts) == 1
    assert "write: async with TestServer(...) as server, or await server.close()" in texts[0]
    assert "test_servers.py" in texts[0]
