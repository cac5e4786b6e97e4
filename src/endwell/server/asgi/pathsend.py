"""The extension `http.response.pathsend`: a file that the application names is sent by the server.

Used by `exchange`. The file is opened in a thread and sent by the kernel where nothing is to be done with it on the
way (`connection.sendfile`).
"""

from __future__ import annotations

import os
import stat
from functools import partial
from typing import TYPE_CHECKING, Any

from endwell.connection.open_file import OpenFile, open_in_thread

if TYPE_CHECKING:
    from endwell.server.asgi.exchange import AsgiExchange
    from endwell.server.asgi.response_fields import Fields

__all__ = ("send_path",)


async def send_path(exchange: AsgiExchange, fields: Fields, path: Any) -> None:
    """Send head and file.

    Raises:
        OSError: the file cannot be opened or read; ConnectionResetError: the client has gone.
        RuntimeError: it is no regular file, or shorter than Content-Length says.

    """
    file, size = await _open(path)
    try:
        length = size if fields.length is None else fields.length
        if length > size:
            message = f"{file.name!r} has {size} bytes, and Content-Length said {length}"
            raise RuntimeError(message)
        head = exchange.frame(fields, length)
        if exchange.is_bodiless:
            exchange.push(head)
            return
        writer = exchange.begin(head, length, chunked=False)
        await writer.send_file(file, 0, length)
        exchange.body_size = length
        await writer.write_eof()
    finally:
        file.close()


async def _open(path: Any) -> tuple[OpenFile, int]:
    file = await open_in_thread(partial(_open_regular, os.fspath(path)))
    size = os.fstat(file.fileno()).st_size
    return file, size


def _open_regular(path: str) -> OpenFile:
    """Open a file; a pipe or a device would be waited for."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    file = OpenFile(fd, path)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        file.close()
        message = f"{path!r} is no regular file: only such can be sent"
        raise RuntimeError(message)
    return file
