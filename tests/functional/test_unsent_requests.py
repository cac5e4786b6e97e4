"""A connection that dies under a request whose head was still held back: nothing was sent, so it is no replay.

RFC 9110 section 9.2.2 forbids to repeat a POST by itself, but not to send one for the first time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import endwell
from tests.support.echo import EchoServer
from tests.support.peer import PeerConnection, Script, ScriptedPeer, answer_fine
from tests.support.tls import client_context, server_context

STRAY = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 5\r\nConnection: close\r\n\r\nstray"


def answer_once(over: asyncio.Event) -> Script:
    """Answer one request; whatever else happens to the connection, until the test is `over`, is the test's doing."""

    async def script(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.answer()
        await over.wait()

    return script


async def in_the_pass_of_the_next_read(loop_kind: str) -> None:
    """Have what follows run before the loop reads, and what it holds back go out after: asyncio reads last."""
    if loop_kind == "asyncio":
        await asyncio.sleep(0)


async def asked(session: endwell.ClientSession, url: str, method: str = "POST", **kwargs: Any) -> tuple[int, str]:
    async with session.request(method, url, **kwargs) as response:
        return response.status, await response.text()


async def pieces() -> AsyncIterator[bytes]:
    yield b"bo"
    yield b"dy"


@pytest.mark.parametrize("body", [b"", b"body"])
@pytest.mark.parametrize("how", ["fin", "reset", "stray bytes"])
async def test_a_post_goes_out_on_another_connection(how: str, body: bytes, loop_kind: str) -> None:
    over = asyncio.Event()
    async with ScriptedPeer(answer_once(over), answer_fine) as peer, endwell.ClientSession() as session:
        assert await asked(session, peer.url(), "GET") == (200, "fine")
        kept = peer.connections[0]
        if how == "fin":
            await kept.half_close()
        elif how == "reset":
            kept.reset()
        else:
            assert kept._raw.sock.send(STRAY) == len(STRAY)
        await in_the_pass_of_the_next_read(loop_kind)
        assert await asked(session, peer.url(), data=body or None) == (200, "fine")
        assert [len(conn.requests) for conn in peer.connections] == [1, 1]
        assert peer.requests[-1].body == body
        over.set()


async def test_the_same_over_tls(loop_kind: str) -> None:
    over = asyncio.Event()
    async with (
        ScriptedPeer(answer_once(over), answer_fine, tls=server_context()) as peer,
        endwell.ClientSession(connector=endwell.TCPConnector(ssl=client_context())) as session,
    ):
        assert await asked(session, peer.url(), "GET") == (200, "fine")
        kept: Any = peer.connections[0]
        kept._top.object.write(STRAY)
        assert kept._raw.sock.send(kept._top._outgoing.read())
        await in_the_pass_of_the_next_read(loop_kind)
        assert await asked(session, peer.url(), data=b"body") == (200, "fine")
        assert [len(conn.requests) for conn in peer.connections] == [1, 1]
        over.set()


async def test_a_body_that_can_be_sent_only_once_is_whole() -> None:
    """The connection is lost between its taking and the sending, while a trace config is told."""
    config = endwell.TraceConfig()

    async def lose(*_: Any) -> None:
        peer.connections[0].reset()
        (connection,) = session.connector._core.children
        await connection.gone()

    config.on_connection_reuseconn.append(lose)
    over = asyncio.Event()
    async with (
        ScriptedPeer(answer_once(over), answer_fine) as peer,
        endwell.ClientSession(trace_configs=[config]) as session,
    ):
        assert await asked(session, peer.url(), "GET") == (200, "fine")
        tracker = endwell.UploadTracker()
        assert await asked(session, peer.url(), data=pieces(), upload_tracker=tracker) == (200, "fine")
        assert peer.requests[-1].body == b"body"
        await tracker.upload_complete
        assert tracker.attempts == 1, "nothing was sent on the first connection"
        over.set()


async def test_not_for_ever(loop_kind: str) -> None:
    """A peer that closes each connection as soon as it is open is not asked again and again."""

    async def slams(conn: PeerConnection) -> None:
        conn.reset()

    over = asyncio.Event()
    async with ScriptedPeer(answer_once(over), slams) as peer, endwell.ClientSession() as session:
        assert await asked(session, peer.url(), "GET") == (200, "fine")
        peer.connections[0].reset()
        await in_the_pass_of_the_next_read(loop_kind)
        with pytest.raises(endwell.ClientConnectionError):
            await asked(session, peer.url(), data=b"body")
        assert len(peer.connections) == 2
        over.set()


@pytest.mark.parametrize("limit", [1, 0])
async def test_a_connection_whose_end_has_begun_is_not_handed_out(limit: int) -> None:
    """The loop knows already, and tells in its next pass only."""
    told: list[str] = []
    config = endwell.TraceConfig()

    async def reused(*_: Any) -> None:
        told.append("reused")

    config.on_connection_reuseconn.append(reused)
    async with (
        EchoServer() as server,
        endwell.ClientSession(connector=endwell.TCPConnector(limit=limit), trace_configs=[config]) as session,
    ):
        for method in ("GET", "POST"):
            assert (await asked(session, server.url("/echo"), method))[0] == 200
            assert session.connector is not None
            (connection,) = session.connector._core.pool.idle()
            connection.transport.abort()
        assert told == []
        assert len(server.connections) == 2
