"""permessage-deflate: what was agreed, and both directions of it (RFC 7692 sections 7.1 and 7.2).

Used by the handshake, the reader and the writer. Both directions make their zlib object at the first message, so that
a WebSocket that is idle from the start holds none. Compression is at level 1 and memLevel 5: against zlib's own choice
of 6 and 8, JSON of 64 KB takes a quarter of the time and becomes 8 % longer, and a connection that has sent a few short
messages holds 40 KB instead of 96.
"""

from __future__ import annotations

import zlib
from typing import Any, Final, NamedTuple

from endwell.wire.websocket.errors import WebSocketError
from endwell.wire.websocket.messages import WSCloseCode

__all__ = ("Compressor", "Decompressor", "Deflate")

_LEVEL: Final = zlib.Z_BEST_SPEED
_MEM_LEVEL: Final = 5
_ZLIB_MIN_BITS: Final = 9  # zlib makes no raw stream for a window of 256 bytes
_TAIL: Final = b"\0\0\xff\xff"  # what ends each message and is not sent (RFC 7692 section 7.2.1)
# A sender may end the deflate stream inside a message (section 7.2.3.4); each end costs a copy of what follows.
_STREAMS_MAX: Final = 16


class Deflate(NamedTuple):
    """What was agreed on permessage-deflate (RFC 7692 section 7.1); window bits are 8 to 15."""

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int = 15
    client_max_window_bits: int = 15


class Compressor:
    """The payloads of one direction, compressed (RFC 7692 section 7.2.1)."""

    __slots__ = ("_bits", "_keep", "_stream", "_stream_bits")

    def __init__(self, bits: int, *, keep: bool) -> None:
        """`bits`: 8 to 15, of the window that was agreed on; `keep`: messages may refer to those before them."""
        self._bits = bits
        self._keep = keep
        self._stream: Any = None
        self._stream_bits = 0

    def compress(self, data: bytes, last: bool = True, bits: int | None = None) -> bytes:
        """Give the payload of a frame; `last` says that it is the last one of its message.

        `bits` is a smaller window for this message (the same in all its frames).
        """
        bits = self._bits if bits is None or bits > self._bits else bits
        stream = self._stream
        # Another window means another stream; the old one is lost, since the peer's window has moved on past it.
        if stream is None or bits != self._stream_bits:
            stream = self._stream = self._new(bits)
            self._stream_bits = bits
        out: bytes = stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH)
        if last:
            # Nothing comes out when nothing went in since the last flush: an empty block then (section 7.2.3.6).
            out = out[:-4] if out else b"\0"
            if not self._keep:
                self._stream = None
        return out

    def _new(self, bits: int) -> Any:
        if bits < _ZLIB_MIN_BITS:
            # Run lengths only: nothing refers further back than one byte, so it fits the window of 256.
            return zlib.compressobj(_LEVEL, zlib.DEFLATED, -_ZLIB_MIN_BITS, _MEM_LEVEL, zlib.Z_RLE)
        return zlib.compressobj(_LEVEL, zlib.DEFLATED, -bits, _MEM_LEVEL)


class Decompressor:
    """The payloads of one direction, decompressed (RFC 7692 section 7.2.2)."""

    __slots__ = ("_begun", "_bits", "_keep", "_stream", "_streams")

    def __init__(self, bits: int, *, keep: bool) -> None:
        """`bits`: 8 to 15, of the window that was agreed on; `keep`: messages may refer to those before them."""
        self._bits = max(bits, _ZLIB_MIN_BITS)
        self._keep = keep
        self._stream: Any = None
        self._streams = 0
        self._begun = False

    def decompress(self, data: bytes, room: int, last: bool = True) -> bytes:
        """Give what is in a piece of a message; `last` says that it is the last one.

        Never more than `room` + 1 bytes are made: so many mean that the message is too big, and that the rest is lost.

        Raises:
            WebSocketError: 1007, this is no deflate stream.

        """
        stream = self._stream
        if stream is None:
            stream = self._stream = zlib.decompressobj(-self._bits)
        if last:
            # A message without a byte is what some peers make of an empty one; the tail alone would be half a block.
            if data or self._begun:
                data += _TAIL
            self._begun = False
        elif data:
            self._begun = True
        try:
            out: bytes = stream.decompress(data, room + 1)
            if stream.eof:
                out = self._after_end(out, room)
        except zlib.error:
            raise _broken("it does not decompress") from None
        if last:
            self._streams = 0
            if not self._keep:
                self._stream = None
        return out

    def _after_end(self, out: bytes, room: int) -> bytes:
        """Go on behind the end of a stream with a new one."""
        while self._stream.eof and len(out) <= room:
            self._streams += 1
            if self._streams > _STREAMS_MAX:
                raise _broken(f"it has more than {_STREAMS_MAX} deflate streams")
            rest = self._stream.unused_data
            self._stream = zlib.decompressobj(-self._bits)
            out += self._stream.decompress(rest, room + 1 - len(out))
        return out


def _broken(what: str) -> WebSocketError:
    return WebSocketError(WSCloseCode.INVALID_TEXT, f"A compressed message is broken: {what}")
