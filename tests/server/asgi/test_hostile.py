"""The limits and the framing are the core's, and hold before an application is called."""

from __future__ import annotations

import pytest

from tests.support.asgi import Call, app, asgi, get

BAD = {
    b"GET / HTTP/1.1\r\n\r\n": 400,  # no Host
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n": 400,
    b"GET / HTTP/2.0\r\nHost: a\r\n\r\n": 505,
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n": 400,
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n": 400,
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n": 400,
    b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 9000 + b"\r\n\r\n": 431,
    b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 200 + b"\r\n": 431,
    b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n": 414,
}


@pytest.mark.parametrize("number", range(len(BAD)))
async def test_what_is_no_request_never_reaches_the_application(number: int) -> None:
    data, status = list(BAD.items())[number]

    async def handle(call: Call) -> None:
        raise AssertionError

    async with asgi(app(handle)) as stage:
        answers = await stage.ask(data, get("/smuggled"))
        assert len(answers) == 1
        assert answers[0].status == status or (status == 400 and answers[0].status in (400, 501))
        assert answers[0].closes
        said = stage.said()
        assert len(said) == 1
        assert "Traceback" not in said[0]


async def test_garbage_behind_a_request() -> None:
    async with asgi(app(lambda call: call.answer())) as stage:
        answers = await stage.ask(get() + b"\x00garbage\r\n\r\n")
        assert [answer.status for answer in answers] == [200, 400]
        assert len(stage.said()) == 1


async def test_nothing_runs_behind_close() -> None:
    paths: list[str] = []

    async def handle(call: Call) -> None:
        paths.append(call.path)
        await call.answer()

    async with asgi(app(handle)) as stage:
        await stage.ask(get("/1", "Connection: close") + get("/2"))
    assert paths == ["/1"]


async def test_a_method_that_only_looks_like_head_has_a_body() -> None:
    # A proxy takes "head" for a method it does not know, whose response has a body: it must not be left out.
    async with asgi(app(lambda call: call.answer(b"body"))) as stage:
        client = await stage.connect()
        await client.send(get(method="head"))
        assert (await client.answer()).body == b"body"


async def test_slow_heads_and_too_many_connections() -> None:
    async with asgi(app(lambda call: call.answer()), header_timeout=0.05, max_connections=2) as stage:
        client = await stage.connect()
        await client.send(b"GET / HT")
        assert (await client.answer()).status == 408
        assert "408" in stage.said()[0]
        others = [await stage.connect() for _ in range(4)]
        assert "fin" in [await other.closed() for other in others]
        stage.said()


async def test_requests_of_a_connection_are_bounded_where_that_is_asked_for() -> None:
    async with asgi(app(lambda call: call.answer()), keepalive_requests=2) as stage:
        client = await stage.connect()
        await client.send(get() + get() + get())
        assert not (await client.answer()).closes
        assert (await client.answer()).closes
        assert await client.closed() == "fin"
