from __future__ import annotations

import asyncio
import errno
import gzip
import os
import stat
import threading
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endwell.server import file_choice, file_response
from endwell.server.application import Application
from endwell.server.file_choice import acceptable_siblings, find_file, refusal_of, root_of
from endwell.server.file_response import FileResponse
from endwell.server.file_types import file_type
from endwell.server.response import ContentCoding
from endwell.testing.mocked import make_mocked_request
from tests.support.leaks import open_fds

CONTENT = bytes(range(256)) * 4 + b"0123456789"
BIG = b"endwell " * 50_000  # more than is read when the file is found
TIME_NS = 1_700_000_000_500_000_000
SECONDS = "Tue, 14 Nov 2023 22:13:21 GMT"  # of TIME_NS, rounded up
BEFORE = "Tue, 14 Nov 2023 22:13:20 GMT"
AFTER = "Tue, 14 Nov 2023 22:13:22 GMT"


def put(path: Path, content: bytes = CONTENT) -> Path:
    path.write_bytes(content)
    os.utime(path, ns=(TIME_NS, TIME_NS))
    return path


def tag(content: bytes) -> str:
    return f'"{TIME_NS:x}-{len(content):x}"'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return put(tmp_path / "page.txt")


@pytest.fixture
def big(tmp_path: Path) -> Path:
    return put(tmp_path / "big.txt", BIG)


def open_below(directory: Path) -> list[str]:
    return [target for target in open_fds().values() if target.startswith(str(directory))]


class Answer:
    """What a client gets, taken apart."""

    def __init__(self, sent: bytes) -> None:
        head, _, self.body = sent.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        self.status = int(status.split()[1])
        self.reason = status.split(" ", 2)[2]
        self.fields: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(": ")
            name = name.lower()
            self.fields[name] = f"{self.fields[name]}, {value}" if name in self.fields else value

    def __getattr__(self, name: str) -> str | None:
        return self.fields.get(name.replace("_", "-"))


async def ask(response: FileResponse, method: str = "GET", /, **headers: str) -> Answer:
    """Send the response as the server would do, and give what the client gets."""
    request = make_mocked_request(method, "/", headers={name.replace("_", "-"): text for name, text in headers.items()})
    await response.prepare(request)
    await response.write_eof()
    assert request._exchange.ended
    assert request._exchange.status == response.status
    answer = Answer(bytes(request._exchange.sent))
    assert answer.status == response.status
    assert response.body_length == len(request._exchange.sent)
    return answer


def slow_request() -> Any:
    """Give a request whose client does not read for now."""
    request = make_mocked_request("GET", "/", loop=asyncio.get_running_loop())
    request._exchange.stream.pause_writing()
    return request


# The whole file


@pytest.mark.parametrize(
    "content", [b"", b"x", CONTENT, b"y" * file_response._KEPT, b"z" * (file_response._KEPT + 1), BIG]
)
@pytest.mark.parametrize("kind", [str, Path])
async def test_the_whole_file(tmp_path, content, kind):
    answer = await ask(FileResponse(kind(put(tmp_path / "a.txt", content))))
    assert (answer.status, answer.reason, answer.body) == (200, "OK", content)
    assert answer.content_length == str(len(content))
    assert answer.content_type == "text/plain"
    assert answer.etag == tag(content)
    assert answer.last_modified == SECONDS
    assert answer.accept_ranges == "bytes"
    assert answer.vary is None
    assert not open_below(tmp_path)


@pytest.mark.parametrize("content", [b"", CONTENT, BIG])
async def test_head(tmp_path, content):
    path = put(tmp_path / "a.txt", content)
    answer, whole = await ask(FileResponse(path), "HEAD"), await ask(FileResponse(path))
    assert answer.body == b""
    assert answer.fields == whole.fields
    assert not open_below(tmp_path)


async def test_a_small_file_leaves_with_its_head(path):
    request = make_mocked_request("GET", "/")
    writes = []
    request._exchange.send = writes.append
    await FileResponse(path).prepare(request)
    assert len(writes) == 1
    assert writes[0].endswith(CONTENT)


