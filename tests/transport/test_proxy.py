import asyncio
import ipaddress
import socket
from typing import Any

import pytest
from yarl import URL

from endwell.transport import address, dial, proxy
from endwell.transport.errors import ProxyError
from tests.support.leaks import open_sockets
from tests.transport.network import Answering, Silent, passes, serving


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Any:
    import os

    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name == "REQUEST_METHOD":
            monkeypatch.delenv(name)
    return monkeypatch.setenv


@pytest.mark.parametrize(
    ("variable", "url", "used"),
    [
        ("http_proxy", "http://a.example/", True),
        ("HTTP_PROXY", "http://a.example/", True),
        ("https_proxy", "https://a.example/", True),
        ("https_proxy", "http://a.example/", False),
        ("http_proxy", "https://a.example/", False),
        ("ws_proxy", "ws://a.example/", True),
        ("wss_proxy", "wss://a.example/", True),
        ("http_proxy", "ws://a.example/", False),
        ("https_proxy", "wss://a.example/", False),
        ("all_proxy", "http://a.example/", True),
        ("ALL_PROXY", "wss://a.example/", True),
    ],
)
def test_which_variable_counts(environment: Any, variable: str, url: str, used: bool) -> None:
    environment(variable, "http://p.example:3128")
    expected = (URL("http://p.example:3128"), None) if used else None
    assert proxy.proxy_from_environment(URL(url)) == expected


def test_under_cgi_the_header_proxy_is_not_believed(environment: Any) -> None:
    environment("HTTP_PROXY", "http://evil.example:1")
    environment("REQUEST_METHOD", "GET")
    assert proxy.proxy_from_environment(URL("http://a.example/")) is None


@pytest.mark.parametrize(
    ("no_proxy", "url", "used"),
    [
        ("*", "http://a.example/", False),
        ("a.example", "http://a.example/", False),
        ("a.example", "http://A.Example./", False),
        ("a.example", "http://b.a.example/", False),
        (".a.example", "http://b.a.example/", False),
        ("*.a.example", "http://b.a.example/", False),
        ("a.example", "http://ba.example/", True),
        ("a.example", "http://a.example.evil/", True),
        ("x, a.example ,y", "http://a.example/", False),
        ("", "http://a.example/", True),
        (",", "http://a.example/", True),
        ("a.example:8080", "http://a.example:8080/", False),
        ("a.example:8080", "http://a.example/", True),
        ("a.example:80", "http://a.example/", False),
        ("10.0.0.0/8", "http://10.1.2.3/", False),
        ("10.0.0.0/8", "http://11.1.2.3/", True),
        ("10.0.0.0/8", "http://a.example/", True),
        ("fd00::/8", "http://[fd00::1]/", False),
        ("10.0.0.0/99", "http://10.0.0.1/", True),
        ("127.0.0.1", "http://127.0.0.1:7/", False),
        ("::1", "http://[::1]/", False),
        ("[::1]:80", "http://[0:0::1]/", False),
        ("[::1]:81", "http://[::1]/", True),
    ],
)
def test_no_proxy(environment: Any, no_proxy: str, url: str, used: bool) -> None:
    environment("http_proxy", "http://p.example")
    environment("no_proxy", no_proxy)
    assert (proxy.proxy_from_environment(URL(url)) is not None) is used


def test_credentials_are_split_off_and_shown_nowhere(environment: Any) -> None:
    environment("http_proxy", "http://us%40er:s%3Acret@p.example:1")
    found = proxy.proxy_from_environment(URL("http://a.example/"))
    assert found is not None
    url, credentials = found
    assert str(url) == "http://p.example:1"
    assert credentials == ("us@er", "s:cret")
    assert "cret" not in repr(found)
    with pytest.raises(ValueError) as caught:
        proxy.split_credentials(URL("http://user%0d%0a:secret@p.example"))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "value", ["ftp://u:secret@p", "http://", "http://u:secret@p:0", "http://u:secret@p:99999999", "http://[::1"]
)
def test_a_bad_proxy_is_an_error_without_its_secret(environment: Any, value: str) -> None:
    environment("http_proxy", value)
    with pytest.raises(ValueError) as caught:
        proxy.proxy_from_environment(URL("http://a.example/"))
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_proxies_without_a_scheme_are_http(environment: Any) -> None:
    environment("http_proxy", "p.example:3128")
    assert proxy.proxy_from_environment(URL("http://a.example/")) == (URL("http://p.example:3128"), None)
    assert proxy.proxy_port(URL("http://p")) == 80
    assert proxy.proxy_port(URL("socks5h://p")) == 1080


