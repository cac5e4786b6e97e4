"""`StreamResponse`: what it says of itself, and what goes over the wire."""

from __future__ import annotations

import asyncio
import datetime
import re
import zlib
from collections.abc import Callable
from http.cookies import CookieError
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from endwell.http.codings import available_codings, make_decoder
from endwell.http.etag import ETag
from endwell.http.version import HttpVersion10, HttpVersion11
from endwell.server.appkey import NotAppKeyWarning, ResponseKey
from endwell.server.application import Application
from endwell.server.request import Request
from endwell.server.response import ContentCoding, StreamResponse
from endwell.testing.mocked import MockedExchange, make_mocked_request


def sent(request: Request) -> tuple[bytes, CIMultiDict[str], bytes]:
    """What went out: the status line, the fields without Date and Server, the body as framed."""
    exchange = request._exchange
    assert isinstance(exchange, MockedExchange)
    head, _, body = bytes(exchange.sent).partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    pairs = CIMultiDict([tuple(field.decode().split(": ", 1)) for field in fields])  # type: ignore[misc]  # they are pairs
    assert pairs.popall("Date")
    assert pairs.popall("Server")
    return line, pairs, body


def unchunk(body: bytes) -> bytes:
    whole = b""
    while not body.startswith(b"0\r\n"):
        size, _, body = body.partition(b"\r\n")
        count = int(size, 16)
        whole, body = whole + body[:count], body[count:].removeprefix(b"\r\n")
    assert body == b"0\r\n\r\n"
    return whole


async def stream(response: StreamResponse, request: Request, *pieces: bytes) -> None:
    await response.prepare(request)
    for piece in pieces:
        await response.write(piece)
    await response.write_eof()


# What it says of itself


def test_a_new_response() -> None:
    response = StreamResponse()
    assert (response.status, response.reason) == (200, "OK")
    assert not response.prepared
    assert response.keep_alive is None
    assert response.task is None
    assert response.body_length == 0
    assert response.content_length is None
    assert (response.content_type, response.charset) == ("application/octet-stream", None)
    assert response.last_modified is None
    assert response.etag is None
    assert not response.chunked
    assert not response.compression
    assert repr(response) == "<StreamResponse OK not prepared>"
    assert dict(response.headers) == {}
    with pytest.warns(DeprecationWarning, match="body_length"):
        assert response.output_length == 0


def test_status_and_reason() -> None:
    response = StreamResponse(status=404)
    assert response.reason == "Not Found"
    response.set_status(500, "Oh")
    assert (response.status, response.reason) == (500, "Oh")
    response.set_status(299)
    assert (response.status, response.reason) == (299, "")
    response.set_status("201")  # type: ignore[arg-type]  # aiohttp takes it
    assert (response.status, response.reason) == (201, "Created")
    assert StreamResponse(status=200, reason="Sure").reason == "Sure"
    for name, value in (("status", 5), ("reason", "x")):
        with pytest.raises(AttributeError):
            setattr(response, name, value)


@pytest.mark.parametrize("status", [-1, 0, 99, 1000])
def test_status_out_of_range(status: int) -> None:
    with pytest.raises(ValueError, match="three digits"):
        StreamResponse(status=status)
    response = StreamResponse()
    with pytest.raises(ValueError, match="three digits"):
        response.set_status(status)


@pytest.mark.parametrize("reason", ["a\r\nb: c", "a\nb", "a\rb", "\0"])
def test_reason_with_line_end(reason: str) -> None:
    with pytest.raises(ValueError, match="reason"):
        StreamResponse(reason=reason)
    with pytest.raises(ValueError, match="reason"):
        StreamResponse().set_status(200, reason)


def test_headers_are_copied_but_real_ones() -> None:
    given_headers = CIMultiDict({"X": "1"})
    assert StreamResponse(headers=given_headers).headers is not given_headers
    assert StreamResponse(_real_headers=given_headers).headers is given_headers
    assert StreamResponse(headers=[("X", "1"), ("X", "2")]).headers.getall("x") == ["1", "2"]


def test_content_type_and_charset() -> None:
    response = StreamResponse()
    response.content_type = "Text/HTML"
    assert response.content_type == "text/html"
    response.charset = "UTF-8"
    assert (response.content_type, response.charset) == ("text/html", "utf-8")
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    response.content_type = "text/plain"
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    response.charset = None
    assert response.headers["Content-Type"] == "text/plain"
    response.content_type = "a/b; c=d"
    assert response.headers["Content-Type"] == "a/b; c=d"


