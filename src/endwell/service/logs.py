"""Where the log lines of a service go: supervisor and workers write them alike, to standard error."""

from __future__ import annotations

import logging
from typing import Final

from endwell.service.plan import ServicePlan

__all__ = ("configure", "logger")

logger: Final = logging.getLogger("endwell.service")

_FORMAT: Final = "%(asctime)s [%(process)d] %(levelname)s %(message)s"


def configure(plan: ServicePlan) -> None:
    """Give endwell's loggers a handler and the plan's level, unless somebody has set up logging already.

    The loggers of the application are its own business.
    """
    ours = logging.getLogger("endwell")
    if ours.handlers or logging.getLogger().handlers:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(_FORMAT))
    ours.addHandler(handler)
    ours.setLevel(plan.log_level.upper())
    ours.propagate = False  # the application may set up logging later, and each line would come twice
