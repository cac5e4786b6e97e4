"""Ctrl-C once, twice, and SIGTERM, sent to the real command while requests are under way."""

import signal
import subprocess
from contextlib import suppress

import pytest

from tests.cli.conftest import Command, Site

LOOPS = ["asyncio", "uvloop"]


def said_until(process: subprocess.Popen[bytes], words: bytes) -> bytes:
    """Read standard error up to a line that has the words: then the command has seen the signal."""
    assert process.stderr is not None
    said = b""
    for line in process.stderr:
        said += line
        if words in line:
            return said
    raise AssertionError(f"never said {words!r}: {said!r}")


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_once_lets_what_is_under_way_finish(
    own_site: Site, command: Command, loop: str, number: signal.Signals, code: int
) -> None:
    urls = [own_site.url(path) for path in ("/first", "/hold/1", "/halfway/2", *(f"/later/{n}" for n in range(50)))]
    with command.start("--loop", loop, "-n", "2", "--close-timeout", "60", "-o", "out", *urls) as process:
        own_site.wait_until_held(2)
        process.send_signal(number)
        said_until(process, b"finishing what is under way")
        own_site.release()
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == code
    assert b"3 fetched, 0 failed" in said
    assert b"Traceback" not in said
    folder = command.folder / "out" / own_site.folder
    assert (folder / "hold" / "1").read_bytes() == b"held back\n"
    assert len((folder / "halfway" / "2").read_bytes()) == 200
    assert not (folder / "later").exists()
    assert not list(command.folder.rglob("*.endwell-part"))


@pytest.mark.parametrize("loop", LOOPS)
def test_twice_stops_at_once_and_keeps_what_was_fetched(own_site: Site, command: Command, loop: str) -> None:
    urls = [own_site.url(path) for path in ("/first", "/hold/1", "/halfway/2", "/later")]
    with command.start("--loop", loop, "-n", "2", "--close-timeout", "60", "--jsonl", "records", *urls) as process:
        own_site.wait_until_held(2)
        process.send_signal(signal.SIGINT)
        said_until(process, b"finishing what is under way")
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        said = process.stderr.read()  # nobody releases the requests: it ends all the same
    own_site.release()
    assert process.returncode == 130
    assert b"1 fetched, 0 failed, 2 interrupted" in said
    assert b"Traceback" not in said
    assert set(command.records("records")) == {"first"}


@pytest.mark.parametrize("loop", LOOPS)
def test_twice_leaves_no_half_file(own_site: Site, command: Command, loop: str) -> None:
    with command.start(
        "--loop", loop, "-n", "1", "-o", "out", own_site.url("/halfway/1"), own_site.url("/b")
    ) as process:
        own_site.wait_until_held()
        process.send_signal(signal.SIGINT)
        said_until(process, b"finishing what is under way")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 130
    own_site.release()
    assert not [path for path in (command.folder / "out").rglob("*") if path.is_file()]


@pytest.mark.parametrize("loop", LOOPS)
def test_the_drain_ends_with_its_time(own_site: Site, command: Command, loop: str) -> None:
    urls = [own_site.url("/hold/1"), own_site.url("/b")]
    with command.start("--loop", loop, "-n", "1", "--close-timeout", "0.2", "-o", "out", *urls) as process:
        own_site.wait_until_held()
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        said = process.stderr.read()
    own_site.release()
    assert process.returncode == 130
    assert b"0 fetched, 0 failed, 1 interrupted" in said
    assert b"Traceback" not in said


@pytest.mark.parametrize("loop", LOOPS)
def test_one_url_that_is_interrupted(own_site: Site, command: Command, loop: str) -> None:
    with command.start("--loop", loop, own_site.url("/halfway/1")) as process:
        own_site.wait_until_held()
        process.send_signal(signal.SIGINT)
        said_until(process, b"finishing what is under way")
        own_site.release()
        assert process.stdout is not None
        assert len(process.stdout.read()) == 200
    assert process.returncode == 130


@pytest.mark.parametrize("loop", LOOPS)
def test_while_it_waits_for_the_list(own_site: Site, command: Command, loop: str) -> None:
    """Standard input is a pipe that stays open and silent."""
    with command.start("--loop", loop, "-i", "-", "-o", "out", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(own_site.url("/hold/1").encode() + b"\n")
        process.stdin.flush()
        own_site.wait_until_held()
        own_site.release()
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == 130
    assert b"1 fetched" in said


@pytest.mark.parametrize("loop", LOOPS)
def test_while_it_passes_over_what_is_there(own_site: Site, command: Command, loop: str) -> None:
    """The list has no end, and nothing on it has to be fetched."""
    url = own_site.url("/a")
    assert command.run("-o", "out", url).returncode == 0
    options = {"stdin": subprocess.PIPE, "bufsize": 0}
    with command.start("--loop", loop, "-v", "--resume", "-i", "-", "-o", "out", **options) as process:
        assert process.stdin is not None
        process.stdin.write(b"this is no URL\n")
        said_until(process, b"-:1: ")
        process.send_signal(signal.SIGINT)
        with suppress(BrokenPipeError):
            while process.stdin.write(url.encode() + b"\n"):
                pass
    assert process.returncode == 130


def test_killed_it_leaves_nothing_that_looks_whole_and_goes_on(own_site: Site, command: Command) -> None:
    with command.start("-n", "1", "-o", "out", own_site.url("/halfway/1")) as process:
        own_site.wait_until_held()
        process.kill()
    own_site.release()
    files = [path.name for path in (command.folder / "out").rglob("*") if path.is_file()]
    assert files in ([".1.endwell-part"], [])
    done = command.run("--resume", "-o", "out", own_site.url("/halfway/1"))
    assert done.returncode == 0
    files = [path.name for path in (command.folder / "out").rglob("*") if path.is_file()]
    assert files == ["1"]
