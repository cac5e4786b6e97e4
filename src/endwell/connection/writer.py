"""Sends the body of a message: framing, coding, back-pressure (RFC 9112 sections 6 and 7).

`BodyWriter` is what a payload writes itself to. In either role; the client starts it in a task of the exchange, when a
body cannot be handed to the transport at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from multidict import CIMultiDict

from endwell.http.codings import Encoder, make_encoder
from endwell.http.typedefs import Byteish
from endwell.http.writer import AbstractStreamWriter
from endwell.transport.stream import Stream
from endwell.wire.http1 import encode_chunk
from endwell.wire.http1.chunked import LAST_CHUNK

__all__ = ("BodyWriter",)

_COPIED: Final = 8 * 1024
"""Bytes up to which copying a chunk costs less than giving the transport three pieces."""


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
        self.buffer_size = 0
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
        if transport is None or transport.is_closing():
            message = "The connection was lost while sending"
            raise ConnectionResetError(message)
        size = sum(map(len, pieces))
        self.buffer_size += size
        self.output_size += size
        if len(pieces) == 1:
            transport.write(pieces[0])
        else:
            transport.writelines(pieces)
