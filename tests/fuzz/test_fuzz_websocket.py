from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.fuzz import fuzz_websocket

WORDS = [
    b"\x81\5Hello", b"\x81\x85\1\2\3\4Igohn", b"\x01\3Hel", b"\x80\2lo", b"\x80\x82\1\2\3\4mm", b"\0\0",
    b"\0\x80\1\2\3\4",
    b"\x82\1\xff", b"\x82\x81\0\0\0\0\xff", b"\x89\0", b"\x89\x80\1\2\3\4", b"\x8a\1p", b"\x88\0", b"\x88\2\3\xe8",
    b"\x88\x82\0\0\0\0\3\xe9", b"\xc1\7\xf2\x48\xcd\xc9\xc9\7\0", b"\xc1\5\xf2\0\x11\0\0", b"\x41\3\xf2\x48\xcd",
    b"\xc1\x88\0\0\0\0\xf3\x48\xcd\xc9\xc9\7\0\0", b"\x80\4\xc9\xc9\7\0", b"\x82\x7e\0\x7e", b"\x81\xfe\1\0\1\2\3\4",
    b"\x82\x7f\0\0\0\0\0\1\0\0", b"\x81", b"\1", b"\x41", b"\xc2", b"\x85", b"\0", b"\7", b"\x7d", b"\x80", b"\xff",
    b"\xe2\x82\xac", b"\xf0\x9d", b"x" * 126, b"\3\0" * 9,
]  # fmt: skip

knobs = st.binary(min_size=3, max_size=3)
streams = st.one_of(st.binary(max_size=60), st.lists(st.sampled_from(WORDS), max_size=12).map(b"".join))


@settings(max_examples=400, deadline=None)
@given(st.tuples(knobs, streams).map(b"".join))
@example(b"\4\3\0\xc1\7\xf2\x48\xcd\xc9\xc9\7\0\xc1\5\xf2\0\x11\0\0\x88\2\3\xe8\x81\0")
@example(b"\4\2\1\xc2\x0a" + b"\3\0" * 5 + b"\x01\3Hel\x89\0\x80\2lo")
@example(b"\x08\3\2\x81\x85\1\2\3\4Igohn\x81\x85\1\2\3\4Igoh")
@example(b"\0\1\0\x81\1a\x81\2ab")
def test_promises_hold_for_any_input(data):
    fuzz_websocket.TestOneInput(data)
