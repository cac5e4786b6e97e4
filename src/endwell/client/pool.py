"""The pool's bookkeeping: who may have which connection. Decides and counts; does no I/O and reads no clock.

A *slot* is the right to one open connection: taken by `take` or granted from the queue, given back by `leave`.
"""

from __future__ import annotations

import enum
from collections.abc import Hashable, Iterator
from itertools import count
from typing import Generic, Protocol, TypeVar

__all__ = ("Decision", "Pool", "Pooled")


class Decision(enum.Enum):
    """What to do when there is no connection to hand out."""

    OPEN = "open one: the slot is yours"
    WAIT = "wait in the queue"


class Pooled(Protocol):
    """A connection as the pool sees it."""

    key: Hashable
    idle_since: float

    def ending(self) -> bool:
        """Tell whether its end has begun: nothing can be sent on it any more."""


C = TypeVar("C", bound=Pooled)
W = TypeVar("W", bound=Hashable)


class Pool(Generic[C, W]):
    """Idle connections, slots in use, and the queue of those who wait, first come first served.

    Args:
        limit: slots in all, 0 for no limit; idle connections count as far as they must not push the number of open
            sockets over it.
        limit_per_host: slots of one key, 0 for no limit.
        keepalive: seconds an idle connection is kept.

    `queued` is empty when nobody waits.
    """

    __slots__ = ("_idle", "_order", "_per_key", "_tickets", "in_use", "keepalive", "limit", "limit_per_host", "queued")

    def __init__(self, limit: int, limit_per_host: int, keepalive: float) -> None:
        self.limit = limit
        self.limit_per_host = limit_per_host
        self.keepalive = keepalive
        self.in_use = 0
        self._idle: dict[Hashable, list[C]] = {}
        self._order: dict[C, None] = {}
        self._per_key: dict[Hashable, int] = {}
        self.queued: dict[Hashable, dict[W, int]] = {}
        self._tickets = count()

    # Taking

    def take(self, key: Hashable, now: float, *, fresh: bool = False) -> C | Decision:
        """Decide for a newcomer: an idle connection (unless it is to be `fresh`), or what to do without one.

        Free slots never pass over the queue: while somebody waits for this key, there is none.
        """
        if self.limit and self.in_use >= self.limit:
            return Decision.WAIT
        if self.limit_per_host:
            used = self._per_key.get(key, 0)
            if used >= self.limit_per_host:
                return Decision.WAIT
            self._per_key[key] = used + 1
        self.in_use += 1
        idle = self._idle.get(key)
        if idle is not None and not fresh:
            return self._reuse(key, idle, now)
        return Decision.OPEN

    def wait(self, waiter: W, key: Hashable) -> None:
        """Put a newcomer at the end of the queue."""
        self.queued.setdefault(key, {})[waiter] = next(self._tickets)

    def give_up(self, waiter: W, key: Hashable) -> None:
        """Take a waiter out of the queue."""
        queue = self.queued.get(key)
        if queue is not None and queue.pop(waiter, None) is not None and not queue:
            del self.queued[key]

    def surplus(self) -> C | None:
        """Give the oldest idle connection when there are more sockets than the limit; it is forgotten here."""
        if self.limit and self._order and self.in_use + len(self._order) > self.limit:
            oldest = next(iter(self._order))
            self.remove(oldest)
            return oldest
        return None

    # Giving back

    def put(self, connection: C, now: float) -> None:
        """List a connection as idle; its slot is given back by `leave`."""
        connection.idle_since = now
        self._order[connection] = None
        idle = self._idle.get(connection.key)
        if idle is None:
            self._idle[connection.key] = [connection]
        else:
            idle.append(connection)

    def leave(self, key: Hashable) -> None:
        """Give a slot back; then ask `grant`."""
        self.in_use -= 1
        if self.limit_per_host:
            used = self._per_key[key] - 1
            if used:
                self._per_key[key] = used
            else:
                del self._per_key[key]

    def grant(self, key: Hashable, now: float) -> tuple[W, C | Decision] | None:
        """Decide who of the queue is next, after a slot of `key` was given back; the slot is theirs."""
        if not self.queued or (self.limit and self.in_use >= self.limit):
            return None
        first = self._first(key)
        if first is None:
            return None
        waiter, key = first
        self.give_up(waiter, key)
        self.in_use += 1
        if self.limit_per_host:
            self._per_key[key] = self._per_key.get(key, 0) + 1
        idle = self._idle.get(key)
        return waiter, Decision.OPEN if idle is None else self._reuse(key, idle, now)

    def remove(self, connection: C) -> bool:
        """Forget an idle connection; tell whether it was listed."""
        if self._order.pop(connection, False) is not None:
            return False
        idle = self._idle[connection.key]
        idle.remove(connection)
        if not idle:
            del self._idle[connection.key]
        return True

    def expired(self, now: float) -> list[C]:
        """Take out the connections that were idle for too long."""
        old = []
        for connection in self._order:
            if now - connection.idle_since < self.keepalive:
                break
            old.append(connection)
        for connection in old:
            self.remove(connection)
        return old

    # Looking

    @property
    def oldest(self) -> float | None:
        """Since when the oldest idle connection is idle."""
        return next(iter(self._order)).idle_since if self._order else None

    def idle(self) -> list[C]:
        """Give the idle connections, the oldest first."""
        return list(self._order)

    def waiters(self) -> Iterator[W]:
        """Give who waits."""
        for queue in self.queued.values():
            yield from queue

    def _first(self, key: Hashable) -> tuple[W, Hashable] | None:
        if not self.limit:
            # Only the slots of this key were scarce.
            queue = self.queued.get(key)
            return (next(iter(queue)), key) if queue else None
        earliest: tuple[int, W, Hashable] | None = None
        for candidate, queue in self.queued.items():
            if self.limit_per_host and self._per_key.get(candidate, 0) >= self.limit_per_host:
                continue
            waiter, ticket = next(iter(queue.items()))
            if earliest is None or ticket < earliest[0]:
                earliest = ticket, waiter, candidate
        return None if earliest is None else (earliest[1], earliest[2])

    def _reuse(self, key: Hashable, idle: list[C], now: float) -> C | Decision:
        """Take the connection that was used last, if one is young enough; those whose end has begun are forgotten."""
        while now - idle[-1].idle_since < self.keepalive:
            connection = idle.pop()
            del self._order[connection]
            if not idle:
                del self._idle[key]
            if not connection.ending():
                return connection
            if not idle:
                break
        return Decision.OPEN
