"""Robyn, on its own server. Run as `python -m bench.servers.apps.robyn_app PORT`."""

from __future__ import annotations

import os
import sys
from typing import Any

from robyn import Request, Response, Robyn, serve_file

from bench.servers.content import DOCUMENT, FILE, ROUTES, TEXT

PATH = os.environ[FILE]
app = Robyn(__file__)


@app.get("/text")
async def text(request: Request) -> str:
    return TEXT


@app.get("/json")
async def json(request: Request) -> dict[str, Any]:
    return DOCUMENT


@app.post("/echo")
async def echo(request: Request) -> Response:
    return Response(200, {"Content-Type": "application/octet-stream"}, request.body)


@app.get("/file")
async def file(request: Request) -> Any:
    return serve_file(PATH)


async def item(request: Request) -> str:
    return request.path_params.get("id") or "-"


for path in ROUTES:
    app.get(path.replace("{", ":").replace("}", ""))(item)


if __name__ == "__main__":
    app.start(host="127.0.0.1", port=int(sys.argv[1]))
