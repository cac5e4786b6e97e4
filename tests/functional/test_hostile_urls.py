"""URLs that name nothing: an error for the caller, before anything is opened."""

from __future__ import annotations

import pytest
from yarl import URL

import endwell
from tests.support.hostile import fetch, says
from tests.support.leaks import open_sockets
from tests.support.peer import ScriptedPeer, answer_fine

BAD = {
    "empty": "",
    "only a path": "/relative",
    "only a host": "example",
    "no host": "http://",
    "no host but a path": "http:///path",
    "no host but a port": "http://:80/",
    "an open bracket": "http://[::1",
    "an open bracket with a path": "http://[::1/",
    "a closing bracket": "http://::1]/",
    "brackets around nothing": "http://[]/",
    "brackets around a name": "http://[localhost]/",
    "too many groups": "http://[1:2:3:4:5:6:7:8:9]/",
    "a port of letters": "http://127.0.0.1:http/",
    "a negative port": "http://127.0.0.1:-1/",
    "port 65536": "http://127.0.0.1:65536/",
    "a huge port": "http://127.0.0.1:1" + "0" * 30 + "/",
    "a port of other digits": "http://127.0.0.1:\u0668\u0660/",
    "port 0": "http://127.0.0.1:0/",
    "a space in the host": "http://exa mple/",
    "a line end in the host": "http://127.0.0.1\r\nX-Evil: 1/",
    "NUL in the host": "http://127.0.0.1\x00/",
}


@pytest.mark.parametrize("url", BAD.values(), ids=BAD)
async def test_a_bad_url_is_refused(url: str) -> None:
    before = open_sockets()
    async with endwell.ClientSession() as session:
        with pytest.raises(endwell.InvalidURL) as caught:
            await session.get(url)
        assert isinstance(caught.value, ValueError)
        assert str(caught.value.url) == url or str(caught.value.url) in url
        assert open_sockets() == before


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/", "file:///etc/passwd", "javascript:alert(1)", "data:,hello", "httpx://a/"]
)
async def test_another_scheme_is_refused(url: str) -> None:
    async with endwell.ClientSession() as session:
        with pytest.raises((endwell.NonHttpUrlClientError, endwell.InvalidURL)) as caught:
            await session.get(url)
    says(caught.value, url.partition(":")[0])


async def test_a_zone_id_is_an_error_of_connecting_or_of_the_url() -> None:
    async with endwell.ClientSession() as session:
        with pytest.raises((endwell.InvalidURL, endwell.ClientConnectorError)):
            await session.get("http://[fe80::1%25nowhere0]:9/")


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        ("/a b", "/a%20b"),
        ("/a?b c=d e", "/a?b%20c=d%20e"),
        ("/\u00e9", "/%C3%A9"),
        ("/a\r\nX-Evil: 1", None),
        ("/a?b=\r\nX-Evil: 1", None),
        ("/a\x00", None),
        ("/#fragment", "/"),
        ("?q", "/?q"),
    ],
)
async def test_what_a_target_may_not_hold_is_encoded_or_refused(target: str, sent: str | None) -> None:
    async with ScriptedPeer(answer_fine) as peer, endwell.ClientSession() as session:
        try:
            await fetch(session, f"http://127.0.0.1:{peer.port}{target}")
        except ValueError:
            assert sent is None
            assert peer.connections == []
            return
        request = peer.requests[0]
        assert not set(request.target) & set("\r\n\x00 ")
        assert request.get("X-Evil") is None
        if sent is not None:
            assert request.target.replace("+", "%20") == sent


@pytest.mark.parametrize("bad", ["/a\r\nX-Evil:1", "/a\nX-Evil:1", "/a b", "/a\x00", "/\x7f"])
async def test_a_target_taken_as_it_is_must_be_one(bad: str) -> None:
    async with ScriptedPeer(answer_fine) as peer, endwell.ClientSession() as session:
        try:
            await fetch(session, URL(f"http://127.0.0.1:{peer.port}{bad}", encoded=True))
        except ValueError:
            assert [bytes(conn.received) for conn in peer.connections] in ([], [b""])
        else:
            target = peer.requests[0].target
            assert not set(target) & set("\r\n\x00 \x7f")
            assert peer.requests[0].get("X-Evil") is None
