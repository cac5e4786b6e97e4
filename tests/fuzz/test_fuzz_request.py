from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.fuzz import fuzz_request

WORDS = [
    b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.0\r\n", b"POST /a HTTP/1.1\r\n", b"CONNECT a:1 HTTP/1.1\r\n",
    b"PRI * HTTP/2.0\r\n", b"OPTIONS * HTTP/1.1\r\n", b"GET http://a:1/b HTTP/1.1\r\n", b"GET /\r\n", b"GET", b" ",
    b"/", b" HTTP/1.", b"\r\n", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"Host: a\r\n", b"Host: [::1]:8080\r\n",
    b"Host: u@a\r\n", b"Content-Length: 3\r\n", b"Content-Length: 3, 3\r\n", b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: \t", b"Transfer-Encoding: gzip, chunked\r\n",
    b"Connection: close\r\n", b"Connection: upgrade\r\nUpgrade: x\r\n", b"A: b\r\n", b" fold\r\n", b"A : b\r\n",
    b"Expect: 100-continue\r\n", b"3\r\nabc\r\n", b"3;x=y\r\nabc\r\n", b"0\r\n\r\n", b"\x16\x03",
    b"0\r\nT: u\r\n\r\n", b"ffffffffffffffff\r\n", b"abc", b":", b"\x00", b"\xff", b"x" * 50,
]  # fmt: skip

knobs = st.binary(min_size=2, max_size=2)
heads = st.sampled_from([
    b"", b"GET / HTTP/1.1\r\nHost: a\r\n", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
])  # fmt: skip
streams = st.one_of(st.binary(max_size=60), st.lists(st.sampled_from(WORDS), max_size=16).map(b"".join))


@settings(max_examples=400, deadline=None)
@given(st.tuples(knobs, heads, streams).map(b"".join))
@example(b"\0\3GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.0\r\n\r\nG")
@example(b"\0\4\r\nPOST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a\r\nabc\r\n0\r\nT: u\r\n\r\nrest")
@example(b"\1\1GET /" + b"x" * 40 + b" HTTP/1.1\r\n\r\n")
@example(b"\0\1\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
def test_promises_hold_for_any_input(data):
    fuzz_request.TestOneInput(data)
