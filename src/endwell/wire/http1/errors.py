"""What can be wrong with the bytes of an HTTP/1.1 peer. The role maps these to its public exceptions."""

__all__ = ("ProtocolError", "TruncatedError")


class ProtocolError(Exception):
    """The peer sent something that is not HTTP/1.1, or more of it than the limits allow.

    `phase` is ``"head"`` or ``"body"``.
    """

    def __init__(self, message: str, phase: str = "head") -> None:
        super().__init__(message)
        self.phase = phase


class TruncatedError(ProtocolError):
    """The connection ended inside a message (RFC 9112 section 8)."""
