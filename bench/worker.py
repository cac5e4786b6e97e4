"""The process that runs one measurement: one client, one workload, one event loop. Started by `runner.py`.

The argument is a JSON object; the result is a JSON object on standard output. Every answer's status and length are
checked, and a measurement with an error in it is no measurement.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import itertools
import json
import sys
import time
from typing import Any

SPEC: dict[str, Any] = json.loads(sys.argv[1]) if __name__ == "__main__" else {}

PIECE = bytes(64 * 1024)
FRESH = itertools.count()


class Measurement:
    """The answers that were wrong, and the first of them in words."""

    def __init__(self) -> None:
        self.errors = 0
        self.first_error = ""

    def wrong(self, text: str) -> None:
        self.errors += 1
        self.first_error = self.first_error or text


class Clock:
    """CPU time of all threads of this process, user and system, and time on the wall."""

    def __init__(self) -> None:
        gc.collect()
        self.wall = time.perf_counter()
        self.cpu = time.process_time()

    def stop(self) -> tuple[float, float]:
        return time.process_time() - self.cpu, time.perf_counter() - self.wall


def memory(name: str, process: int | str = "self") -> int:
    """A figure of this process, or of another by its id, in KiB: `VmRSS`, or `VmHWM`, its peak."""
    with open(f"/proc/{process}/status") as file:
        for line in file:
            if line.startswith(name):
                return int(line.split()[1])
    raise ProcessLookupError(f"no {name} in /proc/{process}/status")


def forget_peak() -> None:
    """Let `VmHWM` start again from the memory that is used now."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def give_back_memory() -> None:
    """Let the allocator return what nobody uses, so that only what is used is counted."""
    import ctypes

    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


async def requests(client: Any, count: int, lanes: int, result: Measurement) -> None:
    """Do `count` requests, `lanes` of them at any time."""
    one = ONE_REQUEST[SPEC["method"]]
    turns = iter(range(count))  # shared by all lanes

    async def lane() -> None:
        for _ in turns:
            try:
                status, length = await one(client)
            except Exception as error:
                result.wrong(f"{type(error).__name__}: {error}")
            else:
                if status != 200 or length != SPEC["body"]:
                    result.wrong(f"status {status}, {length} bytes; expected 200, {SPEC['body']} bytes")

    await asyncio.gather(*(lane() for _ in range(lanes)))


async def one_get(client: Any) -> Any:
    return await client.get(SPEC["url"])


async def one_fresh(client: Any) -> Any:
    return await client.get(f"{SPEC['url']}?page={next(FRESH)}")


async def one_json(client: Any) -> Any:
    return await client.post_json(SPEC["url"], SPEC["document"])


async def one_field(client: Any) -> Any:
    status, length, value = await client.get_field(SPEC["url"], "X-Frame-Options")
    return (status, length) if value == "DENY" else (0, 0)


ONE_REQUEST = {"get": one_get, "fresh": one_fresh, "json": one_json, "field": one_field}


async def run_requests(client: Any, result: Measurement) -> dict[str, float]:
    lanes = SPEC["connections"]
    await requests(client, SPEC["warm_up"], lanes, Measurement())
    clock = Clock()
    await requests(client, SPEC["count"], lanes, result)
    cpu, wall = clock.stop()
    if SPEC["cookies"]:
        status, _ = await client.get(SPEC["check_url"])
        if status != 200:
            result.wrong("the cookie was not kept or not sent back")
    return {"cpu_us": cpu / SPEC["count"] * 1e6, "wall_us": wall / SPEC["count"] * 1e6}


async def pieces(total: int) -> Any:
    for _ in range(total // len(PIECE)):
        yield PIECE


async def run_stream(client: Any, result: Measurement) -> dict[str, float]:
    for _ in range(SPEC["warm_up"]):
        await client.get(SPEC["small_url"])
    give_back_memory()
    idle = memory("VmRSS")
    forget_peak()
    clock = Clock()
    for _ in range(SPEC["count"]):
        if SPEC["kind"] == "download":
            status, length = await client.download(SPEC["url"])
            right = length == SPEC["body"]
        else:
            status, answer = await client.upload(SPEC["url"], pieces(SPEC["body"]))
            # What nginx received: head and, with chunked coding, the marks between the chunks come on top.
            length = int(answer) if answer.isdigit() else 0
            right = SPEC["body"] <= length <= SPEC["body"] * 1.01
        if status != 200 or not right:
            result.wrong(f"status {status}, {length} bytes; expected 200, {SPEC['body']} bytes")
    cpu, wall = clock.stop()
    megabytes = SPEC["count"] * SPEC["body"] / 1e6
    return {
        "mb_per_cpu_s": megabytes / cpu,
        "mb_per_s": megabytes / wall,
        "peak_mb": max(0, memory("VmHWM") - idle) / 1024,
    }


async def run_idle(client: Any, result: Measurement) -> dict[str, float]:
    count = SPEC["count"]
    for _ in range(SPEC["warm_up"]):
        await client.get(SPEC["small_url"])
    # As many tasks as below, so that the memory of the tasks themselves is not counted.
    await asyncio.gather(*(asyncio.sleep(0.05) for _ in range(count)))
    give_back_memory()
    before = memory("VmRSS")
    await requests(client, count, count, result)
    give_back_memory()
    return {"kb_per_connection": (memory("VmRSS") - before) / count}


RUN = {"requests": run_requests, "download": run_stream, "upload": run_stream, "idle": run_idle}


async def measure() -> dict[str, Any]:
    from bench.clients import Settings

    rss_before = memory("VmRSS")
    adapter = importlib.import_module(f"bench.clients.{SPEC['adapter']}")
    settings = Settings(SPEC["connections"], SPEC["ca_file"], SPEC["cookies"], SPEC["redirects"])
    result = Measurement()
    async with adapter.Client(settings, SPEC["module"]) as client:
        opened_mb = (memory("VmRSS") - rss_before) / 1024
        figures = await RUN[SPEC["kind"]](client, result)
    return {
        **figures,
        "errors": result.errors,
        "first_error": result.first_error,
        "opened_mb": opened_mb,
        "rss_peak_mb": memory("VmHWM") / 1024,
    }


def main() -> None:
    sys.path[:0] = SPEC["paths"]
    loop_factory = None
    if SPEC["loop"] == "uvloop":
        import uvloop

        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        print(json.dumps(runner.run(measure())))


if __name__ == "__main__":
    main()
