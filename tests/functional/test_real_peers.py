"""Against programs that others wrote: nginx, tinyproxy, curl and openssl (Debian packages of the same names).

One nginx serves the whole module; its files and its configuration are made here, and each program listens on loopback
on a port that was free a moment before. A program that is missing skips its tests, with ``CI=true`` it fails them.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import pathlib
import socket
import ssl
import subprocess
from collections.abc import Iterator

import pytest
from yarl import URL

import endwell
from tests.support.peer import PeerConnection, ScriptedPeer, answer_fine
from tests.support.programs import BLOB, SECONDS, TEXT, Nginx, free_port, nginx, program, running
from tests.support.tls import certificate, client_context

__all__ = ("nginx",)  # a fixture


def session(**kwargs) -> endwell.ClientSession:
    """Return a session that trusts the certificate and gives up before the test does."""
    connector = endwell.TCPConnector(ssl=client_context(), **kwargs)
    return endwell.ClientSession(connector=connector, timeout=endwell.ClientTimeout(total=SECONDS))


class Upstream(ScriptedPeer):
    """A scripted peer behind nginx, on the port that nginx knows."""

    def __init__(self, nginx: Nginx, *scripts) -> None:
        super().__init__(*scripts)
        self._port = nginx.upstream

    async def __aenter__(self):
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self._port))
        self._listener.listen(16)
        self._listener.setblocking(False)
        self._accepting = self._spawn(self._accept())
        return self


# nginx: files


@pytest.mark.parametrize("tls", [False, True])
async def test_static_files(nginx, tls):
    async with session() as client:
        for path, body in (("/text.txt", TEXT), ("/blob", BLOB), ("/empty", b"")):
            async with client.get(nginx.url(path, tls=tls)) as response:
                assert response.status == 200
                assert await response.read() == body
                assert response.content_length == len(body)
        async with client.head(nginx.url("/blob", tls=tls)) as response:
            assert (response.status, response.content_length, await response.read()) == (200, len(BLOB), b"")
        async with client.get(nginx.url("/none", tls=tls)) as response:
            assert (response.status, response.reason) == (404, "Not Found")


async def test_ranges(nginx):
    async with session() as client:
        for asked, start, end in (("0-9", 0, 10), ("100-", 100, None), ("-7", -7, None)):
            async with client.get(nginx.url("/blob"), headers={"Range": f"bytes={asked}"}) as response:
                assert response.status == 206
                assert await response.read() == BLOB[start:end]
        async with client.get(nginx.url("/blob"), headers={"Range": f"bytes={len(BLOB)}-"}) as response:
            assert response.status == 416
        async with client.get(nginx.url("/blob"), headers={"Range": "bytes=0-1,4-5"}) as response:
            reader = endwell.MultipartReader.from_response(response)
            assert [await part.read() async for part in reader] == [BLOB[0:2], BLOB[4:6]]


async def test_an_unchanged_file(nginx):
    async with session() as client:
        async with client.get(nginx.url("/blob")) as response:
            etag = response.headers["ETag"]
            await response.read()
        async with client.get(nginx.url("/blob"), headers={"If-None-Match": etag}) as response:
            assert (response.status, await response.read()) == (304, b"")
        async with client.get(nginx.url("/told")) as response:
            assert (await response.json())["requests"] == "3", "a 304 leaves the connection whole"


async def test_gzip(nginx):
    async with session() as client:
        async with client.get(nginx.url("/zipped/text.txt")) as response:
            assert response.headers["Content-Encoding"] == "gzip"
            assert response.headers["Transfer-Encoding"] == "chunked"
            assert await response.read() == TEXT
        async with client.get(nginx.url("/zipped/text.txt"), auto_decompress=False) as response:
            assert gzip.decompress(await response.read()) == TEXT
        async with client.get(nginx.url("/zipped/text.txt")) as response:
            assert [line async for line in response.content] == TEXT.splitlines(keepends=True)
        async with client.get(nginx.url("/zipped/text.txt"), headers={"Accept-Encoding": "identity"}) as response:
            assert "Content-Encoding" not in response.headers
            assert await response.read() == TEXT


async def test_redirects_and_statuses(nginx):
    async with session() as client:
        async with client.get(nginx.url("/moved")) as response:
            assert [each.status for each in response.history] == [301]
            assert (response.url.path, await response.read()) == ("/blob", BLOB)
        for path, status in (("/gone", 410), ("/nothing", 204)):
            async with client.get(nginx.url(path)) as response:
                assert response.status == status


# nginx: connections


@pytest.mark.parametrize("tls", [False, True])
async def test_connections_are_kept(nginx, tls):
    async with session() as client:
        told = []
        for _ in range(5):
            async with client.get(nginx.url("/told", tls=tls)) as response:
                told.append(await response.json())
        assert len({each["connection"] for each in told}) == 1
        assert [each["requests"] for each in told] == ["1", "2", "3", "4", "5"]


async def test_a_large_body_left_unread_costs_its_connection_only(nginx):
    async with session(limit=1) as client:
        async with client.get(nginx.url("/told")) as response:
            first = await response.json()
        async with client.get(nginx.url("/blob")):
            pass
        async with client.get(nginx.url("/told")) as response:
            assert (await response.json())["connection"] != first["connection"]


async def test_many_at_once(nginx):
    async with session(limit=8) as client:

        async def fetch(path: str) -> bytes:
            async with client.get(nginx.url(path)) as response:
                return await response.read()

        bodies = await asyncio.gather(*(fetch(path) for path in ("/blob", "/text.txt") * 20))
        assert bodies == [BLOB, TEXT] * 20
        async with client.get(nginx.url("/told")) as response:
            assert int((await response.json())["requests"]) > 1


async def test_a_connection_that_nginx_drops_is_an_error(nginx):
    async with session() as client:
        with pytest.raises(endwell.ServerDisconnectedError):
            await client.post(nginx.url("/dropped"), data=b"x")
        async with client.get(nginx.url("/told")) as response:
            assert response.status == 200


async def test_a_request_that_is_no_http_for_nginx(nginx):
    async with session() as client, client.get(nginx.url("/"), headers={"X": "y" * 20_000}) as response:
        assert response.status == 400


async def test_plain_http_to_the_tls_port(nginx):
    async with session() as client, client.get(f"http://127.0.0.1:{nginx.tls_port}/") as response:
        assert response.status == 400
        assert "HTTPS port" in await response.text()


async def test_tls_to_the_plain_port(nginx):
    async with session() as client:
        with pytest.raises(endwell.ClientConnectorSSLError):
            await client.get(f"https://127.0.0.1:{nginx.port}/")


async def test_a_certificate_nobody_signed(nginx):
    async with endwell.ClientSession() as client:
        with pytest.raises(endwell.ClientConnectorCertificateError):
            await client.get(nginx.url("/told", tls=True))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_versions_of_tls(nginx, version):
    context = client_context(version=version)
    async with session() as client:
        async with client.get(nginx.url("/told", tls=True), ssl=context) as response:
            assert (await response.json())["protocol"] == version.name.replace("_", ".")


# nginx: what stands behind it


def chunks(*parts: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + end


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_chunks_through_nginx(nginx):
    async def script(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.send(CHUNKED + chunks(b"one", b"two", end=b""))
        await conn.send(chunks(b"three" * 1000))

    async with Upstream(nginx, script), session() as client, client.get(nginx.url("/up/")) as response:
        assert response.headers["Transfer-Encoding"] == "chunked"
        assert await response.read() == b"onetwo" + b"three" * 1000


@pytest.mark.parametrize(
    "answer",
    [
        CHUNKED + chunks(b"one", end=b""),
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\none",
    ],
)
async def test_an_upstream_that_stops_is_told(nginx, answer):
    async def script(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.send(answer)

    async with Upstream(nginx, script), session() as client:
        async with client.get(nginx.url("/up/")) as response:
            assert response.status == 200
            with pytest.raises(endwell.ClientPayloadError):
                await response.read()
        async with client.get(nginx.url("/told")) as response:
            assert response.status == 200


async def test_no_upstream(nginx):
    async with session() as client, client.get(nginx.url("/up/")) as response:
        assert response.status == 502


@pytest.mark.parametrize("kind", ["bytes", "generator", "large", "expect"])
async def test_uploads_through_nginx(nginx, kind):
    async def generate():
        for _ in range(10):
            yield b"piece" * 100

    body = {"bytes": b"body", "generator": b"piece" * 1000, "large": BLOB, "expect": b"body"}[kind]
    data = generate() if kind == "generator" else body
    async with Upstream(nginx, answer_fine) as upstream, session() as client:
        async with client.post(nginx.url("/up/x?y=z"), data=data, expect100=kind == "expect") as response:
            assert await response.read() == b"fine"
    (request,) = upstream.requests
    assert (request.method, request.target, request.body) == ("POST", "/x?y=z", body)


async def test_an_upload_that_nginx_does_not_want(nginx):
    async with session() as client:
        async with client.post(nginx.url("/small"), data=BLOB) as response:
            assert response.status == 413
        async with client.get(nginx.url("/told")) as response:
            assert response.status == 200


# curl says what the answer is


def curl(*args: str) -> bytes:
    path = program("curl", "curl")
    return subprocess.run(
        [path, "-q", "--silent", "--show-error", "--noproxy", "*", *args],
        check=True,
        capture_output=True,
        timeout=SECONDS,
    ).stdout


@pytest.mark.parametrize(
    "path",
    ["/a/../b", "/a%2fb", "/%C3%A9?x=%20y+z", "/a;b=c?d&e=f&&g", "/~x/'()*!$,:@", "/?q=[1]|{2}", "//double//"],
)
async def test_a_url_goes_out_as_curl_sends_it(nginx, path):
    expected = json.loads(curl("--path-as-is", "--globoff", nginx.url("/told" + path)))
    async with session() as client:
        url = URL(nginx.url("/told" + path), encoded=True)
        async with client.get(url) as response:
            told = await response.json()
    for name in ("uri", "host", "method"):
        assert told[name] == expected[name]


async def test_a_form_with_a_file_goes_out_as_curl_sends_it(nginx, tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(BLOB[:1000])
    async with Upstream(nginx, answer_fine) as upstream:
        await asyncio.to_thread(curl, "-F", "a=b", "-F", f"f=@{path}", nginx.url("/up/"))
        async with session() as client:
            form = endwell.FormData()
            form.add_field("a", "b")
            with path.open("rb") as file:
                form.add_field("f", file, filename="file.bin", content_type="application/octet-stream")
                async with client.post(nginx.url("/up/"), data=form) as response:
                    assert response.status == 200
    parts = [parts_of(request.get("Content-Type"), request.body) for request in upstream.requests]
    assert parts[0] == parts[1]


def parts_of(content_type: str, body: bytes) -> list[tuple[str | None, str | None, bytes]]:
    import email
    import email.policy

    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = email.message_from_bytes(head + body, policy=email.policy.HTTP)
    return [
        (part.get_param("name", header="content-disposition"), part.get_filename(), part.get_payload(decode=True))
        for part in message.iter_parts()
    ]


# tinyproxy


@contextlib.contextmanager
def tinyproxy(directory: pathlib.Path, *lines: str) -> Iterator[str]:
    path = program("tinyproxy", "tinyproxy-bin")
    port = free_port()
    config = directory / "tinyproxy.conf"
    config.write_text("\n".join([f"Port {port}", "Listen 127.0.0.1", "Timeout 20", "LogLevel Critical", *lines, ""]))
    with running([path, "-d", "-c", str(config)], port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def proxy(tmp_path_factory) -> Iterator[str]:
    with tinyproxy(tmp_path_factory.mktemp("proxy"), "BasicAuth user hunter2") as url:
        yield url.replace("http://", "http://user:hunter2@")


@pytest.mark.parametrize("tls", [False, True])
async def test_through_a_proxy(nginx, proxy, tls):
    async with session() as client:
        for path, body in (("/text.txt", TEXT), ("/blob", BLOB)):
            async with client.get(nginx.url(path, tls=tls), proxy=proxy) as response:
                assert await response.read() == body
    async with session() as client:  # tinyproxy closes after each answer without a word: a POST could meet that
        async with client.post(nginx.url("/told", tls=tls), data=b"x" * 1000, proxy=proxy) as response:
            assert (await response.json())["method"] == "POST"


async def test_a_tunnel_is_kept(nginx, proxy):
    async with session() as client:
        told = []
        for _ in range(3):
            async with client.get(nginx.url("/told", tls=True), proxy=proxy) as response:
                told.append(await response.json())
        assert [each["requests"] for each in told] == ["1", "2", "3"]


async def test_a_proxy_that_wants_a_password(nginx, proxy):
    bare = "http://" + proxy.partition("@")[2]
    async with session() as client:
        async with client.get(nginx.url("/blob"), proxy=bare) as response:
            assert response.status in (401, 407)
        with pytest.raises(endwell.ClientHttpProxyError) as caught:
            await client.get(nginx.url("/blob", tls=True), proxy=bare)
        assert caught.value.status in (401, 407)
        with pytest.raises(endwell.ClientHttpProxyError) as caught:
            await client.get(nginx.url("/blob", tls=True), proxy=proxy.replace("hunter2", "wrong-hunter"))
        assert "hunter" not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize("tls", [False, True])
async def test_a_proxy_that_finds_nobody(proxy, tls):
    url = f"http{'s' if tls else ''}://127.0.0.1:{free_port()}/"
    async with session() as client:
        if tls:
            with pytest.raises(endwell.ClientHttpProxyError):
                await client.get(url, proxy=proxy)
        else:
            async with client.get(url, proxy=proxy) as response:
                assert response.status >= 500


# openssl s_server


@contextlib.contextmanager
def s_server(root: pathlib.Path, *args: str) -> Iterator[str]:
    path = program("openssl", "openssl")
    port = free_port()
    leaf = certificate()
    leaf.private_key_pem.write_to_path(root / "key.pem")
    leaf.cert_chain_pems[0].write_to_path(root / "certificate.pem")
    files = ["-cert", str(root / "certificate.pem"), "-key", str(root / "key.pem")]
    command = [path, "s_server", "-accept", f"127.0.0.1:{port}", *files, "-quiet", "-www", *args]
    with running(command, port):
        yield f"https://127.0.0.1:{port}/"


@pytest.mark.parametrize("version", ["1_2", "1_3"])
async def test_openssl_with_one_version_of_tls(tmp_path, version):
    with s_server(tmp_path, f"-tls{version}") as url:
        async with session() as client, client.get(url) as response:
            assert response.status == 200
            assert f"Protocol  : TLSv{version.replace('_', '.')}" in await response.text()


async def test_openssl_with_a_version_that_is_too_old(tmp_path):
    with s_server(tmp_path, "-tls1_2") as url:
        async with session() as client:
            with pytest.raises(endwell.ClientConnectorSSLError):
                await client.get(url, ssl=client_context(version=ssl.TLSVersion.TLSv1_3))


async def test_openssl_with_a_client_certificate(tmp_path):
    with s_server(tmp_path, "-Verify", "1", "-verify_return_error", "-CAfile", str(authority_file(tmp_path))) as url:
        async with session() as client:
            async with client.get(url, ssl=client_context(client_certificate=True)) as response:
                assert response.status == 200
                await response.read()
            with pytest.raises(endwell.ClientError):
                async with client.get(url) as response:
                    await response.read()


def authority_file(directory: pathlib.Path) -> pathlib.Path:
    from tests.support.tls import authority

    path = directory / "authority.pem"
    authority().cert_pem.write_to_path(path)
    return path


@pytest.mark.parametrize("version", ["1_2", "1_3"])
async def test_a_session_of_tls_is_resumed(tmp_path, version):
    """Issue section 3: resumption where the standard library allows it."""
    with s_server(tmp_path, f"-tls{version}") as url:
        async with session(force_close=True) as client:
            pages = []
            for _ in range(2):
                async with client.get(url) as response:
                    pages.append(await response.text())
    assert "New, TLS" in pages[0]
    assert "Reused, TLS" in pages[1]
