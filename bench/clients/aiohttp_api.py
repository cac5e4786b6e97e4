"""aiohttp, and endwell, which has its API: the same code for both, the module is the only difference."""

from __future__ import annotations

import importlib

from . import TYPE_CHECKING, Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any, Self


class Client:
    def __init__(self, settings: Settings, module: str) -> None:
        self.settings = settings
        self.api = importlib.import_module(module)

    async def __aenter__(self) -> Self:
        api, settings = self.api, self.settings
        tls: Any = True
        if settings.ca_file:
            import ssl

            tls = ssl.create_default_context(cafile=settings.ca_file)
        connector = api.TCPConnector(limit=settings.connections, ssl=tls)
        self.session = await api.ClientSession(connector=connector).__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.session.__aexit__(*exc)

    async def get(self, url: str) -> tuple[int, int]:
        async with self.session.get(url) as response:
            return response.status, len(await response.read())

    async def get_field(self, url: str, name: str) -> tuple[int, int, str]:
        async with self.session.get(url) as response:
            value = response.headers[name]
            return response.status, len(await response.read()), value

    async def post_json(self, url: str, value: Any) -> tuple[int, int]:
        async with self.session.post(url, json=value) as response:
            return response.status, len(await response.read())

    async def download(self, url: str) -> tuple[int, int]:
        total = 0
        async with self.session.get(url) as response:
            async for chunk in response.content.iter_any():
                total += len(chunk)
            return response.status, total

    async def upload(self, url: str, pieces: AsyncIterator[bytes]) -> tuple[int, bytes]:
        async with self.session.post(url, data=pieces) as response:
            return response.status, await response.read()
