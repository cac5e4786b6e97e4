import pytest
from multidict import CIMultiDict

from endwell.http.writer import AbstractStreamWriter, CollectingWriter, LimitedWriter


async def test_collecting():
    writer = CollectingWriter()
    await writer.write(b"a")
    await writer.write(memoryview(b"bc"))
    await writer.write(bytearray(b"d"))
    await writer.write_eof(b"e")
    await writer.write_eof()
    await writer.drain()
    assert (writer.getvalue(), writer.output_size, writer.transport) == (b"abcde", 5, None)


@pytest.mark.parametrize("limit", range(-1, 8))
async def test_limit(limit):
    writer = CollectingWriter()
    limited = LimitedWriter(writer, limit)
    for piece in (b"ab", memoryview(b"cde"), b"f"):
        await limited.write(piece)
    await limited.drain()
    assert writer.getvalue() == b"abcdef"[: max(limit, 0)]
    assert limited.length == max(limit - 6, 0)


async def test_there_is_no_message_around_a_body():
    writer = CollectingWriter()
    writer.send_headers()
    with pytest.raises(RuntimeError, match="chunk"):
        writer.enable_chunking()
    with pytest.raises(RuntimeError, match="gzip"):
        writer.enable_compression("gzip")
    with pytest.raises(RuntimeError, match="head"):
        await writer.write_headers("GET / HTTP/1.1", CIMultiDict())


def test_interface_is_abstract():
    assert {"write", "write_eof", "drain", "enable_compression", "enable_chunking", "write_headers"} == (
        AbstractStreamWriter.__abstractmethods__
    )
    assert (AbstractStreamWriter.buffer_size, AbstractStreamWriter.output_size, AbstractStreamWriter.length) == (
        0,
        0,
        0,
    )
