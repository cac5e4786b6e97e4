"""Download a file to disk in pieces, in little memory; what is cut short never looks whole."""

import asyncio
import sys
from pathlib import Path

import endwell


async def download(session: endwell.ClientSession, url: str, target: Path) -> int:
    """Write the body to a file beside `target`, and rename it when it is whole."""
    aside = target.with_name(f".{target.name}.part")
    size = 0
    try:
        async with session.get(url, raise_for_status=True) as response:
            with aside.open("wb") as file:
                async for piece in response.content.iter_any():
                    file.write(piece)
                    size += len(piece)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
    return size


async def main(url: str, target: Path) -> int:
    timeout = endwell.ClientTimeout(sock_connect=30, sock_read=60)  # no limit in all: the file may be large
    async with endwell.ClientSession(timeout=timeout) as session:
        size = await download(session, url, target)
    print(f"{size} bytes in {target}")
    return size


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: download.py URL FILE")
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
