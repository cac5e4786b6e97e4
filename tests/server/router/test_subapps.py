"""Applications below others: prefixes, nesting, domains."""

from __future__ import annotations

from typing import Any

import pytest

from endwell.server.application import Application
from endwell.server.errors import HTTPMethodNotAllowed
from endwell.server.router import AbstractRuleMatching, Domain, MatchedSubAppResource, PrefixedSubAppResource
from endwell.server.router.matches import UrlMappingMatchInfo
from endwell.testing.mocked import make_mocked_request


async def handler(request: Any) -> Any:
    raise NotImplementedError


def make(*routes: str) -> Application:
    app = Application()
    for each in routes:
        method, _, path = each.partition(" ")
        app.router.add_route(method, path, handler)
    return app


async def resolve(app: Application, method: str, target: str, host: str = "h") -> UrlMappingMatchInfo:
    request = make_mocked_request(method, target, headers={"Host": host})
    found = await app.router.resolve(request)
    again = await app.router._resolve_each(request)
    assert (dict(found), found.apps, repr(found)) == (dict(again), again.apps, repr(again))
    return found


def route(found: UrlMappingMatchInfo) -> str:
    """Say in short what was found: a method and a path, or a status."""
    if found.http_exception is not None:
        return str(found.http_exception.status)
    assert found.route.resource is not None
    return f"{found.route.method} {found.route.resource.canonical}"


async def test_what_is_below_a_prefix_is_the_applications() -> None:
    root, sub = make("GET /api/{x}", "GET /api/own"), make("GET /s", "GET ", "GET /", "POST /{v}", "GET /q/{z}")
    resource = root.add_subapp("/api/", sub)
    root.router.add_get("/{all:.*}", handler)
    root.router.add_post("/api/own", handler)
    for method, path, expected, below in (
        ("GET", "/api/own", "GET /api/own", False),
        ("GET", "/api/s", "GET /api/{x}", False),  # added before
        ("POST", "/api/s", "POST /api/{v}", True),
        ("GET", "/api", "GET /api", True),
        ("GET", "/api/", "GET /api/", True),
        ("GET", "/api/q/1", "GET /api/q/{z}", True),
        ("GET", "/api/a/b", "404", True),  # nobody else is asked
        ("PUT", "/api", "405", True),
        ("GET", "/apix", "GET /{all}", False),
        ("POST", "/api/own", "POST /api/own", False),  # more static segments
    ):
        found = await resolve(root, method, path)
        assert (path, route(found), found.apps) == (path, expected, (sub,) if below else ())
    assert isinstance(resource, PrefixedSubAppResource)
    assert (resource.canonical, resource.name) == ("/api", None)
    assert resource.get_info() == {"app": sub, "prefix": "/api"}
    assert list(resource) == list(sub.router.routes())
    assert len(resource) == 5
    assert not resource.raw_match("/api")
    assert repr(resource).startswith("<PrefixedSubAppResource /api -> ")
    with pytest.raises(RuntimeError, match="has no URL"):
        resource.url_for()


async def test_the_resource_of_an_application_knows_its_paths() -> None:
    sub = make("GET /s")
    resource = PrefixedSubAppResource("/api", sub)
    for path in ("/apix", "/s", "/"):
        assert await resource.resolve(make_mocked_request("GET", path)) == (None, set())
        assert resource._find("GET", path, None) == (None, ())
    found, methods = await resource.resolve(make_mocked_request("PUT", "/api/s"))
    assert found is not None
    assert (route(found), methods) == ("405", {"GET"})


async def test_405_of_an_application_names_its_methods() -> None:
    root, sub = make("GET /a/{x}"), make("PUT /x", "POST /x")
    root.add_subapp("/a", sub)
    error = (await resolve(root, "DELETE", "/a/x")).http_exception
    assert isinstance(error, HTTPMethodNotAllowed)
    assert error.allowed_methods == {"POST", "PUT"}


async def test_routes_of_applications_know_their_whole_path() -> None:
    root, sub = make(), make()
    sub.router.add_get("/x/{y}", handler, name="xy")
    root.add_subapp("/ä b", sub)
    assert str(sub.router["xy"].url_for(y="1")) == "/%C3%A4%20b/x/1"
    assert await resolve(root, "GET", "/%C3%A4%20b/x/1") == {"y": "1"}
    assert "xy" not in root.router


