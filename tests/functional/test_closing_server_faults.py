"""Servers whose setup or clean-up fails, and sites that start or stop at the wrong time (closing.md C13)."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import pytest

from endwell import web
from endwell.lifetime import open_resources
from tests.support.closing import passes, resource_warnings, until
from tests.support.site import WHOLE, Told, listening, refused
from tests.support.visitor import Place, Visitor, request, visiting


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, web.GracefulExit])
async def test_a_setup_that_fails_leaves_nothing(error: type[BaseException]) -> None:
    told = Told()

    async def fail(app: web.Application) -> None:
        told.app.create_task(asyncio.Event().wait())
        await asyncio.sleep(0)
        raise error

    told.app.on_startup.append(fail)
    runner = web.AppRunner(told.app)
    with pytest.raises(error):
        await runner.setup()
    assert told.lines == ["enter", "on_startup", "leave", "on_cleanup"]
    assert runner.server is None
    assert open_resources() == []
    await runner.cleanup()
    assert told.lines[-1:] == ["on_cleanup"]
    assert told.lines.count("on_cleanup") == 1


async def test_what_fails_at_the_end_is_raised_together_when_all_is_done() -> None:
    told = Told()

    async def fail(app: web.Application) -> None:
        raise ValueError("at shutdown")

    async def fail_later(app: web.Application) -> None:
        raise KeyError("at cleanup")

    told.app.on_shutdown.insert(0, fail)
    told.app.on_cleanup.insert(0, fail_later)
    runner, place = await listening(told.app)
    async with visiting(place) as idle:
        with pytest.raises(web.CleanupError) as caught:
            await runner.cleanup()
        assert await idle.ended() == b""
    assert [type(each) for each in caught.value.exceptions] == [ValueError, KeyError]
    assert told.lines == WHOLE
    report = await runner.cleanup()
    assert report.clean
    assert open_resources() == []


async def test_what_fails_when_the_end_was_cancelled_goes_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    told = Told()

    async def fail(app: web.Application) -> None:
        raise ValueError("at cleanup")

    told.app.on_cleanup.append(fail)
    runner, place = await listening(told.app, shutdown_timeout=None)
    async with Visitor(place) as visitor:
        visitor.send(request("/stuck"))
        await told.begun.wait()
        closing = asyncio.create_task(runner.cleanup())
        await until(lambda: told.lines[-1] == "on_shutdown")
        await passes()
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
    assert "at cleanup" in caplog.text
    assert told.lines == WHOLE
    assert open_resources() == []


async def test_an_on_shutdown_that_hangs_costs_its_time_once_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from endwell.server import runner as module

    monkeypatch.setattr(module, "GOODBYE", 0.02)
    told = Told()

    async def hang(app: web.Application) -> None:
        await asyncio.Event().wait()

    told.app.on_shutdown.append(hang)
    runner, _ = await listening(told.app, shutdown_timeout=0.05)
    report = await runner.cleanup()
    assert [each.what for each in report.aborted] == ["on_shutdown of AppRunner"]
    assert told.lines == WHOLE


async def test_on_shutdown_has_its_time_also_when_requests_have_none() -> None:
    told = Told()

    async def slow(app: web.Application) -> None:
        await asyncio.sleep(0.01)
        told.lines.append("slow")

    told.app.on_shutdown.append(slow)
    runner, _ = await listening(told.app, shutdown_timeout=0)
    assert (await runner.cleanup()).clean
    assert told.lines[2:4] == ["on_shutdown", "slow"]


async def test_requests_that_end_while_on_shutdown_runs_are_counted() -> None:
    told = Told()
    go, noticed = asyncio.Event(), asyncio.Event()

    async def held(request: web.Request) -> web.Response:
        told.begun.set()
        await go.wait()
        return web.Response(text="held")

    async def slow(app: web.Application) -> None:
        go.set()
        await noticed.wait()

    told.app.router.add_get("/held", held)
    told.app.on_shutdown.append(slow)
    runner, place = await listening(told.app)
    async with Visitor(place) as visitor:
        visitor.send(request("/held"))
        await told.begun.wait()
        closing = asyncio.create_task(runner.cleanup())
        assert (await visitor.answer()).closes
        noticed.set()
        assert (await closing).finished == 1


# Sites


async def test_a_site_that_was_stopped_before() -> None:
    told = Told()
    runner, place = await listening(told.app)
    async with visiting(place) as idle:
        (site,) = runner.sites
        await site.stop()
        assert refused(place)
        assert (await idle.ask()).body == b"quick", "connections that there are stay"
        with pytest.raises(RuntimeError, match="not registered"):
            await site.stop()
        await runner.cleanup()
        assert await idle.ended() == b""
    assert told.lines == WHOLE


async def test_a_runner_whose_site_was_stopped_and_that_is_forgotten() -> None:
    told = Told()
    with resource_warnings() as texts:
        runner, place = await listening(told.app)
        async with visiting(place) as idle:
            (site,) = runner.sites
            await site.stop()
            del site, runner
            gc.collect()
            assert await idle.ended() == b""
            await until(lambda: not open_resources())
    assert told.lines == WHOLE
    assert len(texts) == 1
    assert "idle connection from 127.0.0.1" in texts[0]


async def test_sites_do_not_start_at_or_after_the_end(tmp_path: Path) -> None:
    told = Told()
    runner, place = await listening(told.app)
    sites = [web.TCPSite(runner, "127.0.0.1", 0), web.UnixSite(runner, tmp_path / "s")]
    async with Visitor(place) as visitor:
        visitor.send(request("/stuck"))
        await told.begun.wait()
        closing = asyncio.create_task(runner.cleanup())
        await until(lambda: refused(place))
        for site in sites:
            with pytest.raises(RuntimeError, match="AppRunner is being closed, or was"):
                await site.start()
        runner._hasten()
        assert (await visitor.answer()).status == 503
        await closing
    for site in sites:
        with pytest.raises(RuntimeError, match="AppRunner is being closed, or was"):
            await site.start()
    assert not (tmp_path / "s").exists()
    with pytest.raises(RuntimeError, match="setup"):
        web.TCPSite(runner, "127.0.0.1", 0)
    assert open_resources() == []


async def test_a_runner_can_be_set_up_again() -> None:
    async def handler(request: web.BaseRequest) -> web.Response:
        return web.Response(text="quick")

    runner = web.ServerRunner(web.Server(handler))
    for _ in range(2):
        await runner.setup()
        with pytest.raises(RuntimeError, match="set up already"):
            await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        async with visiting(Place(site.port, tls=False)):
            report = await runner.cleanup()
        assert report.clean
        assert runner.sites == set()
        assert runner.addresses == []
    assert open_resources() == []
