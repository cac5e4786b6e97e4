"""The `ServerCore` of an ASGI application: each request goes straight from its connection to the application."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from endwell.server.asgi.exchange import AsgiExchange
from endwell.server.asgi.handler import serve
from endwell.server.asgi.scope import Ends, ends_of
from endwell.server.asgi.websocket import WebSocketSettings
from endwell.server.core import ServerCore
from endwell.wire.http1 import ProtocolError

if TYPE_CHECKING:
    from endwell.connection.serving import ServerConnection
    from endwell.server.asgi.interface import AsgiApp

__all__ = ("AsgiCore",)


class AsgiCore(ServerCore):
    """The server of an ASGI application.

    Attributes:
        app: the application.
        app_state: what the application has put into the ``state`` of its lifespan; each scope has a copy.
        ends: what the scopes of a connection have in common.
        root_path: where the application is mounted, as the proxy before it knows it.
        websockets: how its WebSockets are.

    """

    __slots__ = ("app", "app_state", "ends", "root_path", "websockets")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        app: AsgiApp,
        root_path: str,
        websockets: WebSocketSettings,
        **settings: Any,
    ) -> None:
        super().__init__(loop, _nothing, _nothing, name="AsgiRunner", **settings)
        self.app = app
        self.root_path = root_path
        self.websockets = websockets
        self.app_state: dict[str, Any] = {}
        self.ends: dict[ServerConnection, Ends] = {}
        self.make_exchange = AsgiExchange
        self.serve = serve

    def made(self, connection: ServerConnection) -> bool:
        """See `Serving.made`."""
        if not super().made(connection):
            return False
        self.ends[connection] = ends_of(connection)
        return True

    def lost(self, connection: ServerConnection) -> None:
        """See `Serving.lost`."""
        super().lost(connection)
        self.ends.pop(connection, None)

    def too_slow(self, what: str) -> Exception:
        """See `Serving.too_slow`."""
        return ProtocolError(f"Request Timeout: {what}", "body", 408)


def _nothing(_: Any) -> Any:
    """Stand where other servers have their handler, and what makes requests: an ASGI server asks for neither."""
    raise NotImplementedError
