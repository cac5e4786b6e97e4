"""Bodies that are sent more than once, or that a middleware gives: whole each time, closed at the end of the call."""

from __future__ import annotations

import asyncio
import contextlib
import io
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import endwell
from tests.support.closing import client_sockets, passes, until
from tests.support.peer import PeerConnection, ScriptedPeer, answer_fine, refused_port

MOVED = b"HTTP/1.1 %d Moved\r\nLocation: /next\r\nContent-Length: 0\r\n\r\n"
CONTENT = bytes(range(256)) * 4096 * 6  # 6 MiB: more than the buffers of two sockets hold


@contextlib.contextmanager
def opened(file: File) -> Iterator[None]:
    """Open the gate when a test fails before it does, or its thread would wait for ever."""
    try:
        yield
    finally:
        file.gate.set()


class File(io.RawIOBase):
    """A file whose first read waits in its thread for `gate`; it notes who is in it at the same time as another."""

    def __init__(self, content: bytes = CONTENT, *, gate: bool = False) -> None:
        super().__init__()
        self.below = io.BytesIO(content)
        self.entered = threading.Event()
        self.gate = threading.Event()
        if not gate:
            self.gate.set()
        self.inside = 0
        self.together = False
        self.touched = 0

    def _do(self, name: str, *args: Any) -> Any:
        self.touched += 1
        self.inside += 1
        self.together = self.together or self.inside > 1
        try:
            if name == "readinto":
                self.entered.set()
                self.gate.wait()
            return getattr(self.below, name)(*args)
        finally:
            self.inside -= 1

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> Any:
        return self._do("readinto", buffer)

    def seek(self, *args: Any) -> Any:
        return self._do("seek", *args)

    def tell(self) -> Any:
        return self._do("tell")

    def close(self) -> None:
        if not self.closed:
            self.together = self.together or self.inside > 0
        super().close()


