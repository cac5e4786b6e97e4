"""The types of ASGI 3, and what we say of the version that is spoken; used by all of this package."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

__all__ = ("SPEC_VERSION", "VERSION", "AsgiApp", "Message", "Receive", "Scope", "Send")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

VERSION: Final = "3.0"

SPEC_VERSION: Final = "2.5"
"""Of the messages for HTTP and WebSocket. From 2.4 on `send` raises an OSError when the client has gone."""
