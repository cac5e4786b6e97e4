"""Framing that has two readings, or none: lengths, transfer codings and chunks (RFC 9112 sections 6 and 7)."""

from __future__ import annotations

import pytest

import endwell
from tests.support.hostile import bad_answer, fetch, meeting, says
from tests.support.peer import PeerConnection, answer_with, silence

OK = b"HTTP/1.1 200 OK\r\n"
# What comes with the head can make the whole answer bad; what comes later, only its body.
BAD_BODY = (endwell.ClientPayloadError, endwell.ClientResponseError)
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

BAD_LENGTHS = {
    "plus": b"+2",
    "minus": b"-2",
    "underscore": b"0_2",
    "hex": b"0x2",
    "empty": b"",
    "words": b"two",
    "list": b"2, 3",
    "inner space": b"2 2",
    "fraction": b"2.0",
    "arabic digit": "\u0662".encode(),
    "superscript": "\u00b2".encode("latin-1"),
    "overflow of 64 bits": b"18446744073709551618",
    "absurd": b"9" * 400,
    "vertical tab": b"\x0b2",
}


@pytest.mark.parametrize("value", BAD_LENGTHS.values(), ids=BAD_LENGTHS)
async def test_a_bad_length_is_refused(value: bytes) -> None:
    answer = OK + b"Content-Length: " + value + b"\r\n\r\nok"
    await bad_answer(answer, endwell.ClientResponseError, "content-length|invalid character in field|header value")


BAD_FRAMING = {
    "two lengths": b"Content-Length: 2\r\nContent-Length: 3\r\n",
    "length, then chunked": b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
    "chunked, then length": b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
    "chunked is not last": b"Transfer-Encoding: chunked, gzip\r\n",
    "no chunked": b"Transfer-Encoding: gzip\r\n",
    "unknown coding": b"Transfer-Encoding: xchunked\r\n",
    "identity": b"Transfer-Encoding: identity\r\n",
    "empty": b"Transfer-Encoding: \r\n",
    "chunked twice": b"Transfer-Encoding: chunked, chunked\r\n",
    "chunked on two lines": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "hidden by a second line": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    "vertical tab": b"Transfer-Encoding: \x0bchunked\r\n",
    "NUL": b"Transfer-Encoding: chunked\x00\r\n",
    "a letter that looks like k": "Transfer-Encoding: chun\u212aed\r\n".encode(),
    "parameter": b"Transfer-Encoding: chunked;q=1\r\n",
}


@pytest.mark.parametrize("fields", BAD_FRAMING.values(), ids=BAD_FRAMING)
async def test_contradictory_framing_is_refused(fields: bytes) -> None:
    answer = OK + fields + b"\r\n2\r\nok\r\n0\r\n\r\n"
    await bad_answer(answer, endwell.ClientResponseError, "content-length|transfer-encoding|field|header value")


GOOD_FRAMING = {
    "equal lengths": b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "leading zeros": b"Content-Length: 0002\r\n\r\nok",
    "white space around a length": b"Content-Length: \t2 \t\r\n\r\nok",
    "tabs around chunked": b"Transfer-Encoding: \tchunked\t\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "chunked in capitals": b"TRANSFER-ENCODING: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "extensions": b'Transfer-Encoding: chunked\r\n\r\n2;a=b;c="d;e"\r\nok\r\n0;last\r\n\r\n',
    "chunk sizes with zeros and capitals": b"Transfer-Encoding: chunked\r\n\r\n0002\r\nok\r\n000\r\n\r\n",
}


@pytest.mark.parametrize("rest", GOOD_FRAMING.values(), ids=GOOD_FRAMING)
async def test_harmless_framing_is_read_and_the_connection_kept(rest: bytes) -> None:
    async def script(conn: PeerConnection) -> None:
        for _ in range(2):
            await conn.read_request()
            await conn.send(OK + rest)
        await silence(conn)

    async with meeting(script) as (peer, session):
        for _ in range(2):
            assert await fetch(session, peer.url()) == (200, b"ok")
        assert len(peer.connections) == 1


BAD_CHUNKS = {
    "hex prefix": b"0x2\r\nok\r\n0\r\n\r\n",
    "plus": b"+2\r\nok\r\n0\r\n\r\n",
    "minus": b"-2\r\nok\r\n0\r\n\r\n",
    "underscore": b"0_2\r\nok\r\n0\r\n\r\n",
    "white space before": b" 2\r\nok\r\n0\r\n\r\n",
    "empty": b"\r\nok\r\n0\r\n\r\n",
    "not hex": b"g\r\nok\r\n0\r\n\r\n",
    "arabic digit": "\u0662\r\nok\r\n0\r\n\r\n".encode(),
    "overflow": b"10000000000000002\r\nok\r\n0\r\n\r\n",
    "absurd": b"f" * 400 + b"\r\nok\r\n0\r\n\r\n",
    "no line end after the data": b"2\r\nok!!0\r\n\r\n",
    "data longer than said": b"2\r\nokay\r\n0\r\n\r\n",
    "bare CR after the size": b"2\rok\r\n0\r\n\r\n",
    "LF in an extension": b"2;a=\nb\r\nok\r\n0\r\n\r\n",
    "CR in an extension": b"2;a=\rb\r\nok\r\n0\r\n\r\n",
    "NUL in an extension": b"2;a=\x00\r\nok\r\n0\r\n\r\n",
    "garbage instead of trailers": b"2\r\nok\r\n0\r\nno colon here\r\n\r\n",
    "bare CR in a trailer": b"2\r\nok\r\n0\r\nA: b\rc\r\n\r\n",
}


