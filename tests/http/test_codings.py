"""Content codings: every coding, every split, cut short, spoilt, stacked, and as bombs."""

import gzip
import subprocess
import sys
import zlib
from contextlib import suppress
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endwell.http import coding_stages, codings
from endwell.http.codings import (
    PIECE,
    RATIO_FLOOR,
    CodingError,
    DecodedTooLargeError,
    Decoder,
    MissingCodingError,
    TruncatedCodingError,
    UnknownCodingError,
    available_codings,
    make_decoder,
    make_encoder,
    set_zlib_backend,
)

TEXT = b"".join(b"line %d of the text\n" % number for number in range(5000))
ALL = ("gzip", "deflate", "br", "zstd")


def encode(coding: str, data: bytes) -> bytes:
    for name in coding.split(","):
        encoder = make_encoder(name)
        data = encoder.compress(data) + encoder.flush()
    return data


def raw_deflate(data: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-15)
    return deflate.compress(data) + deflate.flush()


def decoder_for(coding: str, **limits: Any) -> Decoder:
    decoder = make_decoder(coding, **limits)
    assert decoder is not None
    return decoder


def decode(coding: str, parts: list[bytes], **limits: Any) -> bytes:
    decoder = decoder_for(coding, **limits)
    out = []
    for part in parts:
        decoder.feed(part)
        out += decoder.pieces()
        assert decoder.waiting < 4
    decoder.finish()
    assert all(0 < len(piece) <= PIECE for piece in out)
    assert decoder.total_in == sum(map(len, parts))
    assert decoder.total_out == sum(map(len, out))
    return b"".join(out)


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(places)]


@pytest.mark.parametrize("coding", ALL)
@settings(max_examples=40, deadline=None)
@given(
    data=st.one_of(st.binary(max_size=300), st.binary(min_size=1, max_size=40).map(lambda part: part * 5000)),
    cuts=st.lists(st.integers(min_value=0, max_value=10**6), max_size=8),
)
def test_round_trip_at_any_split(coding: str, data: bytes, cuts: list[int]) -> None:
    encoded = encode(coding, data)
    assert decode(coding, split(encoded, cuts)) == data


@pytest.mark.parametrize("coding", ALL)
def test_byte_by_byte(coding: str) -> None:
    encoded = encode(coding, TEXT)
    assert decode(coding, [encoded[i : i + 1] for i in range(len(encoded))]) == TEXT


@pytest.mark.parametrize("coding", ALL)
@settings(max_examples=40, deadline=None)
@given(noise=st.binary(min_size=1, max_size=200), place=st.integers(min_value=0, max_value=10**6))
def test_spoilt_bodies_raise_nothing_but_coding_errors(coding: str, noise: bytes, place: int) -> None:
    encoded = encode(coding, TEXT)
    place %= len(encoded)
    decoder = decoder_for(coding, limit=10**7)
    decoder.feed(encoded[:place] + noise + encoded[place + len(noise) :])
    with suppress(CodingError):
        for _ in decoder.pieces():
            pass
        decoder.finish()
    assert decoder.total_out <= 10**7


@pytest.mark.parametrize("coding", [*ALL, "raw deflate"])
@pytest.mark.parametrize("missing", [1, 5, 200])
def test_a_stream_cut_short_is_an_error(coding: str, missing: int) -> None:
    raw = coding == "raw deflate"
    name = "deflate" if raw else coding
    encoded = raw_deflate(TEXT) if raw else encode(name, TEXT)
    with pytest.raises(TruncatedCodingError, match=f"in the middle of its {name} stream"):
        decode(name, [encoded[:-missing]])


@pytest.mark.parametrize("coding", [*ALL, "deflate, gzip"])
def test_an_empty_body_is_complete(coding: str) -> None:
    decoder = decoder_for(coding)
    decoder.feed(b"")
    assert decoder.pull() == b""
    decoder.finish()


def test_deflate_without_its_wrapper() -> None:
    for data in (b"", b"a", TEXT):
        assert decode("deflate", [raw_deflate(data)]) == data


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@given(cuts=st.lists(st.integers(min_value=0, max_value=10**6), max_size=8))
@settings(max_examples=40, deadline=None)
def test_several_members(coding: str, cuts: list[int]) -> None:
    encoded = encode(coding, b"one ") + encode(coding, b"") + encode(coding, b"two")
    assert decode(coding, split(encoded, cuts)) == b"one two"


def test_skippable_frames_of_zstd() -> None:
    skippable = b"\x53\x2a\x4d\x18\x04\x00\x00\x00abcd"
    assert decode("zstd", [skippable + encode("zstd", b"one") + skippable + encode("zstd", b"two")]) == b"onetwo"


def test_a_second_member_cut_short_is_an_error() -> None:
    with pytest.raises(TruncatedCodingError):
        decode("gzip", [gzip.compress(b"one") + gzip.compress(b"two")[:12]])


