from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from endwell.wire.http1 import Limits, ProtocolError, TruncatedError, encode_chunk
from endwell.wire.http1.chunked import LAST_CHUNK
from endwell.wire.http1.limits import MAX_CHUNK_OVERHEAD, MAX_EMPTY_LINES
from endwell.wire.http1.phase import Phase
from endwell.wire.http1.request_reader import RequestReader
from tests.wire.http1.served import Callbacks, read_requests
from tests.wire.http1.splits import cut

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /p HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


def in_all_sizes(data: bytes, limits: Limits | None = None):
    """Read in pieces of every size; the outcome is the same for all."""
    whole = read_requests([data], limits)
    for size in range(1, min(len(data), 40)):
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        assert read_requests(pieces, limits) == whole, size
    return whole


def when_refused(data: bytes, limits: Limits | None = None) -> tuple[int, int]:
    """Feed byte by byte; say at which byte it was refused, and with which status."""
    reader = RequestReader(limits or Limits())
    for at in range(len(data)):
        try:
            reader.feed(data[at : at + 1])
        except ProtocolError as error:
            return at, error.status
    raise AssertionError("not refused")


# Where a request ends (RFC 9112 section 6.3)


@pytest.mark.parametrize(
    ("head", "after", "body", "rest"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"", b"", b""),
        (b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", b"", b"", b""),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n", b"abcd", b"abcd", b""),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n", b"abcd", b"abcd", b""),
        (b"HEAD / HTTP/1.0\r\nContent-Length: 4\r\n\r\n", b"abcd", b"abcd", b""),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", b"", b"", b""),
        (CHUNKED, b"2\r\nab\r\n2;x\r\ncd\r\n0\r\n\r\n", b"abcd", b""),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", b"tunnel", b"", b"tunnel"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", b"\0frame", b"", b"\0frame"),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\nContent-Length: 2\r\n\r\n",
            b"ab\0frame",
            b"ab",
            b"\0frame",
        ),
    ],
)
def test_where_a_request_ends(head, after, body, rest):
    outcome = in_all_sizes(head + after)
    assert outcome.error is None
    assert [request.body for request in outcome.requests] == [body]
    assert outcome.rest == rest


def test_pipelined_requests_come_one_by_one():
    stream = GET + POST + b"Content-Length: 3\r\n\r\nabc" + CHUNKED + b"1\r\nx\r\n0\r\nT: u\r\n\r\n" + GET
    outcome = in_all_sizes(stream)
    assert outcome.error is None
    assert [(r.method, r.body, r.trailers) for r in outcome.requests] == [
        ("GET", b"", b""),
        ("POST", b"abc", b""),
        ("POST", b"x", b"T: u\r\n"),
        ("GET", b"", b""),
    ]


def test_what_comes_after_a_request_waits_unparsed():
    reader = RequestReader(Limits())
    assert reader.feed(GET + b"gar") == []
    assert reader.phase is Phase.ENDED
    assert reader.rest == b"gar"
    assert reader.feed(b"bage") == []
    assert reader.feed(b"\r\n") == []
    assert reader.rest == b"garbage\r\n"
    assert reader.head.target == "/"
    rest = reader.next()
    assert (rest, type(rest)) == (b"garbage\r\n", bytes)
    assert (reader.rest, reader.head, reader.started) == (b"", None, False)
    with pytest.raises(ProtocolError):
        reader.feed(rest)


def test_the_head_comes_before_the_body():
    reader = RequestReader(Limits())
    assert reader.feed(POST + b"Content-Length: 3\r\n\r\n") == []
    assert reader.head is not None
    assert (reader.phase, reader.length) == (Phase.LENGTH, 3)
    assert reader.feed(b"a") == [b"a"]
    assert reader.length == 2
    assert reader.feed(b"bcd") == [b"bc"]
    assert (reader.phase, reader.length, reader.rest) == (Phase.ENDED, 0, b"d")
    reader.next()
    assert reader.length is None
    assert reader.feed(CHUNKED + b"1\r\na\r\n") == [b"a", b""]
    assert (reader.phase, reader.length) == (Phase.CHUNKED, None)


def test_a_piece_of_the_body_is_handed_on_uncopied():
    reader = RequestReader(Limits())
    reader.feed(POST + b"Content-Length: 9999\r\n\r\n")
    piece = b"x" * 1000
    assert reader.feed(piece)[0] is piece


