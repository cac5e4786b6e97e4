"""Which resource is found: compared with asking all of them in order, for many tables of routes and paths."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endwell.server.router import PlainResource, Resource, UrlDispatcher
from endwell.server.router.index import ResourceIndex
from endwell.server.router.patterns import safe_path


async def handler(request: Any) -> Any:
    raise NotImplementedError


def naive(resources: list[Resource], method: str, path: str) -> tuple[Any, ...]:
    """Ask every resource: first those that begin with the path's longest prefix, each group in order."""
    allowed: set[str] = set()
    prefix = path
    while True:
        for resource in resources:
            start = resource.canonical
            if "{" in start:
                start = start.partition("{")[0].rpartition("/")[0]
            if (safe_path(start).rstrip("/") or "/") == prefix:
                values = resource._match(path)
                if values is not None:
                    routes = {route.method: route for route in resource}
                    route = routes.get(method, routes.get("*"))
                    if route is not None:
                        return route, values
                    allowed |= set(routes)
        if prefix == "/":
            return (405, allowed) if allowed else (404, set())
        prefix = prefix.rpartition("/")[0] or "/"


def looked_up(router: UrlDispatcher, method: str, path: str) -> tuple[Any, ...]:
    found = router._lookup(method, path)
    assert found is not None
    if found.http_exception is None:
        return found.route, dict(found)
    return found.http_exception.status, getattr(found.http_exception, "allowed_methods", set())


_segments = st.sampled_from(
    ["a", "b", "", "{x}", "{y}", "a{x}", "b{x}", "{x}a", "{x}-{y}", "{x:a+}", "{x:[^/]+}", "{x:.*}", "{y:.+}b", "%2F"]
)
_templates = st.lists(_segments, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
_texts = st.sampled_from(["a", "b", "", "ab", "aa", "a-b", "-", "%2F", "{"])
_paths = st.lists(_texts, min_size=1, max_size=5).map(lambda parts: "/" + "/".join(parts))
_methods = st.sampled_from(["GET", "POST", "*"])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(_methods, _templates), max_size=40), st.lists(_paths, min_size=1, max_size=8), st.booleans())
def test_what_is_found_is_what_asking_all_of_them_finds(
    table: list[tuple[str, str]], paths: list[str], frozen: bool
) -> None:
    router = UrlDispatcher()
    for method, template in table:
        try:
            router.add_route(method, template, handler)
        except (RuntimeError, ValueError):  # the method is there already, or the same variable is there twice
            continue
    if frozen:
        router.freeze()
    resources = [resource for resource in router.resources() if isinstance(resource, Resource)]
    paths += [re.sub(r"\{[^}]*\}", "a", template) for _, template in table[:4]]
    for path in paths:
        for method in ("GET", "PUT"):
            assert looked_up(router, method, path) == naive(resources, method, path)


MANY = 300


class Counted:
    """Counts how often resources are asked whether they match."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = 0
        find = Resource._find

        def counting(resource: Resource, *args: Any) -> Any:
            self.asked += 1
            return find(resource, *args)

        monkeypatch.setattr(Resource, "_find", counting)


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("/plain/N", "/plain/7"),
        ("/itemN/{x}", "/item7/x"),
        ("/api/{x}/rN", "/api/x/r7"),
        ("/api/{x}/rN/{y}/z", "/api/x/r7/y/z"),
        ("/api/rN-{x}", "/api/r7-x"),
        ("/api/{x}.rN", "/api/x.r7"),
        ("/{l:[a-z]{2}}/rN/{x}", "/en/r7/x"),
        ("/{x:.*}/rN", "/a/b/c/r7"),
        ("/fN{x:.*}", "/f7-/a/b"),
        ("/{x:.*}-rN", "/a/b-r7"),
        ("/{x}/{y}/rN/", "/x/y/r7/"),
    ],
)
def test_many_routes_cost_what_few_do(monkeypatch: pytest.MonkeyPatch, template: str, path: str) -> None:
    router = UrlDispatcher()
    for number in range(MANY):
        router.add_route("GET", template.replace("N", str(number)), handler)
    counted = Counted(monkeypatch)
    found = router._lookup("GET", path)
    assert found is not None
    assert found.route.resource is list(router.resources())[7]
    assert counted.asked <= 1
    counted.asked = 0
    missing = router._lookup("GET", path.replace("7", "x"))
    assert missing is not None
    assert missing.http_exception is not None
    assert counted.asked == 0


def test_a_path_of_slashes_is_not_cut_more_often_than_the_keys_have() -> None:
    index = ResourceIndex()
    index.add(PlainResource("/a/b"))

    class Path(str):
        """Counts how often it is cut."""

        __slots__ = ()

        cuts = 0

        def rpartition(self, separator: str, /) -> tuple[str, str, str]:
            Path.cuts += 1
            head, middle, tail = super().rpartition(separator)
            return Path(head), middle, tail

        def __getitem__(self, item: Any, /) -> Path:
            return Path(super().__getitem__(item))

    assert list(index.buckets(Path("/" * 8190))) == []
    assert Path.cuts <= 4


def test_a_changed_bucket_is_looked_at_anew() -> None:
    router = UrlDispatcher()
    for number in range(10):
        router.add_route("GET", f"/{{x}}/{number}", handler)
    assert looked_up(router, "GET", "/x/10")[0] == 404
    late = router.add_route("GET", "/{x}/10", handler)
    assert looked_up(router, "GET", "/x/10") == (late, {"x": "x"})


def test_a_plain_path_waits_for_what_was_added_before_and_may_match() -> None:
    router = UrlDispatcher()
    first = router.add_route("GET", "/{x:.*}", handler)
    router.add_route("GET", "/", handler)
    tail = router.add_route("GET", "/a/{x:.*}", handler)
    router.add_route("GET", "/a/", handler)
    plain = router.add_route("GET", "/a", handler)
    assert looked_up(router, "GET", "/")[0] is first
    assert looked_up(router, "GET", "/a/")[0] is tail
    assert looked_up(router, "GET", "/a")[0] is plain
