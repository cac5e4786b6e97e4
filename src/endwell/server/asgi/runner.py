"""`AsgiRunner`: runs an ASGI 3 application on endwell's server (closing.md C13).

A runner as the others are: sites, signals, the walk of its closing are theirs. The application is started before the
first site listens, and shut down when the last request has ended.
"""

from __future__ import annotations

import asyncio
from typing import Any

from endwell.server.asgi.core import AsgiCore
from endwell.server.asgi.interface import AsgiApp
from endwell.server.asgi.lifespan import Lifespan, check_mode
from endwell.server.asgi.websocket import WebSocketSettings
from endwell.server.runner import BaseRunner

__all__ = ("AsgiRunner",)


class AsgiRunner(BaseRunner):
    """Runs an ASGI 3 application: HTTP, WebSockets, lifespan.

    Args:
        app: the application, ``async def app(scope, receive, send)``, such as one of Starlette, FastAPI or Litestar.
        lifespan: ``"on"``: it must know lifespan; ``"off"``: it is not asked; ``"auto"``: it is asked, and served also
            when it does not know it.
        root_path: where a proxy that takes away this prefix mounts the application, such as ``"/api"``; it comes
            before the path in each scope.
        websocket_max_size: bytes of a message, decompressed, over which a WebSocket is closed (1009); 0 for any.
        websocket_heartbeat: seconds of silence after which a client is sent a ping, to be answered in half that time;
            None for no pings.
        websocket_compress: agree to permessage-deflate when the client offers it.
        websocket_close_timeout: seconds that a client has to answer our close frame.
        **settings: `handle_signals`, `shutdown_timeout`, and see `server.settings.core_settings`; nothing that decodes
            bodies, which an application gets as they came.

    Raises:
        TypeError: the application cannot be called; a setting that there is not.
        ValueError: `lifespan` is none of the three.

    `cleanup` closes in this order: the listeners and what idles; WebSockets get websocket.disconnect with 1001;
    requests in flight, and what runs on behind their responses, have `shutdown_timeout` seconds, then they are
    cancelled and awaited; then lifespan.shutdown, for which the application has the time it needs.

    """

    def __init__(
        self,
        app: AsgiApp,
        *,
        lifespan: str = "auto",
        root_path: str = "",
        websocket_max_size: int = 16 * 2**20,
        websocket_heartbeat: float | None = 30.0,
        websocket_compress: bool = True,
        websocket_close_timeout: float = 10.0,
        **settings: Any,
    ) -> None:
        if not callable(app):
            message = f"An ASGI application can be called with scope, receive and send; {type(app).__name__} cannot"
            raise TypeError(message)
        super().__init__(**settings, auto_decompress=False)
        self._app = app
        self._mode = check_mode(lifespan)
        self._root_path = root_path.rstrip("/")
        self._websockets = WebSocketSettings(
            max_msg_size=websocket_max_size,
            heartbeat=websocket_heartbeat,
            compress=websocket_compress,
            close_timeout=websocket_close_timeout,
        )
        self._lifespan: Lifespan | None = None

    @property
    def app(self) -> AsgiApp:
        """The application."""
        return self._app

    def _make_core(self, loop: asyncio.AbstractEventLoop, **settings: Any) -> AsgiCore:
        return AsgiCore(loop, self._app, self._root_path, self._websockets, **settings)

    async def _startup(self) -> None:
        core = self._core
        assert isinstance(core, AsgiCore)
        lifespan = self._lifespan = Lifespan(self._app, self._mode, core.loop, core.logger)
        await lifespan.start()
        core.app_state = lifespan.state
        core.end_app = lifespan.end

    async def _cleanup(self) -> None:
        if self._lifespan is not None:
            await self._lifespan.end()
