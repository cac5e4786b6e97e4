"""The process that measures `import`, or a whole small program. Started by `runner.py`; imports next to nothing itself.

Arguments: `import MODULE` or `first MODULE ADAPTER URL`; the environment variable BENCH_PATHS says where modules are.
Prints CPU time in seconds.
"""

from __future__ import annotations

import os
import sys
import time


def cold_import(module: str) -> float:
    """The time that the first `import` of the module takes in a fresh process."""
    begin = time.process_time()
    __import__(module)
    return time.process_time() - begin


def cold_program(module: str, adapter: str, url: str) -> float:
    """The time from the start of the process until one GET was done and its session closed."""
    import asyncio
    import importlib

    async def main() -> None:
        clients = importlib.import_module("bench.clients")
        async with importlib.import_module(f"bench.clients.{adapter}").Client(clients.Settings(1), module) as client:
            assert await client.get(url) == (200, 12)

    asyncio.run(main())
    return time.process_time()


if __name__ == "__main__":
    sys.path[:0] = os.environ["BENCH_PATHS"].split(os.pathsep)
    kind, *arguments = sys.argv[1:]
    print(cold_import(*arguments) if kind == "import" else cold_program(*arguments))
