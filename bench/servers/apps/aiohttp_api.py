"""aiohttp.web, and endwell.web, which has its API: the same code for both, the module is the only difference.

Run as `python -m bench.servers.apps.aiohttp_api MODULE PORT`.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import uvloop

from bench.servers.content import DOCUMENT, FILE, ROUTES, TEXT

PATH = os.environ[FILE]


def make_app(web: Any) -> Any:
    async def text(request: Any) -> Any:
        return web.Response(text=TEXT)

    async def json(request: Any) -> Any:
        return web.json_response(DOCUMENT)

    async def echo(request: Any) -> Any:
        return web.Response(body=await request.read())

    async def file(request: Any) -> Any:
        return web.FileResponse(PATH)

    async def item(request: Any) -> Any:
        return web.Response(text=request.match_info.get("id", "-"))

    app = web.Application()
    app.router.add_get("/text", text)
    app.router.add_get("/json", json)
    app.router.add_post("/echo", echo)
    app.router.add_get("/file", file)
    for path in ROUTES:
        app.router.add_get(path, item)
    return app


if __name__ == "__main__":
    module, port = sys.argv[1:]
    web = importlib.import_module(module)
    web.run_app(
        make_app(web), host="127.0.0.1", port=int(port), access_log=None, print=None, loop=uvloop.new_event_loop()
    )
