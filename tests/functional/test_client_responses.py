"""What a response says of itself, and its body as bytes, text and JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from multidict import CIMultiDictProxy
from yarl import URL

import endwell
from tests.support.echo import EchoServer, Reply
from tests.support.peer import ScriptedPeer, answer_fine, answer_with, silence


async def got(*fields: str, body: bytes = b"fine", status: str = "200 OK", version: str = "1.1", **kwargs: Any) -> Any:
    """Have a peer answer with these fields and return the response, its body read."""
    head = "\r\n".join([f"HTTP/{version} {status}", *fields, f"Content-Length: {len(body)}", "", ""])
    async with (
        ScriptedPeer(answer_with(head.encode() + body, then=silence)) as peer,
        endwell.ClientSession(**kwargs) as session,
        session.get(peer.url()) as response,
    ):
        await response.read()
        return response


# -- the head


async def test_the_status_line() -> None:
    response = await got(status="299 Quite Fine")
    assert (response.status, response.reason, response.version) == (299, "Quite Fine", endwell.HttpVersion11)
    assert response.ok
    response = await got(status="204 No Content", body=b"", version="1.0")
    assert (response.status, response.version) == (204, endwell.HttpVersion10)


@pytest.mark.parametrize(("status", "ok"), [("200 OK", True), ("399 x", True), ("400 x", False), ("500 x", False)])
async def test_ok(status: str, ok: bool) -> None:
    assert (await got(status=status)).ok is ok


@pytest.mark.parametrize("line", ["200", "200 "])
async def test_no_reason(line: str) -> None:
    response = await got(status=line)
    assert (response.status, response.reason) == (200, "")


async def test_the_fields() -> None:
    response = await got("X-A: 1", "x-a:2", "X-Empty:", "X-B:  spaced \t")
    assert isinstance(response.headers, CIMultiDictProxy)
    assert response.headers.getall("X-A") == ["1", "2"]
    assert response.headers["x-empty"] == ""
    assert response.headers["X-B"] == "spaced"
    assert response.raw_headers == (
        (b"X-A", b"1"),
        (b"x-a", b"2"),
        (b"X-Empty", b""),
        (b"X-B", b"spaced"),
        (b"Content-Length", b"4"),
    )


async def test_fields_beyond_ascii() -> None:
    response = await got("X-A: grün")
    assert response.headers["X-A"] == "grün"
    head = b"HTTP/1.1 200 OK\r\nX-A: gr\xfcn\r\nContent-Length: 0\r\n\r\n"
    async with ScriptedPeer(answer_with(head, then=silence)) as peer, endwell.ClientSession() as session:
        async with session.get(peer.url()) as response:
            assert response.headers["X-A"] == "gr\udcfcn"
            assert response.raw_headers[0] == (b"X-A", b"gr\xfcn")


async def test_a_response_belongs_to_its_request() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with session.post(server.url("/echo?a=1#f"), data=b"x", headers={"X-A": "1"}) as response:
            info = response.request_info
            assert (info.method, info.url) == ("POST", URL(server.url("/echo?a=1")))
            assert info.real_url == URL(server.url("/echo?a=1#f"))
            assert isinstance(info.headers, CIMultiDictProxy)
            assert info.headers["X-A"] == "1"
            assert info.headers["Host"] == f"127.0.0.1:{server.port}"
            assert info.headers["Content-Length"] == "1"
            assert response.method == "POST"
            assert str(response.status) in repr(response)


async def test_a_response_while_it_has_its_connection() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        response = await session.get(server.url("/bytes/1000000"))
        assert not response.closed
        assert response.connection is not None
        assert response.connection.transport.get_extra_info("peername")[1] == server.port
        await response.read()
        assert response.closed
        assert response.connection is None


@pytest.mark.parametrize(
    ("field", "kind", "charset"),
    [
        ("text/html; charset=Latin-1", "text/html", "Latin-1"),
        ('TEXT/html;Charset="utf-8"', "text/html", "utf-8"),
        ("application/json", "application/json", None),
        ("", "application/octet-stream", None),
    ],
)
async def test_content_type(field: str, kind: str, charset: str | None) -> None:
    response = await got(f"Content-Type: {field}")
    assert (response.content_type, response.charset) == (kind, charset)


async def test_no_content_type() -> None:
    response = await got()
    assert (response.content_type, response.charset) == ("application/octet-stream", None)


async def test_content_length() -> None:
    assert (await got(body=b"12345")).content_length == 5
    async with EchoServer() as server, endwell.ClientSession() as session, session.get(server.url("/chunked/2")) as r:
        assert r.content_length is None


async def test_content_disposition() -> None:
    response = await got('Content-Disposition: attachment; filename="a b.txt"; size=5')
    found = response.content_disposition
    assert (found.type, found.filename, found.parameters["size"]) == ("attachment", "a b.txt", "5")
    response = await got("Content-Disposition: attachment; filename*=UTF-8''%e2%82%ac.txt")
    assert response.content_disposition.filename == "€.txt"
    assert (await got()).content_disposition is None


async def test_cookies() -> None:
    response = await got("Set-Cookie: a=1; Path=/; HttpOnly", "Set-Cookie: b=2; Max-Age=5", "Set-Cookie: a=3")
    assert {name: morsel.value for name, morsel in response.cookies.items()} == {"a": "3", "b": "2"}
    assert response.cookies["b"]["max-age"] == "5"


async def test_links() -> None:
    response = await got(
        'Link: <https://a.example/1>; rel="next"; title="One, two; three"', "Link: </2?x=1>; rel=prev, <3>; rel=up"
    )
    links = response.links
    assert links["next"]["url"] == URL("https://a.example/1")
    assert links["next"]["title"] == "One, two; three"
    assert links["prev"]["url"] == response.url.join(URL("/2?x=1"))
    assert links["up"]["url"] == response.url.join(URL("/3"))
    assert list(links) == ["next", "prev", "up"]
    assert len((await got()).links) == 0


async def test_history() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with session.get(server.url("/redirect/302?to=/redirect/301%3Fto%3D/")) as response:
            assert await response.text() == "hello"
            assert [each.status for each in response.history] == [302, 301]
            assert [each.url.path for each in response.history] == ["/redirect/302", "/redirect/301"]
            assert all(each.closed for each in response.history)
            assert response.history[0].headers["Location"]
            assert response.url.path == "/"
    assert response.request_info.url.path == "/"


# -- statuses that are errors


async def test_raise_for_status_by_hand() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with session.get(server.url("/status/404")) as response:
            with pytest.raises(endwell.ClientResponseError) as caught:
                response.raise_for_status()
        error = caught.value
        assert (error.status, error.message, error.history) == (404, "Not Found", ())
        assert error.request_info.url == URL(server.url("/status/404"))
        assert error.headers is not None
        assert error.headers["Content-Type"] == "text/plain; charset=utf-8"
        async with session.get(server.url("/status/399")) as response:
            response.raise_for_status()
            assert await response.text() == "status 399"


@pytest.mark.parametrize(("by_session", "by_call"), [(True, None), (False, True), (True, True)])
async def test_raise_for_status_true(by_session: bool, by_call: bool | None) -> None:
    async with EchoServer() as server, endwell.ClientSession(raise_for_status=by_session) as session:
        with pytest.raises(endwell.ClientResponseError, match="404"):
            async with session.get(server.url("/status/404"), raise_for_status=by_call):
                pass
        async with session.get(server.url("/"), raise_for_status=by_call) as response:
            assert response.status == 200
        assert len(server.connections) == 1


@pytest.mark.parametrize(("by_session", "by_call"), [(False, None), (True, False), (False, False)])
async def test_raise_for_status_false(by_session: bool, by_call: bool | None) -> None:
    async with EchoServer() as server, endwell.ClientSession(raise_for_status=by_session) as session:
        async with session.get(server.url("/status/404"), raise_for_status=by_call) as response:
            assert await response.text() == "status 404"


@pytest.mark.parametrize("where", ["session", "call"])
async def test_raise_for_status_by_a_function(where: str) -> None:
    seen: list[int] = []

    async def check(response: endwell.ClientResponse) -> None:
        seen.append(response.status)
        if response.status == 418:
            raise LookupError(await response.text())

    kwargs: Any = {"raise_for_status": check}
    by_session, by_call = (kwargs, {}) if where == "session" else ({}, kwargs)
    async with EchoServer() as server, endwell.ClientSession(**by_session) as session:
        async with session.get(server.url("/status/404"), **by_call) as response:
            assert await response.text() == "status 404"
        with pytest.raises(LookupError, match="status 418"):
            await session.get(server.url("/status/418"), **by_call)
    assert seen == [404, 418]


async def test_a_function_of_the_session_gives_way_to_the_call() -> None:
    async def check(response: endwell.ClientResponse) -> None:
        raise LookupError

    async with EchoServer() as server, endwell.ClientSession(raise_for_status=check) as session:
        async with session.get(server.url("/status/404"), raise_for_status=False) as response:
            assert response.status == 404


async def test_raise_for_status_after_a_redirect_knows_the_history() -> None:
    async with EchoServer() as server, endwell.ClientSession(raise_for_status=True) as session:
        with pytest.raises(endwell.ClientResponseError) as caught:
            await session.get(server.url("/redirect/302?to=/status/500"))
        assert [each.status for each in caught.value.history] == [302]
        assert caught.value.request_info.url.path == "/status/500"


# -- the body as a whole


async def test_read_twice() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session, session.get(server.url("/")) as response:
        assert await response.read() is await response.read()
    assert await response.text() == "hello"


async def test_a_body_is_there_after_the_block_when_it_was_read() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with session.get(server.url("/bytes/100000")) as response:
            await response.read()
        assert len(await response.read()) == 100000


async def test_a_large_body_that_was_not_read_is_gone_after_the_block() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with session.get(server.url("/bytes/5000000")) as response:
            pass
        with pytest.raises(endwell.ClientConnectionError):
            await response.read()


async def test_read_after_the_stream() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with session.get(server.url("/bytes/1000")) as response:
            first = await response.content.read(10)
            assert first + await response.read() == bytes(range(256)) * 3 + bytes(range(232))


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("text/plain; charset=utf-8", "ä€".encode(), "ä€"),
        ("text/plain; charset=latin-1", b"\xe4", "ä"),
        ("text/plain; charset=windows-1252", b"\x80", "€"),
        ("text/plain", "ä€".encode(), "ä€"),
        ("text/plain; charset=no-such-thing", "ä€".encode(), "ä€"),
        ("application/json", "ä€".encode(), "ä€"),
        ("text/plain; charset=utf-16", "ä€".encode("utf-16"), "ä€"),
        ("text/plain", b"", ""),
    ],
)
async def test_text(kind: str, body: bytes, text: str) -> None:
    response = await got(f"Content-Type: {kind}", body=body)
    assert await response.text() == text


async def test_text_in_an_encoding_of_the_caller() -> None:
    response = await got("Content-Type: text/plain; charset=utf-8", body=b"\xe4")
    assert await response.text("latin-1") == "ä"
    assert await response.text(errors="replace") == "�"
    with pytest.raises(UnicodeDecodeError):
        await response.text()


async def test_get_encoding() -> None:
    assert (await got("Content-Type: text/plain; charset=Latin-1")).get_encoding() == "iso8859-1"
    assert (await got("Content-Type: application/json")).get_encoding() == "utf-8"
    assert (await got("Content-Type: text/html")).get_encoding() == "utf-8"
    async with EchoServer({"/a": lambda _: Reply("x", content_type="text/html")}) as server:
        async with endwell.ClientSession() as session, session.get(server.url("/a")) as response:
            with pytest.raises(RuntimeError, match="not yet read"):
                response.get_encoding()


async def test_fallback_charset_resolver() -> None:
    asked: list[Any] = []

    def resolve(response: endwell.ClientResponse, body: bytes) -> str:
        asked.append((response.status, body))
        return "latin-1"

    response = await got("Content-Type: text/plain", body=b"\xe4", fallback_charset_resolver=resolve)
    assert await response.text() == "ä"
    assert asked == [(200, b"\xe4")]
    response = await got("Content-Type: text/plain; charset=utf-8", body=b"x", fallback_charset_resolver=resolve)
    assert await response.text() == "x"
    assert len(asked) == 1


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "application/json; charset=utf-8",
        "application/problem+json",
        "application/vnd.api+json",
        "APPLICATION/JSON",
    ],
)
async def test_json(kind: str) -> None:
    response = await got(f"Content-Type: {kind}", body='{"a": "ä"}'.encode())
    assert await response.json() == {"a": "ä"}


@pytest.mark.parametrize("kind", ["text/plain", "text/json", "application/jsonp", "application/octet-stream"])
async def test_json_of_another_media_type(kind: str) -> None:
    response = await got(f"Content-Type: {kind}", body=b'{"a": 1}')
    with pytest.raises(endwell.ContentTypeError, match=kind) as caught:
        await response.json()
    assert (caught.value.status, caught.value.request_info.url) == (200, response.url)
    assert await response.json(content_type=None) == {"a": 1}
    assert await response.json(content_type=kind) == {"a": 1}


async def test_json_options() -> None:
    response = await got("Content-Type: application/json", body=b'{"a": "\xe4"}')
    assert await response.json(encoding="latin-1") == {"a": "ä"}
    assert await response.json(encoding="latin-1", loads=lambda text: text.upper()) == '{"A": "Ä"}'


async def test_json_of_nothing_and_of_nonsense() -> None:
    assert await (await got("Content-Type: application/json", body=b" \n")).json() is None
    with pytest.raises(json.JSONDecodeError):
        await (await got("Content-Type: application/json", body=b"{")).json()


# -- letting go


async def test_release_keeps_a_connection_with_little_left() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        for _ in range(3):
            response = await session.get(server.url("/bytes/1000"))
            response.release()
            assert response.closed
        assert len(server.connections) == 1


async def test_release_can_be_awaited() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        response = await session.get(server.url("/"))
        await response.release()
        assert response.closed


async def test_release_closes_a_connection_with_much_left() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        for _ in range(2):
            response = await session.get(server.url("/bytes/5000000"))
            response.release()
            assert response.closed
        assert len(server.connections) == 2


async def test_close_closes_the_connection() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        for _ in range(2):
            response = await session.get(server.url("/bytes/5000000"))
            response.close()
            assert response.closed
            response.close()
        assert len(server.connections) == 2


async def test_close_after_the_end_keeps_the_connection() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        for _ in range(2):
            response = await session.get(server.url("/"))
            await response.read()
            response.close()
        assert len(server.connections) == 1


async def test_wait_for_close() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        response = await session.get(server.url("/bytes/1000"))
        await response.wait_for_close()
        assert response.closed
        response = await session.get(server.url("/"))
        await response.read()
        assert len(server.connections) == 1


@pytest.mark.parametrize("size", [0, 5, 60_000, 65_536])
async def test_leaving_the_block_reads_a_small_rest_away(size: int) -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        for _ in range(2):
            async with session.get(server.url(f"/bytes/{size}")):
                pass
        async with session.get(server.url("/")) as response:
            assert await response.text() == "hello"
        assert len(server.connections) == 1


async def test_leaving_the_block_by_an_error_closes() -> None:
    async def script(conn: Any) -> None:
        await conn.read_request()
        await conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
        await conn.closed_by_client()

    async with ScriptedPeer(script, answer_fine) as peer, endwell.ClientSession() as session:
        with pytest.raises(KeyError):
            async with session.get(peer.url()):
                raise KeyError
        async with session.get(peer.url()) as response:
            assert await response.text() == "fine"
        assert len(peer.connections) == 2


async def test_a_response_class_of_ones_own() -> None:
    class Mine(endwell.ClientResponse):
        async def shout(self) -> str:
            return (await self.text()).upper()

    async with EchoServer() as server, endwell.ClientSession(response_class=Mine) as session:
        async with session.get(server.url("/")) as response:
            assert isinstance(response, Mine)
            assert await response.shout() == "HELLO"


async def test_a_request_class_of_ones_own() -> None:
    made: list[Any] = []

    class Mine(endwell.ClientRequest):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            made.append(self)

    async with EchoServer() as server, endwell.ClientSession(request_class=Mine) as session:
        async with session.get(server.url("/")) as response:
            assert await response.text() == "hello"
    assert [request.url.path for request in made] == ["/"]
