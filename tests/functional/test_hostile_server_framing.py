"""Requests whose framing has two readings, or none: refused, and nothing behind them runs (RFC 9112 sections 6, 7)."""

from __future__ import annotations

import pytest

from endwell import web
from tests.support.raw import facing, refused

POST = b"POST /s HTTP/1.1\r\nHost: a\r\n"
BODY = b"2\r\nok\r\n0\r\n\r\n"
SPLITS = pytest.mark.parametrize("split", ["together", "head apart", "bytes"])


def cut(head: bytes, rest: bytes, how: str) -> list[bytes]:
    """Give the segments in which head and rest are sent."""
    if how == "together":
        return [head + rest]
    if how == "head apart":
        return [head, rest]
    return [bytes([byte]) for byte in head + rest]


# A length that is no length; one that somebody else may read as another (sections 6.2 and 6.3).
BAD_LENGTHS = {
    "plus": b"+2",
    "minus": b"-2",
    "underscore": b"0_2",
    "hex": b"0x2",
    "empty": b"",
    "words": b"s3cr3t",
    "list of equals": b"2, 2",
    "list": b"2, 3",
    "inner space": b"2 2",
    "fraction": b"2.0",
    "arabic digit": "\u0662".encode(),
    "superscript": "\u00b2".encode("latin-1"),
    "overflow of 63 bits": b"9223372036854775808",
    "overflow of 64 bits": b"18446744073709551618",
    "absurd": b"9" * 400,
    "vertical tab": b"\x0b2",
    "NUL": b"2\x00",
}


@SPLITS
@pytest.mark.parametrize("value", BAD_LENGTHS.values(), ids=BAD_LENGTHS)
async def test_a_bad_length_is_refused(value: bytes, split: str) -> None:
    async with facing() as stage:
        await refused(stage, *cut(POST + b"Content-Length: " + value + b"\r\n\r\n", b"ok", split))
        assert not stage.calls


BAD_FRAMING = {
    "two lengths": b"Content-Length: 2\r\nContent-Length: 3\r\n",
    "equal lengths": b"Content-Length: 2\r\nContent-Length: 2\r\n",
    "length, then chunked": b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
    "chunked, then length": b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
    "chunked and a length of 0": b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
    "chunked is not last": b"Transfer-Encoding: chunked, gzip\r\n",
    "no chunked": b"Transfer-Encoding: gzip\r\n",
    "unknown coding": b"Transfer-Encoding: xchunked\r\n",
    "known coding below": b"Transfer-Encoding: gzip, chunked\r\n",
    "identity": b"Transfer-Encoding: identity\r\n",
    "empty": b"Transfer-Encoding: \r\n",
    "empty member": b"Transfer-Encoding: , chunked\r\n",
    "chunked twice": b"Transfer-Encoding: chunked, chunked\r\n",
    "chunked on two lines": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "hidden by a second line": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    "hidden by a first line": b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
    "vertical tab": b"Transfer-Encoding: \x0bchunked\r\n",
    "form feed": b"Transfer-Encoding: chunked\x0c\r\n",
    "NUL": b"Transfer-Encoding: chunked\x00\r\n",
    "no-break space": b"Transfer-Encoding: \xa0chunked\r\n",
    "a letter that looks like k": "Transfer-Encoding: chun\u212aed\r\n".encode(),
    "parameter": b"Transfer-Encoding: chunked;q=1\r\n",
    "quoted": b'Transfer-Encoding: "chunked"\r\n',
    "space before the colon": b"Transfer-Encoding : chunked\r\n",
    "tab before the colon": b"Content-Length\t: 2\r\n",
    "folded": b"Transfer-Encoding:\r\n chunked\r\n",
    "folded length": b"Content-Length: 2\r\n 3\r\n",
    "bare CR in front": b"A: b\rTransfer-Encoding: chunked\r\n",
    "bare LF in front": b"A: b\nTransfer-Encoding: chunked\r\n",
    "secret coding": b"Transfer-Encoding: s3cr3t\r\n",
    "secret in a list": b"Transfer-Encoding: s3cr3t=1, chunked\r\n",
}


@SPLITS
@pytest.mark.parametrize("fields", BAD_FRAMING.values(), ids=BAD_FRAMING)
async def test_contradictory_framing_is_refused(fields: bytes, split: str) -> None:
    async with facing() as stage:
        await refused(stage, *cut(POST + fields + b"\r\n", BODY, split), status=(400, 501))
        assert not stage.calls


@SPLITS
@pytest.mark.parametrize("connection", [b"", b"Connection: keep-alive\r\n"], ids=["", "keep-alive"])
@pytest.mark.parametrize("coding", [b"chunked", b"gzip, chunked", b"identity"])
async def test_a_transfer_coding_in_http_1_0_ends_the_connection(coding: bytes, connection: bytes, split: str) -> None:
    head = b"POST /s HTTP/1.0\r\nHost: a\r\n" + connection + b"Transfer-Encoding: " + coding + b"\r\n\r\n"
    async with facing() as stage:
        await refused(stage, *cut(head, BODY, split))
        assert not stage.calls


