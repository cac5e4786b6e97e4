"""Payloads whose bytes are in memory: bytes, text, JSON. The hot path of every POST, hence the short constructors."""

from collections.abc import Callable
from io import StringIO
from typing import Any, Final

from endwell.http.mediatype import DEFAULT_TYPE, charset_of
from endwell.http.typedefs import DEFAULT_JSON_ENCODER, Byteish
from endwell.http.writer import AbstractStreamWriter

from .base import UNSET, Payload, PayloadHeaders, Unset

__all__ = ("BytesPayload", "JsonBytesPayload", "JsonPayload", "StringIOPayload", "StringPayload")

# Larger bodies are handed on in blocks, so that time limits and a slow peer are noticed between them.
_WHOLE_LIMIT: Final = 2**20
_BLOCK: Final = 2**18

_JSON_TYPE: Final = "application/json"
_TEXT_TYPE: Final = "text/plain; charset=utf-8"


class BytesPayload(Payload):
    """Bytes, a bytearray or a memoryview; can be written any number of times."""

    _value: bytes | bytearray | memoryview
    _size: int
    _autoclose = True

    def __init__(
        self,
        value: Byteish,
        headers: PayloadHeaders | None = None,
        content_type: str | Unset | None = UNSET,
        filename: str | None = None,
        encoding: str | None = None,
        **_kwargs: Any,
    ) -> None:
        if isinstance(value, memoryview):
            value = value.cast("B") if value.contiguous else memoryview(value.tobytes())
        elif not isinstance(value, (bytes, bytearray)):
            raise TypeError(f"value argument must be bytes, bytearray or memoryview, not {type(value).__name__}")
        self._size = len(value)
        if headers is None and content_type is UNSET and encoding is None:
            # a bare file name does not change the type of bytes
            self._value = value
            if filename is not None:
                self._filename = filename
            return
        if content_type is UNSET:
            content_type = DEFAULT_TYPE
        super().__init__(value, headers, content_type, filename, encoding)

    def _preset(self, value: bytes, content_type: str, encoding: str | None) -> None:
        """Do what the constructor does, for a type that is known to be good."""
        self._value = value
        self._size = len(value)
        self._type = content_type
        self._encoding = encoding

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Give the content as text."""
        return bytes(self._value).decode(self._encoding or encoding, errors)

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """Give the content."""
        return bytes(self._value)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the content, in one piece up to 1 MiB, in blocks of 256 KiB beyond."""
        if self._size <= _WHOLE_LIMIT:
            await writer.write(self._value)
        else:
            await self._write_blocks(writer, self._size)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Write at most `content_length` bytes, all of them when it is None."""
        if content_length is None or content_length >= self._size:
            await self.write(writer)
        else:
            await self._write_blocks(writer, content_length)

    async def _write_blocks(self, writer: AbstractStreamWriter, size: int) -> None:
        view = memoryview(self._value)
        for start in range(0, size, _BLOCK):
            await writer.write(view[start : min(start + _BLOCK, size)])


class StringPayload(BytesPayload):
    """Text; its charset is `encoding`, or the one that `content_type` names, or UTF-8."""

    def __init__(
        self,
        value: str,
        headers: PayloadHeaders | None = None,
        content_type: str | Unset | None = None,
        filename: str | None = None,
        encoding: str | None = None,
        **_kwargs: Any,
    ) -> None:
        if content_type is UNSET:
            content_type = None
        if encoding is None and content_type is None and headers is None:
            self._preset(value.encode(), _TEXT_TYPE, "utf-8")
            self._filename = filename
            return
        if encoding is None:
            encoding = charset_of(content_type) or "utf-8"
        if content_type is None:
            content_type = f"text/plain; charset={encoding}"
        super().__init__(value.encode(encoding), headers, content_type, filename, encoding)


class StringIOPayload(StringPayload):
    """What is left to read in a text file in memory, read at once."""

    def __init__(self, value: StringIO, *args: Any, **kwargs: Any) -> None:
        super().__init__(value.read(), *args, **kwargs)


class JsonPayload(BytesPayload):
    """A value as JSON text, by `dumps`."""

    def __init__(
        self,
        value: Any,
        encoding: str = "utf-8",
        content_type: str = _JSON_TYPE,
        dumps: Callable[[Any], str] = DEFAULT_JSON_ENCODER,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        data = dumps(value).encode(encoding)
        if content_type == _JSON_TYPE and not args and not kwargs:
            self._preset(data, _JSON_TYPE, encoding)
        else:
            kwargs.update(zip(("headers", "filename"), args, strict=False))
            super().__init__(data, content_type=content_type, encoding=encoding, **kwargs)


class JsonBytesPayload(BytesPayload):
    """A value as JSON, by a `dumps` that gives bytes (orjson, msgspec)."""

    def __init__(
        self,
        value: Any,
        dumps: Callable[[Any], bytes],
        content_type: str = _JSON_TYPE,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        data = dumps(value)
        if content_type == _JSON_TYPE and not args and not kwargs and isinstance(data, bytes):
            self._preset(data, _JSON_TYPE, None)
        else:
            kwargs.update(zip(("headers", "filename"), args, strict=False))
            super().__init__(data, content_type=content_type, **kwargs)
