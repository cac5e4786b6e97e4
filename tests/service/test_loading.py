"""What a target may be, what is found there, and what is said when it cannot be served."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from endwell import web
from endwell.server.asgi import AsgiRunner
from endwell.server.runner import BaseRunner
from endwell.service.interrupts import hold, interruptible, release
from endwell.service.loading import TargetError, load
from endwell.service.plan import ServicePlan
from endwell.service.target import is_folder, place_of

PROGRAM = """
from endwell import web

async def hello(request):
    return web.Response(text="Hello")

def make():
    app = web.Application()
    app.add_routes([web.get("/", hello)])
    return app

async def make_later():
    return make()

def make_of(argv):
    assert argv == []
    return make()

async def make_later_of(argv):
    assert argv == []
    return make()

def make_with(setting=1, *, other=2):
    return make()

def fails():
    raise RuntimeError("no database")

async def fails_later():
    raise RuntimeError("no database")

def gives_nothing():
    make()

def needs(setting):
    return make()

app = make()
Kind = web.Application
server = web.Server(hello)
number = 3

class Parts:
    inner = make()
    make = staticmethod(make)

    @property
    def broken(self):
        return self.not_there

parts = Parts()

async def asgi(scope, receive, send):
    pass

class Asgi:
    async def __call__(self, scope, receive, send):
        pass

class AsgiPlain:
    def __call__(self, scope, receive, send):
        return asgi(scope, receive, send)

class AsgiStars:
    async def __call__(self, *args, **kwargs):
        pass

asgi_object, asgi_plain, asgi_stars = Asgi(), AsgiPlain(), AsgiStars()

def make_asgi():
    return asgi

async def make_asgi_later():
    return Asgi()

class Asgi2:
    def __init__(self, scope):
        pass
    async def __call__(self, receive, send):
        pass

def asgi2(scope):
    return Asgi2(scope)

class Wrapper:
    def __init__(self, app):
        pass
    async def __call__(self, scope, receive, send):
        pass

def wsgi(environ, start_response):
    return []

class Wsgi:
    def __call__(self, environ, start_response):
        return []

wsgi_object = Wsgi()

