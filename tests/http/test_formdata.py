import email
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import MultiDict
from tests.http.multipart.bodies import Body

from endwell.http.formdata import FormData
from endwell.http.multipart import MultipartReader
from endwell.http.payload import JsonPayload


async def urlencoded(form):
    assert not form.is_multipart
    payload = form()
    return payload.content_type, await payload.as_bytes()


async def fields(form):
    """Give the parts of a multipart form as the email package of the standard library reads them."""
    assert form.is_multipart
    payload = form()
    raw = await payload.as_bytes()
    assert payload.size in {None, len(raw)}
    head = f"Content-Type: {payload.content_type}\r\n\r\n".encode()
    message = email.message_from_bytes(head + raw)
    assert message.get_content_type() == "multipart/form-data"
    assert not message.defects
    return [
        (
            part.get_param("name", header="Content-Disposition"),
            part.get_filename(),
            part["Content-Type"],
            part.get_payload(decode=True),
        )
        for part in message.get_payload()
    ]


@pytest.mark.parametrize(
    ("given_fields", "arguments", "content_type", "content"),
    [
        ((), {}, "", b""),
        ({"a": "b c&é", "d": 1}, {}, "", b"a=b+c%26%C3%A9&d=1"),
        ([("a", "1"), ("a", True)], {}, "", b"a=1&a=True"),
        (MultiDict([("a", "1"), ("a", "2")]), {}, "", b"a=1&a=2"),
        ([MultiDict([("a", "1")]), ("b", "2")], {}, "", b"a=1&b=2"),
        ({"a": ["b", "c"]}, {}, "", b"a=b&a=c"),
        ({"a": "é"}, {"charset": "latin1"}, "; charset=latin1", b"a=%E9"),
    ],
)
async def test_urlencoded(given_fields, arguments, content_type, content):
    form = FormData(given_fields, **arguments)
    for _ in range(2):
        assert await urlencoded(form) == ("application/x-www-form-urlencoded" + content_type, content)


async def test_multipart_by_default():
    form = FormData({"a": "é", "b": "c"}, default_to_multipart=True)
    for _ in range(2):
        assert await fields(form) == [
            ("a", None, "text/plain; charset=utf-8", "é".encode()),
            ("b", None, "text/plain; charset=utf-8", b"c"),
        ]


async def test_file_among_fields(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"12345")
    file = path.open("rb")
    form = FormData([("n", "v"), ("f", file), ("m", io.BytesIO(b"\0\r\n"))])
    for _ in range(2):
        assert await fields(form) == [
            ("n", None, "text/plain; charset=utf-8", b"v"),
            ("f", "a.txt", "text/plain", b"12345"),
            ("m", "m", "application/octet-stream", b"\0\r\n"),
        ]
    await form().close()
    assert file.closed
    assert form().consumed


@pytest.mark.parametrize("value", [b"xy", bytearray(b"xy"), memoryview(b"xy")])
async def test_bytes_become_a_file_with_a_warning(value):
    with pytest.warns(DeprecationWarning, match="filename="):
        form = FormData({"a": value})
    assert await fields(form) == [("a", "a", "application/octet-stream", b"xy")]


async def test_files_without_a_name():
    assert await fields(FormData(io.BytesIO(b"x"))) == [("unknown", "unknown", "application/octet-stream", b"x")]
    assert await fields(FormData([io.StringIO("x")])) == [("unknown", "unknown", "text/plain; charset=utf-8", b"x")]


async def test_add_field():
    form = FormData()
    form.add_field("a", "1", content_type="text/x")
    form.add_field("b", b"2", filename="é b.txt")
    form.add_field("c", JsonPayload({"x": 1}))
    assert form.is_multipart
    reader = MultipartReader({"Content-Type": form().content_type}, Body(await form().as_bytes()))
    first = await reader.next()
    assert (first.name, first.filename, first.headers["Content-Type"], await first.text()) == ("a", None, "text/x", "1")
    second = await reader.next()
    assert (second.name, second.filename) == ("b", "%C3%A9%20b.txt")
    third = await reader.next()
    assert json.loads(await third.text()) == {"x": 1}
    assert "Content-Length" not in third.headers


async def test_without_quoting():
    form = FormData(quote_fields=False)
    form.add_field("é", "1", filename='é".txt')
    ((name, filename, _, _),) = [
        (part.name, part.filename, part.headers, await part.read())
        async for part in MultipartReader({"Content-Type": form().content_type}, Body(await form().as_bytes()))
    ]
    assert (name, filename) == ("é", 'é".txt')


async def test_charset():
    form = FormData({"a": "é", "ñ": "c"}, charset="latin1", default_to_multipart=True)
    reader = MultipartReader({"Content-Type": form().content_type}, Body(await form().as_bytes()))
    assert [(part.name, await part.text()) async for part in reader] == [("a", "é"), ("ñ", "c")]


async def test_fields_added_after_the_first_use():
    form = FormData({"a": "1"}, default_to_multipart=True)
    assert len(await fields(form)) == 1
    form.add_field("b", "2")
    assert [name for name, *_ in await fields(form)] == ["a", "b"]


async def test_an_async_iterable_is_sent_once():
    async def generate():
        yield b"ab"

    form = FormData({"a": generate()})
    payload = form()
    assert payload.size is None
    assert not payload.consumed
    from endwell.http.writer import CollectingWriter

    await payload.write(CollectingWriter())
    assert form().consumed
    with pytest.raises(RuntimeError, match="again"):
        await form().write(CollectingWriter())


@pytest.mark.parametrize("bad", ["ab", b"ab", 5, ("a", "1"), [("a", "1", "2")], [5]])
def test_what_is_no_field(bad):
    with pytest.raises(TypeError):
        FormData(bad)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"name": 5, "value": "a"}, TypeError),
        ({"name": "a", "value": "a", "content_type": 5}, TypeError),
        ({"name": "a", "value": "a", "filename": 5}, TypeError),
        ({"name": "a", "value": "a", "content_transfer_encoding": 5}, TypeError),
        ({"name": "a\r\n", "value": "a"}, ValueError),
        ({"name": "a\0", "value": "a"}, ValueError),
        ({"name": "a", "value": "a", "content_type": "a/b\nX: y"}, ValueError),
    ],
)
def test_bad_arguments(arguments, error):
    with pytest.raises(error):
        FormData().add_field(**arguments)


def test_bad_value_and_bad_file_name():
    with pytest.raises(TypeError, match=r"'n'.*int"):
        FormData({"n": 1}, default_to_multipart=True)()
    form = FormData(quote_fields=False)
    form.add_field("a", "b", filename="x\r\ny")
    with pytest.raises(ValueError, match="forge"):
        form()


async def test_transfer_encoding_is_deprecated():
    form = FormData()
    with pytest.warns(DeprecationWarning, match="deprecated"):
        form.add_field("a", "b", content_transfer_encoding="base64")
    assert await fields(form) == [("a", None, "text/plain; charset=utf-8", b"b")]


names = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), min_size=1, max_size=8)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(names, st.text(st.characters(exclude_categories=["Cs"]), max_size=20)), max_size=5))
async def test_fields_come_back(pairs):
    form = FormData(pairs, default_to_multipart=True)
    reader = MultipartReader({"Content-Type": form().content_type}, Body(await form().as_bytes(), 7))
    got = [(part.name, await part.text()) async for part in reader]
    if pairs and pairs[0][0] == "_charset_":
        pairs = pairs[1:]
    assert got == pairs
