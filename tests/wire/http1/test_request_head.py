from __future__ import annotations

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from endwell.http.version import HttpVersion10, HttpVersion11
from endwell.wire.http1 import Limits, ProtocolError
from endwell.wire.http1.request_head import _parse_step_by_step, parse_request_head
from tests.wire.http1.served import Callbacks, served


def head_of(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def parse(*lines: str, limits: Limits | None = None):
    """Read a head both ways: what the short way takes, the long way takes, and they agree."""
    raw = head_of(*lines)
    limits = limits or Limits()
    head = parse_request_head(raw, limits)
    slow = _parse_step_by_step(raw, limits)
    assert (head.length, head.chunked) == (slow.length, slow.chunked)
    assert served(head, [], b"") == served(slow, [], b"")
    return head


def status_of(*lines: str, limits: Limits | None = None) -> int:
    raw = head_of(*lines)
    with pytest.raises(ProtocolError) as caught:
        parse_request_head(raw, limits or Limits())
    with pytest.raises(ProtocolError) as again:
        _parse_step_by_step(raw, limits or Limits())
    assert again.value.status == caught.value.status
    assert caught.value.phase == "head"
    return caught.value.status


# The request line (RFC 9112 section 3)


@pytest.mark.parametrize(
    ("line", "method", "target", "minor"),
    [
        ("GET / HTTP/1.1", "GET", "/", 1),
        ("GET / HTTP/1.0", "GET", "/", 0),
        ("get / HTTP/1.1", "get", "/", 1),
        ("FROB-X!~ /a HTTP/1.1", "FROB-X!~", "/a", 1),
        ("DESCRIBE / HTTP/1.1", "DESCRIBE", "/", 1),
        ("M-SEARCH / HTTP/1.1", "M-SEARCH", "/", 1),
        ("QUERY /a?b=c&d HTTP/1.1", "QUERY", "/a?b=c&d", 1),
        ("X" * 64 + " / HTTP/1.1", "X" * 64, "/", 1),
        ("GET //a@b/../c HTTP/1.1", "GET", "//a@b/../c", 1),
        ("GET /%00%zz HTTP/1.1", "GET", "/%00%zz", 1),
        ('GET /"<>[]^`{|}\\ HTTP/1.1', "GET", '/"<>[]^`{|}\\', 1),
        ("OPTIONS * HTTP/1.1", "OPTIONS", "*", 1),
        ("OPTIONS / HTTP/1.1", "OPTIONS", "/", 1),
        ("CONNECT a.example:443 HTTP/1.1", "CONNECT", "a.example:443", 1),
        ("CONNECT [::1]:443 HTTP/1.1", "CONNECT", "[::1]:443", 1),
        ("GET http://b.example/c?d HTTP/1.1", "GET", "http://b.example/c?d", 1),
        ("GET HTTPS://b.example:8443 HTTP/1.1", "GET", "HTTPS://b.example:8443", 1),
    ],
)
def test_the_request_line(line, method, target, minor):
    head = parse(line, "Host: a")
    assert (head.method, head.target, head.minor) == (method, target, minor)
    assert head.version is (HttpVersion11 if minor else HttpVersion10)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET / HTTP/0.9", 505), ("GET / HTTP/2.0", 505), ("GET / HTTP/2", 505), ("GET / HTTP/1.2", 505),
        ("GET / HTTP/3.0", 505), ("GET / HTTP/9.9", 505), ("PRI * HTTP/2.0", 505), ("FROB / HTTP/2.0", 505),
        ("GET /", 400), ("GET / ", 400), ("GET", 400), ("GET ", 400), ("", 400), (" GET / HTTP/1.1", 400),
        ("GET  / HTTP/1.1", 400), ("GET /  HTTP/1.1", 400), ("GET / HTTP/1.1 ", 400), ("GET\t/ HTTP/1.1", 400),
        ("GET /\tHTTP/1.1", 400), ("GET / HTTP/1.10", 400), ("GET / HTTP/11", 400), ("GET / HTTP/1,1", 400),
        ("GET / http/1.1", 400), ("GET / HTTP/", 400), ("GET / HTTP/1.", 400), ("GET / HTTP/x.1", 400),
        ("GET / HTTP/1.x", 400), ("GET / HTTP/ 1.1", 400), ("GET / HTTP/+1.1", 400), ("GET / HTTP/1.\xb9", 400),
        ("GET / RTSP/1.0", 400), ("SOURCE / ICE/1.0", 400), ("GET / FOO", 400), ("GET  HTTP/1.1", 400),
        ("\nGET / HTTP/1.1", 400), ("\r\nGET / HTTP/1.1", 400), ("\rGET / HTTP/1.1", 400),
        ("G(T / HTTP/1.1", 400), ("G\xc9T / HTTP/1.1", 400), ("G\0T / HTTP/1.1", 400), ("GET: / HTTP/1.1", 400),
        ("HTTP/1.1 200 OK", 400), ("X" * 65 + " / HTTP/1.1", 501), ("X" * 500, 501),
        ("GET /a b HTTP/1.1", 400), ("GET /a\0b HTTP/1.1", 400), ("GET /a\x01 HTTP/1.1", 400),
        ("GET /a\x7f HTTP/1.1", 400), ("GET /\xe9 HTTP/1.1", 400), ("GET /a\rb HTTP/1.1", 400),
        ("GET / HTTP/1.1\r", 400), ("GET /\nHTTP/1.1", 400), ("GET / HTTP/1.1\nHost: a", 400),
    ],
)  # fmt: skip
def test_a_request_line_that_is_none(line, status):
    assert status_of(line, "Host: a") == status