def odd(a, b, c, d):
    pass
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a program, the current one; what is imported from it is forgotten afterwards."""
    (tmp_path / "program.py").write_text(PROGRAM)
    before, path = set(sys.modules), list(sys.path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None) or str(tmp_path)
        if file.startswith(str(tmp_path)):
            del sys.modules[name]
    sys.path_importer_cache.pop(str(tmp_path), None)


async def served(target: str, **options: object) -> BaseRunner:
    return await load(ServicePlan(target=target, **options)).runner(access_log=None)  # type: ignore[arg-type] # of a test


async def refused(target: str, **options: object) -> str:
    with pytest.raises(TargetError) as raised:
        await served(target, **options)
    return str(raised.value)


MAKING = ["make", "make()", "make_later", "make_later()", "make_of", "make_later_of", "make_with"]
PARTS = ["parts.inner", "parts.make()", "Parts.make"]


@pytest.mark.parametrize("name", ["app", "Kind", *MAKING, *PARTS])
async def test_applications(folder: Path, name: str) -> None:
    runner = await served(f"program:{name}")
    assert isinstance(runner, web.AppRunner)
    assert isinstance(runner.app, web.Application)


@pytest.mark.parametrize("name", ["asgi", "asgi_object", "asgi_plain", "asgi_stars", "make_asgi", "make_asgi_later()"])
async def test_asgi(folder: Path, name: str) -> None:
    runner = await served(f"program:{name}", root_path="/api", options={"lifespan": "off"})
    assert isinstance(runner, AsgiRunner)


async def test_a_bare_server(folder: Path) -> None:
    assert isinstance(await served("program:server"), web.ServerRunner)


async def test_a_coroutine_that_the_module_holds(folder: Path) -> None:
    (folder / "later.py").write_text("from program import make_later\napp = make_later()\n")
    assert isinstance(await served("later:app"), web.AppRunner)


async def test_the_flags(folder: Path) -> None:
    assert isinstance(await served("program:make", factory=True), web.AppRunner)
    assert isinstance(await served("program:app", interface="endwell"), web.AppRunner)
    assert isinstance(await served("program:wsgi", interface="asgi"), AsgiRunner)  # whoever says so is believed
    assert isinstance(await served("program:make_asgi", interface="asgi", factory=True), AsgiRunner)
    assert "leave out --interface asgi" in await refused("program:app", interface="asgi")
    assert "leave out --interface endwell" in await refused("program:asgi", interface="endwell")
    assert "cannot be: it is an int" in await refused("program:number", factory=True)
    assert "add_subapp" in await refused("program:app", root_path="/api")
    told = {"lifespan": "off", "websocket_max_size": 9}
    assert isinstance(await served("program:asgi", options=told), AsgiRunner)
    assert (await refused("program:app", options=told)).endswith("leave out --lifespan, --ws-max-size")


REFUSED = {
    "asgi2": "is an application of ASGI 2 (the function asgi2), which is called twice: serve ASGI 3",
    "Asgi2": "is an application of ASGI 2 (the class Asgi2)",
    "Wrapper": "is the class Wrapper, not an object of it: app = Wrapper(...)",
    "wsgi": "is an application of WSGI (the function wsgi)",
    "wsgi_object": "is an application of WSGI (a program.Wsgi), which runs in threads: wrap it in an adapter",
    "hello": "is a handler (the function hello), not an application",
    "number": "is an int: that is neither a web.Application nor an application of ASGI",
    "gives_nothing": "gives None: it must return the application",
    "needs": "is the function needs, and cannot be called as an application of ASGI is",
    "odd": "is the function odd, and cannot be called as an application of ASGI is",
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_none_is_refused_with_what_to_do(folder: Path, name: str) -> None:
    text = await refused(f"program:{name}")
    assert text.startswith(f"program:{name} {REFUSED[name]}")


async def test_an_application_of_another_library(folder: Path) -> None:
    (folder / "aiohttp.py").write_text("class Application:\n    pass\n")
    (folder / "other.py").write_text("import aiohttp\napp = aiohttp.Application()\n")
    assert "make it with endwell (from endwell import web)" in await refused("other:app")


@pytest.mark.parametrize("name", ["fails", "fails_later()"])
async def test_a_factory_that_fails(folder: Path, name: str) -> None:
    text = await refused(f"program:{name}")
    assert text.startswith(f"program:{name} failed:\n\nTraceback (most recent call last):\n")
    assert text.endswith("RuntimeError: no database")
    assert text.count('File "') == text.count("program.py") == 1, text


# Names that are not there


async def test_names_that_are_not_there(folder: Path) -> None:
    text = await refused("programm:app")
    assert (
        text == f"There is no module programm in {folder}, nor is one of that name installed; did you mean program:app?"
    )
    text = await refused("zzz:app")
    assert "there are program. Another folder: --app-dir" in text
    text = await refused("program:ap")
    assert text == f"The module program ({folder / 'program.py'}) has no attribute ap; did you mean app?"
    text = await refused("program:parts.iner")
    assert text == "program.parts has no attribute iner; did you mean inner?"
    assert "; it has app, " in await refused("program:zzzzzz")
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").touch()
    (folder / "package" / "main.py").touch()
    assert "did you mean package.main:app?" in await refused("package.mian:app")
    assert "AttributeError: 'Parts' object has no attribute 'not_there'" in await refused("program:parts.broken.x")
    assert f"There is no folder {folder / 'nowhere'}" in await refused("program:app", app_dir="nowhere")


async def test_the_folder_of_the_program(folder: Path) -> None:
    (folder / "src").mkdir()
    (folder / "src" / "inner_program.py").write_text("from program import app\n")
    assert isinstance(await served("program:app"), web.AppRunner)
    assert isinstance(await served("inner_program:app", app_dir="src"), web.AppRunner)
    assert sys.path[0] == str(folder / "src")


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("", "Nothing to serve was named"),
        ("program", "There is no folder 'program'; an application is written module:attribute, as program:app"),
        ("program.py", "'program.py' is a file: name its module, program:app"),
        ("src/program.py:main", "'src/program.py' is a file: name its module, --app-dir src program:main"),
        ("./nowhere", "There is no folder './nowhere'"),
        ("program:make(1)", "a factory is called without arguments"),
        ("program:", "'' is no name in Python"),
        ("my-program:app", "'my-program' is no name in Python"),
    ],
)
def test_targets_that_say_nothing(folder: Path, target: str, text: str) -> None:
    with pytest.raises(TargetError) as raised:
        place_of(target)
    assert text in str(raised.value)


# Programs that fail


FAILING = {
    "error": ("import program\n\ndef f():\n    raise KeyError('x')\n\nf()\n", ["line 6", "line 4", "KeyError: 'x'"]),
    "syntax": ("def f(:\n    pass\n", ["def f(:", "SyntaxError"]),
    "missing": ("import not_there_at_all\n", ["line 1", "No module named 'not_there_at_all'"]),
    "itself": ("import failing.itself\n", ["line 1", "'failing' is not a package"]),
    "exits": ("import sys\nsys.exit(4)\n", ["exit(4)", "if __name__ == '__main__'", "line 2"]),
}


@pytest.mark.parametrize("name", FAILING)
async def test_a_module_that_fails(folder: Path, name: str) -> None:
    source, texts = FAILING[name]
    (folder / "failing.py").write_text(source)
    text = await refused("failing:app")
    assert text.startswith("The module failing ")
    for each in texts:
        assert each in text
    assert "endwell/service" not in text
    assert "importlib" not in text


async def test_an_import_that_is_told_to_end_is_broken_off(folder: Path) -> None:
    (folder / "blocking.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\nwhile True: pass\n")
    before = signal.getsignal(signal.SIGTERM)
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    try:
        with pytest.raises(KeyboardInterrupt):
            load(ServicePlan(target="blocking:app"))
        os.kill(os.getpid(), signal.SIGTERM)  # now it is the program's own again
        assert told == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_signal_that_comes_just_before_an_import_breaks_it_off() -> None:
    """It is held until there is something to break off."""
    before = signal.getsignal(signal.SIGTERM)
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    try:
        hold()
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt), interruptible():
            raise AssertionError
        hold()
        signal.raise_signal(signal.SIGTERM)
        assert told == []
        release()
        assert told == [signal.SIGTERM]
    finally:
        release()
        signal.signal(signal.SIGTERM, before)


# Folders


async def test_a_folder(folder: Path) -> None:
    assert is_folder(".")
    runner = await served(".", options={"listing": True})
    assert isinstance(runner, web.AppRunner)
    assert "are for applications" in await refused(".", factory=True)
    assert not is_folder("program.py")


async def test_a_partial_is_a_factory(folder: Path) -> None:
    (folder / "partial.py").write_text("import functools, program\napp = functools.partial(program.needs, 1)\n")
    assert isinstance(await served("partial:app"), web.AppRunner)
