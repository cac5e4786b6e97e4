"""How files are sent over real sockets: to clients that are slow, leave or stand still, and while the server stops."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pathlib
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import pytest

import endwell
from endwell import web
from tests.support.files import BIG, HUGE, KINDS, SMALL, WIRES, Served, closed, held, make_files, serving_files, static
from tests.support.raw import facing, until

MOST: Final = 1_000_000
"""Bytes that a connection may hold whose client does not read: TLS takes half a megabyte, and then a piece of the file,
before it says that it is full."""


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    return make_files(tmp_path)


@pytest.mark.parametrize("size", [1, 100, 10**6], ids=["bytes", "pieces", "at once"])
async def test_pipelined_requests_behind_a_file(root: pathlib.Path, size: int) -> None:
    """Answers come in order, whole, and the kernel's bytes do not overtake ours."""
    names = [b"sub/big.txt", b"small.html", b"none", b"sub/big.txt", b"empty", b"sub/big.txt", b"small.html"]
    contents = {b"sub/big.txt": BIG, b"small.html": SMALL, b"empty": b"", b"none": b"404: Not Found"}
    data = b"".join(b"GET /files/%b HTTP/1.1\r\nHost: a\r\n\r\n" % name for name in names)
    async with facing(static(root)) as stage:
        client = await stage.connect(receive=4096)
        pieces = [data[start : start + size] for start in range(0, len(data), size)]
        sending = asyncio.ensure_future(client.send(*pieces))
        for name in names:
            answer = await client.answer()
            assert (answer.status, answer.body) == (404 if name == b"none" else 200, contents[name])
        await sending
        assert held(root) == []


@contextlib.asynccontextmanager
async def stalled(served: Served, kind: str, path: str = "files/huge.bin") -> AsyncIterator[endwell.ClientResponse]:
    """Give the response of a request whose client reads nothing, with the server's writes come to a stop."""
    async with served.session.get(served.url / path) as response:
        await stands_still(served, kind)
        yield response


async def stands_still(served: Served, kind: str, connections: int = 1) -> None:
    """Return when the server cannot write any more to so many connections: they have taken no byte for a while."""
    before: list[int] = []
    while True:
        busy = [each for each in served.core.connections if each.exchange is not None]
        now = [each.exchange.writer.body_size for each in busy if each.exchange.writer is not None]
        if len(now) >= connections and now == before and all(each._writable is not None for each in busy):
            return
        before = now
        await asyncio.sleep(0.05)


def buffered(served: Served) -> list[int]:
    """Give the bytes that this process holds for each of the clients."""
    return [each.unsent() for each in served.core.connections]


@KINDS
async def test_a_client_that_does_not_read_holds_bounded_memory(root: pathlib.Path, kind: str) -> None:
    async with serving_files(static(root), kind, root) as served:
        async with stalled(served, kind) as response:
            assert max(buffered(served)) < MOST
            assert len(held(root)) == 1
            assert len(await response.read()) == HUGE
        await closed(root)


@WIRES
async def test_many_slow_clients(root: pathlib.Path, kind: str) -> None:
    """Neither do they cost memory, nor does anybody else wait for them; then they get what they asked for."""
    number = 20
    async with serving_files(static(root), kind, root) as served:
        responses = await asyncio.gather(
            *(served.session.get(served.url / "files/huge.bin", read_bufsize=2**14) for _ in range(number))
        )
        await stands_still(served, kind, number)
        assert sum(buffered(served)) < number * MOST
        for _ in range(3):
            async with served.session.get(served.url / "files/small.html") as response:
                assert await response.read() == SMALL

        async def read(response: endwell.ClientResponse) -> None:
            async with response:
                for _ in range(100):
                    assert await response.content.read(4096)
                    await asyncio.sleep(0)

        await asyncio.gather(*map(read, responses))
        await closed(root)


@KINDS
async def test_a_server_that_stops_while_a_file_is_sent(root: pathlib.Path, kind: str) -> None:
    """It is drained: the client gets all of it."""
    async with serving_files(static(root), kind, root) as served:
        async with stalled(served, kind) as response:
            closing = asyncio.ensure_future(served.close())
            await asyncio.sleep(0)
            body = await response.read()
            assert len(body) == HUGE
        report = await closing
    assert report.finished == 1
    assert held(root) == []


@KINDS
async def test_a_server_that_stops_and_a_client_that_never_reads(root: pathlib.Path, kind: str) -> None:
    """After shutdown_timeout the send is cancelled, its file closed, and the client sees that it has not all."""
    async with serving_files(static(root), kind, root, allow_aborted=True, shutdown_timeout=0.1) as served:
        async with stalled(served, kind) as response:
            report = await served.close()
            assert held(root) == []
            with pytest.raises(endwell.ClientPayloadError):
                await response.read()
    assert len(report.aborted) == 1


