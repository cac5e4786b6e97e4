"""The listening sockets: what is bound for which plan, what is refused, what is left."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from endwell.lifetime import Owner, caller, close
from endwell.service.errors import ServiceError
from endwell.service.plan import ServicePlan
from endwell.service.sockets import Sockets, bind

ON_LINUX = sys.platform == "linux"


class Bound:
    """Sockets with an owner, for a block."""

    def __init__(
        self, inherited: list[tuple[int, str]] | None = None, *, patience: float = 0.0, **options: Any
    ) -> None:
        self.patience = patience
        self.plan = ServicePlan(**options)
        self.inherited = inherited or []
        self.owner = Owner(asyncio.get_running_loop(), close_timeout=0, advice="")

    async def __aenter__(self) -> Sockets:
        bound = False
        try:
            sockets = await bind(self.owner, self.plan, self.inherited, patience=self.patience)
            bound = True
        finally:
            if not bound:
                await self.__aexit__()
        return sockets

    async def __aexit__(self, *_: object) -> None:
        await close(self.owner, timeout=0, at=caller())


def addresses(sockets: list[socket.socket]) -> list[Any]:
    return [sock.getsockname()[:2] for sock in sockets]


@pytest.mark.skipif(not ON_LINUX, reason="elsewhere the kernel does not balance")
async def test_each_slot_has_a_tcp_socket_and_knows_those_of_the_others() -> None:
    async with Bound(host=["127.0.0.1"], port=0, workers=3) as sockets:
        assert sockets.shared == []
        assert [len(own) for own in sockets.own] == [1, 1, 1]
        assert len({tuple(addresses(own)) for own in sockets.own}) == 1
        assert sockets.of(1) == sockets.own[1]
        assert sockets.others(1) == {0: sockets.own[0], 2: sockets.own[2]}
        port = sockets.own[0][0].getsockname()[1]
        assert sockets.names == [f"http://127.0.0.1:{port}"]
        seen = [0, 0, 0]
        for _ in range(60):
            with socket.create_connection(("127.0.0.1", port)):
                for slot, [sock] in enumerate(sockets.own):
                    sock.setblocking(False)
                    try:
                        sock.accept()[0].close()
                    except BlockingIOError:
                        continue
                    seen[slot] += 1
        assert sum(seen) == 60
        assert all(seen), "the kernel deals them out"


@pytest.mark.parametrize("options", [{"workers": 1}, {"workers": 3, "reuse_port": False}])
async def test_one_socket_is_shared_otherwise(options: dict[str, Any]) -> None:
    async with Bound(host=["127.0.0.1"], port=0, **options) as sockets:
        assert len(sockets.shared) == 1
        assert not any(sockets.own)
        assert sockets.of(0) == sockets.shared
        assert sockets.others(0) == {}


async def test_several_hosts_have_one_port_and_nothing_is_bound_twice() -> None:
    async with Bound(host=["127.0.0.1", "127.0.0.2", "127.0.0.1"], port=0) as sockets:
        found = addresses(sockets.shared)
        assert [host for host, _ in found] == ["127.0.0.1", "127.0.0.2"]
        assert len({port for _, port in found}) == 1


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
async def test_ipv6_is_named_as_in_a_url_and_does_not_take_ipv4() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    async with Bound(host=["::1", "127.0.0.1"], port=0, workers=2) as sockets:
        port = sockets.of(0)[0].getsockname()[1]
        assert sockets.names == [f"http://[::1]:{port}", f"http://127.0.0.1:{port}"]
        assert sockets.of(0)[0].getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


async def test_without_a_host_it_is_all_addresses() -> None:
    async with Bound(port=0) as sockets:
        assert {sock.getsockname()[0] for sock in sockets.shared} <= {"0.0.0.0", "::"}
        assert sockets.shared


async def test_names_are_resolved_and_unknown_ones_refused() -> None:
    async with Bound(host=["localhost"], port=0, ssl_certfile="x") as sockets:
        assert all(name.startswith("https://") for name in sockets.names)
    with pytest.raises(ServiceError, match=r"Cannot listen at 'does\.not\.exist\.invalid'"):
        async with Bound(host=["does.not.exist.invalid"], port=0):
            pass


async def test_an_address_that_is_not_ours_is_refused() -> None:
    with pytest.raises(ServiceError, match=r"Cannot listen on http://192\.0\.2\.1:8080: Cannot assign"):
        async with Bound(host=["192.0.2.1"]):
            pass


async def test_an_address_in_use_is_tried_again() -> None:
    """The workers of a supervisor that was killed are about to let go of it."""
    other = socket.create_server(("127.0.0.1", 0))
    port = other.getsockname()[1]
    asyncio.get_running_loop().call_soon(other.close)
    async with Bound(host=["127.0.0.1"], port=port, workers=2, patience=30.0) as sockets:
        assert addresses(sockets.of(0)) == [("127.0.0.1", port)]


async def test_an_address_that_stays_in_use_is_refused() -> None:
    for options in ({}, {"reuse_port": False}):
        async with Bound(host=["127.0.0.1"], port=0, workers=2, **options) as sockets:
            port = sockets.of(0)[0].getsockname()[1]
            with pytest.raises(ServiceError, match="Address already in use; another program listens there"):
                async with Bound(host=["127.0.0.2", "127.0.0.1"], port=port, workers=2):
                    pass


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
async def test_a_unix_socket_has_its_mode_and_is_removed(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "s"
    async with Bound(unix=[str(path)], unix_mode=mode, workers=2) as sockets:
        assert stat.S_IMODE(path.stat().st_mode) == mode
        assert sockets.names == [f"http://unix:{path}:"]
        assert len(sockets.shared) == 1, "and no TCP, which nobody asked for"
    assert not path.exists()


async def test_a_stale_unix_socket_is_taken_over_a_live_one_and_a_file_are_not(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(path)
    stale.close()
    async with Bound(unix=[path]):
        with pytest.raises(ServiceError, match="another server listens on it"):
            async with Bound(unix=[path]):
                pass
        assert os.path.exists(path)
    Path(path).write_text("precious")
    with pytest.raises(ServiceError, match="something else than a socket"):
        async with Bound(unix=[path]):
            pass
    assert Path(path).read_text() == "precious"


async def test_the_path_is_left_to_who_has_taken_it(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    async with Bound(unix=[path]):
        os.unlink(path)
        with socket.socket(socket.AF_UNIX) as third:
            third.bind(path)
            inode = os.stat(path).st_ino
    assert os.stat(path).st_ino == inode


@pytest.mark.skipif(not ON_LINUX, reason="abstract addresses are Linux's")
async def test_an_abstract_address() -> None:
    name = f"@endwell-test-{os.getpid()}"
    async with Bound(unix=[name]) as sockets:
        assert sockets.shared[0].getsockname() == b"\0" + name[1:].encode()
        assert sockets.names == [f"http://unix:{name}:"]


async def test_given_sockets_stay_open_for_who_gave_them(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        async with Bound([(sock.fileno(), "web")], workers=2) as sockets:
            assert addresses(sockets.shared) == [sock.getsockname()]
            assert sockets.names == [f"http://127.0.0.1:{sock.getsockname()[1]}"]
        socket.create_connection(sock.getsockname()).close()


async def test_a_unix_path_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="Cannot listen on the Unix socket"):
        async with Bound(unix=[str(tmp_path / ("x" * 200))]):
            pass
