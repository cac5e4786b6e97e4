"""Real programs of Starlette, FastAPI and Litestar on endwell's server; curl and endwell's own client are the peers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from endwell import ClientSession, WSMsgType
from tests.support.asgi import AsgiStage, asgi, get
from tests.support.programs import program
from tests.support.raw import until

starlette = pytest.importorskip("starlette")
pytest.importorskip("fastapi")
litestar = pytest.importorskip("litestar")

import fastapi  # noqa: E402 - after importorskip
from starlette.applications import Starlette  # noqa: E402
from starlette.background import BackgroundTask  # noqa: E402
from starlette.middleware import Middleware  # noqa: E402
from starlette.middleware.base import BaseHTTPMiddleware  # noqa: E402
from starlette.middleware.gzip import GZipMiddleware  # noqa: E402
from starlette.requests import ClientDisconnect, Request  # noqa: E402
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse  # noqa: E402
from starlette.routing import Mount, Route, WebSocketRoute  # noqa: E402
from starlette.staticfiles import StaticFiles  # noqa: E402
from starlette.websockets import WebSocket, WebSocketDisconnect  # noqa: E402


class Program:
    """A program of Starlette, and what happened in it."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.lines: list[str] = []
        self.folder = folder
        routes = [
            Route("/", self.home),
            Route("/told", self.told, methods=["GET", "POST"]),
            Route("/upload", self.upload, methods=["POST"]),
            Route("/stream", self.stream),
            Route("/endless", self.endless),
            Route("/background", self.background),
            Route("/file", self.file),
            Route("/fails", self.fails),
            Route("/nothing", self.nothing),
            WebSocketRoute("/echo", self.echo),
            WebSocketRoute("/denied", self.denied),
            Mount("/static", StaticFiles(directory=folder)),
        ]
        self.app = Starlette(routes=routes, lifespan=self.lifespan, **settings)

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[dict[str, Any]]:
        self.lines.append("startup")
        yield {"pool": "the pool"}
        self.lines.append("shutdown")

    async def home(self, request: Request) -> Response:
        return PlainTextResponse("Hello")

    async def told(self, request: Request) -> Response:
        body = (await request.body()).decode()
        about = {"url": str(request.url), "query": dict(request.query_params), "body": body, "pool": request.state.pool}
        response = JSONResponse(about)
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")
        return response

    async def upload(self, request: Request) -> Response:
        size = 0
        try:
            async for piece in request.stream():
                size += len(piece)
        except ClientDisconnect:
            self.lines.append("upload was cut")
            raise
        return PlainTextResponse(str(size))

    async def stream(self, request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            for number in range(3):
                await asyncio.sleep(0)
                yield b"%d," % number

        return StreamingResponse(pieces())

    async def endless(self, request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            self.lines.append("streaming")
            try:
                while True:
                    yield b"data: x\n\n"
                    await asyncio.sleep(0.001)
            finally:
                self.lines.append("stream ended")

        return StreamingResponse(pieces(), media_type="text/event-stream")

    async def background(self, request: Request) -> Response:
        async def work() -> None:
            await asyncio.sleep(0.01)
            self.lines.append("worked")

        return PlainTextResponse("accepted", background=BackgroundTask(work))

    async def file(self, request: Request) -> Response:
        return FileResponse(self.folder / "blob")

    async def fails(self, request: Request) -> Response:
        raise ValueError("by the test")

    async def nothing(self, request: Request) -> Response:
        return Response(status_code=204)

    async def echo(self, websocket: WebSocket) -> None:
        await websocket.accept(subprotocol="chat" if "chat" in websocket.scope["subprotocols"] else None)
        assert websocket.state.pool == "the pool"
        try:
            while True:
                message = await websocket.receive_text()
                if message == "bye":
                    await websocket.close(4002, "bye")
                    return
                await websocket.send_text(message.upper())
        except WebSocketDisconnect as gone:
            self.lines.append(f"{gone.code} {gone.reason}")

    async def denied(self, websocket: WebSocket) -> None:
        await websocket.send_denial_response(PlainTextResponse("not you", 401))


@contextlib.asynccontextmanager
async def starlette_program(folder: Path, **settings: Any) -> AsyncIterator[tuple[Program, AsgiStage, ClientSession]]:
    (folder / "blob").write_bytes(bytes(range(256)) * 2000)
    made = Program(folder, **settings.pop("app", {}))
    async with asgi(made.app, lifespan="on", **settings) as stage, ClientSession(stage.server.url) as session:
        assert made.lines == ["startup"]
        yield made, stage, session
    assert made.lines[-1] == "shutdown"


async def test_requests_and_responses(tmp_path: Path) -> None:
    async with starlette_program(tmp_path) as (_, stage, session):
        for _ in range(2):
            async with session.get("/") as response:
                assert await response.text() == "Hello"
        async with session.post("/told?x=1", data="ü") as response:
            told = await response.json()
            assert told == {
                "url": f"{stage.server.url}told?x=1", "query": {"x": "1"}, "body": "ü", "pool": "the pool",
            }  # fmt: skip
            assert len(response.headers.getall("Set-Cookie")) == 2
        async with session.get("/stream") as response:
            assert await response.text() == "0,1,2,"
        async with session.get("/nothing") as response:
            assert (response.status, await response.read()) == (204, b"")
        async with session.head("/") as response:
            assert response.headers["Content-Length"] == "5"
        async with session.get("/none") as response:
            assert response.status == 404


async def test_files(tmp_path: Path) -> None:
    data = bytes(range(256)) * 2000
    async with starlette_program(tmp_path) as (_, _stage, session):
        for target in ("/file", "/static/blob"):
            async with session.get(target) as response:
                assert await response.read() == data
                etag = response.headers["ETag"]
            async with session.get(target, headers={"Range": "bytes=10-19"}) as response:
                assert (response.status, await response.read()) == (206, data[10:20])
            async with session.head(target) as response:
                assert response.headers["Content-Length"] == str(len(data))
        async with session.get("/static/blob", headers={"If-None-Match": etag}) as response:
            assert (response.status, await response.read()) == (304, b"")


async def test_large_bodies_both_ways(tmp_path: Path) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield bytes(2**16)

    async with starlette_program(tmp_path) as (_, _stage, session):
        async with session.post("/upload", data=bytes(3_000_000)) as response:
            assert await response.text() == "3000000"
        async with session.post("/upload", data=pieces(), expect100=True) as response:
            assert await response.text() == str(50 * 2**16)


async def test_background_work_holds_up_neither_the_connection_nor_is_it_lost(tmp_path: Path) -> None:
    async with starlette_program(tmp_path) as (made, _stage, session):
        async with session.get("/background") as response:
            assert await response.text() == "accepted"
        async with session.get("/") as response:
            assert response.status == 200
    assert made.lines == ["startup", "worked", "shutdown"]


async def test_a_client_that_leaves_ends_the_stream(tmp_path: Path) -> None:
    async with starlette_program(tmp_path) as (made, stage, session):
        async with session.get("/endless") as response:
            assert await response.content.read(9) == b"data: x\n\n"
        # A record of the log that is kept keeps the generator too.
        await until(lambda: stage.said() == [] and made.lines[-1] == "stream ended")


async def test_a_client_that_leaves_in_its_upload(tmp_path: Path) -> None:
    async with starlette_program(tmp_path) as (made, stage, _session):
        client = await stage.connect()
        await client.send(get("/upload", "Content-Length: 100", method="POST"), b"abc")
        client.reset()
        await until(lambda: made.lines[-1] == "upload was cut")


async def test_what_a_handler_raises_is_answered_and_logged_once(tmp_path: Path) -> None:
    async with starlette_program(tmp_path) as (_, stage, session):
        async with session.get("/fails") as response:
            assert (response.status, await response.text()) == (500, "Internal Server Error")
        async with session.get("/") as response:
            assert response.status == 200
        said = stage.said()
        assert len(said) == 1
        assert "by the test" in said[0]


async def test_middlewares(tmp_path: Path) -> None:
    async def add(request: Request, call_next: Any) -> Response:
        response = await call_next(request)
        response.headers["x-added"] = "1"
        return response

    middleware = [Middleware(GZipMiddleware, minimum_size=1), Middleware(BaseHTTPMiddleware, dispatch=add)]
    async with starlette_program(tmp_path, app={"middleware": middleware}) as (made, _stage, session):
        async with session.get("/") as response:
            assert response.headers["x-added"] == "1"
            assert response.headers["Content-Encoding"] == "gzip"
            assert await response.text() == "Hello"
        async with session.post("/upload", data=bytes(300_000)) as response:
            assert await response.text() == "300000"
        async with session.get("/background") as response:
            assert await response.text() == "accepted"
        await until(lambda: made.lines[-1] == "worked")


async def test_websockets(tmp_path: Path) -> None:
    async with starlette_program(tmp_path) as (made, _stage, session):
        async with session.ws_connect("/echo", protocols=["chat"]) as ws:
            assert ws.protocol == "chat"
            await ws.send_str("hello")
            assert await ws.receive_str() == "HELLO"
            await ws.close(code=4001, message=b"gone")
        await until(lambda: made.lines[-1] == "4001 gone")
        async with session.ws_connect("/echo") as ws:
            await ws.send_str("bye")
            message = await ws.receive()
            assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 4002, "bye")
        async with session.get("/denied", headers={"Upgrade": "x"}) as response:
            assert response.status == 404


async def test_curl(tmp_path: Path) -> None:
    curl = program("curl", "curl")
    async with starlette_program(tmp_path) as (_, stage, _session):
        url = stage.server.url
        command = [curl, "-sS", "-i", "--data-binary", "@-", f"{url}upload", "--next", f"{url}"]
        process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        output, _ = await process.communicate(bytes(100_000))
        assert output.endswith(b"Hello")
        assert b"100000" in output
        assert process.returncode == 0


# FastAPI


def fastapi_program() -> Any:
    app = fastapi.FastAPI()

    async def pool(request: fastapi.Request) -> AsyncIterator[str]:
        yield str(request.scope["type"])

    @app.get("/items/{number}")
    async def item(number: int, q: str = "", kind: str = fastapi.Depends(pool)) -> dict[str, Any]:
        return {"number": number, "q": q, "kind": kind}

    @app.get("/blocking")
    def blocking() -> dict[str, int]:
        return {"threads": 1}

    @app.post("/items")
    async def make(body: dict[str, int]) -> dict[str, int]:
        return {key: value + 1 for key, value in body.items()}

    @app.websocket("/ws")
    async def ws(websocket: fastapi.WebSocket) -> None:
        await websocket.accept()
        while True:
            await websocket.send_json({"got": await websocket.receive_json()})

    return app


async def test_fastapi() -> None:
    async with asgi(fastapi_program(), lifespan="on") as stage, ClientSession(stage.server.url) as session:
        async with session.get("/items/5?q=%C3%BC") as response:
            assert await response.json() == {"number": 5, "q": "ü", "kind": "http"}
        async with session.get("/items/five") as response:
            assert response.status == 422
        async with session.post("/items", json={"a": 1}) as response:
            assert await response.json() == {"a": 2}
        async with session.get("/blocking") as response:
            assert await response.json() == {"threads": 1}
        async with session.get("/openapi.json") as response:
            assert "/items" in (await response.json())["paths"]
        async with session.ws_connect("/ws") as ws:
            await ws.send_json({"a": 1})
            assert await ws.receive_json() == {"got": {"a": 1}}
    # The handler ends by WebSocketDisconnect, which nobody handles, and nobody is to be blamed for.


async def test_litestar() -> None:
    @litestar.get("/items")
    async def items(request: litestar.Request[Any, Any, Any]) -> dict[str, str]:
        return {"q": request.query_params["q"]}

    @litestar.post("/items")
    async def make(request: litestar.Request[Any, Any, Any]) -> Any:
        return await request.json()

    @litestar.websocket_listener("/ws")
    async def listener(data: str) -> str:
        return data.upper()

    lines: list[str] = []
    app = litestar.Litestar(
        [items, make, listener],
        on_startup=[lambda: lines.append("startup")],
        on_shutdown=[lambda: lines.append("shutdown")],
        openapi_config=None,
        logging_config=None,  # its own starts a thread
    )
    async with asgi(app, lifespan="on") as stage, ClientSession(stage.server.url) as session:
        async with session.get("/items?q=%C3%BC") as response:
            assert await response.json() == {"q": "ü"}
        async with session.post("/items", data=json.dumps({"a": 1})) as response:
            assert (response.status, await response.json()) == (201, {"a": 1})
        async with session.ws_connect("/ws") as ws:
            await ws.send_str("hello")
            assert await ws.receive_str() == "HELLO"
    assert lines == ["startup", "shutdown"]
