"""Forms in the body of a request: `request.post()` and what it gives, `FileField`.

RFC 7578 (multipart/form-data), the URL standard (application/x-www-form-urlencoded). Files that grow over 1 MiB go to
a temporary file on disk, written by a thread. Whatever was opened is closed at the end of the request. Imported when
the first form is read.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import parse_qsl

from multidict import CIMultiDictProxy, MultiDict, MultiDictProxy

from endwell.connection.reader import StreamReader
from endwell.http import hdrs
from endwell.http.mediatype import DEFAULT_TYPE
from endwell.http.multipart import BodyPartReader, MultipartError, MultipartReader, PartCodingError
from endwell.http.multipart.codings import PartDecoder
from endwell.http.writer import CollectingWriter
from endwell.server.errors import HTTPRequestEntityTooLarge, HTTPUnsupportedMediaType
from endwell.server.request_body import BROKEN, BadBodyError, decode_body, known_charset, payload_error

if TYPE_CHECKING:
    from tempfile import SpooledTemporaryFile

    from endwell.server.request import BaseRequest

__all__ = ("FileField", "Form", "multipart_reader", "read_form")

URLENCODED: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"

SPOOL_SIZE: Final = 2**20
"""Bytes up to which a file stays in memory."""
_BLOCK: Final = 2**18
"""Bytes that go to the thread at once: a hop costs more than writing a small piece."""
_UNLIMITED: Final = sys.maxsize


class FileField:
    """A file of a form.

    Attributes:
        name: of the field.
        filename: what the client calls the file; never use it as a path.
        file: the content, at its beginning; closed when the request ends.
        content_type: the media type that the client gave, ``application/octet-stream`` without.
        headers: of the part.

    """

    __slots__ = ("content_type", "file", "filename", "headers", "name")

    def __init__(self, name: str, filename: str, file: Any, content_type: str, headers: CIMultiDictProxy[str]) -> None:
        self.name = name
        self.filename = filename
        self.file = file
        self.content_type = content_type
        self.headers = headers

    def __repr__(self) -> str:
        return f"<FileField {self.name!r} {self.filename!r} {self.content_type}>"


class Form:
    """A form that was read: its fields, and the files to close."""

    __slots__ = ("_fields", "_uploads", "fields")

    def __init__(self, fields: MultiDict[Any] | None = None) -> None:
        self._fields: MultiDict[Any] = MultiDict() if fields is None else fields
        self._uploads: list[_Upload] = []
        self.fields: MultiDictProxy[str | bytes | FileField] = MultiDictProxy(self._fields)

    def close(self) -> None:
        """Close the files. Idempotent."""
        for upload in self._uploads:
            upload.close()


class _Upload:
    """A file that is being received."""

    __slots__ = ("_closed", "_held", "_lock", "_on_disk", "_size", "file")

    def __init__(self) -> None:
        from tempfile import SpooledTemporaryFile

        self.file: SpooledTemporaryFile[bytes] = SpooledTemporaryFile(max_size=0)  # noqa: SIM115 - `close` is below
        self._held = bytearray()  # what waits until it is worth a hop to the thread
        self._size = 0
        self._on_disk = False
        self._closed = False
        # Between the thread and a `close` that comes while it writes, after a cancellation.
        self._lock = threading.Lock()

    async def write(self, data: bytes) -> None:
        """Take one more piece."""
        self._size += len(data)
        if self._size <= SPOOL_SIZE:
            self.file.write(data)
            return
        self._held += data
        if len(self._held) >= _BLOCK or not self._on_disk:
            await self._flush()

    async def finish(self) -> None:
        """Write what is held, and go to the beginning."""
        if self._held:
            await self._flush()
        self.file.seek(0)

    async def _flush(self) -> None:
        held, self._held = self._held, bytearray()
        self._on_disk = True
        await asyncio.get_running_loop().run_in_executor(None, self._store, held)

    def _store(self, data: bytearray) -> None:
        with self._lock:
            if not self._closed:
                self.file.rollover()
                self.file.write(data)

    def close(self) -> None:
        """Close the file; waits for the one write that may be going on."""
        self._closed = True
        with self._lock:
            self.file.close()


class _Limited:
    """The body as far as the limit goes."""

    def __init__(self, content: StreamReader, limit: int) -> None:
        self._content = content
        self._limit = limit
        self._size = 0

    async def readany(self) -> bytes:
        data = await self._content.readany()
        self._size += len(data)
        if self._size > self._limit:
            raise HTTPRequestEntityTooLarge(max_size=self._limit, actual_size=self._size)
        return data


async def read_form(request: BaseRequest) -> Form:
    """Read the body as a form; see `BaseRequest.post` for the errors."""
    if request.method not in request.POST_METHODS:
        return Form()
    content_type = request.content_type
    if content_type == URLENCODED:
        return Form(_urlencoded(await request.read(), request.charset, request.client_max_fields))
    if content_type != MULTIPART:
        return Form()
    limit = request.client_max_size or _UNLIMITED
    length = request._head.length or 0
    if length > limit:
        raise HTTPRequestEntityTooLarge(max_size=limit, actual_size=length)
    form = Form()
    is_done = False
    try:
        reader = MultipartReader(request.headers, _Limited(request.content, limit), max_parts=_UNLIMITED)
        await _collect(reader, form, request.client_max_fields or _UNLIMITED, request.charset or "utf-8")
        is_done = True
    except PartCodingError as error:
        raise HTTPUnsupportedMediaType(text=f"The form cannot be read: {error}") from error
    except MultipartError as error:
        raise BadBodyError(text=f"The form is malformed: {error}") from error
    except BROKEN as error:
        raise payload_error(error) from error
    finally:
        if not is_done:
            form.close()
    return form


def _urlencoded(body: bytes, charset: str | None, most: int) -> MultiDict[Any]:
    encoding = known_charset(charset)
    if most and body.count(b"&") >= most:
        raise _too_many(most)
    return MultiDict(parse_qsl(decode_body(body.rstrip(), charset), keep_blank_values=True, encoding=encoding))


def _too_many(most: int) -> HTTPRequestEntityTooLarge:
    return HTTPRequestEntityTooLarge(max_size=most, text=f"The form may have {most} fields at most.")


async def _collect(reader: MultipartReader, form: Form, most: int, charset: str) -> None:
    """Make fields of the parts."""
    count = 0
    while (part := await reader.next()) is not None:
        if isinstance(part, MultipartReader):
            message = "a multipart body within a form; files come as fields of the same name (RFC 7578 section 4.3)"
            raise MultipartError(message)
        count += 1
        if count > most:
            raise _too_many(most)
        name = part.name
        if name is None:
            message = "a field without a name"
            raise MultipartError(message)
        content_type = part.headers.get(hdrs.CONTENT_TYPE)
        if part.filename:
            value: Any = await _take_file(part, name, part.filename, content_type, form)
        else:
            collected = CollectingWriter()
            await _pour(part, collected)
            value = collected.getvalue()
            if content_type is None or content_type.lower().startswith("text/"):
                value = decode_body(value, part.get_charset(default=charset))
        form._fields.add(name, value)


async def _take_file(part: BodyPartReader, name: str, filename: str, content_type: str | None, form: Form) -> FileField:
    upload = _Upload()
    form._uploads.append(upload)
    await _pour(part, upload)
    await upload.finish()
    headers = cast("CIMultiDictProxy[str]", part.headers)
    return FileField(name, filename, upload.file, content_type or DEFAULT_TYPE, headers)


async def _pour(part: BodyPartReader, into: CollectingWriter | _Upload) -> None:
    """Move the content, without the transfer coding that mail has, and forms should not."""
    codings = part._codings()
    if not any(codings):
        while data := await part.readany():
            await into.write(data)
        return
    decoder = PartDecoder(*codings, _BLOCK)
    while data := await part.readany():
        for block in decoder.feed(data):
            await into.write(block)
    for block in decoder.finish():
        await into.write(block)


def multipart_reader(request: BaseRequest) -> MultipartReader:
    """Make the reader of the parts, of `client_max_fields` at most; in a body within the body as many again.

    Raises:
        BadBodyError: `Content-Type` does not say that there are parts, or has no good boundary.

    """
    try:
        return MultipartReader(
            request.headers,
            request.content,
            client_max_size=request.client_max_size or _UNLIMITED,
            max_size_error_cls=HTTPRequestEntityTooLarge,
            max_parts=request.client_max_fields or _UNLIMITED,
        )
    except MultipartError as error:
        raise BadBodyError(text=f"The body cannot be read: {error}") from error
