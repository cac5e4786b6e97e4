"""Sockets that systemd hands over, and the news that it gets: with a test in the place of systemd."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from endwell.service.errors import ServiceError
from endwell.service.systemd import Notifier, take_sockets
from tests.service.running import SECONDS, Service, over_unix

MINE = str(os.getpid())


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, []),
        ({"LISTEN_FDS": "2"}, []),
        ({"LISTEN_FDS": "2", "LISTEN_PID": "1"}, []),
        ({"LISTEN_FDS": "0", "LISTEN_PID": MINE}, []),
        ({"LISTEN_FDS": "1", "LISTEN_PID": MINE}, [(3, "unknown")]),
        ({"LISTEN_FDS": "2", "LISTEN_PID": MINE, "LISTEN_FDNAMES": "web"}, [(3, "web"), (4, "unknown")]),
        ({"LISTEN_FDS": "2", "LISTEN_PID": MINE, "LISTEN_FDNAMES": "web:admin"}, [(3, "web"), (4, "admin")]),
    ],
)
def test_what_is_handed_over(
    environ: dict[str, str], expected: list[tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = []
    monkeypatch.setattr(os, "set_inheritable", lambda fd, inheritable: changed.append((fd, inheritable)))
    environ["OTHER"] = "stays"
    assert take_sockets(environ) == expected
    assert environ == {"OTHER": "stays"}, "no child takes it for its own"
    assert changed == [(fd, False) for fd, _ in expected]


@pytest.mark.parametrize("count", ["-1", "x", "1e3", "100000"])
def test_a_number_of_sockets_that_cannot_be(count: str) -> None:
    with pytest.raises(ServiceError, match="LISTEN_FDS must be a number"):
        take_sockets({"LISTEN_FDS": count, "LISTEN_PID": MINE})


@pytest.fixture(params=["path", "abstract"])
def news(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A socket as systemd has one, with its name."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@endwell-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name[1:] if name.startswith("@") else name)
        sock.settimeout(SECONDS)
        yield sock, name


def test_news_are_sent_and_each_status_once(news: tuple[socket.socket, str]) -> None:
    sock, name = news
    environ = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "1"}
    notifier = Notifier(environ)
    assert environ == {}
    assert notifier.watchdog == 0.0, "it is for another process"
    notifier.status("1 of 2")
    notifier.status("1 of 2")
    notifier.reloading()
    notifier.ready()
    notifier.stopping()
    notifier.close()
    notifier.close()
    notifier.ready()
    received = [sock.recv(4096).decode() for _ in range(4)]
    assert received[0] == "STATUS=1 of 2"
    assert received[1].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert received[1].rpartition("=")[2].isdecimal()
    assert received[2:] == ["READY=1", "STOPPING=1"]
    sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        sock.recv(1)


@pytest.mark.parametrize("name", ["", "relative", "/nowhere/at/all"])
def test_nobody_who_listens_is_no_error(name: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": name})
    notifier.ready()
    notifier.close()


def hears(sock: socket.socket, start: str) -> str:
    while not (text := sock.recv(4096).decode()).startswith(start):
        pass
    return text


def test_systemd_hears_of_the_whole_life(service: Service, news: tuple[socket.socket, str]) -> None:
    sock, name = news
    service.start(env={"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "200000"})
    hears(sock, "READY=1")
    for _ in range(3):
        hears(sock, "WATCHDOG=1")
    service.ready()
    service.signal(signal.SIGHUP)
    hears(sock, "RELOADING=1\nMONOTONIC_USEC=")
    hears(sock, "READY=1")
    service.signal()
    hears(sock, "STOPPING=1")
    assert service.end()[0] == 0


def test_it_is_ready_only_with_all_workers(service: Service, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(SECONDS)
        service.start(env={"NOTIFY_SOCKET": str(tmp_path / "notify"), "ASKS": "1"})
        first, second = service.gate.wait("start"), service.gate.wait("start")
        first.go()
        assert hears(sock, "STATUS=1") == "STATUS=1 of 2 workers ready"
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(4096)
        sock.settimeout(SECONDS)
        second.go()
        assert hears(sock, "READY=1") == "READY=1"
        service.signal()
        assert service.end()[0] == 0


LAUNCHER = """
import os
os.dup2({fd}, 3)
os.close({fd}) if {fd} != 3 else None
os.environ |= {{"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": "web"}}
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_socket_of_systemd_is_taken_over_and_outlives_the_service(service: Service, workers: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        for _ in range(2):
            launcher = LAUNCHER.format(fd=sock.fileno())
            service.start(launcher=launcher, pass_fds=[sock.fileno()], workers=workers, systemd=True).ready()
            assert service.port == sock.getsockname()[1]
            assert int(service.ask()) in service.pids()
            service.signal()
            assert service.end()[0] == 0
            # Whoever comes while nobody serves waits, and is not refused.
            socket.create_connection(sock.getsockname()).close()


def test_only_the_sockets_with_these_names_are_taken(service: Service) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        launcher = LAUNCHER.format(fd=sock.fileno())
        service.start(
            launcher=launcher,
            pass_fds=[sock.fileno()],
            systemd=True,
            fd_names=["admin"],
            unix=[str(service.folder / "s")],
        ).ready()
        assert service.port == 0
        service.signal()
        assert service.end()[0] == 0


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_a_given_descriptor_is_served(service: Service, kind: str) -> None:
    path = str(service.folder / "given")
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET))
        sock.bind(path if kind == "unix" else ("127.0.0.1", 0))
        service.start(fds=[sock.fileno()]).ready()
        if kind == "unix":
            assert over_unix(path, "/")[1] in service.pids()
        else:
            assert int(service.ask()) in service.pids()
        service.signal()
        assert service.end()[0] == 0
    if kind == "unix":
        assert Path(path).exists(), "who made it removes it"


@pytest.mark.parametrize(
    ("fd", "text"), [("0", "Descriptor 0 .given. is not an open socket"), ("dgram", "is not a stream socket")]
)
def test_a_descriptor_that_cannot_be_served_is_refused(service: Service, fd: str, text: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        service.start(fds=[sock.fileno() if fd == "dgram" else int(fd)])
        service.hears(text)
        assert service.end()[0] == 4
