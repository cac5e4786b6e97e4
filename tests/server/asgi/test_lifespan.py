from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any

import pytest

from endwell.server.asgi import AsgiRunner, LifespanError
from tests.support.asgi import asgi, get
from tests.support.raw import ListHandler, passes


class Told:
    """An application that notes what happens to it."""

    def __init__(self, **answers: Any) -> None:
        self.answers = {"startup": {"type": "lifespan.startup.complete"}}
        self.answers |= {"shutdown": {"type": "lifespan.shutdown.complete"}} | answers
        self.lines: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            self.lines.append("request")
            assert scope["state"] == {"made": self}
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body"})
            return
        assert scope["asgi"] == {"version": "3.0", "spec_version": "2.0"}
        try:
            for name in ("startup", "shutdown"):
                assert await receive() == {"type": f"lifespan.{name}"}
                self.lines.append(name)
                answer = self.answers[name]
                if name == "startup":
                    scope["state"]["made"] = self
                if isinstance(answer, Exception):
                    raise answer
                if answer is None:
                    return
                await send(answer)
                if answer["type"].endswith("failed"):
                    raise ValueError("the cause")
        finally:
            self.lines.append("end")


def runner_of(application: Any, **settings: Any) -> tuple[AsgiRunner, ListHandler]:
    keeper = ListHandler()
    logger = logging.Logger("endwell.test")  # noqa: LOG001  # of this test alone
    logger.addHandler(keeper)
    return AsgiRunner(application, logger=logger, access_log=None, **settings), keeper


def said(keeper: ListHandler, level: int = logging.WARNING) -> list[str]:
    return [logging.Formatter().format(each) for each in keeper.records if each.levelno >= level]


async def test_startup_before_the_first_request_and_shutdown_after_the_last() -> None:
    told = Told()
    async with asgi(told, lifespan="on") as stage:
        assert told.lines == ["startup"]
        assert (await stage.one(get())).status == 200
    assert told.lines == ["startup", "request", "shutdown", "end"]


async def test_off_asks_nobody() -> None:
    told = Told()
    runner, _ = runner_of(told, lifespan="off")
    await runner.setup()
    await runner.cleanup()
    assert told.lines == []


@pytest.mark.parametrize("mode", ["on", "auto"])
async def test_a_startup_that_failed_ends_it_with_its_message(mode: str) -> None:
    told = Told(startup={"type": "lifespan.startup.failed", "message": "no database"})
    runner, keeper = runner_of(told, lifespan=mode)
    with pytest.raises(LifespanError, match="startup of the ASGI application failed: no database") as caught:
        await runner.setup()
    assert (caught.value.phase, caught.value.text) == ("startup", "no database")
    assert isinstance(caught.value.__cause__, ValueError)
    assert runner.server is None
    await runner.cleanup()
    assert told.lines == ["startup", "end"]
    assert said(keeper) == []


