"""A supervisor and its workers while they run: real processes, real signals (closing.md C13)."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from endwell import ClientSession, TCPConnector, UnixConnector
from tests.service.running import Service, children, refused, running

KILLED = "worker {} of slot . was ended by SIGKILL"


def test_workers_serve_and_end_in_order(service: Service) -> None:
    service.start().ready()
    assert service.process is not None
    pids = service.pids()
    assert len(pids) == 2
    assert set(children(service.process.pid)) == set(pids)
    assert int(service.ask()) in pids
    service.signal()
    status, log = service.end()
    assert status == 0, log
    assert refused(service.port)
    assert "Traceback" not in log
    assert "Warning" not in log
    assert not (service.folder / "control").exists()


def test_a_worker_that_is_killed_is_replaced_and_leaves_no_zombie(service: Service) -> None:
    service.start().ready()
    assert service.process is not None
    victim, other = service.pids()
    os.kill(victim, signal.SIGKILL)
    service.hears(KILLED.format(victim))
    assert int(service.ask()) == other, "its sockets are covered until there is another one"
    new = int(service.hears(r"worker (\d+) of slot . is ready")[1])
    assert set(service.pids()) == {new, other}
    assert "Z" not in children(service.process.pid).values()
    service.signal()
    assert service.end()[0] == 0


def test_each_connection_is_answered_while_one_slot_has_no_worker(service: Service) -> None:
    """The kernel deals connections to the sockets of both slots, also when a worker has just died."""
    service.start(env={"ASKS": "1"})
    for _ in range(2):
        service.gate.wait("start").go()
    service.ready()
    victim, other = service.pids()
    os.kill(victim, signal.SIGKILL)
    late = service.gate.wait("start")
    answers = {int(service.ask()) for _ in range(40)}
    assert answers == {other}
    by = {each["pid"]: each["covers"] for each in service.control("/-/workers")[1]["workers"]}
    assert len(by[other]) == 1
    late.go()
    service.hears("is ready")
    assert late.pid in {int(service.ask()) for _ in range(200)}
    service.signal()
    assert service.end()[0] == 0


def test_the_first_worker_that_is_ready_answers_for_all(service: Service) -> None:
    service.start(env={"ASKS": "1"})
    first, second = service.gate.wait("start"), service.gate.wait("start")
    assert service.control("/-/ready")[0] == 503
    first.go()
    service.hears("is ready")
    service.port = int(next(line.rpartition(":")[2] for line in service.lines if "listening on" in line))
    assert {int(service.ask()) for _ in range(20)} == {first.pid}
    assert service.control("/-/ready")[0] == 503
    second.go()
    service.ready()
    assert service.control("/-/ready") == (200, {"ready": 2, "workers": 2})
    service.signal()
    assert service.end()[0] == 0


def test_workers_that_die_young_are_started_more_and_more_slowly(service: Service) -> None:
    service.start(workers=1, supervise=True, backoff_max=0.6).ready()
    waits = []
    for _ in range(4):
        os.kill(service.pids()[0], signal.SIGKILL)
        service.hears("was ended by SIGKILL")
        service.hears(r"worker \d+ of slot . is ready")
        waits += [line.rpartition(" in ")[2] for line in service.lines if "the next worker is started" in line][-1:]
    assert waits == ["0.5 s", "0.6 s", "0.6 s"], "the first is replaced at once"
    assert service.control("/-/workers")[1]["workers"][0]["restarts"] == 4
    service.signal()
    assert service.end()[0] == 0


def test_a_worker_that_cannot_start_later_on_is_tried_again_and_told_once(service: Service) -> None:
    service.start(env={"ASKS": "1"}, backoff_max=0.1)
    for _ in range(2):
        service.gate.wait("start").go()
    service.ready()
    victim, other = service.pids()
    os.kill(victim, signal.SIGKILL)
    service.gate.wait("start").go("fail")
    service.hears("could not start: ")
    service.hears("RuntimeError: there is no database")
    service.gate.wait("start").go("fail")
    service.hears("could not start, for the same reason")
    assert int(service.ask()) == other
    workers = service.control("/-/workers")[1]["workers"]
    assert any("no database" in (each["error"] or "") for each in workers)
    service.gate.wait("start").go()
    service.hears("is ready")
    assert len(service.pids()) == 2
    service.signal()
    status, log = service.end()
    assert status == 0
    assert log.count("RuntimeError: there is no database") == 1


@pytest.mark.parametrize("unix", [False, True])
async def test_replacing_all_under_load_fails_no_request(unix: bool, tmp_path: Path, loop_kind: str) -> None:
    with running(tmp_path) as service:
        options = {"unix": [str(tmp_path / "s")]} if unix else {}
        service.start(loop=loop_kind, **options)
        await asyncio.to_thread(service.ready)
        old = await asyncio.to_thread(service.pids)
        stopping, answers = asyncio.Event(), set[str]()

        async def keep_asking(session: ClientSession, url: str, **fields: str) -> None:
            while not stopping.is_set():
                async with session.post(url, headers=fields) as response:
                    assert response.status == 405  # not idempotent: the client does not try again
                async with session.get(url, headers=fields) as response:
                    assert response.status == 200
                    answers.add(await response.text())

        connector = UnixConnector(str(tmp_path / "s")) if unix else TCPConnector()
        url = f"http://127.0.0.1:{service.port or 80}/"
        async with ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(keep_asking(session, url))
                group.create_task(keep_asking(session, url, Connection="close"))
            service.signal(signal.SIGHUP)
            for _ in range(2):
                await asyncio.to_thread(service.hears, r"worker \d+ of slot . has ended")
            stopping.set()
        new = await asyncio.to_thread(service.pids)
        assert not set(old) & set(new)
        assert len(answers) >= 4
        service.signal()
        status, log = await asyncio.to_thread(service.end)
        assert status == 0, log


def test_replacing_goes_slot_by_slot_and_stops_at_one_that_cannot_start(service: Service) -> None:
    service.start(env={"ASKS": "1"})
    for _ in range(2):
        service.gate.wait("start").go()
    service.ready()
    old = service.pids()
    service.signal(signal.SIGHUP)
    service.gate.wait("start").go("fail")
    service.hears("there is no database")
    stays = service.hears(r"worker (\d+) of slot 0 stays, and so do the others")
    assert int(stays[1]) in old
    assert service.pids() == old
    service.signal(signal.SIGHUP)
    first = service.gate.wait("start")
    first.go()
    second = service.gate.wait("start")
    assert first.pid in service.pids()
    second.go()
    for _ in range(2):
        service.hears("has ended")
    assert set(service.pids()) == {first.pid, second.pid}
    service.signal()
    assert service.end()[0] == 0


def test_told_again_while_it_replaces_it_begins_anew(service: Service) -> None:
    """What the first replacing has loaded may be old already."""
    service.start(workers=1, supervise=True, env={"ASKS": "1"})
    service.gate.wait("start").go()
    service.ready()
    service.signal(signal.SIGHUP)
    early = service.gate.wait("start")
    service.signal(signal.SIGHUP)
    early.gone()
    late = service.gate.wait("start")
    late.go()
    service.hears("is ready")
    assert service.pids() == [late.pid]
    service.signal()
    assert service.end()[0] == 0


def test_max_requests_has_the_next_worker_ready_before_the_old_one_drains(service: Service) -> None:
    service.start(workers=1, max_requests=5, report_every=0.05, env={"ASKS": "1"})
    service.gate.wait("start").go()
    service.ready()
    [old] = service.pids()
    for _ in range(5):
        service.ask()
    late = service.gate.wait("start")
    assert int(service.ask()) == old
    late.go()
    service.hears(rf"worker {old} of slot 0 has ended")
    assert int(service.ask()) == late.pid
    service.signal()
    assert service.end()[0] == 0


def test_a_worker_that_somebody_ends_is_replaced_at_once_and_drains(service: Service) -> None:
    service.start(workers=1, supervise=True).ready()
    [old] = service.pids()
    asking = service.asking("/held")
    held = service.gate.wait("held")
    os.kill(old, signal.SIGTERM)
    service.hears(rf"worker {old} of slot 0 ends by itself")
    new = int(service.hears(r"worker (\d+) of slot 0 is ready")[1])
    assert int(service.ask()) == new
    held.go("answered")
    assert asking.getresponse().read() == b"answered"
    asking.close()
    service.hears(rf"worker {old} of slot 0 has ended")
    service.signal()
    assert service.end()[0] == 0


def test_a_worker_that_is_not_ready_in_time_is_killed(service: Service) -> None:
    service.start(env={"ASKS": "1"}, start_timeout=1.0)
    status, log = service.end()
    assert status == 3
    assert "it was not ready within start_timeout=1 s" in log


def test_one_worker_needs_no_second_process(service: Service) -> None:
    service.start(workers=1).ready()
    assert service.process is not None
    assert int(service.ask()) == service.process.pid
    assert children(service.process.pid) == {}
    service.signal(signal.SIGHUP)
    service.hears("SIGHUP is ignored: the only worker is in this process")
    assert service.control("/-/ready")[0] == 200
    assert service.pids() == [service.process.pid]
    service.signal()
    assert service.end()[0] == 0


def test_the_reports_of_workers_are_told(service: Service) -> None:
    service.start(workers=1, report_every=0.05).ready()
    with socket.create_connection(("127.0.0.1", service.port)):
        for _ in range(3):
            service.ask()
        until = time.monotonic() + 10
        while time.monotonic() < until:  # a report comes when it comes
            [worker] = service.control("/-/workers")[1]["workers"]
            if worker["requests"] == 3 and worker["connections"] >= 1:
                break
        assert worker["requests"] == 3
    service.signal()
    assert service.end()[0] == 0
