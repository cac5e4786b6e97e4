from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endwell.wire.websocket.deflate import Compressor, Decompressor, Deflate
from endwell.wire.websocket.errors import WebSocketError
from tests.wire.websocket.frames import bytewise, deflated, make, read

# RFC 7692 section 7.2.3
EXAMPLES = {
    "compressed": ["f2 48 cd c9 c9 07 00"],
    "sharing the window": ["f2 48 cd c9 c9 07 00", "f2 00 11 00 00"],
    "not compressed": ["00 05 00 fa ff 48 65 6c 6c 6f 00"],
    "with a final block": ["f3 48 cd c9 c9 07 00 00"],
    "with two blocks": ["f2 48 05 00 00 00 ff ff ca c9 c9 07 00"],
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_the_rfc(name):
    data = b"".join(make(0xC1, bytes.fromhex(text)) for text in EXAMPLES[name])
    for places in ([], bytewise(data)):
        outcome = read(data, places, deflate=Deflate())
        assert outcome == ([(1, "Hello", "")] * len(EXAMPLES[name]), None, False)


def test_the_example_in_fragments():
    data = make(0x41, bytes.fromhex("f2 48 cd")) + make(0x80, bytes.fromhex("c9 c9 07 00"))
    for places in ([], bytewise(data)):
        assert read(data, places, deflate=Deflate()).messages == [(1, "Hello", "")]


def test_an_empty_message_in_each_of_its_forms():
    for data in (make(0xC1), make(0xC1, b"\0"), make(0x41) + make(0x80), make(0x41) + make(0x80, b"\0")):
        after = make(0xC1, deflated(b"after"))
        for places in ([], bytewise(data + after)):
            assert read(data + after, places, deflate=Deflate()).messages == [(1, "", ""), (1, "after", "")]


def test_messages_go_on_after_a_stream_that_ended():
    stream = zlib.compressobj(wbits=-15)
    ended = stream.compress(b"one") + stream.flush()
    data = make(0xC2, ended + b"\0") + make(0xC2, deflated(b"two")) + make(0xC2, ended * 3 + b"\0")
    for places in ([], bytewise(data)):
        assert read(data, places, deflate=Deflate()).messages == [(2, b"one", ""), (2, b"two", ""), (2, b"one" * 3, "")]


def test_streams_in_one_message_are_counted():
    """Each costs a copy of what follows: two million of them would fit into a message."""
    empty = b"\x03\0"
    assert read(make(0xC2, empty * 16 + b"\0"), deflate=Deflate()).messages == [(2, b"", "")]
    data = make(0xC2, empty * 17 + b"\0")
    for places in ([], bytewise(data)):
        assert read(data, places, deflate=Deflate()) == ([], 1007, False)


@pytest.mark.parametrize("payload", [b"\xff\xff\xff\xff", b"\x06", b"\0\1\2\3\4", b"\xf2\x48\xcd\xc9\xc9\x27\x11\xff"])
def test_what_is_no_deflate_stream(payload):
    for data in (make(0xC1, payload), make(0x41, payload[:1]) + make(0x80, payload[1:])):
        for places in ([], bytewise(data)):
            assert read(data, places, deflate=Deflate()) == ([], 1007, False)


def test_what_reaches_out_of_the_window():
    stream = zlib.compressobj(wbits=-15)
    text = bytes(range(256)) * 2 + bytes(1000) + bytes(range(256))
    payload = (stream.compress(text) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]
    assert read(make(0xC2, payload), deflate=Deflate()).messages == [(2, text, "")]
    first, second = deflated(b"Hello"), bytes.fromhex("f2 00 11 00 00")
    data = make(0xC1, first) + make(0xC1, second)
    assert read(data, deflate=Deflate()).code is None
    assert read(data, deflate=Deflate(server_no_context_takeover=True)) == ([(1, "Hello", "")], 1007, False)
    assert read(data, deflate=Deflate(client_no_context_takeover=True)).code is None


def test_marks_of_compression_in_the_wrong_place():
    for data in (
        make(0xC9, b""),
        make(0xC8, b""),
        make(0x41, b"\0") + make(0xC0, b"\0"),
        make(0x01, b"a") + make(0x40, b"\0"),
    ):
        assert read(data, deflate=Deflate()).code == 1002


def test_messages_that_are_not_compressed_come_between():
    data = make(0xC1, bytes.fromhex("f2 48 cd c9 c9 07 00")) + make(0x81, b"plain") + make(0x01, b"pl") + make(0x80)
    data += make(0xC1, bytes.fromhex("f2 00 11 00 00"))
    assert [message[1] for message in read(data, deflate=Deflate()).messages] == ["Hello", "plain", "pl", "Hello"]


def test_what_is_idle_holds_nothing():
    assert Compressor(15, keep=True)._stream is None
    alone = Compressor(15, keep=False)
    alone.compress(b"a", last=False)
    assert alone._stream is not None
    alone.compress(b"a", last=True)
    assert alone._stream is None
    reading = Decompressor(15, keep=False)
    assert reading.decompress(deflated(b"a"), 10) == b"a"
    assert reading._stream is None


def test_never_more_than_one_byte_over_the_room():
    payload = deflated(bytes(10_000))
    for room in (0, 1, 100, 9_999):
        assert Decompressor(15, keep=True).decompress(payload, room) == bytes(room + 1)
    assert Decompressor(15, keep=True).decompress(payload, 10_000) == bytes(10_000)


@given(
    bits=st.integers(8, 15),
    keep=st.booleans(),
    messages=st.lists(
        st.tuples(
            st.lists(st.one_of(st.binary(max_size=30), st.just(b"ab" * 600)), min_size=1, max_size=4),
            st.one_of(st.none(), st.integers(8, 15)),
        ),
        max_size=6,
    ),
)
def test_what_is_compressed_decompresses_in_the_agreed_window(bits, keep, messages):
    compressor = Compressor(bits, keep=keep)
    ours, theirs = Decompressor(bits, keep=keep), zlib.decompressobj(-max(bits, 9))
    for parts, own in messages:
        data = b"".join(parts)
        made = [compressor.compress(part, at == len(parts) - 1, own) for at, part in enumerate(parts)]
        assert b"".join(ours.decompress(each, 10_000, at == len(made) - 1) for at, each in enumerate(made)) == data
        if not keep:
            theirs = zlib.decompressobj(-max(bits, 9))
        assert theirs.decompress(b"".join(made) + b"\0\0\xff\xff") == data


@given(st.binary(max_size=100), st.integers(0, 50))
def test_no_bytes_raise_anything_else(data, room):
    decompressor = Decompressor(15, keep=True)
    try:
        out, code = decompressor.decompress(data, room), None
    except WebSocketError as error:
        out, code = b"", error.code
    assert code in (None, 1007)
    assert len(out) <= room + 1
