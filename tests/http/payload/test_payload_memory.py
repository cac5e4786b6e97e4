import array
import io
import json

import pytest

from endwell.http.payload import (
    BytesPayload,
    JsonBytesPayload,
    JsonPayload,
    Payload,
    StringIOPayload,
    StringPayload,
    get_payload,
)
from endwell.http.writer import CollectingWriter


async def written(payload: Payload, length: int | None = None) -> bytes:
    writer = CollectingWriter()
    if length is None:
        await payload.write(writer)
    else:
        await payload.write_with_length(writer, length)
    return writer.getvalue()


@pytest.mark.parametrize(
    ("make", "content", "content_type", "encoding"),
    [
        (lambda: BytesPayload(b"hello"), b"hello", "application/octet-stream", None),
        (lambda: BytesPayload(bytearray(b"hello")), b"hello", "application/octet-stream", None),
        (lambda: BytesPayload(memoryview(array.array("H", [1, 2]))), bytes(array.array("H", [1, 2])), None, None),
        (lambda: BytesPayload(memoryview(b"abcdef")[::2]), b"ace", None, None),
        (lambda: BytesPayload(b"x", content_type="a/b", encoding="latin1"), b"x", "a/b", "latin1"),
        (lambda: BytesPayload(b"x", filename="a.png"), b"x", "application/octet-stream", None),
        (lambda: BytesPayload(b"x", content_type=None, filename="a.png"), b"x", "image/png", None),
        (lambda: BytesPayload(b"x", {"content-type": "q/r"}, "z/z"), b"x", "q/r", None),
        (lambda: StringPayload("é"), b"\xc3\xa9", "text/plain; charset=utf-8", "utf-8"),
        (lambda: StringPayload("é", encoding="latin1"), b"\xe9", "text/plain; charset=latin1", "latin1"),
        (lambda: StringPayload("é", content_type="a/b; charset=latin1"), b"\xe9", "a/b; charset=latin1", "latin1"),
        (lambda: StringPayload("é", content_type="a/b"), b"\xc3\xa9", "a/b", "utf-8"),
        (lambda: StringIOPayload(io.StringIO("é")), b"\xc3\xa9", "text/plain; charset=utf-8", "utf-8"),
        (lambda: JsonPayload({"a": 1}), b'{"a": 1}', "application/json", "utf-8"),
        (lambda: JsonPayload([1], content_type="a/b"), b"[1]", "a/b", "utf-8"),
        (lambda: JsonPayload("é", "latin1", dumps=lambda o: o), b"\xe9", "application/json", "latin1"),
        (lambda: JsonBytesPayload([1], dumps=lambda o: b"[1]"), b"[1]", "application/json", None),
        (lambda: JsonBytesPayload([1], lambda o: b"x", "a/b", {"X": "1"}), b"x", "a/b", None),
    ],
)
async def test_payload(make, content, content_type, encoding):
    payload = make()
    assert payload.size == len(content)
    if content_type is not None:
        assert payload.content_type == payload.headers["Content-Type"] == content_type
    assert payload.encoding == encoding
    for _ in range(2):
        assert not payload.consumed
        assert await written(payload) == await payload.as_bytes() == content
    for length in range(len(content) + 2):
        assert await written(payload, length) == content[:length]
    assert payload.decode() == content.decode(encoding or "utf-8")
    await payload.close()
    assert await written(payload) == content
    assert payload.autoclose


async def test_a_large_body_goes_in_blocks():
    class Sizes(CollectingWriter):
        async def write(self, chunk):
            sizes.append(len(chunk))

    sizes: list[int] = []
    await BytesPayload(bytes(2**20)).write(Sizes())
    assert sizes == [2**20]
    sizes.clear()
    await BytesPayload(bytes(2**20 + 1)).write(Sizes())
    assert sizes == [2**18] * 4 + [1]


def test_what_is_not_bytes():
    with pytest.raises(TypeError, match="not str"):
        BytesPayload("text")


@pytest.mark.parametrize(
    "arguments",
    [
        {"content_type": "a/b\r\nX: y"},
        {"headers": {"X": "1\r\n2"}},
        {"headers": {"X": "\0"}},
        {"headers": {"X Y": "1"}},
        {"headers": {"": "1"}},
        {"headers": {"X\n": "1"}},
    ],
)
def test_what_would_forge_a_field_is_refused(arguments):
    with pytest.raises(ValueError):
        BytesPayload(b"", **arguments)
    with pytest.raises(ValueError):
        StringPayload("", **arguments)


def test_headers_and_disposition():
    payload = BytesPayload(b"x", headers=[("X", "1"), ("X", "2")], filename="f")
    assert list(payload.headers.items()) == [("Content-Type", "application/octet-stream"), ("X", "1"), ("X", "2")]
    payload.set_content_disposition("attachment", filename="é")
    assert payload.headers["content-disposition"] == 'attachment; filename="%C3%A9"'
    assert payload.filename == "f"
    payload.headers["Content-Type"] = "c/d"
    assert payload.content_type == "c/d"


async def test_a_subclass_as_for_aiohttp():
    class Upper(Payload):
        def __init__(self, value, *args, **kwargs):
            super().__init__(value, *args, **kwargs)
            self._headers["X"] = "1"
            self._size = len(value)

        def decode(self, encoding="utf-8", errors="strict"):
            return self._value.upper()

        async def write(self, writer):
            await writer.write(self._value.upper().encode())

    payload = Upper("abc", content_type="a/b")
    assert (payload.size, payload.content_type, payload.headers["X"]) == (3, "a/b", "1")
    assert await payload.as_bytes() == b"ABC"
    assert await written(payload, 2) == b"AB"
    assert get_payload(payload) is payload
    await payload.close()


def test_json_of_numbers_json_cannot_hold():
    with pytest.raises(TypeError):
        JsonPayload(object())
    assert json.loads(JsonPayload({"a": None}).decode()) == {"a": None}