@KINDS
@pytest.mark.parametrize("cancelling", [False, True], ids=["", "handler_cancellation"])
async def test_a_client_that_leaves_while_a_file_is_sent(root: pathlib.Path, kind: str, cancelling: bool) -> None:
    ended: list[str] = []

    async def handler(request: web.Request) -> web.FileResponse:
        response = web.FileResponse(root / "huge.bin")
        try:
            await response.prepare(request)
        except ConnectionResetError:
            ended.append("reset")
            raise
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        return response

    app = web.Application()
    app.router.add_get("/", handler)
    async with serving_files(app, kind, root, handler_cancellation=cancelling) as served:
        async with stalled(served, kind, "") as response:
            response.close()
        await until(lambda: ended)
        await closed(root)
        assert ended == ["reset"] or (cancelling and ended == ["cancelled"]), "both are there for it"
        await until(lambda: not served.core.work)


@WIRES
async def test_a_file_that_is_cut_short_while_it_is_sent(root: pathlib.Path, kind: str) -> None:
    """Its length was announced: the client must see that it did not get all, and the log says why, once."""
    async with serving_files(static(root), kind, root) as served:
        async with stalled(served, kind) as response:
            os.truncate(root / "huge.bin", 1000)
            with pytest.raises(endwell.ClientPayloadError):
                await response.read()
        await closed(root)
        (said,) = served.said()
        assert "became shorter while it was sent" in said
        async with served.session.get(served.url / "files/small.html") as response:
            assert await response.read() == SMALL


@WIRES
async def test_a_file_that_grows_while_it_is_sent(root: pathlib.Path, kind: str) -> None:
    async with serving_files(static(root), kind, root) as served:
        async with stalled(served, kind) as response:
            os.truncate(root / "huge.bin", 2 * HUGE)
            assert len(await response.read()) == HUGE
        async with served.session.head(served.url / "files/huge.bin") as response:
            assert response.content_length == 2 * HUGE
        assert len(served.core.connections) == 1, "the connection was used again"


async def test_a_half_closed_client_gets_its_file(root: pathlib.Path) -> None:
    async with facing(static(root)) as stage:
        client = await stage.connect(receive=4096)
        await client.send(b"GET /files/sub/big.txt HTTP/1.1\r\nHost: a\r\n\r\n")
        client.half_close()
        answer = await client.answer()
        assert (answer.status, answer.body) == (200, BIG)
        assert await client.closed() == "fin"


@pytest.mark.parametrize("path", [b"sub/big.txt", b"huge.bin"])
async def test_a_client_of_http_1_0_that_sends_more(root: pathlib.Path, path: bytes) -> None:
    """The answer is whole, although what came behind the request is thrown away (RFC 9112 section 9.6)."""
    size = (root / path.decode()).stat().st_size
    async with facing(static(root)) as stage:
        client = await stage.connect()
        await client.send(b"GET /files/%b HTTP/1.0\r\n\r\nand more, which is no request\r\n\r\n" % path)
        answer = await client.answer()
        assert (answer.status, len(answer.body), answer.complete) == (200, size, True)
        client.half_close()
        assert await client.closed() == "fin"


# No descriptors left


@contextlib.contextmanager
def no_more_descriptors() -> Iterator[None]:
    """Have every attempt to open something fail with EMFILE."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # All the numbers below the lowest free one are taken: that one is the limit.
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@KINDS
async def test_no_descriptor_for_a_file(root: pathlib.Path, kind: str) -> None:
    """That is the server's trouble, not the client's: 5xx, a log that says why, and nothing is left."""
    async with serving_files(static(root), kind, root) as served:
        url = served.url / "files/sub/big.txt"
        async with served.session.get(url) as response:  # the connection is there
            await response.read()
        with no_more_descriptors():
            async with served.session.get(url) as response:
                assert response.status in (500, 503)
                assert str(root) not in await response.text()
        (said,) = served.said()
        assert "Too many open files" in said
        async with served.session.get(url) as response:
            assert await response.read() == BIG
        assert held(root) == []


async def test_no_descriptor_for_a_connection(root: pathlib.Path) -> None:
    """The server waits, or drops the connection; those that are there are served, and later ones again."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))
    async with serving_files(static(root), "plain", root) as served:
        url = served.url / "files/small.html"
        async with served.session.get(url) as response:
            await response.read()
        with socket.socket() as sock:
            sock.setblocking(False)
            assert served.url.port is not None
            with no_more_descriptors():
                with contextlib.suppress(ConnectionError):
                    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", served.url.port))
                for _ in range(3):  # what is small is read in the same trip, and needs one as well
                    async with served.session.get(served.url / "none") as response:
                        assert response.status == 404
        async with endwell.ClientSession() as another, another.get(url) as response:
            assert await response.read() == SMALL
    assert all("accept" in str(each.get("message")) for each in told), told
