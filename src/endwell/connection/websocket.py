"""A WebSocket over one connection, in either role: drives `wire.websocket` (RFC 6455).

It takes the place of HTTP on a connection that has switched protocols: the transport calls it, and it tells the
connection below (`Below`) what concerns it. What users see of it is `connection.messages`.

Both ends learn the true close code. Whoever closes sends its close frame, discards what still comes, and waits for the
other one's, within a time limit; a server then closes the connection, a client waits for that (section 7.1.1). A peer
that is silent is dropped when the time is over, and the code is 1006, as for one that goes without a word.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from endwell.connection.sending import Below, Phase, Sending
from endwell.wire.websocket import (
    CLOSED_MESSAGE,
    CLOSING_MESSAGE,
    MessageReader,
    MessageWriter,
    WebSocketError,
    WSCloseCode,
    WSMessage,
    WSMsgType,
)
from endwell.wire.websocket.frames import close_payload

__all__ = ("WebSocket",)

_UNREAD: Final = 256 * 1024
"""Bytes of messages that nobody has received yet, from which on the peer is made to wait."""

_EACH: Final = 128
"""What a message counts for in that beside its bytes."""

_GOING_AWAY: Final = 4.0
"""Seconds that a peer has to answer the close of a session or a server that ends: less than all goodbyes may take."""

_AT_LEAST: Final = 0.001
"""Seconds that a peer has for that in any case."""

_FOLLOWS: Final = 1.0
"""Seconds that a server has to close the connection after both close frames, before its client does."""

_LATE: Final = 0.1
"""The part of the time for a pong that the loop may be late, and still have read what was there."""

_NO_STATUS: Final = 1005
"""The code of a close frame that has none (RFC 6455 section 7.4.1)."""

_ABNORMAL: Final = 1006
"""The code of a connection that ended without a close frame."""

_REASON: Final = 123
"""Bytes of a reason that a close frame has room for (RFC 6455 section 5.5)."""


_OPEN: Final = Phase.OPEN
_CLOSING: Final = Phase.CLOSING
_TEXT: Final = WSMsgType.TEXT
_BINARY: Final = WSMsgType.BINARY
_PING: Final = WSMsgType.PING
_CLOSE: Final = WSMsgType.CLOSE


class WebSocket(Sending):
    """One WebSocket.

    Args:
        below: the connection, whose transport is taken over by `take_over`.
        reader, writer: the machine, set up for the role and the extensions that were agreed on.
        client: whether we are the client.
        autoping: answer pings, and keep them and pongs from the user.
        autoclose: answer a close frame.
        heartbeat: seconds without a byte of the peer after which it is sent a ping, to be answered in half the time.
        close_timeout: seconds that the peer has to answer a close frame; None for as long as it likes.
        reset: what a sender gets when it is too late.
        silence: what a receiver gets when the peer does not answer pings.

    Attributes:
        queue: messages that nobody has received yet; None as long as there never was one.
        close_code: of the peer's close frame, or 1006, once known.
        error: what ended the WebSocket, when it was no close frame.
        name: for reports.
        on_end: called once, when nothing is left of the connection.

    """

    __slots__ = (
        "_autoclose", "_autoping", "_beat", "_client", "_close_timeout", "_doubted", "_due", "_ended", "_feed",
        "_heard", "_heartbeat", "_look_at", "_over", "_paused", "_pinged", "_read_at", "_reader", "_silence",
        "_timer", "_unread", "_waiter", "close_code", "error", "name", "on_end", "queue",
    )  # fmt: skip

    def __init__(
        self,
        below: Below,
        reader: MessageReader,
        writer: MessageWriter,
        *,
        client: bool,
        autoping: bool = True,
        autoclose: bool = True,
        heartbeat: float | None = None,
        close_timeout: float | None = 10.0,
        reset: type[ConnectionError] = ConnectionResetError,
        silence: type[TimeoutError] = TimeoutError,
    ) -> None:
        super().__init__(below, writer, reset)
        self._silence = silence
        self.queue: deque[WSMessage] | None = None
        self.close_code: int | None = None
        self.error: BaseException | None = None
        self.on_end: Callable[[], None] | None = None
        self.name = "WebSocket"
        self._reader = reader
        self._feed = reader.feed
        self._client = client
        self._autoping = autoping
        self._autoclose = autoclose
        self._heartbeat = heartbeat
        self._close_timeout = close_timeout
        self._waiter: asyncio.Future[WSMessage | None] | None = None
        self._unread = 0
        self._paused = False
        self._over: asyncio.Future[None] | None = None
        self._ended: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._beat: asyncio.TimerHandle | None = None
        self._pinged = False
        self._doubted = False
        self._heard = False
        self._read_at = 0.0
        self._look_at = 0.0
        self._due = 0.0

    def take_over(self, rest: bytes, write_limit: int | None = None) -> None:
        """Take the transport from HTTP, with the bytes that came behind the handshake.

        `write_limit`: bytes that wait for a slow peer before senders do.
        """
        transport = self.transport
        if transport is None or transport.is_closing():
            self.loop.call_soon(self._lost, None)  # and nobody else is going to say so
            return
        transport.set_protocol(self)
        if write_limit is not None:
            transport.set_write_buffer_limits(high=max(1, write_limit))  # the TLS of asyncio never goes on from 0
        if self._heartbeat is not None:
            self._read_at = self.loop.time()
            self._look_in(self._heartbeat)
        if rest:
            self.data_received(rest)

    # What the transport calls

    def data_received(self, data: bytes) -> None:
        """Take bytes from the peer."""
        if self._heartbeat is not None:
            self._read_at = self.loop.time()
            self._heard = True
        messages = self._feed(data)
        if len(messages) == 1 and not self._reader.odd and self._phase is _OPEN:
            message = messages[0]
            kind = message[0]
            if (kind is _TEXT or kind is _BINARY) and self._hand_over(message):
                return
        self._take_all(messages)

    def _hand_over(self, message: WSMessage) -> bool:
        """Give a message to the task that waits for one, as it nearly always does; False when none does."""
        waiter = self._waiter
        if waiter is None or waiter.done():
            return False
        self._waiter = None
        waiter.set_result(message)
        return True

    def _put(self, message: WSMessage, size: int = 0) -> None:
        if self.queue is None:
            self.queue = deque()  # not before: an idle WebSocket has none
        self.queue.append(message)
        self._unread += size + _EACH

    def _take_all(self, messages: list[WSMessage]) -> None:
        """Take messages, and what the reader says beside them."""
        reader = self._reader
        for message in messages:
            kind = message[0]
            if (kind is _TEXT or kind is _BINARY) and self._phase is _OPEN:
                self._put(message, len(message[1]))
            else:
                self._take_control(message)
        if reader.error is not None:
            self._refuse(reader.error)
        if self.queue:
            self._wake()
        if self.queue and self._phase is _OPEN:
            if self._unread > _UNREAD or reader.held:
                self._pause()
        elif reader.held:
            self.loop.call_soon(self._go_on)

    def eof_received(self) -> bool:
        """Take the peer's end of sending: nothing more can come, so the transport closes."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that nothing is left of the connection."""
        self.below.connection_lost(exc)
        self._lost(exc)

    # Receiving: `connection.messages` looks into the queue first

    def arrival(self) -> asyncio.Future[WSMessage | None]:
        """Give the future of the next message; None means that it is to be taken (`take`).

        Whoever is cancelled while it waits hands the future to `give_back`.

        Raises:
            RuntimeError: another task waits already.

        """
        if self.receiving:
            message = "Concurrent call to receive() is not allowed: one task receives, others may send"
            raise RuntimeError(message)
        waiter: asyncio.Future[WSMessage | None] = self.loop.create_future()
        if self._phase is Phase.CLOSED:
            waiter.set_result(None)
        else:
            self._waiter = waiter
        return waiter

    def give_back(self, waiter: asyncio.Future[WSMessage | None]) -> None:
        """Keep the message that came in the same pass of the loop in which its receiver was cancelled."""
        if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            message = waiter.result()
            if message is not None:
                self.queue = deque((message, *(self.queue or ())))
                self._unread += len(message[1]) + _EACH

    def take(self) -> WSMessage:
        """Give the next message; a closed WebSocket has no end of CLOSED."""
        queue = self.queue
        if not queue:
            return CLOSED_MESSAGE
        message = queue.popleft()
        if not queue:
            self._unread = 0
            if self._paused:
                self._resume()
        return message

    @property
    def receiving(self) -> bool:
        """Whether a task waits for a message."""
        return self._waiter is not None and not self._waiter.done()

    # Closing

    def close(self, code: int, reason: bytes, *, timeout: float | None = None) -> None:
        """Begin to close; `over` gives what to await. Idempotent.

        What was received before can still be taken; nothing is received any more. The peer has `timeout` seconds
        (that of the WebSocket when None) to answer.

        Raises:
            ValueError: the code may not be sent, or the reason is too long or no UTF-8.

        """
        phase = self._phase
        if phase is not _OPEN and phase is not Phase.ASKED:
            return
        payload = close_payload(code, reason)
        self._send_close(payload)
        if phase is Phase.ASKED:
            self._end(orderly=True)
        else:
            self._enter(_CLOSING)
            self._put(CLOSING_MESSAGE)
            self._wake()
            self._expect(self._close_timeout if timeout is None else timeout)
        if self._paused:
            self._resume()  # the peer's close frame is behind what nobody has received

    def go_away(self, most: float | None = None) -> None:
        """Close because the session or the server ends (1001), and wait for nobody for long. Idempotent.

        `most`: seconds that the one who ends has for it; None for no limit.
        """
        limit = max(
            _AT_LEAST, min(_GOING_AWAY, self._close_timeout or _GOING_AWAY, _GOING_AWAY if most is None else most)
        )
        if self._phase is _CLOSING or self._phase is Phase.ENDING:
            self._expect(limit, at_most=True)
        else:
            self.close(WSCloseCode.GOING_AWAY, b"", timeout=limit)

    def fail(self) -> None:
        """Close because the program that used it has failed (1011), if it is still open."""
        self.close(WSCloseCode.INTERNAL_ERROR, b"")

    def over(self) -> asyncio.Future[None]:
        """Give the future that is done when the close is complete: for a client, when the connection is gone."""
        if self._client:
            return self.ended()
        if self._over is None:
            self._over = self.loop.create_future()
            if self._phase in (Phase.ENDING, Phase.CLOSED):
                self._over.set_result(None)
        return self._over

    def ended(self) -> asyncio.Future[None]:
        """Give the future that is done when nothing is left of the connection."""
        if self._ended is None:
            self._ended = self.loop.create_future()
            if self._phase is Phase.CLOSED:
                self._ended.set_result(None)
        return self._ended

    def abort(self) -> None:
        """Free the connection now; the peer is told nothing."""
        self.below.discard()

    def inherited(self) -> None:
        """We are the copy in a forked child: touch nothing."""
        self.transport = None
        self._enter(Phase.CLOSED)

    def _take_control(self, message: WSMessage) -> None:
        """Take what is not for the user, or not any more."""
        kind, data, _ = message
        if kind is _CLOSE:
            self._take_close(message)
        elif self._phase is not _OPEN:
            pass  # data and pings behind our close frame
        elif not self._autoping:
            self._put(message, len(data))
        elif kind is _PING:
            self._pong(data)

    def _take_close(self, message: WSMessage) -> None:
        code = message.data or _NO_STATUS
        if self._phase is _CLOSING:
            self.close_code = code
            self._end(orderly=True)
        elif self._phase is _OPEN:
            self.close_code = code
            self._put(message)
            if self._autoclose:
                self._send_close(close_payload(message.data, b"") if message.data else b"")
                self._end(orderly=True)
            else:
                self._enter(Phase.ASKED)

    def _refuse(self, error: WebSocketError) -> None:
        """End because the peer broke the protocol: tell it how (section 7.1.7)."""
        if self._phase is _OPEN:
            self.error = error
            self.close_code = int(error.code)
            self._put(WSMessage(WSMsgType.ERROR, error, None))
            self._send_close(close_payload(error.code, str(error).encode()[:_REASON].decode(errors="ignore").encode()))
        if self._phase in (_OPEN, _CLOSING):
            self._end(orderly=False)

    def _send_close(self, payload: bytes) -> None:
        self._write(self._writer.control(_CLOSE, payload))

    def _end(self, *, orderly: bool) -> None:
        """Both have said what they had to say: have the connection end."""
        self._enter(Phase.ENDING)
        self._stop_beating()
        self._wake()
        if self._over is not None and not self._over.done():
            self._over.set_result(None)
        if self._client:
            self._expect(_FOLLOWS, at_most=True)
        self.below.websocket_over(orderly=orderly)

    def _lost(self, exc: Exception | None) -> None:
        if self._phase is Phase.CLOSED:
            return
        if self._phase is _OPEN and self.error is None:
            self.error = exc
        self._enter(Phase.CLOSED)
        if self.close_code is None:
            self.close_code = _ABNORMAL
        self._stop_beating()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake()
        for future in (self._over, self._ended):
            if future is not None and not future.done():
                future.set_result(None)
        if self.on_end is not None:
            self.on_end()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _expect(self, seconds: float | None, *, at_most: bool = False) -> None:
        """Have the connection dropped in so many seconds, or earlier if that is so already."""
        timer = self._timer
        if not seconds:
            return  # no limit, as for all times of aiohttp's
        due = self.loop.time() + seconds
        if timer is not None:
            if at_most and self._due <= due:
                return
            timer.cancel()
        self._due = due
        self._timer = self.loop.call_at(due, self._too_silent)

    def _too_silent(self) -> None:
        self._timer = None
        if self._phase is _CLOSING:
            self.close_code = _ABNORMAL
            self.error = TimeoutError(f"The peer of the {self.name} did not answer the close frame in time")
        self.below.discard()

    # Heartbeats

    def _look(self) -> None:
        """See whether the peer has been heard of; ask it, or drop it, if not."""
        assert self._heartbeat is not None
        now = self.loop.time()
        wait = self._heartbeat / 2
        if self._paused:
            self._heard = True  # it is us who do not read
            self._read_at = now
        if self._pinged and not self._heard:
            if self._doubted or now - self._look_at <= wait * _LATE:
                self._dead(wait)
            else:
                self._doubted = True  # the loop was busy: what the peer has sent meanwhile may be read after this
                self._look_in(wait * _LATE)
            return
        self._pinged = self._doubted = False
        quiet = now - self._read_at
        if quiet < self._heartbeat:
            self._look_in(self._heartbeat - quiet)
            return
        self._pinged = True
        self._heard = False
        if self.below._writable is None:
            self._write(self._writer.control(_PING, b""))
        self._look_in(wait)

    def _look_in(self, seconds: float) -> None:
        self._look_at = self.loop.time() + seconds
        self._beat = self.loop.call_later(seconds, self._look)

    def _dead(self, wait: float) -> None:
        self.close_code = _ABNORMAL
        message = f"No byte came from the peer within {wait} s of a ping (heartbeat={self._heartbeat})"
        self.error = self._silence(message)
        self._put(WSMessage(WSMsgType.ERROR, self.error, None))
        self._wake()
        self.below.discard()

    def _stop_beating(self) -> None:
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None

    # Flow control

    def _pause(self) -> None:
        if not self._paused and self.transport is not None and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def _resume(self) -> None:
        self._paused = False
        if self._reader.held:
            self.loop.call_soon(self._go_on)
        elif self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def _go_on(self) -> None:
        """Take what the reader has held back."""
        self.data_received(b"")
        if (
            not self._paused
            and not self._reader.held
            and self.transport is not None
            and not self.transport.is_closing()
        ):
            self.transport.resume_reading()
