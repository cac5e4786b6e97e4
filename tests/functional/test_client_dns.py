"""Names: resolvers of the user, the cache, several addresses, and which names are not resolved."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

import endwell
from endwell.abc import AbstractResolver, ResolveResult
from tests.support.echo import EchoServer
from tests.support.peer import refused_port
from tests.support.tls import client_context, server_context


class Resolver(AbstractResolver):
    """Answers with the addresses it was given, and remembers the questions."""

    def __init__(self, *hosts: str, error: Exception | None = None) -> None:
        self.hosts = hosts or ("127.0.0.1",)
        self.error = error
        self.asked: list[tuple[str, int, int]] = []
        self.closed = False

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
        self.asked.append((host, port, family))
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self.hosts
        ]

    async def close(self) -> None:
        self.closed = True


async def text(session: Any, url: str) -> str:
    async with session.get(url) as response:
        return str(await response.text())


async def test_a_resolver_of_the_user() -> None:
    resolver = Resolver()
    connector = endwell.TCPConnector(resolver=resolver)
    async with EchoServer() as server, endwell.ClientSession(connector=connector) as session:
        async with session.get(server.url("/echo", "name.example")) as response:
            fields = dict((await response.json())["headers"])
        assert fields["Host"] == f"name.example:{server.port}"
        assert resolver.asked == [("name.example", server.port, socket.AF_UNSPEC)]
    assert not resolver.closed  # its owner closes it


async def test_the_family_is_handed_on() -> None:
    resolver = Resolver()
    connector = endwell.TCPConnector(resolver=resolver, family=socket.AF_INET)
    assert connector.family == socket.AF_INET
    async with EchoServer() as server, endwell.ClientSession(connector=connector) as session:
        await text(session, server.url("/", "name.example"))
    assert resolver.asked[0][2] == socket.AF_INET


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "sub.localhost"])
async def test_what_is_not_resolved(host: str) -> None:
    resolver = Resolver("192.0.2.1")
    connector = endwell.TCPConnector(resolver=resolver, force_close=True)
    async with EchoServer() as server, endwell.ClientSession(connector=connector) as session:
        assert await text(session, server.url("/", host)) == "hello"
    assert resolver.asked == []


async def test_an_ipv6_literal() -> None:
    async with EchoServer() as server:
        loop = asyncio.get_running_loop()
        from tests.support.echo import Connection

        six = await loop.create_server(lambda: Connection(server), "::1", 0)
        port = six.sockets[0].getsockname()[1]
        async with endwell.ClientSession() as session, session.get(f"http://[::1]:{port}/echo") as response:
            assert dict((await response.json())["headers"])["Host"] == f"[::1]:{port}"
        six.close()


# -- the cache


@pytest.mark.parametrize(
    ("kwargs", "questions"),
    [({}, 1), ({"use_dns_cache": False}, 3), ({"ttl_dns_cache": None}, 1), ({"ttl_dns_cache": 0}, 3)],
)
async def test_the_cache(kwargs: Any, questions: int) -> None:
    resolver = Resolver()
    connector = endwell.TCPConnector(resolver=resolver, force_close=True, **kwargs)
    assert connector.use_dns_cache is kwargs.get("use_dns_cache", True)
    async with EchoServer() as server, endwell.ClientSession(connector=connector) as session:
        for _ in range(3):
            await text(session, server.url("/", "name.example"))
    assert len(resolver.asked) == questions


async def test_askers_at_the_same_time_share_a_question() -> None:
    resolver = Resolver()
    connector = endwell.TCPConnector(resolver=resolver, force_close=True)
    async with EchoServer() as server, endwell.ClientSession(connector=connector) as session:
        await asyncio.gather(*(text(session, server.url("/", "name.example")) for _ in range(5)))
    assert len(resolver.asked) == 1


async def test_clear_dns_cache() -> None:
    resolver = Resolver()
    connector = endwell.TCPConnector(resolver=resolver, force_close=True)
    async with EchoServer() as server, endwell.ClientSession(connector=connector) as session:
        for name in ("a.example", "b.example"):
            await text(session, server.url("/", name))
        connector.clear_dns_cache("a.example", server.port)
        for name in ("a.example", "b.example"):
            await text(session, server.url("/", name))
        assert [asked[0] for asked in resolver.asked] == ["a.example", "b.example", "a.example"]
        connector.clear_dns_cache()
        await text(session, server.url("/", "b.example"))
        assert len(resolver.asked) == 4
        with pytest.raises(ValueError, match="both"):
            connector.clear_dns_cache("a.example")


async def test_dns_cache_max_size() -> None:
    resolver = Resolver()
    connector = endwell.TCPConnector(resolver=resolver, force_close=True, dns_cache_max_size=2)
    async with EchoServer() as server, endwell.ClientSession(connector=connector) as session:
        for name in ("a.example", "b.example", "c.example", "a.example"):
            await text(session, server.url("/", name))
    assert [asked[0] for asked in resolver.asked] == ["a.example", "b.example", "c.example", "a.example"]


# -- errors


async def test_a_name_that_there_is_not() -> None:
    resolver = Resolver(error=OSError(socket.EAI_NONAME, "no such name"))
    async with endwell.ClientSession(connector=endwell.TCPConnector(resolver=resolver)) as session:
        for _ in range(2):
            with pytest.raises(endwell.ClientConnectorDNSError, match=r"nowhere\.example") as caught:
                await session.get("http://nowhere.example/")
            assert (caught.value.host, caught.value.port) == ("nowhere.example", 80)
    assert len(resolver.asked) == 2  # a failure is not kept


async def test_no_address() -> None:
    class Empty(Resolver):
        async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
            return []

    async with endwell.ClientSession(connector=endwell.TCPConnector(resolver=Empty())) as session:
        with pytest.raises(endwell.ClientConnectorError):
            await session.get("http://nowhere.example/")


async def test_the_system_does_not_know_it() -> None:
    connector = endwell.TCPConnector(resolver=(resolver := endwell.ThreadedResolver()))
    async with endwell.ClientSession(connector=connector) as session:
        with pytest.raises(endwell.ClientConnectorDNSError):
            await session.get("http://no-such-host.invalid/")
    await resolver.close()


async def test_a_name_of_the_system() -> None:
    async with EchoServer() as server:
        resolver = endwell.ThreadedResolver()
        found = await resolver.resolve("localhost", server.port, socket.AF_INET)
        assert found[0]["host"] == "127.0.0.1"
        await resolver.close()


# -- several addresses


@pytest.mark.parametrize(
    "kwargs", [{}, {"happy_eyeballs_delay": None}, {"happy_eyeballs_delay": 0.01, "interleave": 2}, {"interleave": 1}]
)
async def test_addresses_are_tried_one_after_the_other(kwargs: Any) -> None:
    resolver = Resolver("::1", "127.0.0.3", "127.0.0.1")
    connector = endwell.TCPConnector(resolver=resolver, **kwargs)
    async with EchoServer() as server, endwell.ClientSession(connector=connector) as session:
        assert await text(session, server.url("/", "name.example")) == "hello"


async def test_all_addresses_refuse() -> None:
    resolver = Resolver("127.0.0.3", "127.0.0.1")
    port = refused_port()
    async with endwell.ClientSession(connector=endwell.TCPConnector(resolver=resolver)) as session:
        with pytest.raises(endwell.ClientConnectorError) as caught:
            await session.get(f"http://name.example:{port}/")
    assert (caught.value.host, caught.value.port) == ("name.example", port)
    for address in resolver.hosts:
        assert address in str(caught.value)


async def test_the_name_is_checked_not_the_address() -> None:
    """The certificate is for localhost; the resolver says where that is."""
    resolver = Resolver()
    connector = endwell.TCPConnector(resolver=resolver, ssl=client_context())
    async with (
        EchoServer(tls=server_context()) as server,
        endwell.ClientSession(connector=connector) as session,
    ):
        with pytest.raises(endwell.ClientConnectorCertificateError):
            await session.get(server.url("/", "name.example"))
        async with session.get(server.url("/", "name.example"), server_hostname="localhost") as response:
            assert await response.text() == "hello"
