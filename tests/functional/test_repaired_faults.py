"""Faults that were found and repaired: what was promised, and holds now."""

from __future__ import annotations

import asyncio
import io

import pytest
from yarl import URL

import endwell
from tests.support.closing import until
from tests.support.echo import EchoServer
from tests.support.peer import PeerConnection, ScriptedPeer, answer_fine, answer_with, unix_path

MOVED = b"HTTP/1.1 %d Moved\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n"


# Two lengths of one message are two readings of it (RFC 9112 section 6.3).


@pytest.mark.parametrize("given", ["3", "4", "5"])
@pytest.mark.parametrize("where", ["session", "call"])
async def test_a_length_given_by_the_user_is_never_sent_beside_another(where, given):
    fields = {"Content-Length": given}
    async with (
        ScriptedPeer(answer_fine) as peer,
        endwell.ClientSession(headers=fields if where == "session" else None) as session,
    ):
        try:
            async with session.post(peer.url(), data=b"body", headers=fields if where == "call" else None) as response:
                await response.read()
        except (ValueError, endwell.ClientError):
            assert given != "4", "this one is right"
    for request in peer.requests:  # a body of another length may also be refused while it is sent
        assert request.get_all("Content-Length") in ([given], ["4"])
        assert request.get_all("Transfer-Encoding") == []
    for connection in peer.connections:
        assert bytes(connection.received).lower().count(b"content-length:") == len(connection.requests)


async def test_chunked_of_the_session_and_a_length_are_never_both_sent():
    async with (
        ScriptedPeer(answer_fine) as peer,
        endwell.ClientSession(headers={"Transfer-Encoding": "chunked"}) as session,
    ):
        async with session.post(peer.url(), data=b"body") as response:
            assert await response.read() == b"fine"
    (request,) = peer.requests  # reading it asserts that there is one framing
    assert request.body == b"body"


# What the user does not want to be added is not added.


@pytest.mark.parametrize("where", ["session", "call"])
@pytest.mark.parametrize("body", [{"data": b"body"}, {"data": "body"}, {"json": "body"}, {"data": {"a": "b"}}])
async def test_content_type_can_be_skipped(where, body):
    skip = ["Content-Type"]
    async with (
        ScriptedPeer(answer_fine) as peer,
        endwell.ClientSession(skip_auto_headers=skip if where == "session" else None) as session,
    ):
        async with session.post(peer.url(), skip_auto_headers=skip if where == "call" else None, **body) as response:
            await response.read()
    (request,) = peer.requests
    assert request.get_all("Content-Type") == []
    assert request.body


# Credentials of a URL become Authorization and are seen nowhere else.


async def test_real_url_has_no_credentials():
    async with ScriptedPeer(answer_fine) as peer, endwell.ClientSession() as session:
        url = peer.url("/p?q#f").replace("http://", "http://user:hunter2@")
        async with session.get(url) as response:
            for shown in (response.url, response.real_url, response.request_info.url, response.request_info.real_url):
                assert shown.user is None
                assert shown.password is None
            assert response.real_url.fragment == "f"
            assert "hunter2" not in repr(response) + repr(response.request_info)
    assert peer.requests[0].get("Authorization") is not None
    assert peer.requests[0].target == "/p?q"


# A body that cannot be read is refused, not sent as nothing.


@pytest.mark.parametrize("kind", ["file", "text file", "BytesIO", "StringIO"])
async def test_a_closed_file_is_refused(kind, tmp_path):
    path = tmp_path / "body"
    path.write_bytes(b"body")
    body = {
        "file": lambda: path.open("rb"),
        "text file": lambda: path.open("r"),
        "BytesIO": lambda: io.BytesIO(b"body"),
        "StringIO": lambda: io.StringIO("body"),
    }[kind]()
    body.close()
    async with ScriptedPeer(answer_fine) as peer, endwell.ClientSession() as session:
        with pytest.raises((ValueError, endwell.ClientError), match="closed"):
            await session.post(peer.url(), data=body)
        assert peer.requests == []


async def test_a_closed_file_in_a_form_is_refused(tmp_path):
    path = tmp_path / "body"
    path.write_bytes(b"body")
    body = path.open("rb")
    body.close()
    async with ScriptedPeer(answer_fine) as peer, endwell.ClientSession() as session:
        with pytest.raises((ValueError, endwell.ClientError), match="closed"):
            await session.post(peer.url(), data={"file": body})
    assert not any(request.body for request in peer.requests)


