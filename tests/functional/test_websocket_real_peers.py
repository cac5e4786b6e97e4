"""WebSockets and programs that others wrote: the `websockets` library, Chromium, nginx in between, curl.

What is missing skips its tests, with ``CI=true`` it fails them (see `tests.support.programs`).
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import pathlib
import subprocess
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import endwell
from endwell import WSMsgType, web
from tests.support.programs import SECONDS, free_port, program, running
from tests.support.serving import RunningServer, serving
from tests.support.tls import client_context, server_context
from tests.support.websockets import TLS, trusting

if importlib.util.find_spec("websockets") is None and os.environ.get("CI") != "true":
    pytest.skip("websockets is missing: pip install websockets", allow_module_level=True)
import websockets.asyncio.client  # only where it is installed
import websockets.asyncio.server
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

DEFLATE = pytest.mark.parametrize("deflate", [False, True], ids=["as it is", "deflate"])
TEXTS = ["", "x", "grüße, 世界 \U0001f642", "a text to compress " * 500, "z" * 200_000]
BLOBS = [b"", b"\0", os.urandom(3000), os.urandom(70_000), bytes(1_000_000)]


class Site:
    """An application: ``/echo`` sends back what comes, ``/close`` closes as asked; `codes` of those that ended."""

    def __init__(self) -> None:
        self.codes: list[int | None] = []
        self.compressed: list[bool] = []
        self.app = web.Application()
        self.app.router.add_get("/echo", self.echo)
        self.app.router.add_get("/close", self.close)
        self.app.router.add_get("/", self.page)

    async def echo(self, request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(protocols=["chat"], max_msg_size=0)
        await ws.prepare(request)
        self.compressed.append(bool(ws.compress))
        async for message in ws:
            if message.type is WSMsgType.TEXT:
                await ws.send_str(message.data)
            else:
                await ws.send_bytes(message.data)
        self.codes.append(ws.close_code)
        return ws

    async def close(self, request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        await ws.close(code=int(request.query["code"]), message=request.query["reason"].encode())
        self.codes.append(ws.close_code)
        return ws

    async def page(self, request: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><link rel=icon href=data:,><title>t</title>", content_type="text/html")


@contextlib.asynccontextmanager
async def served(*, tls: bool = False) -> AsyncIterator[tuple[Site, RunningServer, str]]:
    site = Site()
    host = "localhost" if tls else "127.0.0.1"
    async with serving(site.app, tls=server_context() if tls else None, host=host) as server:
        yield site, server, f"ws{'s' if tls else ''}://{host}:{server.port}"


# The `websockets` library


@TLS
@DEFLATE
async def test_websockets_is_the_client(tls: bool, deflate: bool) -> None:
    async with served(tls=tls) as (site, _, url):
        how: dict[str, Any] = {"compression": "deflate" if deflate else None, "max_size": None, "proxy": None}
        if tls:
            how["ssl"] = client_context()
        async with websockets.asyncio.client.connect(f"{url}/echo", subprotocols=["x", "chat"], **how) as ws:
            assert ws.subprotocol == "chat"
            for message in [*TEXTS, *BLOBS]:
                await ws.send(message)
                assert await ws.recv() == message
            await ws.send(["in ", "several ", "fragments"])
            assert await ws.recv() == "in several fragments"
            await (await ws.ping())
            await ws.close(code=4000, reason="bye")
            assert ws.close_code == 4000
        while not site.codes:
            await asyncio.sleep(0)
        assert site.codes == [4000]
        assert site.compressed == [deflate]


@TLS
async def test_the_server_closes_on_websockets(tls: bool) -> None:
    async with served(tls=tls) as (site, server, url):
        how: dict[str, Any] = {"proxy": None} | ({"ssl": client_context()} if tls else {})
        async with websockets.asyncio.client.connect(f"{url}/close?code=4321&reason=why", **how) as ws:
            with pytest.raises(websockets.exceptions.ConnectionClosed) as caught:
                await ws.recv()
            assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4321, "why")
        async with websockets.asyncio.client.connect(f"{url}/echo", **how) as ws:
            receiving = asyncio.ensure_future(ws.recv())
            await asyncio.sleep(0)
            await server.close()
            with pytest.raises(websockets.exceptions.ConnectionClosed) as caught:
                await receiving
            assert caught.value.rcvd.code == 1001
        while len(site.codes) < 2:
            await asyncio.sleep(0)
        assert site.codes == [4321, 1001]


@contextlib.asynccontextmanager
async def websockets_serve(*, tls: bool = False, **kwargs: Any) -> AsyncIterator[tuple[str, list[Any]]]:
    ended: list[Any] = []

    async def handler(ws: Any) -> None:
        try:
            async for message in ws:
                if message == "close":
                    await ws.close(code=4321, reason="why")
                elif message == "ping":
                    await (await ws.ping(b"payload"))
                    await ws.send("pong came")
                elif message == "fragments":
                    await ws.send(["in ", "several ", "fragments"])
                else:
                    await ws.send(message)
        except websockets.exceptions.ConnectionClosed:
            pass
        ended.append((ws.close_code, ws.close_reason))

    how: dict[str, Any] = {"ssl": server_context()} if tls else {}
    host = "localhost" if tls else "127.0.0.1"
    async with websockets.asyncio.server.serve(handler, "127.0.0.1", 0, max_size=None, **how, **kwargs) as server:
        yield f"ws{'s' if tls else ''}://{host}:{server.sockets[0].getsockname()[1]}/", ended


@TLS
@DEFLATE
async def test_websockets_is_the_server(tls: bool, deflate: bool) -> None:
    how = {"compression": "deflate" if deflate else None, "subprotocols": ["chat"]}
    async with websockets_serve(tls=tls, **how) as (url, ended):
        async with endwell.ClientSession(connector=trusting()) as session:
            async with session.ws_connect(url, protocols=["chat"], compress=15 if deflate else 0, max_msg_size=0) as ws:
                assert ws.protocol == "chat"
                assert bool(ws.compress) == deflate
                for text in TEXTS:
                    await ws.send_str(text)
                    assert await ws.receive_str() == text
                    await ws.send_str(text, fragment_size=1000)
                    assert await ws.receive_str() == text
                for blob in BLOBS:
                    await ws.send_bytes(blob)
                    assert await ws.receive_bytes() == blob
                await ws.send_str("ping")
                assert await ws.receive_str() == "pong came"
                await ws.send_str("fragments")
                assert await ws.receive_str() == "in several fragments"
                await ws.send_str("close")
                assert await ws.receive() == (WSMsgType.CLOSE, 4321, "why")
                assert ws.close_code == 4321
            async with session.ws_connect(url, protocols=["chat"]) as ws:
                await ws.close(code=4000, message=b"bye")
                assert ws.close_code == 4000
            last = await session.ws_connect(url, protocols=["chat"])
        assert last.close_code == 1001
        while len(ended) < 3:
            await asyncio.sleep(0)
        assert [code for code, _ in ended] == [4321, 4000, 1001]


@pytest.mark.parametrize("window", [9, 11, 15])
async def test_windows_with_websockets(window: int) -> None:
    text = "".join(map(str, range(20_000)))
    async with websockets_serve(compression="deflate") as (url, _), endwell.ClientSession() as session:
        async with session.ws_connect(url, compress=window) as ws:
            for _ in range(3):
                await ws.send_str(text)
                assert await ws.receive_str() == text
    offer = ClientPerMessageDeflateFactory(
        server_max_window_bits=window, client_max_window_bits=window, client_no_context_takeover=window == 9
    )
    async with served() as (_, _, url):
        async with websockets.asyncio.client.connect(
            f"{url}/echo", compression=None, extensions=[offer], proxy=None
        ) as peer:
            for _ in range(3):
                await peer.send(text)
                assert await peer.recv() == text


# Chromium

SCRIPT = """
async ([url, protocols, sends, code]) => {
  const ws = new WebSocket(url, protocols)
  ws.binaryType = "arraybuffer"
  const got = []
  const closed = new Promise(done => ws.onclose = e => done([e.code, e.reason, e.wasClean]))
  ws.onmessage = e => {
    got.push(typeof e.data === "string" ? e.data.length : -e.data.byteLength)
    if (got.length === sends.length && code) ws.close(code, "from the page")
  }
  ws.onopen = () => sends.forEach(n => ws.send(n >= 0 ? "é".repeat(n) : new Uint8Array(-n)))
  const end = await closed
  return {got, end, protocol: ws.protocol, extensions: ws.extensions}
}
"""


def _in_chromium(url: str, script: str, arguments: list[list[Any]]) -> list[Any]:
    """Run a function in a page of this origin, once for each of the arguments."""
    from tests.functional.test_browser import browser

    with browser() as chromium:
        page = chromium.new_page()
        page.goto(url)
        return [page.evaluate(script, each) for each in arguments]


async def test_chromium() -> None:
    async with served() as (site, server, url):
        sends = [0, 1, 70_000, -1, -500_000, 300]
        found = await asyncio.to_thread(
            _in_chromium,
            str(server.url),
            SCRIPT,
            [
                [f"{url}/echo", ["x", "chat"], sends, 4000],
                [f"{url}/echo", [], [1], 1000],
                [f"{url}/close?code=4321&reason=why", [], [], 0],
                [f"{url}/close?code=1011&reason=", [], [], 0],
            ],
        )
        assert found[0]["got"] == sends
        assert found[0]["end"] == [4000, "from the page", True] or found[0]["end"] == [4000, "", True]
        assert found[0]["protocol"] == "chat"
        assert found[0]["extensions"].startswith("permessage-deflate")
        assert found[1]["end"][0] == 1000
        assert found[2]["end"] == [4321, "why", True]
        assert found[3]["end"] == [1011, "", True]
        assert site.codes == [4000, 1000, 4321, 1011]
        assert site.compressed == [True, True]


async def test_chromium_learns_that_the_server_goes() -> None:
    script = """
    async ([url]) => {
      const ws = new WebSocket(url)
      const end = await new Promise(done => ws.onclose = e => done([e.code, e.wasClean]))
      return end
    }
    """
    async with served() as (site, server, url):
        waiting = asyncio.ensure_future(asyncio.to_thread(_in_chromium, str(server.url), script, [[f"{url}/echo"]]))
        while not site.compressed:
            await asyncio.sleep(0.01)
        await server.close()
        assert await waiting == [[1001, True]]
        assert site.codes == [1001]


# nginx


NGINX = """
daemon off; master_process off; worker_processes 1; pid {root}/pid; error_log {root}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {root}/t1; proxy_temp_path {root}/t2; fastcgi_temp_path {root}/t3;
  uwsgi_temp_path {root}/t4; scgi_temp_path {root}/t5;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{upstream}; proxy_http_version 1.1; proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";
    }}
  }}
}}
"""


@contextlib.contextmanager
def proxying(root: pathlib.Path, upstream: int) -> Iterator[str]:
    """Run an nginx that hands WebSockets on; give its URL."""
    path = program("nginx", "nginx-light")
    port = free_port()
    file = root / "nginx.conf"
    file.write_text(NGINX.format(root=root, port=port, upstream=upstream))
    with running([path, "-p", str(root), "-c", str(file), "-e", str(root / "error.log")], port):
        yield f"ws://127.0.0.1:{port}"


@DEFLATE
async def test_through_nginx(deflate: bool, tmp_path: pathlib.Path) -> None:
    async with served() as (site, server, _), endwell.ClientSession() as session:
        with proxying(tmp_path, server.port) as url:
            async with session.ws_connect(f"{url}/echo", compress=15 * deflate, max_msg_size=0) as ws:
                for text in TEXTS:
                    await ws.send_str(text)
                    assert await ws.receive_str() == text
                for blob in BLOBS:
                    await ws.send_bytes(blob, fragment_size=5000)
                    assert await ws.receive_bytes() == blob
                await ws.close(code=4000)
                assert ws.close_code == 4000
            async with session.ws_connect(f"{url}/close?code=4321&reason=why") as ws:
                assert await ws.receive() == (WSMsgType.CLOSE, 4321, "why")
            ws = await session.ws_connect(f"{url}/echo")
            receiving = asyncio.ensure_future(ws.receive())
            await asyncio.sleep(0)
            await server.close()
            assert await receiving == (WSMsgType.CLOSE, 1001, "")
            assert ws.close_code == 1001
        assert site.codes == [4000, 4321, 1001]


async def test_nginx_goes_away(tmp_path: pathlib.Path) -> None:
    """Without a word to either end: 1006 for both."""
    async with served() as (site, server, _), endwell.ClientSession() as session:
        with proxying(tmp_path, server.port) as url:
            ws = await session.ws_connect(f"{url}/echo")
            receiving = asyncio.ensure_future(ws.receive())
            await ws.send_str("x")
            assert (await receiving).data == "x"
            receiving = asyncio.ensure_future(ws.receive())
        assert (await receiving).type in (WSMsgType.CLOSED, WSMsgType.ERROR)
        assert ws.close_code == 1006
        while not site.codes:
            await asyncio.sleep(0.001)
        assert site.codes == [1006]


# curl


async def test_curl() -> None:
    """`ws://` is in curl from 7.86 on where it was built with it; what it does then is to print messages."""
    path = program("curl", "curl")
    known = (await asyncio.to_thread(subprocess.run, [path, "-V"], check=True, capture_output=True, text=True)).stdout
    if " ws" not in known.split("Protocols:")[1].split("\n")[0]:
        pytest.skip("this curl has no ws://")
    async with served() as (site, _, url):
        done = await asyncio.to_thread(
            subprocess.run,
            [path, "-q", "-s", "--noproxy", "*", f"{url}/close?code=1000&reason=x"],
            check=False, capture_output=True, timeout=SECONDS,
        )  # fmt: skip
        assert done.returncode in (0, 52)
        assert site.codes == [1000]
