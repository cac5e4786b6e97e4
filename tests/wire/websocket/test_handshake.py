from __future__ import annotations

import base64
import re

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from endwell.http.version import HttpVersion10, HttpVersion11
from endwell.wire.websocket.deflate import Deflate
from endwell.wire.websocket.errors import HandshakeError
from endwell.wire.websocket.handshake import accept_key, answer, check_response, new_key, offer, request_fields

# RFC 6455 section 1.3
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

REQUEST = [
    ("Host", "example.com"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", KEY),
    ("Sec-WebSocket-Version", "13"),
]
RESPONSE = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", ACCEPT)]


def fields(base: list[tuple[str, str]], **changes: object) -> CIMultiDictProxy[str]:
    """Give the fields, changed: a string or None replaces a field, a list is its lines."""
    changed = {name.replace("_", "-"): value for name, value in changes.items()}
    pairs = [pair for pair in base if pair[0] not in changed]
    for name, value in changed.items():
        lines = value if isinstance(value, list) else [] if value is None else [value]
        pairs += [(name, line) for line in lines]
    return CIMultiDictProxy(CIMultiDict(pairs))


def ask(protocols: tuple[str, ...] = (), compress: bool = True, **changes: object):
    return answer("GET", HttpVersion11, fields(REQUEST, **changes), protocols, compress)


def judge(protocols: tuple[str, ...] = (), offered: str | None = None, status: int = 101, **changes: object):
    return check_response(status, fields(RESPONSE, **changes), KEY, protocols, offered)


def test_keys():
    assert accept_key(KEY) == ACCEPT
    keys = [new_key() for _ in range(100)]
    assert len(set(keys)) == 100
    assert {len(base64.b64decode(key, validate=True)) for key in keys} == {16}


# What a client asks


def test_request_fields():
    assert request_fields(KEY, (), None) == {
        "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": KEY,
    }  # fmt: skip
    made = request_fields(KEY, ["b", "a", "b"], offer(15))
    assert made["Sec-WebSocket-Protocol"] == "b, a"
    assert made["Sec-WebSocket-Extensions"] == "permessage-deflate; client_max_window_bits"


@pytest.mark.parametrize("protocol", ["", " ", "a b", "a,b", "a\r\nX: y", "a\nb", "a\0", "\N{EURO SIGN}", "a/b", 1])
def test_subprotocols_that_are_no_tokens(protocol):
    with pytest.raises(ValueError, match=f"^Subprotocol {re.escape(repr(protocol))} is not a token"):
        request_fields(KEY, ["a", protocol], None)


def test_other_injections():
    with pytest.raises(ValueError, match="Sec-WebSocket-Extensions contains a CR"):
        request_fields(KEY, (), "x\r\nEvil: 1")
    with pytest.raises(ValueError, match="Sec-WebSocket-Key contains a CR"):
        request_fields("x\0", (), None)
    with pytest.raises(TypeError, match=r"write a sequence, such as \('chat',\)"):
        request_fields(KEY, "chat", None)


# How it judges the answer


def test_a_response():
    agreed = judge()
    assert (agreed.protocol, agreed.deflate, agreed.fields) == (None, None, {})
    assert judge(Upgrade="WebSocket", Connection="keep-alive, UPGRADE").protocol is None
    assert judge(Connection=["keep-alive", "upgrade"]).protocol is None
    assert judge(("a", "b"), Sec_WebSocket_Protocol="b").protocol == "b"
    assert judge(offered=offer(15), Sec_WebSocket_Extensions="permessage-deflate").deflate == Deflate()
    assert judge(offered=offer(15)).deflate is None
    assert "protocol='b'" in repr(judge(("b",), Sec_WebSocket_Protocol="b"))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"Upgrade": None}, "Upgrade is None, not 'websocket'"),
        ({"Upgrade": "h2c"}, "Upgrade is 'h2c'"),
        ({"Upgrade": "websocket, h2c"}, "Upgrade is"),
        ({"Upgrade": ["websocket", "websocket"]}, "Upgrade is"),
        ({"Connection": None}, "Connection is None, without 'upgrade'"),
        ({"Connection": "close"}, "Connection is 'close'"),
        ({"Connection": "upgraded"}, "Connection is 'upgraded'"),
        ({"Sec-WebSocket-Accept": None}, "does not belong to the key"),
        ({"Sec-WebSocket-Accept": KEY}, "does not belong to the key"),
        ({"Sec-WebSocket-Accept": ACCEPT.lower()}, "does not belong to the key"),
        ({"Sec-WebSocket-Accept": [ACCEPT, ACCEPT]}, "does not belong to the key"),
        ({"Sec-WebSocket-Protocol": "c"}, "the subprotocol 'c', which was not offered"),
        ({"Sec-WebSocket-Protocol": "A"}, "the subprotocol 'A'"),
        ({"Sec-WebSocket-Protocol": ""}, "the subprotocol ''"),
        ({"Sec-WebSocket-Protocol": "a, b"}, "the subprotocol 'a, b'"),
        ({"Sec-WebSocket-Protocol": ["a", "b"]}, "the subprotocol 'a, b'"),
        ({"Sec-WebSocket-Extensions": "x-other"}, "the extensions 'x-other'"),
        ({"Sec-WebSocket-Extensions": "permessage-deflate, x-other"}, "the extensions 'permessage-deflate, x-other'"),
        ({"Sec-WebSocket-Extensions": ["permessage-deflate"] * 2}, "the extensions"),
        ({"Sec-WebSocket-Extensions": "permessage-deflate; x"}, "unknown, repeated or invalid"),
        ({"Sec-WebSocket-Extensions": "permessage-deflate;"}, "semicolon"),
    ],
)
def test_responses_that_fail_the_handshake(changes, text):
    with pytest.raises(HandshakeError) as caught:
        judge(("a", "b"), offer(15), **changes)
    assert text in str(caught.value)
    assert caught.value.status == 101


