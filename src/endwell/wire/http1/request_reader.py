"""Reads requests off a connection: bytes in, head and body pieces out (RFC 9112 sections 2.2, 3 and 6 to 9).

The machine of the server role. `connection.serving` feeds it; it does no I/O and knows no clock. Unlike the client's
it puts nothing right: what has no single reading is refused, with the status to answer.
"""

from __future__ import annotations

import re
from typing import Final

from endwell.wire.http1.chunked import ChunkedDecoder
from endwell.wire.http1.errors import ProtocolError, TruncatedError
from endwell.wire.http1.limits import MAX_EMPTY_LINES, Limits
from endwell.wire.http1.phase import Phase
from endwell.wire.http1.request_head import RequestHead, parse_request_head
from endwell.wire.http1.request_line import check_field_line, check_line_start, check_request_line

__all__ = ("RequestReader",)

_HEAD: Final = Phase.HEAD
_LENGTH: Final = Phase.LENGTH
_CHUNKED: Final = Phase.CHUNKED
_ENDED: Final = Phase.ENDED

_PLAIN_LINE: Final = re.compile(rb"(?!CONNECT )([A-Z]{1,20}) (/[!-~]*) HTTP/1\.1")
_CHECKED_AT_ONCE: Final = 32
_KEPT: Final = 512
_KEPT_SIZE: Final = 1024

_ONCE: Final = b"\r\nsec-websocket-key:"
"""A field that makes each head another one."""