async def test_a_file_is_not_read_by_two_attempts_at_once() -> None:
    """What a thread reads for an attempt that has failed, it reads to its end."""
    leave = asyncio.Event()

    async def dies(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.answer()
        await conn.read_head()
        await leave.wait()
        conn.reset()

    file = File(gate=True)
    async with ScriptedPeer(dies, answer_fine) as peer, endwell.ClientSession() as session:
        with opened(file):
            async with session.get(peer.url()):
                pass
            asking = asyncio.create_task(session._request("PUT", peer.url(), data=file))
            await until(file.entered.is_set)
            touched = file.touched
            leave.set()
            await peer.connections[0].over.wait()
            await passes(50)
            assert file.touched == touched, "nobody comes near it while the thread reads"
            file.gate.set()
            async with await asking as response:
                assert response.status == 200
            assert [request.body for request in peer.requests[2:]] == [CONTENT]
    assert not file.together
    assert file.closed


async def test_a_file_is_closed_when_its_last_read_is_over() -> None:
    file = File(gate=True)
    async with ScriptedPeer(answer_fine) as peer, endwell.ClientSession() as session:
        with opened(file):
            asking = asyncio.create_task(session._request("PUT", peer.url(), data=file))
            await until(file.entered.is_set)
            asking.cancel()
            await passes(20)
            assert not file.closed
            file.gate.set()
            with pytest.raises(asyncio.CancelledError):
                await asking
    assert file.closed
    assert not file.together


async def test_c6_a_session_that_closes_leaves_a_read_to_the_call() -> None:
    file = File(gate=True)
    with opened(file):
        async with ScriptedPeer(answer_fine) as peer:
            session = endwell.ClientSession()
            asking = asyncio.create_task(session._request("PUT", peer.url(), data=file))
            await until(file.entered.is_set)
            report = await session.close(close_timeout=0)
            assert (len(report.aborted), report.errors) == (1, [])
            assert not asyncio.all_tasks() - {asking, asyncio.current_task(), *peer._tasks}
            assert (client_sockets(peer.port), file.inside, asking.done()) == ([], 1, False)
            file.gate.set()
            with pytest.raises(endwell.ExchangeAbortedError):
                await asking
            assert (file.inside, file.closed, file.together) == (0, True, False)


@pytest.mark.parametrize("kind", [File, io.BytesIO])
async def test_a_retry_ends_the_upload_that_its_answer_came_before(kind: Any) -> None:
    """The peer answered early, and wants the rest of the body: nobody needs it any more."""

    async def early(conn: PeerConnection) -> None:
        await conn.read_head()
        await conn.answer(b"", "Retry-After: 0", status="503 Later")
        await (await peer.connection(1)).started.wait()
        await conn.closed_by_client()

    retry = endwell.RetryMiddleware(backoff=0)
    file = kind(CONTENT)
    async with ScriptedPeer(early, answer_fine) as peer, endwell.ClientSession(middlewares=[retry]) as session:
        async with session.put(peer.url(), data=file) as response:
            assert response.status == 200
        assert peer.requests[-1].body == CONTENT
        assert len(peer.connections) == 2
    assert not getattr(file, "together", False)


# -- bodies that middlewares give


class Body(endwell.BytesPayload):
    """A body that says when it was closed."""

    def __init__(self, value: bytes) -> None:
        super().__init__(value)
        self.closings = 0

    async def close(self) -> None:
        self.closings += 1


class Giving:
    """A middleware that gives its body to the first request it sees."""

    def __init__(self, error: Exception | None = None) -> None:
        self.body = Body(b"given")
        self.seen: list[bytes] = []
        self.error = error

    async def __call__(
        self, request: endwell.ClientRequest, handler: endwell.ClientHandlerType
    ) -> endwell.ClientResponse:
        if not self.seen:
            await request.update_body(self.body)
        assert isinstance(request.body, endwell.Payload)
        self.seen.append(await request.body.as_bytes())
        response = await handler(request)
        if self.error is not None:
            response.close()
            raise self.error
        return response


@pytest.mark.parametrize("headers", [None, {"Content-Length": "8", "X-A": "1"}])
@pytest.mark.parametrize("status", [200, 302, 307, 308])
async def test_a_given_body_is_sent_on_and_closed(status: int, headers: dict[str, str] | None) -> None:
    async def moves(conn: PeerConnection) -> None:
        if status != 200:
            await conn.read_request()
            await conn.send(MOVED % status)
        await answer_fine(conn)

    giving, first = Giving(), Body(b"original")
    async with ScriptedPeer(moves) as peer, endwell.ClientSession(middlewares=[giving]) as session:
        async with session.put(peer.url(), data=first, headers=headers) as response:
            assert response.status == 200
        assert (first.closings, giving.body.closings) == (1, 1)
        hops = 1 if status == 200 else 2
        assert giving.seen == [b"given"] * hops
        assert [request.body for request in peer.requests] == [b"given"] * hops
        assert [request.get("X-A") for request in peer.requests] == ["1" if headers else None] * hops


async def test_it_is_closed_before_a_hop_that_has_none() -> None:
    async def moves(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.send(MOVED % 303)
        await conn.read_request()
        assert giving.body.closings == 1
        await conn.answer()

    class Once(Giving):
        async def __call__(self, request: Any, handler: Any) -> Any:
            return await (handler(request) if self.seen else super().__call__(request, handler))

    giving = Once()
    async with ScriptedPeer(moves) as peer, endwell.ClientSession(middlewares=[giving]) as session:
        async with session.post(peer.url(), data=b"original") as response:
            assert response.status == 200
        assert [request.body for request in peer.requests] == [b"given", b""]
    assert giving.body.closings == 1


@pytest.mark.parametrize("why", ["middleware", "connection"])
async def test_a_given_body_is_closed_when_the_call_fails(why: str) -> None:
    giving = Giving(LookupError("mine") if why == "middleware" else None)
    async with ScriptedPeer(answer_fine) as peer, endwell.ClientSession(middlewares=[giving]) as session:
        url = peer.url() if why == "middleware" else f"http://127.0.0.1:{refused_port()}/"
        with pytest.raises((LookupError, endwell.ClientConnectorError)):
            await session.put(url, data=b"original")
    assert giving.body.closings == 1


async def test_a_file_in_use_may_be_replaced() -> None:
    """A middleware answers an early 401 with another body: the upload of the first one ends before it is closed."""

    async def early(conn: PeerConnection) -> None:
        await conn.read_head()
        await conn.answer(b"", status="401 Who are you?")
        await conn.closed_by_client()

    async def answering(request: endwell.ClientRequest, handler: endwell.ClientHandlerType) -> endwell.ClientResponse:
        response = await handler(request)
        response.release()
        await request.update_body(b"another")
        assert file.closed
        return await handler(request)

    file = File()
    async with ScriptedPeer(early, answer_fine) as peer, endwell.ClientSession(middlewares=[answering]) as session:
        async with session.put(peer.url(), data=file) as response:
            assert response.status == 200
        assert peer.requests[-1].body == b"another"
    assert not file.together


# -- the tracker of an upload that never began


async def test_a_tracker_of_an_upload_that_was_cut_before_its_first_step() -> None:
    async with ScriptedPeer(answer_fine) as peer:
        session = endwell.ClientSession()
        async with session.get(peer.url()):
            pass
        tracker = endwell.UploadTracker()
        asking = asyncio.create_task(
            session._request("PUT", peer.url(), data=io.BytesIO(CONTENT), upload_tracker=tracker)
        )
        await asyncio.sleep(0)
        assert tracker.attempts == 1
        await session.close(close_timeout=0)
        with pytest.raises(endwell.ExchangeAbortedError):
            await asking
        assert tracker.upload_complete.done()
        with pytest.raises(endwell.UploadAbortedError):
            await tracker.upload_complete
        assert tracker.bytes_written == 0


@pytest.mark.parametrize("data", [b"body", io.BytesIO(b"body"), None])
async def test_a_tracker_of_a_request_that_was_never_sent(data: Any) -> None:
    tracker = endwell.UploadTracker()
    async with endwell.ClientSession() as session:
        with pytest.raises(endwell.ClientConnectorError):
            await session.put(f"http://127.0.0.1:{refused_port()}/", data=data, upload_tracker=tracker)
        assert tracker.upload_complete.done()
        with pytest.raises(endwell.UploadAbortedError):
            await tracker.upload_complete
        assert tracker.attempts == 0
