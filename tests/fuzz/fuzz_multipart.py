"""Fuzz target for multipart bodies: whatever a peer sends, reading ends, and ends the same however the bytes are split.

`TestOneInput` takes one input and raises when a promise is broken. With atheris installed, run this file; without it,
`test_fuzz_multipart.py` feeds it from hypothesis.
"""

import sys
import warnings

from endwell.http.disposition import BadContentDispositionHeader, BadContentDispositionParam
from endwell.http.multipart import MultipartError, MultipartReader
from endwell.http.multipart.scanner import Mark, Scanner

KINDS = ("mixed", "form-data", "related")


class Pieces:
    def __init__(self, data, size):
        self.pieces = [data[start : start + size] for start in range(0, len(data), size)][::-1]
        self.calls = 0

    async def readany(self):
        self.calls += 1
        return self.pieces.pop() if self.pieces else b""


def TestOneInput(data: bytes) -> None:  # noqa: N802  # the name that atheris documents
    kind = KINDS[data[0] % 3] if data else "mixed"
    size = data[1] % 7 + 1 if len(data) > 1 else 1
    body = data[2:]
    whole = events(body, max(len(body), 1))
    assert events(body, size) == whole
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BadContentDispositionHeader)
        warnings.simplefilter("ignore", BadContentDispositionParam)
        assert run(read(body, kind, size)) == run(read(body, kind, max(len(body), 1)))


def run(coroutine):
    """Run what never waits for anything."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("a reader waited for something else than its body")


def events(body, size):
    """Give what a scanner says of a body: fields and contents of parts, and how it ended."""
    scanner = Scanner(b"B", max_field_size=64, max_fields=4)
    pieces = [body[start : start + size] for start in range(0, len(body), size)][::-1]
    said = []
    content = None
    while True:
        try:
            event = scanner.poll()
        except MultipartError as error:
            return said, content, str(error).partition(":")[2][:20]
        if event is None:
            if pieces:
                scanner.feed(pieces.pop())
            else:
                scanner.feed_eof()
        elif event is Mark.END:
            assert scanner.poll() is Mark.END
            return said, content, "end"
        elif event is Mark.PART_END:
            assert content is not None
            said.append(content)
            content = None
        elif isinstance(event, bytes):
            assert event
            content += event
        else:
            assert content is None
            said.append(list(event.items()))
            content = b""


async def read(body, kind, size):
    """Give all that a reader gives, in each way a part can be read."""
    source = Pieces(body, size)
    reader = MultipartReader({"Content-Type": f"multipart/{kind}; boundary=B"}, source, max_parts=20)
    got = []
    try:
        await read_parts(reader, got)
    except (ValueError, RecursionError) as error:
        got.append(type(error).__name__)
    assert source.calls <= len(body) // size + 3
    return got


async def read_parts(reader, got):
    ways = 0
    async for part in reader:
        got.append(sorted(part.headers.items()))
        if isinstance(part, MultipartReader):
            await read_parts(part, got)
            continue
        got.append((part.name, part.filename))
        ways += 1
        if ways % 4 == 0:
            got.append(await part.read(decode=True))
        elif ways % 4 == 1:
            got.append(await part.text())
        elif ways % 4 == 2:
            lines = []
            while line := await part.readline():
                lines.append(line)
            got.append(lines)
        else:
            chunks = []
            while chunk := await part.read_chunk(3):
                chunks.append(chunk)
            got.append(b"".join(chunks))
        assert part.at_eof()


if __name__ == "__main__":
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, TestOneInput)
    atheris.Fuzz()
