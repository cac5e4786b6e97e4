"""CONNECT: a tunnel through an HTTP proxy (RFC 9110 section 9.3.6)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from endwell.client.errors import ClientHttpProxyError, ClientProxyConnectionError
from endwell.client.route import Route
from endwell.connection.http1 import ClientConnection
from endwell.http.fields import render_fields
from endwell.wire.http1 import Limits, ResponseHead

if TYPE_CHECKING:
    from endwell.client.request import ClientRequest
    from endwell.connection.body import BodyStream

__all__ = ("Tunnel",)


class Tunnel:
    """CONNECT as an exchange of its own on the connection to the proxy."""

    method = "CONNECT"
    read_until_eof = True
    watches_reads = False
    body: BodyStream | None = None
    asker: asyncio.Task[Any] | None = None

    def __init__(self, connection: ClientConnection, request: ClientRequest, route: Route) -> None:
        self.limits: Limits = request.options.limits
        self._connection = connection
        self._request = request
        self._route = route
        self._waiter: asyncio.Future[ResponseHead] = connection.loop.create_future()

    async def open(self) -> None:
        """Ask for the tunnel and wait until it stands.

        Raises:
            ClientHttpProxyError: the proxy answered with something else than 2xx.

        """
        target = self._route.target
        host = f"[{target.host}]" if ":" in target.host else target.host
        authority = f"{host}:{target.port}"
        fields = render_fields(self._route.proxy_headers) if self._route.proxy_headers else b""
        head = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n".encode() + fields + b"\r\n"
        connection = self._connection
        connection.start(self, head)
        try:
            answer = await self._waiter
        finally:
            connection.exchange = None
        if not 200 <= answer.status < 300:
            connection.discard()
            raise ClientHttpProxyError(
                self._request.request_info, (), status=answer.status, message=answer.reason, headers=answer.headers
            )
        connection.uses = 0  # to the origin, it is new
        if connection.reader.rest:
            connection.discard()
            message = OSError("the proxy sent data before the origin could have")
            raise ClientProxyConnectionError(self._route.proxy_key, message)

    def on_continue(self) -> None:
        """A proxy has no reason to send 100; it means nothing here."""

    def on_head(self, head: ResponseHead, pieces: list[bytes], *, complete: bool) -> None:
        """Take the proxy's answer."""
        if not self._waiter.done():
            self._waiter.set_result(head)

    def on_end(self) -> None:
        """Nothing to do: the answer's body is not read."""

    def fail(self, error: BaseException) -> None:
        """Take the failure."""
        if not self._waiter.done():
            text = OSError(f"the proxy did not answer CONNECT: {error}")
            self._waiter.set_exception(ClientProxyConnectionError(self._route.proxy_key, text))