@pytest.mark.parametrize(
    "line",
    [
        "GET a HTTP/1.1", "GET ?a HTTP/1.1", "GET a:80 HTTP/1.1", "GET a.example/b HTTP/1.1", "GET * HTTP/1.1",
        "OPTIONS *a HTTP/1.1", "OPTIONS ** HTTP/1.1", "GET ftp://a/b HTTP/1.1", "GET http:/a HTTP/1.1",
        "GET http:// HTTP/1.1", "GET http:///a HTTP/1.1", "GET http://?a HTTP/1.1", "GET http://u@a/ HTTP/1.1",
        "GET http://u:p@a/ HTTP/1.1", "GET http://a:0/ HTTP/1.1", "GET http://a:65536/ HTTP/1.1",
        "GET http://a:x/ HTTP/1.1", "GET http://:80/ HTTP/1.1", "GET http://[::1/ HTTP/1.1",
        "GET http://[fe80::1%25eth0]/ HTTP/1.1", "GET http://a\\b/ HTTP/1.1", "GET javascript:alert(1) HTTP/1.1",
        "CONNECT / HTTP/1.1", "CONNECT a HTTP/1.1", "CONNECT a: HTTP/1.1", "CONNECT :80 HTTP/1.1",
        "CONNECT u@a:80 HTTP/1.1", "CONNECT a:0 HTTP/1.1", "CONNECT a:99999 HTTP/1.1", "CONNECT [::1] HTTP/1.1",
        "CONNECT http://a:80/ HTTP/1.1", "CONNECT * HTTP/1.1", "CONNECT a:80/b HTTP/1.1", "connect a:80 HTTP/1.1",
    ],
)  # fmt: skip
def test_a_target_whose_form_the_method_does_not_allow(line):
    assert status_of(line, "Host: a") == 400


def test_the_error_does_not_show_what_may_be_secret():
    for lines in (
        ["GET /?token=hunter2 HTTP/1.2"],
        ["GET /?token=hunter2\x01 HTTP/1.1"],
        ["GET http://user:hunter2@a/ HTTP/1.1"],
        ["GET / HTTP/1.1", "Host: user:hunter2@a"],
        ["GET / HTTP/1.1", "Host: a", "Cookie: hunter2\x01"],
        ["GET / HTTP/1.1", "Host: a", "Cookie: hunter2", "A : b"],
    ):
        with pytest.raises(ProtocolError) as caught:
            parse_request_head(head_of(*lines), Limits())
        assert "hunter2" not in str(caught.value)


# Host (RFC 9112 section 3.2)


