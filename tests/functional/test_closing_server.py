"""Closing a server in process, `runner.cleanup()`: what is answered, what is cut, what is left (closing.md C13, C7).

Signals to real processes are in `test_server_signals.py`, clients that read slowly, go or stay in
`test_closing_server_clients.py`, servers that nobody closes in `test_closing_server_leaks.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from endwell import web
from tests.support import site as stage
from tests.support.closing import BIG, TLS, passes, until
from tests.support.contract import cancelled_at
from tests.support.serving import serving
from tests.support.site import Site, served, stopping
from tests.support.visitor import Place, Visitor, request, visiting

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
            "/file": Path(stage.__file__).read_bytes(),
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
        visitor.writer.close()
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
    """Of three that come in one pass of the loop only the first begins in it: there is one spare task."""
    async with served() as (_, server, place):
        async with visiting(place) as first, visiting(place) as second, visiting(place) as third:
            begun: list[int] = []

            def come_and_go() -> None:
                for connection in list(server.core.connections):
                    connection.data_received(request("/held"))
                begun.append(len(server.core.work))
                for exchange in list(server.core.work):
                    exchange._abort("by the test")

            asyncio.get_running_loop().call_soon(come_and_go)
            for visitor in (first, second, third):
                assert (await visitor.answer()).status == 503
                assert await visitor.ended() == b""
            assert begun == [3]
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
async def test_cancelled_at_every_await_it_still_cleans_up_and_leaves_nothing(
    tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from endwell.connection import serving as module

    monkeypatch.setattr(module, "_FAREWELL", 0.02)
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
