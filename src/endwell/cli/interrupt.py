"""Ctrl-C: once asks to finish, twice to stop at once; SIGTERM counts as once. Used by `run`."""

import asyncio
import signal
from collections.abc import Callable
from types import TracebackType
from typing import Self

__all__ = ["Interrupts"]


class Interrupts:
    """Handles SIGINT and SIGTERM on the running loop while its block is open.

    Arguments: `drain`, called on the first signal; `abort`, called on the second. After the second the signals have
    their ordinary effect again, so a third Ctrl-C ends the process even if something hangs.
    """

    def __init__(self, drain: Callable[[], None], abort: Callable[[], object]) -> None:
        self._on_first = drain
        self._on_second = abort
        # What the parent wants ignored (a shell's background job) stays ignored.
        wanted = (signal.SIGINT, signal.SIGTERM)
        self._signals = [number for number in wanted if signal.getsignal(number) is not signal.SIG_IGN]
        self.first: signal.Signals | None = None
        self.aborted = False

    @property
    def exit_code(self) -> int | None:
        """128 and the number of the first signal (130 for Ctrl-C, 143 for SIGTERM); None without one."""
        return None if self.first is None else 128 + self.first

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        for number in self._signals:
            self._loop.add_signal_handler(number, self._received, number)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._restore()

    def _received(self, number: signal.Signals) -> None:
        if self.first is None:
            self.first = number
            self._on_first()
        elif not self.aborted:
            self.aborted = True
            self._restore()
            self._on_second()

    def _restore(self) -> None:
        for number in self._signals:
            self._loop.remove_signal_handler(number)
