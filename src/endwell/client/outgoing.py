"""The body of a request: made from what the user gave, framed, and known to be small or not.

A small body of bytes goes out with the head in one write; everything else is written by a task of the exchange.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from multidict import CIMultiDict

from endwell.http import hdrs
from endwell.http.json_text import to_json
from endwell.http.payload import PAYLOAD_REGISTRY, BytesPayload, Payload, get_payload
from endwell.http.payload import LookupError as NoPayloadError
from endwell.http.typedefs import DEFAULT_JSON_ENCODER

if TYPE_CHECKING:
    from endwell.client.exchange import ClientExchange
    from endwell.client.options import RequestOptions
    from endwell.client.session import ClientSession

__all__ = ("Outgoing", "outgoing_of")

_AT_ONCE: Final = 256 * 1024
"""Bytes of a body that are handed to the transport at once."""


class Outgoing:
    """A body that is ready to be sent, as often as its source allows.

    Attributes:
        data: the bytes, when they are few and go as they are.
        payload: the body, when they are not.
        length: its bytes on the wire, None when unknown.
        coding: content coding that is applied.
        asked: whether the user asked for chunks.
        chunked: whether it goes in chunks.
        set_type: whether Content-Type was set from it.
        sender: the exchange whose task sends it, while it does.

    """

    __slots__ = ("asked", "chunked", "coding", "content_type", "data", "length", "payload", "sender", "set_type")

    def __init__(self, data: bytes | None, payload: Payload | None, content_type: str) -> None:
        self.data = data
        self.payload = payload
        self.content_type = content_type
        self.length = len(data) if data is not None else payload.size if payload is not None else None
        self.coding: str | None = None
        self.asked = False
        self.chunked = False
        self.set_type = False
        self.sender: ClientExchange | None = None

    @classmethod
    def of(cls, value: Any, options: RequestOptions) -> Outgoing | None:
        """Make the body from what ``data=`` takes, None for no body.

        Raises:
            TypeError, ValueError: nothing can be made of it.

        """
        if value is None:
            return None
        if getattr(value, "closed", False) is True:
            message = "The body is a file that is closed: open it for each request, or give its bytes"
            raise ValueError(message)
        outgoing = cls._made_of(value)
        if options.compress:
            outgoing.coding = "deflate" if options.compress is True else options.compress
        if options.chunked:
            outgoing.asked = outgoing.chunked = True
        return outgoing

    @classmethod
    def _made_of(cls, value: Any) -> Outgoing:
        if not PAYLOAD_REGISTRY.customized:
            kind = type(value)
            if kind is bytes and len(value) <= _AT_ONCE:
                return cls(value, None, "application/octet-stream")
            if kind is str and len(value) <= _AT_ONCE // 4:
                return cls(value.encode(), None, "text/plain; charset=utf-8")
        payload = _payload_of(value)
        return cls(None, payload, payload.content_type)

    @property
    def body(self) -> Payload | bytes:
        """What middlewares see: the payload."""
        if self.payload is None:
            self.payload = BytesPayload(self.data or b"", content_type=self.content_type)
        return self.payload

    @property
    def again(self) -> bool:
        """Whether it can be sent once more."""
        return self.data is not None or self.payload is None or not self.payload.consumed

    def describe(self, fields: CIMultiDict[str], *, skip_type: bool, http10: bool) -> None:
        """Set the fields that frame and describe the body.

        Raises:
            ValueError: the fields contradict the body or each other.

        """
        self._describe_content(fields, skip_type=skip_type)
        given_coding = fields.get(hdrs.TRANSFER_ENCODING)
        announced = given_coding is not None
        if announced and given_coding.strip().lower() != "chunked":  # type: ignore[union-attr]
            message = "The only Transfer-Encoding that is spoken here is chunked; for gzip and others give compress="
            raise ValueError(message)
        if announced and self.asked:
            message = 'chunked can not be set if "Transfer-Encoding: chunked" header is set'
            raise ValueError(message)
        if self.asked and hdrs.CONTENT_LENGTH in fields:
            message = "chunked can not be set if Content-Length header is set"
            raise ValueError(message)
        if announced and hdrs.CONTENT_LENGTH in fields:
            message = "Content-Length and Transfer-Encoding exclude each other (RFC 9112 section 6.2): give one of them"
            raise ValueError(message)
        self.chunked = self.chunked or announced
        if self.chunked or self.coding or self.length is None:
            given = fields.get(hdrs.CONTENT_LENGTH)
            if given is not None and not self.coding:
                self.length = _number(given)
                return
            fields.popall(hdrs.CONTENT_LENGTH, None)
            if http10:
                message = "HTTP/1.0 has no chunks: give a body of known length, without compress and chunked"
                raise ValueError(message)
            self.chunked = True
            self.length = None
            fields[hdrs.TRANSFER_ENCODING] = "chunked"
            return
        given = fields.get(hdrs.CONTENT_LENGTH)
        if given is None:
            fields[hdrs.CONTENT_LENGTH] = str(self.length)
        elif (announced_length := _number(given)) <= self.length:
            self.length = announced_length  # the rest is cut off, as aiohttp does
        else:
            message = f"Content-Length says {announced_length} bytes, but the body has {self.length}"
            raise ValueError(message)

    def _describe_content(self, fields: CIMultiDict[str], *, skip_type: bool) -> None:
        """Set the fields that say what the body is."""
        if self.coding:
            if hdrs.CONTENT_ENCODING in fields:
                message = "compress can not be set if Content-Encoding header is set"
                raise ValueError(message)
            fields[hdrs.CONTENT_ENCODING] = self.coding
        elif self.data is None and self.payload is not None and self.payload._headers:
            for name, value in self.payload.headers.items():
                if not (skip_type and name.lower() == "content-type"):
                    fields.setdefault(name, value)
        if not skip_type and hdrs.CONTENT_TYPE not in fields:
            fields[hdrs.CONTENT_TYPE] = self.content_type
            self.set_type = True

    @property
    def lines(self) -> bytes | None:
        """The fields of a body that goes as it is, as they look on the wire; None when it does not."""
        if self.data is None or self.chunked or self.coding:
            return None
        return f"Content-Type: {self.content_type}\r\nContent-Length: {len(self.data)}\r\n".encode()

    @property
    def at_once(self) -> bytes | None:
        """The bytes to send with the head; None when they are to be written by a task."""
        if self.data is None or self.chunked or self.length != len(self.data):
            return None
        return self.data

    async def stop(self) -> None:
        """End the exchange that still sends it, if one does: its peer has answered, or it has failed.

        When this returns nobody reads the body's source any more, and it may be sent once more.
        """
        sender, self.sender = self.sender, None
        upload = sender.uploading if sender is not None else None
        if sender is not None and upload is not None:
            sender.close()
            if self.again:
                await asyncio.wait([upload])

    async def end(self) -> None:
        """Stop sending it and close it."""
        await self.stop()
        await self.close()

    async def close(self) -> None:
        """Close what the payload owns."""
        if self.payload is not None:
            await self.payload.close()


def outgoing_of(options: RequestOptions, session: ClientSession) -> Outgoing | None:
    """Make the body of a call from its ``data``, ``json``, ``compress`` and ``chunked``."""
    if options.json is None:
        return None if options.data is None else Outgoing.of(options.data, options)
    if session._json_serialize_bytes is not None:
        data = session._json_serialize_bytes(options.json)
    else:
        serialize = session._json_serialize
        data = (to_json if serialize is DEFAULT_JSON_ENCODER else serialize)(options.json).encode("utf-8")
    if len(data) <= _AT_ONCE and not options.compress and not options.chunked:
        return Outgoing(data, None, "application/json")
    return Outgoing.of(BytesPayload(data, content_type="application/json"), options)


def _payload_of(value: Any) -> Payload:
    from endwell.http.formdata import FormData

    if isinstance(value, FormData):
        return value()
    try:
        return get_payload(value, disposition=None)
    except NoPayloadError:
        return FormData(value)()


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        message = f"Content-Length {text!r} is not a number of bytes"
        raise ValueError(message)
    return int(text)
