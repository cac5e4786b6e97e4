"""The list of URLs: arguments and a file or pipe, read as they are needed, checked one by one.

RFC 3986 for the URLs. Used by `fetch`. Ten million lines take the memory of one: a regular file is read on demand, a
pipe or a terminal when it has something, without a thread and without touching its flags (others may share it).
"""

import asyncio
import os
import re
import select
from collections.abc import AsyncGenerator, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from yarl import URL

__all__ = [
    "BadInput",
    "Job",
    "LineSource",
    "check_url",
    "count_urls",
    "printable",
    "read_jobs",
    "shown",
    "without_credentials",
]

LINE_LIMIT = 65536  # bytes; a longer line is reported and skipped
_CHUNK = 65536
_HOST = re.compile(r"[0-9A-Za-z._:%-]+")  # after IDNA; colon and percent sign: addresses of IPv6
_USERINFO = re.compile(r"(?<=//)[^/?#\s]*@")


class Job(NamedTuple):
    """One URL to fetch and the text of it that may be shown."""

    url: URL
    shown: str


class BadInput(NamedTuple):
    """One line that is no URL: `where` is "file:line" or "argument 3"."""

    where: str
    reason: str


def printable(text: str) -> str:
    r"""Give the text with whatever could drive a terminal (escape sequences, line ends) written as \xNN."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def without_credentials(text: str) -> str:
    """Drop the `user:password@` of each URL in a text that is about to be shown, and make it safe for a terminal."""
    return printable(_USERINFO.sub("", text)) if "@" in text else printable(text)


def shown(text: str, limit: int = 100) -> str:
    """Give a URL that may be malformed as it may be shown: all before its last `@` could be a password."""
    start, at, rest = text.rpartition("@")
    if at:
        scheme, slashes, _ = start.partition("://")
        text = (scheme + slashes if slashes and scheme.isalpha() else "") + "...@" + rest
    text = printable(text)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def check_url(text: str) -> Job:
    """Parse one URL; ValueError says what is wrong with it, without its credentials."""
    if not text.isprintable():
        raise ValueError(f"{shown(text)!r} has characters that no URL has")
    scheme = text.partition("://")[0].lower()
    if scheme not in {"http", "https"}:
        raise ValueError(f"{shown(text)!r} must begin with http:// or https://")
    try:
        url = URL(text)
        host, _ = url.raw_host, url.port
    except (ValueError, UnicodeError):
        host = None  # yarl's message may repeat what it was given
    if not host or not _HOST.fullmatch(host):
        raise ValueError(f"{shown(text)!r} is not a URL")
    bare = url.with_user(None) if url.raw_user is not None or url.raw_password is not None else url
    return Job(url, str(bare))


class LineSource:
    """The lines of a file, pipe or terminal, as they come.

    `close()` may be called at any time: whoever waits for the next line then sees the end. The descriptor stays the
    caller's.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._buffer = bytearray()
        self._scanned = 0
        self._ended = False
        self._waiting: asyncio.Future[None] | None = None

    def close(self) -> None:
        """End the lines here."""
        self._ended = True
        self._buffer.clear()
        self._wake()

    async def lines(self) -> AsyncGenerator[bytes, None]:
        """Give each line without its end; one of more than LINE_LIMIT bytes is cut to LINE_LIMIT + 1."""
        too_long = False
        while True:
            end = self._buffer.find(b"\n", self._scanned)
            if end >= 0:
                line = bytes(self._buffer[:end])
                del self._buffer[: end + 1]
                self._scanned = 0
                if not too_long:
                    yield line[: LINE_LIMIT + 1]
                too_long = False
                continue
            self._scanned = len(self._buffer)
            if self._scanned > LINE_LIMIT:
                if not too_long:
                    yield bytes(self._buffer[: LINE_LIMIT + 1])
                too_long = True
                self._buffer.clear()
                self._scanned = 0
            if self._ended:
                break
            data = await self._read()
            self._buffer += data
            self._ended = self._ended or not data
        if self._buffer and not too_long:
            yield bytes(self._buffer)

    async def _read(self) -> bytes:
        if not _readable(self._fd):
            loop = asyncio.get_running_loop()
            self._waiting = loop.create_future()
            loop.add_reader(self._fd, self._wake)
            try:
                await self._waiting
            finally:
                loop.remove_reader(self._fd)
                self._waiting = None
            if self._ended or not _readable(self._fd):  # the second: somebody else who shares the pipe was faster
                return b"" if self._ended else await self._read()
        return os.read(self._fd, _CHUNK)

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


def _readable(fd: int) -> bool:
    poll = select.poll()  # not `select`: that one refuses descriptors above 1023
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


async def read_jobs(
    arguments: Iterable[str], source: LineSource | None = None, name: str = "-"
) -> AsyncGenerator[Job | BadInput, None]:
    """Give each URL of the command line, then of the source; empty lines and lines that begin with # are left out."""
    for number, argument in enumerate(arguments, 1):
        yield _checked(argument.strip(), f"argument {number}")
    if source is None:
        return
    number = 0
    async for line in source.lines():
        number += 1
        where = f"{printable(name)}:{number}"
        if len(line) > LINE_LIMIT:
            yield BadInput(where, f"the line has more than {LINE_LIMIT} bytes")
            continue
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError:
            yield BadInput(where, "the line is not UTF-8")
            continue
        if text and not text.startswith("#"):
            yield _checked(text, where)


def _checked(text: str, where: str) -> Job | BadInput:
    try:
        return check_url(text)
    except ValueError as error:
        return BadInput(where, str(error))


def count_urls(path: Path, size_limit: int = 1 << 26) -> int | None:
    """Count the lines of a regular file that hold a URL, for the progress bar; None if it is none or a large one."""
    if not path.is_file() or path.stat().st_size > size_limit:
        return None
    with path.open("rb") as file:
        return sum(1 for line in _bounded_lines(file.fileno()) if line.strip() and not line.lstrip().startswith(b"#"))


def _bounded_lines(fd: int) -> Iterator[bytes]:
    rest = b""
    while data := os.read(fd, _CHUNK):
        *lines, rest = (rest[:LINE_LIMIT] + data).split(b"\n")
        yield from lines
    yield rest
