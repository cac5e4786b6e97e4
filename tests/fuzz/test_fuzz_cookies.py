from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.fuzz import fuzz_cookies

WORDS = [
    *(
        b"a",
        b"b",
        b"__Host-a",
        b"__secure-b",
        b"c[1]",
        b"=",
        b"=",
        b";",
        b"; ",
        b";",
        b"\n",
        b"\n",
        b" ",
        b"\t",
        b'"',
        b",",
    ),
    *(b"\\", b"\\073", b"\\015\\012", b"\r", b"\0", b"\x7f", b"\xff", b"\xc3\xa9", b"x" * 1025, b"y" * 4093),
    *(b"Path", b"/", b"/shop", b"/shop/", b"/shop/cart", b"Secure", b"HttpOnly", b"SameSite=Lax", b"Partitioned"),
    *(b"Domain=", b".example.org", b"www.example.org", b"org", b"com", b"example.com"),
    *(b"Max-Age=", b"0", b"-1", b"99", b"9" * 30, b"Expires=", b"Sun, 06 Nov 1994 08:49:37 GMT"),
    *(b"Wed, 09-Jun-2038 10:18:14 GMT", b"Sunday, 06-Nov-94 08:49:37 GMT", b"Sun Nov  6 08:49:37 1994"),
]

inputs = st.one_of(st.binary(max_size=200), st.lists(st.sampled_from(WORDS), max_size=24).map(b"".join))


@settings(max_examples=200, deadline=None)
@given(inputs)
@example(b"a=1; Path=/shop\na=2; Path=/\na=3; Domain=example.org; Path=/\n__Host-a=4; Secure; Path=/")
@example(b'a="\\073 b=2"; Secure\na="x\\015\\012Evil: 1"\n\xff=\xfe')
@example(b"a=1; Path=/a|b\na=1;Domain=www.example.org")
@example(b"a\t=\t1\t;\tSecure\t;Path=/\t\n\tb=\t")
def test_promises_hold_for_any_input(data):
    fuzz_cookies.TestOneInput(data)
