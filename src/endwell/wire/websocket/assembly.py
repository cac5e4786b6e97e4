"""The data of a message that comes in pieces: decompressed, judged by its size and as UTF-8 while it comes.

RFC 6455 sections 5.4 and 8.1, RFC 7692 section 6.2. Used by the reader for what does not come as one whole frame. What
has come is held once: small pieces cost no more memory than large ones.
"""

from __future__ import annotations

import codecs
from typing import Any, Final

from endwell.wire.websocket.deflate import Decompressor
from endwell.wire.websocket.errors import WebSocketError
from endwell.wire.websocket.messages import WSCloseCode, WSMsgType

__all__ = ("Assembly", "too_big")

_new_decoder: Final = codecs.getincrementaldecoder("utf-8")


def too_big(limit: int) -> WebSocketError:
    """Make the error of a message that is longer than `limit` bytes."""
    return WebSocketError(WSCloseCode.MESSAGE_TOO_BIG, f"A message is longer than max_msg_size, {limit} bytes")


class Assembly:
    """A message in the making."""

    __slots__ = ("_data", "_decoder", "_decompressor", "_limit", "kind", "size")

    def __init__(self, kind: WSMsgType, decompressor: Decompressor | None, limit: int) -> None:
        """`decompressor` is for a compressed one; `limit`: bytes of the message as the user gets it."""
        self.kind = kind
        self.size = 0  # bytes so far, decompressed
        self._decompressor = decompressor
        self._limit = limit
        # Only finds faults: strings take more memory than the bytes they come from, small ones twenty times as much.
        self._decoder: Any = _new_decoder() if kind is WSMsgType.TEXT else None
        self._data = bytearray()

    @property
    def compressed(self) -> bool:
        """Whether the sizes of its frames say nothing about that of the message."""
        return self._decompressor is not None

    def add(self, piece: bytes, last: bool) -> None:
        """Take what came, unmasked.

        Raises:
            WebSocketError: 1007 (not to be decompressed) or 1009 (too big).
            UnicodeDecodeError: not UTF-8; of the last piece it is left to `text`.

        """
        if self._decompressor is not None:
            room = self._limit - self.size
            piece = self._decompressor.decompress(piece, room, last)
            if len(piece) > room:
                # Had it come in smaller pieces, then a fault in what still fits would have been found first.
                if self._decoder is not None:
                    self._decoder.decode(piece[:room])
                raise too_big(self._limit)
        self.size += len(piece)
        if self._decoder is not None and not last:
            self._decoder.decode(piece)
        self._data += piece

    def data(self) -> bytes:
        """Give the whole, after the last piece."""
        return bytes(self._data)

    def text(self) -> str:
        """Give the whole, after the last piece of a text.

        Raises:
            UnicodeDecodeError: not UTF-8.

        """
        return self._data.decode()
