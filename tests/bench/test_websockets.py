"""The benchmark of WebSockets: its messages, its two own sides against each other, goals. Nothing is measured here."""

import contextlib
import dataclasses
import importlib.util
import socket
import subprocess
import sys
import threading
import zlib

import pytest
from bench import output, report
from bench.processes import free_ports, running
from bench.runner import CHECKOUT, run_rounds
from bench.servers.load import WrongAnswerError
from bench.websocket import content, echo, frames, load, peers, rows, runner, suite, workloads
from bench.websocket.content import BINARY, TEXT
from bench.websocket.suite import WEBSOCKETS
from hypothesis import given
from hypothesis import strategies as st

DEFLATE = "permessage-deflate"
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="epoll")


def test_messages_have_the_length_that_is_said_and_differ():
    assert {len(text.encode()) for text in content.TEXTS} == {100}
    assert {len(page) for page in content.BINARIES} == {65536}
    assert len(set(content.TEXTS)) == len(set(content.BINARIES)) == content.COUNT
    assert all(2.5 < len(page) / len(zlib.compress(page)) < 5 for page in content.BINARIES)


def test_every_row_has_its_workload_and_every_workload_a_row():
    assert {row.workload for row in rows.ROWS} == set(workloads.BY_NAME)
    assert {row.workload for row in rows.BUSY} <= set(workloads.BY_NAME)
    assert {goal.peer for row in rows.ROWS for goal in row.goals} <= set(peers.BY_NAME)
    assert set(WEBSOCKETS.short_workloads) | set(WEBSOCKETS.ab_workloads) <= set(workloads.BY_NAME)
    assert set(WEBSOCKETS.short_peers) <= set(peers.BY_NAME)


def test_what_is_a_server_only_is_no_client_and_what_does_not_compress_is_not_asked_to():
    asked = {
        (result["peer"], result["workload"])
        for result in run_rounds(peers.PEERS, workloads.WORKLOADS, 1, lambda *one: {"figures": {}}, lambda text: None)
    }
    by_peer = {peer.name: {workload for name, workload in asked if name == peer.name} for peer in peers.PEERS}
    assert by_peer["endwell"] == by_peer["aiohttp"] == by_peer["websockets"] == set(workloads.BY_NAME)
    assert by_peer["uvicorn"] == {name for name in workloads.BY_NAME if not name.startswith("client")}
    assert by_peer["granian"] == {"server-100", "server-64k", "idle"}
    for peer in peers.PEERS:
        assert bool(peer.adapter) is ("client-100" not in peer.unsupported), peer.name
        assert "4321" in peer.command(4321)


def test_endwell_alone_does_not_find_the_library_whose_mask_it_would_use():
    [alone] = [peer for peer in peers.PEERS if peer.hidden]
    own = peers.BY_NAME["endwell"]
    assert alone.hidden == ("websockets",)
    assert alone.command(4321) == [*own.command(4321), *alone.hidden]
    code = "import bench.websocket.worker as it; it.asyncio = None; it.main({'paths': [], 'hidden': ['websockets']})"
    done = subprocess.run(
        [sys.executable, "-c", f"try:\n {code}\nexcept AttributeError: import websockets"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "import of websockets halted; None in sys.modules" in done.stderr


def test_a_missing_compiled_part_ends_the_run(monkeypatch):
    incomplete = peers.Peer("json", "", "json", ("json",), compiled=("json.scanner",))
    monkeypatch.setattr(peers, "PEERS", (incomplete,))
    with pytest.raises(SystemExit, match=r"json is there without its compiled json\.scanner"):
        suite.expect_compiled()


def test_a_compiled_part_is_known_by_its_file(monkeypatch):
    multidict = peers.Peer("multidict", "", "multidict", (), compiled=("multidict._multidict",))
    absent = peers.Peer("nobody", "", "nobody_has_this", (), compiled=("nobody_has_this.fast",))
    monkeypatch.setattr(peers, "PEERS", (multidict, absent))
    suite.expect_compiled()


# RFC 6455, section 5.7, and RFC 7692, section 7.2.3.
def test_frames_are_those_of_the_specifications():
    assert frames.frame(1, b"Hello") == bytes.fromhex("810548656c6c6f")
    assert frames.frame(1, b"Hello", bytes.fromhex("37fa213d")) == bytes.fromhex("818537fa213d7f9f4d5158")
    assert frames.frame(2, bytes(256))[:4] == bytes.fromhex("827e0100")
    assert frames.frame(2, bytes(65536))[:10] == bytes.fromhex("827f0000000000010000")
    assert frames.frame(1, frames.deflated(b"Hello"), compressed=True) == bytes.fromhex("c107f248cdc9c90700")
    assert frames.accept("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@given(
    sent=st.lists(st.tuples(st.sampled_from((1, 2, 9)), st.binary(max_size=300), st.booleans()), max_size=4),
    data=st.data(),
)
def test_any_split_of_the_bytes_gives_the_same_messages(sent, data):
    wire = b"".join(frames.frame(opcode, payload, b"wxyz" if masked else b"") for opcode, payload, masked in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=6)))
    reader = frames.MessageReader()
    found = []
    for begin, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        found += reader.feed(wire[begin:end])
    assert [(one.opcode, one.payload()) for one in found] == [(opcode, payload) for opcode, payload, _ in sent]
    assert [one.length() for one in found] == [len(payload) for _, payload, _ in sent]
    assert not reader.data


