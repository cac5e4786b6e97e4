import email
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.http.multipart.bodies import Body

from endwell.http.multipart import MultipartReader, MultipartWriter, PartCodingError
from endwell.http.payload import BytesPayload, JsonPayload, StringPayload, get_payload
from endwell.http.writer import CollectingWriter


async def written(payload, **options):
    writer = CollectingWriter()
    await payload.write(writer, **options)
    return writer.getvalue()


async def test_an_empty_body():
    body = MultipartWriter("mixed", "B")
    assert (await written(body), body.size, len(body), bool(body)) == (b"--B--\r\n", 7, 0, True)
    assert await written(body, close_boundary=False) == b""


async def test_bytes_on_the_wire():
    body = MultipartWriter("mixed", boundary="B")
    body.append("é", {"X": "1"})
    body.append(JsonPayload([1]), {"Content-Type": "a/b"})
    expected = (
        b"--B\r\nContent-Type: text/plain; charset=utf-8\r\nX: 1\r\nContent-Length: 2\r\n\r\n\xc3\xa9\r\n"
        b"--B\r\nContent-Type: a/b\r\nContent-Length: 3\r\n\r\n[1]\r\n--B--\r\n"
    )
    for _ in range(2):
        assert await written(body) == await body.as_bytes() == expected
        assert body.size == len(expected)
        assert body.decode() == expected.decode()
        assert not body.consumed
    writer = CollectingWriter()
    await body.write_with_length(writer, 20)
    assert writer.getvalue() == expected[:20]
    await body.close()
    assert await written(body) == expected


def test_names():
    body = MultipartWriter()
    assert len(body.boundary) == 32
    assert body.content_type == body.headers["Content-Type"] == f"multipart/mixed; boundary={body.boundary}"
    assert MultipartWriter().boundary != body.boundary
    assert MultipartWriter("related", 'a "b\\').content_type == r'multipart/related; boundary="a \"b\\"'
    payload = body.append(b"x")
    assert list(body) == [(payload, "", "")]
    assert body.autoclose
    with body as same:
        assert same is body


@pytest.mark.parametrize("boundary", ["", "b" * 71, "a ", "é", "a\nb", "a\0", "a\r\nX: y"])
def test_bad_boundary(boundary):
    with pytest.raises(ValueError, match="boundary"):
        MultipartWriter("mixed", boundary)


@pytest.mark.parametrize("subtype", ["", "a\nb", "a b", "a;b"])
def test_bad_subtype(subtype):
    with pytest.raises(ValueError, match="subtype"):
        MultipartWriter(subtype)


@pytest.mark.parametrize("headers", [{"X": "1\r\nY: 2"}, {"X": "\0"}, {"X Y": "1"}, {"X\n": "1"}])
def test_fields_that_would_be_forged(headers):
    for obj in (b"x", BytesPayload(b"x")):
        with pytest.raises(ValueError):
            MultipartWriter().append(obj, headers)


async def test_a_field_forged_after_append_is_not_sent():
    body = MultipartWriter()
    body.append(b"x").headers["X"] = "1\r\nY: 2"
    writer = CollectingWriter()
    with pytest.raises(ValueError, match="CR, LF or NUL"):
        await body.write(writer)
    assert writer.getvalue() == b""
    with pytest.raises(ValueError, match="CR, LF or NUL"):
        assert body.size


def test_what_cannot_be_sent():
    for obj in (object(), {"a": 1}, 5):
        with pytest.raises(TypeError, match=type(obj).__name__):
            MultipartWriter().append(obj)
    with pytest.raises(PartCodingError):
        MultipartWriter().append(b"x", {"Content-Encoding": "br"})
    with pytest.raises(PartCodingError):
        MultipartWriter().append(b"x", {"Content-Transfer-Encoding": "x"})


async def test_forms():
    body = MultipartWriter("form-data", "B")
    body.append(b"x")
    body.append("y", {"Content-Disposition": 'form-data; name="z"'})
    assert await written(body) == (
        b"--B\r\nContent-Type: application/octet-stream\r\n"
        b'Content-Disposition: form-data; name="section-0"\r\n\r\nx\r\n'
        b"--B\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b'Content-Disposition: form-data; name="z"\r\n\r\ny\r\n--B--\r\n'
    )
    for name, value in (("Content-Encoding", "gzip"), ("Content-Transfer-Encoding", "base64"), ("Content-Length", "1")):
        with pytest.raises(ValueError, match=name):
            body.append(b"x", {name: value})


