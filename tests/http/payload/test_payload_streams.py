import pytest

from endwell.http.payload import AsyncIterablePayload, StreamReaderPayload, get_payload
from endwell.http.writer import CollectingWriter


class Source:
    """A generator that notes how it ended."""

    def __init__(self, *chunks):
        self.chunks = chunks
        self.ended = False

    async def __call__(self):
        try:
            for chunk in self.chunks:
                yield chunk
        finally:
            self.ended = True


async def written(payload, length=None):
    writer = CollectingWriter()
    await payload.write_with_length(writer, length)
    return writer.getvalue()


async def test_sent_once():
    payload = get_payload(Source(b"ab", bytearray(b"cd"))())
    assert type(payload) is AsyncIterablePayload
    assert (payload.size, payload.content_type, payload.consumed) == (None, "application/octet-stream", False)
    assert await written(payload) == b"abcd"
    assert payload.consumed
    with pytest.raises(RuntimeError, match="again"):
        await written(payload)
    await payload.close()


async def test_kept_by_as_bytes():
    payload = get_payload(Source(b"ab", b"cd")())
    with pytest.raises(TypeError, match="as_bytes"):
        payload.decode()
    assert await payload.as_bytes() == b"abcd"
    assert not payload.consumed
    assert (payload.size, payload.decode()) == (4, "abcd")
    assert [await written(payload), await written(payload, 3), await payload.as_bytes()] == [b"abcd", b"abc", b"abcd"]


@pytest.mark.parametrize("length", range(6))
async def test_limit_closes_the_generator(length):
    source = Source(b"ab", b"cd")
    assert await written(get_payload(source()), length) == b"abcd"[:length]
    assert source.ended


async def test_failed_writing_closes_the_generator():
    class Broken(CollectingWriter):
        async def write(self, chunk):
            raise ConnectionResetError

    source = Source(b"ab")
    payload = get_payload(source())
    with pytest.raises(ConnectionResetError):
        await payload.write(Broken())
    assert source.ended
    assert payload.consumed


async def test_closing_an_unsent_payload():
    source = Source(b"ab")
    generator = source()
    payload = get_payload(generator)
    await payload.close()
    await payload.close()
    assert payload.consumed
    assert [chunk async for chunk in generator] == []


def test_not_iterable():
    with pytest.raises(TypeError, match="list"):
        AsyncIterablePayload([b"a"])


async def test_body_of_another_message():
    class Body:
        def iter_any(self):
            return Source(b"a", b"b")()

    payload = get_payload(Body())
    assert type(payload) is StreamReaderPayload
    assert await written(payload) == b"ab"
