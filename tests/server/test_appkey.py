"""The keys of what a program keeps in applications, requests and responses."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from endwell.server.appkey import AppKey, BaseKey, NotAppKeyWarning, RequestKey, ResponseKey

PORT = AppKey("port", int)
KINDS = (AppKey, RequestKey, ResponseKey)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("t", "shown"),
    [(int, "int"), (dict[str, int], "dict[str, int]"), (asyncio.Event, "asyncio.locks.Event"), (None, "<<Unknown>>")],
)
def test_the_repr_shows_module_name_and_type(kind: Any, t: Any, shown: str) -> None:
    assert repr(kind("it", t)) == f"<{kind.__name__}({__name__}.it, type={shown})>"


def test_a_type_in_brackets_is_shown_too() -> None:
    assert repr(AppKey[int]("port")) == f"<AppKey({__name__}.port, type=int)>"
    assert repr(AppKey[dict[str, int]]("ports")).endswith("ports, type=dict[str, int])>")


def test_the_module_is_that_of_the_line_that_makes_the_key() -> None:
    class Holder:
        key = AppKey("inside", str)

    assert repr(Holder.key).startswith(f"<AppKey({__name__}.inside,")
    names = {"__name__": "elsewhere", "AppKey": AppKey}
    assert repr(eval("AppKey('x')", names)).startswith("<AppKey(elsewhere.x,")


def test_keys_are_equal_when_they_are_the_same() -> None:
    other = AppKey("port", int)
    assert PORT == PORT
    assert other != PORT
    assert {PORT: 1, other: 2}[PORT] == 1


def test_the_kinds_are_strangers() -> None:
    for kind in KINDS:
        key = kind("it", int)
        assert [isinstance(key, each) for each in KINDS] == [each is kind for each in KINDS]
        assert isinstance(key, BaseKey)


def test_keys_are_sorted_by_name_and_before_the_rest() -> None:
    a, b = AppKey("a", int), AppKey("b", int)
    assert sorted([b, a]) == [a, b]
    assert a < "anything"


def test_a_key_keeps_nothing_else() -> None:
    with pytest.raises(AttributeError):
        PORT.other = 1  # type: ignore[attr-defined]  # that is the test


def test_a_name_is_a_string() -> None:
    with pytest.raises(TypeError, match="the name of the AppKey is a string, not int"):
        AppKey(3)  # type: ignore[arg-type]  # that is the test


def test_the_warning_is_a_user_warning() -> None:
    assert issubclass(NotAppKeyWarning, UserWarning)
