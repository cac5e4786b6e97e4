"""Closing a server whose clients read slowly or not at all, go, come, or still send (closing.md C13)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest

from endwell import web
from tests.support.closing import BIG, TLS, passes, until
from tests.support.site import narrow, served, stopping
from tests.support.visitor import Visitor, request, visiting

LARGE = 200 * 1024  # goes to the transport as a whole: the handler ends at once
SIZES = pytest.mark.parametrize(
    ("size", "tls"),  # a client's layer of TLS takes some of it, asked or not
    [(LARGE, False), (BIG, False), (BIG, True)],
    ids=["large", "big", "big-tls"],
)


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
            assert report.finished <= 1, "the rest of an answer is no work beside it"


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
            server.core.pre_shutdown()  # the time for the others does not run yet
            site.go.set()
            assert (await other.answer()).closes
            await until(
                lambda: server.core.leaving or any(each._writable is not None for each in server.core.connections)
            )
            report = await server.close()
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
async def test_a_slow_reader_of_a_last_answer_is_waited_for_as_long_as_any(
    tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody closes the server: the loop's TLS would have cut this client off after a fixed time."""
    from endwell.connection import patience, serving

    for module in (patience, serving):
        monkeypatch.setattr(module, "GOODBYE", 0.001)
    async with served(tls=tls, lingering_time=0.01) as (site, server, place):
        async with Visitor(place, receive=4096) as visitor:
            assert (await visitor.ask()).status == 200
            narrow(server)
            visitor.deaf()
            size = BIG if tls else LARGE
            visitor.send(request(f"/big?size={size}", "GET", "Connection: close"))
            await until(lambda: site.begun)
            (connection,) = server.core.connections
            looked: set[float] = set()

            def look() -> bool:
                looked.add(connection.due)
                return len(looked) > 5

            await until(look)
            visitor.writer.transport.resume_reading()  # type: ignore[attr-defined]  # it has it
            answer = await visitor.answer()
            assert (len(answer.body), answer.complete) == (size, True)
            assert await visitor.ended() == b""


@TLS
async def test_a_reader_of_a_last_answer_that_stands_still_is_given_up(tls: bool) -> None:
    async with served(tls=tls, send_timeout=0.05) as (site, server, place):
        async with Visitor(place, receive=4096) as visitor:
            assert (await visitor.ask()).status == 200
            narrow(server)
            visitor.deaf()
            size = BIG if tls else LARGE
            visitor.send(request(f"/big?size={size}", "GET", "Connection: close"))
            await until(lambda: site.begun)
            await until(lambda: not server.core.connections)


@pytest.mark.parametrize("reads", [True, False])
@TLS
async def test_a_file_that_is_being_sent(tmp_path: Path, reads: bool, tls: bool) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(BIG))

    async def send(request: web.Request) -> web.FileResponse:
        site.begun.append("/send")
        return web.FileResponse(file)

    timeout = None if reads else 0.05
    async with served(tls=tls, allow_aborted=not reads, shutdown_timeout=timeout) as (site, server, place):
        site.app.router._frozen = False
        site.app.router.add_get("/send", send)
        async with Visitor(place, receive=4096) as visitor:
            assert (await visitor.ask()).status == 200
            narrow(server)
            visitor.deaf()
            visitor.send(request("/send"))
            await until(lambda: site.begun)
            await passes(20)
            closing = await stopping(server)
            if reads:
                visitor.writer.transport.resume_reading()  # type: ignore[attr-defined]  # it has it
                answer = await visitor.answer()
                assert (len(answer.body), answer.complete) == (BIG, True)
            report = await closing
            assert len(report.aborted) == (not reads), str(report)
    await asyncio.get_running_loop().shutdown_default_executor()


@TLS
async def test_connections_that_come_in_the_pass_of_the_stop_do_not_stay(tls: bool) -> None:
    for number in range(8):
        async with served(tls=tls) as (_, server, place):
            with socket.socket() as sock:
                sock.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    sock.connect(("127.0.0.1", place.where))
                await passes(number)
                report = await server.close()
                assert report.clean, str(report)
                assert not server.core.children
                assert not server.core.connections


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
