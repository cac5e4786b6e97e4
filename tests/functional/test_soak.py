"""A soak: many clients, a peer with every fault, random delays, resets, cancellations and time-outs; nothing is left.

Seeded and bounded: `ENDWELL_SOAK_SECONDS` (default 2 for each kind of loop and transport) and `ENDWELL_SOAK_SEED`.
Delays are part of the load, nobody waits for them. What is left is counted when a first, shorter round has filled
all caches.
"""

from __future__ import annotations

import asyncio
import collections
import gc
import gzip
import os
import random
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

import endwell
from tests.support.leaks import open_sockets
from tests.support.peer import PeerConnection, ScriptedPeer
from tests.support.tls import client_context, server_context

SECONDS = float(os.environ.get("ENDWELL_SOAK_SECONDS", "2"))
SEED = int(os.environ.get("ENDWELL_SOAK_SEED", "1"))
CLIENTS = 40
OK = b"HTTP/1.1 200 OK\r\n"
ZIPPED = gzip.compress(b"z" * 50_000)
WHOLE = [
    OK + b"Content-Length: 5\r\n\r\nhello",
    OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(ZIPPED), ZIPPED),
    OK + b"Content-Length: 300000\r\n\r\n" + b"x" * 300_000,
    b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\nSet-Cookie: a=b\r\n\r\noh",
]
BROKEN = [
    b"garbage\r\n\r\n",
    OK + b"Content-Length: 9\r\nContent-Length: 8\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    OK + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
    OK + b"Content-Length: 5\r\n\r\nhello and more",
]


def _faulty(dice: random.Random) -> Any:
    async def script(conn: PeerConnection) -> None:
        while True:
            if dice.random() < 0.02:
                conn.reset()
                return
            if dice.random() < 0.1:
                await conn.read_head()  # an early answer
                await conn.answer(b"early", "Connection: close")
                return
            await conn.read_request()
            conn.received.clear()
            conn.requests.clear()
            fate = dice.random()
            if fate < 0.1:
                await asyncio.sleep(dice.random() * 0.1)
            answer = dice.choice(BROKEN if fate > 0.85 else WHOLE)
            if 0.1 < fate < 0.2:
                answer = answer[: dice.randrange(len(answer))]
            cut = dice.randrange(len(answer) + 1)
            await conn.send(answer[:cut], answer[cut:])
            if 0.1 < fate < 0.15:
                await conn.closed_by_client()
            elif 0.15 < fate < 0.2:
                conn.reset()
                return
            elif 0.2 < fate < 0.25:
                return

    return script


async def _pieces(dice: random.Random) -> AsyncIterator[bytes]:
    for _ in range(dice.randrange(8)):
        yield b"p" * dice.randrange(1, 50_000)
        await asyncio.sleep(0)


async def _one(session: endwell.ClientSession, url: str, dice: random.Random) -> None:
    method = dice.choice(["GET", "GET", "POST", "PUT", "HEAD"])
    options: dict[str, Any] = {"timeout": endwell.ClientTimeout(total=dice.choice([0.01, 0.1, 5]), sock_read=0.5)}
    if method in ("POST", "PUT"):
        options["data"] = dice.choice([b"bytes" * dice.randrange(20_000), _pieces(dice), {"a": "b"}])
    async with session.request(method, url, **options) as response:
        way = dice.randrange(4)
        if way == 0:
            await response.read()
        elif way == 1:
            async for _ in response.content.iter_chunked(1000):
                if dice.random() < 0.1:
                    break
        elif way == 2:
            response.close()
        # else it is left unread


async def _client(session: endwell.ClientSession, url: str, dice: random.Random, end: float, seen: Any) -> None:
    while time.monotonic() < end:
        request = asyncio.ensure_future(_one(session, url, dice))
        try:
            if dice.random() < 0.2:
                await asyncio.wait([request], timeout=dice.random() * 0.01)
                request.cancel()
            await request
            seen["fine"] += 1
        except (endwell.ClientError, TimeoutError, asyncio.CancelledError) as error:
            seen[type(error).__name__] += 1


async def _soak(seconds: float, seed: int, tls: bool) -> collections.Counter[str]:
    seen: collections.Counter[str] = collections.Counter()
    dice = random.Random(seed)
    async with ScriptedPeer(_faulty(dice), tls=server_context() if tls else None) as peer:
        connector = endwell.TCPConnector(limit=CLIENTS // 2, ssl=client_context() if tls else True)
        async with endwell.ClientSession(connector=connector) as session:
            end = time.monotonic() + seconds
            clients = [_client(session, peer.url(), random.Random(seed + n), end, seen) for n in range(CLIENTS)]
            await asyncio.gather(*clients)
    return seen


def _ours() -> collections.Counter[str]:
    """Count the living objects of endwell's classes, those of import time left out."""
    gc.collect()
    modules = (type(thing).__module__ + "." + type(thing).__qualname__ for thing in gc.get_objects())
    return collections.Counter(name for name in modules if name.startswith("endwell."))


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_after_a_soak_nothing_is_left(tls: bool) -> None:
    await _soak(min(SECONDS / 4, 1), SEED, tls)
    ours, blocks, sockets = _ours(), sys.getallocatedblocks(), open_sockets()
    seen = await _soak(SECONDS, SEED + 1000, tls)
    grown = _ours() - ours
    assert open_sockets() <= sockets
    assert seen["fine"] > 0
    assert len(seen) > 3, f"the peer was not faulty enough: {seen}"
    # Caches may move by a few entries; what is kept for each request would be thousands.
    assert not {name: count for name, count in grown.items() if count > 20}
    assert sys.getallocatedblocks() - blocks < 20_000 + seen.total()
