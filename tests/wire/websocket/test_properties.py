"""What holds for any messages and any bytes: what is written is read, and the cuts do not matter."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from endwell.wire.websocket import MessageReader, MessageWriter
from endwell.wire.websocket.deflate import Deflate
from endwell.wire.websocket.frames import close_payload
from tests.wire.http1.splits import cut
from tests.wire.websocket.frames import deflated, make, read

bits = st.integers(8, 15)
deflates = st.one_of(st.none(), st.builds(Deflate, st.booleans(), st.booleans(), bits, bits))
places = st.lists(st.integers(0, 2000), max_size=12)

texts = st.one_of(st.text(max_size=60), st.text(max_size=5).map(lambda text: text * 60)).map(str.encode)
payloads = st.one_of(
    st.tuples(st.just(1), texts),
    st.tuples(st.just(2), st.one_of(st.binary(max_size=60), st.binary(max_size=5).map(lambda data: data * 100))),
)
overrides = st.one_of(st.none(), st.booleans(), st.just(0), st.integers(8, 15))
sent = st.lists(
    st.one_of(
        st.tuples(st.just("message"), payloads, overrides),
        st.tuples(st.just("fragments"), payloads, st.lists(st.integers(0, 600), max_size=4)),
        st.tuples(st.sampled_from([9, 10]), st.binary(max_size=125), st.none()),
    ),
    max_size=6,
)


@given(sent=sent, masked=st.booleans(), deflate=deflates, decode_text=st.booleans(), places=places, close=st.booleans())
def test_what_is_written_is_read(sent, masked, deflate, decode_text, places, close):
    writer = MessageWriter(masked=masked, deflate=deflate)
    data, expected = b"", []
    for what, content, how in sent:
        if isinstance(what, int):
            data += writer.control(what, content)
            expected.append((what, content, ""))
            continue
        opcode, payload = content
        if what == "message":
            data += writer.message(opcode, payload, how)
        else:
            parts = cut(payload, how) or [b""]
            for at, part in enumerate(parts):
                data += writer.fragment(opcode, part, first=at == 0, last=at == len(parts) - 1)
                if at < len(parts) - 1:
                    data += writer.control(9, b"between")
                    expected.append((9, b"between", ""))
        expected.append((opcode, payload.decode() if opcode == 1 and decode_text else payload, ""))
    if close:
        data += writer.control(8, close_payload(3999, b"because")) + b"whatever"
        expected.append((8, 3999, "because"))
    options = {"masked": masked, "deflate": deflate, "decode_text": decode_text}
    assert read(data, **options) == (expected, None, False)
    assert read(data, places, **options) == (expected, None, False)


frames = st.builds(
    make,
    st.one_of(st.sampled_from([0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0xC1, 0x41]), st.integers(0, 255)),
    st.one_of(
        st.binary(max_size=20),
        st.text(max_size=20).map(str.encode),
        st.text(max_size=50).map(lambda text: deflated(text.encode())),
        st.just(b"x" * 130),
    ),
)
streams = st.lists(st.one_of(frames, st.binary(max_size=5)), max_size=8).map(b"".join)


@given(data=streams, places=places, deflate=deflates, limit=st.sampled_from([0, 10, 100]), decode_text=st.booleans())
def test_any_split_gives_the_same_messages_and_the_same_fault(data, places, deflate, limit, decode_text):
    options = {"max_msg_size": limit, "deflate": deflate, "decode_text": decode_text}
    whole = read(data, **options)
    assert read(data, places, **options) == whole
    assert read(data, list(range(len(data))), **options) == whole
    if limit:
        assert all(len(message[1]) <= max(limit, 125) for message in whole.messages if message[0] in (1, 2))


@given(data=streams)
def test_after_a_fault_or_a_close_everything_is_ignored(data):
    reader = MessageReader(masked=False)
    messages = reader.feed(data)
    over = reader.error is not None or any(message.type == 8 for message in messages)
    assert (reader.error is None) or reader.error.code in (1002, 1007, 1009)
    if over:
        assert reader.feed(make(0x81, b"more")) == []
        assert not reader.started
