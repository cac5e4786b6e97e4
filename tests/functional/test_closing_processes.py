"""The closing contract, C10, C14 and C15 where they need a loop or a process of their own."""

from __future__ import annotations

import asyncio
import gc
import os
import select
import signal
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path
from typing import Any

import pytest

import endwell
from tests.conftest import LOOPS
from tests.support.closing import TLS, client_sockets, fetch, passes, resource_warnings, serving, trusting
from tests.support.echo import run_in_thread
from tests.support.tls import server_context

ROOT = Path(__file__).parents[2]
HELPERS = """
import asyncio, gc, os, sys, warnings
import endwell
try:
    import uvloop
except ImportError:
    uvloop = None
from tests.support.closing import trusting, fetch
URL, KIND = sys.argv[1:3]
TLS = URL.startswith("https")
new_loop = uvloop.new_event_loop if KIND == "uvloop" else asyncio.SelectorEventLoop
"""


def program(tmp_path: Path, code: str) -> tuple[Path, dict[str, int]]:
    """Write a program; return its path and the numbers of the lines that are marked with ``# name``."""
    text = HELPERS + textwrap.dedent(code)
    path = tmp_path / "program.py"
    path.write_text(text)
    marks = {each.rsplit("# ", 1)[1]: number for number, each in enumerate(text.split("\n"), 1) if "  # " in each}
    return path, marks


