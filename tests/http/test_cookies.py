from http.cookies import CookieError, Morsel, SimpleCookie

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endwell.http.cookies import (
    CookieSyntaxError,
    is_sendable,
    make_morsel,
    merge_cookie_headers,
    parse_cookie_header,
    parse_set_cookie,
    parse_set_cookie_headers,
    render_cookie_header,
    set_cookies_as_simple_cookie,
    unquote_cookie_value,
    wire_value,
)


def pairs(field):
    return [(name, morsel.value) for name, morsel in parse_cookie_header(field)]


@pytest.mark.parametrize(
    ("field", "name", "coded", "value"),
    [
        ("a=1", "a", "1", "1"),
        ("a=", "a", "", ""),
        (" a = 1 ; Path=/", "a", "1", "1"),
        ("a=x=y==", "a", "x=y==", "x=y=="),
        ("a=x y z", "a", "x y z", "x y z"),
        ("a=1,b=2", "a", "1,b=2", "1,b=2"),
        ('a="q v"', "a", '"q v"', "q v"),
        ('a="', "a", '"', '"'),
        ('a="x;y"', "a", '"x', '"x'),
        (r'a="say \"hi\" \073"', "a", r'"say \"hi\" \073"', 'say "hi" ;'),
        ('a={"k":[1, 2]}', "a", '{"k":[1, 2]}', '{"k":[1, 2]}'),
        ("cart[id]=1", "cart[id]", "1", "1"),
        ("app:sid=1", "app:sid", "1", "1"),
        ("two words=1", "two words", "1", "1"),
        ("path=1; Path=/", "path", "1", "1"),
        ("ü=é", "ü", "é", "é"),
        ("\udcff=\udcfe", "\udcff", "\udcfe", "\udcfe"),
    ],
)
def test_set_cookie_is_read_as_servers_write_it(field, name, coded, value):
    ((found, morsel),) = parse_set_cookie_headers([field])
    assert (found, morsel.key, morsel.coded_value, morsel.value) == (name, name, coded, value)
    assert morsel.OutputString().startswith(f"{name}={coded}")


@pytest.mark.parametrize(
    "field", ["", ";", "novalue", "=nameless", " =x; Path=/", "a=1\r\nb=2", "a=\x00", "a\x01=1", "a=1\x7f", "a=x\ty"]
)
def test_set_cookie_that_is_ignored(field):
    assert parse_set_cookie(field) is None
    assert parse_set_cookie_headers([field, "ok=1"])[0][0] == "ok"


def test_attributes():
    cookie = parse_set_cookie(
        'a=1; EXPIRES="Sun, 06 Nov 1994 08:49:37 GMT"; max-age=5;Domain = .example.org ; path=/x=y; Secure;httponly=yes'
        "; SameSite=Lax; Partitioned; Priority=High; Path=/last;;=;"
    )
    assert cookie is not None
    assert cookie.attributes == {
        "expires": "Sun, 06 Nov 1994 08:49:37 GMT",
        "max-age": "5",
        "domain": ".example.org",
        "path": "/last",
        "secure": True,
        "httponly": True,
        "samesite": "Lax",
        "partitioned": True,
    }
    morsel = cookie.morsel()
    assert morsel["path"] == "/last"
    assert morsel["secure"] is True
    assert morsel.get("partitioned", True) is True


def test_sizes_are_bounded_in_bytes():
    assert parse_set_cookie("ab=" + "x" * 4094) is not None
    assert parse_set_cookie("ab=" + "x" * 4095) is None
    assert parse_set_cookie("ab=" + "é" * 2047) is not None
    assert parse_set_cookie("ab=" + "é" * 2048) is None
    cookie = parse_set_cookie("a=1; Path=/" + "p" * 1023 + "; Domain=" + "d" * 1025)
    assert cookie is not None
    assert cookie.attributes == {"path": "/" + "p" * 1023}


