"""Middlewares around handlers, and the one that normalizes paths."""

from __future__ import annotations

from typing import Any

import pytest

from endwell.server.application import Application
from endwell.server.errors import HTTPFound, HTTPMove, HTTPNotFound, HTTPPermanentRedirect
from endwell.server.middlewares import middleware, normalize_path_middleware
from endwell.server.request import Request
from endwell.server.response import StreamResponse
from endwell.server.view import View
from endwell.server.whole import Response
from endwell.testing.mocked import make_mocked_request


async def hello(request: Request) -> Response:
    return Response(text="hello")


class Diary:
    """Middlewares that write down their name, what they are called with, and when they are left."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def middleware(self, name: str) -> Any:
        @middleware
        async def write(request: Request, handler: Any) -> StreamResponse:
            self.lines.append(f"{name} {handler.__name__} {request.app[self.NAME]}")
            response = await handler(request)
            assert isinstance(response, StreamResponse)
            self.lines.append(f"{name} done {request.app[self.NAME]}")
            return response

        return write

    NAME: Any = "name"


@pytest.fixture
def diary() -> Diary:
    from endwell.server.appkey import AppKey

    Diary.NAME = AppKey("name", str)
    return Diary()


def make_app(diary: Diary, name: str, *middlewares: str) -> Application:
    app = Application(middlewares=[diary.middleware(each) for each in middlewares])
    app[diary.NAME] = name
    return app


async def test_the_first_is_the_outermost(diary: Diary) -> None:
    app = make_app(diary, "app", "one", "two")
    app.router.add_get("/", hello)
    app.freeze()
    for _ in range(2):
        diary.lines.clear()
        response = await app._handle(make_mocked_request("GET", "/"))
        assert response.status == 200
        assert diary.lines == ["one hello app", "two hello app", "two done app", "one done app"]


async def test_the_chain_is_made_once_for_each_route(diary: Diary) -> None:
    seen = set()

    @middleware
    async def look(request: Request, handler: Any) -> Any:
        seen.add(handler)
        return await handler(request)

    app = Application(middlewares=[look, diary.middleware("inner")])
    app[diary.NAME] = "app"
    app.router.add_get("/{name}", hello)
    app.router.add_post("/{name}", hello)
    app.freeze()
    for number in range(5):
        await app._handle(make_mocked_request("GET", f"/{number}"))
        await app._handle(make_mocked_request("POST", f"/{number}"))
    assert len(seen) == 2


async def test_each_runs_with_its_own_application(diary: Diary) -> None:
    async def inner(request: Request) -> Response:
        diary.lines.append(f"handler {request.app[diary.NAME]}")
        return Response()

    outer, below = make_app(diary, "outer", "one"), make_app(diary, "below", "two")
    plain = make_app(diary, "plain")
    below.router.add_get("/x", inner)
    plain.router.add_get("/x", inner)
    outer.add_subapp("/below", below)
    outer.add_subapp("/plain", plain)
    outer.freeze()
    request = make_mocked_request("GET", "/below/x")
    await outer._handle(request)
    assert diary.lines == ["one inner outer", "two inner below", "handler below", "two done below", "one done outer"]
    assert request.app is below
    diary.lines.clear()
    await outer._handle(make_mocked_request("GET", "/plain/x"))
    assert diary.lines == ["one inner outer", "handler plain", "one done outer"]
    diary.lines.clear()
    with pytest.raises(HTTPNotFound):
        await outer._handle(make_mocked_request("GET", "/below/none"))
    assert [each.split()[::2] for each in diary.lines] == [["one", "outer"], ["two", "below"]]


async def test_the_application_is_its_own_again_after_an_error() -> None:
    apps = []

    async def fail(request: Request) -> Response:
        raise ValueError("handler")

    @middleware
    async def catch(request: Request, handler: Any) -> StreamResponse:
        try:
            return await handler(request)  # type: ignore[no-any-return]  # it is a handler
        except ValueError:
            apps.append(request.app)
            return Response(text="caught")

    outer, below = Application(middlewares=[catch]), Application()
    below.router.add_get("/x", fail)
    outer.add_subapp("/below", below)
    outer.freeze()
    response = await outer._handle(make_mocked_request("GET", "/below/x"))
    assert isinstance(response, Response)
    assert (response.text, apps) == ("caught", [outer])


async def test_without_middlewares_below_and_above_nothing_is_around_the_handler() -> None:
    outer, below, other = Application(), Application(), Application(middlewares=[normalize_path_middleware()])
    below.router.add_get("/x", hello)
    outer.add_subapp("/below", below)
    outer.add_subapp("/other", other)
    outer.freeze()
    running: Any = outer._handle(make_mocked_request("GET", "/below/x"))
    assert running.cr_code is hello.__code__
    await running


async def test_an_object_and_a_view_can_take_part() -> None:
    @middleware
    class Adds:
        def __init__(self, text: str) -> None:
            self.text = text

        async def __call__(self, request: Request, handler: Any) -> Response:
            response = await handler(request)
            return Response(text=response.text + self.text)

    class Page(View):
        async def get(self) -> Response:
            return Response(text="page")

    app = Application(middlewares=[Adds("a"), Adds("b")])
    app.router.add_view("/", Page)
    app.freeze()
    response = await app._handle(make_mocked_request("GET", "/"))
    assert isinstance(response, Response)
    assert response.text == "pageba"


async def old_style(app: Application, handler: Any) -> Any:
    return handler


@pytest.mark.parametrize("wrong", [old_style, 3, hello])
def test_what_is_not_marked_is_refused(wrong: Any) -> None:
    app = Application(middlewares=[wrong])
    with pytest.raises(TypeError, match=r"write `@web\.middleware` above"):
        app.freeze()
    assert not app.pre_frozen


# Paths


def site(**options: Any) -> Application:
    app, below = Application(middlewares=[normalize_path_middleware(**options)]), Application()
    for path in ("/plain", "/slash/", "/a/b/", "/c/d", "/x/{name}/", "/any/{rest:.*}", "/q/{rest:.*}/end/"):
        app.router.add_get(path, hello)
    app.router.add_post("/post/", hello)
    below.router.add_get("/slash/", hello)
    app.add_subapp("/below", below)
    app.freeze()
    return app


async def ask(app: Application, path: str) -> int | str:
    try:
        return (await app._handle(make_mocked_request("GET", path))).status
    except HTTPMove as redirect:
        return redirect.headers["Location"]
    except HTTPNotFound as error:
        return error.status


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/plain", 200),
        ("/plain/", 404),
        ("/slash/", 200),
        ("/slash", "/slash/"),
        ("/slash?q=1&r=http://x//y%20z", "/slash/?q=1&r=http://x//y%20z"),
        ("/slash?", "/slash/"),
        ("/a//b", "/a/b/"),
        ("/a//b/", "/a/b/"),
        ("///a///b", "/a/b/"),
        ("//slash", "/slash/"),
        ("/c//d/", 404),
        ("/x/%20a", "/x/%20a/"),
        ("/x/a%2Fb", "/x/a%2Fb/"),
        ("/x//q", "/x/q/"),
        ("/any//q", 200),
        ("/below/slash", "/below/slash/"),
        ("/below//slash/", "/below/slash/"),
        ("//evil.example", 404),
        ("http://evil.example/slash", "/slash/"),
        ("/none", 404),
    ],
)
async def test_slashes_are_merged_and_appended(path: str, answer: int | str) -> None:
    assert await ask(site(), path) == answer


@pytest.mark.parametrize(
    ("options", "answers"),
    [
        ({"append_slash": False}, {"/slash": 404, "/a//b": 404, "/a//b/": "/a/b/", "/plain/": 404, "/c//d": "/c/d"}),
        ({"append_slash": False, "remove_slash": True}, {
            "/plain/": "/plain", "/plain//": "/plain", "/c//d/": "/c/d", "/slash": 404, "/a//b/": "/a/b/", "//": 404,
        }),
        ({"merge_slashes": False}, {"/slash": "/slash/", "/a//b": 404, "/a//b/": 404, "//slash": "/slash/"}),
        ({"append_slash": False, "merge_slashes": False}, {"/slash": 404, "/a//b/": 404}),
    ],
)  # fmt: skip
async def test_what_is_tried_can_be_chosen(options: dict[str, Any], answers: dict[str, int | str]) -> None:
    app = site(**options)
    assert {path: await ask(app, path) for path in answers} == answers


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example",
        "/\\evil.example",
        "///evil.example",
        "/\\/evil.example",
        "//evil.example//",
        "/%5Cevil.example",
    ],
)
@pytest.mark.parametrize("merge", [True, False])
async def test_a_redirect_stays_at_this_server(path: str, merge: bool) -> None:
    app = Application(middlewares=[normalize_path_middleware(merge_slashes=merge)])
    app.router.add_get("/{rest:.*}/", hello)
    app.freeze()
    answer = await ask(app, path)
    if isinstance(answer, str):
        assert answer.startswith("/")
        assert not answer.startswith(("//", "/\\"))


async def test_the_class_of_the_redirect_can_be_chosen() -> None:
    app = Application(middlewares=[normalize_path_middleware(redirect_class=HTTPFound)])
    app.router.add_get("/slash/", hello)
    app.freeze()
    with pytest.raises(HTTPFound):
        await app._handle(make_mocked_request("GET", "/slash"))


async def test_the_method_counts() -> None:
    assert await ask(site(), "/post") == 404
    with pytest.raises(HTTPPermanentRedirect):
        await site()._handle(make_mocked_request("POST", "/post"))


async def test_a_body_that_was_read_does_no_harm() -> None:
    @middleware
    async def reads(request: Request, handler: Any) -> Any:
        assert await request.read() == b"body"
        return await handler(request)

    app = Application(middlewares=[reads, normalize_path_middleware()])
    app.router.add_post("/slash/", hello)
    app.freeze()
    with pytest.raises(HTTPPermanentRedirect):
        await app._handle(make_mocked_request("POST", "/slash", payload=b"body"))


def test_appending_and_removing_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="append_slash and remove_slash"):
        normalize_path_middleware(append_slash=True, remove_slash=True)
