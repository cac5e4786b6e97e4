"""Messages to bytes, in either role (RFC 6455 section 5, RFC 7692 section 6.1).

Used by the connection, one writer for each WebSocket. A message of up to 125 bytes is the path that counts: it is
written out in `message`.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from endwell.wire.websocket.deflate import Compressor, Deflate
from endwell.wire.websocket.frames import CONTROL_MAX, frame, frame_parts
from endwell.wire.websocket.mask import masker, new_mask_key

__all__ = ("MessageWriter",)

_head: Final = Struct("!BB").pack
_head_and_key: Final = Struct("!BB4s").pack


class MessageWriter:
    """Makes the bytes of one WebSocket's messages; in their order, since the compression of each knows those before."""

    __slots__ = ("_compressor", "_mask", "_masked", "_open")

    def __init__(self, *, masked: bool, deflate: Deflate | None = None) -> None:
        """`masked`: whether this end masks, as a client must and a server must not; `deflate`: what was agreed on."""
        self._masked = masked
        self._mask = masker() if masked else None
        self._open = False
        self._compressor: Compressor | None = None
        if deflate is not None:
            server, client = deflate.server_max_window_bits, deflate.client_max_window_bits
            alone = deflate.client_no_context_takeover if masked else deflate.server_no_context_takeover
            self._compressor = Compressor(client if masked else server, keep=not alone)

    def message(self, opcode: int, payload: bytes, compress: int | bool | None = None) -> bytes:
        """Give a whole message as one frame.

        Arguments:
            opcode: 1 (text; the payload is UTF-8) or 2 (binary).
            payload: bytes, or what `bytes` takes for a copy (bytearray, memoryview).
            compress: None and True: as agreed; False and 0: not; 8 to 15: with a window of so many bits, if that is
                less than what was agreed. Without an agreement nothing is compressed, whatever stands here.

        Raises:
            ValueError: another opcode, other window bits.
            RuntimeError: a message in fragments has begun and its last one is missing.

        """
        if (
            compress is None
            and self._compressor is None
            and not self._open
            and 0 < opcode < 3
            and type(payload) is bytes
        ):
            first = 0x80 | opcode
        else:
            first, payload = self._prepared(opcode, payload, compress)
        size = len(payload)
        if size > 125:
            return frame(first & 0x0F, payload, masked=self._masked, rsv1=first & 0x40 != 0)
        if self._mask is None:
            return _head(first, size) + payload
        key = new_mask_key()
        return _head_and_key(first, 0x80 | size, key) + self._mask(payload, key)

    def parts(self, opcode: int, payload: bytes, compress: int | bool | None = None) -> tuple[bytes, bytes]:
        """Give what `message` gives, as head and payload: for a long one, which to join would cost a copy."""
        first, payload = self._prepared(opcode, payload, compress)
        return frame_parts(opcode, payload, masked=self._masked, rsv1=first & 0x40 != 0)

    def _prepared(self, opcode: int, payload: bytes, compress: int | bool | None) -> tuple[int, bytes]:
        """Give the first byte of the frame of a whole message, and its payload, compressed."""
        if opcode not in (1, 2) or self._open:
            self._refuse(opcode)
        if type(payload) is not bytes:
            payload = bytes(payload)
        first = 0x80 | opcode
        if compress is not None and compress is not True and compress:
            _check_bits(compress)
        if self._compressor is not None and payload and (compress is None or compress):
            bits = None if compress is None or compress is True else compress
            payload = self._compressor.compress(payload, True, bits)
            first |= 0x40
        return first, payload

    def compresses(self, compress: int | bool | None) -> bool:
        """Tell whether `message` with this argument compresses."""
        return self._compressor is not None and (compress is None or bool(compress))

    def fragment(self, opcode: int, payload: bytes, *, first: bool, last: bool) -> bytes:
        """Give a piece of a message as a frame; control frames may come between two of them, other messages may not.

        `opcode` is that of the message (1 or 2), at each piece. A text may be cut anywhere, inside a character too.
        What is compressed is flushed at each piece, so that the peer gets it at once.

        Raises:
            ValueError: another opcode.
            RuntimeError: a first piece inside a message, or another one outside.

        """
        if opcode not in (1, 2) or first is self._open:
            self._refuse(opcode, first=first)
        if type(payload) is not bytes:
            payload = bytes(payload)
        compressor = self._compressor
        if compressor is not None:
            payload = compressor.compress(payload, last)
        self._open = not last
        return frame(
            opcode if first else 0,
            payload,
            masked=self._masked,
            fin=last,
            rsv1=first and compressor is not None,
        )

    def control(self, opcode: int, payload: bytes) -> bytes:
        """Give a control frame: 8 (close; see `frames.close_payload`), 9 (ping) or 10 (pong); never compressed.

        Raises:
            ValueError: another opcode, or more than 125 bytes (RFC 6455 section 5.5).

        """
        if opcode not in (8, 9, 10):
            message = f"Opcode {opcode} is not that of a control frame: write 8 (close), 9 (ping) or 10 (pong)"
            raise ValueError(message)
        if len(payload) > CONTROL_MAX:
            message = f"A ping, pong or close carries at most {CONTROL_MAX} bytes, not {len(payload)}: send a message"
            raise ValueError(message)
        return frame(opcode, bytes(payload), masked=self._masked)

    def _refuse(self, opcode: int, *, first: bool = True) -> None:
        if opcode not in (1, 2):
            message = f"Opcode {opcode} is not that of a message: write 1 (text) or 2 (binary)"
            raise ValueError(message)
        if first:
            message = "A message in fragments is not at its end: send its last fragment before another message"
        else:
            message = "No message in fragments has begun: send a first fragment before others"
        raise RuntimeError(message)


def _check_bits(compress: int) -> None:
    if not 8 <= compress <= 15:
        message = f"compress={compress} is no window: write None (as agreed), False or 0 (not at all), or 9 to 15 bits"
        raise ValueError(message)