@pytest.mark.parametrize(
    "host",
    [
        "a", "A.Example", "a.example.", "a:1", "a:80", "a:8080", "a:18080", "a:65535", "a:", "127.0.0.1",
        "127.0.0.1:80", "[::1]", "[::1]:8080", "[::ffff:1.2.3.4]", "a_b", "a-b.c-d", "xn--bcher-kva.example", "a--b",
        "%41.example", "a~b", "a,b", "a!$&'()*+;=", "", "-", "a..b",
    ],
)  # fmt: skip
def test_a_host(host):
    head = parse("GET / HTTP/1.1", f"Host: {host}")
    assert head.host == host
    assert parse("GET / HTTP/1.1", "A: b", f"hOST:\t {host} \t", "C: d").host == host


@pytest.mark.parametrize(
    "host",
    [
        "a b", "a\tb", "a, b", "u@a", "u:p@a", "@", "a:x", "a:-1", "a:+1", "a:0", "a:00", "a:65536", "a:99999",
        "a:1000000", "a:" + "9" * 30, "a:80:80", "a:8_0", "a:\xb2", ":80", ":", "[::1", "::1", "[]", "[::1]80",
        "[::1]x", "[fe80::1%eth0]", "[fe80::1%25eth0]", "[1]", "[:::]", "[::1::2]", "[v1.a]", "[1.2.3.4]", "a/b", "a?b",
        "a#b", "a\\b", "a%", "a%4", "a%zz", "<a>", "a\"", "\xe4.example", "a\x7f", "a\x01", "a|b", "a^b", "a`b", "{a}",
        "xn--", "xn--a\xe9", "xn--zzzzzz99999.example", "http://a",
    ],
)  # fmt: skip
def test_a_host_that_is_none(host):
    assert status_of("GET / HTTP/1.1", f"Host: {host}") == 400
    assert status_of("GET / HTTP/1.0", f"Host: {host}") == 400
    assert status_of("GET http://a/ HTTP/1.1", f"Host: {host}") == 400


def test_whatever_host_is_let_in_makes_a_url():
    from yarl import URL

    for host in ("a..b", "-", "a!$&'()*+;=", "%41.example", "[::1]:80", "a:", "xn--bcher-kva.example"):
        assert URL.build(scheme="http", authority=parse("GET / HTTP/1.1", f"Host: {host}").host, path="/").host


def test_host_is_needed_once():
    assert status_of("GET / HTTP/1.1") == 400
    assert status_of("GET / HTTP/1.1", "X-Host: a") == 400
    assert status_of("GET http://a/ HTTP/1.1") == 400
    assert status_of("CONNECT a:80 HTTP/1.1") == 400
    assert status_of("GET / HTTP/1.1", "Host: a", "Host: a") == 400
    assert status_of("GET / HTTP/1.1", "Host: a", "B: c", "host: b") == 400
    assert status_of("GET / HTTP/1.0", "Host: a", "Host: a") == 400
    assert parse("GET / HTTP/1.0").host is None


def test_the_target_overrides_host():
    """RFC 9112 section 3.2.2."""
    assert parse("GET http://b.example:81/c HTTP/1.1", "Host: a").host == "b.example:81"
    assert parse("GET HTTP://b.example?d@e HTTP/1.1", "Host: a").host == "b.example"
    assert parse("GET http://[::1]:1#d HTTP/1.0").host == "[::1]:1"
    assert parse("CONNECT b.example:1 HTTP/1.1", "Host: a").host == "b.example:1"
    assert parse("OPTIONS * HTTP/1.1", "Host: a").host == "a"


# Framing (RFC 9112 section 6)


@pytest.mark.parametrize(
    ("fields", "length", "chunked"),
    [
        ([], None, False),
        (["Content-Length: 0"], 0, False),
        (["content-LENGTH:5"], 5, False),
        (["Content-Length:\t 5 \t"], 5, False),
        (["Content-Length: 000005"], 5, False),
        (["Content-Length: " + "0" * 5000 + "5"], 5, False),
        (["Content-Length: 9223372036854775807"], 2**63 - 1, False),
        (["X-Content-Length: 5", "Content-Length-X: 6"], None, False),
        (["Transfer-Encoding: chunked"], None, True),
        (["TRANSFER-encoding:CHUNKED"], None, True),
        (["Transfer-Encoding: \tChunked\t "], None, True),
        (["X-Transfer-Encoding: gzip"], None, False),
    ],
)
def test_how_the_body_is_framed(fields, length, chunked):
    head = parse("POST / HTTP/1.1", "Host: a", *fields, "A: b")
    assert (head.length, head.chunked) == (length, chunked)
    assert head.has_body is (chunked or bool(length))


