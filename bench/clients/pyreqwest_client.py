"""pyreqwest: reqwest in Rust, its runtime (one thread by default) beside the event loop."""

from __future__ import annotations

from pathlib import Path

from pyreqwest.client import ClientBuilder

from . import TYPE_CHECKING, Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any, Self


class Client:
    def __init__(self, settings: Settings, module: str) -> None:
        builder = ClientBuilder().max_connections(settings.connections).pool_max_idle_per_host(settings.connections)
        if settings.ca_file:
            builder = builder.add_root_certificate_pem(Path(settings.ca_file).read_bytes())
        if settings.cookies:
            builder = builder.default_cookie_store(True)
        self.client = builder.build()

    async def __aenter__(self) -> Self:
        await self.client.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.client.close()

    async def get(self, url: str) -> tuple[int, int]:
        response = await self.client.get(url).build().send()
        return response.status, len(await response.bytes())

    async def get_field(self, url: str, name: str) -> tuple[int, int, str]:
        response = await self.client.get(url).build().send()
        value = response.get_header(name)
        return response.status, len(await response.bytes()), value or ""

    async def post_json(self, url: str, value: Any) -> tuple[int, int]:
        response = await self.client.post(url).body_json(value).build().send()
        return response.status, len(await response.bytes())

    async def download(self, url: str) -> tuple[int, int]:
        total = 0
        async with self.client.get(url).build_streamed() as response:
            while (chunk := await response.body_reader.read_chunk()) is not None:
                total += len(chunk)
            return response.status, total

    async def upload(self, url: str, pieces: AsyncIterator[bytes]) -> tuple[int, bytes]:
        response = await self.client.post(url).body_stream(pieces).build().send()
        return response.status, bytes(await response.bytes())
