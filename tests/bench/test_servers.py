"""The servers' part of the benchmark: what is asked for, how answers are judged, goals. Nothing is measured here."""

import dataclasses
import http.server
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time

import pytest
from bench import ab, output, report
from bench.__main__ import choose
from bench.processes import DidNotStart, free_ports, running
from bench.rows import Goal, Row
from bench.runner import run_rounds
from bench.servers import content, load, observe, peers, rows, workloads
from bench.servers.check import check
from bench.servers.load import WrongAnswerError
from bench.servers.suite import SERVERS

BEST = Row("a GET", "text", "cpu_us", "us", goals=(Goal("best", factor=1, best_of=("aiohttp", "fast")),))


def results(row, **figures):
    return [
        {"round": number, "peer": peer, "workload": row.workload, "figures": {row.figure: value}}
        for peer, values in figures.items()
        for number, value in enumerate(values)
    ]


def verdict(row, **figures):
    [line] = report.analyse(results(row, **figures), rows=[row])
    return report.verdict(*line.verdicts[0])


def test_the_best_of_several_must_be_beaten():
    assert verdict(BEST, endwell=[10], aiohttp=[30], fast=[11]) == "best: met"
    assert verdict(BEST, endwell=[10], aiohttp=[30], fast=[8]) == "best: missed (0.80x)"


def test_the_best_of_several_is_unknown_when_one_is_missing():
    assert verdict(BEST, endwell=[10], aiohttp=[30]) == "best: not measured"


def test_every_row_has_its_workload_and_every_workload_a_row():
    assert {row.workload for row in rows.ROWS} == set(workloads.BY_NAME)
    assert {row.workload for row in rows.LATENCY} <= set(workloads.BY_NAME)
    rivals = {rival for row in rows.ROWS for goal in row.goals for rival in (goal.peer, *goal.best_of)}
    assert rivals - {None} <= set(peers.BY_NAME)
    assert set(SERVERS.short_workloads) | set(SERVERS.ab_workloads) <= set(workloads.BY_NAME)
    assert set(SERVERS.short_peers) <= set(peers.BY_NAME)


def test_a_hundred_routes_of_which_one_is_asked_for():
    assert len(set(content.ROUTES)) == 100
    assert content.ROUTES.index(content.CHOSEN) == 76
    assert content.chosen_path("7") == "/api/payments/7/notes"
    matching = [
        path for path in content.ROUTES if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), content.chosen_path("7"))
    ]
    assert matching == [content.CHOSEN]


def test_the_document_has_about_a_kilobyte():
    assert 900 < len(json.dumps(content.DOCUMENT)) < 1100
    assert len(content.TEXT) == 12
    assert len(content.FILE_BYTES) == 1024 * 1024


def test_every_server_is_told_its_port():
    for server in peers.SERVERS:
        assert "4321" in server.command(4321), server.name
        assert not [word for word in server.command(4321) if "{" in word]


def test_what_has_no_router_is_left_out_where_routes_are_measured():
    asked = [
        (result["peer"], result["workload"])
        for result in run_rounds(
            peers.SERVERS,
            [workloads.BY_NAME["text"], workloads.BY_NAME["path"]],
            2,
            lambda server, workload: {"figures": {}},
            lambda text: None,
        )
    ]
    assert ("granian-rsgi", "path") not in asked
    assert len(asked) == len(set(asked)) * 2 == (2 * len(peers.SERVERS) - 1) * 2
    assert "granian-rsgi" not in peers.WITH_ROUTER


def test_another_server_begins_each_round():
    first = {}
    for result in run_rounds(
        peers.SERVERS, [workloads.BY_NAME["text"]], 3, lambda server, workload: {"figures": {}}, lambda text: None
    ):
        first.setdefault(result["round"], result["peer"])
    assert len(set(first.values())) == 3


def test_wrk_is_told_what_to_send():
    arguments = load.command("wrk", workloads.BY_NAME["echo"], 80, 2)
    assert arguments[:4] == ["wrk", "-t1", "-c50", "-d2s"]
    assert arguments[-3:] == ["POST", "/echo", "1024"]


def test_a_missing_wrk_is_named_and_how_to_get_it(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SystemExit, match=r"needs wrk.*apt-get install wrk"):
        load.find_wrk()


def written(requests=10, **errors):
    errors = {"connect": 0, "read": 0, "write": 0, "timeout": 0, "status": 0, **errors}
    figures = {"requests": requests, "seconds": 1.5, "p50_ms": 0.5, "p99_ms": 2.0, "errors": errors}
    return f"Running 2s test\n  12 requests in 2s\n{json.dumps(figures)}\n"


def test_the_figures_of_wrk_are_its_last_line():
    assert load.figures(written()) == {"requests": 10, "seconds": 1.5, "p50_ms": 0.5, "p99_ms": 2.0}


def test_errors_of_wrk_make_no_figures():
    with pytest.raises(WrongAnswerError, match="timeout 2, status 3"):
        load.figures(written(status=3, timeout=2))
    with pytest.raises(WrongAnswerError, match="no answer"):
        load.figures(written(requests=0))


