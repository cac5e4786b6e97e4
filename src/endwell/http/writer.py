"""What a payload writes itself to: the interface of the body side of a message (RFC 9112 section 6).

Implemented by connections for real exchanges; here are the two writers that stay in memory or in front of another
writer. Used by `http.payload` and `http.multipart`.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import WriteTransport

    from multidict import CIMultiDict

    from .typedefs import Byteish

__all__ = ("AbstractStreamWriter", "BodyWriter", "CollectingWriter", "LimitedWriter")


class AbstractStreamWriter(ABC):
    """Where the bytes of a body go, one chunk after another."""

    buffer_size: int = 0
    """Bytes written since the last drain."""
    output_size: int = 0
    """Bytes handed to the transport, head and framing included."""
    length: int | None = 0
    """Bytes of the body that may still be written; None when the length was not announced."""

    @property
    def transport(self) -> "WriteTransport | None":
        """The transport below, None when there is none (any more)."""
        return None

    @abstractmethod
    async def write(self, chunk: "Byteish") -> None:
        """Write one piece of the body; waits while the peer does not take what was written before."""

    @abstractmethod
    async def write_eof(self, chunk: bytes = b"") -> None:
        """Write a last piece and end the body."""

    @abstractmethod
    async def drain(self) -> None:
        """Wait until the transport has room again."""

    @abstractmethod
    def enable_compression(self, encoding: str = "deflate", strategy: int | None = None) -> None:
        """Encode what is written from here on; `encoding` is a content coding, `strategy` one of zlib's."""

    @abstractmethod
    def enable_chunking(self) -> None:
        """Frame what is written from here on as chunks (RFC 9112 section 7.1)."""

    @abstractmethod
    async def write_headers(self, status_line: str, headers: "CIMultiDict[str]") -> None:
        """Write, or prepare to write, the head of the message."""

    def send_headers(self) -> None:
        """Send a head that was held back to travel with the first piece of the body. Nothing to do by default."""
        return


class BodyWriter(AbstractStreamWriter):
    """A writer without a message around it: subclasses say what becomes of the pieces."""

    async def write_eof(self, chunk: bytes = b"") -> None:
        """Write a last piece."""
        if chunk:
            await self.write(chunk)

    async def drain(self) -> None:
        """Wait for nothing."""
        return

    def enable_compression(self, encoding: str = "deflate", strategy: int | None = None) -> None:
        """Raise RuntimeError."""
        raise RuntimeError(f"cannot encode as {encoding!r}: this writer takes the bytes of a payload as they are")

    def enable_chunking(self) -> None:
        """Raise RuntimeError."""
        raise RuntimeError("cannot chunk: this writer takes the bytes of a payload as they are")

    async def write_headers(self, status_line: str, headers: "CIMultiDict[str]") -> None:
        """Raise RuntimeError."""
        raise RuntimeError("cannot write a head: this writer takes the bytes of a payload only")


class CollectingWriter(BodyWriter):
    """Keeps what is written in memory; `getvalue()` gives it."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    async def write(self, chunk: "Byteish") -> None:
        """Keep a copy of the piece."""
        piece = bytes(chunk)
        self._pieces.append(piece)
        self.output_size += len(piece)

    def getvalue(self) -> bytes:
        """Give all that was written so far."""
        return b"".join(self._pieces)


class LimitedWriter(BodyWriter):
    """Passes at most `length` bytes on to another writer and drops the rest."""

    def __init__(self, writer: AbstractStreamWriter, length: int) -> None:
        self._writer = writer
        self.length: int = max(length, 0)

    async def write(self, chunk: "Byteish") -> None:
        """Pass the piece on, or what of it is within the limit."""
        view = memoryview(chunk).cast("B")
        if self.length < len(view):
            view = view[: self.length]
        if not view:
            return
        self.length -= len(view)
        self.output_size += len(view)
        await self._writer.write(chunk if len(view) == len(chunk) else view)

    async def drain(self) -> None:
        """Wait for the writer behind this one."""
        await self._writer.drain()
