"""The head of a request: checked by llhttp and by what it lets through, kept as bytes (RFC 9112 sections 2, 3, 5, 6).

Used by the reader of requests and by whatever makes a request without a connection. The common request takes the short
way; whatever is not common, or wrong, is read again step by step, and what is said there holds.
"""

from __future__ import annotations

import re
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from endwell.http.typedefs import RawHeaders
from endwell.http.version import HttpVersion, HttpVersion10, HttpVersion11
from endwell.wire.http1.errors import ProtocolError
from endwell.wire.http1.limits import Limits
from endwell.wire.http1.message_head import MessageHead, read_length
from endwell.wire.http1.request_line import check_authority, check_field_line, check_request_line

__all__ = ("RequestHead", "parse_request_head")


class _Silent:
    """A protocol for llhttp without one callback: it only checks."""


_SILENT: Final = _Silent()
_HOST: Final = b"\r\nhost:"
_LENGTH: Final = b"\r\ncontent-length:"
_CODING: Final = b"\r\ntransfer-encoding:"
# no "--": an A-label is looked at more closely
_PLAIN_HOST: Final = re.compile(rb"[ \t]*[a-z0-9._]+(?:-[a-z0-9._]+)*(?::(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}))?\r\n")
_CODING_LINE: Final = re.compile(rb"\r\nTransfer-Encoding:[^\r\n]*", re.IGNORECASE)
_CODING_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")


class RequestHead(MessageHead):
    """Request line and fields of one request.

    Attributes:
        method: as sent; a token.
        target: as sent; printable ASCII. A path that begins with two slashes is a path.
        minor: of the version: 0 or 1.
        length: Content-Length, None when none was given.
        chunked: whether the body comes in chunks.
        keep_alive: whether the client wants the connection for another request, and may (RFC 9112 section 9.3). False
            for CONNECT: what follows is the tunnel, or cannot be told from it.
        expects: whether the client expects something (RFC 9110 section 10.1.1).

    """

    __slots__ = ("_lower_pairs", "chunked", "expects", "keep_alive", "length", "method", "minor", "target")

    def __init__(self, raw: bytes, lower: bytes, method: str, target: str, minor: int) -> None:
        self.raw = raw
        self.lower = lower
        self.method = method
        self.target = target
        self.minor = minor
        self.length: int | None = None
        self.chunked = False
        self._pairs = None
        self._lower_pairs: RawHeaders | None = None
        self._headers = None
        self.keep_alive = method != "CONNECT" and self.persists(minor)
        self.expects = minor == 1 and lower.find(b"\r\nexpect:") > 0

    def like(self, raw: bytes, method: str, target: str) -> RequestHead:
        """Give the head of a request with the same fields and the same version, and another request line."""
        head = RequestHead.__new__(RequestHead)
        head.raw = raw
        head.lower = raw.lower()
        head.method = method
        head.target = target
        head.minor = self.minor
        head.length = self.length
        head.chunked = self.chunked
        head.keep_alive = self.keep_alive
        head.expects = self.expects
        head._pairs = self._pairs
        head._lower_pairs = self._lower_pairs
        head._headers = self._headers
        return head

    @property
    def lower_pairs(self) -> RawHeaders:
        """The fields as they came, but for their names, which are in lower case."""
        if self._lower_pairs is None:
            pairs = []
            for line in self.raw.split(b"\r\n")[1:-2]:
                name, _, value = line.partition(b":")
                pairs.append((name.lower(), value.strip(b" \t")))
            self._lower_pairs = tuple(pairs)
        return self._lower_pairs

    @property
    def version(self) -> HttpVersion:
        """The version of HTTP."""
        return HttpVersion11 if self.minor else HttpVersion10

    @property
    def has_body(self) -> bool:
        """Whether a body of at least one byte, or of unknown length, follows."""
        return self.chunked or bool(self.length)

    @property
    def waits_for_continue(self) -> bool:
        """Whether what the client expects is 100 (Continue) before it sends the body."""
        if not self.expects:
            return False
        fields = b",".join(self.every(b"\r\nexpect:")).split(b",")
        return b"100-continue" in {each.strip(b" \t").lower() for each in fields}

    @property
    def upgrade(self) -> bool:
        """Whether the client offers to go on with another protocol (RFC 9110 section 7.8)."""
        return self.minor == 1 and self.lower.find(b"\r\nupgrade:") >= 0 and b"upgrade" in self.options()

    @property
    def host(self) -> str | None:
        """Host and port the request is for: of a target in absolute or authority form, else of Host; None without.

        RFC 9112 section 3.2.2 and 3.3. The scheme of a target in absolute form says nothing about the connection.
        """
        target = self.target
        if target[0] == "/" or target == "*":
            host = self.first(_HOST)
            return host.decode() if host is not None else None
        if self.method == "CONNECT":
            return target
        return re.split(r"[/?#]", target.partition("://")[2], maxsplit=1)[0]


