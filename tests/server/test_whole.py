"""`Response`, the JSON responses, and the short way: what it sends is what the long way sends."""

from __future__ import annotations

import asyncio
import io
import json
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from endwell.http.multipart import MultipartWriter
from endwell.http.payload import BytesPayload, Payload
from endwell.http.version import HttpVersion10, HttpVersion11
from endwell.http.writer import AbstractStreamWriter
from endwell.server.application import Application
from endwell.server.errors import HTTPNotFound
from endwell.server.request import Request
from endwell.server.response import ContentCoding, StreamResponse
from endwell.server.whole import _COPIED_MAX, Response, _leads, json_bytes_response, json_response
from endwell.testing.mocked import make_mocked_request
from tests.server.test_response import decoded, sent, unchunk

BIG = _COPIED_MAX + 1


async def whole(response: Response, request: Request) -> tuple[bytes, CIMultiDict[str], bytes]:
    """Send it as the server does, by the short way if there is one."""
    data = response._whole(request)
    if data is not None:
        request._exchange.send(data)
    else:
        await response.prepare(request)
        await response.write_eof()
    assert request._exchange.ended  # type: ignore[attr-defined]  # it is mocked
    return sent(request)


def shown(response: Response) -> tuple[Any, ...]:
    body = response.body if not isinstance(response.body, Payload) else type(response.body).__name__
    return dict(response.headers), body, response.content_type, response.charset, response.content_length


# The constructor; what it gives was compared with aiohttp 3.14

OCTETS = "application/octet-stream"


