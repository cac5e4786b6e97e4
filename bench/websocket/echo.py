"""What clients are measured with: a server that answers each message with itself. Run by `suite.py` with a port.

A loop over epoll and plain sockets, with frames made beforehand: it needs less for a message than any client that is
measured. The messages of a connection follow one another in the order of `content.py`, so the answer to most is known
by the head of their frame; some of them, and all that are compressed, are looked at. On `/deflate` messages must be
compressed, on other paths they must not; what is wrong is closed with 1008.
"""

from __future__ import annotations

import contextlib
import select
import socket
import sys
from functools import cache

from .content import BINARY, COUNT, TEXT, payloads
from .frames import CLOSE, MOST_BITS, PING, PONG, Inflater, Message, MessageReader, accept, deflated, frame, head

LOOKED_AT = 15
"""Of so many messages that are not compressed one is compared; in time every one of the sixteen."""
DEFLATE = "/deflate"
BUFFER = 512 * 1024
RECEIVE = 128 * 1024
NUMBERS = {payload: (kind, number) for kind in (TEXT, BINARY) for number, payload in enumerate(payloads(kind))}


@cache
def answer(kind: int, number: int, bits: int) -> bytes:
    """A message as a frame; compressed for a window of so many bits, or not if it is 0."""
    payload = payloads(kind)[number]
    return frame(kind, deflated(payload, bits) if bits else payload, compressed=bool(bits))


class WrongMessageError(Exception):
    """Something other than what was agreed on came."""


class Connection:
    """A client's WebSocket."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.head: bytes | None = b""
        """What there is of the handshake; None when it is done."""
        self.reader = MessageReader()
        self.must_deflate = False
        self.bits = 0
        self.inflate = Inflater()
        self.turn = 0
        self.kind = 0
        self.begin = b""
        """What the frame of the next message begins with; empty if that is not known."""
        self.size = 0
        self.left = 0
        """How much of a frame that is not looked at has not come yet."""

    def received(self, data: bytes) -> bool:
        """Answer what came; whether the connection goes on."""
        if self.left or (self.begin and self.turn % LOOKED_AT and data.startswith(self.begin)):
            self.left = (self.left or self.size) - len(data)
            if self.left > 0:
                return True
            self.write(answer(self.kind, self.turn % COUNT, 0))
            self.turn += 1
            data = data[len(data) + self.left :]
            self.left = 0
            if not data:
                return True
        return self.look_at(data)

    def look_at(self, data: bytes) -> bool:
        """Read whatever it is."""
        if self.head is not None:
            self.head += data
            if b"\r\n\r\n" in self.head:
                self.write(self.handshake(self.head.decode("latin-1")))
                self.head = None
            return True
        self.begin = b""
        try:
            for message in self.reader.feed(data):
                if message.opcode == CLOSE:
                    self.write(frame(CLOSE, message.payload()))
                    return False
                self.write(frame(PONG, message.payload()) if message.opcode == PING else self.answer(message))
        except WrongMessageError as error:
            self.write(frame(CLOSE, (1008).to_bytes(2, "big") + str(error).encode()[:120]))
            return False
        if self.kind and not self.must_deflate and not self.reader.data:
            length = len(payloads(self.kind)[0])
            self.begin = head(self.kind, length, masked=True)
            self.size = len(self.begin) + 4 + length
        return True

    def write(self, data: bytes) -> None:
        """Write all of it: a client that waits for its message reads."""
        sent = 0
        with contextlib.suppress(BlockingIOError):
            sent = self.sock.send(data)
        if sent < len(data):
            self.sock.settimeout(10)
            self.sock.sendall(memoryview(data)[sent:])
            self.sock.setblocking(False)

    def handshake(self, request: str) -> bytes:
        first, *lines = request.split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.must_deflate = first.split(" ")[1] == DEFLATE
        extension = agreement(fields.get("sec-websocket-extensions", ""))
        if extension:
            _, _, bits = extension.partition("server_max_window_bits=")
            self.bits = int(bits.partition(";")[0] or MOST_BITS)
            extension = f"Sec-WebSocket-Extensions: {extension}\r\n"
        key = accept(fields["sec-websocket-key"])
        return (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {key}\r\n{extension}\r\n"
        ).encode()

    def answer(self, message: Message) -> bytes:
        if message.compressed is not self.must_deflate:
            raise WrongMessageError(f"a message was {'' if message.compressed else 'not '}compressed")
        if message.compressed or self.turn % LOOKED_AT == 0:
            payload = self.inflate(message.payload()) if message.compressed else message.payload()
            kind, number = NUMBERS.get(payload, (0, 0))
            if kind != message.opcode:
                raise WrongMessageError(f"{len(payload)} bytes that are none of the messages")
            if not self.turn:
                self.turn, self.kind = number, kind
            if number != self.turn % COUNT:
                raise WrongMessageError(f"message {number} instead of {self.turn % COUNT}")
        elif message.opcode != self.kind or message.length() != len(payloads(self.kind)[0]):
            raise WrongMessageError(f"{message.length()} bytes that are none of the messages")
        number = self.turn % COUNT
        self.turn += 1
        return answer(message.opcode, number, self.bits if self.must_deflate else 0)


def agreement(offers: str) -> str:
    """What a server answers to the extensions that a client offers: deflate as it was offered first, or nothing."""
    name, *parameters = (part.strip() for part in offers.partition(",")[0].split(";"))
    if name != "permessage-deflate":
        return ""
    wanted = [part for part in parameters if part.startswith("server_")]
    return "; ".join([name, *wanted])


def serve(port: int) -> None:
    """Answer for ever."""
    with socket.create_server(("127.0.0.1", port), backlog=4096) as listener, select.epoll() as epoll:
        listener.setblocking(False)
        epoll.register(listener.fileno(), select.EPOLLIN)
        connections: dict[int, Connection] = {}
        while True:
            for number, _ in epoll.poll():
                if number == listener.fileno():
                    sock, _ = listener.accept()
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    sock.setblocking(False)
                    connections[sock.fileno()] = Connection(sock)
                    epoll.register(sock.fileno(), select.EPOLLIN)
                    continue
                connection = connections[number]
                if not _step(connection):
                    del connections[number]
                    epoll.unregister(number)
                    connection.sock.close()


def _step(connection: Connection) -> bool:
    try:
        data = connection.sock.recv(RECEIVE)
        return bool(data) and connection.received(data)
    except OSError:
        return False


if __name__ == "__main__":
    serve(int(sys.argv[1]))