@pytest.mark.parametrize(
    "value",
    [
        "", "+5", "-5", "-0", "5_0", "5,5", "5, 5", "5,6", "5 5", "0x5", "5.0", "5e1", "\xb2", "\xd9\xa5", "five", "5;",
        "\x0b5", "5\x0c", "9223372036854775808", "18446744073709551615", "18446744073709551616", "9" * 400, "\xa05",
    ],
)  # fmt: skip
def test_a_length_that_is_none(value):
    assert status_of("POST / HTTP/1.1", "Host: a", f"Content-Length: {value}") == 400
    assert status_of("GET / HTTP/1.0", f"Content-Length: {value}") == 400
    assert (
        status_of("GET / HTTP/1.1", "Host: a", "Upgrade: x", "Connection: upgrade", f"Content-Length: {value}") == 400
    )


@pytest.mark.parametrize(
    "fields",
    [
        ["Content-Length: 5", "Content-Length: 5"],
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: 5", "A: b", "content-length: 0"],
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 5"],
        ["Transfer-Encoding: chunked", "Content-Length: 0"],
        ["Content-Length: 5", "Transfer-Encoding: identity"],
        ["Content-Length: 5", "Transfer-Encoding: gzip, chunked"],
        ["Content-Length: 5", "Transfer-Encoding:"],
    ],
)
def test_two_readings_are_never_one(fields):
    for extra in ([], ["Upgrade: x", "Connection: upgrade"], ["Expect: 100-continue"]):
        assert status_of("POST / HTTP/1.1", "Host: a", *fields, *extra) == 400
        assert status_of("POST / HTTP/1.0", *extra, *fields) == 400


@pytest.mark.parametrize(
    ("coding", "status"),
    [
        ("gzip, chunked", 501), ("foo,chunked", 501), ("identity, chunked", 501), ("gzip\t,\tchunked", 501),
        ("gzip", 400), ("identity", 400), ("xchunked", 400), ("chunkedx", 400), ("chunked, gzip", 400),
        ("chunked, identity", 400), ("chunked, chunked", 400), ("chunked,", 400), (",chunked", 400), ("", 400),
        (",", 400), ("chunked;q=1", 400), ("chunked ;a", 400), ("chun ked", 400), ("\x0bchunked", 400),
        ("chunked\x0b", 400), ("chunked\0", 400), ("\0chunked", 400), ("\xa0chunked", 400), ("chunked\x85", 400),
        ("\xe2\x84\xaachunked", 400), ("\"chunked\"", 400), ("chunked\rx", 400), ("[chunked]", 400), ("'chunked'", 400),
    ],
)  # fmt: skip
def test_a_transfer_coding_that_is_not_chunked_alone(coding, status):
    assert status_of("POST / HTTP/1.1", "Host: a", f"Transfer-Encoding: {coding}") == status
    upgrade = ["Upgrade: x", "Connection: upgrade"]
    assert status_of("POST / HTTP/1.1", *upgrade, "Host: a", f"Transfer-Encoding: {coding}") == status


def test_codings_in_several_fields():
    chunked = "Transfer-Encoding: chunked"
    assert status_of("POST / HTTP/1.1", "Host: a", chunked, chunked) == 400
    assert status_of("POST / HTTP/1.1", "Host: a", chunked, "A: b", "transfer-encoding: identity") == 400
    assert status_of("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: gzip", chunked) == 501
    assert status_of("POST / HTTP/1.1", "Host: a", "Transfer-Encoding:", chunked) == 400


def test_chunks_in_http10_are_refused():
    """RFC 9112 section 6.1: faulty framing."""
    assert status_of("POST / HTTP/1.0", "Host: a", "Transfer-Encoding: chunked") == 400
    assert status_of("POST / HTTP/1.0", "Transfer-Encoding: gzip, chunked") == 400


