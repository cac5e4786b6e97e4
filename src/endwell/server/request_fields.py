"""What the fields of a request say, each read when somebody asks (RFC 9110 sections 7 to 14, RFC 6265, RFC 7239).

The part of `BaseRequest` that knows the head and nothing else. One field is looked for in the bytes of the head; the
multidict of all of them is made for who asks for `headers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from multidict import CIMultiDictProxy, istr

from endwell.http import hdrs
from endwell.http.mediatype import parse_mimetype
from endwell.http.typedefs import RawHeaders

if TYPE_CHECKING:
    import datetime

    from endwell.http.etag import ETag
    from endwell.wire.http1.request_head import RequestHead

__all__ = ("RequestFields",)

_OCTETS: Final = "application/octet-stream"
_KEYS: Final = {name: b"\r\n" + name.lower().encode() + b":" for name in vars(hdrs).values() if isinstance(name, istr)}
"""By name of a field, what finds it in the bytes of a head."""


class RequestFields:
    """The fields of one request."""

    _head: RequestHead
    _headers: CIMultiDictProxy[str] | None = None
    """What replaces the fields of the head."""
    _cookies: Mapping[str, str] | None = None

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """All fields; read-only."""
        headers = self._headers
        return self._head.headers if headers is None else headers

    @property
    def raw_headers(self) -> RawHeaders:
        """All fields as they came."""
        if self._headers is None:
            return self._head.raw_headers
        return tuple([(n.encode(), v.encode("utf-8", "surrogateescape")) for n, v in self._headers.items()])

    def _first(self, name: istr) -> str | None:
        """Give one field. Looking for it in the bytes costs less than the multidict of all."""
        if self._headers is not None:
            return self._headers.get(name)
        value = self._head.first(_KEYS[name])
        return None if value is None else value.decode("utf-8", "surrogateescape")

    def _every(self, name: istr) -> list[str]:
        if self._headers is not None:
            return self._headers.getall(name, [])
        return [value.decode("utf-8", "surrogateescape") for value in self._head.every(_KEYS[name])]

    @property
    def content_type(self) -> str:
        """The media type without parameters, ``application/octet-stream`` when none, or a malformed one, was given."""
        value = self._first(hdrs.CONTENT_TYPE)
        kind = value.partition(";")[0].strip().lower() if value else ""
        return kind if kind.count("/") == 1 else _OCTETS

    @property
    def charset(self) -> str | None:
        """The charset that `Content-Type` names."""
        value = self._first(hdrs.CONTENT_TYPE)
        if not value or ";" not in value:
            return None
        return parse_mimetype(value).parameters.get("charset") or None

    @property
    def content_length(self) -> int | None:
        """The value of `Content-Length`, None when it was not given."""
        if self._headers is None:
            return self._head.length
        value = self._headers.get(hdrs.CONTENT_LENGTH, "")
        return int(value) if value.isascii() and value.isdigit() and len(value) < 20 else None

    @property
    def cookies(self) -> Mapping[str, str]:
        """The cookies by name; of two with one name the last one."""
        if self._cookies is None:
            field = "; ".join(self._every(hdrs.COOKIE))
            cookies = _plain_cookies(field) if field else {}
            self._cookies = MappingProxyType(cookies)
        return self._cookies

    @property
    def if_match(self) -> tuple[ETag, ...] | None:
        """The tags of `If-Match`, None when it was not given, empty when it is malformed (RFC 9110 section 13.1.1)."""
        return self._etags(hdrs.IF_MATCH)

    @property
    def if_none_match(self) -> tuple[ETag, ...] | None:
        """The tags of `If-None-Match`, likewise (RFC 9110 section 13.1.2)."""
        return self._etags(hdrs.IF_NONE_MATCH)

    def _etags(self, name: istr) -> tuple[ETag, ...] | None:
        from endwell.http.conditional import parse_etags

        field = ", ".join(self._every(name))
        return parse_etags(field) if field else None

    @property
    def if_modified_since(self) -> datetime.datetime | None:
        """The date of `If-Modified-Since` in UTC, None when it was not given or is none."""
        return self._date(hdrs.IF_MODIFIED_SINCE)

    @property
    def if_unmodified_since(self) -> datetime.datetime | None:
        """The date of `If-Unmodified-Since` in UTC, None when it was not given or is none."""
        return self._date(hdrs.IF_UNMODIFIED_SINCE)

    @property
    def if_range(self) -> datetime.datetime | None:
        """The date of `If-Range` in UTC, None when it was not given or is a tag (see `range_applies`)."""
        return self._date(hdrs.IF_RANGE)

    def _date(self, name: istr) -> datetime.datetime | None:
        value = self._first(name)
        if value is None:
            return None
        import datetime

        from endwell.http.dates import parse_http_date

        seconds = parse_http_date(value)
        return None if seconds is None else datetime.datetime.fromtimestamp(seconds, datetime.UTC)

    @property
    def http_range(self) -> slice[int | None, int | None, int | None]:
        """The bytes that `Range` asks for: ``slice(0, 500, 1)``; ``slice(None, None, 1)`` when it was not given.

        Raises:
            ValueError: it is no single range of bytes; see `http.conditional.RangeError`. It is the response 416, too.

        """
        value = self._first(hdrs.RANGE)
        if value is None:
            return slice(None, None, 1)
        from endwell.http.conditional import RangeError, parse_range

        try:
            return parse_range(value)
        except RangeError as error:
            from endwell.server.ranges import BadRangeError

            raise BadRangeError(error) from error

    @property
    def forwarded(self) -> tuple[Mapping[str, str], ...]:
        """What proxies say in `Forwarded`, one read-only mapping for each; anybody can write it (RFC 7239)."""
        from endwell.http.forwarded import parse_forwarded

        return parse_forwarded(self._every(hdrs.FORWARDED))


def _plain_cookies(field: str) -> dict[str, str]:
    """Read a `Cookie` field; without quotes and control characters in it, without the objects of `http.cookies`."""
    if '"' in field or not field.isprintable():
        from endwell.http.cookies import parse_cookie_header

        return {name: morsel.value for name, morsel in parse_cookie_header(field)}
    cookies = {}
    for pair in field.split(";"):
        name, equals, value = pair.partition("=")
        name = name.strip(" ")
        if equals and name:
            cookies[name] = value.strip(" ")
    return cookies
