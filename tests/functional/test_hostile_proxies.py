"""Proxies that refuse, lie, fall silent or hang up; and secrets that belong to them alone (RFC 9110 section 9.3.6)."""

from __future__ import annotations

from typing import Any

import pytest

import endwell
from tests.support.echo import EchoServer
from tests.support.hostile import Errors, fetch, says
from tests.support.peer import PeerConnection, Script, ScriptedPeer, answer_fine, refused_port, silence
from tests.support.tls import client_context, server_context

ORIGIN = "https://localhost:4433/"
SHORT = endwell.ClientTimeout(total=0.2)


def answers(head: bytes, then: Script | None = None) -> Script:
    async def script(conn: PeerConnection) -> None:
        assert (await conn.read_head()).method == "CONNECT"
        await conn.send(head)
        if then is not None:
            await then(conn)

    return script


CONNECTS: dict[str, tuple[Script, Errors, str]] = {
    "refuses": (
        answers(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", silence),
        endwell.ClientHttpProxyError,
        "403|Forbidden",
    ),
    "wants credentials": (
        answers(b"HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n", silence),
        endwell.ClientHttpProxyError,
        "407|Who",
    ),
    "fails": (answers(b"HTTP/1.1 502 Bad Gateway\r\n\r\n"), endwell.ClientHttpProxyError, "502|Bad Gateway"),
    "redirects": (
        answers(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n"),
        endwell.ClientHttpProxyError,
        "302|Found",
    ),
    "talks garbage": (answers(b"garbage\r\n\r\n", silence), endwell.ClientError, r"\w"),
    "talks without end": (answers(b"HTTP/1.1 200 OK\r\nA: " + b"x" * 1_000_000, silence), endwell.ClientError, r"\w"),
    "hangs up": (answers(b""), endwell.ClientError, r"\w"),
    "hangs up in the head": (answers(b"HTTP/1.1 200 O"), endwell.ClientError, r"\w"),
    "hangs up in the tunnel": (answers(b"HTTP/1.1 200 OK\r\n\r\n"), endwell.ClientOSError, r"\w"),
    "lies in the tunnel": (
        answers(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", silence),
        endwell.ClientOSError,
        r"\w",
    ),
    "is silent": (answers(b"", silence), TimeoutError, ""),
    "is silent in the head": (answers(b"HTTP/1.1 200 O", silence), TimeoutError, ""),
    "is silent in the tunnel": (answers(b"HTTP/1.1 200 OK\r\n\r\n", silence), TimeoutError, ""),
    "switches": (answers(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", silence), endwell.ClientError, r"\w"),
}


@pytest.mark.parametrize(("script", "error", "pattern"), CONNECTS.values(), ids=CONNECTS)
async def test_a_proxy_that_gives_no_tunnel(script: Script, error: Errors, pattern: str) -> None:
    timeout = SHORT if error is TimeoutError else endwell.ClientTimeout(total=30)
    async with (
        ScriptedPeer(script) as proxy,
        ScriptedPeer(answer_fine) as origin,
        endwell.ClientSession(connector=endwell.TCPConnector(limit=1)) as session,
    ):
        with pytest.raises(error) as caught:
            await fetch(session, ORIGIN, proxy=proxy.url(), timeout=timeout, headers={"Authorization": "Bearer s3cret"})
        says(caught.value, pattern)
        assert b"s3cret" not in b"".join(bytes(conn.received) for conn in proxy.connections)
        assert await fetch(session, origin.url()) == (200, b"fine")


async def test_a_proxy_that_is_not_there() -> None:
    async with endwell.ClientSession() as session:
        for url in (ORIGIN, "http://localhost:8000/"):
            with pytest.raises(endwell.ClientProxyConnectionError):
                await session.get(url, proxy=f"http://127.0.0.1:{refused_port()}")


@pytest.mark.parametrize("fields", [b"", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"])
async def test_what_follows_the_answer_to_connect_is_the_tunnel(fields: bytes) -> None:
    async def script(conn: PeerConnection) -> None:
        head = await conn.read_head()
        assert (head.method, head.target, head.get("Host")) == ("CONNECT", "localhost:4433", "localhost:4433")
        await conn.send(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n")
        await conn.start_tls(server_context())
        request = await conn.read_request()
        assert request.get("Proxy-Authorization") is None
        assert request.target == "/"
        await conn.answer(b"through")
        await silence(conn)

    async with ScriptedPeer(script) as proxy, endwell.ClientSession() as session:
        address = proxy.url().replace("//", "//joe:s3cret@")
        assert await fetch(session, ORIGIN, proxy=address, ssl=client_context()) == (200, b"through")
        assert proxy.requests[0].get("Proxy-Authorization") == "Basic am9lOnMzY3JldA=="


@pytest.mark.parametrize("outer", [False, True], ids=["http-proxy", "https-proxy"])
async def test_tunnels_carry_tls_also_within_tls(outer: bool) -> None:
    context = server_context() if outer else None
    async with EchoServer(tls=context, proxy=True) as proxy, EchoServer(tls=server_context()) as origin:
        connector = endwell.TCPConnector(ssl=client_context())
        async with endwell.ClientSession(connector=connector) as session:
            for _ in range(2):
                assert await fetch(session, origin.url("/", "localhost"), proxy=proxy.url("", "localhost")) == (
                    200,
                    b"hello",
                )
        assert len(origin.connections) == 1


async def test_a_certificate_is_checked_within_the_tunnel() -> None:
    async with EchoServer(proxy=True) as proxy, EchoServer(tls=server_context("wrong-name")) as origin:
        async with endwell.ClientSession() as session:
            with pytest.raises(endwell.ClientConnectorCertificateError):
                await fetch(session, origin.url("/", "localhost"), proxy=proxy.url(""), ssl=client_context())
        assert origin.requests == []


async def test_proxy_credentials_do_not_follow_a_redirect_away_from_the_proxy(monkeypatch: Any) -> None:
    async with EchoServer() as origin, EchoServer(proxy=True, proxy_auth="joe:s3cret") as proxy:
        monkeypatch.setenv("http_proxy", proxy.url("").replace("//", "//joe:s3cret@"))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        async with endwell.ClientSession(trust_env=True) as session:
            target = f"http://far.example/redirect/302?to={origin.url('/echo')}"
            async with session.get(target) as response:
                facts = await response.json()
    assert not [name for name, _ in facts["headers"] if name.lower() == "proxy-authorization"]
    assert "s3cret" not in str(facts)
