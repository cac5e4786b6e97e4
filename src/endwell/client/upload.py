"""Knowing how an upload went, also when the response came before its end (RFC 9112 section 9.5)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from endwell.client.errors import UploadAbortedError

if TYPE_CHECKING:
    from endwell.connection.writer import BodyWriter

__all__ = ("UploadTracker",)


class UploadTracker:
    """Given to a request as ``upload_tracker=``, tells what became of its body.

    Attributes:
        attempts: how often the body was sent: redirects, retries and authentication repeat it.

    """

    __slots__ = ("_future", "_size", "_writer", "attempts")

    def __init__(self) -> None:
        self.attempts = 0
        self._size = 0
        self._writer: BodyWriter | None = None
        self._future: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        done = self._future is not None and self._future.done()
        return f"<UploadTracker {self.bytes_written} bytes in attempt {self.attempts}, {'ended' if done else 'open'}>"

    @property
    def bytes_written(self) -> int:
        """Bytes of the body that the transport took in the last attempt: coded as they go out, without framing."""
        return self._size if self._writer is None else self._writer.body_size

    @property
    def upload_complete(self) -> asyncio.Future[None]:
        """A future that is done when the body of the last attempt was sent.

        It has an `UploadAbortedError` when the body was cut short.
        """
        if self._future is None:
            self._future = asyncio.get_running_loop().create_future()
        return self._future

    def _begin(self, writer: BodyWriter | None, size: int = 0) -> None:
        self.attempts += 1
        self._writer = writer
        self._size = size
        if self._future is not None and self._future.done():
            self._future = None

    def _over(self, writer: BodyWriter) -> None:
        """Note that this writer writes no more; it may be that of an attempt before the last."""
        if self._writer is writer:
            self._end(None if writer.ended else UploadAbortedError("The upload was cut short"))

    def _end(self, error: UploadAbortedError | None) -> None:
        if self._writer is not None:
            self._size = self._writer.body_size
            self._writer = None
        future = self.upload_complete
        if future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
            future.exception()  # retrieved: who does not ask is not told
