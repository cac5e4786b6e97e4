"""The documentation is true: its Python runs and prints what it says, and its links lead somewhere."""

from __future__ import annotations

import asyncio
import contextlib
import doctest
import gzip
import io
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import endwell
from endwell import web
from tests.docs.blocks import FILES, ROOT, Block, anchors_of, awaits, links_of, python_blocks
from tests.support.echo import EchoServer, Reply, Request, run_in_thread
from tests.support.serving import serving
from tests.support.tls import authority, fingerprint, server_context

BLOCKS = python_blocks()
FRAGMENTS = [block for block in BLOCKS if block.is_fragment and block.skip is None]
PROGRAMS = [block for block in BLOCKS if block.is_program and block.skip is None]
PAGES = {f"/page/{number}": f'<a href="/page/{number + 1}">next</a> <a href="/">home</a>' for number in range(1, 4)}


async def _rows() -> AsyncIterator[bytes]:
    for number in range(3):
        yield b'{"row": %d}\n' % number


def _flaky(request: Request) -> Reply:
    first = sum(each.path == request.path for each in request.server.requests) == 1
    return Reply("later", 503, {"Retry-After": "0"}) if first else Reply("now")


def _news(request: Request) -> Reply:
    async def events() -> AsyncIterator[bytes]:
        first = int(request.get("Last-Event-ID") or 0) + 1
        for number in range(first, first + 2):
            yield b'id: %d\nevent: news\ndata: {"number": %d}\n\n' % (number, number)

    return Reply(events(), content_type="text/event-stream")


async def _late(_: Request) -> Reply:
    await asyncio.sleep(0.4)
    return Reply("late")


HOME = '<title>Example</title> <a href="/page/1">one</a> <a href="/page/2">two</a>'
ROUTES: dict[str, Any] = {
    "/": lambda _: Reply(HOME, content_type="text/html"),
    "/page": lambda r: Reply(PAGES.get(r.path, "the end"), content_type="text/html"),
    "/items.json": lambda _: Reply('{"items": [1, 2, 3]}', content_type="application/json"),
    "/rows": lambda _: Reply(_rows()),
    "/file.bin": lambda _: Reply(bytes(300_000), content_type="application/octet-stream"),
    "/old": lambda _: Reply(b"", 302, {"Location": "/"}),
    "/flaky": _flaky,
    "/news": _news,
    "/late": _late,
    "/login": lambda _: Reply("welcome", headers=[("Set-Cookie", "session=s3cret; Path=/; HttpOnly")]),
    "/missing": lambda _: Reply("there is nothing here", 404),
    "/bomb": lambda _: Reply(gzip.compress(bytes(20_000_000)), headers={"Content-Encoding": "gzip"}),
}  # fmt: skip


WEBSOCKETS = "ws://127.0.0.1:8080"


async def _echo(request: web.Request) -> web.StreamResponse:
    ws = web.WebSocketResponse(protocols=("echo.v1",))
    await ws.prepare(request)
    async for message in ws:
        await (ws.send_str if message.type is web.WSMsgType.TEXT else ws.send_bytes)(message.data)
    return ws


