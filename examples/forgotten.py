"""A program that forgets to close: a response it does not read, and its session. endwell closes both and says where."""

import asyncio
import sys

import endwell


async def main(url: str) -> None:
    session = endwell.ClientSession()
    response = await session.get(url)
    print(response.status)
    del response  # neither read nor released
    await asyncio.sleep(0.1)
    # and nobody closes the session


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "https://example.org/"))