def test_nothing_was_offered():
    with pytest.raises(HandshakeError, match="the subprotocol 'a', which was not offered"):
        judge(Sec_WebSocket_Protocol="a")
    with pytest.raises(HandshakeError, match="the extension 'permessage-deflate', and none was offered"):
        judge(Sec_WebSocket_Extensions="permessage-deflate")


@pytest.mark.parametrize("status", [100, 200, 302, 401, 426, 500])
def test_no_switch(status):
    with pytest.raises(HandshakeError, match=f"answered {status} instead of 101") as caught:
        judge(status=status)
    assert caught.value.status == status


# What a server answers


def test_an_answer():
    agreed = ask()
    assert agreed.fields == {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": ACCEPT}
    assert (agreed.protocol, agreed.deflate) == (None, None)
    assert ask(Upgrade="h2c, WebSocket", Connection=["keep-alive", "x,UPGRADE ,y"]).fields == agreed.fields


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ("a", "a"),
        ("b, a", "b"),
        ("a, b", "a"),
        ("x,,b\t", "b"),
        (["x", "b"], "b"),
        ("A", None),
        ("x", None),
        ("", None),
        (None, None),
        ("a b", None),
    ],
)
def test_the_first_that_the_client_names_is_chosen(asked, chosen):
    agreed = ask(("a", "b"), Sec_WebSocket_Protocol=asked)
    assert agreed.protocol == chosen
    assert agreed.fields.get("Sec-WebSocket-Protocol") == chosen
    assert ask((), Sec_WebSocket_Protocol=asked).protocol is None


