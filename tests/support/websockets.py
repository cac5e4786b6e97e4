"""WebSockets for tests: frames made by hand, an upgrade made by hand, and both ends of one connection.

    async with pair(tls=True, client={"heartbeat": 1}, server={"max_msg_size": 100}) as both:
        await both.client.send_str("hello")
        assert (await both.server.receive()).data == "hello"

`pair` has endwell at both ends, over a real socket. Tests of the message API say `ends(both, role)` and so hold for
either role. The frames here are put together without any code of endwell's.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

import endwell
from endwell import web
from tests.support.serving import RunningServer, serving
from tests.support.tls import client_context, server_context

TLS = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
ROLES = pytest.mark.parametrize("role", ["client", "server"])
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # the example of RFC 6455 section 1.3
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def xor(data: bytes, key: bytes) -> bytes:
    """Mask, or unmask (RFC 6455 section 5.3)."""
    long = (key * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(long, "big")).to_bytes(len(data), "big")


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = None,
    length: int | None = None,
    wide: int = 0,
) -> bytes:
    """Put a frame together: `mask` is the key, `length` lies about the size, `wide` (2, 8) is the size of the size."""
    size = len(payload) if length is None else length
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    masked = 0x80 if mask is not None else 0
    if wide == 0 and size < 126:
        head += bytes([masked | size])
    elif wide == 2 or (wide == 0 and size < 65536):
        head += struct.pack("!BH", masked | 126, size)
    else:
        head += struct.pack("!BQ", masked | 127, size)
    return head + payload if mask is None else head + mask + xor(payload, mask)


def masked(opcode: int, payload: bytes = b"", **how: Any) -> bytes:
    """Put a client's frame together."""
    return frame(opcode, payload, **{"mask": b"\x01\x02\x03\x04"} | how)


def closing(code: int | None = None, reason: bytes = b"") -> bytes:
    """Give the payload of a close frame."""
    return b"" if code is None else struct.pack("!H", code) + reason


class Frame:
    """A frame as it came: `fin`, `rsv`, `opcode`, `payload` (unmasked), `mask` (the key or None)."""

    def __init__(self, first: int, payload: bytes, mask: bytes | None) -> None:
        self.fin = bool(first & 0x80)
        self.rsv = first >> 4 & 7
        self.opcode = first & 15
        self.mask = mask
        self.payload = payload if mask is None else xor(payload, mask)

    def __repr__(self) -> str:
        return f"<{self.opcode}{'' if self.fin else ' to go on'} rsv={self.rsv} {self.payload[:60]!r}>"

    @property
    def code(self) -> int | None:
        """The code of a close frame."""
        assert self.opcode == CLOSE, self
        return int.from_bytes(self.payload[:2], "big") if self.payload else None

    @property
    def reason(self) -> str:
        """The reason of a close frame."""
        assert self.opcode == CLOSE, self
        return self.payload[2:].decode()


async def read_frame(exactly: Callable[[int], Awaitable[bytes]]) -> Frame:
    """Read a frame by a function that reads so many bytes (and raises at the end)."""
    first, second = await exactly(2)
    size = second & 127
    if size == 126:
        size = int.from_bytes(await exactly(2), "big")
    elif size == 127:
        size = int.from_bytes(await exactly(8), "big")
    mask = await exactly(4) if second & 0x80 else None
    return Frame(first, await exactly(size) if size else b"", mask)


def upgrade(*fields: str, target: str = "/ws", key: str = KEY, without: tuple[str, ...] = ()) -> bytes:
    """Give the bytes of a good opening handshake, with more fields, or without some (names in lower case)."""
    lines = [
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
    ]
    kept = [line for line in lines if line.partition(":")[0].lower() not in without]
    return "\r\n".join([f"GET {target} HTTP/1.1", *kept, *fields, "", ""]).encode("latin-1")


def accept(key: str) -> str:
    """Give what a server answers to a key (RFC 6455 section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()


def switching(key: str | None, *fields: str) -> bytes:
    """Give the bytes of a good answer to a handshake with this key."""
    assert key is not None
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    return "\r\n".join([*lines, f"Sec-WebSocket-Accept: {accept(key)}", *fields, "", ""]).encode("latin-1")


# Both ends


class Pair:
    """Both ends of a WebSocket.

    Attributes:
        client: the client's end; `session` is whose it is.
        server: the server's end; `request` is what its handler was called with.
        running: the server.
        leave: set, it lets the handler return.
        handled: a future: the handler returned (the result is True), or raised.

    """

    client: endwell.ClientWebSocketResponse
    session: endwell.ClientSession
    server: web.WebSocketResponse
    request: web.Request
    running: RunningServer

    def __init__(self) -> None:
        self.leave = asyncio.Event()
        self.handled: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    @property
    def url(self) -> str:
        """The URL of the WebSocket."""
        return str(self.running.url / "ws")


def ends(both: Pair, role: str) -> tuple[Any, Any]:
    """Give the end that a test is about, and the other."""
    return (both.client, both.server) if role == "client" else (both.server, both.client)


def trusting(**kwargs: Any) -> endwell.TCPConnector:
    """Make a connector that trusts the servers of the tests."""
    return endwell.TCPConnector(ssl=client_context(), **kwargs)


@contextlib.asynccontextmanager
async def pair(
    *,
    tls: bool = False,
    client: dict[str, Any] | None = None,
    server: dict[str, Any] | None = None,
    session: dict[str, Any] | None = None,
    connector: dict[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[Pair]:
    """Connect a client to a server and give both ends; arguments are for `ws_connect`, `WebSocketResponse` and so on.

    At the end of a block that did not fail, both ends are closed, whatever the block did.
    """
    both = Pair()
    met: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def handler(request: web.Request) -> web.WebSocketResponse:
        try:
            both.request = request
            both.server = web.WebSocketResponse(**server or {})
            await both.server.prepare(request)
            met.set_result(None)
            await both.leave.wait()
            both.handled.set_result(True)
        except BaseException as error:
            for future in (met, both.handled):
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # looked at
            raise
        return both.server

    app = web.Application()
    app.router.add_get("/ws", handler)
    context = server_context() if tls else None
    async with serving(app, tls=context, host="localhost" if tls else "127.0.0.1", **settings) as both.running:
        async with endwell.ClientSession(connector=trusting(**connector or {}), **session or {}) as both.session:
            both.client = await both.session.ws_connect(both.url, **client or {})
            await met
            yield both
            both.leave.set()
            await both.client.close()


async def ended(both: Pair) -> None:
    """Let the handler return, and wait until it has."""
    both.leave.set()
    await asyncio.wait([both.handled])
