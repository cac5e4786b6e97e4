"""Layer 0: who owns what, and how it ends (closing.md)."""

from endwell.lifetime.closing import abort_work, close, drop, hurry, stop
from endwell.lifetime.deadline import NEVER, Deadlines
from endwell.lifetime.eager import Starter
from endwell.lifetime.leaks import Face, Lease, OpenResource, guard, name_leak, open_resources
from endwell.lifetime.origin import Origin, caller
from endwell.lifetime.report import Aborted, CloseReport, LeakReport
from endwell.lifetime.resource import Event, ForkedError, Owner, Resource, State, Work, WrongLoopError
from endwell.lifetime.tasks import failures, own, spawn, start

__all__ = (
    "NEVER",
    "Aborted",
    "CloseReport",
    "Deadlines",
    "Event",
    "Face",
    "ForkedError",
    "LeakReport",
    "Lease",
    "OpenResource",
    "Origin",
    "Owner",
    "Resource",
    "Starter",
    "State",
    "Work",
    "WrongLoopError",
    "abort_work",
    "caller",
    "close",
    "drop",
    "failures",
    "guard",
    "hurry",
    "name_leak",
    "open_resources",
    "own",
    "spawn",
    "start",
    "stop",
)
