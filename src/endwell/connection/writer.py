"""Sends the body of a message: framing, coding, back-pressure (RFC 9112 sections 6 and 7).

`BodyWriter` is what a payload writes itself to. In either role; the client starts it in a task of the exchange, when a
body cannot be handed to the transport at once.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Final

from multidict import CIMultiDict

from endwell.http.codings import Encoder, make_encoder
from endwell.http.typedefs import Byteish
from endwell.http.writer import AbstractStreamWriter
from endwell.transport.stream import Stream
from endwell.wire.http1 import encode_chunk
from endwell.wire.http1.chunked import LAST_CHUNK

if TYPE_CHECKING:
    from endwell.connection.open_file import OpenFile

__all__ = ("BodyWriter", "write_together")

_COPIED: Final = 8 * 1024
"""Bytes up to which copying a chunk costs less than giving the transport three pieces."""

_AT_ONCE: Final = 2**20
"""Bytes after which others have their turn, though the transport takes more: who writes without end to a peer that is
as fast, or to one that has gone (asyncio's TLS tells of it in a later pass only), would have the loop for itself."""

_IS_UNBOUNDED: Final = (3, 12) <= sys.version_info < (3, 12, 9) or (3, 13) <= sys.version_info < (3, 13, 2)
"""Whether asyncio's `writelines` never asks the writer to wait: so in these versions of Python (CVE-2024-12254)."""

_EACH: Final = 1024
"""What a piece counts for beside its bytes."""


class BodyWriter(AbstractStreamWriter):
    """Writes one body.

    Args:
        stream: where to.
        length: bytes that were announced in Content-Length, None for chunks or until the end of the connection.
        on_chunk: called with each piece before it is coded, and awaited (tracing).

    `body_size` counts the bytes of the body, coded, without framing; `output_size` those with it.

    """

    def __init__(
        self, stream: Stream, length: int | None, on_chunk: Callable[[bytes], Awaitable[None]] | None = None
    ) -> None:
        self._stream = stream
        self._chunked = False
        self._encoder: Encoder | None = None
        self._on_chunk = on_chunk
        self._turn = 0
        self.length = length
        self.buffer_size = 0
        self.output_size = 0
        self.body_size = 0
        self.ended = False

    @property
    def transport(self) -> asyncio.WriteTransport | None:
        """The transport below."""
        return self._stream.transport

    def enable_compression(self, encoding: str = "deflate", strategy: int | None = None) -> None:
        """See `AbstractStreamWriter.enable_compression`."""
        self._encoder = make_encoder(encoding, strategy=strategy)

    def enable_chunking(self) -> None:
        """See `AbstractStreamWriter.enable_chunking`."""
        self._chunked = True

    async def write(self, chunk: Byteish) -> None:
        """Send one piece of the body; returns when the transport takes more.

        Raises:
            ConnectionResetError: the connection is gone.
            ValueError: more than the announced Content-Length.

        """
        if self.ended:
            message = "Cannot write after write_eof(): the body has ended"
            raise RuntimeError(message)
        if self._on_chunk is not None:
            await self._on_chunk(bytes(chunk))
        data = chunk if type(chunk) is bytes else bytes(chunk)
        if self._encoder is not None:
            data = self._encoder.compress(data)
        if data:
            self._send(data)
            await self.drain()

    async def send_file(self, file: OpenFile, offset: int, count: int, chunk_size: int = 2**18) -> None:
        """Send `count` bytes of a file, from `offset` on, as a piece of the body; the file stays open.

        The kernel sends them (`connection/sendfile.py`) when nothing is to be done with them on the way. Otherwise
        (TLS, a coding, chunks) they are read, and coded, in the loop's executor, `chunk_size` bytes at a time.

        Raises:
            ConnectionResetError: the connection is gone.
            OSError: the file cannot be read.
            RuntimeError: the file has become shorter; the connection is being closed, for the length that was
                announced can no longer be kept.
            ValueError: more than the announced Content-Length.

        On cancellation, and after an error, an unknown part was sent: the connection can only be closed.
        """
        if self.ended:
            message = "Cannot write after write_eof(): the body has ended"
            raise RuntimeError(message)
        plain = self._encoder is None and not self._chunked
        if plain and self.length is not None and count > self.length:
            message = f"The file is {count - self.length} bytes longer than the Content-Length that was announced"
            raise ValueError(message)
        end = offset + count
        if plain and self._on_chunk is None:
            from endwell.connection.sendfile import send_through_kernel

            offset += await send_through_kernel(self._stream, file, offset, count, self._went_past)
        loop = asyncio.get_running_loop()
        while offset < end:
            size, data = await loop.run_in_executor(None, self._read, file, offset, min(chunk_size, end - offset))
            if not size:
                self._stream.close()
                message = f"{file.name!r} became shorter while it was sent: {end - offset} bytes of it are missing"
                raise RuntimeError(message)
            offset += size
            if self._on_chunk is not None:
                await self.write(data)
            elif data:
                self._send(data)
                await self.drain()

    def _read(self, file: OpenFile, offset: int, count: int) -> tuple[int, bytes]:
        """Read from a file, in a thread, and code what was read unless somebody is to see it first.

        Gives the bytes that were read, and the data. Nobody else uses the encoder meanwhile.
        """
        data = file.read_at(offset, count)
        coded = self._encoder is not None and self._on_chunk is None
        return len(data), self._encoder.compress(data) if coded and self._encoder is not None and data else data

    def _went_past(self, size: int) -> None:
        """Count bytes of the body that did not go through `_send`."""
        self.body_size += size
        self.output_size += size
        if self.length is not None:
            self.length -= size

    async def write_eof(self, chunk: bytes = b"") -> None:
        """Send a last piece and end the body. Idempotent.

        Raises:
            ValueError: less than the announced Content-Length was written.

        """
        if self.ended:
            return
        if chunk:
            await self.write(chunk)
        if self._encoder is not None:
            rest = self._encoder.flush()
            if rest:
                self._send(rest)
        if self._chunked:
            self._put(LAST_CHUNK)
        if self.length:
            message = f"The body ended {self.length} bytes before the Content-Length that was announced"
            raise ValueError(message)
        self.ended = True
        await self.drain()

    async def drain(self) -> None:
        """Wait until the transport takes more."""
        self._turn += self.buffer_size + _EACH
        self.buffer_size = 0
        if self._turn > _AT_ONCE:
            self._turn = 0
            await asyncio.sleep(0)
        await self._stream.writable()

    async def write_headers(self, status_line: str, headers: CIMultiDict[str]) -> None:
        """Refuse: the head of this message is sent."""
        message = "The head of this message was sent already"
        raise RuntimeError(message)

    def _send(self, data: bytes) -> None:
        self.body_size += len(data)
        if self._chunked:
            if len(data) <= _COPIED:
                self._put(encode_chunk(data))
            else:
                self._put(b"%x\r\n" % len(data), data, b"\r\n")
            return
        if self.length is not None:
            if len(data) > self.length:
                message = (
                    f"The body is {len(data) - self.length} bytes longer than the Content-Length that was announced"
                )
                raise ValueError(message)
            self.length -= len(data)
        self._put(data)

    def _put(self, *pieces: bytes) -> None:
        transport = self._stream.transport
        if transport is None or not self._stream.connected:
            message = "The connection was lost while sending"
            raise ConnectionResetError(message)
        size = sum(map(len, pieces))
        self.buffer_size += size
        self.output_size += size
        if len(pieces) == 1:
            transport.write(pieces[0])
        else:
            write_together(transport, pieces)


def write_together(transport: asyncio.WriteTransport, pieces: Iterable[bytes]) -> None:
    """Write pieces that belong together, without joining them where the transport can do that."""
    if _IS_UNBOUNDED:
        transport.write(b"".join(pieces))
    else:
        transport.writelines(pieces)
