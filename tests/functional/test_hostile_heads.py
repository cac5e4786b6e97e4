"""Status lines and fields that are garbage, too long, too many, or split a message (RFC 9112 sections 2, 4 and 5)."""

from __future__ import annotations

import pytest

import endwell
from tests.support.hostile import bad_answer, fetch, meeting, says
from tests.support.peer import PeerConnection, answer_with, silence

OK = b"HTTP/1.1 200 OK\r\n"
END = b"Content-Length: 2\r\n\r\nok"

BAD_STATUS_LINES = {
    "garbage": b"garbage",
    "a page without a head": b"<html>hello</html>",
    "a TLS alert": b"\x15\x03\x01\x00\x02\x02\x46",
    "an SSH greeting": b"SSH-2.0-OpenSSH_9.2",
    "an FTP greeting": b"220 ready",
    "no status": b"HTTP/1.1",
    "a status of two digits": b"HTTP/1.1 20 OK",
    "a status of four digits": b"HTTP/1.1 2000 OK",
    "a status of letters": b"HTTP/1.1 abc OK",
    "a status of other digits": "HTTP/1.1 \u0662\u0660\u0660 OK".encode(),
    "a negative status": b"HTTP/1.1 -20 OK",
    "two spaces": b"HTTP/1.1  200 OK",
    "a tab": b"HTTP/1.1\t200 OK",
    "lower case": b"http/1.1 200 OK",
    "another protocol": b"ICY 200 OK",
    "RTSP": b"RTSP/1.0 200 OK",
    "HTTP/0.9": b"HTTP/0.9 200 OK",
    "HTTP/2.0": b"HTTP/2.0 200 OK",
    "HTTP/2": b"HTTP/2 200 OK",
    "HTTP/11.1": b"HTTP/11.1 200 OK",
    "HTTP/1.1.1": b"HTTP/1.1.1 200 OK",
    "NUL in the reason": b"HTTP/1.1 200 O\x00K",
    "CR in the reason": b"HTTP/1.1 200 O\rK",
}


@pytest.mark.parametrize("line", BAD_STATUS_LINES.values(), ids=BAD_STATUS_LINES)
async def test_a_bad_status_line_is_refused(line: bytes) -> None:
    error = await bad_answer(line + b"\r\n" + END, endwell.ClientResponseError, "status|version|http|reason|invalid")
    assert isinstance(error, endwell.ClientResponseError)
    assert error.status == 400


BAD_FIELDS = {
    "space before the colon": b"A : b",
    "tab before the colon": b"A\t: b",
    "space in the name": b"A B: c",
    "no colon": b"A b",
    "no name": b": b",
    "control in the name": b"A\x01: b",
    "a name that is not ASCII": "\u00e9: b".encode(),
    "bare CR in the value": b"A: b\rContent-Length: 9",
    "CR at the end of the value": b"A: b\r\r",
    "NUL in the value": b"A: b\x00c",
    "NUL in the name": b"A\x00: b",
}


@pytest.mark.parametrize("field", BAD_FIELDS.values(), ids=BAD_FIELDS)
async def test_a_bad_field_is_refused(field: bytes) -> None:
    await bad_answer(OK + field + b"\r\n" + END, endwell.ClientResponseError, "field|header|invalid")


async def test_a_first_line_that_is_folded_is_refused_or_left_out() -> None:
    """RFC 9112 section 2.2: nothing that follows the status line after white space may become a field."""
    async with meeting(answer_with(OK + b" A: b\r\n" + END)) as (peer, session):
        try:
            async with session.get(peer.url()) as response:
                assert [name.strip() for name in response.headers] == ["Content-Length"]
                assert await response.read() == b"ok"
        except endwell.ClientResponseError as error:
            says(error, "400")
        assert await fetch(session, peer.url()) == (200, b"fine")


@pytest.mark.parametrize("fold", [b"\r\n ", b"\r\n\t", b" \r\n  "])
async def test_obs_fold_reads_as_white_space(fold: bytes) -> None:
    answer = OK + b"A: b" + fold + b"c\r\n" + END
    async with meeting(answer_with(answer, then=silence)) as (peer, session), session.get(peer.url()) as response:
        assert response.headers["A"].split() == ["b", "c"]
        assert not set("\r\n") & set(response.headers["A"])
        assert await response.read() == b"ok"


HARMLESS = {
    "no reason": b"HTTP/1.1 200 \r\n" + END,
    "no reason and no space": b"HTTP/1.1 200\r\n" + END,
    "a reason of Latin-1": b"HTTP/1.1 200 D\xe9j\xe0\r\n" + END,
    "an empty value": OK + b"A:\r\n" + END,
    "no space after the colon": OK + b"A:b\r\n" + END,
    "a value of Latin-1 and UTF-8": OK + b"A: \xe9 \xc3\xa9\r\n" + END,
    "HTTP/1.0 with keep-alive": b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + END,
    "a date of the past": OK + b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n" + END,
    "a content type of nonsense": OK + b"Content-Type: ;;;=\r\n" + END,
    "a cookie of nonsense": OK + b"Set-Cookie: ;;;=;=;\r\n" + END,
    "a link of nonsense": OK + b"Link: <<<>,;;\r\n" + END,
    "an early hint before": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK + END,
    "three continues before": b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + OK + END,
}


