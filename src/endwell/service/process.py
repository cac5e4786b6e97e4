"""One worker as the supervisor sees it: a process, or a task in a service that needs no other process.

It is a resource of the supervisor's. What drains is waited for as a task that the supervisor owns and that ends with
the worker; so the closing walk of `lifetime` waits for workers as a session's waits for its tasks.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from endwell.lifetime import Owner, Resource, caller
from endwell.lifetime.tasks import spawn
from endwell.service.channel import Channel, pair
from endwell.service.plan import EXIT_CUT_SHORT, EXIT_NO_START, EXIT_ORDERLY, ServicePlan
from endwell.service.systemd import PRIVATE

if TYPE_CHECKING:
    from endwell.service.sockets import Sockets

__all__ = ("InProcess", "Phase", "Process", "Watcher", "Worker", "WorkerEvent", "follow", "how_it_ended")

_LINGER: Final = 5.0
"""Seconds that a process has to end by itself once it has failed, or has let go of its channel."""

_LONGEST_ERROR: Final = 16_000


class Phase(enum.Enum):
    """Where a worker stands."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"
    GONE = "gone"


class WorkerEvent(enum.Enum):
    """What can happen to a worker."""

    READY = "ready"
    DRAIN = "drain"
    FAIL = "fail"
    EXIT = "exit"


_NEXT: Final[dict[tuple[Phase, WorkerEvent], Phase]] = {
    (Phase.STARTING, WorkerEvent.READY): Phase.READY,
    (Phase.STARTING, WorkerEvent.DRAIN): Phase.DRAINING,
    (Phase.STARTING, WorkerEvent.FAIL): Phase.FAILED,
    (Phase.READY, WorkerEvent.DRAIN): Phase.DRAINING,
    **{(phase, WorkerEvent.EXIT): Phase.GONE for phase in Phase},
}


def follow(phase: Phase, event: WorkerEvent) -> Phase:
    """Return the phase that follows: a total function; what cannot be any more changes nothing."""
    return _NEXT.get((phase, event), phase)


class Watcher(Protocol):
    """Who is told how a worker does: the supervisor."""

    def worker_ready(self, worker: Worker) -> None:
        """Take it that the worker accepts connections."""

    def worker_leaves(self, worker: Worker) -> None:
        """Take it that the worker has stopped accepting, unasked."""

    def worker_reports(self, worker: Worker) -> None:
        """Look at the worker's new numbers."""

    def worker_gone(self, worker: Worker) -> None:
        """Take it that nothing is left of the worker."""


