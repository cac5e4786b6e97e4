"""Notices that files have changed, for a service that replaces its workers then. Used by the supervisor.

A thread looks at the times of the files, which takes milliseconds and works on shared folders and in containers too,
where the notices of the operating system do not come. It is a resource: it has ended when the supervisor's closing is
over.
"""

from __future__ import annotations

import asyncio
import fnmatch
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from endwell.lifetime import Owner, Resource, State
from endwell.service.logs import logger
from endwell.service.plan import ServicePlan

__all__ = ("FileWatch", "Patterns", "snapshot")

_MOST_FILES: Final = 50_000
_SKIPPED: Final = frozenset({"__pycache__", "node_modules", "site-packages"})
_Seen = dict[str, tuple[int, int]]


class Patterns:
    """Which files are looked at."""

    def __init__(self, includes: list[str], excludes: list[str]) -> None:
        self._includes = ["*.py", *includes]
        self._excludes = list(excludes)

    def takes(self, name: str, below: str) -> bool:
        """Tell whether a file counts.

        Args:
            name: of the file.
            below: its path, from the folder that is watched on.

        """
        return any(fnmatch.fnmatch(name, each) for each in self._includes) and not self.excludes(name, below)

    def excludes(self, name: str, below: str) -> bool:
        """Tell whether a file or folder is left out."""
        return any(fnmatch.fnmatch(name, each) or fnmatch.fnmatch(below, each) for each in self._excludes)


def snapshot(folders: list[Path], patterns: Patterns) -> _Seen:
    """Give time and size of each file that counts; hidden folders, caches and virtual environments are left out."""
    seen: _Seen = {}
    for folder in folders:
        for entry in _files(folder, patterns):
            try:
                found = entry.stat()
            except OSError:  # it is gone meanwhile
                continue
            seen[entry.path] = (found.st_mtime_ns, found.st_size)
            if len(seen) >= _MOST_FILES:
                return seen
    return seen


def _files(folder: Path, patterns: Patterns) -> Iterator[os.DirEntry[str]]:
    pending = [str(folder)]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    below = os.path.relpath(entry.path, folder)
                    if entry.is_dir(follow_symlinks=False):
                        if not _is_skipped(entry) and not patterns.excludes(entry.name, below):
                            pending.append(entry.path)
                    elif patterns.takes(entry.name, below):
                        yield entry
        except OSError:
            continue


def _is_skipped(entry: os.DirEntry[str]) -> bool:
    return entry.name.startswith(".") or entry.name in _SKIPPED or (Path(entry.path) / "pyvenv.cfg").exists()


class FileWatch(Resource):
    """The thread that looks.

    Args:
        owner: the supervisor.
        plan: which files.
        changed: called in the loop with the name of a file that has changed.

    """

    __slots__ = ("_changed", "_every", "_folders", "_gone", "_loop", "_patterns", "_stopping", "_thread")

    kind = "file watch"

    def __init__(self, owner: Owner, plan: ServicePlan, changed: Callable[[str], object]) -> None:
        super().__init__(owner)
        self._loop = owner.loop
        self._changed = changed
        self._every = plan.reload_every
        self._folders = [Path(folder).resolve() for folder in plan.reload_dirs or [plan.app_dir or "."]]
        self._patterns = Patterns(plan.reload_includes, plan.reload_excludes)
        self._stopping = threading.Event()
        self._gone: asyncio.Future[None] = owner.loop.create_future()
        logger.info("watching %s", ", ".join(map(str, self._folders)))
        seen = snapshot(self._folders, self._patterns)  # before any worker starts: no change is missed
        if len(seen) >= _MOST_FILES:
            logger.warning("more than %d files to watch: the rest is not; name folders with reload_dirs", _MOST_FILES)
        self._thread = threading.Thread(target=self._run, args=[seen], name="endwell: file watch", daemon=True)
        self._thread.start()

    def describe(self) -> str:
        """See `Resource.describe`."""
        return f"watch of {', '.join(map(str, self._folders))}"

    def gone(self) -> asyncio.Future[None] | None:
        """See `Resource.gone`."""
        return self._gone

    def _run(self, seen: _Seen) -> None:
        try:
            self._look(seen)
        finally:
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._over)

    def _look(self, seen: _Seen) -> None:
        while not self._stopping.wait(self._every):
            now = snapshot(self._folders, self._patterns)
            changed = now.items() ^ seen.items()
            seen = now
            if changed:
                self._loop.call_soon_threadsafe(self._tell, min(changed)[0])

    def _tell(self, name: str) -> None:
        if self.state is State.OPEN:
            self._changed(name)

    def _over(self) -> None:
        self._thread.join()  # it has nothing more to do
        self.ended()
        if not self._gone.done():
            self._gone.set_result(None)

    def _stop(self) -> None:
        self._stopping.set()

    def _abort(self, reason: str) -> None:
        self._stopping.set()
