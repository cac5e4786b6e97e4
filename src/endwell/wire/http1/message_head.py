"""What the heads of requests and responses have in common: the bytes as they came, and fields found in them.

RFC 9112 section 5. With 20 fields, a multidict costs four times as much as the rest of the parsing; so the block stays
as it came, the few fields that framing needs are found in a lower-case copy, and the multidict is made when somebody
asks for it.
"""

from __future__ import annotations

from typing import Final

from multidict import CIMultiDictProxy

from endwell.http.fields import block_pairs, multidict_of
from endwell.http.typedefs import RawHeaders
from endwell.wire.http1.errors import ProtocolError

__all__ = ("MessageHead", "read_length")

_MAX_LENGTH: Final = 2**63 - 1


class MessageHead:
    """The first line and the fields of one message, checked already.

    A subclass sets the attributes itself: one call less for each message.

    Attributes:
        raw: the whole head with its empty line.
        lower: the same in lower case.

    """

    __slots__ = ("_headers", "_pairs", "lower", "raw")

    raw: bytes
    lower: bytes
    _pairs: RawHeaders | None
    _headers: CIMultiDictProxy[str] | None

    @property
    def raw_headers(self) -> RawHeaders:
        """The fields as they came."""
        if self._pairs is None:
            self._pairs = block_pairs(self.raw[self.raw.index(b"\r\n") + 2 :])
        return self._pairs

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """The fields as a multidict."""
        if self._headers is None:
            self._headers = multidict_of(self.raw[self.raw.index(b"\r\n") + 2 :])
        return self._headers

    def forget(self) -> None:
        """Free what was made of the bytes: it is made again when asked for."""
        self._pairs = self._headers = None

    def first(self, key: bytes) -> bytes | None:
        r"""Give the value of the first field with this key, None when there is none.

        `key` is ``b"\r\nlower-case-name:"``.
        """
        start = self.lower.find(key)
        if start < 0:
            return None
        start += len(key)
        return self.raw[start : self.raw.index(b"\r\n", start)].strip(b" \t")

    def every(self, key: bytes) -> list[bytes]:
        """Give the values of all fields with this key, in order."""
        values = []
        start = self.lower.find(key)
        while start >= 0:
            start += len(key)
            values.append(self.raw[start : self.raw.index(b"\r\n", start)].strip(b" \t"))
            start = self.lower.find(key, start)
        return values

    def persists(self, minor: int) -> bool:
        """Whether a connection of HTTP/1.`minor` may be used again after this message (RFC 9112 section 9.3)."""
        lower = self.lower
        start = lower.find(b"\r\nconnection:")
        if start < 0:
            return minor == 1
        if lower.startswith(b" keep-alive\r\n", start + 13) and lower.find(b"\r\nconnection:", start + 14) < 0:
            return True
        options = self.options()
        return b"close" not in options and (minor == 1 or b"keep-alive" in options)

    def options(self) -> set[bytes]:
        """The connection options, in lower case (RFC 9110 section 7.6.1)."""
        return {option.strip(b" \t") for option in b",".join(self.every(b"\r\nconnection:")).lower().split(b",")}


def read_length(value: bytes) -> int:
    """Read the value of a Content-Length (RFC 9110 section 8.6).

    Raises:
        ProtocolError: it is not decimal digits, or over 2**63 - 1.

    """
    value = value.strip(b" \t")
    digits = value.lstrip(b"0")  # int() refuses thousands of digits, zeros too
    if not value.isdigit() or len(digits) > 19 or (length := int(digits or b"0")) > _MAX_LENGTH:
        message = f"Bad Content-Length: {value[:40]!r}"
        raise ProtocolError(message)
    return length
