"""The engine of `endwell get`: workers that take the next URL, fetch it and hand its body to a sink. Used by `run`.

It draws nothing: an `Observer` is told what happens. Its tasks belong to the session (closing.md C4): closing the
session lets the fetches under way finish and ends the workers.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from time import perf_counter
from typing import Protocol

from endwell.cli.inputs import BadInput, Job, printable, without_credentials
from endwell.cli.output import Arrival, BodyTooLargeError, InputOutputError, Sink
from endwell.cli.plan import Plan
from endwell.cli.schedule import Schedule
from endwell.cli.summary import Summary
from endwell.client.errors import ClientError, ClientPayloadError, ExchangeAbortedError, SessionClosedError
from endwell.client.response import ClientResponse
from endwell.client.session import ClientSession

__all__ = ["Fetcher", "Observer", "reason_of"]

_BREATH = 64  # lines between two turns of the loop, for a long list of which nothing has to be fetched
_LOOK_AHEAD = 1000  # jobs held for hosts that are busy, at least


class Observer(Protocol):
    """Is told what happens; every text it gets may be shown. Its methods must not block and not raise."""

    def begun(self, job: Job) -> None:
        """A request is about to be sent."""

    def answered(self, job: Job, response: ClientResponse) -> None:
        """The head of a response came."""

    def received(self, size: int) -> None:
        """A piece of a body came, `size` bytes."""

    def fetched(self, job: Job, status: int, seconds: float) -> None:
        """A body came whole and was kept."""

    def failed(self, job: Job, reason: str) -> None:
        """A URL was not fetched."""

    def skipped(self, job: Job) -> None:
        """A URL was not asked for: it is there already."""

    def bad_input(self, bad: BadInput) -> None:
        """A line of the list is no URL."""


class StatusError(Exception):
    """A response whose status counts as a failure."""

    def __init__(self, status: int, reason: str | None) -> None:
        super().__init__(printable(f"{status} {reason or ''}".rstrip()))
        self.status = status


# What may happen to one URL without concerning the others. ValueError: a redirect to something that is no URL.
_FAILURES = (ClientError, TimeoutError, OSError, ValueError, StatusError, BodyTooLargeError)


def reason_of(error: BaseException) -> str:
    """Say what an error says, in one line, without the credentials of a URL."""
    text = " ".join(str(error).split())
    return without_credentials(text)[:500] or ("timed out" if isinstance(error, TimeoutError) else type(error).__name__)


class Fetcher:
    """Fetches every URL of a source with the workers of one session.

    Attributes: `summary`, the figures so far; `fatal`, the error that ended the run, if one did (the list can't be
    read, the disk is full).
    """

    def __init__(
        self,
        session: ClientSession,
        plan: Plan,
        jobs: AsyncGenerator[Job | BadInput, None],
        sink: Sink,
        observer: Observer,
    ) -> None:
        self.summary = Summary()
        self.fatal: InputOutputError | None = None
        self._session = session
        self._plan = plan
        self._options = plan.request_options()
        # A URL's own credentials come before those of the command line.
        fields = plan.headers.copy()
        fields.pop("Authorization", None)
        self._options_with_credentials = {**self._options, "headers": fields}
        self._jobs = jobs
        self._sink = sink
        self._observer = observer
        self._schedule = Schedule(plan.per_host, max(_LOOK_AHEAD, 4 * plan.concurrency))
        self._parked: deque[asyncio.Future[None]] = deque()
        self._reading = False
        self._read_ever = 0
        self._ended = False  # the source has no more
        self._stopping = False
        self._working = 0
        self._over = asyncio.Event()
        self._idle = asyncio.Event()

    def start(self) -> None:
        """Start the workers, as tasks of the session."""
        session = self._session
        self._working = self._plan.concurrency
        for _ in range(self._working):
            session.create_task(self._work())

    def stop(self) -> None:
        """Start no further request; what is under way goes on."""
        self._stopping = True
        self._over.set()
        while self._parked:
            self._wake_one()

    async def over(self) -> None:
        """Wait until every URL is dealt with, or `stop` was called."""
        await self._over.wait()

    async def idle(self) -> None:
        """Wait until no worker is left; after it the summary does not change any more."""
        await self._idle.wait()

    async def _work(self) -> None:
        try:
            while (job := await self._next()) is not None:
                try:
                    await self._deal_with(job)
                finally:
                    self._schedule.done(job)
        except InputOutputError as error:
            self.fatal = self.fatal or error
            self.stop()
        finally:
            self._working -= 1
            if not self._working:
                self._over.set()
                self._idle.set()

    async def _next(self) -> Job | None:
        """Give the next job that may start; None when there is none and none will come.

        One worker at a time reads the source, and only when nothing that was read can start. Whoever leaves wakes one
        of those who wait, who looks for himself what there is to do: so nobody is forgotten and few are woken in
        vain.
        """
        while not self._stopping:
            job = self._schedule.take()
            if job is not None:
                self._wake_one()
                return job
            if self._ended and not self._schedule.held:
                break
            if self._ended or self._reading or not self._schedule.room:
                await self._park()
            else:
                await self._read()
        self._wake_one()
        return None

    async def _read(self) -> None:
        self._reading = True
        self._read_ever += 1
        try:
            if not self._read_ever % _BREATH:
                await asyncio.sleep(0)
            item = await anext(self._jobs, None)
        except OSError as error:
            raise InputOutputError(f"{self._plan.input}: {error.strerror or error}") from error
        finally:
            self._reading = False
            self._wake_one()
        if item is None:
            self._ended = True
        elif isinstance(item, BadInput):
            self.summary.bad_input += 1
            self._observer.bad_input(item)
        else:
            self._schedule.add(item)

    async def _park(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._parked.append(waiter)
        await waiter

    def _wake_one(self) -> None:
        while self._parked:
            waiter = self._parked.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def _deal_with(self, job: Job) -> None:
        """Fetch one URL unless it is there; account for whatever comes of it."""
        if not self._sink.claim(job):
            self.summary.skipped += 1
            self._observer.skipped(job)
            return
        start = perf_counter()
        try:
            self._observer.begun(job)
            status = await self._fetch(job, start)
        except _FAILURES as error:
            if self._stopping and isinstance(error, ExchangeAbortedError):
                self.summary.interrupted += 1
            else:
                await self._failed(job, error, perf_counter() - start)
        except SessionClosedError:
            if not self._stopping:
                raise
            self.summary.interrupted += 1  # the session was closed before the request, or a next attempt, was sent
        except asyncio.CancelledError:
            self.summary.interrupted += 1
            raise
        else:
            seconds = perf_counter() - start
            self.summary.add_fetched(status, seconds)
            self._observer.fetched(job, status, seconds)
        finally:
            self._sink.release(job)

    async def _fetch(self, job: Job, start: float) -> int:
        plan = self._plan
        # RetryMiddleware's work ends with the head; a body that breaks off is asked for again here.
        options = self._options if job.url.raw_user is None else self._options_with_credentials
        attempts = plan.retry + 1 if plan.repeatable and self._sink.restartable else 1
        while True:
            attempts -= 1
            async with self._session.request(plan.method, job.url, **options) as response:
                self._observer.answered(job, response)
                error = StatusError(response.status, response.reason) if plan.fail and response.status >= 400 else None
                if error is not None and not self._sink.keeps_failures:
                    raise error
                said = None if error is None else str(error)
                arrival = Arrival(job, response, self._received, lambda: perf_counter() - start, said)
                try:
                    await self._sink.store(arrival)
                except ClientPayloadError:
                    if not attempts or self._stopping:
                        raise
                    continue
                if error is not None:
                    raise error
                status: int = response.status
                return status

    async def _failed(self, job: Job, error: Exception, seconds: float) -> None:
        status = error.status if isinstance(error, StatusError) else None
        name = f"HTTP {status}" if status is not None else type(error).__name__
        reason = reason_of(error)
        self.summary.add_failed(name, job.shown, reason, status)
        self._observer.failed(job, f"{name}: {reason}" if status is None else f"HTTP {reason}")
        if status is None:  # else the sink has what it wants
            await self._sink.store_error(job, name, reason, seconds)

    def _received(self, size: int) -> None:
        self.summary.body_bytes += size
        self._observer.received(size)
