"""Signals to a real server process: each sentence of closing.md C13, on both loops, plain and TLS, TCP and Unix."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.signalled import ServerProcess, server
from tests.support.visitor import request

Start = Callable[..., ServerProcess]
REVERSE = ["on_shutdown", "leave second", "leave first", "on_cleanup"]


@pytest.fixture(params=["tcp", "tls", "unix", "unix-tls"])
def process(request: pytest.FixtureRequest, tmp_path: Path, loop_kind: str) -> Iterator[ServerProcess]:
    """A server to be started, wherever a server can listen."""
    with server(tmp_path, loop_kind, unix="unix" in request.param, tls="tls" in request.param) as process:
        yield process


@pytest.fixture
def plain(tmp_path: Path, loop_kind: str) -> Iterator[ServerProcess]:
    with server(tmp_path, loop_kind) as process:
        yield process


def drained(process: ServerProcess, finished: int | None = None, *, quiet: bool = True) -> None:
    """Check that everything ended by itself and was cleaned up, without noise."""
    status, lines, log = process.end()
    assert status == 0, log
    assert [line for line in lines if line in REVERSE] == REVERSE
    assert lines[-1] == "returned"
    pattern = r"^endwell.server INFO closed AppRunner in .* ms: (\d+) finished, (\d+) aborted"
    report = re.findall(pattern, log, re.MULTILINE)
    assert len(report) == 1, log
    assert report[0][1] == "0", log
    if finished is not None:
        assert int(report[0][0]) == finished, log
    assert "Warning" not in log, log
    if quiet:
        assert "Traceback" not in log, log


# The order of the end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_new_connections_are_refused_idle_ones_closed_and_requests_in_flight_answered(
    process: ServerProcess, number: signal.Signals
) -> None:
    process.start().ready()
    with process.connect() as idle, process.connect() as busy, process.connect() as sending:
        assert not idle.ask("/").closes
        busy.send(request("/held"))
        process.hears("held")
        sending.send(request("/upload", "POST", "Content-Length: 6") + b"abc")
        process.hears("uploading")
        process.signal(number)
        process.hears("on_shutdown")
        assert process.refuses(), "the listener closes first"
        assert idle.ended() == b"", "idle connections close at once"
        sending.send(b"def")
        answer = sending.answer()
        assert (answer.body, answer.closes) == (b"6 bytes", True)
        assert sending.ended() == b""
        process.tell("go")
        answer = busy.answer()
        assert (answer.body, answer.closes) == (b"held", True)
        assert busy.ended() == b""
    drained(process, finished=2)
    if process.path is not None:
        assert not Path(process.path).exists()


def test_event_streams_end_politely_at_once(process: ServerProcess) -> None:
    process.start("run(make_app(), shutdown_timeout=None)").ready()
    with process.connect() as caller:
        caller.send(request("/ticks"))
        assert caller.head().status == 200
        assert caller.chunk() == b"data: first\n\n"
        process.hears("streaming")
        process.signal()
        assert caller.chunk() == b"", "the last chunk: nothing was cut"
        assert caller.file.readline() == b""
    drained(process, finished=1)


def test_nothing_to_wait_for(process: ServerProcess) -> None:
    process.start("run(make_app(), shutdown_timeout=None)").ready()
    process.signal()
    drained(process, finished=0)


# The time-out


def test_a_handler_that_is_too_slow_is_cancelled_and_the_time_is_spent_once(plain: ServerProcess) -> None:
    plain.start("run(make_app(), shutdown_timeout=0.3)").ready()
    with plain.connect() as caller:
        caller.send(request("/stuck"))
        plain.hears("stuck")
        plain.signal()
        answer = caller.answer()
        assert (answer.status, answer.closes) == (503, True)
        assert caller.ended() == b""
    status, lines, log = plain.end()
    assert status == 1, "something was cut"
    assert lines.index("unstuck") < lines.index("leave second"), "it is awaited before what it uses is cleaned up"
    assert [line for line in lines if line in REVERSE] == REVERSE
    report = re.search(r"closed AppRunner in ([\d.]+) ms: 0 finished, 1 aborted", log)
    assert report is not None, log
    assert 300 <= float(report[1]) < 600, "the time-out is spent once"
    assert "aborted GET /stuck from 127.0.0.1: it did not finish within shutdown_timeout=0.3 s" in log
    assert "Traceback" not in log


TASKS = """
async def start(request):
    async def work(name, wait):
        say("working", name)
        try:
            await wait.wait()
        finally:
            say("ended", name)
    request.create_task(work("a", events["go"]), name="a")
    request.app.create_task(work("b", events["go" if BOTH else "never"]), name="b")
    return web.Response(text="started")