@pytest.mark.parametrize("garbage", [b"\0", b"\0" * 600, b"\x1f", b"\x1fgarbage", b"<!-- cache -->"])
@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_what_follows_a_complete_stream_is_ignored(coding: str, garbage: bytes) -> None:
    encoded = encode(coding, TEXT) + garbage
    assert decode(coding, [encoded]) == TEXT
    assert decode(coding, [encoded[i : i + 1000] for i in range(0, len(encoded), 1000)]) == TEXT


def test_ignored_bytes_are_not_kept() -> None:
    decoder = decoder_for("deflate, gzip")
    decoder.feed(gzip.compress(zlib.compress(TEXT) + b"garbage" * 100_000))
    assert b"".join(decoder.pieces()) == TEXT
    decoder.feed(b"more")
    assert decoder.pull() == b""
    decoder.finish()


@pytest.mark.parametrize("parts", [1, 2])
def test_bytes_after_br_are_an_error_wherever_they_were_split(parts: int) -> None:
    encoded = encode("br", b"text")
    body = [encoded + b"junk"] if parts == 1 else [encoded, b"junk"]
    with pytest.raises(CodingError, match="br"):
        decode("br", body)


@pytest.mark.parametrize(
    "stack", ["deflate, gzip", "gzip, br", "gzip , GZIP,zstd", "identity, gzip", "gzip,br,zstd,deflate,gzip", "x-gzip"]
)
def test_stacks_are_decoded_from_the_last(stack: str) -> None:
    applied = stack.replace(" ", "").replace("identity,", "").lower()
    encoded = encode(applied, TEXT)
    assert decode(stack, [encoded]) == TEXT
    assert decode(stack, [encoded[i : i + 7] for i in range(0, len(encoded), 7)]) == TEXT


def test_a_stack_cut_short_inside() -> None:
    with pytest.raises(TruncatedCodingError) as caught:
        decode("deflate, gzip", [gzip.compress(zlib.compress(TEXT)[:-5])])
    assert caught.value.coding == "deflate"


@pytest.mark.parametrize("name", ["", "identity", " Identity ", "identity,identity", ",", " "])
def test_identity_needs_no_decoder(name: str) -> None:
    assert make_decoder(name) is None


@pytest.mark.parametrize("name", ["compress", "foo", "gzip;q=1", "gzip, foo", "gz\u0131p"])
def test_unknown_codings(name: str) -> None:
    with pytest.raises(UnknownCodingError, match="is not known"):
        make_decoder(name)


def test_too_many_codings() -> None:
    with pytest.raises(CodingError, match="6 content codings, at most 5"):
        make_decoder("gzip," * 6)


def test_a_coding_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coding_stages, "_brotli", lambda: None)
    with pytest.raises(MissingCodingError, match="pip install Brotli"):
        make_decoder("br")
    with pytest.raises(MissingCodingError):
        make_encoder("br")


@pytest.mark.parametrize("coding", ALL)
def test_a_slow_reader_holds_little(coding: str) -> None:
    """Pulling one piece decodes no more than that piece, however much could come."""
    decoder = decoder_for(coding, ratio=None)
    decoder.feed(encode(coding, bytes(30 * 2**20)))
    assert 0 < len(decoder.pull()) <= PIECE
    assert decoder.total_out <= 2 * PIECE
    assert len(decoder.pull(10)) == 10
    assert len(decoder.pull(1)) == 1
    assert decoder.total_out <= 3 * PIECE


@pytest.mark.parametrize("coding", [*ALL, "gzip, gzip", "br, gzip"])
def test_a_bomb_stops_at_the_limit(coding: str) -> None:
    limit = 1_000_000
    decoder = decoder_for(coding, limit=limit, ratio=None)
    decoder.feed(encode(coding.replace(" ", ""), bytes(30 * 2**20)))
    pieces: list[bytes] = []
    with pytest.raises(DecodedTooLargeError, match="more than 1000000 bytes") as caught:
        pieces.extend(decoder.pieces())
    received = sum(map(len, pieces))
    assert caught.value.limit == limit
    assert received <= limit
    assert decoder.total_out <= limit + PIECE


def test_a_coded_form_may_be_longer_than_the_limit() -> None:
    assert decode("gzip,br,gzip", [encode("gzip,br,gzip", b"a")], limit=1) == b"a"


@pytest.mark.parametrize("coding", ALL)
def test_exactly_the_limit_is_allowed(coding: str) -> None:
    assert len(decode(coding, [encode(coding, TEXT)], limit=len(TEXT))) == len(TEXT)
    with pytest.raises(DecodedTooLargeError):
        decode(coding, [encode(coding, TEXT)], limit=len(TEXT) - 1)
    with pytest.raises(DecodedTooLargeError):
        decode(coding, [encode(coding, b"a")], limit=0)


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip,gzip"])
def test_a_bomb_stops_at_the_ratio(coding: str) -> None:
    decoder = decoder_for(coding, ratio=1100)
    decoder.feed(encode(coding, bytes(40 * 2**20)))
    pieces: list[bytes] = []
    with pytest.raises(DecodedTooLargeError, match="grow more than 1100 times") as caught:
        pieces.extend(decoder.pieces())
    received = sum(map(len, pieces))
    assert caught.value.limit is None
    assert RATIO_FLOOR - PIECE < received <= RATIO_FLOOR


