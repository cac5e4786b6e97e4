"""What servers are measured with: WebSockets, on each of which one message is under way. Used by `runner.py`.

A loop over epoll and plain sockets, with frames made beforehand and one comparison for most answers: it needs less for
a message than any server that is measured, so that the server is what all wait for.
"""

from __future__ import annotations

import contextlib
import random
import select
import socket
import time
from collections.abc import Iterator, Sequence
from functools import cache

from bench.servers.load import WrongAnswerError

from .content import COUNT, TEXT, payloads
from .frames import CLOSE, MOST_BITS, PING, PONG, Inflater, MessageReader, accept, deflated, frame

PATIENCE_SECONDS = 10
SEND_BUFFER = 512 * 1024
KEY = "ZW5kd2VsbCdzIGJlbmNoIQ=="
# As browsers ask for it.
OFFER = "permessage-deflate; client_max_window_bits"
GONE = (1001).to_bytes(2, "big")


@cache
def questions(kind: int, bits: int) -> tuple[bytes, ...]:
    """The messages as masked frames; compressed for a window of so many bits, or not if it is 0."""
    dice = random.Random(kind)
    keys = [dice.randbytes(4) for _ in range(COUNT)]
    return tuple(
        frame(kind, deflated(payload, bits) if bits else payload, key, bool(bits))
        for key, payload in zip(keys, payloads(kind), strict=True)
    )


@cache
def answers(kind: int) -> tuple[bytes, ...]:
    """The messages as the frames that most servers send, if they do not compress."""
    return tuple(frame(kind, payload) for payload in payloads(kind))


class Lane:
    """A WebSocket, and the message that is under way on it."""

    def __init__(self, port: int, path: str, kind: int, deflate: bool, number: int) -> None:
        self.name = f"WebSocket {number + 1}"
        self.turn = number
        self.payloads = payloads(kind)
        self.answers = answers(kind)
        self.size = len(self.answers[0]) + 16
        self.opcode = kind
        self.reader = MessageReader()
        with contextlib.ExitStack() as stack:
            self.sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS))
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            bits = self._shake_hands(path, deflate)
            stack.pop_all()
        self.inflate = Inflater() if bits else None
        self.questions = questions(kind, bits)

    def _shake_hands(self, path: str, deflate: bool) -> int:
        """Open the WebSocket; the bits of the window that may be compressed with, 0 if nothing is compressed."""
        extensions = f"Sec-WebSocket-Extensions: {OFFER}\r\n" if deflate else ""
        request = (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{extensions}\r\n"
        )
        self.sock.sendall(request.encode())
        data = b""
        while b"\r\n\r\n" not in data:
            piece = self.sock.recv(4096)
            if not piece:
                raise WrongAnswerError(f"{self.name} was closed in the handshake after {len(data)} bytes")
            data += piece
        head, _, rest = data.partition(b"\r\n\r\n")
        if self.reader.feed(rest):
            raise WrongAnswerError(f"{self.name} was sent a message that nobody asked for")
        return agreed_bits(head.decode("latin-1"), deflate)

    def send(self) -> None:
        """Send the next message."""
        question = self.questions[self.turn % COUNT]
        sent = self.sock.send(question)
        if sent < len(question):  # more than the kernel takes at once; the server reads
            self.sock.settimeout(PATIENCE_SECONDS)
            self.sock.sendall(memoryview(question)[sent:])
            self.sock.setblocking(False)

    def receive(self) -> bool:
        """Read; whether the answer is whole now. Raises WrongAnswerError if it is not the message that was sent."""
        data = self.sock.recv(self.size)
        if data == self.answers[self.turn % COUNT] and self.inflate is None:
            self.turn += 1
            return True
        if not data:
            raise WrongAnswerError(f"{self.name} was closed while a message was under way")
        whole = False
        for message in self.reader.feed(data):
            payload = message.payload()
            if message.opcode == PING:
                self.sock.sendall(frame(PONG, payload, b"mask"))
                continue
            if message.opcode == CLOSE:
                code, reason = int.from_bytes(payload[:2], "big"), payload[2:].decode(errors="replace")
                raise WrongAnswerError(f"{self.name} was closed with {code} {reason!r}")
            if message.compressed is not (self.inflate is not None):
                raise WrongAnswerError(f"an answer was {'' if message.compressed else 'not '}compressed")
            if self.inflate is not None:
                payload = self.inflate(payload)
            if message.opcode != self.opcode or payload != self.payloads[self.turn % COUNT]:
                raise WrongAnswerError(f"{self.name} was answered {len(payload)} bytes that were not sent")
            self.turn += 1
            whole = True
        return whole

    def echo(self) -> None:
        """Send a message and wait for it."""
        self.send()
        while not self.receive():
            pass

    def close(self) -> None:
        """Say that this side goes, and go: a server must not wait for anything more."""
        with contextlib.suppress(OSError):
            self.sock.send(frame(CLOSE, GONE, b"mask"))
        self.sock.close()


