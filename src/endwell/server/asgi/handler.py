"""Serves one request by an ASGI application: from the scope to the end of the call, whatever comes of it.

What the application raises ends in a response where none has begun, and in the log, once; a response that has begun is
cut, so that the client can tell. Used by `core`.
"""

from __future__ import annotations

import asyncio
import traceback
from typing import TYPE_CHECKING, Final

from endwell.server.asgi.scope import http_scope
from endwell.server.asgi.websocket import asks_for_websocket, call_with_websocket
from endwell.wire.http1 import ProtocolError

if TYPE_CHECKING:
    from endwell.server.asgi.core import AsgiCore
    from endwell.server.asgi.exchange import AsgiExchange

__all__ = ("serve",)

_UPGRADE: Final = b"\r\nupgrade:"


async def serve(core: AsgiCore, exchange: AsgiExchange) -> None:
    """Call the application for one request, and see to it that the exchange ends."""
    if core.access_log is not None:
        exchange.began = core.loop.time()
    head = exchange.head
    try:
        if head.method == "CONNECT":
            exchange.refuse(501, " (an ASGI application cannot open a tunnel)")
        elif head.lower.find(_UPGRADE) > 0 and asks_for_websocket(head):
            if not await call_with_websocket(core, exchange):
                _unanswered(core, exchange)
        else:
            await core.app(http_scope(core, exchange), exchange.receive, exchange.respond)
            if not exchange.complete:
                _unanswered(core, exchange)
    except Exception as error:  # noqa: BLE001 - whatever the user's program raises ends this exchange, not more
        _failed(core, exchange, error)
    except asyncio.CancelledError as cancelled:
        _cancelled(core, exchange, cancelled)
    except (KeyboardInterrupt, SystemExit) as leaving:
        core.loop.call_soon(_raise, leaving)
        _end_early(exchange, 503, " (the server is being shut down)")
    finally:
        if not exchange.complete:
            exchange.abandon()
        if exchange.asker is not None:
            core.work_ended(exchange)


def _end_early(exchange: AsgiExchange, status: int, text: str = "") -> None:
    """Answer if that is still possible, else have the client see that the response is not whole."""
    if exchange.started:
        exchange.cut()
    elif not exchange.complete:
        exchange.refuse(status, text)


def _unanswered(core: AsgiCore, exchange: AsgiExchange) -> None:
    """Answer a request whose application has returned without a (whole) response."""
    if _is_clients_fault(core, exchange):
        return
    what = "before its response was complete" if exchange.fields is not None else "without a response"
    core.logger.error("The application returned %s: %s", what, exchange.describe())
    _end_early(exchange, 500)


def _failed(core: AsgiCore, exchange: AsgiExchange, error: Exception) -> None:
    """Answer a request whose application has raised, and log what is the application's fault."""
    if exchange.complete:
        core.logger.error("The application failed after its response: %s", exchange.describe(), exc_info=error)
        return
    if exchange.is_left and isinstance(error, OSError):
        core.logger.debug("The client of %s has gone: %s", exchange.describe(), error)
        return
    if _is_clients_fault(core, exchange):
        core.logger.info("The application raised after that: %s", exchange.describe(), exc_info=error)
        return
    core.logger.error("Error in the application: %s", exchange.describe(), exc_info=error)
    _end_early(exchange, 500, "\n\n" + "".join(traceback.format_exception(error)) if core.debug else "")


def _is_clients_fault(core: AsgiCore, exchange: AsgiExchange) -> bool:
    """Tell whether the application was told that its client has gone, or sends what is no body; answer the latter."""
    body = exchange.incoming
    error = body.error if body is not None and exchange.told else None
    if isinstance(error, ProtocolError) and not exchange.is_left:
        what = type(error).__name__
        core.logger.warning("%d for %s: its body is broken (%s)", error.status, exchange.describe(), what)
        _end_early(exchange, error.status, " (the body is broken, or came too slowly)")
        return True
    if exchange.told:
        core.logger.debug("The client of %s has gone", exchange.describe())
        if not exchange.is_left:
            exchange.cut()  # it may still read, and is to see that this is not all
    return exchange.told


def _cancelled(core: AsgiCore, exchange: AsgiExchange, cancelled: asyncio.CancelledError) -> None:
    """Answer a request whose application ended by a cancellation; go on being cancelled."""
    task = asyncio.current_task(core.loop)
    ours = task is not None and task.cancelling() > 0
    if ours:
        _end_early(exchange, 503, " (the request was cancelled)")
        raise cancelled
    core.logger.error("The application awaited what was cancelled: %s", exchange.describe(), exc_info=cancelled)
    _end_early(exchange, 500)


def _raise(error: BaseException) -> None:
    raise error