def test_fragments_are_one_message_and_a_continuation_of_nothing_is_none():
    reader = frames.MessageReader()
    [message] = reader.feed(bytes.fromhex("410348656c") + frames.frame(0, b"lo", b"wxyz"))
    assert (message.opcode, message.compressed, message.payload()) == (1, True, b"Hello")
    with pytest.raises(ValueError, match="a continuation of nothing"):
        reader.feed(frames.frame(0, b"lo"))


def test_a_compressed_message_may_stand_anywhere():
    inflate = frames.Inflater()
    for payload in (b"Hello", b"", content.BINARIES[0], b"Hello"):
        assert inflate(frames.deflated(payload, 9)) == payload


@pytest.mark.parametrize(
    ("offers", "expected"),
    [
        ("", ""),
        ("x-something", ""),
        (f"{DEFLATE}; client_max_window_bits", DEFLATE),
        (f"{DEFLATE}; server_max_window_bits=12, {DEFLATE}", f"{DEFLATE}; server_max_window_bits=12"),
        (f"{DEFLATE}; server_no_context_takeover", f"{DEFLATE}; server_no_context_takeover"),
    ],
)
def test_deflate_is_agreed_on_as_it_was_offered_first(offers, expected):
    assert echo.agreement(offers) == expected


def head(*lines, status="101 Switching Protocols"):
    return "\r\n".join([f"HTTP/1.1 {status}", f"Sec-WebSocket-Accept: {frames.accept(load.KEY)}", *lines])


def test_what_the_server_lets_its_client_compress_with():
    deflate = "sec-websocket-extensions: permessage-deflate"
    assert load.agreed_bits(head(), deflate=False) == 0
    assert load.agreed_bits(head(deflate), deflate=True) == 15
    assert load.agreed_bits(head(f"{deflate}; client_max_window_bits=12"), deflate=True) == 12
    with pytest.raises(WrongAnswerError, match="the extension that was agreed on is ''"):
        load.agreed_bits(head(), deflate=True)
    with pytest.raises(WrongAnswerError, match="the extension that was agreed on is 'permessage-deflate'"):
        load.agreed_bits(head(deflate), deflate=False)
    with pytest.raises(WrongAnswerError, match=r"answered with 'HTTP/1\.1 404 Not Found'"):
        load.agreed_bits(head(status="404 Not Found"), deflate=False)
    with pytest.raises(WrongAnswerError, match=r"answered with 'HTTP/1\.1 101 Switching Protocols'"):
        load.agreed_bits(head().replace("=", "-"), deflate=False)


@pytest.fixture(scope="module")
def echoing():
    """The port of the server that clients are measured with."""
    [port] = free_ports(1)
    with running("it", [sys.executable, "-m", "bench.websocket.echo", str(port)], None, port, {}, CHECKOUT):
        yield port


