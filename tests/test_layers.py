"""The layers of the package and the rules of the house, proved with `ast` for every file of `src/endwell`.

Imports inside functions and under TYPE_CHECKING count like any other. The last tests let a synthetic tree with every
fault go through the same eyes, so that a rule that no longer sees anything fails.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "src" / "endwell"

# A package imports from a smaller number or from itself; packages of one number are strangers.
LAYERS = {
    "_version": -1,  # one constant, for whoever wants to say it
    "lifetime": 0,
    "http": 1,
    "wire": 2,
    "transport": 2,
    "connection": 3,
    "client": 4,
    "server": 4,
    "service": 5,
    "testing": 5,
    "check": 5,
    "scrape": 5,
    "cli": 6,
    "__main__": 7,
}
TOP = 7  # endwell/__init__ and the other modules that only give names

LIFETIME_ONLY = {"create_task", "ensure_future", "shield"}
OWNERS = {"session", "core", "owner", "_exchange"}
HOOKS = {"_stop", "_finish", "_abort"}
NO_NAMES = {"helpers", "helper", "utils", "util", "common", "misc"}
MAX_FILE, MAX_FUNCTION = 500, 60


def room(parts: tuple[str, ...]) -> str:
    """Return the package a module lives in: its first part below the root, "" for the root's own file."""
    return parts[0] if parts else ""


def layer(name: str) -> int:
    return LAYERS.get(name, TOP)


def imported(tree: ast.Module, module: tuple[str, ...], is_package: bool) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield line and parts (below `endwell`) of every import of our own modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                if parts[0] == "endwell":
                    yield node.lineno, tuple(parts[1:])
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                package = module if is_package else module[:-1]
                base = package[: len(package) - node.level + 1]
                base += tuple(node.module.split(".")) if node.module else ()
            elif node.module and node.module.split(".")[0] == "endwell":
                base = tuple(node.module.split(".")[1:])
            else:
                continue
            if base:
                yield node.lineno, base
            else:  # `from endwell import x`, `from .. import x`: x may be a package
                for alias in node.names:
                    yield node.lineno, (alias.name,) if alias.name in LAYERS else ()


def check_layers(tree: ast.Module, module: tuple[str, ...], is_package: bool) -> Iterator[str]:
    here = room(module)
    for line, target in imported(tree, module, is_package):
        there = room(target)
        if there != here and layer(there) >= layer(here):
            what = f"{here or 'endwell'} (layer {layer(here)}) imports {there or 'endwell'} (layer {layer(there)})"
            yield f"{line}: {what}"


def check_lifetime(tree: ast.Module, module: tuple[str, ...]) -> Iterator[str]:
    if room(module) == "lifetime":
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in LIFETIME_ONLY and not _is_ours(node.value):
            yield f"{node.lineno}: {node.attr} outside lifetime/"
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.lineno}: {a.name} outside lifetime/" for a in node.names if a.name in LIFETIME_ONLY)
        elif isinstance(node, ast.FunctionDef) and node.name == "__del__":
            yield f"{node.lineno}: __del__ outside lifetime/"
        elif isinstance(node, ast.ExceptHandler) and _catches_all(node.type):
            yield f"{node.lineno}: except BaseException outside lifetime/"
        elif isinstance(node, ast.Call) and _is_hook(node.func):
            yield f"{node.lineno}: {ast.unparse(node.func)}() is called outside lifetime/"


def _is_ours(node: ast.expr) -> bool:
    """Whether `node.create_task` is that of one of our owners, whose tasks end with it."""
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return name in OWNERS


def _is_hook(called: ast.expr) -> bool:
    """Whether one of the three hooks is called, and not just the one that a hook overrides."""
    if not isinstance(called, ast.Attribute) or called.attr not in HOOKS:
        return False
    owner = called.value
    return not (isinstance(owner, ast.Call) and isinstance(owner.func, ast.Name) and owner.func.id == "super")


def _catches_all(caught: ast.expr | None) -> bool:
    if isinstance(caught, ast.Tuple):
        return any(_catches_all(each) for each in caught.elts)
    return caught is None or (isinstance(caught, ast.Name) and caught.id == "BaseException")


def check_sizes(source: str, tree: ast.Module) -> Iterator[str]:
    lines = source.splitlines()
    head = "\n".join(line for line in lines[:5] if line.startswith("#")) + (ast.get_docstring(tree) or "")
    if len(lines) > MAX_FILE and "Over 500 lines:" not in head:
        yield f"1: {len(lines)} lines without a reason (`Over 500 lines: ...` in the docstring)"
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            size = (node.end_lineno or node.lineno) - node.lineno + 1
            reason = lines[node.lineno - 1].partition("# long:")[2].strip()
            if size > MAX_FUNCTION and not reason:
                yield f"{node.lineno}: {node.name} has {size} lines without a reason (`# long: ...` on its def line)"


