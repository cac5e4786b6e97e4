"""What the tests of hostile peers share: one request against a script, and what must hold after it went wrong.

The last line of each of them is the same: the same session goes on to make a request that works, on a new connection.
That the failed one left nothing behind is seen by the leak check of the suite.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

import endwell
from tests.support.peer import Script, ScriptedPeer, answer_fine, answer_with, silence
from tests.support.tls import client_context, server_context

Errors = type[BaseException] | tuple[type[BaseException], ...]


async def fetch(session: endwell.ClientSession, url: str, method: str = "GET", **kwargs: Any) -> tuple[int, bytes]:
    """Make a request, read the body to its end and return status and body."""
    async with session.request(method, url, **kwargs) as response:
        return response.status, await response.read()


@contextlib.asynccontextmanager
async def meeting(*scripts: Script, tls: bool = False, **kwargs: Any) -> AsyncIterator[tuple[ScriptedPeer, Any]]:
    """Give a peer that runs these scripts, then answers properly, and a session that trusts it."""
    connector = endwell.TCPConnector(limit=1, ssl=client_context() if tls else True)  # limit: a lost slot shows
    async with (
        ScriptedPeer(*scripts, answer_fine, tls=server_context() if tls else None) as peer,
        endwell.ClientSession(connector=connector, **kwargs) as session,
    ):
        yield peer, session


def says(error: BaseException, pattern: str) -> None:
    """Check the text of an error: it has one, and it names what happened (any case)."""
    assert re.search(pattern, str(error), re.IGNORECASE), (
        f"{type(error).__name__}({str(error)!r}) does not say {pattern!r}"
    )


async def goes_wrong(
    script: Script, errors: Errors, pattern: str, *, tls: bool = False, method: str = "GET", **kwargs: Any
) -> BaseException:
    """Make a request that must fail with one of `errors`, saying `pattern`; then one that works. Return the error."""
    async with meeting(script, tls=tls) as (peer, session):
        with pytest.raises(errors) as caught:
            await fetch(session, peer.url(), method, **kwargs)
        says(caught.value, pattern)
        assert await fetch(session, peer.url()) == (200, b"fine")
        assert len(peer.connections) == 2, "the next request went to the connection that had failed, or was retried"
        assert len(peer.requests) <= 2
    return caught.value


async def bad_answer(answer: bytes, errors: Errors, pattern: str, **kwargs: Any) -> BaseException:
    """Let the peer answer with these bytes and keep the connection open: only the bytes can be what is wrong."""
    return await goes_wrong(answer_with(answer, then=silence), errors, pattern, **kwargs)
