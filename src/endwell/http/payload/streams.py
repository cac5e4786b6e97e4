"""Payloads that come while they are sent: asynchronous iterables and the bodies of other messages.

They are sent in chunks, once; `as_bytes` keeps what came, and makes them as good as bytes.
"""

from collections.abc import AsyncIterable, AsyncIterator
from typing import Any, Protocol, runtime_checkable

from endwell.http.typedefs import Byteish
from endwell.http.writer import AbstractStreamWriter

from .base import Payload

__all__ = ("AnyChunks", "AsyncIterablePayload", "StreamReaderPayload")


@runtime_checkable
class AnyChunks(Protocol):
    """A body that is being received: gives its chunks as they come."""

    def iter_any(self) -> AsyncIterable[bytes]:
        """Iterate over the chunks."""


class AsyncIterablePayload(Payload):
    """An asynchronous generator, or another asynchronous iterable of bytes."""

    _iterator: "AsyncIterator[Byteish] | None" = None
    _kept: bytes | None = None
    _autoclose = True

    def __init__(self, value: "AsyncIterable[Byteish]", *args: Any, **kwargs: Any) -> None:
        if not isinstance(value, AsyncIterable):
            raise TypeError(
                f"value argument must be an async iterable (`async def` with `yield`), not {type(value).__name__}"
            )
        super().__init__(value, *args, **kwargs)
        self._iterator = value.__aiter__()

    @property
    def size(self) -> int | None:
        """None, until `as_bytes` has read it all."""
        return None if self._kept is None else len(self._kept)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Give the content as text; only after `as_bytes`. Raises TypeError before."""
        if self._kept is None:
            raise TypeError("cannot decode an asynchronous iterable that was not read: await as_bytes() first")
        return self._kept.decode(self._encoding or encoding, errors)

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """Read it all, keep it, and give it; the payload can be written again and again after this."""
        if self._kept is None:
            self._kept = await super().as_bytes(encoding, errors)
            self._consumed = False
        return self._kept

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the chunks as they come.

        Raises RuntimeError when it was written before. When the writing fails or is cancelled, a generator is closed.
        """
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Write at most `content_length` bytes, all of them when it is None; the generator is closed at the limit."""
        if self._kept is not None:
            await writer.write(self._kept if content_length is None else self._kept[:content_length])
            return
        iterator = self._iterator
        if iterator is None:
            raise RuntimeError(
                "this asynchronous iterable was sent before and cannot be sent again: give bytes, a file, or a new one"
            )
        self._iterator = None
        self._consumed = True
        left = content_length
        is_done = False
        try:
            async for chunk in iterator:
                if left is None:
                    await writer.write(chunk)
                    continue
                view = memoryview(chunk).cast("B")[:left]
                left -= len(view)
                await writer.write(chunk if len(view) == len(chunk) else view)
                if left <= 0:
                    break
            else:
                is_done = True
        finally:
            if not is_done:
                await _close(iterator)

    async def close(self) -> None:
        """Close a generator that was not read to its end; safe to call more than once."""
        iterator, self._iterator = self._iterator, None
        if self._kept is None:
            self._consumed = True
        if iterator is not None:
            await _close(iterator)


async def _close(iterator: "AsyncIterator[Any]") -> None:
    aclose = getattr(iterator, "aclose", None)
    if aclose is not None:
        await aclose()


class StreamReaderPayload(AsyncIterablePayload):
    """The body of a message that is being received, passed on: anything with `iter_any()`."""

    def __init__(self, value: AnyChunks, *args: Any, **kwargs: Any) -> None:
        super().__init__(value.iter_any(), *args, **kwargs)
