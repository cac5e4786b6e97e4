"""The server with nginx in front of it: kept connections, HTTP/1.0, a Unix socket, no buffering, TLS at nginx."""

from __future__ import annotations

import asyncio
import hashlib
import pathlib
from typing import Any

import pytest

import endwell
from endwell import web
from tests.support.fronting import Front, behind, front
from tests.support.programs import BLOB, TEXT
from tests.support.raw import until
from tests.support.telling import COUNT, ENDED, LARGE, application, digest, session, tell

__all__ = ("front",)  # a fixture


@pytest.mark.parametrize("path", ["", "/old", "/raw", "/local"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_request_through_nginx(front: Front, path: str, tls: bool) -> None:
    async with behind(front, application()), session() as client:
        async with client.get(front.url(f"{path}/tell/a%2Fb?x=%20y", tls=tls)) as response:
            told = await response.json()
    host = f"localhost:{front.tls_port}" if tls else f"127.0.0.1:{front.port}"
    assert (told["method"], told["version"], told["host"]) == ("GET", "1.0" if path == "/old" else "1.1", host)
    assert told["path"] == ("/tell/a%2Fb?x=%20y" if not path else "/tell/a/b?x=%20y"), "nginx decodes what it rewrites"
    assert told["scheme"] == "http", "what nginx forwards is not believed by itself"
    assert told["forwarded"] == [{"for": "127.0.0.1", "proto": "https" if tls else "http", "host": host}]
    assert told["fields"]["x-forwarded-proto"] == ("https" if tls else "http")
    if path != "/local":
        assert told["remote"] == "127.0.0.1"


@web.middleware
async def believe(request: web.Request, handler: Any) -> web.StreamResponse:
    """Take a proxy at its word, as the documentation says."""
    (proxy,) = request.forwarded
    request = request.clone(scheme=proxy["proto"], host=proxy["host"], remote="203.0.113.9")
    return await handler(request)  # type: ignore[no-any-return]


async def test_a_middleware_that_believes_nginx(front: Front) -> None:
    app = web.Application(middlewares=[believe])
    app[COUNT] = []
    app.router.add_get("/tell", tell)
    async with behind(front, app), session() as client:
        async with client.get(front.url("/tell?a=b", tls=True)) as response:
            told = await response.json()
    assert told["url"] == f"https://localhost:{front.tls_port}/tell?a=b"
    assert (told["scheme"], told["remote"]) == ("https", "203.0.113.9")


async def test_nginx_keeps_its_connections(front: Front) -> None:
    async with behind(front, application()), session() as client:
        for path, kept in (("/old", False), ("", True), ("/local", True)):
            told = []
            for _ in range(6):
                async with client.get(front.url(f"{path}/tell")) as response:
                    told.append((await response.json())["served"])
            assert told == ([1, 2, 3, 4, 5, 6] if kept else [1] * 6)


@pytest.mark.parametrize("path", ["", "/old", "/raw", "/local"])
async def test_a_large_upload_through_nginx(front: Front, path: str) -> None:
    async def pieces():
        for start in range(0, len(LARGE), 300_000):
            yield LARGE[start : start + 300_000]

    async with behind(front, application()), session() as client:
        for data in (LARGE, pieces()):
            async with client.post(front.url(f"{path}/swallow"), data=data) as response:
                told = await response.json()
            assert (told["size"], told["digest"]) == (len(LARGE), digest(LARGE))
            if path == "/raw" and data is not LARGE:
                assert told["length"] is None, "nginx hands the chunks on"


@pytest.mark.parametrize("path", ["", "/old", "/raw", "/local"])
@pytest.mark.parametrize("query", ["", "?length"], ids=["chunks", "length"])
async def test_a_large_download_through_nginx(front: Front, path: str, query: str) -> None:
    async with behind(front, application()), session() as client:
        async with client.get(front.url(f"{path}/pour{query}")) as response:
            assert response.status == 200
            found = hashlib.blake2b()
            async for piece in response.content.iter_any():
                found.update(piece)
    assert found.hexdigest() == digest(LARGE)


async def test_a_client_that_leaves_behind_nginx(front: Front) -> None:
    """nginx drops its connection to the server then: the handler's next write says so, and nothing is left."""
    async with behind(front, application()), session() as client:
        async with client.get(front.url("/raw/pour")) as response:
            await response.content.readexactly(1000)
        async with client.get(front.url("/tell")) as response:
            assert response.status == 200


@pytest.mark.parametrize("path", ["", "/raw", "/local"])
async def test_an_event_stream_through_nginx(front: Front, path: str) -> None:
    """Each event arrives before the next is sent: X-Accel-Buffering is heeded, without an option of nginx."""
    app = application()
    queue: asyncio.Queue[str] = asyncio.Queue()
    app[COUNT].append(queue)
    async with behind(front, app) as server, session() as client:
        async with client.get(front.url(f"{path}/events", tls=True)) as response:
            assert response.content_type == "text/event-stream"
            stream = endwell.sse(response, reconnect=False)
            for number in range(5):
                queue.put_nowait(f"event {number}")
                assert (await anext(stream)).data == f"event {number}"
            closing = asyncio.ensure_future(server.close())
            assert [event.data async for event in stream] == []
            report = await closing
    assert app[ENDED] == ["stopped"]
    assert not report.aborted


async def test_a_server_that_stops_behind_nginx(front: Front) -> None:
    """While requests come in, the server stops, and another begins: a client gets whole answers, or nginx's 502."""
    statuses: set[int] = set()
    done = asyncio.Event()
    served = 0

    async def ask() -> None:
        nonlocal served
        while not done.is_set():
            async with client.get(front.url("/local/text")) as response:
                body = await response.read()
            statuses.add(response.status)
            served += response.status == 200
            assert response.status == 502 or body == TEXT

    async with session() as client:
        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(ask())
            for _ in range(3):
                async with behind(front, application()):
                    wanted = served + 30
                    await until(lambda wanted=wanted: served >= wanted)
            done.set()
    assert 200 in statuses
    assert statuses <= {200, 502}


async def test_files_through_nginx(front: Front, tmp_path: pathlib.Path) -> None:
    async with behind(front, application(tmp_path)), session() as client:
        for path in ("", "/old", "/raw", "/local"):
            url = front.url(f"{path}/files/blob.bin")
            async with client.get(url) as response:
                assert await response.read() == BLOB
                tag = response.headers["ETag"]
            async with client.get(url, headers={"Range": "bytes=100-199"}) as response:
                assert (response.status, await response.read()) == (206, BLOB[100:200])
            async with client.get(url, headers={"If-None-Match": tag}) as response:
                assert response.status == 304
            async with client.head(url) as response:
                assert (response.content_length, await response.read()) == (len(BLOB), b"")
            async with client.get(url + "x") as response:
                assert response.status == 404


async def test_an_early_refusal_through_nginx(front: Front) -> None:
    async with behind(front, application()), session() as client:
        for path in ("", "/raw"):
            async with client.post(front.url(f"{path}/refuse"), data=LARGE) as response:
                assert response.status == 413
