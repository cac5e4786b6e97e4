"""Requests without a connection."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from endwell.connection.body import BodyStream
from endwell.connection.reader import EMPTY_PAYLOAD, StreamReader
from endwell.http.version import HttpVersion, HttpVersion10
from endwell.server.application import Application
from endwell.server.request import Request
from endwell.server.router import UrlMappingMatchInfo
from endwell.testing.mocked import MockedExchange, make_mocked_coro, make_mocked_request

CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def exchange_of(request: Request) -> MockedExchange:
    exchange = request._exchange
    assert isinstance(exchange, MockedExchange)
    return exchange


def test_it_needs_no_loop() -> None:
    request = make_mocked_request("GET", "/a?b=c")
    assert type(request) is Request
    assert request.method == "GET"
    assert request.path == "/a"
    assert request.query["b"] == "c"
    assert dict(request.headers) == {}
    assert request.raw_headers == ()
    assert request.host == "127.0.0.1"
    assert request.scheme == "http"
    assert request.remote is None
    assert request.task is None
    assert request.keep_alive
    assert request.content is EMPTY_PAYLOAD
    assert request.get_extra_info("sslcontext") is None


def test_headers() -> None:
    request = make_mocked_request("GET", "/", headers=[("Host", "ho"), ("X", "1"), ("x", "é")])
    assert request.headers.getall("x") == ["1", "é"]
    assert request.raw_headers == ((b"Host", b"ho"), (b"X", b"1"), (b"x", "é".encode()))
    assert request.host == "ho"
    assert make_mocked_request("GET", "/", {"A": "b"}).headers == {"A": "b"}


@pytest.mark.parametrize("sign", ["\r", "\n", "\0"])
def test_what_would_forge_a_line_is_refused(sign: str) -> None:
    for method, path, headers in [
        ("GET" + sign, "/", {}),
        ("GET", "/" + sign, {}),
        ("GET", "/", {"A" + sign: "b"}),
        ("GET", "/", {"A": "b" + sign}),
    ]:
        with pytest.raises(ValueError):
            make_mocked_request(method, path, headers)


@pytest.mark.parametrize(
    ("path", "raw_path", "decoded"),
    [
        ("/é x", "/%C3%A9%20x", "/é x"),
        ("/%20", "/%20", "/ "),
        ("", "/", "/"),
        ("foo", "foo", "foo"),
        ("?x=1", "?x=1", ""),
        ("*", "*", "*"),
        ("http://h/p", "http://h/p", "/p"),
    ],
)
def test_targets(path: str, raw_path: str, decoded: str) -> None:
    request = make_mocked_request("GET", path, {"Host": "ho"})
    assert request.raw_path == raw_path
    assert request.path == decoded
    assert request.url.host == ("h" if "://" in path else "ho")


def test_version_and_closing() -> None:
    assert make_mocked_request("GET", "/", version=HttpVersion10).version == HttpVersion10
    assert not make_mocked_request("GET", "/", version=HttpVersion10).keep_alive
    assert make_mocked_request("GET", "/", version=HttpVersion(2, 0)).version == HttpVersion(2, 0)
    closing = make_mocked_request("GET", "/", closing=True)
    assert not closing.keep_alive
    assert not closing._exchange.keep_alive


def test_tls() -> None:
    context = object()
    request = make_mocked_request("GET", "/", sslcontext=context)
    assert request.secure
    assert request.get_extra_info("sslcontext") is context


def test_the_application() -> None:
    request = make_mocked_request("GET", "/", match_info={"a": "b"})
    assert request.match_info == {"a": "b"}
    assert isinstance(request.app, Application)
    app = Application()
    assert make_mocked_request("GET", "/", app=app).app is app
    found = UrlMappingMatchInfo({"x": "y"}, make_mocked_request("GET", "/").match_info.route)
    request = make_mocked_request("GET", "/", match_info=found, app=app)
    assert request.match_info is found
    assert request.app is app


def test_what_is_given_is_used() -> None:
    transport, protocol, writer = Transport(), object(), object()
    request = make_mocked_request("GET", "/", transport=transport, protocol=protocol, writer=writer)
    assert request.transport is transport  # type: ignore[comparison-overlap] # whatever a test likes
    assert request.protocol is protocol
    assert request.writer is writer
    assert request.get_extra_info("x") == ("x", None)
    assert request._exchange.begin(b"HTTP/1.1 200 OK\r\n\r\n", 0, chunked=False) is writer  # type: ignore[comparison-overlap]


class Transport:
    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return name, default


async def test_bodies() -> None:
    request = make_mocked_request("POST", "/", payload=b"abc", client_max_size=3)
    assert request.body_exists
    assert await request.read() == b"abc"
    body = BodyStream(asyncio.get_running_loop(), None, 2**16)
    payload = StreamReader(body, None, asyncio.get_running_loop())
    request = make_mocked_request("POST", "/", payload=payload)
    assert request.content is payload
    body.feed([b"de"])
    body.end()
    assert await request.text() == "de"
    assert not make_mocked_request("POST", "/", payload=b"").body_exists


async def test_another_kind_of_body() -> None:
    class Payload:
        def __init__(self) -> None:
            self.pieces = [b"a", b"b", b""]

        async def readany(self) -> bytes:
            return self.pieces.pop(0)

    request = make_mocked_request("POST", "/", payload=Payload())  # type: ignore[arg-type] # whatever a test likes
    assert await request.read() == b"ab"


# The exchange


def test_a_whole_response() -> None:
    exchange = exchange_of(make_mocked_request("GET", "/"))
    exchange.send(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert exchange.sent == b"HTTP/1.1 204 No Content\r\n\r\n"
    assert exchange.started
    assert exchange.ended
    assert exchange.status == 204
    with pytest.raises(RuntimeError):
        exchange.send(b"HTTP/1.1 204 No Content\r\n\r\n")


async def test_a_response_in_chunks() -> None:
    exchange = exchange_of(make_mocked_request("GET", "/"))
    writer = exchange.begin(CHUNKED_HEAD, None, chunked=True)
    await writer.write(b"abc")
    await writer.write(b"x" * 20_000)
    assert not exchange.ended
    await writer.write_eof(b"z")
    assert exchange.sent == CHUNKED_HEAD + b"3\r\nabc\r\n4e20\r\n" + b"x" * 20_000 + b"\r\n1\r\nz\r\n0\r\n\r\n"
    assert exchange.ended
    assert exchange.writer is writer


async def test_a_response_with_a_length() -> None:
    exchange = exchange_of(make_mocked_request("GET", "/"))
    writer = exchange.begin(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", 3, chunked=False)
    await writer.write(b"abc")
    with pytest.raises(ValueError):
        await writer.write(b"d")
    await writer.write_eof()
    assert exchange.sent.endswith(b"\r\n\r\nabc")


async def test_a_slow_client_and_one_that_goes() -> None:
    exchange = exchange_of(make_mocked_request("GET", "/"))
    writer = exchange.begin(CHUNKED_HEAD, None, chunked=True)
    exchange.stream.loop = asyncio.get_running_loop()
    exchange.stream.pause_writing()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(writer.write(b"a"))
        await asyncio.sleep(0)
        assert not task.done()
        exchange.stream.resume_writing()
    exchange.disconnect()
    with pytest.raises(ConnectionResetError):
        await writer.write(b"b")
    await exchange.wait_for_disconnection()


def test_continue_is_sent_once_and_to_who_waits_for_it() -> None:
    waits = exchange_of(make_mocked_request("PUT", "/", {"Expect": "100-continue"}))
    waits.send_continue()
    waits.send_continue()
    assert waits.sent == b"HTTP/1.1 100 Continue\r\n\r\n"
    other = exchange_of(make_mocked_request("PUT", "/"))
    other.send_continue()
    assert other.sent == b""


def test_stopping() -> None:
    exchange = exchange_of(make_mocked_request("GET", "/"))
    called: list[int] = []
    exchange.call_at_stop(lambda: called.append(1))
    exchange.call_at_stop(lambda: called.append(2))()
    exchange.stop()
    exchange.stop()
    assert called == [1]
    assert not exchange.keep_alive
    exchange.call_at_stop(lambda: called.append(3))()
    assert called == [1, 3]


def test_the_loop() -> None:
    exchange = exchange_of(make_mocked_request("GET", "/"))
    with pytest.raises(RuntimeError, match="no running event loop"):
        _ = exchange.loop
    given = object()
    assert exchange_of(make_mocked_request("GET", "/", loop=given)).loop is given  # type: ignore[comparison-overlap]


async def test_coroutines() -> None:
    mock = make_mocked_coro(5)
    assert await mock(1, a=2) == 5
    mock.assert_awaited_once_with(1, a=2)
    assert await make_mocked_coro()() is None
    with pytest.raises(KeyError):
        await make_mocked_coro(raise_exception=KeyError("x"))()
