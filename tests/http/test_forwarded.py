"""The field `Forwarded`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endwell.http.forwarded import MAX_ELEMENTS, parse_forwarded


@pytest.mark.parametrize(
    ("field", "elements"),
    [
        ("for=192.0.2.60;proto=http;by=203.0.113.43", [{"for": "192.0.2.60", "proto": "http", "by": "203.0.113.43"}]),
        ('For="[2001:db8:cafe::17]:4711"', [{"for": "[2001:db8:cafe::17]:4711"}]),
        ("for=192.0.2.43, for=198.51.100.17", [{"for": "192.0.2.43"}, {"for": "198.51.100.17"}]),
        ("for=1.2.3.4:80;host=x.example:8080", [{"for": "1.2.3.4:80", "host": "x.example:8080"}]),
        ("FOR=a;PROTO=B", [{"for": "a", "proto": "B"}]),
        ('for="a\\"b"', [{"for": 'a"b'}]),
        ('for="a,b;c"', [{"for": "a,b;c"}]),
        ('for=""', [{"for": ""}]),
        ("for=_gazonk; by=unknown ;", [{"for": "_gazonk", "by": "unknown"}]),
        (";for=a;;by=b", [{"for": "a", "by": "b"}]),
        ("for=a;for=b", [{"for": "b"}]),
        ("for=a,, for=b", [{"for": "a"}, {}, {"for": "b"}]),
        (",", [{}, {}]),
        ("", [{}]),
        # mistakes cost the rest of their element, and no other
        ("for=a for=b", [{"for": "a"}]),
        ("for=a b, for=c", [{"for": "a"}, {"for": "c"}]),
        ("x y, for=c", [{}, {"for": "c"}]),
        ('for="a"b, for=c', [{"for": "a"}, {"for": "c"}]),
        ("for = a, for=b", [{}, {"for": "b"}]),
        ("for=", [{}]),
        ("for=\xe9, by=x", [{}, {"by": "x"}]),
        ('for="a', [{}]),
        ("for=a:b;by=c", [{"for": "a"}]),
    ],
)
def test_elements(field: str, elements: list[dict[str, str]]) -> None:
    assert [dict(element) for element in parse_forwarded([field])] == elements


def test_fields_come_in_their_order() -> None:
    assert [dict(element) for element in parse_forwarded(["for=a", "for=b, for=c"])] == [
        {"for": "a"},
        {"for": "b"},
        {"for": "c"},
    ]
    assert parse_forwarded([]) == ()


def test_elements_are_read_only() -> None:
    (element,) = parse_forwarded(["for=a"])
    with pytest.raises(TypeError):
        element["for"] = "b"  # type: ignore[index] # what is tested


def test_a_flood_of_elements_is_ignored() -> None:
    assert len(parse_forwarded(["," * (MAX_ELEMENTS - 1)])) == MAX_ELEMENTS
    assert parse_forwarded(["," * MAX_ELEMENTS]) == ()


_token = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1, max_size=10)
_quotable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x2FF), max_size=10)


@given(st.lists(st.dictionaries(_token.map(str.lower), _quotable, max_size=4), min_size=1, max_size=4))
def test_what_is_quoted_comes_back(elements: list[dict[str, str]]) -> None:
    def quoted(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    field = ", ".join(";".join(f"{name}={quoted(value)}" for name, value in each.items()) for each in elements)
    assert [dict(element) for element in parse_forwarded([field])] == elements


@given(st.text(alphabet='for=";,\\ \ta:1', max_size=60))
def test_nothing_makes_it_fail(field: str) -> None:
    elements = parse_forwarded([field])
    assert 1 <= len(elements) <= field.count(",") + 1


@pytest.mark.parametrize("piece", ['a="', 'a="\\', "a=b ", '"', "a", ";", 'a="",'])
def test_long_fields_end(piece: str) -> None:
    """The time is linear; what is quadratic would hang the suite here."""
    parse_forwarded([piece * 200_000])
