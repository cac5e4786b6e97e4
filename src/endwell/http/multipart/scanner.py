"""From the bytes of a multipart body to fields and content of its parts, without I/O.

RFC 2046 section 5.1.1 (delimiters), RFC 7578 (forms), RFC 5322 section 2.2 (fields, folded ones included).
Used by `multipart.source`. The same events come out however the bytes are split; the cost is linear in their number.

Leniency, chosen on purpose: what follows the boundary on its line decides whether the line is a delimiter. `--B` with
white space is one, `--Bxyz` is content, as for Go and for the email package: two nested boundaries may begin alike.
Lines end with CRLF; a bare LF ends nothing.
"""

import re
from enum import Enum, auto
from typing import Final

from multidict import CIMultiDict, CIMultiDictProxy

from .errors import MultipartError

__all__ = ("MAX_FIELDS", "MAX_FIELD_SIZE", "MAX_PREAMBLE", "Event", "Mark", "Scanner")

MAX_FIELD_SIZE: Final = 8190
"""Bytes of one field of a part, name and value, unfolded."""
MAX_FIELDS: Final = 128
"""Fields of one part."""
MAX_PREAMBLE: Final = 65536
"""Bytes before the first delimiter."""
# RFC 2046 allows white space behind the boundary ("transport padding"); nobody needs more
_MAX_PADDING: Final = 256

_CRLF: Final = b"\r\n"
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PADDING: Final = re.compile(rb"[ \t]*")
_FORBIDDEN: Final = re.compile(rb"[\r\n\0]")


class Mark(Enum):
    """Events without content."""

    PART_END = auto()
    """The content of a part is complete."""
    END = auto()
    """The closing delimiter was seen: there is no other part."""


class _State(Enum):
    PREAMBLE = auto()  # before the first delimiter
    FIELDS = auto()  # behind a delimiter line
    CONTENT = auto()  # behind the empty line
    DELIMITER = auto()  # at something that looks like a delimiter
    EPILOGUE = auto()  # behind the closing delimiter; nothing counts any more


_CUT_SHORT: Final = {
    _State.FIELDS: "within the fields of a part",
    _State.CONTENT: "within the content of a part",
    _State.DELIMITER: "within a delimiter",
}

Event = CIMultiDictProxy[str] | bytes | Mark
"""The fields of the next part; a piece of its content; or a mark."""