def test_connect_has_no_body():
    """RFC 9110 section 9.3.6; what follows would be a tunnel for one and a body for another."""
    assert status_of("CONNECT a:80 HTTP/1.1", "Host: a", "Content-Length: 5") == 400
    assert status_of("CONNECT a:80 HTTP/1.1", "Host: a", "Transfer-Encoding: chunked") == 400
    assert parse("CONNECT a:80 HTTP/1.1", "Host: a", "Content-Length: 0").has_body is False


# Fields (RFC 9112 section 5)


@pytest.mark.parametrize(
    "field",
    [
        "A b: c", "A : b", "A\t: b", ": b", "A", "A\0: b", "A: b\0c", "A: b\rc", "A: b\r", "A(: b", "\xe9: b",
        "A: b\x01", "A: b\x7f", "A: b\x0b", "A: b\n c", "A: b\r\n c", "A: b\r\n\tc", "A:\r\n b", "A: b\nC: d", "A: b\n",
        " A: b", "\tA: b", " ", "\r", "\x0b", "A: b\r\n ", "A\r\n: b", "Host : b", "Content-Length : 5",
        "Transfer-Encoding : chunked", "Content-Length\x0b: 5", "\0Content-Length: 5",
    ],
)  # fmt: skip
def test_a_field_that_is_none(field):
    assert status_of("GET / HTTP/1.1", "Host: a", field) == 400
    assert status_of("GET / HTTP/1.1", "Host: a", field, "B: c") == 400
    assert status_of("GET / HTTP/1.1", field, "Host: a") == 400
    assert status_of("FROB / HTTP/1.1", "Host: a", field) == 400
    assert status_of("GET / HTTP/1.1", "Host: a", field, "Upgrade: x", "Connection: upgrade") == 400


def test_fields_with_their_names_in_lower_case():
    raw = head_of("GET / HTTP/1.1", "HOST: a", "X-Two:1", "x-two: \t2: B \t", "X-Empty:", "X-Long:" + " " * 20 + "C")
    head = parse_request_head(raw, Limits())
    assert head.lower_pairs == tuple((name.lower(), value) for name, value in head.raw_headers)
    assert head.lower_pairs[1:] == ((b"x-two", b"1"), (b"x-two", b"2: B"), (b"x-empty", b""), (b"x-long", b"C"))
    assert head.like(raw, "GET", "/").lower_pairs is head.lower_pairs


def test_fields_are_found_by_name_and_only_by_name():
    head = parse("GET /etag:1 HTTP/1.1", "Host: a", "X-Etag: 1", "ETag:  \t2 ", "X: etag: 3", "etag:", "B: \xe9")
    assert head.first(b"\r\netag:") == b"2"
    assert head.every(b"\r\netag:") == [b"2", b""]
    assert head.first(b"\r\nnone:") is None
    assert head.headers.getall("ETAG") == ["2", ""]
    assert head.headers["b"] == "\udce9"
    assert head.headers is head.headers
    assert head.raw_headers is head.raw_headers
    assert head.raw.startswith(b"GET /etag:1 HTTP/1.1\r\nHost: a\r\n")
    assert head.lower == head.raw.lower()


@pytest.mark.parametrize(
    ("fields", "keeps11", "keeps10"),
    [
        ([], True, False),
        (["Connection: close"], False, False),
        (["Connection: Keep-Alive"], True, True),
        (["Connection:keep-alive"], True, True),
        (["Connection: keep-alive, close"], False, False),
        (["Connection: keep-alive", "Connection: close"], False, False),
        (["Connection: keep-alive", "Connection: te"], True, True),
        (["connection: te,\tCLOSE "], False, False),
        (["Connection: closed"], True, False),
        (["X-Connection: close"], True, False),
        (["Connection:"], True, False),
    ],
)
def test_whether_the_connection_can_be_used_again(fields, keeps11, keeps10):
    """RFC 9112 section 9.3."""
    assert parse("GET / HTTP/1.1", "Host: a", *fields).keep_alive is keeps11
    assert parse("GET / HTTP/1.0", *fields).keep_alive is keeps10
    assert parse("CONNECT a:80 HTTP/1.1", "Host: a", *fields).keep_alive is False


