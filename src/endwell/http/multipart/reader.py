"""Reading multipart bodies: `MultipartReader` gives the parts, `BodyPartReader` is one of them.

RFC 2046 section 5.1, RFC 7578 (forms). Used for responses and for requests of the server. Limits: 8190 bytes for each
field of a part, 128 fields for each part, 1000 parts, 10 levels of nesting, 64 KiB before the first part, and 64 MiB
for what a compressed part may become when it is read at once. Whatever is beyond them, malformed or cut short raises
MultipartError, which is a ValueError.
"""

import inspect
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from endwell.http import hdrs
from endwell.http.mediatype import parse_mimetype

from .errors import MultipartError, TooManyPartsError
from .part import BodyPartReader
from .scanner import MAX_FIELD_SIZE, MAX_FIELDS, Scanner
from .source import BodySource, PartSource

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

__all__ = ("MultipartReader", "MultipartResponse", "MultipartResponseWrapper")

MAX_PARTS: Final = 1000
MAX_DEPTH: Final = 10
# the field `_charset_` of a form holds the name of a charset (RFC 7578 section 4.6), nothing longer
_MAX_CHARSET: Final = 40


class MultipartResponse(Protocol):
    """What `MultipartReader.from_response` needs of a response."""

    @property
    def headers(self) -> "Mapping[str, str]":
        """The fields of the response."""

    @property
    def content(self) -> Any:
        """The body: anything with `readany()`."""


class MultipartResponseWrapper:
    """A multipart response: gives the parts, and releases the response after the last one."""

    def __init__(self, resp: Any, stream: "MultipartReader") -> None:
        self.resp = resp
        self.stream = stream

    def __aiter__(self) -> "MultipartResponseWrapper":
        return self

    async def __anext__(self) -> "MultipartReader | BodyPartReader":
        part = await self.next()
        if part is None:
            raise StopAsyncIteration
        return part

    def at_eof(self) -> bool:
        """True when there is no other part."""
        return self.stream.at_eof()

    async def next(self) -> "MultipartReader | BodyPartReader | None":
        """Give the next part, None when there is none; then the response is released."""
        part = await self.stream.next()
        if self.stream.at_eof():
            await self._release()
        return part

    async def release(self) -> None:
        """Release the response; parts not read yet are given up."""
        await self._release()

    async def _release(self) -> None:
        release = getattr(self.resp, "release", None)
        if release is not None:
            done = release()
            if inspect.isawaitable(done):
                await done


