"""Static files: no way out of the root, no name that is an error of the server, no range that costs (RFC 9110 14)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from endwell import web
from tests.support.raw import Answer, Stage, facing, until

SECRET = b"s3cr3t"


def make_tree(directory: Path) -> Path:
    """Make a root with files in it, a secret beside it, and links that lead to it; return the root."""
    root = directory / "root"
    (root / "below").mkdir(parents=True)
    (root / "file.txt").write_bytes(bytes(range(100)))
    (root / "below" / "file.txt").write_bytes(b"below")
    (directory / "secret.txt").write_bytes(SECRET)
    (directory / "root-beside").mkdir()
    (directory / "root-beside" / "secret.txt").write_bytes(SECRET)
    (root / "link.txt").symlink_to(directory / "secret.txt")
    (root / "relative.txt").symlink_to("../secret.txt")
    (root / "up").symlink_to(directory)
    (root / "loop").symlink_to("loop")
    (root / "inside.txt").symlink_to("below/file.txt")
    os.mkfifo(root / "pipe")
    (root / "locked").write_bytes(SECRET)
    return root


def static(root: Path, **kwargs: bool) -> web.Application:
    app = web.Application()
    app.router.add_static("/static", root, **kwargs)
    return app


async def get(stage: Stage, target: bytes, *fields: bytes, method: bytes = b"GET") -> Answer:
    lines = [method + b" " + target + b" HTTP/1.1", b"Host: a", b"Connection: close", *fields, b"", b""]
    (answer,) = await stage.ask(b"\r\n".join(lines))
    return answer


ESCAPES = (
    b"/static/../secret.txt",
    b"/static/%2e%2e/secret.txt",
    b"/static/.%2e/secret.txt",
    b"/static/..%2fsecret.txt",
    b"/static/%2e%2e%2fsecret.txt",
    b"/static/%252e%252e%252fsecret.txt",
    b"/static/below/../../secret.txt",
    b"/static/below/..%2f..%2fsecret.txt",
    b"/static/../root-beside/secret.txt",
    b"/static/..%2froot-beside/secret.txt",
    b"/static-beside/secret.txt",
    b"/static/....//secret.txt",
    b"/static/..;/secret.txt",
    b"/static/..\\secret.txt",
    b"/static/..%5csecret.txt",
    b"/static/%c0%ae%c0%ae/secret.txt",
    b"/static/\\..\\..\\secret.txt",
    b"/static//etc/passwd",
    b"/static/%2fetc%2fpasswd",
    b"/static//../secret.txt",
    b"/static/%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e%2fetc/passwd",
    b"/static/link.txt",
    b"/static/relative.txt",
    b"/static/up/secret.txt",
    b"/static/up/root/../secret.txt",
    b"/static/up",
    b"/static/loop",
    b"/static/loop/x",
    b"/static/file.txt%00",
    b"/static/file.txt%00.png",
    b"/static/%00",
    b"/static/file.txt/x",
    b"/static/FILE.TXT",
    b"/static/" + b"a" * 4000,
    b"/static/" + b"a/" * 2000,
    b"/static/" + b"%2e%2e/" * 1000,
    b"/static/" + b"../" * 2000,
    b"/static/%ff%fe",
    b"/static/%",
    b"/static/%zz",
    b"/static/~root/x",
    b"/static/$HOME",
    b"/static/pipe",
    b"/static/",
    b"/static",
    b"/static/.",
    b"/static/below",
    b"/static/below/",
    b"http://a/static/../secret.txt",
    b"http://a/static/%2e%2e/secret.txt",
)


@pytest.mark.parametrize("settings", [{}, {"show_index": True}], ids=["", "index"])
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
async def test_no_name_leads_out_of_the_root(tmp_path: Path, method: bytes, settings: dict[str, bool]) -> None:
    async with facing(static(make_tree(tmp_path), **settings)) as stage:
        for target in ESCAPES:
            client = await stage.connect()
            await client.send(method + b" " + target + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            answer = await client.answer(method.decode())
            assert await client.closed() == "fin"
            assert answer.status in (403, 404) or (answer.status == 200 and settings), (target, answer)
            assert SECRET not in answer.body, target
            assert b"root:" not in answer.body, target
            assert b"beside" not in answer.body, target
            assert str(tmp_path).encode() not in answer.body, target
        assert stage.said() == []


async def test_what_is_in_the_root_is_served(tmp_path: Path) -> None:
    """So that the refusals above are not for another reason."""
    async with facing(static(make_tree(tmp_path))) as stage:
        for target in (b"/static/below/file.txt", b"/static/below/../below/file.txt", b"/static/inside.txt"):
            assert (await get(stage, target)).body == b"below"
    async with facing(static(tmp_path / "root", follow_symlinks=True)) as stage:
        assert (await get(stage, b"/static/link.txt")).body == SECRET
        assert (await get(stage, b"/static/../secret.txt")).status == 404


async def test_an_index_shows_names_as_text(tmp_path: Path) -> None:
    for name in ("<script>alert(1)</script>", 'a"b', "c'd", "e\nf", "javascript:alert(1)", "%2e%2e"):
        (tmp_path / name.replace("/", "\u2215")).write_bytes(b"")
    (tmp_path / os.fsdecode(b"\xff")).write_bytes(b"")
    async with facing(static(tmp_path, show_index=True)) as stage:
        answer = await get(stage, b"/static/")
        assert answer.status == 200
        assert b"<script>" not in answer.body
        assert b'href="javascript' not in answer.body
        assert answer.body.count(b"<li>") == 7


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_a_file_that_may_not_be_read_is_403(tmp_path: Path) -> None:
    root = make_tree(tmp_path)
    (root / "locked").chmod(0)
    async with facing(static(root)) as stage:
        assert (await get(stage, b"/static/locked")).status == 403


SIZE = 100
RANGES = {
    b"bytes=0-0": (206, 1),
    b"bytes=99-": (206, 1),
    b"bytes=-1": (206, 1),
    b"bytes=-1000": (206, SIZE),
    b"bytes=50-9999999999999999999999999": (206, 50),
    b"bytes=0-" + b"9" * 4000: (206, SIZE),
    b"bytes=-" + b"9" * 4000: (206, SIZE),
    b"bytes=" + b"0" * 4000 + b"-0": (206, 1),
    b"bytes=100-": (416, None),
    b"bytes=" + b"9" * 4000 + b"-": (416, None),
    b"bytes=-0": (416, None),
    b"bytes=0-0,1-1": (200, SIZE),
    b"bytes=" + b"0-," * 1300: (200, SIZE),
    b"bytes=0-99," * 300 + b"0-0": (200, SIZE),
    b"bytes=5-1": (200, SIZE),
    b"bytes=-": (200, SIZE),
    b"bytes=": (200, SIZE),
    b"bytes": (200, SIZE),
    b"=": (200, SIZE),
    b"bytes=a-b": (200, SIZE),
    b"bytes=+1-2": (200, SIZE),
    b"bytes=0x1-2": (200, SIZE),
    b"bytes=1_0-20": (200, SIZE),
    b"bytes= 1-2": (200, SIZE),
    b"bytes=--1": (200, SIZE),
    "bytes=\u0661-\u0662".encode(): (200, SIZE),
    b"bytes=\xb2-\xb3": (200, SIZE),
    b"lines=0-1": (200, SIZE),
    b"\xff" * 100: (200, SIZE),
}


async def test_ranges_of_any_kind_cost_no_more_than_the_file(tmp_path: Path) -> None:
    async with facing(static(make_tree(tmp_path))) as stage:
        for value, (status, size) in RANGES.items():
            answer = await get(stage, b"/static/file.txt", b"Range: " + value)
            assert answer.status == status, (value, answer)
            if size is not None:
                assert len(answer.body) == size, value
        both = await get(stage, b"/static/file.txt", b"Range: bytes=0-1", b"Range: bytes=2-3")
        assert both.status in (200, 206)
        assert stage.said() == []


async def test_a_handler_that_asks_for_a_range_there_is_not_gives_416() -> None:
    async def handler(request: web.BaseRequest) -> web.Response:
        return web.Response(text=str(request.http_range.start))

    async with facing(handler) as stage:
        for value, (status, _) in RANGES.items():
            assert (await get(stage, b"/", b"Range: " + value)).status in (200, 416), (value, status)
        assert (await get(stage, b"/", b"Range: bytes=s3cr3t")).status == 416
        assert stage.said() == []


CONDITIONS = (
    b"If-None-Match: " + b'"a",' * 1500,
    b'If-None-Match: "' + b"a" * 7000,
    b"If-Match: " + b"W/" * 3000,
    b"If-Modified-Since: " + b"9" * 7000,
    b"If-Modified-Since: Mon, 01 Jan 99999999999 00:00:00 GMT",
    b"If-Unmodified-Since: \xff\xff",
    b"If-Range: " + b'"' * 7000,
    b"Accept-Encoding: " + b"gzip;q=0.5," * 600,
    b"Accept-Encoding: gzip;q=" + b"9" * 7000,
)


async def test_odd_conditions_are_no_error(tmp_path: Path) -> None:
    async with facing(static(make_tree(tmp_path))) as stage:
        for field in CONDITIONS:
            answer = await get(stage, b"/static/file.txt", field, b"Range: bytes=0-9")
            assert answer.status in (200, 206, 304, 412), (field[:60], answer)
        assert stage.said() == []


async def test_a_file_that_is_not_read_by_its_client_is_closed(tmp_path: Path) -> None:
    """And its client is dropped."""
    (tmp_path / "large").write_bytes(bytes(64 * 2**20))
    async with facing(static(tmp_path), send_timeout=0.05) as stage:
        client = await stage.connect(receive=4096)
        await client.send(b"GET /static/large HTTP/1.1\r\nHost: a\r\n\r\n")
        await until(lambda: stage.server.core.connections)
        await until(lambda: not stage.server.core.connections)
