"""What can be wrong with the bytes of an HTTP/1.1 peer. The role maps these to its public exceptions."""

__all__ = ("ProtocolError", "TruncatedError")


class ProtocolError(Exception):
    """The peer sent something that is not HTTP/1.1, or more of it than the limits allow.

    What the peer of a server sent stands in the message behind ``": "``, so that a log can leave it out.
    `phase` is ``"head"`` or ``"body"``; `status` is what a server answers (400, 413, 414, 431, 501 or 505).
    """

    def __init__(self, message: str, phase: str = "head", status: int = 400) -> None:
        super().__init__(message)
        self.phase = phase
        self.status = status


class TruncatedError(ProtocolError):
    """The connection ended inside a message (RFC 9112 section 8)."""
