"""Request bodies of every kind: what arrives at the peer, and how it is framed and described."""

from __future__ import annotations

import array
import gzip
import io
import json
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from multidict import MultiDict

import endwell
from tests.support.echo import EchoServer, Request
from tests.support.peer import ScriptedPeer, answer_fine

LARGE = bytes(range(256)) * 4096  # 1 MiB: more than a socket takes at once


async def arrived(data: Any = None, **kwargs: Any) -> Request:
    """Post a body with a session of its own and return the request as the server had it."""
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with session.post(server.url("/echo"), data=data, **kwargs) as response:
            assert response.status == 200
            await response.read()
        assert len(server.requests) == 1
        return server.requests[0]


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


class Streamed:
    """An async iterable that is no generator."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return pieces(b"stre", b"amed")


# -- kinds


@pytest.mark.parametrize(
    ("data", "body", "kind"),
    [
        (b"bytes", b"bytes", "application/octet-stream"),
        (bytearray(b"array"), b"array", "application/octet-stream"),
        (memoryview(b"view"), b"view", "application/octet-stream"),
        (memoryview(array.array("H", [1, 2])), array.array("H", [1, 2]).tobytes(), "application/octet-stream"),
        ("täxt", "täxt".encode(), "text/plain; charset=utf-8"),
        (b"", b"", "application/octet-stream"),
        ("", b"", "text/plain; charset=utf-8"),
        (LARGE, LARGE, "application/octet-stream"),
        ({"a": "1", "b": "x y&"}, b"a=1&b=x+y%26", "application/x-www-form-urlencoded"),
        ([("a", "1"), ("a", "2")], b"a=1&a=2", "application/x-www-form-urlencoded"),
        (MultiDict([("a", "1"), ("a", "2")]), b"a=1&a=2", "application/x-www-form-urlencoded"),
        ({"n": "ö"}, b"n=%C3%B6", "application/x-www-form-urlencoded"),
        (endwell.JsonPayload({"a": 1}), b'{"a": 1}', "application/json"),
        (endwell.BytesPayload(b"x", content_type="x/y"), b"x", "x/y"),
        (endwell.StringPayload("ä", encoding="latin-1"), b"\xe4", "text/plain; charset=latin-1"),
    ],
)
async def test_bodies_of_known_length(data: Any, body: bytes, kind: str) -> None:
    request = await arrived(data)
    assert request.body == body
    assert request.get("Content-Type") == kind
    assert request.get("Content-Length") == str(len(body))
    assert request.get("Transfer-Encoding") is None


@pytest.mark.parametrize("make", [io.BytesIO, lambda data: io.BufferedReader(io.BytesIO(data))])
@pytest.mark.parametrize("size", [0, 10, len(LARGE)])
async def test_files_in_memory(make: Any, size: int) -> None:
    request = await arrived(make(LARGE[:size]))
    assert request.body == LARGE[:size]
    assert request.get("Content-Length") == str(size)
    assert request.get("Content-Type") == "application/octet-stream"


async def test_text_in_memory() -> None:
    request = await arrived(io.StringIO("zeile\nzwei ä"))
    assert request.body == "zeile\nzwei ä".encode()
    assert request.get("Content-Type") == "text/plain; charset=utf-8"


@pytest.mark.parametrize("size", [0, 10, len(LARGE)])
async def test_a_file(tmp_path: Path, size: int) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(LARGE[:size])
    with path.open("rb") as file:
        request = await arrived(file)
    assert request.body == LARGE[:size]
    assert request.get("Content-Length") == str(size)


async def test_a_file_from_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with path.open("rb") as file:
        file.seek(4)
        request = await arrived(file)
    assert (request.body, request.get("Content-Length")) == (b"456789", "6")


async def test_a_text_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("zeile\nzwei ä", encoding="utf-8")
    with path.open(encoding="utf-8") as file:
        request = await arrived(file)
    assert request.body == "zeile\nzwei ä".encode()


@pytest.mark.parametrize("make", [lambda: pieces(b"stre", b"", b"amed"), Streamed])
async def test_async_iterables_are_chunked(make: Any) -> None:
    request = await arrived(make())
    assert request.body == b"streamed"
    assert request.get("Transfer-Encoding") == "chunked"
    assert request.get("Content-Length") is None
    assert request.get("Content-Type") == "application/octet-stream"


async def test_an_async_generator_with_a_length() -> None:
    request = await arrived(pieces(b"stre", b"amed"), headers={"Content-Length": "8"})
    assert request.body == b"streamed"
    assert request.get("Content-Length") == "8"
    assert request.get("Transfer-Encoding") is None


async def test_a_length_that_the_body_does_not_reach() -> None:
    async with ScriptedPeer(answer_fine) as peer, endwell.ClientSession() as session:
        with pytest.raises(endwell.ClientError, match="Content-Length"):
            await session.post(peer.url(), data=pieces(b"stre", b"amed"), headers={"Content-Length": "9"})


async def test_no_more_is_sent_than_the_length_says() -> None:
    request = await arrived(pieces(b"stre", b"amed"), headers={"Content-Length": "7"})
    assert request.body == b"streame"


async def test_a_body_that_fails() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"x"
        raise KeyError("the database is gone")

    async with ScriptedPeer(answer_fine) as peer, endwell.ClientSession() as session:
        with pytest.raises(endwell.ClientConnectionError, match="the database is gone") as caught:
            await session.post(peer.url(), data=body())
        assert isinstance(caught.value.__cause__, KeyError)
        async with session.get(peer.url()) as response:
            assert await response.text() == "fine"


@pytest.mark.parametrize("data", [5, object(), 1.5])
async def test_what_is_no_body(data: Any) -> None:
    async with endwell.ClientSession() as session:
        with pytest.raises((TypeError, LookupError)):
            await session.post("http://127.0.0.1:9/", data=data)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "X-OWN"])
async def test_no_body(method: str) -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with session.request(method, server.url("/echo")) as response:
            await response.read()
        request = server.requests[0]
    kind = "application/octet-stream" if method in ("POST", "PUT", "PATCH") else None  # as aiohttp has it
    assert (request.get("Content-Length"), request.get("Content-Type")) == ("0", kind)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize("given", [{"skip_auto_headers": ["Content-Type"]}, {"headers": {"Content-Type": "a/b"}}])
async def test_the_type_of_no_body(given: dict[str, Any], method: str) -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with session.request(method, server.url("/echo"), **given) as response:
            await response.read()
        request = server.requests[0]
    assert (request.get("Content-Length"), request.get("Content-Type")) == ("0", "a/b" if "headers" in given else None)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("given", [{"chunked": True}, {"headers": {"Transfer-Encoding": "chunked"}}])
async def test_chunks_of_nothing(given: dict[str, Any], method: str) -> None:
    """Who announces chunks sends the last one, or the peer waits for it."""
    async with ScriptedPeer(answer_fine) as peer, endwell.ClientSession() as session:
        for _ in range(2):
            async with session.request(method, peer.url(), **given) as response:
                assert response.status == 200
        assert len(peer.connections) == 1
    for request in peer.requests:
        assert (request.get("Transfer-Encoding"), request.get("Content-Length")) == ("chunked", None)
    assert bytes(peer.connections[0].received).count(b"\r\n\r\n0\r\n\r\n") == 2


async def test_chunked_says_nothing_of_a_get_without_a_body() -> None:
    async with ScriptedPeer(answer_fine) as peer, endwell.ClientSession() as session:
        for _ in range(2):
            async with session.get(peer.url(), chunked=True) as response:
                assert response.status == 200
    assert [request.get("Transfer-Encoding") for request in peer.requests] == [None, None]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_length_of_no_body(method: str) -> None:
    """The peer would take the next request for the body that was announced."""
    async with ScriptedPeer(answer_fine) as peer, endwell.ClientSession() as session:
        with pytest.raises(ValueError, match="there is no body"):
            await session.request(method, peer.url(), headers={"Content-Length": "5"})
        async with session.request(method, peer.url(), headers={"Content-Length": "0"}) as response:
            assert response.status == 200
        assert len(peer.requests) == 1


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
async def test_a_body_where_none_is_usual(method: str) -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with session.request(method, server.url("/echo"), data=b"body") as response:
            await response.read()
        request = server.requests[0]
    assert (request.body, request.get("Content-Length")) == (b"body", "4")


async def test_a_content_type_of_the_user_wins() -> None:
    request = await arrived(b"x", headers={"content-type": "x/y"})
    assert request.get("Content-Type") == "x/y"
    request = await arrived({"a": "1"}, headers={"Content-Type": "x/y"})
    assert (request.get("Content-Type"), request.body) == ("x/y", b"a=1")


async def test_a_content_type_of_the_session_wins() -> None:
    async with EchoServer() as server, endwell.ClientSession(headers={"Content-Type": "x/y"}) as session:
        async with session.post(server.url("/echo"), data=b"x") as response:
            await response.read()
        assert server.requests[0].get("Content-Type") == "x/y"


# -- JSON


async def test_json() -> None:
    request = await arrived(json={"a": [1, None, "ä"]})
    assert json.loads(request.body) == {"a": [1, None, "ä"]}
    assert request.get("Content-Type") == "application/json"
    assert request.get("Content-Length") == str(len(request.body))


@pytest.mark.parametrize("value", [[], {}, 0, False, ""])
async def test_json_of_something_false(value: Any) -> None:
    request = await arrived(json=value)
    assert request.body == json.dumps(value).encode()
    assert request.get("Content-Type") == "application/json"


async def test_large_json() -> None:
    request = await arrived(json=["x" * 1000] * 1000)
    assert json.loads(request.body) == ["x" * 1000] * 1000


async def test_json_with_data_is_refused() -> None:
    async with endwell.ClientSession() as session:
        with pytest.raises(ValueError, match="same time"):
            await session.post("http://127.0.0.1:9/", data=b"x", json={})


async def test_json_serialize() -> None:
    def serialize(value: Any) -> str:
        return json.dumps(value, separators=(",", ":"))

    async with EchoServer() as server, endwell.ClientSession(json_serialize=serialize) as session:
        assert session.json_serialize is serialize
        async with session.post(server.url("/echo"), json={"a": [1, 2]}) as response:
            assert (await response.json())["body"] == '{"a":[1,2]}'


async def test_json_serialize_bytes() -> None:
    async with EchoServer() as server, endwell.ClientSession(json_serialize_bytes=lambda v: b"<%d>" % v) as session:
        async with session.post(server.url("/echo"), json=5) as response:
            assert (await response.json())["body"] == "<5>"
        assert server.requests[0].get("Content-Type") == "application/json"


# -- compress and chunked


@pytest.mark.parametrize(
    ("compress", "name", "undo"),
    [(True, "deflate", zlib.decompress), ("deflate", "deflate", zlib.decompress), ("gzip", "gzip", gzip.decompress)],
)
@pytest.mark.parametrize("make", [lambda: b"body" * 1000, lambda: pieces(b"body" * 500, b"body" * 500)])
async def test_compress(compress: Any, name: str, undo: Any, make: Any) -> None:
    request = await arrived(make(), compress=compress)
    assert request.get("Content-Encoding") == name
    assert request.get("Transfer-Encoding") == "chunked"
    assert request.get("Content-Length") is None
    assert undo(request.body) == b"body" * 1000
    assert len(request.body) < 400


async def test_compress_with_a_content_encoding_is_refused() -> None:
    async with endwell.ClientSession() as session:
        with pytest.raises(ValueError, match="Content-Encoding"):
            await session.post("http://127.0.0.1:9/", data=b"x", compress=True, headers={"Content-Encoding": "deflate"})


async def test_a_content_encoding_of_the_user_is_left_alone() -> None:
    packed = gzip.compress(b"body")
    request = await arrived(packed, headers={"Content-Encoding": "gzip"})
    assert request.body == packed
    assert (request.get("Content-Encoding"), request.get("Content-Length")) == ("gzip", str(len(packed)))


async def test_compress_without_a_body() -> None:
    request = await arrived(compress=True)
    assert (request.body, request.get("Content-Encoding")) == (b"", None)


async def test_chunked() -> None:
    request = await arrived(b"body", chunked=True)
    assert request.body == b"body"
    assert request.get("Transfer-Encoding") == "chunked"
    assert request.get("Content-Length") is None


async def test_chunked_by_a_field() -> None:
    request = await arrived(b"body", headers={"Transfer-Encoding": "chunked"})
    assert request.body == b"body"
    assert request.get("Transfer-Encoding") == "chunked"
    assert request.get("Content-Length") is None


@pytest.mark.parametrize("headers", [{"Content-Length": "4"}, {"Transfer-Encoding": "chunked"}])
async def test_chunked_twice_is_refused(headers: Any) -> None:
    async with endwell.ClientSession() as session:
        with pytest.raises(ValueError, match="chunked"):
            await session.post("http://127.0.0.1:9/", data=b"body", chunked=True, headers=headers)


async def test_a_large_chunked_body() -> None:
    request = await arrived(pieces(LARGE, b"x", LARGE))
    assert request.body == LARGE + b"x" + LARGE


# -- forms and multipart


async def test_a_form() -> None:
    form = endwell.FormData({"a": "1"})
    form.add_field("b", "x y")
    form.add_fields(("c", "3"), MultiDict(d="4"))
    assert not form.is_multipart
    request = await arrived(form)
    assert request.body == b"a=1&b=x+y&c=3&d=4"
    assert request.get("Content-Type") == "application/x-www-form-urlencoded"


async def test_a_form_with_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rep ort.txt"
    path.write_bytes(b"file\r\n--body")
    with path.open("rb") as file:
        form = endwell.FormData()
        form.add_field("name", "väl")
        form.add_field("up", file, filename="rep ort.txt", content_type="text/plain")
        form.add_field("raw", b"\0\1", content_type="x/y")
        assert form.is_multipart
        request = await arrived(form)
    kind, _, boundary = (request.get("Content-Type") or "").partition("; boundary=")
    assert kind == "multipart/form-data"
    parts = request.body.split(b"--" + boundary.strip('"').encode())
    assert len(parts) == 5
    assert b'name="name"' in parts[1]
    assert parts[1].endswith("\r\n\r\nväl\r\n".encode())
    assert b'name="up"; filename="rep%20ort.txt"' in parts[2]
    assert b"Content-Type: text/plain\r\n" in parts[2]
    assert parts[2].endswith(b"\r\n\r\nfile\r\n--body\r\n")
    assert b"Content-Type: x/y\r\n" in parts[3]
    assert parts[4] == b"--\r\n"


async def test_a_file_in_a_mapping_makes_it_multipart(tmp_path: Path) -> None:
    path = tmp_path / "report.txt"
    path.write_bytes(b"text")
    with path.open("rb") as file:
        request = await arrived({"up": file, "a": "1"})
    assert (request.get("Content-Type") or "").startswith("multipart/form-data; boundary=")
    assert b'name="up"; filename="report.txt"' in request.body


async def test_a_form_that_is_multipart_by_wish() -> None:
    request = await arrived(endwell.FormData({"a": "1"}, default_to_multipart=True))
    assert (request.get("Content-Type") or "").startswith("multipart/form-data; boundary=")


async def test_a_multipart_writer() -> None:
    with endwell.MultipartWriter("mixed", boundary="frontier") as writer:
        writer.append("text")
        writer.append_json({"a": 1})
        writer.append_form([("b", "2")])
        writer.append(b"bytes", {"X-Own": "1"})
    request = await arrived(writer)
    assert request.get("Content-Type") == "multipart/mixed; boundary=frontier"
    assert request.get("Content-Length") == str(len(request.body))
    parts = request.body.split(b"--frontier")
    assert [part.partition(b"\r\n\r\n")[2] for part in parts[1:-1]] == [
        b"text\r\n",
        b'{"a": 1}\r\n',
        b"b=2\r\n",
        b"bytes\r\n",
    ]
    assert b"X-Own: 1\r\n" in parts[4]


async def test_multipart_with_a_part_of_unknown_length() -> None:
    with endwell.MultipartWriter("mixed", boundary="frontier") as writer:
        writer.append(pieces(b"stre", b"amed"))
    request = await arrived(writer)
    assert request.get("Transfer-Encoding") == "chunked"
    assert b"\r\n\r\nstreamed\r\n--frontier--" in request.body


# -- the wire


async def test_a_small_body_comes_with_its_head() -> None:
    """One write, one packet: the peer sees both at once."""
    heads: list[bytes] = []

    async def script(conn: Any) -> None:
        heads.append(await conn.read())
        await conn.answer()

    async with ScriptedPeer(script) as peer, endwell.ClientSession() as session:
        async with session.post(peer.url(), data=b"body") as response:
            await response.read()
    assert heads[0].endswith(b"\r\n\r\nbody")


async def test_a_body_sent_again_and_again(tmp_path: Path) -> None:
    """What can be rewound can be given to more than one call."""
    form = {"a": "1"}
    memory = io.BytesIO(b"memory")
    async with EchoServer() as server, endwell.ClientSession() as session:
        for data, body in ((form, "a=1"), (form, "a=1"), (b"x", "x"), (b"x", "x")):
            async with session.post(server.url("/echo"), data=data) as response:
                assert (await response.json())["body"] == body
        async with session.post(server.url("/echo"), data=memory) as response:
            assert (await response.json())["body"] == "memory"
