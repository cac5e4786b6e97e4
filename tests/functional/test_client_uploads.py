"""Uploads under way: Expect, early answers, `UploadTracker`, and what the end of a response does to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import endwell
from tests.support.echo import EchoServer
from tests.support.peer import PeerConnection, ScriptedPeer, answer_fine

LARGE = bytes(8 << 20)


class Body:
    """A body whose pieces the test lets go, one after the other."""

    def __init__(self) -> None:
        self.gate: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.ended = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while (piece := await self.gate.get()) is not None:
                yield piece
        finally:
            self.ended = True


# -- Expect: 100-continue


@pytest.mark.parametrize("data", [b"body", LARGE, "text", {"a": "1"}])
async def test_expect100(data: Any) -> None:
    seen: list[Any] = []

    async def script(conn: PeerConnection) -> None:
        request = await conn.read_head()
        seen.append(request.get("Expect"))
        await conn.flush()
        seen.append(len(conn.received) - len(request.raw_head))
        await conn.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        seen.append(len(await conn.read_exactly(int(request.get("Content-Length") or 0))))
        await conn.answer()

    async with ScriptedPeer(script) as peer, endwell.ClientSession() as session:
        async with session.post(peer.url(), data=data, expect100=True) as response:
            assert await response.text() == "fine"
    assert seen[:2] == ["100-continue", 0]
    assert seen[2] == {4: 4}.get(len(data), seen[2])


async def test_expect_as_a_field() -> None:
    """The field says the same as the argument: the body waits."""
    seen: list[int] = []

    async def script(conn: PeerConnection) -> None:
        request = await conn.read_head()
        await conn.flush()
        seen.append(len(conn.received) - len(request.raw_head))
        await conn.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await conn.read_exactly(4)
        await conn.answer()

    async with ScriptedPeer(script) as peer, endwell.ClientSession() as session:
        async with session.post(peer.url(), data=b"body", headers={"Expect": "100-continue"}) as response:
            assert await response.text() == "fine"
    assert seen == [0]


async def test_expect100_refused() -> None:
    """The final answer came instead: the body is not sent."""
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with session.post(server.url("/reject-100"), data=LARGE, expect100=True) as response:
            assert (response.status, await response.text()) == (417, "no")
        assert server.requests[0].body == b""
        async with session.get(server.url("/")) as response:
            assert await response.text() == "hello"


async def test_expect100_without_a_word() -> None:
    """A peer that does not know Expect gets the body after a second."""
    async with ScriptedPeer(answer_fine) as peer, endwell.ClientSession() as session:
        async with session.post(peer.url(), data=b"body", expect100=True) as response:
            assert await response.text() == "fine"
        assert peer.requests[0].body == b"body"


async def test_expect100_without_a_body() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with session.get(server.url("/"), expect100=True) as response:
            assert await response.text() == "hello"


async def test_expect100_with_a_chunked_body() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"stre"
        yield b"amed"

    async with EchoServer() as server, endwell.ClientSession() as session:
        async with session.post(server.url("/echo"), data=body(), expect100=True) as response:
            assert (await response.json())["body"] == "streamed"


# -- answers that come early


async def early(conn: PeerConnection) -> None:
    """Answer before the body is here, then read it all the same."""
    await conn.read_head()
    await conn.answer(b"early")
    await conn.read_chunked()
    await answer_fine(conn)


async def test_an_early_answer_can_be_read_while_the_body_goes_out() -> None:
    body = Body()
    async with ScriptedPeer(early) as peer, endwell.ClientSession() as session:
        body.gate.put_nowait(b"first")
        async with session.post(peer.url(), data=body) as response:
            assert await response.text() == "early"
            body.gate.put_nowait(b"second")
            body.gate.put_nowait(None)
        assert body.ended
        async with session.get(peer.url()) as response:
            assert await response.text() == "fine"
        assert len(peer.connections) == 1


async def test_leaving_the_block_sends_the_rest() -> None:
    received: list[bytes] = []

    async def script(conn: PeerConnection) -> None:
        request = await conn.read_head()
        await conn.answer(b"early")
        received.append(await conn.read_exactly(int(request.get("Content-Length") or 0)))
        await answer_fine(conn)

    async with ScriptedPeer(script) as peer, endwell.ClientSession() as session:
        async with session.post(peer.url(), data=LARGE) as response:
            assert response.status == 200
        async with session.get(peer.url()) as response:
            assert await response.text() == "fine"
        assert [len(each) for each in received] == [len(LARGE)]
        assert len(peer.connections) == 1


async def test_leaving_by_an_error_cuts_the_upload() -> None:
    body = Body()
    async with ScriptedPeer(early, answer_fine) as peer, endwell.ClientSession() as session:
        body.gate.put_nowait(b"first")
        with pytest.raises(KeyError):  # noqa: PT012  # the block is what is cancelled
            async with session.post(peer.url(), data=body) as response:
                assert await response.text() == "early"
                raise KeyError
        async with session.get(peer.url()) as response:
            assert await response.text() == "fine"
        assert len(peer.connections) == 2
    assert body.ended


async def test_an_early_answer_that_closes_ends_the_upload() -> None:
    async def script(conn: PeerConnection) -> None:
        await conn.read_head()
        await conn.answer(b"too large", "Connection: close", status="413 Content Too Large")
        await conn.closed_by_client()

    async with ScriptedPeer(script, answer_fine) as peer, endwell.ClientSession() as session:
        tracker = endwell.UploadTracker()
        async with session.post(peer.url(), data=LARGE * 8, upload_tracker=tracker) as response:
            assert (response.status, await response.text()) == (413, "too large")
        assert tracker.bytes_written < len(LARGE) * 8
        with pytest.raises(endwell.UploadAbortedError):
            await tracker.upload_complete
        async with session.get(peer.url()) as response:
            assert await response.text() == "fine"


# -- UploadTracker


@pytest.mark.parametrize("size", [0, 4, 300_000, len(LARGE)])
async def test_a_tracker_of_bytes(size: int) -> None:
    tracker = endwell.UploadTracker()
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with session.post(server.url("/"), data=LARGE[:size], upload_tracker=tracker) as response:
            await response.read()
    assert (tracker.bytes_written, tracker.attempts) == (size, 1)
    assert await tracker.upload_complete is None


async def test_a_tracker_follows() -> None:
    body, tracker = Body(), endwell.UploadTracker()
    async with EchoServer() as server, endwell.ClientSession() as session:
        assert (tracker.bytes_written, tracker.attempts) == (0, 0)
        request = asyncio.ensure_future(session.post(server.url("/"), data=body, upload_tracker=tracker))
        body.gate.put_nowait(b"x" * 100)
        await server.wait_in_flight(1)
        while tracker.bytes_written < 100:
            await asyncio.sleep(0)
        assert not tracker.upload_complete.done()
        body.gate.put_nowait(None)
        async with await request as response:
            await response.read()
        assert tracker.upload_complete.done()
        assert tracker.attempts == 1


async def test_a_tracker_counts_what_is_sent_again() -> None:
    tracker = endwell.UploadTracker()
    async with EchoServer() as server, endwell.ClientSession() as session:
        target = server.url("/redirect/307?to=/redirect/307%3Fto%3D/echo")
        async with session.post(target, data=b"body", upload_tracker=tracker) as response:
            await response.read()
    assert (tracker.attempts, tracker.bytes_written) == (3, 4)


async def test_a_tracker_of_a_body_that_fails() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"x"
        raise KeyError

    tracker = endwell.UploadTracker()
    async with ScriptedPeer(answer_fine) as peer, endwell.ClientSession() as session:
        with pytest.raises(endwell.ClientConnectionError):
            await session.post(peer.url(), data=body(), upload_tracker=tracker)
    with pytest.raises(endwell.UploadAbortedError):
        await tracker.upload_complete


async def test_a_tracker_of_a_request_that_was_cancelled() -> None:
    body, tracker = Body(), endwell.UploadTracker()
    async with ScriptedPeer(answer_fine) as peer, endwell.ClientSession() as session:
        request = asyncio.ensure_future(session.post(peer.url(), data=body, upload_tracker=tracker))
        await peer.connection()
        body.gate.put_nowait(b"x")
        while not tracker.bytes_written:
            await asyncio.sleep(0)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        with pytest.raises(endwell.UploadAbortedError):
            await tracker.upload_complete
    assert body.ended


async def test_a_tracker_without_a_body() -> None:
    tracker = endwell.UploadTracker()
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with session.get(server.url("/"), upload_tracker=tracker) as response:
            await response.read()
    assert tracker.bytes_written == 0
    assert tracker.upload_complete.done()


# -- a slow peer


async def test_an_upload_holds_bounded_memory() -> None:
    """A generator is not asked for more than the peer takes."""
    made = 0
    go = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        nonlocal made
        for _ in range(500):
            made += 1
            yield bytes(65536)

    async def script(conn: PeerConnection) -> None:
        await conn.read_head()
        await go.wait()
        end = b""
        while not end.endswith(b"\r\n0\r\n\r\n"):
            end = (end + await conn.read())[-7:]
        await conn.answer()

    async with ScriptedPeer(script) as peer, endwell.ClientSession() as session:
        request = asyncio.ensure_future(session.post(peer.url(), data=body()))
        previous = -1
        while previous != made or made == 0:
            previous = made
            for _ in range(50):
                await asyncio.sleep(0)
        assert made < 250
        go.set()
        async with await request as response:
            assert await response.text() == "fine"
    assert made == 500