# Empty lines (RFC 9112 section 2.2)


def test_empty_lines_before_a_request_are_skipped():
    outcome = in_all_sizes(b"\r\n" + GET + b"\r\n\r\n" + GET)
    assert (len(outcome.requests), outcome.error) == (2, None)
    assert outcome.requests[0].fields == ((b"Host", b"a"),)
    assert in_all_sizes(b"\r\n" * MAX_EMPTY_LINES + GET).error is None
    assert in_all_sizes(b"\r\n" * (MAX_EMPTY_LINES + 1) + GET).error == ("head", 400)
    assert in_all_sizes(GET + b"\r\n").error is None


@pytest.mark.parametrize("start", [b"\n", b"\r\r\n", b"\n\r\n", b"\rG", b" \r\n", b"\r\n\n"])
def test_what_is_no_empty_line(start):
    assert in_all_sizes(start + GET).error == ("head", 400)


def test_an_empty_line_does_not_start_a_request():
    reader = RequestReader(Limits())
    assert not reader.started
    reader.feed(b"\r\n")
    assert not reader.started
    reader.feed(b"\r")
    reader.feed(b"\n")
    assert not reader.started
    reader.feed(b"G")
    assert reader.started
    reader.feed(GET[1:])
    assert reader.started
    reader.next()
    assert not reader.started


# Refused early


@pytest.mark.parametrize(
    ("data", "at", "status"),
    [
        (b"\x16\x03\x01\x02\x00", 0, 400),
        (b"\x80\x2e\x01", 0, 400),
        (b"\0", 0, 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 11, 505),
        (b"GET / HTTP/0.9\r\n", 11, 505),
        (b"GET / HTTP/1.2\r\n", 13, 505),
        (b"GET /\r\n", 5, 400),
        (b"HTTP/1.1 200 OK\r\n", 4, 400),
        (b"SSH-2.0-x y\r\n", 11, 400),
        (b'{"a": 1}', 0, 400),
        (b"GET /\xff", 5, 400),
        (b"X" * 200, 127, 501),
        (b"GET a HTTP/1.1\r\n", 15, 400),
        (b"GET / HTTP/1.1\n", 14, 400),
        (b"GET / HTTP/1.1\r\nHost: a\n", 23, 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\n", 25, 400),
    ],
)
def test_what_cannot_become_a_request_is_refused_before_it_ends(data, at, status):
    assert when_refused(data) == (at, status)
    assert in_all_sizes(data).error == ("head", status)
    assert in_all_sizes(data + b"\r\nHost: a\r\n\r\n").error == ("head", status)


def test_tls_on_a_plain_port_is_named():
    with pytest.raises(ProtocolError, match="TLS on a plain-text port"):
        RequestReader(Limits()).feed(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")


@pytest.mark.parametrize(
    ("limits", "data", "at", "status"),
    [
        (Limits(line_size=20), b"GET /" + b"x" * 50, 20, 414),
        (Limits(line_size=300), b"GET /" + b"x" * 500, 300, 414),
        (Limits(line_size=20), b"X" * 50, 20, 414),
        (Limits(line_size=20), b"GET /" + b"x" * 15 + b"\xff", 20, 414),
        (Limits(line_size=20), b"GET /" + b"x" * 14 + b"\xff" * 9, 19, 400),
        (Limits(field_size=20), b"GET / HTTP/1.1\r\nA: " + b"x" * 50, 16 + 20, 431),
        (Limits(field_size=20), b"GET / HTTP/1.1\r\nA: b\r\nC" + b"x" * 50, 22 + 20, 431),
        (Limits(fields=1), b"GET / HTTP/1.1\r\nA: b\r\nC: d\r\n", 22, 431),
        (Limits(fields=1), b"GET / HTTP/1.1\r\nA: b\r\n\rC: d\r\n", 23, 400),
        (Limits(), b"GET / HTTP/1.1\r\n" + b"A:\r\n" * 500, 16 + 4 * 128, 431),
    ],
)
def test_what_is_kept_of_a_head_is_bounded(limits, data, at, status):
    assert when_refused(data, limits) == (at, status)
    assert in_all_sizes(data, limits).error == ("head", status)
    assert in_all_sizes(data + b"\r\nHost: a\r\n\r\n", limits).error == ("head", status)


# Broken bodies


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"x\r\n", 400), (b"+5\r\nabcde\r\n", 400), (b"0x5\r\nabcde\r\n", 400), (b"5_0\r\n", 400), (b" 5\r\n", 400),
        (b"1" + b"0" * 16 + b"\r\n", 400), (b"1\nx\r\n", 400), (b"1;a\nb\r\nx\r\n", 400), (b"1\r\nxy\r\n", 400),
        (b"1\r\nx\n", 400), (b"0\r\nA b: c\r\n\r\n", 400), (b"0\r\n A: b\r\n\r\n", 400), (b"0\r\nA: b\0\r\n\r\n", 400),
        (b"0\r\nA: b\n\r\n\r\n", 400), (b"0\r\nA : b\r\n\r\n", 400), (b"1;" + b"x" * 2 * MAX_CHUNK_OVERHEAD, 413),
        ((b"1;" + b"x" * 1000 + b"\r\na\r\n") * 20, 413), (b"0\r\nA: " + b"x" * 9000 + b"\r\n\r\n", 413),
        (b"0\r\n" + b"A: b\r\n" * 129 + b"\r\n", 413), (b"0" * 2 * MAX_CHUNK_OVERHEAD, 413),
    ],
)  # fmt: skip
def test_a_chunked_body_that_is_none(body, status):
    data = CHUNKED + body
    for size in (1, 2, 7, 1000, len(data)):
        assert read_requests([data[at : at + size] for at in range(0, len(data), size)]).error == ("body", status)


