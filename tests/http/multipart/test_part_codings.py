import base64
import gzip
import quopri
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endwell.http.multipart.codings import PartDecoder, PartEncoder, check_codings
from endwell.http.multipart.errors import MultipartError, PartCodingError

CODINGS = [
    (content, transfer) for content in ("", "gzip", "deflate") for transfer in ("", "base64", "quoted-printable")
]


def encode(codings, pieces):
    encoder = PartEncoder(*codings)
    return b"".join([encoder.feed(piece) for piece in pieces]) + encoder.finish()


def decode(codings, pieces, block=100):
    decoder = PartDecoder(*codings, block)
    blocks = [block for piece in pieces for block in decoder.feed(piece)]
    return b"".join(blocks) + b"".join(decoder.finish())


def split(data, size):
    return [data[start : start + size] for start in range(0, len(data), size)]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(CODINGS), st.one_of(st.binary(max_size=400), st.text(" \r\n\t=a", max_size=200).map(str.encode)))
def test_any_content_in_any_split_comes_back(codings, content):
    for size in (1, 3, 57, 1000):
        coded = encode(codings, split(content, size))
        for other in (1, 2, 1000):
            assert decode(codings, split(coded, other)) == content


@given(st.binary(max_size=300))
def test_the_standard_library_reads_it(content):
    coded = encode(("", "base64"), split(content, 50))
    assert base64.b64decode(coded) == content
    quoted = encode(("", "quoted-printable"), split(content, 50))
    assert quopri.decodestring(quoted) == content
    assert max(map(len, (coded + b"\r\n" + quoted).split(b"\r\n"))) <= 76
    assert not any(line.endswith((b" ", b"\t")) for line in quoted.split(b"\r\n"))
    assert gzip.decompress(encode(("gzip", ""), [content])) == content


@given(st.binary(max_size=300))
def test_the_standard_library_is_read(content):
    assert decode(("", "base64"), split(base64.encodebytes(content), 7)) == content
    assert decode(("gzip", ""), split(gzip.compress(content), 7)) == content
    assert decode(("deflate", ""), split(zlib.compress(content), 7)) == content
    assert decode(("deflate", ""), split(zlib.compress(content, wbits=-15), 7)) == content


def test_blocks_are_bounded():
    decoder = PartDecoder("gzip", "", 1000)
    sizes = [len(block) for block in decoder.feed(gzip.compress(bytes(10**6)))]
    assert (max(sizes), sum(sizes)) == (1000, 10**6)


@pytest.mark.parametrize(
    ("codings", "data"),
    [
        (("gzip", ""), b"garbage"),
        (("gzip", ""), gzip.compress(b"hello", mtime=0)[:-5]),
        (("deflate", ""), zlib.compress(b"hello")[:-5]),
        (("", "base64"), b"QUJ"),
        (("", "base64"), b"Q"),
        (("gzip", "base64"), b"QUJD"),
    ],
)
def test_corrupt(codings, data):
    for size in (1, 100):
        with pytest.raises(MultipartError, match=codings[0] or codings[1]):
            decode(codings, split(data, size))


def test_known_codings():
    assert check_codings(" GZIP ", "Base64") == ("gzip", "base64")
    assert check_codings("identity", "binary") == check_codings("", "8BIT") == ("", "")
    for bad in (("br", ""), ("", "x-uuencode")):
        with pytest.raises(PartCodingError) as caught:
            check_codings(*bad)
        assert isinstance(caught.value, RuntimeError)
        assert isinstance(caught.value, ValueError)
