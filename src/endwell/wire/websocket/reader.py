"""Bytes to messages, in either role (RFC 6455 section 5, RFC 7692 section 6.2).

Used by the connection, one reader for each WebSocket. What is there is judged at once: the outcome does not depend on
how the bytes were cut, and what a peer may make us hold is bounded by `max_msg_size`. The path that counts, a short
message in one frame that is there as a whole, is written out in `feed`.
"""

from __future__ import annotations

import codecs
from typing import Any, Final

from endwell.wire.websocket.assembly import Assembly, too_big
from endwell.wire.websocket.deflate import Decompressor, Deflate
from endwell.wire.websocket.errors import WebSocketError
from endwell.wire.websocket.frames import CONTROL_MAX, is_close_code
from endwell.wire.websocket.mask import masker
from endwell.wire.websocket.messages import WSCloseCode, WSMessage, WSMsgType

__all__ = ("MessageReader",)

_VIEWED: Final = 16 * 1024  # bytes from which on a payload is not copied before it is unmasked
_NO_LIMIT: Final = 1 << 62
_AT_ONCE: Final = 2**20  # bytes that one feed decompresses before it holds back the messages behind them
_MORE: Final = -1  # the frame, or its head, is not there as a whole

_TEXT: Final = WSMsgType.TEXT
_BINARY: Final = WSMsgType.BINARY
_CLOSE: Final = WSMsgType.CLOSE
_KINDS: Final = {int(kind): kind for kind in WSMsgType if kind < 16}
_FIN: Final = 0x80
_RSV1: Final = 0x40
_RSV2_RSV3: Final = 0x30
_WHOLE_TEXT: Final = _FIN | _TEXT
_WHOLE_BINARY: Final = _FIN | _BINARY

_new: Any = tuple.__new__  # half the time of WSMessage(...)


