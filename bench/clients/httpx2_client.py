"""httpx2: one `AsyncClient`, its transport on anyio."""

from __future__ import annotations

import ssl

import httpx2

from . import TYPE_CHECKING, Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any, Self


class Client:
    def __init__(self, settings: Settings, module: str) -> None:
        limits = httpx2.Limits(max_connections=settings.connections, max_keepalive_connections=settings.connections)
        self.client = httpx2.AsyncClient(
            verify=ssl.create_default_context(cafile=settings.ca_file) if settings.ca_file else True,
            limits=limits,
            timeout=60,  # its default of 5 s counts the wait for a connection, too
            follow_redirects=settings.redirects,
        )

    async def __aenter__(self) -> Self:
        await self.client.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.client.aclose()

    async def get(self, url: str) -> tuple[int, int]:
        response = await self.client.get(url)
        return response.status_code, len(response.content)

    async def get_field(self, url: str, name: str) -> tuple[int, int, str]:
        response = await self.client.get(url)
        return response.status_code, len(response.content), response.headers[name]

    async def post_json(self, url: str, value: Any) -> tuple[int, int]:
        response = await self.client.post(url, json=value)
        return response.status_code, len(response.content)

    async def download(self, url: str) -> tuple[int, int]:
        total = 0
        async with self.client.stream("GET", url) as response:
            async for chunk in response.aiter_bytes():
                total += len(chunk)
            return response.status_code, total

    async def upload(self, url: str, pieces: AsyncIterator[bytes]) -> tuple[int, bytes]:
        response = await self.client.post(url, content=pieces)
        return response.status_code, response.content
