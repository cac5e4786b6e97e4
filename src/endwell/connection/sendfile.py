"""Sends a file from the page cache to a socket, without a copy through this process (sendfile(2)).

Used by `BodyWriter.send_file`, on asyncio's loop and on uvloop's alike. `loop.sendfile` is not used: uvloop has none,
and asyncio's needs a future, a selector entry and a pause of reading for each file. Instead the kernel is called while
the transport has nothing buffered, and whenever the socket is full the transport is given the next few bytes to send:
when it has got rid of them there is room again, and the way a transport says so is the way it always does,
`resume_writing`. So there is no second watcher on the socket, the order of bytes is the transport's, and a
cancellation has nothing to take back.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from typing import Final

from endwell.connection.open_file import OpenFile
from endwell.transport.stream import Stream

__all__ = ("send_through_kernel",)

_AT_ONCE: Final = 2**20
"""Bytes that are sent in one pass of the loop: a reader as fast as we are must not hold up everybody else."""

_NUDGE: Final = 2**14
"""Bytes that the transport gets to wait with when the socket is full."""

_NOT_THIS_FILE: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTSOCK})
"""What sendfile says of a file system, or a socket, that it does not work with."""

_NETWORK: Final = frozenset(
    {errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN}
)
"""What it says of a connection that is gone, beside the subclasses of ConnectionError."""

_LOST: Final = "The connection was lost while sending"


async def send_through_kernel(
    stream: Stream, file: OpenFile, offset: int, count: int, tell: Callable[[int], None]
) -> int:
    """Send `count` bytes of the file from `offset` on, behind what was written to the stream before.

    Calls `tell` with the size of each piece that was sent. Gives how many bytes were sent: fewer than `count`, perhaps
    none, when the connection is encrypted, when the platform cannot send this file so, or when the file ends early.

    Raises:
        ConnectionResetError: the connection is gone.
        OSError: the file cannot be read.

    On cancellation an unknown part of the bytes was sent: the connection can only be closed.
    """
    transport = stream.transport
    target = -1 if transport is None else _descriptor(transport)
    if transport is None or target < 0:
        return 0
    if transport.is_closing():
        raise ConnectionResetError(_LOST)
    low, high = transport.get_write_buffer_limits()
    transport.set_write_buffer_limits(0)  # writable() returns when everything is sent
    sent = 0
    try:
        while sent < count:
            await stream.writable()
            if transport.is_closing():
                raise ConnectionResetError(_LOST)
            wanted = min(count - sent, _AT_ONCE)
            try:
                went = _sendfile(target, file, offset + sent, wanted)
            except ConnectionError:
                stream.discard()  # the transport, which has not written, does not know yet
                raise
            if went is None:
                return sent
            sent += went
            tell(went)
            if went == wanted:
                if sent < count:
                    await asyncio.sleep(0)
                continue
            piece = file.read_at(offset + sent, min(count - sent, _NUDGE))
            if not piece:
                return sent
            transport.write(piece)
            sent += len(piece)
            tell(len(piece))
        return sent
    finally:
        if not transport.is_closing():  # uvloop refuses it then
            transport.set_write_buffer_limits(high, low)


def _descriptor(transport: asyncio.WriteTransport) -> int:
    """Give the descriptor of the socket that the transport writes to without changing a byte, -1 for none."""
    if transport.get_extra_info("sslcontext") is not None or not hasattr(os, "sendfile"):
        return -1
    sock = transport.get_extra_info("socket")
    return -1 if sock is None else int(sock.fileno())


def _sendfile(target: int, file: OpenFile, offset: int, count: int) -> int | None:
    """Send what the socket takes now; None when it is not to be had this way."""
    try:
        return os.sendfile(target, file.fileno(), offset, count)
    except BlockingIOError:
        return 0
    except ConnectionError as error:
        raise ConnectionResetError(_LOST) from error
    except OSError as error:
        if error.errno in _NOT_THIS_FILE:
            return None
        if error.errno in _NETWORK:
            raise ConnectionResetError(_LOST) from error
        raise
