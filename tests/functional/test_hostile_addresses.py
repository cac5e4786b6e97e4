"""What strangers name: `TCPConnector(deny=...)` keeps their URLs, names and redirects out of the private networks.

127.0.0.1 plays the public internet here, 127.0.0.2 what is private; each test of a refusal has one without `deny` that
shows that the address would have been reached.
"""

from __future__ import annotations

import contextlib
import copy
import ipaddress
import pickle
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest

import endwell
from endwell.abc import AbstractResolver, ResolveResult
from tests.functional.test_client_dns import Resolver
from tests.functional.test_client_proxies import socks_server
from tests.support.closing import TLS
from tests.support.echo import EchoServer
from tests.support.hostile import fetch
from tests.support.tls import client_context, server_context
from tests.transport.network import Silent, serving

PUBLIC = ipaddress.ip_address("127.0.0.1")
# Each is 127.0.0.2; what the system's resolver makes of the last ones is the same that other clients make of them.
SPELLINGS = ["127.0.0.2", "2130706434", "0x7f000002", "0x7f.2", "127.2", "017700000002", "0177.0.0.2"]
IPV6 = ["[::ffff:127.0.0.2]", "[::ffff:7f00:2]", "[::127.0.0.2]", "[64:ff9b::7f00:2]", "[2002:7f00:2::1]"]


def deny(address: Any) -> bool:
    """Refuse what is private, but for the one address that stands for the internet."""
    return address != PUBLIC and endwell.private_address(address)


class Inside(Silent):
    """A service of the private network: it answers everybody."""

    heard = b""

    def data_received(self, data: bytes) -> None:
        type(self).heard += data
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")


@contextlib.asynccontextmanager
async def inside(context: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, Any]]:
    """Serve on 127.0.0.2; gives the port and what was heard."""

    class Mine(Inside):
        pass

    async with serving(Mine, host="127.0.0.2", context=context) as port:
        yield port, Mine


def connector(**kwargs: Any) -> endwell.TCPConnector:
    kwargs.setdefault("resolver", endwell.ThreadedResolver())
    return endwell.TCPConnector(**{"deny": deny, "ssl": client_context(), **kwargs})


@contextlib.asynccontextmanager
async def session_of(**kwargs: Any) -> AsyncIterator[endwell.ClientSession]:
    """Give a session whose resolver is closed too."""
    resolver = kwargs.setdefault("resolver", endwell.ThreadedResolver())
    try:
        async with endwell.ClientSession(connector=connector(**kwargs)) as session:
            yield session
    finally:
        await resolver.close()


# Addresses in URLs


@pytest.mark.parametrize("host", SPELLINGS)
async def test_an_address_in_a_url_is_refused_in_every_spelling(host: str) -> None:
    async with inside() as (port, service):
        async with session_of(deny=None) as session:
            assert await fetch(session, f"http://{host}:{port}/") == (200, b"secret")
        service.heard = b""
        async with session_of() as session:
            with pytest.raises(endwell.AddressDeniedError) as caught:
                await session.get(f"http://{host}:{port}/")
        assert caught.value.addresses == ("127.0.0.2",)
        assert service.heard == b""


@pytest.mark.parametrize(
    "host",
    [*IPV6, "10.0.0.1", "0xa.1", "167772161", "172.16.0.1", "192.168.1.1", "169.254.169.254", "[fe80::1]",
     "[fe80::1%25lo]", "[fd00:ec2::254]", "0.0.0.0", "0", "[::]", "[::1]", "100.64.0.1", "224.0.0.1", "[ff02::1]",
     "255.255.255.255", "192.0.2.1", "198.18.0.1", "[2001:db8::1]", "[2001:0:7f00:2::f5ff:fffe]", "localhost",
     "localhost.", "a.localhost"],
)  # fmt: skip
async def test_what_is_private(host: str) -> None:
    """No socket is made for any of them."""
    made = []

    def factory(info: Any) -> Any:
        made.append(info)
        raise OSError("this address must not be connected to")

    async with session_of(deny=endwell.private_address, socket_factory=factory) as session:
        with pytest.raises(endwell.AddressDeniedError):
            await session.get(f"http://{host}:1/")
    assert made == []


async def test_what_is_public_is_connected_to() -> None:
    made = []

    def factory(info: Any) -> Any:
        made.append(info[4][:2])
        raise OSError("far enough")

    resolver = Resolver("1.1.1.1", "2606:4700::1111")
    async with session_of(deny=endwell.private_address, socket_factory=factory, resolver=resolver) as session:
        with pytest.raises(endwell.ClientConnectorError, match="far enough"):
            await session.get("http://name.example/")
    assert sorted(made) == [("1.1.1.1", 80), ("2606:4700::1111", 80)]


