"""One part of a multipart body that is being received, and the payload that passes it on.

RFC 2046 section 5.1, RFC 7578 section 4, RFC 2045 section 6. Made by `MultipartReader`.
"""

import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from endwell.http import hdrs
from endwell.http.disposition import content_disposition_filename, parse_content_disposition
from endwell.http.mediatype import charset_of, usable_charset
from endwell.http.payload import PAYLOAD_REGISTRY, Payload
from endwell.http.typedefs import DEFAULT_JSON_DECODER, Byteish
from endwell.http.writer import AbstractStreamWriter

from .codings import PartDecoder, check_codings
from .errors import MultipartError, PartCharsetError, PartTooLargeError
from .scanner import Scanner
from .source import BodySource, PartSource

__all__ = ("BodyPartReader", "BodyPartReaderPayload")

_DECODED_BLOCK: Final = 2**18


class BodyPartReader:
    """One part: its fields, and its content in whichever way it is read.

    The ways may be mixed; each goes on where the one before stopped. All of them give b"" (or an empty result) at the
    end of the part, and raise MultipartError when the body is malformed or ends early. A cancelled call loses nothing.

    `boundary` is with the leading ``--``; `content` is a body behind the fields of the part; `max_decompress_size` is
    the largest block, in bytes, that decompression gives at once.
    """

    chunk_size = 8192
    max_decoded_size: int = 64 * 2**20
    """Bytes that a compressed part may become when it is read at once; larger ones can be had with `decode_iter`."""

    def __init__(
        self,
        boundary: bytes,
        headers: Mapping[str, str],
        content: BodySource,
        *,
        subtype: str = "mixed",
        default_charset: str | None = None,
        max_decompress_size: int = _DECODED_BLOCK,
        client_max_size: int = sys.maxsize,
        max_size_error_cls: type[Exception] = ValueError,
    ) -> None:
        self.headers = headers
        if not isinstance(content, PartSource):
            content = PartSource(Scanner(boundary.removeprefix(b"--"), in_content=True), content)
        self._content = content
        self._is_form = subtype == "form-data"
        self._default_charset = default_charset
        self._max_decompress_size = max_decompress_size
        self._client_max_size = client_max_size
        self._max_size_error_cls = max_size_error_cls
        self._pending = b""
        self._offset = 0
        self._ended = False
        self._received = 0
        # In a form the boundary alone counts. Elsewhere a length that is not true means that others read another body.
        self._length = None if self._is_form else _length_of(headers)
        self._disposition: dict[str, str] | None = None

    def __aiter__(self) -> "BodyPartReader":
        return self

    async def __anext__(self) -> bytes:
        content = await self.next()
        if content is None:
            raise StopAsyncIteration
        return content

    async def next(self) -> bytes | None:
        """Give the whole content once, then None."""
        content = await self.read()
        return content or None

    @property
    def _params(self) -> dict[str, str]:
        if self._disposition is None:
            self._disposition = parse_content_disposition(self.headers.get(hdrs.CONTENT_DISPOSITION))[1]
        return self._disposition

    @property
    def name(self) -> str | None:
        """The name of the field in a form, None when the part has none."""
        return content_disposition_filename(self._params, "name")

    @property
    def filename(self) -> str | None:
        """The name of the file, None when the part has none. It comes from the peer: never use it as a path."""
        return content_disposition_filename(self._params, "filename")

    def at_eof(self) -> bool:
        """True when the whole content was read."""
        return self._ended and self._offset >= len(self._pending)

    async def readany(self) -> bytes:
        """Give the next bytes as they came, b"" at the end of the part."""
        if self._offset < len(self._pending):
            rest = self._pending[self._offset :] if self._offset else self._pending
            self._pending = b""
            self._offset = 0
            return rest
        if self._ended:
            return b""
        data = await self._content.readany()
        if data:
            self._received += len(data)
            return data
        self._ended = True
        if self._length is not None and self._length != self._received:
            raise MultipartError(
                f"a part has {self._received} bytes, but its Content-Length says {self._length}: it is malformed"
            )
        return b""

    async def _peek(self) -> bytes:
        """Give the chunk that is being read, from `_offset` on; b"" at the end of the part."""
        if self._offset >= len(self._pending):
            self._pending = b""
            self._offset = 0
            self._pending = await self.readany()
        return self._pending

    async def _take(self, size: int) -> bytes:
        """Give at most `size` bytes, b"" at the end of the part."""
        data = await self._peek()
        begin, self._offset = self._offset, min(self._offset + size, len(data))
        return data[begin : self._offset]

    def _unread(self, data: bytes) -> None:
        self._pending = data + self._pending[self._offset :]
        self._offset = 0

    async def read_chunk(self, size: int = chunk_size) -> bytes:
        """Give the next bytes, at least one and at most `size`, b"" at the end of the part.

        In base64 a few more than `size`, so that each chunk can be decoded alone.
        """
        if size < 1:
            raise ValueError(f"size must be at least 1 byte, not {size}")
        chunk = await self._take(size)
        if self.headers.get(hdrs.CONTENT_TRANSFER_ENCODING, "").strip().lower() != "base64":
            return chunk
        pieces = [chunk]
        symbols = _symbols(chunk)
        is_done = False
        try:
            while missing := -symbols % 4:
                more = await self._take(missing)
                if not more:
                    break
                symbols += _symbols(more)
                pieces.append(more)
            is_done = True
        finally:
            if not is_done:
                self._unread(b"".join(pieces))
        return b"".join(pieces)

    async def readline(self) -> bytes:
        """Give the next line with its line end, the last one without if it has none, b"" at the end of the part."""
        return await self._collect(stop=b"\n")

    async def _collect(self, stop: bytes | None = None) -> bytes:
        """Give all that is left, or all up to and with `stop`. What is collected is put back on cancellation."""
        pieces: list[bytes] = []
        size = 0
        is_done = False
        try:
            while data := await self._peek():
                # by offset: copying the rest for each line would cost the square of a large chunk
                end = 0 if stop is None else data.find(stop, self._offset) + 1
                begin, self._offset = self._offset, end or len(data)
                piece = data[begin : self._offset] if begin or end else data
                size += len(piece)
                if size > self._client_max_size:
                    raise self._too_large(self._client_max_size)
                pieces.append(piece)
                if end:
                    break
            is_done = True
        except Exception:
            is_done = True  # what is malformed is not given out by halves
            raise
        finally:
            if not is_done:
                self._unread(b"".join(pieces))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def read(self, *, decode: bool = False) -> bytes:
        """Give the rest of the content, with `decode` without its codings.

        Raises `max_size_error_cls` beyond `client_max_size`, MultipartError for a bad coding, and PartTooLargeError
        when a compressed part becomes larger than `max_decoded_size`.
        """
        data = await self._collect()
        if not decode or not any(self._codings()):
            return data
        return self._decoded(data, min(self._client_max_size, max(self.max_decoded_size, len(data))))

    def _too_large(self, limit: int) -> Exception:
        if self._max_size_error_cls is ValueError:
            return PartTooLargeError(f"a part is larger than {limit} bytes")
        return self._max_size_error_cls(limit)

    def _decoded(self, data: bytes, limit: int) -> bytes:
        decoder = PartDecoder(*self._codings(), self._max_decompress_size)
        blocks: list[bytes] = []
        size = 0
        for step in (decoder.feed(data), decoder.finish()):
            for block in step:
                size += len(block)
                if size > limit:
                    if limit == self._client_max_size:
                        raise self._too_large(limit)
                    raise PartTooLargeError(f"a part becomes larger than {limit} bytes; read it with decode_iter()")
                blocks.append(block)
        return b"".join(blocks)

    async def release(self) -> None:
        """Read the rest of the part away."""
        while await self.readany():
            pass

    async def text(self, *, encoding: str | None = None) -> str:
        """Give the content, without codings, as text.

        In `encoding`, else the charset of the part, else of the form, else UTF-8. Raises PartCharsetError for an
        unknown charset, UnicodeDecodeError for bytes that are not in it.
        """
        data = await self.read(decode=True)
        if not data:
            return ""
        if encoding is None:
            encoding = self.get_charset(default="utf-8")
            if not usable_charset(encoding):
                raise PartCharsetError(f"a part has the unknown charset {encoding[:40]!r}; pass encoding=")
        return data.decode(encoding)

    async def json(self, *, encoding: str | None = None) -> Any:
        """Give the content as JSON, None when it is empty. Raises ValueError when it is not JSON."""
        text = await self.text(encoding=encoding)
        if not text:
            return None
        try:
            return DEFAULT_JSON_DECODER(text)
        except RecursionError as reason:
            raise MultipartError("a part is JSON that is nested too deep") from reason

    async def form(self, *, encoding: str | None = None) -> list[tuple[str, str]]:
        """Give the pairs of an urlencoded part. Raises MultipartError when it cannot be decoded."""
        if encoding is None:
            encoding = self.get_charset(default="utf-8")
        try:
            text = await self.text(encoding=encoding)
        except UnicodeDecodeError as reason:
            raise MultipartError(f"data cannot be decoded with {encoding} encoding") from reason
        return parse_qsl(text, keep_blank_values=True, encoding=encoding)

    def get_charset(self, default: str) -> str:
        """Give the charset that the part names, else that of its form, else `default`."""
        return charset_of(self.headers.get(hdrs.CONTENT_TYPE)) or self._default_charset or default

    def _codings(self) -> tuple[str, str]:
        content = "" if self._is_form else self.headers.get(hdrs.CONTENT_ENCODING, "")
        return check_codings(content, self.headers.get(hdrs.CONTENT_TRANSFER_ENCODING, ""))

    def decode(self, data: Byteish) -> bytes:
        """Take the codings off `data`, which is the whole content of the part (in base64 alone: any chunk of it).

        Raises PartTooLargeError beyond `max_decoded_size`; use `decode_iter` then.
        """
        raw = bytes(data)
        if not any(self._codings()):
            return raw
        return self._decoded(raw, max(self.max_decoded_size, len(raw)))

    async def decode_iter(self, data: Byteish) -> AsyncIterator[bytes]:
        """Take the codings off `data`, the whole content of the part, in blocks of at most `max_decompress_size`."""
        raw = bytes(data)
        codings = self._codings()
        if not any(codings):
            yield raw
            return
        decoder = PartDecoder(*codings, self._max_decompress_size)
        for block in decoder.feed(raw):
            yield block
        for block in decoder.finish():
            yield block


