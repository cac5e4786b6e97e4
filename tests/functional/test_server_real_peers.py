"""The server and programs that others wrote: curl, wrk and openssl (Debian packages of those names).

They run in threads of the test's own process, beside the loop that serves them; what the server makes of them is told
by its application, and by the report of its close. A program that is missing skips its tests, with ``CI=true`` it fails
them. nginx has a file of its own, `test_server_behind_nginx`.
"""

from __future__ import annotations

import asyncio
import functools
import gzip
import json
import pathlib
import re
import socket
import ssl
import subprocess
from typing import Any

import pytest

from endwell import web
from tests.support.programs import BLOB, SECONDS, TEXT, listening, program
from tests.support.raw import until
from tests.support.serving import serving
from tests.support.telling import LARGE, application, digest, session
from tests.support.tls import authority, client_context, server_context

# curl


def curl_now(*args: str, data: bytes | None = None, check: bool = True) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(
        [program("curl", "curl"), "-q", "--silent", "--show-error", "--noproxy", "*", *args],
        check=False,
        capture_output=True,
        input=data,
        timeout=2 * SECONDS,
    )
    assert not check or done.returncode == 0, (done.returncode, done.stderr)
    return done


async def curl(*args: object, data: bytes | None = None, check: bool = True) -> subprocess.CompletedProcess[bytes]:
    return await asyncio.to_thread(functools.partial(curl_now, *map(str, args), data=data, check=check))


async def test_curl_gets(tmp_path: pathlib.Path) -> None:
    async with serving(application(tmp_path)) as server:
        done = await curl("-i", server.url / "tell")
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert json.loads(body)["host"] == f"127.0.0.1:{server.port}"
        assert (await curl(server.url / "files/blob.bin")).stdout == BLOB
        done = await curl("-I", server.url / "files/blob.bin")
        assert f"Content-Length: {len(BLOB)}\r\n".encode() in done.stdout
        done = await curl("-I", server.url / "tell")
        assert done.stdout.startswith(b"HTTP/1.1 200 OK\r\n")
        assert (await curl("-w", "%{http_code}", server.url / "none")).stdout == b"404: Not Found404"


async def test_curl_sends_bodies() -> None:
    async with serving(application()) as server:
        assert (await curl("-d", "a=b&c=d", server.url / "echo")).stdout == b"a=b&c=d"
        assert json.loads((await curl("-d", "a=b&a=%C3%A9", server.url / "form")).stdout) == [["a", "b"], ["a", "é"]]
        assert (await curl("--data-binary", "@-", server.url / "echo", data=TEXT)).stdout == TEXT
        chunked = ("-H", "Transfer-Encoding: chunked", "--data-binary", "@-")
        assert (await curl(*chunked, server.url / "echo", data=TEXT)).stdout == TEXT
        assert (await curl("-T", "-", server.url / "echo", data=TEXT)).stdout == TEXT
        done = await curl("-T", "-", server.url / "swallow", data=LARGE)
        assert json.loads(done.stdout) == {"size": len(LARGE), "digest": digest(LARGE), "length": None}


async def test_curl_sends_forms_with_files(tmp_path: pathlib.Path) -> None:
    (tmp_path / "blob.bin").write_bytes(BLOB[:700_000])
    (tmp_path / "page.html").write_text("<p>")
    async with serving(application()) as server:
        done = await curl(
            "-F", "a=b", "-F", f"f=@{tmp_path / 'blob.bin'}", "-F", f"g=@{tmp_path / 'page.html'};filename=é.html",
            server.url / "form",
        )  # fmt: skip
    assert json.loads(done.stdout) == [
        ["a", "b"],
        ["f", "blob.bin", "application/octet-stream", 700_000, digest(BLOB[:700_000])],
        ["g", "é.html", "text/html", 3, digest(b"<p>")],
    ]


