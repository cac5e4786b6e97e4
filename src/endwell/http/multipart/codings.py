"""Codings of single parts: base64 and quoted-printable (RFC 2045 section 6), gzip and deflate (RFC 9110 section 8.4.1).

Incremental in both directions. Used by the reader and the writer of multipart bodies.
"""

import binascii
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from .errors import MultipartError, PartCodingError

if TYPE_CHECKING:
    import zlib

__all__ = ("PartDecoder", "PartEncoder", "check_codings")

_IDENTITY_TRANSFER: Final = frozenset({"", "binary", "8bit", "7bit"})
_TRANSFER: Final = _IDENTITY_TRANSFER | {"base64", "quoted-printable"}
_CONTENT: Final = frozenset({"", "identity", "gzip", "deflate"})

_NOT_BASE64: Final = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="))
# Space is safe within a line; CR, LF, tab and the rest are written out, so that no relay can change them.
_QP_UNITS: Final = tuple(bytes([code]) if 32 <= code <= 126 and code != 61 else b"=%02X" % code for code in range(256))
_QP_LINE: Final = re.compile(rb"(?:=..|[^=]){1,25}")


def check_codings(content: str, transfer: str) -> tuple[str, str]:
    """Give both codings in lower case, "" for those that change nothing. Raises PartCodingError for unknown ones."""
    content = content.strip().lower()
    transfer = transfer.strip().lower()
    if content not in _CONTENT:
        raise PartCodingError(f"unknown content encoding: {content[:40]!r}; gzip, deflate and identity are known")
    if transfer not in _TRANSFER:
        raise PartCodingError(
            f"unknown content transfer encoding: {transfer[:40]!r}; base64, quoted-printable and binary are known"
        )
    return ("" if content == "identity" else content), ("" if transfer in _IDENTITY_TRANSFER else transfer)


class PartDecoder:
    """Takes both codings off a part: `feed` each piece, then `finish`."""

    __slots__ = ("_block", "_content", "_inflater", "_rest", "_transfer")

    def __init__(self, content: str, transfer: str, block: int) -> None:
        """Take codings as `check_codings` gives them; `block` bounds the bytes of one piece that comes out."""
        self._content = content
        self._transfer = transfer
        self._block = block
        self._rest = b""
        self._inflater: zlib._Decompress | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Give what one more piece decodes to, in blocks. Raises MultipartError for what is not in the coding."""
        if self._transfer:
            data = self._unarmour(data, is_last=False)
        yield from self._inflate(data)

    def finish(self) -> Iterator[bytes]:
        """Give what is left. Raises MultipartError when the end of the coding did not come."""
        if self._transfer:
            yield from self._inflate(self._unarmour(b"", is_last=True))
        if self._inflater is not None and not self._inflater.eof:
            raise MultipartError(f"a part in {self._content} coding is cut short")

    def _unarmour(self, data: bytes, *, is_last: bool) -> bytes:
        if self._transfer == "base64":
            data = self._rest + data.translate(None, _NOT_BASE64)
            whole = len(data) if is_last else len(data) // 4 * 4
            self._rest = data[whole:]
            try:
                return binascii.a2b_base64(data[:whole])
            except binascii.Error as reason:
                raise MultipartError(f"a part is not in base64: {reason}") from reason
        data = self._rest + data
        whole = len(data)
        if not is_last:
            # "=", "=A" and "=\r" go on in the next piece
            tail = data.rfind(b"=", max(whole - 2, 0))
            if tail >= 0:
                whole = tail
        self._rest = data[whole:]
        return binascii.a2b_qp(data[:whole])

    def _inflate(self, data: bytes) -> Iterator[bytes]:
        if not self._content:
            if data:
                yield data
            return
        if not data:
            return
        import zlib  # the rare part that is compressed pays for it

        inflater = self._inflater
        if inflater is None:
            inflater = self._inflater = zlib.decompressobj(self._window(data[0]))
        try:
            while data and not inflater.eof:
                if block := inflater.decompress(data, self._block):
                    yield block
                data = inflater.unconsumed_tail
            while not inflater.eof and (block := inflater.decompress(b"", self._block)):
                yield block
        except zlib.error as reason:
            raise MultipartError(f"a part is not in {self._content} coding: {reason}") from reason

    def _window(self, first: int) -> int:
        if self._content == "gzip":
            return 16 + 15
        # "deflate" is zlib's format, but many send it without zlib's header, aiohttp among them; with it, the low bits
        # of the first byte are 8
        return 15 if first & 0x0F == 8 else -15


class PartEncoder:
    """Puts both codings on a part: `feed` each piece, then `finish`."""

    __slots__ = ("_deflater", "_has_begun", "_rest", "_transfer")

    def __init__(self, content: str, transfer: str) -> None:
        """Take codings as `check_codings` gives them."""
        self._transfer = transfer
        self._rest = b""
        self._has_begun = False
        self._deflater: zlib._Compress | None = None
        if content:
            # without zlib's header: the one form of "deflate" that aiohttp reads in a part
            self._deflater = _deflater(16 + 15 if content == "gzip" else -15)

    def feed(self, data: bytes) -> bytes:
        """Give what one more piece encodes to; may be empty."""
        if self._deflater is not None:
            data = self._deflater.compress(data)
        return self._armour(data, is_last=False) if self._transfer else data

    def finish(self) -> bytes:
        """Give what is left."""
        data = self._deflater.flush() if self._deflater is not None else b""
        return self._armour(data, is_last=True) if self._transfer else data

    def _armour(self, data: bytes, *, is_last: bool) -> bytes:
        data = self._rest + data
        if self._transfer == "base64":
            # 57 bytes are one line of 76 characters
            whole = len(data) if is_last else len(data) // 57 * 57
            self._rest = data[whole:]
            lines = [
                binascii.b2a_base64(data[start : min(start + 57, whole)], newline=False)
                for start in range(0, whole, 57)
            ]
            return self._join(lines, b"\r\n")
        self._rest = b""
        text = b"".join(map(_QP_UNITS.__getitem__, data))
        if text.endswith(b" "):
            # white space before a line's end is lost, and the next thing may be a line's end
            text = text[:-1] + b"=20"
        return self._join(_QP_LINE.findall(text), b"=\r\n")

    def _join(self, lines: list[bytes], between: bytes) -> bytes:
        if not lines:
            return b""
        text = between.join(lines)
        if self._has_begun:
            text = between + text
        self._has_begun = True
        return text


def _deflater(window: int) -> "zlib._Compress":
    import zlib  # the rare part that is compressed pays for it

    return zlib.compressobj(wbits=window)