def test_simple_cookie_holds_names_that_it_would_refuse():
    cookies = set_cookies_as_simple_cookie(["c[1]=a; Path=/", "c[1]=b", "d:e=f"])
    assert type(cookies) is SimpleCookie
    assert {name: morsel.value for name, morsel in cookies.items()} == {"c[1]": "b", "d:e": "f"}
    assert cookies.output(header="", sep=";") == " c[1]=b; d:e=f"


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("", []),
        ("a=1", [("a", "1")]),
        ("a=1; b=2;c=3 ;", [("a", "1"), ("b", "2"), ("c", "3")]),
        ("a=1; a=2", [("a", "1"), ("a", "2")]),
        ("a=1,b=2", [("a", "1,b=2")]),
        ('a="x; b=2; c="y"', [("a", '"x'), ("b", "2"), ("c", "y")]),
        ("c[x]=1; $Version=1; two words=q v", [("c[x]", "1"), ("$Version", "1"), ("two words", "q v")]),
        ("nameless; =x; a=\x01; b=2", [("b", "2")]),
        ('a={"k":"v, w"}', [("a", '{"k":"v, w"}')]),
    ],
)
def test_cookie_field(field, expected):
    assert pairs(field) == expected


def test_long_fields_are_read_whole():
    field = "; ".join(f"n{i}=v" for i in range(50_000))
    assert len(parse_cookie_header(field)) == 50_000
    assert parse_set_cookie("a=1;" + " ;=" * 50_000 + "Path=/") is not None
    assert unquote_cookie_value('"' + "\\" * 50_001 + '"') == "\\" * 25_000 + "\\"


def test_a_quoted_value_never_decodes_to_control_characters():
    ((_, morsel),) = parse_set_cookie_headers([r'a="x\015\012Evil: 1"'])
    assert morsel.value == r'"x\015\012Evil: 1"'


@pytest.mark.parametrize(
    ("cookies", "field"),
    [
        ({}, ""),
        ({"a": "1", "b": "x y"}, 'a=1; b="x y"'),
        ([("a", "1"), ("a", "2")], "a=1; a=2"),
        ({"a": 5, "b": None}, "a=5; b=None"),
        (SimpleCookie('a="q v"; b=x'), 'a="q v"; b=x'),
        ({"ignored": SimpleCookie("a=1")}, "a=1"),
        ([("ignored", make_morsel("c[1]", "x=y", "x=y"))], "c[1]=x=y"),
        ({"a": ";,"}, r'a="\073\054"'),
    ],
)
def test_render(cookies, field):
    assert render_cookie_header(cookies) == field


def test_render_without_quotes_hides_no_semicolon():
    cookies = {"a": "x y", "b": "x;y"}
    assert render_cookie_header(cookies, quote=False) == r'a=x y; b="x\073y"'
    assert wire_value("x\r\ny", r'"x\015\012y"', quote=False) == r'"x\015\012y"'


@pytest.mark.parametrize("name", ["", "a b", "a;b", "a=b", "a,b", 'a"b', "a\r\nb", "a\0", "a\t", "\u2003"])
def test_names_that_cannot_be_sent_are_refused(name):
    with pytest.raises(CookieSyntaxError, match="cannot be the name") as caught:
        render_cookie_header({name: "s3cret"})
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, CookieError)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("value", ["s3cret\r", "s3cret\n", "s3cret\0"])
def test_line_ends_in_values_are_refused(value):
    with pytest.raises(CookieSyntaxError, match="CR, LF or NUL") as caught:
        render_cookie_header({"a": value})
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "coded"), [("a;b", "1"), ("a=b", "1"), (" a", "1"), ("", "1"), ("a", "1;2"), ("a", " 1"), ("a", "1\x01")]
)
def test_morsels_that_would_be_read_as_something_else_are_refused(name, coded):
    morsel = Morsel()
    morsel._key, morsel._value, morsel._coded_value = name, coded, coded
    assert not is_sendable(name, coded)
    with pytest.raises(CookieSyntaxError, match="cannot be sent"):
        render_cookie_header({"x": morsel})


def test_an_empty_morsel_is_refused():
    with pytest.raises(CookieSyntaxError):
        render_cookie_header({"x": Morsel()})


@pytest.mark.parametrize(
    ("field", "stronger", "merged"),
    [
        ("", "", ""),
        ("a=1", "", "a=1"),
        ("", "a=1", "a=1"),
        ("a=1; b=2; a=3", "a=9; c=8", "b=2; a=9; c=8"),
        ("a=1", "a=2", "a=2"),
        ("A=1", "a=2", "A=1; a=2"),
    ],
)
def test_merge(field, stronger, merged):
    assert merge_cookie_headers(field, stronger) == merged


@given(st.text(st.characters(exclude_characters="\r\n\0")))
def test_a_value_that_a_program_gives_comes_back(value):
    ((name, morsel),) = parse_cookie_header(render_cookie_header({"a": value}))
    assert name == "a"
    if all(char.isprintable() for char in value) and value == value.strip():
        assert morsel.value == value
