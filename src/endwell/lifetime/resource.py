"""A node of the ownership tree, and the owner that has work.

Every resource (a thing that must end: closing.md, "Words") has one owner; the owners form a tree whose roots are
sessions, connectors nobody took over, and servers. A resource says three things about its own end, the hooks ``_stop``,
``_finish`` and ``_abort``; only this package calls them.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from endwell.lifetime.deadline import Deadlines
from endwell.lifetime.origin import Origin, caller
from endwell.lifetime.report import CloseReport, LeakReport

if TYPE_CHECKING:
    from types import AsyncGeneratorType

    from endwell.lifetime.drain import Drain

__all__ = ("ROOTS", "Event", "ForkedError", "Owner", "Resource", "State", "Work", "WrongLoopError", "transition")


class State(enum.Enum):
    """Where a resource stands in its life."""

    OPEN = "open"
    STOPPED = "stopped"
    CLOSED = "closed"
    FOREIGN = "foreign"
    """A copy, in a child process, of what the parent owns: never to be written on, never to be closed."""


class Event(enum.Enum):
    """What can happen to a resource."""

    STOP = "stop"
    END = "end"
    FORK = "fork"


_TRANSITIONS: Final[dict[tuple[State, Event], State]] = {
    (State.OPEN, Event.STOP): State.STOPPED,
    (State.OPEN, Event.END): State.CLOSED,
    (State.OPEN, Event.FORK): State.FOREIGN,
    (State.STOPPED, Event.STOP): State.STOPPED,
    (State.STOPPED, Event.END): State.CLOSED,
    (State.STOPPED, Event.FORK): State.FOREIGN,
    (State.CLOSED, Event.STOP): State.CLOSED,
    (State.CLOSED, Event.END): State.CLOSED,
    (State.CLOSED, Event.FORK): State.CLOSED,
    (State.FOREIGN, Event.STOP): State.FOREIGN,
    (State.FOREIGN, Event.END): State.FOREIGN,
    (State.FOREIGN, Event.FORK): State.FOREIGN,
}


def transition(state: State, event: Event) -> State:
    """Return the state that follows: a total function."""
    return _TRANSITIONS[state, event]


class ForkedError(RuntimeError):
    """A session, connector or server of the parent process was used in a forked child."""


class WrongLoopError(RuntimeError):
    """A resource was used on another event loop than the one it belongs to."""


class Resource:
    """Something that must end.

    A subclass overrides the hooks it needs and calls `ended` when the operating system has nothing left of it.
    """

    __slots__ = ("__weakref__", "children", "owner", "state")

    kind: ClassVar[str] = "resource"

    def __init__(self, owner: Resource | None) -> None:
        self.state = State.OPEN
        self.children: dict[Resource, None] | None = None
        self.owner = owner
        if owner is not None:
            owner.adopt(self)

    def adopt(self, child: Resource) -> None:
        """Become the owner of `child`."""
        if self.children is None:
            self.children = {}
        self.children[child] = None
        child.owner = self

    def disown(self, child: Resource) -> None:
        """Give `child` up: somebody else owns it, or it has ended."""
        if self.children is not None:
            self.children.pop(child, None)

    def ended(self) -> None:
        """Say that nothing is left of this resource. Idempotent."""
        self.state = _TRANSITIONS[self.state, Event.END]
        if self.owner is not None:
            self.owner.disown(self)

    def subtree(self) -> Iterator[Resource]:
        """Give this resource and everything below it, owners before what they own."""
        yield self
        for child in list(self.children or ()):
            yield from child.subtree()

    def describe(self) -> str:
        """One line for reports; never a secret."""
        return self.kind

    def ending(self) -> bool:
        """Tell whether its end has begun already, by somebody else than a closing."""
        return self.state is State.CLOSED

    def gone(self) -> asyncio.Future[None] | None:
        """Return a future that is done when nothing is left of it; None when `_abort` leaves nothing behind."""
        return None

    def _stop(self) -> None:
        """Refuse new work. Idempotent: a walk looks at the tree more than once. Cannot fail."""

    async def _finish(self) -> None:
        """Say goodbye to the peer and return when nothing is left; cancelled when it takes too long."""

    def _abort(self, reason: str) -> None:
        """Free what the operating system holds, now. Idempotent; cannot fail."""

    def _inherited(self) -> None:
        """We are the copy in a forked child: let nothing touch the parent's descriptors (closing.md C14)."""


class Work(Protocol):
    """A piece of work that an owner waits for when it drains: an exchange."""

    asker: asyncio.Task[Any] | None
    due: float
    origin: Origin | None

    @property
    def owner(self) -> Owner:
        """Whose work it is: whose `Owner.work_ended` it calls."""

    def expire(self, now: float) -> None:
        """See `Timed.expire`."""

    def describe(self) -> str:
        """One line for reports; never a secret."""

    def _abort(self, reason: str) -> None:
        """End now; whoever waits for it gets an error that carries the reason."""


ROOTS: dict[Owner, None] = {}
"""Every owner that is open in this process, the oldest first."""

