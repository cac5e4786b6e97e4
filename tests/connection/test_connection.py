"""`ClientConnection` over a socket pair; its exchange and its pool are small ones of our own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from endwell.connection.body import BodyStream
from endwell.connection.http1 import ClientConnection
from endwell.lifetime import Resource
from endwell.wire.http1 import Limits, ProtocolError, TruncatedError


class Owner:
    """A pool that notes what it is told."""

    def __init__(self) -> None:
        self.lost_ones: list[Any] = []

    def lost(self, connection: Any) -> None:
        self.lost_ones.append(connection)


class Exchange:
    """An exchange that notes what it is told; it takes the body into a stream."""

    def __init__(self, method: str = "GET", *, watches_reads: bool = False) -> None:
        self.body: BodyStream | None = None
        self.method = method
        self.limits = Limits()
        self.read_until_eof = True
        self.watches_reads = watches_reads
        self.told: list[Any] = []
        self.error: BaseException | None = None
        self.connection: ClientConnection | None = None
        self.changed = asyncio.Event()

    def _tell(self, what: Any) -> None:
        self.told.append(what)
        self.changed.set()

    def on_continue(self) -> None:
        self._tell("continue")

    def on_head(self, head: Any, pieces: list[bytes], *, complete: bool) -> None:
        assert self.body is None
        self.body = BodyStream(asyncio.get_running_loop(), self.connection, 100)
        self.body.feed(pieces)
        self._tell(head.status)
        if complete:
            self.on_end()

    def on_end(self) -> None:
        assert self.body is not None
        self.body.end()
        self._tell("end")

    def fail(self, error: BaseException) -> None:
        assert self.error is None
        self.error = error
        self._tell("fail")

    async def until(self, what: Any) -> None:
        while what not in self.told:
            self.changed.clear()
            await self.changed.wait()


class Meeting:
    def __init__(self, connection: ClientConnection, owner: Owner, peer: socket.socket) -> None:
        self.connection = connection
        self.owner = owner
        self.peer = peer
        self.loop = asyncio.get_running_loop()

    async def begin(self, exchange: Exchange | None = None) -> Exchange:
        exchange = exchange or Exchange()
        exchange.connection = self.connection
        self.connection.start(exchange, b"request")
        assert await self.loop.sock_recv(self.peer, 100) == b"request"
        return exchange

    async def say(self, data: bytes) -> None:
        await self.loop.sock_sendall(self.peer, data)

    async def gone(self) -> None:
        gone = self.connection.gone()
        if gone is not None:
            await gone


@contextlib.asynccontextmanager
async def meeting() -> AsyncIterator[Meeting]:
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    owner = Owner()
    _, connection = await loop.create_connection(
        lambda: ClientConnection(Resource(None), owner, loop, "key", "peer:80"), sock=ours
    )
    met = Meeting(connection, owner, theirs)
    try:
        yield met
    finally:
        theirs.close()
        connection.discard()
        await met.gone()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"


async def test_an_exchange_is_told_head_body_and_end():
    async with meeting() as met:
        exchange = await met.begin()
        assert met.connection.describe() == "busy connection to peer:80"
        await met.say(OK)
        await exchange.until("end")
        assert exchange.told == [200, "end"]
        assert await exchange.body.read_all() == b"abc"
        assert met.connection.finished()
        assert met.connection.describe() == "idle connection to peer:80"
        assert met.owner.lost_ones == []


async def test_one_connection_serves_many_exchanges():
    async with meeting() as met:
        for number in range(1, 4):
            exchange = await met.begin()
            await met.say(OK[:30])
            await met.say(OK[30:])
            await exchange.until("end")
            assert exchange.told == [200, "end"]
            assert met.connection.finished()
            assert met.connection.uses == number


async def test_a_hundred_and_then_the_answer():
    async with meeting() as met:
        exchange = await met.begin(Exchange("POST"))
        await met.say(b"HTTP/1.1 100 Continue\r\n\r\n")
        await exchange.until("continue")
        await met.say(OK)
        await exchange.until("end")
        assert exchange.told == ["continue", 200, "end"]


@pytest.mark.parametrize(
    "answer",
    [
        OK.replace(b"200 OK", b"200 OK\r\nConnection: close"),
        OK.replace(b"HTTP/1.1", b"HTTP/1.0"),
        OK + b"more",
        OK[:-1],
    ],
)
async def test_a_connection_that_cannot_be_used_again(answer):
    async with meeting() as met:
        exchange = await met.begin()
        await met.say(answer)
        await exchange.until(200)
        if answer == OK + b"more":
            await exchange.until("end")
        assert not met.connection.finished()
        assert met.connection.exchange is None


async def test_bytes_on_an_idle_connection_never_become_an_answer():
    """RFC 9112 section 9.2."""
    async with meeting() as met:
        exchange = await met.begin()
        await met.say(OK)
        await exchange.until("end")
        assert met.connection.finished()
        await met.say(OK)
        await asyncio.wait_for(met.gone(), 10)
        assert met.connection in met.owner.lost_ones
        assert exchange.told == [200, "end"]


@pytest.mark.parametrize("what", [OK, b"not even HTTP"])
async def test_bytes_that_come_before_the_request_went_out_never_become_its_answer(what):
    """RFC 9112 section 9.2; the loop may read between the request and the end of the pass, when it is sent."""
    async with meeting() as met:
        exchange = await met.begin()
        await met.say(OK)
        await exchange.until("end")
        assert met.connection.finished()
        late = Exchange()
        met.connection.start(late, b"never sent")
        met.connection.data_received(what)
        assert late.told == ["fail"]
        assert isinstance(late.error, TruncatedError)
        assert met.connection.held
        met.connection.drop()
        await met.gone()
        assert await met.loop.sock_recv(met.peer, 100) == b""


async def test_a_connection_that_dies_before_the_request_went_out():
    async with meeting() as met:
        late = Exchange()
        met.connection.start(late, b"never sent")
        met.connection.transport.abort()
        await met.gone()
        assert late.told == ["fail"]
        assert met.connection.held
        assert await met.loop.sock_recv(met.peer, 100) == b""


async def test_a_write_that_the_transport_refuses_fails_the_exchange():
    async with meeting() as met:
        late = Exchange()
        met.connection.transport.write_eof()  # what is written after that is refused
        met.connection.start(late, b"request")
        await late.until("fail")
        assert isinstance(late.error, ConnectionResetError)
        assert isinstance(late.error.__cause__, RuntimeError)
        assert not met.connection.held, "nobody knows what the transport has done"
        met.connection.drop()


async def test_an_idle_connection_that_the_peer_closes_is_lost():
    async with meeting() as met:
        exchange = await met.begin()
        await met.say(OK)
        await exchange.until("end")
        assert met.connection.finished()
        met.peer.shutdown(socket.SHUT_WR)
        await asyncio.wait_for(met.gone(), 10)
        assert met.connection in met.owner.lost_ones


async def test_a_body_that_ends_with_the_connection():
    async with meeting() as met:
        exchange = await met.begin()
        await met.say(b"HTTP/1.1 200 OK\r\n\r\nabc")
        await exchange.until(200)
        met.peer.shutdown(socket.SHUT_WR)
        await exchange.until("end")
        assert await exchange.body.read_all() == b"abc"
        assert not met.connection.finished()


@pytest.mark.parametrize(
    ("answer", "phase"),
    [
        (b"", "start"),
        (b"HTTP/1.1 200", "head"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "head"),
        (OK[:-1], "body"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", "body"),
    ],
)
async def test_a_peer_that_goes_away_in_the_middle(answer, phase):
    async with meeting() as met:
        exchange = await met.begin()
        if answer:
            await met.say(answer)
        met.peer.shutdown(socket.SHUT_WR)
        await exchange.until("fail")
        assert isinstance(exchange.error, TruncatedError)
        assert exchange.error.phase == phase
        assert exchange.told.count("fail") == 1
        assert "end" not in exchange.told
        assert met.connection in met.owner.lost_ones


async def test_what_is_not_http_fails_the_exchange():
    async with meeting() as met:
        exchange = await met.begin()
        await met.say(b"SSH-2.0-x\r\n")
        await exchange.until("fail")
        assert isinstance(exchange.error, ProtocolError)
        assert not isinstance(exchange.error, TruncatedError)
        met.connection.drop()
        assert met.connection in met.owner.lost_ones
        await met.gone()
        assert exchange.told == ["fail"], "it is told once"


async def test_a_dropped_connection_tells_its_exchange_nothing():
    async with meeting() as met:
        exchange = await met.begin()
        await met.say(OK[:-1])
        await exchange.until(200)
        met.connection.drop()
        await met.gone()
        assert exchange.told == [200]


async def test_a_body_that_nobody_reads_stops_the_peer():
    async with meeting() as met:
        exchange = await met.begin()
        size = 4_000_000
        await met.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        await exchange.until(200)
        sending = met.loop.create_task(met.say(b"x" * size))
        for _ in range(50):
            await asyncio.sleep(0)
        assert not sending.done()
        assert exchange.body.size < size // 2
        got = 0
        while piece := await exchange.body.next():
            got += len(piece)
        await sending
        assert got == size
        assert met.connection.finished()


async def test_a_connection_left_paused_reads_for_the_next_exchange():
    async with meeting() as met:
        exchange = await met.begin()
        await met.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000)
        await exchange.until("end")
        assert met.connection.finished()  # nobody has read the body
        following = await met.begin()
        await met.say(OK)
        await following.until("end")
        assert await exchange.body.read_all() == b"x" * 1000


async def test_reads_are_noted_for_who_watches_them():
    async with meeting() as met:
        exchange = await met.begin(Exchange(watches_reads=True))
        assert met.connection.read_at > 0
        before = met.connection.read_at
        await met.say(OK)
        await exchange.until("end")
        assert met.connection.read_at >= before


async def test_pausing_a_closed_connection_is_nothing():
    async with meeting() as met:
        met.connection.discard()
        met.connection.pause_reading()
        met.connection.resume_reading()
        await met.gone()
        assert not met.connection.finished()
