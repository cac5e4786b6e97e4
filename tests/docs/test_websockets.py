"""What `docs/how-to/websockets.md` shows beside its clients: its news reach listeners, also through a real nginx."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import endwell
from tests.docs.blocks import ROOT, blocks_of
from tests.docs.test_nginx import FOLDERS
from tests.docs.test_services import service, with_port
from tests.support.programs import free_port, program, running

BLOCKS = blocks_of(ROOT / "docs/how-to/websockets.md")


@contextlib.contextmanager
def serving(name: str, folder: Path) -> Iterator[int]:
    """Run one of the services of the page; give its port."""
    (block,) = [each for each in BLOCKS if each.file_name == name]
    port = free_port()
    path = folder / name
    path.write_text(with_port(block.text, port), encoding="utf-8")
    with service(path):
        yield port
    assert "Traceback" not in (folder / "log").read_text(encoding="utf-8")


async def test_news(tmp_path: Path) -> None:
    with serving("news.py", tmp_path) as port:
        async with endwell.ClientSession(f"http://127.0.0.1:{port}") as session:
            async with session.ws_connect("/news") as one, session.ws_connect("/news") as other:
                async with session.post("/news", data="It rains") as response:
                    assert await response.text() == "told 2\n"
                assert (await one.receive_str(), await other.receive_str()) == ("It rains", "It rains")


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[str]:
    nginx = program("nginx", "nginx-light")
    (block,) = [each for each in BLOCKS if each.info == "nginx"]
    with serving("echo.py", tmp_path) as upstream:
        port = free_port()
        text = with_port(block.text, upstream).replace("listen 8443", f"listen 127.0.0.1:{port}")
        (tmp_path / "nginx.conf").write_text(f"events {{}}\nhttp {{ access_log off; {FOLDERS}\n{text}}}\n")
        errors = str(tmp_path / "error.log")
        directives = f"daemon off; master_process off; pid {tmp_path}/pid; error_log {errors};"
        command = [nginx, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"), "-e", errors, "-g", directives]
        with running(command, port):
            yield f"ws://127.0.0.1:{port}/echo"


async def test_nginx(proxied: str) -> None:
    async with endwell.ClientSession() as session:
        async with session.ws_connect(proxied, compress=15) as ws:
            assert ws.compress == 15
            await ws.send_str("hello")
            assert await ws.receive_str() == "hello"
            await ws.send_bytes(bytes(1_000_000), fragment_size=10_000)
            assert await ws.receive_bytes() == bytes(1_000_000)
            await ws.close(code=4001, message=b"enough")
        assert ws.close_code == 4001


def test_codes() -> None:
    """Every code that has a name is in the table."""
    text = (ROOT / "docs/how-to/websockets.md").read_text(encoding="utf-8").partition("\n## Close\n")[2]
    told = {int(code) for row in text.splitlines() if row.startswith("| 1") for code in row.split("|")[1].split(",")}
    assert told == {int(code) for code in endwell.WSCloseCode} | {1005}
