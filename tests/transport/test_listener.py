"""Listening sockets: where one can listen, what is left, and connections whose TLS handshake goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from endwell.lifetime import Origin, Owner, close, drop
from endwell.lifetime.closing import finish_one
from endwell.transport import listener as module
from endwell.transport.accepted import Accepted
from endwell.transport.listener import Listener, listen
from tests.support.closing import passes, until
from tests.support.contract import cancelled_at
from tests.support.leaks import open_sockets
from tests.support.tls import client_context, server_context
from tests.support.visitor import Place, Visitor

HERE = Origin(None, 0)
TLS = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])


class Echo(Accepted):
    """Sends back what comes."""

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None, "data before connection_made"
        self.transport.write(data)


class Echoes(Owner):
    """An owner of echoes."""

    kind = "echo server"

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop(), close_timeout=1, advice="")

    def make(self) -> Echo:
        return Echo(self, self.loop)

    async def listen(self, **how: Any) -> Listener:
        return await listen(self, self.make, **how)


@contextlib.asynccontextmanager
async def echoes() -> AsyncIterator[Echoes]:
    """Give an owner; it is closed, without a complaint, and nothing is left of it."""
    owner = Echoes()
    try:
        yield owner
    finally:
        report = await close(owner, timeout=1, at=HERE)
    assert not report.errors, report
    assert not owner.children


async def echoed(place: Place, text: bytes = b"hello") -> bytes:
    async with Visitor(place) as visitor:
        visitor.send(text)
        return await visitor.reader.readexactly(len(text))


def refused(place: Place) -> bool:
    with socket.socket(socket.AF_INET if isinstance(place.where, int) else socket.AF_UNIX) as sock:
        address: Any = ("127.0.0.1", place.where) if isinstance(place.where, int) else place.where
        return sock.connect_ex(address) in (errno.ECONNREFUSED, errno.ENOENT)


# Where one can listen


@TLS
async def test_tcp(tls: bool) -> None:
    async with echoes() as owner:
        listener = await owner.listen(host="127.0.0.1", tls=server_context() if tls else None)
        ((host, port),) = listener.addresses
        assert host == "127.0.0.1"
        assert listener.describe() == f"listener on ('127.0.0.1', {port})"
        place = Place(port, tls=tls)
        assert await echoed(place) == b"hello"
        await finish_one(listener, 0)
        assert refused(place)
        await finish_one(listener, 0)
        await until(lambda: not owner.children)
    assert refused(place)


async def test_every_address_of_this_machine() -> None:
    async with echoes() as owner:
        listener = await owner.listen(host=None)
        for address in listener.addresses:
            if len(address) == 2:
                assert await echoed(Place(address[1], tls=False)) == b"hello"


async def test_a_port_that_is_taken(loop_kind: str) -> None:
    async with echoes() as owner:
        listener = await owner.listen(host="127.0.0.1")
        port = listener.addresses[0][1]
        before = open_sockets()
        with pytest.raises(OSError, match=rf"(?i){port}.*address already in use") as caught:
            await owner.listen(host="127.0.0.1", port=port)
        assert caught.value.errno == errno.EADDRINUSE
        await passes()
        gc.collect()
        assert open_sockets() == before
        assert await echoed(Place(port, tls=False)) == b"hello"


async def test_a_host_that_there_is_not() -> None:
    async with echoes() as owner:
        with pytest.raises(OSError):
            await owner.listen(host="192.0.2.1")
        assert not owner.children


async def test_several_processes_on_one_port() -> None:
    async with echoes() as owner:
        first = await owner.listen(host="127.0.0.1", reuse_port=True)
        second = await owner.listen(host="127.0.0.1", port=first.addresses[0][1], reuse_port=True)
        assert first.addresses == second.addresses
        await finish_one(first, 0)
        assert await echoed(Place(second.addresses[0][1], tls=False)) == b"hello"


@TLS
async def test_unix(tmp_path: Path, tls: bool) -> None:
    path = str(tmp_path / "s")
    async with echoes() as owner:
        listener = await owner.listen(path=path, tls=server_context() if tls else None)
        assert listener.describe() == f"listener on {path}"
        assert await echoed(Place(path, tls=tls)) == b"hello"
    assert not Path(path).exists(), "it is removed with the listener"


async def test_an_abstract_unix_socket() -> None:
    name = f"\0endwell-test-{os.getpid()}-{id(object())}"
    async with echoes() as owner:
        await owner.listen(path=name)
        with socket.socket(socket.AF_UNIX) as sock:  # uvloop's client knows no abstract names
            sock.setblocking(False)
            sock.connect(name)
            await asyncio.get_running_loop().sock_sendall(sock, b"hello")
            assert await asyncio.get_running_loop().sock_recv(sock, 5) == b"hello"
        with pytest.raises(OSError, match="Address already in use"):
            await owner.listen(path=name)
    assert refused(Place(name, tls=False))


async def test_a_stale_unix_socket_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    assert Path(path).is_socket()
    async with echoes() as owner:
        await owner.listen(path=path)
        assert await echoed(Place(path, tls=False)) == b"hello"


async def test_the_path_of_a_living_server_is_not_stolen(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    async with echoes() as first:
        await first.listen(path=path)
        async with echoes() as second:
            with pytest.raises(OSError, match="another server listens on it") as caught:
                await second.listen(path=path)
            assert caught.value.errno == errno.EADDRINUSE
            assert path in str(caught.value)
        assert await echoed(Place(path, tls=False)) == b"hello"


async def test_a_living_server_that_is_too_busy_to_accept_keeps_its_path(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as busy, contextlib.ExitStack() as clients:
        busy.bind(path)
        busy.listen(0)
        while True:
            client = clients.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            if client.connect_ex(path):
                break
        async with echoes() as owner:
            with pytest.raises(OSError, match="another server"):
                await owner.listen(path=path)
    assert Path(path).is_socket()


async def test_a_path_where_something_else_is(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    async with echoes() as owner:
        with pytest.raises(OSError, match="something else than a socket"):
            await owner.listen(path=str(path))
    assert path.read_text() == "precious"


async def test_paths_that_cannot_be(tmp_path: Path) -> None:
    async with echoes() as owner:
        with pytest.raises(OSError, match=r"Cannot listen on the Unix socket .*too long"):
            await owner.listen(path=str(tmp_path / ("s" * 200)))
        with pytest.raises(OSError, match=r"Cannot listen on the Unix socket .*No such file or directory"):
            await owner.listen(path=str(tmp_path / "missing" / "s"))


async def test_a_path_that_was_taken_over_meanwhile_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with echoes() as owner:
        await owner.listen(path=str(path))
        path.unlink()
        path.write_text("somebody else's")
    assert path.read_text() == "somebody else's"


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
@TLS
async def test_a_given_socket(tmp_path: Path, family: socket.AddressFamily, tls: bool) -> None:
    sock = socket.socket(family)
    address: Any = ("127.0.0.1", 0) if family == socket.AF_INET else str(tmp_path / "s")
    sock.bind(address)
    where = sock.getsockname()[1] if family == socket.AF_INET else address
    async with echoes() as owner:
        listener = await owner.listen(sock=sock, tls=server_context() if tls else None)
        assert len(listener.addresses) == 1
        assert await echoed(Place(where, tls=tls)) == b"hello"
    assert refused(Place(where, tls=tls))
    assert sock.fileno() == -1, "it is closed at the end"


# The end


async def test_an_owner_that_has_ended_cannot_listen(tmp_path: Path) -> None:
    owner = Echoes()
    await close(owner, timeout=0, at=HERE)
    for how in ({"host": "127.0.0.1"}, {"path": str(tmp_path / "s")}):
        with pytest.raises(RuntimeError, match="echo server is being closed, or was"):
            await owner.listen(**how)
    assert not (tmp_path / "s").exists()
    await until(lambda: not owner.children)


async def test_an_owner_that_is_closed_while_it_begins_to_listen() -> None:
    owner = Echoes()
    starting = asyncio.create_task(owner.listen(host="localhost"))
    await asyncio.sleep(0)
    await close(owner, timeout=0, at=HERE)
    with pytest.raises(RuntimeError, match="is being closed, or was"):
        await starting
    await until(lambda: not owner.children)


@pytest.mark.parametrize("unix", [False, True])
async def test_cancelled_at_every_await_nothing_listens(tmp_path: Path, unix: bool) -> None:
    path = tmp_path / "s"
    how: dict[str, Any] = {"path": str(path)} if unix else {"host": "localhost"}
    for number in range(20):
        before = open_sockets()
        owner = Echoes()
        driven = cancelled_at(owner.listen(**how), number)

        async def listening(driven: cancelled_at = driven) -> None:
            await driven

        task = asyncio.create_task(listening())
        await asyncio.wait([task])
        if not driven.reached:
            await close(owner, timeout=0, at=HERE)
            return
        assert task.cancelled()
        await passes()
        gc.collect()
        assert not owner.children
        assert open_sockets() == before
        assert not path.exists()
        await close(owner, timeout=0, at=HERE)
    pytest.fail("it never came to its end")


@pytest.mark.parametrize("loop_kind", ["asyncio"], indirect=True)
def test_its_loop_is_closed_under_it(tmp_path: Path, loop_kind: str) -> None:
    path = tmp_path / "s"
    loop = asyncio.SelectorEventLoop()
    owners: list[Echoes] = []
    ports: list[int] = []

    async def main() -> None:
        owner = Echoes()
        owners.append(owner)
        ports.append((await owner.listen(host="127.0.0.1")).addresses[0][1])
        await owner.listen(path=str(path))

    loop.run_until_complete(main())
    loop.close()
    drop(owners[0])
    assert refused(Place(ports[0], tls=False))
    assert not path.exists()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 on fork and threads
async def test_a_forked_child_does_not_deafen_its_parent(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with echoes() as owner:
        listeners = [await owner.listen(host="127.0.0.1"), await owner.listen(path=str(path))]
        child = os.fork()
        if not child:
            try:
                for listener in listeners:
                    listener._stop()
                    listener._abort("the child ends")
                del listeners, listener
                owner.children = None
                gc.collect()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert path.is_socket()
        assert await echoed(Place(listeners[0].addresses[0][1], tls=False)) == b"hello"
        assert await echoed(Place(str(path), tls=False)) == b"hello"


# TLS handshakes


@contextlib.contextmanager
def raw(place: Place) -> Any:
    """Give a connected socket that speaks no TLS."""
    with socket.create_connection(("127.0.0.1", place.where)) as sock:
        sock.setblocking(False)
        yield sock


async def ended(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionError):
        while await loop.sock_recv(sock, 1000):
            pass


async def test_what_comes_with_the_end_of_the_handshake_is_not_lost() -> None:
    """Finished and the first request in one segment, as clients of TLS 1.3 send them."""
    async with echoes() as owner:
        listener = await owner.listen(host="127.0.0.1", tls=server_context())
        place = Place(listener.addresses[0][1], tls=True)
        for _ in range(3):
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            layer = client_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
            loop = asyncio.get_running_loop()
            with raw(place) as sock:
                while True:
                    try:
                        layer.do_handshake()
                        break
                    except ssl.SSLWantReadError:
                        await loop.sock_sendall(sock, outgoing.read())
                        incoming.write(await loop.sock_recv(sock, 65536))
                layer.write(b"early")
                await loop.sock_sendall(sock, outgoing.read())
                while True:
                    try:
                        assert layer.read() == b"early"
                        break
                    except ssl.SSLWantReadError:
                        incoming.write(await loop.sock_recv(sock, 65536))


async def test_a_hello_in_pieces() -> None:
    async with echoes() as owner:
        listener = await owner.listen(host="127.0.0.1", tls=server_context())
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        layer = client_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
        loop = asyncio.get_running_loop()
        with raw(Place(listener.addresses[0][1], tls=True)) as sock:
            with pytest.raises(ssl.SSLWantReadError):
                layer.do_handshake()
            hello = outgoing.read()
            for at in range(0, len(hello), 50):
                await loop.sock_sendall(sock, hello[at : at + 50])
                await passes(2)
            incoming.write(await loop.sock_recv(sock, 65536))
            layer.do_handshake()


@pytest.mark.parametrize(
    "junk",
    [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\0" * 100],
    ids=["http", "alert", "zeros"],
)
async def test_a_client_that_speaks_no_tls(junk: bytes) -> None:
    async with echoes() as owner:
        listener = await owner.listen(host="127.0.0.1", tls=server_context())
        place = Place(listener.addresses[0][1], tls=True)
        with raw(place) as sock:
            sock.send(junk)
            await ended(sock)
        await until(lambda: list(owner.children or ()) == [listener] and not owner.tasks)
        assert await echoed(place) == b"hello"


async def test_a_client_that_does_not_like_the_certificate() -> None:
    async with echoes() as owner:
        listener = await owner.listen(host="127.0.0.1", tls=server_context("untrusted"))
        place = Place(listener.addresses[0][1], tls=True)
        with pytest.raises(ssl.SSLError):
            await echoed(place)
        await until(lambda: list(owner.children or ()) == [listener])


@pytest.mark.parametrize("how", ["fin", "rst", "half"])
@pytest.mark.parametrize("when", ["at once", "while the server waits"])
async def test_a_client_that_goes_in_the_handshake(how: str, when: str) -> None:
    async with echoes() as owner:
        listener = await owner.listen(host="127.0.0.1", tls=server_context())
        place = Place(listener.addresses[0][1], tls=True)
        with raw(place) as sock:
            if when != "at once":
                await until(lambda: owner.tasks)
                await passes()
                sock.send(b"\x16\x03\x01")
                await passes()
            if how == "half":
                sock.shutdown(socket.SHUT_WR)
                await ended(sock)
            elif how == "rst":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await until(lambda: list(owner.children or ()) == [listener] and not owner.tasks)
        assert await echoed(place) == b"hello"


async def test_a_client_that_says_nothing_has_only_so_much_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HANDSHAKE_TIMEOUT", 0.02)
    async with echoes() as owner:
        listener = await owner.listen(host="127.0.0.1", tls=server_context())
        with raw(Place(listener.addresses[0][1], tls=True)) as sock:
            await ended(sock)
        await until(lambda: list(owner.children or ()) == [listener] and not owner.tasks)


@pytest.mark.parametrize("timeout", [0, 1, None])
async def test_handshakes_under_way_end_with_the_owner(timeout: float | None) -> None:
    async with echoes() as owner:
        listener = await owner.listen(host="127.0.0.1", tls=server_context())
        place = Place(listener.addresses[0][1], tls=True)
        with contextlib.ExitStack() as stack:
            silent = [stack.enter_context(raw(place)) for _ in range(3)]
            await until(lambda: len(owner.tasks) == 3)
            silent[0].send(b"\x16\x03\x01")
            report = await close(owner, timeout=timeout, at=HERE)
            assert report.clean, report
            assert not owner.children
            for sock in silent:
                await ended(sock)


@TLS
async def test_connections_that_are_accepted_in_the_pass_of_the_stop_do_not_stay(tls: bool) -> None:
    """The loop has accepted them and not told us yet: they are found all the same."""
    for number in range(6):
        async with echoes() as owner:
            listener = await owner.listen(host="127.0.0.1", tls=server_context() if tls else None)
            before = open_sockets()
            with raw(Place(listener.addresses[0][1], tls=tls)) as sock:
                await passes(number)
                ours = open_sockets()
                await close(owner, timeout=1, at=HERE)
                assert not owner.children, f"after {number} passes"
                assert len(open_sockets()) <= len(before), (number, ours, open_sockets())
                await ended(sock)
