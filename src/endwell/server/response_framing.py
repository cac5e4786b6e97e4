"""How the end of a response is marked, and what becomes of the connection (RFC 9112 sections 6 and 9, RFC 9110 8.6).

Used by every response. Nothing but decisions: the fields are set, no byte is sent.

    response                    Content-Length     Transfer-Encoding  body
    1xx, 204, 304               -                  -                  -
    205                         0                  -                  -
    2xx to CONNECT              -                  -                  until the connection closes
    to HEAD                     size, if known     -                  -
    size known                  size               -                  size bytes
    unknown, HTTP/1.1           -                  chunked            chunks
    unknown, HTTP/1.0           -                  -                  until the connection closes
"""

from __future__ import annotations

from typing import NamedTuple

from multidict import CIMultiDict

from endwell.http import hdrs

__all__ = ("Framing", "frame", "is_bodiless", "parse_length", "say_connection")

_MAX_DIGITS = 18


class Framing(NamedTuple):
    """`length` bytes follow the head, or chunks, or (None and not chunked) all that comes until the connection ends."""

    length: int | None
    chunked: bool
    keep_alive: bool


def is_bodiless(status: int, method: str) -> bool:
    """Whether nothing may follow the head, whatever its fields say (RFC 9112 section 6.3) or (205) lest they lie."""
    return status < 200 or status in (204, 205, 304) or method == "HEAD"


def parse_length(field: str) -> int:
    """Give the number in a Content-Length that an application set.

    Raises:
        ValueError: it is no number (RFC 9110 section 8.6).

    """
    digits = field.strip(" \t")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _MAX_DIGITS):
        message = f"Content-Length {field[:40]!r} is not a number of bytes: set response.content_length, or nothing"
        raise ValueError(message)
    return int(digits)


def frame(
    fields: CIMultiDict[str],
    *,
    status: int,
    method: str,
    minor: int,
    size: int | None,
    chunked: bool,
    keep_alive: bool,
) -> Framing:
    """Set Content-Length and Transfer-Encoding right.

    Args:
        fields: of the response; a Transfer-Encoding of the application is taken as a wish.
        status: of the response.
        method: of the request, as it came.
        minor: of the version of the request, HTTP/1.x.
        size: of the body as it will be sent, None when that is not known.
        chunked: chunks are wanted, even when the size is known.
        keep_alive: the connection can serve another request, as far as is known up to here.

    Raises:
        ValueError: the application wants a transfer coding other than chunked.

    """
    wish = fields.popall(hdrs.TRANSFER_ENCODING, None)
    if wish is not None:
        if [value.strip(" \t").lower() for value in wish] != ["chunked"]:
            message = "Transfer-Encoding can only be chunked: write response.enable_chunked_encoding() instead"
            raise ValueError(message)
        chunked = True
    if status < 200 or status in (204, 304):
        fields.popall(hdrs.CONTENT_LENGTH, None)
        # After a 1xx the client waits for another response, which will not come on this connection.
        return Framing(0, False, keep_alive and (status >= 200 or status == 101))
    if status == 205:
        fields[hdrs.CONTENT_LENGTH] = "0"
        return Framing(0, False, keep_alive)
    if status < 300 and method == hdrs.METH_CONNECT:
        fields.popall(hdrs.CONTENT_LENGTH, None)
        return Framing(None, False, False)
    if method == hdrs.METH_HEAD:
        if chunked or size is None:
            fields.popall(hdrs.CONTENT_LENGTH, None)
        elif size or hdrs.CONTENT_LENGTH in fields:
            # An empty body says nothing: handlers often leave it out for HEAD.
            fields[hdrs.CONTENT_LENGTH] = str(size)
        return Framing(0, False, keep_alive)
    if size is not None and not (chunked and minor):
        fields[hdrs.CONTENT_LENGTH] = str(size)
        return Framing(size, False, keep_alive)
    fields.popall(hdrs.CONTENT_LENGTH, None)
    if minor:
        fields[hdrs.TRANSFER_ENCODING] = "chunked"
        return Framing(None, True, keep_alive)
    return Framing(None, False, False)


def say_connection(fields: CIMultiDict[str], status: int, minor: int, *, keep_alive: bool) -> bool:
    """Set Connection right, and tell whether the connection is kept (RFC 9112 section 9.6).

    An application that says ``close`` itself is taken at its word; its other options stay.
    """
    given = fields.getall(hdrs.CONNECTION, None)
    if given is None:
        if not keep_alive and minor:
            fields[hdrs.CONNECTION] = "close"
        elif keep_alive and not minor:
            fields[hdrs.CONNECTION] = "keep-alive"
        return keep_alive
    options = [option.strip(" \t") for option in ",".join(given).split(",")]
    if any(option.lower() == "close" for option in options):
        return False
    if not keep_alive and status != 101:
        kept = [option for option in options if option and option.lower() != "keep-alive"]
        fields[hdrs.CONNECTION] = ", ".join([*kept, "close"])
    return keep_alive
