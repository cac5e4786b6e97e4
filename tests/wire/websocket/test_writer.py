from __future__ import annotations

import pytest

from endwell.wire.websocket import MessageReader, MessageWriter, WSMsgType
from endwell.wire.websocket.deflate import Deflate
from tests.wire.websocket.frames import make, read

JSON = b'{"id": 1, "name": "first", "tags": ["a", "b"]}'


def test_messages_of_a_server():
    writer = MessageWriter(masked=False)
    for size in (0, 1, 125, 126, 65535, 65536):
        assert writer.message(1, b"x" * size) == make(0x81, b"x" * size)
        assert writer.message(2, b"x" * size) == make(0x82, b"x" * size)
    assert writer.message(WSMsgType.TEXT, b"a") == make(0x81, b"a")


def test_messages_of_a_client_are_masked():
    writer = MessageWriter(masked=True)
    for size in (0, 1, 125, 126, 65536):
        made = writer.message(2, b"x" * size)
        assert made[1] & 0x80
        assert read(made, masked=True).messages == [(2, b"x" * size, "")]
        assert read(made).code == 1002


@pytest.mark.parametrize("kind", [bytearray, memoryview])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("deflate", [None, Deflate()])
def test_what_is_no_bytes_is_copied(kind, masked, deflate):
    for size in (3, 300, 3000):
        writer = MessageWriter(masked=masked, deflate=deflate)
        payload = kind(b"abc" * size)
        data = writer.message(2, payload) + writer.control(9, kind(b"p"))
        data += writer.fragment(2, payload, first=True, last=True)
        assert type(data) is bytes
        assert [message[1] for message in read(data, masked=masked, deflate=deflate).messages] == [
            b"abc" * size, b"p", b"abc" * size
        ]  # fmt: skip


def test_a_memoryview_of_larger_items():
    view = memoryview(b"abcdefgh").cast("I")
    assert MessageWriter(masked=False).message(2, view) == make(0x82, b"abcdefgh")


def test_fragments():
    writer = MessageWriter(masked=False)
    assert writer.fragment(1, b"a", first=True, last=False) == make(0x01, b"a")
    assert writer.control(9, b"p") == make(0x89, b"p")
    assert writer.fragment(1, b"b", first=False, last=False) == make(0x00, b"b")
    assert writer.fragment(1, b"", first=False, last=True) == make(0x80, b"")
    assert writer.fragment(2, b"c", first=True, last=True) == make(0x82, b"c")


def test_control_frames():
    writer = MessageWriter(masked=False, deflate=Deflate())
    assert writer.control(8, b"") == make(0x88)
    assert writer.control(WSMsgType.PONG, b"x" * 125) == make(0x8A, b"x" * 125)
    for opcode in (0, 1, 2, 3, 7, 11, 256):
        with pytest.raises(ValueError, match=f"Opcode {opcode} is not that of a control frame"):
            writer.control(opcode, b"")
    with pytest.raises(ValueError, match="at most 125 bytes, not 126"):
        writer.control(9, b"x" * 126)


def test_what_is_out_of_order():
    writer = MessageWriter(masked=False)
    with pytest.raises(RuntimeError, match="send a first fragment"):
        writer.fragment(1, b"", first=False, last=True)
    writer.fragment(1, b"", first=True, last=False)
    with pytest.raises(RuntimeError, match="send its last fragment"):
        writer.fragment(1, b"", first=True, last=True)
    with pytest.raises(RuntimeError, match="send its last fragment"):
        writer.message(1, b"")
    writer.fragment(1, b"", first=False, last=True)
    writer.message(1, b"")
    for opcode in (0, 3, 8, 9, 256):
        with pytest.raises(ValueError, match=f"Opcode {opcode} is not that of a message"):
            writer.message(opcode, b"")
        with pytest.raises(ValueError, match=f"Opcode {opcode} is not that of a message"):
            writer.fragment(opcode, b"", first=True, last=True)


# Compression


def compressed(data: bytes) -> bool:
    return data[0] & 0x40 != 0


