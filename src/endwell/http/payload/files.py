"""Payloads read from files, in blocks and off the event loop (a disk may be slow, a network disk very slow).

A file is sent from where it stood when its payload was first asked for its size or written, and a file that can seek
is sent from there again (redirects, retries). `close()` closes the file, as aiohttp's does: a file belongs to the
request it was given to. BytesIO stays open.

Reads go through the event loop's default executor. Its threads are the loop's, not a session's: they wait there for the
next that needs one, and end with the loop (`asyncio.run` and `Runner` join them). A thread cannot be stopped in a read.
So a session that closes does not wait for one (closing.md C6 is kept: a thread holds nothing of the session, and what
it reads goes nowhere); the call that gave the file does, and closes the file after it.
"""

import asyncio
import codecs
import io
import os
import stat
from collections.abc import Callable
from typing import IO, Any, Final, TextIO, TypeVar

from endwell.http import hdrs
from endwell.http.mediatype import charset_of
from endwell.http.writer import AbstractStreamWriter, CollectingWriter

from .base import UNSET, Payload, Unset, guess_filename

__all__ = ("BufferedReaderPayload", "BytesIOPayload", "IOBasePayload", "TextIOPayload")

READ_SIZE: Final = 2**18
# A text file's position is a byte offset as long as the decoder has no state; with state it is larger than this.
_PLAIN_POSITION: Final = 2**63

_Result = TypeVar("_Result")


def _seen(future: "asyncio.Future[Any]") -> None:
    if not future.cancelled():
        future.exception()  # nobody else may look at it


async def _off_loop(call: "Callable[..., _Result]", *args: Any) -> _Result:
    return await asyncio.get_running_loop().run_in_executor(None, call, *args)


class IOBasePayload(Payload):
    """A binary file, or anything with `read`, that gives bytes.

    The name of the file gives the type, and the field ``Content-Disposition: <disposition>; filename="..."`` unless
    `disposition` is None or `headers` has that field.
    """

    _value: IO[Any]
    _start: int | None = None
    _start_known: bool = False
    _reading: "asyncio.Future[bytes] | None" = None
    """The last read in a thread: it goes on there when the task that waits for it is cancelled."""

    def __init__(self, value: IO[Any], disposition: str | None = "attachment", *args: Any, **kwargs: Any) -> None:
        if "filename" not in kwargs and len(args) < 3:
            kwargs["filename"] = guess_filename(value)
        super().__init__(value, *args, **kwargs)
        if self._filename is not None and disposition is not None:
            given = self._fields is not None and hdrs.CONTENT_DISPOSITION in self._fields
            if not given:
                self.set_content_disposition(disposition, filename=self._filename)

    @property
    def size(self) -> int | None:
        """The bytes from the start position to the end of the file; None for a pipe and the like."""
        try:
            self._remember_start()
            if self._start is None:
                return None
            end = self._end()
        except (OSError, ValueError):
            return None
        return None if end is None else max(end - self._start, 0)

    @property
    def consumed(self) -> bool:
        """True when the file is closed, or was sent and cannot seek."""
        return self._consumed or bool(getattr(self._value, "closed", False))

    def _stream(self) -> IO[bytes]:
        """Give what bytes are read from."""
        return self._value

    def _remember_start(self) -> None:
        if self._start_known:
            return
        self._start_known = True
        try:
            self._start = self._tell() if self._value.seekable() else None
        except (OSError, AttributeError):
            self._start = None

    def _tell(self) -> int | None:
        return self._value.tell()

    def _end(self) -> int | None:
        """Give the position of the end of the file, None when only reading would tell."""
        stream = self._stream()
        # Only of a plain file does the descriptor say how much can be read: gzip's file objects have one too.
        raw = getattr(stream, "raw", stream)
        if isinstance(raw, io.FileIO):
            if isinstance(stream, io.BufferedRandom):
                stream.flush()
            status = os.fstat(raw.fileno())
            return status.st_size if stat.S_ISREG(status.st_mode) else None
        here = stream.tell()
        try:
            return stream.seek(0, os.SEEK_END)
        finally:
            stream.seek(here)

    def _rewind(self) -> None:
        """Go to where the content starts (blocks); raises RuntimeError when that is no longer possible."""
        self._remember_start()
        if self._start is not None:
            self._value.seek(self._start)
        elif self._consumed:
            raise RuntimeError(
                f"cannot send {self._describe()} again: it was read before and cannot seek; give a new one each time"
            )
        else:
            self._consumed = True

    def _describe(self) -> str:
        return f"the file {self._filename!r}" if self._filename else f"this {type(self._value).__name__}"

    def _read(self, size: int) -> bytes:
        return self._stream().read(size)

    def _first(self, size: int) -> bytes:
        self._rewind()
        return self._read(size)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Read the whole file, in this thread, and give it as text."""
        self._rewind()
        return self._read_all().decode(self._encoding or encoding, errors)

    def _read_all(self) -> bytes:
        pieces = []
        while piece := self._read(READ_SIZE):
            pieces.append(piece)
        return b"".join(pieces)

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """Read the whole file off the loop and give its bytes."""
        collector = CollectingWriter()
        await self.write_with_length(collector, None)
        return collector.getvalue()

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the file from its start position to its end.

        On cancellation a read that is under way ends in its thread; who writes the file again waits for that.
        """
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Write at most `content_length` bytes of the file, all of it when None, in blocks of 256 KiB."""
        await self._still()
        # what grows while it is sent must not grow beyond the size that was announced
        announced = self.size
        if announced is not None and (content_length is None or announced < content_length):
            content_length = announced
        left = content_length
        block = await self._run(self._first, READ_SIZE if left is None else min(READ_SIZE, left))
        while block:
            if left is not None:
                block = block[:left]
                left -= len(block)
            await writer.write(block)
            if left == 0:
                return
            block = await self._run(self._read, READ_SIZE if left is None else min(READ_SIZE, left))

    async def _run(self, call: "Callable[[int], bytes]", size: int) -> bytes:
        reading = self._reading = asyncio.get_running_loop().run_in_executor(None, call, size)
        reading.add_done_callback(_seen)
        await asyncio.wait([reading])  # cancelled, this leaves `reading` as it is: it tells when the thread is done
        self._reading = None
        return reading.result()

    async def _still(self) -> None:
        """Return when no thread reads the file any more for a writer that was cancelled."""
        if self._reading is not None and not self._reading.done():
            await asyncio.wait([self._reading])

    async def close(self) -> None:
        """Close the file, off the loop; safe to call more than once. Waits for a read of a file that can seek."""
        self._consumed = True
        if self._start is not None:  # a pipe may keep its reader for ever
            await self._still()
        close = getattr(self._value, "close", None)
        if close is not None and not getattr(self._value, "closed", False):
            await _off_loop(close)


class BufferedReaderPayload(IOBasePayload):
    """A file opened with ``open(path, "rb")`` or ``"r+b"``."""


class BytesIOPayload(IOBasePayload):
    """A file in memory: read on the loop, and left open."""

    _value: io.BytesIO
    _autoclose = True

    def _end(self) -> int:
        return self._value.getbuffer().nbytes

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Give the content as text."""
        return super().decode(encoding, errors)

    async def _run(self, call: "Callable[[int], bytes]", size: int) -> bytes:
        return call(size)

    async def close(self) -> None:
        """Do nothing: memory needs no closing, and the user may want the BytesIO back."""


