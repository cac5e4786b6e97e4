"""Payloads: everything that can be sent as a body, and the registry that finds the class for a value."""

import io
from collections.abc import AsyncIterable

from .base import Payload, PayloadHeaders, guess_filename
from .files import BufferedReaderPayload, BytesIOPayload, IOBasePayload, TextIOPayload
from .memory import BytesPayload, JsonBytesPayload, JsonPayload, StringIOPayload, StringPayload
from .registry import (
    PAYLOAD_REGISTRY,
    LookupError,  # noqa: A004 - aiohttp's public name
    Order,
    PayloadRegistry,
    get_payload,
    payload_type,
    register_payload,
)
from .streams import AnyChunks, AsyncIterablePayload, StreamReaderPayload

__all__ = (
    "PAYLOAD_REGISTRY",
    "AnyChunks",
    "AsyncIterablePayload",
    "BufferedReaderPayload",
    "BytesIOPayload",
    "BytesPayload",
    "IOBasePayload",
    "JsonBytesPayload",
    "JsonPayload",
    "LookupError",
    "Order",
    "Payload",
    "PayloadHeaders",
    "PayloadRegistry",
    "StreamReaderPayload",
    "StringIOPayload",
    "StringPayload",
    "TextIOPayload",
    "get_payload",
    "guess_filename",
    "payload_type",
    "register_payload",
)

# Not through `register`: what is registered here does not count as the user's.
for _factory, _kind in (
    (BytesPayload, (bytes, bytearray, memoryview)),
    (StringPayload, str),
    (StringIOPayload, io.StringIO),
    (TextIOPayload, io.TextIOBase),
    (BytesIOPayload, io.BytesIO),
    (BufferedReaderPayload, (io.BufferedReader, io.BufferedRandom)),
    (IOBasePayload, io.IOBase),
    (StreamReaderPayload, AnyChunks),
):
    PAYLOAD_REGISTRY._add(_factory, _kind)
PAYLOAD_REGISTRY._add(AsyncIterablePayload, AsyncIterable, Order.try_last)
del _factory, _kind
