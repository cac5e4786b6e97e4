"""One request with its response, on a borrowed connection: from the wish for a connection to its return.

The exchange is what a session drains and what deadlines watch. It is ended exactly once, in `_end`. It knows nothing of
the response object that users hold, so that a forgotten one can be collected (closing.md C11).
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from endwell.client.errors import (
    ClientConnectionError,
    ExchangeAbortedError,
    SocketTimeoutError,
)
from endwell.client.incoming import Away, incoming_body, is_coded
from endwell.client.mapping import public_error
from endwell.client.uploading import send_payload
from endwell.connection.body import BodyStream
from endwell.connection.http1 import ClientConnection
from endwell.connection.writer import BodyWriter
from endwell.http.codings import CodingError
from endwell.lifetime import NEVER, LeakReport, Origin, State, abort_work, name_leak, spawn
from endwell.wire.http1 import Limits, ResponseHead

if TYPE_CHECKING:
    from endwell.client.connections import ConnectorCore
    from endwell.client.core import SessionCore
    from endwell.client.options import RequestOptions
    from endwell.client.outgoing import Outgoing
    from endwell.client.request import ClientRequest
    from endwell.client.request_info import RequestInfo

__all__ = ("READ_AWAY", "ClientExchange", "Step")

READ_AWAY: Final = 64 * 1024
"""Bytes of an unread rest of a body that are read away to keep the connection (closing.md C8)."""

_READ_AWAY_TIME: Final = 1.0


class Step(enum.Enum):
    """How far an exchange has come."""

    QUEUED = "waiting for a connection"
    OPENING = "connecting"
    ASKED = "waiting for the response"
    ANSWERED = "receiving the response"
    ENDED = "ended"


_QUEUED: Final = Step.QUEUED
_ASKED: Final = Step.ASKED
_ANSWERED: Final = Step.ANSWERED
_ENDED: Final = Step.ENDED
_current_task: Final = asyncio.current_task


class ClientExchange:
    """The client's side of one exchange.

    Attributes:
        step: how far it has come.
        sent: the head of the request, as bytes, from the moment it is made.
        head: the head of the response, once there.
        body: the stream of the body, when it did not come whole with the head.
        pieces: the body, when it did.
        error: why it failed.
        unsent: whether it failed before a byte of it was handed to the transport.
        asker: the task that asked.

    """

    # What most exchanges never set has its default in the class, and goes into a dict that most never have.
    __slots__ = (
        "__dict__", "__weakref__",
        "_connector", "_total_due", "_waiter", "asker", "complete", "connection", "due", "head",
        "limits", "method", "options", "origin", "owner", "pieces", "request", "reused", "sent", "step",
    )  # fmt: skip

    body: BodyStream | None = None
    error: BaseException | None = None
    unsent = False
    read_until_eof = True
    watches_reads = False
    _upload: asyncio.Task[None] | None = None
    _writer: BodyWriter | None = None
    _continue: asyncio.Future[bool] | None = None
    _opening: asyncio.Timeout | None = None
    _closes: Outgoing | None = None
    _info: RequestInfo | None = None
    _away = False
    _late: Any = None

    def __init__(
        self, owner: SessionCore, connector: ConnectorCore, request: ClientRequest, options: RequestOptions, due: float
    ) -> None:
        self.owner = owner
        self.request = request
        self.options = options
        self.method = request.method
        self.limits: Limits = options.limits
        self.origin: Origin | None = request.origin
        self.asker = _current_task(owner.loop)
        self.due = self._total_due = due
        self.step = _QUEUED
        self.sent: bytes
        self.connection: ClientConnection | None = None
        self.head: ResponseHead | None = None
        self.pieces: list[bytes] | None = None
        self.complete = False
        self.reused = False
        self._connector = connector
        self._waiter: asyncio.Future[Any] | None = None
        if not options.read_until_eof:
            self.read_until_eof = False
        if options.timeout.sock_read:
            self.watches_reads = True
        work = owner.work
        work[self] = None
        if due < work.wake:
            work.sooner(due)

    def _go_on(self) -> None:
        """Raise if the exchange was ended while its asker was on the way to the next step."""
        if self.step is _ENDED:
            raise self.error or ClientConnectionError("The exchange has ended")

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.step is _ENDED

    def describe(self) -> str:
        """One line for reports."""
        return f"{self.method} {self.request.url.with_query(None)} ({self.step.value})"

    @property
    def request_info(self) -> RequestInfo:
        """What was asked, as responses and errors carry it."""
        if self._info is None:
            self._info = self.request.info_of(self.sent)
        return self._info

    # Getting a connection: called by the connector, in the asker's task

    async def granted(self) -> Any:
        """Wait in the pool's queue; return what `Pool.grant` decided."""
        self._go_on()
        waiter = self._waiter = self.owner.loop.create_future()
        self.step = _QUEUED
        got = False
        try:
            decision = await waiter
            got = True
            return decision
        finally:
            self._waiter = None
            if not got and waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._late = waiter.result()

    def late_grant(self) -> Any:
        """Give, once, what the pool granted in the same pass of the loop that ended the waiting."""
        late, self._late = self._late, None
        return late

    def grant(self, decision: Any) -> bool:
        """Take the pool's decision; False when nobody waits for it any more."""
        waiter = self._waiter
        if waiter is None or waiter.done():
            return False
        waiter.set_result(decision)
        return True

    def opening(self, timeout: asyncio.Timeout) -> None:
        """Note that a connection is being opened under this time-out, which an abort brings forward."""
        self._go_on()
        self.step = Step.OPENING
        self._opening = timeout
        self.due = NEVER

    def opened(self) -> None:
        """Note that the connection is open."""
        self._opening = None
        if self.step is not _ENDED:
            self.due = self._total_due
            self.owner.work.sooner(self.due)

    # Sending and waiting for the head

    def start(self, connection: ClientConnection, data: bytes) -> asyncio.Future[Any]:
        """Send the head, perhaps with the body; return the future of the response's head.

        Raises the error of an exchange that was ended meanwhile; `attempts.send` has looked before.
        """
        self._go_on()
        self.connection = connection
        self.reused = connection.uses > 0
        self.step = _ASKED
        waiter = self._waiter = self.owner.loop.create_future()
        connection.start(self, data)
        if self.options._switches:
            connection.reader.switches = True
        if self.watches_reads:
            self._watch()
        return waiter

    def send_body(
        self,
        outgoing: Outgoing,
        *,
        expect: bool,
        on_chunk: Callable[[bytes], Awaitable[None]] | None,
    ) -> None:
        """Send the body in a task of its own, which ends with the exchange at the latest."""
        connection = self.connection
        assert connection is not None
        connection.flush()  # the head goes first, also where tasks start eagerly
        if connection.held:
            return  # the connection is dying, which is about to be told; the body stays whole for another one
        payload = outgoing.body
        assert not isinstance(payload, bytes)
        writer = self._writer = BodyWriter(connection, outgoing.length, on_chunk)
        if outgoing.coding:
            writer.enable_compression(outgoing.coding)
        if outgoing.chunked:
            writer.enable_chunking()
        tracker = self.options.upload_tracker
        if tracker is not None:
            tracker._begin(writer)
        if expect:
            self._continue = self.owner.loop.create_future()
        self._upload = spawn(
            self.owner,
            send_payload(self, writer, payload, outgoing.length),
            origin=self.origin or Origin(None, 0),
            name=f"endwell: upload of {self.method} {self.request.url.host}",
            part_of_work=True,
        )
        outgoing.sender = self

        def over(_: asyncio.Task[None]) -> None:
            # Not in the task itself: one that is cancelled at once never takes a step.
            if outgoing.sender is self:
                outgoing.sender = None
            if tracker is not None:
                tracker._over(writer)

        self._upload.add_done_callback(over)

    def on_continue(self) -> None:
        """The peer wants the body."""
        if self._continue is not None and not self._continue.done():
            self._continue.set_result(True)

    def on_head(self, head: ResponseHead, pieces: list[bytes], *, complete: bool) -> None:
        """Take the head, and what came with it."""
        self.head = head
        self.step = _ANSWERED
        if complete:
            self.pieces = pieces
            if head.status != 101:
                self.on_end()
            elif self.connection is not None:
                self.connection.pause_reading()  # what comes now is for whoever takes the connection over: `switch`
        else:
            body = self.body = incoming_body(self, self.connection)
            body.feed(pieces)
            if self._continue is not None and not self._continue.done():
                self._continue.set_result(False)
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def on_end(self) -> None:
        """The response is complete; the exchange is, too, unless the request is still being sent."""
        self.complete = True
        if self.body is not None:
            self.body.end()
        upload = self._upload
        if upload is None:
            self._end(reusable=True)
            return
        if not upload.done():
            if self._continue is not None and not self._continue.done():
                self._continue.set_result(False)
            wanted = self._continue is None or self._continue.result()
            if wanted and self.head is not None and self.head.keep_alive:
                return  # the rest of the request goes out first (closing.md C8)
            upload.cancel("the peer answered and wants no more of the body")
            self._end(reusable=False)
            return
        self._end(reusable=self._writer is not None and self._writer.ended)

    # The reader's side

    def stream(self) -> BodyStream:
        """Give the body as a stream, also when it came whole."""
        body = self.body
        if body is None:
            body = self.body = incoming_body(self, None)
            if self.error is not None and not self.complete:
                body.fail(self.error)
            else:
                body.feed(self.pieces or [])
                body.end()
            self.pieces = None
        return body

    async def read_all(self) -> bytes:
        """Return the whole body, decoded."""
        pieces = self.pieces
        if pieces is not None and self.body is None and not is_coded(self):
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return await self.stream().read_all()

    @property
    def uploading(self) -> asyncio.Task[None] | None:
        """The task that sends the body, while it does."""
        return self._upload if self._upload is not None and not self._upload.done() else None

    async def close_body(self, outgoing: Outgoing) -> None:
        """Close the body of the call, as soon as it is sent."""
        if self.uploading is None:
            await outgoing.close()
        else:
            self._closes = outgoing

    async def leave(self) -> None:
        """Send the rest of the request's body, unless the peer wants to hear no more; then release (closing.md C8)."""
        upload = self.uploading
        if upload is None:
            self.release()
            return
        if self.head is not None and not self.head.keep_alive:
            self.close()
            return
        done = False
        try:
            await asyncio.wait([upload])
            done = True
        finally:
            if not done:
                self.close()
        self.release()

    def release(self) -> None:
        """Let go of the response: a small rest is read away to keep the connection, a large one costs it."""
        if self.step is _ENDED or self._away:
            return
        if self.complete:
            return  # only the upload goes on
        connection = self.connection
        left = connection.reader.length if connection is not None else None
        if connection is None or left is None or left > READ_AWAY or self.step is not _ANSWERED:
            self.close()
            return
        self._away = True
        if self.body is not None:
            self.body.fail(ClientConnectionError("Connection closed"))
            self.body = Away(self.owner.loop, None, READ_AWAY)
            self.body.fail(ClientConnectionError("Connection closed"))
            connection.resume_reading()
        self.due = min(self._total_due, self.owner.loop.time() + _READ_AWAY_TIME)
        self.owner.work.sooner(self.due)

    def close(self) -> None:
        """Let go of the response and of the connection."""
        self.fail(ClientConnectionError("Connection closed"))

    def forgotten(self) -> None:
        """See `Forgettable.forgotten`: the response was collected with its body unread."""
        loop = self.owner.loop
        foreign = self.owner.state is State.FOREIGN  # a forked child must not touch its parent's loop
        if self.step is _ENDED or self.complete or self._away or foreign or loop.is_closed():
            return
        if loop.is_running():
            loop.call_soon_threadsafe(self._forget)
        else:
            self._forget()  # it may never run again

    def switch(self) -> tuple[ClientConnection, bytes]:
        """End after a 101; give away the connection, whose slot in the pool stays taken, and what came behind the head.

        Raises:
            ClientConnectionError: and its kin, when the exchange has been ended already.

        """
        self._go_on()
        connection, self.connection = self.connection, None
        assert connection is not None
        self.complete = True
        self.step = _ENDED
        self.owner.work_ended(self)
        return connection, connection.switched()

    # Failing

    def expire(self, now: float) -> None:
        """Act on the deadline: the total one, or that between two reads."""
        if now >= self._total_due:
            total = self.options.timeout.total
            self.fail(TimeoutError(f"{self.describe()} did not finish within total={total} s"))
        elif self._away:
            self.close()
        elif self.watches_reads and self.connection is not None:
            gap = self.options.timeout.sock_read or NEVER
            ours = self.uploading is not None or (self.body is not None and self.body.paused)
            self.due = min(self._total_due, (now if ours else self.connection.read_at) + gap)
            if self.due <= now:
                self.fail(
                    SocketTimeoutError(f"Timeout on reading data from socket: {self.describe()}, sock_read={gap} s")
                )
        else:
            self.due = self._total_due

    def fail(self, error: BaseException) -> None:
        """End without success: the connection is closed, whoever waits gets the error (mapped to a public one)."""
        if self.step is _ENDED:
            return
        error = self.error = public_error(error, self)
        if self.connection is not None and self.connection.held:
            self.unsent = True
        opening = self._opening
        if opening is not None:
            # The asker's task is opening a connection: end that as its own time-out would.
            opening.reschedule(self.owner.loop.time())
        if self.body is not None:
            self.body.fail(error)
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        if self._upload is not None:
            self._upload.cancel("the exchange failed")
        if self._continue is not None and not self._continue.done():
            self._continue.set_result(False)
        self._end(reusable=False)

    def dropped(self) -> None:
        """End because the asker was cancelled or failed on the way to the head. Idempotent."""
        waiter = self._waiter
        if waiter is not None and not waiter.cancel() and not waiter.cancelled():
            waiter.exception()  # nobody else is going to look at it
        if self.step is not _ENDED:
            self.fail(ClientConnectionError("The request was cancelled"))

    def _abort(self, reason: str) -> None:
        self.fail(ExchangeAbortedError(f"{self.describe()} was aborted: {reason}", reason=reason))

    def _end(self, *, reusable: bool) -> None:
        self.step = _ENDED
        connection = self.connection
        if connection is not None:
            self.connection = None
            self._connector.take_back(connection, reusable=reusable)
        self.owner.work_ended(self)

    # Details

    def _watch(self) -> None:
        gap = self.options.timeout.sock_read
        if gap and self.connection is not None:
            self.due = min(self._total_due, self.connection.read_at + gap)
            self.owner.work.sooner(self.due)

    def refuse(self, error: CodingError) -> BaseException:
        """End because the body is not what Content-Encoding says; return the public error."""
        public = public_error(error, self)
        self.fail(public)
        return public

    def _forget(self) -> None:
        if self.step is _ENDED or self.complete or self._away:
            return
        leak = LeakReport(
            f"Response to {self.method} {self.request.url.with_query(None)}",
            origin=self.origin,
            task=None,
            age=max(0.0, self.owner.loop.time() - self.request.began),
            held=(self.connection.describe(),) if self.connection is not None else (),
            advice="write: async with session.get(url) as response: ...",
        )
        abort_work(self, "the response was forgotten")
        name_leak(self.owner, leak)
