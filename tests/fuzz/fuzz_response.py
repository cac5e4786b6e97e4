"""Fuzz target for responses: whatever a peer sends is read or refused by `ProtocolError`, and alike in any split.

`TestOneInput` takes one input and raises when a promise is broken. With atheris installed, run this file; without it,
`test_fuzz_response.py` feeds it from hypothesis.
"""

import sys

from endwell.wire.http1 import Limits, ProtocolError, ResponseReader
from endwell.wire.http1.reader import Phase

METHODS = ("GET", "HEAD", "CONNECT", "POST")
LIMITS = (Limits(), Limits(line_size=40, field_size=60, fields=4))


def TestOneInput(data: bytes) -> None:  # noqa: N802  # the name that atheris documents
    first, size = (data[0], data[1] % 13 + 1) if len(data) > 1 else (0, 1)
    stream = data[2:]
    method = METHODS[first % 4]
    limits = LIMITS[first >> 2 & 1]
    until_eof = not first >> 3 & 1
    whole = read(stream, max(len(stream), 1), method, limits, until_eof)
    assert read(stream, size, method, limits, until_eof) == whole
    assert read(stream, 1, method, limits, until_eof) == whole


def read(stream, size, method, limits, until_eof):
    """Give what is read, or None for a response that was refused."""
    reader = ResponseReader()
    reader.begin(method, limits, until_eof)
    body = []
    try:
        for start in range(0, len(stream), size):
            body += reader.feed(stream[start : start + size])
        tunnel = reader.phase is Phase.TUNNEL
        reader.eof()
    except ProtocolError as error:
        return refusal(error)
    head = reader.head
    if head is None:
        raise AssertionError("the connection ended without a head and without an error")
    assert tunnel or reader.phase is Phase.ENDED
    assert 200 <= head.status <= 999
    assert head.version in ((1, 1), (1, 0))
    assert len(head.raw_headers) <= limits.fields
    assert len(head.headers) == len(head.raw_headers)
    for name, value in head.raw_headers:
        assert name.strip() == name
        assert not set(value) & set(b"\r\n\0")
    payload = b"".join(body)
    assert len(payload) + len(reader.rest) <= len(stream)
    assert payload in stream or b"\r\ntransfer-encoding:" in head.lower
    return (
        head.status,
        head.version,
        head.reason,
        head.raw_headers,
        head.keep_alive,
        payload,
        reader.rest,
        reader.trailers,
        reader.continued,
    )


def refusal(error):
    assert str(error)
    assert error.phase in ("head", "body")


if __name__ == "__main__":
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, TestOneInput)
    atheris.Fuzz()
