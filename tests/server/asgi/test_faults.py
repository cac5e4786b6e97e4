"""What an application does wrong, and what becomes of it: an answer, one line of log, a response that ends early."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from endwell import web
from tests.support.asgi import Call, app, asgi, get
from tests.support.raw import passes, until


async def test_an_exception_before_the_response_is_a_500_and_logged_once() -> None:
    async def handle(call: Call) -> None:
        if call.path == "/started":
            await call.start(200, (b"x-a", b"1"))
        raise ValueError("s3cret")

    async with asgi(app(handle)) as stage:
        for target in ("/", "/started"):
            client = await stage.connect()
            await client.send(get(target))
            answer = await client.answer()
            assert (answer.status, answer.body) == (500, b"500: Internal Server Error\n")
            assert answer.get("x-a") is None
            assert answer.closes
            assert await client.closed() == "fin"
            said = stage.said()
            assert len(said) == 1
            assert f"GET {target} from 127.0.0.1" in said[0]
            assert "ValueError: s3cret" in said[0]


async def test_the_traceback_is_shown_in_debug_mode_only() -> None:
    async def handle(call: Call) -> None:
        raise ValueError("<by the test>")

    async with asgi(app(handle), debug=True) as stage:
        answer = await stage.one(get())
        assert answer.status == 500
        assert answer.get("content-type") == "text/plain; charset=utf-8"
        assert b"Traceback" in answer.body
        assert b"<by the test>" in answer.body
        assert len(stage.said()) == 1


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("how", ["raise", "return"])
async def test_a_response_that_has_begun_is_cut(version: str, length: bool, how: str) -> None:
    async def handle(call: Call) -> None:
        await call.start(200, *([(b"content-length", b"10")] if length else []))
        await call.body(b"begun", more=True)
        if how == "raise":
            raise ValueError("by the test")

    async with asgi(app(handle)) as stage:
        client = await stage.connect()
        await client.send(get(version=version))
        answer = await client.answer()
        assert answer.status == 200
        assert not answer.complete
        assert client.ended is not None
        said = stage.said()
        assert len(said) == 1
        assert "by the test" in said[0] or "before its response was complete" in said[0]


async def test_an_application_that_does_not_answer_is_a_500() -> None:
    async def handle(call: Call) -> None:
        if call.path == "/started":
            await call.start()

    async with asgi(app(handle)) as stage:
        for target, why in (("/", "without a response"), ("/started", "before its response was complete")):
            assert (await stage.one(get(target))).status == 500
            said = stage.said()
            assert len(said) == 1
            assert why in said[0]


async def test_an_exception_behind_a_response_harms_nobody() -> None:
    async def handle(call: Call) -> None:
        await call.answer(call.path.encode())
        if call.path == "/late":
            await passes()
        if call.path != "/fine":
            raise ValueError("by the test")

    async with asgi(app(handle)) as stage:
        client = await stage.connect()
        for target in ("/at-once", "/late", "/fine"):
            await client.send(get(target))
            answer = await client.answer()
            assert (answer.status, answer.body) == (200, target.encode())
        said: list[str] = []
        while len(said) < 2:
            said += stage.said()
            await passes()
        assert all("failed after its response" in line for line in said)


START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": []}
BODY: dict[str, Any] = {"type": "http.response.body", "body": b"abc"}
MORE: dict[str, Any] = {**BODY, "more_body": True}
LENGTH: dict[str, Any] = {**START, "headers": [(b"content-length", b"3")]}


@pytest.mark.parametrize(
    ("events", "why"),
    [
        ([BODY], r"where 'http\.response\.start' was expected, for GET / from"),
        ([START, START], "where the body was expected"),
        ([START, MORE, START], r"where 'http\.response\.body' was expected"),
        ([START, BODY, BODY], "after the response to GET / from .* was complete"),
        ([START, BODY, START], "after the response to GET / from .* was complete"),
        ([{"type": "websocket.accept"}], r"where 'http\.response\.start' was expected"),
        ([{"type": "http.nonsense"}], "http.nonsense"),
        ([START, MORE, {"type": "http.response.pathsend", "path": "/"}], r"where 'http\.response\.body'"),
        ([{**START, "status": 100}], "Status 100"),
        ([{**START, "status": "200"}], "Status '200'"),
        ([{**START, "status": 1000}], "Status 1000"),
        ([{**START, "headers": [("a", "b")]}], "pair of bytes"),
        ([{**START, "headers": [(b"a", b"b\r\nc: d")]}], "CR, LF or NUL"),
        ([{**START, "headers": [(b"transfer-encoding", b"gzip")]}], "can only be chunked"),
        ([START, {**BODY, "body": "abc"}], "is bytes, not str"),
        ([LENGTH, {**BODY, "body": b"abcd"}], "4 bytes, and Content-Length said 3"),
        ([LENGTH, {**BODY, "body": b"ab"}], "2 bytes, and Content-Length said 3"),
        ([LENGTH, MORE, MORE], "3 bytes longer than the Content-Length"),
        ([LENGTH, {**MORE, "body": b"ab"}, {**BODY, "body": b""}], "ended 1 bytes before the Content-Length"),
    ],
)
async def test_wrong_events_are_named(events: list[dict[str, Any]], why: str) -> None:
    raised = 0

    async def handle(call: Call) -> None:
        nonlocal raised
        for event in events[:-1]:
            await call.send(event)
        with pytest.raises((RuntimeError, ValueError, TypeError), match=why):
            await call.send(events[-1])
        raised += 1

    async with asgi(app(handle)) as stage:
        client = await stage.connect()
        await client.send(get())
        answer = await client.answer()
        assert answer.status == (500 if MORE not in events and BODY not in events[:-1] and not _began(events) else 200)
        came_whole = events == [LENGTH, MORE, MORE]
        assert answer.complete is (answer.status == 500 or BODY in events[:-1] or came_whole)
        assert len(stage.said()) == (BODY not in events[:-1])
    assert raised == 1


def _began(events: list[dict[str, Any]]) -> bool:
    return any(event.get("more_body") for event in events[:-1])


async def test_an_application_may_put_right_what_it_was_told() -> None:
    async def handle(call: Call) -> None:
        with pytest.raises(ValueError, match="token"):
            await call.start(200, (b"a b", b"c"))
        await call.answer(b"better")

    async with asgi(app(handle)) as stage:
        assert (await stage.one(get())).body == b"better"


async def test_who_sends_to_a_client_that_has_gone_is_told_and_not_blamed() -> None:
    errors: list[OSError] = []
    go = asyncio.Event()

    async def handle(call: Call) -> None:
        await call.start()
        try:
            while True:
                await call.body(bytes(2**16), more=True)
        except OSError as error:
            errors.append(error)
            raise

    async def late(call: Call) -> None:
        await go.wait()
        for event in (START, BODY):
            try:
                await call.send(event)
            except OSError as error:
                errors.append(error)

    async with asgi(app(lambda call: (late if call.path == "/late" else handle)(call))) as stage:
        client = await stage.connect()
        await client.send(get())
        await until(lambda: stage.server.core.work)
        client.reset()
        await until(lambda: errors)
        client = await stage.connect()
        await client.send(get("/late"))
        await until(lambda: stage.server.core.work)
        client.reset()
        await until(lambda: not stage.server.core.connections)
        go.set()
        await until(lambda: len(errors) == 2)
    assert all("has gone" in str(error) or "lost" in str(error) for error in errors)


async def test_what_is_raised_after_a_disconnect_is_no_error() -> None:
    raised = asyncio.Event()

    async def handle(call: Call) -> None:
        while (await call.receive())["type"] != "http.disconnect":
            pass
        raised.set()
        raise RuntimeError("ClientDisconnect, or the like")

    async with asgi(app(handle)) as stage:
        client = await stage.connect()
        await client.send(get())
        await until(lambda: stage.server.core.work)
        client.sock.close()
        await raised.wait()


async def test_an_application_that_awaits_what_was_cancelled() -> None:
    async def handle(call: Call) -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    async with asgi(app(handle)) as stage:
        assert (await stage.one(get())).status == 500
        assert "awaited what was cancelled" in stage.said()[0]


async def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="scope, receive and send; int cannot"):
        web_runner(7)
    with pytest.raises(ValueError, match="'auto', 'on' or 'off'"):
        web_runner(app(lambda call: call.answer()), lifespan="maybe")
    with pytest.raises(TypeError, match="no setting nonsense"):
        web_runner(app(lambda call: call.answer()), nonsense=1)


def web_runner(application: Any, **settings: Any) -> Any:
    from endwell.server.asgi import AsgiRunner

    return AsgiRunner(application, **settings)


async def test_a_runner_is_one_for_sites() -> None:
    runner = web_runner(app(lambda call: call.answer()), access_log=None)
    with pytest.raises(RuntimeError, match=r"runner\.setup\(\)"):
        web.TCPSite(runner, "127.0.0.1", 0)
    await runner.setup()
    assert runner.server is not None
    assert runner.sites == set()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert runner.addresses == site.addresses
    with pytest.raises(RuntimeError, match="set up already"):
        await runner.setup()
    await runner.cleanup()
    assert runner.server is None
    await runner.setup()  # once more
    await runner.cleanup()
