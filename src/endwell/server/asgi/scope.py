"""The scope of one request: what an ASGI application is told of it, straight from the head (RFC 9112 section 3).

Used by `handler`. The head has been checked: nothing here fails for what a client sends. What is the same for all
requests of a connection is found out once for it.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from endwell.server.asgi.interface import SPEC_VERSION, VERSION

if TYPE_CHECKING:
    from endwell.connection.serving import ServerConnection
    from endwell.server.asgi.core import AsgiCore
    from endwell.server.asgi.exchange import AsgiExchange
    from endwell.wire.http1.request_head import RequestHead

__all__ = ("Ends", "ends_of", "http_scope", "websocket_scope")

Ends = tuple[bool, tuple[str, int] | None, tuple[str, int | None] | None]
"""Whether there is TLS, the address of the client, the address of the server."""

_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://[^/?#]*")


def ends_of(connection: ServerConnection) -> Ends:
    """Give what all requests of a connection have in common; a Unix socket has a path and no port."""
    client = connection.get_extra_info("peername")
    server = connection.get_extra_info("sockname")
    if isinstance(server, (str, bytes)):
        listening: tuple[str, int | None] | None = (os.fsdecode(server), None)
    else:
        listening = (server[0], server[1]) if server else None
    return (
        connection.get_extra_info("sslcontext") is not None,
        (client[0], client[1]) if isinstance(client, tuple) else None,
        listening,
    )


def http_scope(core: AsgiCore, exchange: AsgiExchange) -> dict[str, Any]:
    """Make the scope of an HTTP request. What a trusted proxy says of the client is in it; Host is as it came."""
    head = exchange.head
    target = head.target
    if target[0] != "/":
        target = _path_of(target)
    if "#" in target:
        target = target.partition("#")[0]
    path, _, query = target.partition("?")
    secure, client, server = core.ends[exchange.connection]
    proxied = exchange.proxied
    if proxied is not None:
        client = proxied.client or client
        secure = secure if proxied.scheme is None else proxied.scheme == "https"
    root = core.root_path
    return {
        "type": "http",
        "asgi": {"version": VERSION, "spec_version": SPEC_VERSION},
        "http_version": "1.1" if head.minor else "1.0",
        "method": head.method.upper(),
        "scheme": "https" if secure else "http",
        "path": root + (unquote(path) if "%" in path else path),
        "raw_path": (root + path).encode(),
        "query_string": query.encode(),
        "root_path": root,
        "headers": _fields_of(head),
        "client": client,
        "server": server,
        "state": core.app_state.copy(),
        "extensions": {"http.response.pathsend": {}},
    }


def websocket_scope(core: AsgiCore, exchange: AsgiExchange, subprotocols: list[str]) -> dict[str, Any]:
    """Make the scope of a WebSocket."""
    scope = http_scope(core, exchange)
    del scope["method"]
    scope["type"] = "websocket"
    scope["scheme"] = "wss" if scope["scheme"] == "https" else "ws"
    scope["subprotocols"] = subprotocols
    scope["extensions"] = {"websocket.http.response": {}}
    return scope


def _path_of(target: str) -> str:
    """Give path and query of a target in absolute form; others have no path, or (``*``) are one."""
    found = _ABSOLUTE.match(target)
    if found is None:
        return target
    rest = target[found.end() :]
    return rest if rest[:1] == "/" else "/" + rest


def _fields_of(head: RequestHead) -> list[tuple[bytes, bytes]]:
    """Give the fields. A target in absolute form overrides Host (RFC 9112 section 3.2.2)."""
    fields = list(head.lower_pairs)
    if head.target[0] != "/" and head.target != "*" and (host := head.host) is not None:
        fields = [(b"host", host.encode()), *(field for field in fields if field[0] != b"host")]
    return fields
