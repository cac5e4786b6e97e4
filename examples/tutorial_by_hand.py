"""The second program of an aiohttp tutorial: a session made and closed by hand. Only its import was changed."""

import asyncio
import sys

import endwell as aiohttp


async def fetch(session: aiohttp.ClientSession, url: str) -> int:
    async with session.get(url) as response:
        body = await response.read()
        print(response.status, len(body), url)
        return response.status


async def main(urls: list[str]) -> list[int]:
    session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60))
    tasks = [asyncio.create_task(fetch(session, url)) for url in urls]
    statuses = await asyncio.gather(*tasks)
    await session.close()
    return statuses


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:] or ["https://example.org/", "https://example.com/"]))
