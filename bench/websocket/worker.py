"""The process that measures a client: one library, WebSockets to the server of `echo.py`. Started by `runner.py`.

The argument is a JSON object; the result is a JSON object on standard output. Every echo is compared with what was
sent, and a measurement with an error in it is no measurement.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import Iterator
from typing import Any


async def lane(client: Any, ws: Any, number: int, turns: Iterator[int], sent: Any, result: Any) -> int:
    """Send messages one after another, and compare; the number of the next."""
    echo = client.echo
    for _ in turns:
        message = sent[number % len(sent)]
        number += 1
        answer = await echo(ws, message)
        if answer != message:
            result.wrong(f"{answer!r:.60} instead of {message!r:.60}")
    return number


async def measure(spec: dict[str, Any]) -> dict[str, Any]:
    from bench.websocket.content import messages
    from bench.worker import Clock, Measurement

    adapter = importlib.import_module(f"bench.websocket.clients.{spec['adapter']}")
    sent = messages(spec["kind"])
    result = Measurement()
    async with adapter.Client(spec["module"], spec["kind"], spec["deflate"]) as client:
        sockets = [await client.connect(spec["url"]) for _ in range(spec["connections"])]
        numbers = list(range(len(sockets)))

        async def echoes(count: int) -> list[int]:
            turns = iter(range(count))  # shared by all lanes
            return await asyncio.gather(
                *(lane(client, ws, number, turns, sent, result) for ws, number in zip(sockets, numbers, strict=True))
            )

        numbers = await echoes(spec["warm_up"])
        clock = Clock()
        await echoes(spec["count"])
        cpu, wall = clock.stop()
        for ws in sockets:
            await ws.close()
    return {
        "cpu_us": cpu / spec["count"] * 1e6,
        "messages_per_s": spec["count"] / wall,
        "busy_percent": cpu / wall * 100,
        "errors": result.errors,
        "first_error": result.first_error,
    }


def main(spec: dict[str, Any]) -> None:
    sys.path[:0] = spec["paths"]
    modules: dict[str, Any] = sys.modules
    modules.update(dict.fromkeys(spec["hidden"]))  # an import of what is None fails
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(measure(spec))))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
