"""Knowing how an upload went, also when the response came before its end (RFC 9112 section 9.5)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from endwell.client.errors import UploadAbortedError

__all__ = ("UploadTracker",)


class UploadTracker:
    """Given to a request as ``upload_tracker=``, tells what became of its body.

    Attributes:
        bytes_written: bytes handed to the transport in the last attempt, framing included.
        attempts: how often the body was sent: redirects, retries and authentication repeat it.

    """

    __slots__ = ("_future", "attempts", "bytes_written")

    def __init__(self) -> None:
        self.bytes_written = 0
        self.attempts = 0
        self._future: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        done = self._future is not None and self._future.done()
        return f"<UploadTracker {self.bytes_written} bytes in attempt {self.attempts}, {'ended' if done else 'open'}>"

    @property
    def upload_complete(self) -> asyncio.Future[None]:
        """A future that is done when the body of the last attempt was sent.

        It has an `UploadAbortedError` when the body was cut short.
        """
        if self._future is None:
            self._future = asyncio.get_running_loop().create_future()
        return self._future

    def _begin(self) -> None:
        self.attempts += 1
        self.bytes_written = 0
        if self._future is not None and self._future.done():
            self._future = None

    def _end(self, error: UploadAbortedError | None) -> None:
        future = self.upload_complete
        if future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
            future.exception()  # retrieved: who does not ask is not told
