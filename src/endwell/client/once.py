"""`endwell.request`: one request with a session of its own."""

from __future__ import annotations

import asyncio
from typing import Any

from endwell.client.connector import BaseConnector, TCPConnector
from endwell.client.context import SessionRequestContext
from endwell.client.session import ClientSession
from endwell.http.typedefs import StrOrURL
from endwell.http.version import HttpVersion, HttpVersion11
from endwell.lifetime import caller

__all__ = ("request",)


def request(
    method: str,
    url: StrOrURL,
    *,
    version: HttpVersion = HttpVersion11,
    connector: BaseConnector | None = None,
    loop: asyncio.AbstractEventLoop | None = None,
    **kwargs: Any,
) -> SessionRequestContext:
    """Make one request with a session of its own, which is closed with it.

    Use it as ``async with``; awaited, it reads the body before the session is closed.
    """
    owner = False
    if connector is None:
        owner = True
        connector = TCPConnector(force_close=True)
    session = ClientSession(
        cookies=kwargs.pop("cookies", None), version=version, connector=connector, connector_owner=owner
    )
    return SessionRequestContext(session._request(method, url, _origin=caller(), **kwargs), session)
