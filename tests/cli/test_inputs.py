"""The list of URLs: from files and pipes, one by one, bad lines named, no credentials shown."""

import asyncio
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endwell.cli.inputs import (
    LINE_LIMIT,
    BadInput,
    Job,
    LineSource,
    check_url,
    count_urls,
    printable,
    read_jobs,
    shown,
    without_credentials,
)


async def lines_of(content: bytes) -> list[bytes]:
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        return [line async for line in LineSource(file.fileno()).lines()]


async def jobs_of(content: bytes, *arguments: str) -> list[Job | BadInput]:
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        return [item async for item in read_jobs(arguments, LineSource(file.fileno()), "list")]


@given(st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line)))
@settings(max_examples=30)
async def test_lines_of_a_file(lines: list[bytes]) -> None:
    assert await lines_of(b"".join(line + b"\n" for line in lines)) == lines


async def test_the_last_line_needs_no_end() -> None:
    assert await lines_of(b"a\nb") == [b"a", b"b"]


@pytest.mark.parametrize("size", [LINE_LIMIT - 1, LINE_LIMIT, LINE_LIMIT + 1, 5 * LINE_LIMIT])
@pytest.mark.parametrize("end", [b"", b"\n", b"\nnext"])
async def test_a_long_line_is_cut_and_the_next_one_is_whole(size: int, end: bytes) -> None:
    lines = await lines_of(b"x" * size + end)
    assert len(lines[0]) == min(size, LINE_LIMIT + 1)
    assert lines[1:] == ([b"next"] if end == b"\nnext" else [])


async def test_a_pipe_is_read_as_it_comes() -> None:
    reader, writer = os.pipe()
    try:
        lines = LineSource(reader).lines()
        os.write(writer, b"one\ntw")
        assert await anext(lines) == b"one"
        waiting = asyncio.ensure_future(anext(lines))
        await asyncio.sleep(0)
        assert not waiting.done()
        os.write(writer, b"o\n")
        assert await waiting == b"two"
        os.close(writer)
        writer = -1
        with pytest.raises(StopAsyncIteration):
            await anext(lines)
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)


async def test_closing_wakes_whoever_waits() -> None:
    reader, writer = os.pipe()
    try:
        source = LineSource(reader)
        waiting = asyncio.ensure_future(anext(source.lines(), None))
        await asyncio.sleep(0)
        source.close()
        assert await waiting is None
    finally:
        os.close(reader)
        os.close(writer)


async def test_comments_and_empty_lines_are_left_out_and_places_are_named() -> None:
    items = await jobs_of(
        b"\xef\xbb\xbf# list\n\n http://a/ \r\nnonsense\n\xff\n  # more\nhttp://b/", "http://c/", "ftp://d/"
    )
    assert [item.shown if isinstance(item, Job) else item.where for item in items] == [
        "http://c/",
        "argument 2",
        "http://a/",
        "list:4",
        "list:5",
        "http://b/",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.org",
        "//example.org/",
        "ftp://example.org/",
        "javascript:alert(1)",
        "http://",
        "http:///path",
        "http://[::1/",
        "http://h:99999/",
        "http://h:port/",
        "http://h/\r\nX: y",
        "http://h/\0",
        "http://h/\x1b[2J",
        "http://a b/",
    ],
)
def test_what_is_no_url(text: str) -> None:
    with pytest.raises(ValueError) as raised:
        check_url(text)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "ftp://me:hunter2@h/",
        "http://me:hunter2@h:port/",
        "http://me:hun/hunter2@h/",
        "http://me:hunter2@[::1/",
        "me:hunter2@h",
        "http://me:hunter2@h/\n",
        "http://me:hunter2@:80/",
    ],
)
def test_an_error_shows_no_credentials(text: str) -> None:
    with pytest.raises(ValueError) as raised:
        check_url(text)
    assert "hunter2" not in str(raised.value)


def test_what_is_shown_of_a_url_has_no_credentials() -> None:
    job = check_url("http://me:hunter2@h/a?b=c@d")
    assert job.shown == "http://h/a?b=c@d"
    assert job.url.password == "hunter2"


@given(st.text())
def test_what_is_shown_is_short_and_printable(text: str) -> None:
    assert shown(text).isprintable()
    assert len(shown(text)) <= 100
    assert printable(text).isprintable()


def test_urls_in_a_text_lose_their_credentials() -> None:
    text = "no answer from http://me:hunter2@proxy:80/ for https://you@h/x@y"
    assert without_credentials(text) == "no answer from http://proxy:80/ for https://h/x@y"


def test_counting(tmp_path: Path) -> None:
    path = tmp_path / "urls"
    path.write_bytes(b"# no\nhttp://a/\n\n  \nhttp://b/")
    assert count_urls(path) == 2
    assert count_urls(path, size_limit=3) is None
    assert count_urls(tmp_path) is None
    assert count_urls(tmp_path / "missing") is None
