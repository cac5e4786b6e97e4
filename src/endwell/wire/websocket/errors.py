"""What can be wrong with a WebSocket peer: its frames (RFC 6455 section 7.4.1) or its handshake (section 4).

Used by the whole package and by both roles; `WebSocketError` and `WSMessageTypeError` are public under aiohttp's names.
"""

__all__ = ("HandshakeError", "WSMessageTypeError", "WebSocketError")


class WebSocketError(Exception):
    """The peer broke the WebSocket protocol; ``code`` is the close code to answer with (RFC 6455 section 7.4)."""

    def __init__(self, code: int, message: str) -> None:
        self.code = code
        super().__init__(code, message)

    def __str__(self) -> str:
        return str(self.args[1])


class WSMessageTypeError(TypeError):
    """A WebSocket message of another type came than the ``receive_*`` method is for."""


class HandshakeError(Exception):
    """The opening handshake failed (RFC 6455 sections 4.1 and 4.2).

    On a server, `status` and `fields` are those of the answer (400, 405 with ``Allow``, 426 with ``Upgrade`` and
    ``Sec-WebSocket-Version``). On a client, `status` is the one that came.
    """

    def __init__(self, message: str, *, status: int = 400, fields: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.fields = {} if fields is None else fields