# What is meant for one origin does not go to another (RFC 9110 section 15.4).

SECRETS = {
    "Authorization": "Basic aHVudGVyMg==",
    "Cookie": "a=hunter2",
    "Proxy-Authorization": "Basic aHVudGVyMg==",
    "Host": "a.example",
}


@pytest.mark.parametrize("where", ["session", "call"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_secrets_do_not_follow_a_redirect_to_another_origin(where, status):
    async with ScriptedPeer(answer_fine) as other:
        host = f"127.0.0.1:{other.port}"
        script = answer_with(MOVED % (status, other.url("/next").encode()))
        async with (
            ScriptedPeer(script) as peer,
            endwell.ClientSession(headers=SECRETS if where == "session" else None) as session,
        ):
            async with session.get(peer.url(), headers=SECRETS if where == "call" else None) as response:
                assert response.status == 200
    (first,), (second,) = peer.requests, other.requests
    for name, value in SECRETS.items():
        assert first.get(name) == value
        assert second.get(name) == (host if name == "Host" else None)


@pytest.mark.parametrize("where", ["session", "call"])
async def test_they_follow_within_the_origin(where):
    async def script(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.send(MOVED % (302, b"/next"))
        await answer_fine(conn)

    async with (
        ScriptedPeer(script) as peer,
        endwell.ClientSession(headers=SECRETS if where == "session" else None) as session,
    ):
        async with session.get(peer.url(), headers=SECRETS if where == "call" else None) as response:
            assert response.status == 200
    for request in peer.requests:
        for name, value in SECRETS.items():
            assert request.get(name) == value


async def test_they_do_not_come_back_after_a_way_round():
    """There and back again: who redirected may not choose where credentials go."""
    async with ScriptedPeer(answer_fine) as third:
        async with ScriptedPeer(answer_with(MOVED % (302, third.url().encode()))) as second:
            async with (
                ScriptedPeer(answer_with(MOVED % (302, second.url().encode()))) as first,
                endwell.ClientSession(headers={"Authorization": "Basic aHVudGVyMg=="}) as session,
            ):
                async with session.get(first.url()) as response:
                    assert len(response.history) == 2
    assert [peer.requests[0].get("Authorization") is not None for peer in (first, second, third)] == [
        True,
        False,
        False,
    ]


async def test_a_redirect_may_leave_out_the_scheme():
    """RFC 3986 section 4.2: a network-path reference."""
    async with ScriptedPeer(answer_fine) as other:
        location = other.url("/next").removeprefix("http:")
        async with (
            ScriptedPeer(answer_with(MOVED % (302, location.encode()))) as peer,
            endwell.ClientSession() as session,
        ):
            async with session.get(peer.url()) as response:
                assert (response.status, str(response.url)) == (200, other.url("/next"))


# unix:// names nothing but the socket that the connector knows.


async def test_unix_urls(tmp_path):
    path = unix_path(tmp_path)
    async with (
        ScriptedPeer(answer_fine, path=path) as peer,
        endwell.ClientSession(connector=endwell.UnixConnector(path)) as session,
    ):
        for _ in range(2):
            async with session.get("unix://name/path?q=1") as response:
                assert await response.read() == b"fine"
                assert str(response.url) == "unix://name/path?q=1"
        async with session.get("http://name/path") as response:
            assert response.status == 200
    assert [request.target for request in peer.requests] == ["/path?q=1", "/path?q=1", "/path"]
    assert peer.requests[0].get("Host") == "name"


async def test_unix_urls_need_a_connector_that_knows_the_socket():
    async with endwell.ClientSession() as session:
        for _ in range(2):
            with pytest.raises(endwell.NonHttpUrlClientError):
                await session.get("unix://name/path")


@pytest.mark.parametrize("path", ["/bytes/3000000", "/bytes/10"])
async def test_cancelled_in_the_pass_in_which_the_head_comes(path: str) -> None:
    """Nobody has the response then: its connection must not stay taken until the total time-out."""
    async with EchoServer() as server, endwell.ClientSession(connector=endwell.TCPConnector(limit=1)) as session:
        for passes in range(25):
            task = asyncio.create_task(session._request("GET", server.url(path)))
            exchanges = session._core.work
            while not task.done() and not any(work.head is not None for work in exchanges):
                await asyncio.sleep(0)
            task.cancel()
            for _ in range(passes % 3):
                await asyncio.sleep(0)
            try:
                response = await task
            except asyncio.CancelledError:
                pass
            else:
                response.close()
            async with asyncio.timeout(5), session.get(server.url("/bytes/1")) as after:
                assert await after.read()


async def test_a_refused_body_is_never_followed_by_another_request() -> None:
    """The peer still waits for the announced bytes: the next head would be read as the body."""

    async def refuse(conn: PeerConnection) -> None:
        await conn.read_head()
        await conn.send(b"HTTP/1.1 417 No\r\nContent-Length: 4\r\n\r\n")
        await asyncio.sleep(0)
        await conn.send(b"nope")
        await conn.closed_by_client()

    async with ScriptedPeer(refuse, answer_fine) as peer, endwell.ClientSession() as session:
        async with session.post(peer.url(), data=b"12345678", expect100=True) as response:
            assert (response.status, await response.read()) == (417, b"nope")
        async with session.get(peer.url()) as response:
            assert response.status == 200
        assert len(peer.connections) == 2


async def test_bytes_after_an_early_answer_do_not_replace_it() -> None:
    go_on = asyncio.Event()

    async def body():
        yield b"x"
        await go_on.wait()
        yield b"y"

    async def early(conn: PeerConnection) -> None:
        await conn.read_head()
        await conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"stray")
        await conn.closed_by_client()

    async with ScriptedPeer(early) as peer, endwell.ClientSession() as session:
        response = await session.post(peer.url(), data=body())
        connection = response.connection
        assert connection is not None
        await until(lambda: connection.reader.rest)  # the stray bytes are here
        assert await response.read() == b"hello"
        go_on.set()
        await response.wait_for_close()


async def test_nothing_is_read_after_a_release() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        response = await session.get(server.url("/bytes/400000"))
        response.release()
        for _ in range(20):
            await asyncio.sleep(0)
        with pytest.raises(endwell.ClientConnectionError, match="closed"):
            await response.read()


async def test_a_tls_proxy_is_not_shared_by_those_who_verify_it_and_those_who_do_not() -> None:
    from endwell.client.route import Route
    from endwell.http.url import target_of

    target, proxy = target_of("http://example.org/"), URL("https://proxy.example:8443")
    assert Route(target, proxy=proxy, ssl=True).key != Route(target, proxy=proxy, ssl=False).key


# What was asked is what was sent, whenever it is looked at.


@pytest.mark.parametrize("fields", [None, {"X-A": "1"}])
async def test_what_was_asked_does_not_change_afterwards(fields: dict[str, str] | None) -> None:
    async with ScriptedPeer(answer_fine) as peer:
        async with endwell.ClientSession(cookie_jar=endwell.CookieJar(unsafe=True)) as session:
            responses = []
            for cookie in ({}, {"a": "1"}, {"a": "2"}):
                session.cookie_jar.update_cookies(cookie, URL("http://127.0.0.1/"))
                async with session.post(peer.url(), data=b"body", headers=fields) as response:
                    responses.append(response)
            session.cookie_jar.clear()
        infos = [response.request_info for response in responses]
        assert [info.headers.get("Cookie") for info in infos] == [None, "a=1", "a=2"]
        assert infos[0] is responses[0].request_info
        for info, request in zip(infos, peer.requests, strict=True):
            assert list(info.headers.items()) == request.fields


async def test_each_of_two_attempts_knows_what_was_asked() -> None:
    first: list[endwell.ClientResponse] = []

    async def once_more(request: endwell.ClientRequest, handler: endwell.ClientHandlerType) -> endwell.ClientResponse:
        first.append(await handler(request))
        request.headers["X-Attempt"] = "2"
        return await handler(request)

    async with ScriptedPeer(answer_fine) as peer, endwell.ClientSession(middlewares=[once_more]) as session:
        async with session.get(peer.url()) as response:
            assert "X-Attempt" not in first[0].request_info.headers
            assert response.request_info.headers["X-Attempt"] == "2"