def test_compression_is_as_agreed_unless_a_message_says_something_else():
    writer = MessageWriter(masked=False, deflate=Deflate())
    for compress in (None, True, 9, 15):
        assert compressed(writer.message(1, JSON, compress))
    for no in (False, 0):
        assert writer.message(1, JSON, no) == make(0x81, JSON)
    assert writer.message(1, b"") == make(0x81)
    plain = MessageWriter(masked=False)
    for compress in (None, True, False, 0, 9, 15):
        assert plain.message(1, JSON, compress) == make(0x81, JSON)


@pytest.mark.parametrize("compress", [-15, -1, 1, 7, 16, 31])
@pytest.mark.parametrize("deflate", [None, Deflate()])
def test_windows_that_do_not_exist(compress, deflate):
    with pytest.raises(ValueError, match=f"compress={compress} is no window"):
        MessageWriter(masked=False, deflate=deflate).message(1, JSON, compress)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("alone", [False, True])
def test_a_window_for_one_message_does_not_spoil_those_after_it(masked, alone):
    """The peer's window has all messages in it, whichever stream they were compressed by."""
    deflate = Deflate(alone, alone, 12, 12)
    writer = MessageWriter(masked=masked, deflate=deflate)
    reader = MessageReader(masked=masked, deflate=deflate)
    for at, compress in enumerate((None, 9, None, 15, 9, False, 9, 11, None, None)):
        text = JSON * 40 + b"%d" % at
        assert [message.data for message in reader.feed(writer.message(1, text, compress))] == [text.decode()]
    assert reader.error is None


def test_context_takeover():
    for server_alone in (False, True):
        for client_alone in (False, True):
            deflate = Deflate(server_alone, client_alone)
            for masked, alone in ((False, server_alone), (True, client_alone)):
                writer = MessageWriter(masked=masked, deflate=deflate)
                first, second = (len(writer.message(1, JSON)) for _ in range(2))
                assert (second == first) if alone else (second < first - 20)


def test_the_window_of_each_role_is_kept_to():
    """A repetition that is further away than the window is not found."""
    for deflate in (Deflate(server_max_window_bits=9), Deflate(client_max_window_bits=9)):
        for masked in (False, True):
            writer = MessageWriter(masked=masked, deflate=deflate)
            block = bytes(range(256)) * 3
            far = writer.message(2, block[:200] + bytes(600) + block[:200])
            small = (deflate.client_max_window_bits if masked else deflate.server_max_window_bits) == 9
            assert (len(far) > 400) is small
            assert read(far, masked=masked, deflate=deflate).messages[0][1] == block[:200] + bytes(600) + block[:200]


def test_a_window_of_256_bytes_has_run_lengths_only():
    deflate = Deflate(server_max_window_bits=8)
    writer, reader = MessageWriter(masked=False, deflate=deflate), MessageReader(masked=False, deflate=deflate)
    for text in (b"a" * 1000, b"ab" * 500, b"a" * 1000):
        made = writer.message(1, text)
        assert reader.feed(made)[0].data == text.decode()
        if text[:2] == b"aa":
            assert len(made) < 40


def test_compressed_fragments():
    for alone in (False, True):
        deflate = Deflate(alone, alone)
        writer, reader = MessageWriter(masked=False, deflate=deflate), MessageReader(masked=False, deflate=deflate)
        for parts in ([JSON, JSON], [b"", b""], [b"", JSON, b""], [JSON, b""], [b"a"] * 50, [b""], [JSON]):
            last = len(parts) - 1
            made = [writer.fragment(1, part, first=at == 0, last=at == last) for at, part in enumerate(parts)]
            assert [compressed(each) for each in made] == [True] + [False] * last
            messages = [message for each in made for message in reader.feed(each)]
            assert reader.error is None
            assert [message.data for message in messages] == [b"".join(parts).decode()]
            assert reader.feed(writer.message(1, JSON))[0].data == JSON.decode()


def test_a_fragment_can_be_read_when_it_comes():
    """What is compressed is not held back: the fault in the second one is found before the last."""
    writer = MessageWriter(masked=False, deflate=Deflate())
    reader = MessageReader(masked=False, deflate=Deflate())
    reader.feed(writer.fragment(1, b"abc", first=True, last=False))
    assert reader.error is None
    reader.feed(writer.fragment(1, b"\xff", first=False, last=False))
    assert reader.error is not None