@pytest.mark.parametrize(
    ("arguments", "result"),
    [
        ({}, ({}, None, OCTETS, None, 0)),
        ({"text": "a"}, ({"Content-Type": "text/plain; charset=utf-8"}, b"a", "text/plain", "utf-8", 1)),
        ({"text": ""}, ({"Content-Type": "text/plain; charset=utf-8"}, b"", "text/plain", "utf-8", 0)),
        (
            {"text": "é", "charset": "latin1"},
            ({"Content-Type": "text/plain; charset=latin1"}, b"\xe9", "text/plain", "latin1", 1),
        ),
        (
            {"text": "é", "content_type": "text/html"},
            ({"Content-Type": "text/html; charset=utf-8"}, b"\xc3\xa9", "text/html", "utf-8", 2),
        ),
        (
            {"text": "a", "headers": {"Content-Type": "text/html"}},
            ({"Content-Type": "text/html; charset=utf-8"}, b"a", "text/html", "utf-8", 1),
        ),
        (
            {"text": "é", "headers": {"Content-Type": "text/html; charset=latin1"}},
            ({"Content-Type": "text/html; charset=latin1"}, b"\xe9", "text/html", "latin1", 1),
        ),
        (
            {"text": "a", "headers": {"X": "y"}, "charset": "ascii"},
            ({"X": "y", "Content-Type": "text/plain; charset=ascii"}, b"a", "text/plain", "ascii", 1),
        ),
        ({"body": b"a"}, ({}, b"a", OCTETS, None, 1)),
        ({"body": b""}, ({}, b"", OCTETS, None, 0)),
        ({"body": bytearray(b"ab")}, ({}, bytearray(b"ab"), OCTETS, None, 2)),
        ({"body": b"a", "content_type": "a/b"}, ({"Content-Type": "a/b"}, b"a", "a/b", None, 1)),
        (
            {"body": b"a", "content_type": "a/b", "charset": "utf-8"},
            ({"Content-Type": "a/b; charset=utf-8"}, b"a", "a/b", "utf-8", 1),
        ),
        ({"body": b"a", "charset": "utf-8"}, ({}, b"a", OCTETS, None, 1)),
        ({"content_type": "text/html"}, ({"Content-Type": "text/html"}, None, "text/html", None, 0)),
        (
            {"body": "abc"},
            ({"Content-Type": "text/plain; charset=utf-8"}, "StringPayload", "text/plain", "utf-8", None),
        ),
        ({"body": memoryview(b"abc")}, ({"Content-Type": OCTETS}, "BytesPayload", OCTETS, None, None)),
        (
            {"body": io.BytesIO(b"abc"), "content_type": "a/b"},
            ({"Content-Type": "a/b"}, "BytesIOPayload", "a/b", None, None),
        ),
        (
            {"body": BytesPayload(b"abc", headers={"X-A": "b", "X-C": "d"}), "headers": {"X-A": "q"}},
            ({"X-A": "q", "Content-Type": OCTETS, "X-C": "d"}, "BytesPayload", OCTETS, None, None),
        ),
    ],
)
def test_arguments(arguments: dict[str, Any], result: tuple[Any, ...]) -> None:
    assert shown(Response(**arguments)) == result


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"body": b"a", "text": "a"}, ValueError, "not both"),
        ({"text": "a", "content_type": "a/b", "headers": {"content-type": "c/d"}}, ValueError, "Content-Type"),
        ({"text": "a", "charset": "utf-8", "headers": {"Content-Type": "c/d"}}, ValueError, "Content-Type"),
        ({"body": b"a", "content_type": "a/b", "headers": {"Content-Type": "c/d"}}, ValueError, "Content-Type"),
        ({"body": b"a", "charset": "x", "headers": {"Content-Type": "c/d"}}, ValueError, "Content-Type"),
        ({"content_type": "a/b", "headers": {"Content-Type": "c/d"}}, ValueError, "Content-Type"),
        ({"text": "a", "content_type": "text/html; charset=utf-8"}, ValueError, "charset must not be"),
        ({"body": b"a", "content_type": "text/html; charset=utf-8"}, ValueError, "charset must not be"),
        ({"text": b"a"}, TypeError, "give bytes as body"),
        ({"text": 3}, TypeError, "not int"),
        ({"text": "é", "charset": "ascii"}, UnicodeEncodeError, "codec"),
        ({"text": "\ud800"}, UnicodeEncodeError, "codec"),
        ({"text": "a", "charset": "nope"}, LookupError, "nope"),
        ({"body": 3}, ValueError, "No payload"),
        ({"body": [b"a"]}, ValueError, "No payload"),
        ({"status": 99}, ValueError, "three digits"),
        ({"reason": "a\r\nb: c"}, ValueError, "reason"),
        ({"text": "a", "content_type": "a\r\nb: c"}, ValueError, "content_type"),
        ({"body": b"a", "content_type": "a\nb"}, ValueError, "content_type"),
        ({"body": b"a", "content_type": "a/b", "charset": "x\r\ny"}, ValueError, "charset"),
        ({"text": "a", "charset": "utf-8\r\nX: y"}, ValueError, "charset"),
        ({"text": "a", "charset": "utf-8\0"}, ValueError, "charset"),
    ],
)
def test_arguments_that_are_refused(arguments: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        Response(**arguments)


def test_status_and_reason() -> None:
    assert Response(status=404).reason == "Not Found"
    assert Response(status=200, reason="Sure").reason == "Sure"
    assert Response(reason="").reason == ""


def test_text_and_body_can_be_changed() -> None:
    response = Response(body=b"\xe9", content_type="text/plain", charset="latin1")
    assert response.text == "é"
    response.text = "ü"
    assert response.body == b"\xfc"
    response.body = None
    assert (response.body, response.text, response.content_length) == (None, None, 0)
    response.body = b"abc"
    assert response.content_length == 3
    response.body = "abc"
    assert isinstance(response.body, Payload)
    assert response.text == "abc"
    fresh = Response()
    fresh.text = "ü"
    assert (fresh.body, fresh.headers["Content-Type"]) == (b"\xc3\xbc", "text/plain; charset=utf-8")
    html = Response(content_type="text/html")
    html.text = "a"
    assert html.headers["Content-Type"] == "text/html; charset=utf-8"
    with pytest.raises(TypeError, match=r"response\.body to None"):
        fresh.text = None  # type: ignore[assignment]  # what is refused
    with pytest.raises(UnicodeDecodeError):
        assert Response(body=b"\xe9").text
    with pytest.raises(ValueError, match="No payload"):
        fresh.body = 3


def test_content_length_is_that_of_the_body() -> None:
    response = Response(text="abc")
    with pytest.raises(RuntimeError, match="is that of its body"):
        response.content_length = 5
    assert response.content_length == 3
    response.enable_chunked_encoding()
    assert response.content_length is None
    assert Response(headers={"Content-Length": "7"}).content_length == 7


# What is sent


async def test_the_usual_response() -> None:
    for _ in range(2):  # the second one finds the head ready
        request = make_mocked_request("GET", "/")
        response = Response(text="héllo")
        assert response._whole(request) is not None
        request = make_mocked_request("GET", "/")
        assert await whole(Response(text="héllo"), request) == (
            b"HTTP/1.1 200 OK",
            CIMultiDict({"Content-Type": "text/plain; charset=utf-8", "Content-Length": "6"}),
            "héllo".encode(),
        )
    assert response.prepared
    assert response.body_length == len(request._exchange.sent)  # type: ignore[attr-defined]  # it is mocked
    assert repr(response) == "<Response OK eof>"
    assert response.headers["Content-Length"] == "6"


async def test_types_of_the_usual_response() -> None:
    for _ in range(2):
        for response, kind in (
            (Response(), None),
            (Response(body=b""), None),
            (Response(body=b"x"), OCTETS),
            (Response(body=bytearray(b"x"), content_type="a/b"), "a/b"),
            (Response(content_type="a/b"), "a/b"),
            (json_response([]), "application/json; charset=utf-8"),
            (Response(status=404, text=""), "text/plain; charset=utf-8"),
        ):
            line, fields, body = await whole(response, make_mocked_request("GET", "/"))
            assert line.startswith(f"HTTP/1.1 {response.status} ".encode())
            assert fields.get("Content-Type") == kind
            assert fields["Content-Length"] == str(len(body))


def test_heads_that_are_kept_are_bounded() -> None:
    before = len(_leads)
    for number in range(2000):
        response = Response(body=b"x", content_type=f"x/kept-{number}")
        assert response._whole(make_mocked_request("GET", "/")) is not None
    assert before < len(_leads) <= 512
    for key in [key for key in _leads if key[1] is not None and key[1].startswith("x/kept-")]:
        del _leads[key]


def hooked() -> Application:
    app = Application()

    async def hook(request: Request, response: StreamResponse) -> None:
        return None

    app.on_response_prepare.append(hook)
    app.freeze()
    return app


HOOKED = hooked()


def makers() -> dict[str, Callable[[], Response]]:
    def cookies() -> Response:
        response = Response(text="abc")
        response.set_cookie("n", "v")
        return response

    def closing() -> Response:
        response = Response(text="abc")
        response.force_close()
        return response

    return {
        "empty": Response,
        "text": lambda: Response(text="abc"),
        "no text": lambda: Response(text=""),
        "bytes": lambda: Response(body=b"abc"),
        "bytearray": lambda: Response(body=bytearray(b"abc")),
        "big": lambda: Response(body=b"a" * BIG),
        "type": lambda: Response(content_type="a/b"),
        "reason": lambda: Response(text="abc", reason="Grün"),
        "headers": lambda: Response(text="abc", headers={"X-A": "b", "Connection": "X-Hop"}),
        "date": lambda: Response(text="abc", headers={"Date": "x"}),
        "server": lambda: Response(text="abc", headers={"Server": "x"}),
        "closes": lambda: Response(text="abc", headers={"Connection": "close"}),
        "wrong length": lambda: Response(text="abc", headers={"Content-Length": "7"}),
        "length of another": lambda: Response(headers={"Content-Length": "7"}),
        "transfer coding": lambda: Response(text="abc", headers={"Transfer-Encoding": "chunked"}),
        "payload": lambda: Response(body=io.BytesIO(b"abc")),
        "cookies": cookies,
        "closing": closing,
    }


@pytest.mark.parametrize("name", list(makers()))
async def test_the_short_way_sends_what_the_long_way_sends(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("endwell.server.response_head.time", lambda: 784111777.0)
    make = makers()[name]
    for status in (101, 103, 200, 204, 205, 206, 304, 404, 299):
        for method in ("GET", "HEAD", "CONNECT"):
            for version in (HttpVersion10, HttpVersion11):
                for connection in (None, "close", "keep-alive"):
                    results = []
                    for app in (None, HOOKED):
                        response = make()
                        response.set_status(status, response.reason if name == "reason" else None)
                        headers = {} if connection is None else {"Connection": connection}
                        request = make_mocked_request(method, "/", headers, version=version, app=app)
                        if app is None:
                            await whole(response, request)
                        else:
                            await response.prepare(request)
                            await response.write_eof()
                        head, _, body = bytes(request._exchange.sent).partition(b"\r\n\r\n")  # type: ignore[attr-defined]  # it is mocked
                        assert response.body_length == len(head) + 4 + len(body)
                        results.append((sorted(head.split(b"\r\n")), body, request._exchange.keep_alive))
                    assert results[0] == results[1], (status, method, version, connection)
                    fields, body, keep_alive = results[0]
                    if method == "HEAD" or status in (101, 103, 204, 205, 304):
                        assert body == b""
                    elif b"Transfer-Encoding: chunked" in fields:
                        assert unchunk(body) == b"abc"
                    elif keep_alive:
                        assert f"Content-Length: {len(body)}".encode() in fields
                    if status in (101, 103, 204, 304):
                        assert not any(field.startswith((b"Content-Length", b"Transfer")) for field in fields)


async def test_head_may_state_the_length_of_get() -> None:
    _, fields, body = await whole(Response(headers={"Content-Length": "7"}), make_mocked_request("HEAD", "/"))
    assert (fields["Content-Length"], body) == ("7", b"")
    _, fields, _ = await whole(Response(text="abc"), make_mocked_request("HEAD", "/"))
    assert fields["Content-Length"] == "3"
    _, fields, _ = await whole(Response(), make_mocked_request("HEAD", "/"))
    assert "Content-Length" not in fields


async def test_chunks() -> None:
    for version in (HttpVersion11, HttpVersion10):
        response = Response(text="abc")
        response.enable_chunked_encoding()
        _, fields, body = await whole(response, make_mocked_request("GET", "/", version=version))
        if version == HttpVersion11:
            assert fields["Transfer-Encoding"] == "chunked"
            assert body == b"3\r\nabc\r\n0\r\n\r\n"
        else:
            assert (fields["Content-Length"], body) == ("3", b"abc")


async def test_pieces_before_the_body_with_chunks() -> None:
    request = make_mocked_request("GET", "/")
    response = Response(text="c")
    response.enable_chunked_encoding()
    await response.prepare(request)
    await response.write(b"ab")
    await response.write_eof()
    assert unchunk(sent(request)[2]) == b"abc"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"headers": {"X": "a\r\nb: c"}}, ValueError),
        ({"headers": {"X\r\n": "a"}}, ValueError),
        ({"headers": {"X:y": "a"}}, ValueError),
        ({"headers": {"Content-Type": "a\r\nb: c"}}, ValueError),
        ({"headers": {"X": 5}}, TypeError),
        ({"headers": {"Transfer-Encoding": "gzip"}}, ValueError),
    ],
)
async def test_injection(arguments: dict[str, Any], error: type[Exception]) -> None:
    request = make_mocked_request("GET", "/")
    with pytest.raises(error):
        await whole(Response(text="a", **arguments), request)
    assert not request._exchange.started


