"""The request line and the authority of a request (RFC 9112 section 3, RFC 9110 section 7.2), checked early.

Used by the head and the reader of requests. What stands here must refuse a line the same way whether it came whole or
byte by byte: the first byte that cannot belong to a request line decides.
"""

from __future__ import annotations

import re
from typing import Final

from endwell.wire.http1.errors import ProtocolError
from endwell.wire.http1.limits import MAX_METHOD, Limits

__all__ = ("check_authority", "check_field_line", "check_line_start", "check_request_line", "check_target")

_TCHAR: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_METHOD: Final = rb"%b{1,%d}" % (_TCHAR, MAX_METHOD)
_WHOLE: Final = re.compile(rb"(%b) ([!-~]+) HTTP/1\.([01])\r" % _METHOD)
_START: Final = re.compile(
    rb"(?:%b(?: (?:[!-~]+(?: (?:H(?:T(?:T(?:P(?:/(?:1(?:\.(?:[01]\r?)?)?)?)?)?)?)?)?)?)?)?)?" % _METHOD
)
_ABSOLUTE: Final = re.compile(r"https?://([^/?#]*)", re.IGNORECASE)
_AUTHORITY: Final = re.compile(
    r"(?:\[([0-9A-Fa-f:.]+)\]|((?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*))(?::([0-9]{0,5}))?"
)


def check_request_line(line: bytes, limits: Limits) -> tuple[str, str, int]:
    """Read a request line, with its CR and without its LF: method, target, minor version.

    Raises:
        ProtocolError: it is none; `status` says why (400, 414, 501, 505).

    """
    found = _WHOLE.fullmatch(line)
    if found is None or len(line) > limits.line_size:
        check_line_start(line, limits)
        message = "The request line stops before 'HTTP/1.1' and CRLF"
        raise ProtocolError(message)
    method, target = found[1].decode(), found[2].decode()
    check_target(method, target)
    return method, target, found[3][0] - 48


def check_line_start(start: bytes, limits: Limits) -> None:
    """Refuse what cannot become a request line, however it goes on.

    Raises:
        ProtocolError: see `check_request_line`.

    """
    found = _START.match(start)
    end = found.end() if found is not None else 0
    if end < len(start) and end < limits.line_size:
        raise _wrong_byte(start, end)
    if len(start) > limits.line_size:
        message = f"The request line has over max_line_size={limits.line_size} bytes"
        raise ProtocolError(message, status=414)


def _wrong_byte(line: bytes, at: int) -> ProtocolError:
    """Say what is wrong with the byte at this place. The target may hold a secret and is not shown."""
    byte = line[at : at + 1]
    where = line.count(b" ", 0, at)
    if at == 0 and byte == b"\x16":
        return ProtocolError("The peer speaks TLS on a plain-text port: it sent a TLS handshake, not an HTTP request")
    if where == 0 and at == MAX_METHOD and byte > b" ":
        return ProtocolError(f"The method has over {MAX_METHOD} characters", status=501)
    if where == 2 and byte.isdigit() and line[:at].endswith((b" HTTP/", b" HTTP/1.")):
        return ProtocolError("The version of HTTP is neither 1.1 nor 1.0; HTTP/1.1 is spoken here", status=505)
    part = ("method", "target", "version")[min(where, 2)]
    return ProtocolError(f"Not an HTTP request: {byte!r} at byte {at} of the request line, in the {part}")


def check_field_line(line: bytes, number: int, limits: Limits, *, complete: bool = True) -> None:
    """Check the frame of the field line with this number (from 1), or of its start, with its CR and without its LF.

    Raises:
        ProtocolError: over a limit (431), or a bare CR or LF (400).

    """
    if line.startswith(b"\r"):
        if len(line) > 1:
            message = "A line of the head begins with CR alone"
            raise ProtocolError(message)
    elif line and number > limits.fields:
        message = f"The head has over max_headers={limits.fields} fields"
        raise ProtocolError(message, status=431)
    if len(line) > limits.field_size:
        message = f"A field has over max_field_size={limits.field_size} bytes"
        raise ProtocolError(message, status=431)
    if complete and not line.endswith(b"\r"):
        message = "A line of the head ends with LF alone; CRLF is needed"
        raise ProtocolError(message)


def check_target(method: str, target: str) -> None:
    """Check that the target has a form that this method allows (RFC 9112 section 3.2).

    Raises:
        ProtocolError: it has not.

    """
    if method == "CONNECT":
        if not check_authority(target) or target.endswith(":") or ":" not in target.rpartition("]")[2]:
            message = "The target of CONNECT must be host:port"
            raise ProtocolError(message)
    elif target.startswith("/"):
        pass
    elif target == "*":
        if method != "OPTIONS":
            message = "The target * is for OPTIONS only"
            raise ProtocolError(message)
    else:
        found = _ABSOLUTE.match(target)
        if found is None or not check_authority(found[1]):
            message = "The target is neither a path, nor an http or https URL with a host, nor * with OPTIONS"
            raise ProtocolError(message)


def check_authority(authority: str) -> bool:
    """Check a host with an optional port; tell whether it has a host.

    Raises:
        ProtocolError: user information, a bad port, a bad IPv6 literal (one with a zone id too), or what no host has.

    """
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        # not shown: user information may be in it
        message = "A host may not have user information, white space, or other characters that no host has"
        raise ProtocolError(message)
    literal, name, port = found.groups()
    if port and not 0 < int(port) < 65536:
        message = f"Not a port from 1 to 65535: {port}"
        raise ProtocolError(message)
    if literal is not None:
        _check_literal(literal)
    elif "xn--" in name.lower():
        _check_encoded(name)
    if port is not None and not literal and not name:
        message = "A port without a host"
        raise ProtocolError(message)
    return bool(literal or name)


def _check_literal(literal: str) -> None:
    from ipaddress import IPv6Address

    try:
        IPv6Address(literal)
    except ValueError as error:
        message = "The host in brackets is not an IPv6 address"
        raise ProtocolError(message) from error


def _check_encoded(name: str) -> None:
    """Refuse an A-label that cannot be decoded: it would fail where somebody reads the host of the URL."""
    from yarl import URL

    try:
        URL.build(scheme="http", host=name).host  # noqa: B018  # read for its error
    except ValueError as error:
        message = "The host has a label that begins with xn-- and is not Punycode"
        raise ProtocolError(message) from error
