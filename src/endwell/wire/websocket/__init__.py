"""WebSockets as bytes to messages and back (RFC 6455, RFC 7692): no I/O, no clock, the same machine for both roles."""

from endwell.wire.websocket.errors import HandshakeError, WebSocketError, WSMessageTypeError
from endwell.wire.websocket.messages import CLOSED_MESSAGE, CLOSING_MESSAGE, WSCloseCode, WSMessage, WSMsgType
from endwell.wire.websocket.reader import MessageReader
from endwell.wire.websocket.writer import MessageWriter

__all__ = (
    "CLOSED_MESSAGE",
    "CLOSING_MESSAGE",
    "HandshakeError",
    "MessageReader",
    "MessageWriter",
    "WSCloseCode",
    "WSMessage",
    "WSMessageTypeError",
    "WSMsgType",
    "WebSocketError",
)
