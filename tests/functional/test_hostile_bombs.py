"""Bodies that are small on the wire and huge when decoded (RFC 9110 section 8.4, zip bombs)."""

from __future__ import annotations

import functools
import gzip
import zlib

import pytest

import endwell
from tests.support.hostile import fetch, meeting
from tests.support.peer import PeerConnection, Script, answer_fine

SIZE = 256 * 2**20  # what each bomb would become
FAR_TOO_MUCH = 128 * 2**20  # by then it must have been noticed
ZEROS = bytes(2**20)


@functools.cache
def _bomb(coding: str) -> bytes:
    if coding == "br":
        compressor = pytest.importorskip("brotli").Compressor(quality=1)
        parts = [compressor.process(ZEROS) for _ in range(SIZE // len(ZEROS))]
        return b"".join(parts) + bytes(compressor.finish())
    if coding == "zstd":
        zstd = pytest.importorskip("backports.zstd").ZstdCompressor(level=1)
        parts = [zstd.compress(ZEROS) for _ in range(SIZE // len(ZEROS))]
        return b"".join(parts) + bytes(zstd.flush())
    packer = zlib.compressobj(1, wbits=31)
    once = b"".join(packer.compress(ZEROS) for _ in range(SIZE // len(ZEROS))) + packer.flush()
    return gzip.compress(once) if coding == "gzip, gzip" else gzip.compress(gzip.compress(once))


BOMBS = pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "gzip, gzip, gzip"])


def _answer(coding: str, body: bytes) -> Script:
    async def script(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.answer(body, f"Content-Encoding: {coding}")
        await answer_fine(conn)  # the connection may be kept: on the wire all was well

    return script


@BOMBS
async def test_reading_a_bomb_is_stopped(coding: str) -> None:
    async with meeting(_answer(coding, _bomb(coding))) as (peer, session):
        with pytest.raises(endwell.DecompressionLimitError, match=r"(?i)decompress|decod|ratio|limit"):
            await fetch(session, peer.url())
        assert await fetch(session, peer.url()) == (200, b"fine")


@BOMBS
async def test_a_bomb_is_stopped_before_it_is_large(coding: str) -> None:
    seen = 0

    async def count(response: endwell.ClientResponse) -> None:
        nonlocal seen
        async for chunk in response.content.iter_any():
            seen += len(chunk)

    async with meeting(_answer(coding, _bomb(coding))) as (peer, session):
        response = await session.get(peer.url())
        with pytest.raises(endwell.DecompressionLimitError):
            await count(response)
        assert seen < FAR_TOO_MUCH


@BOMBS
async def test_a_bomb_nobody_reads_is_not_inflated(coding: str) -> None:
    async with meeting(_answer(coding, _bomb(coding))) as (peer, session):
        async with session.get(peer.url()) as response:
            assert response.status == 200
        assert response.content.total_bytes < FAR_TOO_MUCH
        assert (await fetch(session, peer.url()))[0] == 200


async def test_without_decompression_a_bomb_is_only_bytes() -> None:
    bomb = _bomb("gzip, gzip")
    async with meeting(_answer("gzip, gzip", bomb)) as (peer, session):
        assert await fetch(session, peer.url(), auto_decompress=False) == (200, bomb)


async def test_a_large_page_that_compresses_well_is_no_bomb() -> None:
    body = b"<tr><td>0</td></tr>\n" * 200_000
    async with meeting(_answer("gzip", gzip.compress(body))) as (peer, session):
        assert await fetch(session, peer.url()) == (200, body)


async def test_a_tower_of_codings_is_refused() -> None:
    coding = ", ".join(["gzip"] * 30)
    async with meeting(_answer(coding, b"whatever")) as (peer, session):
        with pytest.raises(endwell.ContentCodingError, match=r"(?i)coding|encoding"):
            await fetch(session, peer.url())
        assert await fetch(session, peer.url()) == (200, b"fine")
