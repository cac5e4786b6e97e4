"""The event loop that a service runs on. Used by `worker`, the supervisor and the command line."""

from __future__ import annotations

import asyncio
from typing import cast

__all__ = ("new_loop",)


def new_loop(kind: str) -> asyncio.AbstractEventLoop:
    """Make an event loop.

    Args:
        kind: "uvloop", "asyncio", or "auto" for uvloop if it is there.

    Raises:
        ValueError: uvloop is asked for, and is not installed.

    """
    if kind != "asyncio":
        try:
            import uvloop
        except ImportError:
            if kind == "uvloop":
                message = "uvloop is not installed: pip install uvloop, or leave the option out"
                raise ValueError(message) from None
        else:
            return cast("asyncio.AbstractEventLoop", uvloop.new_event_loop())
    return asyncio.new_event_loop()
