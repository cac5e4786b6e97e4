from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from endwell.http import url as module
from endwell.http.url import Target, known_target, target_of


@pytest.mark.parametrize(
    ("text", "host", "port", "secure", "line"),
    [
        ("http://a.example", "a.example", 80, False, "/ a.example"),
        ("https://a.example/", "a.example", 443, True, "/ a.example"),
        ("http://a.example:80/", "a.example", 80, False, "/ a.example"),
        ("http://a.example:8080/x", "a.example", 8080, False, "/x a.example:8080"),
        ("https://a.example:80/", "a.example", 80, True, "/ a.example:80"),
        ("http://A.Example/X?Y", "a.example", 80, False, "/X?Y a.example"),
        ("http://[::1]:8080/", "::1", 8080, False, "/ [::1]:8080"),
        ("http://[::1]/", "::1", 80, False, "/ [::1]"),
        ("http://127.0.0.1/", "127.0.0.1", 80, False, "/ 127.0.0.1"),
        ("http://u:p@a.example/x#f", "a.example", 80, False, "/x a.example"),
        ("ws://a.example/", "a.example", 80, False, "/ a.example"),
        ("wss://a.example/", "a.example", 443, True, "/ a.example"),
        (
            "http://b\u00fccher.example/\u00e9?\u00e9",
            "xn--bcher-kva.example",
            80,
            False,
            "/%C3%A9?%C3%A9 xn--bcher-kva.example",
        ),
        ("http://a.example?q", "a.example", 80, False, "/?q a.example"),
    ],
)
def test_targets(text, host, port, secure, line):
    target = Target(URL(text))
    assert (target.host, target.port, target.secure) == (host, port, secure)
    assert target.key == (host, port, secure)
    path, _, authority = line.partition(" ")
    assert target.line == f" {path} HTTP/1.1\r\nHost: {authority}\r\n".encode()


def test_what_is_not_sent_is_not_in_the_url():
    target = Target(URL("http://user:hunter2@a.example/x#f"))
    assert str(target.url) == "http://a.example/x"
    assert target.credentials
    assert b"hunter2" not in target.line
    assert not Target(URL("http://a.example/")).credentials


@pytest.mark.parametrize(
    "text",
    [
        "", "/x", "a.example", "//a.example/", "http://", "http:///x", "http:x", "mailto:a@b", "file:///x",
        "http://a.example:0/", "http://a.example:65536/", "http://a.example:99999999999999999999999999/",
        "http://a.example:x/", "http://a.example:-1/", "http://[::1", "http://[::1/", "http://[x]/", "http://::1/",
        "ftp://a.example:21/", "data:,x", "http://a b/", "http://a\tb/", "http://a.example\r\nX: y/",
    ],
)  # fmt: skip
def test_what_nothing_can_be_sent_to(text):
    with pytest.raises(ValueError):
        target_of(text)


@pytest.mark.parametrize(
    "text", ["http://a.example/x\r\ny", "http://a.example/?\n", "http://a.example/\0", "http://a\n.example/"]
)
def test_no_control_character_comes_into_a_line(text):
    try:
        line = target_of(text).line
    except ValueError:
        return
    assert line.count(b"\r\n") == 2
    assert line.count(b"\n") == 2
    assert b"\0" not in line


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), st.booleans())
def test_any_path_gives_one_request_line(path, encoded):
    try:
        target = Target(URL("http://a.example/" + path, encoded=encoded))
    except ValueError:
        return
    first, second, rest = target.line.split(b"\r\n")
    assert first.startswith(b" /")
    assert first.endswith(b" HTTP/1.1")
    assert first.count(b" ") == 2
    assert (second, rest) == (b"Host: a.example", b"")
    assert not set(target.line.replace(b"\r\n", b"")) & set(b"\r\n\0")


def test_targets_are_kept():
    target = target_of("http://kept.example/")
    assert target_of("http://kept.example/") is target
    assert known_target("http://kept.example/") is target
    assert known_target("http://unknown.example/") is None
    assert target_of(URL("http://kept.example/x")) is target_of(URL("http://kept.example/x"))


def test_only_so_many_are_kept():
    for number in range(module._CACHE_MAX + 10):
        target_of(f"http://many.example/{number}")
    assert len(module._targets) <= module._CACHE_MAX


def test_a_url_that_differs_in_what_is_not_sent_is_another_target():
    first = target_of("http://u:p@same.example/")
    second = target_of("http://u:q@same.example/")
    assert first is not second
    assert first.key == second.key
