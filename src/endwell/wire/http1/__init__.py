"""HTTP/1.1 as bytes to events and back (RFC 9112): no I/O, no clock; over httptools (llhttp) and checks of our own.

The server imports `request_head` and `request_reader` by themselves, so that a client does not pay for them.
"""

from endwell.wire.http1.chunked import ChunkedDecoder, encode_chunk
from endwell.wire.http1.errors import ProtocolError, TruncatedError
from endwell.wire.http1.head import ResponseHead
from endwell.wire.http1.limits import Limits
from endwell.wire.http1.reader import ResponseReader

__all__ = (
    "ChunkedDecoder",
    "Limits",
    "ProtocolError",
    "ResponseHead",
    "ResponseReader",
    "TruncatedError",
    "encode_chunk",
)
