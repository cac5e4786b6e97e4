"""The closing contract of a client's WebSockets: with a peer that answers, that is silent, and that is gone."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

import endwell
from endwell import WSMsgType
from endwell.connection import websocket
from tests.support.closing import client_sockets, line, outcome, passes, resource_warnings, until
from tests.support.closing_websockets import EACH, Host, briefly, host
from tests.support.contract import cancelled_at
from tests.support.websockets import TEXT, TLS, frame, pair, trusting

SHORT = endwell.ClientWSTimeout(ws_close=0.05)


def left(there: Host) -> list[str]:
    """Give the client's sockets."""
    return client_sockets(there.peer.port)


async def opened(there: Host, session: endwell.ClientSession, **kwargs: Any) -> endwell.ClientWebSocketResponse:
    ws = await session.ws_connect(there.url, **{"timeout": SHORT} | kwargs)
    await until(lambda: there.open)
    return ws


# close()


@TLS
@EACH
async def test_closed_twice(manners: str, tls: bool) -> None:
    """The second caller waits for the first one's closing."""
    async with host(manners, tls=tls) as there, endwell.ClientSession(connector=trusting()) as session:
        ws = await opened(there, session)
        if manners == "gone":
            there.leaving.set()
        assert sorted(await asyncio.gather(ws.close(), ws.close())) in ([False, True], [False, False])
        assert left(there) == []
        assert not await ws.close()
        assert ws.closed
        assert ws.close_code == (1000 if manners == "answers" else 1006)
        assert (await ws.receive()).type is WSMsgType.CLOSED
    assert there.codes == ([] if manners == "gone" else [1000])


@TLS
@EACH
async def test_closed_while_busy(manners: str, tls: bool) -> None:
    """One task receives, one sends more than the peer takes."""
    async with host(manners, tls=tls) as there, endwell.ClientSession(connector=trusting()) as session:
        ws = await opened(there, session)

        async def send() -> None:
            while True:
                await ws.send_bytes(bytes(100_000))

        receiving = asyncio.ensure_future(ws.receive())
        sending = asyncio.ensure_future(send())
        await passes(10)
        if manners == "gone":
            there.leaving.set()
        await ws.close()
        assert left(there) == []
        assert (await receiving).type in (WSMsgType.CLOSING, WSMsgType.CLOSED)
        assert isinstance(await outcome(sending), endwell.ClientConnectionResetError)


@TLS
@EACH
async def test_close_cancelled_at_every_await(manners: str, tls: bool) -> None:
    for number in range(20):
        async with host(manners, tls=tls) as there, endwell.ClientSession(connector=trusting()) as session:
            ws = await opened(there, session)
            if manners == "gone":
                there.leaving.set()
            driven = cancelled_at(ws.close(), number)

            async def closing(driven: cancelled_at = driven) -> None:
                await driven

            task = asyncio.create_task(closing())
            await asyncio.wait([task])
            assert task.cancelled() == driven.reached
            await passes(5)
            assert left(there) == [], "a cancelled close leaves nothing (C7)"
            assert ws.closed
            await ws.close()
            with pytest.raises(endwell.ClientConnectionResetError):
                await ws.send_str("x")
        if not driven.reached:
            return
    pytest.fail("the closing never came to its end")


async def test_the_time_limit_of_a_close() -> None:
    async with host("silent", tls=False) as there, endwell.ClientSession() as session:
        ws = await opened(there, session, timeout=endwell.ClientWSTimeout(ws_close=0.01))
        assert await ws.close()
        assert ws.close_code == 1006
        assert isinstance(ws.exception(), TimeoutError)
        assert left(there) == []


