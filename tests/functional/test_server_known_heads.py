"""What the server remembers of heads saves it work; it never changes what a request means (RFC 9112 sections 2.2, 6).

Heads are shared by all connections, and found by their bytes. So a client must not get an answer that is not its own by
sending bytes that somebody else's head, or a part of one, is made of, cut where it likes.
"""

from __future__ import annotations

import pytest

from tests.support.raw import Stage, facing

BODY = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
FRAMINGS = {
    "length": (b"Content-Length: %d\r\n" % len(BODY), BODY),
    "chunks": (b"Transfer-Encoding: chunked\r\n", CHUNKED),
}


async def bodies(stage: Stage, *pieces: bytes, times: int) -> None:
    """Send a request so many times on one connection; each has its body, and nothing in it is a request."""
    client = await stage.connect()
    for _ in range(times):
        await client.send(*pieces)
        assert (await client.answer()).body == b"fine /x"
        assert stage.calls == [("POST", "/x", BODY)]
        stage.calls.clear()


@pytest.mark.parametrize(("framing", "body"), FRAMINGS.values(), ids=FRAMINGS)
async def test_the_body_of_a_known_head_is_no_request(framing: bytes, body: bytes) -> None:
    """However often the same head has come: together with its body, or alone."""
    head = b"POST /x HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n"
    async with facing() as stage:
        for _ in range(2):
            await bodies(stage, head + body, times=4)
            await bodies(stage, head, body, times=4)
            await bodies(stage, head[:20], head[20:], body[:5], body[5:], times=2)


@pytest.mark.parametrize("fields", [b"Host: a\r\n", b"Host: a\r\nCookie: c=d\r\n"])
@pytest.mark.parametrize("start", [b"\r\n", b"", b"\r\n\r\n"])
async def test_known_fields_are_no_request(fields: bytes, start: bytes) -> None:
    """They were sent by somebody else, behind a request line that is not this client's."""
    async with facing() as stage:
        for number in range(4):
            client = await stage.connect()
            for _ in range(3):
                await client.send(b"GET /%d HTTP/1.1\r\n" % number + fields + b"\r\n")
                assert (await client.answer()).body == b"fine /%d" % number
        stage.calls.clear()
        (answer,) = await stage.ask(start + fields + b"\r\n")
        assert answer.status == 400
        assert not stage.calls
        assert len(stage.said()) == 1


async def test_a_known_request_behind_part_of_another() -> None:
    """The bytes of a known request are none while a head, or a body, is under way."""
    known = b"GET /known HTTP/1.1\r\nHost: a\r\n\r\n"
    async with facing() as stage:
        client = await stage.connect()
        for _ in range(4):
            await client.send(known)
            await client.answer()
        stage.calls.clear()
        await client.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(known), known)
        assert (await client.answer()).body == b"fine /x"
        assert stage.calls == [("POST", "/x", known)]
        await client.send(b"\r\n", known)
        assert (await client.answer()).body == b"fine /known"
        stage.calls.clear()
        await client.send(b"GET /y HTTP/1.1\r\nX: ", known)
        assert (await client.answer()).body == b"fine /y", "it was the value of a field"
