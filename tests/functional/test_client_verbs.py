"""Verbs, URLs, parameters, fields and cookies of requests, as they arrive at the peer."""

from __future__ import annotations

import asyncio
import json
import warnings
from typing import Any

import pytest
from multidict import CIMultiDict, MultiDict
from yarl import URL

import endwell
from tests.support.echo import EchoServer, Reply, Request
from tests.support.peer import ScriptedPeer, answer_fine

VERBS = ["get", "options", "head", "post", "put", "patch", "delete"]
AUTOMATIC = ["Host", "Accept", "Accept-Encoding", "User-Agent"]


async def raw_head(session: Any, method: str = "GET", target: str = "/", **kwargs: Any) -> bytes:
    """Make a request of a session and return its head as it went over the wire."""
    async with ScriptedPeer(answer_fine) as peer:
        async with session.request(method, peer.url(target), **kwargs) as response:
            assert response.status == 200
        return peer.requests[0].raw_head


# -- verbs


@pytest.mark.parametrize("verb", VERBS)
async def test_a_verb_can_be_entered(verb: str) -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with getattr(session, verb)(server.url("/echo")) as response:
            assert response.status == 200
            assert response.method == verb.upper()
            await response.read()
        assert server.requests[0].method == verb.upper()
        assert response.closed


@pytest.mark.parametrize("verb", VERBS)
async def test_a_verb_can_be_awaited(verb: str) -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        response = await getattr(session, verb)(server.url("/echo"))
        assert response.status == 200
        await response.read()
        assert response.closed
        assert server.requests[0].method == verb.upper()


async def test_what_a_verb_returns_is_a_coroutine() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        request = session.get(server.url("/"))
        assert asyncio.iscoroutine(request)
        assert [await each.text() for each in await asyncio.gather(request)] == ["hello"]


@pytest.mark.parametrize(("method", "sent"), [("get", "GET"), ("Propfind", "PROPFIND"), ("x-y!", "X-Y!")])
async def test_a_method_by_name(method: str, sent: str) -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with session.request(method, server.url("/echo")) as response:
            assert (await response.json())["method"] == sent


async def test_a_response_can_be_entered() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with await session.get(server.url("/")) as response:
            assert await response.text() == "hello"
        assert response.closed


async def test_head_has_no_body_and_keeps_the_connection() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        for _ in range(2):
            async with session.head(server.url("/bytes/1000")) as response:
                assert response.headers["Content-Length"] == "1000"
                assert response.content_length == 1000
                assert await response.read() == b""
        assert len(server.connections) == 1


async def test_request_of_the_module_entered_and_awaited() -> None:
    async with EchoServer() as server:
        async with endwell.request("POST", server.url("/echo"), data=b"body", params={"a": "1"}) as response:
            facts = await response.json()
        assert (facts["method"], facts["body"], facts["query"]) == ("POST", "body", {"a": "1"})
        response = await endwell.request("GET", server.url("/"))
        assert await response.text() == "hello"
        assert len(server.connections) == 2


async def test_request_of_the_module_with_a_connector_leaves_it_open() -> None:
    async with EchoServer() as server, endwell.TCPConnector() as connector:
        for _ in range(2):
            async with endwell.request("GET", server.url("/"), connector=connector) as response:
                await response.read()
        assert not connector.closed
        assert len(server.connections) == 1


async def test_request_of_the_module_speaks_the_version_and_sends_cookies() -> None:
    async with EchoServer() as server:
        async with endwell.request(
            "GET", server.url("/cookies"), version=endwell.HttpVersion10, cookies={"a": "1"}
        ) as response:
            assert await response.text() == "a=1"
        assert server.requests[0].version == "HTTP/1.0"


# -- URLs and parameters


@pytest.mark.parametrize("kind", [str, URL])
async def test_urls_of_either_type(kind: Any) -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with session.get(kind(server.url("/echo?x=1#part"))) as response:
            facts = await response.json()
            assert facts["target"] == "/echo?x=1"
            assert response.url == URL(server.url("/echo?x=1"))
            assert response.real_url == URL(server.url("/echo?x=1#part"))
            assert response.request_info.url == response.url
            assert response.request_info.real_url == response.real_url
            assert response.host == "127.0.0.1"


