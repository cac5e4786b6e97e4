"""The fields of a response, and the properties that read and write some of them (RFC 9110 sections 8.3, 8.6, 8.8).

Used by every response. Most responses say no more than their type and length: until somebody asks for `headers` there
is no multidict, and the type is kept as text.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

from multidict import CIMultiDict

from endwell.http import hdrs
from endwell.http.dates import format_http_date, parse_http_date
from endwell.http.etag import ETAG_ANY, ETag
from endwell.http.fields import TOKEN, check_text
from endwell.http.mediatype import DEFAULT_TYPE, charset_of, parse_mimetype
from endwell.server.response_framing import parse_length

if TYPE_CHECKING:
    import datetime

__all__ = ("ResponseFields", "join_type")

# RFC 9110 section 8.8.3; Latin-1 stands for the bytes of obs-text.
_OPAQUE: Final = re.compile(r"[!#-~\x80-\xff]+")
_FIELD_ETAG: Final = re.compile(r'(W/)?"([!#-~\x80-\xff]*)"')


def join_type(essence: str, parameters: dict[str, str]) -> str:
    """Put a media type and its parameters together, values in quotes where needed (RFC 9110 section 5.6.6)."""
    parts = [essence]
    for name, value in parameters.items():
        if TOKEN.fullmatch(value) is not None:
            parts.append(f"{name}={value}")
        else:
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            parts.append(f'{name}="{escaped}"')
    return check_text("The content type", "; ".join(parts))


class ResponseFields:
    """What a `StreamResponse` says of its body."""

    _headers: CIMultiDict[str] | None = None
    _type: str | None = None
    """The value of Content-Type as long as there is no multidict."""
    _plain: bool = True
    """Nothing was asked for but a status, a type and a body in memory: there is a short way to send that."""
    _chunked: bool = False

    @property
    def headers(self) -> CIMultiDict[str]:
        """The fields. They may be changed until the response is prepared; they are checked then."""
        headers = self._headers
        if headers is None:
            headers = self._headers = self._first_fields()
            self._plain = False
        return headers

    def _first_fields(self) -> CIMultiDict[str]:
        """Give the multidict of a response whose fields nobody saw so far."""
        fields: CIMultiDict[str] = CIMultiDict()
        if self._type is not None:
            fields[hdrs.CONTENT_TYPE] = self._type
        return fields

    def _field(self, name: str) -> str | None:
        return None if self._headers is None else self._headers.get(name)

    # Content-Type

    def _type_field(self) -> str | None:
        return self._type if self._headers is None else self._headers.get(hdrs.CONTENT_TYPE)

    def _set_type_field(self, value: str) -> None:
        if self._headers is None:
            self._type = value
        else:
            self._headers[hdrs.CONTENT_TYPE] = value

    @property
    def content_type(self) -> str:
        """The media type without parameters, ``application/octet-stream`` when none was set.

        Setting it keeps the parameters, such as the charset. Raises ValueError for CR, LF and NUL, TypeError for what
        is no string.
        """
        field = self._type_field()
        if field is None:
            return DEFAULT_TYPE
        return field.partition(";")[0].strip(" \t").lower() or DEFAULT_TYPE

    @content_type.setter
    def content_type(self, value: str) -> None:
        if not isinstance(value, str):
            message = f"content_type is a string such as 'text/html', not {type(value).__name__}"
            raise TypeError(message)
        check_text("The content type", value)
        field = self._type_field()
        if field is not None and ";" in field and ";" not in value:
            value = join_type(value, dict(parse_mimetype(field).parameters))
        self._set_type_field(value)

    @property
    def charset(self) -> str | None:
        """The parameter ``charset`` of Content-Type, None when it has none.

        Setting it to None takes it away. Raises RuntimeError when no content type was set, ValueError for CR, LF, NUL.
        """
        return charset_of(self._type_field())

    @charset.setter
    def charset(self, value: str | None) -> None:
        essence = self.content_type
        if essence == DEFAULT_TYPE:
            message = f"A charset makes no sense for {DEFAULT_TYPE}: set response.content_type first"
            raise RuntimeError(message)
        parameters = dict(parse_mimetype(self._type_field() or "").parameters)
        if value is None:
            parameters.pop("charset", None)
        else:
            parameters["charset"] = check_text("The charset", str(value)).lower()
        self._set_type_field(join_type(essence, parameters))

    # Content-Length

    @property
    def content_length(self) -> int | None:
        """The number in Content-Length, None when there is none; bytes.

        Setting it to None takes the field away. Raises ValueError for what is no number of bytes, RuntimeError together
        with `enable_chunked_encoding`.
        """
        return self._stated_length()

    @content_length.setter
    def content_length(self, value: int | None) -> None:
        if value is None:
            if self._headers is not None:
                self._headers.popall(hdrs.CONTENT_LENGTH, None)
            return
        if self._chunked:
            message = "There is no Content-Length with chunked encoding: leave out enable_chunked_encoding(), or this"
            raise RuntimeError(message)
        self.headers[hdrs.CONTENT_LENGTH] = str(parse_length(str(int(value))))

    def _stated_length(self) -> int | None:
        field = self._field(hdrs.CONTENT_LENGTH)
        return None if field is None else parse_length(field)

    # Validators

    @property
    def last_modified(self) -> datetime.datetime | None:
        """Last-Modified as an aware datetime, None when there is none or it is no date.

        May be set to None, epoch seconds, a datetime (UTC when it is naive), each rounded up to a second, or a string.
        Raises TypeError for anything else, ValueError for a string with CR, LF or NUL.
        """
        field = self._field(hdrs.LAST_MODIFIED)
        seconds = None if field is None else parse_http_date(field)
        if seconds is None:
            return None
        import datetime

        return datetime.datetime.fromtimestamp(seconds, datetime.UTC)

    @last_modified.setter
    def last_modified(self, value: float | datetime.datetime | str | None) -> None:
        if value is None:
            self.headers.popall(hdrs.LAST_MODIFIED, None)
            return
        if isinstance(value, str):
            self.headers[hdrs.LAST_MODIFIED] = check_text("Last-Modified", value)
            return
        if not isinstance(value, (int, float)):
            import datetime

            if not isinstance(value, datetime.datetime):
                message = (
                    f"last_modified is no {type(value).__name__}: give a datetime, epoch seconds, a string or None"
                )
                raise TypeError(message)
            if value.tzinfo is None:
                value = value.replace(tzinfo=datetime.UTC)
            value = value.timestamp()
        self.headers[hdrs.LAST_MODIFIED] = format_http_date(math.ceil(value))

    @property
    def etag(self) -> ETag | None:
        """The entity tag, None when there is none or it cannot be read.

        May be set to None, a string (a strong tag, or ``"*"``) or an `ETag`. Raises ValueError for other types, and for
        a value that is empty or has a quote, white space or control characters.
        """
        field = self._field(hdrs.ETAG)
        if field is None:
            return None
        if field == ETAG_ANY:
            return ETag(ETAG_ANY)
        found = _FIELD_ETAG.fullmatch(field)
        return None if found is None else ETag(found[2], found[1] is not None)

    @etag.setter
    def etag(self, value: ETag | str | None) -> None:
        if value is None:
            self.headers.popall(hdrs.ETAG, None)
            return
        if isinstance(value, str):
            value = ETag(value)
        if not isinstance(value, ETag):
            message = f"etag cannot be a {type(value).__name__}: give a string, an ETag or None"
            raise ValueError(message)
        if value.value == ETAG_ANY:
            self.headers[hdrs.ETAG] = ETAG_ANY
            return
        if _OPAQUE.fullmatch(value.value) is None:
            message = (
                f"{value.value!r} cannot be an entity tag: it is empty, or has quotes, blanks or control characters"
            )
            raise ValueError(message)
        self.headers[hdrs.ETAG] = f'W/"{value.value}"' if value.is_weak else f'"{value.value}"'
