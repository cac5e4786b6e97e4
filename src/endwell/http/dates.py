"""Dates in fields: IMF-fixdate and its two obsolete forms, and the lenient dates of cookies.

RFC 9110 section 5.6.7, RFC 6265bis section 5.1.1. Used by cookies, conditional requests, ``Retry-After``, the server.
Nothing here reads the locale or the time zone, and nothing imports ``email``, ``datetime`` or ``calendar``: these three
cost more to import than this module does to run.
"""

import re
import time
from functools import cache
from typing import Final

__all__ = ("format_http_date", "parse_cookie_date", "parse_http_date")

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_LONG_DAYS: Final = frozenset({"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"})
_SHORT_DAYS: Final = frozenset(day.lower() for day in _DAYS)
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBER: Final = {name.lower(): number for number, name in enumerate(_MONTHS, 1)}
_MONTH_DAYS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

_IMF_LENGTH: Final = 29
_ASCTIME_LENGTH: Final = 24
_LAST_DATE: Final = 253_402_300_799  # 31 Dec 9999 23:59:59, the last second of a four-digit year
_FIRST_DATE: Final = -62_135_596_800  # 1 Jan 0001 00:00:00
_SECONDS_OF_50_YEARS: Final = 1_577_880_000

# A date of a cookie is read from attributes of at most 1024 bytes (RFC 6265bis section 5.6).
_COOKIE_DATE_LIMIT: Final = 1024


def parse_http_date(text: str, now: float | None = None) -> int | None:
    """Give the epoch seconds of an HTTP date, or None when `text` is none of its three forms.

    `now` (epoch seconds; the present when None) decides the century of an RFC 850 date: a year that looks more than 50
    years ahead is in the past. A leap second is read as the second before it. Source: RFC 9110 section 5.6.7.
    """
    text = text.strip(" \t")
    if not text.isascii():
        return None
    if len(text) == _IMF_LENGTH and text[3:5] == ", ":
        return _parse_imf(text)
    if len(text) == _ASCTIME_LENGTH and text[3] == " ":
        return _parse_asctime(text)
    return _parse_rfc850(text, now)


def format_http_date(seconds: float) -> str:
    """Give `seconds` since the epoch as an IMF-fixdate, ``Sun, 06 Nov 1994 08:49:37 GMT``; fractions are cut off.

    Raises ValueError for a time outside the years 1 to 9999. Source: RFC 9110 section 5.6.7.
    """
    if not _FIRST_DATE <= seconds < _LAST_DATE + 1:
        raise ValueError(
            f"{seconds!r} is not a time that an HTTP date can name; give epoch seconds of the years 1 to 9999"
        )
    year, month, day, hour, minute, second, weekday, *_ = time.gmtime(seconds)
    return f"{_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year:04} {hour:02}:{minute:02}:{second:02} GMT"


def parse_cookie_date(text: str) -> int | None:
    """Give the epoch seconds of a cookie's ``Expires``, or None when no date can be found in `text`.

    Servers write these dates in dozens of ways; the tokens are taken in whatever order they come. A text over 1024
    characters is no date. Source: RFC 6265bis section 5.1.1.
    """
    if len(text) > _COOKIE_DATE_LIMIT:
        return None
    delimiters, time_of_day, day_of_month, any_year = _cookie_patterns()
    clock: tuple[int, int, int] | None = None
    day = month = year = None
    for token in delimiters.split(text):
        if clock is None and (found := time_of_day.match(token)):
            clock = (int(found[1]), int(found[2]), int(found[3]))
        elif day is None and (found := day_of_month.match(token)):
            day = int(found[1])
        elif month is None and (number := _MONTH_NUMBER.get(token[:3].lower())):
            month = number
        elif year is None and (found := any_year.match(token)):
            year = int(found[1])
    if clock is None or day is None or month is None or year is None:
        return None
    if year < 70:
        year += 2000
    elif year < 100:
        year += 1900
    if year < 1601 or clock[2] > 59:
        return None
    return _epoch(year, month, day, clock)


@cache
def _cookie_patterns() -> tuple[re.Pattern[str], ...]:
    """Give the patterns of delimiters, time, day and year; compiled late, for few programs ever meet such a date."""
    return (
        re.compile(r"[\x09\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+"),
        re.compile(r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?![0-9])"),
        re.compile(r"([0-9]{1,2})(?![0-9])"),
        re.compile(r"([0-9]{2,4})(?![0-9])"),
    )


def _parse_imf(text: str) -> int | None:
    """Read ``Sun, 06 Nov 1994 08:49:37 GMT``."""
    month = _MONTH_NUMBER.get(text[8:11].lower())
    if (
        month is None
        or text[:3].lower() not in _SHORT_DAYS
        or text[7] != " "
        or text[11] != " "
        or text[16] != " "
        or text[25:].upper() != " GMT"
    ):
        return None
    return _assemble(text[12:16], month, text[5:7], text[17:25])


def _parse_asctime(text: str) -> int | None:
    """Read ``Sun Nov  6 08:49:37 1994``."""
    month = _MONTH_NUMBER.get(text[4:7].lower())
    if month is None or text[:3].lower() not in _SHORT_DAYS or text[7] != " " or text[10] != " " or text[19] != " ":
        return None
    day = "0" + text[9] if text[8] == " " else text[8:10]
    return _assemble(text[20:24], month, day, text[11:19])


def _parse_rfc850(text: str, now: float | None) -> int | None:
    """Read ``Sunday, 06-Nov-94 08:49:37 GMT``."""
    weekday, comma, rest = text.partition(", ")
    if not comma or weekday.lower() not in _LONG_DAYS or len(rest) != 22:
        return None
    month = _MONTH_NUMBER.get(rest[3:6].lower())
    if month is None or rest[2] != "-" or rest[6] != "-" or rest[9] != " " or rest[18:].upper() != " GMT":
        return None
    if now is None:
        now = time.time()
    century = time.gmtime(now).tm_year // 100 * 100
    seconds = _assemble(f"{century // 100:02}{rest[7:9]}", month, rest[:2], rest[10:18])
    if seconds is not None and seconds > now + _SECONDS_OF_50_YEARS:
        seconds = _assemble(f"{century // 100 - 1:02}{rest[7:9]}", month, rest[:2], rest[10:18])
    return seconds


def _assemble(year: str, month: int, day: str, clock: str) -> int | None:
    """Give the epoch seconds of fields of fixed width; a leap second is folded into the one before."""
    hour, minute, second = clock[:2], clock[3:5], clock[6:]
    if clock[2] != ":" or clock[5] != ":" or not (year + day + hour + minute + second).isdigit():
        return None
    return _epoch(int(year), month, int(day), (int(hour), int(minute), 59 if second == "60" else int(second)))


def _epoch(year: int, month: int, day: int, clock: tuple[int, int, int]) -> int | None:
    """Give the epoch seconds of a date of the Gregorian calendar in UTC, or None when there is no such date."""
    hour, minute, second = clock
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if year < 1 or not 1 <= day <= _MONTH_DAYS[month - 1] + leap or hour > 23 or minute > 59 or second > 59:
        return None
    # Years are counted from March, so that the leap day is the last of its year.
    shifted_year, shifted_month = (year - 1, month + 9) if month < 3 else (year, month - 3)
    days = shifted_year * 365 + shifted_year // 4 - shifted_year // 100 + shifted_year // 400
    days += (153 * shifted_month + 2) // 5 + day - 1
    return (days - 719_468) * 86_400 + hour * 3600 + minute * 60 + second
