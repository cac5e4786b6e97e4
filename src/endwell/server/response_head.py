"""The head of a response as bytes: status line, Date, Server, fields.

RFC 9112 section 4, RFC 9110 sections 6.6.1 and 10.2.4. Used by every response. What does not change from one response
to the next is kept as bytes: a status line for each status, the lines of Date and Server for the second that runs.
"""

from __future__ import annotations

import sys
from http import HTTPStatus
from time import time
from typing import Final

from multidict import CIMultiDict

from endwell._version import __version__
from endwell.http.dates import format_http_date
from endwell.http.fields import check_text, render_fields

__all__ = (
    "REASONS",
    "SERVER_SOFTWARE",
    "check_reason",
    "check_status",
    "date_and_server",
    "http_date",
    "reason_of",
    "render_head",
    "status_line",
)

SERVER_SOFTWARE: Final = f"Python/{sys.version_info[0]}.{sys.version_info[1]} endwell/{__version__}"
"""What the field Server says unless the application sets it."""

REASONS: Final[dict[int, str]] = {int(status): status.phrase for status in HTTPStatus}
"""The usual reason phrase of each status that has one."""

_LINES: Final[tuple[dict[int, bytes], dict[int, bytes]]] = (
    {status: b"HTTP/1.0 %d %b\r\n" % (status, phrase.encode()) for status, phrase in REASONS.items()},
    {status: b"HTTP/1.1 %d %b\r\n" % (status, phrase.encode()) for status, phrase in REASONS.items()},
)


class _Clock:
    """The lines of the second that runs. One for the process: threads may make them twice, never wrong."""

    __slots__ = ("date", "lines", "second")

    def __init__(self) -> None:
        self.second = -1
        self.date = ""
        self.lines = b""

    def tick(self, second: int) -> None:
        """Make the lines anew."""
        self.date = format_http_date(second)
        self.lines = f"Date: {self.date}\r\nServer: {SERVER_SOFTWARE}\r\n".encode()
        self.second = second


_clock: Final = _Clock()


def http_date() -> str:
    """Give the present as the value of the field Date."""
    second = int(time())
    if second != _clock.second:
        _clock.tick(second)
    return _clock.date


def date_and_server() -> bytes:
    """Give the field lines of Date and Server."""
    second = int(time())
    if second != _clock.second:
        _clock.tick(second)
    return _clock.lines


def reason_of(status: int) -> str:
    """Give the usual reason phrase of a status, ``""`` when it has none."""
    return REASONS.get(status, "")


def check_status(status: int) -> int:
    """Refuse what is not a status code; return it as a plain int.

    Raises:
        ValueError: it does not have three digits, 100 to 999 (RFC 9110 section 15).

    """
    status = int(status)
    if not 100 <= status <= 999:
        message = f"Status {status} cannot be sent: a status code has three digits, 100 to 999"
        raise ValueError(message)
    return status


def check_reason(reason: str) -> str:
    """Refuse a reason phrase that would start a line of its own; return it.

    Raises:
        ValueError: it contains CR, LF or NUL.

    """
    return check_text("The reason phrase", reason)


def status_line(status: int, reason: str | None, minor: int) -> bytes:
    """Give the status line with its CRLF; `reason` None stands for the usual phrase, `minor` is that of HTTP/1.x.

    Raises:
        ValueError: see `check_status` and `check_reason`.

    """
    if reason is None:
        line = _LINES[minor].get(status)
        if line is not None:
            return line
        reason = ""
    line_text = f"HTTP/1.{minor} {check_status(status)} {check_reason(reason)}\r\n"
    return line_text.encode("utf-8", "surrogateescape")


def render_head(status: int, reason: str | None, minor: int, fields: CIMultiDict[str], more: bytes = b"") -> bytes:
    """Give a whole head with its empty line: status line, `fields`, the complete field lines `more`.

    Raises:
        ValueError: a field or the reason phrase would break out of its line; see `endwell.http.fields.check_field`.
        TypeError: the value of a field is no string.

    """
    return b"%b%b%b\r\n" % (status_line(status, reason, minor), render_fields(fields), more)
