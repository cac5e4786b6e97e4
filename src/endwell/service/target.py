"""What a target says, as text: a folder, or a module and an attribute. Used by `loading` and the command line."""

from __future__ import annotations

import os
from typing import NamedTuple

__all__ = ("Place", "TargetError", "is_folder", "place_of")


class TargetError(Exception):
    """What was to be served cannot be; the text is for the user, and says what to do."""


class Place(NamedTuple):
    """Where an application is.

    Attributes:
        text: what the user wrote.
        module: its dotted name.
        attributes: names, each an attribute of the one before.
        called: whether it is to be called without arguments.

    """

    text: str
    module: str
    attributes: tuple[str, ...]
    called: bool


def is_folder(target: str) -> bool:
    """Whether a target is a folder that there is."""
    return os.path.isdir(os.path.expanduser(target))  # noqa: PTH111, PTH112 - a target is text


def place_of(target: str) -> Place:
    """Take ``module:attribute`` apart.

    Raises:
        TargetError: it is not of that form.

    """
    module, colon, rest = target.partition(":")
    if not target:
        raise TargetError("Nothing to serve was named: write module:attribute, or a folder")
    if os.sep in module or module in {".", ".."} or (module.endswith(".py") and os.path.isfile(module)):  # noqa: PTH113
        raise TargetError(_no_module(module, rest))
    if not colon:
        raise TargetError(f"There is no folder {target!r}; an application is written module:attribute, as {target}:app")
    called = rest.endswith("()")
    attributes = tuple(rest.removesuffix("()").split("."))
    if "(" in rest.removesuffix("()"):
        raise TargetError(f"{target}: a factory is called without arguments, module:factory()")
    for name in (*module.split("."), *attributes):
        if not name.isidentifier():
            raise TargetError(f"{target}: {name!r} is no name in Python; write module:attribute, as service:app")
    return Place(target, module, attributes, called)


def _no_module(path: str, rest: str) -> str:
    """Say what to write instead of the path of a file."""
    folder, _, name = path.rpartition(os.sep)
    if not path.endswith(".py"):
        return f"There is no folder {path!r}" + (f"; a module has a name with dots, as in a.b:{rest}" if rest else "")
    name = name.removesuffix(".py")
    instead = f"{name}:{rest or 'app'}"
    if folder:
        instead = f"--app-dir {folder} {instead}"
    return f"{path!r} is a file: name its module, {instead}"
