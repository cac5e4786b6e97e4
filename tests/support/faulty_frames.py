"""What a peer may not send on a WebSocket, and with which code it is told so; for hostile tests of both roles.

Each is a function of `put`, which puts frames together as the role does that sends them (`masked`, or `frame`).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

from tests.support.websockets import BINARY, CLOSE, PING, PONG, TEXT, closing

Put = Callable[..., bytes]
Fault = tuple[Callable[[Put], bytes], int]

PROTOCOL, INVALID = 1002, 1007
LONG = b"x" * 126


def _deflated(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return (deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]


FAULTS: dict[str, Fault] = {
    # Reserved bits that nothing gives a meaning (RFC 6455 section 5.2)
    **{f"RSV {bits} on text": (lambda put, b=bits: put(TEXT, b"x", rsv=b), PROTOCOL) for bits in (1, 2, 3, 4, 7)},
    "RSV 4 on a ping": (lambda put: put(PING, b"x", rsv=4), PROTOCOL),
    "RSV 4 on a close": (lambda put: put(CLOSE, closing(1000), rsv=4), PROTOCOL),
    "RSV 1 on a continuation": (lambda put: put(TEXT, b"x", fin=False) + put(0, b"y", rsv=1), PROTOCOL),
    # Opcodes (5.2)
    **{f"opcode {code}": (lambda put, c=code: put(c, b"x"), PROTOCOL) for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    # Control frames (5.5)
    "a ping of 126 bytes": (lambda put: put(PING, LONG), PROTOCOL),
    "a pong of 126 bytes": (lambda put: put(PONG, LONG), PROTOCOL),
    "a close of 126 bytes": (lambda put: put(CLOSE, closing(1000, LONG[:124])), PROTOCOL),
    "a ping that says 2**63 - 1 bytes": (lambda put: put(PING, b"", length=2**63 - 1), PROTOCOL),
    "a ping in fragments": (lambda put: put(PING, b"x", fin=False), PROTOCOL),
    "a pong in fragments": (lambda put: put(PONG, b"x", fin=False), PROTOCOL),
    "a close in fragments": (lambda put: put(CLOSE, closing(1000), fin=False), PROTOCOL),
    # Lengths (5.2): the shortest form, and no more than 63 bits
    "a size of 2 bytes for 1": (lambda put: put(TEXT, b"x", wide=2), PROTOCOL),
    "a size of 8 bytes for 2": (lambda put: put(BINARY, b"x" * 200, wide=8), PROTOCOL),
    "a size of 2**63": (lambda put: put(BINARY, b"", length=2**63), PROTOCOL),
    "a size of 2**64 - 1": (lambda put: put(BINARY, b"", length=2**64 - 1), PROTOCOL),
    # Fragments (5.4)
    "a continuation of nothing": (lambda put: put(0, b"x"), PROTOCOL),
    "a continuation of nothing, to go on": (lambda put: put(0, b"x", fin=False), PROTOCOL),
    "a continuation behind a whole message": (lambda put: put(TEXT, b"") + put(0, b"x"), PROTOCOL),
    "text within a message": (lambda put: put(TEXT, b"x", fin=False) + put(TEXT, b"y"), PROTOCOL),
    "bytes within a message": (lambda put: put(TEXT, b"x", fin=False) + put(BINARY, b"y"), PROTOCOL),
    # Close frames (5.5.1, 7.4)
    "a close of 1 byte": (lambda put: put(CLOSE, b"\x03"), PROTOCOL),
    **{
        f"code {code}": (lambda put, c=code: put(CLOSE, closing(c)), PROTOCOL)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    },
    "a reason that is no UTF-8": (lambda put: put(CLOSE, closing(1000, b"\xff")), INVALID),
    "a reason cut in a character": (lambda put: put(CLOSE, closing(1000, b"\xe2\x82")), INVALID),
    # UTF-8 (8.1)
    "text that is no UTF-8": (lambda put: put(TEXT, b"\xff"), INVALID),
    "text with a surrogate": (lambda put: put(TEXT, b"\xed\xa0\x80"), INVALID),
    "text in too long a form": (lambda put: put(TEXT, b"\xc0\x80"), INVALID),
    "text beyond Unicode": (lambda put: put(TEXT, b"\xf4\x90\x80\x80"), INVALID),
    "text cut in a character": (lambda put: put(TEXT, b"abc\xe2\x82"), INVALID),
    "text cut in a character, in fragments": (lambda put: put(TEXT, b"\xe2", fin=False) + put(0, b"\x82"), INVALID),
    "no UTF-8 in the last of three": (
        lambda put: put(TEXT, b"a", fin=False) + put(0, b"b", fin=False) + put(0, b"\xff"),
        INVALID,
    ),
}

DEFLATE_FAULTS: dict[str, Fault] = {
    "no deflate stream": (lambda put: put(TEXT, b"\xff\xff\xff\xff", rsv=4), PROTOCOL),
    "RSV 4 on a continuation": (
        lambda put: put(TEXT, _deflated(b"x" * 50)[:3], rsv=4, fin=False) + put(0, b"", rsv=4),
        PROTOCOL,
    ),
    "RSV 4 on a ping": (lambda put: put(PING, b"x", rsv=4), PROTOCOL),
    "no UTF-8, deflated": (lambda put: put(TEXT, _deflated(b"\xff" * 50), rsv=4), INVALID),
}


def bomb(size: int) -> bytes:
    """Give the payload of a message that is inflated to so many zeros."""
    return _deflated(bytes(size))


def cases(table: dict[str, Any]) -> list[str]:
    """Give the names, for `parametrize`."""
    return list(table)
