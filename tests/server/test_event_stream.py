"""Server-sent events: what is written, and how the block ends when the server stops or the client goes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endwell.client.sse import EventStreamParser, ServerSentEvent
from endwell.http.version import HttpVersion10
from endwell.server.event_stream import EventStreamResponse, event_stream
from endwell.server.request import Request
from endwell.server.response import ContentCoding
from endwell.testing.mocked import MockedExchange, make_mocked_request
from tests.server.test_response import sent, unchunk


class Transport(asyncio.Transport):
    """What heartbeats are written to; the rest goes to the transport of the mocked exchange."""

    def __init__(self) -> None:
        super().__init__()
        self.written: asyncio.Queue[bytes] = asyncio.Queue()
        self.asked: asyncio.Queue[int] = asyncio.Queue()
        self.buffered = 0
        self.closing = False

    def write(self, data: Any) -> None:
        self.written.put_nowait(bytes(data))

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        self.asked.put_nowait(self.buffered)
        return self.buffered


def get(method: str = "GET", **arguments: Any) -> Request:
    return make_mocked_request(method, "/", loop=asyncio.get_running_loop(), **arguments)


def exchange_of(request: Request) -> MockedExchange:
    exchange = request._exchange
    assert isinstance(exchange, MockedExchange)
    return exchange


async def at_rest() -> None:
    """Let every other task go as far as it gets without help."""
    for _ in range(5):
        await asyncio.sleep(0)


def text_of(request: Request) -> str:
    return unchunk(sent(request)[2]).decode()


# What is written


async def test_a_stream_of_events() -> None:
    request = get()
    async with event_stream(request, retry=2500) as events:
        assert isinstance(events, EventStreamResponse)
        await events.send("one")
        await events.send("two\nlines", event="kind", id="7", retry=10)
        await events.send("", id="")
        await events.send_json({"a": [1]}, event="json")
        await events.send_json(1, dumps=lambda value: f"<{value}>")
        await events.comment("a\nb")
        await events.comment()
    line, fields, _ = sent(request)
    assert line == b"HTTP/1.1 200 OK"
    assert dict(fields) == {
        "Content-Type": "text/event-stream",
        "Cache-Control": "no-cache",
        "X-Accel-Buffering": "no",
        "Transfer-Encoding": "chunked",
    }
    assert text_of(request) == (
        "retry: 2500\n\n"
        "data: one\n\n"
        "event: kind\nid: 7\nretry: 10\ndata: two\ndata: lines\n\n"
        "id: \ndata: \n\n"
        'event: json\ndata: {"a": [1]}\n\n'
        "data: <1>\n\n"
        ": a\n: b\n\n"
        ": \n\n"
    )
    assert not events.stopped
    assert exchange_of(request).ended
    await events.write_eof()


async def test_each_event_goes_out_at_once() -> None:
    request = get()
    async with event_stream(request) as events:
        assert exchange_of(request).sent.endswith(b"\r\n\r\n")
        await events.send("a")
        assert exchange_of(request).sent.endswith(b"\r\n9\r\ndata: a\n\n\r\n")


@pytest.mark.parametrize("data", ["a\nb", "a\rb", "a\r\nb"])
async def test_lines_end_as_the_standard_says(data: str) -> None:
    request = get()
    async with event_stream(request) as events:
        await events.send(data)
        await events.send("x\x0by\x0cz\x1c\x85\u2028!")
    assert text_of(request) == "data: a\ndata: b\n\ndata: x\x0by\x0cz\x1c\x85\u2028!\n\n"


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
            st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=8),
            st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=8),
            st.none() | st.integers(0, 10**9),
        ),
        max_size=5,
    )
)
async def test_the_client_reads_what_was_sent(
    given_events: list[tuple[str, str | None, str | None, int | None]],
) -> None:
    request = get()
    async with event_stream(request) as events:
        for data, event, event_id, retry in given_events:
            await events.send(data, event, event_id, retry)
            await events.comment(data)
    wanted, last = [], ""
    for data, event, event_id, retry in given_events:
        last = last if event_id is None else event_id
        lines = data.replace("\r\n", "\n").replace("\r", "\n")
        wanted.append(ServerSentEvent(event or "message", lines, last, retry))
    assert EventStreamParser().feed(text_of(request).encode()) == wanted


@pytest.mark.parametrize("bad", ["a\nb", "a\r", "\r\ndata: forged\r\n", "a\0"])
@pytest.mark.parametrize("name", ["event", "id"])
async def test_line_ends_in_event_and_id(name: str, bad: str) -> None:
    request = get()
    async with event_stream(request) as events:
        with pytest.raises(ValueError, match=f"The {name} of a server-sent event"):
            await events.send("data", **{name: bad})  # type: ignore[arg-type]  # one of two strings
    assert text_of(request) == ""


@pytest.mark.parametrize("retry", [-1, 1.5, "5", True])
async def test_retry_is_a_number_of_milliseconds(retry: Any) -> None:
    with pytest.raises(ValueError, match="milliseconds"):
        EventStreamResponse(retry=retry)
    async with event_stream(get()) as events:
        with pytest.raises(ValueError, match="milliseconds"):
            await events.send("a", retry=retry)


@pytest.mark.parametrize("data", [b"a", 5, None, {}])
async def test_data_is_a_string(data: Any) -> None:
    async with event_stream(get()) as events:
        with pytest.raises(TypeError, match="send_json"):
            await events.send(data)


@pytest.mark.parametrize("heartbeat", [0, -1, float("nan")])
def test_heartbeat_is_positive(heartbeat: float) -> None:
    with pytest.raises(ValueError, match="heartbeat"):
        EventStreamResponse(heartbeat=heartbeat)


async def test_fields_of_the_application() -> None:
    request = get()
    async with event_stream(request, headers={"X": "y", "cache-control": "no-store"}):
        pass
    fields = sent(request)[1]
    assert fields.getall("Cache-Control") == ["no-store"]
    assert fields["X"] == "y"
    request = get()
    with pytest.raises(ValueError, match="'X'"):
        async with event_stream(request, headers={"X": "a\r\nb: c"}):
            pytest.fail("the block must not begin")
    assert not exchange_of(request).started


async def test_last_event_id() -> None:
    events = event_stream(get(headers={"Last-Event-ID": "41"}))
    assert events.last_event_id == "41"
    async with events:
        assert events.last_event_id == "41"
    assert event_stream(get()).last_event_id == ""
    assert EventStreamResponse().last_event_id == ""


async def test_without_the_block() -> None:
    request = get()
    events = EventStreamResponse()
    with pytest.raises(RuntimeError, match=r"before prepare"):
        await events.send("a")
    with pytest.raises(RuntimeError, match="async with"):
        await events.__aenter__()
    await events.prepare(request)
    await events.send("a")
    await events.write_eof()
    assert text_of(request) == "data: a\n\n"
    with pytest.raises(RuntimeError, match=r"after write_eof"):
        await events.send("b")


async def test_used_twice() -> None:
    events = event_stream(get())
    async with events:
        pass
    with pytest.raises(RuntimeError, match="used already"):
        async with events:
            pytest.fail("the block must not begin")


async def test_never_compressed() -> None:
    request = get(headers={"Accept-Encoding": "gzip"})
    events = event_stream(request)
    events.enable_compression()
    events.enable_compression(ContentCoding.gzip)
    async with events:
        await events.send("a")
    assert text_of(request) == "data: a\n\n"


async def test_http10_until_the_connection_closes() -> None:
    request = get(version=HttpVersion10, headers={"Connection": "keep-alive"})
    async with event_stream(request) as events:
        await events.send("a")
    _, fields, body = sent(request)
    assert "Transfer-Encoding" not in fields
    assert body == b"data: a\n\n"
    assert not exchange_of(request).keep_alive


# Heartbeats


async def test_heartbeats() -> None:
    for version, beat in ((None, b"3\r\n:\n\n\r\n"), (HttpVersion10, b":\n\n")):
        transport = Transport()
        request = get(transport=transport, **({} if version is None else {"version": version}))
        async with event_stream(request, heartbeat=0.001) as events:
            assert await transport.written.get() == beat
            assert await transport.written.get() == beat
        beats = 2 + transport.written.qsize()
        assert events.body_length == len(exchange_of(request).sent) + beats * len(beat)
        await asyncio.sleep(0.003)  # long enough for a timer that was forgotten
        assert transport.written.qsize() == beats - 2


async def test_no_heartbeat_while_there_are_events() -> None:
    transport = Transport()
    async with event_stream(get(transport=transport), heartbeat=3600) as events:
        await events.send("a")
        assert events._timer is not None
        events._timer.cancel()
        before = asyncio.get_running_loop().time()
        events._beat(3600)  # as if it were due, but an event has just gone out
        assert transport.written.empty()
        assert events._timer.when() < before + 3601  # type: ignore[attr-defined]  # it is a timer now


async def test_no_heartbeat_to_who_does_not_read() -> None:
    transport = Transport()
    transport.buffered = 1
    async with event_stream(get(transport=transport), heartbeat=0.001):
        assert await transport.asked.get() == 1
        assert await transport.asked.get() == 1
        assert transport.written.empty()
        transport.buffered = 0
        assert await transport.written.get() == b"3\r\n:\n\n\r\n"


async def test_no_heartbeat_at_all() -> None:
    async with event_stream(get(), heartbeat=None) as events:
        assert events._timer is None


# The server stops


async def test_the_block_ends_when_the_server_stops() -> None:
    request = get()
    steps: list[str] = []

    async def handler() -> EventStreamResponse:
        async with event_stream(request) as events:
            await events.send("a")
            try:
                await asyncio.Event().wait()
            finally:
                steps.append("finally")
            steps.append("not here")
        steps.append("behind")
        await asyncio.sleep(0)
        return events

    task = asyncio.create_task(handler())
    await at_rest()
    exchange_of(request).stop()
    events = await task
    assert steps == ["finally", "behind"]
    assert events.stopped
    assert task.cancelling() == 0
    assert text_of(request) == "data: a\n\n"
    assert exchange_of(request).ended


async def test_the_server_stops_while_the_client_is_slow() -> None:
    request = get()

    async def handler() -> EventStreamResponse:
        async with event_stream(request) as events:
            for number in itertools.count():
                await events.send(str(number))
        return events

    exchange = exchange_of(request)
    exchange.stream.pause_writing()
    task = asyncio.create_task(handler())
    await at_rest()
    exchange.stop()
    await at_rest()
    assert not task.done()  # the last chunk is on its way
    exchange.stream.resume_writing()
    assert (await task).stopped
    assert text_of(request) == "data: 0\n\n"


async def test_the_server_had_stopped_before() -> None:
    request = get()
    exchange_of(request).stop()
    async with event_stream(request) as events:
        await asyncio.Event().wait()
    assert events.stopped
    assert text_of(request) == ""


async def test_the_server_is_stopped_by_the_handler_itself() -> None:
    for waits in (False, True):
        request = get()
        async with event_stream(request) as events:
            exchange_of(request).stop()
            if waits:
                await asyncio.sleep(3600)
        await asyncio.sleep(0)  # nothing of the interruption is left for later
        await asyncio.sleep(0)
        assert events.stopped
        assert exchange_of(request).ended


async def test_stopped_after_the_block() -> None:
    request = get()
    async with event_stream(request) as events:
        pass
    exchange_of(request).stop()
    await at_rest()
    assert not events.stopped


async def test_a_block_that_goes_on_regardless() -> None:
    request = get()

    async def handler() -> EventStreamResponse:
        async with event_stream(request) as events:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await events.send("bye")
        return events

    task = asyncio.create_task(handler())
    await at_rest()
    exchange_of(request).stop()
    events = await task
    assert events.stopped
    assert task.cancelling() == 0
    assert text_of(request) == "data: bye\n\n"


async def test_an_error_of_the_block_while_the_server_stops() -> None:
    request = get()

    async def handler() -> None:
        async with event_stream(request):
            try:
                await asyncio.Event().wait()
            finally:
                raise LookupError("mine")

    task = asyncio.create_task(handler())
    await at_rest()
    exchange_of(request).stop()
    with pytest.raises(LookupError, match="mine"):
        await task
    assert task.cancelling() == 0
    assert not exchange_of(request).ended  # cut off


async def cancelled_from_outside(interrupt: Callable[[asyncio.Task[Any], MockedExchange], None]) -> Request:
    request = get()

    async def handler() -> None:
        async with event_stream(request):
            await asyncio.Event().wait()

    task = asyncio.create_task(handler())
    await at_rest()
    interrupt(task, exchange_of(request))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
    return request


async def test_a_cancellation_from_outside_stays_one() -> None:
    request = await cancelled_from_outside(lambda task, exchange: task.cancel())
    assert not exchange_of(request).ended


async def test_a_cancellation_from_outside_wins_over_ours() -> None:
    def stop_and_cancel(task: asyncio.Task[Any], exchange: MockedExchange) -> None:
        exchange.stop()
        task.cancel()

    def stop_then_cancel(task: asyncio.Task[Any], exchange: MockedExchange) -> None:
        exchange.stop()
        asyncio.get_running_loop().call_soon(task.cancel)

    for interrupt in (stop_and_cancel, stop_then_cancel):
        request = await cancelled_from_outside(interrupt)
        assert not exchange_of(request).ended


async def test_within_a_timeout_of_the_handler() -> None:
    request = get()

    async def handler() -> EventStreamResponse:
        async with asyncio.timeout(3600), event_stream(request) as events:
            await asyncio.Event().wait()
        return events

    task = asyncio.create_task(handler())
    await at_rest()
    exchange_of(request).stop()
    assert (await task).stopped

    request = get()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001), event_stream(request) as events:
            await asyncio.Event().wait()
    assert not events.stopped
    assert not exchange_of(request).ended


async def test_cancelled_while_it_begins() -> None:
    request = get()
    exchange_of(request).stream.pause_writing()

    async def handler() -> None:
        async with event_stream(request, retry=1):
            pytest.fail("the block must not begin")

    task = asyncio.create_task(handler())
    await at_rest()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    exchange_of(request).stop()


# HEAD, and clients that go


async def test_head_ends_the_block() -> None:
    async def wait(events: EventStreamResponse) -> None:
        await asyncio.Event().wait()

    async def send(events: EventStreamResponse) -> None:
        while True:
            await events.send("a")

    blocks: list[Callable[[EventStreamResponse], Awaitable[None]]] = [wait, send]
    for block in blocks:
        request = get("HEAD")
        async with event_stream(request) as events:
            await block(events)
        _, fields, body = sent(request)
        assert (fields["Content-Type"], body) == ("text/event-stream", b"")
        assert not events.stopped


async def test_sending_to_a_client_that_has_gone() -> None:
    request = get()

    async def handler() -> None:
        async with event_stream(request) as events:
            await events.send("a")
            exchange_of(request).disconnect()
            await events.send("b")
            pytest.fail("the client has gone")

    with pytest.raises(ConnectionResetError):
        await handler()
    assert sent(request)[2] == b"9\r\ndata: a\n\n\r\n"


@pytest.mark.parametrize("gone", ["closing", "none"])
async def test_waiting_while_the_client_goes(gone: str) -> None:
    transport = Transport()
    request = get(transport=transport)
    events = event_stream(request, heartbeat=0.001)

    async def handler() -> None:
        async with events:
            if gone == "closing":
                transport.closing = True
            else:
                exchange_of(request).give(transport=None)
            await asyncio.Event().wait()

    with pytest.raises(ConnectionResetError, match="has gone") as caught:
        await handler()
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)
    assert not events.stopped
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