def test_below_the_floor_no_ratio_is_too_high() -> None:
    assert len(decode("br", [encode("br", bytes(RATIO_FLOOR))], ratio=2)) == RATIO_FLOOR


def test_the_ratio_counts_what_was_decoded_not_what_waits() -> None:
    decoder = decoder_for("gzip", ratio=100)
    decoder.feed(gzip.compress(bytes(20 * 2**20)))
    decoder.feed(bytes(10**6))
    with pytest.raises(DecodedTooLargeError):
        list(decoder.pieces())


def test_garbage_behind_the_inner_stream_is_not_inflated() -> None:
    """The inner stream is complete: the outer one is not decoded to its end, however much it holds."""
    decoder = decoder_for("deflate, gzip", limit=1000, ratio=None)
    decoder.feed(gzip.compress(zlib.compress(b"text") + bytes(50 * 2**20)))
    assert list(decoder.pieces()) == [b"text"]
    assert decoder._stages[0].produced <= PIECE
    assert decoder.waiting == 0
    decoder.finish()


def test_a_window_above_eight_mebibytes_is_refused() -> None:
    zstd = coding_stages.library("zstd")
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    with pytest.raises(CodingError, match="zstd"):
        decode("zstd", [compressor.compress(TEXT) + compressor.flush()])


def test_finish_before_everything_was_pulled() -> None:
    decoder = decoder_for("gzip")
    decoder.feed(gzip.compress(TEXT))
    decoder.pull(10)
    with pytest.raises(RuntimeError, match="decoded bytes left"):
        decoder.finish()


def test_pull_of_nothing() -> None:
    with pytest.raises(ValueError, match="positive"):
        decoder_for("gzip").pull(0)


def test_brotli_without_an_output_limit() -> None:
    """Brotli before 1.2 decodes a slice to its end."""
    import brotli

    class Old:
        def __init__(self) -> None:
            inner = brotli.Decompressor()
            # Without the second argument, and without can_accept_more_data().
            self.process = lambda data: bytes(inner.process(data))
            self.is_finished = inner.is_finished

    stage = coding_stages._BrotliStage(SimpleNamespace(Decompressor=Old, error=brotli.error))
    decoder = Decoder([stage], limit=None, ratio=None)
    decoder.feed(encode("br", TEXT))
    assert b"".join(decoder.pieces()) == TEXT
    decoder.finish()


@pytest.mark.parametrize("coding", ALL)
@given(parts=st.lists(st.binary(max_size=100), max_size=6))
@settings(max_examples=20, deadline=None)
def test_encoding_in_parts(coding: str, parts: list[bytes]) -> None:
    encoder = make_encoder(coding)
    encoded = b"".join([encoder.compress(part) for part in parts] + [encoder.flush()])
    assert encoder.flush() == b""
    assert decode(coding, [encoded]) == b"".join(parts)
    with pytest.raises(RuntimeError, match="has ended"):
        encoder.compress(b"x")


def test_encoders_speak_the_formats_of_others() -> None:
    assert gzip.decompress(encode("gzip", TEXT)) == TEXT
    assert zlib.decompress(encode("deflate", TEXT)) == TEXT


def test_levels_and_strategies() -> None:
    fast, small = (make_encoder("gzip", level=level) for level in (1, 9))
    assert len(small.compress(TEXT) + small.flush()) < len(fast.compress(TEXT) + fast.flush())
    huffman = make_encoder("deflate", strategy=zlib.Z_HUFFMAN_ONLY)
    assert zlib.decompress(huffman.compress(TEXT) + huffman.flush()) == TEXT
    with pytest.raises(UnknownCodingError, match="use gzip, deflate, br or zstd"):
        make_encoder("compress")


def test_zlib_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coding_stages, "_zlib_backend", None)
    made = []

    def decompressobj(**options: Any) -> Any:
        made.append(options)
        return zlib.decompressobj(**options)

    set_zlib_backend(SimpleNamespace(compressobj=zlib.compressobj, decompressobj=decompressobj, error=zlib.error))
    assert decode("gzip", [gzip.compress(TEXT)]) == TEXT
    assert made == [{"wbits": 31}]
    with pytest.raises(TypeError, match="a zlib backend must have compressobj"):
        set_zlib_backend(SimpleNamespace())


def test_available_codings() -> None:
    assert available_codings() == "gzip, deflate, br, zstd"


def test_no_compressor_is_imported_early() -> None:
    code = (
        "import sys; before = set(sys.modules); import endwell.http.codings as codings; codings.available_codings();"
        "late = {'brotli', '_brotli', 'brotlicffi', 'backports.zstd', 'compression.zstd', 'gzip'};"
        "print(sorted((set(sys.modules) - before) & late))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_exports() -> None:
    assert all(hasattr(codings, name) for name in codings.__all__)