async def test_curl_expects_100_continue() -> None:
    """curl waits a second for it, and says so when it did not come."""
    expecting = ("-v", "-H", "Expect: 100-continue", "--expect100-timeout", "60", "--data-binary", "@-")
    async with serving(application()) as server:
        done = await curl(*expecting, server.url / "swallow", data=LARGE)
        assert json.loads(done.stdout)["digest"] == digest(LARGE)
        assert done.stderr.count(b"< HTTP/1.1 100 Continue") == 1
        done = await curl(*expecting, server.url / "refuse", data=LARGE)
        assert b"< HTTP/1.1 413" in done.stderr
        assert b"100 Continue" not in done.stderr, "nobody wants this body"


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_curl_reads_an_early_refusal(tls: bool, tmp_path: pathlib.Path) -> None:
    """Section 9.6 of RFC 9112: closed at once, the connection would be reset under curl's hands, and the 413 lost."""
    (tmp_path / "large").write_bytes(LARGE)
    (tmp_path / "ca.pem").write_bytes(authority().cert_pem.bytes())
    context = server_context() if tls else None
    async with serving(application(), tls=context, host="localhost" if tls else "127.0.0.1") as server:
        for way in (("-T", tmp_path / "large"), ("--data-binary", f"@{tmp_path / 'large'}")):
            done = await curl(
                "--cacert", tmp_path / "ca.pem", "-H", "Expect:", "-w", "%{http_code}", *way, server.url / "refuse"
            )
            assert done.stdout.endswith(b"413")


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", None])
async def test_curl_decodes(coding: str | None) -> None:
    async with serving(application()) as server:
        accepted = ["--compressed"] if coding is None else ["--compressed", "-H", f"Accept-Encoding: {coding}"]
        done = await curl("-D", "-", *accepted, server.url / "text")
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        assert body == TEXT
        assert b"Content-Encoding: " + (coding or "").encode() in head
        assert b"Transfer-Encoding: chunked" in head or b"Content-Length: " in head


async def test_curl_sends_coded_bodies() -> None:
    async with serving(application()) as server:
        done = await curl(
            "-H", "Content-Encoding: gzip", "--data-binary", "@-", server.url / "swallow", data=gzip.compress(TEXT)
        )
    assert json.loads(done.stdout)["digest"] == digest(TEXT)


async def test_curl_asks_for_ranges(tmp_path: pathlib.Path) -> None:
    async with serving(application(tmp_path)) as server:
        url = server.url / "files/blob.bin"
        for asked, start, end in (("0-9", 0, 10), ("100-", 100, None), ("-7", -7, None)):
            assert (await curl("-r", asked, url)).stdout == BLOB[start:end]
        done = await curl("-r", f"{len(BLOB)}-", "-w", "%{http_code}", "-o", tmp_path / "none", url)
        assert done.stdout == b"416"


async def test_curl_resumes_a_download(tmp_path: pathlib.Path) -> None:
    part = tmp_path / "part"
    part.write_bytes(BLOB[:300_000])
    async with serving(application(tmp_path)) as server:
        done = await curl("-C", "-", "-o", part, "-w", "%{http_code} %{size_download}", server.url / "files/blob.bin")
    assert done.stdout == b"206 %d" % (len(BLOB) - 300_000)
    assert part.read_bytes() == BLOB


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_curl_speaks_http_1_0(tls: bool, tmp_path: pathlib.Path) -> None:
    """A body that ends with the connection: over TLS curl wants the close_notify, or it says that the body is cut."""
    (tmp_path / "ca.pem").write_bytes(authority().cert_pem.bytes())
    context = server_context() if tls else None
    async with serving(application(tmp_path), tls=context, host="localhost" if tls else "127.0.0.1") as server:
        common = ("--http1.0", "--cacert", tmp_path / "ca.pem")
        done = await curl(*common, "-i", server.url / "pour")
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        assert digest(body) == digest(LARGE)
        assert b"Transfer-Encoding" not in head
        assert b"Content-Length" not in head
        assert (await curl(*common, server.url / "files/blob.bin")).stdout == BLOB
        assert json.loads((await curl(*common, server.url / "tell")).stdout)["version"] == "1.0"
        kept = ("-H", "Connection: keep-alive", "-w", " %{num_connects}")
        done = await curl(*common, *kept, "-d", "x", server.url / "echo", "--next", *common, *kept, server.url / "echo")
        assert done.stdout == b"x 1 0"


