"""What users see of a WebSocket: aiohttp's message API, for both roles.

The base of `ClientWebSocketResponse` (`client.websocket`) and of `WebSocketResponse` (`server.websocket`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Final, Self

from endwell.http.typedefs import JSONEncoder
from endwell.wire.websocket import CLOSED_MESSAGE, WSCloseCode, WSMessage, WSMessageTypeError, WSMsgType

if TYPE_CHECKING:
    from endwell.connection.websocket import WebSocket

__all__ = ("Messages",)

_TEXT: Final = WSMsgType.TEXT
_BINARY: Final = WSMsgType.BINARY
_LAST: Final = frozenset({WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED})


class Messages:
    """Sends and receives messages.

    One task receives; any may send. `async for message in ws` gives messages until the WebSocket is closed, by either
    end.
    """

    # A subclass may have slots, or not: the defaults are for one that sets them late.
    _ws: WebSocket | None = None
    _receive_timeout: float | None = None
    _autoclose: bool = True
    _decode_text: bool = True
    _closed: bool = False
    _own_receive: bool = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._own_receive = cls.receive is not Messages.receive

    def _there(self) -> WebSocket:
        """Give the WebSocket, which must be there."""
        if self._ws is None:
            message = "Call .prepare() first"
            raise RuntimeError(message)
        return self._ws

    # How it stands

    @property
    def closed(self) -> bool:
        """Whether nothing more can be received: `close` was called, or the last message was taken."""
        return self._closed

    @property
    def close_code(self) -> int | None:
        """The code of the peer's close frame, 1005 if it had none, 1006 if none came; None before the end."""
        return None if self._ws is None else self._ws.close_code

    def exception(self) -> BaseException | None:
        """Give what ended the WebSocket when it was no close frame."""
        return None if self._ws is None else self._ws.error

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Ask the transport (see `asyncio.BaseTransport.get_extra_info`)."""
        return default if self._ws is None else self._ws.below.get_extra_info(name, default)

    # Receiving

    async def receive(self, timeout: float | None = None) -> WSMessage:
        """Return the next message: TEXT, BINARY, or one that says how it ends.

        Those are CLOSE (the peer closes: `data` is the code, `extra` the reason), CLOSING (we do), ERROR (`data` is the
        exception) and CLOSED. PING and PONG come only without ``autoping``.

        Args:
            timeout: seconds to wait, ``receive_timeout`` by default.

        Raises:
            TimeoutError: nothing came; the WebSocket is as it was.
            RuntimeError: another task receives, or the WebSocket is not there yet.

        Cancelled, it loses no message.
        """
        ws = self._ws
        if ws is None:
            ws = self._there()
        if self._closed:
            return self._nothing_more()
        message: WSMessage | None = None
        if not ws.queue:
            timeout = timeout or self._receive_timeout
            waiter = ws.arrival()
            timer = ws.loop.call_later(timeout, _expire, waiter, timeout) if timeout else None
            try:
                message = await waiter
            except asyncio.CancelledError:
                ws.give_back(waiter)
                raise
            finally:
                if timer is not None:
                    timer.cancel()
        elif ws.receiving:
            ws.arrival()  # which says that it is one too many
        return self._taken(ws.take()) if message is None else message

    def _nothing_more(self) -> WSMessage:
        """Give what there is after the end."""
        return CLOSED_MESSAGE

    def _taken(self, message: WSMessage) -> WSMessage:
        """Note whether more can follow, and give the message."""
        kind = message[0]
        if kind is not _TEXT and kind is not _BINARY and (kind in _LAST or kind is WSMsgType.ERROR):
            self._closed = kind is not WSMsgType.CLOSE or self._autoclose
        return message

    async def receive_str(self, *, timeout: float | None = None) -> str:
        """Return the text of the next message.

        Raises:
            WSMessageTypeError: it is not TEXT.
            TimeoutError, RuntimeError: as `receive`.

        """
        message = await self.receive(timeout)
        if message.type is not _TEXT:
            raise _unexpected(message, "TEXT")
        text: str = message.data
        return text

    async def receive_bytes(self, *, timeout: float | None = None) -> bytes:
        """Return the bytes of the next message.

        Raises:
            WSMessageTypeError: it is not BINARY.
            TimeoutError, RuntimeError: as `receive`.

        """
        message = await self.receive(timeout)
        if message.type is not _BINARY:
            raise _unexpected(message, "BINARY")
        data: bytes = message.data
        return data

    async def receive_json(self, *, loads: Callable[[Any], Any] = json.loads, timeout: float | None = None) -> Any:
        """Return what `loads` makes of the text of the next message.

        Raises:
            WSMessageTypeError: it is not TEXT.
            ValueError: it is no JSON.
            TimeoutError, RuntimeError: as `receive`.

        """
        message = await self.receive(timeout)
        if message.type is not _TEXT:
            raise _unexpected(message, "TEXT")
        return loads(message.data)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> WSMessage:
        ws = self._ws
        message: WSMessage | None
        if self._own_receive or ws is None or ws.queue or self._closed or self._receive_timeout:
            message = await self.receive()
        else:
            # As in `receive`, without another coroutine for each message.
            waiter = ws.arrival()
            try:
                message = await waiter
            except asyncio.CancelledError:
                ws.give_back(waiter)
                raise
            if message is not None:
                return message  # what comes so is data
            message = self._taken(ws.take())
        if message.type not in _LAST:
            return message
        if message.type is WSMsgType.CLOSING:
            await asyncio.wait([self._there().over()])  # so that `close_code` is true behind the loop
        raise StopAsyncIteration

    # Sending

    async def send_str(self, data: str, compress: int | None = None, *, fragment_size: int | None = None) -> None:
        """Send a text.

        Args:
            data: the text.
            compress: bits of the window with which this message is compressed, 9 to 15; 0 for not at all, None as
                agreed on. Without an agreement on permessage-deflate nothing is compressed.
            fragment_size: bytes after which the message is cut into fragments; None for one frame.

        Returns when the peer keeps up: a slow one makes its senders wait.

        Raises:
            TypeError: `data` is no str.
            ConnectionResetError: the WebSocket is closed, or closing; a client's is a `ClientConnectionResetError`.

        Cancelled while it waits, it has sent nothing, unless the message is in fragments: then the WebSocket closes.
        """
        if not isinstance(data, str):
            message = f"data argument must be str ({type(data)!r})"
            raise TypeError(message)
        ws = self._ws or self._there()
        if fragment_size is not None:
            await ws.send_fragments(_TEXT, _pieces(data.encode(), fragment_size))
            return
        rest = ws.send(_TEXT, data.encode(), compress)
        if rest is not None:
            await rest

    async def send_bytes(
        self, data: bytes | bytearray | memoryview, compress: int | None = None, *, fragment_size: int | None = None
    ) -> None:
        """Send bytes; see `send_str` for the rest."""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            message = f"data argument must be byte-ish ({type(data)!r})"
            raise TypeError(message)
        payload = data if type(data) is bytes else bytes(data)
        ws = self._ws or self._there()
        if fragment_size is not None:
            await ws.send_fragments(_BINARY, _pieces(payload, fragment_size))
            return
        rest = ws.send(_BINARY, payload, compress)
        if rest is not None:
            await rest

    async def send_json(self, data: Any, compress: int | None = None, *, dumps: JSONEncoder = json.dumps) -> None:
        """Send a text: what `dumps` makes of `data`. See `send_str`."""
        await self.send_str(dumps(data), compress)

    async def send_json_bytes(self, data: Any, compress: int | None = None, *, dumps: Callable[[Any], bytes]) -> None:
        """Send bytes: what `dumps` makes of `data`. See `send_str`."""
        await self.send_bytes(dumps(data), compress)

    async def send_frame(self, message: bytes, opcode: WSMsgType, compress: int | None = None) -> None:
        """Send a message of this type, as bytes that are not looked at: a text must be UTF-8.

        Raises:
            ValueError: the type is none of TEXT, BINARY, PING and PONG.
            ConnectionResetError: as `send_str`.

        """
        ws = self._ws or self._there()
        if opcode in (WSMsgType.PING, WSMsgType.PONG):
            await ws.control(opcode, message)
        elif opcode in (_TEXT, _BINARY):
            rest = ws.send(opcode, message, compress)
            if rest is not None:
                await rest
        else:
            what = f"send_frame() sends TEXT, BINARY, PING and PONG, not {opcode!r}: see send_stream() and close()"
            raise ValueError(what)

    async def send_stream(self, pieces: AsyncIterable[str | bytes], *, text: bool = False) -> None:
        """Send one message whose size is not known, each piece as it comes, as a fragment.

        Args:
            pieces: str of a text, bytes otherwise.
            text: whether it is TEXT, else BINARY.

        Other messages wait until it is complete; pings and pongs do not.

        Raises:
            TypeError: a piece is of the wrong type; the WebSocket closes (1011), for the message is cut.
            ConnectionResetError: as `send_str`.

        On cancellation, and when `pieces` raises, the WebSocket closes in the same way.
        """
        ws = self._ws or self._there()
        await ws.send_fragments(_TEXT if text else _BINARY, _encoded(pieces, str if text else bytes))

    async def ping(self, message: bytes | str = b"") -> None:
        """Send a ping, of at most 125 bytes. Raises as `send_frame`."""
        await self._there().control(WSMsgType.PING, message.encode() if isinstance(message, str) else message)

    async def pong(self, message: bytes | str = b"") -> None:
        """Send a pong that nobody asked for, of at most 125 bytes. Raises as `send_frame`."""
        await self._there().control(WSMsgType.PONG, message.encode() if isinstance(message, str) else message)

    # Closing

    async def close(self, *, code: int = WSCloseCode.OK, message: bytes | str = b"", drain: bool = True) -> bool:
        """Close, with the closing handshake; return whether it was this call that did it. Idempotent.

        A task that receives gets CLOSING. The peer's answer is awaited within the time limit for closing; without one
        the connection is dropped and `close_code` is 1006.

        Args:
            code: why (RFC 6455 section 7.4); 3000 to 4999 are for applications.
            message: the same in words, of at most 123 bytes.
            drain: of no effect: the close frame is sent behind what waits for a slow peer.

        Raises:
            ValueError: the code may not be sent, or the message is too long.

        Cancelled, it drops the connection.
        """
        ws = self._there()
        first = not self._closed
        ws.close(code, message.encode() if isinstance(message, str) else message)
        self._closed = True
        over = ws.over()
        if not over.done():
            done = False
            try:
                await asyncio.wait([over])
                done = True
            finally:
                if not done:
                    ws.abort()
        return first


def _expire(waiter: asyncio.Future[WSMessage | None], timeout: float) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError(f"No message came within {timeout} s"))


def _unexpected(message: WSMessage, wanted: str) -> WSMessageTypeError:
    code = f" with code {message.data}" if message.type is WSMsgType.CLOSE else ""
    return WSMessageTypeError(f"Received message {message.type!s}{code} is not WSMsgType.{wanted}")


async def _pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    if size < 1:
        message = f"fragment_size is {size}: give the bytes of a fragment, 1 or more"
        raise ValueError(message)
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def _encoded(pieces: AsyncIterable[Any], kind: type) -> AsyncIterator[bytes]:
    async for piece in pieces:
        if kind is str and isinstance(piece, str):
            yield piece.encode()
        elif kind is bytes and isinstance(piece, (bytes, bytearray, memoryview)):
            yield bytes(piece)
        else:
            message = f"A piece of this message is {kind.__name__}, not {type(piece).__name__}"
            raise TypeError(message)
