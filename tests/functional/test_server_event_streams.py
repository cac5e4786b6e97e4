"""Server-sent events with endwell on both ends: `web.event_stream` and `endwell.sse`."""

from __future__ import annotations

import asyncio

import endwell
from endwell import web
from tests.support.raw import facing, until
from tests.support.serving import serving
from tests.support.streams import (
    BUFFER,
    ENDLESS,
    READ,
    WIRES,
    context,
    only,
    session,
    stands_still,
)
from tests.support.tls import client_context


@WIRES
async def test_events_go_on_where_they_were(tls: bool) -> None:
    """The connection ends, once because a server stops and another begins: no event is lost, and none comes twice."""
    asked: list[str] = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        async with web.event_stream(request, retry=1) as events:
            asked.append(events.last_event_id)
            first = int(events.last_event_id or -1) + 1
            for number in range(first, first + 5):
                await events.send(f"event {number}\nof many", id=str(number), event="tick")
            if len(asked) == 3:
                await asyncio.Event().wait()
        return events

    connector = endwell.TCPConnector(ssl=client_context())
    runner = web.ServerRunner(web.Server(handler))
    port = 0
    found = []
    async with endwell.ClientSession(connector=connector) as client:
        await runner.setup()
        site = web.TCPSite(runner, "localhost", 0, ssl_context=context(tls=tls))
        await site.start()
        port = site.port
        async with client.get(f"http{'s' * tls}://localhost:{port}/") as response, endwell.sse(response) as stream:
            async for event in stream:
                assert (event.event, event.data) == ("tick", f"event {event.id}\nof many")
                found.append(int(event.id))
                if len(found) == 15:
                    report = await runner.cleanup()
                    assert not report.aborted
                    runner = web.ServerRunner(web.Server(handler))
                    await runner.setup()
                    await web.TCPSite(runner, "localhost", port, ssl_context=context(tls=tls)).start()
                if len(found) == 25:
                    break
    assert not (await runner.cleanup()).aborted
    assert found == list(range(25))
    assert asked[:5] == ["", "4", "9", "14", "19"]


@WIRES
async def test_a_slow_reader_of_events(tls: bool) -> None:
    """send() waits for it, heartbeats do not pile up behind; and the stop of the server ends the stream where it is."""
    sent = 0

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal sent
        async with web.event_stream(request, heartbeat=0.01) as events:
            while sent < ENDLESS // 1000:
                await events.send("x" * 1000, id=str(sent))
                sent += 1
        return events

    async with serving(handler, tls=context(tls=tls), host="localhost") as server, session() as client:
        async with client.get(server.url, read_bufsize=BUFFER) as response:
            await stands_still(lambda: sent)
            assert sent < ENDLESS // 1000
            assert only(server).connection.unsent() < 2**19 + READ
            closing = asyncio.ensure_future(server.close())
            ids = [int(event.id) async for event in endwell.sse(response, reconnect=False)]
        report = await closing
    assert not report.aborted
    assert ids == list(range(len(ids))), "none is lost in between"
    assert len(ids) in (sent, sent + 1), "what was being sent is sent whole"


async def test_the_reader_of_an_event_stream_goes() -> None:
    """A heartbeat finds out, and ends the block; that is no error of the program, so nobody is told of one."""
    ended: list[BaseException] = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        try:
            async with web.event_stream(request, heartbeat=0.01) as events:
                await asyncio.Event().wait()
        except ConnectionResetError as error:
            ended.append(error)
            raise
        return events

    async with facing(handler, alive=False) as stage:
        for reset in (True, False):
            client = await stage.connect()
            await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await until(lambda: stage.server.core.work)
            if reset:
                client.reset()
            else:
                client.sock.close()
            await until(lambda: not stage.server.core.work)
        assert len(ended) == 2
        assert stage.said() == []