@linux
@pytest.mark.parametrize("kind", [TEXT, BINARY])
@pytest.mark.parametrize("deflate", [False, True])
def test_the_two_own_sides_understand_each_other(echoing, kind, deflate):
    path = echo.DEFLATE if deflate else "/plain"
    with load.opened(3, echoing, path, kind, deflate) as lanes:
        for _ in range(2 * echo.LOOKED_AT + 2):
            count, _ = load.run(lanes, 0)
            assert count == 3
        load.expect_open(lanes)
        assert [lane.turn for lane in lanes] == [2 * echo.LOOKED_AT + 3 + number for number in range(3)]


@linux
def test_what_was_agreed_on_must_be_done(echoing):
    with load.opened(1, echoing, "/plain") as [lane]:
        lane.questions = load.questions(TEXT, 15)
        with pytest.raises(WrongAnswerError, match="closed with 1008 'a message was compressed'"):
            lane.echo()
    with pytest.raises(WrongAnswerError, match="closed with 1008 'a message was not compressed'"):
        with load.opened(1, echoing, echo.DEFLATE):
            pass


@linux
def test_the_echoing_server_sees_wrong_messages(echoing):
    with load.opened(1, echoing, "/plain") as [lane]:
        lane.questions = (frames.frame(TEXT, b"x" * 100, b"wxyz"),) * content.COUNT
        for _ in range(echo.LOOKED_AT - 1):
            lane.echo()  # these are not looked at
        with pytest.raises(WrongAnswerError, match="closed with 1008 '100 bytes that are none of the messages'"):
            lane.echo()
    with load.opened(1, echoing, "/plain") as [lane]:
        lane.questions = (frames.frame(TEXT, b"x" * 99, b"wxyz"),) * content.COUNT
        with pytest.raises(WrongAnswerError, match="closed with 1008 '99 bytes that are none of the messages'"):
            lane.echo()


@linux
def test_a_ping_of_the_client_is_answered_between_messages(echoing):
    with load.opened(1, echoing, "/plain") as [lane]:
        lane.sock.sendall(frames.frame(frames.PING, b"are you there", b"wxyz"))
        [pong] = lane.reader.feed(lane.sock.recv(100))
        assert (pong.opcode, pong.payload()) == (frames.PONG, b"are you there")
        lane.echo()
        load.expect_open([lane])


class Answering:
    """A server of one WebSocket that answers the first message as it should, and then with what it was given."""

    def __init__(self, answer, closes=False):
        self.answer = answer
        self.closes = closes
        self.received = b""

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()
        return self.listener.getsockname()[1]

    def __exit__(self, *exc):
        self.thread.join()
        self.listener.close()

    def serve(self):
        sock, _ = self.listener.accept()
        with sock, contextlib.suppress(ConnectionError):
            sock.recv(4096)
            sock.sendall((head() + "\r\n\r\n").encode())
            sock.recv(4096)
            sock.sendall(load.answers(TEXT)[0])
            sock.recv(4096)
            sock.sendall(self.answer)
            while not self.closes and (piece := sock.recv(4096)):
                self.received += piece


@linux
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (load.answers(TEXT)[2], "answered 100 bytes that were not sent"),
        (frames.frame(BINARY, content.TEXTS[1].encode()), "answered 100 bytes that were not sent"),
        (frames.frame(TEXT, frames.deflated(content.TEXTS[1].encode()), compressed=True), "an answer was compressed"),
        (frames.frame(frames.CLOSE, b"\x03\xf3gone"), "closed with 1011 'gone'"),
    ],
)
def test_a_wrong_answer_is_no_measurement(answer, why):
    with Answering(answer) as port, load.opened(1, port) as lanes:
        with pytest.raises(WrongAnswerError, match=why):
            load.run(lanes, 0)


@linux
def test_a_closed_connection_is_no_measurement():
    with Answering(b"", closes=True) as port, load.opened(1, port) as lanes:
        with pytest.raises(WrongAnswerError, match="closed while a message was under way"):
            load.run(lanes, 0)