@pytest.mark.parametrize(
    ("base", "url", "arrives"),
    [
        ("/", "/echo/a", "/echo/a"),
        ("/echo/", "a", "/echo/a"),
        ("/echo/", "/echo", "/echo"),
        ("/echo/b/", "../a?q=1", "/echo/a?q=1"),
        ("/echo/", "", "/echo/"),
    ],
)
async def test_base_url(base: str, url: str, arrives: str) -> None:
    async with EchoServer() as server, endwell.ClientSession(server.url(base)) as session:
        async with session.get(url) as response:
            assert (await response.json())["target"] == arrives


async def test_an_absolute_url_over_a_base_url() -> None:
    async with EchoServer() as one, EchoServer() as other, endwell.ClientSession(one.url("/")) as session:
        async with session.get(other.url("/")) as response:
            assert await response.text() == "hello"
        assert (len(one.requests), len(other.requests)) == (0, 1)


@pytest.mark.parametrize("base", ["/relative", "http://example.com/a", "no url"])
async def test_a_bad_base_url(base: str) -> None:
    with pytest.raises(ValueError):
        endwell.ClientSession(base)


@pytest.mark.parametrize(
    ("target", "params", "arrives"),
    [
        ("/echo", {"a": "1", "b": "x y"}, "/echo?a=1&b=x+y"),
        ("/echo", [("a", "1"), ("a", "2")], "/echo?a=1&a=2"),
        ("/echo", MultiDict([("a", "1"), ("a", "2")]), "/echo?a=1&a=2"),
        ("/echo", {"n": 5, "f": 1.5}, "/echo?n=5&f=1.5"),
        ("/echo", {"a": ["1", "2"]}, "/echo?a=1&a=2"),
        ("/echo", "a=1&b=x y", "/echo?a=1&b=x+y"),
        ("/echo?z=0", {"a": "1"}, "/echo?z=0&a=1"),
        ("/echo?a=0", {"a": "1"}, "/echo?a=0&a=1"),
        ("/echo?z=0", None, "/echo?z=0"),
        ("/echo?z=0", {}, "/echo?z=0"),
        ("/echo", {"ä": "ö&="}, "/echo?%C3%A4=%C3%B6%26%3D"),
        ("/echo#f", {"a": "1"}, "/echo?a=1"),
    ],
)
async def test_params(target: str, params: Any, arrives: str) -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with session.get(server.url(target), params=params) as response:
            assert (await response.json())["target"] == arrives


async def test_params_join_a_base_url() -> None:
    async with EchoServer() as server, endwell.ClientSession(server.url("/echo/")) as session:
        async with session.get("a?x=1", params={"y": "2"}) as response:
            assert (await response.json())["target"] == "/echo/a?x=1&y=2"


@pytest.mark.parametrize(
    ("path", "arrives"),
    [("/a b", "/a%20b"), ("/ä", "/%C3%A4"), ("/%41", "/A"), ("/a%2Fb", "/a%2Fb"), ("/a//b", "/a//b"), ("", "/")],
)
async def test_the_target_is_quoted(path: str, arrives: str) -> None:
    async with endwell.ClientSession() as session:
        assert (await raw_head(session, target=path)).split(b" ")[1] == arrives.encode()


async def test_an_encoded_url_is_left_alone() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with session.get(URL(server.url("/echo/%41%2f?q=%7E"), encoded=True)) as response:
            assert (await response.json())["target"] == "/echo/%41%2f?q=%7E"


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("/relative", endwell.InvalidUrlClientError),
        ("http://", endwell.InvalidUrlClientError),
        ("http://[::1", endwell.InvalidUrlClientError),
        ("http://example.com:99999/", endwell.InvalidUrlClientError),
        ("ftp://example.com/", endwell.NonHttpUrlClientError),
        ("mailto:a@example.com", endwell.NonHttpUrlClientError),
    ],
)
async def test_urls_that_lead_nowhere(url: str, error: Any) -> None:
    async with endwell.ClientSession() as session:
        with pytest.raises(error):
            await session.get(url)


@pytest.mark.parametrize("base", [None, "http://127.0.0.1/"])
@pytest.mark.parametrize("url", [5, None, b"http://127.0.0.1/", ["http://127.0.0.1/"]])
async def test_what_is_no_url(url: Any, base: str | None) -> None:
    async with endwell.ClientSession(base_url=base) as session:
        with pytest.raises(TypeError):
            await session.get(url)


# -- fields


