"""A worker: in a loop that is there, and as a process of its own, with the test as its supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from endwell import ClientSession
from endwell.service import worker
from endwell.service.channel import Channel, pair
from endwell.service.plan import ServicePlan
from tests.support.tls import certificate, client_context

SECONDS = 30
PROGRAM = """
import asyncio, os
from endwell import web

HELD = web.AppKey("HELD", asyncio.Event)

async def hello(request):
    return web.Response(text=str(os.getpid()))

async def held(request):
    request.app[HELD].set()
    await asyncio.Event().wait()

async def ended(app):
    if os.environ.get("CLEANUP") == "fails":
        raise RuntimeError("clean-up failed")

async def begun(app):
    if os.environ.get("STARTUP") == "fails":
        raise RuntimeError("no database")
    if os.environ.get("STARTUP") == "exits":
        raise SystemExit(5)
    if os.environ.get("STARTUP") == "waits":
        await asyncio.Event().wait()

app = web.Application()
app[HELD] = asyncio.Event()
app.on_startup.append(begun)
app.on_cleanup.append(ended)
app.add_routes([web.get("/", hello), web.get("/held", held)])

async def wait_until_held(request):
    await app[HELD].wait()
    return web.Response()

async def websocket(request):
    ws = web.WebSocketResponse()
    await ws.prepare(request)
    async for message in ws:
        await ws.send_str(message.data)
    return ws

app.add_routes([web.get("/wait", wait_until_held), web.get("/ws", websocket)])

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        try:
            raise RuntimeError("no database")
        except RuntimeError as error:
            await send({"type": "lifespan.startup.failed", "message": "no database"})
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("program")
    (folder / "served_program.py").write_text(PROGRAM)
    certificate().private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    before = list(sys.path)
    yield folder
    sys.path[:] = before
    sys.modules.pop("served_program", None)


@pytest.fixture
def fresh(folder: Path) -> Path:
    """The folder, with a program that is not imported yet."""
    sys.modules.pop("served_program", None)
    return folder


def plan(folder: Path, target: str = "served_program:app", **options: Any) -> ServicePlan:
    settings = {"app_dir": str(folder), "access_log": False, "shutdown_timeout": SECONDS, **options}
    return ServicePlan(target=target, **settings)


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def url(sock: socket.socket, path: str = "/", scheme: str = "http") -> str:
    return f"{scheme}://127.0.0.1:{sock.getsockname()[1]}{path}"


