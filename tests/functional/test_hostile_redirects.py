"""Redirects by a peer that wants credentials, other schemes, or to keep us going (RFC 9110 section 15.4)."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from typing import Any

import pytest

import endwell
from tests.support.hostile import fetch, says
from tests.support.peer import PeerConnection, Script, ScriptedPeer, answer_fine
from tests.support.tls import client_context, server_context

SECRETS = {"Authorization": "Bearer s3cret", "Cookie": "sid=s3cret", "Proxy-Authorization": "Basic czNjcmV0"}


def redirect(location: str, status: str = "302 Found", *more: str) -> Script:
    """Return a script that redirects `/` there and answers everything else."""

    async def script(conn: PeerConnection) -> None:
        while True:
            request = await conn.read_request()
            if request.target == "/":
                await conn.answer(b"elsewhere", f"Location: {location}", *more, status=status)
            else:
                await conn.answer()

    return script


def _secret(peer: ScriptedPeer) -> list[str]:
    return [name for request in peer.requests for name in SECRETS if request.get_all(name)]


@pytest.mark.parametrize("kind", ["another port", "another host", "http to https", "https to http"])
async def test_credentials_are_not_sent_to_another_origin(kind: str) -> None:
    to_tls, from_tls = kind == "http to https", kind == "https to http"
    async with ScriptedPeer(answer_fine, tls=server_context() if to_tls else None) as other:
        target = other.url("/there", host="localhost" if kind == "another host" else "127.0.0.1")
        first = ScriptedPeer(redirect(target), tls=server_context() if from_tls else None)
        async with first, endwell.ClientSession(connector=endwell.TCPConnector(ssl=client_context())) as session:
            assert await fetch(session, first.url(), headers=SECRETS) == (200, b"fine")
        assert first.requests[0].get("Authorization") == "Bearer s3cret"
        assert _secret(other) == []
        assert b"s3cret" not in b"".join(bytes(conn.received) for conn in other.connections)


async def test_request_cookies_are_not_sent_to_another_origin() -> None:
    async with ScriptedPeer(answer_fine) as other, ScriptedPeer(redirect(other.url("/x", host="localhost"))) as first:
        async with endwell.ClientSession() as session:
            await fetch(session, first.url(), cookies={"sid": "s3cret"})
        assert "s3cret" in (first.requests[0].get("Cookie") or "")
        assert _secret(other) == []


async def test_credentials_come_back_neither() -> None:
    """Away and back again: what was dropped on the way stays dropped."""
    async with ScriptedPeer(answer_fine) as home, ScriptedPeer(redirect(home.url("/end", host="localhost"))) as away:
        async with endwell.ClientSession() as session:
            await fetch(session, away.url(), headers=SECRETS)
        assert _secret(home) == []


async def test_credentials_stay_within_an_origin() -> None:
    async with ScriptedPeer(redirect("/there")) as peer, endwell.ClientSession() as session:
        await fetch(session, peer.url(), headers={"Authorization": "Bearer s3cret"})
        assert [request.get("Authorization") for request in peer.requests] == ["Bearer s3cret"] * 2


async def test_userinfo_of_the_first_url_is_not_carried_over() -> None:
    async with ScriptedPeer(answer_fine) as other, ScriptedPeer(redirect(other.url("/x", host="localhost"))) as first:
        async with endwell.ClientSession() as session:
            response = await session.get(first.url().replace("//", "//joe:s3cret@"))
            assert "s3cret" not in str(response.url)
            assert await response.read() == b"fine"
        assert first.requests[0].get("Authorization") is not None
        assert _secret(other) == []
        assert "s3cret" not in other.requests[0].raw_head.decode()


async def test_default_credentials_of_a_session_are_for_its_base_url_only() -> None:
    async with ScriptedPeer(answer_fine) as other, ScriptedPeer(redirect(other.url("/x", host="localhost"))) as first:
        async with endwell.ClientSession(first.url(), headers={"Authorization": "Bearer s3cret"}) as session:
            await fetch(session, "")
        assert _secret(first) == ["Authorization"]
        assert _secret(other) == []


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/", "file:///etc/passwd", "javascript:alert(1)", "data:,hello"])
async def test_another_scheme_is_not_followed(location: str) -> None:
    async with ScriptedPeer(redirect(location)) as peer, endwell.ClientSession() as session:
        with pytest.raises(endwell.NonHttpUrlRedirectClientError) as caught:
            await fetch(session, peer.url())
        says(caught.value, location.partition(":")[0])
        assert await fetch(session, peer.url("/fine")) == (200, b"fine")


BAD_LOCATIONS = [
    "http://[::1",
    "http://:80/",
    "http://",
    "http://127.0.0.1:65536/",
    "http://127.0.0.1:x/",
    "http://exa mple/",
]


@pytest.mark.parametrize("location", BAD_LOCATIONS)
async def test_a_location_that_is_no_url_is_an_error(location: str) -> None:
    async with ScriptedPeer(redirect(location)) as peer, endwell.ClientSession() as session:
        with pytest.raises(endwell.InvalidUrlRedirectClientError):
            await fetch(session, peer.url())
        assert await fetch(session, peer.url("/fine")) == (200, b"fine")


async def test_a_redirect_without_location_is_an_answer() -> None:
    async def script(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.answer(b"nowhere", status="302 Found")

    async with ScriptedPeer(script) as peer, endwell.ClientSession() as session:
        assert await fetch(session, peer.url()) == (302, b"nowhere")


@pytest.mark.parametrize("limit", [1, 3, 10])
async def test_a_loop_ends(limit: int) -> None:
    async with ScriptedPeer(redirect("/")) as peer, endwell.ClientSession() as session:
        with pytest.raises(endwell.TooManyRedirects) as caught:
            await fetch(session, peer.url(), max_redirects=limit)
        assert len(peer.requests) in (limit, limit + 1)
        assert len(caught.value.history) in (limit, limit + 1)
        assert await fetch(session, peer.url("/fine")) == (200, b"fine")


async def test_a_redirect_with_an_endless_body_is_followed_all_the_same() -> None:
    async def script(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.send(b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            await conn.send(b"x" * 60_000)

    async with ScriptedPeer(script, answer_fine) as peer, endwell.ClientSession() as session:
        assert await fetch(session, peer.url()) == (200, b"fine")


METHODS = [
    ("301 Moved Permanently", "POST", "GET"),
    ("302 Found", "POST", "GET"),
    ("303 See Other", "POST", "GET"),
    ("303 See Other", "PUT", "GET"),
    ("303 See Other", "HEAD", "HEAD"),
    ("301 Moved Permanently", "HEAD", "HEAD"),
    ("301 Moved Permanently", "PUT", "PUT"),
    ("302 Found", "DELETE", "DELETE"),
    ("307 Temporary Redirect", "POST", "POST"),
    ("308 Permanent Redirect", "POST", "POST"),
    ("307 Temporary Redirect", "PUT", "PUT"),
]


@pytest.mark.parametrize(("status", "method", "then"), METHODS)
async def test_methods_and_bodies(status: str, method: str, then: str) -> None:
    body: dict[str, Any] = {} if method in ("HEAD", "DELETE") else {"data": b"body", "headers": {"Content-Type": "a/b"}}

    async def script(conn: PeerConnection) -> None:
        while True:
            request = await conn.read_request()
            head = f"HTTP/1.1 {status}\r\nLocation: /there\r\n" if request.target == "/" else "HTTP/1.1 200 OK\r\n"
            await conn.send(f"{head}Content-Length: 0\r\n\r\n".encode())

    async with ScriptedPeer(script) as peer, endwell.ClientSession() as session:
        async with session.request(method, peer.url(), allow_redirects=True, **body) as response:
            assert (response.status, response.method, len(response.history)) == (200, then, 1)
        second = peer.requests[1]
        kept = then == method and "data" in body
        assert (second.method, second.body) == (then, b"body" if kept else b"")
        assert second.get("Content-Type") == ("a/b" if kept else None)
        if not kept:
            assert second.get("Transfer-Encoding") is None
            assert second.get("Content-Length") in (None, "0")


@pytest.mark.parametrize("kind", ["bytes", "file", "form", "json"])
@pytest.mark.parametrize("status", ["307 Temporary Redirect", "308 Permanent Redirect"])
async def test_a_body_that_can_be_sent_again_is(status: str, kind: str) -> None:
    body: dict[str, Any] = {
        "bytes": {"data": b"body"},
        "file": {"data": io.BytesIO(b"body")},
        "form": {"data": {"a": "b"}},
        "json": {"json": {"a": "b"}},
    }[kind]
    async with ScriptedPeer(redirect("/there", status)) as peer, endwell.ClientSession() as session:
        assert await fetch(session, peer.url(), "POST", **body) == (200, b"fine")
        assert peer.requests[0].body == peer.requests[1].body != b""


async def test_a_body_that_cannot_be_sent_again_is_an_error() -> None:
    async def once() -> AsyncIterator[bytes]:
        yield b"body"

    async with ScriptedPeer(redirect("/there", "307 Temporary Redirect")) as peer, endwell.ClientSession() as session:
        with pytest.raises(endwell.ClientPayloadError, match=r"(?i)redirect|again|replay|body|consumed|twice"):
            await fetch(session, peer.url(), "POST", data=once())
        assert await fetch(session, peer.url("/fine")) == (200, b"fine")


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("there", "/there"),
        ("?q=1", "/?q=1"),
        ("//{host}/there", "/there"),
        ("/a b", "/a%20b"),
        ("/x#frag", "/x"),
        ("/\u00e9", "/%C3%A9"),
    ],
)
async def test_relative_and_sloppy_locations(location: str, target: str) -> None:
    async def script(conn: PeerConnection) -> None:
        await conn.read_request()
        where = location.format(host=f"127.0.0.1:{peer.port}").encode()
        await conn.send(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + where + b"\r\n\r\n")
        await answer_fine(conn)

    async with ScriptedPeer(script) as peer, endwell.ClientSession() as session:
        assert await fetch(session, peer.url()) == (200, b"fine")
        assert peer.requests[1].target == target
