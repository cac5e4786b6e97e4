"""The head of a response: checked by llhttp, kept as bytes, read field by field (RFC 9112 sections 4 and 5)."""

from __future__ import annotations

import re
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from endwell.wire.http1.errors import ProtocolError
from endwell.wire.http1.limits import Limits
from endwell.wire.http1.message_head import MessageHead

__all__ = ("ResponseHead", "check_block", "find_end", "mend_response_head", "parse_response_head")


class _Silent:
    """A protocol for llhttp without one callback: it only checks."""


_SILENT: Final = _Silent()
_SWITCHES: Final = re.compile(rb"HTTP/1\.1 101[ \r]")
_END: Final = re.compile(rb"\r?\n\r?\n")
_FOLD: Final = re.compile(rb"[ \t]*\r\n[ \t]+")
_LENGTHS: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+(?:[ \t]*,[ \t]*[0-9]+)*)[ \t]*(?=\r\n)", re.IGNORECASE)


class ResponseHead(MessageHead):
    """Status line and fields of one response."""

    __slots__ = ("status",)

    def __init__(self, raw: bytes, status: int) -> None:
        self.raw = raw
        self.status = status
        self.lower = raw.lower()
        self._pairs = None
        self._headers = None

    @property
    def version(self) -> tuple[int, int]:
        """The HTTP version of the status line."""
        return (1, 1) if self.raw[7:8] == b"1" else (1, 0)

    @property
    def reason(self) -> str:
        """The reason phrase, ``""`` when the peer sent none."""
        return self.raw[13 : self.raw.index(b"\r\n")].decode("utf-8", "surrogateescape")

    @property
    def keep_alive(self) -> bool:
        """Whether the connection may be used again (RFC 9112 section 9.3)."""
        return self.persists(1 if self.raw[7:8] == b"1" else 0)


def find_end(data: bytes | bytearray, start: int = 0) -> int:
    """Return where the head that begins at 0 ends (after its empty line), -1 when it has not ended yet.

    `start` is where an earlier search stopped.
    """
    end = data.find(b"\r\n\r\n", max(0, start - 3))
    if end >= 0:
        return end + 4
    found = _END.search(data, max(0, start - 3))
    return found.end() if found is not None else -1


def parse_response_head(raw: bytes, limits: Limits) -> ResponseHead:
    """Check a whole head, with its empty line, and give it.

    Raises:
        HttpParserError: llhttp refuses it; `mend_response_head` may know better.
        ProtocolError: not a head of HTTP/1.x, or over a limit.

    """
    if len(raw) > limits.smallest or raw.count(b"\n") - 2 > limits.fields:
        check_block(raw, limits)
    try:  # suppress() costs half a microsecond, here on the hot path
        HttpResponseParser(_SILENT).feed_data(raw)
    except HttpParserUpgrade:
        pass  # a 101: the reader knows whether it was asked for
    except HttpParserError:
        if _SWITCHES.match(raw) is None:  # llhttp stumbles over one without Upgrade, which is not its business
            raise
        HttpResponseParser(_SILENT).feed_data(b"HTTP/1.1 204 x" + raw[raw.index(b"\r\n") :])
    if b"\0" in raw:
        message = "The head of the response has a NUL character"
        raise ProtocolError(message)
    if raw[:7] != b"HTTP/1." or raw[7:9] not in (b"1 ", b"0 "):
        message = f"The peer answered with {raw[:8].decode('latin-1')!r}; HTTP/1.1 and HTTP/1.0 are understood here"
        raise ProtocolError(message)
    status = int(raw[9:12])
    if status < 100:
        message = f"The status {status} is not one of HTTP's (100 to 999)"
        raise ProtocolError(message)
    return ResponseHead(raw, status)


def mend_response_head(raw: bytes, limits: Limits, refused: Exception) -> tuple[ResponseHead, int]:
    """Try a head that llhttp refused once more, with the harmless sloppiness of real servers put right.

    That is: lines that end with LF alone, folded fields, a Content-Length repeated with the same value (RFC 9112 2.2
    and 5.2, RFC 9110 8.6). Returns the head and how many bytes of `raw` it took.

    Raises:
        ProtocolError: it is not a head even so.

    """
    found = _END.search(raw)
    end = found.end() if found is not None else len(raw)
    mended = _mend(raw[:end])
    if mended == raw:
        raise refused if isinstance(refused, ProtocolError) else _bad(raw, refused) from refused
    try:
        return parse_response_head(mended, limits), end
    except HttpParserError as again:
        raise _bad(raw, again) from again


def check_block(raw: bytes, limits: Limits) -> None:
    """Check the size of the first line and of each field line, and their number.

    Raises:
        ProtocolError: over a limit; the message names it.

    """
    first, *lines = raw.split(b"\n")
    if len(first) > limits.line_size:
        message = f"The first line has over max_line_size={limits.line_size} bytes"
        raise ProtocolError(message)
    fields = [line for line in lines if line not in (b"", b"\r")]
    if len(fields) > limits.fields:
        message = f"The head has {len(fields)} fields, over max_headers={limits.fields}"
        raise ProtocolError(message)
    if any(len(line) > limits.field_size for line in fields):
        message = f"A field has over max_field_size={limits.field_size} bytes"
        raise ProtocolError(message)


def _mend(raw: bytes) -> bytes:
    """Put right what real servers do and what has one reading only."""
    text = re.sub(rb"(?<!\r)\n", b"\r\n", raw)
    line, _, fields = text.partition(b"\r\n")
    if not fields.startswith((b" ", b"\t")):  # after the status line there is nothing to fold (RFC 9112 section 2.2)
        text = line + b"\r\n" + _FOLD.sub(b" ", fields)
    values = {value.strip() for found in _LENGTHS.finditer(text) for value in found[1].split(b",")}
    if len(values) == 1 and not re.search(rb"\r\ntransfer-encoding:", text, re.IGNORECASE):
        first = True

        def once(found: re.Match[bytes]) -> bytes:
            nonlocal first
            keep, first = first, False
            return b"\r\nContent-Length: " + next(iter(values)) if keep else b""

        text = _LENGTHS.sub(once, text)
    return text


def _bad(raw: bytes, error: Exception) -> ProtocolError:
    """Say what was wrong, with the line only when it can hold no secret: the status line."""
    first = raw.split(b"\r\n", 1)[0][:80]
    if not first.startswith(b"HTTP/"):
        return ProtocolError(f"The peer does not speak HTTP/1: it sent {first!r} where the status line should be")
    return ProtocolError(f"Bad response head after the status line {first!r}: {error}")
