"""ASGI 3 applications on endwell's server: `AsgiRunner` (https://asgi.readthedocs.io).

An application is called straight from the `ServerCore`: no request, no response, no router lies between. Used by
`endwell serve` and by whoever serves Starlette, FastAPI or Litestar from code.
"""

from endwell.server.asgi.interface import AsgiApp, Message, Receive, Scope, Send
from endwell.server.asgi.lifespan import LifespanError
from endwell.server.asgi.runner import AsgiRunner

__all__ = ("AsgiApp", "AsgiRunner", "LifespanError", "Message", "Receive", "Scope", "Send")
