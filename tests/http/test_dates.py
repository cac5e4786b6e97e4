import calendar
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endwell.http.dates import format_http_date, parse_cookie_date, parse_http_date

RFC_EXAMPLE = 784111777  # 6 Nov 1994 08:49:37
NOW = 1_800_000_000  # January 2027


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", RFC_EXAMPLE),
        ("Sunday, 06-Nov-94 08:49:37 GMT", RFC_EXAMPLE),
        ("Sun Nov  6 08:49:37 1994", RFC_EXAMPLE),
        ("Sun Nov 06 08:49:37 1994", RFC_EXAMPLE),
        (" sun, 06 nov 1994 08:49:37 gmt\t", RFC_EXAMPLE),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Thu, 29 Feb 2024 12:00:00 GMT", 1709208000),
        ("Sat, 31 Dec 2016 23:59:60 GMT", 1483228799),
        ("Mon, 01 Jan 0001 00:00:00 GMT", -62135596800),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 253402300799),
    ],
)
def test_http_date_in_each_form(text, seconds):
    assert parse_http_date(text, NOW) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 06 Nov 1994 08:49:37 +00",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49 GMT",
        "Xyz, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Xyz 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Wed, 29 Feb 2023 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov +994 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Nov 1_94 08:49:37 GMT",
        "Sun, 0\uff16 Nov 1994 08:49:37 GMT",
        "Sun, ٠٦ Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:37 GMT" * 1000,
    ],
)
def test_what_is_no_http_date(text):
    assert parse_http_date(text, NOW) is None


@pytest.mark.parametrize(("year", "expected"), [("77", 1977), ("76", 2076), ("27", 2027), ("99", 1999), ("00", 2000)])
def test_two_digit_year_is_at_most_50_years_ahead(year, expected):
    seconds = parse_http_date(f"Friday, 01-Jul-{year} 00:00:00 GMT", NOW)
    assert time.gmtime(seconds).tm_year == expected


def test_two_digit_year_is_read_without_a_clock_given():
    assert parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT") == RFC_EXAMPLE


def test_format():
    assert format_http_date(RFC_EXAMPLE) == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert format_http_date(RFC_EXAMPLE + 0.999) == "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize("seconds", [-62135596801, 253402300800, float("nan"), float("inf")])
def test_format_refuses_years_that_have_no_four_digits(seconds):
    with pytest.raises(ValueError, match="years 1 to 9999"):
        format_http_date(seconds)


@given(st.integers(-62135596800, 253402300799))
def test_round_trip(seconds):
    text = format_http_date(seconds)
    assert parse_http_date(text) == seconds
    assert calendar.timegm(time.strptime(text, "%a, %d %b %Y %H:%M:%S GMT")) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", RFC_EXAMPLE),
        ("Sunday, 06-Nov-94 08:49:37 GMT", RFC_EXAMPLE),
        ("Sun Nov  6 08:49:37 1994", RFC_EXAMPLE),
        ("Sun, 06-Nov-1994 08:49:37 GMT", RFC_EXAMPLE),
        ("6 november 94 8:49:37", RFC_EXAMPLE),
        ("1994 08:49:37 NOVember 6", RFC_EXAMPLE),
        ("08:49:37;6;Nov;1994", RFC_EXAMPLE),
        ("06 Nov 1994 08:49:37 +0200", RFC_EXAMPLE),
        ("Thu, 01-Jan-70 00:00:00 GMT", 0),
        ("Thu, 01 Jan 69 00:00:00 GMT", 3124224000),
        ("Thu, 01 Jan 1970 00:00:00abc", 0),
    ],
)
def test_cookie_date(text, seconds):
    assert parse_cookie_date(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "tomorrow",
        "06 Nov 1994",
        "06 Nov 08:49:37",
        "06 1994 08:49:37",
        "Nov 1994 08:49:37",
        "31 Feb 2024 08:49:37",
        "06 Nov 1600 08:49:37",
        "06 Nov 1994 24:49:37",
        "06 Nov 1994 08:60:37",
        "06 Nov 1994 08:49:60",
        "06 Nov 1994 08:49:371",
        "06 Nov 19945 08:49:37",
        "٠٦ Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 GMT" + " " * 1024,
    ],
)
def test_what_is_no_cookie_date(text):
    assert parse_cookie_date(text) is None
