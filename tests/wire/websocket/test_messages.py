import pytest

from endwell.wire.websocket import CLOSED_MESSAGE, CLOSING_MESSAGE, WSCloseCode, WSMessage, WSMsgType
from endwell.wire.websocket.errors import HandshakeError, WebSocketError, WSMessageTypeError


def test_types_have_aiohttps_values_and_names():
    expected = {
        "CONTINUATION": 0, "TEXT": 1, "BINARY": 2, "PING": 9, "PONG": 10, "CLOSE": 8, "CLOSING": 256, "CLOSED": 257,
        "ERROR": 258, "text": 1, "binary": 2, "ping": 9, "pong": 10, "close": 8, "closing": 256, "closed": 257,
        "error": 258,
    }  # fmt: skip
    assert {name: int(kind) for name, kind in WSMsgType.__members__.items()} == expected
    assert WSMsgType.text is WSMsgType.TEXT


def test_close_codes_have_aiohttps_values():
    assert {name: int(code) for name, code in WSCloseCode.__members__.items()} == {
        "OK": 1000, "GOING_AWAY": 1001, "PROTOCOL_ERROR": 1002, "UNSUPPORTED_DATA": 1003, "ABNORMAL_CLOSURE": 1006,
        "INVALID_TEXT": 1007, "POLICY_VIOLATION": 1008, "MESSAGE_TOO_BIG": 1009, "MANDATORY_EXTENSION": 1010,
        "INTERNAL_ERROR": 1011, "SERVICE_RESTART": 1012, "TRY_AGAIN_LATER": 1013, "BAD_GATEWAY": 1014,
    }  # fmt: skip


def test_a_message_is_a_tuple():
    message = WSMessage(WSMsgType.TEXT, "a", "")
    kind, data, extra = message
    assert (kind, data, extra) == (message.type, message.data, message.extra) == message
    assert repr(message) == "WSMessage(type=<WSMsgType.TEXT: 1>, data='a', extra='')"
    assert CLOSING_MESSAGE == (WSMsgType.CLOSING, None, None)
    assert CLOSED_MESSAGE == (WSMsgType.CLOSED, None, None)


def test_json():
    assert WSMessage(WSMsgType.TEXT, '{"a": 1}', "").json() == {"a": 1}
    assert WSMessage(WSMsgType.TEXT, b"[1]", "").json() == [1]
    assert WSMessage(WSMsgType.TEXT, "x", "").json(loads=str.upper) == "X"
    with pytest.raises(ValueError, match="Expecting value"):
        WSMessage(WSMsgType.TEXT, "x", "").json()


def test_errors():
    error = WebSocketError(WSCloseCode.PROTOCOL_ERROR, "what is wrong")
    assert (error.code, str(error), error.args) == (1002, "what is wrong", (1002, "what is wrong"))
    assert issubclass(WSMessageTypeError, TypeError)
    refused = HandshakeError("no")
    assert (refused.status, refused.fields, str(refused)) == (400, {}, "no")
    assert HandshakeError("no", status=426, fields={"A": "b"}).fields == {"A": "b"}
