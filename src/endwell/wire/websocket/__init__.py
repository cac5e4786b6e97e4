"""WebSockets as bytes to messages and back (RFC 6455, RFC 7692): no I/O, no clock, the same machine for both roles.

The names of messages and errors are public, and imported with endwell; the machine is, when it is asked for.
"""

from typing import TYPE_CHECKING, Any

from endwell.wire.websocket.errors import HandshakeError, WebSocketError, WSMessageTypeError
from endwell.wire.websocket.messages import CLOSED_MESSAGE, CLOSING_MESSAGE, WSCloseCode, WSMessage, WSMsgType

if TYPE_CHECKING:
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


def __getattr__(name: str) -> Any:
    if name == "MessageReader":
        from endwell.wire.websocket.reader import MessageReader

        return MessageReader
    if name == "MessageWriter":
        from endwell.wire.websocket.writer import MessageWriter

        return MessageWriter
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