class TextIOPayload(IOBasePayload):
    """A text file; its charset is `encoding`, or the one that `content_type` names, or the file's own, or UTF-8.

    When the charset is the file's own, its bytes are sent as they are, line ends included, and the size is exact.
    Otherwise the text is encoded block by block, and the size is not known before.
    """

    _value: TextIO
    _bytes_as_they_are: bool = False
    _encoder: "codecs.IncrementalEncoder | None" = None

    def __init__(
        self,
        value: TextIO,
        *args: Any,
        encoding: str | None = None,
        content_type: str | Unset | None = None,
        **kwargs: Any,
    ) -> None:
        if content_type is UNSET:
            content_type = None
        if encoding is None:
            encoding = charset_of(content_type) or "utf-8"
        if content_type is None:
            content_type = f"text/plain; charset={encoding}"
        super().__init__(value, *args, content_type=content_type, encoding=encoding, **kwargs)
        own = getattr(value, "encoding", None)
        if isinstance(own, str) and hasattr(value, "buffer"):
            self._bytes_as_they_are = codecs.lookup(own).name == codecs.lookup(encoding).name

    def _stream(self) -> IO[bytes]:
        if self._bytes_as_they_are:
            return self._value.buffer
        raise TypeError("a text file in another charset has no stream of bytes")

    def _tell(self) -> int | None:
        start = self._value.tell()
        if self._bytes_as_they_are and start >= _PLAIN_POSITION:
            self._bytes_as_they_are = False
        return start

    def _end(self) -> int | None:
        if not self._bytes_as_they_are:
            return None
        self._value.flush()
        return super()._end()

    def _rewind(self) -> None:
        super()._rewind()
        self._encoder = codecs.getincrementalencoder(self._encoding or "utf-8")()

    def _read(self, size: int) -> bytes:
        if self._bytes_as_they_are:
            return super()._read(size)
        encoder = self._encoder
        if encoder is None:
            return b""
        # a block of text may encode to nothing yet (a BOM is not nothing, but half a shift sequence is)
        while text := self._value.read(size):
            if data := encoder.encode(text):
                return data
        self._encoder = None
        return encoder.encode("", final=True)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Write at most `content_length` bytes of the encoded text, all of it when None."""
        await super().write_with_length(writer, content_length)
