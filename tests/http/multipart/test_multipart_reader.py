import asyncio
import email.mime.application
import email.mime.multipart
import email.mime.text
import gzip

import pytest
from tests.http.multipart.bodies import Body

from endwell.http.multipart import (
    BodyPartReader,
    MultipartError,
    MultipartReader,
    MultipartResponseWrapper,
    PartCharsetError,
    PartCodingError,
    PartTooLargeError,
    TooManyPartsError,
)

MIXED = {"Content-Type": "multipart/mixed; boundary=B"}
FORM = {"Content-Type": "multipart/form-data; boundary=B"}
TWO = b"--B\r\nA: 1\r\n\r\nabc\r\n--B\r\nA: 2\r\n\r\nd\r\n--B--\r\n"


async def part_of(content, fields=b"", headers=MIXED, **options):
    body = b"--B\r\n" + fields + b"\r\n" + content + b"\r\n--B\r\n\r\nnext\r\n--B--\r\n"
    return await MultipartReader(headers, Body(body, 9), **options).next()


async def test_parts_in_order():
    reader = MultipartReader(MIXED, Body(TWO, 5))
    assert not reader.at_eof()
    assert [(part.headers["a"], await part.read()) async for part in reader] == [("1", b"abc"), ("2", b"d")]
    assert reader.at_eof()
    assert await reader.next() is None
    assert await reader.fetch_next_part() is None


async def test_unread_parts_are_skipped():
    reader = MultipartReader(MIXED, Body(TWO, 5))
    first = await reader.next()
    second = await reader.next()
    assert first.at_eof()
    assert (await first.read(), await second.read()) == (b"", b"d")
    await reader.release()
    assert reader.at_eof()


async def test_nothing_is_waited_for_behind_the_end():
    class Endless(Body):
        async def readany(self):
            return await super().readany() or await asyncio.get_running_loop().create_future()

    reader = MultipartReader(MIXED, Endless(TWO))
    await reader.release()
    assert reader.at_eof()


@pytest.mark.parametrize(
    ("content_type", "text"),
    [
        ("text/plain", "multipart/"),
        ("", "multipart/"),
        ("multipart/mixed", "boundary"),
        ("multipart/mixed; boundary=", "boundary"),
        ("multipart/mixed; boundary=" + "b" * 71, "70"),
        ('multipart/mixed; boundary="a\nb"', "line end"),
    ],
)
def test_what_is_no_multipart_type(content_type, text):
    with pytest.raises(MultipartError, match=text):
        MultipartReader({"Content-Type": content_type}, Body(b""))
    with pytest.raises(ValueError):
        MultipartReader({}, Body(b""))


@pytest.mark.parametrize("end", range(len(TWO) - 4))
async def test_truncated_anywhere(end):
    reader = MultipartReader(MIXED, Body(TWO[:end], 4))
    with pytest.raises(MultipartError):
        await reader.release()
    with pytest.raises(MultipartError):
        await reader.next()


async def test_a_truncated_part_is_never_given_as_whole():
    part = await MultipartReader(MIXED, Body(b"--B\r\n\r\nabc", 2)).next()
    for _ in range(2):
        with pytest.raises(MultipartError, match="content of a part"):
            await part.read()
    assert not part.at_eof()


async def test_ways_of_reading():
    part = await part_of(b"hello" * 10)
    assert not part.at_eof()
    assert 0 < len(first := await part.read_chunk(7)) <= 7
    assert first + await part.read() == b"hello" * 10
    assert part.at_eof()
    assert await part.read_chunk() == await part.readline() == await part.read() == b""
    part = await part_of(b"l1\r\nl2\nl3")
    assert [await part.readline() for _ in range(2)] == [b"l1\r\n", b"l2\n"]
    assert await part.read_chunk(1) == b"l"
    assert [await part.readline(), await part.readline()] == [b"3", b""]
    assert part.at_eof()
    part = await part_of(b"abc")
    assert [content async for content in part] == [b"abc"]
    assert await part.next() is None
    with pytest.raises(ValueError, match="size"):
        await part.read_chunk(0)
    part = await part_of(b"abc")
    await part.release()
    assert part.at_eof()


