from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from endwell.wire.http1 import Limits, ProtocolError, ResponseReader, TruncatedError
from endwell.wire.http1.limits import MAX_INFORMATIONAL
from endwell.wire.http1.reader import Phase
from tests.wire.http1.splits import cut, read_response

OK = b"HTTP/1.1 200 OK\r\n"


def framed(fields: bytes, after: bytes = b"abcdef", **kwargs):
    return read_response([OK + fields + b"\r\n" + after], **kwargs)


# How long is the body? (RFC 9112 section 6.3)


@pytest.mark.parametrize(
    ("method", "status", "fields", "phase", "body", "rest"),
    [
        ("GET", 200, b"Content-Length: 4\r\n", Phase.ENDED, b"abcd", b"ef"),
        ("GET", 200, b"Content-Length: 6\r\n", Phase.ENDED, b"abcdef", b""),
        ("GET", 200, b"Content-Length: 8\r\n", Phase.LENGTH, b"abcdef", b""),
        ("GET", 200, b"Content-Length: 0\r\n", Phase.ENDED, b"", b"abcdef"),
        ("GET", 200, b"Content-Length: 00004\r\n", Phase.ENDED, b"abcd", b"ef"),
        ("GET", 200, b"", Phase.UNTIL_EOF, b"abcdef", b""),
        ("HEAD", 200, b"Content-Length: 4\r\n", Phase.ENDED, b"", b"abcdef"),
        ("HEAD", 200, b"Transfer-Encoding: chunked\r\n", Phase.ENDED, b"", b"abcdef"),
        ("HEAD", 200, b"", Phase.ENDED, b"", b"abcdef"),
        ("GET", 204, b"", Phase.ENDED, b"", b"abcdef"),
        ("GET", 204, b"Content-Length: 4\r\n", Phase.ENDED, b"", b"abcdef"),
        ("GET", 304, b"Content-Length: 4\r\n", Phase.ENDED, b"", b"abcdef"),
        ("GET", 205, b"Content-Length: 0\r\n", Phase.ENDED, b"", b"abcdef"),
        ("POST", 500, b"Content-Length: 4\r\n", Phase.ENDED, b"abcd", b"ef"),
        ("CONNECT", 200, b"", Phase.TUNNEL, b"", b"abcdef"),
        ("CONNECT", 200, b"Content-Length: 4\r\n", Phase.TUNNEL, b"", b"abcdef"),
        ("CONNECT", 299, b"Transfer-Encoding: chunked\r\n", Phase.TUNNEL, b"", b"abcdef"),
        ("CONNECT", 407, b"Content-Length: 4\r\n", Phase.ENDED, b"abcd", b"ef"),
    ],
)
def test_where_a_body_ends(method, status, fields, phase, body, rest):
    data = b"HTTP/1.1 %d X\r\n%b\r\nabcdef" % (status, fields)
    for size in (1, 2, 7, len(data)):
        outcome = read_response([data[at : at + size] for at in range(0, len(data), size)], method=method, eof=False)
        assert (outcome.error, outcome.phase, outcome.body, outcome.rest) == (None, phase, body, rest)


def test_a_length_with_thousands_of_zeros_is_a_length():
    """llhttp lets it through; int() refuses more than 4300 digits."""
    assert framed(b"Content-Length: " + b"0" * 5000 + b"4\r\n").body == b"abcd"
    assert framed(b"Content-Length: 18446744073709551615\r\n").error == "head"


def test_without_read_until_eof_a_body_without_length_is_empty():
    outcome = framed(b"", read_until_eof=False, eof=False)
    assert (outcome.phase, outcome.body, outcome.rest) == (Phase.ENDED, b"", b"abcdef")


@pytest.mark.parametrize(
    "coding",
    [
        b"gzip, chunked", b"chunked, gzip", b"gzip", b"chunked, chunked", b"identity", b"", b"xchunked",
        b"\x0bchunked", b"chunked\x0b", b"chunked, identity", b"chunked;q=1", b"\xe2\x84\xaachunked", b"chunked\0",
    ],
)  # fmt: skip
def test_a_transfer_coding_that_is_not_chunked_alone_is_refused(coding):
    assert framed(b"Transfer-Encoding: " + coding + b"\r\n", b"0\r\n\r\n").error == "head"


@pytest.mark.parametrize("line", [b"Transfer-Encoding:chunked", b"TRANSFER-encoding: \tChunked\t "])
def test_white_space_and_case_around_chunked(line):
    assert framed(line + b"\r\n", b"2\r\nab\r\n0\r\n\r\n").body == b"ab"


def test_chunked_said_twice_is_refused():
    assert framed(b"Transfer-Encoding: chunked\r\n" * 2, b"0\r\n\r\n").error == "head"


