"""websockets, by its asyncio server. Run as `python -m bench.websocket.apps.websockets_app PORT`."""

from __future__ import annotations

import asyncio
import logging
import sys

import uvloop
from websockets.asyncio.server import ServerConnection, serve


async def echo(ws: ServerConnection) -> None:
    async for message in ws:
        await ws.send(message)


async def main(port: int) -> None:
    logging.getLogger("websockets").setLevel(logging.WARNING)  # it logs each connection
    async with serve(echo, "127.0.0.1", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1])))
