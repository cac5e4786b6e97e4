from __future__ import annotations

import pytest
from httptools import HttpParserError, HttpResponseParser
from hypothesis import example, given
from hypothesis import strategies as st

from endwell.wire.http1 import Limits, ProtocolError
from endwell.wire.http1.head import check_block, find_end, mend_response_head, parse_response_head


def head_of(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def read(raw: bytes):
    """Read a head as the reader of responses does."""
    try:
        return parse_response_head(raw, Limits())
    except HttpParserError as error:
        return mend_response_head(raw, Limits(), error)[0]


def parse(*lines: str, limits: Limits | None = None):
    return parse_response_head(head_of(*lines), limits or Limits())


@pytest.mark.parametrize(
    ("line", "version", "status", "reason"),
    [
        ("HTTP/1.1 200 OK", (1, 1), 200, "OK"),
        ("HTTP/1.0 404 Not Found", (1, 0), 404, "Not Found"),
        ("HTTP/1.1 200 ", (1, 1), 200, ""),
        ("HTTP/1.1 200", (1, 1), 200, ""),
        ("HTTP/1.1 999 Odd", (1, 1), 999, "Odd"),
        ("HTTP/1.1 100 Continue", (1, 1), 100, "Continue"),
        ("HTTP/1.1 200 a\tb", (1, 1), 200, "a\tb"),
        ("HTTP/1.1 200 \xe9", (1, 1), 200, "\udce9"),
    ],
)
def test_the_status_line(line, version, status, reason):
    head = parse(line)
    assert (head.version, head.status, head.reason) == (version, status, reason)


@pytest.mark.parametrize(
    "line",
    [
        "HTTP/2.0 200 OK", "HTTP/0.9 200 OK", "HTTP/1.2 200 OK", "HTTP/1.10 200 OK", "http/1.1 200 OK", "HTTP/1.1",
        "HTTP/1.1 20 OK", "HTTP/1.1 2000 OK", "HTTP/1.1 2x0 OK", "HTTP/1.1 099 Low", "HTTP/1.1 000 Zero",
        "HTTP/1.1 +20 OK", "HTTP/1.1 200OK", "HTTP/ 1.1 200 OK", "HTTP/1.1\t200 OK", "ICY 200 OK", "GET / HTTP/1.1",
        "HTTP/1.1 200 a\0b", "HTTP/1.1 200 a\rb", "RTSP/1.0 200 OK", "HTTP/1.1 \xb2\xb2\xb2 OK", "", " HTTP/1.1 200 OK",
    ],
)  # fmt: skip
def test_a_status_line_that_is_none(line):
    raw = head_of(line)
    with pytest.raises(ProtocolError) as caught:
        read(raw)
    assert caught.value.phase == "head"


@pytest.mark.parametrize(
    "field",
    [
        "A b: c", "A : b", ": b", "A", "A\0: b", "A: b\0c", "A: b\rc", "A(: b", "\xe9: b",
        "Content-Length: +5", "Content-Length: 5_0", "Content-Length: -1", "Content-Length: 5,6",
        "Content-Length: 0x5", "Content-Length: \xb2", "Content-Length: 5 5", "Content-Length: ",
        "Content-Length: 99999999999999999999999",
    ],
)  # fmt: skip
def test_a_field_that_is_none(field):
    raw = head_of("HTTP/1.1 200 OK", "Server: x", field)
    with pytest.raises(ProtocolError):
        read(raw)


def test_a_fold_without_a_field_before_it_is_refused():
    raw = head_of("HTTP/1.1 200 OK", " A: b")
    with pytest.raises(ProtocolError):
        read(raw)


def test_a_length_beside_chunks_has_no_reading():
    for extra in ("Content-Length: 5", "Content-Length: 5\r\nContent-Length: 5"):
        raw = head_of("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", extra)
        with pytest.raises(HttpParserError) as refused:
            parse_response_head(raw, Limits())
        with pytest.raises(ProtocolError):
            mend_response_head(raw, Limits(), refused.value)


@pytest.mark.parametrize(
    ("raw", "lines"),
    [
        (b"HTTP/1.1 200 OK\nA: b\n\n", ["HTTP/1.1 200 OK", "A: b"]),
        (b"HTTP/1.1 200 OK\r\nA: b\n\r\n", ["HTTP/1.1 200 OK", "A: b"]),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", ["HTTP/1.1 200 OK", "A: b c"]),
        (b"HTTP/1.1 200 OK\r\nA: b \r\n\t  c\r\nD: e\r\n\r\n", ["HTTP/1.1 200 OK", "A: b c", "D: e"]),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\ncontent-length: 5\r\n\r\n",
            ["HTTP/1.1 200 OK", "Content-Length: 5"],
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", ["HTTP/1.1 200 OK", "Content-Length: 5"]),
    ],
)
def test_what_real_servers_do_is_put_right(raw, lines):
    """RFC 9112 sections 2.2 and 5.2, RFC 9110 section 8.6."""
    with pytest.raises(HttpParserError) as refused:
        parse_response_head(raw, Limits())
    head, taken = mend_response_head(raw + b"body", Limits(), refused.value)
    assert taken == len(raw)
    expected = parse(*lines)
    assert (head.status, head.raw_headers) == (expected.status, expected.raw_headers)


def test_lengths_that_differ_are_never_put_right():
    for extra in ("Content-Length: 5\r\nContent-Length: 6", "Content-Length: 5, 6", "Content-Length: 5\r\nA: b\r\n c"):
        raw = head_of("HTTP/1.1 200 OK", "Content-Length: 6", extra)
        with pytest.raises(HttpParserError) as refused:
            parse_response_head(raw, Limits())
        with pytest.raises(ProtocolError):
            mend_response_head(raw, Limits(), refused.value)


def test_an_error_tells_the_status_line_and_no_field():
    raw = head_of("HTTP/1.1 200 OK", "Set-Cookie: secret=hunter2", "bad field")
    with pytest.raises(HttpParserError) as refused:
        parse_response_head(raw, Limits())
    with pytest.raises(ProtocolError, match=r"HTTP/1\.1 200 OK") as caught:
        mend_response_head(raw, Limits(), refused.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "keeps11", "keeps10"),
    [
        ((), True, False),
        (("Connection: close",), False, False),
        (("Connection: keep-alive",), True, True),
        (("connection:keep-alive",), True, True),
        (("CONNECTION:  Keep-Alive  ",), True, True),
        (("Connection: Close",), False, False),
        (("Connection: keep-alive, close",), False, False),
        (("Connection: keep-alive", "Connection: close"), False, False),
        (("Connection: upgrade", "Connection: close"), False, False),
        (("Connection: x-close, closed",), True, False),
        (("Connection:",), True, False),
        (("Connection: ,close,",), False, False),
        (("X-Connection: close",), True, False),
        (("X: connection: close",), True, False),
        (("Connection: \tclose\t",), False, False),
        (("Connection:xkeep-alive",), True, False),
        (("Proxy-Connection: keep-alive",), True, False),
    ],
)
def test_whether_the_connection_can_be_used_again(fields, keeps11, keeps10):
    """RFC 9112 section 9.3."""
    assert parse("HTTP/1.1 200 OK", *fields).keep_alive is keeps11
    assert parse("HTTP/1.0 200 OK", *fields).keep_alive is keeps10


