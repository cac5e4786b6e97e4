"""The four time-outs, each against a peer that is silent in the phase it is for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import endwell
from endwell.client.errors import PoolTimeoutError
from tests.support.echo import EchoServer
from tests.support.peer import PeerConnection, ScriptedPeer, answer_fine, full_backlog, silence
from tests.support.tls import client_context

SHORT = 0.05


async def half_an_answer(conn: PeerConnection) -> None:
    """Send a head and half a body, then nothing."""
    await conn.read_request()
    await conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
    await conn.closed_by_client()


def timeout(**kwargs: float) -> endwell.ClientTimeout:
    return endwell.ClientTimeout(**kwargs)


# -- total


@pytest.mark.parametrize("where", ["session", "call"])
async def test_total_before_the_head(where: str) -> None:
    kwargs: Any = {"timeout": timeout(total=SHORT)}
    by_session, by_call = (kwargs, {}) if where == "session" else ({}, kwargs)
    async with ScriptedPeer(silence, answer_fine) as peer, endwell.ClientSession(**by_session) as session:
        with pytest.raises(TimeoutError) as caught:
            await session.get(peer.url(), **by_call)
        assert not isinstance(caught.value, endwell.ServerTimeoutError)
        async with session.get(peer.url(), timeout=timeout(total=30)) as response:
            assert await response.text() == "fine"
        assert await (await peer.connection()).closed_by_client_seen()


async def test_total_in_the_body() -> None:
    async with ScriptedPeer(half_an_answer, answer_fine) as peer, endwell.ClientSession() as session:
        async with session.get(peer.url(), timeout=timeout(total=SHORT)) as response:
            with pytest.raises(TimeoutError):
                await response.read()
        async with session.get(peer.url()) as response:
            assert await response.text() == "fine"


async def test_total_while_nobody_reads() -> None:
    """The deadline is kept though no task of the user awaits it; the connection is free then."""
    async with ScriptedPeer(half_an_answer, answer_fine) as peer:
        async with endwell.ClientSession(connector=endwell.TCPConnector(limit=1)) as session:
            response = await session.get(peer.url(), timeout=timeout(total=SHORT))
            async with session.get(peer.url()) as second:
                assert await second.text() == "fine"
            with pytest.raises(TimeoutError):
                await response.content.read(10)


async def test_total_over_redirects() -> None:
    async with ScriptedPeer(silence) as silent, EchoServer() as server, endwell.ClientSession() as session:
        with pytest.raises(TimeoutError):
            await session.get(server.url(f"/redirect/302?to={silent.url()}"), timeout=timeout(total=SHORT))


async def test_total_while_connecting() -> None:
    with full_backlog() as port:
        async with endwell.ClientSession() as session:
            with pytest.raises(TimeoutError) as caught:
                await session.get(f"http://127.0.0.1:{port}/", timeout=timeout(total=SHORT))
            assert not isinstance(caught.value, endwell.ServerTimeoutError)


async def test_total_in_the_queue() -> None:
    async with EchoServer() as server, endwell.ClientSession(connector=endwell.TCPConnector(limit=1)) as session:
        first = asyncio.ensure_future(session.get(server.url("/slow")))
        await server.wait_in_flight(1)
        with pytest.raises(TimeoutError):
            await session.get(server.url("/"), timeout=timeout(total=SHORT))
        server.release.set()
        async with await first as response:
            assert await response.text() == "released"


async def test_total_while_uploading() -> None:
    async def reads_nothing(conn: PeerConnection) -> None:
        await conn.read_head()
        await held.wait()

    held = asyncio.Event()
    async with ScriptedPeer(reads_nothing, answer_fine) as peer, endwell.ClientSession() as session:
        with pytest.raises(TimeoutError):
            await session.post(peer.url(), data=bytes(64 << 20), timeout=timeout(total=SHORT))
        held.set()


# -- connect and sock_connect


@pytest.mark.parametrize("which", ["connect", "sock_connect"])
async def test_a_peer_that_does_not_accept(which: str) -> None:
    with full_backlog() as port:
        async with endwell.ClientSession() as session:
            with pytest.raises(endwell.ConnectionTimeoutError) as caught:
                await session.get(f"http://127.0.0.1:{port}/", timeout=timeout(**{which: SHORT}))
        assert isinstance(caught.value, TimeoutError)
        assert isinstance(caught.value, endwell.ServerTimeoutError)
        assert f"127.0.0.1:{port}" in str(caught.value)


@pytest.mark.parametrize("which", ["connect", "sock_connect"])
async def test_a_peer_that_is_silent_in_the_handshake(which: str) -> None:
    async with ScriptedPeer(silence) as peer, endwell.ClientSession() as session:
        with pytest.raises(endwell.ConnectionTimeoutError):
            await session.get(peer.url(scheme="https"), ssl=client_context(), timeout=timeout(**{which: SHORT}))


async def test_connect_in_the_queue() -> None:
    async with EchoServer() as server, endwell.ClientSession(connector=endwell.TCPConnector(limit=1)) as session:
        first = asyncio.ensure_future(session.get(server.url("/slow")))
        await server.wait_in_flight(1)
        with pytest.raises(endwell.ConnectionTimeoutError) as caught:
            await session.get(server.url("/"), timeout=timeout(connect=SHORT))
        assert isinstance(caught.value, PoolTimeoutError)
        assert "/slow" in str(caught.value)
        assert __file__.rsplit("/", 1)[-1] in str(caught.value)
        server.release.set()
        async with await first as response:
            assert await response.text() == "released"


async def test_sock_connect_does_not_count_the_queue() -> None:
    async with EchoServer() as server, endwell.ClientSession(connector=endwell.TCPConnector(limit=1)) as session:
        first = asyncio.ensure_future(session.get(server.url("/slow")))
        await server.wait_in_flight(1)
        second = asyncio.ensure_future(session.get(server.url("/"), timeout=timeout(sock_connect=SHORT)))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(second), 2 * SHORT)
        server.release.set()
        async with await first as response:
            await response.read()
        async with await second as response:
            assert await response.text() == "hello"


async def test_a_connect_time_out_is_over_when_connected() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        request = asyncio.ensure_future(
            session.get(server.url("/slow"), timeout=timeout(connect=SHORT, sock_connect=SHORT))
        )
        await server.wait_in_flight(1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(request), 2 * SHORT)
        server.release.set()
        async with await request as response:
            assert await response.text() == "released"


async def test_connect_counts_from_the_wish_for_a_connection() -> None:
    """Not from the beginning of the call: a middleware, or a redirect, may have taken its time before."""

    async def slowly(request: Any, handler: Any) -> Any:
        await asyncio.sleep(2 * SHORT)
        return await handler(request)

    async with EchoServer() as server, endwell.ClientSession() as session:
        kwargs: Any = {"middlewares": [slowly], "timeout": timeout(connect=SHORT)}
        async with session.get(server.url("/redirect/302?to=/"), **kwargs) as response:
            assert await response.text() == "hello"


# -- sock_read


async def test_sock_read_before_the_head() -> None:
    async with ScriptedPeer(silence) as peer, endwell.ClientSession() as session:
        with pytest.raises(endwell.SocketTimeoutError) as caught:
            await session.get(peer.url(), timeout=timeout(sock_read=SHORT))
        assert isinstance(caught.value, (TimeoutError, endwell.ServerTimeoutError))


async def test_sock_read_in_the_body() -> None:
    async with ScriptedPeer(half_an_answer) as peer, endwell.ClientSession() as session:
        async with session.get(peer.url(), timeout=timeout(sock_read=SHORT)) as response:
            assert await response.content.readexactly(5) == b"12345"
            with pytest.raises(endwell.SocketTimeoutError):
                await response.content.readexactly(5)


async def test_sock_read_is_between_two_reads() -> None:
    """An answer that takes longer than the limit in all, but never that long at once."""

    async def slowly(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n")
        for _ in range(8):
            await asyncio.sleep(0.1)
            await conn.send(b"x")

    async with ScriptedPeer(slowly) as peer, endwell.ClientSession() as session:
        async with session.get(peer.url(), timeout=timeout(sock_read=0.5)) as response:
            assert await response.read() == b"x" * 8


async def test_sock_read_does_not_count_a_slow_reader() -> None:
    """What already came is not lost because the user took long to ask for it."""
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with session.get(server.url("/bytes/1000"), timeout=timeout(sock_read=SHORT)) as response:
            await asyncio.sleep(2 * SHORT)
            assert len(await response.read()) == 1000


async def test_sock_read_while_the_user_holds_the_peer_back() -> None:
    """Flow control stopped the peer: that is not the peer's silence."""
    async with EchoServer() as server, endwell.ClientSession(read_bufsize=4096) as session:
        async with session.get(server.url("/bytes/20000000"), timeout=timeout(sock_read=SHORT)) as response:
            assert len(await response.content.readexactly(1000)) == 1000
            await asyncio.sleep(3 * SHORT)
            assert len(await response.read()) == 20_000_000 - 1000


# -- arguments


async def test_no_time_out() -> None:
    async with EchoServer() as server, endwell.ClientSession(timeout=timeout()) as session:
        assert session.timeout.total is None
        async with session.get(server.url("/")) as response:
            assert response.status == 200
        async with session.get(server.url("/"), timeout=timeout(total=0, connect=0, sock_read=0)) as response:
            assert await response.text() == "hello"


async def test_a_number_warns() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        with pytest.warns(DeprecationWarning, match="ClientTimeout") as caught:
            response = await session.get(server.url("/"), timeout=5)
        assert await response.text() == "hello"
        assert caught[0].filename == __file__


async def test_none_is_no_time_out() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with session.get(server.url("/"), timeout=None) as response:
            assert await response.text() == "hello"


async def test_a_session_wants_a_client_timeout() -> None:
    with pytest.raises(ValueError, match="ClientTimeout"):
        endwell.ClientSession(timeout=5)