def test_content_type_of_the_headers() -> None:
    response = StreamResponse(headers={"content-type": 'a/b; charset=latin1; foo="x;y"'})
    assert (response.content_type, response.charset) == ("a/b", "latin1")
    response.charset = "utf-8"
    assert response.headers["Content-Type"] == 'a/b; charset=utf-8; foo="x;y"'
    response.headers["Content-Type"] = "c/d"
    assert (response.content_type, response.charset) == ("c/d", None)


def test_charset_without_content_type() -> None:
    with pytest.raises(RuntimeError, match="content_type first"):
        StreamResponse().charset = "utf-8"


@pytest.mark.parametrize("bad", ["a\r\nb", "a\nb", "text/html\0"])
def test_type_and_charset_with_line_end(bad: str) -> None:
    response = StreamResponse()
    with pytest.raises(ValueError, match="content type"):
        response.content_type = bad
    response.content_type = "text/html"
    with pytest.raises(ValueError, match="charset"):
        response.charset = bad
    with pytest.raises(TypeError, match="string"):
        response.content_type = None  # type: ignore[assignment]  # what is refused
    assert response.headers["Content-Type"] == "text/html"


def test_content_length() -> None:
    response = StreamResponse()
    response.content_length = 5
    assert response.headers["Content-Length"] == "5"
    assert response.content_length == 5
    response.content_length = None
    assert "Content-Length" not in response.headers
    for bad in (-1, "x", "+5x"):
        with pytest.raises(ValueError):
            response.content_length = bad  # type: ignore[assignment]  # what is refused
    with pytest.raises(ValueError, match="not a number"):
        assert StreamResponse(headers={"Content-Length": "five"}).content_length


def test_content_length_and_chunks_exclude_each_other() -> None:
    response = StreamResponse()
    response.content_length = 5
    with pytest.raises(RuntimeError, match="content_length = None"):
        response.enable_chunked_encoding()
    response.content_length = None
    response.enable_chunked_encoding()
    assert response.chunked
    with pytest.raises(RuntimeError, match="chunked"):
        response.content_length = 5
    with pytest.warns(DeprecationWarning, match="chunk_size"):
        response.enable_chunked_encoding(4096)


_UTC = datetime.UTC


@pytest.mark.parametrize(
    ("value", "field", "read"),
    [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT", datetime.datetime(1970, 1, 1, tzinfo=_UTC)),
        (1.5, "Thu, 01 Jan 1970 00:00:02 GMT", datetime.datetime(1970, 1, 1, 0, 0, 2, tzinfo=_UTC)),
        (
            datetime.datetime(2020, 1, 2, 3, 4, 5, 600),  # noqa: DTZ001 - naive ones are taken as UTC
            "Thu, 02 Jan 2020 03:04:06 GMT",
            datetime.datetime(2020, 1, 2, 3, 4, 6, tzinfo=_UTC),
        ),
        (
            datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=datetime.timezone(datetime.timedelta(hours=2))),
            "Thu, 02 Jan 2020 01:04:05 GMT",
            datetime.datetime(2020, 1, 2, 1, 4, 5, tzinfo=_UTC),
        ),
        (
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            datetime.datetime(1994, 11, 6, 8, 49, 37, tzinfo=_UTC),
        ),
        ("junk", "junk", None),
    ],
)
def test_last_modified(value: Any, field: str, read: datetime.datetime | None) -> None:
    response = StreamResponse()
    response.last_modified = value
    assert response.headers["Last-Modified"] == field
    assert response.last_modified == read
    response.last_modified = None
    assert "Last-Modified" not in response.headers


@pytest.mark.parametrize("value", [b"x", [], object()])
def test_last_modified_of_other_types(value: Any) -> None:
    with pytest.raises(TypeError, match="last_modified"):
        StreamResponse().last_modified = value


def test_last_modified_with_line_end() -> None:
    with pytest.raises(ValueError, match="Last-Modified"):
        StreamResponse().last_modified = "a\r\nb"


