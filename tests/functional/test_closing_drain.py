"""The closing contract, C1 to C3: `async with` and `close()`, draining, and the end by an exception (closing.md)."""

# ruff: noqa: PT012 # how a block of a session ends is what is tested

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import endwell
from tests.support.closing import BIG, TLS, fetch, line, outcome, passes, serving, trusting, until
from tests.support.peer import ScriptedPeer, full_backlog, silence

Aborted = endwell.ExchangeAbortedError


# C1


@TLS
@pytest.mark.parametrize("how", ["normal", "exception", "cancelled"])
async def test_c1_async_with_closes_however_it_ends(how: str, tls: bool) -> None:
    async with serving(tls=tls) as server:
        reached = asyncio.Event()

        async def body() -> None:
            async with endwell.ClientSession(connector=trusting(tls)) as session:
                sessions.append(session)
                await fetch(session, server.url())
                assert len(server.client_ends()) == 1
                reached.set()
                if how == "exception":
                    raise LookupError("the body's own")
                if how == "cancelled":
                    await asyncio.Event().wait()

        sessions: list[Any] = []
        task = asyncio.create_task(body())
        await reached.wait()
        if how == "cancelled":
            task.cancel()
        result = await outcome(task)
        expected = {"normal": type(None), "exception": LookupError, "cancelled": asyncio.CancelledError}
        assert isinstance(result, expected[how])
        assert sessions[0].closed
        assert sessions[0].connector.closed
        assert server.client_ends() == []


@TLS
async def test_c1_close_by_hand_does_the_same_and_is_idempotent(tls: bool) -> None:
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls))
        await fetch(session, server.url())
        assert not session.closed
        report = await session.close()
        assert session.closed
        assert server.client_ends() == []
        assert await session.close() is report
        assert await session.connector.close() is report


@TLS
async def test_c1_a_second_caller_awaits_the_first_closing(tls: bool) -> None:
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls))
        request = asyncio.create_task(fetch(session, server.url("/slow")))
        await server.wait_in_flight(1)
        first = asyncio.create_task(session.close())
        await passes()
        second = asyncio.create_task(session.close())
        await passes()
        assert not first.done()
        assert not second.done()
        server.release.set()
        assert await request == b"released"
        assert await first is await second


@TLS
async def test_c1_a_second_caller_that_is_cancelled_disturbs_nobody(tls: bool) -> None:
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls))
        request = asyncio.create_task(fetch(session, server.url("/slow")))
        await server.wait_in_flight(1)
        first = asyncio.create_task(session.close())
        await passes()
        second = asyncio.create_task(session.close())
        await passes()
        second.cancel()
        assert isinstance(await outcome(second), asyncio.CancelledError)
        server.release.set()
        assert await request == b"released"
        assert (await first).clean


@TLS
async def test_c1_a_second_caller_returns_when_the_first_is_cancelled(tls: bool) -> None:
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls))
        request = asyncio.create_task(fetch(session, server.url("/slow")))
        await server.wait_in_flight(1)
        first = asyncio.create_task(session.close())
        await passes()
        second = asyncio.create_task(session.close())
        await passes()
        first.cancel()
        assert isinstance(await outcome(first), asyncio.CancelledError)
        assert [each.reason for each in (await second).aborted]
        assert isinstance(await outcome(request), Aborted)


async def test_c1_a_session_that_was_never_used_closes() -> None:
    session = endwell.ClientSession()
    assert (await session.close()).clean


# C2: what is in flight finishes


@TLS
@pytest.mark.parametrize("path", ["/slow", "/stuck"], ids=["waiting for the head", "in the body"])
async def test_c2_exchanges_in_flight_finish(path: str, tls: bool) -> None:
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls))
        requests = [asyncio.create_task(fetch(session, server.url(path))) for _ in range(3)]
        await server.wait_in_flight(3)
        await until(lambda: all(len(each._core.work) for each in [session]))
        closing = asyncio.create_task(session.close())
        await passes()
        assert session.closed
        assert not closing.done()
        server.release.set()
        report = await closing
        assert server.client_ends() == []
        assert {await each for each in requests} == {b"released" if path == "/slow" else b"first,second"}
        assert report.clean
        assert report.finished == 3
        assert report.closed == 3


