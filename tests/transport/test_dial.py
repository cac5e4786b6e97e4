import asyncio
import errno
import socket
from pathlib import Path

import pytest

from endwell.transport import address, dial
from endwell.transport.errors import DialDeniedError, DialError
from tests.support.leaks import open_sockets
from tests.transport.network import Silent, passes, serving


def _infos(*where: tuple[str, int]) -> list[address.AddrInfo]:
    return [info for host, port in where for info in address.addr_infos(address.literal_addresses(host, port) or [])]


def _refusing() -> int:
    """A port of loopback where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Blackhole:
    """An address that never answers: a listener whose backlog is full, so that the kernel drops every SYN."""

    def __enter__(self) -> tuple[str, int]:
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.fillers = []
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(self.listener.getsockname())
            self.fillers.append(filler)
        where: tuple[str, int] = self.listener.getsockname()
        return where

    def __exit__(self, *_: object) -> None:
        for each in (self.listener, *self.fillers):
            each.close()


async def test_a_socket_comes_out_tuned() -> None:
    async with serving(Silent) as port:
        sock = await dial.open_tcp(_infos(("127.0.0.1", port)), host="a", port=port)
        with sock:
            assert sock.getblocking() is False
            assert sock.getpeername() == ("127.0.0.1", port)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


@pytest.mark.parametrize("delay", [None, 0.01, 0.25])
async def test_the_next_address_is_tried_and_losers_are_closed(delay: float | None) -> None:
    async with serving(Silent) as port:
        infos = _infos(("127.0.0.1", _refusing()), ("::1", _refusing()), ("127.0.0.1", port))
        sock = await dial.open_tcp(infos, happy_eyeballs_delay=delay)
        with sock:
            assert sock.getpeername()[1] == port


async def test_an_address_that_does_not_answer_is_overtaken() -> None:
    with Blackhole() as silent:
        async with serving(Silent) as port:
            sock = await dial.open_tcp(_infos(silent, ("127.0.0.1", port)), happy_eyeballs_delay=0.01)
            with sock:
                assert sock.getpeername()[1] == port


async def test_the_error_names_every_attempt() -> None:
    first, second = _refusing(), _refusing()
    with pytest.raises(DialError) as caught:
        await dial.open_tcp(_infos(("127.0.0.1", first), ("127.0.0.1", second)), host="a.example", port=80)
    error = caught.value
    assert error.errno == errno.ECONNREFUSED
    assert (error.host, error.port) == ("a.example", 80)
    assert error.attempts == (f"127.0.0.1:{first}", f"127.0.0.1:{second}")
    assert all(each in str(error) for each in error.attempts)
    assert isinstance(error.__cause__, OSError)
    with pytest.raises(DialError, match="no address"):
        await dial.open_tcp([], host="a.example", port=80)


@pytest.mark.parametrize("delay", [None, 0.001])
@pytest.mark.parametrize("turns", range(5))
async def test_cancelled_at_any_point_it_leaves_no_socket(delay: float | None, turns: int) -> None:
    with Blackhole() as one, Blackhole() as two:
        before = open_sockets()
        task = asyncio.create_task(dial.open_tcp(_infos(one, two), happy_eyeballs_delay=delay))
        await passes(turns)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await passes()
        assert open_sockets() == before


@pytest.mark.parametrize("turns", range(8))
async def test_cancelled_while_it_succeeds(turns: int) -> None:
    async with serving(Silent) as port:
        infos = _infos(("127.0.0.1", port), ("127.0.0.1", port))
        task = asyncio.create_task(dial.open_tcp(infos, happy_eyeballs_delay=0.0001))
        await passes(turns)
        if task.cancel():
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            task.result().close()


def test_a_policy_sees_every_address() -> None:
    infos = _infos(("127.0.0.1", 80), ("::1", 80), ("::ffff:10.0.0.1", 80))
    with pytest.raises(DialDeniedError, match=r"a:80.*refused by deny=: 127\.0\.0\.1, ::1") as caught:
        dial.permitted(infos, address.private_address, "a", 80)
    assert caught.value.addresses == ("127.0.0.1", "::1", "::ffff:10.0.0.1")
    assert caught.value.attempts == ()
    assert dial.permitted(infos, lambda each: each.version == 4, "a", 80) == infos[1:2]


async def test_socket_factory_and_local_address() -> None:
    made: list[address.AddrInfo] = []

    def factory(info: address.AddrInfo) -> socket.socket:
        made.append(info)
        return socket.socket(info[0], info[1], info[2])

    async with serving(Silent) as port:
        infos = _infos(("127.0.0.1", port))
        with await dial.open_tcp(infos, local_addr=("127.0.0.2", 0), socket_factory=factory) as sock:
            assert sock.getsockname()[0] == "127.0.0.2"
        assert made == infos
        with pytest.raises(ValueError, match="local_addr"):
            await dial.open_tcp(infos, local_addr=("a.example", 0))
        with pytest.raises(DialError):
            await dial.open_tcp(infos, local_addr=("192.0.2.1", 0))


async def test_unix(tmp_path: Path) -> None:
    path = tmp_path / "s"
    server = await asyncio.get_running_loop().create_unix_server(Silent, path)
    with await dial.open_unix(path) as sock:
        assert sock.getblocking() is False
    await passes(5)
    server.close()
    await server.wait_closed()
    missing = tmp_path / "missing"
    with pytest.raises(DialError) as caught:
        await dial.open_unix(missing)
    assert caught.value.errno == errno.ENOENT
    assert caught.value.host == str(missing)
    await passes()
