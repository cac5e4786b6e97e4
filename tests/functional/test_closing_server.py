"""Closing a server in process, `runner.cleanup()`: what is answered, what is cut, what is left (closing.md C13, C7).

Signals to real processes are in `test_server_signals.py`, servers that nobody closes in `test_closing_server_leaks.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from endwell import web
from endwell.lifetime import CloseReport, open_resources
from tests.support.closing import BIG, TLS, passes, until
from tests.support.contract import cancelled_at
from tests.support.leaks import open_sockets
from tests.support.serving import RunningServer, serving
from tests.support.tls import server_context
from tests.support.visitor import Place, Visitor, request, visiting


class Site:
    """An application with everything that can be in flight; `go` lets the held handlers go on."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.app = web.Application()
        self.app.add_routes(
            [
                web.get("/", self.quick),
                web.get("/held", self.held),
                web.get("/stuck", self.stuck),
                web.get("/big", self.big),
                web.get("/stream", self.stream),
                web.get("/events", self.events),
                web.post("/upload", self.upload),
                web.post("/early", self.quick),
                web.get("/fail", self.fail),
                web.get("/teapot", self.teapot),
                web.get("/file", self.file),
            ]
        )
        self.app.on_shutdown.append(self.signal("on_shutdown"))
        self.app.cleanup_ctx.append(self.context)
        self.app.on_cleanup.append(self.signal("on_cleanup"))

    def signal(self, name: str) -> Any:
        async def called(app: web.Application) -> None:
            self.ended.append(name)

        return called

    async def context(self, app: web.Application) -> AsyncIterator[None]:
        yield
        self.ended.append("context")

    async def quick(self, request: web.Request) -> web.Response:
        return web.Response(text="quick")

    async def held(self, request: web.Request) -> web.Response:
        self.begun.append(request.path_qs)
        await self.go.wait()
        return web.Response(text="held")

    async def stuck(self, request: web.Request) -> web.Response:
        self.begun.append(request.path_qs)
        try:
            await asyncio.Event().wait()
        finally:
            await passes()
            self.ended.append("stuck")
        raise AssertionError

    async def big(self, request: web.Request) -> web.Response:
        self.begun.append(request.path_qs)
        if "held" in request.query:
            await self.go.wait()
        return web.Response(body=bytes(int(request.query["size"])))

    async def stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first,")
        self.begun.append(request.path_qs)
        await self.go.wait()
        await response.write(b"second")
        return response

    async def events(self, request: web.Request) -> web.StreamResponse:
        async with web.event_stream(request) as events:
            await events.send("first")
            self.begun.append(request.path_qs)
            await asyncio.Event().wait()
        return events

    async def upload(self, request: web.Request) -> web.Response:
        self.begun.append(request.path_qs)
        return web.Response(text=str(len(await request.read())))

    async def fail(self, request: web.Request) -> web.Response:
        await self.held(request)
        raise ValueError("by the test")

    async def teapot(self, request: web.Request) -> web.Response:
        await self.held(request)
        raise web.HTTPNotFound

    async def file(self, request: web.Request) -> web.FileResponse:
        await self.held(request)
        return web.FileResponse(Path(__file__))


@contextlib.asynccontextmanager
async def served(
    *, tls: bool = False, allow_aborted: bool = False, **settings: Any
) -> AsyncIterator[tuple[Site, RunningServer, Place]]:
    """Give what serves the site; nothing is left of it at the end."""
    site = Site()
    before = open_sockets()
    async with serving(
        site.app, tls=server_context() if tls else None, allow_aborted=allow_aborted, **settings
    ) as server:
        yield site, server, Place(server.port, tls=tls)
        if server._report is None:
            site.go.set()
    assert not server.core.children
    assert not server.core.work
    assert not [task for task in server.core.tasks if not task.done()]
    assert open_resources() == []
    await until(lambda: open_sockets() <= before)  # those of the clients
    assert site.ended[-3:] == ["on_shutdown", "context", "on_cleanup"] or site.ended[0] == "on_shutdown"
    assert site.ended[-2:] == ["context", "on_cleanup"]