class Supervisor:
    """The other end of the channel: `says(state)` waits for what the worker says."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        ours, self.theirs = pair()
        self.channel = Channel(
            asyncio.get_running_loop(), ours, self.heard.put_nowait, lambda: self.heard.put_nowait(None)
        )

    def tell(self, what: str, **facts: Any) -> None:
        self.channel.send({"do": what, **facts})

    async def says(self, state: str) -> dict[str, Any]:
        while True:
            message = await asyncio.wait_for(self.heard.get(), SECONDS)
            assert message is not None, f"the worker is gone, and never said {state}"
            if message["state"] == state:
                return message


@contextlib.asynccontextmanager
async def serving(
    plan: ServicePlan, *sockets: socket.socket, others: dict[int, list[socket.socket]] | None = None
) -> AsyncIterator[tuple[Supervisor, asyncio.Task[int]]]:
    supervisor = Supervisor()
    own = [sock.dup() for sock in sockets]
    task = asyncio.create_task(worker.serve(plan, own, others or {}, supervisor.theirs, every=0.01))
    try:
        yield supervisor, task
    finally:
        supervisor.channel.close()
        task.cancel()
        await asyncio.wait([task])
        assert all(sock.fileno() == -1 for sock in own)
        for sock in sockets:
            sock.close()


async def test_it_serves_and_drains(fresh: Path) -> None:
    with listening() as sock:
        async with serving(plan(fresh), sock) as (supervisor, task), ClientSession() as session:
            assert (await supervisor.says("starting"))["pid"] == os.getpid()
            await supervisor.says("ready")
            async with session.get(url(sock)) as response:
                assert await response.text() == str(os.getpid())
            report = await supervisor.says("report")
            while report["requests"] != 1:
                report = await supervisor.says("report")
            assert report["connections"] == 1
            assert report["websockets"] == 0
            supervisor.tell("drain")
            assert (await supervisor.says("draining"))["requests"] == 1
            assert await task == 0


async def test_websockets_are_counted_and_closed_with_1001(fresh: Path) -> None:
    with listening() as sock:
        async with serving(plan(fresh), sock) as (supervisor, task), ClientSession() as session:
            await supervisor.says("ready")
            async with session.ws_connect(url(sock, "/ws")) as ws:
                await ws.send_str("Hello")
                assert (await ws.receive()).data == "Hello"
                while not (await supervisor.says("report"))["websockets"]:
                    pass
                supervisor.tell("drain")
                await ws.receive()
                assert ws.close_code == 1001
            assert await task == 0


async def test_it_drains_when_the_supervisor_is_gone(fresh: Path) -> None:
    with listening() as sock:
        async with serving(plan(fresh), sock) as (supervisor, task):
            await supervisor.says("ready")
            supervisor.channel.close()
            assert await task == 0


async def test_what_is_cut_short_is_told(fresh: Path) -> None:
    with listening() as sock:
        async with serving(plan(fresh), sock) as (supervisor, task), ClientSession() as session:
            await supervisor.says("ready")
            held = asyncio.create_task(session.get(url(sock, "/held")))
            async with session.get(url(sock, "/wait")):
                pass
            supervisor.tell("drain")
            await supervisor.says("draining")
            supervisor.tell("hurry")
            assert await task == 1
            (await held).release()
            assert held.result().status == 503


async def test_cancelled_it_waits_for_nobody(fresh: Path) -> None:
    with listening() as sock:
        async with serving(plan(fresh), sock) as (supervisor, task), ClientSession() as session:
            await supervisor.says("ready")
            held = asyncio.create_task(session.get(url(sock, "/held")))
            async with session.get(url(sock, "/wait")):
                pass
            task.cancel()
            await asyncio.wait([task], timeout=SECONDS)
            assert task.cancelled()
            (await held).release()


async def test_tls(fresh: Path) -> None:
    with listening() as sock:
        told = plan(fresh, ssl_certfile=str(fresh / "server.pem"))
        async with serving(told, sock) as (supervisor, _), ClientSession() as session:
            await supervisor.says("ready")
            async with session.get(url(sock, "/", "https"), ssl=client_context()) as response:
                assert response.status == 200


async def test_it_covers_for_others(fresh: Path) -> None:
    with listening() as sock, listening() as other:
        async with (
            serving(plan(fresh), sock, others={1: [other.dup()]}) as (supervisor, task),
            ClientSession() as session,
        ):
            await supervisor.says("ready")
            for _ in range(2):
                supervisor.tell("cover", slot=1)
                supervisor.tell("cover", slot=7)  # nobody knows it
                async with session.get(url(other), headers={"Connection": "close"}) as response:
                    assert response.status == 200
                supervisor.tell("uncover", slot=1)
            supervisor.tell("drain")
            assert await task == 0


async def test_it_retires(fresh: Path) -> None:
    """Who asks meanwhile on a connection that is there is answered, and told that it closes."""
    with listening() as sock:
        async with serving(plan(fresh), sock) as (supervisor, task), ClientSession() as session:
            await supervisor.says("ready")
            async with session.get(url(sock)) as response:
                assert "Connection" not in response.headers
            supervisor.tell("retire")
            told = asyncio.create_task(supervisor.says("draining"))
            await asyncio.sleep(0)
            async with session.get(url(sock)) as response:
                assert response.status == 200
            await told
            assert await task == 0


@pytest.mark.parametrize(
    ("told", "texts"),
    [
        ({"target": "served_program:ap"}, ["has no attribute ap; did you mean app?"]),
        ({"target": "served_program:asgi"}, ["The startup of the ASGI application failed: no database"]),
        ({"ssl_certfile": "/nowhere"}, ["--ssl-certfile: /nowhere: No such file or directory"]),
    ],
)
async def test_it_says_why_it_cannot_start(fresh: Path, told: dict[str, Any], texts: list[str]) -> None:
    with listening() as sock:
        async with serving(plan(fresh, **told), sock) as (supervisor, task):
            error = (await supervisor.says("failed"))["error"]
            for text in texts:
                assert text in error
            assert await task == 3


@pytest.mark.parametrize(
    ("how", "texts"),
    [
        ("fails", ["The application could not be started:\n\nTraceback", "in begun", "RuntimeError: no database"]),
        ("exits", ["ended the program with exit(5) while it started", "in begun"]),
    ],
)
async def test_a_startup_that_fails(fresh: Path, monkeypatch: pytest.MonkeyPatch, how: str, texts: list[str]) -> None:
    monkeypatch.setenv("STARTUP", how)
    with listening() as sock:
        async with serving(plan(fresh), sock) as (supervisor, task):
            error = (await supervisor.says("failed"))["error"]
            for text in texts:
                assert text in error
            assert "endwell/server" not in error
            assert await task == 3


async def test_a_startup_that_is_broken_off(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARTUP", "waits")
    with listening() as sock:
        async with serving(plan(fresh), sock) as (supervisor, task):
            await supervisor.says("starting")
            supervisor.tell("drain")
            await supervisor.says("draining")
            assert await task == 0


async def test_a_clean_up_that_fails(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CLEANUP", "fails")
    with listening() as sock:
        async with serving(plan(fresh), sock) as (supervisor, task):
            await supervisor.says("ready")
            supervisor.tell("drain")
            assert await task == 1
    assert "clean-up failed" in caplog.text


# As a process


class Lines:
    """The channel of a worker process, read by a test that blocks."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(SECONDS)
        self.sock = sock
        self.file = sock.makefile("rb")

    def tell(self, **message: Any) -> None:
        self.sock.sendall(json.dumps(message).encode() + b"\n")

    def says(self, state: str) -> dict[str, Any]:
        for line in self.file:
            message: dict[str, Any] = json.loads(line)
            if message["state"] == state:
                return message
        raise AssertionError(f"the worker is gone, and never said {state}")