def test_trailers_are_never_merged_into_the_fields():
    outcome = in_all_sizes(CHUNKED + b"0\r\nHost: b\r\nContent-Length: 5\r\n\r\n" + GET)
    assert outcome.error is None
    assert outcome.requests[0].fields == ((b"Host", b"a"), (b"Transfer-Encoding", b"chunked"))
    assert outcome.requests[0].trailers == b"Host: b\r\nContent-Length: 5\r\n"
    assert outcome.requests[1].trailers == b""


# The end of the connection


@pytest.mark.parametrize(
    ("data", "phase"),
    [
        (b"G", "head"), (GET[:-1], "head"), (GET + b"G", "head"), (b"\r", "head"),
        (POST + b"Content-Length: 3\r\n\r\n", "body"), (POST + b"Content-Length: 3\r\n\r\nab", "body"),
        (CHUNKED, "body"), (CHUNKED + b"1\r\na\r\n", "body"), (CHUNKED + b"0\r\nA: b\r\n", "body"),
    ],
)  # fmt: skip
def test_the_end_inside_a_request_is_truncation(data, phase):
    assert in_all_sizes(data).error == (phase, 400)
    reader = RequestReader(Limits())
    reader.feed(data)
    if reader.phase is Phase.ENDED:
        reader.feed(reader.next())
    with pytest.raises(TruncatedError):
        reader.eof()


@pytest.mark.parametrize("data", [b"", b"\r\n", GET, GET + b"\r\n", CHUNKED + LAST_CHUNK])
def test_the_end_between_requests_is_none(data):
    assert in_all_sizes(data).error is None


def test_the_end_after_garbage_names_the_garbage():
    assert in_all_sizes(b"GET /" + b"x" * 40 + b"\0").error == ("head", 400)
    reader = RequestReader(Limits())
    for byte in b"GET /" + b"x" * 40 + b"\0":
        reader.feed(bytes([byte]))
    with pytest.raises(ProtocolError, match="request line") as caught:
        reader.eof()
    assert not isinstance(caught.value, TruncatedError)


# Work


class Counted(bytearray):
    """A buffer that counts what is searched."""

    work = 0

    def find(self, what, start=0, *rest):
        Counted.work += len(self) - start
        return bytearray.find(self, what, start, *rest)


def test_a_head_that_comes_byte_by_byte_is_searched_in_linear_time():
    reader = RequestReader(Limits())
    reader.feed(b"G")
    reader._buffer = Counted(b"G")
    Counted.work = 0
    data = b"ET /" + b"x" * 5000 + b" HTTP/1.1\r\nHost: a\r\n" + (b"A: " + b"x" * 500 + b"\r\n") * 20 + b"\r\n"
    for at in range(len(data)):
        reader.feed(data[at : at + 1])
    assert reader.phase is Phase.ENDED
    assert len(data) <= Counted.work <= 10 * len(data)


