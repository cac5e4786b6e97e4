"""websockets, by its asyncio client."""

from __future__ import annotations

from typing import Any, Self

from websockets.asyncio.client import connect


class Client:
    def __init__(self, module: str, kind: int, deflate: bool) -> None:
        self.compression = "deflate" if deflate else None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass

    async def connect(self, url: str) -> Any:
        return await connect(url, compression=self.compression, proxy=None)

    @staticmethod
    async def echo(ws: Any, message: str | bytes) -> Any:
        await ws.send(message)
        return await ws.recv()
