"""What a worker does: load, listen on the sockets it is given, say so, serve, drain, end with a status (C13).

``python -m endwell.service.worker CHANNEL`` is a process of its own, whose SIGTERM means what it means to `run_app`;
`serve` is the same in the loop of a service that needs no other process. What is said on the channel is in `plan`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from endwell.lifetime import caller
from endwell.server import ending as endings
from endwell.server.asgi.lifespan import LifespanError
from endwell.server.core import ServerCore, access_logger, server_logger
from endwell.server.ending import Ending
from endwell.server.runner import BaseRunner, GracefulExit
from endwell.server.sites import SockSite
from endwell.service.certificates import CertificateError, server_context
from endwell.service.channel import Channel
from endwell.service.interrupts import hold, release
from endwell.service.loading import TargetError, load
from endwell.service.logs import configure
from endwell.service.loops import new_loop
from endwell.service.plan import EXIT_CUT_SHORT, EXIT_NO_START, EXIT_ORDERLY, ServicePlan
from endwell.service.spelling import program_failed, program_text

if TYPE_CHECKING:
    import ssl

__all__ = ("main", "serve")

_PIECE: Final = 2**16
_MOMENT: Final = 1.0
"""Seconds in which a client may still ask on a connection that idles, before a worker that retires closes it; and that
it may take until a signal is handled which has broken off an import."""

_PASSES: Final = 5

_SETTINGS: Final = ("shutdown_timeout", "keepalive_timeout", "header_timeout")


async def serve(
    plan: ServicePlan,
    sockets: Sequence[socket.socket],
    others: Mapping[int, Sequence[socket.socket]],
    channel: socket.socket,
    *,
    every: float = 1.0,
) -> int:
    """Serve until told to end, in the running loop; signals, logging and the process are left alone.

    Args:
        plan: what to serve, and how.
        sockets: to listen on; bound already. They are closed when the worker drains.
        others: those of other workers, by slot, to listen on while such a worker is dead; closed likewise.
        channel: our end of the status channel (see `plan`); closed at the end.
        every: seconds between two reports of what was served.

    Returns:
        The exit status: see `plan`. What went wrong is logged, or said on the channel when the start failed.

    On cancellation the server is closed, without waiting for requests in flight.
    """
    ending = Ending(asyncio.get_running_loop(), ())
    worker = _Worker(plan, ending, sockets, others, every)
    await worker.run(channel)
    return worker.status


def main() -> None:
    """Run a worker process, and exit with its status."""
    channel = _inherited(int(sys.argv[1]))
    order = _first_line(channel)
    if order is None:
        channel.close()
        return
    plan = ServicePlan.from_json(order["plan"])
    configure(plan)
    sockets = [_inherited(fd) for fd in order["sockets"]]
    others = {int(slot): [_inherited(fd) for fd in fds] for slot, fds in order.get("others", {}).items()}
    loop = new_loop(plan.loop)
    ending = Ending(loop)
    worker = _Worker(plan, ending, sockets, others, order.get("every", plan.report_every))
    try:
        asyncio.set_event_loop(loop)
        hold()
        ending.listen()
        endings.run(ending, worker.run(channel))
    finally:
        ending.over()
        endings.end_loop(loop)
        asyncio.set_event_loop(None)
    sys.exit(worker.status)


def _inherited(fd: int) -> socket.socket:
    """Take a socket over from the parent; the application's own children do not get it."""
    os.set_inheritable(fd, False)
    return socket.socket(fileno=fd)


def _first_line(channel: socket.socket) -> dict[str, Any] | None:
    """Read the order, and nothing of what comes after it; None when the supervisor is gone before."""
    line = b""
    while not line.endswith(b"\n"):
        seen = channel.recv(_PIECE, socket.MSG_PEEK)
        if not seen:
            return None
        line += channel.recv(seen.find(b"\n") + 1 or len(seen))
    order: dict[str, Any] = json.loads(line)
    return order


