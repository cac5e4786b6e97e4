"""Frames and messages as the benchmark's own side writes and reads them (RFC 6455, RFC 7692).

It is not endwell's code, so that a fault of endwell's does not meet itself. Used by `load.py` and `echo.py`.
"""

from __future__ import annotations

import base64
import hashlib
import zlib

PING, PONG, CLOSE = 9, 10, 8
FINAL, COMPRESSED, MASKED = 0x80, 0x40, 0x80
TAIL = b"\x00\x00\xff\xff"
"""What a sender takes from the end of a compressed message (RFC 7692, section 7.2.1)."""
MOST_BITS = 15


def accept(key: str) -> str:
    """What answers the key of an opening handshake."""
    return base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()


def mask(payload: bytes, key: bytes) -> bytes:
    """The payload, masked or unmasked."""
    length = len(payload)
    keys = (key * (length // 4 + 1))[:length]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(keys, "little")).to_bytes(length, "little")


def head(opcode: int, length: int, masked: bool = False, compressed: bool = False) -> bytes:
    """What a frame with a whole message, or a control frame, begins with; the key comes after it."""
    first, second = FINAL | (COMPRESSED if compressed else 0) | opcode, MASKED if masked else 0
    if length < 126:
        return bytes((first, second | length))
    if length < 1 << 16:
        return bytes((first, second | 126)) + length.to_bytes(2, "big")
    return bytes((first, second | 127)) + length.to_bytes(8, "big")


def frame(opcode: int, payload: bytes, key: bytes = b"", compressed: bool = False) -> bytes:
    """A whole message, or a control frame; masked if there is a key."""
    begin = head(opcode, len(payload), bool(key), compressed)
    return begin + key + mask(payload, key) if key else begin + payload


def deflated(payload: bytes, bits: int = MOST_BITS) -> bytes:
    """The payload, compressed without a look at earlier messages, so that it may stand anywhere in a connection."""
    compressor = zlib.compressobj(wbits=-bits)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)


class Inflater:
    """The compressed messages of a connection, read with what came before them."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=-MOST_BITS)

    def __call__(self, payload: bytes) -> bytes:
        return self._inflate.decompress(payload + TAIL)


class Message:
    """A message, or a control frame."""

    __slots__ = ("compressed", "opcode", "parts")

    def __init__(self, opcode: int, compressed: bool) -> None:
        self.opcode = opcode
        self.compressed = compressed
        self.parts: list[tuple[bytes, bytes]] = []
        """For each frame the key and what is masked with it."""

    def payload(self) -> bytes:
        """What was sent; unmasked now, since the answer to most messages is known without."""
        return b"".join(mask(part, key) if key else part for key, part in self.parts)

    def length(self) -> int:
        return sum(len(part) for key, part in self.parts)


class MessageReader:
    """Bytes to messages; it holds what is not yet whole."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._needed = 2
        self._message: Message | None = None

    def feed(self, data: bytes) -> list[Message]:
        """The messages and control frames that are whole now."""
        self.data += data
        found = []
        while len(self.data) >= self._needed:
            message = self._frame()
            if message is not None:
                found.append(message)
        return found

    def _frame(self) -> Message | None:
        data = self.data
        first, second = data[:2]
        masked, length, start = second & MASKED, second & 0x7F, 2
        if length > 125:
            start += 2 if length == 126 else 8
            if len(data) < start:
                self._needed = start
                return None
            length = int.from_bytes(data[2:start], "big")
        start += 4 if masked else 0
        if len(data) < start + length:
            self._needed = start + length
            return None
        key = bytes(data[start - 4 : start]) if masked else b""
        part = bytes(memoryview(data)[start : start + length])
        del data[: start + length]
        self._needed = 2
        return self._joined(first, key, part)

    def _joined(self, first: int, key: bytes, part: bytes) -> Message | None:
        opcode = first & 0x0F
        if opcode >= CLOSE:
            message = Message(opcode, False)
            message.parts.append((key, part))
            return message
        if opcode:
            self._message = Message(opcode, bool(first & COMPRESSED))
        if self._message is None:
            raise ValueError("a continuation of nothing")
        self._message.parts.append((key, part))
        if not first & FINAL:
            return None
        message, self._message = self._message, None
        return message
