"""Files over real sockets: plain (the kernel sends them), TLS (they are read in a thread) and Unix sockets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pathlib
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import pytest
from yarl import URL

import endwell
from endwell import web
from endwell.lifetime import CloseReport
from tests.support.leaks import open_fds
from tests.support.raw import ListHandler, RawClient, facing, until
from tests.support.tls import client_context, server_context

SMALL: Final = b"<p>small</p>\n"
BIG: Final = b"".join(b"%015d\n" % number for number in range(2**16))  # 1 MB, every line at a place of its own
MOST: Final = 1_000_000
"""Bytes that a connection may hold whose client does not read: TLS takes half a megabyte, and then a piece of the file,
before it says that it is full."""

HUGE: Final = 32 * 2**20
"""Bytes of a file (a sparse one) that no buffers on the way can hold."""

KINDS = pytest.mark.parametrize("kind", ["plain", "tls", "unix"])
WIRES = pytest.mark.parametrize("kind", ["plain", "tls"])


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "small.html").write_bytes(SMALL)
    (root / "sub" / "big.txt").write_bytes(BIG)
    (root / "empty").touch()
    with (root / "huge.bin").open("wb") as file:
        file.truncate(HUGE)
    return root


class Served:
    """What `serving_files` gives."""

    def __init__(self, runner: web.AppRunner, session: endwell.ClientSession, url: URL, keeper: ListHandler) -> None:
        self.runner = runner
        self.session = session
        self.url = url
        self.keeper = keeper
        self.report: CloseReport | None = None

    @property
    def core(self) -> Any:
        assert self.runner.server is not None
        return self.runner.server

    def said(self, least: int = logging.WARNING) -> list[str]:
        """Give what was logged, with tracebacks; it is forgotten then."""
        records = [each for each in self.keeper.records if each.levelno >= least]
        self.keeper.records.clear()
        return [logging.Formatter().format(each) for each in records]

    async def close(self) -> CloseReport:
        """Close the server before the end of the block."""
        self.report = await self.runner.cleanup()
        return self.report


@contextlib.asynccontextmanager
async def serving_files(
    app: web.Application, kind: str, directory: pathlib.Path, *, allow_aborted: bool = False, **settings: Any
) -> AsyncIterator[Served]:
    """Serve an application over one kind of socket, with a session that reaches it; everything logged was looked at."""
    keeper = ListHandler()
    logger = logging.Logger("endwell.test")  # noqa: LOG001  # of this test alone
    logger.addHandler(keeper)
    settings.setdefault("shutdown_timeout", 5.0)
    runner = web.AppRunner(app, logger=logger, **settings)
    await runner.setup()
    try:
        site: web.BaseSite
        if kind == "unix":
            path = str(directory / "socket")
            site = web.UnixSite(runner, path)
            connector: endwell.BaseConnector = endwell.UnixConnector(path)
            url = URL("http://localhost/")
        else:
            site = web.TCPSite(runner, "localhost", 0, ssl_context=server_context() if kind == "tls" else None)
            connector = endwell.TCPConnector(ssl=client_context())
        await site.start()
        if isinstance(site, web.TCPSite):
            url = URL.build(scheme="https" if kind == "tls" else "http", host="localhost", port=site.port, path="/")
        async with endwell.ClientSession(connector=connector) as session:
            served = Served(runner, session, url, keeper)
            yield served
    except BaseException:
        await runner.cleanup()
        raise
    report = served.report or await served.close()
    if not allow_aborted:
        assert not report.aborted, report
    assert not report.errors, report
    assert served.said() == [], "something was logged that the test did not look at"


def static(root: pathlib.Path, **options: Any) -> web.Application:
    app = web.Application()
    app.router.add_static("/files", root, **options)
    return app


def held(root: pathlib.Path) -> list[str]:
    """Give the files below `root` that this process has open."""
    return [target for target in open_fds().values() if target.startswith(str(root))]


async def closed(root: pathlib.Path) -> None:
    await until(lambda: not held(root))


# What is answered


@KINDS
@pytest.mark.parametrize("way", ["static", "response"])
@pytest.mark.parametrize("version", [endwell.HttpVersion11, endwell.HttpVersion10], ids=["1.1", "1.0"])
async def test_files(root: pathlib.Path, kind: str, way: str, version: endwell.HttpVersion) -> None:
    app = static(root) if way == "static" else web.Application()

    async def handler(request: web.Request) -> web.FileResponse:
        return web.FileResponse(root / request.match_info["name"])

    if way == "response":
        app.router.add_get("/files/{name:.+}", handler)
    async with serving_files(app, kind, root) as served:
        connector = served.session.connector
        async with endwell.ClientSession(connector=connector, connector_owner=False, version=version) as session:
            for name, content in (("small.html", SMALL), ("sub/big.txt", BIG), ("empty", b"")) * 2:
                async with session.get(served.url / "files" / name) as response:
                    assert (response.status, await response.read()) == (200, content)
                    assert response.content_length == len(content)
                    assert "Transfer-Encoding" not in response.headers
                    tag = response.headers["ETag"]
                async with session.head(served.url / "files" / name) as response:
                    assert (response.status, await response.read()) == (200, b"")
                    assert response.content_length == len(content)
                async with session.get(served.url / "files" / name, headers={"If-None-Match": tag}) as response:
                    assert (response.status, await response.read()) == (304, b"")
            url = served.url / "files/sub/big.txt"
            for asked, start, end in (("0-9", 0, 10), ("100000-", 100_000, None), ("-70000", -70_000, None)):
                async with session.get(url, headers={"Range": f"bytes={asked}"}) as response:
                    assert (response.status, await response.read()) == (206, BIG[start:end])
            async with session.get(served.url / "files/none") as response:
                assert response.status == 404
        assert held(root) == []


@KINDS
async def test_places_beyond_four_gigabytes(root: pathlib.Path, kind: str) -> None:
    size = 5 * 2**30
    with (root / "vast").open("wb") as file:
        file.seek(size)
        file.write(b"the end")
    async with serving_files(static(root), kind, root) as served:
        url = served.url / "files/vast"
        async with served.session.head(url) as response:
            assert response.content_length == size + 7
        async with served.session.get(url, headers={"Range": "bytes=-1000000"}) as response:
            assert response.headers["Content-Range"] == f"bytes {size + 7 - 10**6}-{size + 6}/{size + 7}"
            body = await response.read()
    assert body == bytes(10**6 - 7) + b"the end"


@KINDS
async def test_many_at_once(root: pathlib.Path, kind: str) -> None:
    async with serving_files(static(root), kind, root) as served:

        async def fetch(name: str) -> bytes:
            async with served.session.get(served.url / "files" / name) as response:
                return await response.read()

        names = ("sub/big.txt", "small.html", "empty")
        bodies = await asyncio.gather(*(fetch(name) for name in names * 15))
        assert bodies == [BIG, SMALL, b""] * 15
        assert held(root) == []


@WIRES
async def test_coded_on_the_way(root: pathlib.Path, kind: str) -> None:
    async def handler(_request: web.Request) -> web.FileResponse:
        response = web.FileResponse(root / "sub" / "big.txt")
        response.enable_compression()
        return response

    app = web.Application()
    app.router.add_get("/", handler)
    async with serving_files(app, kind, root) as served:
        for coding in ("gzip", "br", "zstd", "deflate"):
            async with served.session.get(served.url, headers={"Accept-Encoding": coding}) as response:
                assert response.headers["Content-Encoding"] == coding
                assert await response.read() == BIG


@WIRES
async def test_a_file_that_is_replaced_while_it_is_sent(root: pathlib.Path, kind: str) -> None:
    """What is open stays what it is, as long as it is replaced by a rename, and not written over."""
    path = root / "huge.bin"
    async with serving_files(static(root), kind, root) as served:
        async with served.session.get(served.url / "files/huge.bin") as response:
            first = await response.content.readexactly(1000)
            (root / "new").write_bytes(b"new")
            (root / "new").rename(path)
            rest = await response.read()
            assert len(first) + len(rest) == HUGE
            assert not any(rest)
        async with served.session.get(served.url / "files/huge.bin") as response:
            assert await response.read() == b"new"


async def test_a_prepare_hook_and_prefixes_of_sub_applications(root: pathlib.Path) -> None:
    seen = []

    async def hook(request: web.Request, response: web.StreamResponse) -> None:
        seen.append((request.path, response.status, response.content_length))
        response.headers["Cache-Control"] = "max-age=60"

    inner, middle, outer = static(root), web.Application(), web.Application()
    inner.on_response_prepare.append(hook)
    middle.add_subapp("/inner", inner)
    outer.add_subapp("/middle", middle)
    outer.router.add_static("/own", root / "sub")
    async with serving_files(outer, "plain", root) as served:
        for path, status, size in (
            ("middle/inner/files/small.html", 200, len(SMALL)),
            ("middle/inner/files/sub/big.txt", 200, len(BIG)),
            ("middle/inner/files/none", 404, len("404: Not Found")),
        ):
            async with served.session.get(served.url / path) as response:
                assert (response.status, response.headers["Cache-Control"]) == (status, "max-age=60")
                assert len(await response.read()) == size
            assert seen.pop() == ("/" + path, status, size)
        async with served.session.get(served.url / "own/big.txt") as response:
            assert (response.status, await response.read()) == (200, BIG)
            assert "Cache-Control" not in response.headers
        for path in ("files/small.html", "middle/files/small.html", "middle/inner/small.html"):
            async with served.session.get(served.url / path) as response:
                assert response.status == 404
        async with served.session.post(served.url / "own/big.txt", data=b"x" * 1000) as response:
            assert (response.status, response.headers["Allow"]) == (405, "GET,HEAD")


async def test_the_access_log_says_status_and_size(root: pathlib.Path) -> None:
    """The size is that of all bytes that went over the wire for the response."""
    lines = ListHandler()
    logger = logging.Logger("endwell.test.access")  # noqa: LOG001  # of this test alone
    logger.addHandler(lines)
    asked = [
        (b"GET", b"/files/small.html", b"", 200),
        (b"GET", b"/files/sub/big.txt", b"", 200),
        (b"HEAD", b"/files/sub/big.txt", b"", 200),
        (b"GET", b"/files/sub/big.txt", b"Range: bytes=5-100004\r\n", 206),
        (b"GET", b"/files/small.html", b"Range: bytes=1-2\r\n", 206),
        (b"GET", b"/files/small.html", b"Range: bytes=100-\r\n", 416),
        (b"GET", b"/files/small.html", b"If-Modified-Since: Fri, 31 Dec 2100 23:59:59 GMT\r\n", 304),
        (b"GET", b"/files/none", b"", 404),
        (b"GET", b"/files/sub", b"", 403),
        (b"GET", b"/files/../x", b"", 404),
        (b"PUT", b"/files/small.html", b"Content-Length: 0\r\n", 405),
    ]
    async with facing(static(root), access_log=logger, access_log_format="%r %s %b") as stage:
        for method, path, fields, status in asked:
            client = await stage.connect()
            await client.send(b"%b %b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%b\r\n" % (method, path, fields))
            data = await everything(client)
            assert data.startswith(b"HTTP/1.1 %d " % status)
            await until(lambda: lines.records)
            assert (
                lines.records.pop().getMessage() == f"{method.decode()} {path.decode()} HTTP/1.1 {status} {len(data)}"
            )
            assert not lines.records


async def everything(client: RawClient) -> bytes:
    while await client._more():
        pass
    return bytes(client._buffer)


# Behind a file, and while it is sent


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
