"""Sends the heads of one pass of the event loop together, at its end.

A write to a peer that sleeps costs the kernel a wake-up, twice what the write itself costs; a peer that was just woken
by the write before is awake. So what many tasks write in one pass goes out back to back. Nobody waits for long: `MOST`
writes go out at once, and with one task at work there is nothing to wait for. (GET 10 KB over 50 connections: 37 us of
CPU time before, 25 us so.)
"""

from __future__ import annotations

import asyncio
from typing import Final

from endwell.transport.stream import Stream

__all__ = ("MOST", "Cork")

MOST: Final = 16
"""Writes that are held back at most: when a pass is long, because tasks compute, the peers are not kept idle."""


class Cork:
    """Holds writes back until the end of the pass of the loop.

    While one is held back, `Stream.held` says so: nothing of it has gone out, whatever becomes of the stream.
    """

    __slots__ = ("_held", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._held: list[tuple[Stream, bytes]] = []

    def write(self, stream: Stream, data: bytes) -> None:
        """Have `data` written to the stream soon; before anything that a task writes which is started after this."""
        held = self._held
        stream.held = True
        held.append((stream, data))
        if len(held) == 1:
            self._loop.call_soon(self.flush)
        elif len(held) >= MOST:
            self.flush()

    def flush(self) -> None:
        """Write what is held; not to connections that were closed meanwhile, which stay `held`."""
        held, self._held = self._held, []
        for stream, data in held:
            transport = stream.transport
            if transport is not None and not transport.is_closing():
                stream.held = False
                try:
                    transport.write(data)
                except Exception as error:  # noqa: BLE001 - it is that stream's alone: the others are still to be written
                    stream.write_failed(error)
