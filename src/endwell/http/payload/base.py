"""What a body is: `Payload`, the base of everything that can be sent as one (RFC 9110 section 8).

Used by both roles through `get_payload`, by `FormData`, and by multipart bodies, whose parts are payloads.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, Final

from multidict import CIMultiDict, istr

from endwell.http import hdrs
from endwell.http.disposition import content_disposition_header
from endwell.http.fields import check_field
from endwell.http.mediatype import DEFAULT_TYPE, guess_type
from endwell.http.writer import AbstractStreamWriter, CollectingWriter, LimitedWriter

__all__ = ("UNSET", "Payload", "PayloadHeaders", "Unset", "guess_filename")

PayloadHeaders = Mapping[str, str] | Iterable[tuple[str, str]]


class Unset(Enum):
    """Tells "not given" from None."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET


def guess_filename(obj: object, default: str | None = None) -> str | None:
    """Give the last component of the path that a file object was opened from, or `default`."""
    name = getattr(obj, "name", None)
    if isinstance(name, str) and name and not (name[0] == "<" and name[-1] == ">"):
        # both separators: a path of either system must not leak its directories to the peer
        return name.replace("\\", "/").rpartition("/")[2] or default
    return default


class Payload(ABC):
    """A body, or a part of one, that knows its type and can write itself.

    `value` is what is to be sent; `headers` are fields that go with it (as part of a multipart body, or merged into a
    message); `content_type` wins over what would be guessed, and a ``Content-Type`` in `headers` over both; `filename`
    serves to guess the type; `encoding` is the charset of text.

    Raises ValueError for CR, LF or NUL in `headers` or `content_type`.
    """

    _default_content_type: str = DEFAULT_TYPE
    _autoclose: bool = False
    # Defaults on the class, so that the short way of BytesPayload sets only what differs.
    _size: int | None = None
    _encoding: str | None = None
    _filename: str | None = None
    _consumed: bool = False
    _fields: "CIMultiDict[str] | None" = None
    _type: str = DEFAULT_TYPE

    def __init__(
        self,
        value: Any,
        headers: PayloadHeaders | None = None,
        content_type: str | Unset | None = UNSET,
        filename: str | None = None,
        encoding: str | None = None,
        **_kwargs: Any,
    ) -> None:
        self._value = value
        if encoding is not None:
            self._encoding = encoding
        if filename is not None:
            self._filename = filename
        if content_type is UNSET or content_type is None:
            self._type = self._default_content_type
            if filename is not None:
                self._type = guess_type(filename, self._type) or self._type
        else:
            check_field(hdrs.CONTENT_TYPE, content_type)
            self._type = content_type
        if headers:
            given: CIMultiDict[str] = CIMultiDict(headers)
            for name, text in given.items():
                check_field(name, text)
            fields: CIMultiDict[str] = CIMultiDict()
            if hdrs.CONTENT_TYPE not in given:
                fields[hdrs.CONTENT_TYPE] = self._type
            fields.extend(given)
            self._fields = fields

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.content_type} size={self.size}>"

    @property
    def size(self) -> int | None:
        """The exact number of bytes that `write` will write, None when it is not known before."""
        return self._size

    @property
    def filename(self) -> str | None:
        """The name of the file behind this payload, None when there is none."""
        return self._filename

    @property
    def headers(self) -> "CIMultiDict[str]":
        """The fields that go with the payload. They may be changed until it is sent."""
        if self._fields is None:
            self._fields = CIMultiDict({hdrs.CONTENT_TYPE: self._type})
        return self._fields

    @property
    def _headers(self) -> "CIMultiDict[str]":
        # subclasses written for aiohttp know the fields by this name
        return self.headers

    @property
    def encoding(self) -> str | None:
        """The charset of text, None for bytes."""
        return self._encoding

    @property
    def content_type(self) -> str:
        """The value of `Content-Type`."""
        if self._fields is None:
            return self._type
        return self._fields.get(hdrs.CONTENT_TYPE, self._type)

    @property
    def consumed(self) -> bool:
        """True when the payload cannot be written (again): its source is used up or closed."""
        return self._consumed

    @property
    def autoclose(self) -> bool:
        """True when there is nothing to close: `close()` need not be called."""
        return self._autoclose

    def set_content_disposition(
        self, disptype: str, quote_fields: bool = True, _charset: str = "utf-8", **params: str
    ) -> None:
        """Set the field `Content-Disposition`; see `content_disposition_header` for arguments and errors."""
        self.headers[hdrs.CONTENT_DISPOSITION] = content_disposition_header(disptype, quote_fields, _charset, **params)

    def _set_field(self, name: istr, value: str) -> None:
        check_field(name, value)
        self.headers[name] = value

    @abstractmethod
    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Give the content as text; blocks while a file is read. `encoding` counts when the payload names none."""

    @abstractmethod
    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the content to `writer`. Raises what the source raises; on cancellation the rest is not written."""

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Write at most `content_length` bytes to `writer`, all of them when it is None."""
        if content_length is None:
            await self.write(writer)
        else:
            await self.write(LimitedWriter(writer, content_length))

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """Give the whole content as bytes, the same that `write` would write."""
        collector = CollectingWriter()
        await self.write(collector)
        return collector.getvalue()

    async def close(self) -> None:  # noqa: B027 - most payloads have nothing to close
        """Free what the payload holds; safe to call more than once."""
