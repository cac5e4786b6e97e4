"""The body of a request as a whole: read within a limit, decoded as text, its errors named (RFC 9110 section 8).

Used by `server.request` and `server.form`; imported when the first body is read. What a client did wrong becomes a
response of the 4xx class, never a 500.
"""

from __future__ import annotations

from json import JSONDecodeError
from typing import TYPE_CHECKING, Any

from endwell.connection.reader import StreamReader
from endwell.http.codings import CodingError
from endwell.http.mediatype import is_expected_content_type, usable_charset
from endwell.http.typedefs import DEFAULT_JSON_DECODER, JSONDecoder
from endwell.server.errors import (
    HTTPBadRequest,
    HTTPRequestEntityTooLarge,
    HTTPUnsupportedMediaType,
    RequestPayloadError,
)
from endwell.wire.http1.errors import ProtocolError

if TYPE_CHECKING:
    from endwell.server.request import BaseRequest

__all__ = (
    "BROKEN",
    "BadBodyError",
    "BadCharsetError",
    "BadJSONError",
    "BadTextError",
    "check_content_type",
    "decode_body",
    "known_charset",
    "parse_json",
    "payload_error",
    "read_body",
)

BROKEN = (ProtocolError, CodingError, ConnectionError)
"""What reading from a connection raises when the body is broken or ends too early."""


class BadBodyError(HTTPBadRequest, ValueError):
    """The body is not what its `Content-Type` says: the response 400, and a ValueError for who catches that."""


class BadTextError(BadBodyError, UnicodeDecodeError):  # type: ignore[override]  # reason: that of the response
    """The body is not in its charset: the response 400, and the UnicodeDecodeError of the codec."""

    def __init__(self, error: UnicodeDecodeError) -> None:
        HTTPBadRequest.__init__(self, text=f"The body is not text in {error.encoding}.")
        UnicodeDecodeError.__init__(self, *error.args)


class BadCharsetError(HTTPUnsupportedMediaType, LookupError):
    """The body is in a charset that nobody here knows: the response 415, and a LookupError."""


class BadJSONError(HTTPBadRequest, JSONDecodeError):
    """The body is not JSON: the response 400, and the JSONDecodeError that the parser raised."""

    def __init__(self, error: JSONDecodeError) -> None:
        HTTPBadRequest.__init__(self, text="The body is not JSON.")
        self.args = error.args
        self.msg, self.doc, self.pos = error.msg, error.doc, error.pos
        self.lineno, self.colno = error.lineno, error.colno


def payload_error(error: Exception) -> RequestPayloadError:
    """Name what went wrong below."""
    return RequestPayloadError(f"The body of the request is broken: {error}")


async def read_body(request: BaseRequest) -> bytes:
    """Read what is left of the body. What was read when a call was cancelled is kept for the next one.

    Raises:
        HTTPRequestEntityTooLarge: more than `client_max_size` bytes, decoded.
        RequestPayloadError: it is broken.

    """
    limit = request.client_max_size
    length = request._head.length
    if limit and length is not None and length > limit:
        raise HTTPRequestEntityTooLarge(max_size=limit, actual_size=length)
    content = request.content
    try:
        if request._pieces is None and _is_bounded(request, content):
            data = await content.read()
            if limit and len(data) > limit:
                raise HTTPRequestEntityTooLarge(max_size=limit, actual_size=len(data))
            return data
        if request._pieces is None:
            request._pieces = bytearray()
        pieces = request._pieces
        while piece := await content.readany():
            pieces += piece
            if limit and len(pieces) > limit:
                raise HTTPRequestEntityTooLarge(max_size=limit, actual_size=len(pieces))
    except BROKEN as error:
        raise payload_error(error) from error
    request._pieces = None
    return bytes(pieces)


def _is_bounded(request: BaseRequest, content: StreamReader) -> bool:
    """Tell whether the body is as long as its Content-Length, or may have any length."""
    body = request._exchange.body
    return (
        body is not None
        and type(content) is StreamReader
        and content._body is body
        and body.decoder is None
        and (request._head.length is not None or not request.client_max_size)
    )


def known_charset(charset: str | None) -> str:
    """Give the charset that a client named, UTF-8 when it named none.

    Raises:
        BadCharsetError: nobody here can decode it in linear time.

    """
    if charset is None:
        return "utf-8"
    if not usable_charset(charset):
        raise BadCharsetError(text=f"The charset {charset[:40]!r} is not supported; send UTF-8.")
    return charset


def decode_body(body: bytes, charset: str | None) -> str:
    """Give the body as text.

    Raises:
        BadCharsetError: the charset is not known.
        BadTextError, BadBodyError: the body is not in it.

    """
    encoding = known_charset(charset)
    try:
        return body.decode(encoding)
    except UnicodeDecodeError as error:
        raise BadTextError(error) from error
    except ValueError as error:
        raise BadBodyError(text=f"The body is not text in {encoding}.") from error


def check_content_type(content_type: str, expected: str) -> None:
    """Refuse another media type than the one that is expected.

    Raises:
        BadBodyError: it is another one.

    """
    if not is_expected_content_type(content_type, expected):
        raise BadBodyError(text=f"The media type of the body must be {expected}.")


def parse_json(text: str, loads: JSONDecoder) -> Any:
    """Give what `loads` makes of the text.

    Raises:
        BadJSONError: it is no JSON.
        BadBodyError: it is nested too deep for the parser, or has a number of more digits than Python converts.

    """
    try:
        return loads(text)
    except JSONDecodeError as error:
        raise BadJSONError(error) from error
    except RecursionError as error:
        raise BadBodyError(text="The body is JSON that is nested too deep.") from error
    except ValueError as error:
        if loads is not DEFAULT_JSON_DECODER:
            raise
        raise BadBodyError(text="The body is JSON with a number of too many digits.") from error
