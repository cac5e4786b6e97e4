"""Answers that come before the request is sent, and `Expect: 100-continue` (RFC 9110 section 10.1.1, RFC 9112 9.3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

import endwell
from tests.support.hostile import fetch, meeting, says
from tests.support.peer import PeerConnection, answer_fine, silence

TLS = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
BIG = 5_000_000


async def _generated(size: int = BIG) -> AsyncIterator[bytes]:
    for _ in range(0, size, 50_000):
        yield b"g" * 50_000


def _body(kind: str) -> object:
    return b"b" * BIG if kind == "bytes" else _generated()


KINDS = pytest.mark.parametrize("kind", ["bytes", "generator"])


@TLS
@KINDS
async def test_an_early_answer_that_closes_is_delivered_and_the_upload_given_up(kind: str, tls: bool) -> None:
    async def script(conn: PeerConnection) -> None:
        await conn.read_head()
        await conn.answer(b"too large", "Connection: close", status="413 Too Large")
        await silence(conn)

    async with meeting(script, tls=tls) as (peer, session):
        assert await fetch(session, peer.url(), "POST", data=_body(kind)) == (413, b"too large")
        assert await (await peer.connection()).closed_by_client_seen() in ("fin", "rst")
        assert await fetch(session, peer.url()) == (200, b"fine")


@TLS
@KINDS
async def test_an_early_answer_that_keeps_the_connection_gets_the_whole_upload(kind: str, tls: bool) -> None:
    """The peer goes on reading, so the rest is sent when the response is left (C8), and the connection is kept."""

    async def script(conn: PeerConnection) -> None:
        await conn.read_head()
        await conn.answer(b"early")
        rest = await conn.read_exactly(BIG) if kind == "bytes" else await conn.read_chunked()
        assert len(rest) == BIG
        await answer_fine(conn)

    async with meeting(script, tls=tls) as (peer, session):
        assert await fetch(session, peer.url(), "POST", data=_body(kind)) == (200, b"early")
        assert await fetch(session, peer.url()) == (200, b"fine")
        assert len(peer.connections) == 1


@KINDS
async def test_an_early_answer_and_then_a_reset(kind: str) -> None:
    """The answer was on the wire before the reset: either it is delivered, or the loss is told."""

    async def script(conn: PeerConnection) -> None:
        await conn.read_head()
        await conn.answer(b"no", "Connection: close", status="401 Unauthorized")
        conn.reset()

    async with meeting(script) as (peer, session):
        try:
            assert await fetch(session, peer.url(), "POST", data=_body(kind)) == (401, b"no")
        except (endwell.ClientOSError, endwell.ServerDisconnectedError, endwell.ClientPayloadError) as error:
            says(error, r"\w")
        assert await fetch(session, peer.url()) == (200, b"fine")


@TLS
@KINDS
async def test_a_reset_in_the_middle_of_an_upload(kind: str, tls: bool) -> None:
    async def script(conn: PeerConnection) -> None:
        await conn.read_head()
        conn.reset()

    async with meeting(script, tls=tls) as (peer, session):
        with pytest.raises((endwell.ClientOSError, endwell.ServerDisconnectedError)):
            await fetch(session, peer.url(), "POST", data=_body(kind))
        assert await fetch(session, peer.url()) == (200, b"fine")


async def test_an_upload_that_fails_by_itself_closes_the_connection_and_tells_why() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"some"
        raise LookupError("the source is gone")

    async def script(conn: PeerConnection) -> None:
        await conn.read_head()
        await silence(conn)

    async with meeting(script) as (peer, session):
        with pytest.raises((LookupError, endwell.ClientError)) as caught:
            await fetch(session, peer.url(), "POST", data=broken())
        causes = {type(caught.value), type(caught.value.__cause__), type(caught.value.__context__)}
        assert LookupError in causes
        assert await (await peer.connection()).closed_by_client_seen() in ("fin", "rst")
        # What was sent must not look whole: no last chunk.
        assert not peer.connections[0].received.endswith(b"0\r\n\r\n")
        assert await fetch(session, peer.url()) == (200, b"fine")


async def test_a_generator_is_closed_when_its_upload_is_given_up() -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 10_000
        finally:
            closed.set()

    async def script(conn: PeerConnection) -> None:
        await conn.read_head()
        await conn.answer(b"enough", "Connection: close", status="413 Too Large")
        await silence(conn)

    async with meeting(script) as (peer, session):
        assert await fetch(session, peer.url(), "POST", data=endless()) == (413, b"enough")
        await closed.wait()


async def test_a_tracker_tells_that_the_upload_was_cut() -> None:
    async def script(conn: PeerConnection) -> None:
        await conn.read_head()
        await conn.answer(b"no", "Connection: close", status="413 Too Large")
        await silence(conn)

    tracker = endwell.UploadTracker()
    async with meeting(script) as (peer, session):
        assert (await fetch(session, peer.url(), "POST", data=_generated(50_000_000), upload_tracker=tracker))[0] == 413
    with pytest.raises(endwell.UploadAbortedError):
        await tracker.upload_complete
    assert 0 <= tracker.bytes_written < 50_000_000


# -- Expect: 100-continue


async def test_expect_without_an_answer_goes_on_after_a_second() -> None:
    async def script(conn: PeerConnection) -> None:
        head = await conn.read_head()
        assert (head.get("Expect") or "").lower() == "100-continue"
        assert await conn.read_exactly(4) == b"body"
        await conn.answer(b"got it")
        await silence(conn)

    async with meeting(script) as (peer, session):
        assert await fetch(session, peer.url(), "POST", data=b"body", expect100=True) == (200, b"got it")


@pytest.mark.parametrize(
    "before", [b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", b"HTTP/1.1 102 Processing\r\n\r\n"]
)
async def test_expect_waits_for_100_and_for_nothing_else(before: bytes) -> None:
    async def script(conn: PeerConnection) -> None:
        await conn.read_head()
        await conn.send(before)
        assert conn.received.endswith(b"\r\n\r\n"), "the body was sent before it was asked for"
        await conn.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await conn.read_exactly(4) == b"body"
        await conn.answer(b"got it")
        await silence(conn)

    async with meeting(script) as (peer, session):
        assert await fetch(session, peer.url(), "POST", data=b"body", expect100=True) == (200, b"got it")


@pytest.mark.parametrize("status", ["417 Expectation Failed", "401 Unauthorized", "200 OK", "302 Found"])
async def test_expect_and_a_final_answer_sends_no_body_on(status: str) -> None:
    """The peer has decided without the body: it must not arrive where a next request is expected."""

    async def script(conn: PeerConnection) -> None:
        await conn.read_head()
        await conn.answer(b"decided", status=status)
        await silence(conn)

    async with meeting(script) as (peer, session):
        outcome = await fetch(session, peer.url(), "POST", data=b"evil" * 100, expect100=True, allow_redirects=False)
        assert outcome == (int(status[:3]), b"decided")
        assert await fetch(session, peer.url()) == (200, b"fine")
        received = bytes(peer.connections[0].received)
        assert b"evil" not in received or received.endswith(b"evil" * 100)
        assert len(peer.connections) == 2 or b"evil" in received


async def test_expect_and_then_nothing_but_the_end() -> None:
    async def script(conn: PeerConnection) -> None:
        await conn.read_head()

    async with meeting(script) as (peer, session):
        with pytest.raises((endwell.ServerDisconnectedError, endwell.ClientOSError)):
            await fetch(session, peer.url(), "POST", data=b"body", expect100=True)
        assert await fetch(session, peer.url()) == (200, b"fine")
