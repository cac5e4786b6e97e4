"""Coded bodies over real connections: every coding, spoilt and cut short ones, bombs, and what is not known."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import pytest

import endwell
from endwell.http.codings import make_encoder
from tests.support.echo import EchoServer, Reply

TEXT = b"".join(b"line %d of the text\n" % number for number in range(20_000))


def encode(coding: str, data: bytes) -> bytes:
    for name in coding.split(", "):
        encoder = make_encoder(name)
        data = encoder.compress(data) + encoder.flush()
    return data


def serve(coding: str, body: bytes) -> EchoServer:
    return EchoServer({"/a": lambda _: Reply(body, headers={"Content-Encoding": coding})})


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "deflate, gzip", "x-gzip", "GZIP"])
async def test_every_coding(coding: str) -> None:
    async with serve(coding, encode(coding.lower(), TEXT)) as server, endwell.ClientSession() as session:
        async with session.get(server.url("/a")) as response:
            assert await response.read() == TEXT
            assert response.headers["Content-Encoding"] == coding
        assert server.requests[0].get("Accept-Encoding") == "gzip, deflate, br, zstd"


async def test_piece_by_piece() -> None:
    async with (
        serve("gzip", gzip.compress(TEXT)) as server,
        endwell.ClientSession() as session,
        session.get(server.url("/a")) as response,
    ):
        pieces = [piece async for piece in response.content.iter_chunked(1000)]
    assert b"".join(pieces) == TEXT
    assert all(len(piece) <= 1000 for piece in pieces)


async def test_unknown_codings_are_handed_on() -> None:
    async with (
        serve("compress", b"what it is") as server,
        endwell.ClientSession() as session,
        session.get(server.url("/a")) as response,
    ):
        assert await response.read() == b"what it is"


async def test_decoding_turned_off() -> None:
    body = gzip.compress(TEXT)
    async with (
        serve("gzip", body) as server,
        endwell.ClientSession(auto_decompress=False) as session,
        session.get(server.url("/a")) as response,
    ):
        assert await response.read() == body


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(TEXT, mtime=0)[:-1]),
        ("gzip", gzip.compress(TEXT, mtime=0)[:500]),
        ("gzip", b"this is no gzip"),
        ("deflate", zlib.compress(TEXT)[:-4]),
        ("br", b"\xff" * 50),
        ("deflate, gzip", gzip.compress(b"no zlib", mtime=0)),
    ],
)
async def test_bodies_that_do_not_decode(coding: str, body: bytes) -> None:
    async with serve(coding, body) as server, endwell.ClientSession() as session:
        async with session.get(server.url("/a")) as response:
            with pytest.raises(endwell.ClientPayloadError, match="content-encoding") as caught:
                await response.read()
        assert isinstance(caught.value, endwell.ContentCodingError)


async def test_an_empty_body_with_a_coding() -> None:
    async with serve("gzip", b"") as server, endwell.ClientSession() as session:
        for method in ("GET", "HEAD"):
            async with session.request(method, server.url("/a")) as response:
                assert await response.read() == b""


@pytest.mark.parametrize("coding", ["br", "gzip, gzip"])
async def test_a_bomb(coding: str) -> None:
    async with serve(coding, encode(coding, bytes(40 * 2**20))) as server, endwell.ClientSession() as session:
        async with session.get(server.url("/a")) as response:
            received = 0
            with pytest.raises(endwell.DecompressionLimitError, match="a bomb"):
                received = await count(response)
        assert received == 0


async def count(response: Any) -> int:
    return sum([len(piece) async for piece in response.content.iter_any()])