class RequestReader:
    """One connection's requests, one after the other.

    Args:
        limits: how much of a head a peer may send.
        heads: heads by their bytes, and by the bytes of their fields: most requests of a client are alike but for the
            first line. Readers with the same limits may share them. Bounded here in number and size.
        whole: those of them that are a whole request, by its bytes, and nothing else: who receives one of these while
            no request is under way has no need of a reader. Emptied together with `heads`.

    Attributes:
        head: the head of the request, None until it is there.
        phase: what the next bytes are: HEAD, LENGTH, CHUNKED or ENDED.
        rest: bytes after the end of the request, not looked at: the next requests, or the first bytes of another
            protocol. They are kept without bound: who feeds stops reading when there are too many.
        trailers: the trailer fields as raw lines.

    """

    __slots__ = (
        "_buffer", "_checked", "_chunks", "_empty_lines", "_heads", "_last", "_left", "_limits", "_line", "_number",
        "_searched", "_whole", "head", "phase", "rest", "trailers",
    )  # fmt: skip

    def __init__(
        self,
        limits: Limits,
        heads: dict[bytes, RequestHead] | None = None,
        whole: dict[bytes, RequestHead] | None = None,
    ) -> None:
        self._limits = limits
        self._heads = {} if heads is None else heads
        self._whole = {} if whole is None else whole
        self._last = b""
        self.phase = _HEAD
        self.head: RequestHead | None = None
        self.rest: bytes | bytearray = b""
        self.trailers = b""
        self._chunks: ChunkedDecoder | None = None
        self._left = 0
        self._empty_lines = 0
        self._start_head()

    def _start_head(self) -> None:
        """Forget what is kept of a head that came in parts."""
        self._buffer: bytearray | None = None
        self._searched = 0  # no LF before this byte is still to be found
        self._line = 0  # where the line begins that has not ended
        self._number = 0  # of that line
        self._checked = 0  # bytes of the request line that were looked at

    @property
    def length(self) -> int | None:
        """Bytes of the body still to come, None when unknown."""
        if self.phase is _LENGTH:
            return self._left
        return 0 if self.phase is _ENDED else None

    @property
    def started(self) -> bool:
        """Whether a byte of the request has come; empty lines before it are none."""
        return self.phase is not _HEAD or self._buffer is not None

    def next(self) -> bytes:
        """Be ready for the next request, after the end of this one; return the bytes of it that came, to be fed."""
        rest = self.rest
        self.phase = _HEAD
        self.head = None
        self._empty_lines = 0
        if rest:
            self.rest = b""
        if self._chunks is not None:
            self._chunks = None
            self.trailers = b""
        return bytes(rest)

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes from the peer; return the pieces of the body that were in them, ``b""`` where a chunk ended.

        Raises:
            ProtocolError: the peer broke the protocol, or a limit; `status` is what to answer, and the connection is
                of no more use.

        """
        phase = self.phase
        if phase is _HEAD:
            return self._feed_head(data)
        if phase is _LENGTH:
            left = self._left - len(data)
            self._left = left
            if left > 0:
                return [data]
            self.phase = _ENDED
            if left < 0:
                self.rest = data[left:]
                return [data[:left]]
            return [data]
        if phase is _CHUNKED:
            return self._feed_chunks(data)
        if not self.rest:
            self.rest = data
        else:
            if isinstance(self.rest, bytes):
                self.rest = bytearray(self.rest)
            self.rest += data
        return []

    def eof(self) -> None:
        """Take the end of the connection.

        Raises:
            TruncatedError: a request was under way and this is not its end.
            ProtocolError: what came was not the start of a request.

        """
        if self.phase is _LENGTH:
            message = f"The connection ended {self._left} bytes before the Content-Length of the request"
            raise TruncatedError(message, "body")
        if self.phase is _CHUNKED:
            message = "The connection ended before the last chunk of the request"
            raise TruncatedError(message, "body")
        if self.phase is _HEAD and self._buffer is not None:
            if self._number == 0 and self._buffer != b"\r":
                check_line_start(bytes(self._buffer), self._limits)
            message = "The connection ended before the head of the request was complete"
            raise TruncatedError(message)

    def _feed_head(self, data: bytes) -> list[bytes]:
        if self._buffer is not None:
            return self._feed_part_of_head(data)
        while data.startswith(b"\r\n"):
            self._empty_lines += 1
            if self._empty_lines > MAX_EMPTY_LINES:
                message = f"More than {MAX_EMPTY_LINES} empty lines before a request"
                raise ProtocolError(message)
            data = data[2:]
        end = data.find(b"\r\n\r\n") + 4
        if end == 3:
            return self._feed_part_of_head(data) if data else []
        if end == len(data):
            return self._take_head(self._parse(data), b"")
        return self._take_head(self._parse(data[:end]), data[end:])

    def _parse(self, raw: bytes) -> RequestHead:
        """Give the head. A client's heads differ in their first line at most: what is known is not looked at again."""
        heads = self._heads
        head = heads.get(raw)
        if head is not None:
            return head
        end = raw.find(b"\r\n")
        fields = raw[end:]
        line = _PLAIN_LINE.fullmatch(raw, 0, end) if end <= self._limits.line_size else None
        known = heads.get(fields) if line is not None else None
        if known is not None and line is not None:
            head = known.like(raw, line[1].decode(), line[2].decode())
            if raw != self._last:
                self._last = raw
                return head
        else:
            head = parse_request_head(raw, self._limits)
            if line is None:
                return head
            raw = fields
        if len(raw) <= _KEPT_SIZE and head.lower.find(_ONCE) < 0:
            if len(heads) >= _KEPT:
                heads.clear()
                self._whole.clear()
            heads[raw] = head
            if raw is not fields and not head.has_body:
                self._whole[raw] = head
        return head

    def _feed_part_of_head(self, data: bytes) -> list[bytes]:
        """Keep what came until the head is whole."""
        buffer = self._buffer
        if buffer is None:
            buffer = self._buffer = bytearray()
        elif buffer == b"\r" and data.startswith(b"\n"):
            self._start_head()  # it was an empty line in two parts
            return self._feed_head(b"\r" + data)
        buffer += data
        end = buffer.find(b"\r\n\r\n", max(0, self._searched - 3)) + 4
        if end == 3:
            self._check_unfinished(buffer)
            return []
        whole = bytes(buffer)
        self._start_head()
        return self._take_head(parse_request_head(whole[:end], self._limits), whole[end:])

    def _check_unfinished(self, buffer: bytearray) -> None:
        """Refuse what no further byte can put right; so what is kept has a bound."""
        limits = self._limits
        end = buffer.find(b"\n", self._searched)
        while end >= 0:
            line = bytes(buffer[self._line : end])
            if self._number:
                check_field_line(line, self._number, limits)
            else:
                check_request_line(line, limits)
            self._number += 1
            self._line = end + 1
            end = buffer.find(b"\n", end + 1)
        self._searched = len(buffer)
        size = len(buffer) - self._line
        if self._number:
            if size > limits.field_size or self._number > limits.fields or buffer.startswith(b"\r", self._line):
                start = bytes(buffer[self._line : self._line + limits.field_size + 1])
                check_field_line(start, self._number, limits, complete=False)
        elif buffer != b"\r" and (size <= _CHECKED_AT_ONCE or size >= 2 * self._checked or size > limits.line_size):
            self._checked = size  # seldom enough for linear time
            check_line_start(bytes(buffer), limits)

    def _take_head(self, head: RequestHead, data: bytes) -> list[bytes]:
        """Decide where the body ends (RFC 9112 section 6.3)."""
        self.head = head
        if head.chunked:
            self._chunks = ChunkedDecoder(self._limits)
            self.phase = _CHUNKED
        elif head.length:
            self._left = head.length
            self.phase = _LENGTH
        else:
            self.phase = _ENDED
        return self.feed(data) if data else []

    def _feed_chunks(self, data: bytes) -> list[bytes]:
        chunks = self._chunks
        assert chunks is not None
        pieces = chunks.feed(data)
        if chunks.ended:
            self.phase = _ENDED
            self.rest = chunks.rest
            self.trailers = chunks.trailers
        return pieces
