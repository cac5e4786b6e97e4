"""The body of a response: which codings are undone, and what becomes of a body that nobody reads."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from endwell.client.errors import ContentCodingError
from endwell.client.mapping import public_error
from endwell.connection.body import BodyStream
from endwell.http.codings import CodingError, MissingCodingError, UnknownCodingError, make_decoder

if TYPE_CHECKING:
    from endwell.client.exchange import ClientExchange
    from endwell.connection.http1 import ClientConnection

__all__ = ("Away", "incoming_body", "is_coded")


class Away(BodyStream):
    """Where a body goes that nobody reads."""

    __slots__ = ()

    def feed(self, pieces: list[bytes]) -> None:
        """Drop it."""


def is_coded(exchange: ClientExchange) -> bool:
    """Tell whether the body has a content coding that is to be undone."""
    head = exchange.head
    return exchange.options.auto_decompress and head is not None and b"\r\ncontent-encoding:" in head.lower


def incoming_body(exchange: ClientExchange, source: ClientConnection | None) -> BodyStream:
    """Make the stream that the body of a response goes to; `source` is None when it is there already."""
    options, head = exchange.options, exchange.head
    decoder = None
    failure: BaseException | None = None
    if head is not None and exchange.method != "HEAD" and is_coded(exchange):
        codings = b",".join(head.every(b"\r\ncontent-encoding:")).decode("latin-1")
        try:
            decoder = make_decoder(codings, limit=options.decompress_limit, ratio=options.decompress_ratio)
        except (UnknownCodingError, MissingCodingError):
            pass  # handed on as it is, as aiohttp does
        except CodingError as error:
            failure = public_error(error, exchange)
    body = BodyStream(exchange.owner.loop, source, options.read_bufsize, decoder)
    if decoder is not None:
        body.refuse = _refusal(weakref.ref(exchange))
    elif failure is not None:
        body.fail(failure)
    return body


def _refusal(ref: weakref.ref[ClientExchange]) -> Callable[[CodingError], BaseException]:
    """Make the answer of a body to a coding error; weak, or body and exchange would hold each other."""

    def refuse(error: CodingError) -> BaseException:
        exchange = ref()
        return ContentCodingError(str(error)) if exchange is None else exchange.refuse(error)

    return refuse
