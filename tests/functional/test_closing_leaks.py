"""The closing contract, C10 to C12: what is forgotten is closed and named; what reports say."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import re
from typing import Any

import pytest

import endwell
from tests.conftest import LOOPS
from tests.support.closing import (
    TLS,
    client_sockets,
    fetch,
    line,
    outcome,
    passes,
    resource_warnings,
    serving,
    trusting,
    until,
)
from tests.support.echo import run_in_thread
from tests.support.tls import client_context, server_context


async def collected(server: Any) -> None:
    """Collect garbage and wait until nothing of the client is left."""
    gc.collect()
    await until(lambda: not endwell.open_resources() and not server.client_ends())


# C10


@TLS
@pytest.mark.parametrize("used", [True, False])
async def test_c10_a_forgotten_session_is_closed_and_named(
    used: bool, tls: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tls=tls) as server:
        with resource_warnings() as texts:
            where = line(+1)
            session: Any = endwell.ClientSession(connector=trusting(tls))
            if used:
                await fetch(session, server.url())
            del session
            await collected(server)
        assert len(texts) == 1, "one warning for a session and its connector"
        text = texts[0]
        assert text.startswith("ClientSession was never closed")
        assert where in text
        task = asyncio.current_task()
        assert task is not None
        assert f"by task '{task.get_name()}'" in text
        assert re.search(r"\d\.\d s ago", text)
        assert "async with ClientSession() as session" in text
        assert ("idle connection to 127.0.0.1" in text) == used
        assert "/src/endwell/" not in text
        assert [each.levelno for each in caplog.records if each.name.startswith("endwell")] == [logging.WARNING]
        assert where in caplog.text


@TLS
async def test_c10_a_session_that_is_made_and_forgotten_in_a_task(tls: bool) -> None:
    async def forgetful() -> bytes:
        session = endwell.ClientSession(connector=trusting(tls))
        return await fetch(session, server.url())

    async with serving(tls=tls) as server:
        with resource_warnings() as texts:
            assert await asyncio.create_task(forgetful(), name="the forgetful one") == b"hello"
            await collected(server)
        assert len(texts) == 1
        assert "by task 'the forgetful one'" in texts[0]
        assert f"{__file__}:{forgetful.__code__.co_firstlineno + 1} " in texts[0]


@TLS
async def test_c10_a_subclass_is_named_by_its_name(tls: bool) -> None:
    class Api(endwell.ClientSession):
        pass

    async with serving(tls=tls) as server:
        with resource_warnings() as texts:
            Api()
            await collected(server)
        assert texts[0].startswith("Api was never closed")


@TLS
async def test_c10_a_forgotten_session_lets_its_exchanges_finish(tls: bool) -> None:
    async with serving(tls=tls) as server:
        with resource_warnings() as texts:
            session: Any = endwell.ClientSession(connector=trusting(tls))
            response = await session.get(server.url("/stuck"))
            reading = asyncio.create_task(response.content.read())
            await passes()
            stream = response.content
            del response, session
            gc.collect()
            await passes(5)
            server.release.set()
            assert await reading == b"first,second"
            del stream
            await collected(server)
        assert len(texts) <= 1


@TLS
async def test_c10_a_forgotten_session_ends_its_tasks(tls: bool) -> None:
    async with serving(tls=tls) as server:
        with resource_warnings() as texts:
            session: Any = endwell.ClientSession(connector=trusting(tls), close_timeout=0.05)
            task = session.create_task(asyncio.Event().wait(), name="endless")
            await passes()
            del session
            await collected(server)
            assert isinstance(await outcome(task), asyncio.CancelledError)
        assert "task 'endless'" in texts[0]


@TLS
async def test_c10_c11_a_forgotten_response_is_closed_and_named_and_frees_its_slot(tls: bool) -> None:
    async with serving(tls=tls) as server, endwell.ClientSession(connector=trusting(tls, limit=1)) as session:
        with resource_warnings() as texts:
            where = line(+1)
            response: Any = await session.get(server.url("/big?token=secret"))
            waiting = asyncio.create_task(fetch(session, server.url()))
            await passes(5)
            assert not waiting.done()
            del response
            gc.collect()
            assert await waiting == b"hello"
        assert len(texts) == 1
        assert texts[0].startswith("Response to GET http")
        assert "was never closed" in texts[0]
        assert where in texts[0]
        assert "busy connection to 127.0.0.1" in texts[0]
        assert "secret" not in texts[0]
        assert "/src/endwell/" not in texts[0]
        report = await session.close()
        assert [each.what for each in report.leaked] == [f"Response to GET {server.url('/big')}"]
        assert not report.clean


@TLS
def test_c10_a_response_that_is_forgotten_while_its_loop_rests(loop_kind: str, tls: bool) -> None:
    """The loop does not run, and may never run again: who would be told later might never be."""
    kept: list[Any] = []

    async def main(url: str) -> None:
        session = endwell.ClientSession(connector=trusting(tls))
        kept.extend([session, await session.get(url)])

    async def close() -> None:
        assert (await kept[0].close()).errors == []  # no goodbye is waited for: the connection is gone
        assert client_sockets(server.port) == []

    factory: Any = LOOPS[loop_kind]
    tls_context = server_context() if tls else None
    with run_in_thread(tls=tls_context) as server, asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main(server.url("/bytes/3000000")))
        with resource_warnings() as texts:
            del kept[1]
            gc.collect()
        core = kept[0].connector._core
        assert (len(texts), core.pool.in_use, len(kept[0]._core.work)) == (1, 0, 0)
        assert "Response to GET" in texts[0]
        runner.run(close())


@TLS
async def test_c11_a_small_response_that_is_dropped_costs_nothing(tls: bool) -> None:
    async with serving(tls=tls) as server, endwell.ClientSession(connector=trusting(tls, limit=1)) as session:
        with resource_warnings() as texts:
            for _ in range(3):
                await session.get(server.url())
                gc.collect()
        assert texts == []
        assert len(server.connections) == 1


@TLS
async def test_c10_who_holds_the_content_holds_the_response(tls: bool) -> None:
    async with serving(tls=tls) as server, endwell.ClientSession(connector=trusting(tls)) as session:
        with resource_warnings() as texts:
            content = (await session.get(server.url("/stuck"))).content
            gc.collect()
            await passes(5)
            server.release.set()
            assert await content.read() == b"first,second"
        assert texts == []


@TLS
async def test_c10_a_forgotten_connector_is_closed_and_named(tls: bool) -> None:
    async with serving(tls=tls) as server:
        with resource_warnings() as texts:
            where = line(+1)
            connector: Any = endwell.TCPConnector(ssl=client_context() if tls else True)
            async with endwell.ClientSession(connector=connector, connector_owner=False) as session:
                await fetch(session, server.url())
            del connector, session
            await collected(server)
        assert len(texts) == 1
        assert "TCPConnector was never closed" in texts[0]
        assert where in texts[0]


@TLS
async def test_c10_nothing_is_said_of_what_was_closed(tls: bool) -> None:
    async with serving(tls=tls) as server:
        with resource_warnings() as texts:
            session: Any = endwell.ClientSession(connector=trusting(tls))
            await fetch(session, server.url())
            await session.close()
            del session
            gc.collect()
        assert texts == []


async def test_c10_a_session_whose_making_failed_leaves_nothing() -> None:
    with resource_warnings() as texts:
        for wrong in ({"base_url": "no"}, {"version": 3}, {"timeout": 5}, {"close_timeout": -1}, {"headers": 7}):
            with pytest.raises((ValueError, TypeError, AttributeError)):
                endwell.ClientSession(**wrong)  # type: ignore[arg-type] # wrong on purpose
        for bad in ({"limit": -1}, {"ssl": 3}, {"force_close": True, "keepalive_timeout": 3}):
            with pytest.raises((ValueError, TypeError)):
                endwell.TCPConnector(**bad)
        gc.collect()
        await passes()
    assert texts == []
    assert endwell.open_resources() == []


# C11


@TLS
async def test_c11_who_waits_in_vain_learns_who_holds_the_pool(tls: bool) -> None:
    async with serving(tls=tls) as server, endwell.ClientSession(connector=trusting(tls, limit=2)) as session:
        where = line(+1)
        held = await session.get(server.url("/stuck?token=secret"))
        other = asyncio.create_task(fetch(session, server.url("/slow")))
        await server.wait_in_flight(2)
        with pytest.raises(endwell.ConnectionTimeoutError) as caught:
            await session.get(server.url(), timeout=endwell.ClientTimeout(connect=0.05))
        text = str(caught.value)
        assert where in text
        assert f"GET {server.url('/stuck')}" in text
        assert f"GET {server.url('/slow')}" in text
        assert "limit=2" in text
        assert "secret" not in text
        assert "/src/endwell/" not in text
        assert len(caught.value.holders) == 2  # type: ignore[attr-defined] # PoolTimeoutError
        server.release.set()
        await held.read()
        await other


# C12


@TLS
async def test_c12_the_report_says_what_happened(tls: bool) -> None:
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls))
        await fetch(session, server.url("/chunked/2"))
        ended = asyncio.create_task(fetch(session, server.url("/slow")))
        await server.wait_in_flight(1)
        where = line(+1)
        stuck = asyncio.create_task(session.post(server.url("/never?token=secret"), data=b"x"))
        server.routes["/never"] = lambda _: asyncio.Event().wait()  # type: ignore[assignment,return-value]
        await server.wait_in_flight(2)
        asyncio.get_running_loop().call_later(0.02, server.release.set)
        report = await session.close(close_timeout=0.2)
        assert await ended == b"released"
        assert isinstance(await outcome(stuck), endwell.ExchangeAbortedError)
        assert isinstance(report, endwell.CloseReport)
        assert report.what == "ClientSession"
        assert report.finished == 1
        assert report.closed == 1, "the other was closed with its exchange"
        assert report.duration > 0
        assert len(report.aborted) == 1
        assert report.aborted[0].what.startswith(f"POST {server.url('/never')}")
        assert "close_timeout=0.2" in report.aborted[0].reason
        assert where in str(report.aborted[0])
        assert report.errors == []
        assert report.leaked == []
        assert not report.clean
        text = str(report)
        assert text.startswith("closed ClientSession in ")
        assert "1 finished, 1 aborted, 1 connections closed" in text
        assert where in text
        assert "secret" not in text
        facts = json.loads(json.dumps(report.to_json()))
        assert facts["finished"] == 1
        assert facts["aborted"][0]["origin"] == where
        assert "/src/endwell/" not in json.dumps(facts)


@TLS
async def test_c12_an_upload_is_one_thing_that_finished(tls: bool) -> None:
    async def body() -> Any:
        yield b"1"
        await go_on.wait()
        yield b"2"

    go_on = asyncio.Event()
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls))
        task = asyncio.create_task(session.post(server.url("/sink"), data=body()))
        await server.wait_in_flight(1)
        asyncio.get_running_loop().call_later(0.02, go_on.set)
        report = await session.close()
        assert (await task).status == 200
        assert report.finished == 1


@TLS
async def test_c12_open_resources_gives_the_tree(tls: bool) -> None:
    assert endwell.open_resources() == []
    async with serving(tls=tls) as server:
        where = line(+1)
        async with endwell.ClientSession(connector=trusting(tls)) as session:
            await fetch(session, server.url())
            task = session.create_task(server.release.wait(), name="waiting for release")
            asked = line(+1)
            async with session.get(server.url("/stuck?token=secret")):
                tree = endwell.open_resources()
                text = "\n".join(map(str, tree))
                server.release.set()
            await task
        assert len(tree) >= 1
        kinds = set()

        def walk(node: Any) -> None:
            kinds.add(node.kind)
            for child in node.children:
                walk(child)

        for root in tree:
            walk(root)
        assert kinds == {"session", "connector", "connection", "exchange", "task"}
        assert f"ClientSession made at {where}" in text
        assert "TCPConnector" in text
        assert "connection to 127.0.0.1" in text
        assert f"GET {server.url('/stuck')}" in text
        assert asked in text
        assert "task 'waiting for release'" in text
        assert "secret" not in text
        assert "/src/endwell/" not in text
    assert endwell.open_resources() == []


async def test_c12_a_connector_that_a_session_owns_is_below_it() -> None:
    async with endwell.ClientSession():
        [root] = endwell.open_resources()
        assert [each.kind for each in root.children] == ["connector"]