@pytest.mark.parametrize("answer", HARMLESS.values(), ids=HARMLESS)
async def test_harmless_sloppiness_is_accepted(answer: bytes) -> None:
    async def script(conn: PeerConnection) -> None:
        for _ in range(2):
            await conn.read_request()
            await conn.send(answer)
        await silence(conn)

    async with meeting(script) as (peer, session):
        for _ in range(2):
            async with session.get(peer.url()) as response:
                assert response.status == 200
                assert await response.read() == b"ok"
                repr(response), response.charset, response.content_type, response.cookies
        assert len(peer.connections) == 1


@pytest.mark.parametrize(
    "answer", [OK.replace(b"\r\n", b"\n") + END, OK + b"A: b\n" + END, (OK + END).replace(b"\r\n", b"\n")]
)
async def test_a_bare_lf_is_read_as_a_line_end_or_refused_and_nothing_else(answer: bytes) -> None:
    async with meeting(answer_with(answer)) as (peer, session):
        try:
            async with session.get(peer.url()) as response:
                assert (response.headers.get("A", "b"), await response.read()) == ("b", b"ok")
        except endwell.ClientResponseError as error:
            says(error, "400")
        assert (await fetch(session, peer.url()))[0] == 200


LONG = {
    "a reason": b"HTTP/1.1 200 " + b"r" * 20_000 + b"\r\n" + END,
    "a value": OK + b"A: " + b"v" * 20_000 + b"\r\n" + END,
    "a name": OK + b"n" * 20_000 + b": v\r\n" + END,
    "a folded value": OK + b"A: v" + b"\r\n " + b"v" * 1000 + (b"\r\n " + b"v" * 1000) * 20 + b"\r\n" + END,
    "many fields": OK + b"A: b\r\n" * 1000 + END,
    "just one field too many": OK + b"A: b\r\n" * 128 + END,
}


@pytest.mark.parametrize("answer", LONG.values(), ids=LONG)
async def test_a_head_beyond_the_limits_is_refused(answer: bytes) -> None:
    await bad_answer(answer, endwell.ClientResponseError, r"too|more than|long|many|limit|\d{3,}")


async def test_the_limits_can_be_raised_for_a_session_and_for_a_request() -> None:
    limits = {"max_line_size": 30_000, "max_field_size": 30_000, "max_headers": 2000}
    for answer in (LONG["a reason"], LONG["a value"], LONG["many fields"]):
        async with meeting(answer_with(answer, then=silence), **limits) as (peer, session):
            assert await fetch(session, peer.url()) == (200, b"ok")
        async with meeting(answer_with(answer, then=silence)) as (peer, session):
            assert await fetch(session, peer.url(), **limits) == (200, b"ok")


ENDLESS = {
    "a line without an end": (b"HTTP/1.1 200 ", b"r" * 16384),
    "garbage without an end": (b"", b"g" * 16384),
    "a name without an end": (OK, b"n" * 16384),
    "a value without an end": (OK + b"A: ", b"v" * 16384),
    "fields without an end": (OK, b"A: b\r\n" * 1000),
    "empty lines without an end": (b"", b"\r\n" * 8192),
    "continues without an end": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 200),
    "early hints without an end": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 200),
    "processing without an end": (b"", b"HTTP/1.1 102 Processing\r\n\r\n" * 200),
}


@pytest.mark.parametrize(("start", "again"), ENDLESS.values(), ids=ENDLESS)
async def test_a_head_without_end_is_given_up(start: bytes, again: bytes) -> None:
    async def script(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.send(start)
        for _ in range(2000):  # until the client has had enough; 30 MB and more are not a head
            await conn.send(again)
        raise AssertionError("the client read it all")

    async with meeting(script) as (peer, session):
        with pytest.raises(endwell.ClientResponseError):
            await fetch(session, peer.url())
        assert await fetch(session, peer.url()) == (200, b"fine")
        assert len(peer.connections) == 2


@pytest.mark.parametrize("fields", [b"", b"Connection: upgrade\r\nUpgrade: websocket\r\n"], ids=["bare", "websocket"])
async def test_a_101_nobody_asked_for_is_refused(fields: bytes) -> None:
    answer = b"HTTP/1.1 101 Switching Protocols\r\n" + fields + b"\r\n" + OK + END
    await bad_answer(answer, endwell.ClientResponseError, "101|switch|upgrade")


async def test_a_status_of_the_future_is_an_answer() -> None:
    answer = b"HTTP/1.1 799 Whatever\r\n" + END
    async with meeting(answer_with(answer, then=silence)) as (peer, session):
        assert await fetch(session, peer.url()) == (799, b"ok")
