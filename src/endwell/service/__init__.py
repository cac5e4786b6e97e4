"""Runs an application as a service: a supervisor that keeps the sockets, and workers that serve (closing.md C13).

`cli.serve` makes a `ServicePlan` of its options and calls `run`. `plan` says how supervisor and workers talk.
"""

from endwell.service.plan import ServicePlan
from endwell.service.run import run

__all__ = ("ServicePlan", "run")
