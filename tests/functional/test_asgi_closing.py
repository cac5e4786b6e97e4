"""How a server with an ASGI application ends (closing.md C13): in this process, and a real one that is sent signals."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from endwell import ClientSession, TCPConnector, WSMsgType, WSServerHandshakeError
from endwell.lifetime import open_resources
from tests.support.asgi import AsgiStage, Call, asgi, get
from tests.support.raw import passes, until
from tests.support.signalled import ServerProcess, server
from tests.support.tls import client_context, server_context
from tests.support.visitor import request


class Site:
    """An application with what can be in flight; `go` lets what is held go on."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.lines: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        call = Call(scope, receive, send)
        if scope["type"] == "lifespan":
            await self.lifespan(call)
        else:
            await getattr(self, call.path[1:] or "quick")(call)

    async def lifespan(self, call: Call) -> None:
        await call.receive()
        await call.send({"type": "lifespan.startup.complete"})
        await call.receive()
        self.lines.append("shutdown")
        await call.send({"type": "lifespan.shutdown.complete"})

    async def quick(self, call: Call) -> None:
        await call.answer(b"quick")

    async def held(self, call: Call) -> None:
        self.lines.append("held")
        await self.go.wait()
        await call.answer(b"held")
        self.lines.append("answered")

    async def work(self, call: Call) -> None:
        await call.answer(b"accepted")
        self.lines.append("working")
        await self.go.wait()
        self.lines.append("worked")

    async def stream(self, call: Call) -> None:
        await call.start()
        await call.body(b"first,", more=True)
        self.lines.append("streaming")
        await self.go.wait()
        await call.body(b"second")

    async def endless(self, call: Call) -> None:
        await call.start()
        self.lines.append("endless")
        try:
            while True:
                await call.body(b"x", more=True)
                await asyncio.sleep(0.001)
        finally:
            self.lines.append("endless ended")

    async def listening(self, call: Call) -> None:
        await call.read()
        self.lines.append("listening")
        assert await call.receive() == {"type": "http.disconnect"}
        self.lines.append("disconnected")

    async def upload(self, call: Call) -> None:
        self.lines.append("upload")
        await call.answer(str(len(await call.read())).encode())

    async def ws(self, call: Call) -> None:
        await call.receive()
        await call.send({"type": "websocket.accept"})
        while (event := await call.receive())["type"] != "websocket.disconnect":
            self.lines.append(event["text"])
        self.lines.append(f"disconnect {event['code']}")


async def stopping(stage: AsgiStage) -> asyncio.Task[Any]:
    task = asyncio.ensure_future(stage.server.close())
    await until(lambda: stage.server.core.state.name != "OPEN")
    return task


async def test_requests_in_flight_are_answered_and_idle_connections_closed() -> None:
    site = Site()
    async with asgi(site) as stage:
        idle, busy, streaming, sending = [await stage.connect() for _ in range(4)]
        await idle.send(get("/"))
        assert (await idle.answer()).body == b"quick"
        await busy.send(get("/held"))
        await streaming.send(get("/stream"))
        await sending.send(get("/upload", "Content-Length: 6", method="POST"), b"abc")
        await until(lambda: len(site.lines) == 3)
        closing = await stopping(stage)
        assert await idle.closed() == "fin"
        with pytest.raises(ConnectionRefusedError):
            await stage.connect()
        site.go.set()
        await sending.send(b"def")
        for client, body in ((busy, b"held"), (sending, b"6")):
            answer = await client.answer()
            assert answer.body == body
            assert answer.closes
            assert await client.closed() == "fin"
        assert (await streaming.answer()).body == b"first,second"
        assert await streaming.closed() == "fin"
        report = await closing
    assert report.finished == 3
    assert site.lines[-1] == "shutdown"
    assert open_resources() == []


async def test_what_runs_on_behind_a_response_is_awaited() -> None:
    site = Site()
    async with asgi(site) as stage:
        client = await stage.connect()
        await client.send(get("/work"))
        assert (await client.answer()).body == b"accepted"
        closing = await stopping(stage)
        assert await client.closed() == "fin"
        await passes()
        assert site.lines == ["working"]
        site.go.set()
        report = await closing
    assert report.finished == 1
    assert site.lines == ["working", "worked", "shutdown"]


async def test_an_endless_stream_has_the_time_that_there_is_and_no_more() -> None:
    site = Site()
    async with asgi(site, shutdown_timeout=0.05, allow_aborted=True) as stage:
        client = await stage.connect()
        await client.send(get("/endless"))
        await until(lambda: site.lines)
        report = await (await stopping(stage))
        answer = await client.answer()
        assert not answer.complete
    assert [aborted.what for aborted in report.aborted] == ["GET /endless from 127.0.0.1"]
    assert site.lines == ["endless", "endless ended", "shutdown"]


