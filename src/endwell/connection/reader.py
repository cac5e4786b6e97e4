"""The body as users read it: `StreamReader`, with the methods that aiohttp's has.

A light face over `connection.body.BodyStream`: whoever holds it can still finish the exchange, so it holds the lease.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, Generic, TypeVar, cast

from endwell.connection.body import BodyStream
from endwell.lifetime import Lease

__all__ = ("EMPTY_PAYLOAD", "AsyncStreamIterator", "ChunkTupleAsyncStreamIterator", "StreamReader")

_T = TypeVar("_T")


class AsyncStreamIterator(Generic[_T]):
    """Asynchronous iteration that ends with an empty piece."""

    def __init__(self, read: Callable[[], Awaitable[_T]]) -> None:
        self._read = read

    def __aiter__(self) -> AsyncStreamIterator[_T]:
        return self

    async def __anext__(self) -> _T:
        piece = await self._read()
        if not piece:
            raise StopAsyncIteration
        return piece


class ChunkTupleAsyncStreamIterator:
    """Asynchronous iteration over ``(data, end_of_chunk)``."""

    def __init__(self, reader: StreamReader) -> None:
        self._reader = reader

    def __aiter__(self) -> ChunkTupleAsyncStreamIterator:
        return self

    async def __anext__(self) -> tuple[bytes, bool]:
        piece = await self._reader.readchunk()
        if piece == (b"", False):
            raise StopAsyncIteration
        return piece


class StreamReader:
    """Reads the body of a message as it arrives, with flow control: what is not read is not taken from the peer.

    Iterating gives lines. A method that finds the body broken raises the error of the exchange (`ClientPayloadError`
    and its kin), now and at each later call. Cancelling a method loses no bytes that were not returned, but for those
    that it had collected already.
    """

    __slots__ = ("_body", "_lease", "_loop")

    def __init__(self, body: BodyStream, lease: Lease | None, loop: asyncio.AbstractEventLoop) -> None:
        self._body = body
        self._lease = lease
        self._loop = loop

    def __repr__(self) -> str:
        body = self._body
        state = "eof" if body.ended else f"error {type(body.error).__name__}" if body.error else "open"
        return f"<StreamReader {state}, {body.size} bytes held>"

    def __aiter__(self) -> AsyncIterator[bytes]:
        return AsyncStreamIterator(self.readline)

    # State

    def at_eof(self) -> bool:
        """Tell whether everything was read."""
        return self._body.drained

    def is_eof(self) -> bool:
        """Tell whether the last byte has arrived; there may be some left to read."""
        return self._body.ended

    def exception(self) -> BaseException | None:
        """Give the error that ended the body, if one did."""
        return self._body.error

    def set_exception(self, exc: BaseException) -> None:
        """End the body with an error."""
        self._body.fail(exc)

    @property
    def total_bytes(self) -> int:
        """Bytes that came from the peer so far, before decoding, framing not counted."""
        return self._body.received

    total_raw_bytes = total_bytes
    total_compressed_bytes = total_bytes

    def get_read_buffer_limits(self) -> tuple[int, int]:
        """Give the low and the high mark of flow control, in bytes."""
        return self._body.limits

    async def wait_eof(self) -> None:
        """Return when the last byte has arrived. The buffer may grow beyond its limit meanwhile."""
        await self._body.wait_end()
        if self._body.error is not None:
            raise self._body.error

    # Reading

    async def read(self, n: int = -1) -> bytes:
        """Read up to `n` bytes as soon as there are any; with -1 everything to the end. ``b""`` at the end."""
        if n == 0:
            return b""
        if n < 0:
            return await self._body.read_all()
        piece = await self._body.next(n)
        left = n - len(piece)
        if not piece or not left:
            return piece
        pieces = [piece]
        while left and (piece := self._body.take(left)):
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    async def readany(self) -> bytes:
        """Read what is there, waiting for at least one byte; ``b""`` at the end."""
        return await self._body.next()

    async def readexactly(self, n: int) -> bytes:
        """Read exactly `n` bytes.

        Raises:
            asyncio.IncompleteReadError: the body ends before; `partial` holds what there was.

        """
        pieces: list[bytes] = []
        left = n
        while left > 0:
            piece = await self._body.next(left)
            if not piece:
                raise asyncio.IncompleteReadError(b"".join(pieces), n)
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    async def readline(self, *, max_line_length: int | None = None) -> bytes:
        r"""Read up to and with the next ``\n``; the rest when there is none.

        Raises:
            ValueError: the line is longer than `max_line_length`, by default the high mark of flow control.

        """
        return await self.readuntil(max_size=max_line_length)

    async def readuntil(self, separator: bytes = b"\n", *, max_size: int | None = None) -> bytes:
        """Read up to and with `separator`; the rest when it does not come.

        Raises:
            ValueError: it did not come within `max_size` bytes, by default the high mark of flow control.

        """
        if not separator:
            message = "Separator should be at least one-byte string"
            raise ValueError(message)
        limit = self._body.limits[1] if max_size is None else max_size
        body = self._body
        found = bytearray()
        while True:
            size = body.find(separator)
            piece = await body.next(size)
            if not found and size == len(piece) <= limit:
                return piece
            start = max(0, len(found) - len(separator) + 1)
            found += piece
            end = found.find(separator, start) + len(separator)
            if end >= len(separator):
                body.put_back(bytes(found[end:]))
                del found[end:]
            if len(found) > limit:
                message = f"Chunk too big: no {separator!r} within {limit} bytes"
                raise ValueError(message)
            if end >= len(separator) or not piece:
                return bytes(found)

    async def readchunk(self) -> tuple[bytes, bool]:
        """Read a piece as it came: the data, and whether a chunk of the chunked coding ends with it.

        ``(b"", False)`` at the end of the body. With a content coding, the end of a chunk is told with the first piece
        that was decoded after it.
        """
        body = self._body
        if body.mark_first():
            return b"", True
        piece = await body.next()
        if not piece:
            return b"", False
        return piece, body.at_mark()

    def read_nowait(self, n: int = -1) -> bytes:
        """Read up to `n` bytes of what is there without waiting; with -1 all of it.

        Raises:
            RuntimeError: another task waits for the body.

        """
        if self._body.error is not None:
            raise self._body.error
        if self._body.awaited:
            message = "Another task waits for the body"
            raise RuntimeError(message)
        pieces: list[bytes] = []
        while n != 0 and (piece := self._body.take(n)):
            pieces.append(piece)
            if n > 0:
                n -= len(piece)
        return b"".join(pieces)

    def iter_chunked(self, n: int) -> AsyncStreamIterator[bytes]:
        """Iterate over pieces of at most `n` bytes."""
        return AsyncStreamIterator(lambda: self.read(n))

    def iter_any(self) -> AsyncStreamIterator[bytes]:
        """Iterate over pieces as they come."""
        return AsyncStreamIterator(self._body.next)

    def iter_chunks(self) -> ChunkTupleAsyncStreamIterator:
        """Iterate over pieces as they come, each with whether a chunk of the chunked coding ends with it."""
        return ChunkTupleAsyncStreamIterator(self)

    # Feeding, for tests of users and for servers of their own

    def feed_data(self, data: bytes) -> None:
        """Add bytes at the end of the body."""
        self._body.feed([data])

    def feed_eof(self) -> None:
        """End the body."""
        self._body.end()

    def unread_data(self, data: bytes) -> None:
        """Put bytes back in front. Deprecated in aiohttp."""
        self._body.put_back(data)


class EmptyStreamReader(StreamReader):
    """A body without a byte, for messages that have none."""

    __slots__ = ()

    def __init__(self) -> None:
        body = BodyStream(_NO_LOOP, None, 2**16)
        body.end()
        super().__init__(body, None, _NO_LOOP)


# An ended body never waits, so it never asks its loop for anything.
_NO_LOOP: Final = cast("asyncio.AbstractEventLoop", None)
EMPTY_PAYLOAD: Final = EmptyStreamReader()