class Socks(Silent):
    """A SOCKS 4, 4a and 5 server that connects to one port of loopback whatever is asked (RFC 1928, RFC 1929)."""

    target = 0
    login: tuple[bytes, bytes] | None = None
    refuse = False
    mute_after = 99

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.transport = None
        self._reader = asyncio.StreamReader()
        self._onward: Any = None
        self._task: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._task = asyncio.create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        if self._onward is not None:
            self._onward.write(data)
        else:
            self._reader.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._task.cancel()
        if self._onward is not None:
            self._onward.abort()

    async def _serve(self) -> None:
        version = (await self._reader.readexactly(1))[0]
        answer = await (self._five() if version == 5 else self._four())
        if not self.refuse:
            outer = self

            class Back(asyncio.Protocol):
                def data_received(self, data: bytes) -> None:
                    outer.transport.write(data)

            self._onward, _ = await asyncio.get_running_loop().create_connection(Back, "127.0.0.1", self.target)
        self.transport.write(answer)

    async def _four(self) -> bytes:
        head = await self._reader.readexactly(7)
        port, ip = int.from_bytes(head[1:3]), head[3:]
        user = (await self._reader.readuntil(b"\0"))[:-1]
        host = str(ipaddress.ip_address(ip))
        if ip[:3] == b"\0\0\0" and ip[3]:
            host = (await self._reader.readuntil(b"\0"))[:-1].decode()
        self.asked.append((host, port, user))
        return bytes([0, 91 if self.refuse else 90]) + bytes(6)

    async def _five(self) -> bytes:
        read = self._reader.readexactly
        methods = await read((await read(1))[0])
        if self.mute_after == 0:
            await asyncio.get_running_loop().create_future()
        self.transport.write(b"\5\2" if self.login and 2 in methods else b"\5\0")
        if self.login:
            await read(1)
            user = await read((await read(1))[0])
            word = await read((await read(1))[0])
            self.transport.write(b"\1\0" if (user, word) == self.login else b"\1\1")
        kind = (await read(4))[3]
        raw = await read({1: 4, 4: 16}.get(kind) or (await read(1))[0])
        host = raw.decode() if kind == 3 else str(ipaddress.ip_address(raw))
        self.asked.append((host, int.from_bytes(await read(2))))
        return bytes([5, 5 if self.refuse else 0, 0, 1]) + bytes(6)


async def _dial(host: str, port: int) -> socket.socket:
    return await dial.open_tcp(address.addr_infos(address.literal_addresses(host, port) or []), host=host, port=port)


async def _resolve(host: str, port: int) -> str:
    return "192.0.2.9"


@pytest.mark.parametrize(
    ("scheme", "host", "asked"),
    [
        ("socks5", "a.example", ("192.0.2.9", 80)),
        ("socks5h", "a.example", ("a.example", 80)),
        ("socks5", "::1", ("::1", 80)),
        ("socks5h", "[::1]", ("::1", 80)),
        ("socks4", "a.example", ("192.0.2.9", 80, b"")),
        ("socks4a", "a.example", ("a.example", 80, b"")),
        ("socks4a", "192.0.2.1", ("192.0.2.1", 80, b"")),
    ],
)
async def test_socks(scheme: str, host: str, asked: tuple[Any, ...]) -> None:
    made: list[Socks] = []

    def factory() -> Socks:
        made.append(Socks())
        made[-1].target = target
        return made[-1]

    async with serving(Answering) as target, serving(factory) as port:
        sock = await proxy.open_socks(URL(f"{scheme}://127.0.0.1:{port}"), host, 80, dial=_dial, resolve=_resolve)
        with sock:
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(sock, b"?")
            assert await loop.sock_recv(sock, 10) == b"ok"
            await passes()
        assert made[0].asked == [asked]