async def test_an_application_that_does_not_know_lifespan() -> None:
    async def raises(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"

    async def returns(scope: Any, receive: Any, send: Any) -> None:
        pass

    for application in (raises, returns):
        runner, keeper = runner_of(application)
        await runner.setup()
        await runner.cleanup()
        assert said(keeper) == []
        assert "does not know lifespan" in said(keeper, logging.INFO)[0]
        runner, _ = runner_of(application, lifespan="on")
        with pytest.raises(LifespanError, match="startup"):
            await runner.setup()


async def test_a_startup_that_raises_is_warned_of() -> None:
    told = Told(startup=ValueError("by the test"))
    runner, keeper = runner_of(told)
    await runner.setup()
    await runner.cleanup()
    assert "by the test" in said(keeper)[0]
    assert told.lines == ["startup", "end"]


async def test_a_lifespan_that_ends_early() -> None:
    for answer in (None, ValueError("by the test")):
        told = Told()

        async def early(scope: Any, receive: Any, send: Any, answer: Any = answer) -> None:
            await receive()
            await send({"type": "lifespan.startup.complete"})
            if answer is not None:
                raise answer

        del told
        runner, keeper = runner_of(early)
        await runner.setup()
        await passes()
        await runner.cleanup()
        assert ["by the test" in line for line in said(keeper)] == ([] if answer is None else [True])


async def test_a_shutdown_that_failed_is_raised_when_all_is_closed() -> None:
    answers = [
        ({"type": "lifespan.shutdown.failed", "message": "no luck"}, "shutdown of the .* failed: no luck"),
        (ValueError("by the test"), "by the test"),
    ]
    for answer, match in answers:
        told = Told(shutdown=answer)
        runner, _ = runner_of(told)
        await runner.setup()
        with pytest.raises(LifespanError, match=match):
            await runner.cleanup()
        assert runner.server is None
        assert told.lines == ["startup", "shutdown", "end"]


async def test_an_application_may_return_instead_of_an_answer_to_the_shutdown() -> None:
    told = Told(shutdown=None)
    runner, keeper = runner_of(told)
    await runner.setup()
    await runner.cleanup()
    assert told.lines == ["startup", "shutdown", "end"]
    assert said(keeper) == []


@pytest.mark.parametrize("kind", ["lifespan.shutdown.complete", "lifespan.nonsense", "http.response.start"])
async def test_wrong_events_are_named(kind: str) -> None:
    errors: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        with pytest.raises(RuntimeError) as caught:
            await send({"type": kind})
        errors.append(str(caught.value))
        await send({"type": "lifespan.startup.complete"})
        with pytest.raises(RuntimeError) as caught:
            await send({"type": "lifespan.startup.complete"})
        errors.append(str(caught.value))
        await receive()

    runner, _ = runner_of(application, lifespan="on")
    await runner.setup()
    await passes()
    await runner.cleanup()
    assert errors == [
        f"{kind!r} was sent while the application is starting",
        "'lifespan.startup.complete' was sent while the application is running",
    ]


async def test_a_start_that_is_broken_off_cancels_the_application() -> None:
    told: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            told.append("cancelled")

    runner, _ = runner_of(application)
    task = asyncio.ensure_future(runner.setup())
    await passes()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told == ["cancelled"]
    assert runner.server is None


async def test_an_application_that_goes_on_after_its_shutdown_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("endwell.server.asgi.lifespan.GOODBYE", 0.01)
    told: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        try:
            await receive()
        finally:
            told.append("cancelled")

    runner, _ = runner_of(application)
    await runner.setup()
    await runner.cleanup()
    assert told == ["cancelled"]


async def test_a_second_caller_awaits_the_first() -> None:
    told = Told()
    runner, _ = runner_of(told)
    await runner.setup()
    await asyncio.gather(runner.cleanup(), runner.cleanup())
    await runner.cleanup()
    assert told.lines == ["startup", "shutdown", "end"]


async def test_a_request_that_is_cut_short_is_over_before_the_shutdown() -> None:
    lines: list[str] = []
    begun = asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            lines.append("shutdown")
            await send({"type": "lifespan.shutdown.complete"})
            return
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            await passes()
            lines.append("request over")

    async with asgi(application, shutdown_timeout=0.01, allow_aborted=True) as stage:
        client = await stage.connect()
        await client.send(get())
        await begun.wait()
        report = await stage.server.close()
        assert (await client.answer()).status == 503
        assert len(report.aborted) == 1
    assert lines == ["request over", "shutdown"]


def test_a_runner_that_was_forgotten_is_shut_down_with_the_loop() -> None:
    told = Told()

    async def forget() -> None:
        runner, _ = runner_of(told)
        await runner.setup()

    def run() -> None:
        asyncio.run(forget())
        gc.collect()

    with pytest.warns(ResourceWarning, match="AsgiRunner"):
        run()
    assert told.lines[0] == "startup"
    assert told.lines[-1] == "end"
