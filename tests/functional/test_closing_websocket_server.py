"""The closing contract of a server's WebSockets: `cleanup()`, signals, each kind of client (closing.md, C13)."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import endwell
from endwell import WSMsgType, web
from endwell.lifetime import open_resources
from tests.support.closing import passes, resource_warnings, until
from tests.support.closing_websockets import EACH, Guest, briefly
from tests.support.contract import cancelled_at
from tests.support.contract_server import server_sockets
from tests.support.serving import RunningServer, serving
from tests.support.signalled import Caller, ServerProcess, server
from tests.support.tls import server_context
from tests.support.visitor import Place
from tests.support.websockets import CLOSE, PING, TEXT, TLS, Frame, closing, masked, pair, read_frame, upgrade


class Site:
    """An application with WebSockets that are used in different ways; `told` is what its handlers saw."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.open: list[web.WebSocketResponse] = []
        self.app = web.Application()
        for name in ("echo", "deaf", "sends", "closes", "fails", "stuck"):
            self.app.router.add_get(f"/{name}", getattr(self, name))

    async def begin(self, request: web.Request, **kwargs: Any) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(**kwargs)
        await ws.prepare(request)
        self.open.append(ws)
        return ws

    async def echo(self, request: web.Request) -> web.WebSocketResponse:
        """Receive until it ends."""
        ws = await self.begin(request)
        async for message in ws:
            await ws.send_str(message.data)
        self.told.append(("ended", ws.close_code))
        return ws

    async def deaf(self, request: web.Request) -> web.WebSocketResponse:
        """Receive nothing, wait for something else."""
        ws = await self.begin(request)
        try:
            await asyncio.Event().wait()
        finally:
            self.told.append(("cancelled", ws.close_code))
        return ws

    async def sends(self, request: web.Request) -> web.WebSocketResponse:
        """Send all the time."""
        ws = await self.begin(request)
        try:
            while True:
                await ws.send_str("tick")
                await asyncio.sleep(0.001)
        except ConnectionResetError:
            self.told.append(("reset", ws.close_code))
        return ws

    async def closes(self, request: web.Request) -> web.WebSocketResponse:
        """Close with a code of its own when told to."""
        ws = await self.begin(request)
        await ws.receive()
        await ws.close(code=4321, message=b"by the handler")
        self.told.append(("closed", ws.close_code))
        return ws

    async def fails(self, request: web.Request) -> web.WebSocketResponse:
        ws = await self.begin(request)
        await ws.receive()
        raise LookupError("by the test")

    async def stuck(self, request: web.Request) -> web.WebSocketResponse:
        """Learn that it ends, and go on with something that takes long."""
        ws = await self.begin(request)
        self.told.append(("received", (await ws.receive()).type))
        try:
            await asyncio.Event().wait()
        finally:
            self.told.append(("cancelled", ws.close_code))
        return ws


@contextlib.asynccontextmanager
async def served(*, tls: bool = False, **settings: Any) -> AsyncIterator[tuple[Site, RunningServer, Place]]:
    site = Site()
    context = server_context() if tls else None
    async with serving(site.app, tls=context, **settings) as running:
        yield site, running, Place(running.port, tls=tls)
    assert server_sockets(running.port) == []
    assert open_resources() == []


# cleanup()


