"""The test client: paths on its server, and both of them closed together."""

from __future__ import annotations

import asyncio
import gc

import pytest
from yarl import URL

from endwell import DummyCookieJar, ExchangeAbortedError, SessionClosedError, open_resources, web
from endwell.test_utils import RawTestServer, TestClient, TestServer
from tests.support.closing import outcome, passes
from tests.support.contract import cancelled_at
from tests.support.leaks import open_sockets


async def echo(request: web.BaseRequest) -> web.Response:
    text = f"{request.method} {request.raw_path} {await request.text()} {request.headers.get('X-Mine', '-')}"
    response = web.Response(text=text, headers={"X-Saw": text})
    response.set_cookie("seen", "yes")
    return response


def application() -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", echo)
    return app


VERBS = ["get", "post", "options", "head", "put", "patch", "delete"]


@pytest.mark.parametrize("verb", VERBS)
async def test_the_verbs(verb: str) -> None:
    async with TestClient(TestServer(application()), headers={"X-Mine": "mine"}) as client:
        async with getattr(client, verb)("/a?b=1", data="body") as response:
            assert response.headers["X-Saw"] == f"{verb.upper()} /a?b=1 body mine"
            assert response.url == client.make_url("/a?b=1")
        async with client.request(verb.upper(), URL("/b")) as response:
            assert response.headers["X-Saw"] == f"{verb.upper()} /b  mine"
        response = await getattr(client, verb)("c")
        assert response.headers["X-Saw"] == f"{verb.upper()} /c  mine"
        await response.read()


async def test_a_response_may_be_left_unread(recwarn: pytest.WarningsRecorder) -> None:
    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"x")
        await asyncio.sleep(0)
        return response

    app = web.Application()
    app.router.add_get("/", stream)
    async with TestClient(TestServer(app)) as client:
        for number in range(120):
            response = await client.get("/")
            assert response.status == 200
            if number % 3:
                await response.read()
        del response
        gc.collect()
        assert len(client._responses) <= 100
    assert [str(warning.message) for warning in recwarn] == []


async def test_its_parts() -> None:
    app = application()
    server = TestServer(app)
    client = TestClient(server)
    assert (client.server, client.app, client.host, client.port) == (server, app, "127.0.0.1", None)
    async with client as entered:
        assert entered is client
        assert client.port == server.port
        assert client.session is client.session
        assert str(client.port) in repr(client)
    assert client.session.closed
    assert server.closed
    assert "closed" in repr(client)
    with pytest.raises(RuntimeError):
        client.get("/")
    raw = TestClient(RawTestServer(echo))
    assert raw.app is None
    async with raw, raw.get("/") as response:
        assert (await response.text()).startswith("GET /")


async def test_it_takes_a_server_that_runs() -> None:
    async with TestServer(application()) as server, TestClient(server) as client:
        async with client.get("/") as response:
            assert response.status == 200


async def test_cookies_of_an_address_are_kept() -> None:
    async with TestClient(TestServer(application())) as client:
        await (await client.get("/")).read()
        assert [cookie.key for cookie in client.session.cookie_jar] == ["seen"]
    async with TestClient(TestServer(application()), cookie_jar=DummyCookieJar()) as client:
        await (await client.get("/")).read()
        assert list(client.session.cookie_jar) == []


async def test_what_it_refuses() -> None:
    with pytest.raises(TypeError, match=r"takes a TestServer, not Application; write: TestClient\(TestServer\(app\)\)"):
        TestClient(application())  # type: ignore[call-overload] # that is the test
    with pytest.raises(TypeError, match="async with TestClient"), TestClient(TestServer(application())):
        pytest.fail("the block was entered")
    client = TestClient(TestServer(application()))
    with pytest.raises(RuntimeError, match="does not listen"):
        client.get("/")
    async with client:
        with pytest.raises(ValueError, match="takes a path"):
            client.get("http://example.org/")
    client = TestClient(TestServer(application()), no_such=1)
    with pytest.raises(TypeError, match="no_such"):
        await client.start_server()
    assert not client.server.started


async def test_a_start_that_fails_closes_both() -> None:
    async def fails(app: web.Application) -> None:
        raise LookupError("on startup")

    app = application()
    app.on_startup.append(fails)
    client = TestClient(TestServer(app))
    with pytest.raises(LookupError, match="on startup"):
        await client.start_server()
    assert client.session.closed
    assert open_resources() == []
    closed = TestClient(TestServer(application()))
    await closed.close()
    with pytest.raises(RuntimeError, match="no session any more"):
        await closed.start_server()
    assert not closed.server.started


async def test_closing_lets_requests_finish() -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.Response:
        began.set()
        await go_on.wait()
        return web.Response(text="done")

    async def ask() -> str:
        async with client.get("/") as response:
            return await response.text()

    client = TestClient(RawTestServer(handler))
    await client.start_server()
    asking = asyncio.create_task(ask())
    await began.wait()
    first, second = asyncio.create_task(client.close()), asyncio.create_task(client.close())
    await passes()
    assert not first.done()
    go_on.set()
    await asyncio.gather(first, second)
    assert await asking == "done"
    await client.close()
    assert open_resources() == []


async def test_a_block_that_fails_waits_for_nothing() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.Response:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return web.Response()

    async def fail() -> None:
        async with TestClient(RawTestServer(handler)) as client:
            asking.append(asyncio.create_task(outcome(client.get("/"))))
            await began.wait()
            raise LookupError("in the block")

    asking: list[asyncio.Task[object]] = []
    with pytest.raises(LookupError):
        await fail()
    assert isinstance(await asking[0], ExchangeAbortedError)
    assert ended.is_set()


async def test_a_response_that_is_held_is_closed() -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"begun")
        await asyncio.Event().wait()
        return response

    async with TestClient(RawTestServer(handler)) as client:
        response = await client.get("/")
        assert await response.content.readany() == b"begun"
    assert response.closed
    with pytest.raises(SessionClosedError):
        await client.session.get("http://127.0.0.1:1/")


@pytest.mark.parametrize("what", ["start_server", "close"])
async def test_cancelled_at_every_await(what: str) -> None:
    before = open_sockets()
    for number in range(200):
        client = TestClient(TestServer(application()))
        if what == "close":
            await client.start_server()
            await (await client.get("/")).read()
        driven = cancelled_at(getattr(client, what)(), number)

        async def driving(driven: cancelled_at = driven) -> None:
            await driven

        task = asyncio.create_task(driving())
        await asyncio.wait([task])
        assert task.cancelled() == driven.reached, f"the cancellation at await {number} was swallowed"
        if not driven.reached or what == "close":
            await client.close()
        await passes()
        assert open_resources() == [], f"after a cancellation at await {number}"
        assert open_sockets() == before, f"after a cancellation at await {number}"
        if not driven.reached:
            return
    pytest.fail("it never came to its end")
