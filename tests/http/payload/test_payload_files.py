import asyncio
import gzip
import io
import os
import tempfile
import threading

import pytest

from endwell.http.payload import (
    BufferedReaderPayload,
    BytesIOPayload,
    IOBasePayload,
    TextIOPayload,
    get_payload,
    guess_filename,
)
from endwell.http.writer import CollectingWriter


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "pf.txt"
    path.write_bytes(b"0123456789")
    return path


async def written(payload, length=None):
    writer = CollectingWriter()
    await payload.write_with_length(writer, length)
    return writer.getvalue()


@pytest.mark.parametrize(
    ("mode", "options", "kind"),
    [
        ("rb", {}, BufferedReaderPayload),
        ("r+b", {}, BufferedReaderPayload),
        ("rb", {"buffering": 0}, IOBasePayload),
        ("r", {"encoding": "utf-8"}, TextIOPayload),
        ("r+", {"encoding": "utf-8"}, TextIOPayload),
    ],
)
async def test_a_file_is_sent_from_where_it_stood(path, mode, options, kind):
    file = path.open(mode, **options)
    file.read(2)
    payload = get_payload(file)
    assert type(payload) is kind
    assert (payload.size, payload.filename, payload.autoclose, payload.consumed) == (8, "pf.txt", False, False)
    assert payload.content_type.partition(";")[0] == "text/plain"
    assert payload.headers["Content-Disposition"] == 'attachment; filename="pf.txt"'
    for _ in range(2):
        assert await written(payload) == b"23456789"
        assert payload.size == 8
        assert not payload.consumed
    assert await payload.as_bytes() == b"23456789"
    assert payload.decode() == "23456789"
    assert await written(payload, 3) == b"234"
    assert await written(payload, 0) == b""
    assert not file.closed
    await payload.close()
    await payload.close()
    assert file.closed
    assert payload.consumed
    assert payload.size is None
    with pytest.raises(ValueError, match="closed"):
        await written(payload)


async def test_disposition_may_be_left_out(path):
    with path.open("rb") as file:
        assert "Content-Disposition" not in get_payload(file, disposition=None).headers
        assert get_payload(file, headers={"Content-Disposition": "x"}).headers["Content-Disposition"] == "x"
        assert IOBasePayload(file, "form-data", None, "a/b", "x.png").filename == "x.png"


async def test_a_large_file_is_read_in_blocks_off_the_loop(tmp_path):
    import threading

    class Watched(io.FileIO):
        def read(self, size=-1):
            reads.append((size, threading.get_ident()))
            return super().read(size)

    reads = []
    path = tmp_path / "large"
    path.write_bytes(os.urandom(600_000))
    file = Watched(path)
    payload = get_payload(file)
    assert await written(payload) == path.read_bytes()
    assert max(size for size, _ in reads) <= 2**18
    assert threading.get_ident() not in {thread for _, thread in reads}
    await payload.close()


async def test_what_is_appended_while_sending_is_not_sent(path):
    class Growing(CollectingWriter):
        async def write(self, chunk):
            await super().write(chunk)
            with path.open("ab") as other:
                other.write(b"more")

    with path.open("rb") as file:
        payload = get_payload(file)
        writer = Growing()
        await payload.write(writer)
        assert writer.getvalue() == b"0123456789"


async def test_a_pipe_is_sent_once():
    reading, writing = os.pipe()
    os.write(writing, b"through")
    os.close(writing)
    payload = get_payload(os.fdopen(reading, "rb"))
    assert (payload.size, payload.consumed) == (None, False)
    assert await written(payload) == b"through"
    assert payload.consumed
    with pytest.raises(RuntimeError, match="again"):
        await written(payload)
    await payload.close()


async def test_size_is_what_can_be_read_not_what_lies_on_disk(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"x" * 5000))
    file = gzip.open(path)  # noqa: SIM115 - the payload closes it
    payload = get_payload(file)
    assert payload.size in {None, 5000}
    assert await written(payload) == b"x" * 5000
    await payload.close()


async def test_spooled_file():
    file = tempfile.SpooledTemporaryFile()  # noqa: SIM115 - the payload closes it
    file.write(b"abc")
    file.seek(1)
    payload = IOBasePayload(file)
    assert payload.size == 2
    assert await written(payload) == b"bc"
    await payload.close()


async def test_bytes_io_stays_open():
    file = io.BytesIO(b"hello world")
    file.read(2)
    payload = get_payload(file)
    assert type(payload) is BytesIOPayload
    assert (payload.size, payload.content_type, payload.autoclose) == (9, "application/octet-stream", True)
    for _ in range(2):
        assert await written(payload) == b"llo world"
    assert payload.decode() == "llo world"
    await payload.close()
    assert not payload.consumed
    assert await written(payload) == b"llo world"
    file.seek(0, 2)
    assert get_payload(file).size == 0


async def test_text_in_another_charset(path):
    path.write_text("é" * 200_000, encoding="utf-8")
    payload = TextIOPayload(path.open(encoding="utf-8"), encoding="utf-16")
    assert payload.size is None
    assert payload.content_type == "text/plain; charset=utf-16"
    for _ in range(2):
        assert (await written(payload)).decode("utf-16") == "é" * 200_000
    assert payload.decode() == "é" * 200_000
    await payload.close()


async def test_text_in_its_own_charset_is_sent_as_it_is(path):
    path.write_bytes(b"\xe9\r\n" * 3)
    payload = TextIOPayload(path.open(encoding="latin1"), content_type="a/b; charset=iso-8859-1")
    assert payload.size == 9
    assert await written(payload) == b"\xe9\r\n" * 3
    await payload.close()


async def test_cancelled_while_writing(path):
    class Stuck(CollectingWriter):
        async def write(self, chunk):
            await asyncio.get_running_loop().create_future()

    payload = get_payload(path.open("rb"))
    task = asyncio.ensure_future(payload.write(Stuck()))
    while not task.cancel():
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await written(payload) == b"0123456789"
    await payload.close()


async def test_a_read_that_goes_on_after_a_cancellation():
    """It ends in its thread; whoever writes the file again waits for that, and nobody hears of its failure."""

    class Slow(io.BytesIO):
        def __init__(self):
            super().__init__(b"0123456789")
            self.entered = threading.Event()
            self.gate = threading.Event()

        def read(self, size=-1):
            if not self.entered.is_set():
                self.entered.set()
                self.gate.wait()
                raise OSError("of the first read")
            return super().read(size)

    file = Slow()
    payload = IOBasePayload(file)
    task = asyncio.ensure_future(written(payload))
    try:
        while not file.entered.is_set():
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        again = asyncio.ensure_future(written(payload))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not again.done()
    finally:
        file.gate.set()
    assert await again == b"0123456789"
    await payload.close()
    assert file.closed


@pytest.mark.parametrize(
    ("name", "expected"),
    [("/a/b.txt", "b.txt"), ("C:\\a\\b.txt", "b.txt"), ("<stdin>", None), (3, None), ("", None), ("/a/", None)],
)
def test_name_of_a_file(name, expected):
    class File:
        pass

    file = File()
    file.name = name
    assert guess_filename(file) == expected
    assert guess_filename(object(), "x") == "x"