async def test_who_waits_for_a_disconnect_is_told_when_the_client_goes_also_in_the_end() -> None:
    site = Site()
    async with asgi(site) as stage:
        client = await stage.connect()
        await client.send(get("/listening"))
        await until(lambda: site.lines)
        closing = await stopping(stage)
        await passes(10)
        assert site.lines == ["listening"]  # it may be about to answer: the stop alone is no disconnect
        client.sock.close()
        await closing
    assert site.lines == ["listening", "disconnected", "shutdown"]


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_websockets_are_closed_with_1001(tls: bool) -> None:
    site = Site()
    context: ssl.SSLContext | None = server_context() if tls else None
    async with asgi(site, tls=context) as stage:
        connector = TCPConnector(ssl=client_context()) if tls else TCPConnector()
        url = f"{'wss' if tls else 'ws'}://localhost:{stage.server.port}/ws"
        if not tls:
            url = url.replace("localhost", "127.0.0.1")
        async with ClientSession(connector=connector) as session, session.ws_connect(url) as ws:
            await ws.send_str("hello")
            await until(lambda: site.lines)
            closing = await stopping(stage)
            message = await ws.receive()
            assert (message.type, message.data) == (WSMsgType.CLOSE, 1001)
            assert ws.close_code == 1001
            await closing
    assert site.lines == ["hello", "disconnect 1001", "shutdown"]


async def test_a_client_that_never_answers_the_close_holds_up_nobody_for_long() -> None:
    site = Site()
    async with asgi(site, websocket_close_timeout=0.05) as stage:
        client = await stage.connect()
        key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
        await client.send(get("/ws", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", key))
        assert (await client.answer()).status == 101
        report = await (await stopping(stage))
    assert report.finished == 1
    assert site.lines == ["disconnect 1001", "shutdown"]


async def test_after_a_denial_the_client_has_the_status() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        await receive()
        await send({"type": "websocket.close"})

    async with asgi(application) as stage, ClientSession(stage.server.url) as session:
        with pytest.raises(WSServerHandshakeError) as caught:
            await session.ws_connect("/")
        assert caught.value.status == 403


# A process

PROGRAM = """
from endwell.server.asgi import AsgiRunner
from endwell.server.ending import Ending, end_loop, run as run_until_told, serve

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        {startup}
        say("startup")
        await send({{"type": "lifespan.startup.complete"}})
        await receive()
        say("shutdown")
        await send({{"type": "lifespan.shutdown.complete"}})
        return
    if scope["path"] == "/held":
        say("held")
        await events["go"].wait()
    if scope["path"] == "/stuck":
        try:
            say("stuck")
            await asyncio.Event().wait()
        finally:
            say("unstuck")
    await send({{"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]}})
    await send({{"type": "http.response.body", "body": b"fine"}})

async def make():
    return AsgiRunner(app, shutdown_timeout=30, access_log=None)

listen_to_stdin()
ending = Ending(loop)
ending.listen()
try:
    sites = lambda runner: [web.TCPSite(runner, "127.0.0.1", 0)]
    started = lambda runner: say("======== Running on", *[site.name for site in runner.sites], "========")
    run_until_told(ending, serve(ending, make(), sites, started))
finally:
    ending.over()
    end_loop(loop)
    say("ended")
"""


@pytest.fixture
def process(tmp_path: Path, loop_kind: str) -> Iterator[ServerProcess]:
    with server(tmp_path, loop_kind) as process:
        yield process


@pytest.fixture
def start(process: ServerProcess) -> Callable[..., ServerProcess]:
    def start(startup: str = "") -> ServerProcess:
        return process.start(PROGRAM.format(startup=startup))

    return start


def test_sigterm_with_a_request_in_flight(start: Callable[..., ServerProcess]) -> None:
    process = start().ready()
    with process.connect() as idle, process.connect() as busy:
        assert idle.ask("/").body == b"fine"
        busy.send(request("/held"))
        process.hears("held")
        process.signal()
        assert idle.ended() == b""
        assert process.refuses()
        process.tell("go")
        answer = busy.answer()
        assert answer.body == b"fine"
        assert answer.closes
        assert busy.ended() == b""
    _, lines, log = process.end()
    assert lines[-2:] == ["shutdown", "ended"]
    assert lines[0] == "startup"
    report = re.findall(r"closed AsgiRunner in .*: (\d+) finished, (\d+) aborted", log)
    assert report == [("1", "0")], log
    assert "Warning" not in log, log


def test_a_second_signal_cuts_what_is_waited_for(start: Callable[..., ServerProcess]) -> None:
    process = start().ready()
    with process.connect() as idle, process.connect() as busy:
        assert idle.ask("/").body == b"fine"
        busy.send(request("/stuck"))
        process.hears("stuck")
        process.signal()
        assert idle.ended() == b""  # the server has taken the first
        process.signal()
        answer = busy.answer()
        assert answer.status == 503
    _, lines, _ = process.end()
    assert lines[-3:] == ["unstuck", "shutdown", "ended"]


def test_a_startup_that_failed_ends_the_process_with_its_message(start: Callable[..., ServerProcess]) -> None:
    process = start('await send({"type": "lifespan.startup.failed", "message": "no database here"}); return')
    status, lines, log = process.end()
    assert status == 1
    assert lines == ["ended"]
    assert log.rstrip().endswith("LifespanError: The startup of the ASGI application failed: no database here")
