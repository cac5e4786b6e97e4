"""Where a thing was made: the first frame outside endwell, kept as code object and offset, told as text on demand.

Capturing costs one walk of a frame or two and no string work, so it is always on; the line number is computed only for
a report. With ``ENDWELL_DEBUG=1`` in the environment the whole stack is kept as well.
"""

from __future__ import annotations

import asyncio
import os
import sys
from types import CodeType, FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from traceback import StackSummary

__all__ = ("Origin", "caller")

_PACKAGE = __file__.rpartition(os.sep)[0].rpartition(os.sep)[0] + os.sep
_ASYNCIO = asyncio.__file__.rpartition(os.sep)[0] + os.sep
_DEBUG = os.environ.get("ENDWELL_DEBUG", "") not in ("", "0")


class Origin:
    """A place in the user's program: what `caller()` returns."""

    __slots__ = ("code", "offset", "stack")

    def __init__(self, code: CodeType | None, offset: int, stack: StackSummary | None = None) -> None:
        self.code = code
        self.offset = offset
        self.stack = stack

    @property
    def filename(self) -> str:
        """The file, or ``"?"`` when no frame of the user's was on the stack."""
        return "?" if self.code is None else self.code.co_filename

    @property
    def lineno(self) -> int:
        """The line number, 0 when it is not known."""
        code = self.code
        if code is None:
            return 0
        for start, end, line in code.co_lines():
            if start <= self.offset < end and line is not None:
                return line
        return code.co_firstlineno

    @property
    def function(self) -> str:
        """The qualified name of the function."""
        return "?" if self.code is None else self.code.co_qualname

    def __str__(self) -> str:
        if self.code is None:
            return "an unknown place"
        text = f"{self.filename}:{self.lineno} in {self.function}"
        if self.stack is not None:
            text += "\n" + "".join(self.stack.format()).rstrip()
        return text

    def __repr__(self) -> str:
        return f"<Origin {self.filename}:{self.lineno}>"


def caller() -> Origin:
    """Return the place in the user's program that called into endwell."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    if frame is None or frame.f_code.co_filename.startswith(_ASYNCIO):
        return Origin(None, 0)  # called by the loop, in a task of its own
    if _DEBUG:
        import traceback

        return Origin(frame.f_code, frame.f_lasti, traceback.StackSummary.extract(traceback.walk_stack(frame)))
    return Origin(frame.f_code, frame.f_lasti)
