from __future__ import annotations

import os
import tracemalloc

import pytest

from endwell.wire.websocket import MessageReader, MessageWriter, WSMessage, WSMsgType
from endwell.wire.websocket.deflate import Deflate
from tests.wire.websocket.frames import bytewise, deflated, make, read

TEXT, BINARY, CLOSE, PING, PONG = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CLOSE, WSMsgType.PING, WSMsgType.PONG
EURO = "\N{EURO SIGN}".encode()
CLEF = "\N{MUSICAL SYMBOL G CLEF}".encode()

GOOD = {
    "an empty text": ([(0x81, b"")], [(TEXT, "", "")]),
    "a text": ([(0x81, b"Hello")], [(TEXT, "Hello", "")]),
    "a text of 125 bytes": ([(0x81, b"x" * 125)], [(TEXT, "x" * 125, "")]),
    "a text of 126 bytes": ([(0x81, b"x" * 126)], [(TEXT, "x" * 126, "")]),
    "a text of 65535 bytes": ([(0x81, b"x" * 65535)], [(TEXT, "x" * 65535, "")]),
    "a text of 65536 bytes": ([(0x81, b"x" * 65536)], [(TEXT, "x" * 65536, "")]),
    "binary": ([(0x82, b"\0\xff")], [(BINARY, b"\0\xff", "")]),
    "a ping and a pong": ([(0x89, b"a"), (0x8A, b"")], [(PING, b"a", ""), (PONG, b"", "")]),
    "a ping of 125 bytes": ([(0x89, b"x" * 125)], [(PING, b"x" * 125, "")]),
    "a text in fragments": ([(0x01, b"Hel"), (0x00, b""), (0x80, b"lo")], [(TEXT, "Hello", "")]),
    "binary in fragments": ([(0x02, b"\xff"), (0x80, b"\xfe")], [(BINARY, b"\xff\xfe", "")]),
    "fragments without a byte": ([(0x01, b""), (0x00, b""), (0x80, b"")], [(TEXT, "", "")]),
    "a character in fragments": ([(0x01, CLEF[:1]), (0x00, CLEF[1:3]), (0x80, CLEF[3:])], [(TEXT, CLEF.decode(), "")]),
    "a ping between fragments": (
        [(0x01, EURO[:2]), (0x89, b"p"), (0x80, EURO[2:])],
        [(PING, b"p", ""), (TEXT, EURO.decode(), "")],
    ),
    "a close between fragments": ([(0x01, b"a"), (0x88, b"")], [(CLOSE, 0, "")]),
    "a close without a code": ([(0x88, b"")], [(CLOSE, 0, "")]),
    "a close with a code": ([(0x88, b"\x03\xe8")], [(CLOSE, 1000, "")]),
    "a close with a reason": ([(0x88, b"\x03\xe9" + EURO)], [(CLOSE, 1001, EURO.decode())]),
    "a close of 125 bytes": ([(0x88, b"\x03\xe9" + b"x" * 123)], [(CLOSE, 1001, "x" * 123)]),
    "what follows a close": ([(0x88, b""), (0x81, b"a"), (0xFF, b"")], [(CLOSE, 0, "")]),
    "several messages": ([(0x81, b"a"), (0x82, b"b" * 200)], [(TEXT, "a", ""), (BINARY, b"b" * 200, "")]),
}  # fmt: skip


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", GOOD)
def test_messages_in_any_split(name, masked):
    frames, expected = GOOD[name]
    data = b"".join(make(first, payload, masked=masked) for first, payload in frames)
    assert read(data, masked=masked) == (expected, None, False)
    if len(data) < 1000:
        assert read(data, bytewise(data), masked=masked) == (expected, None, False)
        for place in range(len(data)):
            assert read(data, [place], masked=masked) == (expected, None, False)
    else:
        assert read(data, list(range(0, len(data), 999)), masked=masked) == (expected, None, False)


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999])
def test_close_codes(code):
    assert read(make(0x88, code.to_bytes(2, "big"))).messages == [(CLOSE, code, "")]


