"""Resources: their routes, names, prefixes and URLs."""

from __future__ import annotations

import re
from typing import Any

import pytest
from yarl import URL

from endwell.server.router import (
    AbstractResource,
    DynamicResource,
    PlainResource,
    PrefixResource,
    Resource,
    ResourceRoute,
)
from endwell.server.router.resources import Found, Resolved
from endwell.testing.mocked import make_mocked_request


async def handler(request: Any) -> Any:
    raise NotImplementedError


class Prefix(PrefixResource):
    def url_for(self, **kwargs: str) -> URL:
        return URL(self.canonical)

    def get_info(self) -> dict[str, Any]:
        return {"prefix": self.canonical}

    async def resolve(self, request: Any) -> Resolved:
        return None, set()

    def __iter__(self) -> Any:
        return iter(())

    def __len__(self) -> int:
        return 0


def test_a_resource_has_a_route_for_each_method() -> None:
    resource = PlainResource("/a")
    get = resource.add_route("get", handler)
    post = resource.add_route("POST", handler)
    assert list(resource) == [get, post]
    assert len(resource) == 2
    with pytest.raises(RuntimeError, match="has one for GET already"):
        resource.add_route("GET", handler)
    every = resource.add_route("*", handler)
    for method in ("PUT", "*"):
        with pytest.raises(RuntimeError, match=r"has one for \* already"):
            resource.add_route(method, handler)
    assert list(resource) == [get, post, every]
    with pytest.raises(TypeError, match="ResourceRoute"):
        resource.register_route(handler)  # type: ignore[arg-type] # what is tested


def test_a_route_that_was_made_already_can_be_added() -> None:
    resource = PlainResource("/a")
    route = ResourceRoute("GET", handler, resource)
    resource.register_route(route)
    assert list(resource) == [route]


async def test_a_resource_finds_its_routes() -> None:
    resource = DynamicResource("/{a}")
    get = resource.add_route("GET", handler)
    found, allowed = await resource.resolve(make_mocked_request("GET", "/x%2Fy?q=1"))
    assert found == {"a": "x/y"}
    assert found.route is get
    assert allowed == set()
    assert await resource.resolve(make_mocked_request("POST", "/x")) == (None, {"GET"})
    assert await resource.resolve(make_mocked_request("GET", "/x/y")) == (None, set())
    every = resource.add_route("*", handler)
    found, _ = await resource.resolve(make_mocked_request("POST", "/x"))
    assert found is not None
    assert found.route is every


def test_a_plain_resource() -> None:
    resource = PlainResource("/ä b/c%2Fd", name="n")
    assert (resource.canonical, resource.name) == ("/ä b/c%2Fd", "n")
    assert resource.get_info() == {"path": "/ä b/c%2Fd"}
    assert str(resource.url_for()) == "/%C3%A4%20b/c%2Fd"
    assert resource.url_for().path == "/ä b/c/d"
    assert resource.raw_match("/ä b/c%2Fd")
    assert not resource.raw_match("/%C3%A4 b/c%2Fd")
    assert repr(resource) == "<PlainResource 'n' /ä b/c%2Fd>"
    with pytest.raises(TypeError):
        resource.url_for(a="x")  # type: ignore[call-arg] # what is tested


def test_an_empty_path_is_the_root_when_frozen_without_a_prefix() -> None:
    alone, below = PlainResource(""), PlainResource("")
    alone.freeze()
    assert alone.canonical == "/"
    below.add_prefix("/p")
    below.freeze()
    assert below.canonical == "/p"


def test_a_dynamic_resource() -> None:
    resource = DynamicResource("/ä/{a}/{b:[0-9]+}")
    assert resource.canonical == "/%C3%A4/{a}/{b}"
    assert resource.get_info() == {
        "formatter": "/%C3%A4/{a}/{b}",
        "pattern": re.compile("/ä/(?P<a>[^{}/]+)/(?P<b>[0-9]+)"),
    }
    assert resource.raw_match("/ä/{a}/{b:[0-9]+}")
    assert not resource.raw_match("/ä/{a}/{b}")
    assert str(resource.url_for(a="x y", b="1")) == "/%C3%A4/x%20y/1"
    with pytest.raises(KeyError):
        resource.url_for(a="x")
    assert str(DynamicResource("/{self}").url_for(self="me")) == "/me"
    assert repr(resource) == "<DynamicResource /%C3%A4/{a}/{b}>"


@pytest.mark.parametrize("resource", [PlainResource("/a"), DynamicResource("/a/{b}"), Prefix("/a")])
def test_a_prefix_can_be_added(resource: AbstractResource) -> None:
    for bad in ("", "/", "p", "/p/"):
        with pytest.raises(ValueError, match="a prefix begins with a slash"):
            resource.add_prefix(bad)
    resource.add_prefix("/p")
    assert resource.canonical.startswith("/p/a")


@pytest.mark.parametrize(
    ("prefix", "path", "rest"),
    [
        ("/a", "/a", ""),
        ("/a", "/a/", ""),
        ("/a", "/a/b/c", "b/c"),
        ("/a", "/ab", None),
        ("/a", "/b", None),
        ("", "/a/b", "a/b"),
        ("/", "/a/b", "a/b"),
        ("/ä b", "/ä b/c", "c"),
        ("/%C3%A4", "/ä/c", "c"),
        ("/a%2fb", "/a%2Fb/c", "c"),
        ("/a%2Fb", "/a/b/c", None),
    ],
)
def test_a_prefix_is_cut_off(prefix: str, path: str, rest: str | None) -> None:
    assert Prefix(prefix)._after_prefix(path) == rest


def test_a_prefix_resource() -> None:
    resource = Prefix("/ä", name="n")
    assert (resource.canonical, resource.name) == ("/%C3%A4", "n")
    assert not resource.raw_match("/ä")
    for bad in ("a", "/a/", "//"):
        with pytest.raises(ValueError, match="a prefix begins with a slash"):
            Prefix(bad)


@pytest.mark.parametrize(
    ("canonical", "key"),
    [
        ("/", "/"),
        ("", "/"),
        ("/x/", "/x"),
        ("/x//{a}", "/x"),
        ("//{a}", "/"),
        ("/x/y{a}", "/x"),
        ("/{a}/", "/"),
        ("/x/{a}/y", "/x"),
        ("/x/y/", "/x/y"),
        ("x/{a}", "x"),
        ("{a}", "/"),
        ("/%C3%A4/{a}", "/ä"),
    ],
)
def test_the_key_is_what_the_path_begins_with(canonical: str, key: str) -> None:
    class Own(Prefix):
        @property
        def canonical(self) -> str:
            return canonical

        _index_key = AbstractResource._index_key

    assert Own("")._index_key() == key
    if canonical.startswith("/"):
        made: Resource = DynamicResource(canonical) if "{" in canonical else PlainResource(canonical)
        assert made._index_key() == key


def test_a_class_with_an_own_resolve_is_asked_with_it() -> None:
    class Own(PlainResource):
        async def resolve(self, request: Any) -> Resolved:
            return None, set()

    class OwnBoth(Own):
        def _find(self, method: str, path: str, request: Any) -> Found:
            return None, ()

    assert PlainResource("/")._only_async is False
    assert Own("/")._only_async is True
    assert OwnBoth("/")._only_async is False
