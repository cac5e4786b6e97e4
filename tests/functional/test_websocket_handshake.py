"""The opening handshake of WebSockets (RFC 6455 section 4): what `ws_connect` asks, and how it takes the answers."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from yarl import URL

import endwell
from endwell import WSServerHandshakeError, web
from tests.support.echo import EchoServer, Reply
from tests.support.peer import PeerConnection, ScriptedPeer
from tests.support.raw import facing
from tests.support.serving import serving
from tests.support.tls import client_context, fingerprint, server_context
from tests.support.websockets import (
    ACCEPT,
    TEXT,
    TLS,
    frame,
    pair,
    switching,
    trusting,
    upgrade,
)


async def echo(request: web.Request) -> web.WebSocketResponse:
    ws = web.WebSocketResponse()
    await ws.prepare(request)
    async for message in ws:
        await ws.send_str(message.data)
    return ws


@contextlib.asynccontextmanager
async def telling(*, tls: bool = False) -> AsyncIterator[tuple[Any, list[web.Request]]]:
    """Give a server whose WebSocket sends back what comes, and the requests that it got."""
    requests: list[web.Request] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        requests.append(request)
        return await echo(request)

    async def moved(request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("/ws?moved=1")

    async def set_cookie(request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse()
        ws.set_cookie("given", "in-101")
        await ws.prepare(request)
        await ws.close()
        return ws

    app = web.Application()
    app.router.add_get("/ws", handler)
    app.router.add_get("/moved", moved)
    app.router.add_get("/cookie", set_cookie)
    async with serving(app, tls=server_context() if tls else None, host="localhost" if tls else "127.0.0.1") as server:
        yield server, requests


async def says(session: endwell.ClientSession, url: Any, **kwargs: Any) -> Any:
    """Open a WebSocket, have it echo, close it; give it."""
    async with session.ws_connect(url, **kwargs) as ws:
        await ws.send_str("hello")
        assert await ws.receive_str() == "hello"
    return ws


# URLs, and what a request can have


@TLS
@pytest.mark.parametrize("scheme", ["http", "ws"])
@pytest.mark.parametrize("make", [str, URL])
async def test_schemes(tls: bool, scheme: str, make: Any) -> None:
    async with telling(tls=tls) as (server, requests), endwell.ClientSession(connector=trusting()) as session:
        await says(session, make(str((server.url / "ws").with_scheme(scheme + ("s" if tls else "")))))
        assert requests[0].scheme == ("https" if tls else "http")
        assert requests[0].host == f"{server.url.host}:{server.port}"


async def test_other_schemes_are_refused() -> None:
    async with endwell.ClientSession() as session:
        for url in ("ftp://127.0.0.1/", "file:///etc/passwd", "127.0.0.1"):
            with pytest.raises(endwell.ClientError) as caught:
                await session.ws_connect(url)
            assert isinstance(caught.value, (endwell.InvalidURL, endwell.NonHttpUrlClientError))


@pytest.mark.parametrize("base", ["http", "ws"])
async def test_a_base_url(base: str) -> None:
    async with telling() as (server, requests):
        async with endwell.ClientSession(server.url.with_scheme(base)) as session:
            await says(session, "ws")
            await says(session, "/ws?a=b")
        assert [each.path_qs for each in requests] == ["/ws", "/ws?a=b"]


async def test_what_is_asked() -> None:
    async with telling() as (server, requests):
        jar = endwell.CookieJar(unsafe=True)
        async with endwell.ClientSession(headers={"X-Session": "s"}, cookies={"one": "1"}, cookie_jar=jar) as session:
            session.cookie_jar.update_cookies({"two": "2"}, server.url)
            await says(
                session, server.url / "ws", params={"q": "ü&"}, headers={"X-Extra": "e"}, origin="http://a.example"
            )
        (request,) = requests
        assert dict(request.query) == {"q": "ü&"}
        fields = request.headers
        assert (fields["X-Session"], fields["X-Extra"], fields["Origin"]) == ("s", "e", "http://a.example")
        assert request.cookies == {"one": "1", "two": "2"}
        assert fields.getall("Upgrade") == ["websocket"]
        assert fields["Connection"].lower() == "upgrade"
        assert fields["Sec-WebSocket-Version"] == "13"
        assert len(base64.b64decode(fields["Sec-WebSocket-Key"])) == 16
        for name in ("Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "Content-Length", "Transfer-Encoding"):
            assert name not in fields


async def test_each_handshake_has_a_key_of_its_own() -> None:
    async with telling() as (server, requests), endwell.ClientSession() as session:
        for _ in range(20):
            await says(session, server.url / "ws")
        assert len({each.headers["Sec-WebSocket-Key"] for each in requests}) == 20


async def test_credentials() -> None:
    wanted = "Basic " + base64.b64encode(b"user:secret").decode()
    async with telling() as (server, requests), endwell.ClientSession() as session:
        await says(session, (server.url / "ws").with_user("user").with_password("secret"))
        await says(session, server.url / "ws", headers={"Authorization": wanted})
        with pytest.warns(DeprecationWarning, match="auth"):
            await says(session, server.url / "ws", auth=endwell.BasicAuth("user", "secret"))
        assert [each.headers["Authorization"] for each in requests] == [wanted] * 3


async def test_cookies_of_the_answer_are_kept() -> None:
    jar = endwell.CookieJar(unsafe=True)
    async with telling() as (server, requests), endwell.ClientSession(cookie_jar=jar) as session:
        async with session.ws_connect(server.url / "cookie") as ws:
            assert (await ws.receive()).type is endwell.WSMsgType.CLOSE
        await says(session, server.url / "ws")
        assert requests[0].cookies == {"given": "in-101"}


@TLS
async def test_redirects_are_followed(tls: bool) -> None:
    async with telling(tls=tls) as (server, requests), endwell.ClientSession(connector=trusting()) as session:
        await says(session, server.url / "moved")
        assert requests[0].path_qs == "/ws?moved=1"


async def test_a_middleware_of_the_client() -> None:
    seen: list[str] = []

    async def middleware(request: Any, handler: Any) -> Any:
        seen.append(str(request.url))
        request.headers["X-Middle"] = "yes"
        return await handler(request)

    async with telling() as (server, requests), endwell.ClientSession(middlewares=[middleware]) as session:
        await says(session, server.url / "ws")
        assert len(seen) == 1
        assert requests[0].headers["X-Middle"] == "yes"


async def test_tracing() -> None:
    seen: list[str] = []
    trace = endwell.TraceConfig()
    for name in ("on_request_start", "on_request_end", "on_request_exception", "on_connection_create_end"):

        async def note(session: Any, context: Any, params: Any, name: str = name) -> None:
            seen.append(name)

        getattr(trace, name).append(note)
    async with telling() as (server, _), endwell.ClientSession(trace_configs=[trace]) as session:
        await says(session, server.url / "ws")
        assert seen == ["on_request_start", "on_connection_create_end", "on_request_end"]


async def test_a_class_of_ones_own() -> None:
    class Mine(endwell.ClientWebSocketResponse):
        async def receive_twice(self) -> str:
            return 2 * await self.receive_str()

    async with telling() as (server, _), endwell.ClientSession(ws_response_class=Mine) as session:
        async with session.ws_connect(server.url / "ws") as ws:
            assert type(ws) is Mine
            await ws.send_str("x")
            assert await ws.receive_twice() == "xx"


async def test_raise_for_status_does_not_hide_the_handshake_error() -> None:
    async with telling() as (server, _), endwell.ClientSession(raise_for_status=True) as session:
        await says(session, server.url / "ws")
        with pytest.raises(WSServerHandshakeError):
            await session.ws_connect(server.url / "nothing")


# TLS and proxies


async def test_tls_options() -> None:
    async with telling(tls=True) as (server, _):
        url = server.url / "ws"
        async with endwell.ClientSession() as session:
            with pytest.raises(endwell.ClientConnectorCertificateError):
                await session.ws_connect(url)
            await says(session, url, ssl=client_context())
            await says(session, url, ssl=endwell.Fingerprint(fingerprint()))
            with pytest.raises(endwell.ServerFingerprintMismatch):
                await session.ws_connect(url, ssl=endwell.Fingerprint(bytes(32)))
            await says(session, url.with_host("127.0.0.1"), ssl=client_context(), server_hostname="localhost")


@TLS
async def test_through_a_proxy(tls: bool) -> None:
    """An `http` proxy tunnels `wss` by CONNECT, and `ws` as well (RFC 6455 section 4.1)."""
    async with telling(tls=True) as (server, requests):
        async with EchoServer(proxy=True, proxy_auth="me:secret", tls=server_context() if tls else None) as proxy:
            async with endwell.ClientSession(connector=trusting()) as session:
                given = {"Proxy-Authorization": "Basic " + base64.b64encode(b"me:secret").decode()}
                url = (server.url / "ws").with_scheme("wss")
                await says(session, url, proxy=proxy.url("/", "localhost"), proxy_headers=given)
                assert proxy.tunnels == [f"localhost:{server.port}"]
                assert "Proxy-Authorization" not in requests[0].headers
                with pytest.raises(endwell.ClientHttpProxyError) as caught:
                    await session.ws_connect(url, proxy=proxy.url("/", "localhost"))
                assert caught.value.status == 407


@pytest.mark.parametrize("scheme", ["ws", "http"])
async def test_in_plain_through_a_proxy(scheme: str) -> None:
    async with telling() as (server, _), EchoServer(proxy=True) as proxy, endwell.ClientSession() as session:
        url = (server.url / "ws").with_scheme(scheme)
        await says(session, url, proxy=proxy.url("/", "localhost"))
        assert proxy.tunnels == [f"{url.host}:{server.port}"]


# Refusals


@pytest.mark.parametrize("status", [200, 204, 304, 400, 401, 403, 404, 426, 500, 503])
async def test_answers_that_are_no_101(status: int) -> None:
    async def answer(request: Any) -> Reply:
        return Reply(b"" if status in (204, 304) else "no", status, {"X-Why": "because"})

    async with EchoServer({"/no": answer}) as server, endwell.ClientSession() as session:
        with pytest.raises(WSServerHandshakeError) as caught:
            await session.ws_connect(server.url("/no?token=secret"))
        error = caught.value
        assert isinstance(error, endwell.ClientResponseError)
        assert error.status == status
        assert error.headers is not None
        assert error.headers["X-Why"] == "because"
        assert error.history == ()
        assert str(error.request_info.url).endswith("/no?token=secret")
        assert error.message
        async with session.get(server.url()) as response:
            assert await response.text() == "hello"


async def test_a_history_of_redirects_in_the_error() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        with pytest.raises(WSServerHandshakeError) as caught:
            await session.ws_connect(server.url("/redirect/302?to=/status/404"))
        assert caught.value.status == 404
        assert len(caught.value.history) == 1


def without(name: str) -> Any:
    return lambda key: b"\r\n".join(
        line for line in switching(key).split(b"\r\n") if not line.lower().startswith(name.encode())
    )


def replaced(old: bytes, new: bytes) -> Any:
    return lambda key: switching(key).replace(old, new)


FAULTS = {
    "no Upgrade": without("upgrade"),
    "no Connection": without("connection"),
    "no Accept": without("sec-websocket-accept"),
    "another Upgrade": replaced(b"websocket", b"h2c"),
    "another Connection": replaced(b"Connection: Upgrade", b"Connection: keep-alive"),
    "another Accept": lambda key: switching("x" * 24),
    "an Accept that is no base64": replaced(b"Accept: ", b"Accept: ?"),
    "Accept twice": lambda key: switching(key, f"Sec-WebSocket-Accept: {ACCEPT}"),
    "an extension that was not offered": lambda key: switching(key, "Sec-WebSocket-Extensions: permessage-deflate"),
    "another extension": lambda key: switching(key, "Sec-WebSocket-Extensions: x-mine"),
    "a subprotocol that was not offered": lambda key: switching(key, "Sec-WebSocket-Protocol: mine"),
}


@TLS
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_faulty_101(fault: str, tls: bool) -> None:
    """Each fails the handshake, and the connection is closed (RFC 6455 section 4.1)."""
    ends: list[str] = []

    async def script(conn: PeerConnection) -> None:
        request = await conn.read_request()
        await conn.send(FAULTS[fault](request.get("Sec-WebSocket-Key")))
        ends.append(await conn.closed_by_client())

    context = server_context() if tls else None
    async with ScriptedPeer(script, tls=context) as peer, endwell.ClientSession(connector=trusting()) as session:
        with pytest.raises(WSServerHandshakeError) as caught:
            await session.ws_connect(peer.url("/", host="localhost" if tls else "127.0.0.1"))
        assert caught.value.status == 101
        assert caught.value.message
        await peer.finished()
    assert len(ends) == 1


async def test_a_good_101_with_odd_spelling() -> None:
    """Names, and the tokens of Upgrade and Connection, in any case; lists of tokens; a field that is none of ours."""

    async def script(conn: PeerConnection) -> None:
        request = await conn.read_request()
        answer = switching(request.get("Sec-WebSocket-Key"), "X-More: yes")
        answer = answer.replace(b"Upgrade: websocket", b"uPGRADE: WebSocket")
        answer = answer.replace(b"Connection: Upgrade", b"connection: keep-alive,UPGRADE")
        await conn.send(*(answer[at : at + 1] for at in range(len(answer))))
        await conn.send(frame(TEXT, b"hello"))
        await conn.closed_by_client()

    async with ScriptedPeer(script) as peer, endwell.ClientSession() as session:
        ws = await session.ws_connect(peer.url(), timeout=endwell.ClientWSTimeout(ws_close=0.01))
        assert await ws.receive_str() == "hello"
        await ws.close()


# Subprotocols


@pytest.mark.parametrize(
    ("ours", "theirs", "chosen"),
    [
        (["a", "b"], ["b", "a"], "a"),
        (["x", "b"], ["b", "a"], "b"),
        (["x"], ["a"], None),
        ([], ["a"], None),
        (["a"], [], None),
        ([], [], None),
    ],
)
async def test_subprotocols(ours: list[str], theirs: list[str], chosen: str | None) -> None:
    """The first of the client's that the server speaks; none is no fault."""
    async with pair(client={"protocols": ours}, server={"protocols": theirs}) as both:
        assert both.client.protocol == chosen
        assert both.server.ws_protocol == chosen
        assert both.request.headers.get("Sec-WebSocket-Protocol", "") == ", ".join(ours) or not ours


