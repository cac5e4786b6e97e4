"""From a body that is being received to the parts in it: a scanner with its source of bytes. Used by the readers."""

from typing import Protocol

from multidict import CIMultiDictProxy

from .scanner import Mark, Scanner

__all__ = ("BodySource", "PartSource")


class BodySource(Protocol):
    """What a multipart reader needs of a body."""

    async def readany(self) -> bytes:
        """Give the next bytes, as many as there are, b"" at the end of the body."""


class PartSource:
    """Pulls from a body as much as the next event takes; one reader at a time.

    A cancelled call loses nothing: what came is kept for the next one.
    """

    __slots__ = ("_body", "_scanner")

    def __init__(self, scanner: Scanner, body: BodySource) -> None:
        self._scanner = scanner
        self._body = body

    async def _more(self) -> None:
        data = await self._body.readany()
        if data:
            self._scanner.feed(data)
        else:
            self._scanner.feed_eof()

    async def next_part(self) -> CIMultiDictProxy[str] | None:
        """Give the fields of the next part, None when there is none; content before it is skipped."""
        while True:
            event = self._scanner.poll()
            if event is None:
                await self._more()
            elif event is Mark.END:
                return None
            elif isinstance(event, CIMultiDictProxy):
                return event

    async def readany(self) -> bytes:
        """Give the next bytes of the part that `next_part` began, b"" once, at its end."""
        while True:
            event = self._scanner.poll()
            if event is None:
                await self._more()
            elif isinstance(event, bytes):
                return event
            else:
                return b""