@pytest.mark.parametrize(
    ("value", "field", "read"),
    [
        ("a", '"a"', ETag("a")),
        ("é", '"é"', ETag("é")),
        ("*", "*", ETag("*")),
        (ETag("x", is_weak=True), 'W/"x"', ETag("x", is_weak=True)),
        (ETag("*", is_weak=True), "*", ETag("*")),
    ],
)
def test_etag(value: Any, field: str, read: ETag) -> None:
    response = StreamResponse()
    response.etag = value
    assert response.headers["ETag"] == field
    assert response.etag == read
    response.etag = None
    assert "ETag" not in response.headers


@pytest.mark.parametrize("value", ['a"b', "", "a b", "a\r\n", "a\0", "€", 3, b"a", ETag("a\nb")])
def test_etags_that_are_refused(value: Any) -> None:
    response = StreamResponse()
    with pytest.raises(ValueError, match="tag"):
        response.etag = value
    assert "ETag" not in response.headers


@pytest.mark.parametrize("field", ["a", '"a', "", 'w/"a"', '"a" '])
def test_etags_that_cannot_be_read(field: str) -> None:
    assert StreamResponse(headers={"ETag": field}).etag is None


def test_enable_compression_arguments() -> None:
    for force in (True, False):
        response = StreamResponse()
        with pytest.warns(DeprecationWarning, match="ContentCoding"):
            response.enable_compression(force)
        assert response.compression
    for wrong in ("gzip", 1, b"gzip"):
        with pytest.raises(TypeError, match="ContentCoding"):
            StreamResponse().enable_compression(wrong)  # type: ignore[arg-type]  # what is refused


def test_forcing_a_coding_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("endwell.server.response.available_codings", lambda: "gzip, deflate")
    with pytest.raises(RuntimeError, match=r"endwell\[codings\]"):
        StreamResponse().enable_compression(ContentCoding.br)
    StreamResponse().enable_compression(ContentCoding.identity)


# What is kept with it


def test_it_is_a_mapping() -> None:
    key = ResponseKey("key", int)
    response = StreamResponse()
    assert len(response) == 0
    assert response
    assert list(response) == []
    for missing in (response.__getitem__, response.__delitem__):
        with pytest.raises(KeyError):
            missing(key)
    response[key] = 5
    assert response[key] == 5
    assert (dict(response), len(response), key in response) == ({key: 5}, 1, True)
    del response[key]
    assert response.get(key) is None
    assert response.setdefault(key, 6) == 6


def test_plain_keys_warn_once() -> None:
    response = StreamResponse()
    with pytest.warns(NotAppKeyWarning, match="ResponseKey") as caught:
        response["test_plain_keys_warn_once"] = 1
    assert caught[0].filename == __file__
    response["test_plain_keys_warn_once"] = 2
    assert response["test_plain_keys_warn_once"] == 2


def test_identity() -> None:
    one, other = StreamResponse(), StreamResponse()
    assert one == one
    assert one != other
    assert len({one, other}) == 2


# Cookies


def cookie(**given_attributes: Any) -> str:
    response = StreamResponse()
    response.set_cookie("n", "v", **given_attributes)
    return response._cookie_lines().decode()


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        ({}, "n=v; Path=/"),
        ({"expires": "x"}, "n=v; expires=x; Path=/"),
        ({"max_age": 5}, "n=v; Max-Age=5; Path=/"),
        ({"max_age": "5"}, "n=v; Max-Age=5; Path=/"),
        ({"max_age": 0}, "n=v; Max-Age=0; Path=/"),
        ({"max_age": -3}, "n=v; Max-Age=-3; Path=/"),
        ({"domain": "d"}, "n=v; Domain=d; Path=/"),
        ({"path": "/a"}, "n=v; Path=/a"),
        ({"path": ""}, "n=v"),
        ({"path": None}, "n=v"),
        ({"secure": True, "httponly": True}, "n=v; HttpOnly; Path=/; Secure"),
        ({"secure": False}, "n=v; Path=/"),
        ({"samesite": "Lax"}, "n=v; Path=/; SameSite=Lax"),
        ({"version": "1"}, "n=v; Path=/; Version=1"),
        ({"partitioned": True, "secure": True}, "n=v; Path=/; Secure; Partitioned"),
        ({"partitioned": False}, "n=v; Path=/"),
    ],
)
def test_cookie_attributes(attributes: dict[str, Any], text: str) -> None:
    assert cookie(**attributes) == f"Set-Cookie: {text}\r\n"


