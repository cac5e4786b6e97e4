"""Answers of a resolver, kept for a while: bounded, rotated, and asked for once by all who want them at the same time.

Used by the TCP connector, which also sends the trace signals: a hit when `DnsCache.get` says so, else a miss, with
start and end of the resolving around its own call of the resolver inside ``ask``.
"""

import asyncio
import collections
from collections.abc import Awaitable, Callable

from endwell.transport.address import ResolveResult
from endwell.transport.errors import ResolveError

Key = tuple[str, int]
Addresses = list[ResolveResult]


class _Entry:
    __slots__ = ("addresses", "expires", "turn")

    def __init__(self, addresses: Addresses, expires: float | None) -> None:
        self.addresses = addresses
        self.expires = expires
        self.turn = 0


class _Flight:
    """A lookup under way: who waits for it. A waiter is told addresses, an error, or None: it is your turn to ask."""

    __slots__ = ("waiters",)

    def __init__(self) -> None:
        self.waiters: dict[asyncio.Future[Addresses | Exception | None], None] = {}

    def settle(self, outcome: Addresses | Exception) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(outcome)

    def hand_over(self) -> bool:
        """Let the next waiter ask; False when there is none."""
        while self.waiters:
            waiter = next(iter(self.waiters))
            del self.waiters[waiter]
            if not waiter.done():
                waiter.set_result(None)
                return True
        return False


class DnsCache:
    """Addresses by (host, port): ``ttl`` seconds (None: for ever; 0: not at all), ``max_size`` names, oldest out."""

    __slots__ = ("_entries", "_flights", "max_size", "ttl")

    def __init__(self, ttl: float | None = 10.0, max_size: int = 1000) -> None:
        if max_size < 1:
            raise ValueError(f"max_size must be at least 1, not {max_size}; switch the cache off instead")
        self.ttl = ttl
        self.max_size = max_size
        self._entries: collections.OrderedDict[Key, _Entry] = collections.OrderedDict()
        self._flights: dict[Key, _Flight] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, host: str, port: int, now: float) -> Addresses | None:
        """Return the addresses kept for a name, or None; each call starts with the next one (round robin)."""
        entry = self._entries.get((host, port))
        if entry is None:
            return None
        if entry.expires is not None and now >= entry.expires:
            del self._entries[host, port]
            return None
        turn, count = entry.turn, len(entry.addresses)
        entry.turn = (turn + 1) % count
        return entry.addresses[turn:] + entry.addresses[:turn]

    def put(self, host: str, port: int, addresses: Addresses, now: float) -> None:
        """Keep the addresses of a name; an empty answer is not kept."""
        if not addresses or self.ttl == 0:
            return
        self._entries.pop((host, port), None)
        self._entries[host, port] = _Entry(list(addresses), None if self.ttl is None else now + self.ttl)
        if len(self._entries) > self.max_size:
            self._entries.popitem(last=False)

    def clear(self, host: str | None = None, port: int | None = None) -> None:
        """Forget one name, or everything when neither is given; ValueError when only one is."""
        if host is not None and port is not None:
            self._entries.pop((host, port), None)
        elif host is not None or port is not None:
            raise ValueError("give both host and port, or neither to clear the whole cache")
        else:
            self._entries.clear()

    async def share(
        self, host: str, port: int, ask: Callable[[], Awaitable[Addresses]], clock: Callable[[], float]
    ) -> Addresses:
        """Join the lookup under way for a name, or be the one who asks; the answer is kept.

        ``ask`` is called by one of those who share. When that one is cancelled the next asks anew, so nobody's
        cancellation reaches the others. An exception of ``ask`` goes to all (a ResolveError as a copy for each).
        """
        key = (host, port)
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight()
        else:
            outcome = await self._wait(flight, key)
            if isinstance(outcome, Exception):
                raise outcome.again() if isinstance(outcome, ResolveError) else outcome
            if outcome is not None:
                return list(outcome)
        settled = False
        try:
            addresses = await ask()
            self.put(host, port, addresses, clock())
            self._end(flight, key, addresses)
            settled = True
        except Exception as exc:
            self._end(flight, key, exc)
            settled = True
            raise
        finally:
            if not settled:
                self._pass_on(flight, key)
        return list(addresses)

    async def _wait(self, flight: _Flight, key: Key) -> Addresses | Exception | None:
        waiter: asyncio.Future[Addresses | Exception | None] = asyncio.get_running_loop().create_future()
        flight.waiters[waiter] = None
        taken = False
        try:
            outcome = await waiter
            taken = True
            return outcome
        finally:
            if not taken:
                if waiter.done() and not waiter.cancelled() and waiter.result() is None:
                    self._pass_on(flight, key)  # cancelled just when our turn had come
                else:
                    flight.waiters.pop(waiter, None)

    def _end(self, flight: _Flight, key: Key, outcome: Addresses | Exception) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        flight.settle(outcome)

    def _pass_on(self, flight: _Flight, key: Key) -> None:
        if not flight.hand_over() and self._flights.get(key) is flight:
            del self._flights[key]