async def test_injection_through_a_reason_set_by_hand() -> None:
    request = make_mocked_request("GET", "/")
    response = Response(text="a", reason="b")
    response._reason = "c\r\nX: y"
    with pytest.raises(ValueError, match="reason"):
        await whole(response, request)


@given(st.text(max_size=12), st.text(max_size=6), st.text(max_size=30))
async def test_no_argument_starts_a_line(content_type: str, charset: str, text: str) -> None:
    request = make_mocked_request("GET", "/")
    try:
        response = Response(body=text.encode(), content_type=content_type, charset=charset)
        line, fields, body = await whole(response, request)
    except (ValueError, UnicodeEncodeError):
        assert not request._exchange.started
        return
    assert line == b"HTTP/1.1 200 OK"
    assert set(fields) == {"Content-Type", "Content-Length"}
    assert body == text.encode()


# When the short way is none


async def test_the_short_way_is_for_small_bodies_in_memory() -> None:
    coded = Response(text="a")
    coded.enable_compression()
    chunked = Response(text="a")
    chunked.enable_chunked_encoding()
    for response in (Response(body=b"a" * BIG), Response(body=io.BytesIO()), coded, chunked):
        assert response._whole(make_mocked_request("GET", "/")) is None
        assert not response.prepared
    assert StreamResponse()._whole(make_mocked_request("GET", "/")) is None


