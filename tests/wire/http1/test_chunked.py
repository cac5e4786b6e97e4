from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endwell.wire.http1 import ChunkedDecoder, Limits, ProtocolError, TruncatedError, encode_chunk
from endwell.wire.http1.chunked import LAST_CHUNK
from endwell.wire.http1.limits import MAX_CHUNK_OVERHEAD
from tests.wire.http1.splits import cut, read_response


def decode(data: bytes, places: list[int] | None = None, limits: Limits | None = None):
    """Return body, trailers, rest and whether it ended, or the error."""
    decoder = ChunkedDecoder(limits or Limits())
    body = b""
    try:
        for piece in cut(data, places or []):
            if decoder.ended:
                decoder.rest += piece
            else:
                body += b"".join(decoder.feed(piece))
    except ProtocolError as error:
        return f"error in the {error.phase}"
    return body, decoder.trailers, decoder.rest, decoder.ended


def feed_often(decoder: ChunkedDecoder, data: bytes, times: int) -> None:
    for _ in range(times):
        decoder.feed(data)


GOOD = [
    (b"0\r\n\r\n", b"", b"", b""),
    (b"3\r\nabc\r\n0\r\n\r\n", b"abc", b"", b""),
    (b"3\r\nabc\r\n0\r\n\r\nrest", b"abc", b"", b"rest"),
    (b"3;a\r\nabc\r\n0;b=c\r\n\r\n", b"abc", b"", b""),
    (b'3;a="x y"\r\nabc\r\n0\r\n\r\n', b"abc", b"", b""),
    (b"3 \t\r\nabc\r\n0\r\n\r\n", b"abc", b"", b""),
    (b"3 ;a\r\nabc\r\n0\r\n\r\n", b"abc", b"", b""),
    (b"0000000003\r\nabc\r\n0\r\n\r\n", b"abc", b"", b""),
    (b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2, b"", b""),
    (b"1\r\n\r\r\n1\r\n\n\r\n0\r\n\r\n", b"\r\n", b"", b""),
    (b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n", b"", b""),
    (b"0\r\nA: b\r\n\r\n", b"", b"A: b\r\n", b""),
    (b"0\r\nA: b\r\nC: d\r\n\r\nHTTP/1.1 200", b"", b"A: b\r\nC: d\r\n", b"HTTP/1.1 200"),
    (b"000\r\n\r\n\r\n", b"", b"", b"\r\n"),
]


@pytest.mark.parametrize(("data", "body", "trailers", "rest"), GOOD)
def test_chunks(data, body, trailers, rest):
    for size in range(1, len(data) + 1):
        assert decode(data, list(range(0, len(data), size))) == (body, trailers, rest, True)


@pytest.mark.parametrize(
    "data",
    [
        b"0x5\r\n", b"+5\r\n", b"-5\r\n", b"5_0\r\n", b" 5\r\n", b"\r\n", b";a\r\n", b"g\r\n", b"\xb2\r\n", b"5\n",
        b"5\r\r\n", b"10000000000000000\r\n", b"5 5\r\n", b"3\r\nabcd\r\n", b"3\r\nabc\n", b"3\r\nabc\r\r",
        b"3\r\nabc0\r\n", b"3;a\nb\r\nabc\r\n", b"3;a\rb\r\nabc\r\n", b"3;a\0\r\nabc\r\n", b"5,\r\n", b"5.\r\n",
        b"3\r\nabc\r\n\r\n", b"\n",
    ],
)  # fmt: skip
def test_what_is_no_chunk(data):
    for size in range(1, len(data) + 1):
        assert decode(data, list(range(0, len(data), size))) == "error in the body"


def test_the_ends_of_chunks_are_marked():
    assert ChunkedDecoder(Limits()).feed(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n") == [b"abc", b"", b"de", b""]
    decoder = ChunkedDecoder(Limits())
    assert decoder.feed(b"3\r\nab") == [b"ab"]
    assert decoder.feed(b"c") == [b"c"]
    assert decoder.feed(b"\r") == []
    assert decoder.feed(b"\n") == [b""]


def test_a_piece_inside_a_chunk_is_handed_on_uncopied():
    decoder = ChunkedDecoder(Limits())
    decoder.feed(b"ffff\r\n")
    piece = b"x" * 1000
    assert decoder.feed(piece)[0] is piece


def test_extensions_are_bounded_in_one_line_and_in_all():
    assert decode(b"1;" + b"x" * (2 * MAX_CHUNK_OVERHEAD)) == "error in the body"
    line = b"1;" + b"x" * 98 + b"\r\na\r\n"
    many = MAX_CHUNK_OVERHEAD // 99 + 2
    assert decode(line * many) == "error in the body"
    assert decode(line * (many - 10))[0] == b"a" * (many - 10)


def test_leading_zeros_are_bounded():
    assert decode(b"0" * 200 + b"1\r\na\r\n") == "error in the body"


def test_a_size_line_without_end_is_not_kept_for_ever():
    decoder = ChunkedDecoder(Limits())
    with pytest.raises(ProtocolError, match="too long"):
        feed_often(decoder, b"1;x" + b"y" * 100, MAX_CHUNK_OVERHEAD)


@pytest.mark.parametrize(
    ("limits", "trailers", "name"),
    [
        (Limits(fields=2), b"A: 1\r\nB: 2\r\nC: 3\r\n", "max_headers=2"),
        (Limits(field_size=20), b"A: " + b"x" * 40 + b"\r\n", "max_field_size=20"),
    ],
)
def test_trailers_are_limited_like_fields(limits, trailers, name):
    with pytest.raises(ProtocolError, match=name):
        ChunkedDecoder(limits).feed(b"0\r\n" + trailers + b"\r\n")


def test_a_trailer_section_without_end_is_not_kept_for_ever():
    limits = Limits(line_size=100, field_size=100, fields=4)
    decoder = ChunkedDecoder(limits)
    decoder.feed(b"0\r\n")
    with pytest.raises(ProtocolError, match="trailer"):
        feed_often(decoder, b"A: bbbbbbbbbbbb\r\n", limits.head_size)


@pytest.mark.parametrize("trailers", [b"A b: c\r\n", b"A: b\0\r\n", b"nothing\r\n", b": x\r\n", b"A : b\r\n"])
def test_trailers_are_checked_like_fields(trailers):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert read_response([head, b"0\r\n" + trailers + b"\r\n"]).error == "body"


def test_trailers_are_never_merged_into_the_fields():
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    outcome = read_response([head, b"0\r\nSet-Cookie: a=b\r\nContent-Length: 5\r\n\r\nrest"])
    assert outcome.fields == ((b"Transfer-Encoding", b"chunked"),)
    assert outcome.trailers == b"Set-Cookie: a=b\r\nContent-Length: 5\r\n"
    assert outcome.rest == b"rest"


def test_a_body_that_stops_is_truncated():
    from endwell.wire.http1 import ResponseReader

    whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n"
    start = whole.index(b"\r\n\r\n") + 4
    for end in range(start, len(whole)):
        reader = ResponseReader()
        reader.begin("GET", Limits())
        reader.feed(whole[:end])
        with pytest.raises(TruncatedError) as caught:
            reader.eof()
        assert caught.value.phase == "body"


class Searched(bytes):
    """Bytes that count what is searched and joined."""

    work = 0

    def __radd__(self, other):
        return self

    def find(self, *args):
        Searched.work += min(len(self), args[2] if len(args) > 2 else len(self)) - (args[1] if len(args) > 1 else 0)
        return bytes.find(self, *args)


def test_many_small_chunks_in_one_piece_are_searched_once():
    data = Searched(b"1\r\na\r\n" * 20_000 + LAST_CHUNK)
    Searched.work = 0
    pieces = ChunkedDecoder(Limits()).feed(data)
    assert b"".join(pieces) == b"a" * 20_000
    # each search is bounded by the longest line that is allowed, whatever follows
    assert Searched.work <= 20_002 * (MAX_CHUNK_OVERHEAD + 64)


def test_a_trailer_section_that_comes_byte_by_byte_is_split_once_for_each_line(monkeypatch):
    checked = []
    check = ChunkedDecoder._check_trailers

    def counted(self, lines):
        checked.append(len(lines))
        check(self, lines)

    monkeypatch.setattr(ChunkedDecoder, "_check_trailers", counted)
    decoder = ChunkedDecoder(Limits())
    data = b"0\r\n" + (b"A: " + b"x" * 400 + b"\r\n") * 20 + b"\r\n"
    for at in range(len(data)):
        decoder.feed(data[at : at + 1])
    assert decoder.ended
    assert len(checked) <= 25


def test_a_trailer_of_just_the_limit_is_let_in_however_it_comes():
    data = b"0\r\nA: " + b"x" * 17 + b"\r\n\r\n"
    for size in range(1, len(data)):
        assert decode(data, list(range(0, len(data), size)), Limits(field_size=20))[3] is True
        assert decode(data, list(range(0, len(data), size)), Limits(field_size=19)) == "error in the body"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"x\r\n", 400),
        (b"1\r\nab\r\n", 400),
        (b"0\r\nA b: c\r\n\r\n", 400),
        (b"1;" + b"x" * 2 * MAX_CHUNK_OVERHEAD, 413),
        (b"0\r\n" + b"A: b\r\n" * 200 + b"\r\n", 413),
    ],
)
def test_an_error_says_what_a_server_answers(data, status):
    with pytest.raises(ProtocolError) as caught:
        ChunkedDecoder(Limits()).feed(data)
    assert (caught.value.phase, caught.value.status) == ("body", status)


bodies = st.lists(st.binary(min_size=1, max_size=20), max_size=6)


@given(bodies, st.lists(st.integers(0, 200), max_size=8), st.sampled_from([b"", b"HTTP/1.1 "]))
def test_what_we_frame_we_read_in_any_split(chunks, places, rest):
    for kind in (bytes, bytearray, memoryview):
        data = b"".join(encode_chunk(kind(chunk)) for chunk in chunks) + LAST_CHUNK + rest
        assert decode(data, places) == (b"".join(chunks), b"", rest, True)


words = st.sampled_from(
    [b"0", b"1", b"3", b"a", b"\r\n", b"\r\n", b"\r", b"\n", b";", b" ", b"\t", b"x=y", b"A: b", b"abc", b"\0", b"\xff"]
)


@given(st.lists(words, max_size=20).map(b"".join), st.lists(st.integers(0, 100), max_size=10))
def test_any_bytes_in_any_split_give_the_same(data, places):
    limits = Limits(line_size=20, field_size=20, fields=2)
    assert decode(data, places, limits) == decode(data, [], limits)