@pytest.mark.parametrize("name", ["a b", "", "a,b", "a\r\nX-Injected: 1", "a\0", "a\n", "é", "(a)", 'a"b'])
async def test_subprotocols_that_are_no_tokens_are_refused_before_a_byte_is_sent(name: str) -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        with pytest.raises(ValueError):
            await session.ws_connect(server.url(), protocols=["fine", name])
        assert server.connections == []


@pytest.mark.parametrize("where", ["headers", "origin"])
@pytest.mark.parametrize("bad", ["a\r\nX-Injected: 1", "a\nb", "a\rb", "a\0b"])
async def test_other_fields_are_refused_before_a_byte_is_sent(where: str, bad: str) -> None:
    kwargs: dict[str, Any] = {"headers": {"headers": {"X-Y": bad}}, "origin": {"origin": bad}}
    async with EchoServer() as server, endwell.ClientSession() as session:
        with pytest.raises(ValueError):
            await session.ws_connect(server.url(), **kwargs[where])
        assert server.requests == []


@pytest.mark.parametrize("name", ["a\r\nX-Injected: 1", "a\0", "a,b"])
async def test_the_servers_subprotocols_are_never_sent_when_they_are_no_tokens(name: str) -> None:
    """Whatever the client offers, what is no token can't be chosen."""

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        ws = web.WebSocketResponse(protocols=[name])
        try:
            await ws.prepare(request)
        except ValueError:
            return web.Response(status=418)
        return ws

    async with facing(handler, alive=False) as stage:
        client = await stage.connect()
        await client.send(
            upgrade(f"Sec-WebSocket-Protocol: {name.replace(chr(13) + chr(10), ' ').replace(chr(0), '')}")
        )
        answer = await client.answer()
        assert answer.get("sec-websocket-protocol") is None
        assert answer.get("x-injected") is None
        client.reset()
        stage.said()
