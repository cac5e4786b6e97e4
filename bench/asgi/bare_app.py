"""An ASGI application without a framework, as the specification's own example. Run by `peers.py`."""

from __future__ import annotations

import os
from typing import Any

from .work import LOOPS, work

BODY = b"hello world\n"
ROUNDS = int(os.environ.get(LOOPS, "0"))
"""How much work `/work` is."""


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body = BODY
    if scope["path"] == "/work":
        work(ROUNDS)
    elif scope["path"] == "/process":
        body = str(os.getpid()).encode()
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())],
        }
    )
    await send({"type": "http.response.body", "body": body})
