"""Starlette, for uvicorn and granian."""

from __future__ import annotations

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from bench.servers.content import DOCUMENT, FILE, ROUTES, TEXT

PATH = os.environ[FILE]


async def text(request: Request) -> Response:
    return PlainTextResponse(TEXT)


async def json(request: Request) -> Response:
    return JSONResponse(DOCUMENT)


async def echo(request: Request) -> Response:
    return Response(await request.body(), media_type="application/octet-stream")


async def file(request: Request) -> Response:
    return FileResponse(PATH)


async def item(request: Request) -> Response:
    return PlainTextResponse(request.path_params.get("id", "-"))


app = Starlette(
    routes=[
        Route("/text", text),
        Route("/json", json),
        Route("/echo", echo, methods=["POST"]),
        Route("/file", file),
        *(Route(path, item) for path in ROUTES),
    ]
)
