from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

import endwell
from endwell.client.options import RequestOptions
from endwell.client.outgoing import Outgoing, outgoing_of
from endwell.http.writer import CollectingWriter


def made(value=None, **given) -> Outgoing | None:
    options = RequestOptions().merged({"data": value, **given})
    return Outgoing.of(options.data, options)


def described(outgoing: Outgoing, fields: dict[str, str] | None = None, **kwargs) -> CIMultiDict[str]:
    described: CIMultiDict[str] = CIMultiDict(fields or {})
    outgoing.describe(described, skip_type=kwargs.pop("skip_type", False), http10=kwargs.pop("http10", False))
    return described


async def generate():
    yield b"x"


@pytest.mark.parametrize(
    ("value", "length", "content_type"),
    [
        (b"", 0, "application/octet-stream"),
        (b"body", 4, "application/octet-stream"),
        (bytearray(b"body"), 4, "application/octet-stream"),
        (memoryview(b"body"), 4, "application/octet-stream"),
        ("b\u00f6dy", 5, "text/plain; charset=utf-8"),
        ("", 0, "text/plain; charset=utf-8"),
        (io.BytesIO(b"body"), 4, "application/octet-stream"),
        ({"a": "b"}, 3, "application/x-www-form-urlencoded"),
        ([("a", "b"), ("a", "c")], 7, "application/x-www-form-urlencoded"),
    ],
)
def test_what_becomes_of_data(value, length, content_type):
    outgoing = made(value)
    fields = described(outgoing)
    assert fields["Content-Length"] == str(length)
    assert fields["Content-Type"] == content_type
    assert "Transfer-Encoding" not in fields


def test_no_data_is_no_body():
    assert made(None) is None


async def test_a_generator_goes_in_chunks():
    fields = described(made(generate()))
    assert fields["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in fields


def test_http10_has_no_chunks():
    for way in ("compress", "chunked"):
        outgoing = made(b"body")
        outgoing.chunked, outgoing.coding = way == "chunked", "gzip" if way == "compress" else None
        with pytest.raises(ValueError, match=r"HTTP/1\.0"):
            described(outgoing, http10=True)
    assert described(made(b"body"), http10=True)["Content-Length"] == "4"


def test_what_the_user_gave_is_kept():
    fields = described(made(b"body"), {"content-type": "text/x", "content-length": "4"})
    assert dict(fields) == {"content-type": "text/x", "content-length": "4"}
    assert "Content-Type" not in described(made(b"body"), skip_type=True)


def test_a_type_that_is_not_wanted_is_not_set_for_forms_either():
    assert "Content-Type" not in described(made({"a": "b"}), skip_type=True)


@pytest.mark.parametrize("fields", [{"Transfer-Encoding": "chunked"}, {"Content-Length": "4"}])
def test_chunked_contradicts_a_field(fields):
    outgoing = made(b"body")
    outgoing.asked = outgoing.chunked = True
    with pytest.raises(ValueError, match="chunked can not be set"):
        described(outgoing, fields)


def test_both_framings_are_refused():
    with pytest.raises(ValueError, match="exclude"):
        described(made(b"body"), {"Transfer-Encoding": "chunked", "Content-Length": "4"})


def test_chunked_by_field():
    outgoing = made(b"body")
    fields = described(outgoing, {"transfer-encoding": "chunked"})
    assert outgoing.chunked
    assert outgoing.at_once is None
    assert list(fields.getall("Transfer-Encoding")) == ["chunked"]
    assert "Content-Length" not in fields


@pytest.mark.parametrize("length", ["x", "+4", "-4", "4_0", "\u0664", "4.0", "", " 4"])
def test_a_length_that_is_no_number(length):
    with pytest.raises(ValueError, match="not a number"):
        described(made(b"body"), {"Content-Length": length})


def test_a_coding_is_announced_and_framed_by_chunks():
    outgoing = made(b"body")
    outgoing.coding = "gzip"
    fields = described(outgoing, {"Content-Length": "4"})
    assert fields["Content-Encoding"] == "gzip"
    assert fields["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in fields


def test_what_goes_with_the_head():
    assert made(b"body").at_once == b"body"
    assert made("body").lines == b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: 4\r\n"
    large = made(b"x" * 1_000_000)
    assert (large.at_once, large.lines) == (None, None)
    assert made("\u20ac" * 100_000).length == 300_000


async def test_what_can_be_sent_again():
    assert made(b"body").again
    assert made({"a": "b"}).again
    assert made(io.BytesIO(b"body")).again
    stream = made(generate())
    assert stream.again
    await stream.body.write(CollectingWriter())
    assert not stream.again
    await stream.close()


def test_what_no_body_can_be_made_of():
    for value in (1, 1.5, object(), {1, 2}):
        with pytest.raises((TypeError, ValueError)):
            made(value)


async def test_json_by_the_sessions_way():
    async with endwell.ClientSession() as session:
        outgoing = outgoing_of(RequestOptions().merged({"json": {"a": "\u00e9"}}), session)
        assert json.loads(outgoing.data) == {"a": "\u00e9"}
        assert outgoing.content_type == "application/json"
        large = outgoing_of(RequestOptions().merged({"json": "x" * 1_000_000}), session)
        assert (large.data, large.length, large.content_type) == (None, 1_000_002, "application/json")
        assert outgoing_of(RequestOptions(), session) is None
        coded = outgoing_of(RequestOptions().merged({"data": b"x", "compress": True, "chunked": True}), session)
        assert (coded.coding, coded.chunked) == ("deflate", True)
        assert outgoing_of(RequestOptions().merged({"data": b"x", "compress": "gzip"}), session).coding == "gzip"
    async with endwell.ClientSession(json_serialize_bytes=lambda value: b"own") as session:
        assert outgoing_of(RequestOptions().merged({"json": 1}), session).data == b"own"
    async with endwell.ClientSession(json_serialize=lambda value: "own") as session:
        assert outgoing_of(RequestOptions().merged({"json": 1}), session).data == b"own"


@given(st.one_of(st.binary(max_size=50), st.text(max_size=50)))
async def test_the_announced_length_is_that_of_the_bytes(value):
    outgoing = made(value)
    writer = CollectingWriter()
    await outgoing.body.write(writer)
    data = writer.getvalue()
    assert described(outgoing)["Content-Length"] == str(len(data))
    assert data == (value if isinstance(value, bytes) else value.encode())
