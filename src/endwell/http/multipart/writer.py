"""Writing multipart bodies: `MultipartWriter`, a payload made of payloads (RFC 2046 section 5.1, RFC 7578)."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlencode

from endwell.http import hdrs
from endwell.http.fields import TOKEN, check_field
from endwell.http.payload import BytesPayload, JsonPayload, Payload, StringPayload, get_payload
from endwell.http.payload import LookupError as PayloadLookupError
from endwell.http.typedefs import Byteish
from endwell.http.writer import AbstractStreamWriter, BodyWriter

from .codings import PartEncoder, check_codings

__all__ = ("MultipartWriter",)

_BOUNDARY: Final = re.compile(r"[ -~]{0,69}[!-~]")
_TO_ESCAPE: Final = re.compile(r'(["\\])')
# Parts up to this size travel in one write with the delimiters and fields around them.
_SMALL: Final = 16384


class _Part:
    """A payload, and the codings it is written in."""

    __slots__ = ("content", "payload", "transfer")

    def __init__(self, payload: Payload, content: str, transfer: str) -> None:
        self.payload = payload
        self.content = content
        self.transfer = transfer


class _EncodingWriter(BodyWriter):
    """Puts the codings of a part on what is written."""

    def __init__(self, writer: AbstractStreamWriter, encoder: PartEncoder) -> None:
        self._writer = writer
        self._encoder = encoder

    async def write(self, chunk: Byteish) -> None:
        """Encode a piece and pass it on."""
        if encoded := self._encoder.feed(bytes(chunk)):
            await self._writer.write(encoded)

    async def finish(self) -> None:
        """Pass on what the codings held back."""
        if encoded := self._encoder.finish():
            await self._writer.write(encoded)


class MultipartWriter(Payload):
    """A multipart body.

    `subtype` is ``mixed``, ``related``, ``form-data``...; `boundary` is 1 to 70 printable ASCII characters and must not
    occur in the parts: without one, 32 random hexadecimal digits. Iteration gives ``(payload, content coding, transfer
    coding)`` for each part.

    Raises ValueError for a bad subtype or boundary.
    """

    _value: None

    def __init__(self, subtype: str = "mixed", boundary: str | None = None) -> None:
        if boundary is None:
            boundary = os.urandom(16).hex()
        elif not boundary.isascii():
            raise ValueError("boundary should contain ASCII only chars")
        elif not _BOUNDARY.fullmatch(boundary):
            raise ValueError(
                f"boundary value {boundary[:80]!r} is not 1 to 70 printable characters that do not end with a space"
            )
        if not TOKEN.fullmatch(subtype):
            raise ValueError(f"the subtype of a multipart body must be a token such as 'mixed', not {subtype!r}")
        quoted = boundary if TOKEN.fullmatch(boundary) else '"' + _TO_ESCAPE.sub(r"\\\1", boundary) + '"'
        super().__init__(None, content_type=f"multipart/{subtype}; boundary={quoted}")
        self._boundary = boundary.encode("ascii")
        self._is_form = subtype.lower() == "form-data"
        self._parts: list[_Part] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return

    def __iter__(self) -> Iterator[tuple[Payload, str, str]]:
        return ((part.payload, part.content, part.transfer) for part in self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def __bool__(self) -> bool:
        return True

    @property
    def boundary(self) -> str:
        """The boundary between the parts."""
        return self._boundary.decode("ascii")

    @property
    def consumed(self) -> bool:
        """True when some part cannot be written (again)."""
        return any(part.payload.consumed for part in self._parts)

    @property
    def autoclose(self) -> bool:
        """True when no part has anything to close."""
        return all(part.payload.autoclose for part in self._parts)

    def append(self, obj: Any, headers: Mapping[str, str] | None = None) -> Payload:
        """Add a part: a payload, or whatever `get_payload` knows; `headers` are fields of the part. Gives the payload.

        Raises TypeError for what cannot be sent, ValueError for bad fields or, in a form, codings.
        """
        if isinstance(obj, Payload):
            for name, value in (headers or {}).items():
                check_field(name, value)
            if headers:
                obj.headers.update(headers)
            return self.append_payload(obj)
        try:
            payload = get_payload(obj, headers=headers)
        except PayloadLookupError as reason:
            raise TypeError(
                f"cannot create a payload from {type(obj).__name__}: give bytes, str, a file or a Payload"
            ) from reason
        return self.append_payload(payload)

    def append_payload(self, payload: Payload) -> Payload:
        """Add a payload as a part. `Content-Encoding` and `Content-Transfer-Encoding` in its headers are carried out.

        Known are gzip and deflate, base64, quoted-printable and binary. Raises ValueError (PartCodingError) for others,
        and for any of the two in a form.
        """
        headers = payload.headers
        content, transfer = check_codings(
            headers.get(hdrs.CONTENT_ENCODING, ""), headers.get(hdrs.CONTENT_TRANSFER_ENCODING, "")
        )
        if self._is_form:
            for name in (hdrs.CONTENT_ENCODING, hdrs.CONTENT_TRANSFER_ENCODING, hdrs.CONTENT_LENGTH):
                if name in headers:
                    raise ValueError(f"a part of a form must not have the field {name} (RFC 7578 section 4.8)")
            if hdrs.CONTENT_DISPOSITION not in headers:
                payload.set_content_disposition("form-data", name=f"section-{len(self._parts)}")
        else:
            headers.popall(hdrs.CONTENT_LENGTH, None)
            size = None if content or transfer else payload.size
            if size is not None:
                headers[hdrs.CONTENT_LENGTH] = str(size)
        _render_fields(payload)
        self._parts.append(_Part(payload, content, transfer))
        return payload

    def append_json(self, obj: Any, headers: Mapping[str, str] | None = None) -> Payload:
        """Add a value as JSON."""
        return self.append_payload(JsonPayload(obj, headers=headers))

    def append_form(
        self, obj: Sequence[tuple[str, str]] | Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> Payload:
        """Add pairs as an urlencoded part."""
        pairs = list(obj.items()) if isinstance(obj, Mapping) else obj
        data = urlencode(pairs, doseq=True)
        return self.append_payload(
            StringPayload(data, headers=headers, content_type="application/x-www-form-urlencoded")
        )

    @property
    def size(self) -> int | None:
        """The exact number of bytes, None when a part's is not known, or a part has a coding."""
        size = len(self._boundary) + 6
        for part in self._parts:
            part_size = part.payload.size
            if part.content or part.transfer or part_size is None:
                return None
            size += len(self._boundary) + 6 + len(_render_fields(part.payload)) + part_size
        return size

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Give the body as text, without the codings of parts; blocks while files are read."""
        boundary = self.boundary
        pieces = [
            f"--{boundary}\r\n{_render_fields(part.payload).decode()}{part.payload.decode(encoding, errors)}\r\n"
            for part in self._parts
        ]
        return "".join(pieces) + f"--{boundary}--\r\n"

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """Give the whole body, with codings: what `write` would write. Parts that come once are kept by this."""
        pieces: list[bytes] = []
        for part in self._parts:
            pieces += (b"--", self._boundary, b"\r\n", _render_fields(part.payload))
            content = await part.payload.as_bytes(encoding, errors)
            if part.content or part.transfer:
                encoder = PartEncoder(part.content, part.transfer)
                content = encoder.feed(content) + encoder.finish()
            pieces += (content, b"\r\n")
        pieces += (b"--", self._boundary, b"--\r\n")
        return b"".join(pieces)

    async def write(self, writer: AbstractStreamWriter, close_boundary: bool = True) -> None:
        """Write the parts, and the closing delimiter unless `close_boundary` is false.

        Raises what a part raises, RuntimeError among it when a part cannot be written again.
        """
        held = bytearray()
        for part in self._parts:
            payload = part.payload
            held += b"--%b\r\n%b" % (self._boundary, _render_fields(payload))
            if part.content or part.transfer:
                await writer.write(bytes(held))
                held.clear()
                encoding_writer = _EncodingWriter(writer, PartEncoder(part.content, part.transfer))
                await payload.write(encoding_writer)
                await encoding_writer.finish()
            elif isinstance(payload, BytesPayload) and (payload.size or 0) <= _SMALL:
                held += await payload.as_bytes()
            else:
                await writer.write(bytes(held))
                held.clear()
                await payload.write(writer)
            held += b"\r\n"
            if len(held) > _SMALL:
                await writer.write(bytes(held))
                held.clear()
        if close_boundary:
            held += b"--%b--\r\n" % self._boundary
        if held:
            await writer.write(bytes(held))

    async def close(self) -> None:
        """Close all parts; safe to call more than once. Raises the first error after all were closed."""
        error: Exception | None = None
        for part in self._parts:
            try:
                await part.payload.close()
            except Exception as reason:  # noqa: BLE001 - the others have to be closed as well
                error = error or reason
        if error is not None:
            raise error


def _render_fields(payload: Payload) -> bytes:
    """Give the fields of a part and the empty line. Raises ValueError for what would forge a field."""
    lines: list[str] = []
    for name, value in payload.headers.items():
        check_field(name, value)
        lines.append(f"{name}: {value}\r\n")
    lines.append("\r\n")
    return "".join(lines).encode("utf-8", "surrogateescape")