def narrow(server: RunningServer) -> None:
    """Have the kernel take little of what is sent to the clients that there are."""
    for connection in server.core.connections:
        sock = (connection.below or connection.transport).get_extra_info("socket")  # type: ignore[union-attr]  # open
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)


async def stopping(server: RunningServer) -> asyncio.Task[CloseReport]:
    """Begin to close; return when the server has stopped."""
    task = asyncio.create_task(server.close())
    await until(lambda: server.core.state.name != "OPEN")
    return task


# What is in flight


@TLS
@pytest.mark.parametrize("path", ["/held", "/stream", "/fail", "/teapot", "/file"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_requests_in_flight_are_answered(
    path: str, version: str, tls: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(tls=tls) as (site, server, place), Visitor(place) as visitor:
        visitor.send(request(path, "GET", "Connection: keep-alive", version=version))
        await until(lambda: site.begun)
        closing = await stopping(server)
        site.go.set()
        answer = await visitor.answer()
        assert answer.complete
        bodies = {
            "/held": b"held",
            "/stream": b"first,second",
            "/file": Path(__file__).read_bytes(),
            "/teapot": b"404: Not Found",
        }
        assert answer.body == bodies.get(path, answer.body)
        if path != "/stream":  # its head was sent before
            assert answer.closes or version == "1.0"
        assert (answer.get("connection") or "").lower() != "keep-alive" or path == "/stream"
        assert await visitor.ended() == b""
        assert visitor.how == "fin"
        report = await closing
        assert report.finished == 1
        assert report.clean


@TLS
@pytest.mark.parametrize("how", ["length", "chunked", "expect"])
async def test_uploads_in_progress_are_taken_and_answered(how: str, tls: bool) -> None:
    async with served(tls=tls) as (site, server, place), Visitor(place) as visitor:
        framing = "Transfer-Encoding: chunked" if how == "chunked" else "Content-Length: 6"
        begin = request("/upload", "POST", framing, *(["Expect: 100-continue"] if how == "expect" else []))
        visitor.send(begin)
        if how == "expect":
            assert (await visitor.head()).status == 100
        visitor.send(b"3\r\nabc\r\n" if how == "chunked" else b"abc")
        await until(lambda: site.begun)
        closing = await stopping(server)
        await passes()
        visitor.send(b"3\r\ndef\r\n0\r\n\r\n" if how == "chunked" else b"def")
        answer = await visitor.answer()
        assert (answer.body, answer.closes) == (b"6", True)
        assert await visitor.ended() == b""
        report = await closing
        assert report.finished == 1, str(report)


@TLS
async def test_a_large_upload_that_began_before(tls: bool) -> None:
    """More than all buffers hold: the server goes on to read while it stops."""
    async with served(tls=tls) as (site, server, place), Visitor(place) as visitor:
        visitor.send(request("/upload", "POST", f"Content-Length: {BIG // 8}"))
        await until(lambda: site.begun)
        closing = await stopping(server)
        visitor.send(bytes(BIG // 8))
        assert (await visitor.answer()).body == str(BIG // 8).encode()
        assert (await closing).clean


@TLS
async def test_event_streams_end_at_once(tls: bool) -> None:
    async with served(tls=tls, shutdown_timeout=None) as (site, server, place), Visitor(place) as visitor:
        visitor.send(request("/events"))
        await until(lambda: site.begun)
        report = await server.close()
        answer = await visitor.answer()
        assert (answer.body, answer.complete) == (b"data: first\n\n", True)
        assert await visitor.ended() == b""
        assert (report.finished, report.clean) == (1, True)


@TLS
async def test_of_pipelined_requests_the_first_is_answered_and_the_rest_not_run(tls: bool) -> None:
    async with served(tls=tls) as (site, server, place), Visitor(place) as visitor:
        visitor.send(request("/held?1") + request("/held?2") + request("/held?3"))
        await until(lambda: site.begun)
        closing = await stopping(server)
        visitor.send(request("/held?4"))
        site.go.set()
        answer = await visitor.answer()
        assert (answer.body, answer.closes) == (b"held", True)
        assert await visitor.ended() == b""
        report = await closing
        assert report.finished == 1, str(report)
        assert site.begun == ["/held?1"]


@TLS
async def test_idle_connections_and_beginnings_of_heads_are_closed_at_once(tls: bool) -> None:
    async with served(tls=tls, shutdown_timeout=None) as (site, server, place):
        async with visiting(place) as idle, Visitor(place) as new, Visitor(place) as begun, Visitor(place) as held:
            begun.send(b"GET / HT")
            held.send(request("/held"))
            await until(lambda: site.begun)
            await passes(20)
            closing = await stopping(server)
            for visitor in (idle, new, begun):
                assert await visitor.ended() == b""
            assert not closing.done()
            site.go.set()
            assert (await held.answer()).closes
            report = await closing
        assert report.finished == 1, str(report)


# Clients that read slowly, or not at all


LARGE = 200 * 1024  # goes to the transport as a whole: the handler ends at once
SIZES = pytest.mark.parametrize("size", [LARGE, BIG])


@TLS
@SIZES
async def test_a_slow_reader_gets_its_whole_answer(size: int, tls: bool) -> None:
    """The handler may have ended long ago: its answer is in buffers, and counts as in flight until it was taken."""
    async with served(tls=tls, shutdown_timeout=None) as (site, server, place):
        async with Visitor(place, receive=4096) as visitor:
            assert (await visitor.ask()).status == 200
            narrow(server)
            visitor.deaf()
            visitor.send(request(f"/big?size={size}"))
            await until(lambda: site.begun)
            closing = await stopping(server)
            await passes(20)
            assert not closing.done()
            visitor.writer.transport.resume_reading()  # type: ignore[attr-defined]  # it has it
            answer = await visitor.answer()
            assert (len(answer.body), answer.complete) == (size, True)
            assert await visitor.ended() == b""
            report = await closing
            assert report.clean, str(report)


@TLS
@SIZES
@pytest.mark.parametrize("when", ["before", "meanwhile"])
async def test_a_reader_that_stands_still_is_cut_off_and_named(when: str, size: int, tls: bool) -> None:
    async with served(tls=tls, allow_aborted=True, shutdown_timeout=0.1) as (site, server, place):
        async with Visitor(place, receive=4096) as visitor, Visitor(place) as other:
            assert (await visitor.ask()).status == 200
            narrow(server)
            visitor.deaf()
            other.send(request("/held"))
            visitor.send(request(f"/big?size={size}{'&held' if when == 'meanwhile' else ''}"))
            await until(lambda: len(site.begun) == 2)
            closing = await stopping(server)
            site.go.set()
            assert (await other.answer()).closes
            report = await closing
            # A piece of any size goes through the layer of TLS at once; without it the handler waits for its client.
            what = "GET /big from 127.0.0.1" if size == BIG and not tls else "task 'the rest of an answer to 127.0.0.1'"
            assert [each.what for each in report.aborted] == [what]
            assert "shutdown_timeout=0.1" in report.aborted[0].reason


async def test_clients_that_do_not_answer_our_goodbye_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    from endwell.connection import serving as module

    monkeypatch.setattr(module, "_FAREWELL", 0.02)
    async with served(tls=True, shutdown_timeout=None) as (_, server, place):
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(3):
                (await stack.enter_async_context(visiting(place))).deaf()
            report = await server.close()
            assert report.clean
            assert report.duration < 5, "they are waited for at once, and not for the loop's time-out"


@TLS
async def test_a_client_that_still_sends_gets_its_answer(tls: bool) -> None:
    """Answered before its body was read: closed at once it would lose the answer."""
    async with served(tls=tls) as (_, server, place), Visitor(place) as visitor:
        visitor.send(request("/early", "POST", f"Content-Length: {BIG}") + b"abc")
        await until(lambda: [each for each in server.core.connections if each._mode.value.endswith("client to close")])
        closing = await stopping(server)
        visitor.send(bytes(1000))
        answer = await visitor.answer()
        assert (answer.body, answer.closes) == (b"quick", True)
        visitor.writer.close()
        assert (await closing).clean


async def test_lingering_connections_are_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    from endwell.connection import serving as module

    monkeypatch.setattr(module, "_FAREWELL", 0.02)
    async with served(shutdown_timeout=None, lingering_time=60) as (_, server, place), Visitor(place) as visitor:
        answer = await visitor.ask("/early", "POST", f"Content-Length: {BIG}")
        assert answer.closes
        report = await server.close()
        assert report.clean
        assert report.duration < 5


@TLS
async def test_a_body_that_is_being_read_away(tls: bool) -> None:
    async with served(tls=tls) as (_, server, place), Visitor(place) as visitor:
        visitor.send(request("/early", "POST", "Content-Length: 1000") + b"abc")
        answer = await visitor.answer()
        assert (answer.body, answer.closes) == (b"quick", False)
        closing = await stopping(server)
        visitor.writer.close()
        assert (await closing).clean


async def test_clients_that_go_while_the_server_stops() -> None:
    async with served() as (site, server, place):
        async with Visitor(place) as visitor:
            visitor.send(request("/held"))
            await until(lambda: site.begun)
            closing = await stopping(server)
        await until(
            lambda: all(each.exchange._left or not each.exchange.keep_alive for each in server.core.connections)
        )
        await passes(10)
        assert not closing.done(), "the handler goes on"
        site.go.set()
        report = await closing
        assert report.finished == 1, str(report)


# The time-out


@TLS
@pytest.mark.parametrize("timeout", [0, 0.05])
async def test_what_is_too_slow_is_cancelled_and_awaited(timeout: float, tls: bool) -> None:
    async with served(tls=tls, allow_aborted=True, shutdown_timeout=timeout) as (site, server, place):
        async with Visitor(place) as stuck, Visitor(place) as streaming:
            stuck.send(request("/stuck"))
            streaming.send(request("/stream"))
            await until(lambda: len(site.begun) == 2)
            report = await server.close()
            assert (await stuck.answer()).status == 503
            answer = await streaming.answer()
            assert (answer.body, answer.complete) == (b"first,", False), "it can be seen that it was cut"
        assert sorted(each.what for each in report.aborted) == [
            "GET /stream from 127.0.0.1",
            "GET /stuck from 127.0.0.1",
        ]
        assert f"shutdown_timeout={timeout} s; closed at {__file__}" not in report.aborted[0].reason
        assert f"it did not finish within shutdown_timeout={timeout} s" in report.aborted[0].reason
        assert site.ended.index("stuck") < site.ended.index("context")


async def test_requests_that_have_not_taken_a_step_end_as_well() -> None:
    """Two requests in one pass of the loop: there is one spare task, and one of them is cancelled before its start."""
    async with served(allow_aborted=True, shutdown_timeout=0) as (site, server, place):
        async with Visitor(place) as first, Visitor(place) as second, Visitor(place) as third:
            closing: list[asyncio.Task[CloseReport]] = []
            for visitor in (first, second, third):
                visitor.send(request("/held"))
            # In the pass in which the first of them begins, when the others are about to.
            await until(lambda: server.core.work)
            closing.append(asyncio.create_task(server.close()))
            report = await closing[0]
            assert len(report.aborted) == len(site.begun) or len(report.aborted) <= 3
            assert not server.core.work


async def test_a_handler_that_does_not_let_itself_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    from endwell.lifetime import closing as module

    monkeypatch.setattr(module, "GOODBYE", 0.05)
    site = Site()
    stubborn = asyncio.Event()

    async def stay(request: web.Request) -> web.Response:
        site.begun.append("/stay")
        while not stubborn.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await stubborn.wait()
        return web.Response()

    site.app.router.add_get("/stay", stay)
    async with serving(site.app, allow_aborted=True, shutdown_timeout=0.01) as server:
        async with Visitor(Place(server.port, tls=False)) as visitor:
            visitor.send(request("/stay"))
            await until(lambda: site.begun)
            tasks = [task for task in server.core.tasks if not task.done()]
            report = await server.close()
            assert len(report.aborted) == 1
            assert "did not end within" in str(report.errors[0])
            stubborn.set()
            await asyncio.wait(tasks)


# Tasks


async def test_tasks_of_requests_and_applications_are_awaited_then_cancelled() -> None:
    ended: list[str] = []

    async def work(name: str, event: asyncio.Event) -> None:
        try:
            await event.wait()
        finally:
            await passes()
            ended.append(name)

    async with served(allow_aborted=True, shutdown_timeout=0.2) as (site, server, place):

        async def start(request: web.Request) -> web.Response:
            request.create_task(work("a", site.go))
            request.app.create_task(work("b", asyncio.Event()), name="b")
            return web.Response()

        site.app.router._frozen = False
        site.app.router.add_get("/start", start)
        async with Visitor(place) as visitor:
            assert (await visitor.ask("/start")).status == 200
            closing = await stopping(server)
            await passes()
            assert ended == []
            site.go.set()
            report = await closing
        assert ended == ["a", "b"]
        assert report.finished == 1
        assert [each.what for each in report.aborted] == ["task 'b'"]
        assert __file__ in str(report.aborted[0])
        late = work("c", site.go)
        with pytest.raises(RuntimeError, match="has ended"):
            site.app.create_task(late)


async def test_a_task_that_fails_is_logged_and_does_not_keep_the_end_up(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError("by the test")

    async with served() as (site, server, _):
        site.app.create_task(fail(), name="failing")
        await passes(6)
        assert "The task 'failing', started at" in caplog.text
        assert (await server.close()).clean


# Who calls it, and how often


@TLS
async def test_it_is_idempotent_and_the_second_caller_awaits_the_first(tls: bool) -> None:
    async with served(tls=tls) as (site, server, place), Visitor(place) as visitor:
        visitor.send(request("/held"))
        await until(lambda: site.begun)
        first = await stopping(server)
        second = asyncio.create_task(server.runner.cleanup())
        third = asyncio.create_task(server.runner.cleanup())
        await passes()
        third.cancel()
        await asyncio.wait([third])
        assert third.cancelled()
        assert not first.done()
        assert not second.done()
        site.go.set()
        assert await second is await first
        assert await server.runner.cleanup() is await first
        assert site.ended == ["on_shutdown", "context", "on_cleanup"]


@TLS
async def test_cancelled_at_every_await_it_still_cleans_up_and_leaves_nothing(tls: bool) -> None:
    for number in range(30):
        reached = False
        async with served(tls=tls, allow_aborted=True, shutdown_timeout=0.05) as (site, server, place):
            async with (
                visiting(place),
                Visitor(place) as stuck,
                Visitor(place) as uploading,
                Visitor(place) as streaming,
            ):
                stuck.send(request("/stuck"))
                streaming.send(request("/events"))
                uploading.send(request("/upload", "POST", "Content-Length: 5") + b"abc")
                server.core.create_task(asyncio.Event().wait(), name="task", origin=server.core.origin)
                await until(lambda site=site: len(site.begun) == 3)
                driven = cancelled_at(server.runner.cleanup(), number)

                async def closing(driven: cancelled_at = driven) -> None:
                    await driven

                task = asyncio.create_task(closing())
                await asyncio.wait([task])
                reached = driven.reached
                assert task.cancelled() == reached, f"at await {number}"
                if not reached:
                    task.result()
                assert not server.core.children, f"at await {number}"
                assert not server.core.work
                assert not [each for each in server.core.tasks if not each.done()], f"at await {number}"
                assert site.ended.index("stuck") < site.ended.index("context"), "awaited before what it uses is gone"
        if not reached:
            return
    pytest.fail("the closing never came to its end")


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("who", ["handler", "task", "second"])
async def test_a_handler_that_closes_its_own_server_gets_a_clear_error(waits: bool, who: str) -> None:
    async with served() as (site, server, place), Visitor(place) as visitor:
        texts: list[str] = []

        async def close() -> None:
            if waits:
                await asyncio.sleep(0)
            try:
                await server.runner.cleanup()
            except RuntimeError as error:
                texts.append(str(error))

        async def handler(request: web.Request) -> web.Response:
            if who == "task":
                await request.create_task(close())
            else:
                if who == "second":
                    asyncio.get_running_loop().call_soon(closings.append, asyncio.ensure_future(server.close()))
                    if waits:
                        await until(lambda: server.core.state.name != "OPEN")
                await close()
            return web.Response()

        closings: list[Any] = []
        site.app.router._frozen = False
        site.app.router.add_get("/close", handler)
        assert (await visitor.ask("/close")).status == 200
        assert len(texts) == 1
        assert "raise web.GracefulExit()" in texts[0]
        if who != "second":
            assert server.core.state.name == "OPEN"
        await asyncio.gather(*closings)