def _symbols(chunk: bytes) -> int:
    return len(chunk.translate(None, b"\r\n\t "))


def _length_of(headers: Mapping[str, str]) -> int | None:
    text = headers.get(hdrs.CONTENT_LENGTH)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 20):
        raise MultipartError(f"invalid Content-Length of a part: {text[:40]!r}")
    return int(text)


class BodyPartReaderPayload(Payload):
    """A part that is being received, sent on without its codings. It can be written once."""

    _value: BodyPartReader
    _autoclose = True

    def __init__(self, value: BodyPartReader, *args: Any, **kwargs: Any) -> None:
        super().__init__(value, *args, **kwargs)
        params: dict[str, str] = {}
        if value.name is not None:
            params["name"] = value.name
        if value.filename is not None:
            params["filename"] = value.filename
        if params:
            self.set_content_disposition("attachment", True, **params)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Raise TypeError: the content is still to be received."""
        raise TypeError("cannot decode a part that is still to be received: await its text()")

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """Raise TypeError: the content is still to be received."""
        raise TypeError("cannot read a part as bytes: await its read(decode=True), or write() it")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the content as it comes, without codings. Raises RuntimeError when it was written before."""
        if self._consumed:
            raise RuntimeError("this part was sent before and cannot be sent again")
        self._consumed = True
        part = self._value
        codings = part._codings()
        if not any(codings):
            while data := await part.readany():
                await writer.write(data)
            return
        decoder = PartDecoder(*codings, part._max_decompress_size)
        while data := await part.readany():
            for block in decoder.feed(data):
                await writer.write(block)
        for block in decoder.finish():
            await writer.write(block)


PAYLOAD_REGISTRY._add(BodyPartReaderPayload, BodyPartReader)
