"""A file with the process id of the service. A lock on it tells a service that lives from one that was killed."""

from __future__ import annotations

import fcntl
import os
from typing import Final

from endwell.lifetime import Resource, State
from endwell.service.errors import ServiceError

__all__ = ("Pidfile",)

_ATTEMPTS: Final = 5


class Pidfile(Resource):
    """The file, for as long as the service lives; it is removed at the end.

    Args:
        owner: the supervisor.
        path: of the file.

    Raises:
        ServiceError: another service lives that has it, or it cannot be written.

    """

    __slots__ = ("_fd", "_path")

    kind = "pidfile"

    def __init__(self, owner: Resource, path: str) -> None:
        self._path = path
        try:
            self._fd = _locked(path)
            os.ftruncate(self._fd, 0)
            os.write(self._fd, f"{os.getpid()}\n".encode())
        except OSError as error:
            message = f"Cannot write the pidfile {path!r}: {error.strerror or error}"
            raise ServiceError(message) from error
        super().__init__(owner)

    def describe(self) -> str:
        """See `Resource.describe`."""
        return f"pidfile {self._path}"

    def _abort(self, reason: str) -> None:
        if self.state is State.CLOSED:
            return
        if _is_at(self._path, self._fd):
            os.unlink(self._path)  # noqa: PTH108 - beside the descriptor
        os.close(self._fd)
        self.ended()


def _locked(path: str) -> int:
    """Open and lock the file; again, if whoever had it removed it in between."""
    for _ in range(_ATTEMPTS):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        ours = False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = _is_at(path, fd)
        except BlockingIOError:
            pid = os.read(fd, 20).decode("ascii", "replace").strip()
            message = (
                f"Another service runs (process {pid}): it holds the pidfile {path!r}. End it, or name another file"
            )
            raise ServiceError(message) from None
        finally:
            if not ours:
                os.close(fd)
        if ours:
            return fd
    message = f"Somebody removes the pidfile {path!r} again and again"
    raise ServiceError(message)


def _is_at(path: str, fd: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(fd))  # noqa: PTH116 - beside the descriptor
    except OSError:
        return False