@pytest.mark.parametrize("size", [7, 1000, 10**9])
async def test_chunk_sizes(tmp_path, size):
    path = put(tmp_path / "a.txt", BIG[:70_000])
    assert (await ask(FileResponse(path, size))).body == BIG[:70_000]


async def test_prepare_is_idempotent(path):
    request = make_mocked_request("GET", "/")
    response = FileResponse(path)
    await response.prepare(request)
    sent = bytes(request._exchange.sent)
    await response.prepare(request)
    await response.write_eof()
    assert request._exchange.sent == sent
    assert response.prepared


async def test_http_1_0_and_a_connection_that_ends(big):
    from endwell.http.version import HttpVersion10

    request = make_mocked_request("GET", "/", version=HttpVersion10)
    await FileResponse(big).prepare(request)
    answer = Answer(bytes(request._exchange.sent))
    assert (answer.content_length, answer.body) == (str(len(BIG)), BIG)


async def test_the_writer_of_a_test(big):
    from endwell.http.writer import CollectingWriter

    writer = CollectingWriter()
    await FileResponse(big, 1000).prepare(
        make_mocked_request("GET", "/", headers={"Range": "bytes=5-9999"}, writer=writer)
    )
    assert writer.getvalue() == BIG[5:10_000]


async def test_a_slash_at_the_end_does_not_count(path):
    assert (await ask(FileResponse(f"{path}/"))).body == CONTENT


def test_what_is_no_path():
    for wrong in (5, None, b"a.txt"):
        with pytest.raises(TypeError):
            FileResponse(wrong)  # type: ignore[arg-type]


def test_a_chunk_size_that_reads_nothing():
    with pytest.raises(ValueError, match="chunk_size is 0"):
        FileResponse("a.txt", 0)


def test_a_reason_that_would_split_the_response():
    with pytest.raises(ValueError, match="CR, LF"):
        FileResponse("a.txt", reason="a\r\nb: c")


async def test_status_and_reason(path):
    answer = await ask(FileResponse(path, status=201, reason="Made"))
    assert (answer.status, answer.reason, answer.body) == (201, "Made", CONTENT)


@pytest.mark.parametrize("status", [204, 205, 304])
async def test_a_status_without_a_body(big, status):
    assert (await ask(FileResponse(big, status=status))).body == b""


async def test_the_fields_of_the_application_stay(path):
    headers = {
        "Content-Type": "text/x-own; charset=utf-8",
        "ETag": '"own"',
        "Last-Modified": BEFORE,
        "Cache-Control": "no-store",
        "Content-Length": "5",
        "Accept-Ranges": "none",
    }
    answer = await ask(FileResponse(path, headers=headers), Range="bytes=0-1")
    assert answer.status == 200
    assert answer.content_type == "text/x-own; charset=utf-8"
    assert (answer.etag, answer.last_modified, answer.cache_control) == ('"own"', BEFORE, "no-store")
    assert (answer.content_length, answer.accept_ranges) == (str(len(CONTENT)), "none")


@pytest.mark.parametrize("value", ['"own"', SECONDS])
async def test_conditions_are_asked_of_the_applications_own_validators(path, value):
    name = "ETag" if '"' in value else "Last-Modified"
    response = FileResponse(path, headers={name: '"own"' if name == "ETag" else AFTER})
    if name == "ETag":
        assert (await ask(response, If_None_Match='"own"')).status == 304
    else:
        assert (await ask(response, If_Modified_Since=SECONDS)).status == 200


# Ranges


@pytest.mark.parametrize("content", [CONTENT, BIG])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("field", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=0-9", 0, 9),
        ("Bytes=5-7", 5, 7),
        ("bytes=1000-", 1000, None),
        ("bytes=1000-999999999999999999999999", 1000, None),
        ("bytes=-10", -10, None),
        ("bytes=-99999999", 0, None),
        ("bytes=0-", 0, None),
    ],
)
async def test_a_range(tmp_path, content, method, field, first, last):
    size = len(content)
    first = first if first >= 0 else size + first
    last = size - 1 if last is None else last
    answer = await ask(FileResponse(put(tmp_path / "a.txt", content)), method, Range=field)
    assert answer.status == 206
    assert answer.content_range == f"bytes {first}-{last}/{size}"
    assert answer.content_length == str(last - first + 1)
    assert answer.etag == tag(content)
    assert answer.body == (content[first : last + 1] if method == "GET" else b"")