class Worker(Resource):
    """What a process and a task have in common.

    Attributes:
        slot: the number of the place that it fills.
        phase: where it stands.
        pid: of its process; 0 if there is none.
        since: when it came into this phase, in seconds since the epoch.
        ready_at: when it became ready, in the time of the loop; None before.
        settled: done when it is ready, or will never be.
        spent_at: number of requests after which it is replaced; 0 for none.
        status: exit status, once it is gone; negative for a signal.
        error: why it could not start, or was killed.
        numbers: what it last reported.
        asked: it was told to end.
        killed: it did not end in time.
        covers: slots whose sockets it accepts from besides.

    """

    __slots__ = (
        "_channel", "_gone", "_kill_timer", "_watcher", "asked", "covers", "error", "killed", "loop", "made_at",
        "numbers", "phase", "pid", "plan", "ready_at", "settled", "since", "slot", "spent_at", "status",
    )  # fmt: skip

    kind = "worker"

    def __init__(self, owner: Owner, watcher: Watcher, plan: ServicePlan, slot: int) -> None:
        super().__init__(owner)
        self.loop = owner.loop
        self.plan = plan
        self.slot = slot
        self.phase = Phase.STARTING
        self.pid = 0
        self.since = time.time()
        self.made_at = owner.loop.time()
        self.ready_at: float | None = None
        self.spent_at = 0
        self.status: int | None = None
        self.error: str | None = None
        self.numbers = {"requests": 0, "connections": 0, "websockets": 0}
        self.asked = False
        self.killed = False
        self.covers: set[int] = set()
        self._watcher = watcher
        self._channel: Channel | None = None
        self._kill_timer: asyncio.TimerHandle | None = None
        self._gone: asyncio.Future[None] = owner.loop.create_future()
        self.settled: asyncio.Future[None] = owner.loop.create_future()
        self._kill_in(plan.start_timeout, f"it was not ready within start_timeout={plan.start_timeout:g} s")
        spawn(owner, self.wait(), origin=caller(), name=f"endwell: worker of slot {slot}")

    def describe(self) -> str:
        """See `Resource.describe`."""
        return f"{self.name} ({self.phase.value})"

    @property
    def name(self) -> str:
        """What log lines call it."""
        return f"worker {self.pid} of slot {self.slot}"

    def start(self, sockets: Sockets) -> None:
        """Start it; a failure to do so is told to the watcher as that of any worker, in a later pass of the loop."""
        try:
            self._begin(sockets)
        except OSError as error:
            self.error = f"no process could be started: {error}"
            self.loop.call_soon(self._exited, EXIT_NO_START)
        except Exception:  # noqa: BLE001 - or the closing would wait for one that there is not
            self.error = f"it could not be started\n{traceback.format_exc()}"
            self.loop.call_soon(self._exited, EXIT_NO_START)

    def drain(self, *, retire: bool = False) -> None:
        """Have it end in order, for `shutdown_timeout` and the grace. Idempotent.

        Args:
            retire: another worker has taken its place: clients on its connections are told to come again, for a moment,
                before idle connections are closed.

        """
        if self.asked or self.phase is Phase.GONE:
            return
        self.asked = True
        young = self.phase is Phase.STARTING
        if self.phase is not Phase.FAILED:
            limit = self.plan.kill_grace + (0.0 if young else self.plan.shutdown_timeout)
            self._kill_in(limit, f"it did not end within {limit:g} s")
        self._turn(WorkerEvent.DRAIN)
        self._tell({"do": "retire" if retire else "drain"})
        if young:
            self._interrupt()

    def hurry(self) -> None:
        """Have it end now, in order: requests in flight are cut."""
        self.drain()
        if self.phase is Phase.DRAINING:
            self._kill_in(self.plan.kill_grace, f"it did not end within {self.plan.kill_grace:g} s, told twice")
            self._tell({"do": "hurry"})

    def kill(self, reason: str) -> None:
        """End it the hard way."""
        raise NotImplementedError

    def cover(self, slot: int, *, wanted: bool) -> None:
        """Have it accept from the sockets of another slot, or no longer."""
        if wanted:
            self.covers.add(slot)
        else:
            self.covers.discard(slot)
        self._tell({"do": "cover" if wanted else "uncover", "slot": slot})

    def gone(self) -> asyncio.Future[None] | None:
        """See `Resource.gone`."""
        return self._gone

    async def wait(self) -> None:
        """Return when nothing is left of it; cancelling has no effect on it."""
        await asyncio.wait([self._gone])

    def _begin(self, sockets: Sockets) -> None:
        raise NotImplementedError

    # What it says

    def _heard(self, message: dict[str, Any]) -> None:
        state = message.get("state")
        for name in self.numbers:
            value = message.get(name)
            if isinstance(value, int):
                self.numbers[name] = value
        if state == "ready" and self.phase is Phase.STARTING:
            self._cancel_kill()
            self.ready_at = self.loop.time()
            self._turn(WorkerEvent.READY)
            self._watcher.worker_ready(self)
        elif state == "failed" and self.ready_at is None:
            self.error = str(message.get("error", "it did not say why"))[:_LONGEST_ERROR]
            self._turn(WorkerEvent.FAIL)
            self._kill_in(_LINGER, f"it did not end within {_LINGER:g} s of its failure")
        elif state == "draining":
            self._leaves()
        elif state == "report":
            self._watcher.worker_reports(self)

    def _leaves(self) -> None:
        """Note that it ends without having been told to: SIGTERM from somebody, or the application wants it."""
        if self.phase is Phase.READY:
            limit = self.plan.shutdown_timeout + self.plan.kill_grace
            self._kill_in(limit, f"it did not end within {limit:g} s")
            self._turn(WorkerEvent.DRAIN)
            self._watcher.worker_leaves(self)

    def _channel_gone(self) -> None:
        """Note that it has let go of the channel: it ends, or can never be told anything again."""
        self._channel = None
        if self.phase in (Phase.STARTING, Phase.READY):
            self._kill_in(_LINGER, "it has closed its status channel")

    def _exited(self, status: int) -> None:
        if self.phase is Phase.GONE:
            return
        self.status = status
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.drain()  # its last words: why it failed
            channel.close()
        self._cancel_kill()
        self._turn(WorkerEvent.EXIT)
        self.ended()
        if not self._gone.done():
            self._gone.set_result(None)
        self._watcher.worker_gone(self)

    def _turn(self, event: WorkerEvent) -> None:
        phase = follow(self.phase, event)
        if phase is not self.phase:
            self.phase = phase
            self.since = time.time()
            if phase in (Phase.READY, Phase.GONE) and not self.settled.done():
                self.settled.set_result(None)

    def _tell(self, message: dict[str, Any]) -> None:
        if self._channel is not None:
            self._channel.send(message)

    def _kill_in(self, seconds: float, reason: str) -> None:
        self._cancel_kill()
        self._kill_timer = self.loop.call_later(seconds, self.kill, reason)

    def _cancel_kill(self) -> None:
        if self._kill_timer is not None:
            self._kill_timer.cancel()
            self._kill_timer = None

    def _interrupt(self) -> None:
        """Have one that starts end also if it does not read its channel yet."""

    # What the closing walk calls

    def _stop(self) -> None:
        self.drain()

    def _abort(self, reason: str) -> None:
        if self.phase is not Phase.GONE:
            self.kill(reason)


