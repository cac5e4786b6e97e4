from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.fuzz import fuzz_server
from tests.fuzz.test_fuzz_request import WORDS

MORE = [
    b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", b"HEAD /b HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /c HTTP/1.0\r\n\r\n",
    b"POST /d HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", b"Content-Encoding: gzip\r\n",
    b"POST /e HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"POST /f HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
    b"Content-Type: multipart/form-data; boundary=B\r\n", b"--B\r\n", b"--B--", b"Cookie: a=b; c\r\n",
    b"Content-Encoding: gzip, gzip, gzip, gzip, gzip, gzip\r\n", b"Content-Length: 99999\r\n",
]  # fmt: skip

knobs = st.binary(min_size=3, max_size=3)
streams = st.one_of(st.binary(max_size=60), st.lists(st.sampled_from(WORDS + MORE), max_size=12).map(b"".join))


@settings(max_examples=150, deadline=None)
@given(st.tuples(knobs, streams).map(b"".join))
@example(b"\0\3\0GET /a HTTP/1.1\r\nHost: a\r\n\r\nPOST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET")
@example(b"\2\0\2" + b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n" * 10)
@example(b"\0\0\0POST /f HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd")
def test_promises_hold_for_any_input(data):
    fuzz_server.TestOneInput(data)