def agreed_bits(head: str, deflate: bool) -> int:
    """The bits of the window that a server lets its client compress with; 0 if nothing is compressed.

    Raises WrongAnswerError if the WebSocket was not opened as it was asked for.
    """
    status, *lines = head.split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if status.split(" ")[1:2] != ["101"] or fields.get("sec-websocket-accept") != accept(KEY):
        raise WrongAnswerError(f"the handshake was answered with {status!r}")
    extension, *parameters = (part.strip() for part in fields.get("sec-websocket-extensions", "").split(";"))
    if extension != ("permessage-deflate" if deflate else ""):
        raise WrongAnswerError(f"the extension that was agreed on is {extension!r}")
    values = dict(parameter.partition("=")[::2] for parameter in parameters)
    return int(values.get("client_max_window_bits", "").strip('"') or MOST_BITS) if deflate else 0


@contextlib.contextmanager
def opened(count: int, port: int, path: str = "/echo", kind: int = TEXT, deflate: bool = False) -> Iterator[list[Lane]]:
    """So many WebSockets, on each of which one message was answered, one after another."""
    lanes: list[Lane] = []
    try:
        for number in range(count):
            lanes.append(Lane(port, path, kind, deflate, number))
            lanes[-1].echo()
        yield lanes
    finally:
        for lane in lanes:
            lane.close()


def run(lanes: Sequence[Lane], seconds: float) -> tuple[int, float]:
    """Keep a message under way on each for so long: how many were answered, and the seconds it took.

    At the end all are answered. Each sends at least one. Raises WrongAnswerError.
    """
    for lane in lanes:
        lane.sock.setblocking(False)
    by_number = {lane.sock.fileno(): lane for lane in lanes}
    count, under_way = 0, len(lanes)
    with select.epoll() as epoll:
        for number in by_number:
            epoll.register(number, select.EPOLLIN)
        begin = time.perf_counter()
        end = begin + seconds
        for lane in lanes:
            lane.send()
        while under_way:
            ready = epoll.poll(PATIENCE_SECONDS)
            if not ready:
                raise WrongAnswerError(f"{under_way} messages were not answered within {PATIENCE_SECONDS} s")
            is_on = time.perf_counter() < end
            for number, _ in ready:
                lane = by_number[number]
                if lane.receive():
                    count += 1
                    if is_on:
                        lane.send()
                    else:
                        under_way -= 1
        taken = time.perf_counter() - begin
    return count, taken


def expect_open(lanes: Sequence[Lane]) -> None:
    """Raises WrongAnswerError if one was closed, or got a message that nobody asked for. Pings may come."""
    for lane in lanes:
        lane.sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            data = lane.sock.recv(4096)
            if not data or any(message.opcode != PING for message in lane.reader.feed(data)):
                raise WrongAnswerError(f"idle {lane.name} was closed, or got a message that nobody asked for")
