import asyncio
import socket
import threading
from typing import Any

import pytest

from endwell.transport import resolver
from endwell.transport.errors import ResolveError
from tests.transport.network import passes


def _lookups() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("resolve ")]


class Names:
    """The world's DNS, faked: lookups wait until they are let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gate = threading.Event()
        self.asked: list[str] = []
        self.answer: Any = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 80))]
        monkeypatch.setattr(socket, "getaddrinfo", self.getaddrinfo)

    def getaddrinfo(self, host: bytes | str, *args: Any) -> Any:
        self.asked.append(host.decode() if isinstance(host, bytes) else host)
        assert self.gate.wait(20)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Any:
    world = Names(monkeypatch)
    yield world
    world.gate.set()


async def test_the_system_resolves() -> None:
    asked = resolver.ThreadedResolver()
    (first, *_) = await asked.resolve("127.0.0.1", 80, socket.AF_UNSPEC)
    assert (first["hostname"], first["host"], first["port"], first["family"]) == (
        "127.0.0.1",
        "127.0.0.1",
        80,
        socket.AF_INET,
    )
    assert first["proto"] == socket.IPPROTO_TCP
    assert first["flags"] == socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    with pytest.raises(ResolveError) as caught:
        await asked.resolve("no.such.name.invalid", 80)
    assert caught.value.host == "no.such.name.invalid"
    assert caught.value.errno in (socket.EAI_NONAME, socket.EAI_AGAIN)
    await asked.close()
    assert _lookups() == []


@pytest.mark.parametrize("host", ["", "a b", "a\0b", "[::1", "a\nb"])
async def test_what_is_no_host_is_not_asked_for(names: Names, host: str) -> None:
    with pytest.raises(ValueError):
        await resolver.ThreadedResolver().resolve(host, 80)
    assert names.asked == []


async def test_askers_of_one_name_share_a_lookup_and_fail_alone(names: Names) -> None:
    names.answer = socket.gaierror(socket.EAI_NONAME, "unknown")
    asked = resolver.ThreadedResolver()
    first, second = (asyncio.create_task(asked.resolve("a.example", 80)) for _ in range(2))
    await passes()
    names.gate.set()
    outcomes = await asyncio.gather(first, second, return_exceptions=True)
    assert names.asked == ["a.example"]
    assert outcomes[0] is not outcomes[1]
    assert {type(each) for each in outcomes} == {ResolveError}
    await asked.close()


def running(asked: resolver.ThreadedResolver) -> list[str]:
    """Name the hosts whose lookups still run."""
    return [key[0] for key in asked._running]


async def test_a_cancelled_asker_leaves_the_lookup_to_close(names: Names) -> None:
    asked = resolver.ThreadedResolver()
    task = asyncio.create_task(asked.resolve("a.example", 80))
    await passes()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert running(asked) == ["a.example"]
    closing = [asyncio.create_task(asked.close()) for _ in range(2)]
    await passes()
    assert not any(each.done() for each in closing)
    names.gate.set()
    await asyncio.gather(*closing)
    assert running(asked) == []
    assert _lookups() == []


async def test_a_cancelled_close_names_what_still_runs(names: Names) -> None:
    asked = resolver.ThreadedResolver()
    task = asyncio.create_task(asked.resolve("a.example", 80))
    await passes()
    closing = asyncio.create_task(asked.close())
    await passes()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert running(asked) == ["a.example"]
    with pytest.raises(RuntimeError, match="closed"):
        await asked.resolve("b.example", 80)
    names.gate.set()
    assert (await task)[0]["host"] == "192.0.2.1"
    await asked.close()


async def test_lookups_are_bounded_and_wait_in_line(names: Names) -> None:
    asked = resolver.ThreadedResolver()
    tasks = [asyncio.create_task(asked.resolve(f"n{i}.example", 80)) for i in range(resolver.MAX_THREADS + 3)]
    await passes()
    assert len(running(asked)) == resolver.MAX_THREADS
    tasks[-1].cancel()  # in line: it is never asked
    await passes()
    names.gate.set()
    await asyncio.gather(*tasks[:-1])
    assert sorted(names.asked) == sorted(f"n{i}.example" for i in range(resolver.MAX_THREADS + 2))
    await asked.close()


async def test_close_fails_those_in_line(names: Names) -> None:
    asked = resolver.ThreadedResolver()
    tasks = [asyncio.create_task(asked.resolve(f"n{i}.example", 80)) for i in range(resolver.MAX_THREADS + 1)]
    await passes()
    closing = asyncio.create_task(asked.close())
    with pytest.raises(ResolveError, match="closed"):
        await tasks[-1]
    names.gate.set()
    await closing
    await asyncio.gather(*tasks[:-1])


def test_a_loop_that_ended_meanwhile_makes_no_noise(names: Names, capfd: pytest.CaptureFixture[str]) -> None:
    asked = resolver.ThreadedResolver()

    async def ask() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await asked.resolve("a.example", 80)

    asyncio.run(ask())
    threads = [each for each in threading.enumerate() if each.name == "resolve a.example"]
    names.gate.set()
    for thread in threads:
        thread.join(10)
    assert running(asked) == []
    asyncio.run(asked.close())
    assert capfd.readouterr().err == ""


async def test_odd_answers(names: Names) -> None:
    names.gate.set()
    asked = resolver.ThreadedResolver()
    names.answer = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1%eth7", 80, 0, 7)),
        (socket.AF_UNIX, socket.SOCK_STREAM, 0, "", "/x"),
    ]
    (only,) = await asked.resolve("a.example", 80, socket.AF_UNSPEC)
    assert only["host"] == "fe80::1%7"
    names.answer = []
    with pytest.raises(ResolveError, match="no address"):
        await asked.resolve("b.example", 80)
    names.answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"192.0.2.{i % 250}", 80)) for i in range(5000)]
    assert len(await asked.resolve("c.example", 80)) == resolver.MAX_ADDRESSES
    names.answer = UnicodeError("label too long")
    with pytest.raises(ResolveError):
        await asked.resolve("ü" * 70, 80)
    await asked.close()


class _OneAnswer(asyncio.DatagramProtocol):
    """A DNS server: 192.0.2.7 for every A question, nothing for others (RFC 1035 section 4)."""

    silent = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if self.silent:
            return
        end = data.index(b"\0", 12) + 5
        wants_a = data[end - 4 : end - 2] == b"\0\1"
        head = data[:2] + b"\x81\x80\0\1" + (b"\0\1" if wants_a else b"\0\0") + b"\0\0\0\0"
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\x07" if wants_a else b""
        self.transport.sendto(head + data[12:end] + answer, addr)


async def _dns_server(silent: bool) -> tuple[Any, int]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(_OneAnswer, local_addr=("127.0.0.1", 0))
    protocol.silent = silent
    return transport, transport.get_extra_info("sockname")[1]


async def test_aiodns_resolves_and_leaves_nothing() -> None:
    transport, port = await _dns_server(silent=False)
    asked = resolver.AsyncResolver(nameservers=[f"127.0.0.1:{port}"], lookups="b", timeout=5)
    (only,) = await asked.resolve("a.example", 80, socket.AF_INET)
    assert (only["host"], only["port"], only["family"], only["proto"]) == (
        "192.0.2.7",
        80,
        socket.AF_INET,
        socket.IPPROTO_TCP,
    )
    await asked.close()
    await asked.close()
    with pytest.raises(RuntimeError, match="closed"):
        await asked.resolve("a.example", 80)
    transport.close()
    await passes()


async def test_aiodns_closed_while_it_asks() -> None:
    transport, port = await _dns_server(silent=True)
    asked = resolver.AsyncResolver(nameservers=[f"127.0.0.1:{port}"], lookups="b", timeout=5)
    task = asyncio.create_task(asked.resolve("a.example", 80))
    await passes(5)
    await asked.close()
    with pytest.raises(ResolveError):
        await task
    transport.close()
    await passes()


def test_the_default_is_aiodns_where_it_is_installed() -> None:
    assert resolver.DefaultResolver is resolver.AsyncResolver
    assert resolver.default_resolver() is resolver.AsyncResolver
    with pytest.raises(AttributeError):
        _ = resolver.NoSuchResolver  # type: ignore[attr-defined] # that is the point
