"""What systemd has for a service: sockets that it hands over, and news that it wants (sd_listen_fds(3), sd_notify(3)).

Used by the supervisor. Nothing here needs libsystemd: the one is a few variables, the other a datagram.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import MutableMapping
from typing import Final

from endwell.service.errors import ServiceError

__all__ = ("PRIVATE", "Notifier", "take_sockets")

_FIRST: Final = 3
"""The first descriptor that is handed over."""

_MOST: Final = 1024
_LISTEN: Final = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID")
PRIVATE: Final = (*_LISTEN, "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""Variables that are meant for the supervisor, and not for its workers."""


def take_sockets(environ: MutableMapping[str, str]) -> list[tuple[int, str]]:
    """Give the descriptors that systemd has handed over to this process, each with its name; the variables are taken.

    Raises:
        ServiceError: the variables say nothing that can be.

    """
    count, pid = environ.get("LISTEN_FDS"), environ.get("LISTEN_PID")
    names = environ.get("LISTEN_FDNAMES", "")
    for name in _LISTEN:
        environ.pop(name, None)
    if not count or not pid or pid != str(os.getpid()):
        return []  # they are for somebody else: a parent of ours, most often
    if not count.isdecimal() or int(count) > _MOST:
        message = f"LISTEN_FDS must be a number of sockets, not {count[:20]!r}"
        raise ServiceError(message)
    fds = range(_FIRST, _FIRST + int(count))
    given = names.split(":") if names else []
    for fd in fds:
        with contextlib.suppress(OSError):  # one that is not open is told where it is used
            os.set_inheritable(fd, False)
    return [(fd, given[index] if index < len(given) else "unknown") for index, fd in enumerate(fds)]


class Notifier:
    """Tells systemd how the service does; does nothing where nobody has asked for it.

    Args:
        environ: where NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID are; they are taken.

    """

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        address = environ.pop("NOTIFY_SOCKET", "")
        usec = environ.pop("WATCHDOG_USEC", "")
        pid = environ.pop("WATCHDOG_PID", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._sock: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._status = ""
        ours = not pid or pid == str(os.getpid())
        self.watchdog = int(usec) / 1e6 if ours and usec.isdecimal() else 0.0
        """Seconds within which systemd wants to hear of us; 0 for no matter when."""

        if self._address.startswith(("/", "\0")):
            self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._sock.setblocking(False)

    def ready(self) -> None:
        """Say that the service has begun, or that it has been reloaded."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Say that the service replaces its workers; `ready` is to follow."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Say that the service ends."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """Say in a line how it is; once, if it stays the same."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={text}")

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tell systemd twice as often as it wants that this event loop runs."""
        if self._sock is not None and self.watchdog:
            self._send("WATCHDOG=1")
            self._timer = loop.call_later(self.watchdog / 2, self.watch, loop)

    def close(self) -> None:
        """Say nothing more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _send(self, text: str) -> None:
        if self._sock is not None:
            with contextlib.suppress(OSError):  # a service does not end because nobody listens to it
                self._sock.sendto(text.encode(), self._address)