@TLS
@EACH
@pytest.mark.parametrize("handler", ["echo", "sends"])
async def test_websockets_are_closed_with_1001_at_once(
    handler: str, manners: str, tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is aborted: the handlers end by themselves."""
    briefly(monkeypatch)
    async with served(tls=tls, shutdown_timeout=None) as (site, running, place):
        async with Guest(place, manners, target=f"/{handler}") as one, Guest(place, manners, target="/echo") as two:
            await until(lambda: len(site.open) == 2)
            if manners == "gone":
                one.leave()
                two.leave()
            report = await running.close()
            assert not report.aborted, report
            assert server_sockets(running.port) == []
            await asyncio.gather(one.over.wait(), two.over.wait())
    assert len(site.told) == 2
    code = 1001 if manners == "answers" else 1006
    assert {told[1] for told in site.told} <= ({code} if handler == "echo" else {code, None})
    if manners != "gone":
        assert one.codes == two.codes == [1001]
    if manners == "answers":
        assert (one.how, two.how) in (("fin", "fin"), (None, None))


async def test_both_ends_learn_1001_from_a_server() -> None:
    async with pair() as both:
        receiving = asyncio.ensure_future(both.client.receive())
        waiting = asyncio.ensure_future(both.server.receive())
        closing_it = asyncio.ensure_future(both.running.close())
        assert await receiving == (WSMsgType.CLOSE, 1001, "")
        assert (await waiting).type is WSMsgType.CLOSING
        both.leave.set()
        await closing_it
        assert both.client.close_code == both.server.close_code == 1001


@TLS
@EACH
async def test_a_handler_that_does_not_receive_is_cancelled_when_the_time_is_over(
    manners: str, tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client has learnt of the end long before."""
    briefly(monkeypatch)
    async with served(tls=tls, shutdown_timeout=0.1, allow_aborted=True) as (site, running, place):
        async with Guest(place, manners, target="/deaf") as guest:
            await until(lambda: site.open)
            if manners == "gone":
                guest.leave()
            task = asyncio.ensure_future(running.close())
            await until(lambda: guest.codes or manners == "gone")
            report = await task
            await guest.over.wait()
        assert server_sockets(running.port) == []
    assert [told[0] for told in site.told] == ["cancelled"]
    assert len(report.aborted) == 1
    assert "/deaf" in str(report)
    if manners != "gone":
        assert guest.codes == [1001]


async def test_a_handler_that_goes_on_after_the_end_is_given_the_time() -> None:
    async with served(shutdown_timeout=0.1, allow_aborted=True) as (site, running, place):
        async with Guest(place, "answers", target="/stuck") as guest:
            await until(lambda: site.open)
            report = await running.close()
            await guest.over.wait()
    assert site.told == [("received", WSMsgType.CLOSING), ("cancelled", 1001)]
    assert len(report.aborted) == 1


async def test_a_request_in_flight_is_waited_for_while_websockets_go() -> None:
    go = asyncio.Event()

    async def held(request: web.Request) -> web.Response:
        began.set()
        await go.wait()
        return web.Response(text="held")

    began = asyncio.Event()
    site = Site()
    site.app.router.add_get("/held", held)
    async with serving(site.app) as running, endwell.ClientSession() as session:
        place = Place(running.port, tls=False)
        async with Guest(place, "answers", target="/echo") as guest:
            asking = asyncio.ensure_future(session.get(running.url / "held"))
            await began.wait()
            task = asyncio.ensure_future(running.close())
            await guest.over.wait()
            assert guest.codes == [1001]
            assert not task.done()
            go.set()
            async with await asking as response:
                assert await response.text() == "held"
            await task


async def test_the_users_own_goodbye_in_on_shutdown_is_respected() -> None:
    """aiohttp's documentation has programs close their WebSockets in `on_shutdown`: their code may come too late, but
    nothing fails, and one close frame is sent."""
    site = Site()

    async def say_goodbye(app: web.Application) -> None:
        for ws in site.open:
            await ws.close(code=1012, message=b"restart")

    site.app.on_shutdown.append(say_goodbye)
    async with serving(site.app) as running:
        async with Guest(Place(running.port, tls=False), "answers", target="/echo") as guest:
            await until(lambda: site.open)
            report = await running.close()
            await guest.over.wait()
    assert not report.aborted
    assert guest.codes in ([1001], [1012])


@TLS
@EACH
async def test_cleanup_cancelled_at_every_await(manners: str, tls: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    briefly(monkeypatch)
    for number in range(60):
        site = Site()
        runner = web.AppRunner(site.app, shutdown_timeout=0.2)
        await runner.setup()
        at = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_context() if tls else None)
        await at.start()
        async with Guest(Place(at.port, tls=tls), manners, target="/echo") as guest:
            await until(lambda site=site: site.open)  # type: ignore[misc]  # a default binds it
            if manners == "gone":
                guest.leave()
            driven = cancelled_at(_whole(runner), number)

            async def closing_it(driven: cancelled_at = driven) -> None:
                await driven

            task = asyncio.create_task(closing_it())
            await asyncio.wait([task])
            assert task.cancelled() == driven.reached
            await passes(5)
            await runner.cleanup()
            assert server_sockets(at.port) == []
        assert open_resources() == []
        if not driven.reached:
            return
    pytest.fail("the closing never came to its end")


async def _whole(runner: web.AppRunner) -> None:
    await runner.cleanup()


async def test_no_websocket_begins_once_the_server_closes() -> None:
    """A handler that prepares one late: the client is told 1001, or that there is none; nobody hangs."""
    began, go = asyncio.Event(), asyncio.Event()

    async def late(request: web.Request) -> web.StreamResponse:
        began.set()
        await go.wait()
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        found.append((await ws.receive()).type)
        return ws

    found: list[Any] = []
    app = web.Application()
    app.router.add_get("/", late)
    async with serving(app) as running, endwell.ClientSession() as session:
        connecting = asyncio.ensure_future(session.ws_connect(running.url))
        await began.wait()
        task = asyncio.ensure_future(running.close())
        await until(lambda: running.core.state.name != "OPEN")
        go.set()
        try:
            ws = await connecting
        except endwell.ClientError:
            pass
        else:
            assert await ws.receive() == (WSMsgType.CLOSE, 1001, "")
            assert found == [WSMsgType.CLOSING]
        assert not (await task).aborted


# One WebSocket


@TLS
@EACH
async def test_a_handler_that_closes(manners: str, tls: bool) -> None:
    async with served(tls=tls) as (site, _running, place):
        async with Guest(place, manners, target="/closes") as guest:
            await until(lambda: site.open)
            site.open[0]._ws._close_timeout = 0.05  # type: ignore[union-attr]  # a second is too long for a test
            guest.send(masked(TEXT, b"close"))
            if manners == "gone":
                guest.leave()
            await until(lambda: site.told)
            await guest.over.wait()
    assert site.told == [("closed", 4321 if manners == "answers" else 1006)]
    if manners != "gone":
        assert guest.codes == [4321]
        assert guest.frames[-1].reason == "by the handler"


@pytest.mark.parametrize("closes_first", ["server", "client"])
@TLS
async def test_the_server_ends_the_connection_first(closes_first: str, tls: bool) -> None:
    """RFC 6455 section 7.1.1: so that it is not the client that keeps TIME_WAIT."""
    async with served(tls=tls) as (site, _running, place):
        target = "/closes" if closes_first == "server" else "/echo"
        async with Guest(place, "answers", target=target) as guest:
            await until(lambda: site.open)
            if closes_first == "server":
                guest.send(masked(TEXT, b"close"))
            else:
                guest.close(4000)
            await guest.over.wait()
            assert guest.codes == [4321 if closes_first == "server" else 4000]


async def test_a_client_that_half_closes() -> None:
    """A FIN without a close frame: nothing more can come, so it is over (1006)."""
    async with served() as (site, _running, place):
        async with Guest(place, "answers", target="/echo") as guest:
            await until(lambda: site.open)
            guest._visitor.writer.write_eof()
            await guest.over.wait()
            await until(lambda: site.told)
    assert site.told == [("ended", 1006)]


async def test_a_client_that_leaves_in_the_middle_of_a_frame() -> None:
    async with served() as (site, _running, place):
        async with Guest(place, "answers", target="/echo") as guest:
            await until(lambda: site.open)
            guest.send(masked(TEXT, b"whole") + masked(TEXT, b"cut")[:-1])
            await until(lambda: guest.frames)
            guest.leave()
            await until(lambda: site.told)
    assert site.told == [("ended", 1006)]
    assert [each.payload for each in guest.frames] == [b"whole"]


async def test_what_a_client_sends_behind_its_close_frame_is_ignored() -> None:
    async with served() as (site, _running, place):
        async with Guest(place, "answers", target="/echo") as guest:
            guest.send(masked(CLOSE, closing(4000)) + masked(TEXT, b"late") + masked(PING, b"late") + b"\xff\xff\xff")
            await guest.over.wait()
            assert [(each.opcode, each.code) for each in guest.frames] == [(CLOSE, 4000)]
            await until(lambda: site.told)
    assert site.told == [("ended", 4000)]


async def test_nothing_is_said_of_a_servers_websocket_that_its_handler_forgets() -> None:
    """It is closed when the handler returns, whatever the handler returns."""

    async def forgetful(request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        return ws

    app = web.Application()
    app.router.add_get("/ws", forgetful)
    with resource_warnings() as texts:
        async with serving(app) as running:
            async with Guest(Place(running.port, tls=False), "answers") as guest:
                await guest.over.wait()
                assert guest.codes == [1000]
    assert texts == []


async def test_open_resources_show_the_connection() -> None:
    async with served() as (site, _running, place):
        async with Guest(place, "answers", target="/echo"):
            await until(lambda: site.open)
            text = "\n".join(map(str, open_resources()))
            assert "WebSocket" in text
            assert "/echo" in text


async def test_a_server_ends_an_idle_websocket_only_when_told_to() -> None:
    """`keepalive_timeout` and the time for a request's head are HTTP's."""
    async with served(keepalive_timeout=0.05, header_timeout=0.05) as (site, _running, place):
        async with Guest(place, "answers", target="/echo") as guest:
            await until(lambda: site.open)
            await asyncio.sleep(0.3)  # six times as long: nothing may happen
            assert not guest.over.is_set()
            guest.send(masked(TEXT, b"still here"))
            await until(lambda: guest.frames)


# Signals to a real process


PROGRAM = """
async def ws(request):
    ws = web.WebSocketResponse(timeout=WAIT)
    await ws.prepare(request)
    say("open")
    async for message in ws:
        await ws.send_str(message.data)
    say("code", ws.close_code)
    return ws

app = make_app()
app.router.add_get("/ws", ws)
run(app, shutdown_timeout=30)
"""


class Blocking:
    """A WebSocket over a connection that blocks."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        caller.send(upgrade())
        assert caller.head().status == 101

    def frame(self) -> Frame:
        async def exactly(size: int) -> bytes:
            data = self.caller.file.read(size)
            assert data is not None
            assert len(data) == size, "the connection ended"
            return data

        coroutine = read_frame(exactly)
        try:
            coroutine.send(None)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # of read_frame
        raise AssertionError


@pytest.fixture(params=["tcp", "tls", "unix"])
def process(request: pytest.FixtureRequest, tmp_path: Path, loop_kind: str) -> Any:
    with server(tmp_path, loop_kind, unix=request.param == "unix", tls=request.param == "tls") as started:
        yield started


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_closes_websockets_with_1001(process: ServerProcess, number: signal.Signals) -> None:
    """aiohttp sends nothing, and ends 70 seconds later."""
    process.start("WAIT = 10" + PROGRAM).ready()
    with process.connect() as one, process.connect() as two:
        sockets = [Blocking(one), Blocking(two)]
        process.hears("open")
        process.hears("open")
        one.send(masked(TEXT, b"hello"))
        assert sockets[0].frame().payload == b"hello"
        process.signal(number)
        for ws in sockets:
            assert ws.frame().code == 1001
            ws.caller.send(masked(CLOSE, closing(1001)))
            assert ws.caller.ended() == b""
        status, lines, log = process.end()
    assert status == 0, log
    assert [line for line in lines if line.startswith("code")] == ["code 1001"] * 2
    assert "Traceback" not in log, log
    assert "Warning" not in log, log
    assert ": 2 finished, 0 aborted" in log, log


@pytest.mark.parametrize("manners", ["silent", "gone"])
def test_a_signal_with_clients_that_do_not_answer(process: ServerProcess, manners: str) -> None:
    """The server ends long before its `shutdown_timeout`."""
    process.start("WAIT = 0.2" + PROGRAM).ready()
    with process.connect() as caller:
        ws = Blocking(caller)
        process.hears("open")
        if manners == "gone":
            caller.sock.shutdown(2)
        process.signal()
        if manners == "silent":
            assert ws.frame().code == 1001
        status, lines, log = process.end()
    assert status == 0, log
    assert [line for line in lines if line.startswith("code")] == ["code 1006"]
    assert "Traceback" not in log, log
    assert " finished, 0 aborted" in log, log
