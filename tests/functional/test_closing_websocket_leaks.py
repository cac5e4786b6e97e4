"""Clients' WebSockets that nobody closes, or that another loop or process has (closing.md C10, C14, C15)."""

from __future__ import annotations

import asyncio
import gc
import os
import re
from typing import Any

import pytest

import endwell
from endwell import WSMsgType
from tests.conftest import LOOPS
from tests.support.closing import client_sockets, line, passes, resource_warnings, until
from tests.support.closing_websockets import EACH, Host, briefly, host
from tests.support.websockets import TEXT, TLS, frame, pair, trusting

SHORT = endwell.ClientWSTimeout(ws_close=0.05)


def left(there: Host) -> list[str]:
    """Give the client's sockets."""
    return client_sockets(there.peer.port)


# Forgotten


@TLS
@EACH
async def test_a_forgotten_websocket_is_closed_and_named(
    manners: str, tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C10."""
    briefly(monkeypatch)
    async with host(manners, tls=tls) as there, endwell.ClientSession(connector=trusting()) as session:
        with resource_warnings() as texts:
            where = line(+1)
            ws: Any = await session.ws_connect(there.url + "?token=secret")
            await until(lambda: there.open)
            if manners == "gone":
                there.leaving.set()
            del ws
            gc.collect()
            await until(lambda: not left(there))
        if manners == "gone" and not texts:
            return  # it was over before
        assert len(texts) == 1, texts
        assert texts[0].startswith("WebSocket to ")
        assert "was never closed" in texts[0]
        assert where in texts[0]
        assert "async with session.ws_connect" in texts[0]
        assert re.search(r"\d\.\d s ago", texts[0])
        assert "secret" not in texts[0]
        assert "/src/endwell/" not in texts[0]
        if manners != "gone":
            assert there.codes == [1001]
        report = await session.close()
        assert len(report.leaked) == 1


async def test_who_receives_or_iterates_holds_it() -> None:
    async with host("answers", tls=False, greeting=frame(TEXT, b"hello")) as there, endwell.ClientSession() as session:
        with resource_warnings() as texts:

            async def first() -> str:
                async for message in await session.ws_connect(there.url):
                    return str(message.data)
                return ""

            receiving = asyncio.ensure_future(first())
            await until(lambda: there.open)
            gc.collect()
            assert await receiving == "hello"
            gc.collect()
            await until(lambda: not left(there))
        assert len(texts) == 1


async def test_nothing_is_said_of_what_was_closed() -> None:
    async with host("answers", tls=False) as there, endwell.ClientSession() as session:
        with resource_warnings() as texts:
            ws: Any = await session.ws_connect(there.url)
            await ws.close()
            del ws
            gc.collect()
            await passes()
        assert texts == []


async def test_a_websocket_whose_peer_has_closed_may_be_forgotten() -> None:
    async with host("answers", tls=False, greeting=frame(8, b"\x03\xe8")) as there, endwell.ClientSession() as session:
        with resource_warnings() as texts:
            ws: Any = await session.ws_connect(there.url)
            assert (await ws.receive()).type is WSMsgType.CLOSE
            del ws
            gc.collect()
            await until(lambda: not left(there))
        assert texts == []


# Loops and processes


@TLS
def test_a_loop_that_ends_with_an_open_websocket(loop_kind: str, tls: bool) -> None:
    """C10: the session is closed by the loop's own shutdown, and named; the server sees 1001."""
    import queue
    import threading

    told: queue.Queue[Any] = queue.Queue()

    def serve() -> None:
        async def main() -> None:
            async with host("answers", tls=tls) as there:
                told.put(there.url)
                await until(lambda: there.codes)
                told.put(there.codes)

        asyncio.run(main())

    kept: list[Any] = []

    async def use(url: str) -> None:
        session = endwell.ClientSession(connector=trusting())
        kept.extend([session, await session.ws_connect(url)])

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        url = told.get(timeout=10)
        with resource_warnings() as texts:
            with asyncio.Runner(loop_factory=LOOPS[loop_kind]) as runner:
                runner.run(use(url))
            codes = told.get(timeout=10)
            kept.clear()
            gc.collect()
    finally:
        thread.join()
    assert codes == [1001]
    assert len([text for text in texts if "ClientSession was never closed" in text]) == 1
    assert endwell.open_resources() == []


@pytest.mark.parametrize("loop_kind", ["asyncio"], indirect=True)
def test_a_loop_that_is_gone(loop_kind: str) -> None:
    """C15: what is left is dropped, without noise."""
    kept: list[Any] = []

    async def use() -> None:
        there = Host("silent", tls=False)
        await there.peer.__aenter__()
        session = endwell.ClientSession()
        kept.extend([session, await session.ws_connect(there.url)])
        await there.peer.__aexit__(None, None, None)

    loop = asyncio.SelectorEventLoop()
    with resource_warnings():
        loop.run_until_complete(use())
        loop.close()
        ws = kept[1]
        for use_again in (ws.send_str("x"), ws.receive(), ws.close()):
            with pytest.raises((RuntimeError, ConnectionError)):
                asyncio.run(_never_ends(use_again))
        del ws
        kept.clear()
        gc.collect()
    assert endwell.open_resources() == []


async def _never_ends(coroutine: Any) -> None:
    await asyncio.wait_for(coroutine, 0.5)
    raise RuntimeError("it came to an end without an error")


@TLS
@pytest.mark.parametrize("loop_kind", ["asyncio"], indirect=True)
async def test_after_a_fork_the_child_touches_nothing(tls: bool, tmp_path: Any, loop_kind: str) -> None:
    """C14: the parent's WebSocket goes on as before."""
    async with pair(tls=tls) as both:
        await both.client.send_str("before")
        assert await both.server.receive_str() == "before"
        pid = os.fork()
        if not pid:
            status = 1
            try:
                for sending in (both.client.send_str("child"), both.session.ws_connect(both.url)):
                    try:
                        sending.__await__().send(None)
                    except (RuntimeError, ConnectionError):
                        status = 0
                    except StopIteration:
                        status = 2
                    if status:
                        break
                gc.collect()
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        await both.client.send_str("after")
        assert await both.server.receive_str() == "after"
        await both.server.send_str("and back")
        assert await both.client.receive_str() == "and back"
