"""A soak with endwell on both ends: a server that stops and starts again, clients of every kind of fault.

Seeded and bounded, as `test_soak`: `ENDWELL_SOAK_SECONDS` (default 2 for each kind of loop and transport) and
`ENDWELL_SOAK_SEED`. Who gets a whole answer gets the right one; each close of the server leaves nothing of it, and
nothing was logged but what the handlers did on purpose. What is left is counted when a first, shorter round has filled
all caches.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import gc
import logging
import os
import pathlib
import random
import socket
import ssl
import struct
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import pytest

import endwell
from endwell import web
from tests.support.leaks import open_fds, open_sockets
from tests.support.programs import free_port
from tests.support.tls import client_context, server_context

SECONDS: Final = float(os.environ.get("ENDWELL_SOAK_SECONDS", "2"))
SEED: Final = int(os.environ.get("ENDWELL_SOAK_SEED", "1"))
CLIENTS: Final = 24
RAW_CLIENTS: Final = 12
BLOCK: Final = b"0123456789abcdef" * 64
FILE: Final = BLOCK * 2000  # 2 MB
CACHED: Final = {"endwell.http.mediatype.MimeType", "endwell.http.url.Target"}  # in caches of a bounded size

Seen = collections.Counter[str]


class DeliberateError(Exception):
    """What a handler raises on purpose."""


# The server


class Handlers:
    """An application that does everything a server can do, at random."""

    def __init__(self, dice: random.Random, directory: pathlib.Path) -> None:
        self.dice = dice
        self.directory = directory

    def application(self) -> web.Application:
        app = web.Application(client_max_size=2**20)
        app.router.add_get("/say", self.say)
        app.router.add_route("*", "/echo", self.echo)
        app.router.add_route("*", "/read", self.read)
        app.router.add_route("*", "/form", self.form)
        app.router.add_route("*", "/early", self.early)
        app.router.add_route("*", "/fail", self.fail)
        app.router.add_get("/pour", self.pour)
        app.router.add_get("/events", self.events)
        app.router.add_get("/wait", self.wait)
        app.router.add_get("/task", self.task)
        app.router.add_static("/files", self.directory)
        return app

    async def pause(self) -> None:
        if self.dice.random() < 0.3:
            await asyncio.sleep(self.dice.random() * 0.02)

    async def say(self, request: web.Request) -> web.Response:
        await self.pause()
        return web.Response(text=request.query["n"] * 10)

    async def echo(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if self.dice.random() < 0.3:
            response.enable_compression()
        await response.prepare(request)
        async for piece in request.content.iter_any():
            await self.pause()
            await response.write(piece)
        return response

    async def read(self, request: web.Request) -> web.Response:
        await self.pause()
        return web.Response(body=await request.read())

    async def form(self, request: web.Request) -> web.Response:
        form = await request.post()
        file = form["file"]
        assert isinstance(file, web.FileField)
        return web.Response(body=file.file.read())

    async def early(self, request: web.Request) -> web.Response:
        if request.can_read_body and self.dice.random() < 0.5:
            await request.content.readany()
        if self.dice.random() < 0.5:
            raise web.HTTPRequestEntityTooLarge(max_size=1, actual_size=2)
        return web.Response(text="early")

    async def fail(self, request: web.Request) -> web.StreamResponse:
        if self.dice.random() < 0.5:
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b"begun")
            await self.pause()
        raise DeliberateError

    async def pour(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        size = int(request.query["size"])
        if self.dice.random() < 0.5:
            response.content_length = size * len(BLOCK)
        await response.prepare(request)
        for _ in range(size):
            await response.write(BLOCK)
        await self.pause()
        return response

    async def events(self, request: web.Request) -> web.StreamResponse:
        async with web.event_stream(request, heartbeat=0.01, retry=1) as events:
            first = int(events.last_event_id or -1) + 1
            for number in range(first, first + self.dice.randrange(20)):
                await events.send("x" * self.dice.randrange(5000), id=str(number))
                await self.pause()
            if self.dice.random() < 0.3:
                await asyncio.Event().wait()
        return events

    async def wait(self, request: web.Request) -> web.Response:
        async with asyncio.timeout(1):
            await request.wait_for_disconnection()
        return web.Response(text="nobody")

    async def task(self, request: web.Request) -> web.Response:
        request.create_task(asyncio.sleep(self.dice.random() * 0.3))
        return web.Response(text="started")


class Said(logging.Handler):
    """Looks at what the server logs: an error that no handler raised on purpose is one of ours."""

    ON_PURPOSE: Final = (DeliberateError, TimeoutError)

    def __init__(self, seen: Seen) -> None:
        super().__init__(logging.WARNING)
        self.seen = seen
        self.faults: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.seen[f"logged {type(error).__name__ if error else record.levelname}"] += 1
        if record.levelno >= logging.ERROR and not isinstance(error, self.ON_PURPOSE):
            self.faults.append(logging.Formatter().format(record))


async def _serve(port: int, app: web.Application, tls: ssl.SSLContext | None, dice: random.Random, said: Said) -> None:
    """Serve for a while, stop in the midst of it all, and see that nothing is left."""
    logger = logging.Logger("endwell.test")  # noqa: LOG001  # of this test alone
    logger.addHandler(said)
    runner = web.AppRunner(
        app, logger=logger, access_log=None, shutdown_timeout=dice.choice([0, 0.1, 0.5]), read_bufsize=2**14,
        handler_cancellation=dice.random() < 0.5, keepalive_timeout=0.2, header_timeout=0.2, body_timeout=0.3,
        send_timeout=0.3, lingering_time=0.2, max_connections=dice.choice([10, 1000]),
    )  # fmt: skip
    await runner.setup()
    core = runner.server
    assert core is not None
    try:
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls, reuse_address=True).start()
        await asyncio.sleep(0.1 + dice.random() * 0.5)
    finally:
        report = await runner.cleanup()
    said.seen["served"] += core.served
    said.seen["aborted by the server"] += len(report.aborted)
    said.seen["stops"] += 1
    assert not report.errors, report
    assert not core.connections
    assert not core.work
    assert not core.tasks
    assert not core.children, [each.describe() for each in core.children]


# Clients of endwell's


async def _pieces(body: bytes, dice: random.Random) -> AsyncIterator[bytes]:
    at = 0
    while at < len(body):
        size = dice.randrange(1, 30_000)
        yield body[at : at + size]
        at += size
        if dice.random() < 0.1:
            await asyncio.sleep(dice.random() * 0.02)


async def _one(session: endwell.ClientSession, url: str, dice: random.Random, seen: Seen) -> None:
    path = dice.choice(["say?n=7", "echo", "read", "form", "early", "fail", "pour", "events", "wait", "task", "files"])
    expected: bytes | None = {"say?n=7": b"7777777777", "task": b"started"}.get(path)
    options: dict[str, Any] = {}
    method = "GET"
    if path in ("echo", "read", "early"):
        body = dice.randbytes(dice.choice([1, 1000, 200_000]))
        method, expected = "POST", body if path != "early" else None
        options = {"data": body if dice.random() < 0.5 else _pieces(body, dice), "expect100": dice.random() < 0.2}
        if dice.random() < 0.2:
            options["compress"] = "gzip"
    elif path == "form":
        expected = dice.randbytes(50_000)
        form = options["data"] = endwell.FormData()
        form.add_field("file", expected, filename="f")
        method = "POST"
    elif path == "pour":
        size = dice.choice([0, 1, 100, 3000])
        path, expected = f"pour?size={size}", BLOCK * size
    elif path == "files":
        path, expected = "files/file", FILE
        if dice.random() < 0.3:
            options["headers"] = {"Range": "bytes=1000-50000"}
            expected = FILE[1000:50001]
    timeout = endwell.ClientTimeout(total=dice.choice([0.02, 0.2, 5]), sock_read=0.5)
    async with session.request(method, url + path, timeout=timeout, **options) as response:
        seen[str(response.status)] += 1
        await _take(response, expected if response.status < 300 else None, dice, seen)


async def _take(response: endwell.ClientResponse, expected: bytes | None, dice: random.Random, seen: Seen) -> None:
    way = dice.randrange(6)
    if way <= 2:
        if response.content_type == "text/event-stream":
            numbers = []
            async with endwell.sse(response, max_reconnects=2) as events:
                async for event in events:
                    numbers.append(int(event.id))
                    if len(numbers) == 30:
                        break
            assert numbers == list(range(len(numbers)))
            return
        body = await response.read()
        assert expected is None or body == expected, (response.url, len(body), len(expected))
        seen["whole"] += 1
    elif way == 3:
        async for _ in response.content.iter_chunked(1000):
            if dice.random() < 0.1:
                await asyncio.sleep(dice.random() * 0.05)
            if dice.random() < 0.02:
                break
    elif way == 4:
        response.close()
    # else it is left unread


async def _client(session: endwell.ClientSession, url: str, dice: random.Random, end: float, seen: Seen) -> None:
    while time.monotonic() < end:
        request = asyncio.ensure_future(_one(session, url, dice, seen))
        try:
            if dice.random() < 0.2:
                await asyncio.wait([request], timeout=dice.random() * 0.02)
                request.cancel()
            await request
        except endwell.ClientConnectorError as error:
            seen[type(error).__name__] += 1
            await asyncio.sleep(0.01)  # no server, for a moment
        except (endwell.ClientError, TimeoutError, asyncio.CancelledError) as error:
            seen[type(error).__name__] += 1
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                request.cancel()
                raise


# Raw clients: pipelining, slow, faulty


async def _pipelining(port: int, tls: ssl.SSLContext | None, dice: random.Random, seen: Seen) -> None:
    """Send many requests at once, in pieces; what is answered is answered in order."""
    number = dice.randrange(1, 200)
    data = b"".join(b"GET /say?n=%05d HTTP/1.1\r\nHost: a\r\n\r\n" % each for each in range(number))
    name = "localhost" if tls is not None else None
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name)
    try:
        at = 0
        while at < len(data):
            size = dice.choice([1, 50, 10**6])
            writer.write(data[at : at + size])
            at += size
            if dice.random() < 0.2:
                await writer.drain()
        for each in range(number if dice.random() < 0.8 else dice.randrange(number)):
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"HTTP/1.1 503 "):
                assert b"Connection: close" in head, "the server has cancelled this one, and stops"
                break
            assert head.startswith(b"HTTP/1.1 200 OK\r\n"), head
            body = await reader.readexactly(50)
            assert body == b"%05d" % each * 10, (each, body)
            seen["pipelined"] += 1
            if dice.random() < 0.01:
                await asyncio.sleep(dice.random() * 0.1)
            if b"Connection: close" in head:
                break
    finally:
        if dice.random() < 0.5:
            writer.transport.abort()
        else:
            writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


FAULTY: Final = [
    b"garbage\r\n\r\n",
    b"GET /say?n=1 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET /say?n=1 HTTP/1.1\r\nHost: a\r\n\r\nand then garbage\r\n\r\n",
    b"POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
    b"POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\ntoo few",
    b"POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n",
    b"POST /form HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 4\r\n\r\nnone",
    b"POST /read HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnone",
    b"GET /pour?size=9000 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /pour?size=9000 HTTP/1.0\r\n\r\n",
    b"GET /files/file HTTP/1.1\r\nHost: a\r\n\r\n" * 5,
    b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /say?n=1 HTTP/1.1\r\nHo",
    b"\x16\x03\x01\x02\x00\x01\x00",
    b"",
]


async def _faulty(port: int, _tls: ssl.SSLContext | None, dice: random.Random, seen: Seen) -> None:
    """Say something wrong, or something whose answer is long; read a little, slowly or not; leave, one way or another.

    On a server with TLS this is no TLS at all.
    """
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await loop.sock_connect(sock, ("127.0.0.1", port))
        data = dice.choice(FAULTY)
        cut = dice.randrange(len(data) + 1)
        await loop.sock_sendall(sock, data[:cut])
        await asyncio.sleep(dice.random() * dice.choice([0, 0.1]))
        await loop.sock_sendall(sock, data[cut:])
        if dice.random() < 0.3:
            sock.shutdown(socket.SHUT_WR)
        for _ in range(dice.choice([0, 3, 1000])):
            if not await asyncio.wait_for(loop.sock_recv(sock, 5000), 0.5):
                break
        await asyncio.sleep(dice.random() * dice.choice([0, 0.5]))
        if dice.random() < 0.5:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        seen["faulty"] += 1


async def _raw(port: int, tls: ssl.SSLContext | None, dice: random.Random, end: float, seen: Seen) -> None:
    ways: list[Callable[..., Awaitable[None]]] = [_pipelining, _faulty]
    while time.monotonic() < end:
        try:
            await dice.choice(ways)(port, tls, dice, seen)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            seen[f"raw {type(error).__name__}"] += 1
            await asyncio.sleep(0.01)


async def _soak(seconds: float, seed: int, directory: pathlib.Path, *, tls: bool) -> Seen:
    seen: Seen = collections.Counter()
    dice = random.Random(seed)
    said = Said(seen)
    port = free_port()
    url = f"http{'s' * tls}://127.0.0.1:{port}/"
    handlers = Handlers(random.Random(seed + 1), directory)
    connector = endwell.TCPConnector(limit=CLIENTS // 2, ssl=client_context() if tls else True)
    trusting = client_context() if tls else None
    end = time.monotonic() + seconds
    async with endwell.ClientSession(connector=connector) as session:
        async with asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                group.create_task(_client(session, url, random.Random(seed + 10 + number), end, seen))
            for number in range(RAW_CLIENTS):
                group.create_task(_raw(port, trusting, random.Random(seed + 100 + number), end, seen))
            while time.monotonic() < end:
                await _serve(port, handlers.application(), server_context() if tls else None, dice, said)
    assert not said.faults, "\n".join(said.faults[:5])
    return seen


def _ours() -> Seen:
    """Count the living objects of endwell's classes, those of import time left out."""
    modules = (type(thing).__module__ + "." + type(thing).__qualname__ for thing in gc.get_objects())
    return collections.Counter(name for name in modules if name.startswith("endwell."))


