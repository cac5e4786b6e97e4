"""The benchmark of ASGI servers: commands, the application, the work, goals. Nothing is measured here."""

import asyncio
import http.server
import importlib
import os
import re
import threading

import pytest
from bench import output, report
from bench.asgi import bare_app, peers, rows, scaling, work, workloads
from bench.asgi.suite import ASGI
from bench.rows import Goal, Row
from bench.servers.content import TEXT
from bench.servers.load import WrongAnswerError


def test_every_row_has_its_workload_and_every_workload_a_row():
    assert {row.workload for row in rows.ROWS} == set(workloads.BY_NAME)
    assert {row.workload for row in rows.RATES} <= set(workloads.BY_NAME)
    rivals = {goal.peer for row in rows.ROWS for goal in row.goals} - {None}
    assert rivals <= set(peers.BY_NAME)
    assert ASGI.base in peers.BY_NAME
    assert set(ASGI.short_workloads) | set(ASGI.ab_workloads) <= set(workloads.BY_NAME)
    assert set(ASGI.short_peers) <= set(peers.BY_NAME)


@pytest.mark.parametrize("server", peers.SERVERS, ids=lambda server: server.name)
def test_every_server_is_told_what_to_serve_where_and_by_how_many(server):
    command = server.serving("some.module:app", 2).command(4321)
    assert "some.module:app" in command
    assert "2" in command
    assert any("4321" in word for word in command)
    assert not [word for word in command if "{" in word]


def test_the_applications_are_there():
    for workload in workloads.WORKLOADS:
        module, _, name = workload.app.partition(":")
        assert name == "app"
        assert importlib.util.find_spec(module) is not None


def answered(path):
    sent = []

    async def receive():
        raise AssertionError("nothing to receive")

    async def send(message):
        sent.append(message)

    asyncio.run(bare_app.app({"type": "http", "path": path}, receive, send))
    start, body = sent
    assert dict(start["headers"])[b"content-length"] == str(len(body["body"])).encode()
    return start["status"], body["body"]


def test_the_application_answers():
    assert answered("/text") == answered("/work") == (200, TEXT.encode())
    assert answered("/process") == (200, str(os.getpid()).encode())


def test_the_application_takes_part_in_the_lifespan():
    asked = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent = []

    async def receive():
        return asked.pop(0)

    async def send(message):
        sent.append(message["type"])

    asyncio.run(bare_app.app({"type": "lifespan"}, receive, send))
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_work_grows_with_the_time_it_is_to_take():
    assert 0 < work.loops_for(0.0001) < work.loops_for(0.01)
    assert work.often(1, 0.001) > 0


def test_a_machine_that_is_not_free_is_no_place_to_measure():
    assert scaling._expect_free(2.0) == 2.0
    for times in (0.7, 1.8, 3.2):
        with pytest.raises(WrongAnswerError, match=re.escape(f"two processes without a server do {times:.2f} times")):
            scaling._expect_free(times)


@pytest.fixture
def processes():
    """A server that says it is each of the processes of the list in turn; its port and that list."""
    names = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(names.pop(0) if len(names) > 1 else names[0])

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port, names
        finally:
            server.shutdown()
            thread.join()


def test_all_workers_must_have_answered(processes, monkeypatch):
    port, names = processes
    names += [b"1", b"1", b"2"]
    scaling._expect_workers(port, 2)
    monkeypatch.setattr(scaling, "WORKERS_SECONDS", 0.1)
    with pytest.raises(WrongAnswerError, match=r"1 of 2 workers answered within 0\.1 s"):
        scaling._expect_workers(port, 2)


LEAST = Row("scaling", "scaling", "times", "x", 2, True, (Goal("at least 1.8", least=1.8),))


@pytest.mark.parametrize(("times", "words"), [(1.8, "at least 1.8: met"), (1.79, "at least 1.8: missed (1.79)")])
def test_what_must_be_reached_is_reached_by_itself(times, words):
    results = [{"round": 0, "peer": "endwell", "workload": "scaling", "figures": {"times": times}}]
    [line] = report.analyse(results, rows=[LEAST])
    assert [report.verdict(*pair) for pair in line.verdicts] == [words]


def test_the_tables_are_held_against_uvicorn(tmp_path, capsys):
    facts = {"python": "3.11", "other_side": "wrk 4", "pinned": True, "cpus": 2, "processor": "one"}
    facts |= {"load_before": 0.0, "load_after": 0.0, "seconds": 1}
    measured = [
        {"round": 0, "peer": peer, "workload": "starlette", "figures": {"cpu_us": cost, "requests_per_s": 1e6 / cost}}
        for peer, cost in (("endwell", 20.0), ("uvicorn", 30.0))
    ]
    data = {"environment": facts, "peers": ["endwell", "uvicorn"], "rounds": 1, "results": measured}
    output.show(ASGI, data)
    assert "times better than uvicorn" in capsys.readouterr().out
    output.write(ASGI, data, tmp_path)
    text = (tmp_path / "asgi.md").read_text()
    assert "| Starlette, 12 bytes, us | 20 (1.50x) | 30 | 1x uvicorn: met |" in text
    assert "| Starlette, 12 bytes, 1/s | 50,000 (1.50x) | 33,333 |" in text
    assert "answering one GET of 12 bytes by Starlette" in (tmp_path / "asgi.svg").read_text()