@linux
def test_fragments_and_pings_of_the_server_are_right():
    payload = content.TEXTS[1].encode()
    whole = bytearray(frames.frame(TEXT, payload[:60]))
    whole[0] &= 0x7F
    whole += frames.frame(frames.PING, b"?") + frames.frame(0, payload[60:])
    it = Answering(bytes(whole))
    with it as port, load.opened(1, port) as lanes:
        assert load.run(lanes, 0)[0] == 1
    pong, close = frames.MessageReader().feed(it.received)
    assert (pong.opcode, pong.payload()) == (frames.PONG, b"?")
    assert (close.opcode, close.payload()) == (frames.CLOSE, b"\x03\xe9")


@linux
def test_an_idle_one_that_was_sent_something_is_not_idle():
    with Answering(load.answers(TEXT)[1] * 2) as port, load.opened(1, port) as lanes:
        load.run(lanes, 0)
        with pytest.raises(WrongAnswerError, match="idle WebSocket 1 was closed"):
            load.expect_open(lanes)


@linux
@pytest.mark.skipif(importlib.util.find_spec("uvloop") is None, reason="the workers need uvloop")
@pytest.mark.parametrize("name", ["client-100", "client-64k-deflate"])
def test_a_client_is_measured_and_a_wrong_address_is_a_failure(echoing, name, monkeypatch):
    monkeypatch.setattr(runner, "WARM_UP_MESSAGES", 1)
    workload = dataclasses.replace(workloads.BY_NAME[name], connections=2, count=20)
    place = runner.Place(0, echoing, None, None)
    measured = runner.measure(peers.BY_NAME["endwell"], workload, place)
    assert set(measured["figures"]) == {"cpu_us", "messages_per_s", "busy_percent"}
    [port] = free_ports(1)
    failed = runner.measure(peers.BY_NAME["endwell"], workload, dataclasses.replace(place, echo_port=port))
    assert "Connect" in failed["failed"]


@linux
def test_a_server_is_measured(monkeypatch):
    monkeypatch.setattr(runner, "WARM_UP_SECONDS", 0)
    own = peers.Peer("own", "-m bench.websocket.echo {port}", "bench", ())
    workload = dataclasses.replace(workloads.BY_NAME["server-100"], connections=2)
    place = runner.Place(0, 0, None, None)
    assert set(runner.measure(own, workload, place)["figures"]) == {"cpu_us", "messages_per_s", "busy_percent"}
    idle = dataclasses.replace(workloads.BY_NAME["idle"], connections=5)
    assert set(runner.measure(own, idle, place)["figures"]) == {"kb_per_connection"}


def test_the_goals_are_those_of_the_project(tmp_path, capsys):
    def result(peer, workload, **figures):
        return {"round": 0, "peer": peer, "workload": workload, "figures": figures}

    facts = {"python": "3.11", "other_side": "its own", "pinned": True, "cpus": 2, "processor": "one"}
    facts |= {"load_before": 0.0, "load_after": 0.0, "seconds": 1}
    echoes = [
        result(peer, workload, cpu_us=cost, busy_percent=99.0)
        for workload, own in (("server-100", 6.1), ("server-64k", 44.0), ("client-64k", 43.9))
        for peer, cost in (("endwell", own), ("aiohttp", 9.0 if workload == "server-100" else 40.0))
    ]
    memory = [result("endwell", "idle", kb_per_connection=6.0), result("aiohttp", "idle", kb_per_connection=13.0)]
    data = {"environment": facts, "peers": ["endwell", "aiohttp"], "rounds": 1, "results": echoes + memory}
    lines = {line.row.workload: line for line in report.analyse(data["results"], rows=rows.ROWS)}
    words = {name: report.verdict(*line.verdicts[0]) for name, line in lines.items()}
    assert words == {
        "server-100": "1.5x: missed (1.48x)",
        "server-64k": "1.1 of its cost: met",
        "client-64k": "1.1 of its cost: met",
        "idle": "2x: met",
    }
    output.show(WEBSOCKETS, data)
    output.write(WEBSOCKETS, data, tmp_path)
    assert "3 of 4 goals met, 1 missed" in capsys.readouterr().out
    assert "docs/images/bench-websockets.svg" in (tmp_path / "websockets.md").read_text()
    assert "50 WebSockets" in (tmp_path / "websockets.svg").read_text()
