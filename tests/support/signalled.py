"""A server in a process of its own that tests send signals to, and a client that blocks.

The program says on stdout what happens in it, a line each; a test reads them (`ServerProcess.hears`) and so knows where
the program is, without waiting for a time. A line on its stdin (`tell`) sets the event of that name. What it logs comes
on stderr.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from tests.support.raw import Answer
from tests.support.tls import certificate, client_context
from tests.support.visitor import request

ROOT = Path(__file__).parents[2]
SECONDS = 30  # after which a program that says nothing has failed

PRELUDE = """
import asyncio, collections, logging, os, signal, ssl, sys, threading
from endwell import web

KIND, PLACE, TLS = sys.argv[1:4]
logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(name)s %(levelname)s %(message)s")
logging.getLogger("asyncio").setLevel(logging.WARNING)
if KIND == "uvloop":
    import uvloop
    loop = uvloop.new_event_loop()
else:
    loop = asyncio.SelectorEventLoop()
events = collections.defaultdict(asyncio.Event)

def say(*words):
    print(*words, flush=True)

def listen_to_stdin():
    def read():
        for line in sys.stdin:
            loop.call_soon_threadsafe(lambda name=line.strip(): events[name].set())
    threading.Thread(target=read, daemon=True).start()

async def quick(request):
    return web.Response(text="quick")

async def held(request):
    say("held")
    await events["go"].wait()
    return web.Response(text="held")

async def stuck(request):
    say("stuck")
    try:
        await asyncio.Event().wait()
    finally:
        say("unstuck")

async def upload(request):
    say("uploading")
    data = await request.read()
    return web.Response(text=f"{len(data)} bytes")

async def ticks(request):
    async with web.event_stream(request) as stream:
        await stream.send("first")
        say("streaming")
        await asyncio.Event().wait()
    say("stream ended")
    return stream

def context(name):
    async def during(app):
        say("enter", name)
        yield
        say("leave", name)
    return during

def signal_of(name):
    async def called(app):
        say(name)
    return called

def make_app():
    app = web.Application()
    app.add_routes([web.get("/", quick), web.get("/held", held), web.get("/stuck", stuck), web.post("/upload", upload),
                    web.get("/ticks", ticks)])
    app.cleanup_ctx.extend([context("first"), context("second")])
    app.on_shutdown.append(signal_of("on_shutdown"))
    app.on_cleanup.append(signal_of("on_cleanup"))
    return app

def tell_user(text):
    say(text.partition("\\n")[0])

def run(app, **settings):
    listen_to_stdin()
    place = {"host": "127.0.0.1", "port": int(PLACE)} if PLACE.isdigit() else {"path": PLACE}
    context = None
    if TLS != "plain":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(TLS)
    settings = {"shutdown_timeout": 30, "access_log": None, "loop": loop, "print": tell_user} | settings
    web.run_app(app, ssl_context=context, **place, **settings)
    say("returned")
"""


class ServerProcess:
    """The program; a context manager that ends it when the test has not."""

    def __init__(self, directory: Path, kind: str, *, unix: bool = False, tls: bool = False) -> None:
        self.directory = directory
        self.kind = kind
        self.tls = tls
        self.path = str(directory / "s") if unix else None
        self.port = 0
        self.lines: list[str] = []
        self.before: list[str] = []
        """A command that starts the program, as its child."""

    def start(self, code: str = "run(make_app())", *options: str) -> ServerProcess:
        """Start the program: the prelude and this code."""
        program = self.directory / "program.py"
        program.write_text(PRELUDE + textwrap.dedent(code))
        pem = self.directory / "server.pem"
        if self.tls:
            certificate().private_key_and_cert_chain_pem.write_to_path(pem)
        where = self.path or "0"
        command = [sys.executable, *options, str(program), self.kind, where, str(pem) if self.tls else "plain"]
        with (self.directory / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [*self.before, *command],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self._let_go()
        self.process.wait()

    def _let_go(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def ready(self) -> ServerProcess:
        """Wait until it listens."""
        line = self.hears("======== Running on")
        if self.path is None:
            found = re.search(r":(\d+) ", line)
            assert found is not None, line
            self.port = int(found[1])
        return self

    def hears(self, start: str) -> str:
        """Read what the program says up to a line with this start."""
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            self.lines.append(line.rstrip("\n"))
            if line.startswith(start):
                return line
        raise AssertionError(f"the program ended, and never said {start!r}: {self.lines}\n{self.log()}")

    def log(self) -> str:
        """Give what it has logged so far."""
        return (self.directory / "log").read_text()

    def tell(self, name: str) -> None:
        """Set an event of the program."""
        assert self.process.stdin is not None
        self.process.stdin.write(name + "\n")
        self.process.stdin.flush()

    def signal(self, number: int = signal.SIGTERM) -> None:
        if not self.before:
            self.process.send_signal(number)
            return
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if children:
            os.kill(int(children[0]), number)

    def end(self) -> tuple[int, list[str], str]:
        """Wait for its end; return the exit status, everything it said, and what it logged."""
        assert self.process.stdout is not None
        self.lines += self.process.stdout.read().splitlines()
        self._let_go()
        return self.process.wait(SECONDS), self.lines, self.log()

    def connect(self) -> Caller:
        """Connect to it."""
        if self.path is None:
            sock = socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS)
        else:
            sock = socket.socket(socket.AF_UNIX)
            try:
                sock.settimeout(SECONDS)
                sock.connect(self.path)
            except OSError:
                sock.close()
                raise
        if self.tls:
            sock = client_context().wrap_socket(sock, server_hostname="localhost")
        return Caller(sock)

    def refuses(self) -> bool:
        """Tell whether a new connection is refused."""
        try:
            self.connect().close()
        except ConnectionRefusedError:
            return True
        except FileNotFoundError:
            return self.path is not None
        return False


class Caller:
    """One connection that blocks; a context manager."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.file = sock.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.file.close()
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def ask(self, *args: Any, **kwargs: Any) -> Answer:
        """Send a request and read its answer."""
        self.send(request(*args, **kwargs))
        return self.answer()

    def head(self) -> Answer:
        """Read the head of an answer."""
        lines = []
        while line := self.file.readline().rstrip(b"\r\n"):
            lines.append(line)
        return Answer(b"\r\n".join(lines))

    def chunk(self) -> bytes:
        """Read one chunk, ``b""`` for the last one."""
        size = int(self.file.readline(), 16)
        return self.file.read(size + 2)[:-2]

    def answer(self) -> Answer:
        """Read an answer with a length, or in chunks."""
        answer = self.head()
        if answer.get("transfer-encoding") == "chunked":
            while chunk := self.chunk():
                answer.body += chunk
        else:
            answer.body = self.file.read(int(answer.get("content-length") or 0))
        return answer

    def ended(self) -> bytes:
        """Wait for the end of the connection, which must be an orderly one; return what came before."""
        return self.file.read()


@contextlib.contextmanager
def server(directory: Path, kind: str, *, unix: bool = False, tls: bool = False) -> Iterator[ServerProcess]:
    """Give a server process, to be started."""
    process = ServerProcess(directory, kind, unix=unix, tls=tls)
    try:
        yield process
    finally:
        if hasattr(process, "process"):
            process.__exit__()
