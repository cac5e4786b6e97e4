"""The lifespan of an ASGI application: its start before the first request, its end after the last (ASGI lifespan 2.0).

Used by `runner`. The application runs in one task from start to end. One that does not know lifespan raises or returns
when it is called with that scope; so says the specification, and in mode ``auto`` it is served all the same.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from typing import Any, Final, Literal

from endwell.lifetime.closing import GOODBYE
from endwell.lifetime.tasks import start
from endwell.server.asgi.interface import VERSION, AsgiApp, Message

__all__ = ("Lifespan", "LifespanError", "Mode", "check_mode")

Mode = Literal["auto", "on", "off"]
_MODES: Final = ("auto", "on", "off")


class LifespanError(RuntimeError):
    """An application has failed to start, or to shut down.

    Attributes:
        phase: ``"startup"`` or ``"shutdown"``.
        text: what the application says of it, ``""`` for nothing.

    """

    def __init__(self, phase: str, text: str) -> None:
        super().__init__(f"The {phase} of the ASGI application failed{': ' if text else ''}{text}")
        self.phase = phase
        self.text = text


class _Phase(enum.Enum):
    """Where an application is."""

    NEW = "not started"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "shutting down"
    OVER = "over"


class Lifespan:
    """One start and one end of an application.

    Args:
        app: the application.
        mode: ``"auto"``, ``"on"`` (it must know lifespan), ``"off"`` (it is not asked).
        loop: that it runs on.
        logger: is told of an application that does not know lifespan, or ends its lifespan too early.

    Attributes:
        state: what the application puts there is copied into the scope of each request.

    """

    def __init__(self, app: AsgiApp, mode: Mode, loop: asyncio.AbstractEventLoop, logger: logging.Logger) -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._mode = mode
        self._loop = loop
        self._logger = logger
        self._phase = _Phase.NEW
        self._task: asyncio.Task[None] | None = None
        self._asked = 0
        self._answered: asyncio.Future[None] = loop.create_future()
        self._stopping: asyncio.Future[None] = loop.create_future()
        self._failure: str | None = None
        self._error: Exception | None = None

    async def start(self) -> None:
        """Start the application.

        Raises:
            LifespanError: it says that it cannot start; or, in mode ``"on"``, it does not know lifespan.

        On cancellation `end` is to be called, which cancels the application.
        """
        if self._mode == "off":
            return
        self._phase = _Phase.STARTING
        self._task = start(self._loop, self._run(), "endwell: ASGI lifespan")
        await asyncio.wait([self._answered])
        if self._failure is not None:
            failure = self._failure
            await self._end_task()
            raise LifespanError("startup", failure) from self._error
        if self._phase is _Phase.RUNNING:
            return
        await self._end_task()
        if self._mode == "on":
            text = "it does not know lifespan" if self._error is None else repr(self._error)
            raise LifespanError("startup", text) from self._error
        self._say_unknown()

    async def end(self) -> None:
        """Shut the application down, and return when it has ended. Idempotent.

        Raises:
            LifespanError: it says that it failed to.

        On cancellation the application is cancelled.
        """
        if self._task is None:
            return
        self._failure = self._error = None
        try:
            if self._phase is _Phase.RUNNING and not self._task.done():
                self._phase = _Phase.STOPPING
                self._answered = self._loop.create_future()
                self._stopping.set_result(None)
                await asyncio.wait([self._answered])
            else:
                self._task.cancel()
            await self._end_task()
        finally:
            self._task.cancel()
            self._phase = _Phase.OVER
        if self._failure is not None:
            raise LifespanError("shutdown", self._failure) from self._error
        if self._error is not None:
            raise LifespanError("shutdown", repr(self._error)) from self._error

    async def _end_task(self) -> None:
        """Await the end of the application, which has said all that it had to say."""
        task = self._task
        assert task is not None
        if not task.done():
            await asyncio.wait([task], timeout=GOODBYE)
        if not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=GOODBYE)
        if task.done() and not task.cancelled():
            task.exception()  # seen: an exception that ends the program has left the loop already

    def _say_unknown(self) -> None:
        if self._error is None or not self._asked:
            self._logger.info("The application does not know lifespan: it is served without startup and shutdown")
        else:
            message = "The application raised in its startup; it is served as one that does not know lifespan"
            self._logger.warning(message, exc_info=self._error)

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": VERSION, "spec_version": "2.0"}, "state": self.state}
        try:
            await self._app(scope, self._receive, self._send)
        except Exception as error:
            self._error = error
            if self._phase is _Phase.RUNNING:
                self._logger.exception("The lifespan of the application failed while it was being served")
        finally:
            self._answer()

    def _answer(self) -> None:
        if not self._answered.done():
            self._answered.set_result(None)

    async def _receive(self) -> Message:
        self._asked += 1
        if self._asked == 1:
            return {"type": "lifespan.startup"}
        if self._asked == 2:
            await asyncio.wait([self._stopping])
            return {"type": "lifespan.shutdown"}
        await self._loop.create_future()
        raise AssertionError

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        phase = _ANSWERS.get(kind)
        if phase is None or phase is not self._phase or self._answered.done():
            text = f"{kind!r} was sent while the application is {self._phase.value}"
            raise RuntimeError(text)
        if kind == "lifespan.startup.complete":
            self._phase = _Phase.RUNNING
        elif kind != "lifespan.shutdown.complete":
            self._failure = str(message.get("message", ""))
        self._answer()


_ANSWERS: Final = {
    "lifespan.startup.complete": _Phase.STARTING,
    "lifespan.startup.failed": _Phase.STARTING,
    "lifespan.shutdown.complete": _Phase.STOPPING,
    "lifespan.shutdown.failed": _Phase.STOPPING,
}


def check_mode(mode: str) -> Mode:
    """Refuse what is no mode.

    Raises:
        ValueError: it is none.

    """
    for known in _MODES:
        if mode == known:
            return known
    message = f"lifespan={mode!r}: it can be 'auto', 'on' or 'off'"
    raise ValueError(message)
