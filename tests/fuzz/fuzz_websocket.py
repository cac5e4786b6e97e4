"""Fuzz target for WebSockets: any bytes, split anywhere, give the same messages and the same fault, in both roles.

What is read is bounded by `max_msg_size`, a fault has a close code that may be sent, and each message that was read can
be written and is read again. The first bytes set the role, the sizes and what was agreed on. `TestOneInput` takes one
input and raises when a promise is broken. With atheris installed, run this file; without it, `test_fuzz_websocket.py`
feeds it from hypothesis.
"""

import sys

from endwell.wire.websocket import MessageReader, MessageWriter
from endwell.wire.websocket.deflate import Deflate
from endwell.wire.websocket.frames import close_payload

LIMITS = (0, 1, 100, 4 * 1024 * 1024)


def TestOneInput(data: bytes) -> None:  # noqa: N802  # the name that atheris documents
    knobs = data[:3].ljust(3, b"\0")
    stream = data[3:]
    bits = knobs[1] >> 4 & 7
    deflate = Deflate(bool(knobs[0] & 1), bool(knobs[0] & 2), 8 + bits, 15 - bits) if knobs[0] & 4 else None
    options = {
        "masked": bool(knobs[0] & 8),
        "decode_text": not knobs[0] & 16,
        "max_msg_size": LIMITS[knobs[1] & 3],
        "deflate": deflate,
    }
    size = knobs[2] % 17 + 1
    whole = read(stream, max(len(stream), 1), **options)
    assert read(stream, size, **options) == whole
    rewrite(whole[0], deflate, options["masked"])


def read(stream, size, **options):
    reader = MessageReader(**options)
    messages = []
    for start in range(0, len(stream), size):
        messages += reader.feed(stream[start : start + size])
        while reader.held:
            messages += reader.feed(b"")
    limit = options["max_msg_size"]
    for message in messages:
        if message.type in (1, 2):
            assert isinstance(message.data, str if message.type == 1 and options["decode_text"] else bytes)
            assert not limit or len(message.data) <= limit
        elif message.type == 8:
            assert message is messages[-1]
        else:
            assert len(message.data) <= 125
    if reader.error is not None:
        assert reader.error.code in (1002, 1007, 1009)
        assert not reader.started
        assert reader.feed(b"\x81\0") == []
    return messages, reader.error and reader.error.code, reader.started


def rewrite(messages, deflate, masked):
    writer = MessageWriter(masked=masked, deflate=deflate)
    reader = MessageReader(masked=masked, deflate=deflate, max_msg_size=0)
    for message in messages:
        data = message.data.encode() if isinstance(message.data, str) else message.data
        if message.type == 8:
            payload = close_payload(data, message.extra.encode()) if data else b""
            again = reader.feed(writer.control(8, payload))
        elif message.type in (9, 10):
            again = reader.feed(writer.control(message.type, data))
        else:
            again = reader.feed(writer.message(message.type, data))
            data = data.decode() if message.type == 1 else data
            assert again[0].data == data
            continue
        assert again == [message]


if __name__ == "__main__":
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, TestOneInput)
    atheris.Fuzz()
