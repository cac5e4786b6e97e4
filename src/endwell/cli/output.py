"""Where bodies go: a folder, standard output, nowhere. (JSON lines are in `records`.) Used by `fetch`, made by `run`.

A file is written aside, in the folder it belongs to, and renamed when it is whole: what has its final name is
complete.
"""

import asyncio
import errno
import fcntl
import os
import select
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from endwell.cli.inputs import Job, printable
from endwell.cli.names import PART_SUFFIX, names_of
from endwell.client.response import ClientResponse

__all__ = [
    "Arrival",
    "DescriptorWriter",
    "FolderSink",
    "InputOutputError",
    "NullSink",
    "Sink",
    "StdoutSink",
    "take_lock",
]


class InputOutputError(Exception):
    """The list can't be read or what was fetched can't be kept: the run ends (exit code 3)."""


class Arrival(NamedTuple):
    """A response whose body is still to be read.

    `received` is told the size of each piece of the body; `elapsed` gives the seconds since the request; `error` says
    why the response does not count as fetched, or is None.
    """

    job: Job
    response: ClientResponse
    received: Callable[[int], None]
    elapsed: Callable[[], float]
    error: str | None = None


class Sink:
    """Takes what was fetched. A base class, and alone the sink that keeps nothing.

    Attributes: `restartable`, whether a body that broke off may be stored once more from its start; `keeps_failures`,
    whether responses with an error status are stored too.
    """

    restartable = True
    keeps_failures = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def claim(self, job: Job) -> bool:
        """Say whether the job is to be fetched; then `release` follows when it has ended, however it ended."""
        return True

    def release(self, job: Job) -> None:
        """Note that a claimed job has ended."""

    async def store(self, arrival: Arrival) -> None:
        """Read the body to its end and keep it; nothing of it is kept if this raises or is cancelled."""
        async for chunk in arrival.response.content.iter_any():
            arrival.received(len(chunk))

    async def store_error(self, job: Job, name: str, message: str, seconds: float) -> None:
        """Note that there was no response: the class of the error and what it said, both fit to be shown."""

    def close(self) -> None:
        """Free what the sink holds; idempotent."""


class NullSink(Sink):
    """Reads every body and keeps none."""


@contextmanager
def _files(what: Path | str) -> Iterator[None]:
    """Turn errors of the file system, which end the run, into a class no error of the network has."""
    try:
        yield
    except OSError as error:
        raise InputOutputError(f"{what}: {error.strerror or error}") from error


def take_lock(fd: int, name: Path) -> None:
    """Lock a file or folder against another run that would write to it at the same time."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputOutputError(f"{name}: another endwell writes to it; wait for its end, or name another") from None
    except OSError:
        pass  # a file system without locks


class FolderSink(Sink):
    """Puts each body into a file named after its URL (see `names`) below a folder, which is made if it is missing."""

    def __init__(self, folder: Path, *, resume: bool = False, fsync: bool = False, limit: int | None = None) -> None:
        self._folder = folder
        self._resume = resume
        self._fsync = fsync
        self._limit = limit
        self._claimed: set[Path] = set()
        with _files(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            take_lock(self._lock, folder)
        except InputOutputError:
            self.close()
            raise

    def close(self) -> None:
        """Let another run have the folder; idempotent."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)

    def claim(self, job: Job) -> bool:
        """Say no to a URL that is under way already or, to resume, has its file."""
        plain, flat = (self._folder / name for name in names_of(job.url))
        if plain in self._claimed:
            return False  # the same URL twice, and the first is under way
        if self._resume and (plain.is_file() or flat.is_file()):
            return False
        self._claimed.add(plain)
        return True

    def release(self, job: Job) -> None:
        """Note that a claimed job has ended."""
        self._claimed.discard(self._folder / names_of(job.url).plain)

    async def store(self, arrival: Arrival) -> None:
        """Write the body to its file; without its end there is no file."""
        plain, flat = (self._folder / name for name in names_of(arrival.job.url))
        with _files(plain):
            fd, part, final = self._open(plain, flat)
        whole = False
        try:
            try:
                await self._copy(arrival, fd, part)
            finally:
                os.close(fd)
            with _files(final):
                self._rename(part, final, flat)
            whole = True
        finally:
            if not whole:
                with suppress(OSError):
                    part.unlink()

    async def _copy(self, arrival: Arrival, fd: int, part: Path) -> None:
        size = 0
        async for chunk in arrival.response.content.iter_any():
            size += len(chunk)
            check_size(size, self._limit)
            with _files(part):
                write_all(fd, chunk)
            arrival.received(len(chunk))
        if self._fsync:
            with _files(part):
                os.fsync(fd)

    def _open(self, plain: Path, flat: Path) -> tuple[int, Path, Path]:
        try:
            return *_open_part(_part(plain)), plain
        except (FileExistsError, NotADirectoryError):  # another URL's file is where a folder is needed
            return *_open_part(_part(flat)), flat

    def _rename(self, part: Path, final: Path, flat: Path) -> None:
        try:
            part.replace(final)
        except OSError as error:
            if error.errno not in {errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY}:
                raise
            part.replace(flat)  # another URL's folder is where the file was to be
        if self._fsync:
            fd = os.open(final.parent, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)


