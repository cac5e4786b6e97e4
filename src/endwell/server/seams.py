"""What a request and a response know of the exchange they belong to.

Two classes have it: `server.exchange.Exchange` on a connection, and that of `make_mocked_request` in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from endwell.http.writer import AbstractStreamWriter

if TYPE_CHECKING:
    from endwell.connection.body import BodyStream
    from endwell.server.proxied import Proxied
    from endwell.server.response import StreamResponse
    from endwell.wire.http1.request_head import RequestHead

__all__ = ("RequestExchange", "check_not_begun")

_T = TypeVar("_T")


class RequestExchange(Protocol):
    """One request and its response.

    Attributes:
        head: the head of the request.
        proxied: what trusted proxies say of the client, None when there are none.
        whole: the body, when all of it came with the head and it has no coding; else, or without one, ``b""``.
        keep_alive: whether the connection can serve another request after this one; when False the response says
            ``Connection: close``. May be set to False, never back.
        started: the head of the final response was handed to the transport.
        status: of the final response, 0 before.
        response: the final response, from its head on, when its body is written piece by piece.
        writer: of the body of the response, None before `begin`.
        transport: below, None when the connection is gone.
        protocol: the connection, None for a request without one.

    """

    head: RequestHead
    proxied: Proxied | None
    whole: bytes
    keep_alive: bool
    started: bool
    status: int
    response: StreamResponse | None
    writer: AbstractStreamWriter | None

    @property
    def body(self) -> BodyStream | None:
        """What comes of the body, None when the request has none."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop."""

    @property
    def transport(self) -> asyncio.Transport | None:
        """The transport below, None when it is gone."""

    @property
    def protocol(self) -> Any:
        """The connection, None when there is none."""

    @property
    def task(self) -> asyncio.Task[Any] | None:
        """The task that runs the handler."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Ask the transport (see `asyncio.BaseTransport.get_extra_info`)."""

    def send(self, data: bytes) -> None:
        """Send a whole response, head and body, in one write."""

    def begin(self, head: bytes, length: int | None, *, chunked: bool) -> AbstractStreamWriter:
        """Send a head; the body goes through the writer that is returned, whose `write_eof` ends the response.

        `length` is what Content-Length says; None without `chunked` means that the end of the connection ends the body.
        """

    def switch(self, head: bytes) -> tuple[Any, bytes]:
        """Send the head of a 101; give the connection, for whoever takes it over, and what came behind the request.

        The exchange goes on until the handler returns.

        Raises:
            RuntimeError: there is no connection (`make_mocked_request`).

        """

    def interim_writer(self) -> AbstractStreamWriter:
        """Give what writes interim responses as they are; whoever asks for it sends 100 (Continue) with it."""

    def send_continue(self) -> None:
        """Ask for the body with 100 (Continue), if the client waits for that. Idempotent."""

    def call_at_stop(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have `callback` called when the server begins to stop (at once when it has); return what takes it back."""

    def create_task(self, coro: Coroutine[Any, Any, _T], *, name: str | None = None) -> asyncio.Task[_T]:
        """Start a task that the server owns: its closing awaits it, then cancels it."""

    async def wait_for_disconnection(self) -> None:
        """Return when the client has gone."""


def check_not_begun(exchange: RequestExchange) -> None:
    """Refuse to send a second head, in the midst of a body: it would be read as part of that, or as the next response.

    Raises:
        RuntimeError: a response was begun for this request.

    """
    if exchange.started:
        message = "Another response was begun for this request already, and a request has one: return that"
        raise RuntimeError(message)
