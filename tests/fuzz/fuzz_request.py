"""Fuzz target for requests: whatever a client sends is read or refused with a status, and alike in any split.

`TestOneInput` takes one input and raises when a promise is broken. With atheris installed, run this file; without it,
`test_fuzz_request.py` feeds it from hypothesis.
"""

import sys

from endwell.wire.http1 import Limits, ProtocolError
from endwell.wire.http1.phase import Phase
from endwell.wire.http1.request_head import parse_request_head
from endwell.wire.http1.request_reader import RequestReader

LIMITS = (Limits(), Limits(line_size=40, field_size=60, fields=4))
STATUSES = {400, 413, 414, 431, 501, 505}


def TestOneInput(data: bytes) -> None:  # noqa: N802  # the name that atheris documents
    first, size = (data[0], data[1] % 13 + 1) if len(data) > 1 else (0, 1)
    stream = data[2:]
    limits = LIMITS[first & 1]
    whole = read(stream, max(len(stream), 1), limits)
    assert read(stream, size, limits) == whole
    assert read(stream, 1, limits) == whole


def read(stream, size, limits):
    """Give what is read of each request, and the refusal that ended it, if one did."""
    reader = RequestReader(limits)
    requests = []
    body = []
    try:
        for start in range(0, len(stream), size):
            data = stream[start : start + size]
            while data:
                body += reader.feed(data)
                if reader.phase is not Phase.ENDED:
                    break
                requests.append(describe(reader, body, limits))
                body = []
                data = reader.next()
        reader.eof()
    except ProtocolError as error:
        requests.append(refusal(error))
    return requests


def describe(reader, body, limits):
    head = reader.head
    payload = b"".join(body)
    assert head.minor in (0, 1)
    assert 0 < len(head.raw_headers) <= limits.fields or head.minor == 0
    assert len(head.headers) == len(head.raw_headers)
    for name, value in head.raw_headers:
        assert name.strip() == name
        assert not set(value) & set(b"\r\n\0")
        assert value in head.every(b"\r\n" + name.lower() + b":")
    assert head.target.isascii()
    assert head.target.isprintable()
    assert head.method.isascii()
    assert head.method.isprintable()
    assert (head.host is None) <= (head.minor == 0)
    assert not (head.chunked and head.length is not None)
    assert head.chunked or len(payload) == (head.length or 0)
    again = parse_request_head(head.raw, limits)
    assert (again.method, again.target, again.raw_headers) == (head.method, head.target, head.raw_headers)
    facts = (head.keep_alive, head.waits_for_continue, head.upgrade, head.host, head.length, head.chunked)
    return head.raw, head.method, head.target, facts, payload, reader.trailers


def refusal(error):
    assert str(error)
    assert error.phase in ("head", "body")
    assert error.status in STATUSES
    return error.phase, error.status


if __name__ == "__main__":
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, TestOneInput)
    atheris.Fuzz()