app = make_app()
app.router.add_get("/start", start)
"""


def test_tasks_are_awaited(plain: ServerProcess) -> None:
    plain.start("BOTH = True" + TASKS + "run(app)").ready()
    with plain.connect() as caller:
        assert caller.ask("/start").body == b"started"
        plain.hears("working b")
        plain.signal()
        plain.hears("on_shutdown")
        plain.tell("go")
        drained(plain, finished=2)
    assert plain.lines.index("ended b") < plain.lines.index("leave second")


def test_tasks_that_do_not_end_are_cancelled_and_awaited(plain: ServerProcess) -> None:
    plain.start("BOTH = False" + TASKS + "run(app, shutdown_timeout=0.3)").ready()
    with plain.connect() as caller:
        assert caller.ask("/start").body == b"started"
        plain.hears("working b")
        plain.signal()
        plain.hears("on_shutdown")
        plain.tell("go")
        plain.hears("ended a")
        status, lines, log = plain.end()
    assert status == 1
    assert lines.index("ended b") < lines.index("leave second")
    assert "1 finished, 1 aborted" in log
    assert "aborted task 'b', started at" in log
    assert "program.py" in log


# Further signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_cuts_the_waiting_short_and_everything_is_cleaned_up(
    plain: ServerProcess, number: signal.Signals
) -> None:
    plain.start("run(make_app(), shutdown_timeout=None)").ready()
    with plain.connect() as caller, plain.connect() as idle:
        assert idle.ask("/").status == 200
        caller.send(request("/stuck"))
        plain.hears("stuck")
        plain.signal(number)
        plain.hears("on_shutdown")
        assert idle.ended() == b""
        plain.signal(number)
        assert caller.answer().status == 503
    status, lines, log = plain.end()
    assert status == 1
    assert [line for line in lines if line in REVERSE] == REVERSE
    assert "1 aborted" in log
    assert "aborted GET /stuck from 127.0.0.1: the server was told a second time to end" in log


def test_two_signals_at_once_skip_nothing(plain: ServerProcess) -> None:
    plain.start(
        """
        async def twice(request):
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            return web.Response()
        app = make_app()
        app.router.add_get("/twice", twice)
        run(app, shutdown_timeout=None)
        """
    ).ready()
    with plain.connect() as caller:
        assert caller.ask("/twice").status == 200
    status, lines, _ = plain.end()
    assert status == 0
    assert [line for line in lines if line in REVERSE] == REVERSE


HANGING = """
async def hang(app):
    say("hanging")
    await asyncio.Event().wait()

app = make_app()
app.on_cleanup.append(hang)
run(app)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_third_signal_ends_the_process(plain: ServerProcess, number: signal.Signals) -> None:
    plain.start(HANGING).ready()
    plain.signal(number)
    plain.hears("hanging")
    plain.signal(number)
    # That the second has been taken can be seen only by what it does: the third is sent until there is nobody left.
    while plain.process.poll() is None:
        plain.signal(number)
    status, lines, _ = plain.end()
    assert status == -number
    assert "returned" not in lines


def test_the_third_signal_ends_a_process_that_does_not_come_to_its_loop(plain: ServerProcess) -> None:
    plain.start(
        """
        import time
        async def hang(app):
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0.01)
            say("hanging")
            while True:
                time.sleep(0.01)
        app = make_app()
        app.on_shutdown.append(hang)
        run(app)
        """
    ).ready()
    plain.signal()
    plain.hears("hanging")
    plain.signal()
    assert plain.end()[0] == -signal.SIGTERM


def test_an_on_shutdown_that_hangs_is_cut_by_the_second_signal(plain: ServerProcess) -> None:
    plain.start(
        """
        from endwell.server import runner
        runner.GOODBYE = 0.05
        async def hang(app):
            say("hanging")
            await asyncio.Event().wait()
        app = make_app()
        app.on_shutdown.append(hang)
        run(app, shutdown_timeout=None)
        """
    ).ready()
    plain.signal()
    plain.hears("hanging")
    plain.signal()
    status, lines, log = plain.end()
    assert status == 1
    assert [line for line in lines if line in REVERSE] == REVERSE
    assert "aborted on_shutdown of AppRunner: it did not finish within" in log


# Before it serves, and other ways to end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_breaks_a_start_off_and_cleans_up_what_had_started(
    plain: ServerProcess, number: signal.Signals
) -> None:
    plain.start(
        """
        async def slow(app):
            say("starting")
            await asyncio.Event().wait()
        app = make_app()
        app.on_startup.append(slow)
        run(app)
        """
    )
    plain.hears("starting")
    plain.signal(number)
    status, lines, log = plain.end()
    assert status == 0
    assert lines == ["enter first", "enter second", "starting", "leave second", "leave first", "on_cleanup", "returned"]
    assert "Traceback" not in log


def test_a_signal_while_the_application_is_made(plain: ServerProcess) -> None:
    plain.start(
        """
        async def make():
            say("making")
            try:
                await asyncio.Event().wait()
            finally:
                say("unmade")
        run(make())
        """
    )
    plain.hears("making")
    plain.signal()
    status, lines, log = plain.end()
    assert (status, lines, log) == (0, ["making", "unmade", "returned"], "")