@pytest.mark.parametrize("content", [b"", CONTENT, BIG])
@pytest.mark.parametrize("field", ["bytes=-0", "bytes={size}-", "bytes=999999999-", "bytes=99999999999999999999999-"])
async def test_a_range_that_nothing_has(tmp_path, content, field):
    path = put(tmp_path / "a.txt", content)
    answer = await ask(FileResponse(path), Range=field.format(size=len(content)))
    assert (answer.status, answer.body, answer.content_length) == (416, b"", "0")
    assert answer.content_range == f"bytes */{len(content)}"
    assert answer.etag is answer.last_modified is answer.content_type is None
    assert not open_below(tmp_path)


@pytest.mark.parametrize(
    "field",
    [
        "bytes=0-9,20-29", "bytes=0-9,", "bytes=5-3", "bytes=", "bytes", "bytes=-", "items=0-9", "bytes=+1-5",
        "bytes=1_0-2_0", "bytes=\u0660-\u0669", "bytes=0 - 9", "bytes=--5", "bytes:0-9", "bytes=" + "0-0," * 2000,
    ],
)  # fmt: skip
async def test_a_range_that_cannot_be_understood_is_ignored(path, field):
    answer = await ask(FileResponse(path), Range=field)
    assert (answer.status, answer.body) == (200, CONTENT)


@pytest.mark.parametrize(
    ("if_range", "status"),
    [
        ("{tag}", 206), ("W/{tag}", 200), ('"x"', 200), ("{tag}, {tag}", 200), (SECONDS, 206), (BEFORE, 200),
        (AFTER, 200), ("garbage", 200), ("", 200), ("*", 200),
    ],
)  # fmt: skip
async def test_if_range(path, if_range, status):
    answer = await ask(FileResponse(path), Range="bytes=0-9", If_Range=if_range.format(tag=tag(CONTENT)))
    assert answer.status == status
    assert answer.body == (CONTENT if status == 200 else CONTENT[:10])


async def test_if_range_comes_before_what_cannot_be_given(path):
    assert (await ask(FileResponse(path), Range="bytes=99999-", If_Range='"x"')).status == 200


@pytest.mark.parametrize("status", [201, 404, 500])
async def test_only_of_a_200_a_part_is_sent(path, status):
    answer = await ask(FileResponse(path, status=status), Range="bytes=0-9")
    assert (answer.status, answer.body) == (status, CONTENT)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_only_reading_asks_for_parts_and_has_conditions(path, method):
    answer = await ask(FileResponse(path), method, Range="bytes=0-9", If_None_Match="*", If_Match='"x"')
    assert (answer.status, answer.body) == (200, CONTENT)


@pytest.fixture(scope="module")
def some_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put(tmp_path_factory.mktemp("ranges") / "a.bin")


NUMBERS = st.none() | st.integers(0, len(CONTENT) + 5)


@settings(deadline=None)
@given(first=NUMBERS, last=NUMBERS)
def test_any_range_is_a_slice(some_file, first, last):
    field = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    response = FileResponse(some_file)
    found = find_file(str(some_file), keep=10**6)
    response._describe(make_mocked_request("GET", "/", headers={"Range": field}), found)
    data = (found.data or b"")[response._first : response._first + response._count]
    if first is None:
        part = None if last is None else CONTENT[-last:] if last else b""
    else:
        part = None if last is not None and last < first else CONTENT[first : None if last is None else last + 1]
    if part is None:  # nothing that could be understood
        assert (response.status, data) == (200, CONTENT)
    else:
        assert (response.status, data) == (206 if part else 416, part)


# Conditions


