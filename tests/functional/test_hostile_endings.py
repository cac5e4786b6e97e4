"""Bodies that end too early, too late or in doubt, and bytes where none belong (RFC 9112 sections 6.3, 8, 9.2, 9.8)."""

from __future__ import annotations

import asyncio
import gzip
import zlib

import pytest

import endwell
from tests.support.hostile import fetch, goes_wrong, meeting
from tests.support.peer import PeerConnection, Script, answer_with, silence

OK = b"HTTP/1.1 200 OK\r\n"
TLS = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
EVIL = OK + b"Content-Length: 4\r\n\r\nevil"

TRUNCATED = {
    "by length": OK + b"Content-Length: 10\r\n\r\nhello",
    "by length, nothing came": OK + b"Content-Length: 10\r\n\r\n",
    "in a chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
    "in a chunk's size": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1",
    "before the last chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "in the last chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    "before the first chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n",
}


async def _fin(conn: PeerConnection) -> None:
    await conn.close()


async def _rst(conn: PeerConnection) -> None:
    conn.reset()


async def _cut(conn: PeerConnection) -> None:
    conn.cut()


ENDINGS: dict[str, Script] = {"fin": _fin, "rst": _rst, "tls-cut": _cut}


@pytest.mark.parametrize("ending", ENDINGS)
@TLS
@pytest.mark.parametrize("answer", TRUNCATED.values(), ids=TRUNCATED)
async def test_a_truncated_body_is_an_error(answer: bytes, tls: bool, ending: str) -> None:
    script = answer_with(answer, then=ENDINGS[ending])
    await goes_wrong(script, (endwell.ClientPayloadError, endwell.ClientOSError), r"\w", tls=tls)


async def test_what_came_before_a_truncation_can_be_read_and_then_the_error() -> None:
    async with meeting(answer_with(TRUNCATED["by length"])) as (peer, session):
        received: list[bytes] = []

        async def collect(response: endwell.ClientResponse) -> None:
            while not response.content.at_eof():
                received.append(await response.content.readany())

        response = await session.get(peer.url())
        with pytest.raises(endwell.ClientPayloadError, match=r"(?i)5|length|not enough|bytes"):
            await collect(response)
        assert b"".join(received) == b"hello"


BODY = b"a page that is long enough to be worth compressing " * 20


def _encoded(coding: str) -> bytes:
    if coding == "gzip":
        return gzip.compress(BODY)
    if coding == "deflate":
        return zlib.compress(BODY)
    if coding == "br":
        return bytes(pytest.importorskip("brotli").compress(BODY))
    return bytes(pytest.importorskip("backports.zstd").compress(BODY))


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
async def test_half_a_coded_stream_is_an_error(coding: str, framing: str) -> None:
    await _coded(coding, _encoded(coding)[:-12], framing, "cod|gzip|deflate|brotli|br|zstd|compress|decod")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
async def test_a_corrupt_coded_stream_is_an_error(coding: str) -> None:
    good = _encoded(coding)
    await _coded(coding, b"\xff\x00\xff" + good[3:], "length", "cod|gzip|deflate|brotli|br|zstd|compress|decod")


async def test_a_gzip_stream_with_a_wrong_checksum_is_an_error() -> None:
    good = _encoded("gzip")
    await _coded("gzip", good[:-8] + b"\x00" * 4 + good[-4:], "length", "cod|gzip|check|compress|decod")


async def _coded(coding: str, body: bytes, framing: str, pattern: str) -> None:
    head = OK + b"Content-Encoding: " + coding.encode() + b"\r\n"
    if framing == "length":
        answer = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    elif framing == "chunked":
        answer = head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    else:
        answer = head + b"\r\n" + body
    async with meeting(answer_with(answer)) as (peer, session):
        with pytest.raises(endwell.ContentCodingError, match=f"(?i){pattern}"):
            await fetch(session, peer.url())
        assert await fetch(session, peer.url()) == (200, b"fine")


@TLS
async def test_a_body_up_to_the_close_is_whole_when_the_peer_takes_leave(tls: bool) -> None:
    async with meeting(answer_with(OK + b"\r\nhello", b" world"), tls=tls) as (peer, session):
        assert await fetch(session, peer.url()) == (200, b"hello world")
        assert await fetch(session, peer.url()) == (200, b"fine")


async def test_a_body_up_to_the_close_over_tls_needs_close_notify() -> None:
    script = answer_with(OK + b"\r\nhello", then=_cut)
    await goes_wrong(script, endwell.ClientPayloadError, "tls|ssl|close_notify|trunc|cut|incomplete", tls=True)


