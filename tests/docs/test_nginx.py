"""The configuration in `docs/how-to/nginx.md` works with the service there, in a real nginx."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import endwell
from tests.docs.blocks import ROOT, blocks_of
from tests.docs.test_services import service, with_port
from tests.support.programs import free_port, program, running
from tests.support.tls import certificate, client_context

# What the packages of distributions compile in needs root.
FOLDERS = "".join(f"{name}_temp_path {name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))

TOO_MUCH = 101 << 20


def _configuration(text: str, folder: Path, port: int, upstream: int) -> str:
    leaf = certificate()
    leaf.private_key_pem.write_to_path(folder / "key")
    leaf.cert_chain_pems[0].write_to_path(folder / "pem")
    text = re.sub(r"/etc/ssl/\S+\.(pem|key);", rf"{folder}/\1;", with_port(text, upstream))
    return text.replace("listen 443", f"listen 127.0.0.1:{port}").replace(
        "http {", f"http {{ access_log off; {FOLDERS}"
    )


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    nginx = program("nginx", "nginx-light")
    blocks = {block.info: block for block in blocks_of(ROOT / "docs/how-to/nginx.md")}
    port, upstream = free_port(), free_port()
    path = tmp_path / "service.py"
    path.write_text(with_port(blocks["python"].text, upstream), encoding="utf-8")
    (tmp_path / "nginx.conf").write_text(_configuration(blocks["nginx"].text, tmp_path, port, upstream))
    errors = str(tmp_path / "error.log")
    directives = f"daemon off; master_process off; pid {tmp_path}/pid; error_log {errors};"
    command = [nginx, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"), "-e", errors, "-g", directives]
    with service(path), running(command, port):
        yield f"https://localhost:{port}"
    log = (tmp_path / "log").read_text(encoding="utf-8")
    assert re.search(r'^INFO:endwell\.access:127\.0\.0\.1 \[.+\] "GET / HTTP/1\.1" 200 ', log, re.MULTILINE), log
    assert "Traceback" not in log


async def _answer(request: Any) -> Any:
    async with request as response:
        assert response.status == 200
        return await response.json()


async def test_nginx(url: str) -> None:
    async with endwell.ClientSession(connector=endwell.TCPConnector(ssl=client_context())) as session:
        lie = {"X-Forwarded-For": "8.8.8.8", "X-Forwarded-Proto": "gopher"}
        for _ in range(3):
            said = await _answer(session.get(f"{url}/", headers=lie))
            assert said == {"you": "127.0.0.1", "url": f"{url}/"}
        assert await _answer(session.post(f"{url}/uploads", data=bytes(3_000_000))) == 3_000_000
        async with endwell.sse(await session.get(f"{url}/ticks")) as events:
            assert (await anext(events)).data == "tick"  # it comes though a buffer is far from full
        async with session.post(f"{url}/", headers={"Content-Length": str(TOO_MUCH)}, data=_too_much()) as response:
            assert response.status == 413


async def _too_much() -> AsyncIterator[bytes]:
    for _ in range(TOO_MUCH >> 16):
        yield bytes(1 << 16)