@pytest.mark.parametrize("key", ["expires", "domain", "path", "samesite", "version", "max_age"])
@pytest.mark.parametrize("bad", ["a;b", "a\r\nb", "a\nb", "a\0", "a\x7f"])
def test_cookie_attributes_that_break_out(key: str, bad: str) -> None:
    with pytest.raises(ValueError, match=key) as caught:
        cookie(**{key: bad})
    assert isinstance(caught.value, CookieError)


@pytest.mark.parametrize("bad", ["x", "1.5", "", "٣", "1e3"])
def test_max_age_is_a_whole_number(bad: str) -> None:
    with pytest.raises(ValueError, match="whole number"):
        cookie(max_age=bad)


@pytest.mark.parametrize("name", ["", "a b", "n;", "n=", "n\r\n", "n,", '"n"', "é", "path"])
def test_cookie_names_that_are_refused(name: str) -> None:
    response = StreamResponse()
    with pytest.raises(CookieError, match="name of a cookie"):
        response.set_cookie(name, "secret")
    assert not response.cookies


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b=c", "a\nb", "a\rb", "a\0"])
def test_cookie_values_that_are_refused(value: str) -> None:
    response = StreamResponse()
    with pytest.raises(ValueError, match="value of cookie 'n'") as caught:
        response.set_cookie("n", value)
    assert value not in str(caught.value)
    assert not response.cookies


def test_cookie_values_are_quoted() -> None:
    response = StreamResponse()
    response.set_cookie("n", 'a b;"c')
    response.set_cookie("m", 3)  # type: ignore[arg-type]  # aiohttp takes it
    assert response._cookie_lines() == b'Set-Cookie: n="a b\\073\\"c"; Path=/\r\nSet-Cookie: m=3; Path=/\r\n'


def test_a_cookie_set_again_and_deleted() -> None:
    response = StreamResponse()
    response.set_cookie("n", "v", secure=True, max_age=3)
    response.set_cookie("n", "w")
    assert response._cookie_lines() == b"Set-Cookie: n=w; Path=/; Secure\r\n"
    response.del_cookie("n", domain="d", path="/p", httponly=True)
    assert response._cookie_lines() == (
        b'Set-Cookie: n=""; Domain=d; expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Max-Age=0; Path=/p\r\n'
    )
    response.set_cookie("n", "x")
    assert response._cookie_lines() == b"Set-Cookie: n=x; Domain=d; HttpOnly; Path=/\r\n"


async def test_cookies_put_in_by_hand_are_checked_when_sent() -> None:
    response = StreamResponse()
    response.cookies["n"] = "v"
    # What the standard library lets pass depends on its version.
    with pytest.raises((ValueError, CookieError)):  # noqa: PT012
        response.cookies["n"]["path"] = "/\r\nX: y"
        await response.prepare(make_mocked_request("GET", "/"))
    assert not response.prepared


# Over the wire


async def test_a_stream() -> None:
    request = make_mocked_request("GET", "/path?query")
    response = StreamResponse(headers={"X-A": "b"})
    response.set_cookie("n", "v")
    writer = await response.prepare(request)
    assert writer is not None
    assert await response.prepare(request) is writer
    assert response.prepared
    assert response.keep_alive
    assert response.task is asyncio.current_task()
    assert repr(response) == "<StreamResponse OK GET /path>"
    await response.write(b"abc")
    await response.write(b"")
    await response.write(memoryview(b"de"))
    await response.write_eof(bytearray(b"f"))
    assert sent(request) == (
        b"HTTP/1.1 200 OK",
        CIMultiDict(
            {
                "X-A": "b",
                "Content-Type": "application/octet-stream",
                "Transfer-Encoding": "chunked",
                "Set-Cookie": "n=v; Path=/",
            }
        ),
        b"3\r\nabc\r\n2\r\nde\r\n1\r\nf\r\n0\r\n\r\n",
    )
    assert repr(response) == "<StreamResponse OK eof>"
    assert response.task is None
    assert response.body_length == len(request._exchange.sent)  # type: ignore[attr-defined]  # it is mocked
    await response.write_eof()
    assert await response.prepare(request) is None


async def test_a_stream_of_known_length() -> None:
    request = make_mocked_request("GET", "/")
    response = StreamResponse()
    response.content_length = 5
    response.content_type = "text/plain"
    await stream(response, request, b"ab", b"cde")
    assert sent(request) == (
        b"HTTP/1.1 200 OK",
        CIMultiDict({"Content-Length": "5", "Content-Type": "text/plain"}),
        b"abcde",
    )


