"""The opening handshake of WebSockets (RFC 6455 section 4.2): what a server answers, and bytes that come with it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

import endwell
from endwell import web
from tests.support.peer import PeerConnection, ScriptedPeer
from tests.support.raw import facing
from tests.support.serving import serving
from tests.support.tls import server_context
from tests.support.websockets import (
    ACCEPT,
    PING,
    TEXT,
    TLS,
    closing,
    frame,
    masked,
    pair,
    read_frame,
    switching,
    trusting,
    upgrade,
)


async def echo(request: web.Request) -> web.WebSocketResponse:
    ws = web.WebSocketResponse()
    await ws.prepare(request)
    async for message in ws:
        await ws.send_str(message.data)
    return ws


# The server's side


async def test_prepare_twice_and_before() -> None:
    caught: list[Any] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse()
        for use in (ws.receive, ws.close, ws.ping):
            with pytest.raises(RuntimeError):
                await use()
        with pytest.raises(RuntimeError):
            await ws.send_str("too early")
        assert not ws.prepared
        assert ws.can_prepare(request)
        await ws.prepare(request)
        await ws.prepare(request)  # as often as one likes
        assert ws.prepared
        with pytest.raises(RuntimeError):
            ws.can_prepare(request)
        with pytest.raises(RuntimeError):
            await ws.write(b"no")
        caught.append(await ws.receive())
        return ws

    app = web.Application()
    app.router.add_get("/", handler)
    async with serving(app) as server, endwell.ClientSession() as session:
        async with session.ws_connect(server.url) as ws:
            await ws.send_str("once")
            assert (await ws.receive()).type is endwell.WSMsgType.CLOSE
    assert [each.data for each in caught] == ["once"]


async def test_can_prepare() -> None:
    found: list[Any] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        ready = web.WebSocketResponse(protocols=["b", "a"]).can_prepare(request)
        found.append((bool(ready), ready.ok, ready.protocol))
        assert isinstance(ready, web.WebSocketReady)
        if not ready:
            return web.Response(text="plain")
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        return ws

    app = web.Application()
    app.router.add_get("/", handler)
    async with serving(app) as server, endwell.ClientSession() as session:
        async with session.get(server.url) as response:
            assert await response.text() == "plain"
        for protocols in (["a", "b"], ["c"], []):
            async with session.ws_connect(server.url, protocols=protocols) as ws:
                await ws.receive()
    assert found == [(False, False, None), (True, True, "a"), (True, True, None), (True, True, None)]


async def test_fields_and_cookies_of_the_101() -> None:
    async def hook(request: web.Request, response: web.StreamResponse) -> None:
        response.headers["X-Hook"] = "yes"

    async def handler(request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse(protocols=["p"])
        ws.headers["X-Mine"] = "1"
        ws.set_cookie("a", "b")
        await ws.prepare(request)
        return ws

    app = web.Application()
    app.router.add_get("/ws", handler)
    app.on_response_prepare.append(hook)
    async with facing(app) as stage:
        client = await stage.connect()
        await client.send(upgrade("Sec-WebSocket-Protocol: p"))
        answer = await client.answer()
        assert (answer.status, answer.reason) == (101, "Switching Protocols")
        assert answer.get("sec-websocket-accept") == ACCEPT
        assert (answer.get("upgrade") or "").lower() == "websocket"
        assert (answer.get("connection") or "").lower() == "upgrade"
        assert (answer.get("x-mine"), answer.get("x-hook")) == ("1", "yes")
        assert (answer.get("set-cookie") or "").startswith("a=b")
        assert answer.get("sec-websocket-protocol") == "p"
        for name in ("content-length", "transfer-encoding", "content-type", "sec-websocket-extensions"):
            assert answer.get(name) is None, f"RFC 9110 section 15.2: a 1xx has no {name}"
        client.reset()


REFUSED = {
    "no Upgrade": (upgrade(without=("upgrade",)), 400),
    "another Upgrade": (upgrade("Upgrade: h2c", without=("upgrade",)), 400),
    "no Connection": (upgrade(without=("connection",)), 400),
    "Connection: close": (upgrade("Connection: close", without=("connection",)), 400),
    "no key": (upgrade(without=("sec-websocket-key",)), 400),
    "a short key": (upgrade(key="c2hvcnQ="), 400),
    "a key that is no base64": (upgrade(key="????????????????????????"), 400),
    "two keys": (upgrade("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="), 400),
    "no version": (upgrade(without=("sec-websocket-version",)), (400, 426)),
    "version 8": (upgrade("Sec-WebSocket-Version: 8", without=("sec-websocket-version",)), 426),
    "two versions": (upgrade("Sec-WebSocket-Version: 8"), (400, 426)),
    "HTTP/1.0": (upgrade().replace(b"HTTP/1.1", b"HTTP/1.0"), 400),
    "POST": (upgrade().replace(b"GET", b"POST"), 405),
    "HEAD": (upgrade().replace(b"GET", b"HEAD"), 405),
    "a body": (upgrade("Content-Length: 2") + b"no", 400),
    "a chunked body": (upgrade("Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
}


@pytest.mark.parametrize("fault", REFUSED)
async def test_handshakes_that_are_refused(fault: str) -> None:
    """RFC 6455 section 4.2.1. HTTP goes on, or the connection ends; what follows is never taken for frames."""
    asked, wanted = REFUSED[fault]
    reached: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse()
        ready = ws.can_prepare(request)
        assert not ready
        await ws.prepare(request)
        reached.append("prepared")
        return ws

    app = web.Application()
    app.router.add_route("*", "/ws", handler)
    async with facing(app) as stage:
        client = await stage.connect()
        await client.send(asked)
        answer = await client.answer("HEAD" if fault == "HEAD" else "GET")
        assert answer.status in (wanted if isinstance(wanted, tuple) else (wanted,)), answer
        if answer.status == 426:
            assert answer.get("sec-websocket-version") == "13"
            assert (answer.get("upgrade") or "").lower() == "websocket"
        if answer.status == 405:
            assert answer.get("allow") == "GET"
        client.reset()
        stage.said()
    assert reached == []


async def test_a_request_for_a_websocket_where_there_is_none() -> None:
    """The handler answers as always; the connection goes on with HTTP."""
    async with facing() as stage:
        client = await stage.connect()
        await client.send(upgrade(target="/one"))
        assert (await client.answer()).body == b"fine /one"
        await client.send(b"GET /two HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert (await client.answer()).body == b"fine /two"


# Bytes that come together


async def test_frames_in_the_segment_of_the_request() -> None:
    """A client must not, before the answer; but those that follow it may come together with the rest of the head."""
    async with facing(echo, alive=False) as stage:
        client = await stage.connect()
        await client.send(upgrade() + masked(TEXT, b"one") + masked(PING, b"p") + masked(TEXT, b"two")[:5])
        assert (await client.answer()).status == 101
        await client.send(masked(TEXT, b"two")[5:])
        found = [await read_frame(client._exactly) for _ in range(3)]
        assert sorted((each.opcode, each.payload) for each in found) == [(1, b"one"), (1, b"two"), (10, b"p")]
        await client.send(masked(8, closing(1000)))
        assert (await read_frame(client._exactly)).code == 1000
        assert await client.closed() == "fin"


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_a_handshake_in_pieces(size: int) -> None:
    async with facing(echo, alive=False) as stage:
        client = await stage.connect()
        sent = upgrade() + masked(TEXT, b"hello") + masked(8, closing(4000, b"bye"))
        await client.send(*(sent[at : at + size] for at in range(0, len(sent), size)))
        assert (await client.answer()).status == 101
        frames = [await read_frame(client._exactly)]
        if frames[0].opcode == TEXT:  # the close can overtake what the handler answers
            frames.append(await read_frame(client._exactly))
        assert (frames[-1].code, frames[0].payload) in ((4000, b"hello"), (4000, closing(4000)))
        assert await client.closed() == "fin"


@TLS
async def test_frames_in_the_segment_of_the_answer(tls: bool) -> None:
    async def script(conn: PeerConnection) -> None:
        request = await conn.read_request()
        early = frame(TEXT, b"one") + frame(PING, b"p") + frame(TEXT, b"two") + frame(8, closing(4000, b"bye"))
        await conn.send(switching(request.get("Sec-WebSocket-Key")) + early)
        assert (await read_frame(conn.read_exactly)).payload == b"p"
        assert (await read_frame(conn.read_exactly)).code == 4000

    context = server_context() if tls else None
    async with ScriptedPeer(script, tls=context) as peer, endwell.ClientSession(connector=trusting()) as session:
        async with session.ws_connect(peer.url("/", host="localhost" if tls else "127.0.0.1")) as ws:
            assert [each.data async for each in ws] == ["one", "two"]
            assert ws.close_code == 4000


async def test_a_peer_that_ends_in_the_handshake() -> None:
    async def nothing(conn: PeerConnection) -> None:
        await conn.read_request()

    async def half(conn: PeerConnection) -> None:
        request = await conn.read_request()
        await conn.send(switching(request.get("Sec-WebSocket-Key"))[:40])

    for script in (nothing, half):
        async with ScriptedPeer(script) as peer, endwell.ClientSession() as session:
            with pytest.raises(endwell.ClientError):
                await session.ws_connect(peer.url())


async def test_a_peer_that_is_silent_in_the_handshake() -> None:
    """The session's time-out for requests holds until the answer is there, and not after it."""

    async def silent(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.closed_by_client()

    timeout = endwell.ClientTimeout(total=0.05)
    async with ScriptedPeer(silent) as peer, endwell.ClientSession(timeout=timeout) as session:
        with pytest.raises(TimeoutError):
            await session.ws_connect(peer.url())
    async with pair(session={"timeout": endwell.ClientTimeout(total=0.1, sock_read=0.05)}) as both:
        with pytest.raises(TimeoutError):
            await both.client.receive(timeout=0.3)
        await both.server.send_str("still there")
        assert await both.client.receive_str() == "still there"


async def test_cancelled_in_the_handshake() -> None:
    begun = SimpleNamespace(ends=[])

    async def silent(conn: PeerConnection) -> None:
        await conn.read_request()
        begun.ends.append(await conn.closed_by_client())

    async with ScriptedPeer(silent) as peer, endwell.ClientSession() as session:
        task = asyncio.ensure_future(session.ws_connect(peer.url()))
        await (await peer.connection()).started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await peer.finished()
    assert len(begun.ends) == 1