def test_fields_are_found_by_name_and_only_by_name():
    head = parse("HTTP/1.1 200 OK", "X-Etag: 1", "ETag:  \t2 ", "X: etag: 3", "etag:", "Etag: 4")
    assert head.first(b"\r\netag:") == b"2"
    assert head.every(b"\r\netag:") == [b"2", b"", b"4"]
    assert head.first(b"\r\nx:") == b"etag: 3"
    assert head.first(b"\r\nnone:") is None
    assert head.every(b"\r\nnone:") == []
    assert head.headers.getall("ETAG") == ["2", "", "4"]
    assert head.headers is head.headers


@pytest.mark.parametrize(
    ("limits", "lines", "name"),
    [
        (Limits(line_size=20), ["HTTP/1.1 200 " + "x" * 20], "max_line_size=20"),
        (Limits(field_size=30), ["HTTP/1.1 200 OK", "A: " + "x" * 40], "max_field_size=30"),
        (Limits(fields=2), ["HTTP/1.1 200 OK", "A: 1", "B: 2", "C: 3"], "max_headers=2"),
    ],
)
def test_a_limit_holds_and_the_message_names_it(limits, lines, name):
    with pytest.raises(ProtocolError, match=name):
        parse(*lines, limits=limits)


def test_what_is_at_a_limit_is_let_in():
    assert parse("HTTP/1.1 200 OK", "A: 1", "B: 2", limits=Limits(fields=2)).status == 200
    assert parse("HTTP/1.1 200 OK", "A: " + "x" * 20, limits=Limits(field_size=24)).status == 200
    assert parse("HTTP/1.1 200 " + "x" * 20, limits=Limits(line_size=34)).status == 200
    check_block(head_of("HTTP/1.1 200 OK", "A: 1"), Limits(fields=1))


