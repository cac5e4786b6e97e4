"""What a handler gets that asks for the range of a request which has none that is understood (RFC 9110 section 14.2).

Used by `server.request_fields`; imported when that happens.
"""

from __future__ import annotations

from endwell.http.conditional import RangeError
from endwell.server.errors import HTTPRequestRangeNotSatisfiable

__all__ = ("BadRangeError",)


class BadRangeError(HTTPRequestRangeNotSatisfiable, RangeError):
    """`Range` is no single range of bytes: the response 416, and the ValueError for who catches that."""

    def __init__(self, error: RangeError) -> None:
        HTTPRequestRangeNotSatisfiable.__init__(self, text="The field Range does not ask for one range of bytes.")
        self.args = error.args
        self.ignorable = error.ignorable
