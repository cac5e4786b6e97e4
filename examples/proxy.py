"""Fetch through a proxy; https goes through a tunnel, in which the server's certificate is verified."""

import asyncio
import sys

import endwell


async def main(url: str, proxy: str) -> str:
    async with endwell.ClientSession(proxy=proxy) as session:
        try:
            async with session.get(url) as response:
                print(response.status, response.url)
                return await response.text()
        except endwell.ClientHttpProxyError as error:
            return f"the proxy refused: {error.status} {error.message}"
        except endwell.ClientProxyConnectionError as error:
            return f"no connection to the proxy at {error.host}:{error.port}"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: proxy.py URL PROXY, for example: proxy.py https://example.org/ http://localhost:3128")
    print(asyncio.run(main(sys.argv[1], sys.argv[2])))