@pytest.mark.parametrize("together", [True, False], ids=["one-segment", "after-the-head"])
@pytest.mark.parametrize("chunks", BAD_CHUNKS.values(), ids=BAD_CHUNKS)
async def test_bad_chunks_are_refused(chunks: bytes, together: bool) -> None:
    pieces = [CHUNKED + chunks] if together else [CHUNKED, chunks]
    async with meeting(answer_with(*pieces, then=silence)) as (peer, session):
        with pytest.raises(BAD_BODY, match=r"(?i)chunk|transfer|trailer|invalid|expected|missing|header|field"):
            await fetch(session, peer.url())
        assert await fetch(session, peer.url()) == (200, b"fine")


FLOODS = {
    "one extension without end": [b"2;" + b"a" * 16384] + [b"a" * 16384] * 63,
    "an extension on each byte": [b"1;" + b"e" * 4000 + b"\r\nx\r\n"] * 2000,
    "trailers without end": [b"0\r\n"] + [b"A: " + b"b" * 1000 + b"\r\n"] * 2000,
    "small trailers without end": [b"0\r\n"] + [b"A:b\r\n" * 1000] * 100,
    "one trailer without end": [b"0\r\nA: "] + [b"b" * 16384] * 64,
    "a size of zeros without end": [b"0" * 16384] * 64,
}


@pytest.mark.parametrize("pieces", FLOODS.values(), ids=FLOODS)
async def test_floods_around_chunks_are_bounded(pieces: list[bytes]) -> None:
    async def script(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.send(CHUNKED)
        for piece in pieces:
            await conn.send_raw(piece)
        await silence(conn)

    async with meeting(script) as (peer, session):
        with pytest.raises(BAD_BODY, match=r"(?i)chunk|trailer|transfer|extension|too (long|many|large)|over"):
            await fetch(session, peer.url())
        assert await fetch(session, peer.url()) == (200, b"fine")


async def test_trailers_are_not_merged_into_the_fields() -> None:
    body = b"2\r\nok\r\n0\r\nX-Trailer: 1\r\nSet-Cookie: a=b\r\n\r\n"
    async with meeting(answer_with(CHUNKED + body, then=silence)) as (peer, session):
        response = await session.get(peer.url())
        assert await response.read() == b"ok"
        assert list(response.headers) == ["Transfer-Encoding"]
        assert [name for name, _ in response.raw_headers] == [b"Transfer-Encoding"]
        assert not response.cookies


async def test_many_tiny_chunks_cost_no_quadratic_time() -> None:
    """200,000 chunks of a byte: quadratic work would take minutes and hang here."""
    body = b"1\r\nx\r\n" * 200_000 + b"0\r\n\r\n"

    async def script(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.send_raw(CHUNKED + body)
        await silence(conn)

    async with meeting(script) as (peer, session):
        assert await fetch(session, peer.url()) == (200, b"x" * 200_000)


@pytest.mark.parametrize("coding", ["chunked", "gzip, chunked"])
async def test_a_transfer_coding_in_http_1_0_never_leaves_a_connection_in_the_pool(coding: str) -> None:
    answer = f"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: {coding}\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    async with meeting(answer_with(answer.encode(), then=silence)) as (peer, session):
        try:
            assert (await fetch(session, peer.url()))[0] == 200
        except (endwell.ClientResponseError, endwell.ClientPayloadError) as error:
            says(error, r"\w")
        assert await fetch(session, peer.url()) == (200, b"fine")
        assert len(peer.connections) == 2


@pytest.mark.parametrize("field", [b"Content-Length: 2\r\n", b"Transfer-Encoding: chunked\r\n"])
@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", b"200 OK"), ("GET", b"204 No Content"), ("GET", b"304 Not Modified")]
)
async def test_an_answer_without_a_body_has_none_whatever_its_fields_say(
    method: str, status: bytes, field: bytes
) -> None:
    async with meeting(answer_with(b"HTTP/1.1 " + status + b"\r\n" + field + b"\r\n", then=silence)) as (peer, session):
        assert await fetch(session, peer.url(), method) == (int(status[:3]), b"")


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", b"200 OK"), ("GET", b"204 No Content"), ("GET", b"304 Not Modified")]
)
async def test_a_body_where_there_is_none_is_garbage_on_the_connection(method: str, status: bytes) -> None:
    answer = b"HTTP/1.1 " + status + b"\r\nContent-Length: 4\r\n\r\nevil"
    async with meeting(answer_with(answer, then=silence)) as (peer, session):
        assert await fetch(session, peer.url(), method) == (int(status[:3]), b"")
        assert await fetch(session, peer.url()) == (200, b"fine")
        assert len(peer.connections) == 2
