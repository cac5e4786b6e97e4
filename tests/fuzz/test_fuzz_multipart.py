from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.fuzz import fuzz_multipart

WORDS = [
    b"\r\n--B\r\n", b"\r\n--B--", b"--B", b"\r\n", b"\r\n", b"\r\n\r\n", b"\r", b"\n", b" ", b"\t", b"--", b"-",
    b"B", b"C", b"a", b"A: b\r\n", b"a", b":", b"Content-Type: text/plain; charset=latin1\r\n",
    b"Content-Length: 3\r\n", b"\r\n--C\r\n", b"\r\n--C--", b"Content-Type: multipart/mixed; boundary=C\r\n",
    b"Content-Transfer-Encoding: base64\r\n", b"QUJD", b"QQ==", b"=", b"\xff", b"\x00",
    b"Content-Transfer-Encoding: quoted-printable\r\n", b"=41", b"Content-Encoding: gzip\r\n",
    b"Content-Encoding: deflate\r\n", b'Content-Disposition: form-data; name="_charset_"\r\n',
    b'Content-Disposition: form-data; name="a"; filename="b"\r\n', b"x" * 70,
]  # fmt: skip

inputs = st.one_of(st.binary(max_size=100), st.lists(st.sampled_from(WORDS), max_size=30).map(b"".join))


@settings(max_examples=300, deadline=None)
@given(inputs)
@example(b"\0\0--B\r\n\r\n--B--")
@example(b"\0\0--B\r\n\r\n\r\n--BC\r\n\r\n--B \t\r\nA: b\r\n c\r\n\r\n\r\r\n-\r\n--B--x")
@example(b"\1\1--B\r\nContent-Transfer-Encoding: base64\r\n\r\nQU\r\nJD\r\n--B")
@example(b"\0\2--B\r\nContent-Type: multipart/x; boundary=C\r\n\r\n--C\r\n\r\na\r\n--C--\r\n--B--")
def test_promises_hold_for_any_input(data):
    fuzz_multipart.TestOneInput(data)
