"""How long a client is waited for, by a connection in the server's role: the time limits of `connection.served.Times`.

The base of `connection.serving.ServerConnection`, whose `expire` acts when one of them is over.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from endwell.lifetime import NEVER, Resource, State
from endwell.transport.accepted import Accepted

if TYPE_CHECKING:
    from endwell.connection.served import ServedExchange, Serving

__all__ = ("GOODBYE", "Patience")

GOODBYE: Final = 5.0
"""Seconds after which it is looked whether a connection that is being closed gets on."""

_OPEN: Final = State.OPEN


class Patience(Accepted):
    """Watches over a client that is waited for.

    Attributes:
        exchange: the request that is being served, None between two.
        due: loop time at which `expire` looks at it.

    """

    __slots__ = (
        "_began", "_measured", "_read_at", "_serving", "_still_at", "_unsent", "due", "exchange",
    )  # fmt: skip

    def __init__(self, owner: Resource, loop: asyncio.AbstractEventLoop, serving: Serving) -> None:
        super().__init__(owner, loop)
        self._serving = serving
        self.exchange: ServedExchange | None = None
        self.due = NEVER

    def pause_writing(self) -> None:
        """Note that the client reads slower than it is answered; not for ever, if it stands still."""
        super().pause_writing()
        self._unsent = self.unsent()
        self._still_at = self.loop.time()
        self._expect_by(self._serving.times.send)

    def pause_reading(self) -> None:
        """Stop taking bytes from the client (flow control of the body)."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Take bytes again."""
        if self.transport is not None and not self.transport.is_closing():
            self._measure()
            self.transport.resume_reading()

    def _expect(self, seconds: float) -> None:
        """Have `expire` called in so many seconds."""
        self.due = due = self.loop.time() + seconds
        watch = self._serving.watch
        if due < watch.wake:
            watch.sooner(due)

    def _expect_by(self, seconds: float) -> None:
        """Have `expire` called in so many seconds at the latest."""
        if self.due > self.loop.time() + seconds:
            self._expect(seconds)

    def _stands_still(self, now: float) -> bool:
        """Tell whether a client has not read for so long that it is not waited for any more; else look again."""
        unsent = self.unsent()
        if unsent != self._unsent:
            self._unsent = unsent
            self._still_at = now
        left = self._serving.times.send - (now - self._still_at)
        if left > 0:
            self._expect_by(left)
        return left <= 0

    def _leave_within(self, seconds: float) -> None:
        """Give a client so much time to take what was sent to it, and to go."""
        self._read_at = self.loop.time()
        self._measured = self.unsent()
        self._expect(seconds)
        self._see_off()

    def _check_leaving(self, now: float) -> None:
        """Wait on for a client that reads what it was sent, however slowly, but not for any other."""
        unsent = self.unsent()
        if unsent != self._measured:
            self._measured = unsent
            self._read_at = now
        elif not unsent or now - self._read_at >= self._serving.times.send:
            self.discard()
            return
        self._expect(min(GOODBYE, self._serving.times.send))

    def _see_off(self) -> None:
        """Have a server that ends wait for the last bytes of an answer."""
        if self.owner is not None and self.owner.state is not _OPEN and self.unsent():
            self._serving.see_off(self)

    def _check_body(self, now: float) -> None:
        """End a body that does not come, or not fast enough, while somebody waits for it."""
        exchange = self.exchange
        body = exchange.incoming if exchange is not None else None
        if exchange is None or body is None or body.ended or body.error is not None:
            return
        times = self._serving.times
        if not body.awaited:
            self._measure()
            self._expect_by(times.body)
            return
        if now - self._read_at >= times.body:
            self._fail(exchange, self._serving.too_slow(f"no byte of the body came for {times.body} s"))
            return
        elapsed = now - self._began
        if times.rate and elapsed >= times.grace and body.received - self._measured < times.rate * elapsed:
            self._fail(exchange, self._serving.too_slow(f"the body came slower than {times.rate} bytes a second"))
            return
        self._expect_by(min(times.body - (now - self._read_at), times.grace or times.body))

    def _fail(self, exchange: ServedExchange, error: Exception) -> None:
        """End the body of a request, and the connection after its answer; what else comes is nobody's."""
        exchange.keep_alive = False
        if exchange.incoming is not None:
            exchange.incoming.fail(error)
        self.pause_reading()

    def _measure(self) -> None:
        """Begin to measure the rate anew: what was held up by us is not the client's fault."""
        exchange = self.exchange
        if exchange is not None and exchange.incoming is not None:
            self._began = self._read_at = self.loop.time()
            self._measured = exchange.incoming.received
