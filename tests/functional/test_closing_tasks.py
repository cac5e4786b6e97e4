"""The closing contract, C4 and C5: tasks that a session owns, and closings that must not wait for themselves."""

# ruff: noqa: PT012 # how a block of a session ends is what is tested

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import endwell
from endwell.lifetime import closing as walk
from tests.support.closing import TLS, fetch, lost_exceptions, outcome, passes, serving, trusting, until


async def fail(error: BaseException) -> None:
    await asyncio.sleep(0)
    raise error


# C4


@TLS
@pytest.mark.parametrize("how", ["async with", "close"])
async def test_c4_closing_awaits_an_owned_task(how: str, tls: bool) -> None:
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls))
        task = session.create_task(fetch(session, server.url("/slow")), name="mine")
        assert task.get_name() == "mine"
        await server.wait_in_flight(1)
        asyncio.get_running_loop().call_later(0.05, server.release.set)
        if how == "close":
            report = await session.close()
            assert report.clean
            assert report.finished == 2, "a task and its exchange"
        else:
            async with session:
                pass
        assert task.result() == b"released"
        assert server.client_ends() == []


@TLS
async def test_c4_an_owned_task_may_begin_its_requests_after_the_close(tls: bool) -> None:
    """Its connection is made when the walk has begun, and is closed by it all the same."""
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls))
        task = session.create_task(fetch(session, server.url()))
        report = await session.close()
        assert server.client_ends() == []
        assert task.result() == b"hello"
        assert report.clean
        assert report.closed == 1


async def test_c4_after_close_timeout_it_is_cancelled_and_awaited() -> None:
    steps = []

    async def long() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            steps.append("cleaned up")

    session = endwell.ClientSession(close_timeout=0.05)
    task = session.create_task(long())
    await passes()
    report = await session.close()
    assert task.cancelled()
    assert steps == ["cleaned up"]
    assert "close_timeout=0.05" in report.aborted[0].reason
    assert report.aborted[0].origin is not None
    assert report.aborted[0].origin.filename == __file__


async def test_c4_a_block_that_fails_cancels_its_tasks() -> None:
    with pytest.raises(LookupError):
        async with endwell.ClientSession() as session:
            task = session.create_task(asyncio.Event().wait())
            await passes()
            raise LookupError
    assert task.cancelled()


async def test_c4_exceptions_are_raised_from_the_block() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with endwell.ClientSession() as session:
            session.create_task(fail(ValueError("one")))
            session.create_task(fail(KeyError("two")))
    assert sorted(map(repr, caught.value.exceptions)) == ["KeyError('two')", "ValueError('one')"]
    assert __file__ in str(caught.value), "the group says whose tasks they were"
    assert session.closed


async def test_c4_also_those_of_a_task_that_failed_long_before() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with endwell.ClientSession() as session:
            session.create_task(fail(ValueError("one")))
            await passes(10)
    assert [str(each) for each in caught.value.exceptions] == ["one"]


@pytest.mark.parametrize("early", [True, False])
async def test_c4_an_awaited_exception_is_not_raised_again(early: bool) -> None:
    async with endwell.ClientSession() as session:
        task = session.create_task(fail(ValueError("one")))
        if not early:
            await passes(10)
        with pytest.raises(ValueError, match="one"):
            await task


async def test_c4_tasks_that_failed_and_were_awaited_are_not_kept() -> None:
    async with endwell.ClientSession() as session:
        for _ in range(20):
            with pytest.raises(ValueError, match="again"):
                await session.create_task(fail(ValueError("again")))
        await passes()
        assert len(session._core.tasks) <= 1


async def test_c4_when_the_block_failed_too_its_error_gets_a_note() -> None:
    with pytest.raises(LookupError) as caught:
        async with endwell.ClientSession() as session:
            session.create_task(fail(ValueError("one")))
            await passes()
            raise LookupError
    assert any("ValueError" in note and "one" in note for note in caught.value.__notes__)


