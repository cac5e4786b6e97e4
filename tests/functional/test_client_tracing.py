"""Tracing: every signal, in order, with what it is told; and middlewares of sessions and calls."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from yarl import URL

import endwell
from tests.functional.test_client_dns import Resolver
from tests.support.echo import EchoServer, Reply, Request
from tests.support.peer import refused_port

SIGNALS = [name for name in dir(endwell.TraceConfig) if name.startswith("on_")]


def recorder(log: list[tuple[str, Any]], **kwargs: Any) -> endwell.TraceConfig:
    """A trace config that writes down every signal with its parameters."""
    config = endwell.TraceConfig(**kwargs)

    def listen(name: str) -> Any:
        async def told(session: Any, context: Any, params: Any) -> None:
            assert isinstance(session, endwell.ClientSession)
            log.append((name.removeprefix("on_"), params))

        return told

    for name in SIGNALS:
        getattr(config, name).append(listen(name))
    return config


def names(log: list[tuple[str, Any]]) -> list[str]:
    return [name for name, _ in log]


async def test_all_signals_exist() -> None:
    assert len(SIGNALS) == 16


async def test_a_request_from_a_name_to_its_body() -> None:
    log: list[tuple[str, Any]] = []
    connector = endwell.TCPConnector(resolver=Resolver())
    async with (
        EchoServer() as server,
        endwell.ClientSession(trace_configs=[recorder(log)], connector=connector) as session,
    ):
        url = server.url("/echo?a=1", "name.example")
        async with session.post(url, data=b"body", headers={"X-A": "1"}) as response:
            body = await response.read()
    assert names(log) == [
        "request_start",
        "connection_create_start",
        "dns_cache_miss",
        "dns_resolvehost_start",
        "dns_resolvehost_end",
        "connection_create_end",
        "request_headers_sent",
        "request_chunk_sent",
        "request_end",
        "response_chunk_received",
    ]
    told = dict(log)
    start = told["request_start"]
    assert (start.method, start.url, start.headers["X-A"]) == ("POST", URL(url), "1")
    assert told["dns_cache_miss"].host == told["dns_resolvehost_start"].host == "name.example"
    assert told["dns_resolvehost_end"].host == "name.example"
    sent = told["request_headers_sent"]
    assert (sent.method, sent.url, sent.headers["Content-Length"]) == ("POST", URL(url), "4")
    chunk = told["request_chunk_sent"]
    assert (chunk.method, chunk.url, chunk.chunk) == ("POST", URL(url), b"body")
    end = told["request_end"]
    assert (end.method, end.url, end.response) == ("POST", URL(url), response)
    assert end.headers["X-A"] == "1"
    received = told["response_chunk_received"]
    assert (received.method, received.url, received.chunk) == ("POST", URL(url), body)


async def test_a_connection_that_is_used_again() -> None:
    log: list[tuple[str, Any]] = []
    async with EchoServer() as server, endwell.ClientSession(trace_configs=[recorder(log)]) as session:
        await (await session.get(server.url("/"))).read()
        log.clear()
        await (await session.get(server.url("/"))).read()
    assert names(log) == [
        "request_start",
        "connection_reuseconn",
        "request_headers_sent",
        "request_end",
        "response_chunk_received",
    ]


async def test_a_name_in_the_cache() -> None:
    log: list[tuple[str, Any]] = []
    connector = endwell.TCPConnector(resolver=Resolver(), force_close=True)
    async with (
        EchoServer() as server,
        endwell.ClientSession(trace_configs=[recorder(log)], connector=connector) as session,
    ):
        await (await session.get(server.url("/", "name.example"))).read()
        log.clear()
        await (await session.get(server.url("/", "name.example"))).read()
    assert [name for name in names(log) if name.startswith("dns")] == ["dns_cache_hit"]
    assert dict(log)["dns_cache_hit"].host == "name.example"


async def test_the_queue() -> None:
    log: list[tuple[str, Any]] = []
    connector = endwell.TCPConnector(limit=1)
    async with (
        EchoServer() as server,
        endwell.ClientSession(trace_configs=[recorder(log)], connector=connector) as session,
    ):
        first = asyncio.ensure_future(session.get(server.url("/slow")))
        await server.wait_in_flight(1)
        log.clear()
        second = asyncio.ensure_future(session.get(server.url("/")))
        for _ in range(5):
            await asyncio.sleep(0)
        assert names(log) == ["request_start", "connection_queued_start"]
        server.release.set()
        await (await first).read()
        await (await second).read()
    waited = [name for name in names(log) if name.startswith("connection")]
    assert waited == ["connection_queued_start", "connection_queued_end", "connection_reuseconn"]


async def test_a_redirect() -> None:
    log: list[tuple[str, Any]] = []
    async with EchoServer() as server, endwell.ClientSession(trace_configs=[recorder(log)]) as session:
        async with session.get(server.url("/redirect/302?to=/")) as response:
            await response.read()
    assert [name for name in names(log) if name.startswith("request")] == [
        "request_start",
        "request_headers_sent",
        "request_redirect",
        "request_headers_sent",
        "request_end",
    ]
    told = dict(log)["request_redirect"]
    assert (told.method, told.url.path, told.response.status) == ("GET", "/redirect/302", 302)
    assert dict(log)["request_start"].url.path == "/redirect/302"
    assert dict(log)["request_end"].url.path == "/"


async def test_a_request_that_fails() -> None:
    log: list[tuple[str, Any]] = []
    url = f"http://127.0.0.1:{refused_port()}/"
    async with endwell.ClientSession(trace_configs=[recorder(log)]) as session:
        with pytest.raises(endwell.ClientConnectorError) as caught:
            await session.get(url)
    assert names(log) == ["request_start", "connection_create_start", "request_exception"]
    told = log[-1][1]
    assert (told.method, told.url, told.exception) == ("GET", URL(url), caught.value)
    assert told.headers is not None


async def test_a_status_that_raises_is_an_exception() -> None:
    log: list[tuple[str, Any]] = []
    async with EchoServer() as server:
        async with endwell.ClientSession(trace_configs=[recorder(log)], raise_for_status=True) as session:
            with pytest.raises(endwell.ClientResponseError) as caught:
                await session.get(server.url("/status/404"))
    assert log[-1][0] == "request_exception"
    assert log[-1][1].exception is caught.value


async def test_a_cancelled_request_is_an_exception() -> None:
    log: list[tuple[str, Any]] = []
    async with EchoServer() as server, endwell.ClientSession(trace_configs=[recorder(log)]) as session:
        request = asyncio.ensure_future(session.get(server.url("/slow")))
        await server.wait_in_flight(1)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
    assert log[-1][0] == "request_exception"
    assert isinstance(log[-1][1].exception, asyncio.CancelledError)


async def test_the_pieces_of_an_upload() -> None:
    async def body() -> Any:
        yield b"one"
        yield b"two"

    log: list[tuple[str, Any]] = []
    async with EchoServer() as server, endwell.ClientSession(trace_configs=[recorder(log)]) as session:
        async with session.post(server.url("/echo"), data=body(), compress=True) as response:
            await response.read()
    chunks = [params.chunk for name, params in log if name == "request_chunk_sent"]
    assert chunks == [b"one", b"two"]


async def test_the_context() -> None:
    seen: list[Any] = []

    def make(trace_request_ctx: Any) -> SimpleNamespace:
        return SimpleNamespace(mine=1, trace_request_ctx=trace_request_ctx)

    async def started(session: Any, context: Any, params: Any) -> None:
        context.mine += 1

    async def ended(session: Any, context: Any, params: Any) -> None:
        seen.append((context.mine, context.trace_request_ctx))

    config = endwell.TraceConfig(trace_config_ctx_factory=make)
    config.on_request_start.append(started)
    config.on_request_end.append(ended)
    async with EchoServer() as server, endwell.ClientSession(trace_configs=[config]) as session:
        for given in ("a", None, {"b": 1}):
            await (await session.get(server.url("/"), trace_request_ctx=given)).read()
    assert seen == [(2, "a"), (2, None), (2, {"b": 1})]


async def test_two_configs() -> None:
    one: list[tuple[str, Any]] = []
    other: list[tuple[str, Any]] = []
    async with EchoServer() as server:
        async with endwell.ClientSession(trace_configs=[recorder(one), recorder(other)]) as session:
            await (await session.get(server.url("/"))).read()
    assert names(one) == names(other)
    assert len(one) > 4


async def test_a_frozen_config() -> None:
    config = endwell.TraceConfig()
    async with endwell.ClientSession(trace_configs=[config]) as session:
        assert session.trace_configs == [config]
        with pytest.raises(RuntimeError):
            config.on_request_start.append(lambda *_: None)


async def test_a_listener_that_raises() -> None:
    async def fails(session: Any, context: Any, params: Any) -> None:
        raise KeyError("listener")

    for signal in ("on_request_start", "on_connection_create_start", "on_connection_create_end", "on_request_end"):
        config = endwell.TraceConfig()
        getattr(config, signal).append(fails)
        connector = endwell.TCPConnector(limit=1)
        async with (
            EchoServer() as server,
            endwell.ClientSession(trace_configs=[config], connector=connector) as session,
        ):
            for _ in range(2):  # the slot comes back
                with pytest.raises(KeyError):
                    await session.get(server.url("/"))


# -- middlewares


def tagging(name: str, log: list[str]) -> Any:
    async def middleware(request: Any, handler: Any) -> Any:
        log.append(f"{name} in")
        request.headers["X-Way"] = request.headers.get("X-Way", "") + name
        response = await handler(request)
        log.append(f"{name} out")
        return response

    return middleware


async def test_middlewares_run_in_order() -> None:
    log: list[str] = []
    async with EchoServer() as server:
        async with endwell.ClientSession(middlewares=[tagging("a", log), tagging("b", log)]) as session:
            async with session.get(server.url("/echo")) as response:
                assert dict((await response.json())["headers"])["X-Way"] == "ab"
    assert log == ["a in", "b in", "b out", "a out"]


async def test_middlewares_of_a_call_replace_those_of_the_session() -> None:
    log: list[str] = []
    async with EchoServer() as server, endwell.ClientSession(middlewares=[tagging("a", log)]) as session:
        await (await session.get(server.url("/"), middlewares=[tagging("c", log)])).read()
        await (await session.get(server.url("/"), middlewares=())).read()
        await (await session.get(server.url("/"))).read()
    assert log == ["c in", "c out", "a in", "a out"]


async def test_a_middleware_sees_the_request() -> None:
    seen: list[Any] = []

    async def look(request: endwell.ClientRequest, handler: Any) -> Any:
        seen.append(
            (
                request.method,
                request.url,
                request.session,
                await request.body.as_bytes() if request.body else b"",  # type: ignore[union-attr]
                request.headers["Content-Type"],
                request.is_ssl(),
                request.host,
                request.port,
                request.ssl,
                request.proxy,
                request.chunked,
            )
        )
        return await handler(request)

    async with EchoServer() as server, endwell.ClientSession(middlewares=[look]) as session:
        await (await session.post(server.url("/echo?a=1#f"), data=b"body")).read()
        assert seen == [
            ("POST", URL(server.url("/echo?a=1")), session, b"body", "application/octet-stream", False, "127.0.0.1",
             server.port, True, None, False)
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("new", "body", "length", "kind"),
    [
        (b"other", b"other", "5", "application/octet-stream"),
        ("täxt", "täxt".encode(), "5", "text/plain; charset=utf-8"),
        ({"a": "1"}, b"a=1", "3", "application/x-www-form-urlencoded"),
        (b"", b"", "0", "application/octet-stream"),
    ],
)
async def test_a_middleware_replaces_the_body(new: Any, body: bytes, length: str, kind: str) -> None:
    async def replace(request: Any, handler: Any) -> Any:
        await request.update_body(new)
        return await handler(request)

    async with EchoServer() as server, endwell.ClientSession(middlewares=[replace]) as session:
        await (await session.post(server.url("/echo"), data=b"original")).read()
        request = server.requests[0]
    assert (request.body, request.get("Content-Length"), request.get("Content-Type")) == (body, length, kind)


async def test_a_middleware_adds_and_removes_a_body() -> None:
    async def generator() -> Any:
        yield b"stre"
        yield b"amed"

    async def replace(request: Any, handler: Any) -> Any:
        await request.update_body(generator() if request.method == "GET" else None)
        return await handler(request)

    async with EchoServer() as server, endwell.ClientSession(middlewares=[replace]) as session:
        await (await session.get(server.url("/echo"))).read()
        await (await session.post(server.url("/echo"), data=b"original")).read()
        first, second = server.requests
    assert (first.body, first.get("Transfer-Encoding"), first.get("Content-Length")) == (b"streamed", "chunked", None)
    assert (second.body, second.get("Content-Length"), second.get("Content-Type")) == (
        b"",
        "0",
        "application/octet-stream",
    )


async def test_a_body_of_a_middleware_is_coded_as_the_call_wants() -> None:
    import zlib

    async def replace(request: Any, handler: Any) -> Any:
        await request.update_body(b"other")
        return await handler(request)

    async with EchoServer() as server, endwell.ClientSession(middlewares=[replace]) as session:
        await (await session.post(server.url("/echo"), data=b"original", compress=True)).read()
        request = server.requests[0]
    assert (request.get("Content-Encoding"), zlib.decompress(request.body)) == ("deflate", b"other")


async def test_a_middleware_that_asks_again() -> None:
    async def again(request: Any, handler: Any) -> Any:
        for _ in range(3):
            response = await handler(request)
            if response.status == 200:
                break
            response.release()
        return response

    def handler(request: Request) -> Reply:
        return Reply(request.body, 200 if len(request.server.requests) == 3 else 503)

    async with EchoServer({"/a": handler}) as server, endwell.ClientSession(middlewares=[again]) as session:
        async with session.post(server.url("/a"), data=b"body") as response:
            assert await response.read() == b"body"
        assert [request.body for request in server.requests] == [b"body"] * 3
        assert len(server.connections) == 1


async def test_a_middleware_that_answers_by_itself() -> None:
    async def refuse(request: Any, handler: Any) -> Any:
        raise PermissionError(request.url.path)

    kept: list[Any] = []

    async def cache(request: Any, handler: Any) -> Any:
        if not kept:
            kept.append(await handler(request))
            await kept[0].read()
        return kept[0]

    async with EchoServer() as server, endwell.ClientSession() as session:
        with pytest.raises(PermissionError, match="/secret"):
            await session.get(server.url("/secret"), middlewares=[refuse])
        assert server.requests == []
        for _ in range(3):
            async with session.get(server.url("/"), middlewares=[cache]) as response:
                assert await response.text() == "hello"
        assert len(server.requests) == 1


async def test_a_middleware_sees_every_hop() -> None:
    seen: list[str] = []

    async def look(request: Any, handler: Any) -> Any:
        response = await handler(request)
        seen.append(f"{request.url.path} {response.status}")
        return response

    async with EchoServer() as server, endwell.ClientSession(middlewares=[look]) as session:
        await (await session.get(server.url("/redirect/302?to=/"))).read()
    assert seen == ["/redirect/302 302", "/ 200"]


async def test_a_middleware_uses_the_session() -> None:
    """The request for a token goes around the middleware that asks for it."""

    async def authorize(request: Any, handler: Any) -> Any:
        async with request.session.get(request.url.with_path("/"), middlewares=()) as response:
            request.headers["Authorization"] = await response.text()
        return await handler(request)

    async with EchoServer() as server, endwell.ClientSession(middlewares=[authorize]) as session:
        async with session.get(server.url("/echo")) as response:
            assert dict((await response.json())["headers"])["Authorization"] == "hello"