@TLS
async def test_c2_a_large_body_that_is_being_read_finishes(tls: bool) -> None:
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls))
        async with asyncio.TaskGroup() as group:
            started = asyncio.Event()

            async def read() -> int:
                async with session.get(server.url("/big")) as response:
                    size = len(await response.content.read(1000))
                    started.set()
                    async for piece in response.content.iter_any():
                        size += len(piece)
                        await asyncio.sleep(0)
                return size

            task = group.create_task(read())
            await started.wait()
            assert (await session.close()).clean
        assert task.result() == BIG


@TLS
async def test_c2_an_upload_under_way_finishes(tls: bool) -> None:
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls))
        go_on = asyncio.Event()

        async def body() -> Any:
            yield b"a" * 1000
            await go_on.wait()
            yield b"b" * 1000

        async def upload() -> bytes:
            async with session.post(server.url("/sink"), data=body()) as response:
                return await response.read()

        task = asyncio.create_task(upload())
        await server.wait_in_flight(1)
        closing = asyncio.create_task(session.close())
        await passes(5)
        assert not closing.done()
        go_on.set()
        assert (await closing).clean
        assert await task == b"2000"


@TLS
async def test_c2_a_large_upload_of_bytes_finishes(tls: bool) -> None:
    async with serving(tls=tls) as server, asyncio.TaskGroup() as group:
        session = endwell.ClientSession(connector=trusting(tls))

        async def upload() -> bytes:
            async with session.post(server.url("/sink"), data=bytes(BIG)) as response:
                return await response.read()

        task = group.create_task(upload())
        await server.wait_in_flight(1)
        assert (await session.close()).clean
    assert task.result() == str(BIG).encode()


@TLS
async def test_c2_who_waits_for_a_pool_slot_gets_it(tls: bool) -> None:
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls, limit=1))
        requests = [asyncio.create_task(fetch(session, server.url("/slow"))) for _ in range(3)]
        await server.wait_in_flight(1)
        await until(lambda: len(list(session.connector._core.pool.waiters())) == 2)
        closing = asyncio.create_task(session.close())
        await passes()
        server.release.set()
        assert (await closing).finished == 3
        assert [await each for each in requests] == [b"released"] * 3
        assert server.client_ends() == []


@TLS
async def test_c2_a_connection_that_is_being_opened_is_used(tls: bool) -> None:
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls))
        request = asyncio.create_task(fetch(session, server.url()))
        await until(lambda: len(session._core.work) == 1)
        assert server.requests == []
        assert (await session.close()).clean
        assert server.client_ends() == []
        assert await request == b"hello"


@TLS
async def test_c2_a_call_that_follows_redirects_finishes(tls: bool) -> None:
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls))
        request = asyncio.create_task(fetch(session, server.url("/redirect/302?to=/redirect/307?to=/slow")))
        await until(lambda: len(session._core.work) == 1)
        closing = asyncio.create_task(session.close())
        await server.wait_in_flight(1)
        await until(lambda: server.requests[-1].path == "/slow")
        server.release.set()
        assert (await closing).clean
        assert await request == b"released"


@TLS
async def test_c2_a_call_whose_middleware_waits_finishes(tls: bool) -> None:
    """An exchange is counted from the call (closing.md, "Words"): a retry that waits for its next attempt is one."""
    go_on = asyncio.Event()

    async def patient(request: Any, handler: Any) -> Any:
        first = await handler(request)
        first.release()
        await go_on.wait()
        return await handler(request)

    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls), middlewares=(patient,))
        request = asyncio.create_task(fetch(session, server.url()))
        await until(lambda: len(server.requests) == 1 and not server.in_flight)
        await passes(10)
        closing = asyncio.create_task(session.close())
        await passes(10)
        go_on.set()
        report = await closing
        assert await request == b"hello"
        assert report.clean


