"""A small well-behaved HTTP/1.1 server for functional tests; nothing of endwell is in it, and no dependency.

Handlers are plain functions, `def handler(request: Request) -> Reply`; `EchoServer(routes={"/path": handler})` adds
to the routes below. A handler may be `async`, and a reply's body may be an async iterator: it is sent chunked, piece
by piece.

    /echo  method, target, path, query, headers, body (latin-1) as JSON; any method     /status/404  that status
    /bytes/1000  so many bytes     /chunked/5  so many chunks     /redirect/302?to=URL     /gzip  /deflate
    /set-cookie?name=value  /cookies  what came     /basic/user/password     /digest/user/password  (MD5 or ?a=SHA-256)
    /slow  answers when `server.release` is set     /early  answers before the body was read     /sse  three events
    /close  with Connection: close     /reject-100  417 to whoever expects 100-continue

`server.in_flight` are the requests that have no whole answer yet, `server.requests` all of them, and each of
`server.connections` says how it ended. As a proxy (`EchoServer(proxy=True, proxy_auth="user:password")`) it tunnels
CONNECT to wherever it is told and answers absolute-form targets itself. `run_in_thread` serves programs that block.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import hashlib
import inspect
import json
import re
import ssl
import threading
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.support.accepting import Accepting

REASONS = {200: "OK", 302: "Found", 404: "Not Found", 401: "Unauthorized", 407: "Proxy Authentication Required"}


class Request:
    """What a handler gets: `method`, `target` as sent, `path` and `query` decoded, `headers`, `body`."""

    def __init__(self, head: bytes, connection: Connection) -> None:
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, self.version = lines[0].split(" ")
        self.headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines[1:] if line)]
        parts = urlsplit(self.target)
        self.path = unquote(parts.path) or "/"
        self.query = dict(parse_qsl(parts.query, keep_blank_values=True))
        self.body = b""
        self.connection = connection
        self.server = connection.server

    def get(self, name: str) -> str | None:
        """Return a field's values joined by commas, or None."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None


class Reply:
    """What a handler gives: a body (bytes, str, or an async iterator: chunked), a status, more fields."""

    def __init__(
        self,
        body: bytes | str | AsyncIterator[bytes] = b"",
        status: int = 200,
        headers: Mapping[str, str] | list[tuple[str, str]] | None = None,
        content_type: str = "text/plain; charset=utf-8",
    ) -> None:
        self.body = body.encode() if isinstance(body, str) else body
        self.status = status
        self.headers = list(headers.items() if isinstance(headers, Mapping) else headers or [])
        self.content_type = content_type


Handler = Callable[[Request], Reply | Awaitable[Reply]]


