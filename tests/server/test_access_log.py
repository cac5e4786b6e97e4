from __future__ import annotations

import logging
import os
import re
import time

import pytest

from endwell.server import access_log
from endwell.server.access_log import AbstractAccessLogger, AccessLogger
from endwell.server.whole import Response
from endwell.testing.mocked import make_mocked_request


class Kept(logging.Handler):
    """Keeps the records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def kept():
    return Kept()


@pytest.fixture
def logger(kept):
    logger = logging.Logger("access")  # noqa: LOG001  # apart from the tree of loggers, which is shared
    logger.addHandler(kept)
    return logger


@pytest.fixture
def log(kept, logger):
    """Log one request and return its record."""

    def log(log_format: str, request=None, response=None, seconds: float = 1.2345678):
        request = request or make_mocked_request("GET", "/a?b=c", {"Host": "x", "User-Agent": "ua", "X-A": "1"})
        response = response or Response(text="hello", headers={"X-O": "out"})
        AccessLogger(logger, log_format).log(request, response, seconds)
        return kept.records[-1]

    return log


@pytest.fixture
def zone(monkeypatch):
    """Set the local time zone, and the clock to 22 Nov 2026 18:30:57.9 UTC."""

    def zone(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()
        monkeypatch.setattr(access_log, "_last_start", (-1, ""))

    monkeypatch.setattr(access_log, "wall_clock", lambda: 1795372257.9)
    yield zone
    monkeypatch.undo()
    time.tzset()


# What aiohttp 3.14.5 writes for the same request and response
@pytest.mark.parametrize(
    ("log_format", "line"),
    [
        ("%a", "-"),
        ("%r", "GET /a?b=c HTTP/1.1"),
        ("%s", "200"),
        ("%b", "0"),
        ("%T", "1"),
        ("%Tf", "1.234568"),
        ("%D", "1234568"),
        ("%{X-A}i", "1"),
        ("%{x-a}i", "1"),
        ("%{X-O}o", "out"),
        ("%{Nope}i %{Nope}o", "- -"),
        ("%a%a", "--"),
        ("%Tx", "1x"),
        ("%Df", "1234568f"),
        ("%T%Tf", "11.234568"),
        ("%{X-A}i %{User-Agent}i %s %s", "1 ua 200 200"),
        ("%q", "%q"),
        ("%i", "%i"),
        ("%l %u", "%l %u"),
        ("%{X}z", "%{X}z"),
        ("%{X}", "%{X}"),
        ("%{X A}i", "%{X A}i"),
        ("%{}i", "%{}i"),
        ("{s} %s", "{s} 200"),
        ("", ""),
    ],
)
def test_an_atom_gives_what_it_gives_in_aiohttp(log, log_format, line):
    record = log(log_format)
    assert record.getMessage() == line
    assert (record.levelno, record.args) == (logging.INFO, ())


# Documented by aiohttp, but 3.14.5 logs "Error in logging" or raises KeyError
@pytest.mark.parametrize(
    ("log_format", "line"),
    [
        ("%%", "%"),
        ("100%% %s", "100% 200"),
        ("%%s %%%s", "%s %200"),
        ("a %", "a %"),
        ("%{ENDWELL_LOGGED}e %{ENDWELL_NOT_THERE}e", "env -"),
    ],
)
def test_what_is_documented_works(log, log_format, line, monkeypatch):
    monkeypatch.setenv("ENDWELL_LOGGED", "env")
    assert log(log_format).getMessage() == line


def test_the_process(log):
    assert log("%P").getMessage() == f"<{os.getpid()}>"


@pytest.mark.parametrize(
    ("seconds", "line"),
    [
        (0.0000004, "0 0.000000 0"),
        (0.5, "0 0.500000 500000"),
        (1.5, "2 1.500000 1500000"),
        (12345.9999999, "12346 12346.000000 12346000000"),
    ],
)
def test_durations(log, seconds, line):
    assert log("%T %Tf %D", seconds=seconds).getMessage() == line


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("UTC0", "[22/Nov/2026:18:30:56 +0000]"),
        ("IST-5:30", "[23/Nov/2026:00:00:56 +0530]"),
        ("NST3:30", "[22/Nov/2026:15:00:56 -0330]"),
    ],
)
def test_when_the_request_came_in_local_time(log, zone, name, text):
    zone(name)
    assert log("%t").getMessage() == text
    assert log("%t", seconds=0.95).getMessage() == text


def test_the_text_of_a_second_is_made_once(log, zone, monkeypatch):
    zone("UTC0")
    first = log("%t").getMessage()
    monkeypatch.delattr(access_log, "localtime")
    assert log("%t", seconds=1.9).getMessage() == first
    assert log("%t", seconds=2.5).levelno == logging.ERROR  # another second: it would be made anew


def test_the_default_format(log, zone):
    zone("UTC0")
    record = log(AccessLogger.LOG_FORMAT)
    assert record.getMessage() == '- [22/Nov/2026:18:30:56 +0000] "GET /a?b=c HTTP/1.1" 200 0 "-" "ua"'
    assert AccessLogger(logging.getLogger("endwell.x")).log_format == AccessLogger.LOG_FORMAT


def test_a_record_has_the_values(log, zone):
    zone("UTC0")
    record = log("%a %t %P %r %s %b %T %Tf %D %{X-A}i %{Nope}i %{X-O}o %{ENDWELL_NOT_THERE}e %%")
    names = {
        "remote_address": "-",
        "request_start_time": "[22/Nov/2026:18:30:56 +0000]",
        "process_id": f"<{os.getpid()}>",
        "first_request_line": "GET /a?b=c HTTP/1.1",
        "response_status": 200,
        "response_size": 0,
        "request_time": "1",
        "request_time_frac": "1.234568",
        "request_time_micro": "1234568",
        "request_header": {"X-A": "1", "Nope": "-"},
        "response_header": {"X-O": "out"},
        "environ": {"ENDWELL_NOT_THERE": "-"},
    }
    assert {name: record.__dict__[name] for name in names} == names


def test_without_a_request(kept, logger):
    AccessLogger(logger, "%a %r %{A}i %s").log(None, Response(status=400), 0.1)
    assert kept.records[0].getMessage() == "- - (no headers) 400"
    AccessLogger(logger, "%{A}o").log(None, None, 0.1)
    assert kept.records[1].getMessage() == "(no headers)"


# A line belongs to the server


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a\tb", r"a\x09b"),
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\x7fb\x85", r"a\x7fb\x85"),
        ("a\u2028b\u2029", r"a\u2028b\u2029"),
        ("a\u202eb", r"a\u202eb"),
        ("\udce9\udcff", r"\xe9\xff"),
        ("\ud800", r"\ud800"),
        ('q"q \\', 'q"q \\'),
        ("\xe9\u4e2d\xa0", "\xe9\u4e2d\xa0"),
    ],
)
def test_what_a_client_sends_cannot_leave_its_line(log, value, shown):
    request = make_mocked_request("GET", "/", {"Host": "x"})
    request = request.clone(headers={"A": value})
    record = log("<\t%{A}i>", request)
    assert record.getMessage() == f"<\t{shown}>"  # the format is the user's and stays
    assert record.request_header == {"A": shown}
    assert re.search("[\ud800-\udfff]", record.getMessage()) is None


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ('a" 200 0 "b', r"a\" 200 0 \"b"),
        ("a\\", r"a\\"),
        (r"a\x0a", r"a\\x0a"),
        ('"\n', r"\"\x0a"),
    ],
)
def test_what_a_client_sends_cannot_end_a_value_in_quotes(log, value, shown):
    request = make_mocked_request("GET", "/", {"Host": "x"}).clone(headers={"A": value})
    plain = value.replace("\n", r"\x0a")
    record = log('"%{A}i" %{A}i "\\" "%{A}i"', request)
    assert record.getMessage() == f'"{shown}" {plain} "\\" "{shown}"', "the format is the user's and stays"
    assert record.request_header == {"A": plain}


# Errors, and who is asked


def test_an_error_on_the_way_is_logged_and_not_raised(kept, logger):
    AccessLogger(logger, "%s").log(make_mocked_request("GET", "/", {"Host": "x"}), None, 1.0)
    (record,) = kept.records
    assert (record.levelno, record.exc_info is not None) == (logging.ERROR, True)


@pytest.mark.parametrize(("level", "enabled"), [("DEBUG", True), ("INFO", True), ("WARNING", False)])
def test_enabled_follows_the_level_of_the_logger(level, enabled):
    logger = logging.getLogger(f"endwell.test_access_log.{level}")
    logger.setLevel(level)
    assert AccessLogger(logger).enabled is enabled


def test_a_logger_of_ones_own():
    class Own(AbstractAccessLogger):
        def log(self, request, response, time):
            self.logger.info("%s", self.log_format)

    own = Own(logging.getLogger("endwell.x"), "f")
    assert own.enabled
    assert (own.log_format, own.logger.name) == ("f", "endwell.x")
    with pytest.raises(TypeError):
        AbstractAccessLogger(logging.getLogger("endwell.x"), "f")