class _Worker:
    """One worker.

    Attributes:
        status: of its end.

    """

    def __init__(
        self,
        plan: ServicePlan,
        ending: Ending,
        sockets: Sequence[socket.socket],
        others: Mapping[int, Sequence[socket.socket]],
        every: float,
    ) -> None:
        self.status = EXIT_ORDERLY
        self._plan = plan
        self._ending = ending
        self._sockets = list(sockets)
        self._others = {slot: list(each) for slot, each in others.items()}
        self._every = every
        self._tls: ssl.SSLContext | None = None
        self._ready = False
        self._retired = False
        self._channel: Channel | None = None
        self._reported: dict[str, int] = {}
        self._reports: asyncio.TimerHandle | None = None
        self._cover = _Cover(self._sites_on)

    async def run(self, channel: socket.socket) -> None:
        """Serve until told to end."""
        ending = self._ending
        self._channel = Channel(ending.loop, channel, self._hear, ending.begin)
        self._tell("starting")
        ending.asked.add_done_callback(self._drain)
        try:
            self.status = await self._serve()
        finally:
            if not ending.asked.done():
                ending.asked.cancel()
            if self._reports is not None:
                self._reports.cancel()
            self._report()
            self._close_sockets()
            self._channel.close()

    async def _serve(self) -> int:
        ending = self._ending
        try:
            await endings.serve(ending, self._make(), self._sites, self._started)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not ending.asked.done() or task is None or task.uncancel():  # it was not `ending` that cancelled
                raise
        except GracefulExit:
            if self._ready:
                raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the application raises is told
            if self._ready or ending.asked.done():
                server_logger.error("The application failed while it ended", exc_info=error)
                return EXIT_CUT_SHORT
            self._tell("failed", error=_why(error))
            return EXIT_NO_START
        report = ending.runner._report if ending.runner is not None else None
        return EXIT_CUT_SHORT if report is not None and report.aborted else EXIT_ORDERLY

    async def _make(self) -> BaseRunner:
        """Load what is served."""
        plan = self._plan
        settings: dict[str, Any] = {name: getattr(plan, name) for name in _SETTINGS}
        settings["access_log"] = _access_log() if plan.access_log else None
        if plan.access_log_format is not None:
            settings["access_log_format"] = plan.access_log_format
        if plan.proxy_headers:
            settings["trusted_proxies"] = plan.forwarded_allow_ips
        try:
            self._tls = server_context(plan)
            return await load(plan).runner(**{**settings, **plan.settings})
        except KeyboardInterrupt:  # see `interrupts`: whoever takes the signals is about to tell us to end
            await asyncio.wait([self._ending.asked], timeout=_MOMENT)  # and that breaks this off
            raise
        finally:
            release()

    # Where it listens

    def _sites(self, runner: BaseRunner) -> list[SockSite]:
        return self._sites_on(self._sockets)

    def _sites_on(self, sockets: Sequence[socket.socket]) -> list[SockSite]:
        runner = self._ending.runner
        assert runner is not None
        return [SockSite(runner, sock, ssl_context=self._tls, backlog=self._plan.backlog) for sock in sockets]

    def _started(self, runner: BaseRunner) -> None:
        self._ready = True
        self._tell("ready")
        self._reports = self._ending.loop.call_later(self._every, self._report_again)

    def _drain(self, asked: asyncio.Future[None]) -> None:
        if not asked.cancelled():
            self._tell("draining", requests=_numbers(self._core)["requests"])
        self._close_sockets()

    def _close_sockets(self) -> None:
        """Close what is not listened on; the other sockets are closed by their listeners."""
        if self._core is None or not self._ready:
            for sock in self._sockets:
                sock.close()
        self._close_others()

    def _close_others(self) -> None:
        for sock in (each for sockets in self._others.values() for each in sockets):
            sock.close()
        self._others.clear()

    @property
    def _core(self) -> ServerCore | None:
        runner = self._ending.runner
        return None if runner is None else runner.server

    # What it hears and tells

    def _hear(self, message: dict[str, Any]) -> None:
        what = message.get("do")
        core = self._core
        listens = core is not None and self._ready and not self._retired and not self._ending.asked.done()
        if what == "drain" or (what == "retire" and not listens):
            self._ending.begin()
        elif what == "hurry":
            self._ending.begin()
            self._ending.hasten()
        elif core is not None and listens:
            if what == "retire":
                self._retired = True
                core.create_task(self._retire(core), name="endwell: retire", origin=caller())
            elif what in {"cover", "uncover"} and (slot := int(message["slot"])) in self._others:
                self._cover.want(core, slot, self._others[slot], wanted=what == "cover")

    async def _retire(self, core: ServerCore) -> None:
        """Leave the sockets to the next worker; whoever asks meanwhile on a connection is told that it closes."""
        core.keepalive_requests = 0
        runner = self._ending.runner
        assert runner is not None
        for site in runner.sites:
            await site.stop()
        self._close_others()
        for _ in range(_PASSES):  # what the loop has just accepted is no connection yet
            await asyncio.sleep(0)
        if core.connections or core.handshakes:
            self._ending.loop.call_later(_MOMENT, self._ending.begin)
        else:
            self._ending.begin()

    def _tell(self, state: str, **facts: Any) -> None:
        if self._channel is not None:
            self._channel.send({"state": state, "pid": os.getpid(), **facts})

    def _report_again(self) -> None:
        self._reports = self._ending.loop.call_later(self._every, self._report_again)
        self._report()

    def _report(self) -> None:
        core = self._core
        if core is not None:
            numbers = _numbers(core)
            if numbers != self._reported:
                self._reported = numbers
                self._tell("report", **numbers)