@pytest.mark.parametrize("body", [b"abcd", b"ab"])
async def test_a_length_that_is_not_kept(body: bytes) -> None:
    request = make_mocked_request("GET", "/")
    response = StreamResponse()
    response.content_length = 3
    await response.prepare(request)
    with pytest.raises(ValueError, match="Content-Length"):
        await response.write_eof(body)


@pytest.mark.parametrize("method", ["GET", "HEAD", "CONNECT"])
@pytest.mark.parametrize("version", [HttpVersion10, HttpVersion11])
async def test_framing_matrix(method: str, version: Any) -> None:
    for status, length, chunked, asked in product((103, 200, 204, 205, 304, 404), (None, 3), (False, True), (0, 1)):
        if length is not None and chunked:
            continue
        headers = {"Connection": "keep-alive"} if asked else {}
        request = make_mocked_request(method, "/x", headers, version=version)
        response = StreamResponse(status=status)
        response.content_length = length
        if chunked:
            response.enable_chunked_encoding()
        await stream(response, request, b"abc")
        line, fields, body = sent(request)
        case = (status, length, chunked, asked, fields)
        assert line.startswith(b"HTTP/1.1 " if version == HttpVersion11 else b"HTTP/1.0 "), case
        bodiless = method == "HEAD" or status in (103, 204, 205, 304)
        if bodiless:
            assert body == b"", case
        elif fields.get("Transfer-Encoding") == "chunked":
            assert version == HttpVersion11, case
            assert unchunk(body) == b"abc", case
        else:
            assert body == b"abc", case
            if "Content-Length" not in fields:
                assert not request._exchange.keep_alive, case
        if status in (103, 204, 304):
            assert not {"Content-Length", "Transfer-Encoding"} & set(fields), case
        assert ("Content-Type" in fields) == (status in (200, 404)), case
        connection = fields.get("Connection")
        if request._exchange.keep_alive:
            assert connection == (None if version == HttpVersion11 else "keep-alive"), case
        else:
            assert connection == ("close" if version == HttpVersion11 else None), case
        assert response.keep_alive == request._exchange.keep_alive, case


async def test_closing() -> None:
    for closing, own, force in product((False, True), (None, "close"), (False, True)):
        request = make_mocked_request("GET", "/", closing=closing)
        response = StreamResponse()
        if own:
            response.headers["Connection"] = own
        if force:
            response.force_close()
            assert response.keep_alive is False
        await stream(response, request)
        closes = closing or own is not None or force
        assert sent(request)[1].get("Connection") == ("close" if closes else None)
        assert request._exchange.keep_alive is not closes
        assert response.keep_alive is not closes


async def test_force_close_after_the_head() -> None:
    request = make_mocked_request("GET", "/")
    response = StreamResponse()
    await response.prepare(request)
    response.force_close()
    assert not request._exchange.keep_alive


async def test_fields_of_the_application_win() -> None:
    request = make_mocked_request("GET", "/")
    response = StreamResponse(headers={"Date": "now", "Server": "mine", "Transfer-Encoding": "chunked"})
    await response.prepare(request)
    head = bytes(request._exchange.sent)  # type: ignore[attr-defined]  # it is mocked
    assert head == (
        b"HTTP/1.1 200 OK\r\nDate: now\r\nServer: mine\r\nContent-Type: application/octet-stream\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("X", "a\r\nY: b"), ("X", "a\n"), ("X", "a\rb"), ("X", "\0"), ("X:Y", "a"), ("X Y", "a"), ("X\r\nY", "a")],
)
async def test_injection_through_fields(name: str, value: str) -> None:
    request = make_mocked_request("GET", "/")
    response = StreamResponse(headers={name: value})
    with pytest.raises(ValueError):
        await response.prepare(request)
    assert not request._exchange.started
    assert not response.prepared
    assert repr(response) == "<StreamResponse OK not prepared>"


@pytest.mark.parametrize(
    ("headers", "error"),
    [({"Content-Length": "abc"}, ValueError), ({"Transfer-Encoding": "gzip"}, ValueError), ({"X": 5}, TypeError)],
)
async def test_fields_nobody_can_send(headers: Any, error: type[Exception]) -> None:
    request = make_mocked_request("GET", "/")
    with pytest.raises(error):
        await StreamResponse(headers=headers).prepare(request)
    assert not request._exchange.started