def _websockets() -> web.Application:
    """What the examples of WebSockets connect to: an echo, and a feed that goes away in its midst."""
    feed = [(("one", "two"), 1001), (("three",), 1000)]

    async def _feed(request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        texts, code = feed.pop(0)
        for text in texts:
            await ws.send_str(text)
        await ws.close(code=code)
        return ws

    app = web.Application()
    app.add_routes([web.get("/echo", _echo), web.get("/feed", _feed)])
    return app


@contextlib.contextmanager
def _websockets_in_thread() -> Iterator[str]:
    """Serve them from a thread with a loop of its own; give what stands for `WEBSOCKETS`."""
    ready = threading.Event()
    state: dict[str, Any] = {}

    async def main() -> None:
        state["loop"], state["stop"] = asyncio.get_running_loop(), asyncio.Event()
        async with serving(_websockets()) as server:
            state["port"] = server.port
            ready.set()
            await state["stop"].wait()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert ready.wait(10), "the server did not start"
    try:
        yield f"ws://127.0.0.1:{state['port']}"
    finally:
        state["loop"].call_soon_threadsafe(state["stop"].set)
        thread.join()


def _prepare(folder: Path) -> None:
    """Put the files there that the examples read."""
    (folder / "photo.jpg").write_bytes(b"\xff\xd8" + bytes(200_000))
    (folder / "ca.pem").write_bytes(authority().cert_pem.bytes())


def _outfit(block: Block) -> dict[str, dict[str, Any]]:
    """Return which servers a block needs: the host it names, and how that server is made."""
    known = {
        "https://example.org": {"routes": ROUTES},
        "http://127.0.0.1:8080": {"routes": ROUTES},
        "https://internal.example": {"routes": ROUTES, "tls": server_context()},
        "http://proxy.example:3128": {"proxy": True, "routes": ROUTES},
    }
    return {host: arguments for host, arguments in known.items() if host in block.text}


def _address(host: str, server: EchoServer) -> str:
    return server.url("", host="localhost" if server.tls else "127.0.0.1")


def _localized(block: Block, addresses: dict[str, str]) -> str:
    text = block.text.replace("FINGERPRINT", fingerprint().hex())
    for host, address in addresses.items():
        text = text.replace(host, address)
    return text


def _check_output(block: Block, printed: str, addresses: dict[str, str], folder: Path) -> None:
    if block.output is None:
        return
    printed = re.sub(r"\d+\.\d s ago", "0.0 s ago", printed.replace(str(folder), "/home/me"))
    for host, address in addresses.items():
        printed = printed.replace(address, host).replace(address.partition("//")[2], host.partition("//")[2])
    checker = doctest.OutputChecker()
    if not checker.check_output(block.output, printed, doctest.ELLIPSIS):
        pytest.fail(f"{block.name} should print\n{block.output}\nand prints\n{printed}", pytrace=False)


@pytest.mark.parametrize("block", FRAGMENTS, ids=lambda block: block.name)
async def test_fragment(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    async with contextlib.AsyncExitStack() as stack:
        addresses = {}
        for host, arguments in _outfit(block).items():
            addresses[host] = _address(host, await stack.enter_async_context(EchoServer(**arguments)))
        if WEBSOCKETS in block.text:
            addresses[WEBSOCKETS] = stack.enter_context(_websockets_in_thread())
        code: Any = awaits("\n" * (block.line - 1) + _localized(block, addresses), block.name)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            async with endwell.ClientSession() as ready:
                names = {"asyncio": asyncio, "endwell": endwell, "session": ready, "__name__": "fragment"}
                waiting = eval(code, names)
                if waiting is not None:
                    await waiting
        names.clear()
    _check_output(block, printed.getvalue(), addresses, tmp_path)


@pytest.mark.parametrize("block", PROGRAMS, ids=lambda block: block.name)
def test_program(block: Block, tmp_path: Path) -> None:
    _prepare(tmp_path)
    program = tmp_path / (block.file_name or "program.py")
    with contextlib.ExitStack() as stack:
        addresses = {}
        for host, arguments in _outfit(block).items():
            addresses[host] = _address(host, stack.enter_context(run_in_thread(**arguments)))
        if WEBSOCKETS in block.text:
            addresses[WEBSOCKETS] = stack.enter_context(_websockets_in_thread())
        program.write_text(_localized(block, addresses), encoding="utf-8")
        run = subprocess.run(
            [sys.executable, program.name], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
    assert run.returncode == 0, run.stderr
    if block.output is None:
        assert run.stderr == ""
    _check_output(block, run.stdout + run.stderr, addresses, tmp_path)


def test_most_blocks_are_run() -> None:
    assert len(FRAGMENTS) + len(PROGRAMS) > 4 * sum(block.skip is not None for block in BLOCKS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links(path: Path) -> None:
    dead = []
    for line, target in links_of(path):
        if target.startswith(("https://", "http://")):
            continue
        file, _, anchor = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        if not found.exists() or (anchor and anchor not in anchors_of(found)):
            dead.append(f"{path.relative_to(ROOT)}:{line} {target}")
    assert dead == []


def test_every_page_can_be_reached() -> None:
    seen: set[Path] = set()
    todo = [ROOT / "docs/index.md"]
    while todo:
        page = todo.pop()
        if page in seen:
            continue
        seen.add(page)
        for _, target in links_of(page):
            file = target.partition("#")[0]
            if file.endswith(".md") and "://" not in file:
                todo.append((page.parent / file).resolve())
    assert [str(path) for path in FILES if path not in seen and "docs" in path.parts] == []


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    wanted += [line for lines in project["project"]["optional-dependencies"].values() for line in lines]
    names = {re.split(r"[^\w.-]", line)[0] for line in wanted} - {"endwell"}
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = set(re.findall(r"^\| ([\w.-]+) \| [^|]+ \| \S[^|]+\|$", text, re.MULTILINE))
    assert names <= table


def test_readme_begins_with_what_matters() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for marker in ("bench", "bench-servers", "bench-websockets", "bench-asgi"):
        assert text.count(f"<!-- {marker}:begin -->") == text.count(f"<!-- {marker}:end -->") == 1
    screens = "\n".join(text.split("\n")[:75])
    for wanted in ("pip install", "async with", "web.run_app", "was never closed"):
        assert wanted in screens
