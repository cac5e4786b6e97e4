"""niquests: one `AsyncSession`, on urllib3-future."""

from __future__ import annotations

import niquests

from . import TYPE_CHECKING, Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any, Self

READ_BYTES = 64 * 1024


class Client:
    def __init__(self, settings: Settings, module: str) -> None:
        self.session = niquests.AsyncSession(
            pool_maxsize=settings.connections, verify=settings.ca_file or True, timeout=60
        )

    async def __aenter__(self) -> Self:
        await self.session.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.session.close()

    async def get(self, url: str) -> tuple[int, int]:
        response = await self.session.get(url)
        return response.status_code, len(response.content)

    async def get_field(self, url: str, name: str) -> tuple[int, int, str]:
        response = await self.session.get(url)
        return response.status_code, len(response.content), response.headers[name]

    async def post_json(self, url: str, value: Any) -> tuple[int, int]:
        response = await self.session.post(url, json=value)
        return response.status_code, len(response.content)

    async def download(self, url: str) -> tuple[int, int]:
        total = 0
        response = await self.session.get(url, stream=True)
        async for chunk in await response.iter_content(READ_BYTES):
            total += len(chunk)
        await response.close()
        return response.status_code, total

    async def upload(self, url: str, pieces: AsyncIterator[bytes]) -> tuple[int, bytes]:
        response = await self.session.post(url, data=pieces)
        return response.status_code, response.content