async def test_json_and_forms_as_parts():
    body = MultipartWriter()
    body.append_json({"a": 1}, {"X": "1"})
    body.append_form([("a", "b c")])
    body.append_form({"é": "1"}, {"X": "2"})
    reader = MultipartReader(body.headers, Body(await written(body)))
    first, second, third = [(part.headers, await part.read()) async for part in reader]
    assert (first[0]["Content-Type"], first[0]["X"], first[1]) == ("application/json", "1", b'{"a": 1}')
    assert (second[0]["Content-Type"], second[1]) == ("application/x-www-form-urlencoded", b"a=b+c")
    assert (third[0]["X"], third[1]) == ("2", b"%C3%A9=1")


async def test_size_is_unknown_when_a_part_is_coded_or_comes_later():
    async def generate():
        yield b"ab"
        yield b"cd"

    coded = MultipartWriter()
    coded.append(b"x", {"Content-Encoding": "gzip", "Content-Length": "99"})
    assert coded.size is None
    assert "Content-Length" not in next(iter(coded))[0].headers
    assert await coded.as_bytes() == await written(coded)
    later = MultipartWriter("mixed", "B")
    later.append(generate())
    assert (later.size, later.consumed) == (None, False)
    assert b"\r\n\r\nabcd\r\n--B--" in await later.as_bytes()
    assert b"\r\n\r\nabcd\r\n--B--" in await written(later)
    assert not later.consumed


async def test_what_cannot_be_sent_again():
    async def generate():
        yield b"ab"

    body = MultipartWriter()
    body.append(generate())
    await written(body)
    assert body.consumed
    with pytest.raises(RuntimeError, match="again"):
        await written(body)


async def test_closing_closes_all_parts(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    files = [path.open("rb"), path.open("rb")]

    class Broken(BytesPayload):
        async def close(self):
            raise OSError("broken")

    body = MultipartWriter()
    body.append(files[0])
    body.append_payload(Broken(b""))
    body.append(files[1])
    assert not body.autoclose
    assert body.size == len(await written(body))
    with pytest.raises(OSError, match="broken"):
        await body.close()
    assert all(file.closed for file in files)
    assert body.consumed


async def test_many_small_parts_go_in_few_writes():
    class Counting(CollectingWriter):
        async def write(self, chunk):
            nonlocal count
            count += 1

    count = 0
    body = MultipartWriter()
    for _ in range(100):
        body.append(b"x" * 50)
    await body.write(Counting())
    assert count < 10


contents = st.lists(
    st.tuples(
        st.binary(max_size=300),
        st.sampled_from(["", "gzip", "deflate"]),
        st.sampled_from(["", "base64", "quoted-printable", "binary"]),
        st.booleans(),
    ),
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(contents, st.integers(1, 40))
async def test_any_content_in_any_split_comes_back(contents, size):
    async def generate(content):
        yield content

    outer = MultipartWriter("mixed")
    inner = MultipartWriter("related")
    for content, coding, transfer, is_nested in contents:
        headers = {"Content-Encoding": coding, "Content-Transfer-Encoding": transfer}
        headers = {name: value for name, value in headers.items() if value}
        value = generate(content) if len(content) % 2 else io.BytesIO(content)
        (inner if is_nested else outer).append(value, headers)
    outer.append(inner)
    data = await written(outer)
    got = []
    async for part in MultipartReader(outer.headers, Body(data, size)):
        if isinstance(part, MultipartReader):
            assert part.headers["Content-Type"] == inner.content_type
            got += [await nested.read(decode=True) async for nested in part]
        else:
            got.append(await part.read(decode=True))
    assert got == [content[0] for content in sorted(contents, key=lambda content: content[3])]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=100), st.text(max_size=10)), max_size=4))
async def test_the_email_package_reads_the_same(contents):
    body = MultipartWriter("mixed")
    for content, text in contents:
        body.append(content, {"Content-Transfer-Encoding": "base64"})
        body.append(StringPayload(text, encoding="utf-16"), {"Content-Transfer-Encoding": "quoted-printable"})
    head = f"Content-Type: {body.content_type}\r\n\r\n".encode()
    message = email.message_from_bytes(head + await written(body))
    parts = message.get_payload() if contents else []
    assert [part.get_payload(decode=True) for part in parts] == [
        each for content, text in contents for each in (content, text.encode("utf-16"))
    ]


async def test_a_part_of_one_body_can_be_a_part_of_another():
    source = MultipartWriter()
    source.append(b"hello" * 100, {"Content-Encoding": "gzip", "Content-Disposition": 'attachment; filename="é"'})
    reader = MultipartReader(source.headers, Body(await written(source), 10))
    part = await reader.next()
    target = MultipartWriter()
    target.append(part)
    assert target.size is None
    copy = MultipartReader(target.headers, Body(await written(target), 10))
    part = await copy.next()
    assert (part.filename, await part.read()) == ("%C3%A9", b"hello" * 100)
    assert target.consumed
    with pytest.raises(RuntimeError, match="again"):
        await written(target)
    with pytest.raises(TypeError):
        get_payload(part).decode()
    with pytest.raises(TypeError):
        await get_payload(part).as_bytes()