@pytest.mark.parametrize("size", range(1, 9))
async def test_chunks_of_base64_can_be_decoded_alone(size):
    part = await part_of(b"aGVs\r\nbG8g\r\nd29y\r\nbGQ=", b"Content-Transfer-Encoding: Base64\r\n")
    content = b""
    while chunk := await part.read_chunk(size):
        content += part.decode(chunk)
    assert content == b"hello world"


@pytest.mark.parametrize(
    ("fields", "content", "text"),
    [
        (b"", "é".encode(), "é"),
        (b"Content-Type: text/plain; charset=latin1\r\n", "é".encode("latin1"), "é"),
        (b"Content-Encoding: gzip\r\n", gzip.compress(b"hello", mtime=0), "hello"),
        (b"Content-Transfer-Encoding: quoted-printable\r\n", b"a=3Db=\r\nc", "a=bc"),
        (b"Content-Transfer-Encoding: binary\r\n", b"x", "x"),
        (b"", b"", ""),
    ],
)
async def test_text(fields, content, text):
    assert await (await part_of(content, fields)).text() == text


async def test_other_readings_of_a_part():
    assert await (await part_of(b"\xe9")).text(encoding="latin1") == "é"
    assert await (await part_of(b"[1]")).json() == [1]
    assert await (await part_of(b"")).json() is None
    assert await (await part_of(b"a=b&c=%C3%A9&d")).form() == [("a", "b"), ("c", "é"), ("d", "")]
    assert await (await part_of(b"")).form() == []
    part = await part_of(b"", b"Content-Type: a/b; charset=q\r\n")
    assert part.get_charset("x") == "q"
    assert (await part_of(b"")).get_charset("x") == "x"


@pytest.mark.parametrize(
    ("fields", "content", "way", "error"),
    [
        (b"", b"\xff", "text", UnicodeDecodeError),
        (b"Content-Type: text/plain; charset=bogus\r\n", b"a", "text", PartCharsetError),
        (b"Content-Type: text/plain; charset=idna\r\n", b"a", "text", PartCharsetError),
        (b"", b"x", "json", ValueError),
        (b"", b"[" * 100_000, "json", MultipartError),
        (b"", b"a=\xff", "form", MultipartError),
        (b"Content-Encoding: br\r\n", b"a", "text", PartCodingError),
        (b"Content-Transfer-Encoding: x\r\n", b"a", "text", PartCodingError),
        (b"Content-Encoding: gzip\r\n", b"a", "text", MultipartError),
        (b"Content-Encoding: gzip\r\n", gzip.compress(b"a", mtime=0)[:-3], "text", MultipartError),
        (b"Content-Transfer-Encoding: base64\r\n", b"a", "json", MultipartError),
        (b"Content-Length: 2\r\n", b"abc", "read", MultipartError),
        (b"Content-Length: 9\r\n", b"abc", "read", MultipartError),
    ],
)
async def test_bad_parts(fields, content, way, error):
    part = await part_of(content, fields)
    with pytest.raises(error):
        await getattr(part, way)()


@pytest.mark.parametrize("length", [b"x", b"-1", b"+3", b"3_0", "٣".encode(), b"9" * 30])
async def test_bad_lengths(length):
    with pytest.raises(MultipartError, match="Content-Length"):
        await part_of(b"abc", b"Content-Length: " + length + b"\r\n")


async def test_a_length_in_a_form_does_not_count():
    assert await (await part_of(b"abc", b"Content-Length: 2\r\n", FORM)).read() == b"abc"


async def test_names():
    part = await part_of(b"", b"Content-Disposition: form-data; name=a; filename*=utf-8''%C3%A9\r\n", FORM)
    assert (part.name, part.filename) == ("a", "é")
    part = await part_of(b"")
    assert (part.name, part.filename) == (None, None)


