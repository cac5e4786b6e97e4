"""Heads of responses: status lines, Date, Server, and what may stand in a field."""

from __future__ import annotations

import re
import time
from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from endwell._version import __version__
from endwell.http.dates import parse_http_date
from endwell.server.response_head import (
    REASONS,
    SERVER_SOFTWARE,
    check_reason,
    check_status,
    date_and_server,
    http_date,
    reason_of,
    render_head,
    status_line,
)


@pytest.mark.parametrize("status", list(HTTPStatus))
def test_every_usual_status_has_its_line(status: HTTPStatus) -> None:
    for minor in (0, 1):
        assert status_line(int(status), None, minor) == f"HTTP/1.{minor} {int(status)} {status.phrase}\r\n".encode()
    assert reason_of(int(status)) == REASONS[int(status)] == status.phrase


def test_unusual_statuses_and_reasons() -> None:
    assert status_line(299, None, 1) == b"HTTP/1.1 299 \r\n"
    assert status_line(200, "", 1) == b"HTTP/1.1 200 \r\n"
    assert status_line(200, "Fine by me", 0) == b"HTTP/1.0 200 Fine by me\r\n"
    assert status_line(200, "grün", 1) == "HTTP/1.1 200 grün\r\n".encode()
    assert reason_of(299) == ""


@pytest.mark.parametrize("status", [-1, 0, 99, 1000, 99999])
def test_status_of_other_than_three_digits_is_refused(status: int) -> None:
    with pytest.raises(ValueError, match="three digits"):
        check_status(status)
    with pytest.raises(ValueError, match="three digits"):
        status_line(status, None, 1)


def test_status_is_made_a_plain_int() -> None:
    assert type(check_status(HTTPStatus.NOT_FOUND)) is int


@pytest.mark.parametrize("reason", ["a\r\nX: y", "a\nb", "a\rb", "a\0b"])
def test_reason_that_starts_a_line_is_refused(reason: str) -> None:
    with pytest.raises(ValueError, match="reason phrase") as caught:
        status_line(200, reason, 1)
    assert reason not in str(caught.value)
    with pytest.raises(ValueError, match="reason phrase"):
        check_reason(reason)


def test_date_and_server() -> None:
    before = int(time.time())
    found = re.fullmatch(rb"Date: ([^\r]*)\r\nServer: ([^\r]*)\r\n", date_and_server())
    assert found is not None
    seconds = parse_http_date(found[1].decode())
    assert seconds is not None
    assert before <= seconds <= time.time()
    assert found[2].decode() == SERVER_SOFTWARE
    assert SERVER_SOFTWARE.endswith(f" endwell/{__version__}")


def test_date_follows_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("endwell.server.response_head.time", lambda: 784111777.9)
    assert http_date() == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert date_and_server().startswith(b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n")
    monkeypatch.setattr("endwell.server.response_head.time", lambda: 784111778.0)
    assert date_and_server().startswith(b"Date: Sun, 06 Nov 1994 08:49:38 GMT\r\n")
    assert http_date() == "Sun, 06 Nov 1994 08:49:38 GMT"


def test_render_head() -> None:
    fields = CIMultiDict([("A", "1"), ("Set-Cookie", "x=y"), ("set-cookie", "ä")])
    assert render_head(204, None, 1, fields, b"More: 2\r\n") == (
        "HTTP/1.1 204 No Content\r\nA: 1\r\nSet-Cookie: x=y\r\nset-cookie: ä\r\nMore: 2\r\n\r\n".encode()
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X", "a\r\nY: b"),
        ("X", "a\nb"),
        ("X", "a\rb"),
        ("X", "a\0"),
        ("X:Y", "a"),
        ("X Y", "a"),
        ("", "a"),
        ("X\r\n", "a"),
    ],
)
def test_fields_that_break_out_are_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError):
        render_head(200, None, 1, CIMultiDict([(name, value)]))


def test_values_are_strings() -> None:
    with pytest.raises(TypeError, match="strings, not int"):
        render_head(200, None, 1, CIMultiDict([("X", 5)]))  # type: ignore[list-item]  # what is refused


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=12)), max_size=4), st.text(max_size=8))
def test_a_head_has_as_many_lines_as_fields_or_is_refused(pairs: list[tuple[str, str]], reason: str) -> None:
    try:
        head = render_head(200, reason, 1, CIMultiDict(pairs))
    except (ValueError, UnicodeEncodeError):
        return
    assert head.endswith(b"\r\n\r\n")
    assert head.count(b"\r\n") == head.count(b"\n") == head.count(b"\r") == len(pairs) + 2
    assert b"\0" not in head