@TLS
async def test_c2_a_response_in_the_hands_of_another_task_finishes(tls: bool) -> None:
    """`asyncio.gather` and, on Python 3.11, `asyncio.wait_for` ask in a task of their own, which ends at the head."""
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls))

        async def read() -> bytes:
            [response] = await asyncio.gather(session.get(server.url("/stuck")))
            async with response:
                return await response.read()

        reading = asyncio.create_task(read())
        await until(lambda: any(work.step.name == "ANSWERED" for work in session._core.work))
        await passes(5)
        closing = asyncio.create_task(session.close())
        await passes()
        server.release.set()
        report = await closing
        assert await reading == b"first,second"
        assert report.clean


# C2: for how long


@TLS
async def test_c2_close_timeout_is_an_argument_of_the_session(tls: bool) -> None:
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls), close_timeout=0.05)
        assert session.close_timeout == 0.05
        request = asyncio.create_task(fetch(session, server.url("/slow")))
        await server.wait_in_flight(1)
        report = await session.close()
        assert server.client_ends() == []
        error = await outcome(request)
        assert isinstance(error, Aborted)
        assert "close_timeout=0.05" in str(error)
        assert [each.reason for each in report.aborted] == [error.reason]
        assert report.finished == 0


@TLS
async def test_c2_close_timeout_is_an_argument_of_close(tls: bool) -> None:
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls), close_timeout=None)
        request = asyncio.create_task(fetch(session, server.url("/stuck")))
        await server.wait_in_flight(1)
        await session.close(close_timeout=0.05)
        assert server.client_ends() == []
        assert isinstance(await outcome(request), Aborted)


async def test_c2_the_default_is_ten_seconds() -> None:
    async with endwell.ClientSession() as session:
        assert session.close_timeout == 10


@TLS
@pytest.mark.parametrize("path", ["/slow", "/stuck"], ids=["waiting for the head", "in the body"])
async def test_c2_zero_aborts_at_once(path: str, tls: bool) -> None:
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls))
        request = asyncio.create_task(fetch(session, server.url(path)))
        await server.wait_in_flight(1)
        await until(lambda: session._core.busy()[0].step.name == ("ASKED" if path == "/slow" else "ANSWERED"))
        report = await session.close(close_timeout=0)
        assert server.client_ends() == []
        assert len(report.aborted) == 1
        assert report.finished == 0
        error = await outcome(request)
        assert isinstance(error, Aborted)
        assert isinstance(error, endwell.ClientError)
        assert "close_timeout=0" in error.reason


@TLS
async def test_c2_zero_aborts_who_waits_for_a_pool_slot(tls: bool) -> None:
    """... with an error of the client, never with a cancellation that nobody asked for, and without connecting."""
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls, limit=1))
        requests = [asyncio.create_task(fetch(session, server.url("/slow"))) for _ in range(3)]
        await server.wait_in_flight(1)
        await until(lambda: len(list(session.connector._core.pool.waiters())) == 2)
        report = await session.close(close_timeout=0)
        assert server.client_ends() == []
        assert [type(await outcome(each)) for each in requests] == [Aborted] * 3
        assert len(report.aborted) == 3
        await passes(10)
        assert len(server.connections) == 1, "a request that was aborted went on to connect"
        assert session.connector._core.pool.in_use == 0


