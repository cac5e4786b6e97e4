"""Frames as bytes, and what may stand in a close frame (RFC 6455 sections 5.2, 5.5.1 and 7.4).

Used by the writer, and by the connection for the close frame.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from endwell.wire.websocket.mask import apply_mask, new_mask_key

__all__ = ("CONTROL_MAX", "REASON_MAX", "close_payload", "frame", "frame_parts", "is_close_code")

CONTROL_MAX: Final = 125
"""Bytes in the payload of a control frame, at most (RFC 6455 section 5.5)."""
REASON_MAX: Final = CONTROL_MAX - 2
"""Bytes in the reason of a close frame, at most."""

_head_7: Final = Struct("!BB").pack
_head_16: Final = Struct("!BBH").pack
_head_64: Final = Struct("!BBQ").pack


def frame(opcode: int, payload: bytes, *, masked: bool, fin: bool = True, rsv1: bool = False) -> bytes:
    """Give a frame: its head, a new mask key where `masked`, the payload.

    What stands in it is the caller's: neither the opcode nor the size of a control frame is checked.
    """
    head, payload = frame_parts(opcode, payload, masked=masked, fin=fin, rsv1=rsv1)
    return head + payload


def frame_parts(
    opcode: int, payload: bytes, *, masked: bool, fin: bool = True, rsv1: bool = False
) -> tuple[bytes, bytes]:
    """Give the head of a frame, with the mask key, and the payload as it is sent; otherwise as `frame`."""
    first = opcode | (0x80 if fin else 0) | (0x40 if rsv1 else 0)
    size = len(payload)
    mask_bit = 0x80 if masked else 0
    if size < 126:
        head = _head_7(first, mask_bit | size)
    elif size < 65536:
        head = _head_16(first, mask_bit | 126, size)
    else:
        head = _head_64(first, mask_bit | 127, size)
    if not masked:
        return head, payload
    key = new_mask_key()
    return head + key, apply_mask(payload, key)


def is_close_code(code: int) -> bool:
    """Say whether a close frame may carry the code (RFC 6455 section 7.4, and what IANA has registered since).

    1004 has no meaning; 1005, 1006 and 1015 are for the ends themselves and never on the wire.
    """
    return 3000 <= code <= 4999 or 1000 <= code <= 1003 or 1007 <= code <= 1014


def close_payload(code: int, reason: bytes) -> bytes:
    """Give the payload of a close frame. One without a code has no payload: send ``b""`` then.

    Raises:
        ValueError: the code may not be sent, the reason is longer than 123 bytes or no UTF-8.

    """
    if not is_close_code(code):
        message = (
            f"A WebSocket cannot be closed with code {code}: write 1000 to 1003, 1007 to 1014, "
            f"or 3000 to 4999 for codes of your own"
        )
        raise ValueError(message)
    if len(reason) > REASON_MAX:
        message = f"The reason of a close frame has {len(reason)} bytes, at most {REASON_MAX} fit: shorten it"
        raise ValueError(message)
    try:
        reason.decode()
    except UnicodeDecodeError as error:
        message = "The reason of a close frame is text: encode it as UTF-8"
        raise ValueError(message) from error
    return code.to_bytes(2, "big") + reason