async def test_curl_over_a_unix_socket(tmp_path: pathlib.Path) -> None:
    runner = web.AppRunner(application(tmp_path))
    await runner.setup()
    try:
        path = tmp_path / "s"
        await web.UnixSite(runner, path).start()
        common = ("--unix-socket", path)
        told = json.loads((await curl(*common, "http://somebody.example/tell?x=y")).stdout)
        assert (told["host"], told["path"], told["scheme"]) == ("somebody.example", "/tell?x=y", "http")
        assert (await curl(*common, "http://a/files/blob.bin")).stdout == BLOB
        assert json.loads((await curl(*common, "-T", "-", "http://a/swallow", data=LARGE)).stdout)["size"] == len(LARGE)
        assert digest((await curl(*common, "http://a/pour")).stdout) == digest(LARGE)
    finally:
        report = await runner.cleanup()
    assert not report.aborted
    assert not path.exists()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_curl_over_tls(version: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "ca.pem").write_bytes(authority().cert_pem.bytes())
    async with serving(application(tmp_path), tls=server_context(), host="localhost") as server:
        common = ("--cacert", tmp_path / "ca.pem", "--tls-max", version, f"--tlsv{version}")
        told = json.loads((await curl(*common, server.url / "tell")).stdout)
        assert told["url"] == str(server.url / "tell")
        assert told["scheme"] == "https"
        assert (await curl(*common, server.url / "files/blob.bin")).stdout == BLOB
        assert json.loads((await curl(*common, "-T", "-", server.url / "swallow", data=LARGE)).stdout)["size"] > 0
        assert digest((await curl(*common, server.url / "pour")).stdout) == digest(LARGE)
        done = await curl(server.url / "tell", check=False)
        assert done.returncode == 60, "a certificate that curl was not told to trust"


async def test_curl_uses_its_connection_again(tmp_path: pathlib.Path) -> None:
    each = ("-o", tmp_path / "out", "-w", "%{http_code} %{num_connects}\n")
    async with serving(application(tmp_path)) as server:
        done = await curl(
            *each, server.url / "tell",
            "--next", *each, "-I", server.url / "files/blob.bin",
            "--next", *each, server.url / "none",
            "--next", *each, "-d", "x", server.url / "none",
            "--next", *each, "-T", tmp_path / "blob.bin", server.url / "swallow",
            "--next", *each, server.url / "pour",
            "--next", *each, "--compressed", server.url / "text",
            "--next", *each, "-H", "If-Modified-Since: Fri, 31 Dec 2100 23:59:59 GMT", server.url / "files/blob.bin",
            "--next", *each, "-r", "5-9", server.url / "files/blob.bin",
            "--next", *each, "-X", "OPTIONS", server.url / "tell",
        )  # fmt: skip
        assert done.stdout.decode().split("\n")[:-1] == [
            "200 1", "200 0", "404 0", "404 0", "200 0", "200 0", "200 0", "304 0", "206 0", "405 0",
        ]  # fmt: skip
        assert server.core.served == 10


async def test_curl_asks_for_many_at_once(tmp_path: pathlib.Path) -> None:
    async with serving(application(tmp_path)) as server:
        done = await curl("--parallel", "--parallel-max", "20", "-w", "%{http_code}\n", f"{server.url}text?[1-100]")
    assert done.stdout.count(TEXT) == 100


# wrk

PIPELINING = """
init = function(args)
  local r = {}
  for i = 1, 16 do r[i] = wrk.format("GET", "/tell?" .. i) end
  req = table.concat(r)
end
request = function() return req end
"""
POSTING = """
wrk.method = "POST"
wrk.body = string.rep("x", 100000)
"""


