from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.fuzz import fuzz_sse

WORDS = [
    *(b"data", b"event", b"id", b"retry", b":", b": ", b" ", b"\n", b"\n", b"\r", b"\r\n", b"\n\n"),
    *(b"\xef\xbb\xbf", b"\0", b"\xff", b"\xe2\x82\xac", b"\xe2\x80\xa8", b"1", b"x" * 30, b"9" * 60),
]

inputs = st.one_of(st.binary(max_size=200), st.lists(st.sampled_from(WORDS), max_size=60).map(b"".join))


@settings(max_examples=200, deadline=None)
@given(inputs)
@example(b"\x01\xef\xbb\xbfdata:x\r\r\n\rdata\n\n")
@example(b"\x01" + b"data\n" * 100)
@example(b"\x01data: 1\n\n" + b"y" * 100)
def test_promises_hold_for_any_input(data):
    fuzz_sse.TestOneInput(data)
