"""Routes as values, and tables of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from endwell.server import router as web
from endwell.server.router import AbstractRouteDef, RouteDef, RouteTableDef, StaticDef, UrlDispatcher
from endwell.server.view import View


async def handler(request: Any) -> Any:
    raise NotImplementedError


class Answer(View):
    pass


@pytest.mark.parametrize("method", ["head", "options", "post", "put", "patch", "delete"])
def test_each_method_has_a_definition(method: str) -> None:
    definition = getattr(web, method)("/a", handler, name="n")
    assert definition == RouteDef(method.upper(), "/a", handler, {"name": "n"})
    router = UrlDispatcher()
    (route,) = router.add_routes([definition])
    assert (route.method, route.handler, route.name) == (method.upper(), handler, "n")


def test_get_is_for_head_too() -> None:
    definition = web.get("/a", handler)
    assert isinstance(definition, AbstractRouteDef)
    assert definition.kwargs == {"name": None, "allow_head": True}
    router = UrlDispatcher()
    assert [route.method for route in router.add_routes([definition])] == ["GET"]
    assert [route.method for route in router.routes()] == ["HEAD", "GET"]
    router = UrlDispatcher()
    router.add_routes(
        [web.get("/a", handler, allow_head=False), web.view("/b", Answer), web.route("get", "/c", handler)]
    )
    assert [route.method for route in router.routes()] == ["GET", "*", "GET"]


def test_methods_without_a_shortcut() -> None:
    router = UrlDispatcher()
    routes = router.add_routes([web.route(method, "/a", handler) for method in ("TRACE", "CONNECT", "FOO", "*")])
    assert [route.method for route in routes] == ["TRACE", "CONNECT", "FOO", "*"]
    with pytest.raises(ValueError, match="is not a method"):
        router.add_routes([web.route("F O", "/a", handler)])


def test_a_routers_own_shortcut_is_called() -> None:
    class Mine(UrlDispatcher):
        def add_post(self, path: str, handler: Any, **kwargs: Any) -> Any:
            return super().add_post("/mine" + path, handler, **kwargs)

    (route,) = Mine().add_routes([web.post("/a", handler)])
    assert str(route.url_for()) == "/mine/a"


def test_static_files_are_defined(tmp_path: Any) -> None:
    definition = web.static("/s", tmp_path, name="n", show_index=True)
    assert definition == StaticDef("/s", tmp_path, {"name": "n", "show_index": True})
    router = UrlDispatcher()
    routes = router.add_routes([definition])
    assert {route.method for route in routes} == {"GET", "HEAD"}
    assert router["n"].canonical == "/s"


def test_definitions_say_what_they_are() -> None:
    assert repr(web.post("/a", handler, name="n", expect_handler=None)) == (
        "<RouteDef POST /a -> 'handler', expect_handler=None, name='n'>"
    )
    assert repr(web.view("/a", Answer)) == "<RouteDef * /a -> 'Answer'>"
    assert repr(web.static("/s", "/tmp", name="n")) == "<StaticDef /s -> /tmp, name='n'>"


def test_definitions_are_values() -> None:
    one, other = web.post("/a", handler), web.static("/a", "/tmp")
    assert one == web.post("/a", handler)
    assert one != web.post("/b", handler)
    assert one != other
    assert one != "a"
    with pytest.raises(AttributeError, match="does not change"):
        one.path = "/b"
    with pytest.raises(AttributeError, match="does not change"):
        del one.path
    with pytest.raises(AttributeError):
        one.other = 1  # type: ignore[attr-defined] # what is tested
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


def test_wrong_arguments_show_when_the_route_is_added() -> None:
    with pytest.raises(TypeError):
        UrlDispatcher().add_routes([web.get("/a", handler, unknown=1)])
    with pytest.raises(TypeError):
        UrlDispatcher().add_routes(web.get("/a", handler))  # type: ignore[arg-type] # what is tested


def test_a_table_is_a_sequence(tmp_path: Any) -> None:
    table = RouteTableDef()
    assert isinstance(table, Sequence)
    assert repr(table) == "<RouteTableDef count=0>"
    assert table.get("/get", name="n")(handler) is handler
    assert table.view("/view")(Answer) is Answer
    table.static("/s", tmp_path)
    for method in ("head", "post", "put", "patch", "delete", "options"):
        assert getattr(table, method)("/" + method)(handler) is handler
    table.route("*", "/any")(handler)
    assert len(table) == 10
    assert table[0] == RouteDef("GET", "/get", handler, {"name": "n"})
    assert table[0:2] == [table[0], table[1]]
    assert list(table)[2] == StaticDef("/s", tmp_path, {})
    assert table[0] in table
    assert handler not in table
    assert table.index(table[1]) == 1
    router = UrlDispatcher()
    router.add_routes(table)
    assert [route.method for route in router.routes() if route.handler is handler] == [
        "HEAD",
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "PATCH",
        "DELETE",
        "OPTIONS",
        "*",
    ]
