from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from endwell.http.fields import block_pairs, check_field, check_text, multidict_of, render_fields

TOKEN = "!#$%&'*+-.^_`|~0123456789ABCabc"


@pytest.mark.parametrize("bad", ["\r", "\n", "\0", "\r\n"])
@pytest.mark.parametrize("where", ["{}x", "x{}", "x{}y"])
def test_what_would_start_a_line_is_refused(bad, where):
    text = where.format(bad)
    with pytest.raises(ValueError, match="the reason"):
        check_text("the reason", text)
    with pytest.raises(ValueError, match="CR, LF or NUL"):
        check_field("X", text)
    with pytest.raises(ValueError, match="token"):
        check_field(text, "x")
    for fields in ({"X": text}, {text: "x"}):
        with pytest.raises(ValueError):
            render_fields(CIMultiDict(fields))


def test_the_refusal_does_not_show_the_value():
    with pytest.raises(ValueError) as caught:
        check_field("Authorization", "hunter2\n")
    assert "hunter2" not in str(caught.value)
    assert "Authorization" in str(caught.value)


def test_what_may_stand_is_returned():
    assert check_text("x", "a\tb\u00e9\x7f") == "a\tb\u00e9\x7f"
    check_field(TOKEN, "any \t value")
    check_field("X", "")


@pytest.mark.parametrize("name", ["", " ", "a b", "a:", "a(", "\u00e9", "a\t", "a/b", "a@b", '"a"'])
def test_what_is_no_name(name):
    with pytest.raises(ValueError, match="token"):
        check_field(name, "x")


@pytest.mark.parametrize(("name", "value"), [("X", 1), ("X", b"x"), ("X", None), (b"X", "x"), (1, "x")])
def test_names_and_values_are_strings(name, value):
    with pytest.raises(TypeError, match="str"):
        check_field(name, value)


def test_subclasses_of_str_are_strings():
    class Own(str):
        __slots__ = ()

    assert render_fields(CIMultiDict({"X": Own("y")})) == b"X: y\r\n"
    with pytest.raises(ValueError):
        render_fields(CIMultiDict({"X": Own("y\n")}))


names = st.text(TOKEN, min_size=1, max_size=8)
values = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=12)


@given(st.lists(st.tuples(names, values), max_size=8))
def test_what_is_rendered_is_read_back(fields):
    block = render_fields(CIMultiDict(fields))
    expected = [(name, value.strip(" \t")) for name, value in fields]
    assert [(name.decode(), value.decode()) for name, value in block_pairs(block)] == expected
    assert list(multidict_of(block).items()) == expected


def test_bytes_that_are_not_text_are_kept():
    block = b"X: \xff\xe9 \r\n"
    assert block_pairs(block) == ((b"X", b"\xff\xe9"),)
    value = multidict_of(block)["x"]
    assert value.encode("utf-8", "surrogateescape") == b"\xff\xe9"
    assert render_fields(CIMultiDict({"X": value})) == b"X: \xff\xe9\r\n"


def test_the_memory_for_names_is_bounded():
    from endwell.http import fields

    for number in range(3000):
        assert multidict_of(b"X-%d: y\r\n" % number)[f"x-{number}"] == "y"
    assert len(fields._names) <= fields._NAMES_MAX
