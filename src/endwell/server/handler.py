"""Serves one request: from the handler's answer, or what it raises, to the end of the exchange.

Everything that can go wrong in the program of a user ends here in a response, and in the log; what a client does wrong
is logged once, without what it sent.
"""

from __future__ import annotations

import asyncio
import html
import traceback
from typing import TYPE_CHECKING, Final

from endwell.connection.serving import peer_of
from endwell.http.codings import CodingError, DecodedTooLargeError
from endwell.http.multipart.errors import (
    MultipartError,
    PartCharsetError,
    PartCodingError,
    PartTooLargeError,
    TooManyPartsError,
)
from endwell.server.errors import (
    HTTPException,
    HTTPGatewayTimeout,
    HTTPInternalServerError,
    HTTPServiceUnavailable,
    PayloadAccessError,
    RequestPayloadError,
)
from endwell.server.request import BaseRequest
from endwell.server.response import StreamResponse
from endwell.server.response_head import date_and_server, reason_of, status_line
from endwell.server.whole import Response
from endwell.wire.http1 import ProtocolError, TruncatedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from endwell.connection.serving import ServerConnection
    from endwell.server.core import ServerCore
    from endwell.server.exchange import Exchange

__all__ = ("refusal", "serve")

_REFUSED_BODY: Final = "text/plain; charset=utf-8"

_LEFT: Final = 499
"""What the access log says of a request whose client left before its answer began; nginx's number."""


async def serve(core: ServerCore, exchange: Exchange) -> None:
    """Have one request handled, send the response, and let the connection go on."""
    access_log = core.access_log
    if access_log is not None:
        exchange.began = core.loop.time()
    response: StreamResponse | None = None
    handle = core.handle
    try:
        request = core.make_request(exchange)
    except Exception as error:  # noqa: BLE001 - a request of the user's own
        request = BaseRequest(exchange)
        handle = _failing(error)
    try:
        try:
            response = await handle(request)
            if exchange.incoming is not None:
                exchange.settle()
            data = response._whole(request) if response.__class__ is Response and not core.has_prepare_hooks else None
            if data is not None:
                exchange.status = response.status
                exchange.send(data)
            else:
                await _send(exchange, request, response)
        except Exception as error:  # noqa: BLE001 - whatever the user's program raises ends this exchange, not more
            response = await _answer(core, exchange, request, error)
        except asyncio.CancelledError as cancelled:
            response = await _cancelled(core, exchange, request, cancelled)
        except (KeyboardInterrupt, SystemExit) as leaving:
            response = _leave_program(core, exchange, request, leaving)
    finally:
        if request._opened is not None:
            request._close_opened()
        incoming = exchange.incoming
        if incoming is not None and not incoming.ended:
            message = "The request is over: its body can be read only while its handler runs"
            incoming.fail(PayloadAccessError(message))
        if exchange.asker is not None:
            core.work_ended(exchange)
        connection = exchange.connection
        if connection.exchange is exchange:
            connection.over(reusable=exchange.complete and exchange.keep_alive)
        if access_log is not None:
            _log_access(core, exchange, request, response)


def _failing(error: Exception) -> Callable[[BaseRequest], Awaitable[StreamResponse]]:
    """Give a handler that raises this error."""

    def fail(_request: BaseRequest) -> Awaitable[StreamResponse]:
        raise error

    return fail


async def _send(exchange: Exchange, request: BaseRequest, response: StreamResponse) -> None:
    """Send a response that is not a small one, or is begun already."""
    if not isinstance(response, StreamResponse):
        message = (
            f"The handler of {exchange.describe()} returned {type(response).__name__}, not a response; return a "
            "web.Response, or what web.json_response() gives"
        )
        raise TypeError(message)
    exchange.status = response.status
    if not exchange.started:
        if not request._has_prepare_hooks:
            data = response._whole(request)
            if data is not None:
                exchange.send(data)
                return
        await response.prepare(request)
    elif not response.prepared:
        message = (
            f"The handler of {exchange.describe()} had begun to send a response and returned another one; return the "
            "one that was prepared"
        )
        raise RuntimeError(message)
    if not exchange.complete:
        await response.write_eof()
    exchange.complete = exchange.complete or exchange.started


async def _answer(
    core: ServerCore, exchange: Exchange, request: BaseRequest, error: Exception
) -> StreamResponse | None:
    """Answer an exception; return the response that the client has got, None for none."""
    response = _response_to(core, exchange, error)
    if response is None:
        exchange.keep_alive = False
        return None
    if exchange.started:
        # The client is to see that what it got is not whole: the connection ends before the response does.
        if isinstance(error, HTTPException) and (exchange.incoming is None or error is not exchange.incoming.error):
            core.logger.error("%s raised %s after its response had begun", exchange.describe(), type(error).__name__)
        exchange.cut()
        return None
    exchange.settle()
    try:
        await _send(exchange, request, response)
    except Exception as second:
        exchange.keep_alive = False
        if _is_farewell(exchange, second):
            return None
        core.logger.exception("Error while %s was being answered", exchange.describe())
        if exchange.started:
            exchange.cut()
            return None
        response = HTTPInternalServerError()  # which no signal gets to see: one of them may have failed
        data = response._whole(request)
        assert data is not None  # it is a small one
        exchange.status = response.status
        exchange.send(data)
    return response


