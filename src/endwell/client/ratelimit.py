"""A limit of requests per second as a client middleware: fair, of bounded memory, without a task of its own.

Exported; given to a session: ``ClientSession(middlewares=[RateLimitMiddleware(10)])``. The waiting is done in the
caller's task; one timer for each host that somebody waits for.
"""

import asyncio
from collections import OrderedDict
from math import isfinite
from typing import TYPE_CHECKING

from endwell.client.middlewares import ClientHandlerType

if TYPE_CHECKING:
    from endwell.client.request import ClientRequest
    from endwell.client.response import ClientResponse

__all__ = ("RateLimitMiddleware",)

# A timer may come so many seconds late, and the turns go on as if it had not: else coarse timers would cost rate.
_LATENESS = 0.01
# How many hosts are looked at for one to forget.
_LOOKS = 8


class _Turns:
    """The turns of one host, given in the order they were asked for.

    A turn is due every ``interval`` seconds; ``_due`` is when the next one would be if nothing were saved up, and
    ``slack`` seconds of turns may be.
    """

    __slots__ = ("_due", "_interval", "_loop", "_slack", "_timer", "_waiters")

    def __init__(self, loop: asyncio.AbstractEventLoop, interval: float, slack: float) -> None:
        self._loop = loop
        self._interval = interval
        self._slack = slack
        self._due = loop.time()
        self._timer: asyncio.TimerHandle | None = None
        # An OrderedDict for its order and for leaving it in the middle, both without a search.
        self._waiters: OrderedDict[asyncio.Future[None], None] = OrderedDict()

    @property
    def waited_for(self) -> bool:
        return bool(self._waiters)

    async def take(self) -> None:
        """Wait for a turn. Cancelled, it gives the turn on."""
        if not self._waiters and self._free():
            return
        waiter = self._loop.create_future()
        self._waiters[waiter] = None
        if self._timer is None:
            self._serve()
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                self._waiters.pop(waiter, None)
            else:
                self._due -= self._interval  # its turn had come, and is for the next one now
            self._serve()
            raise

    def _free(self, lateness: float = 0.0) -> bool:
        now = self._loop.time()
        if self._due - self._slack > now:
            return False
        self._due = max(self._due, now - lateness) + self._interval
        return True

    def _serve(self) -> None:
        """Give the turns that are due, and set the timer for the next one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiters:
            waiter = next(iter(self._waiters))
            if not waiter.done():  # else cancelled, and its task has not run yet
                if not self._free(_LATENESS):
                    break
                waiter.set_result(None)
            del self._waiters[waiter]
        if self._waiters:
            self._timer = self._loop.call_at(self._due - self._slack, self._serve)


class RateLimitMiddleware:
    """Lets at most ``rate`` requests a second through, for each host by itself or for all together.

    Who comes first goes first. ``burst``: how many may go at once after a pause. ``per_host=False``: one limit for all
    hosts. ``max_hosts``: how many hosts are remembered; beyond, the one unused longest is forgotten, and starts afresh
    when it comes again. Hosts that somebody waits for are not forgotten.

    The waits count for the caller's time limit. Cancelled while it waits, a request gives its turn on. Put it behind a
    ``RetryMiddleware`` in the row of middlewares and retries are limited too.
    """

    def __init__(self, rate: float, *, per_host: bool = True, burst: int = 1, max_hosts: int = 1000) -> None:
        if not isfinite(rate) or rate <= 0:
            raise ValueError(f"rate must be a positive number of requests a second, got {rate!r}")
        if burst < 1:
            raise ValueError(f"burst must be at least 1, got {burst!r}")
        if max_hosts < 1:
            raise ValueError(f"max_hosts must be at least 1, got {max_hosts!r}")
        self._interval = 1.0 / rate
        self._slack = (burst - 1) * self._interval
        self._per_host = per_host
        self._max_hosts = max_hosts
        self._hosts: OrderedDict[tuple[str | None, int | None] | None, _Turns] = OrderedDict()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, request: "ClientRequest", handler: ClientHandlerType) -> "ClientResponse":
        """Wait for a turn, then send ``request``."""
        url = request.url
        await self._turns((url.raw_host, url.port) if self._per_host else None).take()
        return await handler(request)

    def _turns(self, host: tuple[str | None, int | None] | None) -> _Turns:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            # What waited on another loop ended with it.
            self._hosts.clear()
            self._loop = loop
        turns = self._hosts.get(host)
        if turns is not None:
            self._hosts.move_to_end(host)
            return turns
        if len(self._hosts) >= self._max_hosts:
            self._forget()
        turns = self._hosts[host] = _Turns(loop, self._interval, self._slack)
        return turns

    def _forget(self) -> None:
        for _ in range(min(_LOOKS, len(self._hosts))):
            host, turns = next(iter(self._hosts.items()))
            if not turns.waited_for:
                del self._hosts[host]
                return
            self._hosts.move_to_end(host)
