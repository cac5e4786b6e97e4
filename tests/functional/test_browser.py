"""A browser uses the service of `examples/notes`: Chromium, without a window, on loopback (Debian's `chromium`).

Each feature of the page is used by clicking and typing; the console must stay empty. Then the server is told to end
while the page's event stream is open: it ends at once, and with status 0.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright import sync_api

from tests.support.programs import program

EXAMPLE = Path(__file__).parents[2] / "examples" / "notes"
OPTIONS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
SECONDS = 30


@contextlib.contextmanager
def service(name: str, folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run one of the programs; give the process and its URL."""
    command = [sys.executable, "-u", str(EXAMPLE / f"{name}.py"), "--folder", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = re.search(r"http://[\d.:]+", process.stdout.readline())
            assert url is not None, process.communicate(timeout=SECONDS)[1]
            yield process, url[0]
        finally:
            process.kill()


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    sync_api.expect.set_options(timeout=SECONDS * 1000)
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program("chromium", "chromium"), args=OPTIONS)
        try:
            yield chromium
        finally:
            chromium.close()


@contextlib.contextmanager
def opened(chromium: Any, url: str) -> Iterator[Any]:
    """Give a page; at the end of the block it must have had nothing to complain of."""
    page = chromium.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("response", lambda response: response.ok or complaints.append(f"{response.status} for {response.url}"))
    page.set_default_timeout(SECONDS * 1000)
    page.goto(url)
    yield page
    assert complaints == []


def use(page: Any, folder: Path) -> None:
    """Use what the page offers, but for the stream of events."""
    expect = sync_api.expect
    page.get_by_label("Your name").fill("Ann")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#name")).to_have_text("Ann")
    for text in ("milk", "<b>bread</b> & cheese", "gone soon"):
        page.get_by_label("A note").fill(text)
        page.get_by_role("button", name="Add").click()
        expect(page.locator("#notes li").last).to_contain_text(text)
    page.locator("#notes li", has_text="gone soon").get_by_role("button", name="Delete").click()
    expect(page.locator("#notes li")).to_have_count(2)

    big = folder / "big.bin"
    big.write_bytes(os.urandom(3_000_000))
    small = folder / "a letter.txt"
    small.write_text("Dear reader")
    page.get_by_label("Files").set_input_files([big, small])
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#files li")).to_have_count(2)
    expect(page.locator("#files li").last).to_contain_text("3000000 bytes")
    with page.expect_download() as downloading:
        page.get_by_role("link", name="big.bin").click()
    assert Path(downloading.value.path()).read_bytes() == big.read_bytes()

    page.reload()  # the session is in a cookie, the rest is kept
    expect(page.locator("#notes li")).to_have_text([re.compile("milk.*Ann"), re.compile("<b>bread</b> & cheese")])
    expect(page.locator("#files li")).to_have_count(2)
    assert page.context.cookies()[0]["httpOnly"]
    picture = os.environ.get("ENDWELL_TEST_PICTURE")
    if picture:
        page.screenshot(path=picture)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Your name")).to_be_visible()
    expect(page.locator("#signed-in")).to_be_hidden()


def test_page_of_the_example(tmp_path: Path) -> None:
    with browser() as chromium, service("notes", tmp_path / "data") as (process, url):
        with opened(chromium, url) as page:
            use(page, tmp_path)
            sync_api.expect(page.locator("#clock")).to_be_hidden()
        process.send_signal(signal.SIGTERM)  # its connections are still there, idle
        _, said = process.communicate(timeout=SECONDS)
    assert (process.returncode, "Traceback" in said) == (0, False), said
    assert "0 aborted" in said


def test_page_with_an_open_event_stream_does_not_hold_the_server_up(tmp_path: Path) -> None:
    with browser() as chromium, service("live", tmp_path / "data") as (process, url):
        with opened(chromium, url) as page:
            sync_api.expect(page.locator("#seconds")).to_have_text(re.compile(r"^\d+$"))
            use(page, tmp_path)
            other = chromium.new_page()
            other.goto(url)
            sync_api.expect(other.locator("#watchers")).to_have_text("2")
            seconds = page.locator("#seconds").inner_text()
            sync_api.expect(page.locator("#seconds")).not_to_have_text(seconds)
        process.send_signal(signal.SIGTERM)
        # Far less than the 60 s that requests in flight are given: the streams ended, nothing was waited for.
        _, said = process.communicate(timeout=SECONDS)
        sync_api.expect(page.locator("#clock")).to_be_hidden()
    assert (process.returncode, "Traceback" in said) == (0, False), said
    assert re.search(r"closed AppRunner in \d+\.\d ms: \d finished, 0 aborted", said), said