async def test_the_fields_that_are_added() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with session.get(server.url("/echo")) as response:
            fields = dict((await response.json())["headers"])
    assert list(fields) == AUTOMATIC
    assert fields["Host"] == f"127.0.0.1:{server.port}"
    assert fields["Accept"] == "*/*"
    assert fields["Accept-Encoding"] == "gzip, deflate, br, zstd"
    assert fields["User-Agent"].startswith("Python/")
    assert endwell.__version__ in fields["User-Agent"]


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "1", "x-b": "2"},
        CIMultiDict({"X-A": "1", "x-b": "2"}),
        [("X-A", "1"), ("x-b", "2")],
    ],
)
async def test_fields_of_a_call(headers: Any) -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with session.get(server.url("/echo"), headers=headers) as response:
            fields = (await response.json())["headers"]
    assert ["X-A", "1"] in fields
    assert ["x-b", "2"] in fields
    assert {name for name, _ in fields} == {*AUTOMATIC, "X-A", "x-b"}


async def test_fields_of_session_and_call_are_merged() -> None:
    defaults = {"X-A": "session", "X-B": "session", "User-Agent": "mine/1"}
    async with EchoServer() as server, endwell.ClientSession(headers=defaults) as session:
        assert session.headers == CIMultiDict(defaults)
        async with session.get(server.url("/echo"), headers=[("x-a", "call 1"), ("x-a", "call 2")]) as response:
            fields = (await response.json())["headers"]
        async with session.get(server.url("/echo")) as response:
            plain = (await response.json())["headers"]
    assert [value for name, value in fields if name.lower() == "x-a"] == ["call 1", "call 2"]
    assert [value for name, value in fields if name.lower() == "x-b"] == ["session"]
    assert [value for name, value in fields if name.lower() == "user-agent"] == ["mine/1"]
    assert [value for name, value in plain if name.lower() == "x-a"] == ["session"]


async def test_repeated_fields_of_a_session() -> None:
    async with EchoServer() as server, endwell.ClientSession(headers=[("X-A", "1"), ("X-A", "2")]) as session:
        async with session.get(server.url("/echo")) as response:
            fields = (await response.json())["headers"]
    assert [value for name, value in fields if name == "X-A"] == ["1", "2"]


async def test_a_host_field_of_the_user() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with session.get(server.url("/echo"), headers={"Host": "other.example"}) as response:
            fields = (await response.json())["headers"]
    assert [value for name, value in fields if name.lower() == "host"] == ["other.example"]


async def test_a_host_field_of_the_session() -> None:
    async with EchoServer() as server, endwell.ClientSession(headers={"host": "other.example"}) as session:
        async with session.get(server.url("/echo")) as response:
            fields = (await response.json())["headers"]
    assert [value for name, value in fields if name.lower() == "host"] == ["other.example"]


@pytest.mark.parametrize("skipped", ["User-Agent", "accept", "Accept-Encoding"])
async def test_skip_auto_headers(skipped: str) -> None:
    async with EchoServer() as server, endwell.ClientSession(skip_auto_headers=[skipped]) as session:
        async with session.get(server.url("/echo")) as response:
            by_session = {name.lower() for name, _ in (await response.json())["headers"]}
        assert session.skip_auto_headers == frozenset([skipped])
    async with EchoServer() as server, endwell.ClientSession() as session:
        async with session.get(server.url("/echo"), skip_auto_headers=[skipped]) as response:
            by_call = {name.lower() for name, _ in (await response.json())["headers"]}
    assert by_session == by_call == {name.lower() for name in AUTOMATIC} - {skipped.lower()}


async def test_skip_auto_headers_of_session_and_call_add_up() -> None:
    async with EchoServer() as server, endwell.ClientSession(skip_auto_headers=["User-Agent"]) as session:
        async with session.post(
            server.url("/echo"), data=b"x", skip_auto_headers=["Content-Type", "Accept"]
        ) as response:
            names = [name for name, _ in (await response.json())["headers"]]
    assert sorted(names) == ["Accept-Encoding", "Content-Length", "Host"]


async def test_what_is_skipped_can_be_given() -> None:
    async with EchoServer() as server, endwell.ClientSession(skip_auto_headers=["User-Agent"]) as session:
        async with session.get(server.url("/echo"), headers={"User-Agent": "mine"}) as response:
            assert ["User-Agent", "mine"] in (await response.json())["headers"]


