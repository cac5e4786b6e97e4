"""Reads responses off a connection: bytes in, head and body pieces out (RFC 9112 sections 6 to 8).

The machine of the client role. `connection.http1` feeds it; it does no I/O and knows no clock.
"""

from __future__ import annotations

from typing import Final

from httptools import HttpParserError

from endwell.wire.http1.chunked import ChunkedDecoder
from endwell.wire.http1.errors import ProtocolError, TruncatedError
from endwell.wire.http1.head import ResponseHead, find_end, mend_response_head, parse_response_head
from endwell.wire.http1.limits import MAX_INFORMATIONAL, Limits
from endwell.wire.http1.message_head import read_length
from endwell.wire.http1.phase import Phase

__all__ = ("Phase", "ResponseReader")


_HEAD: Final = Phase.HEAD
_LENGTH: Final = Phase.LENGTH
_CHUNKED: Final = Phase.CHUNKED
_UNTIL_EOF: Final = Phase.UNTIL_EOF
_ENDED: Final = Phase.ENDED
_TUNNEL: Final = Phase.TUNNEL


class ResponseReader:
    """One connection's responses, one after the other.

    Attributes:
        head: the head of the final response, None until it is there.
        continued: True once a 100 (Continue) has come.
        switches: whether a 101 (Switching Protocols) may come: it is a final response then, and `rest` what follows it.
        phase: what the next bytes are.
        rest: bytes after the end of the response, or the first ones of a tunnel.
        trailers: the trailer fields as raw lines.

    """

    __slots__ = (
        "_buffer", "_chunks", "_informational", "_left", "_limits", "_method", "_scanned", "_used",
        "continued", "head", "phase", "read_until_eof", "rest", "switches", "trailers",
    )  # fmt: skip

    def __init__(self) -> None:
        self.phase = _ENDED
        self.rest = b""
        self.head: ResponseHead | None = None
        self._reset()

    def _reset(self) -> None:
        """Forget what only some responses leave behind."""
        self.rest = b""
        self.trailers = b""
        self.continued = False
        self.switches = False
        self._used = False
        self._buffer: bytearray | None = None
        self._scanned = 0
        self._informational = 0
        self._chunks: ChunkedDecoder | None = None
        self._left = 0

    def begin(self, method: str, limits: Limits, read_until_eof: bool = True) -> None:
        """Expect the response to a request with this method."""
        if self._used:
            self._reset()
        self._method = method
        self._limits = limits
        self.read_until_eof = read_until_eof
        self.head = None
        self.phase = _HEAD

    @property
    def length(self) -> int | None:
        """Bytes of the body still to come, None when unknown."""
        if self.phase is _LENGTH:
            return self._left
        return 0 if self.phase is _ENDED else None

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes from the peer; return the pieces of the body that were in them, ``b""`` where a chunk ended.

        Raises:
            ProtocolError: the peer broke the protocol, or a limit; the connection is of no more use.

        """
        phase = self.phase
        if phase is _LENGTH:
            left = self._left - len(data)
            self._left = left
            if left > 0:
                return [data]
            self.phase = _ENDED
            if left < 0:
                self._used = True
                self.rest = data[left:]
                return [data[:left]]
            return [data]
        if phase is _HEAD:
            return self._feed_head(data)
        if phase is _CHUNKED:
            return self._feed_chunks(data)
        if phase is _UNTIL_EOF:
            return [data]
        self._used = True
        self.rest += data
        return []

    def eof(self) -> None:
        """Take the end of the connection.

        Raises:
            TruncatedError: a response was under way and this is not its end.

        """
        if self.phase is _UNTIL_EOF:
            self.phase = _ENDED
        elif self.phase is _HEAD:
            message = "The connection ended before the head of the response was complete"
            raise TruncatedError(message)
        elif self.phase is _LENGTH:
            message = f"The connection ended {self._left} bytes before the Content-Length of the response"
            raise TruncatedError(message, "body")
        elif self.phase is _CHUNKED:
            message = "The connection ended before the last chunk of the response"
            raise TruncatedError(message, "body")

    @property
    def started(self) -> bool:
        """Whether a byte of the response has come."""
        return self.phase is not _HEAD or self._buffer is not None or self._informational > 0

    def refuse_reuse(self) -> None:
        """Note that bytes came after the end of the response; they are not kept."""
        self._used = True
        self.rest = b"?"

    def _feed_head(self, data: bytes, end: int = 0) -> list[bytes]:
        """Take a head that ends at `end`, or wherever it does."""
        if not end:
            end = data.find(b"\r\n\r\n") + 4
            if self._buffer is not None or end == 3:
                return self._feed_part_of_head(data)
        if end == len(data):
            raw, data = data, b""
        else:
            raw, data = data[:end], data[end:]
        try:
            head = parse_response_head(raw, self._limits)
        except (HttpParserError, ProtocolError) as error:
            head, taken = mend_response_head(raw, self._limits, error)
            data = raw[taken:] + data
        if head.status < 200:
            if head.status == 101 and self.switches:
                self.head = head
                self.phase = _ENDED
                self.rest = data  # in the other protocol
                return []
            self._take_informational(head)
            return self._feed_head(data) if data else []
        self.head = head
        self._frame(head)
        return self.feed(data) if data else []

    def _feed_part_of_head(self, data: bytes) -> list[bytes]:
        """Keep what came until the head is whole."""
        self._used = True
        if self._buffer is None:
            self._buffer = bytearray()
        self._buffer += data
        end = find_end(self._buffer, self._scanned)
        if end < 0:
            self._check_unfinished(self._buffer)
            return []
        data = bytes(self._buffer)
        self._buffer = None
        self._scanned = 0
        return self._feed_head(data, end)

    def _check_unfinished(self, buffer: bytearray) -> None:
        """Bound what is kept of a head that has not ended."""
        limits = self._limits
        line_start = buffer.rfind(b"\n", self._scanned) + 1
        self._scanned = max(line_start, self._scanned)
        limit = limits.field_size if self._scanned else limits.line_size
        if len(buffer) - self._scanned > limit or len(buffer) > limits.head_size:
            what = "A field has" if self._scanned else "The first line has"
            name = "max_field_size" if self._scanned else "max_line_size"
            message = f"{what} over {name}={limit} bytes"
            raise ProtocolError(message)
        if not b"HTTP/1.".startswith(buffer[:7]):
            message = f"The peer does not speak HTTP/1: it sent {bytes(buffer[:16])!r} where the status line should be"
            raise ProtocolError(message)

    def _take_informational(self, head: ResponseHead) -> None:
        self._used = True
        if head.status == 101:
            message = "The peer switched protocols (101) though nothing asked it to"
            raise ProtocolError(message)
        self.continued = self.continued or head.status == 100
        self._informational += 1
        if self._informational > MAX_INFORMATIONAL:
            message = f"More than {MAX_INFORMATIONAL} informational (1xx) responses before the final one"
            raise ProtocolError(message)

    def _frame(self, head: ResponseHead) -> None:
        """Decide where the body ends (RFC 9112 section 6.3)."""
        status = head.status
        method = self._method
        if method == "HEAD" or status == 204 or status == 304:  # noqa: PLR1714 - faster so, and this is the hot path
            self.phase = _ENDED
        elif method == "CONNECT" and status < 300:
            self.phase = _TUNNEL
        elif head.lower.find(b"\r\ntransfer-encoding:") >= 0:  # `in` takes twice the time for bytes
            codings = [c.strip(b" \t").lower() for c in b",".join(head.every(b"\r\ntransfer-encoding:")).split(b",")]
            if codings != [b"chunked"] or head.version == (1, 0):
                shown = b", ".join(codings)[:80].decode("latin-1")
                message = (
                    f"Transfer-Encoding {shown!r} in HTTP/1.{head.version[1]} is not understood; only 'chunked' is"
                )
                raise ProtocolError(message)
            self._used = True
            self._chunks = ChunkedDecoder(self._limits)
            self.phase = _CHUNKED
        elif (length := head.first(b"\r\ncontent-length:")) is not None:
            self._left = int(length) if len(length) < 20 else read_length(length)
            self.phase = _LENGTH if self._left else _ENDED
        elif self.read_until_eof:
            self.phase = _UNTIL_EOF
        else:
            self.phase = _ENDED

    def _feed_chunks(self, data: bytes) -> list[bytes]:
        chunks = self._chunks
        assert chunks is not None
        pieces = chunks.feed(data)
        if chunks.ended:
            self.phase = _ENDED
            self.rest = chunks.rest
            self.trailers = chunks.trailers
        return pieces
