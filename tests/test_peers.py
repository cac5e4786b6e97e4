"""The peers of the tests themselves: what a script says happens on the wire, and what the client did is recorded."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from typing import Any

import pytest

from tests.support.peer import (
    PeerConnection,
    ScriptedPeer,
    answer_fine,
    answer_with,
    full_backlog,
    refused_port,
    silence,
    unix_path,
)
from tests.support.tls import client_context, server_context


class _Pieces(asyncio.Protocol):
    """Collects what each `data_received` got, and the error of the end."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.lost = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)

    def connection_lost(self, error: BaseException | None) -> None:
        self.lost.set_result(error)


async def _connect(peer: ScriptedPeer, **kwargs: Any) -> tuple[Any, _Pieces]:
    loop = asyncio.get_running_loop()
    return await loop.create_connection(_Pieces, "127.0.0.1", peer.port, **kwargs)


async def test_pieces_arrive_one_by_one() -> None:
    async with ScriptedPeer(answer_with(b"a", b"bc", b"d")) as peer:
        transport, protocol = await _connect(peer)
        transport.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await protocol.lost is None
    assert protocol.pieces == [b"a", b"bc", b"d"]


async def test_requests_are_recorded() -> None:
    async with ScriptedPeer(answer_fine) as peer:
        transport, protocol = await _connect(peer)
        transport.write(b"POST /a HTTP/1.1\r\nContent-Length: 2\r\nX: 1\r\nx:2\r\n\r\nhi")
        transport.write(b"PUT /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;e=1\r\nhi\r\n1\r\n!\r\n0\r\n\r\n")
        transport.write_eof()
        await protocol.lost
    first, second = peer.requests
    assert (first.method, first.target, first.get_all("X"), first.body) == ("POST", "/a", ["1", "2"], b"hi")
    assert (second.method, second.target, second.body) == ("PUT", "/b", b"hi!")
    assert b"".join(protocol.pieces).count(b"\r\n\r\nfine") == 2
    assert peer.connections[0].ended == "fin"


@pytest.mark.parametrize("ending", ["fin", "rst"])
async def test_how_the_client_ended_is_recorded(ending: str) -> None:
    async with ScriptedPeer(silence) as peer:
        sock = socket.create_connection(("127.0.0.1", peer.port))
        await peer.connection()
        if ending == "rst":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        await peer.finished()
    assert peer.connections[0].ended == ending


async def test_reset_reaches_the_client() -> None:
    async def script(conn: PeerConnection) -> None:
        conn.reset()

    async with ScriptedPeer(script) as peer:
        _, protocol = await _connect(peer)
        assert isinstance(await protocol.lost, ConnectionResetError)


async def test_an_assertion_in_a_script_fails_the_test() -> None:
    async def script(conn: PeerConnection) -> None:
        assert await conn.read_exactly(1) == b"x", "the script says no"

    async def meet() -> None:
        async with ScriptedPeer(script) as peer:
            transport, protocol = await _connect(peer)
            transport.write(b"y")
            await protocol.lost

    with pytest.raises(AssertionError, match="the script says no"):
        await meet()


@pytest.mark.parametrize("polite", [True, False])
async def test_tls_ends_with_or_without_close_notify(polite: bool) -> None:
    async def script(conn: PeerConnection) -> None:
        await conn.send(b"hello")
        if polite:
            await conn.half_close()
        else:
            conn.cut()

    async with ScriptedPeer(script, tls=server_context()) as peer:

        def talk() -> bytes:
            raw = socket.create_connection(("127.0.0.1", peer.port))
            with client_context().wrap_socket(raw, server_hostname="localhost", suppress_ragged_eofs=False) as sock:
                data = sock.recv(100)
                return data + sock.recv(100)

        if polite:
            assert await asyncio.to_thread(talk) == b"hello"
        else:
            with pytest.raises(ssl.SSLEOFError):
                await asyncio.to_thread(talk)


async def test_tls_inside_tls_and_the_clients_close_notify() -> None:
    async def script(conn: PeerConnection) -> None:
        assert await conn.read_exactly(5) == b"outer"
        await conn.start_tls(server_context())
        assert await conn.read_exactly(5) == b"inner"
        await conn.send(b"done")
        await conn.closed_by_client()

    def talk() -> None:
        raw = socket.create_connection(("127.0.0.1", peer.port))
        with client_context().wrap_socket(raw, server_hostname="localhost") as outer:
            outer.sendall(b"outer")
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            inner = client_context().wrap_bio(incoming, outgoing, server_hostname="localhost")

            def run(step: Any) -> Any:
                while True:
                    try:
                        return step()
                    except ssl.SSLWantReadError:
                        outer.sendall(outgoing.read())
                        incoming.write(outer.recv(65536))

            run(inner.do_handshake)
            inner.write(b"inner")
            outer.sendall(outgoing.read())
            assert run(lambda: inner.read(10)) == b"done"
            inner.write(b"")
            try:
                inner.unwrap()
            except ssl.SSLWantReadError:
                outer.sendall(outgoing.read())

    async with ScriptedPeer(script, tls=server_context()) as peer:
        await asyncio.to_thread(talk)
        await peer.finished()
    assert peer.connections[0].close_notify_seen


async def test_a_client_that_refuses_the_certificate_is_recorded() -> None:
    async with ScriptedPeer(answer_fine, tls=server_context()) as peer:
        with pytest.raises(ssl.SSLCertVerificationError):
            await _connect(peer, ssl=ssl.create_default_context(), server_hostname="localhost")
        await peer.finished()
    assert isinstance(peer.failed_handshakes[0], (ssl.SSLError, ConnectionError))
    assert peer.requests == []


async def test_unix_sockets(tmp_path: Any) -> None:
    path = unix_path(tmp_path)
    async with ScriptedPeer(answer_with(b"x"), path=path):
        transport, protocol = await asyncio.get_running_loop().create_unix_connection(_Pieces, path)
        transport.write(b"GET / HTTP/1.1\r\n\r\n")
        await protocol.lost
    assert protocol.pieces == [b"x"]


def test_a_full_backlog_never_answers_and_a_refused_port_always_does() -> None:
    with full_backlog() as port, socket.socket() as sock:
        sock.settimeout(0.05)
        with pytest.raises(TimeoutError):
            sock.connect(("127.0.0.1", port))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", refused_port()))
