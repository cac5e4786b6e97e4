"""Fuzz target for the server: a whole connection in memory, from the bytes of a client to those of the answers.

Whatever comes, in whatever pieces: no error gets out, each request that runs has exactly one answer, in order and well
framed, nothing follows an answer that says it is the last, and the connection ends when the client does.
`TestOneInput` takes one input and raises when a promise is broken. With atheris installed, run this file; without it,
`test_fuzz_server.py` feeds it from hypothesis.
"""

import asyncio
import logging
import re
import sys

from endwell import web
from endwell.connection.served import Times
from endwell.lifetime import close
from endwell.server.core import ServerCore
from endwell.server.request import BaseRequest
from endwell.wire.http1 import Limits

LIMITS = (Limits(), Limits(line_size=60, field_size=60, fields=6))
STATUSES = {200, 400, 413, 414, 415, 417, 431, 500, 501, 505}
ENOUGH = 1000  # passes of the loop: an input that needs more hangs

STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9]) [ -~]*")
FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ([\t -~\x80-\xff]*)")


def TestOneInput(data: bytes) -> None:  # noqa: N802  # the name that atheris documents
    knobs = data[:3].ljust(3, b"\0")
    stream = data[3:]
    limits = LIMITS[knobs[0] & 1]
    half = bool(knobs[0] & 2)
    size = knobs[1] % 17 + 1
    manner = MANNERS[knobs[2] % len(MANNERS)]
    with asyncio.Runner() as runner:
        whole = runner.run(serve(stream, max(len(stream), 1), limits, manner, half))
        parts = runner.run(serve(stream, size, limits, manner, half))
        if manner is read_all:  # another one may have answered before the fault in a body comes
            # Of two faults another one may come first, and a head may end before it is looked at again.
            assert served(parts) == served(whole), (parts, whole)
            assert len(served(parts)) >= len(parts) - 1
            assert len(served(whole)) >= len(whole) - 1


def served(answers):
    """Give those that are no refusal."""
    return [answer for answer in answers if answer[0] == 200]


# What handlers do with a request


async def read_all(request):
    body = await request.read()
    return web.Response(text=f"{len(body)}", headers={"X-Target": request.raw_path})


async def read_nothing(request):
    return web.Response(text="x", headers={"X-Target": request.raw_path})


async def read_some(request):
    await request.content.readany()
    response = web.StreamResponse(headers={"X-Target": request.raw_path})
    await response.prepare(request)
    await response.write(b"some")
    await asyncio.sleep(0)
    await response.write(b"more")
    return response


async def look_around(request):
    await asyncio.sleep(0)
    for name in ("url", "path", "query", "cookies", "headers", "content_type", "charset", "if_match", "forwarded"):
        getattr(request, name)
    await request.post()
    return web.Response(text="x", headers={"X-Target": request.raw_path})


async def fail(request):
    await request.content.readany()
    raise web.HTTPBadRequest(headers={"X-Target": request.raw_path})


MANNERS = (read_all, read_nothing, read_some, look_around, fail)


class MemoryTransport(asyncio.Transport):
    """The network: keeps what is written; a client that reads now and then."""

    def __init__(self, loop, protocol, *, slow):
        super().__init__({"peername": ("192.0.2.1", 1)})
        self.loop = loop
        self.protocol = protocol
        self.slow = slow
        self.sent = bytearray()
        self.unread = 0
        self.closing = self.ended = self.finished = self.full = self.reading_paused = False

    def write(self, data):
        assert not self.finished, "written after the end"
        if self.closing:
            return
        self.sent += data
        if self.slow:
            if not self.unread:
                self.loop.call_soon(self.loop.call_soon, self.read)
            self.unread += len(data)
            if self.unread > 200 and not self.full:
                self.full = True
                self.protocol.pause_writing()

    def read(self):
        self.unread = 0
        if self.full and not self.ended:
            self.full = False
            self.protocol.resume_writing()
        if self.closing:
            self.end()

    def writelines(self, pieces):
        self.write(b"".join(pieces))

    def can_write_eof(self):
        return True

    def write_eof(self):
        self.finished = True

    def is_closing(self):
        return self.closing

    def get_write_buffer_size(self):
        return self.unread

    def set_write_buffer_limits(self, high=None, low=None):
        pass

    def pause_reading(self):
        self.reading_paused = True

    def resume_reading(self):
        self.reading_paused = False

    def is_reading(self):
        return not self.reading_paused

    def close(self):
        if not self.closing:
            self.closing = True
            if not self.unread:
                self.loop.call_soon(self.end)

    def abort(self):
        self.closing = True
        self.loop.call_soon(self.end)

    def end(self):
        if not self.ended:
            self.ended = True
            self.protocol.connection_lost(None)