class MessageReader:
    """Takes the bytes of a peer and gives its messages, fragments joined.

    `error` is None, or what the peer did wrong, with the close code to answer with: what it sent before has been
    returned, and nothing more comes. `held`: complete messages may be left that the next feed gives, also one of
    ``b""``: a few bytes of compressed messages can be very many. `odd`: one of the two is to be looked at.
    """

    __slots__ = (
        "_assembly",
        "_decode_text",
        "_decompressor",
        "_fin",
        "_frame_limit",
        "_head",
        "_key",
        "_limit",
        "_mask",
        "_mask_bit",
        "_need",
        "_over",
        "_rest",
        "_short",
        "error",
        "held",
        "odd",
        "started",
    )

    def __init__(
        self,
        *,
        masked: bool,
        max_msg_size: int = 4 * 1024 * 1024,
        deflate: Deflate | None = None,
        decode_text: bool = True,
    ) -> None:
        """`masked`: whether the peer must mask, which a client must and a server must not.

        `max_msg_size`: bytes of a message after decompression, 0 for no limit. `deflate`: what was agreed on.
        `decode_text`: False gives the bytes of text messages; they are UTF-8 all the same.
        """
        self.error: WebSocketError | None = None
        self.held = False
        self.odd = False
        self.started = False
        self._limit = min(max_msg_size or _NO_LIMIT, _NO_LIMIT)
        # What does not compress becomes a little longer, and a sender may flush in between.
        self._frame_limit = self._limit + (self._limit >> 4) + 64
        self._short = min(CONTROL_MAX, self._limit)
        self._decode_text = decode_text
        self._mask_bit = 0x80 if masked else 0
        self._mask = masker() if masked else None
        self._head = 6 if masked else 2
        self._decompressor: Decompressor | None = None
        if deflate is not None:
            server, client = deflate.server_max_window_bits, deflate.client_max_window_bits
            alone = deflate.client_no_context_takeover if masked else deflate.server_no_context_takeover
            self._decompressor = Decompressor(client if masked else server, keep=not alone)
        self._over = False  # a close frame has come, or a fault
        self._rest = b""  # a head that is not complete, or a control frame
        self._assembly: Assembly | None = None  # a message that is not complete
        self._need = 0  # bytes of payload that are missing in the data frame
        self._key = b""  # the mask of that frame, turned to its next byte
        self._fin = False  # that frame is the last one of its message

    def feed(self, data: bytes) -> list[WSMessage]:
        """Take what the peer sent; give the messages that are complete with it.

        TEXT (str; bytes without `decode_text`), BINARY, PING and PONG (bytes) and CLOSE (the code, 0 for none, and the
        reason). After CLOSE and after a fault (see `error`) what comes is ignored.
        """
        size = len(data) - self._head
        if 0 < size <= self._short and not self.started and data[1] == size | self._mask_bit and not self._over:
            # One short message in one frame, and nothing else: nearly always so.
            first = data[0]
            payload = data[2:] if self._mask is None else self._mask(data[6:], data[2:6])
            if first == _WHOLE_BINARY:
                return [_new(WSMessage, (_BINARY, payload, ""))]
            if first == _WHOLE_TEXT:
                try:
                    text = payload.decode()
                except UnicodeDecodeError:
                    text = ""  # it is found again below
                if text:
                    return [_new(WSMessage, (_TEXT, text if self._decode_text else payload, ""))]
        messages: list[WSMessage] = []
        if self._over:
            return messages
        try:
            self._read(data, messages)
        except UnicodeDecodeError:
            self._fail(WebSocketError(WSCloseCode.INVALID_TEXT, "A text message is not UTF-8"))
        except WebSocketError as error:
            self._fail(error)
        return messages

    def _fail(self, error: WebSocketError) -> None:
        self.error = error
        self.odd = True
        self._end()

    def _end(self) -> None:
        self._over = True
        self.held = False
        self.started = False
        self._rest = b""
        self._need = 0
        self._assembly = None
        self._decompressor = None

    def _read(self, data: bytes, messages: list[WSMessage]) -> None:
        at = given = 0
        if self.odd:
            self.held = self.odd = False
        if self.started:
            if self._need:
                at = self._payload(data, 0, messages)
            elif self._rest:
                data = self._rest + data
                self._rest = b""
        size = len(data)
        mask, mask_bit = self._mask, self._mask_bit
        head = 2 if mask is None else 6
        short = self._short
        while at + 1 < size:
            first = data[at]
            # A mask bit that is wrong, and a length that stands elsewhere, make this more than `short`.
            length = data[at + 1] ^ mask_bit
            end = at + head + length
            if (
                (first == _WHOLE_TEXT or first == _WHOLE_BINARY)  # noqa: PLR1714, SIM109 - `in` takes twice as long
                and length <= short
                and end <= size
                and self._assembly is None
            ):
                payload = data[at + head : end]
                if mask is not None:
                    payload = mask(payload, data[at + 2 : at + 6])
                if first == _WHOLE_BINARY:
                    messages.append(_new(WSMessage, (_BINARY, payload, "")))
                else:
                    text = payload.decode()
                    messages.append(_new(WSMessage, (_TEXT, text if self._decode_text else payload, "")))
            else:
                end = self._frame(data, at, messages)
                if self._over:
                    return
                if end == _MORE:
                    break
                if self._decompressor is not None and end < size and self._assembly is None:
                    given += len(messages[-1].data)
                    if given > _AT_ONCE:
                        self.held = self.odd = True
                        at = end
                        break
            at = end
        self._rest = data[at:]
        self.started = at < size or self._assembly is not None

    def _frame(self, data: bytes, at: int, messages: list[WSMessage]) -> int:
        """Take the frame that begins `at`; give where it ends, or what there is of it, or `_MORE`."""
        first, second = data[at], data[at + 1]
        opcode = first & 0x0F
        self._check_head(first, second)
        length = second & 0x7F
        start = at + 2
        if length > CONTROL_MAX:
            start += 2 if length == 126 else 8
            if len(data) < start:
                return _MORE
            length = _long_length(data[at + 2 : start])
        if opcode < 8:
            self._check_size(first, length)
        mask = self._mask
        key = b""
        if mask is not None:
            start += 4
            if len(data) < start:
                return _MORE
            key = data[start - 4 : start]
        end = start + length
        if opcode >= 8 or (opcode and first & _FIN and end <= len(data)):
            if end > len(data):
                return _MORE
            if mask is None:
                payload = data[start:end]
            elif length < _VIEWED:
                payload = mask(data[start:end], key)
            else:
                payload = mask(memoryview(data)[start:end], key)  # type: ignore[arg-type]  # as good as bytes here
            if opcode >= 8:
                messages.append(self._control(_KINDS[opcode], payload))
            else:
                messages.append(self._whole(_KINDS[opcode], payload, first & _RSV1))
            return end
        if opcode:
            decompressor = self._decompressor if first & _RSV1 else None
            self._assembly = Assembly(_KINDS[opcode], decompressor, self._limit)
        self._need = length
        self._key = key
        self._fin = first & _FIN != 0
        return self._payload(data, start, messages)

    def _check_head(self, first: int, second: int) -> None:
        """Refuse what the first two bytes of a frame say wrongly (RFC 6455 sections 5.1, 5.2, 5.4 and 5.5)."""
        opcode = first & 0x0F
        fault = ""
        if (second ^ self._mask_bit) & 0x80:
            fault = "A frame of the client is not masked" if self._mask_bit else "A frame of the server is masked"
        elif first & _RSV2_RSV3:
            fault = "A frame has a reserved bit that no extension uses"
        elif opcode not in _KINDS:
            fault = f"A frame has the reserved opcode {opcode}"
        elif opcode >= 8:
            if not first & _FIN:
                fault = "A control frame is fragmented"
            elif second & 0x7F > CONTROL_MAX:
                fault = f"A control frame is longer than {CONTROL_MAX} bytes"
            elif first & _RSV1:
                fault = "A control frame is marked as compressed"
        elif first & _RSV1 and self._decompressor is None:
            fault = "A frame is marked as compressed, and compression was not agreed on"
        elif opcode == 0:
            if self._assembly is None:
                fault = "A continuation frame has no message to continue"
            elif first & _RSV1:
                fault = "A continuation frame is marked as compressed"
        elif self._assembly is not None:
            fault = "A message begins inside another one"
        if fault:
            raise WebSocketError(WSCloseCode.PROTOCOL_ERROR, fault)

    def _check_size(self, first: int, length: int) -> None:
        """Refuse a data frame that makes its message too big, before any of its payload."""
        assembly = self._assembly
        compressed = first & _RSV1 if assembly is None else assembly.compressed
        if compressed:
            fits = length <= self._frame_limit
        else:
            fits = length + (0 if assembly is None else assembly.size) <= self._limit
        if not fits:
            raise too_big(self._limit)

    def _payload(self, data: bytes, at: int, messages: list[WSMessage]) -> int:
        """Take what there is of the payload of the data frame; give where it ends."""
        assembly = self._assembly
        assert assembly is not None
        piece = data[at : at + self._need]
        self._need -= len(piece)
        end = at + len(piece)
        if self._mask is not None:
            key = self._key
            turned = len(piece) & 3
            if turned:
                self._key = key[turned:] + key[:turned]
            piece = self._mask(piece, key)
        last = self._fin and not self._need
        assembly.add(piece, last)
        if last:
            self._assembly = None
            if assembly.kind is _TEXT:
                text = assembly.text()  # in any case: it may be none
                messages.append(WSMessage(_TEXT, text if self._decode_text else assembly.data(), ""))
            else:
                messages.append(WSMessage(_BINARY, assembly.data(), ""))
        return end

    def _whole(self, kind: WSMsgType, payload: bytes, compressed: int) -> WSMessage:
        """Make the message of a data frame that is whole and alone."""
        if compressed:
            assert self._decompressor is not None
            payload = self._decompressor.decompress(payload, self._limit)
            if len(payload) > self._limit:
                if kind is _TEXT:  # in pieces, a fault in what fits would have been found first
                    codecs.utf_8_decode(payload[: self._limit])
                raise too_big(self._limit)
        if kind is _BINARY:
            return WSMessage(_BINARY, payload, "")
        text = payload.decode()
        return WSMessage(_TEXT, text if self._decode_text else payload, "")

    def _control(self, kind: WSMsgType, payload: bytes) -> WSMessage:
        if kind is not _CLOSE:
            return WSMessage(kind, payload, "")
        message = _close_message(payload)
        self._end()
        return message


def _long_length(field: bytes) -> int:
    """Read a length of two or eight bytes: the shortest form is the only one (RFC 6455 section 5.2)."""
    length = int.from_bytes(field, "big")
    if length >> 63:
        raise WebSocketError(WSCloseCode.PROTOCOL_ERROR, "A frame has a length of more than 63 bits")
    if length < (126 if len(field) == 2 else 65536):
        raise WebSocketError(WSCloseCode.PROTOCOL_ERROR, f"A frame has the length {length} in {len(field)} bytes")
    return length


def _close_message(payload: bytes) -> WSMessage:
    """Make the message of a close frame (RFC 6455 sections 5.5.1 and 7.4)."""
    if not payload:
        return WSMessage(_CLOSE, 0, "")
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1:
        raise WebSocketError(WSCloseCode.PROTOCOL_ERROR, "A close frame has half a code")
    if not is_close_code(code):
        raise WebSocketError(WSCloseCode.PROTOCOL_ERROR, f"A close frame has the code {code}, which may not be sent")
    try:
        reason = payload[2:].decode()
    except UnicodeDecodeError:
        raise WebSocketError(WSCloseCode.INVALID_TEXT, "The reason in a close frame is not UTF-8") from None
    return WSMessage(_CLOSE, code, reason)