@pytest.mark.parametrize(
    ("fields", "expects"),
    [
        ([], False),
        (["Expect: 100-continue"], True),
        (["expect:\t100-Continue "], True),
        (["Expect: a, 100-continue"], True),
        (["Expect: a", "Expect: 100-continue"], True),
        (["Expect: 100-continued"], False),
        (["X-Expect: 100-continue"], False),
    ],
)
def test_whether_the_client_waits(fields, expects):
    """RFC 9110 section 10.1.1: not in HTTP/1.0."""
    assert parse("POST / HTTP/1.1", "Host: a", *fields).waits_for_continue is expects
    assert parse("POST / HTTP/1.0", *fields).waits_for_continue is False


@pytest.mark.parametrize(
    ("fields", "upgrade"),
    [
        ([], False),
        (["Upgrade: websocket", "Connection: Upgrade"], True),
        (["Connection: keep-alive, UPGRADE", "upgrade:x"], True),
        (["Upgrade: websocket"], False),
        (["Connection: upgrade"], False),
        (["Upgrade: websocket", "Connection: close"], False),
        (["Upgrade-Insecure-Requests: 1", "Connection: upgrade"], False),
    ],
)
def test_whether_another_protocol_is_offered(fields, upgrade):
    """RFC 9110 section 7.8: not in HTTP/1.0."""
    assert parse("GET / HTTP/1.1", "Host: a", *fields).upgrade is upgrade
    assert parse("GET / HTTP/1.0", *fields).upgrade is False


# Limits


@pytest.mark.parametrize(
    ("limits", "lines", "status", "name"),
    [
        (Limits(line_size=30), ["GET /" + "x" * 20 + " HTTP/1.1", "Host: a"], 414, "max_line_size=30"),
        (Limits(line_size=30), ["X" * 60 + " / HTTP/1.1", "Host: a"], 414, "max_line_size=30"),
        (Limits(), ["GET /" + "x" * 9000 + " HTTP/1.1", "Host: a"], 414, "max_line_size=8190"),
        (Limits(field_size=20), ["GET / HTTP/1.1", "Host: a", "A: " + "x" * 20], 431, "max_field_size=20"),
        (Limits(), ["GET / HTTP/1.1", "Host: a", "A: " + "x" * 9000], 431, "max_field_size=8190"),
        (Limits(fields=2), ["GET / HTTP/1.1", "Host: a", "A: b", "C: d"], 431, "max_headers=2"),
        (Limits(), ["GET / HTTP/1.1", "Host: a", *["A: b"] * 128], 431, "max_headers=128"),
        (Limits(), ["GET / HTTP/1.1", "Host: a", *["a:"] * 128], 431, "max_headers=128"),
    ],
)
def test_more_than_a_limit_is_refused_and_the_message_names_it(limits, lines, status, name):
    assert status_of(*lines, limits=limits) == status
    with pytest.raises(ProtocolError, match=name):
        parse_request_head(head_of(*lines), limits)


def test_what_is_at_a_limit_is_let_in():
    assert parse("GET / HTTP/1.1", "Host: a", "B: c", limits=Limits(fields=2)).minor == 1
    assert parse("GET / HTTP/1.1", "Host: a", "A: " + "x" * 20, limits=Limits(field_size=24)).minor == 1
    assert parse("GET /" + "x" * 20 + " HTTP/1.1", "Host: a", limits=Limits(line_size=35)).minor == 1
    assert len(parse("GET / HTTP/1.1", "Host: a", *["A: b"] * 127).raw_headers) == 128


# Generated heads: the two ways, a model, and what llhttp calls back

tokens = st.text("!#$%&'*+-.^_`|~09azAZ", min_size=1, max_size=8)
values = st.text([chr(c) for c in range(0x20, 0x7F)] + ["\t", "\xe9", "\xff"], max_size=12)
names = st.one_of(tokens, st.sampled_from(["Cookie", "Accept", "Connection", "X-Content-Length", "Content-Lengthy"]))
pads = st.text(" \t", max_size=3)
targets = st.text([chr(c) for c in range(0x21, 0x7F)], max_size=20).map("/{}".format)
special = ("content-length", "transfer-encoding", "upgrade", "host", "connection")