async def test_the_short_way_is_not_for_a_second_response() -> None:
    request = make_mocked_request("GET", "/")
    assert Response(text="a")._whole(request) is not None
    await StreamResponse().prepare(request)
    assert Response(text="a")._whole(request) is None
    assert Response(text="a", headers={"X-A": "b"})._whole(request) is None


async def test_the_short_way_is_not_for_what_was_prepared() -> None:
    request = make_mocked_request("GET", "/")
    response = Response(text="a")
    assert await response.prepare(request) is None
    assert response._whole(request) is None
    await response.write_eof()
    assert response._whole(request) is None
    assert response._whole(make_mocked_request("GET", "/")) is None


async def test_a_subclass_with_hooks_of_its_own_has_them_called() -> None:
    calls = []

    class Own(Response):
        async def prepare(self, request: Any) -> Any:
            calls.append("prepare")
            return await super().prepare(request)

    class Mixin:
        async def write_eof(self, data: bytes = b"") -> None:
            calls.append("write_eof")
            await super().write_eof(data)  # type: ignore[misc]  # it stands before Response

    class Both(Mixin, Own):
        pass

    class Quiet(Response):
        extra = 1

    assert Quiet(text="a")._whole(make_mocked_request("GET", "/")) is not None
    _, _, body = await whole(Both(text="a"), make_mocked_request("GET", "/"))
    assert (calls, body) == (["prepare", "write_eof"], b"a")


