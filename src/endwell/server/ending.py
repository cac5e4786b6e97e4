"""How a program that is a server runs until it is told to end, and ends in order (closing.md C13).

The first SIGINT or SIGTERM ends the server in order. The second cuts short what it waits for; everything is still
cleaned up. The third ends the process. Used by `run` and by the workers of `endwell serve`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Final, NoReturn

from endwell.lifetime.tasks import start
from endwell.server.runner import BaseRunner, GracefulExit
from endwell.server.sites import BaseSite

__all__ = ("Ending", "end_loop", "run", "serve")

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Ending:
    """Counts the signals, and says what each of them means.

    Attributes:
        asked: done when the server is to end.
        runner: what is run, once it is made.
        starting: the task that starts it, until that is done.
        count: how often a signal has come.

    """

    def __init__(self, loop: asyncio.AbstractEventLoop, signals: Iterable[signal.Signals] = _SIGNALS) -> None:
        self.loop = loop
        self.signals = tuple(signals)
        self.asked: asyncio.Future[None] = loop.create_future()
        self.runner: BaseRunner | None = None
        self.starting: asyncio.Task[Any] | None = None
        self.count = 0
        self.listening = False

    def ask(self) -> None:
        """Take a signal."""
        self.count += 1
        if self.count == 1:
            self.begin()
            return
        self.hasten()
        self.deaf()
        # The third ends the process, also one that never comes to its loop.
        end_process = signal.SIG_DFL if os.getpid() != 1 else _end_process
        for number in self.signals:
            signal.signal(number, end_process)

    def begin(self) -> None:
        """Have the server end in order; a start under way is broken off."""
        if not self.asked.done():
            self.asked.set_result(None)
            if self.starting is not None:
                self.starting.cancel("the program is told to end")

    def hasten(self) -> None:
        """Have the server wait no longer for what is under way, now or when it ends."""
        if self.runner is not None:
            self.runner._hasten()

    def listen(self) -> None:
        """Take the signals of the process."""
        self.listening = True
        for number in self.signals:
            try:
                self.loop.add_signal_handler(number, self.ask)
            except NotImplementedError:  # Windows
                signal.signal(number, lambda number, _: self.loop.call_soon_threadsafe(self.ask))

    def deaf(self) -> None:
        """Leave the signals to the process."""
        if self.listening:
            self.listening = False
            for number in self.signals:
                with contextlib.suppress(NotImplementedError, RuntimeError):
                    self.loop.remove_signal_handler(number)

    def over(self) -> None:
        """Leave the signals as they were found."""
        self.deaf()
        if self.count > 1 and signal.SIGINT in self.signals:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _end_process(number: int, _frame: object) -> NoReturn:
    """End the process as the signal would do it: the kernel keeps it from the first process, as in a container."""
    os._exit(128 + number)


async def serve(
    ending: Ending,
    runner: Awaitable[BaseRunner],
    sites: Callable[[BaseRunner], Iterable[BaseSite]],
    started: Callable[[BaseRunner], None],
) -> None:
    """Serve until told to end; then clean up.

    Args:
        ending: tells when.
        runner: gives what is served.
        sites: makes the sites, not yet started, of a runner that is set up.
        started: called when all of them listen.

    Cancelled, it cleans up without waiting for requests in flight.
    """
    ending.starting = asyncio.current_task()
    try:
        ending.runner = await runner
        await ending.runner.setup()
        for site in sites(ending.runner):
            await site.start()
        ending.starting = None
        if not ending.asked.done():
            started(ending.runner)
        await asyncio.wait([ending.asked])
    except asyncio.CancelledError:
        if not ending.asked.done():
            ending.hasten()  # whoever cancels this wants to wait for nobody
        raise
    finally:
        ending.starting = None
        if ending.runner is not None:
            await ending.runner.cleanup()


def run(ending: Ending, coro: Coroutine[Any, Any, None]) -> None:
    """Run to the end, also when something raises `GracefulExit` or the user presses Ctrl-C meanwhile."""
    loop = ending.loop
    task = start(loop, coro, "endwell: run_app")
    while True:
        try:
            loop.run_until_complete(task)
        except (GracefulExit, KeyboardInterrupt) as error:
            if task.done():
                if not task.cancelled():
                    task.exception()  # it is seen
                return
            if isinstance(error, GracefulExit):
                ending.begin()
            elif ending.count < 2:
                ending.ask()
            else:
                raise
        except asyncio.CancelledError:
            if not ending.asked.done():
                raise
            return
        else:
            return


def end_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what still runs, and close the loop, as `asyncio.run` does."""
    try:
        tasks = [task for task in asyncio.all_tasks(loop) if not task.done()]
        for task in tasks:
            task.cancel()
        loop.run_until_complete(_gather(tasks))
        for task in tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                context = {"message": "unhandled exception during run_app() shutdown", "exception": error, "task": task}
                loop.call_exception_handler(context)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


async def _gather(tasks: list[asyncio.Task[Any]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