GOOD_FRAMING = {
    "leading zeros": b"Content-Length: 0002\r\n\r\nok",
    "white space around a length": b"Content-Length: \t2 \t\r\n\r\nok",
    "tabs around chunked": b"Transfer-Encoding: \tchunked\t\r\n\r\n" + BODY,
    "chunked in capitals": b"TRANSFER-ENCODING: CHUNKED\r\n\r\n" + BODY,
    "extensions": b'Transfer-Encoding: chunked\r\n\r\n2;a=b;c="d;e"\r\nok\r\n0;last\r\n\r\n',
    "chunk sizes with zeros and capitals": b"Transfer-Encoding: chunked\r\n\r\n0002\r\nok\r\n000\r\n\r\n",
    "two chunks": b"Transfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
    "trailers": b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n",
}


@SPLITS
@pytest.mark.parametrize("rest", GOOD_FRAMING.values(), ids=GOOD_FRAMING)
async def test_harmless_framing_is_read_and_the_connection_kept(rest: bytes, split: str) -> None:
    async with facing() as stage:
        client = await stage.connect()
        for _ in range(2):
            await client.send(*cut(POST, rest, split))
            answer = await client.answer()
            assert (answer.status, answer.closes) == (200, False)
        assert stage.calls == [("POST", "/s", b"ok")] * 2


BAD_CHUNKS = {
    "hex prefix": b"0x2\r\nok\r\n0\r\n\r\n",
    "plus": b"+2\r\nok\r\n0\r\n\r\n",
    "minus": b"-2\r\nok\r\n0\r\n\r\n",
    "underscore": b"0_2\r\nok\r\n0\r\n\r\n",
    "white space before": b" 2\r\nok\r\n0\r\n\r\n",
    "empty": b"\r\nok\r\n0\r\n\r\n",
    "not hex": b"s3cr3t\r\nok\r\n0\r\n\r\n",
    "arabic digit": "\u0662\r\nok\r\n0\r\n\r\n".encode(),
    "overflow": b"10000000000000002\r\nok\r\n0\r\n\r\n",
    "absurd": b"f" * 400 + b"\r\nok\r\n0\r\n\r\n",
    "no line end after the data": b"2\r\nok!!0\r\n\r\n",
    "data longer than said": b"2\r\nok s3cr3t\r\n0\r\n\r\n",
    "LF after the data": b"2\r\nok\n0\r\n\r\n",
    "LF after the size": b"2\nok\r\n0\r\n\r\n",
    "bare CR after the size": b"2\rok\r\n0\r\n\r\n",
    "LF in an extension": b"2;a=\nb\r\nok\r\n0\r\n\r\n",
    "CR in an extension": b"2;a=\rb\r\nok\r\n0\r\n\r\n",
    "NUL in an extension": b"2;a=\x00\r\nok\r\n0\r\n\r\n",
    "garbage instead of trailers": b"2\r\nok\r\n0\r\nno colon here\r\n\r\n",
    "a request instead of trailers": b"2\r\nok\r\n0\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    "folded trailer": b"2\r\nok\r\n0\r\nA: b\r\n c\r\n\r\n",
    "space before the colon of a trailer": b"2\r\nok\r\n0\r\nA : b\r\n\r\n",
    "bare CR in a trailer": b"2\r\nok\r\n0\r\nA: b\rc\r\n\r\n",
    "bare LF in a trailer": b"2\r\nok\r\n0\r\nA: b\nc: d\r\n\r\n",
    "NUL in a trailer": b"2\r\nok\r\n0\r\nA: b\x00\r\n\r\n",
}
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@SPLITS
@pytest.mark.parametrize("chunks", BAD_CHUNKS.values(), ids=BAD_CHUNKS)
async def test_bad_chunks_are_refused(chunks: bytes, split: str) -> None:
    async with facing() as stage:
        await refused(stage, *cut(CHUNKED, chunks, split))
        assert not stage.calls


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
    async with facing() as stage:
        await refused(stage, CHUNKED, *pieces, status=413)
        assert not stage.calls


async def test_trailers_are_not_merged_into_the_fields() -> None:
    seen = []

    async def handler(request: web.BaseRequest) -> web.Response:
        if request.method == "GET":
            return web.Response()
        assert await request.read() == b"ok"
        seen.append((dict(request.headers), request.raw_headers, dict(request.cookies), request.host))
        return web.Response()

    trailers = b"2\r\nok\r\n0\r\nHost: evil\r\nX-Admin: 1\r\nCookie: a=b\r\nContent-Length: 5\r\n\r\n"
    async with facing(handler) as stage:
        client = await stage.connect()
        await client.send(CHUNKED + trailers)
        assert (await client.answer()).status == 200
        fields = {"Host": "a", "Transfer-Encoding": "chunked"}
        raw = ((b"Host", b"a"), (b"Transfer-Encoding", b"chunked"))
        assert seen == [(fields, raw, {}, "a")]


async def test_a_handler_that_does_not_read_leaves_nothing_to_be_read_as_a_request() -> None:
    """The body of a request holds another one; the handler answers without looking at it."""

    async def handler(request: web.BaseRequest) -> web.Response:
        assert request.method == "POST" or request.raw_path == "/fine"
        return web.Response(text=request.raw_path)

    inner = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    async with facing(handler) as stage:
        client = await stage.connect()
        for split in (1, 10, len(inner)):
            await client.send(POST + b"Content-Length: %d\r\n\r\n" % len(inner) + inner[:split], inner[split:])
            assert (await client.answer()).body == b"/s"
        chunk = b"%x\r\n%b\r\n" % (len(inner), inner)
        answers = await stage.ask(CHUNKED, chunk, chunk, b"0\r\n\r\n")
        assert [answer.body for answer in answers] == [b"/s"]
