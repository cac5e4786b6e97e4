"""How much of each part of a message head a peer may send."""

from __future__ import annotations

from typing import Final

__all__ = ("MAX_CHUNK_OVERHEAD", "MAX_EMPTY_LINES", "MAX_INFORMATIONAL", "MAX_METHOD", "MAX_TRAILERS", "Limits")

MAX_INFORMATIONAL: Final = 32
"""1xx responses before the final one."""

MAX_METHOD: Final = 64
"""Characters of a method."""

MAX_EMPTY_LINES: Final = 4
"""Empty lines before a request line."""

MAX_CHUNK_OVERHEAD: Final = 16 * 1024
"""Bytes of chunk extensions in one body, all chunks together."""

MAX_TRAILERS: Final = 64 * 1024
"""Bytes of a trailer section."""


class Limits:
    """The limits of one message: bytes of the first line, bytes of a field line, number of fields."""

    __slots__ = ("fewest", "field_size", "fields", "line_size", "smallest")

    def __init__(self, line_size: int = 8190, field_size: int = 8190, fields: int = 128) -> None:
        for name, value in (("max_line_size", line_size), ("max_field_size", field_size), ("max_headers", fields)):
            if not isinstance(value, int) or value <= 0:
                message = f"{name} must be a positive number, not {value!r}"
                raise ValueError(message)
        self.line_size = line_size
        self.field_size = field_size
        self.fields = fields
        self.smallest = min(line_size, field_size)
        """A head of at most so many bytes is within both limits of size."""

        self.fewest = 4 * fields
        """A head of at most so many bytes cannot have more fields."""

    @property
    def head_size(self) -> int:
        """Bytes that a whole head can have."""
        return self.line_size + self.fields * (self.field_size + 2) + 4
