"""Sends the body of a request, as a task of its exchange (RFC 9110 section 10.1.1 for 100-continue)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from endwell.client.mapping import upload_error

if TYPE_CHECKING:
    from endwell.client.exchange import ClientExchange
    from endwell.client.outgoing import Outgoing
    from endwell.connection.writer import BodyWriter
    from endwell.http.payload import Payload

__all__ = ("send_payload",)

_CONTINUE_TIME: Final = 1.0
"""Seconds that a peer has to ask for the body, or to refuse it; then it is sent."""


async def send_payload(exchange: ClientExchange, writer: BodyWriter, payload: Payload, length: int | None) -> None:
    """Send the body; a failure ends the exchange, a success may."""
    wanted = True
    try:
        if exchange._continue is not None:
            wanted = await _go_ahead(exchange, exchange._continue)
        if wanted:
            await payload.write_with_length(writer, length)
            await writer.write_eof()
    except Exception as error:  # noqa: BLE001 - whatever the user's body raises ends this exchange, not more
        if not exchange.over:
            exchange.fail(upload_error(error))
    finally:
        if exchange._closes is not None:
            await _close_quietly(exchange, exchange._closes)
    if exchange.watches_reads and exchange.connection is not None:
        exchange.connection.read_at = exchange.owner.loop.time()
        exchange._watch()
    if exchange.complete and not exchange.over:
        exchange._end(reusable=writer.ended)


async def _close_quietly(exchange: ClientExchange, outgoing: Outgoing) -> None:
    try:
        await outgoing.close()
    except Exception as error:  # noqa: BLE001 - the user's file; the exchange goes on to its end
        message = {"message": f"The body of {exchange.describe()} could not be closed", "exception": error}
        exchange.owner.loop.call_exception_handler(message)


async def _go_ahead(exchange: ClientExchange, continued: asyncio.Future[bool]) -> bool:
    """Wait for 100 (Continue), a final answer, or a second without either (RFC 9110 section 10.1.1)."""
    timer = exchange.owner.loop.call_later(_CONTINUE_TIME, exchange.on_continue)
    try:
        return await continued
    finally:
        timer.cancel()
