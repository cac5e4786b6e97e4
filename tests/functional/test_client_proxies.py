"""Proxies: HTTP and HTTPS, tunnels, TLS in TLS, credentials, the environment, SOCKS."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

import endwell
from tests.support.echo import EchoServer
from tests.support.peer import PeerConnection, ScriptedPeer, refused_port
from tests.support.tls import client_context, server_context

PROXY_VARIABLES = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


async def text(session: Any, url: str, **kwargs: Any) -> str:
    async with session.get(url, **kwargs) as response:
        return str(await response.text())


# -- plain HTTP


@pytest.mark.parametrize("kind", [str, URL])
async def test_the_target_is_the_whole_url(kind: Any) -> None:
    async with EchoServer(proxy=True) as proxy, endwell.ClientSession() as session:
        async with session.get("http://origin.example:81/echo?a=1#f", proxy=kind(proxy.url(""))) as response:
            facts = await response.json()
            assert response.url == URL("http://origin.example:81/echo?a=1")
    assert facts["target"] == "http://origin.example:81/echo?a=1"
    assert dict(facts["headers"])["Host"] == "origin.example:81"
    assert "Proxy-Authorization" not in dict(facts["headers"])


async def test_a_proxy_of_the_session() -> None:
    async with EchoServer(proxy=True) as proxy, endwell.ClientSession(proxy=proxy.url("")) as session:
        for host in ("a.example", "b.example"):
            async with session.get(f"http://{host}/echo") as response:
                assert (await response.json())["target"] == f"http://{host}/echo"
        assert len(proxy.connections) == 1  # a proxy's connection serves every origin


async def test_a_proxy_of_the_call_wins() -> None:
    async with EchoServer(proxy=True) as one, EchoServer(proxy=True) as other:
        async with endwell.ClientSession(proxy=one.url("")) as session:
            await text(session, "http://a.example/", proxy=other.url(""))
        assert (len(one.requests), len(other.requests)) == (0, 1)


@pytest.mark.parametrize("by", ["url", "auth", "headers"])
async def test_credentials(by: str) -> None:
    async with EchoServer(proxy=True, proxy_auth="user:pä ss") as proxy, endwell.ClientSession() as session:
        kwargs: Any = {"proxy": proxy.url("")}
        if by == "url":
            kwargs["proxy"] = proxy.url("").replace("//", "//user:p%C3%A4%20ss@")
        elif by == "headers":
            kwargs["proxy_headers"] = {"Proxy-Authorization": endwell.encode_basic_auth("user", "pä ss", "utf-8")}
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                kwargs["proxy_auth"] = endwell.BasicAuth("user", "pä ss", "utf-8")
        async with session.get("http://a.example/echo", **kwargs) as response:
            assert response.status == 200
        async with session.get("http://a.example/echo", proxy=proxy.url("")) as response:
            assert response.status == 407


async def test_proxy_auth_of_the_session_goes_to_its_proxy() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        auth = endwell.BasicAuth("user", "pass")
    async with EchoServer(proxy=True, proxy_auth="user:pass") as proxy:
        async with endwell.ClientSession(proxy=proxy.url(""), proxy_auth=auth) as session:
            assert await text(session, "http://a.example/") == "hello"
        async with endwell.ClientSession(proxy_auth=auth) as session:
            assert await text(session, "http://a.example/", proxy=proxy.url("")) == "hello"


async def test_proxy_headers_of_plain_http() -> None:
    async with EchoServer(proxy=True) as proxy, endwell.ClientSession() as session:
        kwargs: Any = {"proxy": proxy.url(""), "proxy_headers": {"X-For-Proxy": "1"}}
        async with session.get("http://a.example/echo", **kwargs) as response:
            assert dict((await response.json())["headers"])["X-For-Proxy"] == "1"


async def test_a_proxy_that_refuses_the_connection() -> None:
    async with endwell.ClientSession() as session:
        for url in ("http://a.example/", "https://a.example/"):
            with pytest.raises(endwell.ClientProxyConnectionError) as caught:
                await session.get(url, proxy=f"http://127.0.0.1:{refused_port()}")
            assert isinstance(caught.value, endwell.ClientConnectorError)


@pytest.mark.parametrize("proxy", ["ftp://127.0.0.1/", "127.0.0.1:80", "http://", "nonsense"])
async def test_what_is_no_proxy(proxy: str) -> None:
    async with endwell.ClientSession() as session:
        with pytest.raises(ValueError):
            await session.get("http://a.example/", proxy=proxy)


# -- tunnels


async def test_a_tunnel() -> None:
    async with (
        EchoServer(tls=server_context()) as server,
        EchoServer(proxy=True) as proxy,
        endwell.ClientSession(proxy=proxy.url(""), connector=endwell.TCPConnector(ssl=client_context())) as session,
    ):
        for _ in range(2):
            async with session.get(server.url("/echo", "localhost"), proxy_headers={"X-For-Proxy": "1"}) as response:
                facts = await response.json()
        assert facts["target"] == "/echo"
        assert "X-For-Proxy" not in dict(facts["headers"])
        assert proxy.tunnels == [f"localhost:{server.port}"]
        connect = proxy.requests[0]
        assert (connect.method, connect.get("Host"), connect.get("X-For-Proxy")) == (
            "CONNECT",
            f"localhost:{server.port}",
            "1",
        )


async def test_the_credentials_of_a_tunnel_stay_with_the_proxy() -> None:
    async with (
        EchoServer(tls=server_context()) as server,
        EchoServer(proxy=True, proxy_auth="user:pass") as proxy,
        endwell.ClientSession(connector=endwell.TCPConnector(ssl=client_context())) as session,
    ):
        url = server.url("/echo", "localhost")
        async with session.get(url, proxy=proxy.url("").replace("//", "//user:pass@")) as response:
            assert "Proxy-Authorization" not in dict((await response.json())["headers"])
        with pytest.raises(endwell.ClientHttpProxyError) as caught:
            await session.get(url, proxy=proxy.url(""))
        assert (caught.value.status, caught.value.message) == (407, "Proxy Authentication Required")
        assert caught.value.headers is not None
        assert "Proxy-Authenticate" in caught.value.headers


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("where", ["connector", "call"])
async def test_a_proxy_that_speaks_tls(secure: bool, where: str) -> None:
    """For https origins that is TLS in TLS."""
    context = client_context()
    connector = endwell.TCPConnector(ssl=context) if where == "connector" else None
    kwargs: Any = {} if where == "connector" else {"ssl": context}
    async with (
        EchoServer(tls=server_context() if secure else None) as server,
        EchoServer(proxy=True, tls=server_context()) as proxy,
        endwell.ClientSession(connector=connector) as session,
    ):
        for _ in range(2):
            async with session.post(
                server.url("/echo", "localhost"), data=b"x" * 300_000, proxy=proxy.url("", "localhost"), **kwargs
            ) as response:
                assert len((await response.json())["body"]) == 300_000
        assert len(proxy.tunnels) == int(secure)
        assert len(proxy.connections) == 1


async def test_the_certificate_behind_a_tunnel_is_checked() -> None:
    async with (
        EchoServer(tls=server_context("wrong-name")) as server,
        EchoServer(proxy=True) as proxy,
        endwell.ClientSession(proxy=proxy.url("")) as session,
    ):
        with pytest.raises(endwell.ClientConnectorCertificateError):
            await session.get(server.url("/", "localhost"), ssl=client_context())
        assert await text(session, server.url("/", "localhost"), ssl=False) == "hello"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nno!!",
        b"HTTP/1.1 302 Found\r\nLocation: http://a.example/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 502 Bad Gateway\r\n\r\n",
    ],
)
async def test_a_tunnel_that_is_refused(answer: bytes) -> None:
    async def script(conn: PeerConnection) -> None:
        await conn.read_head()
        await conn.send(answer)

    async with ScriptedPeer(script) as proxy, endwell.ClientSession() as session:
        with pytest.raises(endwell.ClientHttpProxyError) as caught:
            await session.get("https://a.example/", proxy=proxy.url(""))
        assert caught.value.status == int(answer[9:12])


async def test_a_request_on_a_new_tunnel_is_tried_once() -> None:
    """The CONNECT before it does not make the connection one that was kept."""

    async def script(conn: PeerConnection) -> None:
        await conn.read_head()
        await conn.send(b"HTTP/1.1 200 OK\r\n\r\n")
        await conn.start_tls(server_context())
        await conn.read_request()

    async with ScriptedPeer(script) as proxy, endwell.ClientSession() as session:
        with pytest.raises(endwell.ServerDisconnectedError):
            await session.get("https://localhost/", proxy=proxy.url(""), ssl=client_context())
        assert len(proxy.connections) == 1


async def test_a_tunnel_that_is_silent() -> None:
    async def script(conn: PeerConnection) -> None:
        await conn.read_head()
        await conn.closed_by_client()

    timeout = endwell.ClientTimeout(sock_connect=0.05)
    async with ScriptedPeer(script) as proxy, endwell.ClientSession() as session:
        with pytest.raises(endwell.ServerTimeoutError):
            await session.get("https://a.example/", proxy=proxy.url(""), timeout=timeout)


# -- the environment


async def test_trust_env(monkeypatch: pytest.MonkeyPatch) -> None:
    async with EchoServer() as server, EchoServer(proxy=True, proxy_auth="user:pass") as proxy:
        monkeypatch.setenv("http_proxy", proxy.url("").replace("//", "//user:pass@"))
        async with endwell.ClientSession(trust_env=True) as session:
            async with session.get("http://a.example/echo") as response:
                assert (await response.json())["target"] == "http://a.example/echo"
            monkeypatch.setenv("no_proxy", "b.example,127.0.0.1")
            assert await text(session, server.url("/")) == "hello"
            assert len(server.requests) == 1
        async with endwell.ClientSession() as session:
            monkeypatch.delenv("no_proxy")
            assert await text(session, server.url("/")) == "hello"
            assert len(server.requests) == 2


async def test_trust_env_for_https(monkeypatch: pytest.MonkeyPatch) -> None:
    async with EchoServer(tls=server_context()) as server, EchoServer(proxy=True) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url(""))
        async with endwell.ClientSession(trust_env=True) as session:
            assert await text(session, server.url("/", "localhost"), ssl=client_context()) == "hello"
        assert proxy.tunnels == [f"localhost:{server.port}"]


async def test_the_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with EchoServer(proxy=True) as one, EchoServer(proxy=True) as other:
        monkeypatch.setenv("http_proxy", one.url(""))
        async with endwell.ClientSession(trust_env=True) as session:
            await text(session, "http://a.example/", proxy=other.url(""))
        assert (len(one.requests), len(other.requests)) == (0, 1)


async def test_netrc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "netrc"
    path.write_text("machine 127.0.0.1 login user password secret\n")
    path.chmod(0o600)
    monkeypatch.setenv("NETRC", str(path))
    async with EchoServer() as server:
        async with endwell.ClientSession(trust_env=True) as session:
            assert await text(session, server.url("/basic/user/secret")) == "welcome"
            header = {"Authorization": endwell.encode_basic_auth("other", "secret")}
            assert await text(session, server.url("/basic/other/secret"), headers=header) == "welcome"
            async with session.get(server.url("/basic/user/secret", "localhost")) as response:
                assert response.status == 401
        async with endwell.ClientSession() as session:
            async with session.get(server.url("/basic/user/secret")) as response:
                assert response.status == 401


# -- SOCKS


@contextlib.asynccontextmanager
async def socks_server(
    *, auth: tuple[bytes, bytes] | None = None, reply: int = 0
) -> AsyncIterator[tuple[str, list[Any]]]:
    """A SOCKS5 and SOCKS4a server (RFC 1928, RFC 1929); gives its address and the targets it was asked for."""
    asked: list[Any] = []
    tasks: set[Any] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        try:
            version = (await reader.readexactly(1))[0]
            if version == 5:
                host, port = await greet5(reader, writer)
            else:
                _, port, address = struct.unpack("!BH4s", await reader.readexactly(7))
                await reader.readuntil(b"\0")
                host = ".".join(map(str, address))
                if host.startswith("0.0.0."):
                    host = (await reader.readuntil(b"\0"))[:-1].decode()
            asked.append((version, host, port))
            if version == 5:
                writer.write(bytes([5, reply, 0, 1, 0, 0, 0, 0, 0, 0]))
            else:
                writer.write(bytes([0, 91 if reply else 90]) + bytes(6))
            if reply:
                writer.close()
                return
            there, back = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(pump(reader, back), pump(there, writer))
        except asyncio.IncompleteReadError:
            writer.close()

    async def greet5(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int]:
        methods = await reader.readexactly((await reader.readexactly(1))[0])
        method = 2 if auth else 0
        writer.write(bytes([5, method if method in methods else 0xFF]))
        if auth:
            await reader.readexactly(1)
            login = await reader.readexactly((await reader.readexactly(1))[0])
            password = await reader.readexactly((await reader.readexactly(1))[0])
            writer.write(bytes([1, int((login, password) != auth)]))
        _, _, _, kind = await reader.readexactly(4)
        if kind == 1:
            host = ".".join(map(str, await reader.readexactly(4)))
        else:
            assert kind == 3
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        return host, struct.unpack("!H", await reader.readexactly(2))[0]

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        server.close()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(
    ("scheme", "host", "asks"),
    [
        ("socks5", "127.0.0.1", (5, "127.0.0.1")),
        ("socks5h", "name.example", (5, "name.example")),
        ("socks4", "127.0.0.1", (4, "127.0.0.1")),
        ("socks4a", "name.example", (4, "name.example")),
    ],
)
async def test_socks(scheme: str, host: str, asks: tuple[int, str]) -> None:
    async with EchoServer() as server, socks_server() as (address, asked):
        async with endwell.ClientSession(proxy=f"{scheme}://{address}") as session:
            for _ in range(2):
                async with session.get(server.url("/echo", host)) as response:
                    facts = await response.json()
            assert facts["target"] == "/echo"
            assert dict(facts["headers"])["Host"] == f"{host}:{server.port}"
        assert asked == [(*asks, server.port)]


async def test_socks_with_tls_and_credentials() -> None:
    async with EchoServer(tls=server_context()) as server, socks_server(auth=(b"user", b"pa ss")) as (address, asked):
        async with endwell.ClientSession(connector=endwell.TCPConnector(ssl=client_context())) as session:
            url = server.url("/", "localhost")
            assert await text(session, url, proxy=f"socks5h://user:pa%20ss@{address}") == "hello"
            with pytest.raises(endwell.ClientProxyConnectionError):
                await session.get(url, proxy=f"socks5h://user:wrong@{address}")
        assert asked == [(5, "localhost", server.port)]


@pytest.mark.parametrize("scheme", ["socks4a", "socks5h"])
async def test_socks_that_refuses(scheme: str) -> None:
    async with socks_server(reply=1) as (address, _), endwell.ClientSession() as session:
        with pytest.raises(endwell.ClientProxyConnectionError):
            await session.get("http://name.example/", proxy=f"{scheme}://{address}")


async def test_socks_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with EchoServer() as server, socks_server() as (address, asked):
        monkeypatch.setenv("all_proxy", f"socks5://{address}")
        async with endwell.ClientSession(trust_env=True) as session:
            assert await text(session, server.url("/")) == "hello"
        assert len(asked) == 1
