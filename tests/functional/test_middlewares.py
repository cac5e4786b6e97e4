"""The middlewares of the package over real connections: retries, the rate limit, Digest across origins, tracing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import endwell
from endwell.client.ratelimit import RateLimitMiddleware
from endwell.client.retry import RetryMiddleware
from tests.support.echo import EchoServer, Reply, Request
from tests.support.peer import PeerConnection, ScriptedPeer


def flaky(*statuses: int) -> Any:
    """A handler that answers with these statuses, one after the other, and 200 from then on."""
    rest = list(statuses)

    def handler(request: Request) -> Reply:
        status = rest.pop(0) if rest else 200
        return Reply(f"{status} {request.body.decode()}", status, {"Retry-After": "0"})

    return handler


async def test_a_server_that_recovers() -> None:
    retry = RetryMiddleware(backoff=0)
    async with EchoServer({"/a": flaky(503, 502)}) as server, endwell.ClientSession(middlewares=[retry]) as session:
        async with session.put(server.url("/a"), data=b"body") as response:
            assert (response.status, await response.text()) == (200, "200 body")
        assert len(server.requests) == 3
        assert len(server.connections) == 1  # what is released is read away, and the connection is used again


async def test_a_server_that_does_not() -> None:
    retry = RetryMiddleware(backoff=0, attempts=2)
    async with EchoServer() as server, endwell.ClientSession(middlewares=[retry]) as session:
        async with session.get(server.url("/status/503")) as response:
            assert (response.status, await response.text()) == (503, "status 503")
        assert len(server.requests) == 2


async def test_a_post_is_sent_once() -> None:
    retry = RetryMiddleware(backoff=0)
    async with EchoServer({"/a": flaky(503)}) as server, endwell.ClientSession(middlewares=[retry]) as session:
        async with session.post(server.url("/a"), data=b"body") as response:
            assert response.status == 503
        assert len(server.requests) == 1


async def test_a_body_that_can_be_sent_once_is() -> None:
    async def body() -> Any:
        yield b"bo"
        yield b"dy"

    retry = RetryMiddleware(backoff=0)
    async with EchoServer({"/a": flaky(503)}) as server, endwell.ClientSession(middlewares=[retry]) as session:
        async with session.put(server.url("/a"), data=body()) as response:
            assert (response.status, await response.text()) == (503, "503 body")
        assert len(server.requests) == 1


async def test_a_connection_that_breaks() -> None:
    async def breaks(conn: PeerConnection) -> None:
        await conn.read_request()

    async def answers(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.answer(b"fine", "Connection: close")

    told: list[Any] = []
    retry = RetryMiddleware(backoff=0, on_retry=told.append)
    async with (
        ScriptedPeer(breaks, answers) as peer,
        endwell.ClientSession(middlewares=[retry]) as session,
        session.get(peer.url("/")) as response,
    ):
        assert await response.text() == "fine"
    assert [type(event.error).__name__ for event in told] == ["ServerDisconnectedError"]


async def test_requests_take_turns() -> None:
    limit = RateLimitMiddleware(1000)
    seen: list[str] = []

    def handler(request: Request) -> Reply:
        seen.append(request.query["n"])
        return Reply("fine")

    async with EchoServer({"/a": handler}) as server, endwell.ClientSession(middlewares=[limit]) as session:

        async def get(number: int) -> None:
            async with session.get(server.url(f"/a?n={number}")) as response:
                assert response.status == 200

        await asyncio.gather(*(get(number) for number in range(8)))
    assert sorted(seen) == [str(number) for number in range(8)]


async def test_digest_after_a_redirect_to_another_origin() -> None:
    """The other server challenges, and must learn nothing from which a password could be guessed."""
    digest = endwell.DigestAuthMiddleware("ada", "secret")
    async with EchoServer() as stranger, EchoServer() as server:
        async with endwell.ClientSession(middlewares=[digest]) as session:
            async with session.get(server.url("/digest/ada/secret")) as response:
                assert response.status == 200
            target = f"/redirect/302?to={stranger.url('/digest/ada/secret')}"
            async with session.get(server.url(target)) as response:
                assert response.status == 401
        assert len(stranger.requests) == 1
        assert stranger.requests[0].get("Authorization") is None


@pytest.mark.parametrize("path", ["/digest/ada/secret", "/digest/ada/secret?a=SHA-256"])
async def test_digest_with_a_body(path: str) -> None:
    digest = endwell.DigestAuthMiddleware("ada", "secret")
    async with EchoServer() as server, endwell.ClientSession(middlewares=[digest]) as session:
        for _ in range(2):
            async with session.post(server.url(path), data=b"body") as response:
                assert await response.text() == "welcome"
        assert [request.body for request in server.requests] == [b"body"] * len(server.requests)


async def test_a_wrong_password_is_tried_once() -> None:
    digest = endwell.DigestAuthMiddleware("ada", "wrong")
    async with EchoServer() as server, endwell.ClientSession(middlewares=[digest]) as session:
        async with session.get(server.url("/digest/ada/secret")) as response:
            assert response.status == 401
        assert len(server.requests) == 2


async def test_the_signals_of_a_request() -> None:
    log: list[str] = []
    config = endwell.TraceConfig()
    names = [name for name in dir(config) if name.startswith("on_")]

    def told(name: str) -> Any:
        async def handler(session: Any, ctx: Any, params: Any) -> None:
            assert isinstance(session, endwell.ClientSession)
            assert ctx.trace_request_ctx == "mine"
            log.append(name)

        return handler

    for name in names:
        getattr(config, name).append(told(name))
    async with EchoServer() as server, endwell.ClientSession(trace_configs=[config]) as session:
        async with session.post(server.url("/echo"), data=b"body", trace_request_ctx="mine") as response:
            await response.read()
        first = log.copy()
        log.clear()
        async with session.get(server.url("/redirect/302?to=/"), trace_request_ctx="mine") as response:
            await response.read()
    assert first[0] == "on_request_start"
    assert {"on_connection_create_start", "on_connection_create_end", "on_request_headers_sent"} < set(first)
    assert {"on_request_chunk_sent", "on_response_chunk_received", "on_request_end"} < set(first)
    assert log.count("on_request_redirect") == 1
    assert log.count("on_connection_reuseconn") == 2
    assert log.count("on_request_end") == 1


async def test_the_signal_of_a_failure() -> None:
    failures: list[Any] = []
    config = endwell.TraceConfig()

    async def failed(session: Any, ctx: Any, params: Any) -> None:
        failures.append(params.exception)

    config.on_request_exception.append(failed)

    async def breaks(conn: PeerConnection) -> None:
        await conn.read_request()

    async with ScriptedPeer(breaks) as peer, endwell.ClientSession(trace_configs=[config]) as session:
        with pytest.raises(endwell.ServerDisconnectedError) as caught:
            await session.post(peer.url("/"))
    assert failures == [caught.value]