async def test_applications_are_nested() -> None:
    inner, middle, root = make("GET /leaf/{i}", "GET /p"), make("GET /p"), make()
    middle.add_subapp("/two", inner)
    root.add_subapp("/one", middle)
    for path, expected, apps in (
        ("/one/two/leaf/5", "GET /one/two/leaf/{i}", (middle, inner)),
        ("/one/two/p", "GET /one/two/p", (middle, inner)),
        ("/one/p", "GET /one/p", (middle,)),
        ("/one/two", "404", (middle, inner)),
        ("/one/two/x/5/6", "404", (middle, inner)),
        ("/one/x", "404", (middle,)),
        ("/two/p", "404", ()),
    ):
        found = await resolve(root, "GET", path)
        assert (path, route(found), found.apps) == (path, expected, apps)
    assert (await resolve(root, "GET", "/one/two/leaf/5")).current_app is inner


def test_a_prefix_is_one() -> None:
    for bad in ("", "/", "a", "/a/"):
        with pytest.raises(ValueError):
            PrefixedSubAppResource(bad, make())


async def test_domains_come_first() -> None:
    root, exact, mask = make("GET /x", "GET /z"), make("GET /x", "POST /y"), make("GET /q")
    resource = root.add_domain("h.com", exact)
    root.add_domain("*.com", mask)
    for host, path, expected, apps in (
        ("h.com", "/x", "GET /x", (exact,)),
        ("h.com:8080", "/x", "GET /x", (exact,)),
        ("h.com", "/z", "404", (exact,)),
        ("h.com", "/y", "405", (exact,)),
        ("h.com", "/q", "404", (exact,)),
        ("x.com", "/q", "GET /q", (mask,)),
        ("x.org", "/z", "GET /z", ()),
    ):
        found = await resolve(root, "GET", path, host)
        assert (host, path, route(found), found.apps) == (host, path, expected, apps)
    assert isinstance(resource, MatchedSubAppResource)
    assert resource in root.router.resources()
    assert (resource.canonical, resource.name) == ("h.com", None)
    assert isinstance(resource.get_info()["rule"], Domain)
    assert resource.get_info()["app"] is exact
    assert list(resource) == list(exact.router.routes())
    assert repr(resource).startswith("<MatchedSubAppResource -> ")
    with pytest.raises(RuntimeError, match="has no URL"):
        resource.url_for()
    found = root.router._lookup("GET", "/x")  # without a request there is no domain
    assert found is not None
    assert found.apps == ()


async def test_a_domain_below_a_prefix() -> None:
    root, sub, domain = make(), make("GET /p"), make("GET /n", "GET /m/{x}")
    sub.add_domain("d.com", domain)
    root.add_subapp("/in", sub)
    for host, path, expected in (
        ("d.com", "/in/n", "GET /in/n"),
        ("d.com", "/in/m/1", "GET /in/m/{x}"),
        ("d.com", "/in/p", "404"),
        ("o", "/in/p", "GET /in/p"),
        ("o", "/in/n", "404"),
        ("d.com", "/n", "404"),
    ):
        assert (host, path, route(await resolve(root, "GET", path, host))) == (host, path, expected)


async def test_a_users_rule_is_awaited() -> None:
    class Mobile(AbstractRuleMatching):
        @property
        def canonical(self) -> str:
            return "mobile"

        def get_info(self) -> dict[str, Any]:
            return {}

        async def match(self, request: Any) -> bool:
            return "m" in request.query

    class Never(Domain):
        async def match(self, request: Any) -> bool:
            return False

    root, mobile, never = make("GET /x"), make("GET /x"), make("GET /x")
    root.router.register_resource(MatchedSubAppResource(Never("h"), never))
    root.router.register_resource(MatchedSubAppResource(Mobile(), mobile))
    assert (await resolve(root, "GET", "/x?m=1")).apps == (mobile,)
    assert (await resolve(root, "GET", "/x")).apps == ()
    assert root.router._find(make_mocked_request("GET", "/x?m=1")) is None


async def test_what_must_be_awaited_below_is_awaited_above() -> None:
    class Own(Domain):
        async def match(self, request: Any) -> bool:
            return await super().match(request)

    root, middle, inner = make(), make("GET /p"), make("GET /n")
    middle.router.register_resource(MatchedSubAppResource(Own("d.com"), inner))
    root.add_subapp("/in", middle)
    assert root.router._find(make_mocked_request("GET", "/in/n", headers={"Host": "d.com"})) is None
    assert (await resolve(root, "GET", "/in/n", "d.com")).apps == (middle, inner)
    assert (await resolve(root, "GET", "/in/p", "o")).apps == (middle,)