class Process(Worker):
    """A worker in a process of its own."""

    __slots__ = ("_process",)

    def __init__(self, owner: Owner, watcher: Watcher, plan: ServicePlan, slot: int) -> None:
        super().__init__(owner, watcher, plan, slot)
        self._process: subprocess.Popen[bytes] | None = None

    def _begin(self, sockets: Sockets) -> None:
        own, others = sockets.of(self.slot), sockets.others(self.slot)
        fds = [sock.fileno() for sock in own]
        covers = {number: [sock.fileno() for sock in each] for number, each in others.items()}
        plan = self.plan.to_json()
        plan["max_requests"] = 0  # the supervisor counts: the next worker is to be ready before this one drains
        ours, theirs = pair()
        self._channel = Channel(self.loop, ours, self._heard, self._channel_gone)
        order = {"do": "serve", "plan": plan, "slot": self.slot, "sockets": fds, "others": covers}
        with theirs:
            self._tell({**order, "every": self.plan.report_every})  # before there is a process: it can fail
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", "endwell.service.worker", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno(), *fds, *(fd for each in covers.values() for fd in each)],
                process_group=0,  # Ctrl-C at the terminal is for the supervisor
                env=_environment(os.environ),
            )
        self.pid = self._process.pid

    def reap(self) -> None:
        """See whether the process has ended."""
        process = self._process
        if process is not None and self.phase is not Phase.GONE and process.poll() is not None:
            self._exited(process.returncode)

    def kill(self, reason: str) -> None:
        """See `Worker.kill`."""
        process = self._process
        if process is not None and process.returncode is None:
            self.killed = True
            self.error = self.error or reason
            with contextlib.suppress(OSError):
                process.kill()

    def _interrupt(self) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(OSError):
                process.terminate()


class InProcess(Worker):
    """The worker of a service that is one process: a task of the supervisor's loop."""

    __slots__ = ("_task",)

    def __init__(self, owner: Owner, watcher: Watcher, plan: ServicePlan, slot: int) -> None:
        super().__init__(owner, watcher, plan, slot)
        self._task: asyncio.Task[int] | None = None

    def _begin(self, sockets: Sockets) -> None:
        from endwell.service.worker import serve

        ours, theirs = pair()
        self.pid = os.getpid()
        self._channel = Channel(self.loop, ours, self._heard, self._channel_gone)
        own = [sock.dup() for sock in sockets.of(self.slot)]
        assert isinstance(self.owner, Owner)
        serving = serve(self.plan, own, {}, theirs, every=self.plan.report_every)
        self._task = spawn(self.owner, serving, origin=caller(), name="endwell: worker", part_of_work=True)
        self._task.add_done_callback(self._ended)

    def kill(self, reason: str) -> None:
        """See `Worker.kill`."""
        if self._task is not None and not self._task.done():
            self.killed = True
            self.error = self.error or reason
            self._task.cancel(reason)

    def _ended(self, task: asyncio.Task[int]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.error = self.error or f"{type(error).__name__}: {error}"
        orderly = not task.cancelled() and error is None
        self._exited(task.result() if orderly else EXIT_CUT_SHORT)


def how_it_ended(worker: Worker) -> str:
    """Say in a few words how a worker that is gone has ended."""
    status = worker.status
    if worker.killed:
        return f"was killed: {worker.error}"
    if status is not None and status < 0:
        try:
            return f"was ended by {signal.Signals(-status).name}"
        except ValueError:
            return f"was ended by signal {-status}"
    if status == EXIT_ORDERLY:
        return "has ended"
    if status == EXIT_CUT_SHORT and worker.phase is Phase.GONE and worker.asked:
        return "has ended; something had to be cut short"
    return f"has ended with status {status}"


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name not in PRIVATE}
