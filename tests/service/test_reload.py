"""A service that follows the files of its program; which files those are, and the thread that looks."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from endwell.lifetime import Owner, caller, close
from endwell.service.plan import ServicePlan
from endwell.service.reload import FileWatch, Patterns, snapshot
from tests.service.running import Service

VERSION = """
from endwell import web
async def version(request):
    return web.Response(text={text!r})
app = web.Application()
app.add_routes([web.get("/", version)])
"""

QUICK = {"PYTHONDONTWRITEBYTECODE": "1"}  # what is compiled would be found by its time


def save(path: Path, text: str) -> None:
    """Write as an editor does; with a time of its own, however coarse the clock of the file system is."""
    save.count += 1  # type: ignore[attr-defined]
    path.with_name("saving").write_text(text)
    path.with_name("saving").rename(path)
    os.utime(path, ns=(save.count * 10**9, save.count * 10**9))  # type: ignore[attr-defined]


save.count = 10**9  # type: ignore[attr-defined]


def test_a_change_is_served_an_error_told_and_healed(service: Service) -> None:
    program = service.folder / "changing.py"
    save(program, VERSION.format(text="one"))
    service.start(target="changing:app", workers=1, reload=True, reload_every=0.05, env=QUICK).ready()
    assert service.ask() == "one"
    save(program, VERSION.format(text="two"))
    service.hears("changing.py has changed: the workers are replaced")
    service.hears("has ended")
    assert service.ask() == "two"
    save(program, "def broken(:\n")
    service.hears("could not start")
    service.hears("SyntaxError")
    service.hears("waiting for a file to change")
    assert service.ask() == "two", "the old one goes on"
    save(program, VERSION.format(text="three"))
    service.hears(r"worker \d+ of slot 0 has ended")
    assert service.ask() == "three"
    service.signal()
    status, log = service.end()
    assert status == 0, log


def test_an_error_at_the_very_start_keeps_the_socket_until_it_is_healed(service: Service) -> None:
    program = service.folder / "changing.py"
    save(program, "def broken(:\n")
    service.start(target="changing:app", workers=2, reload=True, reload_every=0.05, env=QUICK)
    for _ in range(2):
        service.hears("waiting for a file to change")
    assert service.control("/-/ready")[0] == 503
    states = [each["state"] for each in service.control("/-/workers")[1]["workers"]]
    assert states == ["waiting", "waiting"]
    service.port = int(next(line.rpartition(":")[2] for line in service.lines if "listening on" in line))
    with_answer = service.asking("/")
    save(program, VERSION.format(text="healed"))
    assert with_answer.getresponse().read() == b"healed"
    with_answer.close()
    service.ready()
    service.signal()
    assert service.end()[0] == 0


def test_patterns() -> None:
    patterns = Patterns(["*.html"], ["test_*", "build/*"])
    names = ["a.py", "b.html", "c.css", "test_a.py", "build/d.py", "sub/e.py"]
    assert [each for each in names if patterns.takes(each.rpartition("/")[2], each)] == ["a.py", "b.html", "sub/e.py"]


def test_what_a_look_finds(tmp_path: Path) -> None:
    for name in ("a.py", "sub/b.py", ".hidden/c.py", "__pycache__/d.py", "venv/pyvenv.cfg", "venv/e.py", "out/f.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "gone.py").symlink_to(tmp_path / "nowhere")
    seen = snapshot([tmp_path, tmp_path / "missing"], Patterns([], ["out"]))
    assert sorted(str(Path(each).relative_to(tmp_path)) for each in seen) == ["a.py", "sub/b.py"]


async def test_the_thread_tells_of_changes_and_ends_with_its_owner(tmp_path: Path) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    owner = Owner(asyncio.get_running_loop(), close_timeout=0, advice="")
    plan = ServicePlan(reload=True, reload_dirs=[str(tmp_path)], reload_every=0.01)
    FileWatch(owner, plan, heard.put_nowait)
    save(tmp_path / "a.py", "1")
    assert await heard.get() == str(tmp_path / "a.py")
    save(tmp_path / "a.py", "2")
    assert await heard.get() == str(tmp_path / "a.py")
    (tmp_path / "a.py").unlink()
    assert await heard.get() == str(tmp_path / "a.py")
    await close(owner, timeout=0, at=caller())  # the leak check looks for the thread
