"""aiohttp, and endwell, which has its API: the same code for both, the module is the only difference."""

from __future__ import annotations

import importlib
from typing import Any, Self

from bench.websocket.content import TEXT


class Client:
    def __init__(self, module: str, kind: int, deflate: bool) -> None:
        self.api = importlib.import_module(module)
        self.compress = 15 if deflate else 0
        self.echo = self.echo_text if kind == TEXT else self.echo_binary

    async def __aenter__(self) -> Self:
        self.session = await self.api.ClientSession().__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.session.__aexit__(*exc)

    async def connect(self, url: str) -> Any:
        return await self.session.ws_connect(url, compress=self.compress)

    @staticmethod
    async def echo_text(ws: Any, message: str) -> Any:
        await ws.send_str(message)
        return (await ws.receive()).data

    @staticmethod
    async def echo_binary(ws: Any, message: bytes) -> Any:
        await ws.send_bytes(message)
        return (await ws.receive()).data
