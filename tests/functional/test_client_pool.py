"""The pool over real sockets: reuse, limits, fairness, keep-alive, one silent retry, Unix sockets."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import Any

import pytest

import endwell
from tests.support.echo import EchoServer, Reply, Request
from tests.support.leaks import open_sockets
from tests.support.peer import PeerConnection, ScriptedPeer, answer_fine, unix_path


async def text(session: Any, url: str, method: str = "GET", **kwargs: Any) -> str:
    async with session.request(method, url, **kwargs) as response:
        return str(await response.text())


# -- reuse


async def test_one_connection_for_one_after_the_other() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        for _ in range(10):
            assert await text(session, server.url("/")) == "hello"
        assert len(server.connections) == 1


async def test_arguments_of_aiohttp_that_change_nothing() -> None:
    given = {"enable_cleanup_closed": True, "timeout_ceil_threshold": 1}
    async with EchoServer() as server, endwell.ClientSession(connector=endwell.TCPConnector(**given)) as session:
        for _ in range(2):
            assert await text(session, server.url("/")) == "hello"
        assert len(server.connections) == 1


async def test_no_more_connections_than_were_needed_at_once() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        for _ in range(3):
            first = [asyncio.ensure_future(text(session, server.url("/slow"))) for _ in range(5)]
            await server.wait_in_flight(5)
            server.release.set()
            assert await asyncio.gather(*first) == ["released"] * 5
            server.release.clear()
        assert len(server.connections) == 5


@pytest.mark.parametrize("path", ["/close", "/early"])
async def test_a_peer_that_closes(path: str) -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        await text(session, server.url(path))
        await text(session, server.url("/"))
        assert len(server.connections) == 2


async def test_a_peer_of_http10() -> None:
    async def old(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.send(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold")
        await conn.closed_by_client()

    async def old_but_keeps(conn: PeerConnection) -> None:
        for _ in range(2):
            await conn.read_request()
            await conn.send(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: Keep-Alive\r\n\r\nold")

    async with ScriptedPeer(old, old_but_keeps) as peer, endwell.ClientSession() as session:
        assert [await text(session, peer.url()) for _ in range(3)] == ["old"] * 3
        assert len(peer.connections) == 2


async def test_a_connection_that_the_user_asked_to_close() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        for _ in range(2):
            await text(session, server.url("/"), headers={"Connection": "close"})
        assert len(server.connections) == 2


async def test_force_close() -> None:
    connector = endwell.TCPConnector(force_close=True)
    async with EchoServer() as server, endwell.ClientSession(connector=connector) as session:
        assert connector.force_close
        for _ in range(2):
            await text(session, server.url("/"))
        assert [request.get("Connection") for request in server.requests] == ["close", "close"]
        assert len(server.connections) == 2


async def test_keepalive_timeout() -> None:
    connector = endwell.TCPConnector(keepalive_timeout=0.05)
    async with EchoServer() as server, endwell.ClientSession(connector=connector) as session:
        await text(session, server.url("/"))
        while server.connections[0].ended is None:
            await asyncio.sleep(0.01)
        assert server.connections[0].ended == "fin"
        await text(session, server.url("/"))
        assert len(server.connections) == 2


async def test_keepalive_timeout_of_nothing() -> None:
    connector = endwell.TCPConnector(keepalive_timeout=0)
    async with EchoServer() as server, endwell.ClientSession(connector=connector) as session:
        for _ in range(2):
            await text(session, server.url("/"))
        assert len(server.connections) == 2


async def test_keepalive_timeout_none_keeps() -> None:
    connector = endwell.TCPConnector(keepalive_timeout=None)
    async with EchoServer() as server, endwell.ClientSession(connector=connector) as session:
        for _ in range(2):
            await text(session, server.url("/"))
        assert len(server.connections) == 1


async def test_force_close_with_a_keepalive_timeout() -> None:
    with pytest.raises(ValueError, match="force_close"):
        endwell.TCPConnector(force_close=True, keepalive_timeout=5)


async def test_tls_and_plain_are_different_peers() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        await text(session, server.url("/", "localhost"))
        await text(session, server.url("/", "127.0.0.1"))
        assert len(server.connections) == 2


# -- a connection that was kept and has died


async def one_answer(conn: PeerConnection) -> None:
    """Answer once, and end the connection when the next request has come: the race that every pool loses."""
    await conn.read_request()
    await conn.answer()
    await conn.read_request()


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"])
async def test_an_idempotent_request_is_tried_once_more(method: str) -> None:
    async with ScriptedPeer(one_answer, answer_fine) as peer, endwell.ClientSession() as session:
        await text(session, peer.url())
        kwargs: Any = {"data": b"body"} if method == "PUT" else {}
        async with session.request(method, peer.url(), **kwargs) as response:
            assert response.status == 200
        assert [len(conn.requests) for conn in peer.connections] == [2, 1]
        assert peer.requests[-1].body == kwargs.get("data", b"")


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_another_request_is_not(method: str) -> None:
    async with ScriptedPeer(one_answer, answer_fine) as peer, endwell.ClientSession() as session:
        await text(session, peer.url())
        with pytest.raises(endwell.ServerDisconnectedError):
            await session.request(method, peer.url(), data=b"body")
        assert len(peer.connections) == 1


async def test_once_more_and_no_oftener() -> None:
    async with ScriptedPeer(one_answer, one_answer, answer_fine) as peer, endwell.ClientSession() as session:
        both = [asyncio.ensure_future(text(session, peer.url())) for _ in range(2)]
        await asyncio.gather(*both)
        assert len(peer.connections) == 2
        await text(session, peer.url())
        assert len(peer.connections) == 3
        assert [len(conn.requests) for conn in peer.connections][2] == 1


async def test_a_new_connection_that_fails_is_not_tried_again() -> None:
    async def script(conn: PeerConnection) -> None:
        await conn.read_request()

    async with ScriptedPeer(script) as peer, endwell.ClientSession() as session:
        with pytest.raises(endwell.ServerDisconnectedError):
            await session.get(peer.url())
        assert len(peer.connections) == 1


async def test_a_body_that_cannot_be_sent_again_is_not_tried_again() -> None:
    async def body() -> Any:
        yield b"once"

    async with ScriptedPeer(one_answer, answer_fine) as peer, endwell.ClientSession() as session:
        await text(session, peer.url())
        with pytest.raises(endwell.ServerDisconnectedError):
            await session.put(peer.url(), data=body())
        assert len(peer.connections) == 1


async def test_a_file_is_tried_once_more(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"file")
    async with ScriptedPeer(one_answer, answer_fine) as peer, endwell.ClientSession() as session:
        await text(session, peer.url())
        with (tmp_path / "f").open("rb") as file:
            assert await text(session, peer.url(), "PUT", data=file) == "fine"
        assert peer.requests[-1].body == b"file"


async def test_a_connection_that_died_while_idle_is_not_used() -> None:
    async def leaves(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.answer()

    async with ScriptedPeer(leaves, answer_fine) as peer, endwell.ClientSession() as session:
        await text(session, peer.url())
        await peer.finished()
        for _ in range(5):
            await asyncio.sleep(0)
        assert await text(session, peer.url(), "POST", data=b"x") == "fine"
        assert len(peer.connections) == 2


# -- limits


@pytest.mark.parametrize(("kwargs", "expected"), [({"limit": 3}, 3), ({"limit_per_host": 2}, 2), ({"limit": 0}, 8)])
async def test_limits(kwargs: Any, expected: int) -> None:
    most = 0

    async def handler(request: Request) -> Reply:
        nonlocal most
        most = max(most, len(request.server.in_flight))
        await asyncio.sleep(0)
        return Reply("done")

    connector = endwell.TCPConnector(**kwargs)
    async with EchoServer({"/a": handler}) as server, endwell.ClientSession(connector=connector) as session:
        slow = [asyncio.ensure_future(text(session, server.url("/slow"))) for _ in range(8)]
        await server.wait_in_flight(expected)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(server.in_flight) == expected
        server.release.set()
        assert await asyncio.gather(*slow) == ["released"] * 8
        await asyncio.gather(*(text(session, server.url("/a")) for _ in range(30)))
        assert most <= (expected if expected < 8 else 30)
        if expected < 8:
            assert len(server.connections) == expected


async def test_limit_per_host_is_per_host() -> None:
    connector = endwell.TCPConnector(limit_per_host=1)
    async with EchoServer() as one, EchoServer() as other, endwell.ClientSession(connector=connector) as session:
        first = asyncio.ensure_future(text(session, one.url("/slow")))
        await one.wait_in_flight(1)
        assert await text(session, other.url("/")) == "hello"
        second = asyncio.ensure_future(text(session, one.url("/")))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not second.done()
        one.release.set()
        assert await first == "released"
        assert await second == "hello"
        assert (connector.limit, connector.limit_per_host) == (100, 1)


async def test_first_come_first_served() -> None:
    connector = endwell.TCPConnector(limit=1)
    async with EchoServer() as server, endwell.ClientSession(connector=connector) as session:
        first = asyncio.ensure_future(text(session, server.url("/slow")))
        await server.wait_in_flight(1)
        rest = []
        for number in range(20):
            rest.append(asyncio.ensure_future(text(session, server.url(f"/?n={number}"))))
            await asyncio.sleep(0)
        server.release.set()
        await asyncio.gather(first, *rest)
        assert [request.query.get("n") for request in server.requests[1:]] == [str(n) for n in range(20)]


async def test_a_newcomer_does_not_pass_the_queue() -> None:
    connector = endwell.TCPConnector(limit=1)
    async with EchoServer() as server, endwell.ClientSession(connector=connector) as session:
        first = asyncio.ensure_future(text(session, server.url("/slow")))
        await server.wait_in_flight(1)
        second = asyncio.ensure_future(text(session, server.url("/?n=second")))
        await asyncio.sleep(0)
        server.release.set()
        await first  # its slot is the second's now
        third = text(session, server.url("/?n=third"))
        await asyncio.gather(third, second)
        assert [request.query.get("n") for request in server.requests[1:]] == ["second", "third"]


async def test_who_waits_for_another_host_is_served_by_age() -> None:
    connector = endwell.TCPConnector(limit=1)
    order: list[str] = []

    async def get(session: Any, name: str, url: str) -> None:
        await text(session, url)
        order.append(name)

    async with EchoServer() as one, EchoServer() as other, endwell.ClientSession(connector=connector) as session:
        first = asyncio.ensure_future(get(session, "first", one.url("/slow")))
        await one.wait_in_flight(1)
        rest = []
        for number in range(6):
            server = other if number % 2 else one
            rest.append(asyncio.ensure_future(get(session, str(number), server.url("/"))))
            await asyncio.sleep(0)
        one.release.set()
        await asyncio.gather(first, *rest)
    assert order == ["first", "0", "1", "2", "3", "4", "5"]


async def test_a_waiter_that_was_cancelled_costs_no_slot() -> None:
    connector = endwell.TCPConnector(limit=1)
    async with EchoServer() as server, endwell.ClientSession(connector=connector) as session:
        first = asyncio.ensure_future(text(session, server.url("/slow")))
        await server.wait_in_flight(1)
        waiters = [asyncio.ensure_future(text(session, server.url("/"))) for _ in range(3)]
        await asyncio.sleep(0)
        waiters[0].cancel()
        server.release.set()
        waiters[1].cancel()
        await first
        assert await waiters[2] == "hello"
        assert all(waiter.cancelled() for waiter in waiters[:2])
        assert await text(session, server.url("/")) == "hello"


async def test_idle_connections_make_room_for_others() -> None:
    connector = endwell.TCPConnector(limit=2)
    async with EchoServer() as one, EchoServer() as other, endwell.ClientSession(connector=connector) as session:
        slow = [asyncio.ensure_future(text(session, one.url("/slow"))) for _ in range(2)]
        await one.wait_in_flight(2)
        one.release.set()
        await asyncio.gather(*slow)
        other.release.set()
        for _ in range(3):
            await asyncio.gather(*(text(session, other.url("/slow")) for _ in range(2)))
        open_now = [c for c in [*one.connections, *other.connections] if c.ended is None]
        assert len(open_now) <= 2


@pytest.mark.parametrize("value", [-1, None, "5"])
@pytest.mark.parametrize("name", ["limit", "limit_per_host"])
async def test_bad_limits(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        endwell.TCPConnector(**{name: value})


# -- connectors


async def test_connector_owner() -> None:
    async with EchoServer() as server, endwell.TCPConnector() as connector:
        async with endwell.ClientSession(connector=connector, connector_owner=False) as session:
            assert session.connector is connector
            await text(session, server.url("/"))
        assert not connector.closed
        async with endwell.ClientSession(connector=connector, connector_owner=True) as session:
            await text(session, server.url("/"))
        assert connector.closed
        assert len(server.connections) == 1


async def test_detach() -> None:
    async with EchoServer() as server:
        session = endwell.ClientSession()
        await text(session, server.url("/"))
        connector = session.connector
        assert connector is not None
        session.detach()
        assert session.closed
        assert session.connector is None
        async with endwell.ClientSession(connector=connector) as other:
            await text(other, server.url("/"))
        assert connector.closed
        assert len(server.connections) == 1


async def test_a_connector_of_another_loop() -> None:
    async def make() -> endwell.TCPConnector:
        connector = endwell.TCPConnector()
        await connector.close()
        return connector

    connector = await asyncio.to_thread(asyncio.run, make())
    with pytest.raises(RuntimeError, match="loop"):
        endwell.ClientSession(connector=connector)


async def test_connect_by_hand() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        taken: list[Any] = []

        async def middleware(request: Any, handler: Any) -> Any:
            connection = await session.connector.connect(request, [], endwell.ClientTimeout())  # type: ignore[union-attr]
            taken.append(connection.transport.get_extra_info("peername"))
            connection.release()
            assert connection.closed
            return await handler(request)

        async with session.get(server.url("/"), middlewares=[middleware]) as response:
            assert await response.text() == "hello"
        assert taken == [("127.0.0.1", server.port)]
        assert len(server.connections) == 1


async def test_closing_leaves_no_socket() -> None:
    async with EchoServer() as server:
        before = open_sockets()
        session = endwell.ClientSession()
        await asyncio.gather(*(text(session, server.url("/")) for _ in range(5)))
        await session.close()
        while any(connection.ended is None for connection in server.connections):
            await asyncio.sleep(0)
        assert open_sockets() - before == set()


# -- Unix sockets


async def test_a_unix_socket(tmp_path: Path) -> None:
    path = unix_path(tmp_path)
    connector = endwell.UnixConnector(path, limit=1)
    async with EchoServer(path=path) as server, endwell.ClientSession(connector=connector) as session:
        assert connector.path == path
        async with session.get("http://named.example/echo?a=1") as response:
            facts = await response.json()
        assert (facts["target"], dict(facts["headers"])["Host"]) == ("/echo?a=1", "named.example")
        async with session.post("http://named.example/echo", data=b"x" * 500_000) as response:
            assert len((await response.json())["body"]) == 500_000
        assert len(server.connections) == 1
    os.unlink(path)


async def test_the_scheme_unix(tmp_path: Path) -> None:
    path = unix_path(tmp_path)
    async with EchoServer(path=path), endwell.ClientSession(connector=endwell.UnixConnector(path)) as session:
        assert await text(session, "unix://named.example/") == "hello"


async def test_no_such_unix_socket(tmp_path: Path) -> None:
    path = unix_path(tmp_path)
    async with endwell.ClientSession(connector=endwell.UnixConnector(path)) as session:
        with pytest.raises(endwell.UnixClientConnectorError, match=path) as caught:
            await session.get("http://localhost/")
        assert isinstance(caught.value, endwell.ClientConnectorError)
        assert caught.value.path == path


# -- how connections are made


async def test_local_addr() -> None:
    connector = endwell.TCPConnector(local_addr=("127.0.0.2", 0))
    async with EchoServer() as server, endwell.ClientSession(connector=connector) as session:
        await text(session, server.url("/"))
        assert server.connections[0].transport.get_extra_info("peername")[0] == "127.0.0.2"


async def test_socket_factory() -> None:
    made: list[Any] = []

    def factory(info: Any) -> socket.socket:
        family, kind, proto, _, _ = info
        sock = socket.socket(family=family, type=kind, proto=proto)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        made.append(info[4][:2])
        return sock

    connector = endwell.TCPConnector(socket_factory=factory)
    async with EchoServer() as server, endwell.ClientSession(connector=connector) as session:
        async with session.get(server.url("/bytes/1000000")) as response:
            sock = response.connection.transport.get_extra_info("socket")  # type: ignore[union-attr]
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            await response.read()
        assert made == [("127.0.0.1", server.port)]


async def test_nobody_listens() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    async with endwell.ClientSession() as session:
        with pytest.raises(endwell.ClientConnectorError) as caught:
            await session.get(f"http://127.0.0.1:{port}/")
    error = caught.value
    assert (error.host, error.port, error.ssl) == ("127.0.0.1", port, True)
    assert isinstance(error.os_error, OSError)
    assert error.os_error.errno == error.errno
    assert isinstance(error, OSError)


async def test_no_delay_is_set() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with session.get(server.url("/bytes/1000000")) as response:
            sock = response.connection.transport.get_extra_info("socket")  # type: ignore[union-attr]
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
            await response.read()