async def test_c4_when_the_block_is_cancelled_too() -> None:
    notes = []

    async def body() -> None:
        try:
            async with endwell.ClientSession() as session:
                session.create_task(fail(ValueError("one")))
                await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            notes.extend(error.__notes__)
            raise

    task = asyncio.create_task(body())
    await passes(5)
    task.cancel()
    assert isinstance(await outcome(task), asyncio.CancelledError)
    assert "ValueError: one" in notes[0]


async def test_c4_close_by_hand_reports_them() -> None:
    session = endwell.ClientSession()
    session.create_task(fail(ValueError("one")))
    with lost_exceptions() as lost:
        report = await session.close()
    assert [str(each) for each in report.errors] == ["one"]
    assert not report.clean
    assert "ValueError: one" in str(report)
    assert [str(each["exception"]) for each in lost] == ["one"]
    assert __file__ in lost[0]["message"]


async def test_c4_a_failure_during_the_drain_is_not_lost() -> None:
    go_on = asyncio.Event()

    async def later() -> None:
        await go_on.wait()
        raise ValueError("late")

    with pytest.raises(ExceptionGroup) as caught:
        async with endwell.ClientSession() as session:
            session.create_task(later())
            asyncio.get_running_loop().call_later(0.02, go_on.set)
    assert [str(each) for each in caught.value.exceptions] == ["late"]


async def test_c4_a_failure_in_answer_to_the_cancellation_is_not_lost() -> None:
    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("while cleaning up")

    with pytest.raises(ExceptionGroup) as caught:
        async with endwell.ClientSession(close_timeout=0.02) as session:
            session.create_task(stubborn())
            await passes()
    assert [str(each) for each in caught.value.exceptions] == ["while cleaning up"]


async def test_c4_a_task_that_ignores_its_cancellation_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "GOODBYE", 0.05)
    stop = asyncio.Event()

    async def deaf() -> None:
        while not stop.is_set():
            try:
                await stop.wait()
            except asyncio.CancelledError:
                continue

    session = endwell.ClientSession(close_timeout=0)
    task = session.create_task(deaf(), name="deaf one")
    await passes()
    report = await session.close()
    assert not task.done()
    assert any("deaf one" in str(each) and "cancellation" in str(each) for each in report.errors)
    stop.set()
    await task


@TLS
async def test_c4_the_users_own_tasks_are_never_cancelled(tls: bool) -> None:
    async with serving(tls=tls) as server:
        mine = asyncio.create_task(asyncio.Event().wait())
        with pytest.raises(LookupError):
            async with endwell.ClientSession(connector=trusting(tls)) as session:
                asking = asyncio.create_task(fetch(session, server.url("/slow")))
                await server.wait_in_flight(1)
                raise LookupError
        assert isinstance(await outcome(asking), endwell.ExchangeAbortedError)
        assert not mine.done()
        mine.cancel()
        await outcome(mine)


async def test_c4_a_closed_session_takes_no_tasks() -> None:
    session = endwell.ClientSession()
    await session.close()
    with pytest.raises(endwell.SessionClosedError):
        session.create_task(fail(ValueError()))


@TLS
async def test_c4_an_owned_task_may_start_another_during_the_drain(tls: bool) -> None:
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls))
        inner: list[asyncio.Task[bytes]] = []

        async def outer() -> None:
            await server.release.wait()
            inner.append(session.create_task(fetch(session, server.url())))

        session.create_task(outer())
        asyncio.get_running_loop().call_later(0.02, server.release.set)
        assert (await session.close()).clean
        assert inner[0].result() == b"hello"
        assert server.client_ends() == []


# C5


