"""Any split of the bytes of an answer gives the same result, through a real session."""

from __future__ import annotations

import gzip
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import endwell
from tests.support.hostile import meeting
from tests.support.peer import PeerConnection, silence

ZIPPED = gzip.compress(b"hello hello hello hello")
ANSWERS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A:\t1 \r\nX-A: 2\r\n\r\nhello",
    b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nTrailer: 1\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nA: b\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.1 204 No Content\r\nSet-Cookie: a=b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(ZIPPED), ZIPPED),
    b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\td\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nup to the end",
]


async def _exchange(answer: bytes, pieces: list[bytes]) -> Any:
    to_the_end = answer.startswith(b"HTTP/1.0")

    async def script(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.send(*pieces)
        if not to_the_end:
            await silence(conn)

    async with meeting(script) as (peer, session), session.get(peer.url()) as response:
        body = await response.read()
        return response.status, response.reason, list(response.headers.items()), response.raw_headers, body


@settings(max_examples=15, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
async def test_any_split_gives_the_same_result(data: st.DataObject) -> None:
    answer = data.draw(st.sampled_from(ANSWERS))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(answer) - 1), max_size=8)))
    pieces = [answer[start:end] for start, end in zip([0, *cuts], [*cuts, len(answer)], strict=True)]
    assert await _exchange(answer, pieces) == await _exchange(answer, [answer])


async def test_byte_by_byte_gives_the_same_result() -> None:
    for answer in ANSWERS:
        assert await _exchange(answer, [bytes([byte]) for byte in answer]) == await _exchange(answer, [answer])


async def test_the_answers_are_what_they_should_be() -> None:
    results = [await _exchange(answer, [answer]) for answer in ANSWERS]
    assert [(result[0], result[4]) for result in results] == [
        (200, b"hello"),
        (200, b"hello"),
        (404, b"no"),
        (204, b""),
        (200, b"hello hello hello hello"),
        (200, b""),
        (200, b"up to the end"),
    ]
    assert endwell.hdrs.SET_COOKIE in dict(results[3][2])
