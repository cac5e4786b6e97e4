"""Where a reader is in a message (RFC 9112 section 6.3), for both roles."""

import enum

__all__ = ("Phase",)


class Phase(enum.Enum):
    """What the next bytes are."""

    HEAD = "head"
    LENGTH = "a body of known length"
    CHUNKED = "a chunked body"
    UNTIL_EOF = "a body that ends with the connection"
    ENDED = "nothing: the message is complete"
    TUNNEL = "another protocol"
