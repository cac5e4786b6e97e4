"""The code blocks, headings and links of the Markdown files; used by the tests of the documentation.

A block of Python is run as it stands, unless a comment before it says why not:

    <!-- not run: it needs a proxy that asks for a password -->

A block `text output` that follows directly is what the code prints, standard error included; `...` in it stands for
anything, and `/home/me` for the folder of the program. The hosts that the examples name are replaced by servers of the
test.

A block that calls `web.run_app(` is a service: it is started, the blocks `console` that follow it on the page are tried
(lines that begin with `$ ` are commands for curl, the others what they print), and it is told to end. A block
`python pytest` is given to pytest. The blocks before it on the page that say their file's name (`# name.py`) are there.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
FILES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]

_FENCE = re.compile(r"^(`{3,})(.*)$")
_SKIP = re.compile(r"^<!-- not run: (.+) -->$")
_LINK = re.compile(r"\]\(([^)\s]+)\)")  # what stands before may have begun on the line before
_SPAN = re.compile(r"`[^`]*`")
_NAME = re.compile(r"# ([\w.-]+)\n")


class Block(NamedTuple):
    """A fenced block: where it is, what it says, what it prints, and why it is not run."""

    path: Path
    line: int
    info: str
    text: str
    output: str | None
    skip: str | None

    @property
    def name(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"

    @property
    def file_name(self) -> str | None:
        """The name of its file, which its first line may say."""
        named = _NAME.match(self.text)
        return named[1] if named else None

    @property
    def is_program(self) -> bool:
        """Whether it starts an event loop by itself."""
        return "asyncio.run(" in self.text or "uvloop.run(" in self.text

    @property
    def is_service(self) -> bool:
        """Whether it serves until it is told to end."""
        return "web.run_app(" in self.text

    @property
    def is_tests(self) -> bool:
        """Whether it is for pytest."""
        return self.info == "python pytest"

    @property
    def is_fragment(self) -> bool:
        """Whether it runs in a loop that is there."""
        return not (self.is_program or self.is_service or self.is_tests)


def blocks_of(path: Path) -> list[Block]:
    """Return the fenced blocks of a file, in their order."""
    found: list[Block] = []
    lines = path.read_text(encoding="utf-8").split("\n")
    number = 0
    said: str | None = None
    while number < len(lines):
        line = lines[number]
        opening = _FENCE.match(line)
        if opening is None:
            if line.strip():
                skip = _SKIP.match(line)
                said = skip[1] if skip else None
            number += 1
            continue
        end = lines.index(opening[1], number + 1)
        text = "\n".join(lines[number + 1 : end]) + "\n"
        info = opening[2].strip()
        if info == "text output":
            found[-1] = found[-1]._replace(output=text)
        else:
            found.append(Block(path, number + 2, info, text, None, said))
        said = None
        number = end + 1
    return found


def python_blocks() -> list[Block]:
    """Return all blocks of Python in all files."""
    return [block for path in FILES for block in blocks_of(path) if block.info.split(" ")[0] == "python"]


def files_before(block: Block) -> list[Block]:
    """Return the blocks before one on its page that are files."""
    return [each for each in blocks_of(block.path) if each.line < block.line and each.file_name is not None]


def consoles_of(service: Block) -> list[Block]:
    """Return the blocks of commands that follow a service on its page, up to the next one."""
    found = []
    for each in blocks_of(service.path):
        if each.line > service.line:
            if each.is_service:
                break
            if each.info == "console":
                found.append(each)
    return found


def prose_of(path: Path) -> list[tuple[int, str]]:
    """Return the lines that are not in a block, with their numbers and without code spans."""
    found: list[tuple[int, str]] = []
    fence: str | None = None
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        opening = _FENCE.match(line)
        if fence is None and opening is not None:
            fence = opening[1]
        elif fence is not None:
            fence = None if line == fence else fence
        else:
            found.append((number, line))
    return found


def links_of(path: Path) -> list[tuple[int, str]]:
    """Return the targets of the links of a file, with their lines."""
    return [(number, match[1]) for number, line in prose_of(path) for match in _LINK.finditer(_SPAN.sub("`", line))]


def anchors_of(path: Path) -> set[str]:
    """Return the anchors of a file's headings, as code hosts make them."""
    found: set[str] = set()
    for _, line in prose_of(path):
        if re.match(r"#{1,6} ", line):
            title = line.lstrip("#").strip().lower()
            found.add(re.sub(r"[^\w\- ]", "", title).replace(" ", "-"))
    return found


def awaits(text: str, name: str) -> object:
    """Compile a fragment, in which `await` may stand at the top, as in `python -m asyncio`."""
    return compile(text, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