@given(st.dictionaries(st.text(max_size=6), st.text(max_size=10), max_size=3), st.text(max_size=6))
async def test_no_field_starts_a_line(headers: dict[str, str], value: str) -> None:
    request = make_mocked_request("HEAD", "/")
    response = StreamResponse()
    try:
        response.headers.update(headers)
        response.content_type = value
        response.set_cookie("n", value)
        await stream(response, request)
    except (ValueError, UnicodeEncodeError):
        assert not request._exchange.started
        return
    head = bytes(request._exchange.sent)  # type: ignore[attr-defined]  # it is mocked
    assert head.count(b"\n") == head.count(b"\r") == head.count(b"\r\n")
    assert head.index(b"\r\n\r\n") == len(head) - 4
    names = re.findall(rb"(?m)^([^:\r\n]+): ", head)
    allowed = {name.encode("utf-8", "surrogateescape") for name in headers}
    assert set(names) - allowed <= {
        b"Content-Type",
        b"Content-Length",
        b"Connection",
        b"Date",
        b"Server",
        b"Set-Cookie",
    }


async def test_used_at_the_wrong_time() -> None:
    request = make_mocked_request("GET", "/")
    response = StreamResponse()
    with pytest.raises(RuntimeError, match=r"write\(\) before prepare"):
        await response.write(b"a")
    with pytest.raises(RuntimeError, match=r"write_eof\(\) before prepare"):
        await response.write_eof()
    with pytest.warns(DeprecationWarning, match="drain"), pytest.raises(RuntimeError, match="before prepare"):
        await response.drain()
    await response.prepare(request)
    with pytest.warns(DeprecationWarning, match="drain"):
        await response.drain()
    with pytest.warns(DeprecationWarning, match="output_length"):
        assert response.output_length == len(request._exchange.sent)  # type: ignore[attr-defined]  # it is mocked
    with pytest.raises(RuntimeError, match="head of the response was sent"):
        response.set_status(404)
    await response.write_eof()
    with pytest.raises(RuntimeError, match=r"write\(\) after write_eof"):
        await response.write(b"a")
    with pytest.warns(DeprecationWarning, match="drain"), pytest.raises(RuntimeError, match="after write_eof"):
        await response.drain()
    with pytest.raises(RuntimeError, match="head of the response was sent"):
        response.set_status(404)
    with pytest.raises(RuntimeError, match="new response for each request"):
        await response.prepare(make_mocked_request("GET", "/"))


@pytest.mark.parametrize("data", ["text", None, 5, [b"a"]])
async def test_bytes_only(data: Any) -> None:
    response = StreamResponse()
    await response.prepare(make_mocked_request("GET", "/"))
    with pytest.raises(TypeError, match="bytes, bytearray or memoryview"):
        await response.write(data)
    with pytest.raises(TypeError, match="bytes, bytearray or memoryview"):
        await response.write_eof(data)


async def test_write_to_a_client_that_has_gone() -> None:
    request = make_mocked_request("GET", "/")
    response = StreamResponse()
    await response.prepare(request)
    request._exchange.disconnect()  # type: ignore[attr-defined]  # it is mocked
    with pytest.raises(ConnectionResetError):
        await response.write(b"a")


async def test_cancelled_while_the_client_is_slow() -> None:
    request = make_mocked_request("GET", "/", loop=asyncio.get_running_loop())
    response = StreamResponse()
    await response.prepare(request)
    request._exchange.stream.pause_writing()  # type: ignore[attr-defined]  # it is mocked
    task = asyncio.create_task(response.write(b"abc"))
    await asyncio.sleep(0)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    request._exchange.stream.resume_writing()  # type: ignore[attr-defined]  # it is mocked
    await response.write_eof(b"d")
    assert unchunk(sent(request)[2]) == b"abcd"


# on_response_prepare


def hooked(hook: Callable[[Request, StreamResponse], Any], method: str = "GET", **headers: str) -> Request:
    app = Application()

    async def call(request: Request, response: StreamResponse) -> None:
        result = hook(request, response)
        if asyncio.iscoroutine(result):
            await result

    app.on_response_prepare.append(call)
    app.freeze()
    return make_mocked_request(method, "/", {name.replace("_", "-"): value for name, value in headers.items()}, app=app)


