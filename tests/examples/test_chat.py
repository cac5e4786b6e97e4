"""The chat of `examples/chat`: two pages in a browser talk on while it is restarted; nothing said is lost or doubled.

The service is started as its README says, by `endwell serve` with two workers; Chromium runs without a window.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from playwright.sync_api import expect

import endwell
from endwell.test_utils import TestClient, TestServer
from tests.functional.test_browser import SECONDS, browser
from tests.support.programs import free_port

EXAMPLE = Path(__file__).parents[2] / "examples" / "chat"
KEY = "0123456789abcdef"


class Service:
    """The chat, run by the command of its README."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run it; at the end of the block it is told to end, and must do so in order."""
        command = [sys.executable, "-W", "error", "-m", "endwell", "serve", "chat:make_app", "--workers", "2"]
        options = ["--app-dir", str(EXAMPLE), "--port", str(self.port), "--control", "", "--no-access-log"]
        with subprocess.Popen(
            [*command, *options], cwd=self._folder, stderr=subprocess.PIPE, text=True
        ) as self._process:
            try:
                self.hear(r" ready: 2 workers ")
                yield
                self._process.send_signal(signal.SIGTERM)
                _, said = self._process.communicate(timeout=SECONDS)
                assert (self._process.returncode, "Traceback" in said) == (0, False), said
            finally:
                self._process.kill()

    def hear(self, pattern: str) -> None:
        """Read on in the log until there is such a line."""
        said = ""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            said += line
            if re.search(pattern, line):
                return
        pytest.fail(f"the service has ended; it said\n{said}", pytrace=False)

    def renew(self) -> None:
        """Have the workers replaced."""
        self._process.send_signal(signal.SIGHUP)


class Member:
    """A page of the chat, with what it has complained of."""

    def __init__(self, chromium: Any, url: str, name: str, *, clock: bool = False) -> None:
        self.page = page = chromium.new_page()
        self.complaints: list[str] = []
        page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.set_default_timeout(SECONDS * 1000)
        if clock:
            page.clock.install(time=0)
        page.goto(url)
        page.get_by_label("Your name").fill(name)
        page.get_by_role("button", name="Join").click()
        expect(page.locator("#status")).to_have_text("connected")

    def say(self, text: str) -> None:
        self.page.get_by_label("Say").fill(text)
        self.page.get_by_role("button", name="Send").click()

    def shows(self, *lines: str, kind: str = "said") -> None:
        """Wait until these lines, and no others of their kind, are there."""
        expect(self.page.locator(f"#lines .{kind}")).to_have_text(list(lines))


def test_two_pages_talk_on_while_the_service_is_restarted(tmp_path: Path) -> None:
    service = Service(tmp_path)
    said: list[str] = []
    with browser() as chromium:
        with service.running():
            ann = Member(chromium, service.url, "Ann")
            bob = Member(chromium, service.url, "Bob", clock=True)
            members = (ann, bob)

            def say(who: Member, name: str, *texts: str) -> None:
                for text in texts:
                    who.say(text)
                    said.append(f"{name}: {text}")

            say(ann, "Ann", "<b>hello</b> Bob")
            ann.shows(*said)
            say(bob, "Bob", "hello Ann")
            for each in members:
                each.shows(*said)

            service.renew()
            while any(each.page.locator("#lines .closed").count() == 0 for each in members):
                say(ann, "Ann", f"I talk on, and have said {len(said)} lines")
            for _ in range(2):
                service.hear(r" worker \d+ of slot \d has ended$")
            for each in members:
                expect(each.page.locator("#lines .closed").first).to_have_text("The server is started anew (1001).")
                expect(each.page.locator("#status")).to_have_text("connected")
                each.shows(*said)
                expect(each.page.locator("#unheard li")).to_have_count(0)
                assert each.complaints == []
                closings = each.page.locator("#lines .closed").all_inner_texts()
                assert set(closings) == {"The server is started anew (1001)."}
            say(bob, "Bob", "still here")
            for each in members:
                each.shows(*said)
            bob.page.clock.pause_at(24 * 3600)
            before = [each.page.locator("#lines .closed").count() for each in members]

        for each, number in zip(members, before, strict=True):
            expect(each.page.locator("#lines .closed")).to_have_count(number + 1)
            expect(each.page.locator("#lines .closed").last).to_have_text("The server is started anew (1001).")
        expect(bob.page.locator("#status")).to_have_text("connecting again")
        ann.say("into the void")
        expect(ann.page.locator("#unheard li")).to_have_text(["into the void"])
        bob.say("me too")
        with service.running():
            said.append("Ann: into the void")
            ann.shows(*said)
            say(ann, "Ann", "is Bob away?")
            ann.shows(*said)  # he is: his clock stands still
            expect(bob.page.locator("#status")).to_have_text("connecting again")
            bob.page.clock.run_for(10_000)
            said.append("Bob: me too")
            for each in members:
                each.shows(*said)
                expect(each.page.locator("#status")).to_have_text("connected")
                expect(each.page.locator("#unheard li")).to_have_count(0)
            late = Member(chromium, service.url, "Late")
            expect(late.page.locator("#lines .said").last).to_have_text(said[-1])
            late.page.get_by_role("button", name="Leave").click()
            bob.shows("Late has left", kind="left")  # and nobody else, by any restart
            ann.shows("Ann has joined", "Bob has joined", "Late has joined", kind="joined")
            for each in members:
                each.page.close()
        refused = rf"error: WebSocket connection to 'ws://127\.0\.0\.1:{service.port}/chat\?\S+' failed: "
        unexpected = [text for each in (*members, late) for text in each.complaints if not re.match(refused, text)]
        assert unexpected == []
        assert late.complaints == []