@TLS
async def test_a_body_up_to_the_close_is_not_whole_after_a_reset(tls: bool) -> None:
    script = answer_with(OK + b"\r\nhello", then=_rst)
    await goes_wrong(script, (endwell.ClientPayloadError, endwell.ClientOSError), r"\w", tls=tls)


async def test_a_body_with_a_length_is_whole_whatever_tls_does_after_it() -> None:
    script = answer_with(OK + b"Content-Length: 5\r\n\r\nhello", then=_cut)
    async with meeting(script, tls=True) as (peer, session):
        assert await fetch(session, peer.url()) == (200, b"hello")
        assert await fetch(session, peer.url()) == (200, b"fine")


AFTER = {
    "another answer after a length": OK + b"Content-Length: 2\r\n\r\nok" + EVIL,
    "garbage after a length": OK + b"Content-Length: 2\r\n\r\nok\x00\xff garbage",
    "another answer after chunks": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + EVIL,
    "garbage after chunks": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nmore",
    "a line end after a length": OK + b"Content-Length: 2\r\n\r\nok\r\n",
}


@TLS
@pytest.mark.parametrize("answer", AFTER.values(), ids=AFTER)
async def test_garbage_after_a_body_never_becomes_an_answer(answer: bytes, tls: bool) -> None:
    async with meeting(answer_with(answer, then=silence), tls=tls) as (peer, session):
        assert await fetch(session, peer.url()) == (200, b"ok")
        assert await fetch(session, peer.url()) == (200, b"fine")
        assert len(peer.connections) == 2


@TLS
@pytest.mark.parametrize("idle", [EVIL, b"H", b"\x00", b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"])
async def test_bytes_on_an_idle_connection_never_become_an_answer(idle: bytes, tls: bool) -> None:
    sent, go = asyncio.Event(), asyncio.Event()

    async def script(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.answer(b"first")
        await go.wait()
        await conn.send(idle)
        await conn.flush()
        sent.set()
        await silence(conn)

    async with meeting(script, tls=tls) as (peer, session):
        assert await fetch(session, peer.url()) == (200, b"first")
        go.set()
        await sent.wait()
        assert await fetch(session, peer.url(), "POST", data=b"x") == (200, b"fine")
        assert len(peer.connections) == 2
        assert len(peer.connections[0].requests) == 1


@TLS
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_idle_connection_that_ends_is_dropped(method: str, ending: str, tls: bool) -> None:
    ended, go = asyncio.Event(), asyncio.Event()

    async def script(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.answer(b"first")
        await go.wait()
        await ENDINGS[ending](conn)
        await conn.flush()
        ended.set()

    async with meeting(script, tls=tls) as (peer, session):
        assert await fetch(session, peer.url()) == (200, b"first")
        go.set()
        await ended.wait()
        assert await fetch(session, peer.url(), method) == (200, b"fine")
        assert len(peer.connections) == 2


def _dies_on_the_second_request(ending: str) -> Script:
    async def script(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.answer(b"first")
        await conn.read_request()
        await ENDINGS[ending](conn)

    return script


@pytest.mark.parametrize("ending", ["fin", "rst"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
async def test_an_idempotent_request_on_a_dead_kept_connection_is_repeated_once(method: str, ending: str) -> None:
    async with meeting(_dies_on_the_second_request(ending)) as (peer, session):
        assert await fetch(session, peer.url()) == (200, b"first")
        assert await fetch(session, peer.url(), method) == (200, b"fine")
        assert [len(conn.requests) for conn in peer.connections] == [2, 1]


@pytest.mark.parametrize("ending", ["fin", "rst"])
async def test_a_post_on_a_dead_kept_connection_is_not_repeated(ending: str) -> None:
    async with meeting(_dies_on_the_second_request(ending)) as (peer, session):
        assert await fetch(session, peer.url()) == (200, b"first")
        with pytest.raises((endwell.ServerDisconnectedError, endwell.ClientOSError)):
            await fetch(session, peer.url(), "POST", data=b"pay")
        assert await fetch(session, peer.url()) == (200, b"fine")
        assert [request.method for request in peer.requests] == ["GET", "POST", "GET"]


async def test_a_request_that_dies_again_on_a_new_connection_is_an_error() -> None:
    async def dies(conn: PeerConnection) -> None:
        await conn.read_request()

    async with meeting(_dies_on_the_second_request("fin"), dies, dies) as (peer, session):
        assert await fetch(session, peer.url()) == (200, b"first")
        with pytest.raises(endwell.ServerDisconnectedError):
            await fetch(session, peer.url())
        assert len(peer.connections) == 2
