"""The first program of an aiohttp tutorial: only its import was changed."""

import asyncio
import sys

import endwell as aiohttp


async def fetch(session: aiohttp.ClientSession, url: str) -> str:
    async with session.get(url) as response:
        print(response.status, response.headers["Content-Type"])
        return await response.text()


async def main(url: str) -> str:
    async with aiohttp.ClientSession() as session:
        html = await fetch(session, url)
        print(html[:60])
        return html


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "https://example.org/"))
