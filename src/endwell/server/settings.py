"""What a server can be told, under aiohttp's names and a few of our own, and what the core makes of it."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final

from endwell.connection.served import Times
from endwell.server.access_log import AbstractAccessLogger, AccessLogger
from endwell.server.core import access_logger, server_logger
from endwell.wire.http1 import Limits

if TYPE_CHECKING:
    from endwell.server.proxied import TrustedProxies

__all__ = ("TRUSTED_FIELDS", "core_settings", "make_access_log")

TRUSTED_FIELDS: Final = ("X-Forwarded-For", "X-Forwarded-Proto")
"""No more than these: a field that a proxy does not set itself is the word of the client."""

_IGNORED: Final = frozenset({"loop", "timeout_ceil_threshold"})


def core_settings(  # long: the list of what can be told, one line each
    *,
    keepalive_timeout: float = 3630.0,
    keepalive_requests: int = 0,
    tcp_keepalive: bool = True,
    logger: logging.Logger = server_logger,
    access_log_class: type[AbstractAccessLogger] = AccessLogger,
    access_log: logging.Logger | None = access_logger,
    access_log_format: str = AccessLogger.LOG_FORMAT,
    debug: bool = False,
    max_line_size: int = 8190,
    max_headers: int = 128,
    max_field_size: int = 8190,
    lingering_time: float = 10.0,
    read_bufsize: int = 2**18,
    auto_decompress: bool = True,
    decompress_limit: int | None = 2**30,
    decompress_ratio: float | None = 200.0,
    handler_cancellation: bool = False,
    header_timeout: float = 30.0,
    body_timeout: float = 60.0,
    body_rate: float = 240.0,
    body_grace: float = 20.0,
    send_timeout: float = 60.0,
    max_connections: int = 10_000,
    trusted_proxies: str | Collection[str] | None = None,
    trusted_fields: str | Collection[str] = TRUSTED_FIELDS,
    **ignored: Any,
) -> dict[str, Any]:
    """Check what was given and return it as the arguments of `ServerCore`.

    Args:
        keepalive_timeout: seconds a connection may idle between two requests.
        keepalive_requests: requests that a connection may have; 0 for any number.
        tcp_keepalive: have the operating system look after silent connections.
        logger: gets the errors of handlers, and one line for each client that breaks the protocol.
        access_log_class: makes the lines of the access log.
        access_log: gets them; None for no access log.
        access_log_format: see `AccessLogger`.
        debug: show the traceback in the answer to an error of a handler.
        max_line_size: bytes of the request line.
        max_headers: number of fields.
        max_field_size: bytes of one field line.
        lingering_time: seconds a connection stays open after its last answer, for a client that still sends.
        read_bufsize: bytes of a body that are taken before a handler reads them.
        auto_decompress: undo the content coding of bodies.
        decompress_limit: bytes that may come out of the codings of one body; None for any number.
        decompress_ratio: how many times its size a body may grow by that, from 8 MiB on; None for any.
        handler_cancellation: cancel the handler when its client has gone.
        header_timeout: seconds for the head of a request, from its first byte on.
        body_timeout: seconds between two reads of a body.
        body_rate: bytes per second that a body must bring; 0 for any.
        body_grace: seconds after which that is looked at.
        send_timeout: seconds that a client may stand still while an answer waits to be read by it.
        max_connections: open at a time; further ones are closed.
        trusted_proxies: addresses and networks of the proxies that are believed when they say who the client is;
            ``"unix"`` for Unix sockets, ``"*"`` for every peer. None: nobody is.
        trusted_fields: in which fields they say it; see `TrustedProxies`.

    Raises:
        TypeError: an argument that there is not.
        ValueError: a proxy or a field that cannot be trusted.

    """
    unknown = sorted(set(ignored) - _IGNORED)
    if unknown:
        message = f"A server has no setting {', '.join(unknown)}"
        raise TypeError(message)
    return {
        "access": (access_log_class, access_log, access_log_format),
        "tcp_keepalive": tcp_keepalive,
        "logger": logger,
        "debug": debug,
        "limits": Limits(max_line_size, max_field_size, max_headers),
        "times": Times(
            keepalive=keepalive_timeout,
            head=header_timeout,
            body=body_timeout,
            send=send_timeout,
            linger=lingering_time,
            rate=body_rate,
            grace=body_grace,
        ),
        "read_bufsize": read_bufsize,
        "auto_decompress": auto_decompress,
        "decompress_limit": decompress_limit,
        "decompress_ratio": decompress_ratio,
        "handler_cancellation": handler_cancellation,
        "keepalive_requests": keepalive_requests,
        "max_connections": max_connections,
        "proxies": _proxies(trusted_proxies, trusted_fields) if trusted_proxies else None,
    }


def _proxies(proxies: str | Collection[str], fields: str | Collection[str]) -> TrustedProxies:
    from endwell.server.proxied import TrustedProxies  # not before somebody wants it: it takes a while to import

    return TrustedProxies(proxies, fields)


def make_access_log(
    access: tuple[type[AbstractAccessLogger], logging.Logger | None, str],
) -> AbstractAccessLogger | None:
    """Make the access log if anybody reads it."""
    kind, logger, form = access
    if logger is None:
        return None
    made = kind(logger, form)
    return made if made.enabled else None