@pytest.mark.parametrize("given_apart", [True, False])
@pytest.mark.parametrize("right", [True, False])
async def test_socks_credentials(given_apart: bool, right: bool) -> None:
    class Guarded(Socks):
        login = (b"user", b"s3cret" if right else b"other")

    async with serving(Answering) as target, serving(Guarded) as port:
        Guarded.target = target
        url = URL(f"socks5h://127.0.0.1:{port}")
        credentials = proxy.Credentials("user", "s3cret")
        if not given_apart:
            url, credentials = url.with_user("user").with_password("s3cret"), None  # type: ignore[assignment] # either
        attempt = proxy.open_socks(url, "a.example", 80, dial=_dial, credentials=credentials)
        if right:
            (await attempt).close()
        else:
            with pytest.raises(ProxyError) as caught:
                await attempt
            assert "s3cret" not in str(caught.value)
            assert "s3cret" not in repr(caught.value.__cause__)
        await passes(5)


@pytest.mark.parametrize("secret", ["s3cret\xfc", "s3cret" * 50, "s3cret\0", "s3cret\r\n"])
async def test_credentials_that_cannot_be_sent(secret: str) -> None:
    for credentials in (proxy.Credentials("u", secret), proxy.Credentials(secret, "p")):
        with pytest.raises(ValueError) as caught:
            await proxy.open_socks(URL("socks5h://127.0.0.1:1"), "a", 80, dial=_dial, credentials=credentials)
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["socks4a", "socks5h"])
async def test_a_refusal(scheme: str) -> None:
    class Refusing(Socks):
        refuse = True

    async with serving(Refusing) as port:
        before = open_sockets()
        with pytest.raises(ProxyError) as caught:
            await proxy.open_socks(URL(f"{scheme}://127.0.0.1:{port}"), "a.example", 80, dial=_dial)
        assert (caught.value.proxy_host, caught.value.proxy_port) == ("127.0.0.1", port)
        assert (caught.value.host, caught.value.port) == ("a.example", 80)
        assert caught.value.code in (5, 91)
        await passes(5)
        assert open_sockets() <= before


class Leaving(Silent):
    def data_received(self, data: bytes) -> None:
        self.transport.close()


class Nonsense(Silent):
    def data_received(self, data: bytes) -> None:
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize("peer", [Leaving, Nonsense])
@pytest.mark.parametrize("scheme", ["socks4a", "socks5h"])
async def test_a_proxy_that_fails(peer: type[Silent], scheme: str) -> None:
    async with serving(peer) as port:
        with pytest.raises(ProxyError):
            await proxy.open_socks(URL(f"{scheme}://127.0.0.1:{port}"), "a.example", 80, dial=_dial)
        await passes()


@pytest.mark.parametrize("turns", [1, 2, 3, 5, 20])
async def test_cancelled_at_a_silent_proxy_it_leaves_no_socket(turns: int) -> None:
    async with serving(Silent) as port:
        made: list[socket.socket] = []

        async def noting(host: str, at: int) -> socket.socket:
            made.append(await _dial(host, at))
            return made[-1]

        task = asyncio.create_task(proxy.open_socks(URL(f"socks5h://127.0.0.1:{port}"), "a.example", 80, dial=noting))
        await passes(turns)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await passes()
        assert all(each.fileno() == -1 for each in made)


async def test_what_cannot_be_asked_for() -> None:
    async def never(host: str, port: int) -> socket.socket:
        raise AssertionError("nothing should be dialled")

    for url, host, port in (
        ("socks5h://p", "a\r\nb", 80),
        ("socks5h://p", "a.example", 0),
        ("socks5h://p", "", 80),
        ("http://p", "a.example", 80),
        ("socks5://p", "a.example", 80),
        ("socks5h://p", "x" * 256, 80),
    ):
        with pytest.raises(ValueError):
            await proxy.open_socks(URL(url), host, port, dial=never)
    with pytest.raises(ProxyError, match="IPv6"):
        await proxy.open_socks(URL("socks4://p"), "::1", 80, dial=never)
