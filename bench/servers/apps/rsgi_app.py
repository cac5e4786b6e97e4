"""Granian's own interface, RSGI, without a framework: what is left when there is none. It has no router."""

from __future__ import annotations

import json
import os
from typing import Any

from bench.servers.content import DOCUMENT, FILE, TEXT

PATH = os.environ[FILE]
PLAIN = [("content-type", "text/plain; charset=utf-8")]
JSON = [("content-type", "application/json")]
BINARY = [("content-type", "application/octet-stream")]


async def app(scope: Any, protocol: Any) -> None:
    match scope.path:
        case "/text":
            protocol.response_str(200, PLAIN, TEXT)
        case "/json":
            protocol.response_str(200, JSON, json.dumps(DOCUMENT))
        case "/echo":
            protocol.response_bytes(200, BINARY, await protocol())
        case "/file":
            protocol.response_file(200, BINARY, PATH)
        case _:
            protocol.response_empty(404, [])