async def test_text_beyond_ascii_in_a_field() -> None:
    async with endwell.ClientSession() as session:
        assert "X-A: grün\r\n".encode() in await raw_head(session, headers={"X-A": "grün"})


@pytest.mark.parametrize("value", [5, None, b"bytes"])
async def test_a_field_that_is_no_text(value: Any) -> None:
    async with endwell.ClientSession() as session:
        with pytest.raises(TypeError, match="X-A"):
            await session.get("http://127.0.0.1:9/", headers={"X-A": value})


# -- version


async def test_version_10() -> None:
    async with EchoServer() as server, endwell.ClientSession(version=endwell.HttpVersion10) as session:
        assert session.version == endwell.HttpVersion10
        for _ in range(2):
            async with session.get(server.url("/")) as response:
                assert await response.text() == "hello"
        assert {request.version for request in server.requests} == {"HTTP/1.0"}
        assert server.requests[0].get("Connection") == "keep-alive"
        assert len(server.connections) == 1


async def test_version_10_sends_bodies_of_known_length_only() -> None:
    async def body() -> Any:
        yield b"x"

    async with EchoServer() as server, endwell.ClientSession(version=endwell.HttpVersion10) as session:
        async with session.post(server.url("/echo"), data=b"body") as response:
            assert (await response.json())["body"] == "body"
        with pytest.raises(ValueError, match=r"HTTP/1\.0"):
            await session.post(server.url("/echo"), data=body())


# -- cookies


async def test_cookies_of_a_session() -> None:
    async with EchoServer() as server, endwell.ClientSession(cookies={"a": "1"}, cookie_jar=unsafe()) as session:
        async with session.get(server.url("/cookies")) as response:
            assert await response.text() == "a=1"


def unsafe() -> endwell.CookieJar:
    """A jar for hosts that are addresses."""
    return endwell.CookieJar(unsafe=True)


async def test_cookies_of_a_call_are_for_it_alone() -> None:
    async with EchoServer() as server, endwell.ClientSession(cookie_jar=unsafe()) as session:
        async with session.get(server.url("/set-cookie?kept=1")) as response:
            assert response.cookies["kept"].value == "1"
        async with session.get(server.url("/cookies"), cookies={"once": "2"}) as response:
            assert sorted((await response.text()).split("; ")) == ["kept=1", "once=2"]
        async with session.get(server.url("/cookies"), cookies={"kept": "other"}) as response:
            assert await response.text() == "kept=other"
        async with session.get(server.url("/cookies")) as response:
            assert await response.text() == "kept=1"


async def test_a_cookie_field_of_a_call_joins_the_jar() -> None:
    async with EchoServer() as server, endwell.ClientSession(cookie_jar=unsafe()) as session:
        await (await session.get(server.url("/set-cookie?kept=1"))).read()
        async with session.get(server.url("/cookies"), headers={"Cookie": "raw=3"}) as response:
            assert sorted((await response.text()).split("; ")) == ["kept=1", "raw=3"]
        assert len(server.requests[1].get("Cookie") or "") == len("kept=1; raw=3")


async def test_the_default_jar_takes_names_not_addresses() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        for host, expected in (("127.0.0.1", ""), ("localhost", "a=1")):
            await (await session.get(server.url("/set-cookie?a=1", host))).read()
            async with session.get(server.url("/cookies", host)) as response:
                assert await response.text() == expected


async def test_cookies_of_redirects_are_kept() -> None:
    def handler(request: Request) -> Reply:
        return Reply(b"", 302, {"Location": "/cookies", "Set-Cookie": "hop=1"})

    async with EchoServer({"/hop": handler}) as server, endwell.ClientSession(cookie_jar=unsafe()) as session:
        async with session.get(server.url("/hop")) as response:
            assert await response.text() == "hop=1"
            assert not response.cookies
            assert response.history[0].cookies["hop"].value == "1"


async def test_no_cookies_with_the_dummy_jar() -> None:
    async with EchoServer() as server, endwell.ClientSession(cookie_jar=endwell.DummyCookieJar()) as session:
        async with session.get(server.url("/set-cookie?a=1")) as response:
            assert response.cookies["a"].value == "1"
        async with session.get(server.url("/cookies")) as response:
            assert await response.text() == ""


