"""The examples run: in the loops of the suite through their `main`, and as a user starts them."""

from __future__ import annotations

import importlib.util
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.echo import EchoServer, Reply, Request, run_in_thread

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
OURS = sorted(path for path in EXAMPLES.glob("*.py") if path.name != "demo.py")
HOME = '<a href="/a">a</a> <a href="b#part">b</a> <a href="https://elsewhere.invalid/">elsewhere</a>'
PAGE = '<a href="/">home</a> <a href="/gone">gone</a> <a href="mailto:me@here.invalid">write</a>'
SITE = {
    "/": lambda _: Reply(HOME, content_type="text/html"),
    "/a": lambda _: Reply(PAGE, content_type="text/html"),
    "/b": lambda _: Reply("no links here"),
    "/gone": lambda _: Reply("gone", 404),
}


def load(name: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def start(name: str, *arguments: str, uvloop: bool = False) -> subprocess.CompletedProcess[str]:
    """Run an example as a user does, on uvloop by a change from outside."""
    path = str(EXAMPLES / f"{name}.py")
    command = [sys.executable, path, *arguments]
    if uvloop:
        code = (
            "import asyncio, runpy, sys, uvloop; asyncio.run = uvloop.run; del sys.argv[0];"
            "runpy.run_path(sys.argv[0], run_name='__main__')"
        )
        command = [sys.executable, "-c", code, path, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


async def test_tutorial_nested() -> None:
    async with EchoServer() as server:
        assert await load("tutorial_nested").main(server.url("/")) == "hello"


async def test_tutorial_by_hand() -> None:
    async with EchoServer() as server:
        assert await load("tutorial_by_hand").main([server.url("/"), server.url("/status/404")]) == [200, 404]


@pytest.mark.parametrize("name", ["tutorial_nested", "tutorial_by_hand"])
def test_tutorials_differ_from_aiohttp_by_their_import_only(name: str) -> None:
    code = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    assert [line for line in code.split("\n") if "endwell" in line] == ["import endwell as aiohttp"]


@pytest.mark.parametrize("uvloop", [False, True], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("name", ["tutorial_nested", "tutorial_by_hand"])
def test_tutorials_end_silently(name: str, uvloop: bool) -> None:
    with run_in_thread() as server:
        run = start(name, server.url("/"), uvloop=uvloop)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("uvloop", [False, True], ids=["asyncio", "uvloop"])
def test_forgotten_names_both_places(uvloop: bool) -> None:
    code = (EXAMPLES / "forgotten.py").read_text(encoding="utf-8").split("\n")
    session = next(number for number, line in enumerate(code, 1) if "ClientSession()" in line)
    request = next(number for number, line in enumerate(code, 1) if "session.get(" in line)
    with run_in_thread() as server:
        run = start("forgotten", server.url("/bytes/10000000"), uvloop=uvloop)
    assert (run.returncode, run.stdout) == (0, "200\n")
    assert "ClientSession was never closed" in run.stderr
    assert re.search(rf"forgotten\.py:{session} in main", run.stderr)
    assert "Response to GET" in run.stderr
    assert re.search(rf"forgotten\.py:{request} in main", run.stderr)
    assert "Traceback" not in run.stderr


async def test_crawler() -> None:
    async with EchoServer(SITE) as server:
        pages = await load("crawler").main(server.url("/"), workers=2)
        asked = [request.target for request in server.requests]
    assert {page.removeprefix(server.url("")): status for page, status in pages.items()} == {
        "/": 200,
        "/a": 200,
        "/b": 200,
        "/gone": 404,
    }
    assert len(asked) == len(set(asked)) == 4


def test_crawler_ends_well_when_interrupted() -> None:
    asked = threading.Event()

    async def never(request: Request) -> Reply:
        asked.set()
        await request.server.release.wait()
        return Reply("too late")

    with run_in_thread(routes={**SITE, "/a": never}) as server:
        command = [sys.executable, str(EXAMPLES / "crawler.py"), server.url("/")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert asked.wait(30)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=30)
    assert said.rstrip().endswith("KeyboardInterrupt")
    assert "never" not in said


async def test_download(tmp_path: Path) -> None:
    target = tmp_path / "file.bin"
    async with EchoServer() as server:
        assert await load("download").main(server.url("/bytes/300000"), target) == 300_000
    assert target.read_bytes() == (bytes(range(256)) * 1172)[:300_000]
    assert [path.name for path in tmp_path.iterdir()] == ["file.bin"]


async def test_download_leaves_nothing_when_cut_short(tmp_path: Path) -> None:
    def cut(request: Request) -> Reply:
        request.connection.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this")
        raise EOFError

    example = load("download")
    async with EchoServer({"/cut": cut}) as server:
        with pytest.raises(example.endwell.ClientPayloadError):
            await example.main(server.url("/cut"), tmp_path / "file.bin")
    assert list(tmp_path.iterdir()) == []


async def test_upload(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(bytes(500_000))
    async with EchoServer() as server:
        assert await load("upload").main(server.url("/echo"), path) == 500_000
        plain, form = server.requests
    assert (plain.method, plain.body) == ("PUT", bytes(500_000))
    assert form.method == "POST"
    assert b'name="file"; filename="photo.jpg"' in form.body


async def test_events() -> None:
    async with EchoServer() as server:
        events = await load("events").main(server.url("/sse"), 5)
        last = [request.get("Last-Event-ID") for request in server.requests]
    assert [event.id for event in events] == ["1", "2", "3", "4", "5"]
    assert events[0].data == "number 1\nmore"
    assert last == [None, "3"]


async def test_retry(capsys: pytest.CaptureFixture[str]) -> None:
    def flaky(request: Request) -> Reply:
        return Reply("now") if len(request.server.requests) == 3 else Reply("later", 503)

    async with EchoServer({"/flaky": flaky}) as server:
        assert await load("retry").main(server.url("/flaky"), backoff=0.01) == 200
    assert capsys.readouterr().out.count("GET /flaky: 503, again in") == 2


async def test_proxy() -> None:
    async with EchoServer(proxy=True) as server:
        assert await load("proxy").main("http://example.invalid/", server.url("")) == "hello"
    async with EchoServer(proxy=True, proxy_auth="user:secret") as server:
        refused = await load("proxy").main("https://example.invalid/", server.url(""))
        assert refused == "the proxy refused: 407 Proxy Authentication Required"
    assert (await load("proxy").main("http://example.invalid/", server.url(""))).startswith("no connection")


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_every_example_is_tested_and_says_what_it_is(path: Path) -> None:
    assert f'"{path.stem}"' in Path(__file__).read_text(encoding="utf-8")
    assert path.read_text(encoding="utf-8").startswith('"""')