def test_compression():
    agreed = ask(Sec_WebSocket_Extensions=["x-other; a=1", "permessage-deflate; client_max_window_bits"])
    assert agreed.deflate == Deflate()
    assert agreed.fields["Sec-WebSocket-Extensions"] == "permessage-deflate"
    refused = ask(compress=False, Sec_WebSocket_Extensions="permessage-deflate")
    assert refused.deflate is None
    assert "Sec-WebSocket-Extensions" not in refused.fields


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"Upgrade": None}, "Upgrade has to be 'websocket'"),
        ({"Upgrade": "h2c"}, "Upgrade has to be"),
        ({"Connection": None}, "Connection has to name 'upgrade'"),
        ({"Connection": "close"}, "Connection has to name"),
        ({"Sec-WebSocket-Key": None}, "once, not 0 times"),
        ({"Sec-WebSocket-Key": [KEY, KEY]}, "once, not 2 times"),
        ({"Sec-WebSocket-Key": ""}, "not 16 bytes in base64"),
        ({"Sec-WebSocket-Key": "abc"}, "not 16 bytes in base64"),
        ({"Sec-WebSocket-Key": KEY[:-2]}, "not 16 bytes in base64"),
        ({"Sec-WebSocket-Key": KEY[:-4] + "===="}, "not 16 bytes in base64"),
        ({"Sec-WebSocket-Key": KEY[:-1] + "A"}, "not 16 bytes in base64"),
        ({"Sec-WebSocket-Key": "!" + KEY[1:]}, "not 16 bytes in base64"),
        ({"Sec-WebSocket-Key": "\N{EURO SIGN}" + KEY[1:]}, "not 16 bytes in base64"),
        ({"Sec-WebSocket-Key": f"{KEY}, {KEY}"}, "not 16 bytes in base64"),
        ({"Sec-WebSocket-Version": None}, "Sec-WebSocket-Version once, not 0 times"),
        ({"Sec-WebSocket-Version": ["13", "13"]}, "Sec-WebSocket-Version once, not 2 times"),
        ({"Sec-WebSocket-Protocol": "a" * 9000}, "too long"),
        ({"Sec-WebSocket-Protocol": ["a" * 90] * 100}, "too long"),
        ({"Sec-WebSocket-Extensions": "permessage-deflate; ="}, "malformed"),
        ({"Sec-WebSocket-Extensions": ["x" * 90] * 100}, "too long"),
    ],
)
def test_requests_that_are_refused(changes, text):
    with pytest.raises(HandshakeError) as caught:
        ask(("b",), **changes)
    assert text in str(caught.value)
    assert caught.value.status == 400
    expected = {"Sec-WebSocket-Version": "13"} if "Sec-WebSocket-Version" in changes else {}
    assert caught.value.fields == expected


@pytest.mark.parametrize("version", ["", "0", "8", "12", "14", "13, 8", "013", "13.0"])
def test_other_versions(version):
    with pytest.raises(HandshakeError) as caught:
        ask(Sec_WebSocket_Version=version)
    assert caught.value.status == 426
    assert caught.value.fields["Sec-WebSocket-Version"] == "13"
    assert caught.value.fields["Upgrade"] == "websocket"


@pytest.mark.parametrize("method", ["POST", "HEAD", "PUT", "CONNECT", "get"])
def test_other_methods(method):
    with pytest.raises(HandshakeError, match=f"with GET, not {method}") as caught:
        answer(method, HttpVersion11, fields(REQUEST), (), True)
    assert (caught.value.status, caught.value.fields) == (405, {"Allow": "GET"})


def test_older_http():
    with pytest.raises(HandshakeError, match=r"needs HTTP/1\.1") as caught:
        answer("GET", HttpVersion10, fields(REQUEST), (), True)
    assert caught.value.status == 400


@pytest.mark.parametrize("compress", [0, *range(9, 16)])
@pytest.mark.parametrize("accepted", [True, False])
def test_both_roles_agree(compress, accepted):
    key, offered = new_key(), offer(compress)
    asked = CIMultiDictProxy(CIMultiDict(request_fields(key, ("a", "b"), offered)))
    answered = answer("GET", HttpVersion11, asked, ("b",), accepted)
    agreed = check_response(101, CIMultiDictProxy(CIMultiDict(answered.fields)), key, ("a", "b"), offered)
    assert agreed.protocol == answered.protocol == "b"
    assert agreed.deflate == answered.deflate
    assert (agreed.deflate is not None) is (accepted and compress > 0)
    if agreed.deflate is not None:
        assert agreed.deflate[2:] == (compress, compress)
