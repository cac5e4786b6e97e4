"""One line of log for each request, in the format of Apache's access log.

Used by the server's handler after each response, and by users who log in their own way.
"""

from __future__ import annotations

import logging
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from time import localtime
from time import time as wall_clock
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from endwell.server.request import BaseRequest
    from endwell.server.response import StreamResponse

__all__ = ("AbstractAccessLogger", "AccessLogger")

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_ATOM: Final = re.compile(r"%(?:%|Tf|[atPrsbTD]|\{([A-Za-z0-9_.\-]+)\}([ioe]))")
_QUOTED: Final = re.compile(r'["\\]')
_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

_Value = str | int
_Getter = Callable[[Any, Any, float], _Value]
_Atom = tuple[str, str | None, _Getter, bool]
"""Key of a value, name within it, how to get it, and whether it stands between quotes."""


class AbstractAccessLogger(ABC):
    """What is told of each request, when it is over.

    Args:
        logger: where the lines go.
        log_format: how they look; what it means is the subclass's business.

    """

    __slots__ = ("log_format", "logger")

    def __init__(self, logger: logging.Logger, log_format: str) -> None:
        self.logger = logger
        self.log_format = log_format

    @abstractmethod
    def log(self, request: BaseRequest, response: StreamResponse, time: float) -> None:
        """Note one request, its response, and the seconds it took.

        Called when the response has ended, or was cut off. One with the status 499 stands for a response that was never
        begun, because the client had gone; it was not sent.
        """

    @property
    def enabled(self) -> bool:
        """Whether a line would be seen; when False nothing is measured and `log` is not called."""
        return True


class AccessLogger(AbstractAccessLogger):
    """Writes a line at level INFO for each request.

    The format holds text and these atoms:

    ``%%`` a per cent sign, ``%a`` the client's address, ``%t`` when the request came, ``%P`` the process, ``%r`` the
    request line, ``%s`` the status, ``%b`` bytes that were sent (head and framing included), ``%T`` seconds, ``%Tf``
    seconds with a fraction, ``%D`` microseconds, ``%{Name}i`` a field of the request, ``%{Name}o`` a field of the
    response, ``%{NAME}e`` a variable of the environment. What is not there is ``-``. Anything else stays as it is
    written.

    Control characters, surrogates and marks that reorder a line are written as escapes: what a client sends cannot
    begin a line of its own nor speak to a terminal. Between quotes in the format, a quote or a backslash gets a
    backslash before it: what a client sends cannot pass for another value of the line. Each record has the values as
    attributes too (``remote_address``, ``request_start_time``, ``process_id``, ``first_request_line``,
    ``response_status``, ``response_size``, ``request_time``, ``request_time_frac``, ``request_time_micro``,
    ``request_header``, ``response_header``, ``environ``), for handlers that write JSON.

    Args:
        logger: where the lines go.
        log_format: see above.

    """

    __slots__ = ("_atoms", "_backslashes", "_quotes", "_template")

    LOG_FORMAT = '%a %t "%r" %s %b "%{Referer}i" "%{User-Agent}i"'

    def __init__(self, logger: logging.Logger, log_format: str = LOG_FORMAT) -> None:
        super().__init__(logger, log_format)
        self._template, self._atoms = _compile(log_format)
        self._quotes = log_format.count('"')
        self._backslashes = log_format.count("\\")

    @property
    def enabled(self) -> bool:
        """Whether the logger takes level INFO."""
        return self.logger.isEnabledFor(logging.INFO)

    def log(self, request: BaseRequest, response: StreamResponse, time: float) -> None:
        """Write the line. Nothing is raised: an error on the way is logged itself."""
        try:
            values = [get(request, response, time) for _, _, get, _ in self._atoms]
            line = self._template % tuple(values)
            if (
                not line.isprintable()
                or (self._quotes and line.count('"') != self._quotes)
                or (self._quotes and line.count("\\") != self._backslashes)
            ):
                line = self._template % tuple(map(self._safe, self._atoms, values))
                values = [_UNSAFE.sub(_escape, value) if isinstance(value, str) else value for value in values]
            self.logger.info(line, extra=self._extra(values))
        except Exception:
            self.logger.exception("The access log could not note a request")

    @staticmethod
    def _safe(atom: _Atom, value: _Value) -> _Value:
        """Give a value as it may stand in the line."""
        if not isinstance(value, str):
            return value
        *_, in_quotes = atom
        return _UNSAFE.sub(_escape, _QUOTED.sub(r"\\\g<0>", value) if in_quotes else value)

    def _extra(self, values: list[_Value]) -> dict[str, object]:
        extra: dict[str, Any] = {}
        for (key, name, _, _), value in zip(self._atoms, values, strict=True):
            if name is None:
                extra[key] = value
            else:
                extra.setdefault(key, {})[name] = value
        return extra


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00  # a byte that is not UTF-8
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _compile(log_format: str) -> tuple[str, list[_Atom]]:
    """Give a template for the `%` operator, and its atoms."""
    atoms: list[_Atom] = []
    template = ""
    position = 0
    for found in _ATOM.finditer(log_format):
        template += log_format[position : found.start()].replace("%", "%%")
        position = found.end()
        name, kind = found.groups()
        in_quotes = template.count('"') % 2 == 1
        if name is not None:
            key, make = _NAMED[kind]
            atoms.append((key, name, make(name), in_quotes))
        elif found[0] != "%%":
            key, get = _PLAIN[found[0]]
            atoms.append((key, None, get, in_quotes))
        template += "%%" if found[0] == "%%" else "%s"
    return template + log_format[position:].replace("%", "%%"), atoms


