"""The dispatcher: adding routes, names, what is found and in which order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from yarl import URL

from endwell.server.abc import AbstractRouter
from endwell.server.errors import HTTPMethodNotAllowed, HTTPNotFound
from endwell.server.router import (
    AbstractResource,
    AbstractRoute,
    PlainResource,
    ResourceRoute,
    UrlDispatcher,
    UrlMappingMatchInfo,
)
from endwell.server.router.resources import Resolved
from endwell.server.view import View
from endwell.testing.mocked import make_mocked_request


async def handler(request: Any) -> Any:
    raise NotImplementedError


async def resolve(router: UrlDispatcher, method: str, target: str) -> UrlMappingMatchInfo:
    request = make_mocked_request(method, target)
    found = await router.resolve(request)
    again = await router._resolve_each(request)  # what a router does in which a user's class must be awaited
    assert (dict(found), found.http_exception is None) == (dict(again), again.http_exception is None)
    return found


async def allowed(router: UrlDispatcher, method: str, target: str) -> set[str] | None:
    error = (await resolve(router, method, target)).http_exception
    if isinstance(error, HTTPMethodNotAllowed):
        assert error.headers["Allow"] == ",".join(sorted(error.allowed_methods))
        return error.allowed_methods
    assert isinstance(error, HTTPNotFound)
    return None


def table(*routes: tuple[str, str]) -> tuple[UrlDispatcher, list[AbstractRoute]]:
    router = UrlDispatcher()
    return router, [router.add_route(method, path, handler) for method, path in routes]


def test_it_is_a_router_and_a_mapping_of_names() -> None:
    router = UrlDispatcher()
    assert isinstance(router, AbstractRouter)
    assert isinstance(router, Mapping)
    route = router.add_get("/a/{b}", handler, name="a.b")
    assert list(router) == ["a.b"]
    assert len(router) == 1
    assert router["a.b"] is route.resource
    assert "a.b" in router
    assert router.get("c") is None
    assert dict(router.named_resources()) == dict(router)
    assert str(router["a.b"].url_for(b="x")) == "/a/x"
    with pytest.raises(KeyError):
        router["c"]
    with pytest.raises(TypeError):
        router.named_resources()["c"] = router["a.b"]  # type: ignore[index] # what is tested


@pytest.mark.parametrize("name", ["a", "a.b", "a:b", "a-b", "a.b-c:d", "a_1", "ä", "print", "match"])
def test_names_are_identifiers_with_separators(name: str) -> None:
    router = UrlDispatcher()
    router.add_resource("/", name=name)
    assert list(router) == [name]


@pytest.mark.parametrize("name", ["", "1", "a b", "a..b", "a.", "a.1", "a-1", "a/b", "a\n"])
def test_other_names_are_refused(name: str) -> None:
    router = UrlDispatcher()
    with pytest.raises(ValueError, match="write identifiers"):
        router.add_resource("/", name=name)
    assert len(router.resources()) == 0


@pytest.mark.parametrize("name", ["if", "a.if", "None", "class"])
def test_keywords_are_no_names(name: str) -> None:
    with pytest.raises(ValueError, match="is a keyword"):
        UrlDispatcher().add_resource("/", name=name)


def test_a_name_can_be_taken_once() -> None:
    router = UrlDispatcher()
    router.add_get("/a", handler, name="n")
    router.add_post("/a", handler, name="n")  # the same resource
    with pytest.raises(ValueError, match="has it"):
        router.add_get("/b", handler, name="n")
    assert len(router.resources()) == 1


def test_the_same_path_one_after_the_other_is_one_resource() -> None:
    router = UrlDispatcher()
    for path in ("/a", "/{b}"):
        one = router.add_resource(path)
        assert router.add_resource(path) is one
        named = router.add_resource(path, name="n" + str(len(router)))
        assert named is not one
        assert router.add_resource(path) is not one
    assert router.add_resource("/{b:x}") is not router.add_resource("/{b}")


@pytest.mark.parametrize("path", ["a", "*", "{a}", "http://a/"])
def test_a_path_begins_with_a_slash(path: str) -> None:
    with pytest.raises(ValueError, match="begins with a slash"):
        UrlDispatcher().add_resource(path)
    with pytest.raises(ValueError, match="begins with a slash"):
        UrlDispatcher().add_static(path, "/")


def test_views_of_resources_and_routes() -> None:
    router, (get, post) = table(("GET", "/a"), ("POST", "/b"))
    resources, routes = router.resources(), router.routes()
    assert list(routes) == [get, post]
    assert len(routes) == len(resources) == 2
    assert get in routes
    assert list(resources) == [get.resource, post.resource]
    assert post.resource in resources
    assert handler not in routes
    assert 3 not in resources


def test_each_method_has_its_shortcut() -> None:
    router = UrlDispatcher()

    class Answer(View):
        pass

    for method in ("head", "options", "post", "put", "patch", "delete"):
        assert getattr(router, f"add_{method}")(f"/{method}", handler).method == method.upper()
    assert router.add_view("/view", Answer).method == "*"
    get = router.add_get("/get", handler, name="get")
    assert get.method == "GET"
    assert [route.method for route in router["get"]] == ["HEAD", "GET"]
    router.add_get("/only", handler, name="only", allow_head=False)
    assert [route.method for route in router["only"]] == ["GET"]
    with pytest.raises(TypeError):
        router.add_post("/x", handler, unknown=1)


def test_expect_handlers_are_passed_on() -> None:
    async def expect(request: Any) -> None:
        return None

    router = UrlDispatcher()
    for route in (
        router.add_get("/a", handler, expect_handler=expect),
        router.add_route("GET", "/b", handler, expect_handler=expect),
    ):
        assert route._expect_handler is expect


def test_a_route_that_would_never_run_is_refused() -> None:
    router, _ = table(("GET", "/a"), ("*", "/a"))
    with pytest.raises(RuntimeError, match="would never run"):
        router.add_route("GET", "/a", handler)
    with pytest.raises(RuntimeError, match="would never run"):
        router.add_route("PUT", "/a", handler)


def test_a_frozen_router_takes_no_more() -> None:
    router, _ = table(("GET", "/a"))
    assert not router.frozen
    router.freeze()
    assert router.frozen
    with pytest.raises(RuntimeError, match="frozen"):
        router.add_route("GET", "/b", handler)
    with pytest.raises(RuntimeError, match="frozen"):
        router.register_resource(PlainResource("/b"))


def test_only_resources_are_registered() -> None:
    with pytest.raises(TypeError, match="AbstractResource"):
        UrlDispatcher().register_resource(handler)  # type: ignore[arg-type] # what is tested


async def test_an_empty_path_is_the_root_of_a_frozen_router() -> None:
    router, (route,) = table(("GET", ""))
    assert await allowed(router, "GET", "/") is None
    router.freeze()
    assert (await resolve(router, "GET", "/")).route is route


@pytest.mark.parametrize(
    ("routes", "method", "path", "winner"),
    [
        ("GET /{a}, GET /foo", "GET", "/foo", 1),
        ("GET /{a}, POST /foo", "GET", "/foo", 0),
        ("GET /foo, POST /{a}", "POST", "/foo", 1),
        ("GET /{a}/b, GET /x/{b}", "GET", "/x/b", 1),
        ("GET /x/{b}, GET /{a}/b", "GET", "/x/b", 0),
        ("GET /x{b}, GET /{a}", "GET", "/xb", 0),
        ("GET /{a}, GET /x{b}", "GET", "/xb", 0),
        ("GET /x/{b:.*}, GET /x/y/{a}", "GET", "/x/y/z", 1),
        ("GET /x/{b:.*}, GET /x/y/{a}", "GET", "/x/y/z/", 0),
        ("GET /x, GET /x/, GET /x/{a:.*}", "GET", "/x/", 1),
        ("GET /x, GET /x/{a:.*}, GET /x/", "GET", "/x/", 1),
        ("GET /x, GET /x/, GET /x/{a:.*}", "GET", "/x//", 2),
        ("GET /x, * /x", "GET", "/x", 0),
        ("GET /x, * /x", "FOO", "/x", 1),
        ("GET /x, * /y, POST /x", "POST", "/x", 2),
        ("POST /{a:.*}, GET /x/{a:.*}, PUT /x/y/{a:.*}", "POST", "/x/y/z", 0),
        ("* /{y}/c, GET /a/{x}", "GET", "/a/c", 1),
        ("* /{y}/c, GET /a/{x}", "PUT", "/a/c", 0),
        ("GET //x/{a}, GET /{b}/x/{a}", "GET", "//x/1", 0),
        ("GET /a%2Fb/{x}, GET /a/{x:.*}", "GET", "/a%2fb/1", 0),
        ("GET /a%2Fb/{x}, GET /a/{x:.*}", "GET", "/a/b/1", 1),
        ("GET /a%2Fb", "GET", "/a%2fb", 0),
        ("GET /a b", "GET", "/a%20b", 0),
        ("GET /a%20b", "GET", "/a%20b", 0),
        ("GET /ä", "GET", "/%c3%a4", 0),
        ("GET /%C3%A4", "GET", "/%C3%A4", 0),
        ("GET /a+b", "GET", "/a%2Bb", 0),
        ("GET /a", "GET", "/%61?q=/b", 0),
        ("GET /a", "GET", "http://example.com/a?q", 0),
        ("GET /ä/{x}", "GET", "/%C3%A4/1", 0),
    ],
)
async def test_the_winner(routes: str, method: str, path: str, winner: int) -> None:
    router, made = table(*((each.split(" ", 1)[0], each.split(" ", 1)[1]) for each in routes.split(", ")))
    assert (await resolve(router, method, path)).route is made[winner]


async def test_what_is_not_found() -> None:
    router, _ = table(("GET", "/a"), ("POST", "/{x}"), ("PUT", "/{y:a+}"), ("GET", "/b/{x}"))
    assert await allowed(router, "DELETE", "/a") == {"GET", "POST", "PUT"}
    assert await allowed(router, "get", "/a") == {"GET", "POST", "PUT"}
    assert await allowed(router, "GET", "/x") == {"POST"}
    assert await allowed(router, "GET", "/b/") is None
    assert await allowed(router, "GET", "/b/x/y") is None
    assert await allowed(router, "GET", "/a%2F") == {"POST"}
    assert await allowed(router, "OPTIONS", "*") is None


async def test_head_is_found_for_get() -> None:
    router = UrlDispatcher()
    get = router.add_get("/a", handler)
    head = (await resolve(router, "HEAD", "/a")).route
    assert (head.method, head.handler) == ("HEAD", get.handler)


async def test_what_is_found_is_new_each_time() -> None:
    router, _ = table(("GET", "/a"))
    found = await resolve(router, "GET", "/a")
    found["x"] = "y"
    assert await resolve(router, "GET", "/a") == {}


async def test_routes_can_be_added_to_a_resource_at_any_time() -> None:
    router, (get,) = table(("GET", "/a"))
    assert (await resolve(router, "GET", "/a")).route is get
    assert isinstance(get.resource, PlainResource)
    post = get.resource.add_route("POST", handler)
    assert (await resolve(router, "POST", "/a")).route is post


async def test_a_resource_can_be_taken_out_of_the_index_and_moved() -> None:
    router, (a, b, other) = table(("GET", "/a"), ("GET", "/a/{b}"), ("GET", "/a/"))
    for route in (a, b):
        resource = route.resource
        assert resource is not None
        router.unindex_resource(resource)
        with pytest.raises(ValueError, match="is not in the index"):
            router.unindex_resource(resource)
        resource.add_prefix("/p")
        router.index_resource(resource)
    assert await allowed(router, "GET", "/a") is None
    assert (await resolve(router, "GET", "/p/a")).route is a
    assert (await resolve(router, "GET", "/p/a/x")).route is b
    assert (await resolve(router, "GET", "/a/")).route is other
    assert len(router.resources()) == 3


class Own(AbstractResource):
    """A user's resource: only its `resolve` knows."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self.route = ResourceRoute("GET", handler, self)

    @property
    def canonical(self) -> str:
        return self._path

    def url_for(self, **kwargs: str) -> URL:
        return URL(self._path)

    async def resolve(self, request: Any) -> Resolved:
        if not request.path.startswith(self._path):
            return None, set()
        if request.method != "GET":
            return None, {"GET"}
        return UrlMappingMatchInfo({"own": "yes"}, self.route), set()

    def add_prefix(self, prefix: str) -> None:
        self._path = prefix + self._path

    def get_info(self) -> dict[str, Any]:
        return {}

    def raw_match(self, path: str) -> bool:
        return False

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Any:
        return iter([self.route])