async def test_charset_of_a_form():
    field = b'--B\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
    body = field % (b"_charset_", b"latin1") + field % (b"a", b"\xe9") + b"--B--"
    assert [await part.text() async for part in MultipartReader(FORM, Body(body, 3))] == ["é"]
    reader = MultipartReader(FORM, Body(body, 3))
    assert (await reader.fetch_next_part()).name == "_charset_"
    with pytest.raises(MultipartError, match="_charset_"):
        await MultipartReader(FORM, Body(field % (b"_charset_", b"x" * 50) + b"--B--")).next()


@pytest.mark.parametrize("size", [1, 4, 1000])
async def test_nested(size):
    body = (
        b"--B\r\nContent-Type: multipart/mixed; boundary=BC\r\n\r\n"
        b"--BC\r\n\r\nabc\r\n--BC\r\n\r\nx\r\n--BC--\r\nepilogue\r\n"
        b"--B\r\n\r\nd\r\n--B--\r\n"
    )
    reader = MultipartReader(MIXED, Body(body, size))
    nested = await reader.next()
    assert isinstance(nested, MultipartReader)
    assert await (await nested.next()).read() == b"abc"
    assert await (await reader.next()).read() == b"d"
    reader = MultipartReader(MIXED, Body(body, size))
    nested = await reader.next()
    assert [await part.read() async for part in nested] == [b"abc", b"x"]
    assert nested.at_eof()
    assert await (await reader.next()).read() == b"d"


async def test_a_broken_nested_body_does_not_break_the_outer_one():
    body = b"--B\r\nContent-Type: multipart/mixed; boundary=C\r\n\r\n--C\r\n\r\nabc\r\n--B\r\n\r\nd\r\n--B--\r\n"
    reader = MultipartReader(MIXED, Body(body, 7))
    nested = await reader.next()
    with pytest.raises(MultipartError):
        await nested.release()
    assert await (await reader.next()).read() == b"d"


async def test_nesting_is_bounded():
    body = b""
    for depth in range(30):
        body += b"--%d\r\nContent-Type: multipart/mixed; boundary=%d\r\n\r\n" % (depth, depth + 1)
    reader = MultipartReader({"Content-Type": "multipart/mixed; boundary=0"}, Body(body))

    async def descend(reader, depth):
        async for part in reader:
            await descend(part, depth + 1)

    with pytest.raises(MultipartError, match="10 deep"):
        await descend(reader, 1)


async def test_number_of_parts_is_bounded():
    body = b"--B\r\n\r\n\r\n" * 1001 + b"--B--"
    with pytest.raises(MultipartError, match="1000"):
        await MultipartReader(MIXED, Body(body)).release()
    await MultipartReader(MIXED, Body(body), max_parts=1001).release()
    with pytest.raises(TooManyPartsError, match="more than 3 parts"):
        await MultipartReader(MIXED, Body(body), max_parts=3).release()


async def test_limits_can_be_set():
    with pytest.raises(MultipartError, match="3 bytes"):
        await part_of(b"", b"AB: c\r\n", max_field_size=3)
    with pytest.raises(MultipartError, match="1 fields"):
        await part_of(b"", b"A: b\r\nC: d\r\n", max_headers=1)


async def test_size_of_a_part_is_bounded():
    class TooLargeError(Exception):
        pass

    with pytest.raises(PartTooLargeError, match="4 bytes"):
        await (await part_of(b"abcde", client_max_size=4)).read()
    with pytest.raises(TooLargeError, match="4"):
        await (await part_of(b"abcde", client_max_size=4, max_size_error_cls=TooLargeError)).text()
    assert await (await part_of(b"abcd", client_max_size=4)).read() == b"abcd"
    bomb = gzip.compress(bytes(5000))
    with pytest.raises(TooLargeError):
        await (
            await part_of(bomb, b"Content-Encoding: gzip\r\n", client_max_size=100, max_size_error_cls=TooLargeError)
        ).text()


