"""How a service ends: in order, hurried, killed, never begun; what each end leaves behind (nothing)."""

from __future__ import annotations

import contextlib
import http.client
import os
import pty
import signal
import socket
from pathlib import Path

import pytest

from tests.service.running import Service, refused, running, wait_for


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", [1, 2])
def test_requests_in_flight_are_answered_and_new_connections_refused(
    service: Service, number: signal.Signals, workers: int
) -> None:
    service.start(workers=workers).ready()
    with service.on_each() as idle, contextlib.closing(service.asking("/held")) as asking:
        held = service.gate.wait("held")
        service.signal(number)
        for each in idle:
            assert each.recv(1) == b"", "idle connections are closed, after the listeners"
        assert refused(service.port)
        assert service.control("/-/ready")[0] == 503
        assert service.control("/-/health")[0] == 200
        held.go("answered")
        assert asking.getresponse().read() == b"answered"
    status, log = service.end()
    assert status == 0, log
    assert not (service.folder / "control").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_the_second_signal_cuts_short_and_says_so(service: Service, workers: int) -> None:
    service.start(workers=workers).ready()
    with contextlib.closing(service.asking("/held")) as asking:
        held = service.gate.wait("held")
        service.signal()
        service.hears("told to end")
        service.signal()
        held.gone()
        assert asking.getresponse().status == 503
    status, log = service.end()
    assert status == 1, log
    assert "1 aborted" in log


def test_the_third_signal_kills_the_workers(service: Service) -> None:
    service.start().ready()
    for pid in service.pids():
        os.kill(pid, signal.SIGSTOP)
    service.signal()
    service.hears("told to end")
    service.signal()
    service.hears("told a second time")
    service.signal()
    status, log = service.end()
    assert status == 130, log
    assert log.count("was killed: the service was told a third time to end") == 2


def test_a_worker_that_does_not_end_in_time_is_killed(service: Service) -> None:
    service.start(shutdown_timeout=0.1, kill_grace=0.1).ready()
    os.kill(service.pids()[0], signal.SIGSTOP)
    service.signal()
    status, log = service.end()
    assert status == 1, log
    assert log.count("was killed: it did not end within 0.2 s") == 1


def test_what_is_cut_short_at_the_shutdown_timeout_shows_in_the_status(service: Service) -> None:
    service.start(shutdown_timeout=0.1).ready()
    with contextlib.closing(service.asking("/held")):
        held = service.gate.wait("held")
        service.signal()
        held.gone()
        assert service.end()[0] == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_told_to_end_while_it_starts_it_ends_in_order(service: Service, workers: int) -> None:
    service.start(workers=workers, env={"ASKS": "1"})
    waiting = [service.gate.wait("start") for _ in range(workers)]
    service.signal()
    for each in waiting:
        each.gone()
    status, log = service.end()
    assert status == 0, log
    assert "Traceback" not in log


# What does not begin


@pytest.mark.parametrize("workers", [1, 3])
def test_an_application_that_cannot_start_is_told_once_and_ends_the_service(service: Service, workers: int) -> None:
    (service.folder / "broken.py").write_text("def make(:\n")
    service.start(target="broken:make", workers=workers)
    status, log = service.end()
    assert status == 3, log
    assert log.count("SyntaxError") == 1, log
    assert "broken.py" in log
    assert not (service.folder / "control").exists()


def test_an_application_that_fails_in_its_startup_ends_the_service(service: Service) -> None:
    service.start(env={"ASKS": "1"})
    service.gate.wait("start").go("fail")
    status, log = service.end()
    assert status == 3, log
    assert log.count("RuntimeError: there is no database") == 1


def test_a_worker_that_cannot_be_told_its_plan_ends_the_service(service: Service) -> None:
    status, log = service.start(options={"lifespan": "x" * 100_000}).end()
    assert status == 3, log
    assert "too long for the status channel" in log


