"""BlackSheep, for uvicorn, as its documentation begins."""

from __future__ import annotations

import os

from blacksheep import Application, Content, Request, Response, file, json, text

from bench.servers.content import DOCUMENT, FILE, ROUTES, TEXT

PATH = os.environ[FILE]
app = Application()


@app.router.get("/text")
async def text_handler(request: Request) -> Response:
    return text(TEXT)


@app.router.get("/json")
async def json_handler(request: Request) -> Response:
    return json(DOCUMENT)


@app.router.post("/echo")
async def echo(request: Request) -> Response:
    return Response(200, content=Content(b"application/octet-stream", await request.read()))


@app.router.get("/file")
async def file_handler(request: Request) -> Response:
    return file(PATH, "application/octet-stream")


async def item(request: Request) -> Response:
    return text((request.route_values or {}).get("id", "-"))


for path in ROUTES:
    app.router.add_get(path, item)