@TLS
async def test_c2_zero_aborts_an_upload(tls: bool) -> None:
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls))
        ended = asyncio.Event()

        async def body() -> Any:
            try:
                yield b"a" * 1000
                await asyncio.Event().wait()
            finally:
                ended.set()

        request = asyncio.create_task(session.post(server.url("/sink"), data=body()))
        await server.wait_in_flight(1)
        await session.close(close_timeout=0)
        assert server.client_ends() == []
        assert asyncio.all_tasks() - {request, asyncio.current_task()} - server.tasks == set()
        assert isinstance(await outcome(request), Aborted)
        await ended.wait()


async def test_c2_zero_aborts_a_connection_that_is_being_opened() -> None:
    with full_backlog() as port:
        session = endwell.ClientSession()
        request = asyncio.create_task(fetch(session, f"http://127.0.0.1:{port}/"))
        await until(lambda: session._core.busy() and session._core.busy()[0].step.name == "OPENING")
        await passes(10)
        await session.close(close_timeout=0)
        assert isinstance(await outcome(request), Aborted)


async def test_c2_zero_aborts_a_tls_handshake() -> None:
    async with ScriptedPeer(silence) as peer:
        session = endwell.ClientSession(connector=trusting())
        request = asyncio.create_task(fetch(session, peer.url(scheme="https")))
        await peer.connection()
        await passes(10)
        await session.close(close_timeout=0)
        assert isinstance(await outcome(request), Aborted)


@TLS
async def test_c2_none_waits_for_ever(tls: bool) -> None:
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls), close_timeout=0.01)
        request = asyncio.create_task(fetch(session, server.url("/slow")))
        await server.wait_in_flight(1)
        asyncio.get_running_loop().call_later(0.1, server.release.set)
        assert (await session.close(close_timeout=None)).clean
        assert await request == b"released"


# C2: who may still ask


@TLS
async def test_c2_a_task_goes_straight_on_to_its_next_request(tls: bool) -> None:
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls))
        seen: list[bytes] = []

        async def chain() -> None:
            seen.append(await fetch(session, server.url("/slow")))
            seen.extend([await fetch(session, server.url()) for _ in range(20)])
            async with session.get(server.url("/stuck")) as response:
                seen.append(await response.text())  # type: ignore[arg-type]

        task = asyncio.create_task(chain())
        await server.wait_in_flight(1)
        closing = asyncio.create_task(session.close())
        await passes()
        server.release.set()
        report = await closing
        await task
        assert seen == [b"released", *[b"hello"] * 20, "first,second"]
        assert report.finished == 22
        assert report.clean


@TLS
@pytest.mark.parametrize("rest", [0, 1, 2])
async def test_c2_going_straight_on_survives_overlapping_ends(rest: int, tls: bool) -> None:
    """Two exchanges that end within few passes of the loop: the end of the first must not lock out the task."""
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls))
        done = 0

        async def chain() -> None:
            nonlocal done
            held = await session.get(server.url("/stuck"))
            await fetch(session, server.url("/slow"))
            for _ in range(rest):
                await asyncio.sleep(0)
            await held.read()
            for _ in range(10):
                await fetch(session, server.url())
                done += 1
                for _ in range(rest):
                    await asyncio.sleep(0)

        task = asyncio.create_task(chain())
        await server.wait_in_flight(2)
        closing = asyncio.create_task(session.close())
        await passes()
        server.release.set()
        await closing
        await task
        assert done == 10


@TLS
async def test_c2_a_task_that_lets_go_is_not_waited_for(tls: bool) -> None:
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls), close_timeout=None)
        forever = asyncio.Event()

        async def once() -> None:
            await fetch(session, server.url("/slow"))
            await forever.wait()
            await fetch(session, server.url())

        task = asyncio.create_task(once())
        await server.wait_in_flight(1)
        closing = asyncio.create_task(session.close())
        await passes()
        server.release.set()
        assert (await closing).clean
        assert not task.done(), "the user's own tasks are never cancelled"
        forever.set()
        error = await outcome(task)
        assert isinstance(error, endwell.SessionClosedError)