FAULTS = {
    # RFC 6455 section 5.2: what no extension has given a meaning to
    "RSV1 without an agreement": (make(0xC1, b"a"), 1002, "compression was not agreed"),
    "RSV2": (make(0xA1, b"a"), 1002, "reserved bit"),
    "RSV3": (make(0x91, b"a"), 1002, "reserved bit"),
    **{f"opcode {code}": (make(0x80 | code), 1002, f"opcode {code}") for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "a masked frame": (make(0x81, b"a", masked=True), 1002, "is masked"),
    "126 for a short length": (make(0x81, b"a", length=b"\x7e\0\x01"), 1002, "length 1 in 2 bytes"),
    "126 for 125": (make(0x81, b"a" * 125, length=b"\x7e\0\x7d"), 1002, "length 125 in 2 bytes"),
    "127 for a short length": (make(0x81, b"a", length=b"\x7f" + bytes(7) + b"\x01"), 1002, "length 1 in 8 bytes"),
    "127 for 65535": (make(0x82, b"", length=b"\x7f" + bytes(6) + b"\xff\xff"), 1002, "length 65535 in 8"),
    "a length of 64 bits": (make(0x82, b"", length=b"\x7f\x80" + bytes(7)), 1002, "63 bits"),
    # section 5.4
    "a continuation of nothing": (make(0x00, b"a"), 1002, "no message to continue"),
    "a last continuation of nothing": (make(0x80, b"a"), 1002, "no message to continue"),
    "a message inside another": (make(0x01, b"a") + make(0x81, b"b"), 1002, "inside another"),
    "a binary one inside another": (make(0x01, b"a") + make(0x02, b"b"), 1002, "inside another"),
    # section 5.5
    "a ping in fragments": (make(0x09, b"a"), 1002, "control frame is fragmented"),
    "a close in fragments": (make(0x08), 1002, "control frame is fragmented"),
    "a ping of 126 bytes": (make(0x89, b"a" * 126), 1002, "longer than 125"),
    "a close of 126 bytes": (make(0x88, b"\x03\xe8" + b"a" * 124), 1002, "longer than 125"),
    "a pong of 65536 bytes": (make(0x8A, b"a" * 65536), 1002, "longer than 125"),
    "half a close code": (make(0x88, b"\x03"), 1002, "half a code"),
    **{
        f"close code {code}": (make(0x88, code.to_bytes(2, "big")), 1002, f"code {code}")
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    },
    # section 8.1
    "bad UTF-8": (make(0x81, b"\xff"), 1007, "not UTF-8"),
    "bad UTF-8 of 200 bytes": (make(0x81, b"a" * 199 + b"\xff"), 1007, "not UTF-8"),
    "a surrogate": (make(0x81, b"\xed\xa0\x80"), 1007, "not UTF-8"),
    "a text that ends in a character": (make(0x81, EURO[:2]), 1007, "not UTF-8"),
    "fragments that end in a character": (make(0x01, EURO[:1]) + make(0x80, EURO[1:2]), 1007, "not UTF-8"),
    "bad UTF-8 in a reason": (make(0x88, b"\x03\xe8\xff"), 1007, "reason"),
}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", FAULTS)
def test_faults(name, masked):
    data, code, text = FAULTS[name]
    if masked:
        if name == "a masked frame":
            data, text = make(0x81, b"a"), "is not masked"
        else:
            data = remasked(data)
    before = make(0x82, b"before", masked=masked)
    after = make(0x82, b"after", masked=masked)
    for places in ([], bytewise(before + data)):
        assert read(before + data + after, places, masked=masked) == ([(BINARY, b"before", "")], code, False)
    reader = MessageReader(masked=masked)
    reader.feed(data)
    assert reader.error is not None
    assert text in str(reader.error)
    assert reader.feed(after) == []


def remasked(data: bytes) -> bytes:
    """Mask the frames of a server, as they stand there."""
    out = b""
    while data:
        size = {126: 4, 127: 10}.get(data[1], 2)
        payload = data[size:] if len(data) <= size or size > 2 else data[2 : 2 + data[1]]
        out += make(data[0], payload, masked=True, length=data[1:size])
        data = data[size + len(payload) :]
    return out


@pytest.mark.parametrize("data", [make(0x01, b"\xce\xba\xe1\xbd\xb9\xf4\x90"), make(0x81, b"\xf4\x90", length=b"\x7d")])
@pytest.mark.parametrize("decode_text", [True, False])
def test_bad_utf8_is_found_before_the_frame_or_the_message_has_come(data, decode_text):
    """The byte that no character can go on with is the last one there."""
    early = read(data[:-1], bytewise(data[:-1]), decode_text=decode_text)
    assert early == ([], None, True)
    assert read(data, bytewise(data), decode_text=decode_text).code == 1007
    assert read(data, decode_text=decode_text).code == 1007


def test_a_fault_in_the_head_is_found_with_its_second_byte():
    assert read(b"\xa1\x05").code == 1002
    assert read(b"\x81\xfe").code == 1002


def test_text_as_bytes():
    data = make(0x81, EURO) + make(0x01, EURO[:1]) + make(0x80, EURO[1:]) + make(0xC1, deflated(EURO))
    for places in ([], bytewise(data)):
        outcome = read(data, places, decode_text=False, deflate=Deflate())
        assert outcome == ([(TEXT, EURO, "")] * 3, None, False)
        assert all(type(message[1]) is bytes for message in outcome.messages)


def test_binary_is_always_bytes():
    data = make(0x82, b"ab") + make(0x02, b"a") + make(0x80, b"b") + make(0x82, b"ab" * 100)
    for places in ([], bytewise(data)):
        assert {type(message[1]) for message in read(data, places).messages} == {bytes}


def test_what_is_returned_are_messages():
    (message,) = MessageReader(masked=False).feed(make(0x81, b'{"a": 1}'))
    assert isinstance(message, WSMessage)
    assert message.type is TEXT
    assert message.json() == {"a": 1}


STARTED = [
    (b"\x81", True),
    (b"\x81\x01", True),
    (b"\x82\x7f\0\0", True),
    (b"\x81\x01a", False),
    (make(0x01, b"a"), True),
    (make(0x01, b""), True),
    (make(0x01, b"a") + make(0x89, b""), True),
    (make(0x01, b"a") + make(0x80, b""), False),
    (make(0x89, b"ab")[:-1], True),
    (make(0x81, b"a") * 2 + b"\x81", True),
    (make(0x01, b"a") + make(0x88, b""), False),
    (make(0x01, b"a") + make(0x85, b""), False),
]


@pytest.mark.parametrize(("data", "started"), STARTED)
def test_started_says_whether_something_is_incomplete(data, started):
    assert read(data).started is started
    assert read(data, bytewise(data)).started is started
    assert read(b"").started is False


# The size of messages


def test_a_message_may_have_max_msg_size_bytes():
    for size in (1, 100, 1000):
        assert read(make(0x82, b"x" * size), max_msg_size=size).messages == [(BINARY, b"x" * size, "")]
        assert read(make(0x82, b"x" * (size + 1)), max_msg_size=size) == ([], 1009, False)


def test_a_size_is_judged_before_the_payload_comes():
    head = make(0x82, b"", length=b"\x7f" + (4 * 2**20 + 1).to_bytes(8, "big"))
    assert read(head).code == 1009
    assert read(head[:-1]).code is None
    huge = make(0x81, b"", length=b"\x7f\x7f" + b"\xff" * 7)
    assert read(huge).code == 1009
    assert read(huge, deflate=Deflate()).code == 1009
    assert read(make(0xC1, b"", length=huge[1:]), deflate=Deflate()).code == 1009


def test_the_sum_of_the_fragments_is_judged():
    data = make(0x01, b"x" * 60) + make(0x00, b"x" * 40)
    assert read(data, max_msg_size=100) == ([], None, True)
    assert read(data + make(0x80, b""), max_msg_size=100).messages == [(TEXT, "x" * 100, "")]
    assert read(data + b"\x80\x01", max_msg_size=100).code == 1009


def test_without_a_limit():
    assert len(read(make(0x82, bytes(5 * 2**20)), max_msg_size=0).messages[0][1]) == 5 * 2**20
    assert read(make(0xC2, deflated(bytes(5 * 2**20))), max_msg_size=0, deflate=Deflate()).code is None
    assert read(make(0x82, b"", length=b"\x7f\x3f" + b"\xff" * 7), max_msg_size=0) == ([], None, True)


@pytest.mark.parametrize("kind", [0x01, 0x02])
def test_the_decompressed_size_is_judged(kind):
    deflate = Deflate()
    for size in (50, 1000, 5000):
        payload = deflated(b"x" * size)
        whole = make(0xC0 | kind, payload)
        parts = make(0x40 | kind, payload[:5]) + make(0x00, b"") + make(0x80, payload[5:])
        for data in (whole, parts):
            for places in ([], bytewise(data)):
                assert read(data, places, max_msg_size=size, deflate=deflate).code is None
                assert read(data, places, max_msg_size=size - 1, deflate=deflate) == ([], 1009, False)


def test_a_fault_in_what_fits_comes_before_the_size():
    data = make(0xC1, deflated(b"\xff" + b"x" * 5000))
    for places in ([], bytewise(data)):
        assert read(data, places, max_msg_size=1000, deflate=Deflate()).code == 1007


def test_what_does_not_compress_may_be_longer_than_the_message():
    noise = os.urandom(100_000)
    payload = deflated(noise)
    assert len(payload) > len(noise)
    assert read(make(0xC2, payload), max_msg_size=100_000, deflate=Deflate()).messages == [(BINARY, noise, "")]


# Memory


def peak(data: bytes, size: int, **options: object) -> int:
    reader = MessageReader(masked=False, **options)
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    reader.feed(make(0x81, b"x" * 500))
    tracemalloc.start()
    try:
        for piece in pieces:
            reader.feed(piece)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("decode_text", [True, False])
@pytest.mark.parametrize("first", [0x81, 0x82])
def test_small_pieces_cost_no_more_memory_than_large_ones(first, decode_text):
    size = 2**16
    data = make(first, b"x" * size)
    for piece in (3, 1000):
        assert peak(data, piece, decode_text=decode_text) < 3.5 * size
    fragments = make(first & 0x0F, b"xy") + make(0x00, b"xy") * (size // 2 - 2) + make(0x80, b"xy")
    assert peak(fragments, 1000, decode_text=decode_text) < 3.5 * size


def test_a_bomb_is_not_inflated():
    limit = 2**18
    bomb = make(0xC2, deflated(bytes(2**24)))
    assert len(bomb) < 2**15
    assert peak(bomb, 2**15, max_msg_size=limit, deflate=Deflate()) < 3 * limit
    fragments = make(0x42, deflated(bytes(2**24))[:-9]) + make(0x00, b"x")
    assert peak(fragments, 2**15, max_msg_size=limit, deflate=Deflate()) < 3 * limit


@pytest.mark.parametrize("ending", [b"", make(0x88), make(0x85), make(0x01, b"a")])
def test_many_bombs_below_the_limit_are_given_one_after_another(ending):
    """A thousandth of their size comes in one piece: what is behind the first ones waits for the next feed."""
    size, count = 2**20, 12
    bomb = make(0xC2, deflated(bytes(size)))
    plain = make(0x81, b"between")
    reader = MessageReader(masked=False, deflate=Deflate(True, True))
    messages = reader.feed((bomb + plain) * count + ending)
    feeds = 1
    while reader.held:
        assert reader.started
        more = reader.feed(b"")
        assert sum(len(message.data) for message in more if message.type is BINARY) <= 2 * size
        messages += more
        feeds += 1
    assert feeds >= count // 2
    kinds = [message.type for message in messages if message.type is not CLOSE]
    assert kinds == [BINARY, TEXT] * count
    assert (len(messages) > 2 * count) is (ending == make(0x88))
    assert (reader.error is not None) is (ending == make(0x85))
    assert reader.started is (ending == make(0x01, b"a"))


def test_what_is_fed_while_messages_are_held_comes_behind_them():
    reader = MessageReader(masked=False, deflate=Deflate(True, True))
    bomb = make(0xC2, deflated(bytes(2**20)))
    messages = reader.feed(bomb * 4 + b"\x81")
    assert reader.held
    for piece in (b"\1", b"a", make(0x89)):
        messages += reader.feed(piece)
    while reader.held:
        messages += reader.feed(b"")
    assert [message.type for message in messages] == [BINARY] * 4 + [TEXT, PING]


def test_after_a_fault_nothing_is_kept():
    reader = MessageReader(masked=False, deflate=Deflate())
    reader.feed(make(0x02, bytes(2**18)))
    reader.feed(make(0xC2, deflated(bytes(100))))
    tracemalloc.start()
    try:
        for _ in range(50):
            reader.feed(bytes(2**16))
        assert tracemalloc.get_traced_memory()[0] < 2**16
    finally:
        tracemalloc.stop()
    assert reader.error is not None


def test_a_feed_of_many_frames():
    assert len(read(b"\x81\0" * 2**17).messages) == 2**17
    assert read(b"\x01\0" + b"\0\0" * 2**17).messages == []
    writer = MessageWriter(masked=True)
    last = 99_999
    data = b"".join([writer.fragment(1, b"x", first=at == 0, last=at == last) for at in range(last + 1)])
    assert read(data, list(range(0, len(data), 2**16)), masked=True).messages == [(TEXT, "x" * 100_000, "")]


def test_a_large_frame_in_small_pieces():
    noise = os.urandom(2**18)
    data = make(0x82, noise, masked=True)
    for size in (1, 3, 4, 65536):
        assert read(data, list(range(0, len(data), size)), masked=True).messages == [(BINARY, noise, "")]
