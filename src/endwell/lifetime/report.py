"""What a closing did and what was forgotten, as objects, text and JSON.

`CloseReport` is what ``close()`` returns (closing.md C12); `LeakReport` names a thing that nobody closed (C10).
"""

from __future__ import annotations

from typing import Any

from endwell.lifetime.origin import Origin

__all__ = ("Aborted", "CloseReport", "LeakReport")


class Aborted:
    """One piece of work that did not end by itself: what it was, where it was started, and why it was ended."""

    __slots__ = ("origin", "reason", "what")

    def __init__(self, what: str, reason: str, origin: Origin | None) -> None:
        self.what = what
        self.reason = reason
        self.origin = origin

    def __str__(self) -> str:
        where = f", started at {self.origin}" if self.origin is not None else ""
        return f"{self.what}{where}: {self.reason}"

    def __repr__(self) -> str:
        return f"<Aborted {self}>"

    def to_json(self) -> dict[str, Any]:
        """Give the facts as plain values."""
        return {"what": self.what, "reason": self.reason, "origin": _place(self.origin)}


class LeakReport:
    """A thing that was forgotten: what, where it was made, by which task, how long ago, what it held."""

    __slots__ = ("advice", "age", "held", "origin", "task", "what")

    def __init__(
        self, what: str, *, origin: Origin | None, task: str | None, age: float, held: tuple[str, ...], advice: str
    ) -> None:
        self.what = what
        self.origin = origin
        self.task = task
        self.age = age
        self.held = held
        self.advice = advice

    def __str__(self) -> str:
        lines = [f"{self.what} was never closed"]
        if self.origin is not None:
            by = f" by task {self.task!r}" if self.task else ""
            lines.append(f"  made at {self.origin}{by}, {self.age:.1f} s ago")
        if self.held:
            lines.append("  it held " + ", ".join(self.held))
        lines.append(f"  {self.advice}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<LeakReport {self.what}, made at {self.origin!r}>"

    def to_json(self) -> dict[str, Any]:
        """Give the facts as plain values; ``age`` in seconds."""
        return {
            "what": self.what,
            "origin": _place(self.origin),
            "task": self.task,
            "age": self.age,
            "held": list(self.held),
            "advice": self.advice,
        }


class CloseReport:
    """What one closing found and did.

    Attributes:
        what: the resource that was closed.
        duration: seconds from the call to the end.
        finished: exchanges and tasks that ended by themselves while the closing waited.
        aborted: the work that was ended, each with its reason.
        closed: connections and other handles that were closed in order.
        errors: exceptions that came up while saying goodbye; the handle was freed all the same.
        leaked: what had been forgotten, found during the life of the resource or by this closing.

    """

    __slots__ = ("aborted", "closed", "duration", "errors", "finished", "leaked", "what")

    def __init__(self, what: str) -> None:
        self.what = what
        self.duration = 0.0
        self.finished = 0
        self.aborted: list[Aborted] = []
        self.closed = 0
        self.errors: list[BaseException] = []
        self.leaked: list[LeakReport] = []

    @property
    def clean(self) -> bool:
        """True when nothing was aborted, nothing failed and nothing had been forgotten."""
        return not (self.aborted or self.errors or self.leaked)

    def __str__(self) -> str:
        counts = f"{self.finished} finished, {len(self.aborted)} aborted, {self.closed} connections closed"
        lines = [f"closed {self.what} in {self.duration * 1000:.1f} ms: {counts}"]
        lines += [f"  aborted {item}" for item in self.aborted]
        lines += [f"  error {type(error).__name__}: {error}" for error in self.errors]
        lines += [f"  leaked {leak}" for leak in self.leaked]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<CloseReport {self.what}: {self.finished} finished, {len(self.aborted)} aborted>"

    def to_json(self) -> dict[str, Any]:
        """Give the facts as plain values; ``duration`` in seconds."""
        return {
            "what": self.what,
            "duration": self.duration,
            "finished": self.finished,
            "aborted": [item.to_json() for item in self.aborted],
            "closed": self.closed,
            "errors": [f"{type(error).__name__}: {error}" for error in self.errors],
            "leaked": [leak.to_json() for leak in self.leaked],
        }


def _place(origin: Origin | None) -> str | None:
    return None if origin is None else f"{origin.filename}:{origin.lineno}"