@TLS
async def test_c2_a_task_that_let_go_is_refused_while_others_drain(tls: bool) -> None:
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls))
        slow = asyncio.create_task(fetch(session, server.url("/slow")))
        go_on = asyncio.Event()

        async def once() -> bytes:
            await fetch(session, server.url("/stuck/x"))
            await go_on.wait()
            return await fetch(session, server.url())

        task = asyncio.create_task(once())
        await server.wait_in_flight(2)
        closing = asyncio.create_task(session.close())
        await until(lambda: len(server.in_flight) == 2)
        server.release.set()
        await until(lambda: len(session._core.work) < 2)
        await passes(8)
        go_on.set()
        assert isinstance(await outcome(task), endwell.SessionClosedError)
        assert await slow == b"released"
        await closing


@TLS
async def test_c2_a_stranger_is_refused_with_the_line_that_closed(tls: bool) -> None:
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls))
        request = asyncio.create_task(fetch(session, server.url("/slow")))
        await server.wait_in_flight(1)
        where = ""

        async def close() -> None:
            nonlocal where
            where = line(+1)
            await session.close()

        closing = asyncio.create_task(close())
        await passes()
        for ask in (lambda: fetch(session, server.url()), lambda: session.post(server.url(), data=b"x")):
            with pytest.raises(endwell.SessionClosedError, match="Session is closed") as caught:
                await ask()
            assert where in str(caught.value)
            assert caught.value.closed_at is not None
            assert caught.value.closed_at.startswith(where)
        server.release.set()
        assert await request == b"released"
        await closing
        with pytest.raises(RuntimeError, match="Session is closed") as after:
            await session.get(server.url())
        assert where in str(after.value)


async def test_c2_the_line_of_an_async_with_is_named() -> None:
    where = line(+1)
    async with endwell.ClientSession() as session:
        pass
    with pytest.raises(endwell.SessionClosedError) as caught:
        await session.get("http://localhost/")
    assert where in str(caught.value)


@pytest.mark.parametrize("how", ["task", "wait_for"])
async def test_c2_the_line_is_named_when_close_runs_in_a_task_of_its_own(how: str) -> None:
    session = endwell.ClientSession()
    if how == "task":
        where = line(+1)
        await asyncio.create_task(session.close())
    else:
        where = line(+1)
        await asyncio.wait_for(session.close(), 5)
    with pytest.raises(endwell.SessionClosedError) as caught:
        await session.get("http://localhost/")
    assert where in str(caught.value)


# C3


@TLS
@pytest.mark.parametrize("path", ["/slow", "/stuck"], ids=["waiting for the head", "in the body"])
async def test_c3_a_block_that_ends_by_an_exception_waits_for_nothing(path: str, tls: bool) -> None:
    async with serving(tls=tls) as server:
        requests = []
        with pytest.raises(LookupError):
            async with endwell.ClientSession(connector=trusting(tls), close_timeout=None) as session:
                requests += [asyncio.create_task(fetch(session, server.url(path))) for _ in range(3)]
                await server.wait_in_flight(3)
                raise LookupError
        assert server.client_ends() == []
        for each in requests:
            error = await outcome(each)
            assert isinstance(error, Aborted)
            assert "LookupError" in error.reason
            assert error.reason in str(error)


@TLS
async def test_c3_so_does_one_that_is_cancelled(tls: bool) -> None:
    async with serving(tls=tls) as server:
        request: Any = None

        async def body() -> None:
            nonlocal request
            async with endwell.ClientSession(connector=trusting(tls), close_timeout=None) as session:
                request = asyncio.create_task(fetch(session, server.url("/slow")))
                await asyncio.Event().wait()

        task = asyncio.create_task(body())
        await server.wait_in_flight(1)
        task.cancel()
        assert isinstance(await outcome(task), asyncio.CancelledError)
        assert server.client_ends() == []
        error = await outcome(request)
        assert isinstance(error, Aborted)
        assert "CancelledError" in error.reason