class MultipartReader:
    """Reads the parts of a multipart body one after another: ``async for part in reader``, or ``await reader.next()``.

    `headers` needs `Content-Type` only; `content` is anything with ``async readany()`` that gives b"" at the end.
    `client_max_size` bounds the bytes of one part that is read at once; beyond it `max_size_error_cls` is raised, with
    the limit as its argument. `max_parts` bounds the parts, in each nested body anew.

    A part that was not read to its end is skipped when the next one is asked for. A cancelled call can be repeated.
    Raises MultipartError when `headers` have no multipart type or no good boundary.
    """

    multipart_reader_cls: "type[MultipartReader] | None" = None
    """The class for nested bodies; None means the class of the reader itself."""
    part_reader_cls: type[BodyPartReader] = BodyPartReader
    response_wrapper_cls: type[MultipartResponseWrapper] = MultipartResponseWrapper

    def __init__(
        self,
        headers: Mapping[str, str],
        content: BodySource,
        *,
        client_max_size: int = sys.maxsize,
        max_field_size: int = MAX_FIELD_SIZE,
        max_headers: int = MAX_FIELDS,
        max_size_error_cls: type[Exception] = ValueError,
        max_parts: int = MAX_PARTS,
    ) -> None:
        self._mimetype = parse_mimetype(headers.get(hdrs.CONTENT_TYPE, ""))
        self._boundary = _boundary_of(headers.get(hdrs.CONTENT_TYPE, ""))
        self.headers = headers
        self._client_max_size = client_max_size
        self._max_field_size = max_field_size
        self._max_headers = max_headers
        self._max_size_error_cls = max_size_error_cls
        self._max_parts = max_parts
        scanner = Scanner(self._boundary, max_field_size=max_field_size, max_fields=max_headers)
        self._source = PartSource(scanner, content)
        self._depth = 1
        self._parts = 0
        self._default_charset: str | None = None
        self._at_eof = False
        # what is being read: the part itself, or the one that a nested reader reads from
        self._current: BodyPartReader | None = None

    @classmethod
    def from_response(cls, response: MultipartResponse) -> MultipartResponseWrapper:
        """Give the parts of a response. Raises MultipartError when it has no multipart type."""
        return cls.response_wrapper_cls(response, cls(response.headers, response.content))

    def __aiter__(self) -> "MultipartReader":
        return self

    async def __anext__(self) -> "MultipartReader | BodyPartReader":
        part = await self.next()
        if part is None:
            raise StopAsyncIteration
        return part

    def at_eof(self) -> bool:
        """True when the closing delimiter was seen."""
        return self._at_eof

    async def next(self) -> "MultipartReader | BodyPartReader | None":
        """Give the next part, None when there is none. The part before it is skipped to its end first."""
        part = await self.fetch_next_part()
        if (
            self._parts == 1
            and isinstance(part, BodyPartReader)
            and self._mimetype.subtype == "form-data"
            and part.name == "_charset_"
        ):
            self._default_charset = await _read_charset(part)
            part = await self.fetch_next_part()
        return part

    async def fetch_next_part(self) -> "MultipartReader | BodyPartReader | None":
        """Do what `next` does, but give the field `_charset_` of a form like any other."""
        if self._at_eof:
            return None
        if self._current is not None:
            await self._current.release()
            self._current = None
        headers = await self._source.next_part()
        if headers is None:
            self._at_eof = True
            return None
        self._parts += 1
        if self._parts > self._max_parts:
            self._at_eof = True
            message = f"a multipart body has more than {self._max_parts} parts; set max_parts to allow more"
            raise TooManyPartsError(message)
        return self._make_part(headers)

    def _make_part(self, headers: "CIMultiDictProxy[str]") -> "MultipartReader | BodyPartReader":
        part = self.part_reader_cls(
            b"--" + self._boundary,
            headers,
            self._source,
            subtype=self._mimetype.subtype,
            default_charset=self._default_charset,
            client_max_size=self._client_max_size,
            max_size_error_cls=self._max_size_error_cls,
        )
        self._current = part
        if parse_mimetype(headers.get(hdrs.CONTENT_TYPE, "")).type != "multipart":
            return part
        if self._depth >= MAX_DEPTH:
            raise MultipartError(f"multipart bodies are nested more than {MAX_DEPTH} deep")
        nested = (self.multipart_reader_cls or type(self))(
            headers,
            part,
            client_max_size=self._client_max_size,
            max_field_size=self._max_field_size,
            max_headers=self._max_headers,
            max_size_error_cls=self._max_size_error_cls,
            max_parts=self._max_parts,
        )
        nested._depth = self._depth + 1
        return nested

    async def release(self) -> None:
        """Read all that is left away."""
        while await self.fetch_next_part() is not None:
            pass


async def _read_charset(part: BodyPartReader) -> str:
    charset = b""
    while piece := await part.read_chunk():
        charset += piece
        if len(charset) > _MAX_CHARSET:
            raise MultipartError(f"the field _charset_ of a form is longer than {_MAX_CHARSET} bytes")
    return charset.decode("ascii", "replace").strip()


def _boundary_of(content_type: str) -> bytes:
    mimetype = parse_mimetype(content_type)
    if mimetype.type != "multipart":
        raise MultipartError(f"multipart/* content type expected, got {content_type[:80]!r}")
    boundary = mimetype.parameters.get("boundary")
    if not boundary:
        raise MultipartError(f"boundary missed for Content-Type: {content_type[:80]}")
    raw = boundary.encode("utf-8", "surrogateescape")
    if len(raw) > 70:
        raise MultipartError(f"a boundary of {len(raw)} bytes; 70 are allowed (RFC 2046 section 5.1.1)")
    if b"\r" in raw or b"\n" in raw:
        raise MultipartError("a boundary has a line end in it")
    return raw