def _open_part(part: Path) -> tuple[int, Path]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(part, flags, 0o666), part
    except FileNotFoundError:
        part.parent.mkdir(parents=True, exist_ok=True)
        return os.open(part, flags, 0o666), part


class BodyTooLargeError(Exception):
    """A body has more bytes than `--max-body` allows."""


def check_size(size: int, limit: int | None) -> None:
    """Raise `BodyTooLargeError` when a size is over the limit."""
    if limit is not None and size > limit:
        raise BodyTooLargeError(f"the body has more than {limit} bytes (--max-body)")


def write_all(fd: int, data: bytes) -> None:
    """Write all of the data to a file; a full disk raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}{PART_SUFFIX}")


class DescriptorWriter:
    """Writes to a descriptor that may be slow (a pipe, a terminal) without holding up the event loop.

    The descriptor's flags are not touched, because other processes share them: a pipe is asked whether it takes
    PIPE_BUF bytes and gets no more at a time. Raises InputOutputError; a cancelled write may have written a part.
    """

    _ATOMIC = select.PIPE_BUF
    _BLOCK = 1 << 20

    def __init__(self, fd: int, name: str) -> None:
        self._fd = fd
        self._name = name
        self._turn = asyncio.Lock()
        self.is_terminal = os.isatty(fd)
        self._piece = self._BLOCK if stat.S_ISREG(os.fstat(fd).st_mode) else self._ATOMIC

    async def write(self, data: bytes) -> None:
        """Write all of the data, undivided by other writes."""
        async with self._turn:
            view = memoryview(data)
            while view:
                if not self._writable():
                    await self._wait()
                try:
                    view = view[os.write(self._fd, view[: self._piece]) :]
                except OSError as error:
                    raise InputOutputError(f"{self._name}: {error.strerror or error}") from error

    def _writable(self) -> bool:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        return bool(poll.poll(0))

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not ready.done():
                ready.set_result(None)

        loop.add_writer(self._fd, wake)
        try:
            await ready
        finally:
            loop.remove_writer(self._fd)


class StdoutSink(Sink):
    """Prints one body as it comes; `include` prints the heads too. Binary goes to a terminal only with `binary`."""

    restartable = False

    def __init__(
        self, writer: DescriptorWriter, *, include: bool = False, binary: bool = False, limit: int | None = None
    ) -> None:
        self._writer = writer
        self._include = include
        self._limit = limit
        self._guarded = writer.is_terminal and not binary

    async def store(self, arrival: Arrival) -> None:
        """Print the body, and the heads if they are wanted; what was printed before an error stays printed."""
        if self._include:
            for response in (*arrival.response.history, arrival.response):
                head = head_of(response)
                if self._guarded:  # a hostile field could hold an escape sequence
                    head = b"\n".join(
                        printable(line.decode("utf-8", "replace")).encode() for line in head.split(b"\r\n")
                    )
                await self._writer.write(head)
        size = 0
        async for chunk in arrival.response.content.iter_any():
            size += len(chunk)
            check_size(size, self._limit)
            arrival.received(len(chunk))
            if self._guarded and b"\0" in chunk:
                raise InputOutputError(
                    "the body is binary and could upset the terminal; `-o -` prints it all the same, `-o DIR` saves it"
                )
            await self._writer.write(chunk)


def head_of(response: ClientResponse) -> bytes:
    """Write the head of a response as it came: status line, fields, empty line."""
    version = response.version
    numbers = f"{version.major}.{version.minor}" if version else "1.1"
    line = f"HTTP/{numbers} {response.status} {response.reason or ''}".rstrip().encode("utf-8", "surrogateescape")
    fields = [name + b": " + value for name, value in response.raw_headers]
    return b"\r\n".join([line, *fields, b"", b""])