def parse_request_head(raw: bytes, limits: Limits) -> RequestHead:
    """Check a whole head, from the request line to the empty line, and give it.

    Raises:
        ProtocolError: not the head of an HTTP/1.1 or HTTP/1.0 request, or over a limit; `status` is what to answer.

    """
    if len(raw) > limits.smallest or (len(raw) > limits.fewest and raw.count(b"\n") - 2 > limits.fields):
        _check_lines(raw, limits)
    try:
        method, target, version = raw.split(b"\r\n", 1)[0].decode().split(" ")
        HttpRequestParser(_SILENT).feed_data(raw)
    except (ValueError, HttpParserError):
        return _parse_step_by_step(raw, limits)
    except HttpParserUpgrade:
        pass  # Upgrade or CONNECT: where the message ends is not llhttp's business here
    if version == "HTTP/1.1":
        minor = 1
    elif version == "HTTP/1.0":
        minor = 0
    else:
        return _parse_step_by_step(raw, limits)
    lower = raw.lower()
    host = lower.find(_HOST) + 7
    if (
        target[0] != "/"
        or raw[0] < 33  # llhttp passes over LF before the request line
        or method == "CONNECT"
        or (host == 6 and minor)
        or (host != 6 and (_PLAIN_HOST.match(lower, host) is None or lower.find(_HOST, host) > 0))
    ):
        return _parse_step_by_step(raw, limits)
    head = RequestHead(raw, lower, method, target, minor)
    length = lower.find(_LENGTH)  # `in` takes twice the time for bytes
    if length > 0:
        head.length = read_length(lower[length + 17 : lower.index(b"\r\n", length + 17)])
    coding = lower.find(_CODING)
    if coding > 0:
        value = lower[coding + 20 : lower.index(b"\r\n", coding + 20)]
        if length > 0 or not minor or value.strip(b" \t") != b"chunked" or lower.find(_CODING, coding + 20) > 0:
            return _parse_step_by_step(raw, limits)
        head.chunked = True
    return head


def _parse_step_by_step(raw: bytes, limits: Limits) -> RequestHead:
    """Do the same the long way. llhttp judges the fields last, under a request line that it knows."""
    _check_lines(raw, limits)
    line, _, fields = raw.partition(b"\n")
    method, target, minor = check_request_line(line, limits)
    head = RequestHead(raw, raw.lower(), method, target, minor)
    _frame(head)
    _check_host(head)
    if head.chunked:
        fields = _CODING_LINE.sub(b"\r\nTransfer-Encoding: chunked", b"\r\n" + fields)[2:]  # llhttp refuses tabs there
    try:
        HttpRequestParser(_SILENT).feed_data(b"GET / HTTP/1.%d\r\n%b" % (minor, fields))
    except HttpParserUpgrade:
        pass
    except HttpParserError as error:
        message = f"Bad fields in the head of the request: {error}"
        raise ProtocolError(message) from error
    return head


def _check_lines(raw: bytes, limits: Limits) -> None:
    """Check line by line, as the reader does with a head that has not ended."""
    first, *lines, _ = raw.split(b"\n")
    check_request_line(first, limits)
    for number, line in enumerate(lines, 1):
        check_field_line(line, number, limits)


def _frame(head: RequestHead) -> None:
    """Decide how the body is framed (RFC 9112 section 6.3); two readings are never one."""
    if _CODING in head.lower:
        if _LENGTH in head.lower:
            message = "Content-Length beside Transfer-Encoding"
            raise ProtocolError(message)
        _check_codings(head)
        head.chunked = True
    else:
        lengths = head.every(_LENGTH)
        if len(lengths) > 1:
            message = "Content-Length more than once"
            raise ProtocolError(message)
        if lengths:
            head.length = read_length(lengths[0])
    if head.method == "CONNECT" and head.has_body:
        message = "CONNECT has no body (RFC 9110 section 9.3.6)"
        raise ProtocolError(message)


def _check_codings(head: RequestHead) -> None:
    """Let `chunked` pass, and nothing else (RFC 9112 section 6.1 and 6.3)."""
    codings = [coding.strip(b" \t").lower() for coding in b",".join(head.every(_CODING)).split(b",")]
    if head.minor == 0:
        message = "Transfer-Encoding in HTTP/1.0"
        raise ProtocolError(message)
    if codings == [b"chunked"]:
        return
    shown = b", ".join(codings)[:80].decode("latin-1")
    if any(_CODING_NAME.fullmatch(coding) is None for coding in codings):
        message = f"Bad Transfer-Encoding: {shown!r}"
        raise ProtocolError(message)
    if codings[-1] != b"chunked" or codings.count(b"chunked") > 1:
        message = f"Transfer-Encoding does not end in 'chunked', once; where the body ends cannot be told: {shown!r}"
        raise ProtocolError(message)
    message = f"Transfer-Encoding is not understood, only 'chunked' is: {shown!r}"
    raise ProtocolError(message, status=501)


def _check_host(head: RequestHead) -> None:
    """Check Host (RFC 9112 section 3.2), also beside a target that overrides it."""
    hosts = head.every(_HOST)
    if len(hosts) > 1:
        message = "Host more than once"
        raise ProtocolError(message)
    if hosts:
        try:
            host = hosts[0].decode("ascii")
        except UnicodeDecodeError:
            host = " "
        check_authority(host)
    elif head.minor:
        message = "Host is missing; HTTP/1.1 requires it"
        raise ProtocolError(message)