async def test_a_users_resource_is_awaited_where_its_turn_comes() -> None:
    router = UrlDispatcher()
    before = router.add_route("GET", "/own/{a}", handler)
    router.register_resource(Own("/own"))
    router.add_route("GET", "/own/{a}/b", handler)
    longer = router.add_route("GET", "/own/x/b", handler)
    router.add_route("POST", "/own/{a}", handler)
    elsewhere = router.add_route("GET", "/else", handler)
    assert (await resolve(router, "GET", "/own/a")).route is before
    assert await resolve(router, "GET", "/own/a/b") == {"own": "yes"}
    assert await resolve(router, "GET", "/own") == {"own": "yes"}
    assert (await resolve(router, "GET", "/own/x/b")).route is longer
    assert await allowed(router, "PUT", "/own/a") == {"GET", "POST"}
    assert await allowed(router, "GET", "/owner") is None
    assert router._lookup("GET", "/own/a/b") is None  # it must be awaited
    assert router._lookup("GET", "/else") is not None
    assert (await resolve(router, "GET", "/else")).route is elsewhere


async def test_a_users_resource_is_awaited_among_many() -> None:
    router = UrlDispatcher()
    before = router.add_route("GET", "/own/{a}", handler)
    router.register_resource(Own("/own"))
    for number in range(10):
        router.add_route("*", f"/own/{{a}}/{number}", handler)
    assert (await resolve(router, "GET", "/own/a")).route is before
    assert await resolve(router, "GET", "/own/a/7") == {"own": "yes"}
    assert await resolve(router, "PUT", "/own/a/7") == {"a": "a"}
    assert await allowed(router, "PUT", "/own/a/x") == {"GET"}


