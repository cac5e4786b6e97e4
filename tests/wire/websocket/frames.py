"""Frames as a peer may send them, right or wrong, and what a `MessageReader` makes of them in a given split."""

from __future__ import annotations

import zlib
from typing import NamedTuple

from endwell.wire.websocket import MessageReader
from tests.wire.http1.splits import cut

KEY = b"\x12\x34\x56\x78"


class Outcome(NamedTuple):
    """What one reading gave: the messages, the close code of the fault, and whether something is incomplete."""

    messages: list[tuple[int, object, str | None]]
    code: int | None = None
    started: bool = False


def make(first: int, payload: bytes = b"", *, masked: bool = False, length: bytes | None = None) -> bytes:
    """Make a frame of its first byte and its payload; `length` is what stands there instead of the true one."""
    size = len(payload)
    if length is None:
        if size < 126:
            length = bytes([size])
        elif size < 65536:
            length = b"\x7e" + size.to_bytes(2, "big")
        else:
            length = b"\x7f" + size.to_bytes(8, "big")
    if not masked:
        return bytes([first]) + length + payload
    length = bytes([length[0] | 0x80]) + length[1:]
    return bytes([first]) + length + KEY + bytes([byte ^ KEY[at % 4] for at, byte in enumerate(payload)])


def deflated(data: bytes, *, bits: int = 15, level: int = 6) -> bytes:
    """Compress a message on its own, as a peer does it."""
    stream = zlib.compressobj(level, wbits=-bits)
    return (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


def read(data: bytes, places: list[int] | None = None, *, masked: bool = False, **options: object) -> Outcome:
    """Feed the pieces to a new reader."""
    reader = MessageReader(masked=masked, **options)
    messages = []
    for piece in cut(data, places or []):
        messages += [tuple(message) for message in reader.feed(piece)]
        while reader.held:
            messages += [tuple(message) for message in reader.feed(b"")]
    return Outcome(messages, reader.error and int(reader.error.code), reader.started)


def bytewise(data: bytes) -> list[int]:
    return list(range(len(data)))
