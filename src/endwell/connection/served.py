"""What a connection in the server's role asks of the server above it, and how long it waits for its client.

`connection.serving` uses it; `server.core` is the server above.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from endwell.connection.body import BodyStream
    from endwell.connection.serving import ServerConnection
    from endwell.http.codings import Decoder
    from endwell.lifetime import Deadlines
    from endwell.transport.accepted import Accepted
    from endwell.wire.http1 import Limits, ProtocolError
    from endwell.wire.http1.request_head import RequestHead

__all__ = ("ServedExchange", "Serving", "Times")


class Times:
    """How long a client may take; seconds, each of them to be set by the user of the server.

    Attributes:
        keepalive: between two requests.
        head: from the first byte of a head to its last.
        body: between two reads of a body that a handler waits for.
        send: that a client may stand still while an answer waits to be read by it.
        linger: that a connection stays open after its last answer, so that the client can read it.
        rate: bytes per second that a body must bring, measured from `grace` seconds on; 0 for any.

    """

    __slots__ = ("body", "grace", "head", "keepalive", "linger", "rate", "send")

    def __init__(
        self,
        *,
        keepalive: float = 75.0,
        head: float = 30.0,
        body: float = 60.0,
        send: float = 60.0,
        linger: float = 10.0,
        rate: float = 240.0,
        grace: float = 20.0,
    ) -> None:
        self.keepalive = keepalive
        self.head = head
        self.body = body
        self.send = send
        self.linger = linger
        self.rate = rate
        self.grace = grace

    @property
    def granularity(self) -> float:
        """Seconds that a time may be overrun: a tenth of the shortest, half a second at most."""
        return min(0.5, min(self.keepalive, self.head, self.body, self.send, self.linger) / 10)


class ServedExchange(Protocol):
    """What a connection tells of the exchange it serves.

    `incoming` is the stream of the body, None when there is no body or all of it came with the head.
    """

    incoming: BodyStream | None
    keep_alive: bool

    def reader_waits(self) -> None:
        """A task waits for the body."""

    def gone(self, error: Exception | None) -> None:
        """The client has gone."""

    def stop(self) -> None:
        """The server stops."""


class Serving(Protocol):
    """The server above.

    `known` and `heads` are what the readers of its connections keep and share: see `RequestReader`.
    """

    limits: Limits
    times: Times
    read_bufsize: int
    heads: dict[bytes, RequestHead]
    known: dict[bytes, RequestHead]
    watch: Deadlines[ServerConnection]

    def decoder(self, head: RequestHead) -> Decoder | None:
        """Give what undoes the content coding of a request's body.

        Raises:
            ProtocolError: nobody is to undo that; the status says what to answer.

        """

    def begin(self, connection: ServerConnection, head: RequestHead, incoming: BodyStream | None, whole: bytes) -> None:
        """Serve one request; the connection is told when that is over, perhaps before this returns.

        `whole` is a body that has come whole, ``b""`` when there is none or it comes as a stream.
        """

    def refuse(self, connection: ServerConnection, error: ProtocolError) -> bytes:
        """Give the answer to what is no request."""

    def too_slow(self, what: str) -> Exception:
        """Give what a handler gets whose client is too slow."""

    def made(self, connection: ServerConnection) -> bool:
        """Take a new connection; False when there are too many."""

    def lost(self, connection: ServerConnection) -> None:
        """Note the end of a connection."""

    def see_off(self, connection: Accepted) -> None:
        """Wait, while the server ends, until the client has taken what was sent to it, or the connection is gone."""
