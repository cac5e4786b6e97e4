"""`FileResponse`: a file as a response, with conditions and ranges (RFC 9110 sections 13 and 14).

Used by handlers and by `static`. `prepare` does it all: one trip to a thread finds the file and opens it
(`file_choice`), what the request means for it is decided here, and `connection/sendfile.py` sends it. A small file is
read in that same trip, and leaves with the head in one write.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Final

from endwell.connection.open_file import open_in_thread
from endwell.connection.writer import BodyWriter
from endwell.http import hdrs
from endwell.http.conditional import RangeError, evaluate_preconditions, parse_range, range_applies, resolve_range
from endwell.http.dates import format_http_date, parse_http_date
from endwell.http.etag import ETag
from endwell.http.typedefs import LooseHeaders, PathLike
from endwell.http.writer import AbstractStreamWriter
from endwell.server.file_choice import Found, acceptable_siblings, find_file
from endwell.server.response import StreamResponse
from endwell.server.response_framing import Framing

if TYPE_CHECKING:
    from endwell.server.request import BaseRequest
    from endwell.server.seams import RequestExchange

__all__ = ("CHUNK_SIZE", "FileResponse")

CHUNK_SIZE: Final = 2**18

_KEPT: Final = 2**16
"""Bytes of a file that is read when it is found: up to here a copy costs less than a second write."""

_READING: Final = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})
_CONDITIONS: Final = (hdrs.IF_NONE_MATCH, hdrs.IF_MODIFIED_SINCE, hdrs.IF_MATCH, hdrs.IF_UNMODIFIED_SINCE)


class FileResponse(StreamResponse):
    """A response with the content of a file.

    Args:
        path: of the file.
        chunk_size: bytes that are read at once where the kernel cannot send the file itself (TLS, a coding).
        status: when there is a file; ranges are given with 200 only (and 206), conditions are asked with 2xx only.
        reason: the reason phrase; that of the status when None.
        headers: the first fields. A Content-Type, ETag or Last-Modified among them stays; a Content-Encoding says what
            was done to the file already, and ``Accept-Ranges: none`` that only the whole of it is to be had.

    Raises:
        ValueError: `chunk_size` is less than 1; see also `StreamResponse`.
        TypeError: `path` is no path.

    The status that is sent can be another: 206, 304, 412 and 416 by the fields of the request, 404 when there is no
    file, 403 when it may not be read or is none (a directory, a device). When there is a sibling, of the same name and
    ``.br``, ``.zst`` or ``.gz`` behind it, clients that accept that coding get the sibling. A file that shrinks while
    it is sent ends the connection; of one that grows only what was announced is sent.

    """

    _root: str | None = None
    """The directory the file must lie in, links followed; see `file_choice.root_of`."""
    _found: Found | None = None
    """What `_look` has found, for `prepare`."""
    _first: int = 0
    _count: int = 0
    _data: bytes | None = None
    _sent: int | None = None

    def __init__(
        self,
        path: PathLike,
        chunk_size: int = CHUNK_SIZE,
        status: int = 200,
        reason: str | None = None,
        headers: LooseHeaders | None = None,
    ) -> None:
        super().__init__(status=status, reason=reason, headers=headers)
        text = os.fspath(path)
        if not isinstance(text, str):
            message = f"the path of a file is a str or an os.PathLike that gives one, not {type(path).__name__}"
            raise TypeError(message)
        self._path = text.rstrip("/") or text
        self._chunk_size = check_chunk_size(chunk_size)

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        """Send the response, head and body. Idempotent.

        Raises:
            OSError: the file cannot be opened or read, and it is the fault of neither the client nor the file.
            RuntimeError: the file became shorter while it was sent; see also `StreamResponse.prepare`.
            ConnectionResetError: the client has gone.

        On cancellation, and whatever else happens, the file is closed.
        """
        return await super().prepare(request)

    async def _look(self, request: BaseRequest) -> int:
        """Find the file now, so that the handler can say that there is none; `prepare` will send what was found.

        Returns 200, or 403 or 404 when there is nothing. What is open is closed at the end of the request, also when
        another response is sent than this one.
        """
        found = self._found = await open_in_thread(self._finder(request))
        if found.file is not None:
            request._close_at_end(found)
        return found.status

    async def _start(self, request: BaseRequest) -> AbstractStreamWriter | None:
        found, self._found = self._found, None
        # A middleware may have said meanwhile that the file is coded itself, or have kept the response for later.
        if found is None or found.closed or (found.coding is not None and hdrs.CONTENT_ENCODING in self.headers):
            found = await open_in_thread(self._finder(request))
        try:
            self._describe(request, found)
            if not self._chunked:
                self.headers[hdrs.CONTENT_LENGTH] = str(self._count)
            writer = await super()._start(request)
            if self._sent is not None:
                self._end(self._sent)
            elif writer is not None:
                await self._send(writer, found)
                await self.write_eof()
            return writer
        finally:
            found.close()
            self._data = None

    def _finder(self, request: BaseRequest) -> partial[Found]:
        """Give what finds the file: it knows nothing of the request, for it runs in a thread."""
        siblings: tuple[tuple[str, str], ...] = ()
        if self._field(hdrs.CONTENT_ENCODING) is None:
            siblings = acceptable_siblings(request._every(hdrs.ACCEPT_ENCODING))
        # What is perhaps not sent, or not as it is, is not read yet.
        keep = _KEPT
        if self._compression or request.method == hdrs.METH_HEAD or any(map(request._first, _CONDITIONS)):
            keep = -1
        return partial(find_file, self._path, siblings, self._root, keep)

    # What the request means for the file

    def _describe(self, request: BaseRequest, found: Found) -> None:
        """Set the status and the fields, and which bytes are sent."""
        fields = self.headers
        self._first = self._count = 0
        self._data = found.data
        if found.status != 200:
            self._say(found.status)
            fields[hdrs.CONTENT_TYPE] = "text/plain; charset=utf-8"
            self._data = f"{self.status}: {self.reason}".encode()
            self._count = len(self._data)
            return
        modified, etag = self._validate(found)
        if found.coding is not None and hdrs.ACCEPT_ENCODING.lower() not in fields.get(hdrs.VARY, "").lower():
            fields.add(hdrs.VARY, hdrs.ACCEPT_ENCODING)
        status = self._status
        reads = request.method in _READING
        if reads and 200 <= status < 300:
            refused = _ask_conditions(request, etag, modified)
            if refused is not None:
                self._say(refused)
                return
        if hdrs.CONTENT_TYPE not in fields:
            fields[hdrs.CONTENT_TYPE] = found.kind
        if found.coding is not None:
            fields[hdrs.CONTENT_ENCODING] = found.coding
        self._count = found.size
        if fields.setdefault(hdrs.ACCEPT_RANGES, "bytes") == "bytes" and reads and status in (200, 206):
            self._choose_range(request, found.size, etag, modified)

    def _validate(self, found: Found) -> tuple[int, ETag | None]:
        """Set ETag and Last-Modified unless the application did; return them as they are compared."""
        fields = self.headers
        # Rounded up: a date before the last change would be wrong, and this is what aiohttp says.
        modified = -(-found.modified // 10**9)
        if hdrs.LAST_MODIFIED not in fields:
            fields[hdrs.LAST_MODIFIED] = format_http_date(modified)
        else:
            own = parse_http_date(fields[hdrs.LAST_MODIFIED])
            modified = modified if own is None else own
        if hdrs.ETAG not in fields:
            self.etag = ETag(found.tag)
        elif found.coding is not None and (given := self.etag) is not None and not given.is_weak:
            self.etag = ETag(given.value, True)  # the application's tag is that of the file, not of its sibling
        return modified, self.etag

    def _choose_range(self, request: BaseRequest, size: int, etag: ETag | None, modified: int) -> None:
        """Do what the field Range asks for; what cannot be understood is ignored."""
        field = request._first(hdrs.RANGE)
        if field is None or not range_applies(request._first(hdrs.IF_RANGE), etag=etag, modified=modified):
            return
        part: tuple[int, int] | None = None
        try:
            part = resolve_range(parse_range(field), size)
        except RangeError as error:
            if error.ignorable:
                return
        fields = self.headers
        if part is None:
            for name in (hdrs.CONTENT_TYPE, hdrs.ETAG, hdrs.LAST_MODIFIED):
                fields.popall(name, None)
            fields[hdrs.CONTENT_RANGE] = f"bytes */{size}"
            self._say(416)
            return
        self._first, self._count = part
        fields[hdrs.CONTENT_RANGE] = f"bytes {part[0]}-{sum(part) - 1}/{size}"
        self._set_status(206, None)

    def _say(self, status: int) -> None:
        """Become a response without the file."""
        self._set_status(status, None)
        self._first = self._count = 0
        self._data = None
        self._compression = self._chunked = False
        if status != 304:
            self.headers.popall(hdrs.CONTENT_ENCODING, None)

    # How it is sent

    def _size(self, *, head_only: bool) -> int | None:
        return None if self._coding is not None else self._count

    def _open(self, exchange: RequestExchange, head: bytes, framing: Framing) -> None:
        data = self._data
        if not self._bodiless:
            if framing.length is None or (data is None and self._count):
                super()._open(exchange, head, framing)
                return
            if data is not None:
                head += data[self._first : self._first + self._count]
        exchange.send(head)
        self._sent = len(head)

    async def _send(self, writer: AbstractStreamWriter, found: Found) -> None:
        if found.file is None:
            data = found.data or b""
            await writer.write(data[self._first : self._first + self._count])
        elif isinstance(writer, BodyWriter):
            await writer.send_file(found.file, self._first, self._count, self._chunk_size)
        else:  # the writer of a test
            end = self._first + self._count
            for first in range(self._first, end, self._chunk_size):
                await writer.write(found.file.read_at(first, min(self._chunk_size, end - first)))


def check_chunk_size(value: int) -> int:
    """Refuse a chunk size that reads nothing. Raises ValueError, or TypeError when it is no number."""
    if value < 1:
        message = f"chunk_size is {value}: it is how many bytes are read at once, at least 1"
        raise ValueError(message)
    return value


def _ask_conditions(request: BaseRequest, etag: ETag | None, modified: int) -> int | None:
    """Give 304 or 412 when the conditions of the request are met so, else None."""
    if not any(map(request._first, _CONDITIONS)):
        return None
    not_changed, changed = request.if_unmodified_since, request.if_modified_since
    return evaluate_preconditions(
        request.method,
        if_match=request.if_match,
        if_unmodified_since=None if not_changed is None else not_changed.timestamp(),
        if_none_match=request.if_none_match,
        if_modified_since=None if changed is None else changed.timestamp(),
        etag=etag,
        modified=modified,
    )
