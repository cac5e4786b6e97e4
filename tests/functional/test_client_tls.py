"""TLS as the user sees it: what is verified, how that is turned off or narrowed, and sessions that are resumed."""

from __future__ import annotations

import ssl
import warnings
from pathlib import Path
from typing import Any

import pytest

import endwell
from endwell import web
from tests.support.echo import EchoServer
from tests.support.peer import PeerConnection, ScriptedPeer
from tests.support.tls import careless_context, client_context, fingerprint, server_context


async def text(session: Any, url: str, **kwargs: Any) -> str:
    async with session.get(url, **kwargs) as response:
        return str(await response.text())


async def test_the_system_does_not_trust_strangers() -> None:
    async with EchoServer(tls=server_context()) as server, endwell.ClientSession() as session:
        with pytest.raises(endwell.ClientConnectorCertificateError) as caught:
            await session.get(server.url("/", "localhost"))
    error = caught.value
    assert isinstance(error, (ssl.SSLCertVerificationError, endwell.ClientSSLError))
    assert isinstance(error.certificate_error, ssl.SSLCertVerificationError)
    assert (error.host, error.port) == ("localhost", server.port)


@pytest.mark.parametrize("where", ["connector", "call"])
@pytest.mark.parametrize("kind", ["context", "false", "fingerprint"])
async def test_ssl(where: str, kind: str) -> None:
    value: Any = {
        "context": client_context(),
        "false": False,
        "fingerprint": endwell.Fingerprint(fingerprint()),
    }[kind]
    connector = endwell.TCPConnector(ssl=value) if where == "connector" else None
    kwargs = {} if where == "connector" else {"ssl": value}
    async with EchoServer(tls=server_context()) as server, endwell.ClientSession(connector=connector) as session:
        for _ in range(2):
            assert await text(session, server.url("/", "localhost"), **kwargs) == "hello"
        assert len(server.connections) == 1


@pytest.mark.parametrize("kind", ["wrong-name", "expired", "untrusted"])
async def test_bad_certificates(kind: str) -> None:
    async with EchoServer(tls=server_context(kind)) as server, endwell.ClientSession() as session:
        with pytest.raises(endwell.ClientConnectorCertificateError):
            await session.get(server.url("/", "localhost"), ssl=client_context())
        assert await text(session, server.url("/", "localhost"), ssl=False) == "hello"
        assert await text(session, server.url("/", "localhost"), ssl=careless_context()) == "hello"


async def test_another_fingerprint() -> None:
    async with EchoServer(tls=server_context("expired")) as server, endwell.ClientSession() as session:
        with pytest.raises(endwell.ServerFingerprintMismatch) as caught:
            await session.get(server.url("/", "localhost"), ssl=endwell.Fingerprint(fingerprint("good")))
        assert (caught.value.expected, caught.value.got) == (fingerprint("good"), fingerprint("expired"))
        assert (caught.value.host, caught.value.port) == ("localhost", server.port)


@pytest.mark.parametrize("digest", [b"", b"short", b"x" * 16, b"x" * 20])
def test_a_fingerprint_is_sha256(digest: bytes) -> None:
    with pytest.raises(ValueError):
        endwell.Fingerprint(digest)


@pytest.mark.parametrize("value", ["yes", 5, object()])
async def test_what_ssl_may_not_be(value: Any) -> None:
    with pytest.raises(TypeError, match="ssl"):
        endwell.TCPConnector(ssl=value)
    async with endwell.ClientSession() as session:
        with pytest.raises(TypeError, match="ssl"):
            await session.get("https://localhost/", ssl=value)


async def test_server_hostname() -> None:
    async with EchoServer(tls=server_context("wrong-name")) as server, endwell.ClientSession() as session:
        url = server.url("/", "localhost")
        assert await text(session, url, ssl=client_context(), server_hostname="other.example") == "hello"
        with pytest.raises(endwell.ClientConnectorCertificateError):
            await session.get(url, ssl=client_context())


async def test_connections_with_different_tls_are_not_mixed() -> None:
    """What was opened without verification never serves a request that wants it."""
    context = client_context()
    async with EchoServer(tls=server_context("untrusted")) as server, endwell.ClientSession() as session:
        url = server.url("/", "localhost")
        assert await text(session, url, ssl=False) == "hello"
        for value in (True, context):
            with pytest.raises(endwell.ClientConnectorCertificateError):
                await session.get(url, ssl=value)
        assert await text(session, url, ssl=False) == "hello"
    async with EchoServer(tls=server_context()) as server, endwell.ClientSession() as session:
        url = server.url("/", "localhost")
        await text(session, url, ssl=context)
        await text(session, url, ssl=client_context())
        assert len(server.connections) == 2