async def test_one_response_for_many_requests() -> None:
    for make in (
        lambda: Response(text="abc"),
        lambda: Response(text="abc", headers={"X": "y"}),
        lambda: HTTPNotFound(text="abc"),
    ):
        response = make()
        for closing in (False, True, False):
            for method in ("GET", "HEAD"):
                request = make_mocked_request(method, "/", closing=closing)
                _, fields, body = await whole(response, request)
                assert body == (b"abc" if method == "GET" else b"")
                assert fields.get("Connection") == ("close" if closing else None)
                assert request._exchange.keep_alive is not closing
        await whole(response, make_mocked_request("GET", "/", app=HOOKED))
        hooked_request = make_mocked_request("GET", "/", app=HOOKED)
        await response.prepare(hooked_request)
        await response.write_eof()
        assert sent(hooked_request)[2] == b"abc"
        with pytest.raises(RuntimeError, match="new response for each request"):
            await response.prepare(make_mocked_request("GET", "/", app=HOOKED))


# The long way


async def test_the_head_waits_for_the_body() -> None:
    request = make_mocked_request("GET", "/")
    response = Response(text="abc")
    assert await response.prepare(request) is None
    assert response.prepared
    assert not request._exchange.started
    with pytest.raises(RuntimeError, match="use a StreamResponse"):
        await response.write(b"more")
    for change in (lambda: setattr(response, "text", "x"), lambda: setattr(response, "body", b"x")):
        with pytest.raises(RuntimeError, match="Cannot change the body"):
            change()
    with pytest.raises(RuntimeError, match="takes no data"):
        await response.write_eof(b"more")
    await response.write_eof()
    await response.write_eof()
    assert sent(request)[2] == b"abc"


async def test_write_eof_before_prepare() -> None:
    for response in (Response(), Response(body=io.BytesIO(b"a"))):
        with pytest.raises(RuntimeError, match="before prepare"):
            await response.write_eof()


async def test_a_hook_changes_the_body() -> None:
    app = Application()

    async def hook(request: Request, response: StreamResponse) -> None:
        assert isinstance(response, Response)
        assert response.headers["Content-Length"] == "3"
        response.text = "changed"
        response.enable_compression(ContentCoding.gzip)

    app.on_response_prepare.append(hook)
    app.freeze()
    for body in (b"abc", io.BytesIO(b"abc")):
        request = make_mocked_request("GET", "/", app=app)
        response = Response(body=body)
        await response.prepare(request)
        await response.write_eof()
        _, fields, coded = sent(request)
        assert fields["Content-Length"] == str(len(coded))
        assert decoded("gzip", coded) == b"changed"