async def test_a_jar_of_the_user() -> None:
    from http.cookies import SimpleCookie

    from endwell.abc import AbstractCookieJar

    class Jar(AbstractCookieJar):
        told: Any = ()
        quote_cookie = True
        unsafe = False
        cookies: Any = {}  # noqa: RUF012
        host_only_cookies: Any = frozenset()

        def __iter__(self) -> Any:
            return iter(())

        def __len__(self) -> int:
            return 0

        def clear(self, predicate: Any = None) -> None: ...

        def clear_domain(self, domain: str) -> None: ...

        def update_cookies(self, cookies: Any, response_url: Any = URL()) -> None:  # noqa: B008
            self.told = cookies, response_url

        def filter_cookies(self, request_url: URL) -> Any:
            return SimpleCookie({"from": request_url.path.strip("/")})

    jar = Jar()
    async with EchoServer() as server, endwell.ClientSession(cookie_jar=jar) as session:
        assert session.cookie_jar is jar
        async with session.get(server.url("/cookies")) as response:
            assert await response.text() == "from=cookies"
        await (await session.get(server.url("/set-cookie?a=1"))).read()
        cookies, url = jar.told
        found = dict(cookies)
        assert found["a"].value == "1"
        assert url == URL(server.url("/set-cookie?a=1"))


# -- credentials


async def test_credentials_of_the_url() -> None:
    async with EchoServer() as server, endwell.ClientSession() as session:
        url = server.url("/basic/user/p%C3%A4ss").replace("//", "//user:p%C3%A4ss@", 1)
        async with session.get(url) as response:
            assert await response.text() == "welcome"
            assert "user" not in str(response.url.authority)
        with pytest.raises(ValueError, match="AUTHORIZATION"):
            await session.get(url, headers={"Authorization": "Basic x"})


@pytest.mark.parametrize("base", [False, True])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_credentials_of_the_session(base: bool, method: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        auth = endwell.BasicAuth("user", "pass")
    async with EchoServer() as server, EchoServer() as other:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            session = endwell.ClientSession(server.url("/") if base else None, auth=auth)
        async with session:
            assert session.auth == auth
            async with session.request(method, server.url("/basic/user/pass")) as response:
                assert await response.text() == "welcome"
            async with session.request(method, other.url("/basic/user/pass")) as response:
                assert response.status == (401 if base else 200)


async def test_credentials_of_the_call() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        auth = endwell.BasicAuth("user", "pass")
        async with EchoServer() as server, endwell.ClientSession() as session:
            async with session.get(server.url("/basic/user/pass"), auth=auth) as response:
                assert await response.text() == "welcome"
            with pytest.raises(ValueError, match="AUTHORIZATION"):
                await session.get(server.url("/"), auth=auth, headers={"Authorization": "Basic x"})


# -- odds and ends


async def test_the_session_tells_what_it_was_given() -> None:
    async with endwell.ClientSession(auto_decompress=False, trust_env=True, raise_for_status=True) as session:
        assert (session.auto_decompress, session.trust_env, session.raise_for_status) == (False, True, True)
        assert session.json_serialize is json.dumps
        assert session.requote_redirect_url is True
        assert session.timeout == endwell.ClientTimeout(total=300, sock_connect=30)
        assert session.trace_configs == []
        assert isinstance(session.connector, endwell.TCPConnector)
        assert session.connector_owner is True
        assert not session.closed
    assert session.closed


async def test_with_says_async_with() -> None:
    async with endwell.ClientSession() as session:
        with pytest.raises(TypeError, match="async with"), session:  # type: ignore[attr-defined]
            pass


def test_a_session_needs_a_running_loop() -> None:
    with pytest.raises(RuntimeError, match="loop"):
        endwell.ClientSession()


async def test_an_argument_that_there_is_not() -> None:
    async with endwell.ClientSession() as session:
        with pytest.raises(TypeError, match="colour"):
            await session.get("http://127.0.0.1:9/", colour="red")


async def test_deprecated_arguments_warn() -> None:
    async with endwell.ClientSession() as session:
        with pytest.warns(DeprecationWarning, match="loop"):
            assert session.loop is asyncio.get_running_loop()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        async with endwell.ClientSession(read_timeout=5, conn_timeout=3) as session:
            assert (session.timeout.total, session.timeout.connect) == (5, 3)
    assert {each.category for each in caught} == {DeprecationWarning}
