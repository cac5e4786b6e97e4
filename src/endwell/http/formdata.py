"""Forms: ``application/x-www-form-urlencoded`` (WHATWG URL section 5) and ``multipart/form-data`` (RFC 7578).

Used by the client for ``data=`` that is a mapping, a list of pairs or a `FormData`.
"""

import io
import warnings
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

from multidict import MultiDict, MultiDictProxy

from endwell.http import hdrs
from endwell.http.fields import check_field
from endwell.http.multipart import MultipartWriter
from endwell.http.payload import BytesPayload, Payload, get_payload, guess_filename
from endwell.http.payload import LookupError as PayloadLookupError

__all__ = ("FormData",)

_URLENCODED: Final = "application/x-www-form-urlencoded"


class _Field:
    """One field: the parameters of its disposition, its type if one was given, and its value."""

    __slots__ = ("content_type", "filename", "name", "value")

    def __init__(self, name: str, value: Any, content_type: str | None, filename: str | None) -> None:
        self.name = name
        self.value = value
        self.content_type = content_type
        self.filename = filename


class FormData:
    """The fields of a form, in order.

    `fields` is a mapping (a MultiDict may repeat names), an iterable of ``(name, value)`` pairs and files, or one file.
    The form is sent urlencoded unless a field is a file, has a `content_type` or a `filename`, or
    `default_to_multipart` is true. `charset` is that of text, UTF-8 by default; `quote_fields` percent-encodes file
    names in multipart.

    A form can be sent again when all its values can: bytes, text, and files that are open and can seek.
    """

    def __init__(
        self,
        fields: Iterable[Any] = (),
        quote_fields: bool = True,
        charset: str | None = None,
        *,
        default_to_multipart: bool = False,
    ) -> None:
        self._fields: list[_Field] = []
        self._is_multipart = default_to_multipart
        self._quote_fields = quote_fields
        self._charset = charset
        self._writer: MultipartWriter | None = None
        self._written = 0
        if isinstance(fields, Mapping):
            fields = list(fields.items())
        elif isinstance(fields, (str, bytes, io.IOBase)) or not isinstance(fields, Iterable):
            fields = (fields,)
        self.add_fields(*fields)

    @property
    def is_multipart(self) -> bool:
        """True when the form will be sent as ``multipart/form-data``."""
        return self._is_multipart

    def add_field(
        self,
        name: str,
        value: Any,
        *,
        content_type: str | None = None,
        filename: str | None = None,
        content_transfer_encoding: str | None = None,
    ) -> None:
        """Add one field.

        Raises TypeError when `name`, `content_type` or `filename` is not a str, ValueError when `name` or
        `content_type` has CR, LF or NUL in it. `content_transfer_encoding` is deprecated; all it does is to make the
        form multipart.
        """
        _check_str("name", name)
        # urlencoding would make it harmless, but the form may still turn into multipart
        check_field("name", name)
        if isinstance(value, (io.IOBase, bytes, bytearray, memoryview)):
            if filename is None and content_type is None:
                if not isinstance(value, io.IOBase):
                    warnings.warn(
                        f"the bytes of field {name!r} are sent as a file, as aiohttp 3 does it; pass filename= to keep"
                        " this, or a str to send text",
                        DeprecationWarning,
                        stacklevel=2,
                    )
                filename = guess_filename(value, name)
            elif filename is None and isinstance(value, io.IOBase):
                filename = guess_filename(value, name)
            self._is_multipart = True
        elif isinstance(value, (Payload, AsyncIterable)):
            # their content is not known yet, or is of a type of its own; urlencoded they would be sent as their repr()
            self._is_multipart = True
        if filename is not None:
            _check_str("filename", filename)
            self._is_multipart = True
        if content_type is not None:
            _check_str("content_type", content_type)
            check_field(hdrs.CONTENT_TYPE, content_type)
            self._is_multipart = True
        if content_transfer_encoding is not None:
            _check_str("content_transfer_encoding", content_transfer_encoding)
            warnings.warn(
                "content_transfer_encoding is deprecated: a form has none (RFC 7578 section 4.7);"
                " pass the value encoded",
                DeprecationWarning,
                stacklevel=2,
            )
            self._is_multipart = True
        self._fields.append(_Field(name, value, content_type, filename))

    def add_fields(self, *fields: Any) -> None:
        """Add several fields: files, ``(name, value)`` pairs, MultiDicts. Raises TypeError for anything else."""
        for field in fields:
            if isinstance(field, io.IOBase):
                self.add_field(guess_filename(field, "unknown") or "unknown", field)
            elif isinstance(field, (MultiDict, MultiDictProxy)):
                self.add_fields(*field.items())
            elif isinstance(field, (list, tuple)) and len(field) == 2:
                self.add_field(field[0], field[1])
            else:
                raise TypeError(
                    "a field of a form is a file, a MultiDict or a (name, value) pair, not "
                    f"{type(field).__name__}; use add_field() to give more than name and value"
                )

    def __call__(self) -> Payload:
        """Give the payload of the form. A multipart form gives the same payload each time, with what was added since.

        Raises TypeError when a value is of a type that cannot be sent.
        """
        return self._as_multipart() if self._is_multipart else self._as_urlencoded()

    def _as_urlencoded(self) -> BytesPayload:
        charset = self._charset or "utf-8"
        text = urlencode([(field.name, field.value) for field in self._fields], doseq=True, encoding=charset)
        content_type = _URLENCODED if charset == "utf-8" else f"{_URLENCODED}; charset={charset}"
        return BytesPayload(text.encode("ascii"), content_type=content_type)

    def _as_multipart(self) -> MultipartWriter:
        writer = self._writer
        if writer is None:
            writer = self._writer = MultipartWriter("form-data")
        while self._written < len(self._fields):
            writer.append_payload(self._part(self._fields[self._written]))
            self._written += 1
        return writer

    def _part(self, field: _Field) -> Payload:
        keywords: dict[str, Any] = {"encoding": self._charset} if self._charset is not None else {}
        if field.content_type is not None:
            keywords["content_type"] = field.content_type
        try:
            part = get_payload(field.value, **keywords)
        except PayloadLookupError as reason:
            raise TypeError(
                f"cannot send the field {field.name!r}: there is no payload class for {type(field.value).__name__};"
                " give str, bytes or a file"
            ) from reason
        if field.content_type is not None:
            part.headers[hdrs.CONTENT_TYPE] = field.content_type
        params = {"name": field.name}
        if field.filename is not None:
            params["filename"] = field.filename
        part.set_content_disposition("form-data", self._quote_fields, self._charset or "utf-8", **params)
        # in a form the boundary alone says where a field ends
        part.headers.popall(hdrs.CONTENT_LENGTH, None)
        return part


def _check_str(what: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{what} must be an instance of str, not {type(value).__name__}")
