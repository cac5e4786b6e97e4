"""The status channel between a supervisor and a worker: JSON objects, one a line, over a pair of Unix sockets.

What is said on it is in `service.plan`. Both ends use this class.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Callable
from typing import Any, Final

__all__ = ("LONGEST", "Channel", "pair")

LONGEST: Final = 64 * 1024
"""Bytes of a line; what is longer ends the channel. An error with its traceback is cut to fit."""

_PIECE: Final = 64 * 1024


def pair() -> tuple[socket.socket, socket.socket]:
    """Make the two ends. Neither is inherited by child processes unless they are given it."""
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):  # macOS begins with 8 KiB
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * LONGEST)
    return ours, theirs


class Channel:
    """One end, in an event loop.

    Args:
        loop: the running loop.
        sock: our end; the channel owns it.
        heard: gets each object that the other end has sent.
        gone: called once when the other end is gone, or breaks the rules; not by `close`.

    """

    __slots__ = ("_data", "_gone", "_heard", "_loop", "_sock")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        heard: Callable[[dict[str, Any]], object],
        gone: Callable[[], object],
    ) -> None:
        self._loop = loop
        self._sock: socket.socket | None = sock
        self._heard = heard
        self._gone = gone
        self._data = bytearray()
        sock.setblocking(False)
        loop.add_reader(sock.fileno(), self._read)

    def send(self, message: dict[str, Any]) -> bool:
        """Send an object; False when the other end is gone, or does not read: then nothing more can be sent."""
        sock = self._sock
        if sock is None:
            return False
        line = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        if len(line) > LONGEST:
            if "error" not in message:
                error = f"A message of {len(line)} bytes is too long for the status channel"
                raise ValueError(error)
            error = str(message["error"])
            return self.send({**message, "error": f"{error[:8000]}\n[...]\n{error[-8000:]}"})
        try:
            # Messages are few and short, the buffer is large: who lets it fill hangs, and misses this one.
            whole = sock.send(line) == len(line)
        except BlockingIOError:
            return False
        except OSError:
            whole = False
        if not whole:  # the next line would go on in the middle of this one
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_WR)
        return whole

    def drain(self) -> None:
        """Hear what has come already: the other end has ended, and its last words count."""
        while self._sock is not None and self._read():
            pass

    def close(self) -> None:
        """Close our end. Idempotent."""
        sock, self._sock = self._sock, None
        if sock is not None:
            if not self._loop.is_closed():
                self._loop.remove_reader(sock.fileno())
            sock.close()

    def _read(self) -> bool:
        """Take a piece, False when there is none."""
        assert self._sock is not None
        try:
            data = self._sock.recv(_PIECE)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            data = b""
        self._data += data
        *lines, rest = self._data.split(b"\n") if b"\n" in data else (self._data,)
        if not data or len(rest) > LONGEST:
            self._lost()
            return False
        self._data = rest
        for line in lines:
            if self._sock is None:  # closed by what heard the one before
                return False
            try:
                message = json.loads(line)
            except (ValueError, RecursionError):
                message = None
            if not isinstance(message, dict):
                self._lost()
                return False
            self._heard(message)
        return True

    def _lost(self) -> None:
        self.close()
        self._gone()
