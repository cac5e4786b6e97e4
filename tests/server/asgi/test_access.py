from __future__ import annotations

import logging
from typing import Any

import pytest

from endwell.server.access_log import AccessLogger
from tests.support.asgi import Call, app, asgi, get
from tests.support.raw import ListHandler, until

FORMAT = '%a "%r" %s %b %{User-Agent}i %{X-Out}o'


@pytest.fixture
def kept() -> tuple[logging.Logger, ListHandler]:
    keeper = ListHandler()
    logger = logging.Logger("access", logging.INFO)  # noqa: LOG001  # of this test alone
    logger.addHandler(keeper)
    return logger, keeper


def lines(keeper: ListHandler) -> list[str]:
    return [record.getMessage() for record in keeper.records]


async def test_a_line_for_each_response(kept: Any) -> None:
    logger, keeper = kept

    async def handle(call: Call) -> None:
        await call.start(404, (b"x-out", b"o"))
        if call.path != "/whole":
            await call.body(b"ab", more=True)
        await call.body(b"cde")

    async with asgi(app(handle), access_log=logger, access_log_format=FORMAT) as stage:
        client = await stage.connect()
        for target in ("/whole?a=1", "/stream"):
            await client.send(get(target, "User-Agent: curl"))
            await client.answer()
        await client.send(get("/whole", method="HEAD", version="1.0"))
        await client.answer("HEAD")
    assert lines(keeper) == [
        '127.0.0.1 "GET /whole?a=1 HTTP/1.1" 404 3 curl o',
        '127.0.0.1 "GET /stream HTTP/1.1" 404 5 curl o',
        '127.0.0.1 "HEAD /whole HTTP/1.0" 404 0 - o',
    ]


async def test_answers_of_the_server_and_responses_that_were_cut(kept: Any) -> None:
    logger, keeper = kept

    async def handle(call: Call) -> None:
        if call.path == "/cut":
            await call.start()
            await call.body(b"ab", more=True)

    async with asgi(app(handle), access_log=logger, access_log_format="%r %s") as stage:
        await stage.one(get("/"))
        await stage.one(get("/cut"))
        assert len(stage.said()) == 2
    assert lines(keeper) == ["GET / HTTP/1.1 500"]


async def test_a_websocket_is_noted_at_its_end(kept: Any) -> None:
    from tests.server.asgi.test_websocket import accept, opened

    logger, keeper = kept

    async def handle(call: Call) -> None:
        await accept(call)
        await call.receive()
        assert not keeper.records

    async with asgi(app(handle), access_log=logger, access_log_format="%r %s") as stage:
        peer, _ = await opened(stage, "/ws")
        await peer.close()
        await until(lambda: keeper.records)
    assert lines(keeper) == ["GET /ws HTTP/1.1 101"]


async def test_a_log_that_fails_harms_nobody(kept: Any) -> None:
    class Failing(AccessLogger):
        def log(self, request: Any, response: Any, time: float) -> None:
            raise ValueError("by the test")

    logger, _ = kept
    async with asgi(app(lambda call: call.answer(b"fine")), access_log=logger, access_log_class=Failing) as stage:
        assert (await stage.one(get())).body == b"fine"
        said = stage.said()
        assert len(said) == 1
        assert "by the test" in said[0]
