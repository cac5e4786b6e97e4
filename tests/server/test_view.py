"""Handlers that are classes."""

from __future__ import annotations

import pytest

from endwell.server.abc import AbstractView
from endwell.server.errors import HTTPFound, HTTPMethodNotAllowed
from endwell.server.response import StreamResponse
from endwell.server.router import UrlDispatcher
from endwell.server.view import View
from endwell.server.whole import Response
from endwell.testing.mocked import make_mocked_request


class Page(View):
    async def get(self) -> StreamResponse:
        return Response(text=f"got {self.request.path}")

    async def post(self) -> StreamResponse:
        raise HTTPFound("/elsewhere")

    async def foo(self) -> StreamResponse:
        raise NotImplementedError


class More(Page):
    async def delete(self) -> StreamResponse:
        return Response(text="deleted")


async def test_the_method_of_the_request_answers() -> None:
    request = make_mocked_request("GET", "/p")
    assert isinstance(Page(request), AbstractView)
    assert Page(request).request is request
    response = await Page(request)
    assert isinstance(response, Response)
    assert response.text == "got /p"
    with pytest.raises(HTTPFound):
        await Page(make_mocked_request("POST", "/p"))
    response = await More(make_mocked_request("DELETE", "/p"))
    assert isinstance(response, Response)
    assert response.text == "deleted"


@pytest.mark.parametrize("method", ["PUT", "HEAD", "OPTIONS", "FOO", "foo", "get", "REQUEST", "__INIT__", "_answer"])
async def test_a_method_that_is_not_there_is_not_allowed(method: str) -> None:
    with pytest.raises(HTTPMethodNotAllowed) as caught:
        await Page(make_mocked_request(method, "/p"))
    assert caught.value.headers["Allow"] == "GET,POST"
    assert caught.value.method == method
    with pytest.raises(HTTPMethodNotAllowed) as caught:
        await More(make_mocked_request(method, "/p"))
    assert caught.value.headers["Allow"] == "DELETE,GET,POST"


async def test_a_class_is_a_handler() -> None:
    router = UrlDispatcher()
    route = router.add_view("/p", Page)
    request = make_mocked_request("GET", "/p")
    found = await router.resolve(request)
    assert found.route is route
    response = await found.handler(request)
    assert isinstance(response, Response)
    assert response.text == "got /p"
