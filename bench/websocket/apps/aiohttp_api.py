"""aiohttp.web, and endwell.web, which has its API: the same code for both, the module is the only difference.

Run as `python -m bench.websocket.apps.aiohttp_api MODULE PORT [HIDDEN]`: a module that is not to be found.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import uvloop


def make_app(web: Any) -> Any:
    text = web.WSMsgType.TEXT

    async def echo(request: Any) -> Any:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        async for message in ws:
            if message.type is text:
                await ws.send_str(message.data)
            else:
                await ws.send_bytes(message.data)
        return ws

    app = web.Application()
    app.router.add_get("/echo", echo)
    return app


if __name__ == "__main__":
    module, port, *hidden = sys.argv[1:]
    modules: dict[str, Any] = sys.modules
    modules.update(dict.fromkeys(hidden))  # an import of what is None fails
    web = importlib.import_module(module)
    web.run_app(
        make_app(web), host="127.0.0.1", port=int(port), access_log=None, print=None, loop=uvloop.new_event_loop()
    )
