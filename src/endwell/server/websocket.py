"""`WebSocketResponse`: a WebSocket of the server, as the response to the request for it (RFC 6455 section 4.2).

Used by handlers:

    async def echo(request):
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        async for message in ws:
            await ws.send_str(message.data)
        return ws

When the server stops, the WebSocket is closed with 1001 and the loop ends; when the handler fails, with 1011.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from multidict import CIMultiDict

from endwell.connection.messages import Messages
from endwell.http.typedefs import Byteish
from endwell.http.writer import AbstractStreamWriter
from endwell.lifetime import State
from endwell.server.errors import HTTPBadRequest, HTTPException, HTTPMethodNotAllowed, HTTPUpgradeRequired
from endwell.server.response import StreamResponse
from endwell.server.response_head import render_head
from endwell.wire.websocket import CLOSED_MESSAGE, HandshakeError, MessageReader, MessageWriter, WSMessage, handshake

if TYPE_CHECKING:
    from endwell.connection.serving import ServerConnection
    from endwell.server.request import BaseRequest
    from endwell.wire.websocket.handshake import Agreement

__all__ = ("WebSocketReady", "WebSocketResponse")

_ASKED_IN_VAIN: Final = 5
"""Messages that a handler may ask of a closed WebSocket before it is told that it will never end."""


class WebSocketReady(NamedTuple):
    """What `WebSocketResponse.can_prepare` says: whether it would do, and the subprotocol. True when it would do."""

    ok: bool
    protocol: str | None

    def __bool__(self) -> bool:
        return self.ok


class _Given(NamedTuple):
    """What a WebSocket was given; most of a server's were given the same."""

    timeout: float
    autoclose: bool
    autoping: bool
    heartbeat: float | None
    protocols: tuple[str, ...]
    compress: bool
    max_msg_size: int
    writer_limit: int
    decode_text: bool


@lru_cache(64)
def _given(*values: Any) -> _Given:
    return _Given(*values)