# Names


@TLS
async def test_a_name_is_refused_by_the_address_it_has(tls: bool) -> None:
    async with inside(server_context() if tls else None) as (port, service):
        url = f"http{'s' if tls else ''}://localhost.example:{port}/"
        async with session_of(resolver=Resolver("127.0.0.2")) as session:
            for _ in range(2):  # the second answer is from the cache
                with pytest.raises(endwell.AddressDeniedError) as caught:
                    await session.get(url)
        assert service.heard == b""
        error = caught.value
        assert (error.host, error.port, error.addresses) == ("localhost.example", port, ("127.0.0.2",))
        assert str(error) == (
            f"Cannot connect to host localhost.example:{port}: deny= of the connector refuses 127.0.0.2"
        )
        async with session_of(resolver=Resolver("127.0.0.2"), deny=None) as session:
            if tls:
                with pytest.raises(endwell.ClientConnectorCertificateError):  # it was reached
                    await session.get(url)
            else:
                assert await fetch(session, url) == (200, b"secret")


async def test_of_several_addresses_those_are_used_that_are_not_refused() -> None:
    resolver = Resolver("127.0.0.2", "::ffff:127.0.0.2", "127.0.0.1", "169.254.169.254")
    async with EchoServer() as server, session_of(resolver=resolver, happy_eyeballs_delay=0.001) as session:
        for _ in range(4):  # the cache begins with another one each time
            async with session.get(server.url("/", "name.example"), headers={"Connection": "close"}) as response:
                assert await response.text() == "hello"
        assert len(server.connections) == 4


async def test_all_addresses_that_are_refused_are_named() -> None:
    async with session_of(resolver=Resolver("10.0.0.1", "::1")) as session:
        with pytest.raises(endwell.AddressDeniedError, match=r"10\.0\.0\.1, ::1$") as caught:
            await session.get("http://name.example/")
    assert caught.value.addresses == ("10.0.0.1", "::1")


async def test_an_answer_that_changes_is_asked_for_again() -> None:
    """DNS rebinding: the address that was looked at is the one that is connected to, on each connection."""

    class Rebinding(Resolver):
        async def resolve(self, *args: Any) -> list[ResolveResult]:
            found = await super().resolve(*args)
            self.hosts = ("127.0.0.2",)
            return found

    resolver, seen = Rebinding("127.0.0.1"), []

    def watching(address: Any) -> bool:
        seen.append(str(address))
        return deny(address)

    async with (
        EchoServer() as server,
        session_of(resolver=resolver, use_dns_cache=False, force_close=True, deny=watching) as session,
    ):
        url = server.url("/", "name.example")
        assert (await fetch(session, url))[0] == 200
        assert (len(resolver.asked), seen) == (1, ["127.0.0.1"])
        with pytest.raises(endwell.AddressDeniedError):
            await session.get(url)
        assert (len(resolver.asked), seen) == (2, ["127.0.0.1", "127.0.0.2"])


# Redirects


@TLS
@pytest.mark.parametrize("host", [*SPELLINGS, "[::ffff:127.0.0.2]", "name.example"])
async def test_each_hop_is_looked_at(host: str, tls: bool) -> None:
    class Names(AbstractResolver):
        """Knows one private name, and asks the system for the others."""

        def __init__(self) -> None:
            self.system = endwell.ThreadedResolver()

        async def resolve(self, name: str, *args: Any) -> list[ResolveResult]:
            if name == "name.example":
                return await Resolver("127.0.0.2").resolve(name, *args)
            return await self.system.resolve(name, *args)

        async def close(self) -> None:
            await self.system.close()

    async with inside() as (port, service), EchoServer(tls=server_context() if tls else None) as server:
        url = server.url(f"/redirect/302?to=/redirect/307?to=http://{host}:{port}/")
        async with session_of(deny=None, resolver=Names()) as session:
            assert await fetch(session, url) == (200, b"secret")
        service.heard = b""
        async with session_of(resolver=Names()) as session:
            with pytest.raises(endwell.AddressDeniedError) as caught:
                await session.get(url)
            assert await fetch(session, server.url()) == (200, b"hello")
        assert service.heard == b""
        assert caught.value.addresses in {("127.0.0.2",), ("::ffff:7f00:2",)}


# Proxies


def inside_target(host: str) -> str:
    return f"http://{host}/echo"


