"""The supervisor: keeps the sockets, and one worker in each slot, until it is told to end (closing.md C13).

It is an owner of the ownership tree. Sockets, workers, the pidfile and whatever watches files are its resources; its
end is the closing walk of `lifetime`: refuse new connections, have all workers drain, free the rest.

What happens comes as calls: from workers (`worker_ready`, ...), from signals and files (`replace_all`), from timers.
Who is to do what is decided in `service.slots`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, Final

from endwell.lifetime import CloseReport, Owner, State, caller, close
from endwell.lifetime.tasks import spawn
from endwell.service.logs import logger
from endwell.service.plan import EXIT_CUT_SHORT, EXIT_NO_START, EXIT_ORDERLY, ServicePlan
from endwell.service.process import InProcess, Phase, Process, Worker, how_it_ended
from endwell.service.slots import STABLE, Slot, coverage, pause, spent_at
from endwell.service.sockets import Sockets
from endwell.service.systemd import Notifier

__all__ = ("Supervisor",)

_LATE: Final = 5.0


class Supervisor(Owner):
    """Runs the workers of a plan.

    Attributes:
        plan: what is served.
        slots: the places of the workers.
        workers: all that there are, those that drain too.
        over: done when the service is to end: with its exit status, or 0 if it was told to.
        started: all slots have been ready once.
        status: what the exit status has come to, so far.

    """

    __slots__ = ("_covered", "_notifier", "_rolling", "_sockets", "_told", "over", "plan", "slots", "started", "status",
                 "workers")  # fmt: skip

    kind = "supervisor"

    def __init__(self, loop: asyncio.AbstractEventLoop, plan: ServicePlan, notifier: Notifier) -> None:
        limit = plan.shutdown_timeout + plan.kill_grace + _LATE  # each worker has a time of its own, which is shorter
        super().__init__(loop, close_timeout=limit, advice="write: await supervisor.close()")
        self.plan = plan
        self.slots = [Slot(number) for number in range(plan.workers)]
        self.workers: dict[Worker, None] = {}
        self.over: asyncio.Future[int] = loop.create_future()
        self.started = False
        self.status = EXIT_ORDERLY
        self._notifier = notifier
        self._sockets: Sockets | None = None
        self._covered: dict[int, int] = {}
        self._rolling: asyncio.Task[None] | None = None
        self._told: str | None = None

    def describe(self) -> str:
        """See `Resource.describe`."""
        return f"supervisor of {self.plan.target or 'a service'}"

    # What whoever runs it calls

    def start(self, sockets: Sockets) -> None:
        """Start the workers."""
        self._sockets = sockets
        for slot in self.slots:
            self._start(slot)
        self._notifier.watch(self.loop)

    def end(self, status: int = EXIT_ORDERLY) -> None:
        """Have the service end; the first who says so counts."""
        if not self.over.done():
            self.over.set_result(status)

    async def close(self) -> CloseReport:
        """Drain all workers, for `shutdown_timeout`, and free everything. Cancelled, it kills what is left."""
        return await close(self, timeout=self.close_timeout, at=caller())

    def hurry(self) -> None:
        """Have the workers wait no longer for requests in flight."""
        for worker in list(self.workers):
            worker.hurry()

    def kill(self, reason: str) -> None:
        """End the workers the hard way."""
        for worker in list(self.workers):
            worker.kill(reason)

    def reap(self) -> None:
        """Look which processes have ended: one of our children has (SIGCHLD)."""
        for worker in list(self.workers):
            if isinstance(worker, Process):
                worker.reap()
        if os.getpid() == 1:
            self._reap_strangers()

    def replace_all(self, why: str, *, impatient: bool = False) -> None:
        """Replace the workers, one after the other; each drains once the next one in its place is ready.

        Args:
            why: for the log.
            impatient: those that still drain from the last time are to wait no longer.

        """
        if self.state is not State.OPEN:
            return
        if not self.plan.supervised:
            logger.warning("%s is ignored: the only worker is in this process (supervise=True has one to replace)", why)
            return
        if impatient:
            for worker in [each for each in self.workers if each.phase is Phase.DRAINING]:
                worker.hurry()
        if self._rolling is not None:
            self._rolling.cancel()
        logger.info("%s: the workers are replaced", why)
        self._notifier.reloading()
        rolling = self._rolling = spawn(self, self._roll(), origin=caller(), name="endwell: workers are replaced")
        rolling.add_done_callback(self._rolled)

    @property
    def ready(self) -> int:
        """How many slots have a worker that is ready."""
        return sum(slot.ready for slot in self.slots)

    @property
    def enough(self) -> bool:
        """Whether enough workers are ready: at first all, then at least half."""
        wanted = (len(self.slots) + 1) // 2 if self.started else len(self.slots)
        return self.state is State.OPEN and not self.over.done() and self.ready >= wanted

    def table(self) -> Iterator[dict[str, Any]]:
        """Give all workers, with what is known about them; slots without a worker too."""
        for slot in self.slots:
            facts = {"slot": slot.number, "restarts": max(0, slot.restarts), "error": slot.error}
            here = [worker for worker in self.workers if worker.slot == slot.number]
            for worker in here:
                yield {
                    **facts,
                    "pid": worker.pid,
                    "state": worker.phase.value,
                    "since": round(worker.since, 3),
                    **worker.numbers,
                    "covers": sorted(worker.covers),
                }
            if not any(worker.phase in (Phase.STARTING, Phase.READY) for worker in here):
                yield {**facts, "pid": None, "state": "waiting"}

    # What workers tell

    def worker_ready(self, worker: Worker) -> None:
        """See `Watcher`."""
        slot = self.slots[worker.slot]
        old = slot.serving
        slot.serving, slot.incoming, slot.error = worker, None, None
        self._told = None
        if old is not None and old.ready_at is not None and self.loop.time() - old.ready_at >= STABLE:
            slot.failures = 0
        worker.spent_at = spent_at(self.plan.max_requests, self.plan.max_requests_jitter)
        logger.info("%s is ready after %.2f s", worker.name, self.loop.time() - worker.made_at)
        if old is not None:
            old.drain(retire=True)
        self._look()

    def worker_leaves(self, worker: Worker) -> None:
        """See `Watcher`."""
        logger.info("%s ends by itself", worker.name)
        self._vacate(worker)

    def worker_reports(self, worker: Worker) -> None:
        """See `Watcher`: after `max_requests` the next one is to take over."""
        slot, served = self.slots[worker.slot], worker.numbers["requests"]
        if 0 < worker.spent_at <= served and slot.serving is worker and slot.incoming is None and slot.timer is None:
            logger.info("%s has served %d requests and is replaced", worker.name, served)
            self._start(slot)

    def worker_gone(self, worker: Worker) -> None:
        """See `Watcher`."""
        self.workers.pop(worker, None)
        slot = self.slots[worker.slot]
        if worker.asked or self.state is not State.OPEN:
            level = logger.info if worker.status == EXIT_ORDERLY or worker.ready_at is None else logger.warning
            level("%s %s", worker.name, how_it_ended(worker))
            if self.state is not State.OPEN and (worker.killed or (worker.status and worker.ready_at is not None)):
                self.status = EXIT_CUT_SHORT
        elif worker.ready_at is None:
            self._failed(worker)
        else:
            self._died(worker)
        if slot.incoming is worker:
            slot.incoming = None
        if slot.serving is worker:
            slot.serving = None
        self._look()

    def _failed(self, worker: Worker) -> None:
        """Deal with one that could not start."""
        slot = self.slots[worker.slot]
        slot.incoming = None
        slot.failures += 1
        slot.error = worker.error or how_it_ended(worker)
        what = f"{worker.name} could not start"
        if slot.error == self._told:
            logger.error("%s, for the same reason", what)
        else:
            self._told = slot.error
            logger.error("%s: %s", what, slot.error)
        if self.plan.reload:
            logger.info("waiting for a file to change")
        elif not self.started or not self.plan.supervised:
            self.end(EXIT_NO_START)
        elif self._rolling is None or slot.serving is None:  # else whoever replaces all of them leaves the old one
            self._start_later(slot)

    def _died(self, worker: Worker) -> None:
        """Deal with one that was ready and has ended by itself."""
        slot = self.slots[worker.slot]
        level = logger.info if worker.status == EXIT_ORDERLY else logger.error
        level("%s %s", worker.name, how_it_ended(worker))
        if not self.plan.supervised:
            self.end(worker.status if worker.status is not None else EXIT_CUT_SHORT)
        elif slot.serving is worker:
            slot.error = None if worker.status == EXIT_ORDERLY else f"{worker.name} {how_it_ended(worker)}"
            self._vacate(worker)

    def _vacate(self, worker: Worker) -> None:
        """Have another one come into the place of one that ends by itself: at once, unless they die young."""
        slot = self.slots[worker.slot]
        if slot.serving is not worker:
            return
        slot.serving = None
        if not self.plan.supervised:
            self.end()
        elif self.state is State.OPEN and slot.incoming is None:
            lived = self.loop.time() - (worker.ready_at or worker.made_at)
            slot.failures = slot.failures + 1 if lived < STABLE else 0
            self._start_later(slot, failures=slot.failures - 1)
        self._look()

    # What it does

    def _start(self, slot: Slot) -> Worker | None:
        """Start a worker for a slot, unless one is on its way already."""
        slot.wait_no_longer()
        if self.state is not State.OPEN or self.over.done() or slot.incoming is not None:
            return slot.incoming
        assert self._sockets is not None
        kind = Process if self.plan.supervised else InProcess
        worker = slot.incoming = kind(self, self, self.plan, slot.number)
        self.workers[worker] = None
        slot.restarts += 1
        worker.start(self._sockets)
        self._look()
        return worker

    def _start_later(self, slot: Slot, failures: int | None = None) -> None:
        """Start a worker for a slot after the pause that so many failures ask for."""
        slot.wait_no_longer()
        if self.state is not State.OPEN or self.over.done():
            return
        seconds = pause(slot.failures if failures is None else failures, self.plan.backoff_max)
        if not seconds:
            self._start(slot)
            return
        logger.info("slot %d: the next worker is started in %.1f s", slot.number, seconds)
        slot.timer = self.loop.call_later(seconds, self._start, slot)

    async def _roll(self) -> None:
        """Replace the workers, slot by slot."""
        for slot in self.slots:
            old, early = slot.serving, slot.incoming
            if early is not None:  # it may have loaded what was there before
                early.drain()
                await early.wait()
            incoming = self._start(slot)
            if incoming is None:
                return
            await asyncio.wait([incoming.settled])
            if incoming.ready_at is None:
                if old is not None and slot.serving is old:
                    logger.error("%s stays, and so do the others that are not replaced yet", old.name)
                return

    def _rolled(self, task: asyncio.Task[None]) -> None:
        if task is self._rolling:
            self._rolling = None
            for slot in self.slots:  # one that was on its way when the replacing began may have been ended for nothing
                if not (slot.serving or slot.incoming or slot.timer or self.plan.reload):
                    self._start_later(slot)
            if self.state is State.OPEN and self.started:
                self._notifier.ready()
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("The workers could not be replaced", exc_info=error)

    def _look(self) -> None:
        """See what has changed: who covers for whom, whether all are ready, what systemd is told."""
        if self.state is not State.OPEN:
            self._notifier.status(f"ending, {len(self.workers)} workers drain")
            return
        self._cover()
        ready, count = self.ready, len(self.slots)
        if ready == count and not self.started:
            self.started = True
            logger.info("ready: %d worker%s on %s", count, "s" * (count > 1), self._where())
            self._notifier.ready()
        self._notifier.status(f"{ready} of {count} workers ready")

    def _where(self) -> str:
        return ", ".join(self._sockets.names) if self._sockets is not None else "nothing"

    def _cover(self) -> None:
        """Have connections that the kernel has dealt to a slot without a worker accepted by others."""
        assert self._sockets is not None
        vacant = {slot.number for slot in self.slots if not slot.ready and self._sockets.own[slot.number]}
        ready = {slot.number: slot.serving for slot in self.slots if slot.ready}
        self._covered = coverage(vacant, ready, self._covered)
        for number, worker in ready.items():
            if worker is not None:
                wanted = {slot for slot, by in self._covered.items() if by == number}
                for slot in worker.covers ^ wanted:
                    worker.cover(slot, wanted=slot in wanted)

    def _reap_strangers(self) -> None:
        """As the first process of a container, take care of processes whose parents have ended."""
        if sys.platform != "linux":
            return
        ours = {worker.pid for worker in self.workers}
        with contextlib.suppress(ChildProcessError):
            while found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if found.si_pid in ours:
                    break  # the loop hears of it in a moment
                os.waitpid(found.si_pid, 0)

    # What the closing walk calls

    def _stop(self) -> None:
        if not self.over.done():
            self.over.set_result(self.status)
        for slot in self.slots:
            slot.wait_no_longer()
        if self._rolling is not None:
            self._rolling.cancel()
        self._notifier.stopping()