async def test_nothing_is_found_for_no_path() -> None:
    router, _ = table(("GET", "/{a:.*}"))
    router.freeze()
    found = router._lookup("GET", "")
    assert found is not None
    assert isinstance(found.http_exception, HTTPNotFound)


async def test_a_plain_path_behind_a_users_resource_waits_for_it() -> None:
    router = UrlDispatcher()
    router.register_resource(Own("/own"))
    router.add_route("GET", "/own", handler)
    post = router.add_route("POST", "/own", handler)
    assert await resolve(router, "GET", "/own") == {"own": "yes"}
    assert (await resolve(router, "POST", "/own")).route is post


async def test_a_users_subclass_of_a_resource_is_asked() -> None:
    class Mine(PlainResource):
        def _match(self, path: str) -> dict[str, str] | None:
            return {"mine": "yes"} if path.startswith("/a") else None

    router = UrlDispatcher()
    resource = Mine("/a", name="mine")
    resource.add_route("GET", handler)
    router.register_resource(resource)
    router.add_route("GET", "/a", handler)
    for path in ("/a", "/a/b"):
        found = await resolve(router, "GET", path)
        assert (found, found.route.resource) == ({"mine": "yes"}, resource)


async def test_a_users_resolve_is_the_one_that_is_asked() -> None:
    class Mine(UrlDispatcher):
        async def resolve(self, request: Any) -> UrlMappingMatchInfo:
            found = await super()._resolve_each(request)
            found["mine"] = "yes"
            return found

    router = Mine()
    router.add_get("/a", handler)
    request = make_mocked_request("GET", "/a")
    assert router._find(request) is None
    assert await router.resolve(request) == {"mine": "yes"}


def test_a_directory_of_files_is_added(tmp_path: Any) -> None:
    router = UrlDispatcher()
    resource = router.add_static("/static/", tmp_path, name="static")
    assert router["static"] is resource
    assert resource.canonical == "/static"
    found = router._lookup("GET", "/static/x/y")
    assert found == {"filename": "x/y"}
    assert router.add_static("/", tmp_path).canonical == ""
