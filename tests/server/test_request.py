"""Requests as handlers see them: the head, the target, the fields, the body."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from yarl import URL

from endwell.connection.body import BodyStream
from endwell.connection.reader import EMPTY_PAYLOAD, StreamReader
from endwell.http.codings import make_decoder
from endwell.http.cookies import parse_cookie_header
from endwell.http.etag import ETag
from endwell.http.version import HttpVersion
from endwell.server.appkey import NotAppKeyWarning, RequestKey
from endwell.server.errors import (
    HTTPBadRequest,
    HTTPRequestEntityTooLarge,
    HTTPUnsupportedMediaType,
    RequestPayloadError,
)
from endwell.server.request import BaseRequest, Request
from endwell.testing.mocked import MockedExchange, make_mocked_request
from endwell.wire.http1.errors import ProtocolError, TruncatedError
from endwell.wire.http1.limits import Limits
from endwell.wire.http1.request_head import parse_request_head

EXTRA = {"sockname": ("127.0.0.1", 8080), "peername": ("192.0.2.7", 51000)}
NUMBER: RequestKey[int] = RequestKey("number", int)


def request_of(*lines: str, body: BodyStream | None = None, **kwargs: Any) -> BaseRequest:
    """Make a request of the bytes that a client sends."""
    head = parse_request_head("\r\n".join((*lines, "", "")).encode("latin-1"), Limits())
    return BaseRequest(MockedExchange(head, body, extra=EXTRA), **kwargs)


def get(target: str, *lines: str, method: str = "GET") -> BaseRequest:
    return request_of(f"{method} {target} HTTP/1.1", "Host: ho", *lines)


# The target


@pytest.mark.parametrize(
    ("target", "path", "rel_url", "url"),
    [
        ("/", "/", "/", "http://ho/"),
        ("/a/b", "/a/b", "/a/b", "http://ho/a/b"),
        ("/a%20b?x=1&y=%20z", "/a b", "/a%20b?x=1&y=%20z", "http://ho/a%20b?x=1&y=%20z"),
        ("/%2F", "//", "/%2F", "http://ho/%2F"),
        ("/%C3%A9", "/é", "/%C3%A9", "http://ho/%C3%A9"),
        ("/%E9", "/%E9", "/%E9", "http://ho/%E9"),
        ("/%zz", "/%zz", "/%zz", "http://ho/%zz"),
        ("/a+b", "/a+b", "/a+b", "http://ho/a+b"),
        ("/p??x", "/p", "/p??x", "http://ho/p??x"),
        ("/.././x", "/.././x", "/.././x", "http://ho/.././x"),
        ("/a;b=c", "/a;b=c", "/a;b=c", "http://ho/a;b=c"),
        ("http://h.example/p?q=1", "/p", "/p?q=1", "http://h.example/p?q=1"),
        ("https://h.example/p", "/p", "/p", "http://h.example/p"),
        ("http://h.example", "/", "/", "http://h.example/"),
        ("http://h.example?x", "/", "/?x", "http://h.example/?x"),
        ("http://[::1]:8080/p", "/p", "/p", "http://[::1]:8080/p"),
    ],
)
def test_targets(target: str, path: str, rel_url: str, url: str) -> None:
    request = get(target)
    assert request.path == path
    assert str(request.rel_url) == request.path_qs == rel_url
    assert str(request.url) == url
    assert request.raw_path == target
    assert request.url.is_absolute()
    assert not request.rel_url.is_absolute()


def test_two_slashes_are_a_path() -> None:
    request = get("//evil.example/x")
    assert request.path == "//evil.example/x"
    assert request.host == "ho"
    assert request.url.host == "ho"
    assert request.url.raw_path == "//evil.example/x"


def test_the_asterisk() -> None:
    request = get("*", method="OPTIONS")
    assert request.path == str(request.rel_url) == "*"
    assert request.url.host == "ho"


def test_the_target_of_connect() -> None:
    request = get("example.com:443", method="CONNECT")
    assert request.host == "example.com:443"
    assert request.path == ""
    assert request.rel_url == URL()
    assert request.url.host == "example.com"
    assert request.url.port == 443


@pytest.mark.parametrize("target", ["http://other:81/p", "HTTPS://other:81/p"])
def test_an_absolute_target_says_the_host_and_never_the_scheme(target: str) -> None:
    request = get(target)
    assert request.host == "other:81"
    assert request.scheme == "http"
    assert request.url == URL("http://other:81/p")


def test_the_query() -> None:
    request = get("/?a=1&a=2&b=&c+d=e+f&%C3%A9=%zz")
    assert request.query.getall("a") == ["1", "2"]
    assert dict(request.query) == {"a": "1", "b": "", "c d": "e f", "é": "%zz"}
    assert request.query_string == "a=1&a=2&b=&c d=e f&é=%zz"
    assert not get("/").query


@given(st.text("aZ09-._~!$&'()*+,;=:@/%[]{}|^`\"<>\\?#", max_size=30))
def test_no_target_makes_its_parts_fail(rest: str) -> None:
    request = get("/" + rest)
    assert request.path.startswith("/")
    assert request.raw_path == "/" + rest
    assert request.rel_url.raw_path == request.url.raw_path
    assert request.url.host == "ho"
    assert list(request.query.items()) is not None


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20), st.booleans())
def test_no_host_that_the_head_lets_pass_makes_the_url_fail(host: str, is_target: bool) -> None:
    try:
        request = get(f"http://{host}/") if is_target else request_of("GET / HTTP/1.1", f"Host: {host}")
    except ProtocolError:
        return
    assert request.url.raw_path == "/" or is_target
    assert request.url.port is not None
    assert isinstance(request.host, str)


# Host, scheme, addresses


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("ho", "http://ho/"),
        ("EXAMPLE.com:80", "http://example.com/"),
        ("a:0080", "http://a/"),
        ("a:443", "http://a:443/"),
        ("[::1]", "http://[::1]/"),
        ("[::1]:81", "http://[::1]:81/"),
        ("10.0.0.1", "http://10.0.0.1/"),
    ],
)
def test_the_host(host: str, url: str) -> None:
    request = request_of("GET / HTTP/1.1", f"Host: {host}")
    assert request.host == host
    assert request.url == URL(url)


def test_without_a_host_it_is_our_own_address() -> None:
    assert request_of("GET / HTTP/1.0").url == URL("http://127.0.0.1/")
    head = parse_request_head(b"GET / HTTP/1.0\r\n\r\n", Limits())
    six = BaseRequest(MockedExchange(head, extra={"sockname": ("::1", 80, 0, 0)}))
    assert six.url == URL("http://[::1]/")
    unix = BaseRequest(MockedExchange(head, extra={"sockname": "/run/x.sock"}))
    assert unix.url == URL("http://localhost/")


def test_the_peer() -> None:
    assert get("/").remote == "192.0.2.7"
    head = parse_request_head(b"GET / HTTP/1.0\r\n\r\n", Limits())
    assert BaseRequest(MockedExchange(head)).remote is None
    assert BaseRequest(MockedExchange(head, extra={"peername": ""})).remote == ""
    assert BaseRequest(MockedExchange(head, extra={"peername": ("::1", 5, 0, 0)})).remote == "::1"


def test_the_scheme_comes_from_the_connection() -> None:
    head = parse_request_head(b"GET / HTTP/1.1\r\nHost: a:443\r\n\r\n", Limits())
    request = BaseRequest(MockedExchange(head, extra={"sslcontext": object()}))
    assert request.scheme == "https"
    assert request.secure
    assert request.url == URL("https://a/")
    assert get("/").scheme == "http"
    assert not get("/").secure


def test_what_proxies_say() -> None:
    request = get("/", "Forwarded: for=1.2.3.4;proto=https", "Forwarded: for=b")
    assert [dict(each) for each in request.forwarded] == [{"for": "1.2.3.4", "proto": "https"}, {"for": "b"}]
    assert get("/").forwarded == ()


# The head


def test_the_head() -> None:
    request = get("/a", "X-One: 1", "x-one:2 ", method="PATCH")
    assert request.method == "PATCH"
    assert request.version == HttpVersion(1, 1)
    assert request.headers.getall("X-ONE") == ["1", "2"]
    assert request.raw_headers == ((b"Host", b"ho"), (b"X-One", b"1"), (b"x-one", b"2"))
    assert repr(request) == "<BaseRequest PATCH '/a'>"
    assert request.keep_alive
    assert not get("/", "Connection: close").keep_alive


def test_a_field_that_is_not_utf_8() -> None:
    request = get("/", "X: \xff", "Content-Type: text/\xff", "Cookie: a=\xff")
    assert request.headers["X"] == "\udcff"
    assert request.content_type == "text/\udcff"
    assert request.cookies == {"a": "\udcff"}


@pytest.mark.parametrize(
    ("value", "kind", "charset"),
    [
        ("text/html; charset=utf-8", "text/html", "utf-8"),
        ('TEXT/Html;charset="x"', "text/html", "x"),
        ("text/html;CHARSET=Latin-1", "text/html", "Latin-1"),
        ("a/b;charset=", "a/b", None),
        ("a/b", "a/b", None),
        ("text", "application/octet-stream", None),
        ("text/html/x", "application/octet-stream", None),
        ("", "application/octet-stream", None),
        (" ;charset=x", "application/octet-stream", "x"),
    ],
)
def test_content_type(value: str, kind: str, charset: str | None) -> None:
    for request in (get("/", f"Content-Type: {value}"), get("/").clone(headers={"Content-Type": value})):
        assert request.content_type == kind
        assert request.charset == charset


def test_without_content_type() -> None:
    assert get("/").content_type == "application/octet-stream"
    assert get("/").charset is None


def test_content_length() -> None:
    assert get("/", "Content-Length: 5").content_length == 5
    assert get("/").content_length is None
    for value in ("+5", "5_0", "٣", "", "9" * 30):
        assert get("/").clone(headers={"Content-Length": value}).content_length is None
    assert get("/").clone(headers={"Content-Length": "7"}).content_length == 7


@pytest.mark.parametrize(
    ("field", "cookies"),
    [
        ("a=b; c=d; a=e", {"a": "e", "c": "d"}),
        ('a="x\\073y"', {"a": "x;y"}),
        ('a="b', {"a": '"b'}),
        ("a[1]=2;;c=d", {"a[1]": "2", "c": "d"}),
        ("a=b, c=d", {"a": "b, c=d"}),
        ("$Version=1; a=b", {"$Version": "1", "a": "b"}),
        ("a; =b; ;", {}),
        ("", {}),
    ],
)
def test_cookies(field: str, cookies: dict[str, str]) -> None:
    request = get("/", f"Cookie: {field}")
    assert request.cookies == cookies
    assert request.cookies is request.cookies


@given(st.text(alphabet='ab=; "\\\té\x00$,01', max_size=30))
def test_cookies_are_those_of_the_parser(field: str) -> None:
    request = make_mocked_request("GET", "/").clone(headers={"Cookie": field})
    assert request.cookies == {name: morsel.value for name, morsel in parse_cookie_header(field)}


def test_cookies_of_two_fields_are_read() -> None:
    assert get("/", "Cookie: a=b", "Cookie: c=d").cookies == {"a": "b", "c": "d"}
    assert get("/").cookies == {}


@pytest.mark.parametrize("piece", ["a=b; ", ";", "=", 'a="', 'a="\\', "a=\\073", "a"])
def test_cookies_take_linear_time(piece: str) -> None:
    """What is quadratic would hang the suite here."""
    request = make_mocked_request("GET", "/", headers={"Cookie": piece * 300_000})
    assert isinstance(dict(request.cookies), dict)


def test_conditions() -> None:
    date = "Sun, 06 Nov 1994 08:49:37 GMT"
    request = get(
        "/",
        'If-Match: "a"',
        'If-Match: W/"b"',
        "If-None-Match: *",
        f"If-Modified-Since: {date}",
        "If-Unmodified-Since: Sunday, 06-Nov-94 08:49:37 GMT",
        f"If-Range: {date}",
    )
    moment = datetime.datetime(1994, 11, 6, 8, 49, 37, tzinfo=datetime.UTC)
    assert request.if_match == (ETag("a"), ETag("b", is_weak=True))
    assert request.if_none_match == (ETag("*"),)
    assert request.if_modified_since == request.if_unmodified_since == request.if_range == moment


def test_no_conditions_and_bad_ones() -> None:
    request = get("/", 'If-None-Match: "a', "If-Modified-Since: soon", 'If-Range: "a"', "If-Unmodified-Since: 5")
    assert request.if_match is None
    assert request.if_none_match == ()
    assert request.if_modified_since is request.if_unmodified_since is request.if_range is None


def test_ranges() -> None:
    assert get("/").http_range == slice(None, None, 1)
    assert get("/", "Range: bytes=0-499").http_range == slice(0, 500, 1)
    assert get("/", "Range: bytes=-5").http_range == slice(-5, None, 1)
    for field in ("bytes=-0", "bytes=0-1,2-3", "items=1-2", "bytes=\xd9\xa3-", "bytes=" + "0-1," * 1000):
        with pytest.raises(ValueError):
            _ = get("/", f"Range: {field}").http_range


# The mapping


def test_it_is_a_mapping() -> None:
    request = get("/")
    assert request  # although it is empty
    assert len(request) == 0
    assert list(request) == []
    with pytest.raises(KeyError):
        request[NUMBER]
    with pytest.raises(KeyError):
        del request[NUMBER]
    assert request.get(NUMBER) is None
    assert request.get(NUMBER, 5) == 5
    request[NUMBER] = 3
    assert request[NUMBER] == request.get(NUMBER) == 3
    assert NUMBER in request
    assert dict(request) == {NUMBER: 3}
    assert request.pop(NUMBER) == 3
    assert NUMBER not in request


def test_a_plain_key_warns_once() -> None:
    request = get("/")
    with pytest.warns(NotAppKeyWarning, match="web.RequestKey") as caught:
        request["a key of this test"] = 1
    assert caught[0].filename == __file__
    request["a key of this test"] = 2
    get("/")["a key of this test"] = 3
    assert request["a key of this test"] == 2


def test_attributes_may_be_added_and_requests_are_themselves() -> None:
    request, other = get("/"), get("/")
    request.user = "x"  # type: ignore[attr-defined] # what users do
    assert request.user == "x"  # type: ignore[attr-defined]
    assert request != other
    assert {request: 1}[request] == 1


# Copies


def test_a_copy_with_replacements() -> None:
    request = make_mocked_request("GET", "/a?b=c", headers={"Host": "x", "A": "1"})
    request[NUMBER] = 1
    copy = request.clone(
        method="POST", rel_url="/é?z=1", headers={"Host": "y", "B": "2"}, client_max_size=5, client_max_fields=6
    )
    assert type(copy) is Request
    assert copy.method == "POST"
    assert copy.path == "/é"
    assert copy.raw_path == "/%C3%A9?z=1"
    assert copy.url == URL("http://y/%C3%A9?z=1")
    assert copy.headers == CIMultiDict(Host="y", B="2")
    assert copy.raw_headers == ((b"Host", b"y"), (b"B", b"2"))
    assert (copy.client_max_size, copy.client_max_fields) == (5, 6)
    assert copy.match_info is request.match_info
    copy[NUMBER] = 2
    assert request[NUMBER] == 1
    assert request.url == URL("http://x/a?b=c")
    again = copy.clone()
    assert again.url == copy.url
    assert again.method == "POST"


def test_a_copy_behind_a_proxy() -> None:
    copy = get("/a").clone(scheme="https", host="h2:443", remote="1.2.3.4")
    assert copy.secure
    assert copy.url == URL("https://h2/a")
    assert copy.remote == "1.2.3.4"
    assert copy.clone(rel_url=URL("/b")).url == URL("https://h2/b")
    assert get("/").clone(rel_url="http://foo:81/x").url == URL("http://foo:81/x")


def test_a_copy_with_a_host_that_is_none() -> None:
    with pytest.raises(ValueError):
        _ = get("/").clone(host="a:b").url


async def test_no_copy_after_the_body_was_read() -> None:
    request = make_mocked_request("POST", "/", payload=b"abc")
    copy = request.clone()
    assert await copy.read() == b"abc"
    with pytest.raises(RuntimeError, match="Cannot clone request after reading its content"):
        copy.clone()


async def test_a_copy_after_an_empty_body_was_read() -> None:
    request = get("/")
    assert await request.read() == b""
    assert await request.clone(method="POST").read() == b""


# The body


def stream(*pieces: bytes, end: bool = True, coding: str | None = None) -> BodyStream:
    decoder = None if coding is None else make_decoder(coding)
    body = BodyStream(asyncio.get_running_loop(), None, 2**16, decoder)
    body.feed(list(pieces))
    if end:
        body.end()
    return body


def post(body: BodyStream | None, *lines: str, **kwargs: Any) -> BaseRequest:
    return request_of("POST / HTTP/1.1", "Host: ho", *lines, body=body, **kwargs)


async def test_no_body() -> None:
    request = post(None)
    assert request.content is EMPTY_PAYLOAD
    assert not request.body_exists
    assert not request.can_read_body
    assert await request.read() == b""
    assert await request.text() == ""
    assert await request.release() is None


async def test_a_body_is_read_once_and_kept() -> None:
    request = post(stream(b"ab", b"c"), "Content-Length: 3")
    assert request.body_exists
    assert request.can_read_body
    assert await request.read() == b"abc"
    assert await request.read() is await request.read()
    assert request.body_exists
    assert not request.can_read_body


async def test_chunks_are_read() -> None:
    assert await post(stream(b"ab", b"", b"c", b""), "Transfer-Encoding: chunked").read() == b"abc"


async def test_the_stream_is_there() -> None:
    request = post(stream(b"a\nb\n"), "Content-Length: 4")
    assert isinstance(request.content, StreamReader)
    assert [line async for line in request.content] == [b"a\n", b"b\n"]


async def test_content_length_over_the_limit_is_refused_before_reading() -> None:
    body = stream(end=False)
    request = post(body, "Content-Length: 11", client_max_size=10)
    with pytest.raises(HTTPRequestEntityTooLarge) as caught:
        await request.read()
    assert (caught.value.max_size, caught.value.actual_size) == (10, 11)


@pytest.mark.parametrize("size", [9, 10, 11])
@pytest.mark.parametrize("framing", ["Content-Length: {}", "Transfer-Encoding: chunked"])
async def test_the_limit(size: int, framing: str) -> None:
    request = post(stream(b"x" * size), framing.format(size), client_max_size=10)
    if size > 10:
        with pytest.raises(HTTPRequestEntityTooLarge):
            await request.read()
    else:
        assert await request.read() == b"x" * size


async def test_the_limit_counts_decoded_bytes() -> None:
    bomb = gzip.compress(bytes(10_000_000))
    assert len(bomb) < 20_000
    body = stream(bomb, coding="gzip")
    request = post(body, f"Content-Length: {len(bomb)}", "Content-Encoding: gzip", client_max_size=20_000)
    with pytest.raises(HTTPRequestEntityTooLarge):
        await request.read()
    assert body.delivered < 1_000_000


async def test_no_limit() -> None:
    request = post(stream(bytes(3_000_000)), "Transfer-Encoding: chunked", client_max_size=0)
    assert len(await request.read()) == 3_000_000


async def test_a_decoded_body() -> None:
    packed = gzip.compress(b"hello")
    request = post(stream(packed, coding="gzip"), f"Content-Length: {len(packed)}", "Content-Encoding: gzip")
    assert await request.text() == "hello"


async def test_a_body_that_does_not_decode() -> None:
    request = post(stream(b"no gzip", coding="gzip"), "Content-Length: 7", "Content-Encoding: gzip")
    with pytest.raises(RequestPayloadError):
        await request.read()


@pytest.mark.parametrize("error", [TruncatedError("cut"), ProtocolError("bad chunk", "body"), ConnectionResetError()])
@pytest.mark.parametrize("framing", ["Content-Length: 9", "Transfer-Encoding: chunked"])
async def test_a_broken_body(error: Exception, framing: str) -> None:
    body = stream(b"abc", end=False)
    request = post(body, framing)
    body.fail(error)
    with pytest.raises(RequestPayloadError) as caught:
        await request.read()
    assert caught.value.__cause__ is error
    with pytest.raises(RequestPayloadError):
        await request.read()


async def test_what_the_server_gives_as_the_error_passes() -> None:
    body = stream(end=False)
    request = post(body, "Content-Length: 9")
    body.fail(HTTPBadRequest())
    with pytest.raises(HTTPBadRequest):
        await request.read()


@pytest.mark.parametrize("framing", ["Content-Length: 6", "Transfer-Encoding: chunked"])
async def test_a_cancelled_read_loses_nothing(framing: str) -> None:
    body = stream(b"abc", end=False)
    request = post(body, framing)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await request.read()
    body.feed([b"def"])
    body.end()
    assert await request.read() == b"abcdef"


async def test_text_in_its_charset() -> None:
    assert await post(stream(b"\xe9"), "Content-Length: 1", "Content-Type: text/plain; charset=latin-1").text() == "é"
    assert await post(stream("é".encode()), "Content-Length: 2").text() == "é"


@pytest.mark.parametrize("charset", ["foo", "hex", "idna", "unicode_escape", "undefined", "x" * 500, "\xe9"])
async def test_an_unknown_charset_is_415(charset: str) -> None:
    request = post(stream(b"a"), "Content-Length: 1", f"Content-Type: text/plain; charset={charset}")
    with pytest.raises(HTTPUnsupportedMediaType) as caught:
        await request.text()
    assert isinstance(caught.value, LookupError)
    assert caught.value.status == 415


@pytest.mark.parametrize("charset", ["utf-8", "ascii", "utf-16"])
async def test_text_that_is_not_in_its_charset_is_400(charset: str) -> None:
    request = post(stream(b"\xe9"), "Content-Length: 1", f"Content-Type: text/plain; charset={charset}")
    with pytest.raises(HTTPBadRequest) as caught:
        await request.text()
    assert isinstance(caught.value, UnicodeDecodeError)
    assert caught.value.object == b"\xe9"
    assert "can't decode byte" in str(caught.value)
    assert (caught.value.status, caught.value.reason) == (400, "Bad Request")


async def test_json() -> None:
    assert await make_mocked_request("POST", "/", payload=b'{"a": [1]}').json() == {"a": [1]}
    assert await make_mocked_request("POST", "/", payload=b"12").json(loads=lambda text: text + "!") == "12!"


@pytest.mark.parametrize("body", [b"", b"{", b"nul", b"[" * 100_000])
async def test_bad_json_is_400(body: bytes) -> None:
    with pytest.raises(HTTPBadRequest) as caught:
        await make_mocked_request("POST", "/", payload=body).json()
    assert caught.value.status == 400
    assert isinstance(caught.value, ValueError)


async def test_bad_json_is_the_error_of_the_parser_too() -> None:
    with pytest.raises(json.JSONDecodeError) as caught:
        await make_mocked_request("POST", "/", payload=b'{"secret": x}').json()
    assert caught.value.pos == 11
    assert caught.value.doc == '{"secret": x}'
    assert isinstance(caught.value, HTTPBadRequest)
    assert "secret" not in (caught.value.text or "")


async def test_json_of_another_type() -> None:
    request = make_mocked_request("POST", "/", headers={"Content-Type": "text/plain"}, payload=b"1")
    with pytest.raises(HTTPBadRequest):
        await request.json(content_type="application/json")
    good = make_mocked_request("POST", "/", headers={"Content-Type": "application/x+json"}, payload=b"1")
    assert await good.json(content_type="application/json") == 1


async def test_multipart() -> None:
    payload = b"--B\r\nX: 1\r\n\r\none\r\n--B\r\n\r\n" + b"x" * 100 + b"\r\n--B--\r\n"
    kind = {"Content-Type": "multipart/mixed; boundary=B"}
    reader = await make_mocked_request("POST", "/", headers=kind, payload=payload, client_max_size=50).multipart()
    part: Any = await reader.next()
    assert await part.read() == b"one"
    part = await reader.next()
    with pytest.raises(HTTPRequestEntityTooLarge):
        await part.read()
    with pytest.raises(HTTPBadRequest) as caught:
        await make_mocked_request("POST", "/", payload=payload).multipart()
    assert isinstance(caught.value, ValueError)


async def test_release_reads_the_rest_away() -> None:
    request = post(stream(b"abc"), "Content-Length: 3")
    await request.release()
    assert request.content.at_eof()


# The exchange


def test_what_is_deprecated_warns() -> None:
    request = get("/")
    with pytest.warns(DeprecationWarning, match="can_read_body"):
        assert request.has_body is False
    with pytest.warns(DeprecationWarning, match="request.message"):
        assert request.message.method == "GET"


async def test_the_exchange() -> None:
    request = make_mocked_request("GET", "/")
    assert request.task is asyncio.current_task()
    assert request.get_extra_info("sockname") == ("127.0.0.1", 80)
    assert request.get_extra_info("nothing", 5) == 5
    assert request.transport is not None
    with pytest.warns(DeprecationWarning, match="request.loop"):
        assert request.loop is asyncio.get_running_loop()

    async def work() -> int:
        return 5

    assert await request.create_task(work(), name="w") == 5


async def test_the_writer_takes_interim_responses_until_the_response_begins() -> None:
    request = make_mocked_request("POST", "/", {"Expect": "100-continue", "Content-Length": "5"})
    exchange = request._exchange
    assert isinstance(exchange, MockedExchange)
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    exchange.send_continue()
    assert bytes(exchange.sent) == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer = exchange.begin(b"HTTP/1.1 200 OK\r\n\r\n", 0, chunked=False)
    assert request.writer is writer


async def test_waiting_for_the_client_to_go() -> None:
    request = make_mocked_request("GET", "/")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await request.wait_for_disconnection()
    request._exchange.disconnect()  # type: ignore[attr-defined] # that of MockedExchange
    await request.wait_for_disconnection()
    assert request.transport is None
    assert request.get_extra_info("sockname", 1) == 1


# What the application adds


def apps() -> Iterator[Any]:
    from endwell.server.application import Application

    outer, inner = Application(), Application()
    yield outer
    yield inner


async def test_the_applications() -> None:
    from endwell.server.appkey import AppKey

    outer, inner = apps()
    key, other = AppKey("key", str), AppKey("other", str)
    outer[key], outer[other], inner[key] = "outer", "other", "inner"
    request = make_mocked_request("GET", "/", match_info={"id": "5"}, app=inner)
    request.match_info.add_app(outer)
    assert request.match_info["id"] == "5"
    assert request.app is inner
    assert request.config_dict[key] == "inner"
    assert request.config_dict[other] == "other"
    with request.match_info.set_current_app(outer):
        assert request.app is outer
        assert request.config_dict[key] == "outer"


async def test_who_sees_a_response_before_it_is_sent() -> None:
    outer, inner = apps()
    seen: list[Any] = []

    async def hook(request: Any, response: Any) -> None:
        seen.append((request, response))

    request = make_mocked_request("GET", "/", app=inner)
    request.match_info.add_app(outer)
    assert not request._has_prepare_hooks
    await request._prepare_hook(None)  # type: ignore[arg-type] # no response is needed here
    outer.on_response_prepare.append(hook)
    outer.on_response_prepare.freeze()
    assert request._has_prepare_hooks
    await request._prepare_hook("response")  # type: ignore[arg-type]
    assert seen == [(request, "response")]
    low = get("/")
    assert not low._has_prepare_hooks
    await low._prepare_hook(None)  # type: ignore[arg-type]


def test_it_is_in_the_mapping_of_aiohttps_names() -> None:
    names = (
        "POST_METHODS app body_exists can_read_body charset clear client_max_fields client_max_size clone config_dict "
        "content content_length content_type cookies forwarded get get_extra_info has_body headers host http_range "
        "if_match if_modified_since if_none_match if_range if_unmodified_since items json keep_alive keys loop "
        "match_info message method multipart path path_qs pop popitem post protocol query query_string raw_headers "
        "raw_path read rel_url release remote scheme secure setdefault task text transport update url values version "
        "writer"
    )
    assert [name for name in names.split() if not hasattr(Request, name) and name != "method"] == []