def test_client_on_the_command_line(tmp_path: Path) -> None:
    service = Service(tmp_path)
    command = [sys.executable, "-W", "error", str(EXAMPLE / "client.py"), "Ann", service.url]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with contextlib.ExitStack() as stack:
        with service.running():
            ann = stack.enter_context(subprocess.Popen(command, text=True, bufsize=1, **pipes))
            stack.callback(ann.kill)
            assert ann.stdin is not None
            assert ann.stdout is not None
            assert ann.stderr is not None
            ann.stdin.write("hello\n")
            assert [ann.stdout.readline() for _ in range(2)] == ["* Ann has joined\n", "Ann: hello\n"]
        assert ann.stderr.readline() == "* the connection has ended (1001), connecting again\n"
        ann.stdin.write("into the void\n")
        with service.running():
            assert ann.stdout.readline() == "Ann: into the void\n"
            ann.stdin.write("one\ntwo")
            said, complaints = ann.communicate(timeout=SECONDS)
    assert said.splitlines() == ["Ann: one", "Ann: two"]
    assert all(re.fullmatch(r"\* .+, connecting again", line) for line in complaints.splitlines()), complaints
    assert ann.returncode == 0


# The server alone


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.setattr(sys, "path", [str(EXAMPLE), *sys.path])
    yield importlib.import_module("chat")
    sys.modules.pop("chat", None)


@contextlib.asynccontextmanager
async def served(chat: ModuleType, folder: Path) -> AsyncIterator[TestClient[Any, Any]]:
    async with TestClient(TestServer(chat.make_app(folder / "chat.db"))) as client:
        yield client


async def heard(ws: endwell.ClientWebSocketResponse, text: str) -> list[str]:
    """Receive until somebody says a text; give all that was said."""
    found: list[str] = []
    while not found or found[-1] != text:
        line = await ws.receive_json()
        if line["kind"] == "said":
            found.append(line["text"])
    return found


async def test_workers_share_the_room(chat: ModuleType, tmp_path: Path) -> None:
    async with served(chat, tmp_path) as one, served(chat, tmp_path) as other:
        async with one.ws_connect("/chat?name=Ann") as ann, other.ws_connect("/chat?name=Bob") as bob:
            for key, text in (("key-of-ann", "from one"), ("key-of-ann", "sent twice"), ("next-of-ann", "and on")):
                await ann.send_json({"key": key, "text": text})
            assert await heard(bob, "and on") == ["from one", "and on"]
            await bob.send_json({"key": KEY, "text": "from the other"})
            assert await heard(ann, "from the other") == ["from one", "and on", "from the other"]


async def test_history_is_bounded_and_begins_where_a_member_was(
    chat: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat, "HISTORY", 5)
    async with served(chat, tmp_path) as client, client.ws_connect("/chat?name=Ann") as ann:
        for number in range(8):
            await ann.send_json({"key": f"key-number-{number}", "text": f"{number}"})
        await heard(ann, "7")
    async with served(chat, tmp_path) as client:
        async with client.ws_connect("/chat?name=Bob") as bob:
            first = await bob.receive_json()
            said = [first["text"], *await heard(bob, "7")]
            assert said in (["3", "4", "5", "6", "7"], ["4", "5", "6", "7"])  # and perhaps that Ann has left
        async with client.ws_connect(f"/chat?name=Bob&since={first['id'] + 1}") as bob:
            assert (await bob.receive_json())["text"] == said[2]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("no JSON", 1008),
        ("[]", 1008),
        ('{"text": "x"}', 1008),
        ('{"text": " ", "key": "0123456789"}', 1008),
        ('{"text": "x", "key": 1}', 1008),
        ('{"text": "\\ud800", "key": "0123456789"}', 1008),
        (b"bytes", 1000),
        ("x" * 100_000, 1009),
    ],
)
async def test_what_is_no_message_ends_the_connection(
    chat: ModuleType, tmp_path: Path, message: str | bytes, code: int
) -> None:
    async with served(chat, tmp_path) as client, client.ws_connect("/chat?name=Ann") as ann:
        assert (await ann.receive_json())["kind"] == "joined"
        await (ann.send_str(message) if isinstance(message, str) else ann.send_bytes(message))
        kinds = [each.json()["kind"] async for each in ann]
        assert (set(kinds) <= {"left"}, ann.close_code) == (True, code)


@pytest.mark.parametrize(
    "query", ["", "?name=", "?name=%20", "?name=" + 41 * "x", "?name=A&since=x", "?name=A&since=²"]
)
async def test_who_says_no_name_is_refused(chat: ModuleType, tmp_path: Path, query: str) -> None:
    async with served(chat, tmp_path) as client:
        with pytest.raises(endwell.WSServerHandshakeError) as refused:
            await client.ws_connect(f"/chat{query}")
    assert refused.value.status == 400


async def test_a_slow_reader_holds_nobody_up(chat: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "PATIENCE", 0)  # seconds that a line may wait: what need not wait is sent
    texts = [f"{number}".ljust(chat.MAX_TEXT - 1, "\U0001f600") + "." for number in range(500)]  # 24 kB each, as JSON
    async with served(chat, tmp_path) as client:
        async with client.ws_connect("/chat?name=Slow") as slow, client.ws_connect("/chat?name=Ann") as ann:
            for number, text in enumerate(texts):
                await ann.send_json({"key": f"key-number-{number}", "text": text})
                await heard(ann, text)
            numbers = [message.json()["id"] async for message in slow]
            assert slow.close_code in (1013, 1006)  # the second one if it reads so late that the server is gone
            assert numbers == sorted(numbers)
            assert len(numbers) < len(texts)