async def many() -> AsyncIterator[bytes]:
    yield b"a"
    yield b"bc"


class Closing(BytesPayload):
    """Tells when it is closed."""

    closed = 0

    async def close(self) -> None:
        self.closed += 1


class Failing(Closing):
    """Fails in the middle."""

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        await writer.write(b"a")
        raise LookupError("source")


async def test_payloads() -> None:
    for body, length in (("abc", "3"), (io.BytesIO(b"abc"), "3"), (io.StringIO("abc"), "3"), (many(), None)):
        request = make_mocked_request("GET", "/")
        _, fields, framed = await whole(Response(body=body), request)
        assert fields.get("Content-Length") == length
        assert (unchunk(framed) if length is None else framed) == b"abc"


async def test_a_file() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"0123456789")
        file.seek(4)
        _, fields, body = await whole(Response(body=file), make_mocked_request("GET", "/"))
        assert (fields["Content-Length"], body) == ("6", b"456789")
        assert file.closed


async def test_multipart() -> None:
    writer = MultipartWriter("mixed")
    writer.append("part")
    _, fields, body = await whole(Response(body=writer), make_mocked_request("GET", "/"))
    assert fields["Content-Type"].startswith("multipart/mixed; boundary=")
    assert fields["Content-Length"] == str(len(body))
    assert b"\r\n\r\npart\r\n" in body


async def test_an_empty_multipart_is_a_body() -> None:
    _, fields, body = await whole(Response(body=MultipartWriter()), make_mocked_request("GET", "/"))
    assert fields["Content-Length"] == str(len(body)) != "0"


async def test_payloads_are_closed_however_it_ends() -> None:
    payload = Closing(b"abc")
    await whole(Response(body=payload), make_mocked_request("GET", "/"))
    assert payload.closed == 1
    payload = Closing(b"abc")
    _, _, body = await whole(Response(body=payload), make_mocked_request("HEAD", "/"))
    assert (payload.closed, body) == (1, b"")
    failing = Failing(b"abc")
    request = make_mocked_request("GET", "/")
    response = Response(body=failing)
    await response.prepare(request)
    with pytest.raises(LookupError, match="source"):
        await response.write_eof()
    assert failing.closed == 1
    assert not request._exchange.ended  # type: ignore[attr-defined]  # it is mocked


async def test_a_payload_is_closed_when_it_is_cancelled() -> None:
    payload = Closing(b"abc")
    request = make_mocked_request("GET", "/", loop=asyncio.get_running_loop())
    response = Response(body=payload)
    await response.prepare(request)
    request._exchange.stream.pause_writing()  # type: ignore[attr-defined]  # it is mocked
    task = asyncio.create_task(response.write_eof())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert payload.closed == 1


# Compression


async def test_compressed_here_or_in_an_executor() -> None:
    names: list[str] = []

    class Executor(ThreadPoolExecutor):
        def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
            names.append(threading.current_thread().name)
            return super().submit(function, *args, **kwargs)

    with Executor(1) as executor:
        for size, used in ((10, 0), (11, 1)):
            request = make_mocked_request("GET", "/", {"Accept-Encoding": "gzip"}, loop=asyncio.get_running_loop())
            response = Response(body=b"a" * size, zlib_executor_size=10, zlib_executor=executor)
            response.enable_compression()
            _, fields, body = await whole(response, request)
            assert fields["Content-Encoding"] == "gzip"
            assert fields["Content-Length"] == str(len(body))
            assert decoded("gzip", body) == b"a" * size
            assert response.content_length == len(body)
            assert len(names) == used


async def test_compression_of_a_big_body() -> None:
    request = make_mocked_request("GET", "/", loop=asyncio.get_running_loop())
    body = bytes(range(256)) * 4096
    response = Response(body=body)
    response.enable_compression(ContentCoding.deflate)
    _, fields, coded = await whole(response, request)
    assert fields["Content-Length"] == str(len(coded))
    assert decoded("deflate", coded) == body


async def test_a_coded_body_too_large_to_be_copied() -> None:
    request = make_mocked_request("GET", "/", loop=asyncio.get_running_loop())
    body = json.dumps(list(range(400_000))).encode()
    response = Response(body=body)
    response.enable_compression(ContentCoding.gzip)
    _, fields, coded = await whole(response, request)
    assert len(coded) > _COPIED_MAX
    assert fields["Content-Length"] == str(len(coded))
    assert decoded("gzip", coded) == body