@pytest.mark.parametrize("host", [*SPELLINGS, *IPV6, "%31%32%37.0.0.2", "127.0.0.2.", "localhost", "①②⑦.⓪.⓪.②"])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_is_not_asked_for_an_address_that_is_refused(scheme: str, host: str) -> None:
    """... on a connection to the proxy that is there already; the proxy itself is the program's own choice."""
    async with (
        EchoServer(proxy=True) as proxy,
        endwell.ClientSession(connector=connector(deny=endwell.private_address), proxy=proxy.url("")) as session,
    ):
        async with session.get("http://name.example/echo") as response:
            assert (await response.json())["target"] == "http://name.example/echo"
        with pytest.raises((endwell.AddressDeniedError, endwell.InvalidURL)):
            await session.get(f"{scheme}://{host}/echo")
        assert len(proxy.requests) == 1
        assert proxy.tunnels == []


async def test_a_redirect_to_an_address_is_not_asked_for_at_a_proxy() -> None:
    async with (
        EchoServer(proxy=True) as proxy,
        endwell.ClientSession(connector=connector(), proxy=proxy.url("")) as session,
    ):
        with pytest.raises(endwell.AddressDeniedError):
            await session.get("http://name.example/redirect/302?to=http://2130706434/")
        assert len(proxy.requests) == 1


async def test_a_proxy_of_the_environment_is_no_way_round(monkeypatch: pytest.MonkeyPatch) -> None:
    async with EchoServer(proxy=True) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url(""))
        async with endwell.ClientSession(connector=connector(), trust_env=True) as session:
            with pytest.raises(endwell.AddressDeniedError):
                await session.get("http://127.0.0.2/")
        assert proxy.requests == []


@pytest.mark.parametrize("scheme", ["socks4", "socks5"])
async def test_a_socks_proxy_gets_no_address_that_is_refused(scheme: str) -> None:
    async with EchoServer() as server, socks_server() as (address, asked):
        resolver = Resolver("127.0.0.2", "127.0.0.1")
        async with session_of(resolver=resolver) as session:
            url, proxy = server.url("/", "name.example"), f"{scheme}://{address}"
            async with session.get(url, proxy=proxy) as response:
                assert await response.text() == "hello"
            assert [each[1] for each in asked] == ["127.0.0.1"]
            assert isinstance(session.connector, endwell.TCPConnector)
            session.connector.clear_dns_cache()
            resolver.hosts = ("127.0.0.2",)
            with pytest.raises(endwell.AddressDeniedError):
                await session.get(server.url("/", "other.example"), proxy=proxy)
            with pytest.raises(endwell.AddressDeniedError):
                await session.get("http://127.0.0.2/", proxy=proxy)
        assert len(asked) == 1


# The rest


async def test_websockets_too() -> None:
    async with EchoServer(proxy=True) as proxy, endwell.ClientSession(connector=connector()) as session:
        for through in (None, proxy.url("")):
            with pytest.raises(endwell.AddressDeniedError):
                await session.ws_connect("ws://127.0.0.2:1/", proxy=through)
        assert proxy.requests == []


async def test_it_is_not_tried_again() -> None:
    tries = 0

    async def count(request: Any, handler: Any) -> Any:
        nonlocal tries
        tries += 1
        return await handler(request)

    retry = endwell.RetryMiddleware(attempts=5, backoff=0)
    async with endwell.ClientSession(connector=connector(), middlewares=(retry, count)) as session:
        with pytest.raises(endwell.AddressDeniedError):
            await session.get("http://127.0.0.2:1/")
    assert tries == 1


async def test_a_policy_that_fails_leaves_nothing() -> None:
    def broken(address: Any) -> bool:
        if address == PUBLIC:
            raise LookupError("no such list")
        return False

    async with EchoServer() as server, inside() as (port, _):
        async with endwell.ClientSession(connector=connector(deny=broken, limit=1)) as session:
            for _ in range(2):
                with pytest.raises(LookupError):
                    await session.get(server.url())
            assert await fetch(session, f"http://127.0.0.2:{port}/") == (200, b"secret")
        assert server.connections == []


async def test_the_error_is_a_connector_error_that_travels() -> None:
    async with endwell.ClientSession(connector=connector(ssl=True)) as session:
        with pytest.raises(endwell.ClientConnectorError) as caught:
            await session.get("http://user:hunter2@127.0.0.2:81/")
    for error in (caught.value, copy.copy(caught.value), pickle.loads(pickle.dumps(caught.value))):
        assert isinstance(error, endwell.AddressDeniedError)
        assert isinstance(error, OSError)
        assert (error.host, error.port, error.addresses) == ("127.0.0.2", 81, ("127.0.0.2",))
        assert "hunter2" not in f"{error} {error!r}"


@pytest.mark.parametrize("wrong", ["private", True, ["10.0.0.0/8"]])
async def test_a_policy_is_a_function(wrong: Any) -> None:
    with pytest.raises(TypeError, match="private_address"):
        endwell.TCPConnector(deny=wrong)
