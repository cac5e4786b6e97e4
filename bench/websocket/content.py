"""The messages that are echoed: several of each kind, so that none is the one before it. Used by both sides."""

from __future__ import annotations

import json
import random

COUNT = 16
TEXT_BYTES = 100
BINARY_BYTES = 64 * 1024
TEXT, BINARY = 1, 2
"""The opcodes of RFC 6455, section 5.2."""
NOTE = "limit order, filled at the best price of the day"


def _text(number: int) -> str:
    """A small event, as an exchange or a game sends many of: JSON, ASCII."""
    dice = random.Random(number)
    event = {
        "seq": 410000 + number,
        "type": "trade",
        "symbol": dice.choice(("ABCD", "EFGH", "IJKL")),
        "price": round(dice.uniform(10, 90), 2),
        "size": dice.randrange(100, 1000),
    }
    length = len(json.dumps(event | {"note": ""}, separators=(",", ":")))
    return json.dumps(event | {"note": NOTE[: TEXT_BYTES - length]}, separators=(",", ":"))


def _binary(number: int) -> bytes:
    """A page of a log. Deflate leaves less than a third of it."""
    dice = random.Random(1000 + number)
    words = [f"{dice.getrandbits(20):05x}" for _ in range(200)]
    lines = []
    length = 0
    while length < BINARY_BYTES:
        second, status = dice.randrange(86400), dice.choice((200, 200, 200, 304, 404))
        path = "/".join(dice.choices(words, k=3))
        lines.append(f"{number:02d} 2026-03-04 {second:05d} GET /{path} {status} {dice.randrange(100000)} ms\n")
        length += len(lines[-1])
    return "".join(lines).encode()[:BINARY_BYTES]


TEXTS = tuple(_text(number) for number in range(COUNT))
BINARIES = tuple(_binary(number) for number in range(COUNT))


def messages(kind: int) -> tuple[str, ...] | tuple[bytes, ...]:
    """The messages of an opcode, as a program sends them."""
    return TEXTS if kind == TEXT else BINARIES


def payloads(kind: int) -> tuple[bytes, ...]:
    """The messages of an opcode, as they are on the wire."""
    return tuple(text.encode() for text in TEXTS) if kind == TEXT else BINARIES
