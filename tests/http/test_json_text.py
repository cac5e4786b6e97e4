from __future__ import annotations

import json
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endwell.http.json_text import to_json

keys = st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.none())
leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text())
documents = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(keys, inner), st.tuples(inner, inner)),
)


class Number(IntEnum):
    ONE = 1


@given(documents)
def test_the_text_is_that_of_dumps(document: Any) -> None:
    assert to_json(document) == json.dumps(document)


@pytest.mark.parametrize("document", ["ä\u2028\U0001f600\ud800\0", Number.ONE, {Number.ONE: 1}, float("inf"), 10**400])
def test_odd_values(document: Any) -> None:
    assert to_json(document) == json.dumps(document)


def circle() -> list[Any]:
    made: list[Any] = []
    made.append({"again": made})
    return made


@pytest.mark.parametrize("document", [object(), {"a": {1, 2}}, {(1, 2): 3}, b"bytes", circle()])
def test_the_errors_are_those_of_dumps(document: Any) -> None:
    with pytest.raises((TypeError, ValueError)) as expected:
        json.dumps(document)
    with pytest.raises(type(expected.value)) as raised:
        to_json(document)
    assert str(raised.value) == str(expected.value)


def test_the_same_container_twice_is_no_circle() -> None:
    shared = [1]
    assert to_json([shared, shared]) == "[[1], [1]]"
