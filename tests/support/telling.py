"""An application that tells what has come, and sends what is large: behind nginx, and before curl, wrk and openssl."""

from __future__ import annotations

import asyncio
import hashlib
import pathlib
from typing import Any

import endwell
from endwell import web
from tests.support.programs import BLOB, SECONDS, TEXT
from tests.support.tls import client_context

LARGE = BLOB * 20  # 20 MB
COUNT = web.AppKey("COUNT", list)
ENDED = web.AppKey("ENDED", list)


def digest(data: bytes) -> str:
    return hashlib.blake2b(data).hexdigest()


async def tell(request: web.Request) -> web.Response:
    """Say what has come, as JSON."""
    request.app[COUNT].append(request.path)
    return web.json_response(
        {
            "method": request.method,
            "path": request.path_qs,
            "version": f"{request.version.major}.{request.version.minor}",
            "host": request.host,
            "scheme": request.scheme,
            "remote": request.remote,
            "forwarded": [dict(each) for each in request.forwarded],
            "url": str(request.url),
            "fields": {name.lower(): value for name, value in request.headers.items()},
            "served": request.protocol.served,
        }
    )


async def echo(request: web.Request) -> web.Response:
    return web.Response(body=await request.read(), headers={"X-Count": str(len(await request.read()))})


async def swallow(request: web.Request) -> web.Response:
    """Read a body of any size; give its size and digest."""
    found, size = hashlib.blake2b(), 0
    async for piece in request.content.iter_any():
        found.update(piece)
        size += len(piece)
    return web.json_response({"size": size, "digest": found.hexdigest(), "length": request.content_length})


async def pour(request: web.Request) -> web.StreamResponse:
    """Send the large body in pieces."""
    response = web.StreamResponse()
    if "length" in request.query:
        response.content_length = len(LARGE)
    await response.prepare(request)
    for start in range(0, len(LARGE), 100_000):
        await response.write(LARGE[start : start + 100_000])
    return response


async def events(request: web.Request) -> web.StreamResponse:
    """Send one event for each line that somebody puts into the queue; note how it ended."""
    queue: asyncio.Queue[str] = request.app[COUNT][0]
    try:
        async with web.event_stream(request) as stream:
            while True:
                await stream.send(await queue.get())
    finally:
        request.app[ENDED].append("stopped" if stream.stopped else "left")
    return stream


async def form(request: web.Request) -> web.Response:
    """Say what a form holds."""
    found = []
    for name, value in (await request.post()).items():
        if isinstance(value, web.FileField):
            data = value.file.read()
            found.append([name, value.filename, value.content_type, len(data), digest(data)])
        else:
            found.append([name, value])
    return web.json_response(found)


async def text(_request: web.Request) -> web.Response:
    response = web.Response(text=TEXT.decode())
    response.enable_compression()
    return response


async def refuse(_request: web.Request) -> web.Response:
    raise web.HTTPRequestEntityTooLarge(max_size=10, actual_size=11)


def application(directory: pathlib.Path | None = None) -> web.Application:
    app = web.Application()
    app[COUNT] = []
    app[ENDED] = []
    app.router.add_get("/tell{rest:.*}", tell)
    app.router.add_get("/pour", pour)
    app.router.add_get("/events", events)
    app.router.add_get("/text", text)
    app.router.add_route("*", "/echo", echo)
    app.router.add_route("*", "/swallow", swallow)
    app.router.add_route("*", "/form", form)
    app.router.add_route("*", "/refuse", refuse)
    if directory is not None:
        (directory / "blob.bin").write_bytes(BLOB)
        app.router.add_static("/files", directory)
    return app


def session(**kwargs: Any) -> endwell.ClientSession:
    connector = endwell.TCPConnector(ssl=client_context(), **kwargs)
    return endwell.ClientSession(connector=connector, timeout=endwell.ClientTimeout(total=SECONDS))