def start(path: Path, url: str, kind: str, *options: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    return subprocess.Popen(
        [sys.executable, *options, str(path), url, kind],
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run(path: Path, url: str, kind: str, *options: str) -> subprocess.CompletedProcess[str]:
    process = start(path, url, kind, *options)
    out, err = process.communicate(timeout=30)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def said(stderr: str, path: Path, number: int) -> None:
    """Check that one thing was named, by its line in the program, and that there is no other noise."""
    assert stderr.count("ClientSession was never closed") == 1, stderr
    assert f"{path}:{number} " in stderr
    assert "Traceback" not in stderr
    assert "closed loop" not in stderr
    assert "Event loop is closed" not in stderr
    assert "Unclosed" not in stderr
    assert "unclosed" not in stderr
    assert "/src/endwell/" not in stderr.replace("ResourceWarning", "")
    assert len(stderr.strip().split("\n")) <= 4, stderr


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def url(request: pytest.FixtureRequest) -> Any:
    """A server in a thread, for this test only."""
    with run_in_thread(tls=server_context() if request.param else None) as server:
        yield server.url()


# What programs trust must be what the thread's server shows: the authority is made anew in each process.
INSECURE = "endwell.TCPConnector(ssl=False)"

GLOBAL = f"""
session = None
async def main():
    global session
    session = endwell.ClientSession(connector={INSECURE})  # made
    assert await fetch(session, URL) == b"hello"
"""


@pytest.mark.parametrize("ending", ["run", "runner", "run_until_complete", "not closed"])
def test_c10_a_global_session_at_interpreter_exit(tmp_path: Path, url: str, loop_kind: str, ending: str) -> None:
    endings = {
        "run": "uvloop.run(main()) if KIND == 'uvloop' else asyncio.run(main())",
        "runner": "with asyncio.Runner(loop_factory=new_loop) as runner: runner.run(main())",
        "run_until_complete": "loop = new_loop(); loop.run_until_complete(main()); loop.close()",
        "not closed": "loop = new_loop(); loop.run_until_complete(main())",
    }
    path, marks = program(tmp_path, GLOBAL + endings[ending])
    result = run(path, url, loop_kind)
    assert result.returncode == 0, result.stderr
    said(result.stderr, path, marks["made"])


@pytest.mark.parametrize("ending", ["local", "task", "forgotten"])
def test_c10_a_local_session_is_named_once_when_its_loop_ends(
    tmp_path: Path, url: str, loop_kind: str, ending: str
) -> None:
    code = f"""
    async def use():
        session = endwell.ClientSession(connector={INSECURE})  # made
        assert await fetch(session, URL) == b"hello"
        if sys.argv[3] == "keep":
            await asyncio.Event().wait()

    async def main():
        if {ending!r} == "local":
            await use()
        else:
            task = asyncio.create_task(use())
            await asyncio.sleep(0.3)

    sys.argv.append("keep" if {ending!r} == "task" else "")
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    """
    path, marks = program(tmp_path, code)
    result = run(path, url, loop_kind)
    assert result.returncode == 0, result.stderr
    said(result.stderr, path, marks["made"])


def test_c10_the_warning_is_shown_where_warnings_are(tmp_path: Path, url: str, loop_kind: str) -> None:
    path, marks = program(tmp_path, GLOBAL + "with asyncio.Runner(loop_factory=new_loop) as r: r.run(main())")
    result = run(path, url, loop_kind, "-W", "always::ResourceWarning")
    assert result.returncode == 0
    assert "ResourceWarning: ClientSession was never closed" in result.stderr
    assert f"{path}:{marks['made']} " in result.stderr
    assert "unclosed" not in result.stderr


@pytest.mark.parametrize("kept", [True, False])
def test_c10_keyboard_interrupt_closes_what_is_in_use(tmp_path: Path, url: str, loop_kind: str, kept: bool) -> None:
    code = f"""
    async def main():
        async with endwell.ClientSession(connector={INSECURE}, close_timeout=None) as session:
            asking = asyncio.ensure_future(fetch(session, URL + "slow"))
            owned = session.create_task(asyncio.Event().wait())
            await asyncio.sleep(0)
            print("ready", flush=True)
            try:
                await asyncio.Event().wait()
            finally:
                if {kept!r}:
                    global session_in_global
                    session_in_global = session

    try:
        uvloop.run(main()) if KIND == "uvloop" else asyncio.run(main())
    except KeyboardInterrupt:
        print("interrupted", endwell.open_resources(), flush=True)
    """
    path, _ = program(tmp_path, code)
    process = start(path, url, loop_kind)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert out == "interrupted []\n"
    assert err == "" or "ExchangeAbortedError" in err, err  # asyncio names a task of the user's that nobody awaited
    assert "was never closed" not in err
    assert process.returncode == 0


def test_c10_keyboard_interrupt_with_a_session_that_nobody_closes(tmp_path: Path, url: str, loop_kind: str) -> None:
    code = f"""
    async def main():
        session = endwell.ClientSession(connector={INSECURE})  # made
        await fetch(session, URL)
        print("ready", flush=True)
        await asyncio.Event().wait()

    try:
        uvloop.run(main()) if KIND == "uvloop" else asyncio.run(main())
    except KeyboardInterrupt:
        print("interrupted", endwell.open_resources(), flush=True)
    """
    path, marks = program(tmp_path, code)
    process = start(path, url, loop_kind)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert out == "interrupted []\n"
    said(err, path, marks["made"])


# C15


@TLS
def test_c15_on_another_loop_it_says_where_it_was_made(loop_kind: str, tls: bool) -> None:
    made: list[Any] = []

    async def make() -> None:
        made.append(endwell.ClientSession(connector=trusting(tls)))

    async def use() -> None:
        session = made[0]
        for ask in (
            lambda: session.get("http://127.0.0.1:1/"),
            session.close,
            session.connector.close,
        ):
            with pytest.raises(RuntimeError, match="belongs to the event loop that ran then") as caught:
                await ask()
            assert "/tests/" in str(caught.value)
        coro = passes()
        with pytest.raises(RuntimeError, match="belongs to the event loop"):
            session.create_task(coro)
        coro.close()

    factory: Any = LOOPS[loop_kind]
    with asyncio.Runner(loop_factory=factory) as first:
        first.run(make())
        with asyncio.Runner(loop_factory=factory) as second:
            second.run(use())

        async def close() -> None:
            await made[0].close()

        first.run(close())


@TLS
def test_c15_each_loop_has_its_own(loop_kind: str, tls: bool) -> None:
    async def use() -> bytes:
        async with serving(tls=tls) as server, endwell.ClientSession(connector=trusting(tls)) as session:
            return await fetch(session, server.url())

    factory: Any = LOOPS[loop_kind]
    for _ in range(2):
        with asyncio.Runner(loop_factory=factory) as runner:
            assert runner.run(use()) == b"hello"


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
@pytest.mark.parametrize("how", ["forgotten", "close", "kept"])
@TLS
@pytest.mark.parametrize("loop_kind", ["asyncio"], indirect=True)
def test_c15_when_its_loop_is_gone_its_sockets_are_dropped_silently(
    loop_kind: str, how: str, busy: bool, tls: bool, recwarn: pytest.WarningsRecorder
) -> None:
    """`loop.close()` without `shutdown_asyncgens()`: nobody tells us that the loop ends."""
    with run_in_thread(tls=server_context() if tls else None) as server:
        _loop_is_gone(server.url(), server.port, loop_kind, how, busy=busy)
    texts = [str(each.message) for each in recwarn.list]
    if how == "forgotten":
        assert [each for each in texts if "ClientSession was never closed" in each]
        texts = [each for each in texts if "was never closed" not in each]
    assert texts == []
    assert endwell.open_resources() == []


def _loop_is_gone(url: str, port: int, loop_kind: str, how: str, *, busy: bool) -> None:
    factory: Any = LOOPS[loop_kind]
    loop = factory()
    kept: list[Any] = []

    async def main() -> None:
        session = endwell.ClientSession(connector=endwell.TCPConnector(ssl=False))
        await fetch(session, url)
        if busy:
            kept.append(await session.get(url + "bytes/3000000"))
        kept.append(session)

    async def close() -> None:
        await kept[-1].close()

    warnings.simplefilter("always")
    loop.run_until_complete(main())
    loop.close()
    if how == "forgotten":
        kept.clear()
        gc.collect()
    else:
        if how == "kept":
            with asyncio.Runner(loop_factory=factory) as runner, pytest.raises(RuntimeError, match="is closed"):
                runner.run(kept[-1].get(url).__aenter__())
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(close())
        kept.clear()
        gc.collect()
    assert client_sockets(port) == []


@TLS
def test_c15_forgotten_between_two_runs_of_its_loop(loop_kind: str, tls: bool) -> None:
    with run_in_thread(tls=server_context() if tls else None) as server:
        _between_two_runs(server.url(), server.port, loop_kind)


def _between_two_runs(url: str, port: int, loop_kind: str) -> None:
    factory: Any = LOOPS[loop_kind]
    for again in (True, False):
        loop = factory()

        async def main() -> Any:
            session = endwell.ClientSession(connector=endwell.TCPConnector(ssl=False))
            await fetch(session, url)
            return session

        with resource_warnings() as texts:
            session = loop.run_until_complete(main())
            del session
            gc.collect()
            if again:
                loop.run_until_complete(passes(5))
                assert client_sockets(port) == []
            loop.close()
            del loop
            gc.collect()
        assert client_sockets(port) == []
        if loop_kind == "uvloop" and not again:  # it has no way to free a handle but to run, and says so
            texts = [each for each in texts if not each.startswith("unclosed resource <TCPTransport")]
        assert len(texts) == 1
        assert "ClientSession was never closed" in texts[0]


# C14


def in_child(run_child: Any) -> str:
    """Fork; the child writes what `run_child` returns or raises and is gone at once."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            try:
                text = str(run_child())
            except BaseException as error:
                text = f"{type(error).__name__}: {error}"
            os.write(writing, text.encode())
        finally:
            os._exit(0)
    os.close(writing)
    try:
        assert select.select([reading], [], [], 20)[0], "the child does not answer"
        text = os.read(reading, 65536).decode()
    finally:
        os.close(reading)
        os.waitpid(child, 0)
    return text


@TLS
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 on fork and threads
async def test_c14_a_forked_child_gets_a_clear_error_and_the_parent_goes_on(tls: bool, loop_kind: str) -> None:
    async with serving(tls=tls) as server:
        async with endwell.ClientSession(connector=trusting(tls)) as session:
            assert await fetch(session, server.url()) == b"hello"
            factory: Any = LOOPS[loop_kind]

            def child() -> str:
                async def main() -> str:
                    lines = []
                    for ask in (lambda: fetch(session, server.url("/bytes/3")), lambda: session.post(server.url())):
                        try:
                            lines.append(f"no error {await ask()}")
                        except RuntimeError as error:
                            lines.append(str(error))
                    await session.close()
                    return "\n".join(lines)

                with asyncio.Runner(loop_factory=factory) as runner:
                    text = runner.run(main())
                gc.collect()
                return text

            text = in_child(child)
            assert text.count("was made before fork()") == 2, text
            assert __file__ in text
            assert await fetch(session, server.url("/bytes/7")) == bytes(range(7))
            assert await fetch(session, server.url()) == b"hello"
            assert len(server.connections) == 1, "the parent's pool stays whole"
            assert [each.path for each in server.requests] == ["/", "/bytes/7", "/"]
        assert server.client_ends() == []


@TLS
async def test_c14_what_the_child_forgets_costs_the_parent_nothing(tls: bool) -> None:
    """The child drops session, response and task, collects garbage and leaves by `sys.exit`, with all finalisers."""
    async with serving(tls=tls) as server:
        async with endwell.ClientSession(connector=trusting(tls)) as session:
            await fetch(session, server.url())
            response = await session.get(server.url("/stuck"))
            pipe = os.pipe()
            child = os.fork()
            if not child:
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(pipe[1], 2)
                os.dup2(null, 1)
                try:
                    core, session._core = session._core, None  # type: ignore[assignment]
                    assert core.state.name == "FOREIGN"
                    del response, core
                    gc.collect()
                finally:
                    os._exit(0)
            os.waitpid(child, 0)
            os.close(pipe[1])
            assert os.read(pipe[0], 65536) == b""
            os.close(pipe[0])
            server.release.set()
            assert await response.read() == b"first,second"
            assert await fetch(session, server.url()) == b"hello"
        assert server.client_ends() == []


def test_c14_multiprocessing(tmp_path: Path, url: str, loop_kind: str) -> None:
    code = f"""
    import multiprocessing

    def work(pipe):
        async def ask():
            try:
                return await fetch(session, URL)
            except RuntimeError as error:
                return str(error)
        async def own():
            async with endwell.ClientSession(connector={INSECURE}) as mine:
                return await fetch(mine, URL + "bytes/3")
        with asyncio.Runner(loop_factory=new_loop) as runner:
            pipe.send((runner.run(ask()), runner.run(own())))

    async def main():
        global session
        async with endwell.ClientSession(connector={INSECURE}) as session:  # made
            assert await fetch(session, URL) == b"hello"
            context = multiprocessing.get_context("fork")
            for _ in range(2):
                here, there = context.Pipe()
                process = context.Process(target=work, args=(there,))
                process.start()
                text, data = await asyncio.to_thread(here.recv)
                process.join()
                here.close(), there.close()
                assert "was made before fork()" in text and __file__ in text, text
                assert data == b"\\0\\1\\2"
                assert await fetch(session, URL + "bytes/5") == bytes(range(5))
        print("whole")

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    """
    path, _ = program(tmp_path, code)
    result = run(path, url, loop_kind, "-W", "ignore::DeprecationWarning")
    assert result.stderr == ""
    assert result.stdout == "whole\n"
    assert result.returncode == 0


async def test_c14_what_is_made_after_the_fork_works_in_the_child(loop_kind: str) -> None:
    factory: Any = LOOPS[loop_kind]
    with run_in_thread() as server:
        async with endwell.ClientSession() as session:
            await fetch(session, server.url())

            def child() -> str:
                async def main() -> bytes:
                    async with endwell.ClientSession() as mine:
                        return await fetch(mine, server.url("/bytes/2"))

                with asyncio.Runner(loop_factory=factory) as runner:
                    return repr(runner.run(main()))

            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                assert await asyncio.to_thread(in_child, child) == repr(b"\x00\x01")
            assert await fetch(session, server.url()) == b"hello"
