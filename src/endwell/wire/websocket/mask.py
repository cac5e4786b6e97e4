"""The mask over what a client sends, and the keys for it (RFC 6455 sections 5.3 and 10.3).

Used by the reader and the writer. Nothing of ours is compiled: where the library `websockets` is installed, its
compiled function does the work (0.03 ns a byte); else the interpreter's own C does it, and what is best depends on the
size: an XOR of two big ints takes about 2.5 ns a byte, four strided `translate` calls 1 ns a byte and 1 us to begin.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Final, TypeAlias

__all__ = ("Masker", "apply_mask", "masker", "new_mask_key", "translate_mask")

Masker: TypeAlias = Callable[[bytes, bytes], bytes]
"""What XORs each byte of its first argument with a byte of the second (four bytes, repeated)."""

_INTS_UP_TO: Final = 450  # bytes; from here on `translate` is the faster one
_KEYS: Final = 256  # keys that are made at a time: os.urandom costs a system call

_from_bytes: Final = int.from_bytes


@cache
def _tables() -> list[bytes]:
    """Give a table for `translate` of each value that a byte of a key can have."""
    plain = bytes(range(256))
    return [translate_mask(plain, bytes([value]) * 4) for value in range(256)]


def translate_mask(data: bytes, key: bytes) -> bytes:
    """Do what `apply_mask` does, without any compiled helper."""
    size = len(data)
    if size < _INTS_UP_TO:
        repeated = (key * ((size >> 2) + 1))[:size]
        return (_from_bytes(data, "little") ^ _from_bytes(repeated, "little")).to_bytes(size, "little")
    first, second, third, fourth = key
    tables = _tables()
    out = bytearray(data)
    out[0::4] = out[0::4].translate(tables[first])
    out[1::4] = out[1::4].translate(tables[second])
    out[2::4] = out[2::4].translate(tables[third])
    out[3::4] = out[3::4].translate(tables[fourth])
    return bytes(out)


@cache
def masker() -> Masker:
    """Give the fastest function there is; the first call may import a library."""
    import importlib

    try:
        compiled: Masker = importlib.import_module("websockets.speedups").apply_mask
        # It is not documented as public: it is taken only if it does what we think it does.
        if compiled(b"masked!", b"\1\2\3\4") == translate_mask(b"masked!", b"\1\2\3\4"):
            return compiled
    except (ImportError, AttributeError, TypeError, ValueError):
        pass
    return translate_mask


def apply_mask(data: bytes, key: bytes) -> bytes:
    """Mask or unmask `data` with the four bytes of `key`, in the fastest way there is."""
    return masker()(data, key)


_keys: Final[list[bytes]] = []
_take: Final = _keys.pop


def new_mask_key() -> bytes:
    """Give four bytes that nobody can foresee: others at each call, in each thread and in each process."""
    try:
        return _take()
    except IndexError:
        block = os.urandom(4 * _KEYS)
        _keys.extend([block[at : at + 4] for at in range(4, 4 * _KEYS, 4)])
        return block[:4]


# A child made by fork would send the keys that its parent sends.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keys.clear)