def test_a_port_that_is_taken_is_refused(service: Service) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        service.start(host=["127.0.0.1"], port=port)
        status, log = service.end()
    assert status == 4, log
    assert f"Cannot listen on http://127.0.0.1:{port}: Address already in use; another program listens there" in log


def test_a_second_service_gets_nothing_of_the_first_ones(service: Service, tmp_path: Path) -> None:
    """With SO_REUSEPORT it would be given a part of the connections, without an error."""
    service.start(pidfile=str(tmp_path / "pid"), unix=[str(tmp_path / "s")], host=["127.0.0.1"], port=0).ready()
    assert service.process is not None
    assert (tmp_path / "pid").read_text() == f"{service.process.pid}\n"
    (tmp_path / "2").mkdir()
    clashes = {
        "Address already in use": {"port": port(service), "host": ["127.0.0.1"]},
        "another server listens on it": {"unix": [str(tmp_path / "s")]},
        f"Another service runs (process {service.process.pid})": {"pidfile": str(tmp_path / "pid")},
        "There is no control socket": {"control": str(tmp_path / "control")},
    }
    with running(tmp_path / "2") as second:
        for text, options in clashes.items():
            status, log = second.start(**options).end()
            assert status == 4, log
            assert text in log
    service.port = port(service)
    assert int(service.ask()) in service.pids()
    service.signal()
    assert service.end()[0] == 0
    assert {path.name for path in tmp_path.iterdir()} & {"pid", "s", "control"} == set()


def port(service: Service) -> int:
    return int(next(line.rpartition(":")[2] for line in service.lines if "listening on http://127" in line))


# The supervisor is killed


def test_workers_end_when_the_supervisor_is_killed_and_a_new_one_binds_at_once(
    service: Service, tmp_path: Path
) -> None:
    options = {"pidfile": str(tmp_path / "pid"), "unix": [str(tmp_path / "s")], "host": ["127.0.0.1"]}
    service.start(**options, port=0).ready()
    service.port = port(service)
    old = service.pids()
    with contextlib.closing(service.asking("/held")) as asking:
        held = service.gate.wait("held")
        service.signal(signal.SIGKILL)
        assert service.process is not None
        service.process.wait()
        first = service.process.stdout
        assert first is not None
        service.lines.clear()
        service.start(**options, port=service.port).ready()
        assert int(service.ask()) not in old
        held.go("answered")
        assert asking.getresponse().read() == b"answered"
    with first:
        assert "Traceback" not in first.read(), "it ends only with the last worker"
    for pid in old:
        wait_for(pid)
    service.signal()
    status, log = service.end()
    assert status == 0, log
    assert refused(service.port)
    assert {path.name for path in tmp_path.iterdir()} & {"pid", "s", "control"} == set()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_service_ends_with_its_terminal(service: Service, workers: int) -> None:
    ours, theirs = pty.openpty()
    launcher = f"""
import fcntl, os, termios
os.setsid()
fcntl.ioctl({theirs}, termios.TIOCSCTTY, 0)
os.dup2({theirs}, 0)
os.close({theirs})
"""
    try:
        service.start(launcher=launcher, pass_fds=[theirs], workers=workers)
    finally:
        os.close(theirs)
    try:
        service.ready()
    finally:
        os.close(ours)
    service.hears("the terminal is gone")
    status, log = service.end()
    assert status == 0, log


@pytest.mark.parametrize("workers", [1, 2])
def test_graceful_exit_ends_what_serves(service: Service, workers: int) -> None:
    """One process is the service; of several processes the one that wants to end is replaced."""
    service.start(workers=workers).ready()
    with contextlib.suppress(ConnectionError, http.client.HTTPException):
        service.ask("/exit")
    if workers > 1:
        service.hears("ends by itself")
        service.hears("is ready")
        assert len(service.pids()) == 2
        service.signal()
    status, log = service.end()
    assert status == 0, log
    assert "Traceback" not in log