@contextlib.contextmanager
def process(plan: ServicePlan, sock: socket.socket, **environ: str) -> Iterator[tuple[Lines, subprocess.Popen[bytes]]]:
    ours, theirs = pair()
    with (
        ours,
        theirs,
        subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "endwell.service.worker", str(theirs.fileno())],
            pass_fds=[theirs.fileno(), sock.fileno()],
            env={**os.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as worker,
    ):
        theirs.close()
        lines = Lines(ours)
        try:
            lines.tell(do="serve", plan=plan.to_json(), slot=0, sockets=[sock.fileno()], others={}, every=0.01)
            yield lines, worker
        finally:
            worker.kill()
            lines.file.close()


def get(sock: socket.socket, path: str = "/") -> bytes:
    with socket.create_connection(sock.getsockname(), SECONDS) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n".encode())
        with client.makefile("rb") as file:
            return file.read()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_process_ends_at_sigterm(folder: Path, loop: str) -> None:
    with listening() as sock, process(plan(folder, loop=loop, access_log=True), sock) as (lines, worker):
        assert lines.says("ready")["pid"] == worker.pid
        assert get(sock).endswith(str(worker.pid).encode())
        worker.send_signal(signal.SIGTERM)
        lines.says("draining")
        out, err = worker.communicate(timeout=SECONDS)
        assert worker.returncode == 0, err
        assert b'"GET / HTTP/1.1" 200' in out
        assert b"INFO closed AppRunner in " in err


def test_a_process_hurries_at_the_second_sigterm(folder: Path) -> None:
    with listening() as sock, process(plan(folder), sock) as (lines, worker):
        lines.says("ready")
        with socket.create_connection(sock.getsockname(), SECONDS) as client:
            client.sendall(b"GET /held HTTP/1.1\r\nHost: here\r\n\r\n")
            get(sock, "/wait")
            worker.send_signal(signal.SIGTERM)
            lines.says("draining")
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(SECONDS) == 1
            assert client.recv(1000).startswith(b"HTTP/1.1 503 ")


def test_a_process_drains_when_its_supervisor_dies(folder: Path) -> None:
    with listening() as sock, process(plan(folder), sock) as (lines, worker):
        lines.says("ready")
        lines.sock.shutdown(socket.SHUT_RDWR)
        assert worker.wait(SECONDS) == 0, worker.communicate()


def test_a_process_ends_when_its_supervisor_dies_before_the_order() -> None:
    ours, theirs = pair()
    with theirs:
        worker = subprocess.Popen(
            [sys.executable, "-m", "endwell.service.worker", str(theirs.fileno())], pass_fds=[theirs.fileno()]
        )
    ours.close()
    assert worker.wait(SECONDS) == 0


def test_a_process_that_cannot_start_ends_with_3(folder: Path) -> None:
    with listening() as sock, process(plan(folder), sock, STARTUP="fails") as (lines, worker):
        assert "RuntimeError: no database" in lines.says("failed")["error"]
        assert worker.wait(SECONDS) == 3


def test_an_import_is_broken_off_by_sigterm(folder: Path) -> None:
    (folder / "blocking_program.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\nwhile True: pass\n"
    )
    with listening() as sock, process(plan(folder, "blocking_program:app"), sock) as (lines, worker):
        lines.says("draining")
        assert worker.wait(SECONDS) == 0, worker.communicate()


def test_a_handler_may_end_the_worker(folder: Path) -> None:
    (folder / "ending_program.py").write_text(
        "from endwell import web\n"
        "async def end(request):\n    raise web.GracefulExit\n"
        "app = web.Application()\napp.add_routes([web.get('/', end)])\n"
    )
    with listening() as sock, process(plan(folder, "ending_program:app"), sock) as (lines, worker):
        lines.says("ready")
        get(sock)
        lines.says("draining")
        assert worker.wait(SECONDS) in {0, 1}, worker.communicate()
