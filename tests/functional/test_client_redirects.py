"""Redirects: methods, bodies, what goes along to the next origin, and where they end (RFC 9110 section 15.4)."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from typing import Any

import pytest
from yarl import URL

import endwell
from tests.support.echo import EchoServer, Reply, Request
from tests.support.peer import PeerConnection, ScriptedPeer, answer_fine

SECRETS = {"Authorization": "Basic c2VjcmV0", "Cookie": "a=secret", "Proxy-Authorization": "Basic c2VjcmV0"}


def to(location: str, status: int = 302) -> Any:
    return lambda _: Reply(b"", status, {"Location": location})


@pytest.mark.parametrize(
    ("status", "method", "then", "keeps"),
    [
        (301, "POST", "GET", False),
        (302, "POST", "GET", False),
        (303, "POST", "GET", False),
        (307, "POST", "POST", True),
        (308, "POST", "POST", True),
        (301, "PUT", "PUT", True),
        (302, "PUT", "PUT", True),
        (303, "PUT", "GET", False),
        (307, "PUT", "PUT", True),
        (303, "DELETE", "GET", False),
        (302, "PATCH", "PATCH", True),
    ],
)
async def test_methods_and_bodies(status: int, method: str, then: str, keeps: bool) -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with session.request(method, server.url(f"/redirect/{status}?to=/echo"), data=b"body") as response:
            facts = await response.json()
    assert (facts["method"], facts["body"]) == (then, "body" if keeps else "")
    names = {name.lower() for name, _ in facts["headers"]}
    assert ("content-type" in names, "content-length" in names) == (keeps, keeps)
    assert "transfer-encoding" not in names


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
async def test_methods_without_a_body(status: int, method: str) -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with session.request(method, server.url(f"/redirect/{status}?to=/echo")) as response:
            facts = await response.json()
    assert facts["method"] == ("GET" if status == 303 else method)


async def test_head() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with session.head(server.url("/redirect/302?to=/")) as response:
            assert response.status == 302
        async with session.head(server.url("/redirect/303?to=/"), allow_redirects=True) as response:
            assert (response.status, response.url.path) == (200, "/")
        assert [request.method for request in server.requests] == ["HEAD"] * 3


@pytest.mark.parametrize("verb", ["get", "options", "post", "put", "patch", "delete"])
async def test_not_allowed(verb: str) -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with getattr(session, verb)(server.url("/redirect/302?to=/"), allow_redirects=False) as response:
            assert (response.status, response.headers["Location"], response.history) == (302, "/", ())


@pytest.mark.parametrize("status", [300, 304, 305, 306, 399])
async def test_statuses_that_lead_nowhere(status: int) -> None:
    async with EchoServer({"/a": to("/", status)}) as server, endwell.ClientSession() as session:
        async with session.get(server.url("/a")) as response:
            assert response.status == status


async def test_no_location() -> None:
    async with EchoServer({"/a": lambda _: Reply("where?", 302)}) as server, endwell.ClientSession() as session:
        async with session.get(server.url("/a")) as response:
            assert (response.status, await response.text(), response.history) == (302, "where?", ())


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/echo", "/echo"),
        ("echo", "/echo"),
        ("//{netloc}/echo", "/echo"),
        ("http://{netloc}/echo", "/echo"),
        ("../echo", "/echo"),
        ("?a=1", "/echo/from?a=1"),
        ("/echo?x=%20y", "/echo?x=%20y"),
        ("/echo/ä", "/echo/%C3%A4"),
        ("/echo?a=b c", "/echo?a=b+c"),
    ],
)
async def test_locations(location: str, target: str) -> None:
    hops: list[int] = []

    def handler(request: Request) -> Reply:
        if hops:
            return Reply(request.target)
        hops.append(1)
        netloc = request.get("Host") or ""
        return Reply(b"", 302, {"Location": location.format(netloc=netloc).encode().decode("latin-1")})

    async with EchoServer({"/echo": handler, "/echo/from": handler, "/from": handler}) as server:
        start = "/echo/from" if location == "?a=1" else "/from"
        async with endwell.ClientSession() as session, session.get(server.url(start)) as response:
            assert await response.text() == target


async def test_uri_stands_for_location() -> None:
    async with EchoServer({"/a": lambda _: Reply(b"", 302, {"URI": "/"})}) as server:
        async with endwell.ClientSession() as session, session.get(server.url("/a")) as response:
            assert await response.text() == "hello"


@pytest.mark.parametrize(("requote", "arrives"), [(True, "/echo/A?q=~"), (False, "/echo/%41?q=%7E")])
async def test_requote_redirect_url(requote: bool, arrives: str) -> None:
    async with EchoServer({"/a": to("/echo/%41?q=%7E")}) as server:
        async with endwell.ClientSession(requote_redirect_url=requote) as session:
            assert session.requote_redirect_url is requote
            async with session.get(server.url("/a")) as response:
                assert (await response.json())["target"] == arrives


async def test_requote_redirect_url_can_be_set() -> None:
    async with EchoServer({"/a": to("/echo/%41")}) as server, endwell.ClientSession() as session:
        session.requote_redirect_url = False
        async with session.get(server.url("/a")) as response:
            assert (await response.json())["target"] == "/echo/%41"


async def test_fragments() -> None:
    async with EchoServer({"/a": to("/"), "/b": to("/#new")}) as server, endwell.ClientSession() as session:
        async with session.get(server.url("/a#old")) as response:
            assert response.real_url == URL(server.url("/#old"))
        async with session.get(server.url("/b#old")) as response:
            assert response.real_url == URL(server.url("/#new"))
            assert response.url == URL(server.url("/"))


async def test_params_are_for_the_first_hop() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with session.get(server.url("/redirect/302"), params={"to": "/echo"}) as response:
            assert (await response.json())["target"] == "/echo"


async def test_too_many() -> None:
    async with EchoServer({"/loop": to("/loop")}) as server, endwell.ClientSession() as session:
        with pytest.raises(endwell.TooManyRedirects) as caught:
            await session.get(server.url("/loop"))
        assert len(server.requests) == 10
        assert (len(caught.value.history), caught.value.request_info.url.path) == (10, "/loop")
        with pytest.raises(endwell.TooManyRedirects):
            await session.get(server.url("/redirect/302?to=/redirect/302?to=/"), max_redirects=1)
        async with session.get(server.url("/redirect/302?to=/"), max_redirects=2) as response:
            assert response.status == 200


@pytest.mark.parametrize(
    ("location", "error"),
    [
        ("ftp://example.com/", endwell.NonHttpUrlRedirectClientError),
        ("file:///etc/passwd", endwell.NonHttpUrlRedirectClientError),
        ("http://", endwell.InvalidUrlRedirectClientError),
        ("http:///path", endwell.InvalidUrlRedirectClientError),
        ("http://[::1", endwell.InvalidUrlRedirectClientError),
        ("http://example.com:99999/", endwell.InvalidUrlRedirectClientError),
    ],
)
async def test_locations_that_are_refused(location: str, error: Any) -> None:
    async with EchoServer({"/a": to(location)}) as server, endwell.ClientSession() as session:
        with pytest.raises(error):
            await session.get(server.url("/a"))
        async with session.get(server.url("/")) as response:
            assert response.status == 200


# -- across origins


async def test_secrets_stay_with_their_origin() -> None:
    async with EchoServer() as other, EchoServer() as server, endwell.ClientSession() as session:
        target = f"/redirect/307?to={other.url('/redirect/307?to=' + server.url('/echo'))}"
        async with session.get(
            server.url(target), headers={**SECRETS, "X-Own": "1"}, cookies={"b": "secret"}
        ) as response:
            facts = await response.json()
        assert server.requests[0].get("Authorization") == "Basic c2VjcmV0"
        assert "b=secret" in (server.requests[0].get("Cookie") or "")
        assert other.requests[0].get("X-Own") == "1"
    for fields in (other.requests[0].headers, facts["headers"]):
        assert "secret" not in str(fields)
        assert "c2VjcmV0" not in str(fields)


async def test_secrets_go_along_within_the_origin() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with session.get(server.url("/redirect/302?to=/echo"), headers=SECRETS, cookies={"b": "2"}) as response:
            fields = dict((await response.json())["headers"])
    assert fields["Authorization"] == SECRETS["Authorization"]
    assert sorted(fields["Cookie"].split("; ")) == ["a=secret", "b=2"]


async def test_another_port_is_another_origin() -> None:
    auth = endwell.encode_basic_auth("user", "secret")
    async with EchoServer() as other, EchoServer() as server:
        async with endwell.ClientSession(headers={"Authorization": auth, "X-Own": "1"}) as session:
            async with session.get(server.url(f"/redirect/302?to={other.url('/echo')}")) as response:
                fields = dict((await response.json())["headers"])
        assert server.requests[0].get("Authorization") == auth
    assert "Authorization" not in fields
    assert fields["X-Own"] == "1"
    assert fields["Host"] == f"127.0.0.1:{other.port}"


async def test_a_host_field_is_for_the_first_origin() -> None:
    async with EchoServer() as other, EchoServer() as server, endwell.ClientSession() as session:
        target = server.url(f"/redirect/302?to={other.url('/echo')}")
        async with session.get(target, headers={"Host": "virtual.example"}) as response:
            assert dict((await response.json())["headers"])["Host"] == f"127.0.0.1:{other.port}"


async def test_cookies_of_the_jar_go_where_they_belong() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        await (await session.get(server.url("/set-cookie?a=1", "localhost"))).read()
        async with session.get(server.url(f"/redirect/302?to={server.url('/cookies', 'localhost')}")) as response:
            assert await response.text() == "a=1"
        async with session.get(server.url(f"/redirect/302?to={server.url('/cookies')}", "localhost")) as response:
            assert await response.text() == ""


async def test_credentials_of_the_url_stay_within_the_origin() -> None:
    async with EchoServer() as other, EchoServer() as server, endwell.ClientSession() as session:
        start = server.url("/redirect/302?to=/basic/user/pw").replace("//", "//user:pw@", 1)
        async with session.get(start) as response:
            assert (response.status, await response.text()) == (200, "welcome")
        start = server.url(f"/redirect/302?to={other.url('/echo')}").replace("//", "//user:pw@", 1)
        async with session.get(start) as response:
            assert "Authorization" not in dict((await response.json())["headers"])


# -- bodies that are sent again


@pytest.mark.parametrize("make", [lambda: b"body", lambda: "body", lambda: io.BytesIO(b"body"), lambda: {"body": ""}])
@pytest.mark.parametrize("status", [307, 308])
async def test_bodies_that_can_be_sent_again(make: Any, status: int) -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        target = server.url(f"/redirect/{status}?to=/redirect/{status}%3Fto%3D/echo")
        async with session.post(target, data=make()) as response:
            facts = await response.json()
        bodies = {request.body for request in server.requests}
    assert facts["method"] == "POST"
    assert len(bodies) == 1
    assert bodies <= {b"body", b"body="}


async def test_json_multipart_and_coded_bodies_are_sent_again() -> None:
    form = endwell.FormData({"a": "1"}, default_to_multipart=True)
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with session.post(server.url("/redirect/307?to=/echo"), json={"a": 1}) as response:
            assert (await response.json())["body"] == '{"a": 1}'
        async with session.post(server.url("/redirect/307?to=/echo"), data=form) as response:
            assert 'name="a"\r\n\r\n1' in (await response.json())["body"]
        async with session.post(server.url("/redirect/307?to=/echo"), data=b"body" * 100, compress="gzip") as response:
            await response.read()
        assert server.requests[-1].body == server.requests[-2].body
        assert server.requests[-1].get("Content-Encoding") == "gzip"


async def test_a_file_is_sent_again(tmp_path: Any) -> None:
    (tmp_path / "f").write_bytes(b"x" * 500_000)
    async with EchoServer() as server, endwell.ClientSession() as session:
        with (tmp_path / "f").open("rb") as file:
            async with session.put(server.url("/redirect/308?to=/echo"), data=file) as response:
                await response.read()
        assert [request.body for request in server.requests] == [b"x" * 500_000] * 2


async def test_a_body_that_cannot_be_sent_again() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"once"

    async with EchoServer() as server, endwell.ClientSession() as session:
        with pytest.raises(endwell.ClientPayloadError, match="allow_redirects"):
            await session.post(server.url("/redirect/307?to=/echo"), data=body())
        async with session.post(server.url("/redirect/303?to=/echo"), data=body()) as response:
            assert (await response.json())["method"] == "GET"


async def test_the_connection_is_used_for_all_hops() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with session.get(server.url("/redirect/302?to=/redirect/302%3Fto%3D/")) as response:
            assert await response.text() == "hello"
        assert len(server.connections) == 1


async def test_a_redirect_with_a_large_body_is_not_read() -> None:
    async def script(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.send(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 100000000\r\n\r\n" + bytes(100_000))
        await conn.closed_by_client()

    async with ScriptedPeer(script, answer_fine) as peer, endwell.ClientSession() as session:
        async with session.get(peer.url()) as response:
            assert await response.text() == "fine"
        assert len(peer.connections) == 2
