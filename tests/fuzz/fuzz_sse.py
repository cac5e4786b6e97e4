"""Fuzz target for event streams: any bytes, split anywhere, give the same events, or pass a limit.

`TestOneInput` takes one input and raises when a promise is broken. With atheris installed, run this file; without it,
`test_fuzz_sse.py` feeds it from hypothesis.
"""

import sys

from endwell.client.sse import EventStreamError, EventStreamParser


def TestOneInput(data: bytes) -> None:  # noqa: N802  # the name that atheris documents
    size = data[0] % 7 + 1 if data else 1
    stream = data[1:]
    assert read(stream, size) == read(stream, max(len(stream), 1))


def read(stream: bytes, size: int) -> tuple:
    parser = EventStreamParser(max_line=64, max_event=200)
    events = []
    passed = False
    try:
        for start in range(0, len(stream), size):
            events += parser.feed(stream[start : start + size])
    except EventStreamError as error:
        events += error.events
        passed = True
    for event in events:
        assert event.event
        assert "\n" not in event.event + event.id
        assert "\r" not in event.event + event.id + event.data
        assert "\0" not in event.id
        assert len(event.data) <= 200
    return events, passed


if __name__ == "__main__":
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, TestOneInput)
    atheris.Fuzz()
