"""Against another implementation without I/O: the `websockets` library, in both roles, in memory."""

from __future__ import annotations

import os

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from endwell.http.version import HttpVersion11
from endwell.wire.websocket import MessageReader, MessageWriter
from endwell.wire.websocket.frames import close_payload
from endwell.wire.websocket.handshake import answer, check_response, new_key, offer, request_fields

pytest.importorskip("websockets")

from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory
from websockets.frames import Frame
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

TEXT = '{"id": 1, "name": "\N{EURO SIGN}"}' * 20
NOISE = os.urandom(70_000)
WINDOWS = [None, (15, 15, False, False), (9, 12, False, True), (12, 9, True, False), (10, 10, True, True)]


def fields_of(head: bytes) -> CIMultiDictProxy[str]:
    lines = head.decode().split("\r\n")[1:-2]
    return CIMultiDictProxy(CIMultiDict([tuple(line.split(": ", 1)) for line in lines]))


def exchange(peer, reader, writer):
    """Let both sides send each kind of message, in one frame and in fragments, small and large."""
    peer.max_size = None
    for _ in range(2):
        for data in (writer.message(1, TEXT.encode()), writer.message(2, NOISE), writer.message(1, b"")):
            peer.receive_data(data)
        peer.receive_data(writer.fragment(1, TEXT.encode()[:30], first=True, last=False))
        peer.receive_data(writer.fragment(1, TEXT.encode()[30:], first=False, last=False))
        peer.receive_data(writer.control(9, b"ping"))
        peer.receive_data(writer.fragment(1, b"", first=False, last=True))
        frames = [event for event in peer.events_received() if isinstance(event, Frame)]
        assert [bytes(frame.data) for frame in frames if frame.opcode in (1, 2)] == [
            TEXT.encode(), NOISE, b"", TEXT.encode()[:30]
        ]  # fmt: skip
        assert b"".join(frame.data for frame in frames if frame.opcode == 0) == TEXT.encode()[30:]
        assert reader.feed(b"".join(peer.data_to_send())) == [(10, b"ping", "")]

        peer.send_text(TEXT.encode())
        peer.send_binary(NOISE)
        peer.send_text(TEXT.encode()[:21], fin=False)
        peer.send_ping(b"theirs")
        peer.send_continuation(TEXT.encode()[21:], fin=True)
        messages = reader.feed(b"".join(peer.data_to_send()))
        assert messages == [(1, TEXT, ""), (2, NOISE, ""), (9, b"theirs", ""), (1, TEXT, "")]
        peer.receive_data(writer.control(10, b"theirs"))
        peer.events_received()
    peer.receive_data(writer.control(8, close_payload(4000, "\N{EURO SIGN}".encode())))
    assert reader.feed(b"".join(peer.data_to_send())) == [(8, 4000, "\N{EURO SIGN}")]
    assert (peer.close_rcvd.code, peer.close_rcvd.reason) == (4000, "\N{EURO SIGN}")
    assert peer.parser_exc is None


@pytest.mark.parametrize("compress", [0, 9, 12, 15])
@pytest.mark.parametrize("windows", WINDOWS)
def test_as_a_client(compress, windows):
    extensions = []
    if windows is not None:
        server, client, server_alone, client_alone = windows
        extensions = [ServerPerMessageDeflateFactory(server_alone, client_alone, server, client)]
    peer = ServerProtocol(extensions=extensions, subprotocols=["b"], max_size=None)
    key, offered = new_key(), offer(compress)
    asked = {"Host": "example.com", **request_fields(key, ("a", "b"), offered)}
    head = "GET / HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in asked.items()) + "\r\n"
    peer.receive_data(head.encode())
    (request,) = peer.events_received()
    response = peer.accept(request)
    peer.send_response(response)
    answered = fields_of(b"".join(peer.data_to_send()))
    agreed = check_response(response.status_code, answered, key, ("a", "b"), offered)
    assert agreed.protocol == "b"
    assert (agreed.deflate is not None) is bool(compress and windows)
    exchange(
        peer, MessageReader(masked=False, deflate=agreed.deflate), MessageWriter(masked=True, deflate=agreed.deflate)
    )


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("windows", WINDOWS)
def test_as_a_server(compress, windows):
    extensions = []
    if windows is not None:
        server, client, server_alone, client_alone = windows
        extensions = [ClientPerMessageDeflateFactory(server_alone, client_alone, server, client)]
    peer = ClientProtocol(parse_uri("ws://example.com/"), extensions=extensions, subprotocols=["a", "b"], max_size=None)
    peer.send_request(peer.connect())
    asked = fields_of(b"".join(peer.data_to_send()))
    agreed = answer("GET", HttpVersion11, asked, ("b",), compress)
    head = "HTTP/1.1 101 X\r\n" + "".join(f"{name}: {value}\r\n" for name, value in agreed.fields.items()) + "\r\n"
    peer.receive_data(head.encode())
    peer.events_received()
    assert peer.handshake_exc is None
    assert peer.subprotocol == "b"
    assert (agreed.deflate is not None) is bool(compress and windows)
    exchange(
        peer, MessageReader(masked=True, deflate=agreed.deflate), MessageWriter(masked=False, deflate=agreed.deflate)
    )