async def wrk(url: object, *args: object, seconds: int = 1) -> dict[str, Any]:
    """Run it; give the number of requests, of other answers than 2xx and 3xx, and of errors by kind."""
    command = [program("wrk", "wrk"), "-t1", f"-d{seconds}s", *map(str, args), str(url)]
    done = await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, timeout=SECONDS + seconds)
    text = done.stdout.decode()
    errors = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    other = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    count = re.search(r"(\d+) requests in", text)
    assert count is not None, text
    kinds = ("connect", "read", "write", "timeout")
    return {
        "requests": int(count[1]),
        "other": int(other[1]) if other else 0,
        "errors": dict(zip(kinds, map(int, errors.groups()), strict=True)) if errors else {},
    }


@pytest.mark.parametrize("script", [None, PIPELINING, POSTING], ids=["one by one", "pipelined", "posting"])
async def test_wrk(script: str | None, tmp_path: pathlib.Path) -> None:
    arguments: list[object] = ["-c16"]
    if script is not None:
        (tmp_path / "script.lua").write_text(script)
        arguments += ["-s", tmp_path / "script.lua"]
    async with serving(application(), access_log=None) as server:
        told = await wrk(server.url / ("swallow" if script is POSTING else "tell"), *arguments)
        assert told["requests"] > 0
        assert told["other"] == 0
        assert not told["errors"]
    assert server.core.served >= told["requests"]


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("path", ["tell", "swallow", "files/blob.bin"])
async def test_a_server_that_stops_under_load(tls: bool, path: str, tmp_path: pathlib.Path) -> None:
    """wrk goes on all the time; it sees ends of connections and refusals, and no answer but 2xx."""
    context = server_context() if tls else None
    async with serving(application(tmp_path), tls=context, access_log=None) as server:
        load = asyncio.ensure_future(wrk(server.url / path, "-c16"))
        await until(lambda: server.core.served >= 100)
        report = await server.close()
        assert not listening(server.port)
        told = await load
    assert not report.aborted
    assert told["requests"] >= 84, "what was begun was answered: all but the last 16 at most"
    assert told["other"] == 0
    assert not told["errors"].get("timeout")


# openssl


async def s_client(port: int, *args: object, data: bytes = b"", ca: pathlib.Path | None = None) -> bytes:
    """Run it with what it is to send; give what it prints."""
    command = [program("openssl", "openssl"), "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost"]
    command += [] if ca is None else ["-CAfile", str(ca), "-verify_return_error"]
    done = await asyncio.to_thread(
        subprocess.run, [*command, *map(str, args)], check=False, capture_output=True, input=data, timeout=SECONDS
    )
    return done.stdout + done.stderr


REQUEST = b"GET /tell HTTP/1.1\r\nHost: localhost\r\n%b\r\n"
LAST = REQUEST % b"Connection: close\r\n"


@pytest.mark.parametrize("version", ["1_2", "1_3"])
async def test_openssl_speaks_with_the_server(version: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "ca.pem").write_bytes(authority().cert_pem.bytes())
    async with serving(application(), tls=server_context(), host="localhost") as server:
        said = await s_client(server.port, f"-tls{version}", "-ign_eof", data=LAST, ca=tmp_path / "ca.pem")
        assert b"HTTP/1.1 200 OK" in said
        assert b"Verify return code: 0 (ok)" in said
        assert b"read:errno" not in said
        said = await s_client(server.port, f"-tls{version}", "-ign_eof", "-crlf", data=LAST.replace(b"\r", b""))
        assert b'"scheme": "https"' in said


async def test_a_session_of_openssl_is_resumed(tmp_path: pathlib.Path) -> None:
    async with serving(application(), tls=server_context(), host="localhost") as server:
        for version in ("1_2", "1_3"):
            kept = tmp_path / version
            common = (f"-tls{version}", "-ign_eof")
            first = await s_client(server.port, *common, "-sess_out", kept, data=LAST)
            assert b"New, TLS" in first
            second = await s_client(server.port, *common, "-sess_in", kept, data=LAST)
            assert b"Reused, TLS" in second
            assert b"HTTP/1.1 200 OK" in second


