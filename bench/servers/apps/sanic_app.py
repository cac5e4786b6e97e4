"""Sanic, on its own server."""

from __future__ import annotations

import os
from typing import Any

from sanic import HTTPResponse, Request, Sanic
from sanic.response import file, json, raw, text

from bench.servers.content import DOCUMENT, FILE, ROUTES, TEXT

PATH = os.environ[FILE]
app = Sanic("bench")


@app.get("/text")
async def text_handler(request: Request) -> HTTPResponse:
    return text(TEXT)


@app.get("/json")
async def json_handler(request: Request) -> HTTPResponse:
    return json(DOCUMENT)


@app.post("/echo")
async def echo(request: Request) -> HTTPResponse:
    return raw(request.body)


@app.get("/file")
async def file_handler(request: Request) -> HTTPResponse:
    return await file(PATH)


async def item(request: Request, id: Any = "-", note: Any = None) -> HTTPResponse:  # noqa: A002 - the route's parameter
    return text(id)


for number, path in enumerate(ROUTES):
    app.add_route(item, path.replace("{", "<").replace("}", ">"), name=f"item{number}")
