from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.fuzz import fuzz_response

WORDS = [
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\n", b"HTTP/1.0 404 \r\n", b"HTTP/1.1 204\r\n", b"HTTP/1.1 304 N\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 101 S\r\n", b"HTTP/2 200\r\n", b"HTTP/1.", b"H", b"200", b"\r\n",
    b"\r\n", b"\r\n\r\n", b"\n", b"\n\n", b"\r", b"Content-Length: 3\r\n", b"Content-Length:3\n",
    b"Content-Length: 3, 3\r\n", b"Content-Length: 4\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n", b"Connection: close\r\n", b"Connection:keep-alive\r\n", b"A: b\r\n",
    b" fold\r\n", b"\tfold\n", b"A : b\r\n", b"3\r\nabc\r\n", b"3;x=y\r\nabc\r\n", b"0\r\n\r\n", b"0\r\nT: u\r\n\r\n",
    b"ffffffffffffffff\r\n", b"abc", b":", b" ", b"\x00", b"\xff", b"x" * 50,
]  # fmt: skip

knobs = st.binary(min_size=2, max_size=2)
heads = st.sampled_from(
    [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"]
)
streams = st.one_of(st.binary(max_size=60), st.lists(st.sampled_from(WORDS), max_size=16).map(b"".join))


@settings(max_examples=400, deadline=None)
@given(st.tuples(knobs, heads, streams).map(b"".join))
@example(b"\0\3HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef")
@example(b"\0\5HTTP/1.1 103 X\nA: b\n\nHTTP/1.1 200 OK\nContent-Length: 3\nContent-Length: 3\n\nabc\r\n\r\n")
@example(b"\0\4HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a\r\nabc\r\n0\r\nT: u\r\n\r\nrest")
@example(b"\2\7HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ntunnel")
@example(b"\4\1HTTP/1.1 200 " + b"x" * 40 + b"\r\n\r\n")
def test_promises_hold_for_any_input(data):
    fuzz_response.TestOneInput(data)