async def test_openssl_changes_its_keys() -> None:
    """A K on a line of its own asks for new keys, both ways (RFC 8446 section 4.6.3)."""
    async with serving(application(), tls=server_context(), host="localhost") as server:
        command = [program("openssl", "openssl"), "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_3"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as run:
            said = await asyncio.to_thread(change_keys, run)
    assert b"HTTP/1.1 200 OK" in said


def change_keys(run: subprocess.Popen[bytes]) -> bytes:
    assert run.stdin is not None
    assert run.stdout is not None
    run.stdin.write(b"K\n")
    run.stdin.flush()
    for line in run.stdout:
        if b"KEYUPDATE" in line:
            break
    run.stdin.write(LAST)
    run.stdin.flush()
    return run.stdout.read()


async def test_openssl_with_a_version_that_the_server_does_not_take() -> None:
    context = server_context(version=ssl.TLSVersion.TLSv1_3)
    async with serving(application(), tls=context, host="localhost") as server:
        said = await s_client(server.port, "-tls1_2", data=LAST)
        assert b"no peer certificate available" in said
        assert server.core.served == 0
        async with session() as client, client.get(server.url / "tell") as response:
            assert response.status == 200


async def test_openssl_with_a_certificate(tmp_path: pathlib.Path) -> None:
    """The handler can see who the client is."""
    leaf = authority().issue_cert("client@endwell.example")
    leaf.private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")

    async def handler(request: web.BaseRequest) -> web.Response:
        return web.json_response(request.get_extra_info("peercert")["subjectAltName"])

    context = server_context(client_certificate=True)
    async with serving(handler, tls=context, host="localhost") as server:
        said = await s_client(server.port, "-ign_eof", "-cert", tmp_path / "client.pem", data=LAST)
        assert b"client@endwell.example" in said
        said = await s_client(server.port, "-ign_eof", data=LAST)
        assert b"HTTP/1.1" not in said, "nobody without a certificate is served"


@pytest.mark.parametrize("how", ["silent", "starttls", "half a hello"])
async def test_a_half_open_handshake(how: str) -> None:
    """It stops nobody else, and not the close of the server either; s_client waits here for a greeting first."""
    async with serving(application(), tls=server_context(), host="localhost") as server:
        waiting: asyncio.Future[Any] | None = None
        sock = socket.socket()
        if how == "starttls":
            waiting = asyncio.ensure_future(s_client(server.port, "-starttls", "smtp"))
        else:
            sock.connect(("127.0.0.1", server.port))
            sock.sendall(hello()[:100] if how == "half a hello" else b"")
        await until(lambda: any(each.kind == "TLS handshake" for each in server.core.children))
        async with session() as client, client.get(server.url / "tell") as response:
            assert response.status == 200
        report = await server.close()
        assert not report.aborted
        if waiting is not None:
            assert b"CONNECTED" in await waiting
        sock.close()


def hello() -> bytes:
    """Give a ClientHello."""
    outgoing = ssl.MemoryBIO()
    tls = client_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


async def test_openssl_leaves_without_a_word() -> None:
    """s_client that is killed in the middle of a response: the handler's write fails, and nothing is left."""
    failed: list[type[Exception]] = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 100_000)
        except ConnectionResetError as error:
            failed.append(type(error))
            raise

    async with serving(handler, tls=server_context(), host="localhost") as server:
        command = [program("openssl", "openssl"), "s_client", "-connect", f"127.0.0.1:{server.port}", "-ign_eof"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(LAST)
            process.stdin.flush()
            while b"xxxx" not in await asyncio.to_thread(process.stdout.read1, 10_000):  # type: ignore[attr-defined]
                pass
        finally:
            process.kill()
            await asyncio.to_thread(process.communicate)
        await until(lambda: failed)
    assert failed == [ConnectionResetError]
