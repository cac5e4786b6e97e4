"""Applications: what they keep, how they start and end, which handler they call."""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from endwell.server.abc import AbstractMatchInfo, AbstractRouter
from endwell.server.appkey import AppKey, NotAppKeyWarning
from endwell.server.application import Application
from endwell.server.errors import CleanupError, HTTPExpectationFailed, HTTPMethodNotAllowed, HTTPNotFound
from endwell.server.middlewares import middleware
from endwell.server.request import Request
from endwell.server.response import StreamResponse
from endwell.server.router import UrlDispatcher, UrlMappingMatchInfo, get, post
from endwell.server.whole import Response
from endwell.testing.mocked import make_mocked_request

NUMBER = AppKey("number", int)
OTHER = AppKey("other", str)


async def hello(request: Request) -> Response:
    return Response(text="hello")


# What an application keeps


def test_it_is_a_mapping_of_keys() -> None:
    app = Application()
    app[NUMBER] = 1
    assert (app[NUMBER], app.get(NUMBER), app.get(OTHER), app.get(OTHER, "x")) == (1, 1, None, "x")
    assert (list(app), len(app), NUMBER in app, OTHER in app) == ([NUMBER], 1, True, False)
    assert app.setdefault(NUMBER, 5) == 1
    assert app.pop(NUMBER) == 1
    with pytest.raises(KeyError):
        app[NUMBER]
    with pytest.raises(KeyError):
        del app[NUMBER]


def test_it_is_equal_to_itself_only_and_true() -> None:
    app = Application()
    assert app
    assert app != Application()
    assert {app: 1}[app] == 1
    assert app() is app
    assert repr(app).startswith("<Application 0x")


@pytest.mark.parametrize("key", ["name", 3])
def test_other_keys_work_with_a_warning_at_the_line(key: Any) -> None:
    app = Application()
    with pytest.warns(NotAppKeyWarning, match=r"use one made with web\.AppKey") as caught:
        app[key] = 1
    assert caught[0].filename == __file__
    assert app[key] == 1


def test_a_change_after_the_start_warns() -> None:
    app = Application()
    app[NUMBER] = 1
    app.freeze()
    with pytest.warns(DeprecationWarning, match="Changing state of started") as caught:
        app[NUMBER] = 2
    assert caught[0].filename == __file__
    with pytest.warns(DeprecationWarning, match="Changing state of started"):
        del app[NUMBER]


def test_attributes_can_be_set() -> None:
    app = Application()
    app.mine = 1  # type: ignore[attr-defined]  # that is the test
    assert app.mine == 1  # type: ignore[attr-defined]  # that is the test


def test_what_is_deprecated_says_so() -> None:
    with pytest.warns(DeprecationWarning, match="argument debug"):
        app = Application(debug=True)
    with pytest.warns(DeprecationWarning, match=r"Application\.debug"):
        assert app.debug is True
    with pytest.warns(DeprecationWarning, match=r"Application\.loop"):
        assert app.loop is None
    with pytest.warns(DeprecationWarning, match="argument router"):
        Application(router=UrlDispatcher())
    with pytest.warns(DeprecationWarning, match="Mine is a subclass") as caught:

        class Mine(Application):
            pass

    assert caught[0].filename == __file__
    with pytest.raises(TypeError, match="AbstractRouter, not int"), pytest.warns(DeprecationWarning, match="router"):
        Application(router=3)  # type: ignore[arg-type]  # that is the test


def test_make_handler_is_deprecated_and_works() -> None:
    app = Application(handler_args={"max_headers": 5})
    with pytest.warns(DeprecationWarning, match=r"use web\.AppRunner"):
        server = app.make_handler(keepalive_timeout=1.0)
    assert server.settings == {"max_headers": 5, "keepalive_timeout": 1.0}
    assert app.frozen


# Setting up


