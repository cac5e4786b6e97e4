"""Which file answers a request: the one that is asked for, or its sibling that is coded already (``.br``, ``.gz``).

RFC 9110 section 12.5.3. Used by file responses. Everything here that looks at files blocks, and runs in a thread: one
trip for each request, in which the file is found, opened, looked at and, when it is small, read.

A file is looked at before it is opened, for to open a device or a pipe does things, and again after that: only what the
descriptor says counts. So does it when the file must lie below a directory: the descriptor is asked for the path it
was opened by (``/proc/self/fd``, or F_GETPATH on macOS), after every symbolic link. Nobody can change that any more,
whereas a path that is checked before it is opened can become another file's in between. Where the system has no such
answer, the path is resolved after the opening, and must lead to the file that is open.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterable
from typing import Final

from endwell.connection.open_file import OpenFile
from endwell.server.file_types import file_type
from endwell.server.negotiation import _weights as weights_of

__all__ = ("Found", "acceptable_siblings", "find_file", "is_inside", "real_path", "refusal_of", "root_of")

# What is taken first of codings the client likes equally well: the smallest, usually. The work is done already.
_SIBLINGS: Final = {"br": ".br", "zstd": ".zst", "gzip": ".gz"}

_FLAGS: Final = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
_MISSING: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL})
_FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM, errno.ENXIO, errno.ENODEV})


class Found:
    """What was found for a request.

    Attributes:
        status: 200, or why there is nothing: 403, 404.
        file: open, to be closed by whoever gets this; None when there is nothing, or `data` is the whole of it.
        data: the content of a small file.
        size: bytes.
        modified: nanoseconds since the epoch.
        kind: the media type of the file, before it was coded.
        coding: the content coding of a sibling, None for the file itself.

    """

    __slots__ = ("coding", "data", "file", "kind", "modified", "size", "status")

    def __init__(self, status: int) -> None:
        self.status = status
        self.file: OpenFile | None = None
        self.data: bytes | None = None
        self.size = 0
        self.modified = 0
        self.kind = ""
        self.coding: str | None = None

    @property
    def tag(self) -> str:
        """The opaque value of a strong entity tag: it changes whenever the file is written."""
        return f"{self.modified:x}-{self.size:x}"

    @property
    def closed(self) -> bool:
        """Whether there was an open file, which is closed."""
        return self.file is not None and self.file.closed

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self.file is not None:
            self.file.close()


def acceptable_siblings(accept_encoding: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Give coding and extension of the siblings that may answer, best first, for the values of `Accept-Encoding`.

    Only a coding that is named counts: to ``*`` the file itself is as good an answer, and a safer one.
    """
    weights = weights_of(accept_encoding)
    least = weights.get("identity", 0.0)
    liked = [
        (coding, extension)
        for coding, extension in _SIBLINGS.items()
        if (weight := weights.get(coding, 0.0)) > 0 and weight >= least
    ]
    return tuple(sorted(liked, key=lambda each: -weights[each[0]]))


def find_file(path: str, siblings: Iterable[tuple[str, str]] = (), root: str | None = None, keep: int = 0) -> Found:
    """Find and open the file that answers a request.

    Args:
        path: of the file that is asked for.
        siblings: see `acceptable_siblings`.
        root: the directory that it must lie below (see `root_of`), None for anywhere.
        keep: a file of at most so many bytes is read at once, and closed.

    Raises:
        OSError: it is the server's fault that there is no answer (too many open files, a disk that fails).

    """
    if root is not None and os.path.islink(path):  # noqa: PTH114 - a Path costs more than the call
        path = os.path.realpath(path)  # type and siblings are those of what the link leads to, as with aiohttp
    for coding, extension in siblings:
        try:
            found = _open(path + extension, root, keep)
        except (OSError, ValueError):
            continue  # a sibling that can't be read is none
        found.coding = coding
        break
    else:
        try:
            found = _open(path, root, keep)
        except (OSError, ValueError) as error:
            status = refusal_of(error)
            if status is None:
                raise
            return Found(_hide(status, path, root))
    found.kind = file_type(path)
    return found


def _open(path: str, root: str | None, keep: int) -> Found:
    _check_regular(os.stat(path).st_mode)  # noqa: PTH116 - a Path costs more than the call
    fd = os.open(path, _FLAGS)
    file = OpenFile(fd, path)
    kept = False
    try:
        status = os.fstat(fd)
        _check_regular(status.st_mode)
        if root is not None and not is_inside(fd, path, root):
            raise OSError(errno.ENOENT, "Outside of the root")
        found = Found(200)
        found.size = status.st_size
        found.modified = status.st_mtime_ns
        if status.st_size <= keep:
            found.data = _content(file, status.st_size)
            found.size = len(found.data)  # it may have become shorter since
        else:
            found.file = file
            kept = True
        return found
    finally:
        if not kept:
            file.close()


def _content(file: OpenFile, size: int) -> bytes:
    data = file.read_at(0, size)
    while len(data) < size and (more := file.read_at(len(data), size - len(data))):  # a read may give less
        data += more
    return data


def _check_regular(mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise OSError(errno.EACCES, "Not a regular file")


def refusal_of(error: Exception) -> int | None:
    """Give the status that says to a client why a file cannot be opened; None when it is the server's own trouble."""
    if isinstance(error, ValueError):  # a NUL, or characters that no file name has here
        return 404
    code = error.errno if isinstance(error, OSError) else None
    return 404 if code in _MISSING else 403 if code in _FORBIDDEN else None


def _hide(status: int, path: str, root: str | None) -> int:
    """Tell nobody that there is something outside of the root."""
    if status == 403 and root is not None:
        return 403 if _below(root, os.path.realpath(path)) else 404
    return status


def is_inside(fd: int, path: str, root: str) -> bool:
    """Tell whether what was opened as `path` lies in the directory `root` (see `root_of`), or is it."""
    real = real_path(fd)
    if real is not None:
        return _below(root, real)
    resolved = os.path.realpath(path)
    return _below(root, resolved) and os.path.samestat(os.lstat(resolved), os.fstat(fd))


def _below(root: str, path: str) -> bool:
    return path == root or path.startswith(root if root.endswith(os.sep) else root + os.sep)


def root_of(directory: str) -> str:
    """Give the path of a directory as `is_inside` compares it: the system's own spelling.

    Raises:
        OSError: there is no such directory.

    """
    path = os.path.realpath(directory, strict=True)
    if not hasattr(os, "O_DIRECTORY"):
        return path
    try:
        fd = os.open(path, getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY)
    except PermissionError:
        return path
    try:
        return real_path(fd) or path
    finally:
        os.close(fd)


def real_path(fd: int) -> str | None:
    """Ask the system for the path of what is open; None when it cannot tell."""
    if sys.platform == "darwin":
        import fcntl

        try:
            return os.fsdecode(fcntl.fcntl(fd, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0"))
        except OSError:
            return None
    try:
        return os.readlink(f"/proc/self/fd/{fd}")  # noqa: PTH115 - a Path costs more than the call
    except OSError:
        return None