generation = 0
"""How many forks lie between this process and the first one that imported this."""


class Owner(Resource):
    """A resource that has work of its own: exchanges and tasks. Belongs to one event loop."""

    __slots__ = (
        "_guard",
        "advice",
        "close_timeout",
        "closed_at",
        "closing",
        "drain",
        "leaks",
        "limit",
        "loop",
        "made_at",
        "made_by",
        "named",
        "origin",
        "parts",
        "report",
        "tasks",
        "watchers",
        "work",
    )

    kind = "owner"

    def __init__(self, loop: asyncio.AbstractEventLoop, *, close_timeout: float | None, advice: str) -> None:
        super().__init__(None)
        self.loop = loop
        self.close_timeout = close_timeout
        self.advice = advice
        self.origin = caller()
        self.made_at = loop.time()
        task = asyncio.current_task(loop)
        self.made_by = task.get_name() if task is not None else None
        self.work: Deadlines[Any] = Deadlines(loop)
        self.tasks: dict[asyncio.Task[Any], Origin] = {}
        self.parts: set[asyncio.Task[Any]] = set()
        """Those of the tasks that belong to a piece of work, which counts for them in reports."""
        self.drain: Drain | None = None
        self.watchers: list[Drain] = []
        self.named = False
        self.closing: asyncio.Future[CloseReport] | None = None
        self.limit: float | None = None
        """Seconds that the closing under way gives to work in flight; None when it has no limit, and before one."""
        self.closed_at: Origin | None = None
        self.report: CloseReport | None = None
        self.leaks: list[LeakReport] = []
        self._guard: AsyncGeneratorType[None, None] | None = None
        ROOTS[self] = None

    def answers_for_itself(self) -> bool:
        """Tell whether nobody else is going to close this."""
        return self.owner is None

    def keeper(self) -> Owner | None:
        """Give the owner that is going to take this over at its closing; None when there is none."""
        return None

    def busy(self) -> Iterable[Work]:
        """Give the work in flight."""
        return list(self.work)

    def admit(self) -> bool:
        """Tell whether new work may start now, for whoever finds the state not plainly open.

        Raises:
            ForkedError: this is the parent's, and we are its forked child.
            WrongLoopError: the running loop is not the one this belongs to.

        """
        self.check_loop()
        if self.state is State.OPEN:
            return True
        if self.state is not State.STOPPED or self.drain is None:
            return False
        return self.drain.may_go_on(asyncio.current_task(self.loop))

    def check_loop(self) -> None:
        """Raise unless the running loop of this process is the one this belongs to."""
        if self.state is State.FOREIGN:
            message = (
                f"{self.describe()} was made before fork(), at {self.origin}; process {os.getpid()} is a child and "
                "must not use its parent's connections. Make a new one after the fork."
            )
            raise ForkedError(message)
        if asyncio.get_running_loop() is not self.loop:
            gone = "is closed" if self.loop.is_closed() else "is another one"
            message = (
                f"{self.describe()} was made at {self.origin} and belongs to the event loop that ran then, which "
                f"{gone}. Make one in each loop."
            )
            raise WrongLoopError(message)

    def work_ended(self, work: Work) -> None:
        """Take a piece of work off the list, at its end."""
        if self.work.pop(work, False) is None and self.watchers:
            for drain in self.watchers:
                drain.work_ended(work)

    def forgotten(self, leak: LeakReport) -> None:
        """Remember what somebody forgot, for the report of the closing."""
        if len(self.leaks) < 100:
            self.leaks.append(leak)

    def holdings(self) -> tuple[str, ...]:
        """Say what this holds now, one line each (at most ten)."""
        held = [node.describe() for node in self.subtree() if node is not self]
        held += [work.describe() for work in self.busy()]
        held += [f"task {task.get_name()!r}" for task in self.tasks if not task.done()]
        if len(held) > 10:
            held = [*held[:10], f"and {len(held) - 10} more"]
        return tuple(held)

    def ended(self) -> None:
        """See `Resource.ended`."""
        if not self.work:
            self.work.stop()  # a session that gave up its connector leaves its exchanges, and their deadlines, behind
        ROOTS.pop(self, None)
        super().ended()
        self._unguard()

    def _unguard(self) -> None:
        """End the generator that waits for the end of the loop, or the loop would be called when it is collected."""
        generator, self._guard = self._guard, None
        if generator is not None and not generator.ag_running:
            with contextlib.suppress(StopIteration):
                generator.aclose().send(None)


def _forked() -> None:
    """In a forked child: nothing of the parent's is ours.

    The event loop of the parent is not, either: the pipe or eventfd that wakes it, and the selector, are shared. So
    whatever would call the loop when it is collected (leases, the guards of the loop's end) is made harmless here.
    """
    global generation
    generation += 1
    for root in list(ROOTS):
        for node in root.subtree():
            node.state = _TRANSITIONS[node.state, Event.FORK]
            node._inherited()
            if isinstance(node, Owner):
                node._unguard()
    ROOTS.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
