"""Secrets never appear in errors, responses or logs: URL userinfo, Authorization, cookies, proxy credentials."""

from __future__ import annotations

import contextlib
import logging
import traceback
from collections.abc import AsyncIterator
from typing import Any

import pytest

import endwell
from tests.support.echo import EchoServer
from tests.support.hostile import fetch
from tests.support.peer import PeerConnection, ScriptedPeer, answer_fine, answer_with, refused_port, silence
from tests.support.tls import server_context

SECRET = "s3cret"
HEADERS = {"Authorization": f"Bearer {SECRET}", "Cookie": f"sid={SECRET}", "X-Api-Key": SECRET}
OK = b"HTTP/1.1 200 OK\r\nSet-Cookie: sid=s3cret\r\n"
TIMEOUT = endwell.ClientTimeout(total=0.2)


def with_secret(url: str) -> str:
    return url.replace("//", f"//joe:{SECRET}@", 1)


def shown(error: BaseException) -> str:
    """Return all texts a user or a log may get to see of an error and of what caused it."""
    texts = []
    seen: BaseException | None = error
    while seen is not None:
        texts += [str(seen), repr(seen)]
        seen = seen.__cause__ or seen.__context__
    # The traceback's own lines, but not the source lines of this test, which name the secret.
    texts += traceback.format_exception_only(error)
    return "\n".join(texts)


TO = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: "
BAD_ANSWERS = {
    "a garbage answer": b"garbage s3 \r\n\r\n",
    "a bad field": OK + b"A B: c\r\n\r\n",
    "two lengths": OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "a truncated body": OK + b"Content-Length: 10\r\n\r\nhello",
    "a bad chunk": OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a bad coding": OK + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
    "no answer": b"",
    "a loop": b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\nSet-Cookie: sid=s3cret\r\n\r\n",
    "a redirect with a secret to nowhere": TO + b"http://joe:s3cret@127.0.0.1:x/\r\n\r\n",
    "a redirect with a secret to another scheme": TO + b"ftp://joe:s3cret@127.0.0.1/\r\n\r\n",
}


@pytest.mark.parametrize("answer", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
async def test_errors_of_bad_answers(answer: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with ScriptedPeer(answer_with(answer)) as peer, endwell.ClientSession() as session:
        with pytest.raises(endwell.ClientError) as caught:
            await fetch(session, with_secret(peer.url()), headers={"X-Api-Key": SECRET, "Cookie": f"sid={SECRET}"})
    assert SECRET not in shown(caught.value)
    assert SECRET not in caplog.text


@contextlib.asynccontextmanager
async def _place(kind: str) -> AsyncIterator[str]:
    if kind == "refused":
        yield f"http://127.0.0.1:{refused_port()}/"
    elif kind == "certificate":
        async with ScriptedPeer(answer_fine, tls=server_context("untrusted")) as peer:
            yield peer.url()
    elif kind == "silent":
        async with ScriptedPeer(silence) as peer:
            yield peer.url()
    elif kind == "invalid":
        yield "http://127.0.0.1:x/"
    elif kind == "port":
        yield "http://127.0.0.1:65536/"
    elif kind == "scheme":
        yield "ftp://127.0.0.1/"
    else:
        yield "http://[::1/"


@pytest.mark.parametrize("kind", ["refused", "certificate", "silent", "invalid", "port", "scheme", "bracket"])
async def test_errors_before_an_answer(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with _place(kind) as url, endwell.ClientSession(timeout=TIMEOUT) as session:
        with pytest.raises((endwell.ClientError, TimeoutError)) as caught:
            await fetch(session, with_secret(url), headers={"Cookie": f"sid={SECRET}"})
    assert SECRET not in shown(caught.value)
    assert SECRET not in caplog.text


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("kind", ["refused", "silent", "407", "garbage", "disconnect", "port"])
async def test_errors_of_a_proxy(kind: str, scheme: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def script(conn: PeerConnection) -> None:
        if kind == "silent":
            await silence(conn)
        await conn.read_head()
        if kind == "407":
            await conn.answer(b"no", status="407 Proxy Authentication Required")
        elif kind == "garbage":
            await conn.send(b"garbage\r\n\r\n")

    async with ScriptedPeer(script) as peer, endwell.ClientSession(timeout=TIMEOUT, raise_for_status=True) as session:
        proxy = {"refused": f"http://127.0.0.1:{refused_port()}", "port": "http://127.0.0.1:99999"}.get(
            kind, peer.url()
        )
        with pytest.raises((endwell.ClientError, TimeoutError)) as caught:
            await fetch(session, f"{scheme}://origin.example/", proxy=with_secret(proxy))
    assert SECRET not in shown(caught.value)
    assert SECRET not in caplog.text
    assert "am9lOnMzY3JldA" not in shown(caught.value) + caplog.text  # the same in base64


async def test_responses_sessions_and_their_parts(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    jar = endwell.CookieJar(unsafe=True)
    async with EchoServer() as server:
        session = endwell.ClientSession(headers={"X-Api-Key": SECRET}, cookie_jar=jar, cookies={"sid": SECRET})
        async with session:
            async with session.get(with_secret(server.url(f"/set-cookie?sid={SECRET}"))) as response:
                await response.read()
                things = [response, session, session.connector, response.content, response.connection]
            async with session.post(server.url("/status/500"), data={"password": SECRET}) as failed:
                with pytest.raises(endwell.ClientResponseError) as caught:
                    failed.raise_for_status()
                things += [failed]
            for thing in things:
                text = repr(thing) + str(thing)
                assert SECRET not in text.replace(f"/set-cookie?sid={SECRET}", ""), text
        assert SECRET not in shown(caught.value)
    assert SECRET not in caplog.text.replace(f"/set-cookie?sid={SECRET}", "")


async def test_refusing_an_injection_does_not_repeat_what_was_passed() -> None:
    cases: list[dict[str, Any]] = [
        {"headers": {"Authorization": f"Bearer {SECRET}\r\n"}},
        {"headers": {"Cookie": f"sid={SECRET}\n"}},
        {"headers": {"X-Api-Key": f"{SECRET}\x00"}},
    ]
    async with endwell.ClientSession() as session:
        for case in cases:
            with pytest.raises(ValueError) as caught:
                await session.get(f"http://127.0.0.1:{refused_port()}/", **case)
            assert SECRET not in shown(caught.value)
