"""The WebSocket libraries and servers that are compared: how each serves, and how each is a client."""

from __future__ import annotations

from dataclasses import dataclass

from bench.servers.peers import Server

APPS = "bench.websocket.apps"
NO_CLIENT = dict.fromkeys(
    ("client-100", "client-100-deflate", "client-64k", "client-64k-deflate"), "it is a server only"
)
NO_DEFLATE = dict.fromkeys(("server-100-deflate", "server-64k-deflate", "idle-deflate"), "it has no permessage-deflate")


@dataclass(frozen=True)
class Peer(Server):
    """A library or a server in the benchmark; how it is started as a server is as for `Server`."""

    adapter: str = ""
    """The module in `clients/`; empty if it is a server only."""
    hidden: tuple[str, ...] = ()
    """Modules that it is not to find, as a server by its arguments."""
    compiled: tuple[str, ...] = ()
    """Modules in C that must be there: without them it would be measured as hardly anybody has it."""


PEERS = (
    Peer("endwell", f"-m {APPS}.aiohttp_api endwell.web {{port}}", "endwell", ("endwell",), adapter="aiohttp_api"),
    Peer(
        "endwell-alone",
        f"-m {APPS}.aiohttp_api endwell.web {{port}} websockets",
        "endwell",
        ("endwell",),
        adapter="aiohttp_api",
        hidden=("websockets",),
        # Where nothing is masked or unmasked, it is the same.
        unsupported=dict.fromkeys(("idle", "idle-deflate"), "it is no different"),
    ),
    Peer(
        "aiohttp",
        f"-m {APPS}.aiohttp_api aiohttp.web {{port}}",
        "aiohttp",
        ("aiohttp",),
        adapter="aiohttp_api",
        compiled=("aiohttp._websocket.mask", "aiohttp._websocket.reader_c", "aiohttp._http_parser"),
    ),
    Peer(
        "websockets",
        f"-m {APPS}.websockets_app {{port}}",
        "websockets",
        ("websockets",),
        adapter="websockets_client",
        compiled=("websockets.speedups",),
    ),
    Peer(
        "uvicorn",
        "-m uvicorn --host 127.0.0.1 --port {port} --loop uvloop --http httptools --ws websockets-sansio "
        f"--no-access-log --log-level warning {APPS}.asgi_app:app",
        "uvicorn",
        ("uvicorn", "websockets", "httptools"),
        unsupported=NO_CLIENT,
        compiled=("websockets.speedups",),
    ),
    Peer(
        "granian",
        "-m granian --host 127.0.0.1 --port {port} --loop uvloop --http 1 --interface asgi --workers 1 "
        f"--log-level warning {APPS}.asgi_app:app",
        "granian",
        ("granian",),
        unsupported=NO_CLIENT | NO_DEFLATE,
    ),
)
BY_NAME = {peer.name: peer for peer in PEERS}
SHORT = ("endwell", "aiohttp", "uvicorn")
