"""The control socket: how the service does, over HTTP on a Unix socket that only its user can open.

``GET /-/health``: the supervisor lives. ``GET /-/ready``: 200 when enough workers are ready (at first all, then at
least half), else 503. ``GET /-/workers``: all workers, as JSON. Served by endwell's own server, from the start of the
service to its very end.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from endwell.server.request import BaseRequest
from endwell.server.runner import Server, ServerRunner
from endwell.server.sites import SockSite
from endwell.server.whole import Response
from endwell.service.errors import ServiceError
from endwell.service.logs import logger
from endwell.service.plan import ServicePlan
from endwell.service.sockets import bind_unix, same_file, unlink_ours

if TYPE_CHECKING:
    from endwell.service.supervisor import Supervisor

__all__ = ("Control",)

_logger = logging.getLogger("endwell.service.control")
_logger.setLevel(logging.WARNING)  # its end is no news
_BACKLOG = 16
_MODE = 0o600
_METHODS = ("GET", "HEAD")


class Control:
    """Serves the control socket of a supervisor."""

    def __init__(self, supervisor: Supervisor, plan: ServicePlan) -> None:
        self._supervisor = supervisor
        self._given = plan.control
        self.path = _default_path() if plan.control is None else plan.control
        self._inode: tuple[int, int] | None = None
        self._runner: ServerRunner | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            ServiceError: the path that the plan names cannot be had.

        """
        if not self.path:
            return
        try:
            sock = bind_unix(self.path, _BACKLOG, _MODE)
        except OSError as error:
            message = f"There is no control socket: {error.strerror or error}"
            if self._given is not None:
                raise ServiceError(message) from error
            logger.warning("%s", message)  # nobody has asked for it
            return
        started = False
        try:
            self._inode = None if self.path.startswith("@") else same_file(self.path)
            runner = self._runner = ServerRunner(
                Server(self._answer, access_log=None, logger=_logger, keepalive_timeout=5.0, max_connections=64),
                shutdown_timeout=1.0,
            )
            await runner.setup()
            await SockSite(runner, sock, backlog=_BACKLOG).start()
            started = True
        finally:
            if not started:
                sock.close()
                await self.close()
        logger.info("control socket: %s", self.path)

    async def close(self) -> None:
        """End, and remove the socket. Idempotent."""
        unlink_ours(self.path, self._inode)
        self._inode = None
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _answer(self, request: BaseRequest) -> Response:
        import json

        supervisor = self._supervisor
        if request.method not in _METHODS:
            return Response(status=405, headers={"Allow": ", ".join(_METHODS)})
        status, facts = 200, {}
        match request.path:
            case "/-/health":
                facts = {"status": "alive", "pid": os.getpid()}
            case "/-/ready":
                status = 200 if supervisor.enough else 503
                facts = {"ready": supervisor.ready, "workers": len(supervisor.slots)}
            case "/-/workers":
                facts = {"pid": os.getpid(), "workers": list(supervisor.table())}
            case _:
                status, facts = 404, {"paths": ["/-/health", "/-/ready", "/-/workers"]}
        return Response(text=json.dumps(facts) + "\n", status=status, content_type="application/json")


def _default_path() -> str:
    """Name a socket by the process id, where the user's own sockets are."""
    import tempfile
    from pathlib import Path

    folder = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    return str(Path(folder) / f"endwell-{os.getpid()}.sock")