def _response_to(core: ServerCore, exchange: Exchange, error: Exception) -> StreamResponse | None:
    """Make the response to what a handler raised, and log what is the program's fault."""
    if isinstance(error, HTTPException):
        if exchange.incoming is not None and error is exchange.incoming.error:
            core.logger.warning("%d for %s: its body came too slowly", error.status, exchange.describe())
        return error
    cause = error if error.__cause__ is None else error.__cause__
    if _is_farewell(exchange, error) or _is_farewell(exchange, cause):
        core.logger.debug("The client of %s has gone: %s", exchange.describe(), error)
        return None
    if isinstance(error, (RequestPayloadError, ProtocolError, CodingError, MultipartError)):
        exchange.keep_alive = False
        status = 400
        if isinstance(cause, ProtocolError):
            status = cause.status
        elif isinstance(cause, (PartCharsetError, PartCodingError)):
            status = 415
        elif isinstance(cause, (PartTooLargeError, TooManyPartsError, DecodedTooLargeError)):
            status = 413
        core.logger.warning("%d for %s: its body is broken (%s)", status, exchange.describe(), type(cause).__name__)
        return Response(status=status, text=f"{status}: {reason_of(status)} (the body is broken)")
    core.logger.error("Error handling %s", exchange.describe(), exc_info=error)
    exchange.keep_alive = False
    return HTTPGatewayTimeout() if isinstance(error, TimeoutError) else _error_page(core, error)


def _is_farewell(exchange: Exchange, error: BaseException) -> bool:
    """Tell whether an exception says no more than that the client has gone."""
    gone = exchange.transport is None or not exchange.connection.connected
    return gone and isinstance(error, (ConnectionError, TruncatedError))


def _error_page(core: ServerCore, error: Exception) -> Response:
    """Give the page of a 500, with the traceback only in debug mode."""
    if not core.debug:
        return HTTPInternalServerError(
            text="500 Internal Server Error\n\nServer got itself in trouble", content_type="text/plain"
        )
    text = html.escape("".join(traceback.format_exception(error))).encode("utf-8", "backslashreplace").decode()
    body = (
        f"<html><head><title>500 Internal Server Error</title></head><body><h1>500</h1><pre>{text}</pre></body></html>"
    )
    return HTTPInternalServerError(text=body, content_type="text/html")


async def _cancelled(
    core: ServerCore, exchange: Exchange, request: BaseRequest, cancelled: asyncio.CancelledError
) -> StreamResponse | None:
    """Answer a handler that ended by a cancellation, if somebody is there to read it; go on being cancelled."""
    response: StreamResponse | None = None
    task = asyncio.current_task(core.loop)
    ours = task is not None and task.cancelling() > 0
    exchange.keep_alive = False
    if exchange.started:
        exchange.cut()
    elif exchange.transport is not None:
        if ours:
            response = HTTPServiceUnavailable(text="503: Service Unavailable (the request was cancelled)")
        else:
            core.logger.error("The handler of %s awaited what was cancelled", exchange.describe(), exc_info=cancelled)
            response = HTTPInternalServerError()
        data = response._whole(request)
        if data is not None:
            exchange.status = response.status
            exchange.response = response
            exchange.send(data)
    if ours:
        raise cancelled
    return response


def _leave_program(
    core: ServerCore, exchange: Exchange, request: BaseRequest, leaving: KeyboardInterrupt | SystemExit
) -> StreamResponse | None:
    """Answer a request whose handler ends the program (`GracefulExit`), and hand that on to whoever runs the loop."""
    core.loop.call_soon(_raise, leaving)
    exchange.keep_alive = False
    if exchange.started:
        exchange.cut()
        return None
    response = HTTPServiceUnavailable(text="503: Service Unavailable (the server is being shut down)")
    data = response._whole(request)
    if data is not None:
        exchange.status = response.status
        exchange.send(data)
    return response


def _raise(error: BaseException) -> None:
    raise error


def _log_access(core: ServerCore, exchange: Exchange, request: BaseRequest, response: StreamResponse | None) -> None:
    """Have the end of a request noted, with the response that was begun, also when another one was meant."""
    assert core.access_log is not None
    shown = exchange.response or response
    if not exchange.started:
        shown = Response(status=_LEFT)
    elif shown is None:
        shown = Response(status=exchange.status)
    elif not exchange.complete:
        shown._cut()
    try:
        core.access_log.log(request, shown, core.loop.time() - exchange.began)
    except Exception:
        core.logger.exception("The access log failed for %s", exchange.describe())


def refusal(core: ServerCore, connection: ServerConnection, error: ProtocolError) -> bytes:
    """Give the answer to what is no request, and log it, once, without what came (it may hold secrets)."""
    status = error.status
    core.logger.warning("%d for %s: %s", status, peer_of(connection), str(error).partition(": ")[0])
    body = f"{status}: {reason_of(status)}\n{error}\n".encode("utf-8", "backslashreplace")
    return b"%b%bContent-Type: %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (
        status_line(status, None, 1), date_and_server(), _REFUSED_BODY.encode(), len(body), body,
    )  # fmt: skip
