"""The closing contract, C16 and what goes with it: shared connectors, `connector_owner=False`, `detach()`."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

import endwell
from tests.support.closing import TLS, fetch, outcome, passes, resource_warnings, serving, trusting, until
from tests.support.tls import client_context


@TLS
async def test_c16_a_shared_connector_is_closed_with_the_last_of_its_owners(tls: bool) -> None:
    async with serving(tls=tls) as server:
        connector = trusting(tls)
        a, b = endwell.ClientSession(connector=connector), endwell.ClientSession(connector=connector)
        await fetch(a, server.url())
        await a.close()
        assert not b.closed
        assert not connector.closed
        assert await fetch(b, server.url()) == b"hello"
        assert len(server.connections) == 1
        await b.close()
        assert connector.closed
        assert server.client_ends() == []


@TLS
async def test_c16_closing_one_session_ends_only_its_own_exchanges(tls: bool) -> None:
    async with serving(tls=tls) as server:
        connector = trusting(tls)
        a, b = endwell.ClientSession(connector=connector), endwell.ClientSession(connector=connector)
        tasks = [asyncio.create_task(fetch(each, server.url("/slow"))) for each in (a, b)]
        await server.wait_in_flight(2)
        report = await a.close(close_timeout=0)
        assert len(report.aborted) == 1
        assert isinstance(await outcome(tasks[0]), endwell.ExchangeAbortedError)
        server.release.set()
        assert await tasks[1] == b"released"
        await b.close()
        assert server.client_ends() == []


@TLS
async def test_c16_so_does_closing_the_last_one_that_was_still_open(tls: bool) -> None:
    """`a` is closing and drains; closing `b`, at once, must leave the exchanges of `a` alone."""
    async with serving(tls=tls) as server:
        connector = trusting(tls)
        a, b = endwell.ClientSession(connector=connector), endwell.ClientSession(connector=connector)
        tasks = [asyncio.create_task(fetch(each, server.url("/slow"))) for each in (a, b)]
        await server.wait_in_flight(2)
        closing = asyncio.create_task(a.close())
        await passes(5)
        report = await b.close(close_timeout=0)
        assert len(report.aborted) == 1
        assert isinstance(await outcome(tasks[1]), endwell.ExchangeAbortedError)
        server.release.set()
        assert await tasks[0] == b"released"
        assert (await closing).clean
        assert connector.closed
        assert server.client_ends() == []


@TLS
async def test_c16_two_owners_that_close_at_the_same_time(tls: bool) -> None:
    async with serving(tls=tls) as server:
        connector = trusting(tls)
        sessions = [endwell.ClientSession(connector=connector) for _ in range(2)]
        tasks = [asyncio.create_task(fetch(each, server.url("/slow"))) for each in sessions]
        await server.wait_in_flight(2)
        closings = [asyncio.create_task(each.close()) for each in sessions]
        await passes(5)
        server.release.set()
        assert [await each for each in tasks] == [b"released"] * 2
        for each in closings:
            assert (await each).clean
        assert connector.closed
        assert server.client_ends() == []


@TLS
async def test_c16_a_session_that_does_not_own_its_connector_leaves_it_open(tls: bool) -> None:
    async with serving(tls=tls) as server, trusting(tls) as connector:
        async with endwell.ClientSession(connector=connector, connector_owner=False) as session:
            assert not session.connector_owner
            await fetch(session, server.url())
        assert not connector.closed
        assert len(server.client_ends()) == 1
        async with endwell.ClientSession(connector=connector, connector_owner=False) as session:
            await fetch(session, server.url())
        assert len(server.connections) == 1
    assert server.client_ends() == []


@TLS
async def test_c16_closing_a_session_that_does_not_own_its_connector_ends_its_exchanges(tls: bool) -> None:
    async with serving(tls=tls) as server, trusting(tls) as connector:
        session = endwell.ClientSession(connector=connector, connector_owner=False)
        task = asyncio.create_task(fetch(session, server.url("/slow")))
        await server.wait_in_flight(1)
        await session.close(close_timeout=0)
        assert isinstance(await outcome(task), endwell.ExchangeAbortedError)
        await passes()
        assert server.client_ends() == []
        assert not connector.closed


# A connector that is closed by hand


@TLS
async def test_c2_a_connector_drains_too(tls: bool) -> None:
    async with serving(tls=tls) as server:
        connector = trusting(tls)
        async with endwell.ClientSession(connector=connector, connector_owner=False) as session:
            task = asyncio.create_task(fetch(session, server.url("/slow")))
            await server.wait_in_flight(1)
            closing = connector.close()
            await passes(5)
            assert connector.closed
            server.release.set()
            report = await closing
            assert await task == b"released"
            assert report.clean
            assert report.finished == 1
            assert server.client_ends() == []
            assert report.duration < 5, "the end of the exchange wakes the closing"


@TLS
async def test_c2_a_connector_aborts_what_takes_too_long(tls: bool) -> None:
    async with serving(tls=tls) as server:
        connector = trusting(tls)
        connector._core.close_timeout = 0.05
        async with endwell.ClientSession(connector=connector, connector_owner=False) as session:
            task = asyncio.create_task(fetch(session, server.url("/slow")))
            await server.wait_in_flight(1)
            report = await connector.close()
            assert isinstance(await outcome(task), endwell.ExchangeAbortedError)
            assert (report.finished, len(report.aborted)) == (0, 1)
            assert server.client_ends() == []


@TLS
async def test_c6_a_closed_connector_opens_nothing(tls: bool) -> None:
    async with serving(tls=tls) as server:
        connector = trusting(tls)
        async with endwell.ClientSession(connector=connector) as session:
            await fetch(session, server.url())
            await connector.close()
            assert server.client_ends() == []
            with pytest.raises((endwell.ClientConnectionError, RuntimeError), match="losed"):
                await fetch(session, server.url())
            assert server.client_ends() == []
        assert server.client_ends() == []


@TLS
async def test_c6_a_connector_that_is_closing_takes_no_requests_of_strangers(tls: bool) -> None:
    async with serving(tls=tls) as server:
        connector = trusting(tls)
        async with endwell.ClientSession(connector=connector) as session:
            task = asyncio.create_task(fetch(session, server.url("/slow")))
            await server.wait_in_flight(1)
            closing = connector.close()
            await passes(5)
            with pytest.raises((endwell.ClientConnectionError, RuntimeError), match="losed"):
                await fetch(session, server.url())
            server.release.set()
            assert await task == b"released"
            assert (await closing).clean


@TLS
async def test_c6_a_session_waits_for_the_closing_of_its_connector(tls: bool) -> None:
    async with serving(tls=tls) as server:
        connector = trusting(tls)
        session = endwell.ClientSession(connector=connector)
        other = endwell.ClientSession(connector=connector, connector_owner=False)
        task = asyncio.create_task(fetch(other, server.url("/slow")))
        await server.wait_in_flight(1)
        connector.close()
        await passes(5)
        closing = asyncio.create_task(session.close())
        await passes(5)
        server.release.set()
        await closing
        assert server.client_ends() == []
        assert await task == b"released"
        await other.close()


@TLS
async def test_c1_connector_and_session_may_be_closed_at_the_same_time(tls: bool) -> None:
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls))
        task = asyncio.create_task(fetch(session, server.url("/slow")))
        await server.wait_in_flight(1)
        first = session.connector.close()
        second = asyncio.create_task(session.close())
        third = session.connector.close()
        await passes(5)
        server.release.set()
        for each in (first, second, third):
            await each
        assert await task == b"released"
        assert server.client_ends() == []


@TLS
async def test_c1_the_closing_of_a_connector_goes_on_when_nobody_awaits_it(tls: bool) -> None:
    async with serving(tls=tls) as server:
        connector = trusting(tls)
        session = endwell.ClientSession(connector=connector, connector_owner=False)
        await fetch(session, server.url())
        connector.close()
        await until(lambda: connector._core.report is not None)
        assert server.client_ends() == []
        await session.close()


# detach()


@TLS
async def test_detach_leaves_the_connector_to_its_new_owner(tls: bool) -> None:
    async with serving(tls=tls) as server:
        connector = trusting(tls)
        session = endwell.ClientSession(connector=connector)
        await fetch(session, server.url())
        session.detach()
        assert session.closed
        assert session.connector is None
        with pytest.raises(RuntimeError, match="Session is closed"):
            await session.get(server.url())
        await session.close()
        assert not connector.closed
        async with endwell.ClientSession(connector=connector) as other:
            assert await fetch(other, server.url()) == b"hello"
        assert len(server.connections) == 1
        assert server.client_ends() == []


@TLS
async def test_detach_leaves_exchanges_and_their_deadlines_alone(tls: bool) -> None:
    async with serving(tls=tls) as server, trusting(tls) as connector:
        session = endwell.ClientSession(connector=connector)
        timeout = endwell.ClientTimeout(total=0.1)
        late = asyncio.create_task(fetch(session, server.url("/slow"), timeout=timeout))
        good = asyncio.create_task(fetch(session, server.url("/slow")))
        await server.wait_in_flight(2)
        session.detach()
        assert isinstance(await outcome(late), TimeoutError)
        server.release.set()
        assert await good == b"released"


@TLS
async def test_c10_a_detached_connector_that_is_forgotten_is_closed_and_named(tls: bool) -> None:
    async with serving(tls=tls) as server:
        session: Any = endwell.ClientSession(connector=endwell.TCPConnector(ssl=client_context() if tls else True))
        await fetch(session, server.url())
        with resource_warnings() as texts:
            session.detach()
            del session
            gc.collect()
            await until(lambda: not endwell.open_resources())
        assert server.client_ends() == []
        assert len(texts) == 1
        assert "TCPConnector was never closed" in texts[0]
        assert __file__ in texts[0]