@TLS
@pytest.mark.parametrize("how", ["close", "async with", "connector.close"])
@pytest.mark.parametrize("path", ["/stuck", "/big"])
async def test_c5_what_the_closing_task_holds_is_closed_at_once(how: str, path: str, tls: bool) -> None:
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls), close_timeout=None)
        session.connector._core.close_timeout = None
        response = await session.get(server.url(path))
        if how == "close":
            await session.close()
        elif how == "connector.close":
            await session.connector.close()
        else:
            async with session:
                pass
        assert server.client_ends() == []
        with pytest.raises(endwell.ExchangeAbortedError):
            await response.read()
        await session.close()


@TLS
async def test_c5_close_inside_the_block_of_a_response(tls: bool) -> None:
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls), close_timeout=None)
        async with session.get(server.url("/stuck")) as response:
            report = await session.close()
            assert server.client_ends() == []
        assert response.closed
        assert len(report.aborted) == 1


@TLS
async def test_c5_what_a_finished_task_left_is_closed_at_once(tls: bool) -> None:
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls), close_timeout=None)
        response = await asyncio.create_task(session.get(server.url("/stuck")))
        await session.close()
        assert server.client_ends() == []
        assert response.closed


@TLS
async def test_c5_what_a_task_leaves_when_it_ends_during_the_drain_is_closed_then(tls: bool) -> None:
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls), close_timeout=None)
        end = asyncio.Event()

        async def ask() -> Any:
            response = await session.get(server.url("/stuck"))
            await end.wait()
            return response

        task = asyncio.create_task(ask())
        await server.wait_in_flight(1)
        closing = asyncio.create_task(session.close())
        await passes(5)
        assert not closing.done()
        end.set()
        await closing
        assert server.client_ends() == []
        assert task.result().closed


@TLS
async def test_c5_so_is_what_an_owned_task_leaves_that_asked_during_the_drain(tls: bool) -> None:
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls), close_timeout=None)

        async def ask() -> Any:
            return await session.get(server.url("/stuck"))

        task = session.create_task(ask())
        await session.close()
        assert server.client_ends() == []
        assert task.result().closed


@TLS
async def test_c5_the_second_caller_holds_nothing_up(tls: bool) -> None:
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls), close_timeout=None)

        async def holder() -> None:
            response = await session.get(server.url("/stuck"))
            await begun.wait()
            await session.close()
            assert response.closed

        begun = asyncio.Event()
        task = asyncio.create_task(holder())
        await server.wait_in_flight(1)
        await until(lambda: session._core.busy()[0].step.name == "ANSWERED")
        first = asyncio.create_task(session.close())
        await passes(5)
        assert not first.done()
        begun.set()
        await first
        await task


@TLS
async def test_c5_an_owned_task_may_close_its_session(tls: bool) -> None:
    async with serving(tls=tls) as server:
        async with endwell.ClientSession(connector=trusting(tls), close_timeout=None) as session:

            async def ask_and_close() -> str:
                response = await session.get(server.url("/stuck"))
                await session.close()
                assert response.closed
                return "closed it"

            task = session.create_task(ask_and_close())
            await until(lambda: session.closed)
        assert task.result() == "closed it"
        assert server.client_ends() == []


async def test_c5_an_owned_task_that_closed_its_session_is_awaited_by_the_next_closing() -> None:
    """The closing it awaits can't await it; but the block must not end before its tasks."""
    done = []
    with pytest.raises(ExceptionGroup) as caught:
        async with endwell.ClientSession() as session:

            async def close_and_go_on() -> None:
                await session.close()
                for _ in range(5):
                    await asyncio.sleep(0)
                done.append(True)
                raise ValueError("afterwards")

            session.create_task(close_and_go_on())
            await until(lambda: session._core.report is not None)
    assert done
    assert [str(each) for each in caught.value.exceptions] == ["afterwards"]


async def test_c5_two_owned_tasks_may_close_their_session() -> None:
    session = endwell.ClientSession(close_timeout=None)
    ended = []

    async def close() -> None:
        await session.close()
        await asyncio.sleep(0)
        ended.append(True)

    session.create_task(close())
    session.create_task(close())
    await until(lambda: session.closed)
    await session.close()
    assert ended == [True, True]
