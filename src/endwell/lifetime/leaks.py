"""What is forgotten is closed, and named (closing.md C10, C11, C12).

`Face` is the base of the public objects whose core must be closed; `Lease` is what the readers of an unfinished
exchange hold; `guard` closes an owner with its event loop; `open_resources` shows what is open now. ``__del__`` is
written here and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import warnings
from collections.abc import AsyncGenerator
from types import AsyncGeneratorType
from typing import Any, Protocol, cast

from endwell.lifetime import resource
from endwell.lifetime.closing import close, drop
from endwell.lifetime.origin import Origin
from endwell.lifetime.report import LeakReport
from endwell.lifetime.resource import ROOTS, Owner, Resource, State

__all__ = ("Face", "Forgettable", "Lease", "OpenResource", "guard", "name_leak", "open_resources")

logger = logging.getLogger("endwell.lifetime")

_closings: set[asyncio.Task[Any]] = set()
"""The closings of forgotten owners: a loop holds its tasks weakly."""

_NOWHERE = Origin(None, 0)


class Face:
    """The public side of an owner: light, so that it can be collected while its core is at work."""

    __slots__ = ("_core",)

    _core: Owner

    def __del__(self) -> None:
        core: Owner | None = getattr(self, "_core", None)
        if core is not None and core.state is State.OPEN and core.answers_for_itself():
            _forgotten(core)


class Forgettable(Protocol):
    """What a `Lease` is held for."""

    @property
    def owner(self) -> Owner:
        """See `Work.owner`."""

    def forgotten(self) -> None:
        """Nobody can finish this any more. May be called from any thread; must not fail."""

    def _abort(self, reason: str) -> None:
        """See `Work._abort`."""


class Lease:
    """Held by every object that can still finish an exchange; tells the exchange when the last of them is gone."""

    __slots__ = ("_generation", "_work")

    def __init__(self, work: Forgettable) -> None:
        self._work = work
        self._generation = resource.generation

    def __del__(self) -> None:
        # A forked child forgets what its parent holds: that is no loss, and the parent's loop is not to be called.
        work = self._work
        if self._generation != resource.generation:
            return
        if work.owner.loop.is_closed():
            # Nobody is left to end it, and it holds its session. Who waits on that loop can't be woken: no matter.
            work.owner.work.pop(work, None)
            with contextlib.suppress(RuntimeError):
                work._abort("it was forgotten, and its event loop is gone")
        else:
            work.forgotten()


class OpenResource:
    """One open thing in the tree that `open_resources` gives."""

    __slots__ = ("children", "kind", "origin", "text")

    def __init__(self, kind: str, text: str, origin: Origin | None, children: list[OpenResource]) -> None:
        self.kind = kind
        self.text = text
        self.origin = origin
        self.children = children

    def __str__(self) -> str:
        where = f" made at {self.origin}" if self.origin is not None else ""
        below = "".join("\n" + "\n".join("  " + line for line in str(child).split("\n")) for child in self.children)
        return f"{self.text}{where}{below}"

    def __repr__(self) -> str:
        return f"<OpenResource {self.text}>"


def open_resources() -> list[OpenResource]:
    """Give the tree of what is open now in this process: sessions, connectors, connections, exchanges, tasks."""
    return [_picture(root) for root in list(ROOTS) if root.owner is None and root.keeper() is None]


def guard(owner: Owner) -> None:
    """Have the owner closed when its event loop ends.

    `loop.shutdown_asyncgens`, which `asyncio.run`, `asyncio.Runner` and `uvloop.run` call last, closes an asynchronous
    generator that was started; its ``finally`` closes the owner.
    """
    # What a closed loop left in the middle of its work holds itself alive; the making of another is when we notice.
    while (oldest := next(iter(ROOTS))).loop.is_closed():
        drop(oldest)
    generator = cast("AsyncGeneratorType[None, None]", _watch(owner))
    owner._guard = generator
    with contextlib.suppress(StopIteration):
        generator.__anext__().send(None)


def name_leak(owner: Owner, leak: LeakReport, source: Any = None) -> None:
    """Say that something was forgotten: a `ResourceWarning`, and a line in the log for those who filter warnings."""
    owner.forgotten(leak)
    logger.warning("%s", leak)
    warnings.warn(str(leak), ResourceWarning, stacklevel=2, source=source)


def leak_of(owner: Owner) -> LeakReport:
    """Describe a forgotten owner."""
    age = 0.0 if owner.loop.is_closed() else owner.loop.time() - owner.made_at
    return LeakReport(
        owner.describe(),
        origin=owner.origin,
        task=owner.made_by,
        age=age,
        held=owner.holdings(),
        advice=owner.advice,
    )


async def _watch(owner: Owner) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        if owner.state is State.OPEN and owner.answers_for_itself():
            leak = leak_of(owner)
            await close(owner, timeout=owner.close_timeout, at=_NOWHERE, reason="the event loop ended")
            _name_owner(owner, leak)


def _forgotten(core: Owner) -> None:
    leak = leak_of(core)
    loop = core.loop
    if loop.is_closed():
        drop(core)
    elif loop.is_running():
        # The collector may run in any thread.
        loop.call_soon_threadsafe(_close_soon, core)
    else:
        drop(core)
    _name_owner(core, leak)


def _name_owner(owner: Owner, leak: LeakReport) -> None:
    """Name a forgotten owner, once: it may be collected when its loop is about to end."""
    if not owner.named:
        owner.named = True
        name_leak(owner, leak)


def _close_soon(core: Owner) -> None:
    if core.state is not State.OPEN:
        return
    task = core.loop.create_task(
        close(core, timeout=core.close_timeout, at=_NOWHERE, reason=f"{core.describe()} was forgotten"),
        name=f"endwell: closing of a forgotten {core.kind}",
    )
    _closings.add(task)
    task.add_done_callback(_closings.discard)


def _picture(node: Resource) -> OpenResource:
    origin = node.origin if isinstance(node, Owner) else None
    below = [_picture(child) for child in list(node.children or ())]
    if isinstance(node, Owner):
        below += [_picture(root) for root in list(ROOTS) if root.owner is None and root.keeper() is node]
        below += [OpenResource("exchange", work.describe(), work.origin, []) for work in list(node.work)]
        below += [
            OpenResource("task", f"task {task.get_name()!r}", where, [])
            for task, where in list(node.tasks.items())
            if not task.done() and task not in node.parts
        ]
    return OpenResource(node.kind, node.describe(), origin, below)
