"""Files, and servers of them over real sockets: plain (the kernel sends them), TLS (read in a thread), Unix sockets."""

from __future__ import annotations

import contextlib
import logging
import pathlib
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
from yarl import URL

import endwell
from endwell import web
from endwell.lifetime import CloseReport
from tests.support.leaks import open_fds
from tests.support.raw import ListHandler, until
from tests.support.tls import client_context, server_context

SMALL: Final = b"<p>small</p>\n"
BIG: Final = b"".join(b"%015d\n" % number for number in range(2**16))  # 1 MB, every line at a place of its own

HUGE: Final = 32 * 2**20
"""Bytes of a file (a sparse one) that no buffers on the way can hold."""

KINDS = pytest.mark.parametrize("kind", ["plain", "tls", "unix"])
WIRES = pytest.mark.parametrize("kind", ["plain", "tls"])


def make_files(directory: pathlib.Path) -> pathlib.Path:
    """Make a directory of files to serve; give its path."""
    root = directory / "root"
    (root / "sub").mkdir(parents=True)
    (root / "small.html").write_bytes(SMALL)
    (root / "sub" / "big.txt").write_bytes(BIG)
    (root / "empty").touch()
    with (root / "huge.bin").open("wb") as file:
        file.truncate(HUGE)
    return root


class Served:
    """What `serving_files` gives."""

    def __init__(self, runner: web.AppRunner, session: endwell.ClientSession, url: URL, keeper: ListHandler) -> None:
        self.runner = runner
        self.session = session
        self.url = url
        self.keeper = keeper
        self.report: CloseReport | None = None

    @property
    def core(self) -> Any:
        assert self.runner.server is not None
        return self.runner.server

    def said(self, least: int = logging.WARNING) -> list[str]:
        """Give what was logged, with tracebacks; it is forgotten then."""
        records = [each for each in self.keeper.records if each.levelno >= least]
        self.keeper.records.clear()
        return [logging.Formatter().format(each) for each in records]

    async def close(self) -> CloseReport:
        """Close the server before the end of the block."""
        self.report = await self.runner.cleanup()
        return self.report


@contextlib.asynccontextmanager
async def serving_files(
    app: web.Application, kind: str, directory: pathlib.Path, *, allow_aborted: bool = False, **settings: Any
) -> AsyncIterator[Served]:
    """Serve an application over one kind of socket, with a session that reaches it; everything logged was looked at."""
    keeper = ListHandler()
    logger = logging.Logger("endwell.test")  # noqa: LOG001  # of this test alone
    logger.addHandler(keeper)
    settings.setdefault("shutdown_timeout", 5.0)
    runner = web.AppRunner(app, logger=logger, **settings)
    await runner.setup()
    try:
        site: web.BaseSite
        if kind == "unix":
            path = str(directory / "socket")
            site = web.UnixSite(runner, path)
            connector: endwell.BaseConnector = endwell.UnixConnector(path)
            url = URL("http://localhost/")
        else:
            site = web.TCPSite(runner, "localhost", 0, ssl_context=server_context() if kind == "tls" else None)
            connector = endwell.TCPConnector(ssl=client_context())
        await site.start()
        if isinstance(site, web.TCPSite):
            url = URL.build(scheme="https" if kind == "tls" else "http", host="localhost", port=site.port, path="/")
        async with endwell.ClientSession(connector=connector) as session:
            served = Served(runner, session, url, keeper)
            yield served
    except BaseException:
        await runner.cleanup()
        raise
    report = served.report or await served.close()
    if not allow_aborted:
        assert not report.aborted, report
    assert not report.errors, report
    assert served.said() == [], "something was logged that the test did not look at"


def static(root: pathlib.Path, **options: Any) -> web.Application:
    app = web.Application()
    app.router.add_static("/files", root, **options)
    return app


def held(root: pathlib.Path) -> list[str]:
    """Give the files below `root` that this process has open."""
    return [target for target in open_fds().values() if target.startswith(str(root))]


async def closed(root: pathlib.Path) -> None:
    await until(lambda: not held(root))
