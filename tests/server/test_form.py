"""`request.post()`: forms of both media types, their files, their limits."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import threading
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endwell.connection.body import BodyStream
from endwell.connection.reader import StreamReader
from endwell.server import form as form_module
from endwell.server.errors import (
    HTTPBadRequest,
    HTTPRequestEntityTooLarge,
    HTTPUnsupportedMediaType,
    RequestPayloadError,
)
from endwell.server.form import SPOOL_SIZE, FileField
from endwell.server.request import Request
from endwell.testing.mocked import make_mocked_request
from endwell.wire.http1.errors import TruncatedError

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=B"


def posted(body: bytes, content_type: str | None = MULTIPART, method: str = "POST", **kwargs: Any) -> Request:
    headers = {} if content_type is None else {"Content-Type": content_type}
    return make_mocked_request(method, "/", headers, payload=body, **kwargs)


def part(fields: str, content: bytes = b"") -> bytes:
    return b"--B\r\n" + fields.encode() + b"\r\n\r\n" + content + b"\r\n--B--\r\n"


def file_part(content: bytes, name: str = "f", filename: str = "x.bin", more: str = "") -> bytes:
    return part(f'Content-Disposition: form-data; name="{name}"; filename="{filename}"{more}', content)


# Neither


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/json", "multipart/mixed; boundary=B"])
async def test_other_media_types_have_no_form(content_type: str | None) -> None:
    assert not await posted(b"a=1", content_type).post()


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_other_methods_have_no_form(method: str) -> None:
    assert not await posted(b"a=1", URLENCODED, method).post()


# Pairs


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"", []),
        (b"a=1&b=2&a=3", [("a", "1"), ("b", "2"), ("a", "3")]),
        (b"a=1&b=&c", [("a", "1"), ("b", ""), ("c", "")]),
        (b"a=1 \r\n", [("a", "1")]),
        (b"a+b=c+d%20e&=x&;=;", [("a b", "c d e"), ("", "x"), (";", ";")]),
        (b"a=%C3%A9&b=\xc3\xa9", [("a", "é"), ("b", "é")]),
        (b"a=%E9", [("a", "\ufffd")]),
        (b"a=%zz", [("a", "%zz")]),
    ],
)
async def test_pairs(body: bytes, fields: list[tuple[str, str]]) -> None:
    request = posted(body, URLENCODED)
    assert list((await request.post()).items()) == fields
    assert await request.post() is await request.post()


async def test_pairs_in_their_charset() -> None:
    assert dict(await posted(b"a=%E9&b=\xe9", f"{URLENCODED}; charset=latin-1").post()) == {"a": "é", "b": "é"}


@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=5))
async def test_pairs_come_back(pairs: list[tuple[str, str]]) -> None:
    try:
        body = urlencode(pairs).encode()
    except UnicodeEncodeError:  # a lone surrogate
        return
    assert list((await posted(body, URLENCODED).post()).items()) == pairs


async def test_pairs_in_an_unknown_charset() -> None:
    with pytest.raises(HTTPUnsupportedMediaType):
        await posted(b"a=1", f"{URLENCODED}; charset=foo").post()


async def test_pairs_that_are_not_in_their_charset() -> None:
    with pytest.raises(HTTPBadRequest):
        await posted(b"a=\xe9", URLENCODED).post()


async def test_too_many_pairs() -> None:
    assert len(await posted(b"a=1&b=2&c=3", URLENCODED, client_max_fields=3).post()) == 3
    with pytest.raises(HTTPRequestEntityTooLarge, match="Too Large"):
        await posted(b"a=1&b=2&c=3&d=4", URLENCODED, client_max_fields=3).post()
    assert len(await posted(b"&".join([b"a=1"] * 2000), URLENCODED, client_max_fields=0).post()) == 2000


async def test_too_many_bytes_of_pairs() -> None:
    with pytest.raises(HTTPRequestEntityTooLarge):
        await posted(b"a=" + b"x" * 100, URLENCODED, client_max_size=100).post()


# Parts


async def test_fields_and_files() -> None:
    body = (
        b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\none\r\n'
        b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\ntw\xc3\xb6\r\n'
        b'--B\r\nContent-Disposition: form-data; name="f"; filename="../x.txt"\r\n'
        b"Content-Type: Text/Plain; charset=x\r\nX-More: y\r\n\r\ndata\r\n--B--\r\n"
    )
    request = posted(body)
    form = await request.post()
    assert form.getall("a") == ["one", "twö"]
    field = form["f"]
    assert isinstance(field, FileField)
    assert (field.name, field.filename, field.content_type) == ("f", "../x.txt", "Text/Plain; charset=x")
    assert field.headers["x-more"] == "y"
    assert field.file.read() == b"data"
    assert repr(field) == "<FileField 'f' '../x.txt' Text/Plain; charset=x>"
    assert await request.post() is form
    request._close_opened()
    assert field.file.closed
    request._close_opened()


async def test_what_a_part_without_a_file_name_becomes() -> None:
    named = 'Content-Disposition: form-data; name="a"\r\nContent-Type: '
    assert (await posted(part(named + "text/plain; charset=latin-1", b"\xe9")).post())["a"] == "é"
    assert (await posted(part(named + "TEXT/x", b"x")).post())["a"] == "x"
    assert (await posted(part(named + "application/json", b"{}")).post())["a"] == b"{}"
    nothing = await posted(file_part(b"", filename="", more="\r\nContent-Type: application/octet-stream")).post()
    assert nothing["f"] == b""
    assert (await posted(file_part(b"", filename="")).post())["f"] == ""


async def test_the_charset_of_the_request_is_that_of_its_parts() -> None:
    body = part('Content-Disposition: form-data; name="a"', b"\xe9")
    assert (await posted(body, MULTIPART + "; charset=latin-1").post())["a"] == "é"


async def test_the_charset_field() -> None:
    body = b'--B\r\nContent-Disposition: form-data; name="_charset_"\r\n\r\nlatin-1\r\n' + part(
        'Content-Disposition: form-data; name="a"', b"\xe9"
    )
    assert dict(await posted(body).post()) == {"a": "é"}


async def test_transfer_codings() -> None:
    more = "\r\nContent-Transfer-Encoding: base64"
    request = posted(file_part(b"aGVs\r\nbG8=", more=more))
    assert (await request.post())["f"].file.read() == b"hello"  # type: ignore[union-attr] # it is a file
    request._close_opened()
    value = await posted(part('Content-Disposition: form-data; name="a"' + more, b"aGVsbG8=")).post()
    assert value["a"] == "hello"


async def test_a_file_without_a_media_type() -> None:
    request = posted(file_part(b"x"))
    assert (await request.post())["f"].content_type == "application/octet-stream"  # type: ignore[union-attr] # a file
    request._close_opened()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        b"--B",
        b"--B\r\n",
        part('Content-Disposition: form-data; name="a"', b"1")[:-8],
        file_part(b"12345")[:-12],
        part("Content-Disposition: form-data"),
        part("X: y"),
        part("no field"),
        part('Content-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64', b"a"),
        part('Content-Disposition: form-data; name="a"', b"\xe9"),
        part('Content-Disposition: form-data; name="a"\r\nContent-Type: multipart/mixed; boundary=C', b"--C--"),
        part("X: " + "y" * 10_000),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # bad dispositions warn
async def test_what_is_malformed_is_400(body: bytes) -> None:
    with pytest.raises(HTTPBadRequest) as caught:
        await posted(body).post()
    assert caught.value.status == 400
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("boundary", ["", "; boundary=", "; boundary=" + "x" * 71])
async def test_a_bad_boundary_is_400(boundary: str) -> None:
    with pytest.raises(HTTPBadRequest):
        await posted(b"--B--\r\n", "multipart/form-data" + boundary).post()


@pytest.mark.parametrize("field", ["Content-Type: text/plain; charset=foo", "Content-Transfer-Encoding: foo"])
async def test_what_is_not_supported_is_415(field: str) -> None:
    with pytest.raises(HTTPUnsupportedMediaType):
        await posted(part('Content-Disposition: form-data; name="a"\r\n' + field, b"\xe9")).post()


@given(st.binary(max_size=60))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
async def test_no_body_is_a_500(middle: bytes) -> None:
    for body in (middle, b"--B\r\nContent-Disposition: form-data; name=a" + middle + b"\r\n--B--\r\n"):
        request = posted(body)
        with contextlib.suppress(HTTPBadRequest, HTTPUnsupportedMediaType):
            await request.post()
        request._close_opened()


async def test_too_many_parts() -> None:
    one = b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    assert len(await posted(one * 3 + b"--B--\r\n", client_max_fields=3).post()) == 3
    with pytest.raises(HTTPRequestEntityTooLarge):
        await posted(one * 4 + b"--B--\r\n", client_max_fields=3).post()
    assert len(await posted(one * 1500 + b"--B--\r\n", client_max_fields=0).post()) == 1500


async def test_too_many_bytes_of_parts() -> None:
    """Heads of parts count: without that, a form of heads alone would have no limit."""
    body = part('Content-Disposition: form-data; name="a"', b"x" * 100)
    assert await posted(body, client_max_size=len(body)).post()
    with pytest.raises(HTTPRequestEntityTooLarge):
        await posted(body, client_max_size=len(body) - 1).post()
    with pytest.raises(HTTPRequestEntityTooLarge):
        await posted(part("X: " + "y" * 200), client_max_size=100).post()
    assert await posted(body, client_max_size=0).post()


async def test_content_length_over_the_limit_is_refused_before_reading() -> None:
    headers = {"Content-Type": MULTIPART, "Content-Length": "101"}
    waiting = BodyStream(asyncio.get_running_loop(), None, 2**16)
    request = make_mocked_request(
        "POST", "/", headers, payload=StreamReader(waiting, None, asyncio.get_running_loop()), client_max_size=100
    )
    with pytest.raises(HTTPRequestEntityTooLarge):
        await request.post()


# Files


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def upload(content: bytes) -> tuple[Request, BodyStream, bytes]:
    """Give a request whose body comes as it is fed, and the body."""
    loop = asyncio.get_running_loop()
    body = BodyStream(loop, None, 2**16)
    request = make_mocked_request(
        "POST", "/", {"Content-Type": MULTIPART}, payload=StreamReader(body, None, loop), client_max_size=0
    )
    return request, body, file_part(content)


@pytest.mark.parametrize("size", [0, 1, SPOOL_SIZE - 1, SPOOL_SIZE, SPOOL_SIZE + 1, 3 * SPOOL_SIZE + 7])
async def test_files_of_any_size(size: int) -> None:
    content = os.urandom(size)
    before = descriptors()
    request = posted(file_part(content), client_max_size=0)
    field = (await request.post())["f"]
    assert isinstance(field, FileField)
    assert field.file.tell() == 0
    assert field.file.read() == content
    assert (descriptors() > before) is (size > SPOOL_SIZE)
    request._close_opened()
    assert field.file.closed
    assert descriptors() == before


async def test_a_large_file_in_pieces() -> None:
    content = os.urandom(2 * SPOOL_SIZE + 12345)
    request, body, form = await upload(content)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(request.post())
        for at in range(0, len(form), 30_011):
            body.feed([form[at : at + 30_011]])
            await asyncio.sleep(0)
        body.end()
    field = task.result()["f"]
    assert field.file.read() == content  # type: ignore[union-attr] # it is a file
    request._close_opened()


async def test_the_disk_is_written_by_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    writers = set()
    real = form_module._Upload._store

    def store(self: Any, data: bytearray) -> None:
        writers.add(threading.current_thread())
        real(self, data)

    monkeypatch.setattr(form_module._Upload, "_store", store)
    request = posted(file_part(bytes(2 * SPOOL_SIZE)), client_max_size=0)
    await request.post()
    request._close_opened()
    assert writers
    assert threading.current_thread() not in writers


@pytest.mark.parametrize("size", [10, 2 * SPOOL_SIZE])
async def test_files_are_closed_when_the_form_breaks(size: int) -> None:
    before = descriptors()
    with pytest.raises(HTTPBadRequest):
        await posted(file_part(bytes(size))[:-9], client_max_size=0).post()
    assert descriptors() == before
    with pytest.raises(HTTPRequestEntityTooLarge):
        await posted(file_part(bytes(size)), client_max_size=size + 50).post()
    assert descriptors() == before


async def test_files_are_closed_when_the_client_goes() -> None:
    before = descriptors()
    request, body, form = await upload(bytes(2 * SPOOL_SIZE))
    body.feed([form[: SPOOL_SIZE + 70_000]])
    async with asyncio.TaskGroup() as group:
        task = group.create_task(_error_of(request))
        while descriptors() == before:
            await asyncio.sleep(0)
        body.fail(TruncatedError("gone"))
    assert isinstance(task.result(), RequestPayloadError)
    assert descriptors() == before


async def _error_of(request: Request) -> Exception | None:
    try:
        await request.post()
    except RequestPayloadError as error:
        return error
    return None


async def test_files_are_closed_when_the_handler_is_cancelled_while_the_thread_writes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = descriptors()
    writing, go_on = threading.Event(), threading.Event()
    real = form_module._Upload._store

    def store(self: Any, data: bytearray) -> None:
        writing.set()
        go_on.wait()
        real(self, data)

    monkeypatch.setattr(form_module._Upload, "_store", store)
    request = posted(file_part(bytes(2 * SPOOL_SIZE)), client_max_size=0)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(request.post())
        while not writing.is_set():
            await asyncio.sleep(0)
        task.cancel()
    assert task.cancelled()
    go_on.set()
    await asyncio.get_running_loop().shutdown_default_executor()
    gc.collect()
    assert descriptors() == before


async def test_a_request_without_a_form_has_nothing_to_close() -> None:
    posted(b"")._close_opened()


async def test_the_files_of_a_copy_are_closed_with_the_request() -> None:
    before = descriptors()
    request = posted(file_part(bytes(2 * SPOOL_SIZE)), client_max_size=0)
    copy = request.clone(method="PUT").clone(remote="1.2.3.4")
    form = await copy.post()
    assert descriptors() > before
    assert await request.post() is form
    request._close_opened()
    assert descriptors() == before
