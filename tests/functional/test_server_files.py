"""What is answered for files, over real sockets: plain, TLS and Unix sockets. How: `test_server_files_sent`."""

from __future__ import annotations

import asyncio
import logging
import pathlib

import pytest

import endwell
from endwell import web
from endwell.server.middlewares import Handler
from tests.support.files import BIG, HUGE, KINDS, SMALL, WIRES, closed, held, make_files, serving_files, static
from tests.support.raw import ListHandler, RawClient, facing, until


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    return make_files(tmp_path)


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


# What middlewares see


@pytest.mark.parametrize("show_index", [False, True])
async def test_middlewares_see_that_there_is_no_file(root: pathlib.Path, show_index: bool) -> None:
    """They make the pages of errors: what the router or the static files raise comes by here."""
    (root / "out").symlink_to("/etc/passwd")
    (root / "loop").symlink_to("loop")

    @web.middleware
    async def pages(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as error:
            return web.Response(status=error.status, text=f"page of {error.status}")

    app = static(root, show_index=show_index)
    app.middlewares.append(pages)
    async with serving_files(app, "plain", root) as served:
        for name, status in {
            "small.html": 200,
            "sub": 200 if show_index else 403,
            "none": 404,
            "sub/none": 404,
            "small.html/none": 404,
            "out": 404,
            "loop": 404,
        }.items():
            async with served.session.get(served.url / "files" / name) as response:
                assert (response.status, name) == (status, name)
                assert (await response.text() == f"page of {status}") == (status != 200)


async def test_a_file_that_a_middleware_does_not_send_is_closed(root: pathlib.Path) -> None:
    kept: list[web.StreamResponse] = []

    @web.middleware
    async def instead(request: web.Request, handler: Handler) -> web.StreamResponse:
        if kept:
            return kept.pop()
        kept.append(await handler(request.clone(remote="127.0.0.2")))
        assert len(held(root)) == 1
        return web.Response(text="another")

    app = static(root)
    app.middlewares.append(instead)
    async with serving_files(app, "plain", root) as served:
        async with served.session.get(served.url / "files/sub/big.txt") as response:
            assert await response.text() == "another"
        await closed(root)
        async with served.session.get(served.url / "files/none") as response:
            assert await response.read() == BIG, "what was kept and never sent is found again"
        await closed(root)


async def test_a_middleware_says_that_the_file_is_coded_itself(root: pathlib.Path) -> None:
    """Then there is no sibling of it, although one had been found."""
    (root / "sub" / "big.txt.gz").write_bytes(b"the sibling")

    @web.middleware
    async def coded(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        if request.query:
            response.headers["Content-Encoding"] = "aes128gcm"
        return response

    app = static(root)
    app.middlewares.append(coded)
    async with serving_files(app, "plain", root) as served:
        url = served.url / "files/sub/big.txt"
        for query, coding, content in (("", "gzip", b"the sibling"), ("?own", "aes128gcm", BIG)):
            asking = served.session.get(
                url.with_query(query[1:]), headers={"Accept-Encoding": "gzip"}, auto_decompress=False
            )
            async with asking as response:
                assert (response.headers["Content-Encoding"], await response.read()) == (coding, content)
        await closed(root)