# Properties

tokens = st.text("!#$%&'*+-.^_`|~09azAZ", min_size=1, max_size=8)
texts = st.text([chr(c) for c in range(0x21, 0x7F)] + ["\xe9"], max_size=12)
bodies = st.one_of(st.none(), st.binary(max_size=30), st.lists(st.binary(min_size=1, max_size=9), max_size=4))
special = {"content-length", "transfer-encoding", "upgrade", "host", "connection", "expect"}
known_methods = st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "PROPFIND"])


@st.composite
def valid_requests(draw, methods):
    """Give the bytes of a request, and what must be read of it: method, target, fields, body."""
    method = draw(methods.filter(lambda m: m != "CONNECT"))
    target = draw(texts.filter(lambda t: t.isascii() and "#" not in t).map("/{}".format))
    fields = draw(st.lists(st.tuples(tokens.filter(lambda n: n.lower() not in special), texts), max_size=4))
    fields = [(name.encode(), value.encode("latin-1")) for name, value in [("Host", "a"), *fields]]
    body = draw(bodies)
    sent = b""
    if isinstance(body, bytes):
        fields.append((b"Content-Length", b"%d" % len(body)))
        sent = body
    elif body is not None:
        fields.append((b"Transfer-Encoding", b"chunked"))
        sent = b"".join(map(encode_chunk, body)) + LAST_CHUNK
        body = b"".join(body)
    lines = [f"{method} {target} HTTP/1.1".encode(), *(b"%b: %b" % field for field in fields)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + sent, (method, target, tuple(fields), body or b"")


@given(
    st.lists(valid_requests(st.one_of(tokens, known_methods)), max_size=4), st.lists(st.integers(0, 999), max_size=8)
)
def test_what_is_valid_is_read_as_it_was_written_in_any_split(requests, places):
    stream = b"".join(data for data, _ in requests)
    outcome = read_requests(cut(stream, places))
    assert outcome.error is None
    assert [(r.method, r.target, r.fields, r.body) for r in outcome.requests] == [model for _, model in requests]


@given(st.lists(valid_requests(known_methods), max_size=4), st.lists(st.integers(0, 999), max_size=8))
def test_what_is_valid_is_read_as_llhttp_reads_it(requests, places):
    pieces = cut(b"".join(data for data, _ in requests), places)
    callbacks = Callbacks()
    for piece in pieces:
        callbacks.parser.feed_data(piece)
    outcome = read_requests(pieces)
    assert [(r.method, r.target, r.fields, r.body) for r in outcome.requests] == callbacks.requests


words = st.sampled_from([
    GET, CHUNKED, POST, b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.0\r\n", b"FROB", b"GET", b" ", b"/", b" HTTP/1.1",
    b" HTTP/2.0", b"\r\n\r\n", b"\n", b"\r", b"Host: a\r\n", b"Content-Length: 3\r\n", b"A: b\r\n", b" fold\r\n",
    b"Content-Length: 0\r\n", b"Transfer-Encoding:\tchunked\r\n", b"Transfer-Encoding: gzip\r\n", b"3\r\nabc\r\n",
    b"abc", b"Connection: close\r\n", b"Upgrade: x\r\nConnection: upgrade\r\n", b"3;x=y\r\nabc\r\n", b"0\r\n\r\n", b":",
    b"\0", b"0\r\nT: u\r\n\r\n", b"\xff", b"\x16\x03", b"x" * 30, b"CONNECT a:1 HTTP/1.1\r\n",
    b"OPTIONS * HTTP/1.1\r\n",
])  # fmt: skip


@settings(max_examples=300)
@given(
    st.sampled_from([b"", b"GET / HTTP/1.1\r\nHost: a\r\n", POST, CHUNKED]),
    st.lists(words, max_size=12).map(b"".join),
    st.lists(st.integers(0, 300), max_size=10),
    st.sampled_from([Limits(), Limits(line_size=40, field_size=30, fields=3)]),
)
@example(b"", b"\r\n\r" + GET, [1, 2, 3], Limits())
@example(CHUNKED, b"0\r\nA: " + b"x" * 27 + b"\r\n\r\n", list(range(300)), Limits(40, 30, 3))
def test_any_bytes_in_any_split_give_the_same(start, data, places, limits):
    assert read_requests(cut(start + data, places), limits) == read_requests([start + data], limits)


# Heads that are known


LINES = (
    b"GET / HTTP/1.1", b"GET /a?b=c%20d HTTP/1.1", b"POST /a HTTP/1.1", b"HEAD //x HTTP/1.1", b"GET / HTTP/1.0",
    b"GET http://b/ HTTP/1.1", b"OPTIONS * HTTP/1.1", b"CONNECT a:1 HTTP/1.1", b"CONNECT / HTTP/1.1",
    b"get / HTTP/1.1",
    b"GET /\xff HTTP/1.1", b"GET / a HTTP/1.1", b"GET /\x01 HTTP/1.1", b"GET / HTTP/1.2", b"GET  / HTTP/1.1",
    b"GET /" + b"a" * 60 + b" HTTP/1.1", b"X" * 65 + b" / HTTP/1.1",
)  # fmt: skip
FIELDS = (
    b"", b"Host: a\r\n", b"Host: a b\r\n", b"Host: a\r\nhost: a\r\n", b"Host: a\r\nx : y\r\n",
    b"Host: a\r\nConnection: close\r\n", b"Host: a\r\nConnection: keep-alive\r\n",
    b"Host: a\r\nExpect: 100-continue\r\n", b"Host: a\r\nUpgrade: x\r\nConnection: upgrade\r\n",
    b"Host: a\r\nContent-Length: 0\r\n", b"Host: a\r\nTransfer-Encoding: gzip\r\n",
)  # fmt: skip


def one_head(reader: RequestReader, raw: bytes):
    try:
        reader.feed(raw)
    except ProtocolError as error:
        return error.status
    head = reader.head
    assert head is not None
    return (
        *(head.raw, head.lower, head.method, head.target, head.minor, head.length, head.chunked, head.keep_alive),
        *(
            head.expects,
            head.waits_for_continue,
            head.upgrade,
            head.host,
            head.raw_headers,
            tuple(head.headers.items()),
        ),
    )


@given(st.lists(st.tuples(st.sampled_from(LINES), st.sampled_from(FIELDS)), max_size=12))
@example([(LINES[0], FIELDS[0]), (LINES[8], FIELDS[0])])
@example([(LINES[2], FIELDS[5]), (LINES[4], FIELDS[5]), (LINES[2], FIELDS[5]), (LINES[2], FIELDS[5])])
def test_a_head_of_which_parts_are_known_is_read_as_one_that_is_not(heads):
    limits = Limits(line_size=64)
    known: dict[bytes, object] = {}
    sharing = RequestReader(limits, known)
    for line, fields in heads:
        raw = line + b"\r\n" + fields + b"\r\n"
        alone = one_head(RequestReader(limits), raw)
        assert one_head(sharing, raw) == alone
        if isinstance(alone, tuple):
            sharing.next()
        else:
            sharing = RequestReader(limits, known)


def test_what_is_known_is_bounded():
    known: dict[bytes, object] = {}
    reader = RequestReader(Limits(), known)
    for number in range(2000):
        raw = b"GET /%d HTTP/1.1\r\nHost: a%d\r\n\r\n" % (number, number)
        for _ in range(3):
            reader.feed(raw)
            reader.next()
    reader.feed(b"GET / HTTP/1.1\r\nHost: a\r\nCookie: " + b"x" * 2000 + b"\r\n\r\n")
    assert len(known) <= 513
    assert max(map(len, known)) < 1100


def test_what_is_kept_as_a_whole_request_is_one():
    """Its bytes are looked for in what a client sends: neither a head whose body follows, nor fields alone."""
    known: dict[bytes, object] = {}
    whole: dict[bytes, object] = {}
    get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    framings = (b"Content-Length: 2\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 0\r\n")
    heads = [get, *(b"POST / HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n" for framing in framings)]
    bodies = [b"", b"ok", b"2\r\nok\r\n0\r\n\r\n", b""]
    reader = RequestReader(Limits(), known, whole)
    for raw, body in zip(heads, bodies, strict=True):
        for _ in range(4):
            reader.feed(raw + body)
            assert reader.phase is Phase.ENDED
            reader.next()
    assert set(whole) == {get, heads[3]}
    assert set(whole) < set(known)