def _remote(request: Any, _response: Any, _seconds: float) -> _Value:
    remote = request.remote if request is not None else None
    return remote if remote is not None else "-"


def _process(_request: Any, _response: Any, _seconds: float) -> _Value:
    return f"<{os.getpid()}>"


def _request_line(request: Any, _response: Any, _seconds: float) -> _Value:
    if request is None:
        return "-"
    version = request.version
    return f"{request.method} {request.path_qs} HTTP/{version.major}.{version.minor}"


def _status(_request: Any, response: Any, _seconds: float) -> _Value:
    status: int = response.status
    return status


def _size(_request: Any, response: Any, _seconds: float) -> _Value:
    size: int = response.body_length
    return size


def _seconds(_request: Any, _response: Any, seconds: float) -> _Value:
    return str(round(seconds))


def _seconds_with_fraction(_request: Any, _response: Any, seconds: float) -> _Value:
    return f"{seconds:06f}"


def _microseconds(_request: Any, _response: Any, seconds: float) -> _Value:
    return str(round(seconds * 1_000_000))


def _request_field(name: str) -> _Getter:
    def get(request: Any, _response: Any, _seconds: float) -> _Value:
        value: str = request.headers.get(name, "-") if request is not None else "(no headers)"
        return value

    return get


def _response_field(name: str) -> _Getter:
    def get(_request: Any, response: Any, _seconds: float) -> _Value:
        value: str = response.headers.get(name, "-") if response is not None else "(no headers)"
        return value

    return get


def _variable(name: str) -> _Getter:
    def get(_request: Any, _response: Any, _seconds: float) -> _Value:
        return os.environ.get(name, "-")

    return get


_last_start: tuple[int, str] = (-1, "")


def _start(_request: Any, _response: Any, seconds: float) -> _Value:
    """Give when the request came, in local time. Kept for as long as it is the same second."""
    global _last_start
    start = int(wall_clock() - seconds)
    kept, text = _last_start
    if kept == start:
        return text
    local = localtime(start)
    hours, minutes = divmod(abs(local.tm_gmtoff) // 60, 60)
    text = (
        f"[{local.tm_mday:02}/{_MONTHS[local.tm_mon - 1]}/{local.tm_year}:{local.tm_hour:02}:{local.tm_min:02}:"
        f"{local.tm_sec:02} {'-' if local.tm_gmtoff < 0 else '+'}{hours:02}{minutes:02}]"
    )
    _last_start = (start, text)
    return text


_PLAIN: Final[dict[str, tuple[str, _Getter]]] = {
    "%a": ("remote_address", _remote),
    "%t": ("request_start_time", _start),
    "%P": ("process_id", _process),
    "%r": ("first_request_line", _request_line),
    "%s": ("response_status", _status),
    "%b": ("response_size", _size),
    "%T": ("request_time", _seconds),
    "%Tf": ("request_time_frac", _seconds_with_fraction),
    "%D": ("request_time_micro", _microseconds),
}

_NAMED: Final[dict[str, tuple[str, Callable[[str], _Getter]]]] = {
    "i": ("request_header", _request_field),
    "o": ("response_header", _response_field),
    "e": ("environ", _variable),
}
