"""The notes with what only endwell has: a stream of events, and a task that the server owns.

The page shows for how long the server runs, and how many look on. On SIGTERM the streams end at once and in order, the
task is cancelled and awaited, and the exit status is 0.

    python live.py --folder data --port 8080
"""

import asyncio
import logging
from pathlib import Path

import notes

from endwell import web


class Clock:
    """Counts seconds, and wakes whoever waits for the next one."""

    def __init__(self) -> None:
        self.seconds = 0
        self.watchers = 0
        self._ticks = asyncio.Condition()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(1)
            async with self._ticks:
                self.seconds += 1
                self._ticks.notify_all()

    async def after(self, seconds: int) -> int:
        async with self._ticks:
            await self._ticks.wait_for(lambda: self.seconds > seconds)
            return self.seconds


CLOCK = web.AppKey("CLOCK", Clock)
TASK = web.AppKey("TASK", asyncio.Task)


async def events(request: web.Request) -> web.StreamResponse:
    """Send an event each second, until the client leaves or the server stops."""
    clock = request.app[CLOCK]
    stream = web.event_stream(request, retry=1000)
    seconds = -1
    clock.watchers += 1
    try:
        async with stream:
            while True:
                seconds = await clock.after(seconds)
                await stream.send_json({"seconds": seconds, "watchers": clock.watchers}, id=str(seconds))
    except ConnectionResetError:
        pass  # the client has left: no error, and nobody to be told of one
    finally:
        clock.watchers -= 1
    return stream


async def start_clock(app: web.Application) -> None:
    app[CLOCK] = Clock()
    app[TASK] = app.create_task(app[CLOCK].run(), name="clock")


async def stop_clock(app: web.Application) -> None:
    """End what would never end by itself; the server awaits its tasks, for as long as it awaits its requests."""
    app[TASK].cancel()


def make_app(folder: Path) -> web.Application:
    app = notes.make_app(folder)
    app.router.add_get("/api/events", events, name="events")
    app.on_startup.append(start_clock)
    app.on_shutdown.append(stop_clock)
    return app


if __name__ == "__main__":
    given = notes.arguments()
    logging.basicConfig(level=logging.INFO)
    web.run_app(make_app(given.folder), host=given.host, port=given.port)