async def test_a_bomb_is_not_unpacked(monkeypatch):
    monkeypatch.setattr(BodyPartReader, "max_decoded_size", 10**5)
    bomb = gzip.compress(bytes(10**6))
    part = await part_of(bomb, b"Content-Encoding: gzip\r\n")
    with pytest.raises(PartTooLargeError, match="decode_iter"):
        await part.read(decode=True)
    with pytest.raises(PartTooLargeError, match="decode_iter"):
        part.decode(bomb)
    sizes = [len(block) async for block in part.decode_iter(bomb)]
    assert (sum(sizes), max(sizes)) == (10**6, 2**18)
    assert [block async for block in (await part_of(b"")).decode_iter(b"x")] == [b"x"]


async def test_a_cancelled_read_loses_nothing():
    class Slow(Body):
        async def readany(self):
            if self.pieces and self.pieces[-1] == b"wait":
                self.pieces.pop()
                await asyncio.get_running_loop().create_future()
            return await super().readany()

    for way in ("read", "readline", "read_chunk", "text"):
        fields = b"Content-Transfer-Encoding: base64\r\n" if way == "read_chunk" else b""
        body = Slow([b"--B\r\n" + fields + b"\r\nab", b"c", b"wait", b"d\r\n--B--"])
        part = await MultipartReader(MIXED, body).next()
        task = asyncio.ensure_future(getattr(part, way)())
        while b"wait" in body.pieces:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await part.read() == b"abcd"


async def test_a_part_alone():
    part = BodyPartReader(b"--:", {"A": "b"}, Body(b"Hello\r\n--:--", 3))
    assert await part.read() == b"Hello"
    assert part.at_eof()


async def test_response():
    class Response:
        headers = MIXED
        released = 0

        def __init__(self, is_async):
            self.content = Body(TWO, 5)
            self.is_async = is_async

        def release(self):
            self.released += 1
            return self.done() if self.is_async else None

        async def done(self):
            pass

    for is_async in (False, True):
        response = Response(is_async)
        wrapper = MultipartReader.from_response(response)
        assert isinstance(wrapper, MultipartResponseWrapper)
        assert not wrapper.at_eof()
        assert [await part.read() async for part in wrapper] == [b"abc", b"d"]
        assert wrapper.at_eof()
        assert response.released == 1
        await wrapper.release()
        assert response.released == 2

    class Bare:
        headers = MIXED
        content = Body(TWO)

    assert len([part async for part in MultipartReader.from_response(Bare())]) == 2


async def test_hooks_for_subclasses():
    class Part(BodyPartReader):
        pass

    class Nested(MultipartReader):
        pass

    class Reader(MultipartReader):
        part_reader_cls = Part
        multipart_reader_cls = Nested

    body = b"--B\r\n\r\n\r\n--B\r\nContent-Type: multipart/x; boundary=C\r\n\r\n--C--\r\n--B--"
    assert [type(part) async for part in Reader(MIXED, Body(body))] == [Part, Nested]


async def test_what_the_email_package_writes_is_read():
    message = email.mime.multipart.MIMEMultipart("related", boundary="B")
    message.attach(email.mime.text.MIMEText("héllo", "plain", "utf-8"))
    message.attach(email.mime.application.MIMEApplication(bytes(range(256)), name="x" * 90))
    data = message.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    body = data.partition(b"\r\n\r\n")[2]
    reader = MultipartReader({"Content-Type": 'multipart/related; boundary="B"'}, Body(body, 11))
    text = await reader.next()
    assert await text.text() == "héllo"
    binary = await reader.next()
    assert "x" * 90 in binary.headers["Content-Type"]
    assert await binary.read(decode=True) == bytes(range(256))
    assert await reader.next() is None


async def test_small_pieces_of_a_large_chunk_take_linear_time():
    content = b"\n" * 200_000
    reader = MultipartReader(MIXED, Body(b"--B\r\n\r\n" + content + b"\r\n--B\r\n\r\n" + content + b"\r\n--B--"))
    part = await reader.next()
    count = 0
    while await part.readline():
        count += 1
    part = await reader.next()
    while await part.read_chunk(1):
        count += 1
    assert count == 400_000
