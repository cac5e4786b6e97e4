"""The control socket: what it tells, who may ask, what becomes of its file."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import stat
from pathlib import Path

import pytest

from tests.service.running import Service, over_unix


def test_it_is_for_its_user_only_and_answers_to_http(service: Service) -> None:
    service.start().ready()
    assert service.process is not None
    path = service.folder / "control"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert service.control("/-/health") == (200, {"status": "alive", "pid": service.process.pid})
    assert service.control("/-/ready") == (200, {"ready": 2, "workers": 2})
    assert service.control("/elsewhere")[0] == 404
    status, facts = service.control("/-/workers")
    assert status == 200
    assert facts["pid"] == service.process.pid
    names = {"slot", "pid", "state", "since", "restarts", "error", "requests", "connections", "websockets", "covers"}
    assert [set(each) for each in facts["workers"]] == [names, names]
    assert [each["slot"] for each in facts["workers"]] == [0, 1]
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        connection = http.client.HTTPConnection("localhost")
        connection.sock = sock
        connection.request("POST", "/-/health")
        response = connection.getresponse()
        assert (response.status, response.getheader("Allow")) == (405, "GET, HEAD")
        response.close()
        connection.close()
    service.signal()
    assert service.end()[0] == 0
    assert not path.exists()


def test_it_is_ready_with_at_least_half_of_its_workers(service: Service) -> None:
    service.start(env={"ASKS": "1"})
    for _ in range(2):
        service.gate.wait("start").go()
    service.ready()
    first, second = service.pids()
    os.kill(first, signal.SIGKILL)
    late = [service.gate.wait("start")]
    assert service.control("/-/ready") == (200, {"ready": 1, "workers": 2})
    os.kill(second, signal.SIGKILL)
    late.append(service.gate.wait("start"))
    assert service.control("/-/ready") == (503, {"ready": 0, "workers": 2})
    for each in late:
        each.go()
    for _ in late:
        service.hears(r"worker \d+ of slot . is ready")
    assert service.control("/-/ready")[0] == 200
    service.signal()
    assert service.end()[0] == 0


@pytest.mark.parametrize("name", ["@endwell-control-{pid}", "{folder}/c"])
def test_where_the_plan_wants_it(service: Service, name: str) -> None:
    name = name.format(pid=os.getpid(), folder=service.folder)
    service.start(workers=1, control=name).ready()
    assert over_unix(name, "/-/health")[0] == 200
    service.signal()
    assert service.end()[0] == 0


def test_without_a_path_it_is_where_the_user_has_sockets(service: Service) -> None:
    service.start(workers=1, control=None, env={"XDG_RUNTIME_DIR": str(service.folder)})
    path = service.hears(r"control socket: (.*)")[1]
    service.ready()
    assert service.process is not None
    assert Path(path) == service.folder / f"endwell-{service.process.pid}.sock"
    assert over_unix(path, "/-/ready")[0] == 200
    service.signal()
    assert service.end()[0] == 0
    assert not Path(path).exists()


def test_nobody_has_asked_for_it_so_it_may_be_missing(service: Service) -> None:
    service.start(workers=1, control=None, env={"XDG_RUNTIME_DIR": str(service.folder / "missing")})
    service.hears("There is no control socket: Cannot listen on the Unix socket")
    service.ready()
    service.signal()
    assert service.end()[0] == 0


def test_a_path_that_cannot_be_had_is_refused(service: Service) -> None:
    (service.folder / "control").write_text("precious")
    status, log = service.start(workers=1).end()
    assert status == 4, log
    assert "there is something else than a socket at this path" in log
    assert (service.folder / "control").read_text() == "precious"
