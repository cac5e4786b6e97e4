"""Runs a `ResponseReader` over bytes in a given split and says what came out; shared by the tests of the wire."""

from __future__ import annotations

from typing import NamedTuple

from endwell.wire.http1 import Limits, ProtocolError, ResponseReader
from endwell.wire.http1.reader import Phase


class Outcome(NamedTuple):
    """What one reading gave; of a response that was refused only that, and where."""

    error: str | None
    status: int | None = None
    version: tuple[int, int] | None = None
    reason: str | None = None
    fields: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    rest: bytes = b""
    trailers: bytes = b""
    phase: Phase | None = None
    continued: bool = False
    keep_alive: bool | None = None


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Split bytes at these places; none of the pieces is empty."""
    inner = sorted({place % len(data) for place in places} - {0}) if data else []
    return [data[start:end] for start, end in zip([0, *inner], [*inner, len(data)], strict=True) if data]


def read_response(
    pieces: list[bytes],
    *,
    method: str = "GET",
    limits: Limits | None = None,
    read_until_eof: bool = True,
    eof: bool = True,
    reader: ResponseReader | None = None,
) -> Outcome:
    """Feed the pieces, then the end of the connection."""
    reader = reader or ResponseReader()
    reader.begin(method, limits or Limits(), read_until_eof)
    body: list[bytes] = []
    try:
        for piece in pieces:
            body += reader.feed(piece)
        if eof:
            reader.eof()
    except ProtocolError as error:
        return Outcome(error.phase)
    head = reader.head
    if head is None:
        return Outcome(None, phase=reader.phase)
    assert tuple(head.headers.items()) == tuple(
        (name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape"))
        for name, value in head.raw_headers
    )
    return Outcome(
        None,
        head.status,
        head.version,
        head.reason,
        head.raw_headers,
        b"".join(body),
        reader.rest,
        reader.trailers,
        reader.phase,
        reader.continued,
        head.keep_alive,
    )
