"""Ask a server that is in trouble, patiently: retries with back-off, `Retry-After`, and a budget."""

import asyncio
import sys

import endwell
from endwell.client.retry import RetryEvent


def told(event: RetryEvent) -> None:
    why = event.status or type(event.error).__name__
    print(f"{event.request.method} {event.request.url.path}: {why}, again in {event.delay:.2f} s")


async def main(url: str, *, backoff: float = 0.5) -> int:
    retries = endwell.RetryMiddleware(
        attempts=4, backoff=backoff, budget=endwell.RetryBudget(ratio=0.1, burst=10), on_retry=told
    )
    async with endwell.ClientSession(middlewares=[retries]) as session, session.get(url) as response:
        print(response.status, await response.text())
        return response.status


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "https://example.org/"))