class Scanner:
    """Push bytes in with `feed`, pull events out with `poll` until it gives None.

    `boundary` is without the leading ``--``. With `in_content` the first bytes are the content of a part already.
    """

    __slots__ = (
        "_at",
        "_buffer",
        "_delimiter",
        "_drop",
        "_error",
        "_fields",
        "_folded",
        "_folded_size",
        "_is_complete",
        "_max_field_size",
        "_max_fields",
        "_origin",
        "_preamble",
        "_search",
        "_state",
    )

    def __init__(
        self,
        boundary: bytes,
        *,
        max_field_size: int = MAX_FIELD_SIZE,
        max_fields: int = MAX_FIELDS,
        in_content: bool = False,
    ) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._max_field_size = max_field_size
        self._max_fields = max_fields
        # The line end that belongs to a delimiter may be the very first bytes of a body, or be shared with the empty
        # line above an empty part. So scanning starts at a CRLF that is no content (`_drop`).
        self._buffer: bytes = _CRLF
        self._at = 0
        self._search = 0
        self._drop = 2
        self._state = _State.CONTENT if in_content else _State.PREAMBLE
        self._origin = self._state
        self._preamble = -len(_CRLF)
        self._fields: CIMultiDict[str] = CIMultiDict()
        self._folded: list[bytes] = []
        self._folded_size = 0
        self._is_complete = False
        self._error: str | None = None

    def feed(self, data: bytes) -> None:
        """Take in the next bytes of the body; to be called when `poll` gave None."""
        if self._at == len(self._buffer):
            self._buffer = data
        else:
            self._buffer = self._buffer[self._at :] + data
        self._search = max(self._search - self._at, 0)
        self._at = 0

    def feed_eof(self) -> None:
        """Note that the body ends here."""
        self._is_complete = True

    def poll(self) -> Event | None:
        """Give the next event, None when more bytes are needed.

        Raises MultipartError, then and at each later call, when the body is malformed, cut short or beyond a limit.
        """
        if self._error is not None:
            raise MultipartError(self._error)
        while True:
            before = self._state
            event: Event | None = None
            if before is _State.CONTENT:
                event = self._content()
            elif before is _State.FIELDS:
                event = self._field_lines()
            elif before is _State.DELIMITER:
                event = self._delimiter_line()
            elif before is _State.PREAMBLE:
                self._before_parts()
            else:
                return Mark.END
            if event is not None:
                return event
            if self._state is before:
                break
        if self._is_complete:
            if self._state is _State.PREAMBLE or self._origin is _State.PREAMBLE:
                raise self._fail(f"could not find starting boundary {self._delimiter[2:]!r}")
            raise self._fail(f"the body ends {_CUT_SHORT[self._state]}: the closing delimiter did not come")
        return None

    def _fail(self, text: str) -> MultipartError:
        self._error = f"malformed multipart body: {text}"
        self._buffer = b""
        return MultipartError(self._error)

    def _possible_start(self) -> int:
        """Where a delimiter may begin whose rest did not come yet; the end of the buffer when nowhere."""
        buffer, delimiter = self._buffer, self._delimiter
        # a boundary has no CR in it, so the last one is the only candidate
        start = buffer.rfind(b"\r", max(self._search, len(buffer) - len(delimiter) + 1))
        if start >= 0 and delimiter.startswith(buffer[start:]):
            return start
        return len(buffer)

    def _found(self, start: int, origin: _State) -> None:
        self._at = start
        self._origin = origin
        self._state = _State.DELIMITER

    def _before_parts(self) -> None:
        found = self._buffer.find(self._delimiter, self._search)
        skip_to = found if found >= 0 else self._possible_start()
        self._preamble += skip_to - self._at
        if self._preamble > MAX_PREAMBLE:
            raise self._fail(f"no boundary {self._delimiter[2:]!r} in the first {MAX_PREAMBLE} bytes")
        if found >= 0:
            self._found(found, _State.PREAMBLE)
        else:
            self._at = self._search = skip_to

    def _content(self) -> bytes | None:
        found = self._buffer.find(self._delimiter, self._search)
        end = found if found >= 0 else self._possible_start()
        begin = self._at
        if self._drop:
            if end > begin:
                begin = min(begin + self._drop, end)
                self._drop = 0
            elif found < 0:
                return None
        if end > begin:
            self._at = self._search = end
            return self._buffer if begin == 0 and end == len(self._buffer) else self._buffer[begin:end]
        if found >= 0:
            self._found(found, _State.CONTENT)
        else:
            self._at = self._search = end
        return None

    def _delimiter_line(self) -> Mark | None:
        buffer = self._buffer
        start = self._at + len(self._delimiter)
        after = buffer[start : start + 2]
        if after == b"--":
            self._at = len(buffer)
            self._state = _State.EPILOGUE
            return Mark.PART_END if self._origin is _State.CONTENT else Mark.END
        padding = _PADDING.match(buffer, start)
        end = padding.end() if padding else start
        if end - start > _MAX_PADDING:
            raise self._fail(f"more than {_MAX_PADDING} bytes of white space behind a boundary")
        line_end = buffer[end : end + 2]
        if line_end == _CRLF:
            self._at = self._search = end + 2
            self._fields = CIMultiDict()
            self._state = _State.FIELDS
            is_part_end = self._origin is _State.CONTENT
            self._origin = _State.FIELDS
            return Mark.PART_END if is_part_end else None
        if not line_end or line_end == b"\r" or after == b"-":
            if self._is_complete and self._origin is _State.CONTENT:
                # cut short, but behind the content of this part: that one is complete
                self._at = self._search = len(buffer)
                self._state = self._origin = _State.FIELDS
                return Mark.PART_END
            return None
        # content that looks like a delimiter
        self._search = start
        self._state = self._origin
        return None

    def _field_lines(self) -> CIMultiDictProxy[str] | None:
        while True:
            buffer, start = self._buffer, self._at
            end = buffer.find(_CRLF, self._search)
            # a last CR may be half of the line's end
            length = (end if end >= 0 else len(buffer) - buffer.endswith(b"\r")) - start
            if length > self._max_field_size:
                raise self._too_long(buffer[start : start + 40])
            if end < 0:
                self._search = max(start, len(buffer) - 1)
                return None
            if end == start:
                self._end_field()
                # the CRLF of the empty line may be the one of the next delimiter
                self._search = start
                self._drop = 2
                self._state = _State.CONTENT
                return CIMultiDictProxy(self._fields)
            line = buffer[start:end]
            self._at = self._search = end + 2
            if line[0] in b" \t" and self._folded:
                self._folded.append(line.strip(b" \t"))
                self._folded_size += len(line)
                if self._folded_size > self._max_field_size:
                    raise self._too_long(self._folded[0][:40])
            else:
                self._end_field()
                self._folded.append(line)
                self._folded_size = len(line)

    def _too_long(self, start: bytes) -> MultipartError:
        return self._fail(f"a field of a part is longer than {self._max_field_size} bytes: {start!r}...")

    def _end_field(self) -> None:
        if not self._folded:
            return
        line = b" ".join(self._folded)
        self._folded.clear()
        name, colon, value = line.partition(b":")
        if not colon or not _NAME.fullmatch(name) or _FORBIDDEN.search(value):
            raise self._fail(f"not a field: {line[:80]!r}")
        if len(self._fields) >= self._max_fields:
            raise self._fail(f"a part has more than {self._max_fields} fields")
        self._fields.add(name.decode("ascii"), value.strip(b" \t").decode("utf-8", "surrogateescape"))
