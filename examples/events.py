"""Follow a stream of server-sent events, across lost connections, until so many have come."""

import asyncio
import sys

import endwell


async def main(url: str, most: int) -> list[endwell.ServerSentEvent]:
    received: list[endwell.ServerSentEvent] = []
    timeout = endwell.ClientTimeout(sock_connect=30, sock_read=90)  # total would end the stream
    async with endwell.ClientSession(timeout=timeout) as session:
        response = await session.get(url, headers={"Accept": "text/event-stream"})
        async with endwell.sse(response, retry=0.1) as events:
            async for event in events:
                print(event.id, event.event, event.data.replace("\n", " / "))
                received.append(event)
                if len(received) == most:
                    break
    return received


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: events.py URL NUMBER")
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
