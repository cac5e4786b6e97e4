"""The chunked transfer coding (RFC 9112 section 7.1), for both roles.

llhttp reads chunks too, but it does not tell where a message ends inside the bytes it was given, nor bound what stands
in extensions; both are needed here, and a chunk costs about a microsecond this way.
"""

from __future__ import annotations

import re
from typing import Final

from httptools import HttpParserError, HttpResponseParser

from endwell.wire.http1.errors import ProtocolError
from endwell.wire.http1.limits import MAX_CHUNK_OVERHEAD, MAX_TRAILERS, Limits

__all__ = ("LAST_CHUNK", "ChunkedDecoder", "encode_chunk")

LAST_CHUNK: Final = b"0\r\n\r\n"

_SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(;[^\r\n\0]*)?")
_LINE_MAX: Final = MAX_CHUNK_OVERHEAD + 64
_TRAILERS_PREFIX: Final = b"HTTP/1.1 200 OK\r\n"


def encode_chunk(data: bytes | bytearray | memoryview) -> bytes:
    """Frame one chunk. Empty data would end the body: the caller does not pass it."""
    return b"%x\r\n%b\r\n" % (len(data), bytes(data))


class ChunkedDecoder:
    """Takes the bytes of a chunked body in any split.

    After the last chunk `ended` is true, `trailers` holds the trailer section as raw field lines, and `rest` what came
    after the body.
    """

    __slots__ = ("_buffer", "_left", "_limits", "_line", "_overhead", "ended", "rest", "trailers")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._buffer = bytearray()  # a line, or a trailer section, that has not ended
        self._line = 0  # where in it the line begins that has not ended
        self._left = 0  # bytes of the chunk still to come, with its CRLF; 0 = a size line is next, -1 = trailers
        self._overhead = 0
        self.ended = False
        self.rest = b""
        self.trailers = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes; return the pieces of the body that were in them, with ``b""`` where a chunk ended.

        Raises:
            ProtocolError: not the chunked coding, or over a limit.

        """
        if self._buffer:
            if self._must_wait(data):
                return []
            data = bytes(self._buffer)
            self._buffer = bytearray()
        pieces: list[bytes] = []
        position = 0
        size = len(data)
        while position < size and not self.ended:
            left = self._left
            if left > 2:
                piece = data[position : position + left - 2] if position or size > left - 2 else data
                pieces.append(piece)
                position += len(piece)
                self._left = left - len(piece)
            elif left > 0:
                position = self._chunk_end(data, position)
                if self._left == 0:
                    pieces.append(b"")
            elif left == 0:
                position = self._size_line(data, position)
            else:
                position = self._trailer_section(data, position)
            if position < 0:
                break
        return pieces

    def _chunk_end(self, data: bytes, position: int) -> int:
        expected = b"\r\n"[2 - self._left :]
        got = data[position : position + len(expected)]
        if got != expected[: len(got)]:
            message = f"A chunk is not followed by CRLF: {got!r}"
            raise ProtocolError(message, "body")
        self._left -= len(got)
        return position + len(got)

    def _size_line(self, data: bytes, position: int) -> int:
        end = data.find(b"\n", position, position + _LINE_MAX)
        if end < 0:
            return self._wait(data, position, _LINE_MAX, "The line with the size of a chunk is too long")
        line = data[position : end - 1] if data[end - 1 : end] == b"\r" else None
        found = _SIZE_LINE.fullmatch(line) if line is not None and end > position else None
        if found is None:
            message = f"Not the size of a chunk: {data[position : min(end + 1, position + 40)]!r}"
            raise ProtocolError(message, "body")
        digits = found[1]
        self._overhead += end - 1 - position - len(digits)
        if self._overhead > MAX_CHUNK_OVERHEAD:
            message = f"More than {MAX_CHUNK_OVERHEAD} bytes of chunk extensions in one body"
            raise ProtocolError(message, "body", 413)
        length = int(digits, 16)
        self._left = length + 2 if length else -1
        return end + 1

    def _trailer_section(self, data: bytes, position: int) -> int:
        if data.startswith(b"\r\n", position):
            end = position
        else:
            found = data.find(b"\r\n\r\n", position)
            if found < 0:
                self._check_trailers(data[position:].removesuffix(b"\r"))
                return self._wait(data, position, MAX_TRAILERS, "The trailer section is too long")
            end = found + 2
        self.trailers = data[position:end]
        self._check_trailers(self.trailers)
        if self.trailers:
            try:
                HttpResponseParser(object()).feed_data(_TRAILERS_PREFIX + self.trailers + b"\r\n")
            except HttpParserError as error:
                message = f"Bad trailer section: {error}"
                raise ProtocolError(message, "body") from error
        self.rest = data[end + 2 :]
        self.ended = True
        return end + 2

    def _check_trailers(self, lines: bytes) -> None:
        limits = self._limits
        if lines.count(b"\n") > limits.fields:
            message = f"More than max_headers={limits.fields} fields in the trailer section"
            raise ProtocolError(message, "body", 413)
        if any(len(line) > limits.field_size for line in lines.split(b"\r\n")):
            message = f"A trailer field is longer than max_field_size={limits.field_size} bytes"
            raise ProtocolError(message, "body", 413)

    def _wait(self, data: bytes, position: int, limit: int, message: str) -> int:
        """Keep an unfinished line for the next bytes."""
        self._buffer += data[position:]
        self._line = self._buffer.rfind(b"\n") + 1
        if len(self._buffer) >= limit:
            raise ProtocolError(message, "body", 413)
        return -1

    def _must_wait(self, data: bytes) -> bool:
        """Keep these bytes too; tell whether they end nothing and break no limit, so that tiny pieces cost little."""
        buffer = self._buffer
        buffer += data
        if b"\n" in data:
            return False
        if self._left == 0:
            return len(buffer) < _LINE_MAX
        return len(buffer) < MAX_TRAILERS and len(buffer) - self._line <= self._limits.field_size
