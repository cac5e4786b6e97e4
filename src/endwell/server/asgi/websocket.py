"""One WebSocket in the hands of an ASGI application: what it calls as `receive` and `send` (RFC 6455).

Used by `handler`. The handshake is judged before the application is called: what is no WebSocket is refused without it.
It then accepts, which switches the connection, or refuses: with 403, or with a response of its own (the extension
`websocket.http.response`), which goes the way of all responses.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from endwell.connection.websocket import WebSocket
from endwell.server.asgi.response_fields import read_fields
from endwell.server.asgi.scope import websocket_scope
from endwell.server.response_head import date_and_server, status_line
from endwell.wire.websocket import HandshakeError, MessageReader, MessageWriter, WSCloseCode, WSMessage, WSMsgType
from endwell.wire.websocket.handshake import Agreement, answer

if TYPE_CHECKING:
    from endwell.server.asgi.core import AsgiCore
    from endwell.server.asgi.exchange import AsgiExchange
    from endwell.server.asgi.interface import Message
    from endwell.wire.http1.request_head import RequestHead

__all__ = ("AsgiWebSocket", "WebSocketSettings", "asks_for_websocket", "call_with_websocket")

_TEXT: Final = WSMsgType.TEXT
_BINARY: Final = WSMsgType.BINARY
_UPGRADE: Final = b"\r\nupgrade:"
_PROTOCOLS: Final = b"\r\nsec-websocket-protocol:"
_OURS: Final = frozenset({b"upgrade", b"sec-websocket-accept", b"sec-websocket-extensions", b"sec-websocket-protocol"})
_DENIAL: Final = "websocket."


class WebSocketSettings:
    """How the WebSockets of a server are: `WebSocketResponse` has the same arguments."""

    __slots__ = ("close_timeout", "compress", "heartbeat", "max_msg_size", "writer_limit")

    def __init__(
        self,
        *,
        max_msg_size: int = 16 * 2**20,
        heartbeat: float | None = 30.0,
        compress: bool = True,
        close_timeout: float = 10.0,
        writer_limit: int = 2**18,
    ) -> None:
        self.max_msg_size = max_msg_size
        self.heartbeat = heartbeat
        self.compress = compress
        self.close_timeout = close_timeout
        self.writer_limit = writer_limit


def asks_for_websocket(head: RequestHead) -> bool:
    """Tell whether a request wants to go on as a WebSocket; any other protocol is ignored (RFC 9110 section 7.8)."""
    if head.method != "GET" or not head.upgrade:
        return False
    return any(b"websocket" in line.lower().replace(b" ", b"").split(b",") for line in head.every(_UPGRADE))


async def call_with_websocket(core: AsgiCore, exchange: AsgiExchange) -> bool:
    """Call the application for a WebSocket; tell whether the handshake was answered.

    Raises what the application raises; the connection is still to be ended then.
    """
    head = exchange.head
    try:
        if head.has_body:
            message = "A request for a WebSocket has no body"
            raise HandshakeError(message)
        agreement = answer(head.method, head.version, head.headers, (), core.websockets.compress)
    except HandshakeError as error:
        core.logger.warning("%d for %s: %s", error.status, exchange.describe(), error)
        fields = [(name.encode(), value.encode()) for name, value in (error.fields or {}).items()]
        exchange.refuse(error.status, f" ({error})", fields)
        return True
    subprotocols = [name.strip(" \t") for line in head.every(_PROTOCOLS) for name in line.decode("latin-1").split(",")]
    websocket = AsgiWebSocket(core, exchange, agreement, subprotocols)
    scope = websocket_scope(core, exchange, subprotocols)
    try:
        await core.app(scope, websocket.receive, websocket.send)
    finally:
        if websocket.accepted:
            exchange.log()
    websocket.close()
    return websocket.accepted or exchange.complete


class AsgiWebSocket:
    """A WebSocket that an ASGI application serves."""

    __slots__ = (
        "_agreement", "_core", "_exchange", "_offered", "_opened", "_received", "_receiving", "_said", "_ws",
        "sent_code",
    )  # fmt: skip

    def __init__(self, core: AsgiCore, exchange: AsgiExchange, agreement: Agreement, offered: list[str]) -> None:
        self._core = core
        self._exchange = exchange
        self._agreement = agreement
        self._offered = offered
        self._ws: WebSocket | None = None
        self._opened: asyncio.Future[None] | None = None
        self._receiving = False
        self._received: asyncio.Future[None] | None = None
        self._said = False
        self.sent_code: int | None = None
        """That of the application's own close."""

    # What the application calls: receive

    async def receive(self) -> Message:
        """Give the next event: websocket.connect, messages, websocket.disconnect for ever.

        Any number of tasks may wait; each message is given to one of them.
        """
        if not self._said:
            self._said = True
            return {"type": "websocket.connect"}
        ws = self._ws
        if ws is None:
            await self._answered()
            ws = self._ws
            if ws is None:
                return self._disconnect(WSCloseCode.ABNORMAL_CLOSURE, "")
        message: WSMessage | None = None
        while message is None and not ws.queue and ws.open:
            message = await self._arrival(ws)
        if message is None:
            message = ws.take()
        kind = message[0]
        if kind is _TEXT:
            return {"type": "websocket.receive", "text": message[1]}
        if kind is _BINARY:
            return {"type": "websocket.receive", "bytes": message[1]}
        return self._last(ws, message)

    async def _arrival(self, ws: WebSocket) -> WSMessage | None:
        """Wait for the next message, or for others to have waited; None says to look again."""
        if self._receiving:
            if self._received is None:
                self._received = self._core.loop.create_future()
            await asyncio.wait([self._received])
            return None
        self._receiving = True
        waiter = ws.arrival()
        try:
            return await waiter
        except asyncio.CancelledError:
            ws.give_back(waiter)
            raise
        finally:
            self._receiving = False
            received, self._received = self._received, None
            if received is not None:
                received.set_result(None)

    async def _answered(self) -> None:
        """Return when the application has answered the handshake, or the client has gone."""
        exchange = self._exchange
        if exchange.disconnected or exchange.complete:
            return
        if self._opened is None:
            self._opened = self._core.loop.create_future()
        await asyncio.wait([self._opened, exchange.leaving()], return_when=asyncio.FIRST_COMPLETED)

    def _last(self, ws: WebSocket, message: WSMessage) -> Message:
        """Say how it ended; the code is that of whoever was the first to close."""
        if message.type is WSMsgType.CLOSE:
            return self._disconnect(message.data or _NO_STATUS, message.extra or "")
        if self.sent_code is not None:
            return self._disconnect(self.sent_code, "")
        if message.type is WSMsgType.CLOSING:
            return self._disconnect(WSCloseCode.GOING_AWAY, "")
        reason = str(message.data) if message.type is WSMsgType.ERROR else ""
        return self._disconnect(ws.close_code or WSCloseCode.ABNORMAL_CLOSURE, reason)

    def _disconnect(self, code: int, reason: str) -> Message:
        self._exchange.told = True
        return {"type": "websocket.disconnect", "code": int(code), "reason": reason}

    # What the application calls: send

    async def send(self, message: Message) -> None:
        """Take an event of the application; returns when the client keeps up.

        Raises:
            ConnectionResetError: the WebSocket is closed, or closing, and not by the application.
            RuntimeError: the events are in the wrong order.
            ValueError, TypeError: what is in them can't be sent.

        """
        kind = message["type"]
        ws = self._ws
        if ws is not None and kind == "websocket.send":
            if self.sent_code is not None:
                raise self._out_of_order(kind)
            if not ws.open:
                self._exchange.told = True
            text = message.get("text")
            data = message.get("bytes")
            rest = ws.send(_TEXT, _text(text)) if text is not None else ws.send(_BINARY, _bytes(data))
            if rest is not None:
                await rest
        elif ws is not None and kind == "websocket.close":
            if self.sent_code is not None:
                raise self._out_of_order(kind)
            code = message.get("code", 1000)
            code = 1000 if code is None else code
            ws.close(code, (message.get("reason") or "").encode())
            self.sent_code = code
        elif ws is None and not self._exchange.complete:
            await self._answer(kind, message)
        else:
            raise self._out_of_order(kind)

    async def _answer(self, kind: str, message: Message) -> None:
        """Take what the application says to the handshake."""
        exchange = self._exchange
        if kind in ("websocket.http.response.start", "websocket.http.response.body"):
            await exchange.respond({**message, "type": kind[len(_DENIAL) :]})
        elif exchange.fields is not None:
            raise self._out_of_order(kind)
        elif kind == "websocket.accept":
            exchange.check_client()
            self._accept(message)
        elif kind == "websocket.close":
            await exchange.respond({"type": "http.response.start", "status": 403})
            await exchange.respond({"type": "http.response.body"})
        else:
            raise self._out_of_order(kind)

    def _accept(self, message: Message) -> None:
        exchange = self._exchange
        settings = self._core.websockets
        agreed = self._agreement.fields
        subprotocol = message.get("subprotocol")
        if subprotocol is not None:
            if subprotocol not in self._offered:
                text = f"The client did not offer subprotocol {subprotocol!r}, it would end the connection: offered are"
                raise ValueError(f"{text} {self._offered!r}"[:1000])
            agreed["Sec-WebSocket-Protocol"] = subprotocol
        fields = read_fields(message.get("headers") or ())
        for name, _ in fields.pairs:
            if name.lower() in _OURS:
                text = f"Field {name!r} of a handshake is the server's to send; a subprotocol is `subprotocol`"
                raise ValueError(text)
        lines = "".join([f"{name}: {value}\r\n" for name, value in agreed.items()]).encode()
        ours = b"" if fields.has_date or fields.has_server else date_and_server()
        head = b"".join((status_line(101, None, 1), ours, lines, fields.lines, b"\r\n"))
        connection, rest = exchange.switch(head)
        deflate = self._agreement.deflate
        ws = self._ws = connection.websocket = WebSocket(
            connection,
            MessageReader(masked=True, max_msg_size=settings.max_msg_size, deflate=deflate),
            MessageWriter(masked=False, deflate=deflate),
            client=False,
            heartbeat=settings.heartbeat,
            close_timeout=settings.close_timeout,
        )
        exchange.fields = fields
        connection.resume_reading()
        ws.take_over(rest, settings.writer_limit)
        if exchange.stopping:
            ws.go_away()
        if self._opened is not None and not self._opened.done():
            self._opened.set_result(None)

    @property
    def accepted(self) -> bool:
        """Whether the handshake is done."""
        return self._ws is not None

    def close(self) -> None:
        """Close, if the application has returned and has not."""
        if self._ws is not None:
            self._ws.close(WSCloseCode.OK, b"")

    def _out_of_order(self, kind: Any) -> RuntimeError:
        if self._ws is not None and self.sent_code is not None:
            where = "after 'websocket.close'"
        elif self._ws is not None:
            where = "where 'websocket.send' or 'websocket.close' was expected"
        elif self._exchange.complete:
            where = "after the handshake was refused"
        elif self._exchange.fields is not None:
            where = "where 'websocket.http.response.body' was expected"
        else:
            where = "where 'websocket.accept', 'websocket.close' or 'websocket.http.response.start' was expected"
        message = f"{kind!r} was sent {where}: {self._exchange.describe()}"
        return RuntimeError(message)


_NO_STATUS: Final = 1005
"""The code of a close frame that has none (RFC 6455 section 7.4.1)."""


def _text(text: Any) -> bytes:
    if isinstance(text, str):
        return text.encode()
    message = f"'text' of websocket.send is a str, not {type(text).__name__}"
    raise TypeError(message)


def _bytes(data: Any) -> bytes:
    if isinstance(data, bytes):
        return data
    if isinstance(data, (bytearray, memoryview)):
        return bytes(data)
    message = f"websocket.send has 'text', a str, or 'bytes', not {type(data).__name__}"
    raise TypeError(message)
