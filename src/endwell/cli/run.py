"""One run of `endwell get`: loop, signals, session, sink, fetcher, and what is said at the end. Used by `get`."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

from endwell.cli.fetch import Fetcher
from endwell.cli.inputs import LineSource, count_urls, printable, read_jobs
from endwell.cli.interrupt import Interrupts
from endwell.cli.output import DescriptorWriter, FolderSink, InputOutputError, NullSink, Sink, StdoutSink
from endwell.cli.plan import Destination, LoopKind, Plan, make_session
from endwell.cli.records import BODY_LIMIT, RecordFile, RecordSink
from endwell.cli.screen import Screen
from endwell.client.cookiejar import CookieJar
from endwell.client.session import ClientSession
from endwell.lifetime.report import CloseReport

__all__ = ["EXIT_FAILED", "EXIT_INPUT_OUTPUT", "EXIT_INTERRUPTED", "EXIT_OK", "EXIT_USAGE", "run"]

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INPUT_OUTPUT = 3
EXIT_INTERRUPTED = 130

_STDIN, _STDOUT = 0, 1


def run(plan: Plan, screen: Screen) -> int:
    """Do what the plan says and give the exit code; everything for people goes to the screen."""
    factory = _loop_factory(plan.loop)
    try:
        with _open_sink(plan, screen) as sink:
            return _run(_Run(plan, screen, sink).whole(), factory)
    except InputOutputError as error:
        screen.error(str(error))
        return EXIT_INPUT_OUTPUT
    except KeyboardInterrupt:  # before the handlers stood, or a third Ctrl-C
        return EXIT_INTERRUPTED


def _run(coroutine: Coroutine[Any, Any, int], factory: Callable[[], asyncio.AbstractEventLoop] | None) -> int:
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(coroutine)


def _loop_factory(kind: LoopKind) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if kind is LoopKind.ASYNCIO:
        return None
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _open_sink(plan: Plan, screen: Screen) -> Sink:
    if plan.destination is Destination.FOLDER:
        assert plan.target is not None
        return FolderSink(plan.target, resume=plan.resume, fsync=plan.fsync, limit=plan.max_body)
    if plan.destination is Destination.RECORDS:
        limit = BODY_LIMIT if plan.max_body is None else plan.max_body
        if plan.target is None:
            return RecordSink(DescriptorWriter(_STDOUT, "standard output"), limit)
        records = RecordFile(plan.target, resume=plan.resume, fsync=plan.fsync)
        if records.repaired:
            screen.note(f"{plan.target}: the last record was not whole; its {records.repaired} bytes were cut off")
        return RecordSink(records, limit)
    if plan.destination is Destination.NOWHERE:
        return NullSink()
    writer = DescriptorWriter(_STDOUT, "standard output")
    return StdoutSink(writer, include=plan.include, binary=plan.binary, limit=plan.max_body)


class _Run:
    """The parts of one run that its steps share."""

    def __init__(self, plan: Plan, screen: Screen, sink: Sink) -> None:
        self._plan = plan
        self._screen = screen
        self._sink = sink
        self._source: LineSource | None = None

    async def whole(self) -> int:
        """Fetch everything, close the session, print the summary and the close report; gives the exit code."""
        jar = self._load_cookies()
        fd = self._open_input()
        start = asyncio.get_running_loop().time()
        try:
            self._source = None if fd is None else LineSource(fd)
            jobs = read_jobs(self._plan.urls, self._source, self._plan.input or "-")
            async with aclosing(jobs):
                session = make_session(self._plan, jar)
                fetcher = Fetcher(session, self._plan, jobs, self._sink, self._screen)
                with self._screen.progress(self._total()):
                    interrupts, report = await self._fetch(session, fetcher)
        finally:
            if fd is not None and fd != _STDIN:
                os.close(fd)
        fetcher.summary.seconds = asyncio.get_running_loop().time() - start
        self._screen.end(fetcher.summary, report)
        self._save_cookies(jar)
        if fetcher.fatal is not None:
            raise fetcher.fatal
        if interrupts.exit_code is not None:
            return interrupts.exit_code
        return EXIT_OK if fetcher.summary.all_fetched else EXIT_FAILED

    async def _fetch(self, session: ClientSession, fetcher: Fetcher) -> tuple[Interrupts, CloseReport]:
        task = asyncio.current_task()
        assert task is not None

        def drain() -> None:
            self._screen.note("finishing what is under way; once more to stop at once")
            fetcher.stop()
            if self._source is not None:
                self._source.close()

        with Interrupts(drain, task.cancel) as interrupts:
            try:
                async with session:
                    fetcher.start()
                    await fetcher.over()
            except asyncio.CancelledError:
                if not interrupts.aborted:
                    raise
                task.uncancel()
                # The workers are cancelled; each still removes its unfinished file and is counted.
                await fetcher.idle()
            report = await session.close()  # it is closed: this gives the report
        return interrupts, report

    def _open_input(self) -> int | None:
        name = self._plan.input
        if name is None or name == "-":
            return None if name is None else _STDIN
        try:
            return os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise InputOutputError(f"{printable(name)}: {error.strerror}") from error

    def _total(self) -> int | None:
        name = self._plan.input
        if name is None:
            return len(self._plan.urls)
        count = None if name == "-" else count_urls(Path(name))
        return None if count is None else count + len(self._plan.urls)

    def _load_cookies(self) -> CookieJar:
        jar = CookieJar(unsafe=True)  # servers named by address may set cookies, as with curl
        path = self._plan.cookie_jar
        if path is not None and path.exists():
            try:
                jar.load(path)
            except (OSError, ValueError, TypeError, KeyError, AttributeError, EOFError) as error:
                raise InputOutputError(f"{path} can't be read as cookies ({type(error).__name__})") from error
        return jar

    def _save_cookies(self, jar: CookieJar) -> None:
        path = self._plan.cookie_jar
        if path is None:
            return
        part = path.with_name(f".{path.name}.endwell-part")
        try:
            os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600))
            jar.save(part)
            part.chmod(0o600)  # cookies are secrets, whatever the umask
            part.replace(path)
        except OSError as error:
            with suppress(OSError):
                part.unlink()
            raise InputOutputError(f"{path}: {error.strerror}") from error