def test_pre_freeze_freezes_all_but_the_mapping() -> None:
    app = Application()
    assert not app.pre_frozen
    app.pre_freeze()
    app.pre_freeze()
    assert (app.pre_frozen, app.frozen) == (True, False)
    lists: tuple[Any, ...] = (
        app.middlewares, app.on_startup, app.on_shutdown, app.on_cleanup, app.on_response_prepare, app.cleanup_ctx,
    )  # fmt: skip
    for each in lists:
        with pytest.raises(RuntimeError):
            each.append(None)
    with pytest.raises(RuntimeError):
        app.add_routes([get("/", hello)])
    app[NUMBER] = 1


def test_add_routes_returns_the_routes() -> None:
    app = Application()
    routes = app.add_routes([get("/", hello), post("/", hello)])
    assert [each.method for each in routes] == ["GET", "POST"]
    assert set(routes) < set(app.router.routes())


def test_an_application_below_is_frozen_except_for_its_mapping() -> None:
    app, below = Application(), Application()
    app.add_subapp("/below", below)
    assert (below.pre_frozen, below.frozen, app.pre_frozen) == (True, False, False)
    below[NUMBER] = 1
    with pytest.raises(RuntimeError):
        below.router.add_get("/", hello)
    app.freeze()
    assert below.frozen


@pytest.mark.parametrize(
    ("prefix", "error"), [("", ValueError), ("/", ValueError), ("//", ValueError), ("x", ValueError), (3, TypeError)]
)
def test_a_prefix_names_a_path(prefix: Any, error: type[Exception]) -> None:
    app, below = Application(), Application()
    with pytest.raises(error, match="prefix of a sub-application"):
        app.add_subapp(prefix, below)
    app.add_subapp("/good/", below)  # the failure has left nothing behind