async def test_payloads_are_compressed_as_they_come() -> None:
    for body in (many(), io.BytesIO(b"abc")):
        request = make_mocked_request("GET", "/", {"Accept-Encoding": "gzip"})
        response = Response(body=body)
        response.enable_compression()
        _, fields, framed = await whole(response, request)
        assert fields["Content-Encoding"] == "gzip"
        assert fields["Transfer-Encoding"] == "chunked"
        assert decoded("gzip", unchunk(framed)) == b"abc"


async def test_nothing_to_compress() -> None:
    for response in (Response(), Response(text=""), Response(status=304), Response(status=204)):
        response.enable_compression(ContentCoding.gzip)
        _, fields, body = await whole(response, make_mocked_request("GET", "/"))
        assert "Content-Encoding" not in fields
        assert body == b""


async def test_head_of_a_compressed_response() -> None:
    response = Response(text="abc" * 10)
    response.enable_compression(ContentCoding.gzip)
    _, fields, body = await whole(response, make_mocked_request("HEAD", "/"))
    assert (fields["Content-Encoding"], body) == ("gzip", b"")
    assert "Content-Length" not in fields


async def test_not_compressed_for_who_does_not_want_it() -> None:
    response = Response(text="abc")
    response.enable_compression()
    _, fields, body = await whole(response, make_mocked_request("GET", "/", {"Accept-Encoding": "gzip;q=0"}))
    assert (fields["Vary"], fields["Content-Length"], body) == ("Accept-Encoding", "3", b"abc")


async def test_cancelled_while_it_is_compressed() -> None:
    release = threading.Event()

    class Slow(ThreadPoolExecutor):
        def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
            return super().submit(release.wait)

    with Slow(1) as executor:
        request = make_mocked_request("GET", "/", loop=asyncio.get_running_loop())
        response = Response(body=b"a" * 5000, zlib_executor=executor)
        response.enable_compression(ContentCoding.gzip)
        task = asyncio.create_task(response.prepare(request))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()
    assert not response.prepared
    assert not request._exchange.started


# JSON


def test_json_response() -> None:
    text = {"Content-Type": "application/json; charset=utf-8"}
    assert shown(json_response({"a": 1}))[:2] == (text, b'{"a": 1}')
    assert shown(json_response(None))[:2] == (text, b"null")
    assert shown(json_response(text="x"))[:2] == (text, b"x")
    assert shown(json_response(body=b"x"))[:2] == ({"Content-Type": "application/json"}, b"x")
    assert shown(json_response())[:2] == ({"Content-Type": "application/json"}, None)
    assert json_response({}, content_type="text/x").headers["Content-Type"] == "text/x; charset=utf-8"
    made = json_response([1], status=404, reason="No", headers={"X": "y"}, dumps=lambda value: f"<{value}>")
    assert (made.status, made.reason, made.headers["X"], made.text) == (404, "No", "y", "<[1]>")


def test_json_response_of_two_things() -> None:
    for other in ({"text": "x"}, {"body": b"x"}):
        with pytest.raises(ValueError, match="one of data, text and body"):
            json_response({}, **other)  # type: ignore[arg-type]  # either argument
    with pytest.raises(ValueError, match="not both"):
        json_response(text="x", body=b"x")
    with pytest.raises(ValueError, match="Content-Type"):
        json_response({}, headers={"Content-Type": "text/x"})
    with pytest.raises(TypeError):
        json_response(object())


def test_json_bytes_response() -> None:
    made = json_bytes_response({"a": 1}, dumps=lambda value: json.dumps(value).encode(), status=201)
    assert (made.status, *shown(made)[:2]) == (201, {"Content-Type": "application/json"}, b'{"a": 1}')
    assert json_bytes_response(body=b"x", dumps=lambda value: b"").body == b"x"
    with pytest.raises(ValueError, match="one of data and body"):
        json_bytes_response({}, dumps=lambda value: b"", body=b"x")
    with pytest.raises(TypeError, match="dumps"):
        json_bytes_response({})  # type: ignore[call-arg]  # what is refused
