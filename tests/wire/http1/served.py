"""Runs a `RequestReader` over bytes in a given split and says what came out; shared by the tests of the wire."""

from __future__ import annotations

from typing import NamedTuple

from httptools import HttpRequestParser

from endwell.wire.http1 import Limits, ProtocolError
from endwell.wire.http1.phase import Phase
from endwell.wire.http1.request_reader import RequestReader


class Served(NamedTuple):
    """One request that was read to its end."""

    method: str
    target: str
    minor: int
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes
    trailers: bytes
    keep_alive: bool
    expects: bool
    upgrade: bool
    host: str | None


class Outcome(NamedTuple):
    """The requests, then how it ended: None for a clean end, else the phase and the status of the error."""

    requests: list[Served]
    error: tuple[str, int] | None
    rest: bytes


def read_requests(pieces: list[bytes], limits: Limits | None = None) -> Outcome:
    """Feed the pieces, then the end of the connection. After CONNECT or an upgrade the rest is not read."""
    reader = RequestReader(limits or Limits())
    done: list[Served] = []
    body: list[bytes] = []
    tunnel = False
    try:
        for piece in pieces:
            data = piece
            while data:
                body += reader.feed(data)
                if reader.phase is not Phase.ENDED or tunnel:
                    break
                head = reader.head
                done.append(served(head, body, reader.trailers))
                body = []
                tunnel = head.method == "CONNECT" or head.upgrade
                if tunnel:
                    break
                data = reader.next()
                assert (reader.phase, reader.head, reader.rest, reader.trailers) == (Phase.HEAD, None, b"", b"")
        reader.eof()
    except ProtocolError as error:
        return Outcome(done, (error.phase, error.status), b"")
    return Outcome(done, None, bytes(reader.rest))


def served(head, body, trailers):
    """Give the facts of one request, its fields read both ways."""
    assert tuple(head.headers.items()) == tuple(
        (name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape"))
        for name, value in head.raw_headers
    )
    assert head.has_body or not b"".join(body)
    return Served(
        head.method,
        head.target,
        head.minor,
        head.raw_headers,
        b"".join(body),
        trailers,
        head.keep_alive,
        head.waits_for_continue,
        head.upgrade,
        head.host,
    )


class Callbacks:
    """What llhttp calls back of a row of requests."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, tuple[tuple[bytes, bytes], ...], bytes]] = []
        self.parser = HttpRequestParser(self)

    def on_message_begin(self) -> None:
        self.url = self.body = b""
        self.fields: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        method = self.parser.get_method().decode()
        self.requests.append((method, self.url.decode(), tuple(self.fields), self.body))