GRACEFUL = """
async def first_step(request):
    raise web.GracefulExit

async def later(request):
    await asyncio.sleep(0)
    raise web.GracefulExit

async def in_task(request):
    async def work():
        await asyncio.sleep(0)
        raise web.GracefulExit
    request.create_task(work())
    return web.Response(text="soon")

async def in_foreign_task(request):
    async def work():
        await asyncio.sleep(0)
        raise web.GracefulExit
    events["task"] = asyncio.create_task(work())
    return web.Response(text="soon")

async def in_callback(request):
    def leave():
        raise web.GracefulExit
    asyncio.get_running_loop().call_soon(leave)
    return web.Response(text="soon")

app = make_app()
for each in (first_step, later, in_task, in_foreign_task, in_callback):
    app.router.add_get("/" + each.__name__, each)
run(app)
"""


@pytest.mark.parametrize("where", ["first_step", "later", "in_task", "in_foreign_task", "in_callback"])
def test_graceful_exit_ends_it_in_order(plain: ServerProcess, where: str) -> None:
    plain.start(GRACEFUL).ready()
    with plain.connect() as busy, plain.connect() as caller:
        busy.send(request("/held"))
        plain.hears("held")
        answer = caller.ask(f"/{where}")
        assert answer.status == (200 if where.startswith("in_") else 503)
        assert caller.ended() == b""
        plain.hears("on_shutdown")
        plain.tell("go")
        answer = busy.answer()
        assert (answer.body, answer.closes) == (b"held", True)
    drained(plain, quiet=where != "in_foreign_task")  # asyncio may name what nobody has awaited


@pytest.mark.parametrize("where", ["on_startup", "on_shutdown", "on_cleanup"])
def test_graceful_exit_in_a_signal_of_the_application(plain: ServerProcess, where: str) -> None:
    plain.start(
        f"""
        async def leave(app):
            say("leaving")
            raise web.GracefulExit
        app = make_app()
        app.{where}.append(leave)
        run(app)
        """
    )
    if where != "on_startup":
        plain.ready().signal()
    status, lines, log = plain.end()
    assert status == 0
    assert lines[-1] == "returned"
    assert "Traceback" not in log
    assert lines.index("leave second") < lines.index("leave first")
    assert "leaving" in lines


def test_control_c_without_signal_handlers(plain: ServerProcess) -> None:
    plain.start("run(make_app(), handle_signals=False)").ready()
    with plain.connect() as busy, plain.connect() as other:
        busy.send(request("/held"))
        plain.hears("held")
        assert other.ask("/").status == 200  # KeyboardInterrupt strikes anywhere: not in the handler, which waits now
        plain.signal(signal.SIGINT)
        plain.hears("on_shutdown")
        plain.tell("go")
        answer = busy.answer()
        assert (answer.body, answer.closes) == (b"held", True)
    drained(plain, finished=1)


@pytest.mark.parametrize("where", ["on_shutdown", "on_cleanup", "cleanup_ctx"])
def test_errors_at_the_end_are_told_after_everything_was_cleaned_up(plain: ServerProcess, where: str) -> None:
    plain.start(
        f"""
        async def fail(app):
            if {where!r} == "cleanup_ctx":
                yield
            raise ValueError("wrong")
        async def fail_in_signal(app):
            raise ValueError("wrong")
        app = make_app()
        app.{where}.append(fail if {where!r} == "cleanup_ctx" else fail_in_signal)
        run(app)
        """
    ).ready()
    with plain.connect() as busy:
        busy.send(request("/held"))
        plain.hears("held")
        plain.signal()
        plain.hears("on_shutdown")
        plain.tell("go")
        answer = busy.answer()
        assert (answer.body, answer.closes) == (b"held", True), "an error of the application cuts no request"
    status, lines, log = plain.end()
    assert status == 1
    assert [line for line in lines if line in REVERSE] == REVERSE
    assert log.rstrip().endswith("ValueError: wrong")
    assert "closed AppRunner in" in log


# Clients that go


GONE = """
async def wait(request):
    say("waiting")
    try:
        await request.wait_for_disconnection()
        say("noticed")
        await events["go"].wait()
        say("went on")
    except asyncio.CancelledError:
        say("cancelled")
        raise
    return web.Response()

app = make_app()
app.router.add_get("/wait", wait)
"""


@pytest.mark.parametrize("cancelling", [False, True])
def test_a_handler_learns_that_its_client_has_gone_and_is_cancelled_only_on_request(
    process: ServerProcess, cancelling: bool
) -> None:
    process.start(GONE + f"run(app, handler_cancellation={cancelling})").ready()
    with process.connect() as caller:
        caller.send(request("/wait"))
        process.hears("waiting")
    if cancelling:
        process.hears("cancelled")
        process.signal()
    else:
        process.hears("noticed")
        process.signal()
        process.hears("on_shutdown")
        process.tell("go")
        process.hears("went on")
    drained(process)
