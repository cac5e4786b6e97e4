from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endwell.server.asgi.response_fields import read_fields

TOKENS = st.text("!#$%&'*+-.^_`|~09azAZ", min_size=1, max_size=20).map(str.encode)
VALUES = st.binary(max_size=40).filter(lambda value: not set(value) & {0, 10, 13})
FRAMING = {b"content-length", b"transfer-encoding", b"connection", b"keep-alive"}


@given(st.lists(st.tuples(TOKENS, VALUES).filter(lambda pair: pair[0].lower() not in FRAMING), max_size=6))
def test_what_may_be_sent_is_sent_as_it_is(pairs) -> None:
    assert read_fields(pairs).lines == b"".join(name + b": " + value + b"\r\n" for name, value in pairs)


@given(st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=12)), min_size=1, max_size=4))
def test_nothing_starts_a_line_of_its_own(pairs) -> None:
    try:
        fields = read_fields(pairs)
    except ValueError:
        return
    assert fields.lines.count(b"\n") == fields.lines.count(b"\r") == fields.lines.count(b"\r\n") <= len(pairs)
    assert b"\0" not in fields.lines


@pytest.mark.parametrize("value", [b"a\r\nb: c", b"a\nb", b"a\rb", b"a\0b"])
def test_a_value_that_breaks_out_is_refused_without_being_shown(value: bytes) -> None:
    for name in (b"x", b"set-cookie", b"content-length", b"connection"):
        with pytest.raises(ValueError, match="CR, LF or NUL") as caught:
            read_fields([(name, b"s3cret" + value)])
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("name", [b"", b"a b", b"a:b", b"a\r\nb", b"\xe9", b"a\0"])
def test_a_name_that_is_no_token_is_refused(name: bytes) -> None:
    with pytest.raises(ValueError, match="token"):
        read_fields([(name, b"x")])


@pytest.mark.parametrize("pair", [("name", b"x"), (b"name", "x"), (b"name", 1), b"nv", (b"name",), 7, None])
def test_what_is_no_pair_of_bytes_is_refused(pair) -> None:
    with pytest.raises(TypeError, match="pair of bytes"):
        read_fields([pair])


def test_the_value_of_a_wrong_type_is_not_shown() -> None:
    with pytest.raises(TypeError) as caught:
        read_fields([(b"set-cookie", "s3cret")])
    assert "s3cret" not in str(caught.value)
    assert "str" in str(caught.value)


def test_lists_generators_and_tuples_are_the_same() -> None:
    pairs = [(b"a", b"1"), (b"b", b"2")]
    for given_as in (pairs, tuple(pairs), [list(pair) for pair in pairs], (pair for pair in pairs)):
        assert read_fields(given_as).lines == b"a: 1\r\nb: 2\r\n"


def test_the_length_is_read_and_rendered() -> None:
    fields = read_fields([(b"Content-Length", b" 012 ")])
    assert (fields.length, fields.length_line, fields.lines) == (12, b"Content-Length: 12\r\n", b"")


@pytest.mark.parametrize("value", [b"", b"+1", b"-1", b"1_0", b"1,1", b"0x1", b"\xd9\xa1", b"9" * 19])
def test_a_length_that_is_no_number_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="number of bytes"):
        read_fields([(b"content-length", value)])


def test_two_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        read_fields([(b"content-length", b"1"), (b"Content-Length", b"1")])


@pytest.mark.parametrize("value", [b"gzip", b"gzip, chunked", b"identity", b""])
def test_a_transfer_coding_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="can only be chunked"):
        read_fields([(b"transfer-encoding", value)])


def test_chunked_is_a_wish() -> None:
    fields = read_fields([(b"transfer-encoding", b"Chunked")])
    assert fields.chunked
    assert fields.lines == b""


@pytest.mark.parametrize(
    ("value", "closes"), [(b"close", True), (b"x, Close", True), (b"keep-alive", False), (b"", False)]
)
def test_only_close_is_taken_of_connection(value: bytes, closes: bool) -> None:
    fields = read_fields([(b"connection", value), (b"keep-alive", b"timeout=5")])
    assert fields.closes is closes
    assert fields.lines == b""


def test_date_and_server_are_noted_and_kept() -> None:
    fields = read_fields([(b"Date", b"x"), (b"server", b"y")])
    assert fields.has_date
    assert fields.has_server
    assert fields.lines == b"Date: x\r\nserver: y\r\n"


def test_known_fields_are_not_read_again_and_cookies_not_kept() -> None:
    pairs = [(b"a", b"known")]
    assert read_fields(pairs) is read_fields(list(pairs))
    cookies = [(b"Set-Cookie", b"session=s3cret")]
    assert read_fields(cookies) is not read_fields(cookies)
    large = [(b"a", b"x" * 2000)]
    assert read_fields(large) is not read_fields(large)


def test_what_is_kept_has_a_bound() -> None:
    from endwell.server.asgi import response_fields

    for number in range(2000):
        read_fields([(b"n%d" % number, b"v%d" % number)])
    assert len(response_fields._fields) <= response_fields._KEPT
    assert len(response_fields._names) <= response_fields._KEPT
