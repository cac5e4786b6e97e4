"""Event streams: the grammar at any split, the limits, and reading across connections."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from endwell.client.errors import (
    ClientConnectionError,
    ClientPayloadError,
    ClientResponseError,
    ContentCodingError,
    ContentTypeError,
    ExchangeAbortedError,
    ServerDisconnectedError,
    SessionClosedError,
)
from endwell.client.request_info import RequestInfo
from endwell.client.sse import EventSource, EventStreamError, EventStreamParser, ServerSentEvent, sse

Event = ServerSentEvent


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"", []),
        (b"data: x\n", []),
        (b"data: x\n\n", [Event("message", "x")]),
        (b"data:x\r\rdata:y\r\n\r\n", [Event("message", "x"), Event("message", "y")]),
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", [Event("message", "YHOO\n+2\n10")]),
        (b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
         [Event("message", "first event", "1"), Event("message", "second event"), Event("message", " third event")]),
        (b"data\n\ndata\ndata\n\ndata:", [Event("message", ""), Event("message", "\n")]),
        (b"data:test\n\ndata: test\n\n", [Event("message", "test"), Event("message", "test")]),
        (b"event: add\ndata: 1\n\ndata: 2\n\n", [Event("add", "1"), Event("message", "2")]),
        (b"event: lost\n\ndata: 1\n\n", [Event("message", "1")]),
        (b"event:\ndata: 1\n\n", [Event("message", "1")]),
        (b"id: 7\n\ndata: 1\n\n", [Event("message", "1", "7")]),
        (b"id: 7\ndata: 1\n\nid: a\0b\ndata: 2\n\n", [Event("message", "1", "7"), Event("message", "2", "7")]),
        (b"retry: 10\ndata: 1\n\ndata: 2\n\n", [Event("message", "1", "", 10), Event("message", "2")]),
        (b"retry: 1s\nretry: -1\nretry:\nretry: \xd9\xa1\ndata: 1\n\n", [Event("message", "1")]),
        (b"\xef\xbb\xbfdata: x\n\n", [Event("message", "x")]),
        (b"\n\xef\xbb\xbfdata: x\n\n", []),
        (b"data: a\xffb \xe2\x82\xac \xe2\x82\n\n", [Event("message", "a\ufffdb \u20ac \ufffd")]),
        ("data: a\u2028b\x0bc\x85\n\n".encode(), [Event("message", "a\u2028b\x0bc\x85")]),
        (b"unknown: x\nData: x\n data: x\ndata : x\n\n", []),
        (b":data: x\n\n", []),
    ],
)  # fmt: skip
def test_grammar(stream: bytes, events: list[Event]) -> None:
    assert EventStreamParser().feed(stream) == events
    parser = EventStreamParser()
    assert [event for i in range(len(stream)) for event in parser.feed(stream[i : i + 1])] == events


LINES = st.sampled_from(
    [b"data: x", b"data", b"data:\xe2\x82\xac", b"event: e", b"id: 1", b"id", b"retry: 5", b": c", b"", b"", b"\xff"]
)


@given(
    lines=st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r", b"\r\n"])), max_size=20),
    bom=st.booleans(),
    cuts=st.lists(st.integers(0, 200), max_size=8),
)
def test_any_split_gives_the_same_events(lines: list[tuple[bytes, bytes]], bom: bool, cuts: list[int]) -> None:
    stream = (b"\xef\xbb\xbf" if bom else b"") + b"".join(line + end for line, end in lines)
    whole, parts = EventStreamParser(), EventStreamParser()
    expected = whole.feed(stream)
    places = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
    found = []
    for start, end in zip(places, [*places[1:], len(stream)], strict=True):
        found += parts.feed(stream[start:end])
    assert found == expected
    assert (parts.last_event_id, parts.retry) == (whole.last_event_id, whole.retry)


def test_a_lone_cr_completes_an_event_at_once() -> None:
    parser = EventStreamParser()
    assert parser.feed(b"data: x\r\r") == [Event("message", "x")]
    assert parser.feed(b"\ndata: y\n") == []
    assert parser.feed(b"\n") == [Event("message", "y")]


def test_the_limit_of_a_line() -> None:
    exactly = b"data:" + b"x" * 95
    parser = EventStreamParser(max_line=100)
    assert len(parser.feed(exactly + b"\n\n")) == 1
    for first, then in ((b"", exactly + b"x\n"), (exactly, b"x"), (exactly, b"x\n"), (b"", b":" + b"x" * 200)):
        parser = EventStreamParser(max_line=100)
        assert parser.feed(first) == []
        with pytest.raises(EventStreamError, match="longer than 100 bytes"):
            parser.feed(then)


@pytest.mark.parametrize("line", [b"data\n", b"data: 123456789\n"])
def test_the_limit_of_an_event(line: bytes) -> None:
    parser = EventStreamParser(max_event=1000)
    with pytest.raises(EventStreamError, match="longer than 1000 bytes") as caught:
        parser.feed(b"data: before\n\n" + line * 200)
    assert caught.value.events == [Event("message", "before")]
    parser = EventStreamParser(max_event=1000)
    assert len(parser.feed((line * 20 + b"\n") * 50)) == 50


def test_an_id_that_no_request_could_carry() -> None:
    parser = EventStreamParser()
    parser.feed(b"id: 1\n\nid: " + b"x" * 5000 + b"\n\n")
    assert parser.last_event_id == "1"


def test_a_huge_retry_is_a_number() -> None:
    parser = EventStreamParser()
    parser.feed(b"retry: " + b"9" * 5000 + b"\n")
    assert parser.retry == 999_999_999_999


def test_only_complete_events_move_the_id() -> None:
    parser = EventStreamParser()
    parser.feed(b"id: 1\ndata: x\n\nid: 2\ndata: y\n")
    assert parser.last_event_id == "1"
    after = parser.successor()
    assert after.feed(b"data: z\n\n") == [Event("message", "z", "1")]


def test_json() -> None:
    event = EventStreamParser().feed(b'data: {"a":\ndata: 1}\n\n')[0]
    assert event.json() == {"a": 1}
    assert event.json(loads=len) == 8
    with pytest.raises(ValueError):
        Event("message", "x").json()


# -- reading -----------------------------------------------------------------------------------------------------------


class Response:
    """A response whose body is a script: bytes to be read, or errors to be raised."""

    def __init__(self, *script: Any, status: int = 200, content_type: str = "text/event-stream") -> None:
        self.status = status
        self.reason = "the reason"
        self.content_type = content_type
        self.history = ()
        self.headers = CIMultiDictProxy(CIMultiDict[str]())
        self.request_info = RequestInfo(URL("http://x/"), "GET", self.headers)
        self.content = SimpleNamespace(readany=self.readany)
        self.script = list(script)
        self.next: list[Any] = []
        self.told: list[dict[str, str]] = []
        self.closed = False

    async def readany(self) -> bytes:
        await asyncio.sleep(0)
        assert not self.closed
        step = self.script.pop(0) if self.script else b""
        if isinstance(step, BaseException):
            raise step
        return bytes(step)

    async def _replay(self, fields: dict[str, str]) -> Any:
        await asyncio.sleep(0)
        self.told.append(fields)
        following = self.next.pop(0) if self.next else SessionClosedError()
        if isinstance(following, BaseException):
            raise following
        following.next, following.told = self.next, self.told
        return following

    def close(self) -> None:
        self.closed = True


def source(first: Response, *following: Any, **options: Any) -> EventSource:
    first.next = list(following)
    return sse(first, **{"retry": 0, "max_delay": 0.0, **options})  # type: ignore[arg-type] # it has what sse() reads


async def collect(events: EventSource) -> list[str]:
    return [event.data async for event in events]


async def test_one_connection() -> None:
    first = Response(b"data: 1\n\nda", b"ta: 2\n\ndata: lost\n")
    events = source(first, reconnect=False)
    assert await collect(events) == ["1", "2"]
    assert first.closed
    assert await collect(events) == []


@pytest.mark.parametrize(
    "end",
    [None, ServerDisconnectedError(), ClientPayloadError("cut"), TimeoutError()],
    ids=lambda end: type(end).__name__,
)
async def test_a_lost_connection_goes_on_from_the_last_id(end: Any) -> None:
    first = Response(b"id: a\ndata: 1\n\nid: b\ndata: los", *([end] if end else []))
    second, third = Response(b"data: 2\n\n"), Response(b"id\ndata: 3\n\n")
    assert await collect(source(first, second, third)) == ["1", "2", "3"]
    assert first.told == [{"Last-Event-ID": "a"}, {"Last-Event-ID": "a"}, {}]
    assert all(response.closed for response in (first, second, third))


async def test_no_content_ends_it() -> None:
    assert await collect(source(Response(status=204, content_type=""))) == []
    last = Response(status=204)
    assert await collect(source(Response(b"data: 1\n\n"), last)) == ["1"]
    assert last.closed
    assert len(last.told) == 1


@pytest.mark.parametrize("error", [ExchangeAbortedError(), SessionClosedError()])
async def test_a_closed_session_ends_it(error: Exception) -> None:
    first = Response(b"data: 1\n\n", error)
    assert await collect(source(first, Response(b"data: 2\n\n"))) == ["1"]
    assert await collect(source(Response(b"data: 1\n\n"), error)) == ["1"]


@pytest.mark.parametrize("status", [404, 500, 301, 206])
async def test_another_status(status: int) -> None:
    first = Response(status=status)
    with pytest.raises(ClientResponseError, match=f"{status}, message='the reason'"):
        await collect(source(first, Response()))
    assert first.closed


async def test_another_media_type() -> None:
    first = Response(content_type="text/html")
    with pytest.raises(ContentTypeError, match="'text/html', an event stream has 'text/event-stream'"):
        await collect(source(first))
    assert first.closed
    with pytest.raises(ContentTypeError):
        await collect(source(Response(b"data: 1\n\n"), Response(content_type="text/html")))


async def test_a_reconnection_that_may_do_better() -> None:
    first = Response(b"data: 1\n\n")
    events = source(first, ClientConnectionError("no"), Response(status=503), TimeoutError(), Response(b"data: 2\n\n"))
    assert await collect(events) == ["1", "2"]
    with pytest.raises(ClientResponseError, match="404"):
        await collect(source(Response(b"data: 1\n\n"), Response(status=404), Response(b"data: 2\n\n")))


async def test_max_reconnects() -> None:
    error = ServerDisconnectedError()
    first = Response(b"data: 1\n\n")
    with pytest.raises(ServerDisconnectedError):
        await collect(source(first, error, error, Response(b"data: 2\n\n"), max_reconnects=2))
    assert len(first.told) == 2
    # An event starts the count again; without an error the end is an end.
    rows = [
        Response(b"data: 2\n\n"),
        Response(),
        Response(b"data: 3\n\n"),
        Response(),
        Response(),
        Response(b"data: 4\n\n"),
    ]
    assert await collect(source(Response(b"data: 1\n\n"), *rows, max_reconnects=2)) == ["1", "2", "3"]
    with pytest.raises(ServerDisconnectedError):
        await collect(source(Response(error), Response(b"data: 1\n\n"), max_reconnects=0))
    with pytest.raises(ValueError, match="max_reconnects"):
        source(first, max_reconnects=-1)


@pytest.mark.parametrize("reconnect", [True, False])
async def test_errors_that_no_reconnection_mends(reconnect: bool) -> None:
    with pytest.raises(ContentCodingError):
        await collect(source(Response(ContentCodingError("bad")), Response(), reconnect=reconnect))
    with pytest.raises(ClientConnectionError):
        await collect(source(Response(ClientConnectionError()), reconnect=False))


async def test_events_before_a_fault_are_delivered() -> None:
    first = Response(b"data: 1\n\ndata: " + b"x" * 100 + b"\n\n")
    events = source(first, Response(b"data: 2\n\n"), max_line=50)
    assert (await anext(events)).data == "1"
    with pytest.raises(ClientPayloadError, match="longer than 50 bytes"):
        await anext(events)
    assert first.closed
    assert await collect(events) == []


async def test_leaving_closes_the_response() -> None:
    first = Response(b"data: 1\n\ndata: 2\n\n")
    async with source(first) as events:
        async for event in events:
            assert event.data == "1"
            assert events.response is first
            break
        assert not first.closed
    assert first.closed
    assert await collect(events) == []
    await events.aclose()


async def test_leaving_closes_a_later_response() -> None:
    second = Response(b"id: 9\ndata: 2\n\n", b"data: 3\n\n")
    async with source(Response(b"data: 1\n\n"), second) as events:
        assert [(await anext(events)).data for _ in range(2)] == ["1", "2"]
        assert events.last_event_id == "9"
    assert second.closed


@pytest.mark.parametrize("steps", range(8))
async def test_cancelled_it_loses_nothing(steps: int) -> None:
    first = Response(b"id: a\ndata: 1\n\n")
    events = source(first, Response(b"data: 2\n\n"), Response(b"data: 3\n\n"))
    assert (await anext(events)).data == "1"
    task = asyncio.ensure_future(anext(events))
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    found = [result.data for result in await asyncio.gather(task, return_exceptions=True) if isinstance(result, Event)]
    # A connection that was being made is lost with the task that made it; nothing that was read is.
    found += await collect(events)
    assert found in (["2", "3"], ["3"])
    if not task.cancelled():
        assert found == ["2", "3"]
    assert first.closed


def test_delays() -> None:
    events = sse(Response(), retry=3)  # type: ignore[arg-type] # it has what sse() reads
    delays = []
    for failures in (0, 1, 2, 3, 50, 5000):
        events._failures = failures
        delays.append(events._delay())
    assert delays == [3, 3, 6, 12, 300, 300]
    events._retry = 0
    delays.clear()
    for failures in (1, 2, 3, 4):
        events._failures = failures
        delays.append(events._delay())
    assert delays == [0, 1.0, 2.0, 4.0]
    events._retry = 10.0**9
    assert events._delay() == 300


async def test_the_server_sets_the_delay() -> None:
    events = source(Response(b"retry: 1500\ndata: 1\n\n"))
    await anext(events)
    events._max_delay, events._failures = 300, 1
    assert events._delay() == 1.5
