"""What a router has found."""

from __future__ import annotations

from typing import Any

import pytest

from endwell.server.abc import AbstractMatchInfo
from endwell.server.application import Application
from endwell.server.errors import HTTPNotFound
from endwell.server.router import MatchInfoError, PlainResource, ResourceRoute, UrlMappingMatchInfo


async def handler(request: Any) -> Any:
    raise NotImplementedError


def make(**values: str) -> UrlMappingMatchInfo:
    return UrlMappingMatchInfo(values, ResourceRoute("GET", handler, PlainResource("/a")))


def test_it_is_a_dict_of_the_variables_with_what_answers() -> None:
    found = make(a="x")
    assert isinstance(found, dict)
    assert isinstance(found, AbstractMatchInfo)
    assert found == {"a": "x"}
    assert found.handler is handler
    assert found.route.method == "GET"
    assert found.http_exception is None
    assert found.get_info() == {"path": "/a"}
    assert found.expect_handler == found.route.handle_expect_header
    assert repr(found).startswith("<MatchInfo {'a': 'x'}: <ResourceRoute [GET]")
    found["b"] = "y"
    assert dict(found) == {"a": "x", "b": "y"}


def test_what_is_changed_is_changed_in_this_one_only() -> None:
    given = {"a": "x"}
    route = make().route
    one, two = UrlMappingMatchInfo(given, route), UrlMappingMatchInfo(given, route)
    one["a"] = "changed"
    assert (two, given) == ({"a": "x"}, {"a": "x"})


def test_applications_are_added_from_inside_out() -> None:
    found, inner, outer = make(), Application(), Application()
    with pytest.raises(RuntimeError, match="add_app"):
        _ = found.current_app
    found.add_app(inner)
    found.add_app(outer)
    assert found.apps == (outer, inner)
    assert found.current_app is inner
    found.current_app = outer
    assert found.current_app is outer
    with found.set_current_app(inner):
        assert found.current_app is inner
    assert found.current_app is outer
    with pytest.raises(RuntimeError, match="none of the applications"):
        found.current_app = Application()
    found.freeze()
    with pytest.raises(RuntimeError, match="frozen"):
        found.add_app(outer)


def test_an_error_is_found_where_nothing_is() -> None:
    error = HTTPNotFound()
    found = MatchInfoError(error)
    assert found == {}
    assert found.http_exception is error
    assert found.get_info() == {"http_exception": error}
    assert repr(found) == "<MatchInfoError 404: Not Found>"
    assert found.route.resource is None
