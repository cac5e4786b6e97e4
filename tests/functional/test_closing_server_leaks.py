"""Servers that nobody closes, or that are used in another loop or process (closing.md C10, C14, C15)."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
from pathlib import Path
from typing import Any

import pytest

import endwell
from endwell import web
from endwell.lifetime import open_resources
from tests.conftest import LOOPS
from tests.support import site
from tests.support.closing import TLS, line, passes, resource_warnings, until
from tests.support.leaks import open_sockets
from tests.support.site import WHOLE, Told, listening, refused
from tests.support.visitor import Place, Visitor, request, visiting

# Forgotten


async def test_a_runner_without_a_site_that_is_forgotten_is_closed_and_named() -> None:
    told = Told()
    with resource_warnings() as texts:
        runner = web.AppRunner(told.app)
        await runner.setup()
        where = line(-1)
        del runner
        gc.collect()
        await until(lambda: not open_resources())
    assert told.lines == WHOLE, "what it has set up is cleaned up as well"
    assert len(texts) == 1
    assert texts[0].startswith("AppRunner was never closed")
    assert where in texts[0]
    assert "await runner.cleanup()" in texts[0]


async def test_a_runner_that_was_never_set_up_is_no_loss() -> None:
    told = Told()
    with resource_warnings() as texts:
        runner = web.AppRunner(told.app)
        assert (await runner.cleanup()).clean
        del runner
        gc.collect()
    assert texts == []
    assert told.lines == []


@TLS
def test_a_runner_that_listens_is_kept_until_the_loop_ends_then_closed_and_named(loop_kind: str, tls: bool) -> None:
    places: list[Place] = []
    told: list[Told] = []

    async def main() -> str:
        told.append(Told())
        runner, place = await listening(told[0].app, tls=tls)
        where = line(-1)
        places.append(place)
        del runner
        gc.collect()
        async with Visitor(place) as visitor:
            assert (await visitor.ask()).body == b"quick"
        return where

    with resource_warnings() as texts:
        with asyncio.Runner(loop_factory=LOOPS[loop_kind]) as loop:
            loop.run(main())
        gc.collect()
    assert told[0].lines == WHOLE
    assert told[0].managed == "left"
    assert refused(places[0])
    assert open_resources() == []
    assert len(texts) == 1, texts
    assert texts[0].startswith("AppRunner was never closed")
    assert site.__file__ in texts[0]
    assert "listener on ('127.0.0.1'" in texts[0]


@TLS
def test_a_loop_that_ends_with_requests_in_flight(loop_kind: str, tls: bool) -> None:
    kept: list[Any] = []

    async def main() -> None:
        told = Told()
        kept.append(told)
        runner, place = await listening(told.app, tls=tls)
        kept.append(runner)
        visitor = await Visitor(place).__aenter__()
        visitor.send(request("/stuck"))
        await told.begun.wait()

        async def look() -> None:
            try:
                await asyncio.Event().wait()
            finally:  # the tasks of the loop are cancelled before it ends
                kept.append(await visitor.answer())
                await visitor.__aexit__()

        kept.append(asyncio.ensure_future(look()))
        await passes()

    with resource_warnings() as texts:
        with asyncio.Runner(loop_factory=LOOPS[loop_kind]) as loop:
            loop.run(main())
    assert kept[0].lines == WHOLE
    assert kept[-1].status == 503
    assert [text.partition("\n")[0] for text in texts] == ["AppRunner was never closed"]
    assert open_resources() == []


@TLS
@pytest.mark.parametrize("loop_kind", ["asyncio"], indirect=True)
@pytest.mark.parametrize("how", ["forgotten", "cleanup", "kept"])
def test_a_loop_that_is_closed_without_shutdown_asyncgens(loop_kind: str, how: str, tls: bool) -> None:
    kept: list[Any] = []

    async def main() -> tuple[web.AppRunner, Place]:
        runner, place = await listening(Told().app, tls=tls)
        async with visiting(place):
            pass
        return runner, place

    loop = asyncio.SelectorEventLoop()
    before = open_sockets()
    with resource_warnings() as texts:
        runner, place = loop.run_until_complete(main())
        kept.append(runner)
        loop.close()
        del runner
        if how == "cleanup":

            async def clean() -> None:
                await kept[0].cleanup()
                await kept[0].cleanup()

            with asyncio.Runner() as other:
                other.run(clean())
        elif how == "kept":  # it is noticed when the next one is made

            async def next_one() -> None:
                runner, _ = await listening(Told().app)
                await runner.cleanup()

            with asyncio.Runner() as other:
                other.run(next_one())
        else:
            endwell.open_resources()
            del kept[:]

            async def next_session() -> None:
                async with endwell.ClientSession():
                    pass

            with asyncio.Runner() as other:
                other.run(next_session())
        kept.clear()
        gc.collect()
    assert texts == []
    assert refused(place)
    assert open_resources() == []
    assert open_sockets() <= before


async def test_on_another_loop_it_says_where_it_was_made() -> None:
    told = Told()
    runner, _ = await listening(told.app)
    another = web.TCPSite(runner, "127.0.0.1", 0)

    def elsewhere() -> list[str]:
        texts = []

        async def main() -> None:
            for ask in (runner.cleanup, another.start):
                with pytest.raises(RuntimeError) as caught:
                    await ask()
                texts.append(str(caught.value))

        asyncio.run(main())
        return texts

    for text in await asyncio.to_thread(elsewhere):
        assert "belongs to the event loop that ran then" in text
        assert site.__file__ in text
    assert told.lines == ["enter", "on_startup"]
    await runner.cleanup()
    assert told.lines == WHOLE
    await asyncio.get_running_loop().shutdown_default_executor()


# fork()


@TLS
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 on fork and threads
async def test_a_forked_child_neither_closes_nor_answers(tmp_path: Path, tls: bool, loop_kind: str) -> None:
    told = Told()
    runner, place = await listening(told.app, tls=tls)
    unix = web.UnixSite(runner, tmp_path / "s")
    await unix.start()
    async with visiting(place) as idle, Visitor(place) as busy:
        busy.send(request("/stuck"))
        await told.begun.wait()
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            texts = []
            try:

                async def use() -> None:
                    late = asyncio.sleep(0)
                    for ask in (unix.start, lambda: asyncio.sleep(0, told.app.create_task(late))):
                        try:
                            await ask()
                        except RuntimeError as error:
                            texts.append(str(error))
                    await runner.cleanup()
                    await unix.stop()
                    await runner.cleanup()

                with asyncio.Runner(loop_factory=LOOPS[loop_kind]) as loop:
                    loop.run(use())
                gc.collect()
            except BaseException as error:
                texts.append(repr(error))
            finally:
                os.write(writing, "\n".join(texts).encode())
                os._exit(0)
        os.waitpid(child, 0)
        os.close(writing)
        with open(reading) as pipe:
            text = pipe.read()
        assert text.count("was made before fork()") == 2, text
        assert len(text.splitlines()) == 2, text
        assert (tmp_path / "s").is_socket()
        assert (await idle.ask()).body == b"quick", "the parent's connections are whole"
        for where in (place, Place(str(tmp_path / "s"), tls=False)):
            async with Visitor(where) as visitor:
                assert (await visitor.ask()).body == b"quick", "the parent listens"
        assert told.lines == ["enter", "on_startup"]
        runner._shutdown_timeout = 0
        await runner.cleanup()
        assert (await busy.answer()).status == 503
    assert told.lines == WHOLE


# Signals without run_app


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_runner_that_handles_signals(loop_kind: str, number: signal.Signals) -> None:
    """The first raises GracefulExit in the loop; the next makes the clean-up hurry; one more would end the process."""
    kept: list[Any] = []

    async def main() -> None:
        told = Told()
        runner, place = await listening(told.app, handle_signals=True, shutdown_timeout=None)
        kept[:] = told, runner, await Visitor(place).__aenter__()
        kept[2].send(request("/stuck"))
        await told.begun.wait()
        os.kill(os.getpid(), number)
        await asyncio.Event().wait()

    async def clean(told: Told, runner: web.AppRunner, visitor: Visitor) -> None:
        closing = asyncio.ensure_future(runner.cleanup())
        await until(lambda: told.lines[-1] == "on_shutdown")
        await passes()
        assert not closing.done()
        os.kill(os.getpid(), number)
        assert (await visitor.answer()).status == 503
        assert len((await closing).aborted) == 1
        await visitor.__aexit__()

    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    factory: Any = LOOPS[loop_kind]
    loop = factory()
    serving = loop.create_task(main())
    with pytest.raises(web.GracefulExit):
        loop.run_until_complete(serving)
    loop.run_until_complete(clean(*kept))
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        loop.run_until_complete(serving)
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    assert kept[0].lines == WHOLE
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