async def _settle() -> None:
    """Let go of what is garbage, and of what that held: generators end in a pass of the loop."""
    for _ in range(3):
        gc.collect()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_after_a_soak_of_both_ends_nothing_is_left(
    tls: bool, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(FILE)
    await _soak(min(SECONDS / 2, 5), SEED, tmp_path, tls=tls)
    caplog.clear()
    await _settle()
    ours, blocks, sockets, files = _ours(), sys.getallocatedblocks(), open_sockets(), len(open_fds())
    tasks = asyncio.all_tasks()
    seen = await _soak(SECONDS, SEED + 1000, tmp_path, tls=tls)
    caplog.clear()
    await _settle()
    grown = _ours() - ours
    if os.environ.get("ENDWELL_SOAK_TELL"):
        print(dict(seen), "grown:", dict(grown), "blocks:", sys.getallocatedblocks() - blocks)  # noqa: T201
    assert asyncio.all_tasks() == tasks
    assert open_sockets() <= sockets
    assert len(open_fds()) <= files
    for what in ("whole", "pipelined", "faulty", "served", "stops"):
        assert seen[what], f"there was none of {what!r}: {seen}"
    # Caches may move by a few entries; what is kept for each request would be thousands.
    assert not {name: count for name, count in grown.items() if count > 20 and name not in CACHED}
    assert sys.getallocatedblocks() - blocks < 20_000 + seen.total()