@pytest.fixture
def answering():
    """A server that answers with what the function set says: status, media type, body."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        answer = None
        keeps = True

        def do_GET(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, kind, answer = type(self).answer(self.path, body)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(answer)))
            if not self.keeps:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_GET  # noqa: N815 - http.server's names

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Handler, server.server_port
        finally:
            server.shutdown()
            thread.join()


GOOD = {
    "text": lambda path, body: (200, "text/plain", content.TEXT.encode()),
    "json": lambda path, body: (200, "application/json", json.dumps(content.DOCUMENT, indent=1).encode()),
    "echo": lambda path, body: (200, "application/octet-stream", body),
    "path": lambda path, body: (200, "text/plain", path.split("/")[3].encode()),
    "file": lambda path, body: (200, "application/octet-stream", content.FILE_BYTES),
    "idle": lambda path, body: (200, "text/plain", content.TEXT.encode()),
}
BAD = {
    "text": lambda path, body: (200, "text/html", content.TEXT.encode()),
    "json": lambda path, body: (200, "application/json", b'{"kind": "order"'),
    "echo": lambda path, body: (200, "application/octet-stream", body[:-1]),
    "path": lambda path, body: (200, "text/plain", b"7"),
    "file": lambda path, body: (200, "application/octet-stream", bytes(len(content.FILE_BYTES))),
    "idle": lambda path, body: (204, "text/plain", b""),
}


@pytest.mark.parametrize("name", workloads.BY_NAME)
def test_right_answers_pass_and_wrong_ones_do_not(answering, name):
    handler, port = answering
    workload = workloads.BY_NAME[name]
    handler.answer = staticmethod(GOOD[name])
    check(workload, port)
    handler.answer = staticmethod(BAD[name])
    with pytest.raises(WrongAnswerError, match="status 204" if name == "idle" else "not what was asked for"):
        check(workload, port)


def test_a_connection_that_is_not_kept_is_wrong(answering):
    handler, port = answering
    handler.answer = staticmethod(GOOD["text"])
    handler.keeps = False
    with pytest.raises(WrongAnswerError, match="not kept"):
        check(workloads.BY_NAME["text"], port)


def test_nobody_there_is_wrong():
    [port] = free_ports(1)
    with pytest.raises(WrongAnswerError, match="ConnectionRefusedError"):
        check(workloads.BY_NAME["text"], port)


LISTEN = "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); "
CHILD = "import subprocess; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); time.sleep(600)"
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def is_gone(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    with open(f"/proc/{process}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "Z"  # ended; nobody has asked how


@linux
def test_a_server_and_what_it_started_are_seen_and_ended():
    [port] = free_ports(1)
    deadline = time.monotonic() + 20
    with running("it", [sys.executable, "-c", LISTEN + CHILD, str(port)], None, port) as process:
        family = observe.family(process)
        while len(family) < 2 and time.monotonic() < deadline:
            family = observe.family(process)
        assert family[0] == process
        assert len(family) == 2
        assert observe.cpu_seconds(family) > 0
        assert observe.memory_kib(family) > 1000
    while not all(map(is_gone, family)):
        assert time.monotonic() < deadline


def test_a_server_that_does_not_start_says_why():
    [port] = free_ports(1)
    with pytest.raises(DidNotStart, match="it ended with status 3 at its start:\nno such thing"):
        with running("it", [sys.executable, "-c", "print('no such thing'); raise SystemExit(3)"], None, port):
            pass


@linux
def test_the_clock_of_a_process_counts_what_it_did():
    code = "import time\nwhile time.process_time() < 0.2: pass\nprint(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert 0.2 <= observe.cpu_seconds([process.pid]) < 5
        process.communicate(b"\n")


def test_free_ports_are_free_and_different():
    ports = free_ports(3)
    assert len(set(ports)) == 3
    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()


def a_run(**figures):
    facts = {"python": "3.11", "other_side": "wrk 4", "pinned": True, "cpus": 2, "processor": "one"}
    facts |= {"load_before": 0.0, "load_after": 0.0, "seconds": 1}
    measured = [
        {
            "round": 0,
            "peer": peer,
            "workload": "text",
            "figures": {"cpu_us": value, "p50_ms": value / 20, "p99_ms": value / 10},
        }
        for peer, value in figures.items()
    ]
    return {"environment": facts, "peers": list(figures), "rounds": 1, "results": measured}


def test_the_table_stands_between_markers_and_latency_after_them(tmp_path, capsys):
    data = a_run(endwell=10.0, aiohttp=40.0)
    output.show(SERVERS, data)
    output.write(SERVERS, data, tmp_path)
    text = (tmp_path / "servers.md").read_text()
    begin, end = text.index("<!-- bench-servers:begin -->"), text.index("<!-- bench-servers:end -->")
    goals = "3x: met; 1x granian: not measured; 1x blacksheep: not measured"
    assert f"| text, 12 bytes, us | 10 (4.00x) | 40 | {goals} |" in text[begin:end]
    assert "docs/images/bench-servers.svg" in text[begin:end]
    assert text[end:].splitlines()[-2:] == [
        "| text, 12 bytes, median, ms | 0.50 (4.00x) | 2.00 |",
        "| text, 12 bytes, 99th percentile, ms | 1.00 (4.00x) | 4.00 |",
    ]
    assert json.loads((tmp_path / "servers.json").read_text()) == data
    assert "wrk 4 on loopback" in (tmp_path / "servers.svg").read_text()
    assert "1 of 3 goals met, 0 missed, 2 not measured" in capsys.readouterr().out


def test_two_versions_of_the_server_are_compared(tmp_path):
    (tmp_path / "endwell").mkdir()
    (tmp_path / "endwell" / "__init__.py").touch()
    own, other = ab.contenders(tmp_path, peers.BY_NAME["endwell"])
    assert other == dataclasses.replace(own, name="other", paths=(str(tmp_path),))
    text = ab.compare(results(rows.ROWS[0], endwell=[20], other=[22]), rows.ROWS)
    assert "1.100x" in text


def test_unknown_names_are_refused():
    with pytest.raises(SystemExit, match="unknown peer nginx; there are endwell, aiohttp"):
        choose("endwell,nginx", (), peers.BY_NAME, "peer")