@pytest.mark.parametrize("content", [CONTENT, BIG])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-None-Match": "{tag}"}, 304),
        ({"If-None-Match": "W/{tag}"}, 304),
        ({"If-None-Match": '"x", {tag}'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"x"'}, 200),
        ({"If-None-Match": ""}, 200),
        ({"If-None-Match": "garbage"}, 200),
        ({"If-None-Match": '"x"', "If-Modified-Since": AFTER}, 200),
        ({"If-None-Match": "{tag}", "If-Modified-Since": BEFORE}, 304),
        ({"If-Modified-Since": SECONDS}, 304),
        ({"If-Modified-Since": AFTER}, 304),
        ({"If-Modified-Since": BEFORE}, 200),
        ({"If-Modified-Since": "garbage"}, 200),
        ({"If-Match": "{tag}"}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": "W/{tag}"}, 412),
        ({"If-Match": '"x"'}, 412),
        ({"If-Unmodified-Since": SECONDS}, 200),
        ({"If-Unmodified-Since": BEFORE}, 412),
        ({"If-Match": "{tag}", "If-Unmodified-Since": BEFORE}, 200),
        ({"If-Match": '"x"', "If-None-Match": "{tag}"}, 412),
        ({"If-None-Match": "{tag}", "Range": "bytes=0-1"}, 304),
        ({"If-Match": '"x"', "Range": "bytes=0-1"}, 412),
        ({"If-Match": "{tag}", "Range": "bytes=0-1"}, 206),
    ],
)
async def test_conditions(tmp_path, content, headers, status):
    path = put(tmp_path / "a.txt", content)
    answer = await ask(FileResponse(path), **{name: text.format(tag=tag(content)) for name, text in headers.items()})
    assert answer.status == status
    assert answer.body == {200: content, 206: content[:2]}.get(status, b"")
    assert (answer.etag, answer.last_modified) == (tag(content), SECONDS)
    if status == 304:
        assert answer.content_length is answer.content_type is None
    if status == 412:
        assert answer.content_length == "0"
    assert not open_below(tmp_path)


@pytest.mark.parametrize("status", [404, 500])
async def test_an_error_page_has_no_conditions(path, status):
    answer = await ask(FileResponse(path, status=status), If_None_Match=tag(CONTENT), If_Match='"x"')
    assert (answer.status, answer.body) == (status, CONTENT)


# Siblings


@pytest.fixture
def coded(path: Path) -> Path:
    for extension in (".br", ".zst", ".gz"):
        put(path.with_name(path.name + extension), extension.encode())
    return path


@pytest.mark.parametrize(
    ("accepted", "extension"),
    [
        ("br", ".br"), ("gzip", ".gz"), ("x-gzip", ".gz"), ("zstd", ".zst"), ("gzip, br", ".br"), ("BR", ".br"),
        ("gzip, deflate, br, zstd", ".br"), ("gzip;q=0.9, br;q=0.1", ".gz"), ("br;q=0, gzip", ".gz"),
        ("gzip;q=0", ""), ("", ""), ("*", ""), ("identity", ""), ("deflate", ""), ("xgzip, notbr", ""),
        ("gzip;q=0.5, identity", ""), ("gzip;q=0.5", ".gz"), ("br;q=garbage, gzip", ".gz"), ("gzip ; q=0", ""),
        (",".join(["x"] * 5000) + ",br", ""),
    ],
)  # fmt: skip
async def test_a_sibling_that_the_client_accepts(coded, accepted, extension):
    answer = await ask(FileResponse(coded), Accept_Encoding=accepted)
    assert answer.body == (extension.encode() or CONTENT)
    assert answer.content_encoding == {".br": "br", ".gz": "gzip", ".zst": "zstd", "": None}[extension]
    assert answer.vary == ("Accept-Encoding" if extension else None)
    assert answer.content_type == "text/plain"
    assert answer.etag == tag(answer.body)
    assert answer.status == 200


async def test_conditions_and_ranges_are_those_of_the_sibling(coded):
    answer = await ask(FileResponse(coded), Accept_Encoding="br", If_None_Match=tag(b".br"))
    assert (answer.status, answer.vary, answer.content_encoding) == (304, "Accept-Encoding", None)
    assert (await ask(FileResponse(coded), Accept_Encoding="br", If_None_Match=tag(CONTENT))).status == 200
    answer = await ask(FileResponse(coded), Accept_Encoding="gzip", Range="bytes=1-1")
    assert (answer.status, answer.body, answer.content_range) == (206, b"g", "bytes 1-1/3")
    assert answer.content_encoding == "gzip"
    answer = await ask(FileResponse(coded), Accept_Encoding="gzip", Range="bytes=3-")
    assert (answer.status, answer.content_encoding) == (416, None)


async def test_vary_is_added_to(coded):
    answer = await ask(FileResponse(coded, headers={"Vary": "Origin"}), Accept_Encoding="br")
    assert answer.vary == "Origin, Accept-Encoding"
    answer = await ask(FileResponse(coded, headers={"Vary": "accept-encoding"}), Accept_Encoding="br")
    assert answer.vary == "accept-encoding"


async def test_the_applications_strong_tag_is_not_that_of_a_sibling(coded):
    answer = await ask(FileResponse(coded, headers={"ETag": '"own"'}), Accept_Encoding="br")
    assert answer.etag == 'W/"own"'


async def test_a_file_that_is_coded_already_has_no_sibling(coded):
    answer = await ask(FileResponse(coded, headers={"Content-Encoding": "gzip"}), Accept_Encoding="br")
    assert (answer.content_encoding, answer.body) == ("gzip", CONTENT)


async def test_a_sibling_saves_the_coding(coded):
    response = FileResponse(coded)
    response.enable_compression()
    answer = await ask(response, Accept_Encoding="br, gzip")
    assert (answer.content_encoding, answer.body) == ("br", b".br")


@pytest.mark.parametrize("kind", ["directory", "fifo", "dangling link"])
async def test_a_sibling_that_is_no_file_is_none(path, kind):
    sibling = path.with_name(path.name + ".gz")
    {
        "directory": sibling.mkdir,
        "fifo": lambda: os.mkfifo(sibling),
        "dangling link": lambda: sibling.symlink_to("nothing"),
    }[kind]()
    answer = await ask(FileResponse(path), Accept_Encoding="gzip")
    assert (answer.body, answer.content_encoding) == (CONTENT, None)


async def test_a_sibling_alone(tmp_path):
    put(tmp_path / "only.js.gz", gzip.compress(CONTENT))
    answer = await ask(FileResponse(tmp_path / "only.js"), Accept_Encoding="gzip")
    assert gzip.decompress(answer.body) == CONTENT
    assert (await ask(FileResponse(tmp_path / "only.js"))).status == 404


def test_the_order_of_siblings():
    assert acceptable_siblings(["gzip", "zstd, br"]) == (("br", ".br"), ("zstd", ".zst"), ("gzip", ".gz"))
    assert acceptable_siblings(["gzip;q=0.8, zstd;q=0.9"]) == (("zstd", ".zst"), ("gzip", ".gz"))
    assert acceptable_siblings([]) == ()


# Coding on the way


@pytest.mark.parametrize("content", [b"", CONTENT, BIG])
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_coded_on_the_way(tmp_path, content, coding):
    response = FileResponse(put(tmp_path / "a.txt", content), chunk_size=100_000)
    response.enable_compression(ContentCoding[coding])
    answer = await ask(response)
    assert (answer.content_encoding, answer.transfer_encoding, answer.content_length) == (coding, "chunked", None)
    assert answer.etag == f"W/{tag(content)}"
    body = b""
    rest = answer.body
    while rest != b"0\r\n\r\n":
        size, _, rest = rest.partition(b"\r\n")
        body += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]
    assert zlib.decompress(body, 47) == content
    assert not open_below(tmp_path)