async def test_the_name_is_sent() -> None:
    names: list[Any] = []
    context = server_context()
    context.sni_callback = lambda _object, name, _context: names.append(name)  # type: ignore[assignment]
    async with EchoServer(tls=context) as server, endwell.ClientSession() as session:
        await text(session, server.url("/", "localhost"), ssl=client_context())
        await text(session, server.url("/", "127.0.0.1"), ssl=client_context())
    assert names == ["localhost", None]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_session_is_resumed(version: ssl.TLSVersion) -> None:
    reused: list[bool] = []

    async def script(conn: PeerConnection) -> None:
        await conn.read_request()
        reused.append(bool(conn.tls.session_reused))
        await conn.answer(b"fine", "Connection: close")

    async with ScriptedPeer(script, tls=server_context(version=version)) as peer, endwell.ClientSession() as session:
        for _ in range(3):
            assert await text(session, peer.url(host="localhost"), ssl=False) == "fine"
    assert reused[1:] == [True, True]  # the first may resume a session of another test's: tickets go by name


async def test_a_certificate_of_the_client() -> None:
    async with (
        EchoServer(tls=server_context(client_certificate=True)) as server,
        endwell.ClientSession() as session,
    ):
        context = client_context(client_certificate=True)
        assert await text(session, server.url("/", "localhost"), ssl=context) == "hello"
        with pytest.raises(endwell.ClientError):
            await session.get(server.url("/", "localhost"), ssl=client_context())


async def test_plain_where_tls_is_wanted() -> None:
    async def script(conn: PeerConnection) -> None:
        await conn.read()
        await conn.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await conn.closed_by_client()

    async with ScriptedPeer(script) as peer, endwell.ClientSession() as session:
        with pytest.raises(endwell.ClientConnectorSSLError):
            await session.get(peer.url(scheme="https"))


async def test_over_a_unix_socket(tmp_path: Path) -> None:
    async def hello(request: web.Request) -> web.Response:
        return web.Response(text=f"{request.scheme} {request.host}")

    app = web.Application()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    path = str(tmp_path / "socket")
    await web.UnixSite(runner, path, ssl_context=server_context()).start()
    async with endwell.ClientSession(connector=endwell.UnixConnector(path)) as session:
        async with session.get("https://localhost/", ssl=client_context()) as response:
            assert await response.text() == "https localhost"
        with pytest.raises(endwell.ClientConnectorCertificateError):
            await session.get("https://localhost/")
        with pytest.raises(endwell.ClientError):
            await session.get("http://localhost/")
    await runner.cleanup()


async def test_from_http_to_https() -> None:
    async with EchoServer(tls=server_context()) as secure, EchoServer() as server:
        async with endwell.ClientSession(connector=endwell.TCPConnector(ssl=client_context())) as session:
            target = f"/redirect/301?to={secure.url('/', 'localhost')}"
            assert await text(session, server.url(target)) == "hello"


async def test_large_bodies() -> None:
    async with EchoServer(tls=server_context()) as server, endwell.ClientSession() as session:
        url = server.url("/echo", "localhost")
        async with session.post(url, data=b"x" * (3 << 20), ssl=client_context()) as response:
            assert len((await response.json())["body"]) == 3 << 20


async def one_answer(conn: PeerConnection) -> None:
    await conn.read_request()
    await conn.answer()
    await conn.closed_by_client()


async def test_closing_takes_leave() -> None:
    async with ScriptedPeer(one_answer, tls=server_context()) as peer:
        async with endwell.ClientSession() as session:
            await text(session, peer.url(host="localhost"), ssl=client_context())
        await peer.finished()
        assert (peer.connections[0].ended, peer.connections[0].close_notify_seen) == ("fin", True)


@pytest.mark.parametrize("seconds", [0, 5])
async def test_ssl_shutdown_timeout(seconds: float) -> None:
    connector = endwell.TCPConnector(ssl=client_context(), ssl_shutdown_timeout=seconds)
    async with ScriptedPeer(one_answer, tls=server_context()) as peer:
        async with endwell.ClientSession(connector=connector) as session:
            await text(session, peer.url(host="localhost"))
        await peer.finished()
        assert peer.connections[0].ended is not None


async def test_deprecated_arguments() -> None:
    async with EchoServer(tls=server_context()) as server, endwell.ClientSession() as session:
        url = server.url("/", "localhost")
        old: list[dict[str, Any]] = [
            {"verify_ssl": False},
            {"ssl_context": client_context()},
            {"fingerprint": fingerprint()},
        ]
        for kwargs in old:
            with pytest.warns(DeprecationWarning, match=next(iter(kwargs))):
                assert await text(session, url, **kwargs) == "hello"
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            connector = endwell.TCPConnector(verify_ssl=False)
            async with endwell.ClientSession(connector=connector) as other:
                assert await text(other, url) == "hello"
        assert {each.category for each in caught} == {DeprecationWarning}