class _Cover:
    """Listens, besides, on the sockets of workers that are dead.

    Args:
        sites: makes the sites for sockets.

    """

    def __init__(self, sites: Any) -> None:
        self._make = sites
        self._wanted: dict[int, Sequence[socket.socket]] = {}
        self._there: dict[int, list[SockSite]] = {}
        self._busy = False

    def want(self, core: ServerCore, slot: int, sockets: Sequence[socket.socket], *, wanted: bool) -> None:
        """Listen on the sockets of a slot, or no longer. Idempotent."""
        if wanted:
            self._wanted[slot] = sockets
        else:
            self._wanted.pop(slot, None)
        if not self._busy:
            self._busy = True
            core.create_task(self._work(), name="endwell: cover for another worker", origin=caller())

    async def _work(self) -> None:
        """Do what is wanted by now."""
        try:
            while changed := self._wanted.keys() ^ self._there.keys():
                slot = changed.pop()
                if slot in self._there:
                    for site in self._there.pop(slot):
                        await site.stop()
                    continue
                sites = self._there[slot] = self._make([sock.dup() for sock in self._wanted[slot]])
                for site in sites:
                    await site.start()
        except (OSError, RuntimeError) as error:  # the server is being closed meanwhile
            logging.getLogger("endwell.server").info("The sockets of another worker are not covered: %s", error)
        finally:
            self._busy = False


def _access_log() -> logging.Logger:
    """Have the access log written to standard output, as it is; unless somebody has set it up already."""
    if not (access_logger.handlers or logging.getLogger().handlers):
        access_logger.addHandler(logging.StreamHandler(sys.stdout))
        access_logger.propagate = False
    return access_logger


def _numbers(core: ServerCore | None) -> dict[str, int]:
    if core is None:
        return {"requests": 0, "connections": 0, "websockets": 0}
    websockets = sum(each.websocket is not None for each in core.connections)
    return {"requests": core.served, "connections": len(core.connections), "websockets": websockets}


def _why(error: BaseException) -> str:
    """Say why a start failed, for the one who wrote the application."""
    if isinstance(error, TargetError):
        return str(error)
    if isinstance(error, CertificateError):
        return f"{error.option}: {error}"
    if isinstance(error, LifespanError):
        cause = error.__cause__
        text = program_text(cause) if cause is not None and not error.text.startswith("Traceback") else ""
        return f"{error}\n\n{text}".rstrip("\n")
    if isinstance(error, SystemExit):
        return program_failed(f"The application ended the program with exit({error.code!r}) while it started", error)
    return program_failed("The application could not be started", error)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