class Connection(asyncio.Protocol):
    """One client's connection: requests one after the other; `ended` is None, `"fin"` or an exception's name."""

    def __init__(self, server: EchoServer) -> None:
        self.server = server
        self.ended: str | None = None
        self.requests: list[Request] = []
        self._buffer = bytearray()
        self._eof = False
        self._wake = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.server.connections.append(self)
        self.task = asyncio.get_running_loop().create_task(self._serve())
        self.server.tasks.add(self.task)
        self.task.add_done_callback(self.server.tasks.discard)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._wake.set()

    def eof_received(self) -> bool:
        self._eof = True
        self._wake.set()
        return False

    def connection_lost(self, error: BaseException | None) -> None:
        self.ended = type(error).__name__ if error else "fin"
        self._eof = True
        self._wake.set()
        self._writable.set()
        if asyncio.current_task() is not self.task:
            self.task.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def _more(self) -> None:
        if self._eof:
            raise EOFError
        self._wake.clear()
        await self._wake.wait()
        if self._eof and not self._buffer:
            raise EOFError

    async def read_until(self, end: bytes) -> bytes:
        """Return what comes before `end` and take both away."""
        while (position := self._buffer.find(end)) < 0:
            await self._more()
        data = bytes(self._buffer[:position])
        del self._buffer[: position + len(end)]
        return data

    async def read_exactly(self, size: int) -> bytes:
        """Return so many bytes."""
        while len(self._buffer) < size:
            await self._more()
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    async def write(self, data: bytes) -> None:
        """Write, and wait while the client is slow."""
        self.transport.write(data)
        await self._writable.wait()

    async def _serve(self) -> None:
        with contextlib.suppress(EOFError, ConnectionError):
            while await self._serve_one():
                pass
        self.transport.close()

    async def _serve_one(self) -> bool:
        request = Request(await self.read_until(b"\r\n\r\n"), self)
        self.requests.append(request)
        self.server.requests.append(request)
        self.server.in_flight.append(request)
        try:
            if self.server.proxy and (refusal := self.server.refuse(request)) is not None:
                await self._read_body(request)
                return await self._send(request, refusal)
            if request.method == "CONNECT":
                await self._tunnel(request)
                return False
            if request.path == "/early":
                await self._send(request, Reply("early", headers={"Connection": "close"}))
                return False
            if request.path == "/reject-100" and request.get("Expect"):
                await self._send(request, Reply("no", 417, {"Connection": "close"}))
                return False
            await self._read_body(request)
            reply = self.server.find(request)(request)
            return await self._send(request, await reply if inspect.isawaitable(reply) else reply)
        finally:
            self.server.in_flight.remove(request)

    async def _read_body(self, request: Request) -> None:
        if (request.get("Expect") or "").lower() == "100-continue":
            await self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if request.get("Transfer-Encoding"):
            while size := int((await self.read_until(b"\r\n")).partition(b";")[0], 16):
                request.body += await self.read_exactly(size)
                await self.read_exactly(2)
            await self.read_until(b"\r\n")
        else:
            request.body = await self.read_exactly(int(request.get("Content-Length") or 0))

    async def _send(self, request: Request, reply: Reply) -> bool:
        tokens = ", ".join(v for k, v in [*request.headers, *reply.headers] if k.lower() == "connection").lower()
        keep = "close" not in tokens and (request.version == "HTTP/1.1" or "keep-alive" in tokens)
        whole = isinstance(reply.body, bytes)
        head = [f"HTTP/1.1 {reply.status} {REASONS.get(reply.status, 'Whatever')}"]
        if reply.status not in (204, 304):
            head += [f"Content-Type: {reply.content_type}"]
            head += [
                f"Content-Length: {len(reply.body)}" if isinstance(reply.body, bytes) else "Transfer-Encoding: chunked"
            ]
        head += [f"{name}: {value}" for name, value in reply.headers]
        if not keep and "close" not in ", ".join(v for k, v in reply.headers if k.lower() == "connection"):
            head.append("Connection: close")
        body = reply.body if whole and request.method != "HEAD" and reply.status not in (204, 304) else b""
        assert isinstance(body, bytes)
        await self.write("\r\n".join([*head, "", ""]).encode("latin-1") + body)
        if not isinstance(reply.body, bytes) and request.method != "HEAD":
            async for piece in reply.body:
                await self.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await self.write(b"0\r\n\r\n")
        return keep

    async def _tunnel(self, request: Request) -> None:
        host, _, port = request.target.rpartition(":")
        self.server.tunnels.append(request.target)
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        try:
            await self.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = asyncio.get_running_loop().create_task(self._pump_back(reader))
            try:
                with contextlib.suppress(EOFError, ConnectionError):
                    while True:
                        if not self._buffer:
                            await self._more()
                        writer.write(bytes(self._buffer))
                        self._buffer.clear()
                        await writer.drain()
            finally:
                back.cancel()
                await asyncio.gather(back, return_exceptions=True)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _pump_back(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(65536):
            await self.write(data)
        self.transport.close()


class EchoServer:
    """The server; an async context manager. `tls` is a server's context, `path` a Unix socket's."""

    def __init__(
        self,
        routes: Mapping[str, Handler] | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        path: str | None = None,
        proxy: bool = False,
        proxy_auth: str | None = None,
    ) -> None:
        self.routes = {**ROUTES, **(routes or {})}
        self.tls = tls
        self.path = path
        self.proxy = proxy
        self.proxy_auth = proxy_auth
        self.connections: list[Connection] = []
        self.requests: list[Request] = []
        self.in_flight: list[Request] = []
        self.tunnels: list[str] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.release = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._accepting = Accepting(lambda: Connection(self), tls=self.tls, path=self.path, tasks=self.tasks)
        await self._accepting.__aenter__()
        if self.path is None:
            self.port = self._accepting.port
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._accepting.__aexit__()
        for connection in self.connections:
            if connection.ended is None:
                connection.transport.abort()
        while any(connection.ended is None for connection in self.connections):
            await asyncio.sleep(0)

    def url(self, target: str = "/", host: str = "127.0.0.1") -> str:
        """Return a URL of this server."""
        return f"http{'s' if self.tls else ''}://{host}:{self.port}{target}"

    def find(self, request: Request) -> Handler:
        """Return the handler of a path: the whole path, or its first part for routes that take the rest."""
        first = "/" + request.path.split("/")[1]
        return self.routes.get(request.path) or self.routes.get(first) or (lambda _: Reply("nothing here", 404))

    def refuse(self, request: Request) -> Reply | None:
        """Return the 407 for a request without the proxy's credentials."""
        if self.proxy_auth is None or _credentials(request.get("Proxy-Authorization")) == self.proxy_auth:
            return None
        return Reply("who are you?", 407, {"Proxy-Authenticate": 'Basic realm="proxy"'})

    async def wait_in_flight(self, number: int) -> None:
        """Wait until so many requests are in flight."""
        while len(self.in_flight) != number:
            await asyncio.sleep(0)


@contextlib.contextmanager
def run_in_thread(**kwargs: Any) -> Iterator[EchoServer]:
    """Serve from a thread with a loop of its own, for commands and other programs that block."""
    ready: Any = threading.Event()
    state: dict[str, Any] = {}

    async def main() -> None:
        state["stop"] = asyncio.Event()
        state["loop"] = asyncio.get_running_loop()
        async with EchoServer(**kwargs) as server:
            state["server"] = server
            ready.set()
            await state["stop"].wait()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert ready.wait(10), "the server did not start"
    try:
        yield state["server"]
    finally:
        state["loop"].call_soon_threadsafe(state["stop"].set)
        thread.join()


# -- handlers


def _credentials(value: str | None) -> str | None:
    scheme, _, token = (value or "").partition(" ")
    return base64.b64decode(token).decode() if scheme.lower() == "basic" else None


def _echo(request: Request) -> Reply:
    names = ("method", "target", "path", "query", "headers")
    facts = {name: getattr(request, name) for name in names} | {"body": request.body.decode("latin-1")}
    return Reply(json.dumps(facts), content_type="application/json")


def _number(request: Request) -> int:
    return int(request.path.rsplit("/", 1)[1])


def _bytes(request: Request) -> Reply:
    size = _number(request)
    return Reply((bytes(range(256)) * (size // 256 + 1))[:size], content_type="application/octet-stream")


def _chunked(request: Request) -> Reply:
    async def chunks() -> AsyncIterator[bytes]:
        for number in range(_number(request)):
            yield b"chunk %d\n" % number

    return Reply(chunks())


def _redirect(request: Request) -> Reply:
    return Reply(b"", _number(request), {"Location": request.query["to"]})


def _basic(request: Request) -> Reply:
    if _credentials(request.get("Authorization")) == ":".join(request.path.split("/")[2:4]):
        return Reply("welcome")
    return Reply("who are you?", 401, {"WWW-Authenticate": 'Basic realm="echo"'})


def _digest(request: Request) -> Reply:
    _, _, user, password = request.path.split("/")[:4]
    algorithm = request.query.get("a", "MD5")
    digest = hashlib.md5 if algorithm == "MD5" else hashlib.sha256

    def h(text: str) -> str:
        return digest(text.encode()).hexdigest()

    found = re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', request.get("Authorization") or "")
    sent = {name: quoted or plain for name, quoted, plain in found}
    a1, a2 = f"{user}:echo:{password}", f"{request.method}:{sent.get('uri')}"
    if sent.get("uri") == request.target and sent.get("username") == user and sent.get("nonce") == "n0nce":
        middle = ":".join(sent.get(name, "") for name in ("nonce", "nc", "cnonce", "qop"))
        if sent.get("response") == h(f"{h(a1)}:{middle}:{h(a2)}"):
            return Reply("welcome")
    challenge = f'Digest realm="echo", nonce="n0nce", qop="auth", algorithm={algorithm}, opaque="0pa"'
    return Reply("who are you?", 401, {"WWW-Authenticate": challenge})


async def _slow(request: Request) -> Reply:
    await request.server.release.wait()
    return Reply("released")


def _sse(request: Request) -> Reply:
    async def events() -> AsyncIterator[bytes]:
        last = int(request.get("Last-Event-ID") or 0)
        for number in range(last + 1, last + 4):
            yield b"id: %d\nevent: tick\ndata: number %d\ndata: more\n\n" % (number, number)

    return Reply(events(), content_type="text/event-stream")


ROUTES: dict[str, Handler] = {
    "/": lambda _: Reply("hello"),
    "/echo": _echo,
    "/bytes": _bytes,
    "/chunked": _chunked,
    "/status": lambda r: Reply(f"status {_number(r)}", _number(r)),
    "/redirect": _redirect,
    "/gzip": lambda _: Reply(gzip.compress(b"compressed " * 100), headers={"Content-Encoding": "gzip"}),
    "/deflate": lambda _: Reply(zlib.compress(b"compressed " * 100), headers={"Content-Encoding": "deflate"}),
    "/set-cookie": lambda r: Reply("set", headers=[("Set-Cookie", f"{k}={v}; Path=/") for k, v in r.query.items()]),
    "/cookies": lambda r: Reply(r.get("Cookie") or ""),
    "/basic": _basic,
    "/digest": _digest,
    "/slow": _slow,
    "/early": lambda _: Reply("early"),
    "/sse": _sse,
    "/close": lambda _: Reply("bye", headers={"Connection": "close"}),
    "/reject-100": lambda _: Reply("accepted without expectation"),
}
