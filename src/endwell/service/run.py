"""Runs a service from its start to its end in order (closing.md C13): loop, signals, supervisor, exit status.

SIGTERM and SIGINT: all workers drain. The second one cuts short what they wait for, the third kills them. SIGHUP: the
workers are replaced one after the other; or the service ends, when its terminal is gone. With one worker that nobody is
to replace there is one process only: the worker is a task here, and everything else is the same.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, Final

from endwell.server import ending as endings
from endwell.service.errors import ServiceError
from endwell.service.logs import configure, logger
from endwell.service.loops import new_loop
from endwell.service.plan import EXIT_NO_START, EXIT_ORDERLY, ServicePlan

if TYPE_CHECKING:
    from endwell.service.supervisor import Supervisor

__all__ = ("run",)

EXIT_KILLED: Final = 130


def run(plan: ServicePlan) -> int:
    """Serve until told to end, by SIGTERM or SIGINT; then end in order.

    Args:
        plan: what, where, and with how many workers.

    Returns:
        The exit status: 0, or 1 if something was cut short or killed; 3 if the application cannot be started, 4 if an
        address, the control socket or the pidfile cannot be had; 130 if a third signal had the workers killed.

    It takes the signals of the process while it runs, and must be called in the main thread.
    """
    configure(plan)
    if sys.platform == "win32":
        logger.error("endwell serve needs Linux or macOS; on Windows write a program that calls web.run_app()")
        return EXIT_NO_START
    try:
        loop = new_loop("asyncio" if plan.supervised else plan.loop)
    except ValueError as error:
        logger.error("%s", error)
        return EXIT_NO_START
    service = _Service(loop, plan)
    try:
        asyncio.set_event_loop(loop)
        service.listen()
        endings.run(service, service.serve())
    finally:
        service.over()
        endings.end_loop(loop)
        asyncio.set_event_loop(None)
    return service.status


class _Service(endings.Ending):
    """Counts the signals, and says what each of them means for the service.

    Attributes:
        status: exit status.

    """

    def __init__(self, loop: asyncio.AbstractEventLoop, plan: ServicePlan) -> None:
        super().__init__(loop)
        self.status = EXIT_ORDERLY
        self._plan = plan
        self._supervisor: Supervisor | None = None
        self._terminal = os.isatty(0)

    async def serve(self) -> None:
        """Serve until told to end."""
        from endwell.service.control import Control
        from endwell.service.pidfile import Pidfile
        from endwell.service.reload import FileWatch
        from endwell.service.sockets import bind
        from endwell.service.supervisor import Supervisor
        from endwell.service.systemd import Notifier, take_sockets

        plan = self._plan
        notifier = Notifier(os.environ)
        supervisor = self._supervisor = Supervisor(self.loop, plan, notifier)
        control = Control(supervisor, plan)
        self.starting = asyncio.current_task()
        try:
            given = take_sockets(os.environ) if plan.systemd else []
            given = [(fd, name) for fd, name in given if not plan.fd_names or name in plan.fd_names]
            if plan.pidfile is not None:
                Pidfile(supervisor, plan.pidfile)
            sockets = await bind(supervisor, plan, given + [(fd, "given") for fd in plan.fds])
            await control.start()
            self.starting = None
            if not self.asked.done():
                for name in sockets.names:
                    logger.info("listening on %s", name)
                if plan.reload:
                    FileWatch(
                        supervisor, plan, lambda name: supervisor.replace_all(f"{name} has changed", impatient=True)
                    )
                supervisor.start(sockets)
                supervisor.over.add_done_callback(lambda _: self.begin())
                await asyncio.wait([self.asked])
        except ServiceError as error:
            logger.error("%s", error)
            self.status = error.status
        finally:
            self.starting = None
            if supervisor.over.done():
                self.status = self.status or supervisor.over.result()
            try:
                await supervisor.close()
            finally:
                await control.close()
                notifier.close()
        self.status = self.status or supervisor.status
        logger.info("the service has ended%s", f" with status {self.status}" if self.status else "")

    def listen(self) -> None:
        """Take the signals of the process."""
        super().listen()
        self.loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        if self._plan.supervised:
            self.loop.add_signal_handler(signal.SIGCHLD, self._child)

    def deaf(self) -> None:
        """Leave the signals to the process."""
        if self.listening:
            self.loop.remove_signal_handler(signal.SIGHUP)
            if self._plan.supervised:
                self.loop.remove_signal_handler(signal.SIGCHLD)
        super().deaf()

    def ask(self) -> None:
        """Take SIGINT or SIGTERM."""
        if self._plan.supervised and self.count:
            self.count += 1
            if self.count == 2:
                logger.warning("told a second time to end: requests in flight are cut short")
                self.hasten()
            elif self._supervisor is not None:
                logger.warning("told a third time to end: the workers are killed")
                self.status = EXIT_KILLED
                self._supervisor.kill("the service was told a third time to end")
            return
        if not self.count:
            logger.info("told to end: requests in flight are answered, for up to %g s", self._plan.shutdown_timeout)
        super().ask()

    def hasten(self) -> None:
        """Have the workers wait no longer for what is under way."""
        if self._supervisor is not None:
            self._supervisor.hurry()

    def _child(self) -> None:
        if self._supervisor is not None:
            self._supervisor.reap()

    def _hang_up(self) -> None:
        if self._terminal and not os.isatty(0):  # nobody can end it with Ctrl-C any more
            logger.info("the terminal is gone")
            self.ask()
        elif self._supervisor is not None:
            self._supervisor.replace_all("SIGHUP")