@TLS
async def test_a_server_that_answers_and_does_not_close(tls: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 6455 section 7.1.1: a client waits a reasonable time for the server to close, then closes itself."""
    from tests.support.peer import PeerConnection, ScriptedPeer
    from tests.support.tls import server_context
    from tests.support.websockets import CLOSE, read_frame, switching

    monkeypatch.setattr(websocket, "_FOLLOWS", 0.02)
    ends: list[str] = []

    async def script(conn: PeerConnection) -> None:
        request = await conn.read_request()
        await conn.send(switching(request.get("Sec-WebSocket-Key")))
        each = await read_frame(conn.read_exactly)
        await conn.send(frame(CLOSE, each.payload))
        ends.append(await conn.closed_by_client())

    async with ScriptedPeer(script, tls=server_context() if tls else None) as peer:
        async with endwell.ClientSession(connector=trusting()) as session:
            ws = await session.ws_connect(peer.url("/", host="localhost"))
            assert await ws.close()
            assert ws.close_code == 1000
            assert client_sockets(peer.port) == []
        await peer.finished()
    assert len(ends) == 1


# session.close()


@TLS
@EACH
@pytest.mark.parametrize("how", ["close", "async with", "exception"])
async def test_a_session_closes_its_websockets_with_1001(
    how: str, manners: str, tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once: what waits for requests to finish does not wait for WebSockets."""
    briefly(monkeypatch)
    async with host(manners, tls=tls) as there:
        session = endwell.ClientSession(connector=trusting(), close_timeout=None)
        sockets = [await session.ws_connect(there.url) for _ in range(3)]
        await until(lambda: there.open == 3)
        receiving = asyncio.ensure_future(sockets[0].receive())
        await passes()
        if manners == "gone":
            there.leaving.set()
        if how == "close":
            report = await session.close()
        elif how == "async with":
            async with session:
                pass
            report = await session.close()
        else:
            with pytest.raises(LookupError):
                async with session:
                    raise LookupError
            report = await session.close()
        assert left(there) == []
        assert endwell.open_resources() == []
        assert (await receiving).type in (WSMsgType.CLOSING, WSMsgType.CLOSED)
        for ws in sockets:
            assert (await ws.receive()).type in (WSMsgType.CLOSING, WSMsgType.CLOSED)
            assert ws.closed
            with pytest.raises(endwell.ClientConnectionResetError):
                await ws.send_str("x")
            if manners == "answers" and how != "exception":
                assert ws.close_code == 1001
            elif manners != "answers":
                assert ws.close_code == 1006
        if manners != "gone":
            assert there.codes == [1001] * 3
        if how != "exception":
            assert "WebSocket" in str(report) or report.clean


async def test_both_ends_learn_1001_from_a_session() -> None:
    async with pair() as both:
        receiving = asyncio.ensure_future(both.server.receive())
        await both.session.close()
        assert await receiving == (WSMsgType.CLOSE, 1001, "")
        assert both.client.close_code == both.server.close_code == 1001


async def test_the_report_names_what_did_not_end() -> None:
    """C12: a silent peer; the WebSocket was aborted, and the report says which."""
    async with host("silent", tls=False) as there:
        session = endwell.ClientSession(close_timeout=0.05)
        where = line(+1)
        ws = await session.ws_connect(there.url + "?token=secret")
        await until(lambda: there.open)
        report = await session.close()
        assert ws.close_code == 1006
        assert report.duration < 2, "the session's time-out holds for its WebSockets"
        text = str(report)
        assert not report.clean
        assert f"WebSocket to {there.url}" in text
        assert where in text
        assert "secret" not in text


@EACH
async def test_close_timeout_0_waits_for_nobody(manners: str) -> None:
    async with host(manners, tls=False) as there:
        session = endwell.ClientSession()
        ws = await opened(there, session)
        await session.close(close_timeout=0)
        await passes(3)
        assert left(there) == []
        assert (await ws.receive()).type in (WSMsgType.CLOSING, WSMsgType.CLOSED)


@TLS
@EACH
async def test_a_session_close_cancelled_at_every_await(
    manners: str, tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    briefly(monkeypatch)
    for number in range(40):
        async with host(manners, tls=tls) as there:
            session = endwell.ClientSession(connector=trusting(), close_timeout=0.1)
            ws = await opened(there, session)
            if manners == "gone":
                there.leaving.set()
            driven = cancelled_at(_whole(session), number)

            async def closing(driven: cancelled_at = driven) -> None:
                await driven

            task = asyncio.create_task(closing())
            await asyncio.wait([task])
            assert task.cancelled() == driven.reached
            await passes(5)
            assert left(there) == []
            assert ws.close_code is not None
            await session.close()
        if not driven.reached:
            return
    pytest.fail("the closing never came to its end")


async def _whole(session: endwell.ClientSession) -> None:
    await session.close()


async def test_a_request_in_flight_is_waited_for_while_websockets_go(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.support.closing import fetch, serving

    async with host("answers", tls=False) as there, serving() as server:
        session = endwell.ClientSession()
        ws = await opened(there, session)
        task = asyncio.create_task(fetch(session, server.url("/slow")))
        await server.wait_in_flight(1)
        closing = asyncio.ensure_future(session.close())
        await until(lambda: there.codes)
        assert there.codes == [1001]
        assert not task.done()
        server.release.set()
        assert await task == b"released"
        assert (await closing).clean
        assert ws.close_code == 1001


async def test_no_websocket_is_opened_by_a_closed_session() -> None:
    async with host("answers", tls=False) as there:
        session = endwell.ClientSession()
        await session.close()
        with pytest.raises(RuntimeError, match="Session is closed"):
            await session.ws_connect(there.url)


async def test_a_session_that_closes_while_a_websocket_is_opened() -> None:
    """C2 lets the handshake finish; the WebSocket is closed with 1001 then."""
    from tests.support.peer import PeerConnection, ScriptedPeer
    from tests.support.websockets import CLOSE, read_frame, switching

    go = asyncio.Event()
    codes: list[int | None] = []

    async def script(conn: PeerConnection) -> None:
        request = await conn.read_request()
        await go.wait()
        await conn.send(switching(request.get("Sec-WebSocket-Key")))
        each = await read_frame(conn.read_exactly)
        codes.append(each.code)
        await conn.send(frame(CLOSE, each.payload))

    async with ScriptedPeer(script) as peer:
        session = endwell.ClientSession()
        connecting = asyncio.ensure_future(session.ws_connect(peer.url()))
        await (await peer.connection()).started.wait()
        closing = asyncio.ensure_future(session.close())
        await passes(5)
        go.set()
        ws = await outcome(connecting)
        await closing
        if isinstance(ws, endwell.ClientWebSocketResponse):
            assert ws.close_code == 1001
            assert codes == [1001]
        else:
            assert isinstance(ws, (endwell.ClientError, RuntimeError))
        assert client_sockets(peer.port) == []
        assert endwell.open_resources() == []


# The pool


async def test_a_websocket_holds_a_place_of_the_pool_while_it_is_open() -> None:
    async with host("answers", tls=False) as there:
        async with endwell.ClientSession(connector=endwell.TCPConnector(limit=1)) as session:
            ws = await opened(there, session)
            with pytest.raises(endwell.ServerTimeoutError) as caught:
                await session.get(there.url, timeout=endwell.ClientTimeout(connect=0.02))
            assert "WebSocket" in str(caught.value)
            waiting = asyncio.ensure_future(session.get(there.url))
            await passes(5)
            assert not waiting.done()
            await ws.close()
            async with await waiting as response:
                assert response.status == 200


@pytest.mark.parametrize("end", ["close", "peer closes", "peer is gone", "protocol error", "forgotten", "refused"])
async def test_the_place_is_given_back_however_it_ends(end: str) -> None:
    greeting = {"peer closes": frame(8, b"\x03\xe8"), "protocol error": b"\x83\x00"}.get(end, b"")
    async with host("gone" if end == "peer is gone" else "answers", tls=False, greeting=greeting) as there:
        async with endwell.ClientSession(connector=endwell.TCPConnector(limit=1)) as session:
            if end == "refused":
                with pytest.raises(ValueError):
                    await session.ws_connect(there.url, protocols=["bad one"])
            else:
                ws: Any = await session.ws_connect(there.url, timeout=SHORT)
                there.leaving.set()
                if end == "close":
                    await ws.close()
                elif end == "forgotten":
                    with resource_warnings():
                        del ws
                        gc.collect()
                        await until(lambda: there.codes)
                else:
                    await ws.receive()
            there.manners = "answers"
            async with session.get(there.url, timeout=endwell.ClientTimeout(connect=5)) as response:
                assert response.status == 200


async def test_a_websocket_is_never_a_connection_of_the_pool_again() -> None:
    async with host("answers", tls=False) as there, endwell.ClientSession() as session:
        for _ in range(3):
            async with session.ws_connect(there.url):
                pass
        assert len(there.peer.connections) == 3


# Whose they are


@TLS
async def test_a_session_that_shares_a_connector_closes_only_its_own(tls: bool) -> None:
    async with host("answers", tls=tls, greeting=frame(TEXT, b"hello")) as there:
        connector = trusting()
        a, b = endwell.ClientSession(connector=connector), endwell.ClientSession(connector=connector)
        mine, other = await a.ws_connect(there.url), await b.ws_connect(there.url)
        await a.close()
        assert (mine.close_code, other.closed) == (1001, False)
        assert await other.receive_str() == "hello"
        await other.send_str("still open")
        await b.close()
        assert other.close_code == 1001
        assert left(there) == []


@TLS
async def test_a_connector_that_is_not_the_sessions(tls: bool) -> None:
    async with host("answers", tls=tls) as there, trusting() as connector:
        async with endwell.ClientSession(connector=connector, connector_owner=False) as session:
            ws = await session.ws_connect(there.url)
        assert ws.close_code == 1001
        assert not connector.closed
        assert left(there) == []


async def test_a_connector_that_is_closed_under_a_websocket() -> None:
    async with host("answers", tls=False) as there:
        connector = endwell.TCPConnector()
        async with endwell.ClientSession(connector=connector, connector_owner=False) as session:
            ws = await session.ws_connect(there.url)
            await connector.close()
            assert left(there) == []
            assert (await ws.receive()).type in (WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.CLOSE)
            assert ws.close_code in (1001, 1006)


async def test_open_resources_show_it() -> None:
    async with host("answers", tls=False) as there, endwell.ClientSession() as session:
        where = line(+1)
        ws = await session.ws_connect(there.url + "?token=secret")
        text = "\n".join(map(str, endwell.open_resources()))
        assert f"WebSocket to {there.url}" in text
        assert where in text
        assert "secret" not in text
        await ws.close()
        await passes()
        assert "WebSocket" not in "\n".join(map(str, endwell.open_resources()))
