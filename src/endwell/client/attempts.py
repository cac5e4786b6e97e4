"""The attempts to get one request answered: a connection is taken, the request goes out, the head of a response comes.

One attempt nearly always; another when the connection had died before, unseen (RFC 9110 section 9.2.2, RFC 9112
section 9.3.1). Used by `client.call`, for each hop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from endwell.client.errors import ClientConnectionError, ClientOSError, ServerDisconnectedError, SessionClosedError
from endwell.client.exchange import ClientExchange
from endwell.client.pool import Decision
from endwell.lifetime import State

if TYPE_CHECKING:
    from endwell.client.outgoing import Outgoing
    from endwell.client.request import ClientRequest
    from endwell.client.response import ClientResponse
    from endwell.client.session import ClientSession
    from endwell.connection.http1 import ClientConnection

__all__ = ("refuse_unless_admitted", "send")

_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
_OPEN: Final = State.OPEN


def refuse_unless_admitted(session: ClientSession) -> None:
    """Raise unless the session takes a request of this task.

    Raises:
        SessionClosedError, ForkedError, WrongLoopError: it does not.

    """
    core = session._core
    if not core.admit():
        raise SessionClosedError(closed_at=str(core.closed_at) if core.closed_at is not None else None)


async def send(request: ClientRequest) -> ClientResponse:
    """Send one request and wait for the head of its response: the innermost handler of the middlewares."""
    session = request.session
    core = session._core
    connector = session._connector_core()
    fresh = False
    while True:
        outgoing = request._outgoing
        if outgoing is not None and outgoing.sender is not None:
            await outgoing.stop()
        if core.state is not _OPEN:
            refuse_unless_admitted(session)
        exchange = ClientExchange(core, connector, request, request.options, request.due)
        response = None
        try:
            now = core.loop.time()
            key = request.key
            route = request._route
            if route is not None and route.proxy is not None and connector.dialer is not None:
                connector.dialer.check_proxied(request.target, route)
            data = exchange.sent = request.render()
            if connector.state is not _OPEN and not connector.admit():
                raise ClientConnectionError("Connector is closed.")
            connection = connector.pool.take(key, now, fresh=fresh)
            if isinstance(connection, Decision) or request.traces is not None:
                connection = await connector.acquire(request, exchange, now, connection)
                if exchange.error is not None:  # a deadline passed, or a closing came, in the same pass of the loop
                    connector.put_back(connection)
                    raise exchange.error
            if outgoing is None and request.traces is None and request.options.upload_tracker is None:
                await exchange.start(connection, data)
            else:
                await _start_and_tell(request, exchange, connection, data, outgoing)
            if b"\r\nset-cookie:" in exchange.head.lower:  # type: ignore[union-attr]  # it is there by now
                _keep_cookies(request, exchange)
            response = session._response_class(session, request, exchange)
            return response
        except (ServerDisconnectedError, ClientOSError):
            if not _repeatable(request) or not _to_send_again(request, exchange, fresh=fresh):
                raise
            fresh = True
        finally:
            if response is None:
                exchange.dropped()


def _keep_cookies(request: ClientRequest, exchange: ClientExchange) -> None:
    head = exchange.head
    assert head is not None
    values = [value.decode("utf-8", "surrogateescape") for value in head.every(b"\r\nset-cookie:")]
    request.session._cookie_jar.update_from_set_cookie(values, request.target.url)


async def _start_and_tell(
    request: ClientRequest,
    exchange: ClientExchange,
    connection: ClientConnection,
    data: bytes,
    outgoing: Outgoing | None,
) -> None:
    """Send head and body, tell the traces, and wait for the head of the response."""
    traces = request.traces
    if outgoing is None:
        waiter = exchange.start(connection, data)
        if request.options.upload_tracker is not None:
            request.options.upload_tracker._begin(None)
            request.options.upload_tracker._end(None)
    else:
        waiter = _start_with_body(request, exchange, connection, data, outgoing)
    if traces is not None:
        await traces.send_request_headers(request.method, request.url, request.headers)
        if outgoing is not None and outgoing.at_once is not None:
            await traces.send_request_chunk_sent(request.method, request.url, outgoing.at_once)
    await waiter


def _start_with_body(
    request: ClientRequest, exchange: ClientExchange, connection: Any, data: bytes, outgoing: Outgoing
) -> Any:
    options, traces = request.options, request.traces
    small = outgoing.at_once
    if small is not None and not request.expects:
        waiter = exchange.start(connection, data + small)
        if options.upload_tracker is not None:
            options.upload_tracker._begin(None, len(small))
            options.upload_tracker._end(None)
        return waiter
    waiter = exchange.start(connection, data)
    on_chunk = None
    if traces is not None:

        async def on_chunk(chunk: bytes) -> None:
            await traces.send_request_chunk_sent(request.method, request.url, chunk)

    exchange.send_body(outgoing, expect=request.expects, on_chunk=on_chunk)
    return waiter


def _repeatable(request: ClientRequest) -> bool:
    return request.outgoing is None or request.outgoing.again


def _to_send_again(request: ClientRequest, exchange: ClientExchange, *, fresh: bool) -> bool:
    """Tell whether a request whose connection has died is sent again, silently; `fresh`: it was once already.

    A connection that was kept may have died meanwhile; a new one that dies shows a peer in trouble. What was not sent
    at all is no replay (RFC 9110 section 9.2.2): it goes out whatever its method, and as often as the pool has a
    connection that turns out to be dead.
    """
    return exchange.reused and (exchange.unsent or (not fresh and request.method in _IDEMPOTENT))
