"""Routes: methods and handlers, and what is done for a field Expect."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import pytest

from endwell.http.version import HttpVersion10
from endwell.server.errors import HTTPExpectationFailed, HTTPNotFound
from endwell.server.request import Request
from endwell.server.response import StreamResponse
from endwell.server.router import PlainResource, ResourceRoute, SystemRoute
from endwell.server.view import View
from endwell.server.whole import Response
from endwell.testing.mocked import make_mocked_request


async def handler(request: Request) -> StreamResponse:
    return Response(text=request.path)


def make(method: str = "GET", handler: Any = handler, **kwargs: Any) -> ResourceRoute:
    return ResourceRoute(method, handler, PlainResource("/a", name="n"), **kwargs)


def test_a_route_says_what_it_is() -> None:
    resource = PlainResource("/a", name="n")
    route = ResourceRoute("get", handler, resource)
    assert (route.method, route.handler, route.name, route.resource) == ("GET", handler, "n", resource)
    assert route.get_info() == {"path": "/a"}
    assert str(route.url_for()) == "/a"
    assert "[GET] <PlainResource 'n' /a>" in repr(route)


@pytest.mark.parametrize("method", ["", "G T", "GET\r\n", "GÉT", "(", "GET,", "\x00"])
def test_what_is_no_method_is_refused(method: str) -> None:
    with pytest.raises(ValueError, match="is not a method"):
        make(method)


@pytest.mark.parametrize("method", ["GET", "M-SEARCH", "A!#$%&'*+.^_`|~1", "*"])
def test_every_token_is_a_method(method: str) -> None:
    assert make(method).method == method


class Callable:
    async def __call__(self, request: Request) -> StreamResponse:
        return Response(text="called")


class MyView(View):
    pass


@pytest.mark.parametrize("good", [handler, Callable(), MyView, functools.partial(handler)])
def test_coroutine_functions_and_views_are_taken_as_they_are(good: Any) -> None:
    assert make(handler=good).handler is good


async def test_a_plain_function_is_taken_with_a_warning_at_its_place() -> None:
    def plain(request: Request) -> Any:
        return Response(text="plain")

    def outer(request: Request) -> Any:
        return handler(request)

    for function, text in ((plain, "plain"), (outer, "/p")):
        with pytest.warns(DeprecationWarning, match="async def function") as caught:
            route = make(handler=function)
        assert caught[0].filename == __file__
        response = await route.handler(make_mocked_request("GET", "/p"))
        assert isinstance(response, Response)
        assert response.text == text


def test_what_is_no_handler_is_refused() -> None:
    def generator(request: Request) -> Any:
        yield

    async def async_generator(request: Request) -> Any:
        yield

    for bad in (3, None, "name"):
        with pytest.raises(TypeError, match="a handler is an async def function"):
            make(handler=bad)
    for bad in (generator, async_generator):
        with pytest.raises(TypeError, match="is a generator"):
            make(handler=bad)
    for bad in (3, lambda request: None, generator):
        with pytest.raises(TypeError, match="expect_handler"):
            make(expect_handler=bad)


@pytest.mark.parametrize("value", ["100-continue", "100-Continue"])
async def test_by_default_nothing_is_done_for_100_continue(value: str) -> None:
    request = make_mocked_request("POST", "/a", headers={"Expect": value})
    assert await make().handle_expect_header(request) is None


@pytest.mark.parametrize("value", ["", "200-ok", "100-continue, other"])
async def test_an_unknown_expectation_fails(value: str) -> None:
    request = make_mocked_request("POST", "/a", headers={"Expect": value})
    with pytest.raises(HTTPExpectationFailed) as caught:
        await make().handle_expect_header(request)
    assert caught.value.status == 417
    old = make_mocked_request("POST", "/a", headers={"Expect": value}, version=HttpVersion10)
    assert await make().handle_expect_header(old) is None


async def test_an_expect_handler_may_answer() -> None:
    answer = Response(status=403)

    async def refuse(request: Request) -> StreamResponse | None:
        return answer if request.path == "/no" else None

    route = make(expect_handler=refuse)
    assert await route.handle_expect_header(make_mocked_request("POST", "/no")) is answer
    assert await route.handle_expect_header(make_mocked_request("POST", "/yes")) is None


async def test_the_route_of_an_error_raises_it() -> None:
    error = HTTPNotFound()
    route = SystemRoute(error)
    assert (route.status, route.reason, route.name, route.resource, route.method) == (404, "Not Found", None, None, "*")
    assert route.get_info() == {"http_exception": error}
    assert repr(route) == "<SystemRoute 404: Not Found>"
    with pytest.raises(RuntimeError):
        route.url_for()
    with pytest.raises(HTTPNotFound) as caught:
        await route.handler(make_mocked_request("GET", "/"))
    assert caught.value is error
    request = make_mocked_request("POST", "/a", headers={"Expect": "100-continue"})
    assert await route.handle_expect_header(request) is None


def test_nothing_warns_for_an_async_handler() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make()
