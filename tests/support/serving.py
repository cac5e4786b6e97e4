"""An application, or a handler, on a real socket: what tests of the server start (no fixture, no `endwell.testing`).

    async with serving(app, keepalive_timeout=1) as server:
        async with ClientSession() as session, session.get(server.url / "path") as response: ...
    assert server.report.finished == 1

At the end the server must have had nothing to abort, and no trouble saying goodbye; `allow_aborted=True` for tests that
are about that. When the block fails nothing more is asserted.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from yarl import URL

from endwell.lifetime import CloseReport
from endwell.server.application import Application
from endwell.server.core import ServerCore
from endwell.server.runner import AppRunner, BaseRunner, Server, ServerRunner
from endwell.server.sites import TCPSite

Served = Application | Callable[[Any], Awaitable[Any]]


class RunningServer:
    """What `serving` gives: `url` (the root, a `yarl.URL`), `port`, `core`, `runner`; at the end `report`."""

    def __init__(self, runner: BaseRunner, core: ServerCore, url: URL, port: int) -> None:
        self.runner = runner
        self.core = core
        self.url = url
        self.port = port
        self._report: CloseReport | None = None

    @property
    def report(self) -> CloseReport:
        assert self._report is not None, "the server runs: its report is there after the block"
        return self._report

    async def close(self) -> CloseReport:
        """Close the server before the end of the block."""
        self._report = await self.runner.cleanup()
        return self._report


@contextlib.asynccontextmanager
async def serving(
    served: Served,
    *,
    tls: ssl.SSLContext | None = None,
    host: str = "127.0.0.1",
    allow_aborted: bool = False,
    **settings: Any,
) -> AsyncIterator[RunningServer]:
    """Serve an application or a handler (of a `BaseRequest`) at a port of its own, and close it.

    `settings` are those of a runner; a close waits 5 seconds for requests in flight here, not 60. With `tls` the URL
    says ``localhost``, which the certificates of `tests.support.tls` are valid for, too.
    """
    settings.setdefault("shutdown_timeout", 5.0)
    runner = (
        AppRunner(served, **settings) if isinstance(served, Application) else ServerRunner(Server(served), **settings)
    )
    await runner.setup()
    try:
        site = TCPSite(runner, host, 0, ssl_context=tls)
        await site.start()
        core = runner.server
        assert core is not None
        url = URL.build(scheme="https" if tls is not None else "http", host=host, port=site.port, path="/")
        server = RunningServer(runner, core, url, site.port)
        yield server
    except BaseException:
        await runner.cleanup()
        raise
    report = await server.close()
    if not allow_aborted:
        assert not report.aborted, report
        assert not report.errors, report