@pytest.mark.parametrize(
    ("domain", "error"),
    [("", ValueError), ("http://a.example", ValueError), ("a b.example", ValueError), (3, TypeError)],
)
def test_a_domain_is_one(domain: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Application().add_domain(domain, Application())


def test_what_cannot_be_put_below_is_refused() -> None:
    app, below, other, frozen = Application(), Application(), Application(), Application()
    with pytest.raises(RuntimeError, match="below itself"):
        app.add_subapp("/x", app)
    frozen.freeze()
    with pytest.raises(RuntimeError, match="cannot add a frozen application"):
        app.add_subapp("/x", frozen)
    with pytest.raises(RuntimeError, match="cannot add a sub-application to"):
        frozen.add_subapp("/x", app)
    app.add_subapp("/x", below)
    for add, where in ((app.add_subapp, "/y"), (other.add_subapp, "/y"), (other.add_domain, "y.example")):
        with pytest.raises(RuntimeError, match="below an application already"):
            add(where, below)


# Its life


class Story:
    """Applications whose every callback tells its name; those named in `bad` raise after that."""

    def __init__(self, *bad: str) -> None:
        self.bad = bad
        self.told: list[str] = []

    def tell(self, name: str) -> None:
        self.told.append(name)
        if name in self.bad:
            raise ValueError(name)

    def callback(self, name: str) -> Callable[[Application], Coroutine[Any, Any, None]]:
        async def callback(app: Application) -> None:
            self.tell(name)

        return callback

    def context(self, name: str) -> Callable[[Application], AsyncIterator[None]]:
        async def context(app: Application) -> AsyncIterator[None]:
            self.tell(f"{name} in")
            yield
            self.tell(f"{name} out")

        return context

    def app(self, name: str, *below: Application) -> Application:
        app = Application()
        for number in (1, 2):
            app.on_startup.append(self.callback(f"{name} start{number}"))
            app.on_shutdown.append(self.callback(f"{name} shut{number}"))
            app.on_cleanup.append(self.callback(f"{name} clean{number}"))
            app.cleanup_ctx.append(self.context(f"{name} ctx{number}"))
            if number == 1:
                for each in below:
                    app.add_subapp(f"/{id(each)}", each)
        return app


STARTS = ["a ctx1 in", "a ctx2 in", "a start1", "b ctx1 in", "b ctx2 in", "b start1", "b start2", "a start2"]
SHUTS = ["a shut1", "b shut1", "b shut2", "a shut2"]
CLEANS = [
    "b ctx2 out", "b ctx1 out", "b clean1", "b clean2", "a ctx2 out", "a ctx1 out", "a clean1", "a clean2",
]  # fmt: skip


async def test_what_starts_first_ends_last() -> None:
    story = Story()
    app = story.app("a", story.app("b"))
    await app.startup()
    assert story.told == STARTS
    await app.shutdown()
    await app.cleanup()
    assert story.told == STARTS + SHUTS + CLEANS


async def test_applications_side_by_side_end_in_reverse_order() -> None:
    story = Story()
    app = story.app("a", story.app("b"), story.app("c"))
    await app.startup()
    await app.cleanup()
    ends = [each for each in story.told if each.endswith(("ctx1 out", "clean2"))]
    assert ends == ["c ctx1 out", "c clean2", "b ctx1 out", "b clean2", "a ctx1 out", "a clean2"]


async def test_the_end_comes_once() -> None:
    story = Story()
    app = story.app("a", story.app("b"))
    await app.startup()
    for _ in range(2):
        await app.shutdown()
    for _ in range(2):
        await app.cleanup()
    await app.shutdown()
    assert story.told == STARTS + SHUTS + CLEANS


async def test_a_second_life_is_like_the_first() -> None:
    story = Story()
    app = story.app("a")
    for _ in range(2):
        await app.startup()
        await app.shutdown()
        await app.cleanup()
    half = len(story.told) // 2
    assert half == 10
    assert story.told[:half] == story.told[half:]


async def test_cleanup_without_a_startup_calls_what_needs_none() -> None:
    story = Story()
    app = story.app("a")
    await app.cleanup()
    assert story.told == ["a clean1", "a clean2"]


async def test_contexts_are_managers_too() -> None:
    told = []

    @asynccontextmanager
    async def generator(app: Application) -> AsyncIterator[None]:
        told.append("generator in")
        yield
        told.append("generator out")

    class Manager:
        def __init__(self, app: Application) -> None:
            self.app = app

        async def __aenter__(self) -> None:
            told.append("manager in")

        async def __aexit__(self, *given: object) -> None:
            told.append(f"manager out {given}")

    app = Application()
    app.cleanup_ctx.append(generator)
    app.cleanup_ctx.append(Manager)  # type: ignore[arg-type]  # it is one by its methods
    await app.startup()
    await app.cleanup()
    assert told == ["generator in", "manager in", "manager out (None, None, None)", "generator out"]


async def twice(app: Application) -> AsyncIterator[None]:
    yield
    try:
        yield
    finally:
        app[OTHER] = "closed"


async def never(app: Application) -> AsyncIterator[None]:
    for _ in ():
        yield


async def no_generator(app: Application) -> None:
    raise AssertionError("it is not awaited")


async def test_a_context_with_two_yields_is_closed_and_refused() -> None:
    app = Application()
    app.cleanup_ctx.append(twice)
    await app.startup()
    with pytest.raises(RuntimeError, match="context twice has more than one yield"):
        await app.cleanup()
    assert app[OTHER] == "closed"


@pytest.mark.parametrize(
    ("context", "message"),
    [
        (never, "context never ended without a yield"),
        (no_generator, "context no_generator gave a coroutine"),
        (lambda app: 3, "gave a int"),
    ],
)
async def test_what_is_no_context_is_refused(context: Any, message: str) -> None:
    app = Application()
    app.cleanup_ctx.append(context)
    with pytest.raises((RuntimeError, TypeError), match=message):
        await app.startup()


@pytest.mark.parametrize("bad", STARTS)
async def test_a_start_that_fails_cleans_up_what_had_started(bad: str) -> None:
    story = Story(bad)
    app = story.app("a", story.app("b"))
    with pytest.raises(ValueError, match=bad):
        await app.startup()
    started = STARTS[: STARTS.index(bad) + 1]
    assert story.told[: len(started)] == started
    ended = story.told[len(started) :]
    entered = {each[:6] for each in started[: -1 if "ctx" in bad else None] if "ctx" in each}
    begun = {each[0] for each in started}
    assert ended == [each for each in CLEANS if each[:6] in entered or ("clean" in each and each[0] in begun)]
    await app.shutdown()
    await app.cleanup()
    assert story.told == started + ended


async def test_errors_after_one_at_the_start_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    story = Story("a start1", "a ctx2 out", "a clean1")
    app = story.app("a")
    with caplog.at_level(logging.ERROR), pytest.raises(ValueError, match="a start1"):
        await app.startup()
    assert [str(each.exc_info[1]) for each in caplog.records if each.exc_info] == ["a ctx2 out", "a clean1"]
    assert story.told[-4:] == ["a ctx2 out", "a ctx1 out", "a clean1", "a clean2"]


@pytest.mark.parametrize("bad", CLEANS)
async def test_one_error_at_the_end_is_raised_after_the_rest(bad: str) -> None:
    story = Story(bad)
    app = story.app("a", story.app("b"))
    await app.startup()
    with pytest.raises(ValueError, match=bad):
        await app.cleanup()
    assert story.told == STARTS + CLEANS


async def test_several_errors_at_the_end_are_gathered() -> None:
    story = Story(*CLEANS)
    app = story.app("a", story.app("b"))
    await app.startup()
    with pytest.raises(CleanupError, match="8 things failed while cleaning up") as caught:
        await app.cleanup()
    assert [str(each) for each in caught.value.exceptions] == CLEANS
    assert story.told == STARTS + CLEANS


async def test_every_callback_of_shutdown_is_called() -> None:
    story = Story("a shut1", "b shut1", "b shut2")
    app = story.app("a", story.app("b"))
    await app.startup()
    with pytest.raises(CleanupError) as caught:
        await app.shutdown()
    assert [str(each) for each in caught.value.exceptions] == ["a shut1", "b shut1", "b shut2"]
    assert story.told == STARTS + SHUTS
    with pytest.raises(ValueError, match="a shut1"):
        await Story("a shut1").app("a").shutdown()


class Slow:
    """Callbacks that wait, and tell when they do, how it ended, and what came after."""

    def __init__(self) -> None:
        self.waits = asyncio.Event()
        self.told: list[str] = []

    def callback(self, name: str, *, wait: bool) -> Callable[[Application], Coroutine[Any, Any, None]]:
        async def callback(app: Application) -> None:
            self.told.append(name)
            if wait:
                self.waits.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    self.told.append(f"{name} interrupted")

        return callback

    def context(self, name: str, *, wait: bool) -> Callable[[Application], AsyncIterator[None]]:
        async def context(app: Application) -> AsyncIterator[None]:
            yield
            await self.callback(name, wait=wait)(app)

        return context


async def cancel_when(event: asyncio.Event, task: asyncio.Task[None]) -> None:
    await event.wait()
    event.clear()
    task.cancel()
    await asyncio.wait([task])


async def test_a_cancelled_cleanup_runs_the_rest_and_is_cancelled() -> None:
    slow = Slow()
    app = Application()
    app.cleanup_ctx.append(slow.context("first in, last out", wait=False))
    app.cleanup_ctx.append(slow.context("slow", wait=True))
    app.on_cleanup.append(slow.callback("last", wait=False))
    await app.startup()
    task = asyncio.create_task(app.cleanup())
    await cancel_when(slow.waits, task)
    assert task.cancelled()
    assert slow.told == ["slow", "slow interrupted", "first in, last out", "last"]


async def test_each_cancellation_interrupts_one() -> None:
    slow = Slow()
    app = Application()
    for name in "abc":
        app.on_cleanup.append(slow.callback(name, wait=name != "c"))
    task = asyncio.create_task(app.cleanup())
    await slow.waits.wait()
    slow.waits.clear()
    task.cancel()
    await cancel_when(slow.waits, task)
    assert task.cancelled()
    assert slow.told == ["a", "a interrupted", "b", "b interrupted", "c"]


async def test_errors_beside_a_cancellation_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    slow, story = Slow(), Story("later")
    app = Application()
    app.on_cleanup.append(slow.callback("slow", wait=True))
    app.on_cleanup.append(story.callback("later"))
    task = asyncio.create_task(app.cleanup())
    with caplog.at_level(logging.ERROR):
        await cancel_when(slow.waits, task)
    assert task.cancelled()
    assert ["later" in each.getMessage() for each in caplog.records] == [True]


async def test_a_cancelled_startup_cleans_up() -> None:
    slow = Slow()
    app = Application()
    app.cleanup_ctx.append(slow.context("out", wait=False))
    app.on_startup.append(slow.callback("start", wait=True))
    task = asyncio.create_task(app.startup())
    await cancel_when(slow.waits, task)
    assert task.cancelled()
    assert slow.told == ["start", "start interrupted", "out"]


async def test_a_start_that_failed_can_be_cancelled_while_it_cleans_up() -> None:
    slow, story = Slow(), Story("start")
    app = Application()
    app.cleanup_ctx.append(slow.context("out", wait=True))
    app.on_startup.append(story.callback("start"))
    app.on_cleanup.append(slow.callback("last", wait=False))
    task = asyncio.create_task(app.startup())
    await cancel_when(slow.waits, task)
    assert task.cancelled()
    assert slow.told == ["out", "out interrupted", "last"]


async def test_a_cancelled_shutdown_leaves_the_rest_to_the_cleanup() -> None:
    slow = Slow()
    app = Application()
    app.on_shutdown.append(slow.callback("slow", wait=True))
    app.on_shutdown.append(slow.callback("skipped", wait=True))
    app.on_cleanup.append(slow.callback("clean", wait=False))
    task = asyncio.create_task(app.shutdown())
    await cancel_when(slow.waits, task)
    assert task.cancelled()
    await app.cleanup()
    assert slow.told == ["slow", "slow interrupted", "clean"]


async def test_awaiting_a_cancelled_task_is_no_cancellation_of_the_cleanup() -> None:
    told = []

    async def stop_worker(app: Application) -> None:
        worker = asyncio.create_task(asyncio.Event().wait())
        worker.cancel()
        await worker

    async def last(app: Application) -> None:
        told.append("last")

    app = Application()
    app.on_cleanup.extend([stop_worker, last])
    with pytest.raises(CleanupError) as caught:
        await app.cleanup()
    assert [type(each) for each in caught.value.exceptions] == [asyncio.CancelledError]
    assert told == ["last"]


async def test_routes_can_be_added_while_it_starts() -> None:
    async def late(app: Application) -> None:
        app.router.add_get("/late", hello)
        app[NUMBER] = 1

    app = Application()
    app.on_startup.append(late)
    await app.startup()
    app.freeze()
    response = await app._handle(make_mocked_request("GET", "/late"))
    assert response.status == 200


# Tasks


async def test_tasks_belong_to_the_server_of_the_outermost() -> None:
    app, below, deep = Application(), Application(), Application()
    below.add_subapp("/deep", deep)
    app.add_subapp("/below", below)
    names = []

    def start(coro: Coroutine[Any, Any, Any], name: str | None) -> asyncio.Task[Any]:
        names.append(name)
        return asyncio.create_task(coro)

    app._tasks = start
    assert await deep.create_task(asyncio.sleep(0, "x"), name="mine") == "x"
    assert await app.create_task(asyncio.sleep(0, "y")) == "y"
    assert names == ["mine", None]


async def test_a_task_without_a_server_is_refused() -> None:
    app, below = Application(), Application()
    app.add_subapp("/below", below)
    for each in (app, below):
        with pytest.raises(RuntimeError, match=r"web\.AppRunner"):
            each.create_task(asyncio.sleep(0))


# Which handler is called


async def test_the_handler_of_the_route_is_called_itself() -> None:
    app = Application()
    app.router.add_get("/x/{name}", hello)
    app.freeze()
    request = make_mocked_request("GET", "/x/a%20b?q=1")
    running = app._handle(request)
    assert running.cr_code is hello.__code__  # type: ignore[attr-defined]  # the handler's coroutine, no layer around it
    response = await running
    assert response.status == 200
    assert dict(request.match_info) == {"name": "a b"}
    assert request.app is app
    assert request.match_info.apps == (app,)
    with pytest.raises(RuntimeError):
        request.match_info.add_app(app)


@pytest.mark.parametrize("with_middleware", [False, True])
async def test_nothing_found_is_an_error(with_middleware: bool) -> None:
    @middleware
    async def around(request: Request, handler: Any) -> StreamResponse:
        assert request.match_info.http_exception is not None
        response = await handler(request)
        assert isinstance(response, StreamResponse)
        return response

    app = Application(middlewares=[around] if with_middleware else [])
    app.router.add_get("/x", hello)
    app.freeze()
    for _ in range(3):
        with pytest.raises(HTTPNotFound):
            await app._handle(make_mocked_request("GET", "/y"))
        with pytest.raises(HTTPMethodNotAllowed) as caught:
            await app._handle(make_mocked_request("POST", "/x"))
        assert caught.value.allowed_methods == {"GET", "HEAD"}
    assert app._chains is None or len(app._chains) == 1


@pytest.mark.parametrize("pre_freeze", [True, False])
async def test_applications_below_answer_below_their_prefix(pre_freeze: bool) -> None:
    async def show(request: Request) -> Response:
        assert request.app is below
        assert request.match_info.apps == (app, below)
        assert request.config_dict[NUMBER] == 2
        assert request.config_dict[OTHER] == "outer"
        return Response(text=request.path)

    app, below = Application(), Application()
    below.router.add_get("/show", show)
    app.add_subapp("/below", below)
    app[NUMBER], below[NUMBER], app[OTHER] = 1, 2, "outer"
    app.router.add_get("/", hello)
    if pre_freeze:
        app.freeze()
    response = await app._handle(make_mocked_request("GET", "/below/show"))
    assert isinstance(response, Response)
    assert response.text == "/below/show"
    request = make_mocked_request("GET", "/")
    await app._handle(request)
    assert request.app is app
    for path in ("/below/none", "/belowshow"):
        with pytest.raises(HTTPNotFound):
            await app._handle(make_mocked_request("GET", path))


async def test_applications_answer_for_their_domains() -> None:
    async def host(request: Request) -> Response:
        return Response(text="below" if request.app is below else "outer")

    app, below = Application(), Application()
    app.router.add_get("/", host)
    below.router.add_get("/", host)
    app.add_domain("a.example", below)
    app.add_domain("*.b.example", below)  # the same one again
    app.freeze()
    for name, text in {
        "a.example": "below",
        "x.b.example": "below",
        "b.example": "outer",
        "c.example": "outer",
    }.items():
        response = await app._handle(make_mocked_request("GET", "/", headers={"Host": name}))
        assert isinstance(response, Response)
        assert (name, response.text) == (name, text)
    assert len(app.on_startup) == 1


async def test_what_the_client_expects_is_asked_first() -> None:
    told = []

    async def expect(request: Request) -> StreamResponse | None:
        told.append("expect")
        return Response(text="no") if request.path == "/no" else None

    async def refuse(request: Request) -> None:
        raise HTTPExpectationFailed

    async def handler(request: Request) -> Response:
        told.append("handler")
        return Response(text="yes")

    @middleware
    async def around(request: Request, handler: Any) -> Any:
        told.append("middleware")
        return await handler(request)

    app = Application(middlewares=[around])
    app.router.add_get("/yes", handler, expect_handler=expect)
    app.router.add_get("/no", handler, expect_handler=expect)
    app.router.add_get("/refuse", handler, expect_handler=refuse)
    app.freeze()

    async def ask(path: str, **headers: str) -> str | None:
        told.clear()
        response = await app._handle(make_mocked_request("GET", path, headers=headers))
        assert isinstance(response, Response)
        return response.text

    assert (await ask("/yes", Expect="100-continue"), told) == ("yes", ["expect", "middleware", "handler"])
    assert (await ask("/no", Expect="100-continue"), told) == ("no", ["expect"])
    assert (await ask("/no"), told) == ("yes", ["middleware", "handler"])
    with pytest.raises(HTTPExpectationFailed):
        await ask("/refuse", Expect="100-continue")
    with pytest.raises(HTTPNotFound):
        await ask("/none", Expect="100-continue")


class Everything(AbstractRouter):
    """A router of a user: one handler for all."""

    async def resolve(self, request: Request) -> Any:
        await asyncio.sleep(0)
        if request.path == "/broken":
            return None
        return Found() if request.path == "/found" else UrlMappingMatchInfo({}, route)


class Found(AbstractMatchInfo):
    """What a router of a user finds."""

    handler = staticmethod(hello)  # type: ignore[assignment]  # an attribute instead of a property
    http_exception = None

    def __init__(self) -> None:
        self._apps: tuple[Application, ...] = ()

    async def expect_handler(self, request: Request) -> None:  # type: ignore[override]  # a method instead of a property
        raise HTTPExpectationFailed

    def get_info(self) -> dict[str, Any]:
        return {}

    @property
    def apps(self) -> tuple[Application, ...]:
        return self._apps

    def add_app(self, app: Application) -> None:
        self._apps = (app, *self._apps)

    def freeze(self) -> None:
        pass


route = UrlDispatcher().add_get("/", hello)


@pytest.mark.parametrize("with_middleware", [False, True])
async def test_a_router_of_ones_own_is_awaited(with_middleware: bool) -> None:
    told = []

    @middleware
    async def around(request: Request, handler: Any) -> Any:
        told.append(request.path)
        return await handler(request)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        app = Application(router=Everything(), middlewares=[around] if with_middleware else [])  # type: ignore[arg-type]  # as aiohttp takes it
    app.freeze()
    for path in ("/any", "/found"):
        told.clear()
        request = make_mocked_request("GET", path)
        response = await app._handle(request)
        assert response.status == 200
        assert request.match_info.apps == (app,)
        assert told == ([path] if with_middleware else [])
    with pytest.raises(HTTPExpectationFailed):
        await app._handle(make_mocked_request("GET", "/found", headers={"Expect": "100-continue"}))
    with pytest.raises(TypeError, match="found NoneType, not an AbstractMatchInfo"):
        await app._handle(make_mocked_request("GET", "/broken"))


async def test_a_dispatcher_that_overrides_resolve_is_asked() -> None:
    class Mine(UrlDispatcher):
        async def resolve(self, request: Request) -> UrlMappingMatchInfo:
            assert request.path != "/forbidden"
            return await super().resolve(request)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        app, below = Application(), Application(router=Mine())
    below.router.add_get("/x", hello)
    app.add_subapp("/below", below)
    app.freeze()
    assert (await app._handle(make_mocked_request("GET", "/below/x"))).status == 200


def test_the_request_has_the_limits_of_the_application() -> None:
    exchange = make_mocked_request("GET", "/x")._exchange
    request = Application(client_max_size=5, client_max_fields=6)._make_request(exchange)
    assert type(request) is Request
    assert (request.client_max_size, request.client_max_fields, request.path) == (5, 6, "/x")