@given(
    version=st.sampled_from(["1.1", "1.0"]),
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "PROPFIND"]),
    target=targets.filter(lambda target: "#" not in target),  # llhttp has an opinion on fragments
    fields=st.lists(st.tuples(names, pads, values, pads), max_size=8),
    length=st.one_of(st.none(), st.integers(0, 2**63 - 1)),
)
@example(version="1.1", method="GET", target="/", fields=[("a", "", "", "\t ")], length=None)
def test_a_head_is_read_as_a_model_and_llhttp_read_it(version, method, target, fields, length):
    fields = [("Host", "", "a", ""), *[field for field in fields if field[0].lower() not in special]]
    if length is not None:
        fields.append(("Content-Length", " ", str(length), ""))
    lines = [f"{method} {target} HTTP/{version}", *(f"{n}:{before}{v}{after}" for n, before, v, after in fields)]
    head = parse(*lines)
    model = [(name.encode(), value.encode("latin-1").strip(b" \t")) for name, _, value, _ in fields]

    callbacks = Callbacks()
    parser = callbacks.parser
    parser.feed_data(head_of(*lines))

    assert list(head.raw_headers) == model
    assert [(name, value.strip(b" \t")) for name, value in callbacks.fields] == model
    assert head.method == parser.get_method().decode() == method
    assert head.target == callbacks.url.decode() == target
    assert f"1.{head.minor}" == parser.get_http_version() == version
    assert head.length == length
    if length is None:
        assert head.keep_alive is parser.should_keep_alive()


@given(tokens, targets, st.sampled_from(["1.1", "1.0"]))
def test_any_token_is_a_method_and_any_printable_text_a_path(method, target, version):
    head = parse(f"{method} {target} HTTP/{version}", "Host: a")
    assert (head.method, head.target) == (method, target)


pieces = st.sampled_from([
    b"GET ", b"POST ", b"CONNECT ", b"/", b"a:80", b"http://a", b" HTTP/1.1", b" HTTP/1.0", b"\r\n", b"\r\n", b"\r\n",
    b"\n", b"\r", b"Host: a\r\n", b"Host:b:1\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b" ",
    b"Transfer-Encoding:\tchunked\t\r\n", b"Upgrade: x\r\n", b"Connection: upgrade\r\n", b"A: b\r\n", b"\t", b":", b"x",
    b"\0", b"\xff",
])  # fmt: skip
starts = st.sampled_from([b"", b"GET / HTTP/1.1\r\nHost: a\r\n", b"POST / HTTP/1.0\r\n", b"GET / HTTP/1.1\r\n"])


def agree(raw: bytes) -> None:
    results = []
    for parse_it in (parse_request_head, _parse_step_by_step):
        try:
            head = parse_it(raw, Limits())
        except ProtocolError as error:
            results.append(error.status)
        else:
            results.append((head.length, head.chunked, served(head, [], b"")))
    assert results[0] == results[1]


@given(starts, st.lists(pieces, max_size=10).map(b"".join))
def test_the_short_way_takes_what_the_long_way_takes(start, data):
    raw = start + data + b"\r\n\r\n"
    agree(raw[: raw.index(b"\r\n\r\n") + 4])


@given(
    st.sampled_from([
        b"GET /a HTTP/1.1\r\nHost: a:80\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\n",
        b"POST http://a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"CONNECT a:80 HTTP/1.1\r\nHost: [::1]\r\nExpect: 100-continue\r\n\r\n",
    ]),
    st.integers(0, 200),
    st.integers(0, 2),
    st.one_of(st.sampled_from([b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b",", b"\0"]), st.binary(max_size=2)),
)  # fmt: skip
@example(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0, 0, b"\n")
def test_the_two_ways_agree_on_a_request_with_a_fault(raw, at, cut, put):
    """llhttp passes over LF before the request line, for one."""
    at %= len(raw) - 4
    raw = raw[:at] + put + raw[at + cut :]
    assume(b"\r\n\r\n" in raw)
    agree(raw[: raw.index(b"\r\n\r\n") + 4])