def violations(root: Path) -> list[str]:
    """Return everything that is against the rules below `root`, each with file and line."""
    found = []
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root)
        is_package = path.name == "__init__.py"
        module = relative.parent.parts if is_package else relative.with_suffix("").parts
        source = path.read_text("utf-8")
        tree = ast.parse(source)
        problems = [*check_layers(tree, module, is_package), *check_lifetime(tree, module), *check_sizes(source, tree)]
        problems += [f"1: a file named {part}" for part in module if part.strip("_") in NO_NAMES]
        if not ast.get_docstring(tree):
            problems.append("1: no module docstring")
        found += [f"{relative}:{problem}" for problem in problems]
    return found


def test_the_house_keeps_its_rules() -> None:
    assert violations(ROOT) == []


def test_every_room_has_a_layer() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages <= set(LAYERS), "a new package needs a number in LAYERS"


GOOD = {
    "__init__.py": "from endwell.client.session import x\nfrom . import http",
    "http/__init__.py": "from endwell._version import __version__",
    "http/url.py": "from .other import y\nfrom endwell.lifetime import closing\nfrom ..lifetime.tasks import s",
    "lifetime/tasks.py": "try:\n    asyncio.create_task(asyncio.shield(x))\nexcept BaseException:\n    r._abort()",
    "client/session.py": "import endwell.wire\nclass S:\n    def create_task(self): super()._stop()",
    "wire/http1/parser.py": "from endwell.wire.websocket import z\nfrom ..websocket import z",
    "cli/get.py": "import endwell.client\n\ndef f(session):\n    session.create_task(g())",
    "http/long.py": "# Over 500 lines: a table that is one table\n"
    + "x = 1\n" * 600
    + "\ndef f():  # long: it is a list\n"
    + "    x = 1\n" * 70,
}
BAD = {
    "http/a.py": ("from endwell.client import x", "http (layer 1) imports client (layer 4)"),
    "http/b.py": ("def f():\n    import endwell.transport.tls", "2: http (layer 1) imports transport"),
    "http/c.py": ("if TYPE_CHECKING:\n    from ..wire.http1 import x", "2: http (layer 1) imports wire"),
    "http/d.py": ("from endwell import ClientSession", "imports endwell (layer 7)"),
    "http/e.py": ("from .. import client", "http (layer 1) imports client"),
    "http/f.py": ("import endwell", "imports endwell (layer 7)"),
    "wire/http1/g.py": ("from ...transport import tls", "wire (layer 2) imports transport (layer 2)"),
    "wire/http1/__init__.py": ("from ...connection import x", "wire (layer 2) imports connection"),
    "client/h.py": ("import asyncio\nasyncio.create_task(x())", "2: create_task outside"),
    "client/i.py": ("from asyncio import shield as s", "shield outside"),
    "client/j.py": ("spawn = loop.create_task", "create_task outside"),
    "client/k.py": ("class A:\n    def __del__(self): pass", "2: __del__"),
    "client/l.py": ("try:\n    pass\nexcept:\n    pass", "3: except BaseException"),
    "client/m.py": ("try:\n    pass\nexcept (ValueError, BaseException):\n    pass", "3: except BaseException"),
    "client/n.py": ("async def f(c):\n    await c._finish()", "2: c._finish() is called"),
    "client/o.py": ("x = 1\n" * 501, "1: 503 lines"),
    "client/p.py": ("def f():\n" + "    x = 1\n" * 60, "f has 61 lines"),
    "client/utils.py": ("x = 1", "a file named utils"),
    "common/q.py": ("x = 1", "a file named common"),
    "client/r.py": ("from endwell.server import x", "client (layer 4) imports server (layer 4)"),
}


def _write(root: Path, name: str, source: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(f'"""A module."""\n{source}\n')


def test_what_is_allowed_is_seen_as_such(tmp_path: Path) -> None:
    for name, source in GOOD.items():
        _write(tmp_path, name, source)
    (tmp_path / "http/long.py").write_text(GOOD["http/long.py"].replace("\n", '\n"""A module."""\n', 1))
    assert violations(tmp_path) == []


@pytest.mark.parametrize("name", BAD)
def test_each_fault_is_seen(tmp_path: Path, name: str) -> None:
    source, expected = BAD[name]
    _write(tmp_path, name, source)
    # The docstring line is the first: the expected lines are those of the source plus one.
    found = violations(tmp_path)
    number, _, text = expected.rpartition(": ") if expected[0].isdigit() else ("", "", expected)
    assert len(found) == 1, found
    assert found[0].startswith(name)
    assert text in found[0]
    if number and number != "1":
        assert f":{int(number) + 1}:" in found[0]


def test_a_module_without_a_docstring_is_seen(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("x = 1\n")
    assert violations(tmp_path) == ["x.py:1: no module docstring"]
