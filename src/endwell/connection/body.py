"""The body of a message as it comes in: a buffer with flow control and lazy decoding (the core of `StreamReader`).

The connection feeds it; `connection.reader.StreamReader` is the face that users hold. A coding is undone when the
reader asks, a piece at a time: who reads slowly holds bounded memory, and nobody inflates what is thrown away.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol

from endwell.http.codings import CodingError, Decoder

__all__ = ("BodyStream", "Source")

_NO_LIMIT: Final = 1 << 62

_MANY: Final = 2**14
"""Pieces that are held before the peer is made to wait: each costs memory, however few bytes are in it."""


class Source(Protocol):
    """Where the bytes come from: can be asked to stop for a while."""

    def pause_reading(self) -> None:
        """Stop delivering."""

    def resume_reading(self) -> None:
        """Deliver again."""

    def reader_waits(self) -> None:
        """Note that the running task waits for what comes next."""


class BodyStream:
    """What has arrived of a body and was not read yet.

    Attributes:
        size: bytes held.
        received: bytes that came from the peer, before decoding.
        delivered: bytes handed to the reader.
        ended: the last byte has arrived.
        error: why there will be no more.
        refuse: told of a coding error, ends the exchange for it and returns the error to raise.

    """

    __slots__ = (
        "_at", "_finished", "_high", "_loop", "_low", "_mark", "_paused", "_pieces", "_raw", "_source", "_waiter",
        "decoder", "delivered", "ended", "error", "received", "refuse", "size",
    )  # fmt: skip

    def __init__(
        self, loop: asyncio.AbstractEventLoop, source: Source | None, limit: int, decoder: Decoder | None = None
    ) -> None:
        self._loop = loop
        self._source = source
        self._low = limit
        self._high = limit * 2
        self._pieces: deque[bytes] = deque()
        self._raw: deque[bytes] = self._pieces if decoder is None else deque()
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False
        self._mark = False
        self.decoder = decoder
        self.size = 0
        self.received = 0
        self.delivered = 0
        self.ended = False
        self.error: BaseException | None = None
        self.refuse: Callable[[CodingError], BaseException] | None = None
        self._finished = decoder is None
        self._at = 0  # how far the first piece was handed out

    # The connection's side

    def feed(self, pieces: list[bytes]) -> None:
        """Take what has arrived; ``b""`` marks the end of a chunk."""
        if self.error is not None:
            return
        size = 0
        for piece in pieces:
            size += len(piece)
        self._raw.extend(pieces)
        self.received += size
        self.size += size
        if (
            (self.size > self._high or (len(self._raw) > _MANY and self._high != _NO_LIMIT))
            and not self._paused
            and self._source is not None
        ):
            self._paused = True
            self._source.pause_reading()
        if self._waiter is not None and self._high != _NO_LIMIT:
            self._wake()

    def end(self) -> None:
        """Note that the body is complete."""
        self.ended = True
        self._let_go()
        self._wake()

    def fail(self, error: BaseException) -> None:
        """Note that the body will never be complete; readers raise the error."""
        if self.error is None and not self.ended:
            self.error = error
            self._let_go()
            self._raw.clear()
            self._pieces.clear()
            self.size = 0
            self._wake()

    # The reader's side

    @property
    def limits(self) -> tuple[int, int]:
        """Bytes below which reading goes on, and above which it pauses."""
        return self._low, self._high

    @property
    def awaited(self) -> bool:
        """Whether a task waits for what comes next."""
        return self._waiter is not None

    @property
    def paused(self) -> bool:
        """Whether the peer is made to wait because nobody reads."""
        return self._paused

    @property
    def drained(self) -> bool:
        """Whether everything was handed out."""
        if not self.ended or any(self._pieces) or any(self._raw):
            return False
        if not self._finished:
            try:
                return not self._decode()
            except Exception as error:  # noqa: BLE001 - kept: whoever reads gets it
                self.error = self.error or error
                return False
        return True

    def take(self, most: int = -1) -> bytes:
        """Hand out up to `most` bytes of the first piece that is ready, ``b""`` when none is.

        Raises:
            CodingError: the bytes are not what Content-Encoding says, or too many come out of it (or what `refuse`
                makes of it).

        """
        if not self._front():
            return b""
        pieces = self._pieces
        piece = pieces[0]
        start = self._at
        end = len(piece) if most < 0 else min(start + most, len(piece))
        if end == len(piece):
            pieces.popleft()
            self._at = 0
        else:
            self._at = end
        if start or end != len(piece):
            piece = piece[start:end]
        self.delivered += len(piece)
        if self.decoder is None:
            self._consumed(len(piece))
        return piece

    def find(self, separator: bytes) -> int:
        """Tell how many bytes of the first piece to take to have `separator` as the last of them, -1 for none."""
        if not self._front():
            return -1
        found = self._pieces[0].find(separator, self._at)
        return -1 if found < 0 else found + len(separator) - self._at

    def at_mark(self) -> bool:
        """Tell whether a chunk of the chunked coding ended just here; takes the mark away."""
        if not self._at and self._pieces and not self._pieces[0]:
            while self._pieces and not self._pieces[0]:
                self._pieces.popleft()
            return True
        mark, self._mark = self._mark, False
        return mark

    def put_back(self, data: bytes) -> None:
        """Undo a `take`."""
        if data:
            if self._at:
                self._pieces[0] = self._pieces[0][self._at :]
                self._at = 0
            self._pieces.appendleft(data)
            self.delivered -= len(data)
            if self.decoder is None:
                self.size += len(data)

    async def wait(self) -> None:
        """Return when something has changed: bytes, the end, an error.

        Raises:
            RuntimeError: another task waits already.

        """
        if self._waiter is not None:
            message = "The body is being read by another task already; only one can wait for it"
            raise RuntimeError(message)
        if self._paused:
            self._resume()
        if self._source is not None:
            self._source.reader_waits()
        waiter = self._waiter = self._loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    async def wait_end(self) -> None:
        """Return when all bytes are here, whatever their number, without a wake-up for each read."""
        high, self._high = self._high, _NO_LIMIT
        try:
            while not self.ended and self.error is None:
                await self.wait()
        finally:
            self._high = high

    async def read_all(self) -> bytes:
        """Return the rest of the body, decoded, as one object."""
        if not self.ended and self.error is None:
            if self.decoder is None:
                await self.wait_end()
            else:
                return b"".join([piece async for piece in self._each()])
        if self.error is not None:
            raise self.error
        if self.decoder is None:
            pieces = self._pieces
            if self._at:
                pieces[0] = pieces[0][self._at :]
                self._at = 0
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self.delivered += len(data)
            pieces.clear()
            self.size = 0
            return data
        return b"".join([piece async for piece in self._each()])

    def mark_first(self) -> bool:
        """Tell whether a chunk ended before the next byte; takes the mark away."""
        if self.delivered and (self._mark or (not self._at and self._pieces and not self._pieces[0])):
            return self.at_mark() or True
        return False

    async def next(self, most: int = -1) -> bytes:
        """Return up to `most` bytes as soon as there are any, ``b""`` at the end of the body."""
        while True:
            if self.error is not None:
                raise self.error
            piece = self.take(most)
            if piece or self.drained:
                return piece
            await self.wait()

    async def _each(self) -> AsyncIterator[bytes]:
        while piece := await self.next():
            yield piece

    def _front(self) -> bool:
        """Have bytes in the first piece, decoding if need be; tell whether there are any."""
        pieces = self._pieces
        while True:
            if not pieces and (self.decoder is None or not self._decode()):
                return False
            if pieces[0]:
                return True
            pieces.popleft()
            self._mark = self.delivered > 0

    def _decode(self) -> bool:
        """Make one decoded piece if that can be done; tell whether it could."""
        decoder = self.decoder
        assert decoder is not None
        try:
            while not (piece := decoder.pull()):
                if not self._raw:
                    if self.ended and not self._finished:
                        decoder.finish()
                        self._finished = True
                    return False
                raw = self._raw.popleft()
                if raw:
                    decoder.feed(raw)
                    self._consumed(len(raw))
                else:
                    self._mark = True
        except CodingError as error:
            if self.refuse is None:
                raise
            self.error = self.refuse(error)
            raise self.error from error
        self._pieces.append(piece)
        return True

    def _consumed(self, size: int) -> None:
        self.size -= size
        if self._paused and self.size <= self._low and len(self._raw) <= _MANY // 2:
            self._resume()

    def _resume(self) -> None:
        self._paused = False
        if self._source is not None:
            self._source.resume_reading()

    def _let_go(self) -> None:
        """Leave the connection as it was found: the next exchange needs it reading."""
        if self._paused:
            self._resume()
        self._source = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