class WebSocketResponse(Messages, StreamResponse):
    """A WebSocket, as the response to a GET that asks for one.

    Args:
        timeout: seconds that the client has to answer our close frame.
        receive_timeout: seconds that `receive` waits for a message; None for as long as it takes.
        autoclose, autoping: answer the client's close frame, and its pings.
        heartbeat: seconds of silence after which the client is sent a ping, to be answered in half that time.
        protocols: subprotocols that the handler speaks.
        compress: agree to permessage-deflate when the client offers it.
        max_msg_size: bytes of a message, decompressed, over which the WebSocket is closed (1009); 0 for any.
        writer_limit: bytes that wait for a slow client before senders do.
        decode_text: False to get the bytes of texts.

    """

    _agreement: Agreement | None = None
    _in_vain: int = 0

    def __init__(
        self,
        *,
        timeout: float = 10.0,
        receive_timeout: float | None = None,
        autoclose: bool = True,
        autoping: bool = True,
        heartbeat: float | None = None,
        protocols: Iterable[str] = (),
        compress: bool = True,
        max_msg_size: int = 4 * 1024 * 1024,
        writer_limit: int = 2**18,
        decode_text: bool = True,
    ) -> None:
        super().__init__(status=101)
        self._given = _given(
            timeout, autoclose, autoping, heartbeat, tuple(protocols), compress, max_msg_size, writer_limit, decode_text
        )
        if receive_timeout:
            self._receive_timeout = receive_timeout
        if not autoclose:
            self._autoclose = False

    @property
    def ws_protocol(self) -> str | None:
        """The subprotocol that was agreed on, None for none."""
        return None if self._agreement is None else self._agreement.protocol

    @property
    def compress(self) -> int | bool:
        """Bits of the window for compression, 0 when nothing is compressed; before `prepare`, what was given."""
        if self._agreement is None:
            return self._given.compress
        deflate = self._agreement.deflate
        return 0 if deflate is None else deflate.server_max_window_bits

    def can_prepare(self, request: BaseRequest) -> WebSocketReady:
        """Tell whether `prepare` would do, and with which subprotocol.

        Raises:
            RuntimeError: it was prepared already.

        """
        if self._ws is not None:
            message = "Already started"
            raise RuntimeError(message)
        try:
            agreement = self._agree(request)
        except HTTPException:
            return WebSocketReady(False, None)
        return WebSocketReady(True, agreement.protocol)

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        """Answer the handshake (101); messages can be sent and received from then on. Idempotent.

        Raises:
            HTTPBadRequest, HTTPMethodNotAllowed, HTTPUpgradeRequired: the request does not ask for a WebSocket as it
                must; the text says what is wrong.
            ValueError, TypeError: see `StreamResponse.prepare`.

        """
        if self._ws is not None:
            return None
        agreement = self._agree(request)
        fields = self.headers
        self._request, self._exchange = request, request._exchange
        done = False
        try:
            fields.update(agreement.fields)
            self._complete(fields, request._exchange)
            if request._has_prepare_hooks:
                await request._prepare_hook(self)
            head = render_head(self._status, self._reason, 1, fields, self._cookie_lines())
            connection, rest = request._exchange.switch(head)
            done = self._head_made = True
        finally:
            if not done:
                self._request = self._exchange = None
        self._headers = CIMultiDict(list(fields.items()))  # it has half the size of one that has grown
        request._exchange.head.forget()
        self._agreement = agreement
        self._keep_alive = False
        self._take_over(connection, rest)
        return None

    def _take_over(self, connection: ServerConnection, rest: bytes) -> None:
        from endwell.connection.websocket import WebSocket

        assert self._agreement is not None
        given, deflate = self._given, self._agreement.deflate
        reader = MessageReader(
            masked=True, max_msg_size=given.max_msg_size, deflate=deflate, decode_text=given.decode_text
        )
        self._ws = connection.websocket = WebSocket(
            connection,
            reader,
            MessageWriter(masked=False, deflate=deflate),
            client=False,
            autoping=given.autoping,
            autoclose=given.autoclose,
            heartbeat=given.heartbeat,
            close_timeout=given.timeout,
        )
        connection.resume_reading()
        self._ws.take_over(rest, given.writer_limit)
        if connection.owner is None or connection.owner.state is not State.OPEN:
            self._ws.go_away()  # the server had begun to stop before

    def _agree(self, request: BaseRequest) -> Agreement:
        exchange = request._exchange
        head = exchange.head
        if head.has_body:
            raise HTTPBadRequest(text="A request for a WebSocket has no body")
        try:
            return handshake.answer(
                head.method, request.version, request.headers, self._given.protocols, self._given.compress
            )
        except HandshakeError as error:
            if error.status == 405:
                raise HTTPMethodNotAllowed(head.method, ["GET"], text=str(error)) from error
            kind: type[HTTPException] = HTTPUpgradeRequired if error.status == 426 else HTTPBadRequest
            raise kind(text=str(error), headers=error.fields) from error

    def _nothing_more(self) -> WSMessage:
        self._in_vain += 1
        if self._in_vain >= _ASKED_IN_VAIN:
            message = "WebSocket connection is closed: the handler asks for messages without looking at their type"
            raise RuntimeError(message)
        return CLOSED_MESSAGE

    async def write(self, data: Byteish) -> None:
        """Refuse: messages are sent by `send_str` and its kin."""
        message = "Cannot call .write() for websocket: use send_str(), send_bytes() or send_json()"
        raise RuntimeError(message)

    async def write_eof(self, data: Byteish = b"") -> None:
        """End: close the WebSocket, if the handler has not. Idempotent."""
        if not self._ended:
            await self.close()
            self._end(0)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        state = "not prepared" if self._ws is None else self._ws.describe()
        return f"<{type(self).__name__} {state}>"
