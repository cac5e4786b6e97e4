"""Bodies that come from memory, split as a test wants them."""

from collections.abc import Iterable


class Body:
    """Gives `data` in pieces of `size` bytes, or the pieces themselves."""

    def __init__(self, data: bytes | Iterable[bytes], size: int = 0) -> None:
        if isinstance(data, bytes):
            size = size or max(len(data), 1)
            data = [data[start : start + size] for start in range(0, len(data), size)]
        self.pieces = [piece for piece in data if piece][::-1]
        self.calls = 0

    async def readany(self) -> bytes:
        self.calls += 1
        return self.pieces.pop() if self.pieces else b""
