from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from endwell import ClientSession, TCPConnector
from tests.support.asgi import Call, app, asgi, get
from tests.support.tls import client_context, server_context


async def told(call: Call) -> None:
    scopes.append(call.scope)
    await call.answer()


scopes: list[dict[str, Any]] = []


@pytest.fixture(autouse=True)
def forget() -> None:
    scopes.clear()


async def scope_of(data: bytes, **settings: Any) -> dict[str, Any]:
    async with asgi(app(told), **settings) as stage:
        assert (await stage.one(data)).status == 200
    return scopes[-1]


async def test_the_scope_of_a_request() -> None:
    async with asgi(app(told)) as stage:
        client = await stage.connect()
        await client.send(get("/a%20b/%C3%BC?x=%201&y#z", "X-Two: 1", "x-two:  2 ", "X-Bytes: ü"))
        await client.answer()
        own = client.sock.getsockname()
        port = stage.server.port
    scope = scopes[0]
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/a b/ü",
        "raw_path": b"/a%20b/%C3%BC",
        "query_string": b"x=%201&y",
        "root_path": "",
        "headers": [(b"host", b"example.org"), (b"x-two", b"1"), (b"x-two", b"2"), (b"x-bytes", "ü".encode())],
        "client": ("127.0.0.1", own[1]),
        "server": ("127.0.0.1", port),
        "state": {},
        "extensions": {"http.response.pathsend": {}},
    }


@pytest.mark.parametrize(
    ("target", "path", "raw", "query"),
    [
        ("/", "/", b"/", b""),
        ("/?", "/", b"/", b""),
        ("/a%2Fb", "/a/b", b"/a%2Fb", b""),
        ("//a//b", "//a//b", b"//a//b", b""),
        ("/%zz%", "/%zz%", b"/%zz%", b""),
        ("/%ff", "/\ufffd", b"/%ff", b""),
        ("/a?b?c", "/a", b"/a", b"b?c"),
        ("/a#b?c", "/a", b"/a", b""),
        ("/a+b", "/a+b", b"/a+b", b""),
        ("/../x", "/../x", b"/../x", b""),
        ("http://other.example:81/a%20b?c", "/a b", b"/a%20b", b"c"),
        ("http://other.example", "/", b"/", b""),
        ("http://other.example?q", "/", b"/", b"q"),
    ],
)
async def test_targets(target: str, path: str, raw: bytes, query: bytes) -> None:
    scope = await scope_of(get(target))
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (path, raw, query)


async def test_a_target_in_absolute_form_overrides_host_and_never_the_scheme() -> None:
    scope = await scope_of(get("https://other.example:81/", "Host-Like: x"))
    assert scope["headers"] == [(b"host", b"other.example:81"), (b"host-like", b"x")]
    assert scope["scheme"] == "http"


async def test_the_asterisk() -> None:
    scope = await scope_of(get("*", method="OPTIONS"))
    assert (scope["path"], scope["raw_path"]) == ("*", b"*")


async def test_methods_are_in_upper_case_and_the_version_is_told() -> None:
    scope = await scope_of(get(method="pUrge", version="1.0"))
    assert scope["method"] == "PURGE"
    assert scope["http_version"] == "1.0"


async def test_the_root_path_comes_before_the_path() -> None:
    scope = await scope_of(get("/x%20y"), root_path="/api/")
    assert (scope["root_path"], scope["path"], scope["raw_path"]) == ("/api", "/api/x y", b"/api/x%20y")


async def test_tls_is_https() -> None:
    async with asgi(app(told), tls=server_context()) as stage:
        connector = TCPConnector(ssl=client_context())
        async with ClientSession(connector=connector) as session:
            async with session.get(f"https://localhost:{stage.server.port}/") as response:
                assert response.status == 200
    assert scopes[0]["scheme"] == "https"


async def test_a_unix_socket_has_a_path_and_no_port(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    async with asgi(app(told), unix=path):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.setblocking(False)
            import asyncio

            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, path)
            await loop.sock_sendall(sock, get())
            assert (await loop.sock_recv(sock, 1000)).startswith(b"HTTP/1.1 200")
    assert scopes[0]["server"] == (path, None)
    assert scopes[0]["client"] is None


async def test_a_scope_belongs_to_one_request() -> None:
    async def handle(call: Call) -> None:
        scope = call.scope
        assert "mine" not in scope
        assert "mine" not in scope["state"]
        assert len(scope["headers"]) == 1
        scope["mine"] = scope["state"]["mine"] = scope["asgi"]["mine"] = scope["extensions"]["mine"] = 1
        scope["headers"].append((b"mine", b"1"))
        await call.answer()

    async with asgi(app(handle)) as stage:
        client = await stage.connect()
        for _ in range(4):
            await client.send(get())
            assert (await client.answer()).status == 200


async def test_fields_that_are_known_are_those_of_each_request() -> None:
    async with asgi(app(told)) as stage:
        client = await stage.connect()
        for target in ("/a", "/b", "/a", "/b", "/a"):
            await client.send(get(target, "X-Same: Same"))
            await client.answer()
        await client.send(get("/a", "X-Same: Other"))
        await client.answer()
    assert [scope["path"] for scope in scopes] == ["/a", "/b", "/a", "/b", "/a", "/a"]
    assert [scope["headers"][1][1] for scope in scopes] == [b"Same"] * 5 + [b"Other"]


async def test_connect_is_refused() -> None:
    async with asgi(app(told)) as stage:
        answer = await stage.one(get("example.org:443", method="CONNECT"))
        assert answer.status == 501
        assert answer.closes
    assert scopes == []
