"""A server that answers nobody until everybody is there; for the memory of idle connections. Run by `server.py`.

`GET /hold/N` is answered when N such requests are waiting. Everything else is answered at once.
"""

from __future__ import annotations

import asyncio
import sys

BODY = b"hello world\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


class Hold(asyncio.Protocol):
    waiting: list[asyncio.Transport] = []  # noqa: RUF012 - shared by all connections on purpose

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data += data
        while b"\r\n\r\n" in self.data:
            head, _, self.data = self.data.partition(b"\r\n\r\n")
            self.answer(head.split(b" ", 2)[1])

    def answer(self, path: bytes) -> None:
        if not path.startswith(b"/hold/"):
            self.transport.write(ANSWER)
            return
        self.waiting.append(self.transport)
        if len(self.waiting) >= int(path.rpartition(b"/")[2]):
            for transport in self.waiting:
                transport.write(ANSWER)
            self.waiting.clear()

    def connection_lost(self, error: Exception | None) -> None:
        if self.transport in self.waiting:
            self.waiting.remove(self.transport)


async def main(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Hold, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