@pytest.mark.parametrize(
    ("data", "end"),
    [
        (b"", -1), (b"a\r\n", -1), (b"a\r\n\r", -1), (b"a\r\n\r\n", 5), (b"a\r\n\r\nb\r\n\r\n", 5), (b"a\n\nb", 3),
        (b"a\r\n\nb", 4), (b"a\n\r\nb", 4),
    ],
)  # fmt: skip
def test_where_a_head_ends(data, end):
    assert find_end(data) == end
    assert find_end(bytearray(data)) == end


@given(st.lists(st.sampled_from([b"a", b"\r\n", b"\n", b"\r"]), max_size=12).map(b"".join), st.data())
def test_a_search_that_goes_on_finds_the_same_end(data, choose):
    for start in range(len(data) + 1):
        if find_end(data[:start]) < 0:
            assert find_end(data, start) == find_end(data)


# Generated heads: our reading, a model, and what llhttp calls back

tokens = st.text("!#$%&'*+-.^_`|~09azAZ", min_size=1, max_size=8)
values = st.text([chr(c) for c in range(0x20, 0x7F)] + ["\t", "\xe9", "\xff"], max_size=12)
names = st.one_of(tokens, st.sampled_from(["Set-Cookie", "ETag", "Connection", "X-Content-Length", "Content-Lengthy"]))
pads = st.text(" \t", max_size=3)


class Callbacks:
    """What llhttp calls back, put together."""

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.reason = b""

    def on_status(self, status: bytes) -> None:
        self.reason += status

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))


@given(
    version=st.sampled_from(["1.1", "1.0"]),
    status=st.integers(100, 999).filter(lambda status: status != 101),  # llhttp stops where a protocol may change
    reason=values,
    fields=st.lists(st.tuples(names, pads, values, pads), max_size=8),
)
@example(version="1.1", status=200, reason=" ", fields=[("a", "", "", "\t ")])
def test_a_head_is_read_as_a_model_and_llhttp_read_it(version, status, reason, fields):
    fields = [field for field in fields if field[0].lower() not in ("content-length", "transfer-encoding", "upgrade")]
    lines = [f"HTTP/{version} {status} {reason}", *(f"{n}:{before}{v}{after}" for n, before, v, after in fields)]
    raw = head_of(*lines)
    head = parse_response_head(raw, Limits())
    model = [(name.encode(), value.encode("latin-1").strip(b" \t")) for name, _, value, _ in fields]

    callbacks = Callbacks()
    parser = HttpResponseParser(callbacks)
    parser.feed_data(raw)

    assert list(head.raw_headers) == model
    assert [(name, value.strip(b" \t")) for name, value in callbacks.fields] == model
    assert head.status == parser.get_status_code() == status
    assert head.version == tuple(map(int, parser.get_http_version().split("."))) == tuple(map(int, version.split(".")))
    assert head.reason.encode("utf-8", "surrogateescape") == callbacks.reason == reason.encode("latin-1")
    for name, _ in model:
        key = b"\r\n" + name.lower() + b":"
        assert head.every(key) == [v for n, v in model if n.lower() == name.lower()]
        assert head.first(key) == head.every(key)[0]
    options = [o.strip(b" \t").lower() for n, v in model if n.lower() == b"connection" for o in v.split(b",")]
    assert head.keep_alive is (b"close" not in options and (version == "1.1" or b"keep-alive" in options))
