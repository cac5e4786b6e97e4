"""What a WebSocket carries, as its users see it: types of messages, close codes, messages (RFC 6455 sections 5.6, 7.4).

Used by the reader, by the connection and by both faces; the names and values are aiohttp's.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final, NamedTuple

__all__ = ("CLOSED_MESSAGE", "CLOSING_MESSAGE", "WSCloseCode", "WSMessage", "WSMsgType")


class WSMsgType(IntEnum):
    """The type of a message: an opcode (RFC 6455 section 11.8), or from 256 on what the connection itself says."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    PING = 0x9
    PONG = 0xA
    CLOSE = 0x8

    CLOSING = 0x100  # a close has begun; nothing more is received
    CLOSED = 0x101  # it is over
    ERROR = 0x102  # the data is the exception

    text = TEXT
    binary = BINARY
    ping = PING
    pong = PONG
    close = CLOSE
    closing = CLOSING
    closed = CLOSED
    error = ERROR


class WSCloseCode(IntEnum):
    """Why a WebSocket is closed (RFC 6455 section 7.4.1 and the registry of IANA)."""

    OK = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    ABNORMAL_CLOSURE = 1006  # never on the wire: the connection ended without a close frame
    INVALID_TEXT = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MANDATORY_EXTENSION = 1010
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_GATEWAY = 1014


class WSMessage(NamedTuple):
    """A message: its type, its data and, of a close, the reason.

    `data` is a str of TEXT (bytes where the text is not to be decoded), bytes of BINARY, PING and PONG, the code of
    CLOSE (an int; 0 when the frame had none), the exception of ERROR and None of CLOSING and CLOSED. `extra` is the
    reason of CLOSE.
    """

    type: WSMsgType
    data: Any
    extra: str | None

    def json(self, *, loads: Callable[[Any], Any] = json.loads) -> Any:
        """Give what `loads` makes of the data; what it raises (``json.JSONDecodeError``) goes to the caller."""
        return loads(self.data)


CLOSING_MESSAGE: Final = WSMessage(WSMsgType.CLOSING, None, None)
"""What a receiver gets while the WebSocket is being closed."""
CLOSED_MESSAGE: Final = WSMessage(WSMsgType.CLOSED, None, None)
"""What a receiver gets of a closed WebSocket."""