class Problems(logging.Handler):
    def __init__(self):
        super().__init__(logging.ERROR)
        self.found = []

    def emit(self, record):
        self.found.append(self.format(record))


async def serve(stream, size, limits, manner, slow):
    """Serve what is in a stream, in pieces of that size; give status and target of each answer."""
    loop = asyncio.get_running_loop()
    calls = []

    async def handle(request):
        calls.append(request.raw_path)
        return await manner(request)

    problems = Problems()
    logger = logging.Logger("fuzz")  # noqa: LOG001  # of this input alone
    logger.addHandler(problems)
    logger.propagate = False
    loop.set_exception_handler(lambda _, context: problems.found.append(repr(context)))
    core = ServerCore(
        loop, handle, BaseRequest, name="fuzzed", limits=limits, logger=logger, times=Times(), read_bufsize=64
    )
    await asyncio.sleep(0)  # until the spare task is ready
    connection = core.connection()
    transport = MemoryTransport(loop, connection, slow=slow)
    connection.connection_made(transport)
    for start in range(0, len(stream), size):
        await until(loop, lambda: not transport.reading_paused or transport.closing)
        if transport.closing:
            break
        loop.call_soon(connection.data_received, stream[start : start + size])  # as from the loop: within no task
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    await until(loop, lambda: connection.exchange is None or incomplete(connection))
    await until(loop, lambda: not transport.unread)
    for _ in range(20):
        await asyncio.sleep(0)
    if not transport.closing:
        loop.call_soon(end_of_stream, connection, transport)
    await until(loop, lambda: transport.ended)
    await until(loop, lambda: not core.work)
    await close(core, timeout=0, at=core.origin)
    assert not problems.found, problems.found
    return check(bytes(transport.sent), calls)


def incomplete(connection):
    """Whether the handler waits for a body of which no more comes."""
    body = connection.exchange.incoming
    return body is not None and body.awaited and not body.ended


def end_of_stream(connection, transport):
    if not connection.eof_received():
        transport.close()


async def until(loop, condition):
    for _ in range(ENOUGH):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("the connection hangs")


def check(sent, calls):
    """Read the answers as a client does that believes nothing; give status and target of each."""
    answers = []
    last = False
    while sent:
        head, end, rest = sent.partition(b"\r\n\r\n")
        assert end, sent
        lines = head.split(b"\r\n")
        status_line = STATUS_LINE.fullmatch(lines[0])
        assert status_line is not None, head
        status = int(status_line[1])
        fields = {}
        for line in lines[1:]:
            field = FIELD.fullmatch(line)
            assert field is not None, line
            fields.setdefault(field[1].lower(), []).append(field[2])
        assert all(len(values) == 1 for values in fields.values()), fields
        if status == 100:
            assert not fields
            sent = rest
            continue
        assert status in STATUSES, head
        assert not last, "an answer after the last one"
        last = fields.get(b"connection") == [b"close"]
        target = fields.get(b"x-target", [b"-"])[0].decode()
        answers.append((status, target))
        sent = behind_body(fields, rest)
    asked = [target for _, target in answers if target != "-"]
    left = iter(calls)
    assert all(target in left for target in asked), (asked, calls)  # in order, and none twice
    assert len(calls) <= len(answers) + 1, (calls, answers)  # the last one may have lost its client
    return answers


def behind_body(fields, rest):
    """Give what follows the body of an answer; there is none to HEAD, whatever the fields say."""
    if b"transfer-encoding" in fields:
        assert fields[b"transfer-encoding"] == [b"chunked"]
        assert b"content-length" not in fields
        while rest and not rest.startswith(b"HTTP/1.1 "):
            line, end, rest = rest.partition(b"\r\n")
            if not end:
                return b""  # cut off
            size = int(line, 16)
            chunk, rest = rest[: size + 2], rest[size + 2 :]
            assert len(chunk) < size + 2 or chunk.endswith(b"\r\n")
            if not size:
                break
        return rest
    if rest.startswith(b"HTTP/1."):
        return rest
    return rest[int(fields[b"content-length"][0]) :] if b"content-length" in fields else b""


if __name__ == "__main__":
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, TestOneInput)
    atheris.Fuzz()