async def test_a_part_is_not_coded(path):
    response = FileResponse(path)
    response.enable_compression(ContentCoding.gzip)
    answer = await ask(response, Range="bytes=0-9")
    assert (answer.status, answer.content_encoding, answer.body) == (206, None, CONTENT[:10])


@pytest.mark.parametrize("headers", [{"If-Match": '"x"'}, {"Range": "bytes=99999-"}, {"If-None-Match": "*"}])
async def test_what_has_no_file_has_no_coding_and_no_chunks(path, headers):
    response = FileResponse(path)
    response.enable_compression(ContentCoding.gzip)
    response.enable_chunked_encoding()
    answer = await ask(response, **headers)
    assert (answer.content_encoding, answer.transfer_encoding, answer.body) == (None, None, b"")
    assert answer.content_length == (None if answer.status == 304 else "0")


@pytest.mark.parametrize("content", [b"", CONTENT, BIG])
async def test_in_chunks(tmp_path, content):
    response = FileResponse(put(tmp_path / "a.txt", content))
    response.enable_chunked_encoding()
    answer = await ask(response)
    assert (answer.transfer_encoding, answer.content_length) == ("chunked", None)
    assert answer.body.endswith(b"0\r\n\r\n")
    assert len(answer.body) >= len(content) + 5