async def test_a_hook_sees_the_fields_and_changes_them() -> None:
    seen: list[Any] = []

    def hook(request: Request, response: StreamResponse) -> None:
        seen.append((dict(response.headers), response.prepared, response.task))
        del response.headers["Date"]
        del response.headers["Server"]
        response.headers["X"] = "y"
        response.set_cookie("n", "v")

    request = hooked(hook)
    response = StreamResponse()
    await stream(response, request, b"a")
    fields, prepared, task = seen[0]
    assert set(fields) == {"Content-Type", "Date", "Server", "Transfer-Encoding"}
    assert prepared
    assert task is asyncio.current_task()
    assert bytes(request._exchange.sent) == (  # type: ignore[attr-defined]  # it is mocked
        b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nX: y\r\nTransfer-Encoding: chunked\r\n"
        b"Set-Cookie: n=v; Path=/\r\n\r\n1\r\na\r\n0\r\n\r\n"
    )


async def test_a_hook_changes_how_it_is_sent() -> None:
    def hook(request: Request, response: StreamResponse) -> None:
        response.set_status(404)
        response.force_close()
        response.content_length = 3
        response.enable_compression(ContentCoding.gzip)

    request = hooked(hook)
    response = StreamResponse()
    await stream(response, request, b"abc")
    line, fields, body = sent(request)
    assert line == b"HTTP/1.1 404 Not Found"
    assert fields["Connection"] == "close"
    assert fields["Content-Encoding"] == "gzip"
    assert fields["Transfer-Encoding"] == "chunked"
    assert zlib.decompress(unchunk(body), 31) == b"abc"


async def test_a_hook_sets_the_length() -> None:
    def hook(request: Request, response: StreamResponse) -> None:
        response.content_length = 3

    request = hooked(hook)
    await stream(StreamResponse(), request, b"abc")
    _, fields, body = sent(request)
    assert (fields["Content-Length"], body) == ("3", b"abc")
    assert "Transfer-Encoding" not in fields


async def test_a_hook_that_fails_leaves_the_response_unprepared() -> None:
    def hook(request: Request, response: StreamResponse) -> None:
        raise LookupError("mine")

    request = hooked(hook)
    response = StreamResponse()
    with pytest.raises(LookupError, match="mine"):
        await response.prepare(request)
    assert not response.prepared
    assert not request._exchange.started


async def test_a_hook_that_is_cancelled_leaves_the_response_unprepared() -> None:
    async def hook(request: Request, response: StreamResponse) -> None:
        await asyncio.Event().wait()

    request = hooked(hook)
    response = StreamResponse()
    task = asyncio.create_task(response.prepare(request))
    await asyncio.sleep(0)
    assert response.prepared
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not response.prepared
    assert not request._exchange.started


async def test_a_hook_that_prepares_again() -> None:
    async def hook(request: Request, response: StreamResponse) -> None:
        assert await response.prepare(request) is None

    request = hooked(hook)
    await stream(StreamResponse(), request, b"a")
    assert unchunk(sent(request)[2]) == b"a"


# The content coding


def decoded(coding: str | None, body: bytes) -> bytes:
    if coding is None:
        return body
    decoder = make_decoder(coding)
    assert decoder is not None
    decoder.feed(body)
    whole = b"".join(decoder.pieces())
    decoder.finish()
    return whole


