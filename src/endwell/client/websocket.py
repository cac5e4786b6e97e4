"""The client's WebSockets: the opening handshake, what must be closed of one, and its face (RFC 6455 section 4.1).

`ClientSession.ws_connect` is the way in. A WebSocket belongs to its session, which closes it with 1001, and borrows a
connection of the connector, which it never gives back.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Coroutine, Generator
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, Self, cast

from endwell.client.core import merge_headers
from endwell.client.errors import ClientConnectionResetError, ServerTimeoutError, WSServerHandshakeError
from endwell.client.options import sentinel
from endwell.client.timeouts import DEFAULT_WS_TIMEOUT, ClientWSTimeout
from endwell.connection.messages import Messages
from endwell.http import hdrs
from endwell.lifetime import LeakReport, Lease, Origin, Owner, Resource, State, name_leak

if TYPE_CHECKING:
    from endwell.client.connections import ConnectorCore
    from endwell.client.core import SessionCore
    from endwell.client.response import ClientResponse
    from endwell.client.session import ClientSession
    from endwell.connection.websocket import WebSocket
    from endwell.http.typedefs import StrOrURL
    from endwell.lifetime.leaks import Forgettable
    from endwell.wire.websocket.handshake import Agreement

__all__ = ("ClientWebSocketResponse", "OpenWebSocket", "Wanted", "WebSocketContext", "connect", "one_ws_timeout")

_WINDOW: Final = 15


class OpenWebSocket(Resource):
    """What must be closed of a WebSocket, as its session knows it; the connection below belongs to the connector."""

    __slots__ = ("_connector", "_url", "made_at", "origin", "websocket")

    kind: ClassVar[str] = "websocket"

    def __init__(
        self, owner: SessionCore, connector: ConnectorCore, websocket: WebSocket, url: str, origin: Origin
    ) -> None:
        super().__init__(owner)
        self._connector = connector
        self._url = url
        self.websocket = websocket
        self.origin = origin
        self.made_at = owner.loop.time()
        websocket.name = f"WebSocket to {url}, opened at {origin}"
        websocket.on_end = self._ended

    def describe(self) -> str:
        """See `Resource.describe`."""
        return f"{self.websocket.name} ({self.websocket.describe()})"

    def forgotten(self) -> None:
        """See `Forgettable.forgotten`: nobody can receive or send any more."""
        core = self.owner
        loop = self.websocket.loop
        if self.state is not State.OPEN or loop.is_closed() or core is None or core.state is State.FOREIGN:
            return
        if loop.is_running():
            loop.call_soon_threadsafe(self._forget)
        else:
            self._forget()

    def _forget(self) -> None:
        core: Any = self.owner
        if self.state is not State.OPEN or not self.websocket.open:
            return
        leak = LeakReport(
            f"WebSocket to {self._url}",
            origin=self.origin,
            task=None,
            age=max(0.0, core.loop.time() - self.made_at),
            held=(),
            advice="write: async with session.ws_connect(url) as ws: ..., or: await ws.close()",
        )
        self.websocket.go_away()
        name_leak(core, leak)

    def _ended(self) -> None:
        connection: Any = self.websocket.below
        self.ended()
        self._connector.freed(connection)

    # What the closing walk calls

    def ending(self) -> bool:
        """See `Resource.ending`."""
        return not self.websocket.open

    def gone(self) -> asyncio.Future[None] | None:
        """See `Resource.gone`."""
        return None if self.state in (State.CLOSED, State.FOREIGN) else self.websocket.ended()

    def _stop(self) -> None:
        self.websocket.go_away(self.owner.limit if isinstance(self.owner, Owner) else None)

    async def _finish(self) -> None:
        await self.websocket.ended()
        if isinstance(self.websocket.error, TimeoutError):
            raise self.websocket.error  # for the report

    def _abort(self, reason: str) -> None:
        self.websocket.abort()


class ClientWebSocketResponse(Messages):
    """A WebSocket of a client. `ClientSession.ws_connect` makes it.

    Attributes:
        protocol: the subprotocol that the server chose, None for none.

    """

    def __init__(
        self,
        opened: OpenWebSocket,
        response: ClientResponse,
        agreement: Agreement,
        *,
        receive_timeout: float | None = None,
        autoclose: bool = True,
        compress: int = 0,
    ) -> None:
        self._ws = opened.websocket
        self._response = response
        self._receive_timeout = receive_timeout
        self._autoclose = autoclose
        self._deflate = agreement.deflate
        self._compress = compress
        self.protocol = agreement.protocol
        self._lease = Lease(cast("Forgettable", opened))  # its owner is a session: `Resource` says less

    def __repr__(self) -> str:
        state = "closed" if self._closed or self._ws is None else self._ws.describe()
        return f"<{type(self).__name__} {state}, {self._response.url}>"

    @property
    def compress(self) -> int:
        """Bits of the window with which messages are compressed; 0 when nothing is."""
        return 0 if self._deflate is None else min(self._compress or _WINDOW, self._deflate.client_max_window_bits)

    @property
    def client_notakeover(self) -> bool:
        """Whether each message is compressed by itself (``client_no_context_takeover``)."""
        return self._deflate is not None and self._deflate.client_no_context_takeover

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        await self.close()


class Wanted(NamedTuple):
    """What a call of `ws_connect` asks for, besides the arguments of a request."""

    protocols: tuple[str, ...]
    timeout: ClientWSTimeout
    origin: str | None
    compress: int
    given: dict[str, Any]
    called_at: Origin


class WebSocketContext(Coroutine[Any, Any, ClientWebSocketResponse]):
    """``await session.ws_connect(url)`` gives the WebSocket; ``async with`` also closes it at the end of the block."""

    __slots__ = ("_coro", "_ws")

    def __init__(self, coro: Coroutine[Any, Any, ClientWebSocketResponse]) -> None:
        self._coro = coro

    def __await__(self) -> Generator[Any, None, ClientWebSocketResponse]:
        return self._coro.__await__()

    async def __aenter__(self) -> ClientWebSocketResponse:
        self._ws = ws = await self._coro
        return ws

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        await self._ws.close()

    def send(self, value: Any) -> Any:
        """See `collections.abc.Coroutine`."""
        return self._coro.send(value)

    def throw(self, *args: Any) -> Any:
        """See `collections.abc.Coroutine`."""
        return self._coro.throw(*args)

    def close(self) -> None:
        """See `collections.abc.Coroutine`."""
        self._coro.close()


async def connect(
    session: ClientSession, method: str, url: StrOrURL, wanted: Wanted, options: dict[str, Any]
) -> ClientWebSocketResponse:
    """Open a WebSocket. See `ClientSession.ws_connect`."""
    from endwell.client.call import perform
    from endwell.wire.websocket import HandshakeError, handshake
    from endwell.wire.websocket.extension import check_offer

    key = handshake.new_key()
    fields = merge_headers(None, options.get("headers"))
    offer = fields.get(hdrs.SEC_WEBSOCKET_EXTENSIONS)
    if offer is None:
        offer = handshake.offer(wanted.compress)
    else:
        check_offer(offer)
    if wanted.origin is not None:
        fields[hdrs.ORIGIN] = wanted.origin
    fields.update(handshake.request_fields(key, wanted.protocols, offer))
    asked = {**options, "headers": fields, "_switches": True, "raise_for_status": False}
    response = await perform(session, method, url, asked, wanted.called_at)
    opened = None
    try:
        try:
            agreement = handshake.check_response(response.status, response.headers, key, wanted.protocols, offer)
        except HandshakeError as error:
            raise WSServerHandshakeError(
                response.request_info,
                response.history,
                message=str(error),
                status=response.status,
                headers=response.headers,
            ) from error
        opened = _open(session, response, agreement, wanted)
    finally:
        if opened is None:
            response.close()
    return session._ws_response_class(
        opened,
        response,
        agreement,
        receive_timeout=wanted.timeout.ws_receive,
        autoclose=wanted.given["autoclose"],
        compress=wanted.compress,
    )


def _open(session: ClientSession, response: ClientResponse, agreement: Agreement, wanted: Wanted) -> OpenWebSocket:
    """Take the connection over."""
    given = wanted.given
    from endwell.connection.websocket import WebSocket
    from endwell.wire.websocket import MessageReader, MessageWriter

    reader = MessageReader(
        masked=False,
        max_msg_size=given["max_msg_size"],
        deflate=agreement.deflate,
        decode_text=given["decode_text"],
    )
    exchange = response._exchange
    connector = exchange._connector
    connection, rest = exchange.switch()
    websocket = WebSocket(
        connection,
        reader,
        MessageWriter(masked=True, deflate=agreement.deflate),
        client=True,
        autoping=given["autoping"],
        autoclose=given["autoclose"],
        heartbeat=given["heartbeat"],
        close_timeout=wanted.timeout.ws_close,
        reset=ClientConnectionResetError,
        silence=ServerTimeoutError,
    )
    opened = OpenWebSocket(session._core, connector, websocket, str(response.url.with_query(None)), wanted.called_at)
    connection.websocket = websocket
    connection.resume_reading()
    websocket.take_over(rest)
    if session._core.state is not State.OPEN:
        websocket.go_away()  # the closing of the session has let this request through, but no more
    return opened


def one_ws_timeout(timeout: Any, receive_timeout: float | None) -> ClientWSTimeout:
    """Make one `ClientWSTimeout` of the two arguments, of which one is deprecated."""
    chosen = DEFAULT_WS_TIMEOUT
    if isinstance(timeout, ClientWSTimeout):
        chosen = timeout
    elif timeout is not sentinel and timeout is not None:
        _deprecated("A number as timeout of ws_connect() is deprecated: write timeout=ClientWSTimeout(ws_close=...)")
        chosen = ClientWSTimeout(ws_close=timeout)
    if receive_timeout is not None:
        _deprecated("receive_timeout is deprecated: write timeout=ClientWSTimeout(ws_receive=...)")
        chosen = ClientWSTimeout(ws_receive=receive_timeout, ws_close=chosen.ws_close)
    return chosen


def _deprecated(message: str) -> None:
    warnings.warn(message, DeprecationWarning, stacklevel=4)
