"""Server-sent events over real connections: lost ones, refused ones, and a session that is closed meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import endwell
from endwell.client.sse import sse
from tests.support.echo import EchoServer
from tests.support.peer import PeerConnection, ScriptedPeer

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"


def stream(data: bytes, told: list[Any], *, length: int | None = None) -> Any:
    """A script that sends an event stream: ended by closing, or cut short when ``length`` promises more."""

    async def script(conn: PeerConnection) -> None:
        request = await conn.read_request()
        told.append(request.get("Last-Event-ID"))
        promise = b"Connection: close\r\n" if length is None else b"Content-Length: %d\r\n" % length
        await conn.send(HEAD + promise + b"\r\n" + data)

    return script


def status(line: bytes, told: list[Any]) -> Any:
    async def script(conn: PeerConnection) -> None:
        request = await conn.read_request()
        told.append(request.get("Last-Event-ID"))
        await conn.send(b"HTTP/1.1 " + line + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    return script


async def test_a_stream_of_three() -> None:
    async with (
        EchoServer() as server,
        endwell.ClientSession() as session,
        session.get(server.url("/sse")) as response,
        sse(response, reconnect=False) as events,
    ):
        found = [(event.id, event.event, event.data) async for event in events]
    assert found == [(str(n), "tick", f"number {n}\nmore") for n in (1, 2, 3)]


async def test_across_connections_until_no_content() -> None:
    told: list[Any] = []
    scripts = [
        stream(b"retry: 0\nid: a\ndata: 1\n\n", told),
        stream(b"id: b\ndata: 2\n\ndata: los", told, length=1000),
        status(b"503 Service Unavailable", told),
        stream(b"id: c\ndata: 3\n\n", told),
        status(b"204 No Content", told),
    ]
    async with ScriptedPeer(*scripts) as peer, endwell.ClientSession() as session:
        response = await session.get(peer.url("/"), headers={"Accept": "text/event-stream", "X-Own": "kept"})
        async with sse(response, max_delay=0) as events:
            assert [event.data async for event in events] == ["1", "2", "3"]
        assert told == [None, "a", "b", "b", "c"]
        assert [request.get("X-Own") for request in peer.requests] == ["kept"] * 5
        assert [request.get("Accept") for request in peer.requests] == ["text/event-stream"] * 5


async def test_another_media_type_and_status() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        with pytest.raises(endwell.ContentTypeError, match="text/plain"):
            await anext(sse(await session.get(server.url("/"))))
        with pytest.raises(endwell.ClientResponseError, match="404"):
            await anext(sse(await session.get(server.url("/status/404"))))


async def test_a_session_that_closes_ends_the_events() -> None:
    async def hangs(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.send(HEAD + b"\r\ndata: 1\n\n")
        await conn.closed_by_client()

    async with ScriptedPeer(hangs) as peer:
        session = endwell.ClientSession()
        response = await session.get(peer.url("/"))
        events = sse(response)
        assert (await anext(events)).data == "1"
        rest = asyncio.ensure_future(collect(events))
        await asyncio.sleep(0)
        await session.close(0)
        assert await rest == []


async def collect(events: Any) -> list[str]:
    return [event.data async for event in events]


async def test_leaving_early_closes_the_connection() -> None:
    async def endless(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.send(HEAD + b"\r\ndata: 1\n\ndata: 2\n\n")
        await conn.closed_by_client()

    async with ScriptedPeer(endless) as peer, endwell.ClientSession() as session:
        async with sse(await session.get(peer.url("/"))) as events:
            assert (await anext(events)).data == "1"
        await peer.finished()
