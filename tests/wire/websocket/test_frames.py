from __future__ import annotations

import pytest

from endwell.wire.websocket.frames import close_payload, frame, is_close_code
from tests.wire.websocket.frames import make, read

# RFC 6455 section 5.7
EXAMPLES = [
    (frame(1, b"Hello", masked=False), "81 05 48 65 6c 6c 6f"),
    (frame(1, b"Hel", masked=False, fin=False), "01 03 48 65 6c"),
    (frame(0, b"lo", masked=False), "80 02 6c 6f"),
    (frame(9, b"Hello", masked=False), "89 05 48 65 6c 6c 6f"),
    (frame(2, bytes(256), masked=False)[:4], "82 7e 01 00"),
    (frame(2, bytes(65536), masked=False)[:10], "82 7f 00 00 00 00 00 01 00 00"),
]


@pytest.mark.parametrize(("made", "expected"), EXAMPLES)
def test_the_examples_of_the_rfc(made, expected):
    assert made == bytes.fromhex(expected)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536])
def test_every_form_of_the_length(size):
    payload = b"x" * size
    assert frame(2, payload, masked=False) == make(0x82, payload)
    masked = frame(2, payload, masked=True)
    head = len(masked) - size - 4
    assert masked[1] & 0x80
    assert bytes([masked[0], masked[1] & 0x7F]) + masked[2:head] == make(0x82, payload)[:head]
    assert read(masked, masked=True).messages[0][1] == payload


def test_the_first_byte():
    assert frame(1, b"", masked=False, fin=False, rsv1=True)[0] == 0x41
    assert frame(1, b"", masked=False, rsv1=True)[0] == 0xC1
    assert frame(0, b"", masked=False, fin=False)[0] == 0x00


def test_each_masked_frame_has_a_key_of_its_own():
    assert len({frame(1, b"", masked=True)[2:6] for _ in range(100)}) > 95


def test_close_payloads():
    assert close_payload(1000, b"") == b"\x03\xe8"
    assert close_payload(4999, "\N{EURO SIGN}".encode()) == b"\x13\x87\xe2\x82\xac"
    assert len(close_payload(1001, b"x" * 123)) == 125


@pytest.mark.parametrize(
    "code", [-1, 0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1999, 2000, 2999, 5000, 65535, 65536, 10**9]
)
def test_codes_that_may_not_be_sent(code):
    assert not is_close_code(code)
    with pytest.raises(ValueError, match=f"code {code}: write 1000"):
        close_payload(code, b"")


def test_reasons_that_may_not_be_sent():
    with pytest.raises(ValueError, match="124 bytes, at most 123 fit"):
        close_payload(1000, b"x" * 124)
    with pytest.raises(ValueError, match="encode it as UTF-8"):
        close_payload(1000, b"\xff")
    with pytest.raises(ValueError, match="encode it as UTF-8"):
        close_payload(1000, "\N{EURO SIGN}".encode()[:2])
