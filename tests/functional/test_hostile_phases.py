"""Refusal, resets and silence in every phase of an exchange, each with the error or the time-out that belongs to it."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import pytest

import endwell
from endwell.abc import AbstractResolver
from tests.support.hostile import Errors, fetch, goes_wrong, meeting, says
from tests.support.leaks import open_sockets
from tests.support.peer import (
    PeerConnection,
    Script,
    ScriptedPeer,
    answer_fine,
    answer_with,
    full_backlog,
    refused_port,
    silence,
    unix_path,
)
from tests.support.tls import client_context, server_context

TLS = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
SHORT = 0.15  # seconds: long enough to connect on loopback, short enough to wait for
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
LOST = (endwell.ServerDisconnectedError, endwell.ClientOSError)


async def test_a_refused_connection_names_the_peer() -> None:
    port = refused_port()
    async with endwell.ClientSession() as session:
        with pytest.raises(endwell.ClientConnectorError) as caught:
            await session.get(f"http://127.0.0.1:{port}/")
    says(caught.value, rf"127\.0\.0\.1.*{port}")
    assert (caught.value.host, caught.value.port) == ("127.0.0.1", port)
    assert isinstance(caught.value.os_error, ConnectionRefusedError)


async def test_a_unix_socket_nobody_listens_on_names_the_path(tmp_path: Any) -> None:
    path = unix_path(tmp_path)
    async with endwell.ClientSession(connector=endwell.UnixConnector(path)) as session:
        with pytest.raises(endwell.ClientConnectorError) as caught:
            await session.get("http://localhost/")
    says(caught.value, path)


class _Names:
    """A resolver whose answers the test decides."""

    def __init__(self, outcome: Any) -> None:
        self.outcome = outcome

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> Any:
        if self.outcome is None:
            await asyncio.Event().wait()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        keys = ("hostname", "host", "port", "family", "proto", "flags")
        return [dict(zip(keys, (host, a, port, socket.AF_INET, 0, 0), strict=True)) for a in self.outcome]

    async def close(self) -> None:
        pass


def _resolver(outcome: Any) -> Any:
    kind = type("Names", (_Names, AbstractResolver), {})
    return kind(outcome)


async def test_a_name_that_does_not_exist() -> None:
    connector = endwell.TCPConnector(resolver=_resolver(OSError(-2, "Name or service not known")))
    async with endwell.ClientSession(connector=connector) as session:
        with pytest.raises(endwell.ClientConnectorDNSError) as caught:
            await session.get("http://nowhere.example/")
    says(caught.value, "nowhere.example")


async def test_a_name_without_addresses() -> None:
    connector = endwell.TCPConnector(resolver=_resolver([]))
    async with endwell.ClientSession(connector=connector) as session:
        with pytest.raises(endwell.ClientConnectorError):
            await session.get("http://nowhere.example/")


async def test_an_address_that_refuses_is_no_obstacle_when_another_answers() -> None:
    async with ScriptedPeer(answer_fine) as peer:
        connector = endwell.TCPConnector(resolver=_resolver(["127.0.0.2", "127.0.0.1"]))
        async with endwell.ClientSession(connector=connector) as session:
            assert await fetch(session, peer.url(host="two.example")) == (200, b"fine")


LIMITS: dict[str, tuple[dict[str, float], type[BaseException]]] = {
    "sock_connect": ({"sock_connect": SHORT}, endwell.ConnectionTimeoutError),
    "connect": ({"connect": SHORT}, endwell.ConnectionTimeoutError),
    "total": ({"total": SHORT}, TimeoutError),
}


@pytest.mark.parametrize("limit", LIMITS)
async def test_silence_while_connecting(limit: str) -> None:
    options, error = LIMITS[limit]
    with full_backlog() as port:
        async with ScriptedPeer(answer_fine) as peer, endwell.ClientSession() as session:
            with pytest.raises(error) as caught:
                await session.get(f"http://127.0.0.1:{port}/", timeout=endwell.ClientTimeout(**options))
            says(caught.value, "127.0.0.1" if limit != "total" else "")
            assert await fetch(session, peer.url()) == (200, b"fine")


@pytest.mark.parametrize("limit", ["connect", "total"])
async def test_silence_of_the_name_server(limit: str) -> None:
    options, error = LIMITS[limit]
    connector = endwell.TCPConnector(resolver=_resolver(None))
    async with endwell.ClientSession(connector=connector) as session:
        with pytest.raises(error):
            await session.get("http://silent.example/", timeout=endwell.ClientTimeout(**options))


@pytest.mark.parametrize("limit", LIMITS)
async def test_silence_in_the_tls_handshake(limit: str) -> None:
    options, error = LIMITS[limit]
    before = open_sockets()
    async with ScriptedPeer(silence) as peer, endwell.ClientSession() as session:
        with pytest.raises(error):
            await session.get(peer.url(scheme="https"), timeout=endwell.ClientTimeout(**options))
        assert await (await peer.connection()).closed_by_client_seen() in ("fin", "rst")
    assert open_sockets() <= before


async def _garbage(conn: PeerConnection) -> None:
    await conn.read()
    await conn.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await silence(conn)


async def _fin(conn: PeerConnection) -> None:
    await conn.read()


async def _rst(conn: PeerConnection) -> None:
    await conn.read()
    conn.reset()


@pytest.mark.parametrize("script", [_garbage, _fin, _rst])
async def test_a_tls_handshake_that_fails(script: Script) -> None:
    async with ScriptedPeer(script) as peer, endwell.ClientSession() as session:
        with pytest.raises(endwell.ClientOSError) as caught:
            await session.get(peer.url(scheme="https"))
        says(caught.value, rf"{peer.port}|ssl|tls|reset|closed|lost|end")
        assert len(peer.connections) == 1, "a failed handshake is not tried again"


async def test_plain_http_to_a_tls_server() -> None:
    async with ScriptedPeer(answer_fine, tls=server_context()) as peer, endwell.ClientSession() as session:
        with pytest.raises(endwell.ClientError) as caught:
            await session.get(peer.url(scheme="http"))
        says(caught.value, r"\w")


async def _at_once_fin(conn: PeerConnection) -> None:
    await conn.half_close()
    await silence(conn)


async def _at_once_rst(conn: PeerConnection) -> None:
    conn.reset()


async def _read_then_rst(conn: PeerConnection) -> None:
    await conn.read_request()
    conn.reset()


async def _partial_head_then_rst(conn: PeerConnection) -> None:
    await conn.read_request()
    await conn.send(b"HTTP/1.1 200 OK\r\nConte")
    conn.reset()


async def _continue_then_fin(conn: PeerConnection) -> None:
    await conn.read_request()
    await conn.send(b"HTTP/1.1 100 Continue\r\n\r\n")


DROPS: dict[str, Script] = {
    "fin before the request": _at_once_fin,
    "rst before the request": _at_once_rst,
    "fin after the request": answer_with(),
    "rst after the request": _read_then_rst,
    "fin in the status line": answer_with(b"HTTP/1.1 2"),
    "fin in the fields": answer_with(b"HTTP/1.1 200 OK\r\nContent-Len"),
    "fin before the empty line": answer_with(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"),
    "rst in the head": _partial_head_then_rst,
    "fin after a continue": _continue_then_fin,
}


@TLS
@pytest.mark.parametrize("script", DROPS.values(), ids=DROPS)
async def test_a_connection_lost_before_the_head(script: Script, tls: bool) -> None:
    error = await goes_wrong(script, LOST, r"\w", tls=tls)
    if script is DROPS["fin after the request"]:
        assert isinstance(error, endwell.ServerDisconnectedError)
        says(error, "disconnect|closed|lost")


SILENCES: dict[str, tuple[bytes, ...]] = {
    "after the request": (),
    "in the status line": (b"HTTP/1.1 2",),
    "in the fields": (b"HTTP/1.1 200 OK\r\nContent-Len",),
    "after a continue": (b"HTTP/1.1 100 Continue\r\n\r\n",),
    "before the body": (HEAD,),
    "in the body": (HEAD, b"hello"),
    "in a chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",),
}


@TLS
@pytest.mark.parametrize("limit", ["sock_read", "total"])
@pytest.mark.parametrize("pieces", SILENCES.values(), ids=SILENCES)
async def test_silence_after_the_request(pieces: tuple[bytes, ...], limit: str, tls: bool) -> None:
    error: Errors = endwell.SocketTimeoutError if limit == "sock_read" else TimeoutError
    timeout = endwell.ClientTimeout(**{limit: SHORT})
    await goes_wrong(answer_with(*pieces, then=silence), error, "", tls=tls, timeout=timeout)


async def test_a_peer_that_never_reads_an_upload() -> None:
    async def script(conn: PeerConnection) -> None:
        await conn.read_head()
        await asyncio.Event().wait()

    async with meeting(script) as (peer, session):
        with pytest.raises(TimeoutError):
            await fetch(session, peer.url(), "POST", data=b"x" * 20_000_000, timeout=endwell.ClientTimeout(total=SHORT))
        assert await fetch(session, peer.url()) == (200, b"fine")


async def test_a_peer_that_drips_is_stopped_by_the_total_alone() -> None:
    async def script(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            await conn.send(b"x")
            await asyncio.sleep(0.01)

    timeout = endwell.ClientTimeout(total=SHORT, sock_read=5)
    async with meeting(script) as (peer, session):
        with pytest.raises(TimeoutError) as caught:
            await fetch(session, peer.url(), timeout=timeout)
        assert not isinstance(caught.value, endwell.SocketTimeoutError)
        assert await fetch(session, peer.url()) == (200, b"fine")


@TLS
@pytest.mark.parametrize("pieces", SILENCES.values(), ids=SILENCES)
async def test_cancelling_in_every_phase_frees_the_slot_and_the_connection(
    pieces: tuple[bytes, ...], tls: bool
) -> None:
    reached = asyncio.Event()

    async def script(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.send(*pieces)
        reached.set()
        await silence(conn)

    async with meeting(script, tls=tls) as (peer, session):
        task = asyncio.ensure_future(fetch(session, peer.url()))
        await reached.wait()
        waiting = asyncio.ensure_future(fetch(session, peer.url()))  # the pool holds one connection
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await waiting == (200, b"fine")
        assert await (await peer.connection()).closed_by_client_seen() in ("fin", "rst")


@pytest.mark.parametrize("phase", ["connect", "resolve", "handshake"])
async def test_cancelling_before_the_request(phase: str) -> None:
    before = open_sockets()
    with full_backlog() as port:
        async with ScriptedPeer(silence) as peer:
            connector = endwell.TCPConnector(limit=1, resolver=_resolver(None))
            async with endwell.ClientSession(connector=connector) as session:
                url = {
                    "connect": f"http://127.0.0.1:{port}/",
                    "resolve": "http://silent.example/",
                    "handshake": peer.url(scheme="https"),
                }[phase]
                task = asyncio.ensure_future(session.get(url))
                if phase == "handshake":
                    await peer.connection()
                for _ in range(10):
                    await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
    assert open_sockets() <= before


async def test_waiting_for_a_full_pool_times_out_and_says_who_holds_it() -> None:
    async with meeting(answer_with(HEAD, then=silence)) as (peer, session):
        async with session.get(peer.url("/holder")) as holder:
            with pytest.raises(endwell.PoolTimeoutError, match=r"/holder|test_hostile_phases"):
                await session.get(peer.url(), timeout=endwell.ClientTimeout(connect=SHORT))
            holder.close()
        assert await fetch(session, peer.url()) == (200, b"fine")


@pytest.mark.parametrize("own_task", [True, False], ids=["the-closing-task", "a-finished-task"])
async def test_closing_a_session_does_not_wait_for_a_rest_that_nobody_reads(own_task: bool) -> None:
    """A response was left with an unread rest and its peer has fallen silent: that holds up no `close()` (C5)."""
    async with ScriptedPeer(answer_with(HEAD, then=silence), answer_fine) as peer:
        async with endwell.ClientSession() as session:

            async def leave_unread() -> None:
                async with session.get(peer.url()):
                    pass

            await (leave_unread() if own_task else asyncio.ensure_future(leave_unread()))
            async with asyncio.timeout(2):  # it takes no time at all; this only stops a failing test
                await session.close()
        assert await (await peer.connection()).closed_by_client_seen() in ("fin", "rst")


async def test_a_deadline_that_passes_in_the_moment_the_connection_becomes_free() -> None:
    """The slot's owner ends and the waiter's time is up in one pass of the loop: the waiter times out, nobody hangs."""
    waiting = asyncio.Event()

    async def script(conn: PeerConnection) -> None:
        await conn.read_request()
        await waiting.wait()
        await conn.answer(b"first")
        time.sleep(0.1)  # blocks the loop on purpose: both are due when it goes on
        while True:
            if (await conn.read_request()).target != "/second":
                await conn.answer()

    async with meeting(script) as (peer, session):
        first = asyncio.ensure_future(fetch(session, peer.url()))
        await (await peer.connection()).started.wait()
        second = asyncio.ensure_future(fetch(session, peer.url("/second"), timeout=endwell.ClientTimeout(total=0.05)))
        for _ in range(5):
            await asyncio.sleep(0)
        waiting.set()
        assert await first == (200, b"first")
        done, _ = await asyncio.wait([second], timeout=2)
        assert done, "the second request hangs"
        with pytest.raises(TimeoutError):
            await second
        assert await fetch(session, peer.url()) == (200, b"fine")


@TLS
@pytest.mark.parametrize("passes", range(8))
async def test_a_connection_that_opens_in_the_moment_its_time_is_up(passes: int, tls: bool) -> None:
    """It is closed, and `close()` does not wait for an end that no transport will tell of (uvloop tells none)."""
    async with (
        ScriptedPeer(silence, tls=server_context() if tls else None) as peer,
        endwell.ClientSession(connector=endwell.TCPConnector(ssl=client_context())) as session,
    ):
        request = asyncio.ensure_future(session.get(peer.url(), timeout=endwell.ClientTimeout(total=0.02)))
        for _ in range(passes):
            await asyncio.sleep(0)
        time.sleep(0.04)  # blocks the loop on purpose: connection and deadline come in one pass
        with pytest.raises(TimeoutError):
            await request
        async with asyncio.timeout(2):  # it takes no time at all; this only stops a failing test
            await session.close()


async def test_a_deep_queue_is_served_after_failures() -> None:
    """Ten requests in line for one slot; every other peer hangs up: all end, and nobody is forgotten."""

    async def hang_up(conn: PeerConnection) -> None:
        await conn.read_request()

    async def once(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.answer(b"fine", "Connection: close")

    async with meeting(*[hang_up, once] * 5) as (peer, session):
        outcomes = await asyncio.gather(*(fetch(session, peer.url()) for _ in range(10)), return_exceptions=True)
        assert outcomes.count((200, b"fine")) == 5
        assert sum(isinstance(outcome, endwell.ServerDisconnectedError) for outcome in outcomes) == 5


async def test_tls_close_notify_in_the_middle_of_a_head_is_a_disconnection() -> None:
    async def script(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.send(b"HTTP/1.1 200")
        await conn.half_close()
        await silence(conn)

    async with ScriptedPeer(script, tls=server_context()) as peer, endwell.ClientSession() as session:
        with pytest.raises(LOST):
            await session.get(peer.url(), ssl=client_context())