def test_chunked_in_http10_is_refused():
    data = b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert read_response([data]).error == "head"


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5, 6\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: identity\r\n",
    ],
)
def test_two_readings_are_never_one(fields):
    for data in (OK + fields + b"\r\nabcde", (OK + fields).replace(b"\r\n", b"\n") + b"\nabcde"):
        for size in (1, len(data)):
            assert read_response([data[at : at + size] for at in range(0, len(data), size)]).error == "head"


# Informational responses


def test_informational_responses_are_passed_over():
    data = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n"
        + OK
        + b"Content-Length: 1\r\n\r\na"
    )
    for size in (1, 5, len(data)):
        outcome = read_response([data[at : at + size] for at in range(0, len(data), size)])
        assert (outcome.status, outcome.continued, outcome.body) == (200, True, b"a")
        assert outcome.fields == ((b"Content-Length", b"1"),)


def test_only_100_lets_the_body_go():
    reader = ResponseReader()
    reader.begin("POST", Limits())
    assert reader.feed(b"HTTP/1.1 103 Early Hints\r\n\r\n") == []
    assert (reader.continued, reader.head, reader.started) == (False, None, True)
    reader.feed(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert (reader.continued, reader.head) == (True, None)


def test_an_endless_row_of_informational_responses_is_ended():
    one = b"HTTP/1.1 102 Processing\r\n\r\n"
    final = OK + b"Content-Length: 0\r\n\r\n"
    assert read_response([one * MAX_INFORMATIONAL + final]).status == 200
    assert read_response([one * (MAX_INFORMATIONAL + 1)]).error == "head"
    assert read_response([one] * (MAX_INFORMATIONAL + 1)).error == "head"


def test_a_switch_of_protocols_nobody_asked_for_is_refused():
    assert (
        read_response([b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"]).error
        == "head"
    )


# The end of the connection


@pytest.mark.parametrize(
    ("data", "phase"),
    [(b"", "head"), (b"HTTP/1.1 200 OK\r\n", "head"), (OK + b"Content-Length: 3\r\n\r\nab", "body")],
)
def test_the_end_before_the_end_is_truncation(data, phase):
    reader = ResponseReader()
    reader.begin("GET", Limits())
    if data:
        reader.feed(data)
    with pytest.raises(TruncatedError) as caught:
        reader.eof()
    assert caught.value.phase == phase


def test_the_end_that_ends_the_body():
    reader = ResponseReader()
    reader.begin("GET", Limits())
    assert reader.feed(OK + b"\r\nab") == [b"ab"]
    assert reader.feed(b"cd") == [b"cd"]
    reader.eof()
    assert reader.phase is Phase.ENDED


def test_a_missing_number_of_bytes_is_told():
    reader = ResponseReader()
    reader.begin("GET", Limits())
    reader.feed(OK + b"Content-Length: 10\r\n\r\nabc")
    assert reader.length == 7
    with pytest.raises(TruncatedError, match="7 bytes"):
        reader.eof()


def test_the_length_that_is_still_to_come():
    reader = ResponseReader()
    assert reader.length == 0
    reader.begin("GET", Limits())
    assert reader.length is None
    reader.feed(OK + b"Content-Length: 2\r\n\r\n")
    assert reader.length == 2
    reader.feed(b"ab")
    assert reader.length == 0
    reader.begin("GET", Limits())
    reader.feed(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    assert reader.length is None


# One connection, many responses


def test_nothing_of_one_response_is_seen_in_the_next():
    reader = ResponseReader()
    outcome = read_response(
        [
            b"HTTP/1.1 100 Continue\r\n\r\n",
            OK,
            b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nT: x\r\n\r\n",
            b"junk",
        ],
        reader=reader,
    )
    assert (outcome.trailers, outcome.rest, outcome.continued) == (b"T: x\r\n", b"junk", True)
    fresh = read_response([OK + b"Content-Length: 1\r\n\r\nb"], reader=reader)
    assert fresh == read_response([OK + b"Content-Length: 1\r\n\r\nb"])
    for pieces in (
        [OK + b"Content-Length: 1\r\n\r\nbc"],
        [b"HTTP/1.1 103 X\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n"],
    ):
        assert read_response(pieces, reader=reader) == read_response(pieces)
        assert read_response([OK + b"Content-Length: 0\r\n\r\n"], reader=reader).rest == b""


def test_a_reader_that_has_not_begun_keeps_what_comes_as_rest():
    reader = ResponseReader()
    assert reader.feed(b"HTTP/1.1 200 OK\r\n\r\n") == []
    assert reader.rest
    assert reader.head is None


def test_started_tells_whether_a_byte_has_come():
    reader = ResponseReader()
    reader.begin("GET", Limits())
    assert not reader.started
    reader.feed(b"H")
    assert reader.started


# Limits


def feed_often(reader: ResponseReader, data: bytes, times: int) -> None:
    for _ in range(times):
        reader.feed(data)


@pytest.mark.parametrize("size", [1, 3, 64, 10_000])
@pytest.mark.parametrize(
    ("limits", "data"),
    [
        (Limits(line_size=100), b"HTTP/1.1 200 " + b"x" * 200 + b"\r\nContent-Length: 0\r\n\r\n"),
        (Limits(field_size=100), OK + b"A: " + b"x" * 200 + b"\r\nContent-Length: 0\r\n\r\n"),
        (Limits(field_size=100), OK + b"Content-Length: 0\r\nA: " + b"x" * 200 + b"\r\n\r\n"),
        (Limits(fields=4), OK + b"Content-Length: 0\r\n" + b"A: b\r\n" * 4 + b"\r\n"),
        (Limits(fields=4), OK.replace(b"\r", b"") + b"Content-Length: 0\n" + b"A: b\n" * 4 + b"\n"),
    ],
)
def test_limits_hold_in_any_split(limits, data, size):
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert read_response(pieces, limits=limits).error == "head"


def test_a_head_without_end_is_not_kept_for_ever():
    limits = Limits(line_size=100, field_size=100, fields=10)
    for endless in (b"x", b"HTTP/1.1 200 OK", b"A: b\r\n"):
        reader = ResponseReader()
        reader.begin("GET", limits)
        reader.feed(OK[: 10 if endless == b"x" else None])
        with pytest.raises(ProtocolError):
            feed_often(reader, endless, limits.head_size + 10)


def test_what_is_not_http_is_refused_by_its_first_bytes():
    reader = ResponseReader()
    reader.begin("GET", Limits())
    with pytest.raises(ProtocolError, match=r"SSH-2\.0"):
        reader.feed(b"SSH-2.0-OpenSSH")


def test_a_body_with_an_empty_line_does_not_change_a_head_with_bare_newlines():
    head = b"HTTP/1.1 200 OK\nContent-Length: 12000\n\n"
    for body in (b"x\r\n\r\n" * 2400, (b"x" * 9000 + b"\r\n\r\n").ljust(12_000, b"y")):
        whole = read_response([head + body])
        assert (whole.error, whole.body) == (None, body)
        assert read_response([head, body]) == whole


# Any split of the bytes gives the same result

WORDS = [
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200\r\n", b"HTTP/1.1 204 \r\n",
    b"HTTP/1.1 100 C\r\n\r\n", b"HTTP/1.1 200 OK\n", b"Content-Length: 3\r\n", b"Content-Length: 3\n",
    b"content-length:3,3\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"A: b\r\n",
    b" folded\r\n", b"A: b\n", b"\r\n", b"\n", b"\r", b"abc", b"3\r\nabc\r\n", b"0\r\n", b"0\r\n\r\n", b"T: u\r\n",
    b";x", b" ", b"\x00", b"\xff", b":", b"H", b"x" * 50,
]  # fmt: skip

streams = st.lists(st.sampled_from(WORDS), max_size=14).map(b"".join)
starts = st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
places = st.lists(st.integers(0, 400), max_size=8)
small = Limits(line_size=40, field_size=60, fields=4)


@settings(max_examples=300)
@given(starts, streams, places, st.sampled_from(["GET", "HEAD", "CONNECT"]), st.sampled_from([Limits(), small]))
@example(b"", b"HTTP/1.1 200 OK\r\nA: b\r\n\nabc\r\n\r\n", [24], "GET", Limits())
@example(b"", b"HTTP/1.1 200 OK\nA: b\n\nabc\r\n\r\n", [24], "GET", Limits())
@example(b"", b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc" + b"x" * 70 + b"\r\n\r\n", [36], "GET", small)
@example(b"", b"HTTP/1.1 200 " + b"x" * 40 + b"\r\n\r\n", [50], "GET", small)
def test_any_split_gives_the_same(start, stream, where, method, limits):
    data = start + stream
    whole = read_response(cut(data, []), method=method, limits=limits)
    assert read_response(cut(data, where), method=method, limits=limits) == whole
    assert read_response([data[at : at + 1] for at in range(len(data))], method=method, limits=limits) == whole


def response(chunks: list[bytes], framing: str) -> bytes:
    body = b"".join(chunks)
    if framing == "chunked":
        coded = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks if chunk)
        return OK + b"Transfer-Encoding: chunked\r\n\r\n" + coded + b"0\r\n\r\n"
    if framing == "length":
        return OK + b"Content-Length: %d\r\n\r\n" % len(body) + body
    return OK + b"\r\n" + body


@given(st.lists(st.binary(max_size=20), max_size=4), st.sampled_from(["chunked", "length", "close"]), places)
def test_a_good_response_is_read_in_any_split(chunks, framing, where):
    outcome = read_response(cut(response(chunks, framing), where))
    assert (outcome.error, outcome.body, outcome.rest, outcome.phase) == (None, b"".join(chunks), b"", Phase.ENDED)
