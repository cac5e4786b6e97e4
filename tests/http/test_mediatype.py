import pytest
from hypothesis import given
from hypothesis import strategies as st

from endwell.http.mediatype import (
    MimeType,
    charset_of,
    guess_type,
    is_expected_content_type,
    is_json,
    parse_mimetype,
    usable_charset,
)


@pytest.mark.parametrize(
    ("text", "essence", "parameters"),
    [
        ("", ("", "", ""), []),
        ("text/html", ("text", "html", ""), []),
        ("TEXT/HTML; Charset=UTF-8", ("text", "html", ""), [("charset", "UTF-8")]),
        ('text/html;charset="utf-8"', ("text", "html", ""), [("charset", "utf-8")]),
        ("application/vnd.api+json", ("application", "vnd.api", "json"), []),
        ("a/b;;c", ("a", "b", ""), [("c", "")]),
        ("*", ("*", "*", ""), []),
        ("text", ("text", "", ""), []),
        ("a/b;x=y;x=z", ("a", "b", ""), [("x", "y"), ("x", "z")]),
        (" text/html ;  charset = utf-8 ", ("text", "html", ""), [("charset", "utf-8")]),
        ('a/b; boundary="x;y=\\"z"; c=d', ("a", "b", ""), [("boundary", 'x;y="z'), ("c", "d")]),
        ('a/b; c="open', ("a", "b", ""), [("c", "open")]),
    ],
)
def test_parse(text, essence, parameters):
    parsed = parse_mimetype(text)
    assert parsed[:3] == essence
    assert list(parsed.parameters.items()) == parameters


def test_fields_have_names():
    parsed = parse_mimetype("image/svg+xml; q=1")
    assert (parsed.type, parsed.subtype, parsed.suffix, parsed.parameters["q"]) == ("image", "svg", "xml", "1")
    assert isinstance(parsed, MimeType)


@given(st.text(alphabet=' ;="\\/+ab\r\n\x00é', max_size=40))
def test_anything_parses(text):
    assert len(parse_mimetype(text).parameters) <= text.count(";")


def test_hostile_parameters_take_linear_time():
    assert len(parse_mimetype("a/b" + ';="' * 200_000).parameters) <= 200_000
    assert len(parse_mimetype("a/b;x" + "=" * 500_000).parameters) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, None), ("text/plain", None), ("a/b; charset=", None), ('a/b; charset="koi8-r"', "koi8-r")],
)
def test_charset(text, expected):
    assert charset_of(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("application/problem+json", True),
        ("application/vnd.a+b+json", True),
        ("application/json+xml", False),
        ("text/json", False),
        ("application/jsonp", False),
        ("", False),
    ],
)
def test_is_json(text, expected):
    assert is_json(text) is expected
    assert is_expected_content_type(text, "application/json") is expected


def test_expected_type_of_other_kinds():
    assert is_expected_content_type("text/html; charset=utf-8", "text/html")
    assert not is_expected_content_type("text/plain", "text/html")


def test_type_of_a_file_name():
    assert guess_type("a.png") == "image/png"
    assert guess_type("a.unheard") is None
    assert guess_type("a.unheard", "x/y") == "x/y"


@pytest.mark.parametrize("name", ["utf-8", "UTF8", "latin1", "windows-1252", "shift_jis", "big5"])
def test_charsets_of_text(name):
    assert usable_charset(name)


@pytest.mark.parametrize(
    "name",
    ["idna", "punycode", "unicode_escape", "hex", "zlib", "rot13", "undefined", "", "no-such", "a" * 41, "utf-8\0"],
)
def test_what_is_no_charset_of_text(name):
    assert not usable_charset(name)
