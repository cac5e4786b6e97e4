"""CR, LF and NUL in whatever the user passes: refused before a byte is sent, or encoded where the format has a way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from multidict import CIMultiDict

import endwell
from tests.support.hostile import fetch
from tests.support.peer import ScriptedPeer, answer_fine

BAD = {"crlf": "a\r\nX-Evil: 1", "cr": "a\rX-Evil: 1", "lf": "a\nX-Evil: 1", "nul": "a\x00b"}
BADS = pytest.mark.parametrize("bad", BAD.values(), ids=BAD)


def _form(**kwargs: Any) -> endwell.FormData:
    form = endwell.FormData(default_to_multipart=True)
    form.add_field(**{"name": "n", "value": "v", **kwargs})
    return form


def _part(name: str, bad: str) -> endwell.MultipartWriter:
    writer = endwell.MultipartWriter("form-data")
    writer.append(b"v", CIMultiDict({name: bad} if name else {bad: "v"}))
    return writer


REFUSED: dict[str, Callable[[str], dict[str, Any]]] = {
    "method": lambda bad: {"method": bad},
    "field value": lambda bad: {"headers": {"A": bad}},
    "field name": lambda bad: {"headers": {bad: "v"}},
    "field of pairs": lambda bad: {"headers": [("A", "b"), ("A", bad)]},
    "Host": lambda bad: {"headers": {"Host": bad}},
    "Authorization": lambda bad: {"headers": {"Authorization": f"Bearer {bad}"}},
    "Content-Type": lambda bad: {"headers": {"Content-Type": bad}, "data": b"x"},
    "User-Agent": lambda bad: {"headers": {"User-Agent": bad}},
    "Cookie as a field": lambda bad: {"headers": {"Cookie": bad}},
    "cookie name": lambda bad: {"cookies": {bad: "v"}},
    "part field value": lambda bad: {"data": _part("A", bad)},
    "part field name": lambda bad: {"data": _part("", bad)},
    "part content type": lambda bad: {"data": _form(content_type=bad)},
}
ENCODED: dict[str, Callable[[str], dict[str, Any]]] = {
    "cookie value": lambda bad: {"cookies": {"c": bad}},
    "parameter": lambda bad: {"params": {"p": bad}},
    "parameter name": lambda bad: {"params": {bad: "v"}},
    "parameters as text": lambda bad: {"params": f"p={bad}"},
    "part name": lambda bad: {"data": _form(name=bad)},
    "part filename": lambda bad: {"data": _form(filename=bad)},
    "form name": lambda bad: {"data": {bad: "v"}},
    "form value": lambda bad: {"data": {"n": bad}},
    "user and password": lambda bad: {"headers": {"Authorization": endwell.encode_basic_auth("user", bad)}},
}


async def _request(peer: ScriptedPeer, options: dict[str, Any], **session_options: Any) -> None:
    options.setdefault("method", "POST")
    async with endwell.ClientSession(**session_options) as session:
        await fetch(session, peer.url(), **options)


@BADS
@pytest.mark.parametrize("place", REFUSED)
async def test_it_is_refused_before_a_byte_is_sent(place: str, bad: str) -> None:
    async with ScriptedPeer(answer_fine) as peer:
        with pytest.raises(ValueError):
            await _request(peer, REFUSED[place](bad))
    assert b"".join(bytes(conn.received) for conn in peer.connections) == b""


@BADS
@pytest.mark.parametrize("place", ENCODED)
async def test_it_is_refused_or_encoded(place: str, bad: str) -> None:
    async with ScriptedPeer(answer_fine) as peer:
        try:
            await _request(peer, ENCODED[place](bad))
        except ValueError:
            assert b"".join(bytes(conn.received) for conn in peer.connections) == b""
            return
    for conn in peer.connections:
        head, _, body = bytes(conn.received).partition(b"\r\n\r\n")
        assert b"\x00" not in head
        assert b"X-Evil" not in {line.split(b":")[0] for line in head.replace(b"\n", b"\r").split(b"\r")}
        if place.startswith("part "):
            part_head = body.split(b"\r\n", 1)[1].partition(b"\r\n\r\n")[0]
            assert b"X-Evil" not in {line.split(b":")[0] for line in part_head.replace(b"\n", b"\r").split(b"\r")}
            assert b"\x00" not in part_head


SESSION: dict[str, Callable[[str], dict[str, Any]]] = {
    "default field value": lambda bad: {"headers": {"A": bad}},
    "default field name": lambda bad: {"headers": {bad: "v"}},
    "default cookie name": lambda bad: {"cookies": {bad: "v"}},
}


@BADS
@pytest.mark.parametrize("place", SESSION)
async def test_defaults_of_a_session_are_no_way_around(place: str, bad: str) -> None:
    async with ScriptedPeer(answer_fine) as peer:
        with pytest.raises(ValueError):
            await _request(peer, {}, **SESSION[place](bad))
    assert b"".join(bytes(conn.received) for conn in peer.connections) == b""


@BADS
async def test_fields_for_a_proxy(bad: str) -> None:
    async with ScriptedPeer(answer_fine) as proxy, endwell.ClientSession() as session:
        with pytest.raises(ValueError):
            await fetch(session, "https://origin.example/", proxy=proxy.url(), proxy_headers={"A": bad})
    assert b"".join(bytes(conn.received) for conn in proxy.connections) == b""


@pytest.mark.parametrize("method", ["", "GET /evil", "G\tT", "GET\u00e9", "G(T", "a,b", "GET:"])
async def test_a_method_that_is_no_token_is_refused(method: str) -> None:
    async with ScriptedPeer(answer_fine) as peer:
        with pytest.raises(ValueError, match=r"(?i)method"):
            await _request(peer, {"method": method})
    assert peer.connections == []


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\tb", "\u00e9", "a(b", "a,b"])
async def test_a_field_name_that_is_no_token_is_refused(name: str) -> None:
    async with ScriptedPeer(answer_fine) as peer:
        with pytest.raises(ValueError):
            await _request(peer, {"headers": {name: "v"}})
    assert b"".join(bytes(conn.received) for conn in peer.connections) == b""


async def test_framing_of_the_users_own_is_not_two_framings() -> None:
    """A Content-Length or Transfer-Encoding among the headers never makes a message with two readings."""
    async with ScriptedPeer(answer_fine) as peer:
        for headers in (
            {"Content-Length": "3", "Transfer-Encoding": "chunked"},
            {"Content-Length": "99"},
            {"Content-Length": "+4"},
            {"Transfer-Encoding": "gzip"},
        ):
            async with endwell.ClientSession(timeout=endwell.ClientTimeout(total=1)) as session:
                try:
                    await fetch(session, peer.url(), "POST", data=b"body", headers=headers)
                except (ValueError, endwell.ClientError):
                    continue
        for request in peer.requests:
            assert not (request.get("Content-Length") and request.get("Transfer-Encoding"))
            assert request.body == b"body"