@pytest.mark.parametrize("coding", available_codings().split(", "))
async def test_streams_are_coded(coding: str) -> None:
    request = make_mocked_request("GET", "/", {"Accept-Encoding": coding})
    response = StreamResponse()
    response.content_length = 3000
    response.enable_compression()
    await stream(response, request, b"abc" * 500, b"abc" * 500)
    _, fields, body = sent(request)
    assert fields["Content-Encoding"] == coding
    assert fields["Vary"] == "Accept-Encoding"
    assert fields["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in fields
    assert len(body) < 1000
    assert decoded(coding, unchunk(body)) == b"abc" * 1000


async def test_coded_for_http10_until_the_connection_closes() -> None:
    request = make_mocked_request(
        "GET", "/", {"Accept-Encoding": "gzip", "Connection": "keep-alive"}, version=HttpVersion10
    )
    response = StreamResponse()
    response.enable_compression()
    await stream(response, request, b"abc")
    _, fields, body = sent(request)
    assert decoded("gzip", body) == b"abc"
    assert set(fields) == {"Content-Type", "Content-Encoding", "Vary"}
    assert not request._exchange.keep_alive


async def test_not_coded_but_told_that_it_depends() -> None:
    request = make_mocked_request("GET", "/")
    response = StreamResponse()
    response.enable_compression()
    await stream(response, request, b"abc")
    _, fields, body = sent(request)
    assert unchunk(body) == b"abc"
    assert fields["Vary"] == "Accept-Encoding"
    assert "Content-Encoding" not in fields


@pytest.mark.parametrize(
    ("vary", "result"),
    [
        (["Cookie"], ["Cookie", "Accept-Encoding"]),
        (["*"], ["*"]),
        (["Cookie, accept-encoding"], ["Cookie, accept-encoding"]),
        (["Cookie", "ACCEPT-ENCODING"], ["Cookie", "ACCEPT-ENCODING"]),
    ],
)
async def test_vary(vary: list[str], result: list[str]) -> None:
    request = make_mocked_request("GET", "/", {"Accept-Encoding": "gzip"})
    response = StreamResponse(headers=[("Vary", value) for value in vary])
    response.enable_compression()
    await stream(response, request)
    assert sent(request)[1].getall("Vary") == result


async def test_forced_codings() -> None:
    for force in (ContentCoding.gzip, ContentCoding.deflate, ContentCoding.identity):
        request = make_mocked_request("GET", "/", {"Accept-Encoding": "br"})
        response = StreamResponse()
        response.enable_compression(force, zlib.Z_HUFFMAN_ONLY)
        await stream(response, request, b"abc" * 100)
        _, fields, body = sent(request)
        coding = None if force is ContentCoding.identity else force.value
        assert fields.get("Content-Encoding") == coding
        assert "Vary" not in fields
        assert decoded(coding, unchunk(body)) == b"abc" * 100


@pytest.mark.parametrize(
    "response",
    [
        lambda: StreamResponse(headers={"Content-Encoding": "br"}),
        lambda: StreamResponse(headers={"Content-Range": "bytes 0-2/3"}),
        lambda: StreamResponse(status=206),
    ],
)
async def test_what_is_not_coded(response: Callable[[], StreamResponse]) -> None:
    for force in (None, ContentCoding.gzip):
        request = make_mocked_request("GET", "/", {"Accept-Encoding": "gzip"})
        made = response()
        before = made.headers.get("Content-Encoding")
        made.enable_compression(force)
        await stream(made, request, b"abc")
        _, fields, body = sent(request)
        assert fields.get("Content-Encoding") == before
        assert unchunk(body) == b"abc"


async def test_identity_as_content_encoding_is_no_coding() -> None:
    request = make_mocked_request("GET", "/", {"Accept-Encoding": "gzip"})
    response = StreamResponse(headers={"Content-Encoding": "Identity"})
    response.enable_compression()
    await stream(response, request, b"abc")
    assert sent(request)[1].getall("Content-Encoding") == ["gzip"]


@pytest.mark.parametrize("status", [101, 204, 205, 304])
async def test_no_body_no_coding(status: int) -> None:
    request = make_mocked_request("GET", "/", {"Accept-Encoding": "gzip"})
    response = StreamResponse(status=status)
    response.enable_compression()
    await stream(response, request, b"abc")
    _, fields, body = sent(request)
    assert body == b""
    assert "Content-Encoding" not in fields
    assert fields.get("Vary") == ("Accept-Encoding" if status == 304 else None)


async def test_head_says_what_get_says_of_the_coding() -> None:
    request = make_mocked_request("HEAD", "/", {"Accept-Encoding": "gzip"})
    response = StreamResponse()
    response.content_length = 3
    response.enable_compression()
    await stream(response, request, b"abc")
    _, fields, body = sent(request)
    assert (fields["Content-Encoding"], body) == ("gzip", b"")
    assert "Content-Length" not in fields


@pytest.mark.parametrize(("tag", "result"), [('"a"', 'W/"a"'), ('W/"a"', 'W/"a"'), ("*", "*")])
async def test_a_coded_form_has_a_weak_tag(tag: str, result: str) -> None:
    for accepted in ("gzip", "identity"):
        request = make_mocked_request("GET", "/", {"Accept-Encoding": accepted})
        response = StreamResponse(headers={"ETag": tag})
        response.enable_compression()
        await stream(response, request)
        assert sent(request)[1]["ETag"] == (result if accepted == "gzip" else tag)
