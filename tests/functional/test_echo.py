"""The well-behaved server, through a session: what functional tests rely on works, on both loops, with TLS too."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from typing import Any

import pytest

import endwell
from tests.support.echo import EchoServer, Reply, run_in_thread
from tests.support.tls import client_context, server_context


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_echo_over_one_kept_connection(tls: bool) -> None:
    options: dict[str, Any] = {"ssl": client_context()} if tls else {}
    async with EchoServer(tls=server_context() if tls else None) as server, endwell.ClientSession() as session:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            async with session.request(method, server.url("/echo?a=b", "localhost"), data=b"body", **options) as answer:
                facts = await answer.json()
            assert (facts["method"], facts["query"], facts["body"]) == (method, {"a": "b"}, "body")
        async with session.head(server.url("/bytes/100", "localhost"), **options) as answer:
            assert (answer.content_length, await answer.read()) == (100, b"")
        assert len(server.connections) == 1


@pytest.mark.parametrize(
    ("target", "status", "text"),
    [
        ("/", 200, "hello"),
        ("/status/404", 404, "status 404"),
        ("/nowhere", 404, "nothing here"),
        ("/chunked/3", 200, "chunk 0\nchunk 1\nchunk 2\n"),
        ("/gzip", 200, "compressed " * 100),
        ("/deflate", 200, "compressed " * 100),
        ("/redirect/302?to=/redirect/307%3Fto%3D/", 200, "hello"),
        ("/basic/ada/secret", 401, "who are you?"),
        ("/close", 200, "bye"),
        ("/sse", 200, "".join(f"id: {n}\nevent: tick\ndata: number {n}\ndata: more\n\n" for n in (1, 2, 3))),
    ],
)
async def test_what_each_path_gives(target: str, status: int, text: str) -> None:
    async with (
        EchoServer() as server,
        endwell.ClientSession() as session,
        session.get(server.url(target)) as response,
    ):
        assert (response.status, await response.text()) == (status, text)


async def test_cookies_go_round() -> None:
    jar = endwell.CookieJar(unsafe=True)
    async with EchoServer() as server, endwell.ClientSession(cookie_jar=jar) as session:
        await (await session.get(server.url("/set-cookie?a=1&b=2"))).read()
        async with session.get(server.url("/cookies")) as response:
            assert sorted((await response.text()).split("; ")) == ["a=1", "b=2"]


async def test_credentials() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        headers = {"Authorization": endwell.encode_basic_auth("ada", "secret")}
        async with session.get(server.url("/basic/ada/secret"), headers=headers) as response:
            assert response.status == 200
        for target in ("/digest/ada/secret", "/digest/ada/secret?a=SHA-256"):
            digest = endwell.DigestAuthMiddleware("ada", "secret")
            async with session.get(server.url(target), middlewares=[digest]) as response:
                assert await response.text() == "welcome"


async def test_a_slow_answer_is_in_flight_until_it_is_released() -> None:
    async with EchoServer({"/now": lambda _: Reply("now")}) as server, endwell.ClientSession() as session:

        async def release() -> None:
            await server.wait_in_flight(1)
            server.release.set()

        _, response = await asyncio.gather(release(), session.get(server.url("/slow")))
        assert await response.text() == "released"
        assert server.in_flight == []


@pytest.mark.parametrize("target", ["/echo", "/reject-100"])
async def test_expect_100(target: str) -> None:
    async with (
        EchoServer() as server,
        endwell.ClientSession() as session,
        session.post(server.url(target), data=b"big", expect100=True) as response,
    ):
        assert response.status == (417 if target == "/reject-100" else 200)
        await response.read()


@pytest.mark.parametrize("tls", [False, True], ids=["absolute-form", "connect"])
async def test_proxy(tls: bool) -> None:
    options: dict[str, Any] = {"ssl": client_context()} if tls else {}
    context = server_context() if tls else None
    async with (
        EchoServer(proxy=True, proxy_auth="joe:pw") as proxy,
        EchoServer(tls=context) as server,
        endwell.ClientSession() as session,
    ):
        address = proxy.url("").replace("//", "//joe:pw@")
        async with session.get(server.url("/echo"), proxy=address, **options) as response:
            facts = json.loads(await response.text())
        assert facts["target"] == ("/echo" if tls else server.url("/echo"))
        assert proxy.tunnels == ([f"127.0.0.1:{server.port}"] if tls else [])
        if tls:
            assert not any(name.lower() == "proxy-authorization" for name, _ in facts["headers"])


def test_in_a_thread() -> None:
    with run_in_thread() as server, urllib.request.urlopen(server.url("/")) as response:
        assert response.read() == b"hello"