# What is no file


@pytest.mark.parametrize(
    ("make", "status"),
    [
        (lambda path: None, 404),
        (lambda path: path.mkdir(), 403),
        (os.mkfifo, 403),
        (lambda path: path.symlink_to("/dev/null"), 403),
        (lambda path: path.symlink_to(path), 404),
        (lambda path: path.symlink_to("nothing"), 404),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_what_is_no_file(tmp_path, make, status, method):
    make(tmp_path / "it")
    answer = await ask(FileResponse(tmp_path / "it", headers={"Content-Type": "image/png"}), method, Range="bytes=0-1")
    assert answer.status == status
    assert answer.content_type == "text/plain; charset=utf-8"
    text = f"{status}: {answer.reason}"
    assert (answer.content_length, answer.body.decode()) == (str(len(text)), "" if method == "HEAD" else text)
    assert answer.etag is answer.last_modified is answer.accept_ranges is None


@pytest.mark.parametrize("name", ["a.txt/b", "x" * 300, "y/" * 3000 + "z", "a\0b", "\ud800\ud801"])
async def test_names_that_no_file_has(tmp_path, name):
    put(tmp_path / "a.txt")
    assert (await ask(FileResponse(f"{tmp_path}/{name}"))).status == 404


async def test_a_file_that_may_not_be_read(path, monkeypatch):
    if os.geteuid():
        path.chmod(0)
    else:  # nothing is forbidden to root

        def refused(*_args: Any) -> int:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(os, "open", refused)
    assert (await ask(FileResponse(path))).status == 403


@pytest.mark.parametrize("code", [errno.EMFILE, errno.EIO])
async def test_what_is_the_servers_trouble_is_raised(path, monkeypatch, code):
    def broken(*_args: Any) -> int:
        raise OSError(code, os.strerror(code))

    request = make_mocked_request("GET", "/")
    response = FileResponse(path)
    monkeypatch.setattr(os, "open", broken)
    with pytest.raises(OSError, match=os.strerror(code)):
        await response.prepare(request)
    assert not response.prepared
    assert request._exchange.sent == b""


def test_which_errors_are_whose():
    assert refusal_of(ValueError()) == refusal_of(FileNotFoundError(errno.ENOENT, "")) == 404
    assert refusal_of(PermissionError(errno.EACCES, "")) == 403
    assert refusal_of(OSError(errno.ENOSPC, "")) is None


async def test_a_file_that_was_replaced_by_a_pipe_since_it_was_looked_at(path, monkeypatch):
    look = os.stat

    def then_replace(name: Any, **options: Any) -> os.stat_result:
        found = look(name, **options)
        monkeypatch.setattr(os, "stat", look)
        path.unlink()
        os.mkfifo(path)
        return found

    monkeypatch.setattr(os, "stat", then_replace)
    assert find_file(str(path)).status == 403
    assert stat.S_ISFIFO(look(path).st_mode)
    assert not open_below(path.parent)


# Below a root


def test_a_root(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (tmp_path / "in2").mkdir()
    put(inside / "a.txt")
    put(outside / "a.txt")
    put(tmp_path / "in2" / "a.txt")
    (inside / "link").symlink_to("a.txt")
    (inside / "out").symlink_to(outside)
    (inside / "in2").symlink_to(tmp_path / "in2")
    root = root_of(str(inside))
    assert find_file(f"{inside}/a.txt", root=root, keep=9999).data == CONTENT
    assert find_file(f"{inside}/link", root=root, keep=9999).kind == "text/plain"
    for path in (f"{inside}/out/a.txt", f"{inside}/out", f"{inside}/in2/a.txt", f"{inside}/../out/a.txt", "/dev/null"):
        assert find_file(path, root=root, keep=9999).status == 404, path
    assert find_file(f"{inside}", root=root).status == 403
    assert find_file(f"{inside}/out/a.txt", root="/", keep=9999).data == CONTENT


def test_a_root_where_the_system_does_not_tell_what_is_open(tmp_path, monkeypatch):
    monkeypatch.setattr(file_choice, "real_path", lambda _fd: None)
    test_a_root(tmp_path)


def test_a_link_that_is_turned_after_the_opening(tmp_path, monkeypatch):
    """What was opened counts, not what the path says afterwards."""
    (tmp_path / "in").mkdir()
    put(tmp_path / "secret")
    put(tmp_path / "in" / "harmless", b"harmless")
    link = tmp_path / "in" / "link"
    link.symlink_to(tmp_path / "secret")
    root = root_of(str(tmp_path / "in"))
    look = os.fstat

    def then_turn(fd: int) -> os.stat_result:
        link.unlink()
        link.symlink_to("harmless")
        monkeypatch.setattr(os, "fstat", look)
        return look(fd)

    for real in (file_choice.real_path, lambda _fd: None):
        link.unlink()
        link.symlink_to(tmp_path / "secret")
        monkeypatch.setattr(file_choice, "real_path", real)
        monkeypatch.setattr(os.path, "islink", lambda _path: False)  # so that the link itself is opened
        monkeypatch.setattr(os, "fstat", then_turn)
        with pytest.raises(FileNotFoundError, match="Outside of the root"):
            file_choice._open(str(link), root, 9999)
        assert not open_below(tmp_path)


def test_the_root_of_everything_and_what_is_none(tmp_path):
    assert root_of("/") == "/"
    with pytest.raises(FileNotFoundError):
        root_of(str(tmp_path / "none"))
    put(tmp_path / "file")
    with pytest.raises(NotADirectoryError):
        root_of(str(tmp_path / "file"))


# Media types


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.html", "text/html"), ("a.css", "text/css"), ("a.json", "application/json"), ("a.svg", "image/svg+xml"),
        ("a.wasm", "application/wasm"), ("a.woff2", "font/woff2"), ("a.webp", "image/webp"), ("A.TXT", "text/plain"),
        ("a.gz", "application/gzip"), ("a.tar.gz", "application/gzip"), ("a.tgz", "application/gzip"),
        ("a.txt.bz2", "application/x-bzip2"), ("a.xz", "application/x-xz"), ("a.br", "application/x-brotli"),
        ("a.unknown", "application/octet-stream"), ("a", "application/octet-stream"),
        (".txt", "application/octet-stream"), ("data:text/html,x", "application/octet-stream"),
        ("http://a.html/b", "application/octet-stream"), ("a.Z", "application/octet-stream"),
    ],
)  # fmt: skip
def test_media_types(name, kind):
    assert file_type(name) == file_type(f"/some.html/{name}") == kind


def test_scripts_are_scripts():
    assert file_type("a.js") == file_type("a.mjs")
    assert file_type("a.js") in ("text/javascript", "application/javascript")


# How it ends


async def test_a_prepare_hook_sees_the_fields_and_may_change_them(big):
    seen = []

    async def hook(request: Any, response: Any) -> None:
        seen.append((response.status, response.headers["Content-Length"], response.headers["ETag"]))
        response.headers["X-Hook"] = "1"

    app = Application()
    app.on_response_prepare.append(hook)
    app.freeze()
    request = make_mocked_request("GET", "/", headers={"Range": "bytes=0-9"}, app=app)
    await FileResponse(big).prepare(request)
    answer = Answer(bytes(request._exchange.sent))
    assert seen == [(206, "10", tag(BIG))]
    assert (answer.x_hook, answer.content_length, answer.body) == ("1", "10", BIG[:10])


async def test_a_prepare_hook_that_fails(big):
    async def hook(request: Any, response: Any) -> None:
        raise LookupError("hook")

    app = Application()
    app.on_response_prepare.append(hook)
    app.freeze()
    request = make_mocked_request("GET", "/", app=app)
    response = FileResponse(big)
    with pytest.raises(LookupError, match="hook"):
        await response.prepare(request)
    assert request._exchange.sent == b""
    assert not response.prepared
    assert not open_below(big.parent)


async def test_cancelled_in_a_prepare_hook(big):
    waiting = asyncio.Event()

    async def hook(request: Any, response: Any) -> None:
        waiting.set()
        await asyncio.Event().wait()

    app = Application()
    app.on_response_prepare.append(hook)
    app.freeze()
    request = make_mocked_request("GET", "/", app=app)
    task = asyncio.get_running_loop().create_task(FileResponse(big).prepare(request))
    await waiting.wait()
    assert open_below(big.parent)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not open_below(big.parent)


async def test_cancelled_while_the_file_is_opened(big, monkeypatch):
    loop = asyncio.get_running_loop()
    go_on = threading.Event()
    opening: asyncio.Future[None] = loop.create_future()
    closed = threading.Event()
    open_file, close_file = os.open, os.close

    def slow(path: str, flags: int, *more: int) -> int:
        loop.call_soon_threadsafe(opening.set_result, None)
        assert go_on.wait(10)
        return open_file(path, flags, *more)

    def close(fd: int) -> None:
        close_file(fd)
        closed.set()

    monkeypatch.setattr(os, "open", slow)
    task = loop.create_task(FileResponse(big).prepare(make_mocked_request("GET", "/")))
    await opening
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    monkeypatch.setattr(os, "close", close)
    go_on.set()
    assert await loop.run_in_executor(None, closed.wait, 10)
    assert not open_below(big.parent)


async def test_cancelled_while_the_client_does_not_read(big):
    request = slow_request()
    task = asyncio.get_running_loop().create_task(FileResponse(big, 1000).prepare(request))
    while len(request._exchange.sent) < 1000:
        await asyncio.sleep(0)
    assert open_below(big.parent)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not open_below(big.parent)
    assert not request._exchange.ended


async def test_a_client_that_goes_while_it_is_sent(big):
    request = slow_request()
    task = asyncio.get_running_loop().create_task(FileResponse(big, 1000).prepare(request))
    while len(request._exchange.sent) < 1000:
        await asyncio.sleep(0)
    request._exchange.stream.transport.close()
    request._exchange.stream.resume_writing()
    with pytest.raises(ConnectionResetError):
        await task
    assert not open_below(big.parent)
    assert not request._exchange.ended


@pytest.mark.parametrize("coded", [False, True])
async def test_a_file_that_becomes_shorter_while_it_is_sent(big, coded):
    request = slow_request()
    response = FileResponse(big, 1000)
    if coded:
        response.enable_compression(ContentCoding.gzip)
    task = asyncio.get_running_loop().create_task(response.prepare(request))
    while not request._exchange.sent.partition(b"\r\n\r\n")[2]:
        await asyncio.sleep(0)
    os.truncate(big, 5000)
    request._exchange.stream.resume_writing()
    with pytest.raises(RuntimeError, match="became shorter while it was sent"):
        await task
    assert request._exchange.stream.transport.is_closing()
    assert not request._exchange.ended
    assert not request._exchange.sent.endswith(b"0\r\n\r\n")
    assert not open_below(big.parent)


async def test_of_a_file_that_grows_only_what_was_announced_is_sent(big):
    request = slow_request()
    task = asyncio.get_running_loop().create_task(FileResponse(big, 1000).prepare(request))
    while len(request._exchange.sent) < 1000:
        await asyncio.sleep(0)
    with big.open("ab") as more:
        more.write(b"more")
    request._exchange.stream.resume_writing()
    await task
    assert Answer(bytes(request._exchange.sent)).body == BIG


def test_a_small_file_that_became_shorter_after_it_was_looked_at(path, monkeypatch):
    look = os.fstat

    def then_cut(fd: int) -> os.stat_result:
        found = look(fd)
        os.truncate(path, 7)
        return found

    monkeypatch.setattr(os, "fstat", then_cut)
    found = find_file(str(path), keep=9999)
    assert (found.data, found.size) == (CONTENT[:7], 7)


def test_a_small_file_that_is_read_in_pieces(path, monkeypatch):
    read = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, count, offset: read(fd, min(count, 100), offset))
    assert find_file(str(path), keep=9999).data == CONTENT
