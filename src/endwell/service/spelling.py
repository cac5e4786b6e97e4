"""What to say when a module or an attribute is not there, or a program fails: the nearest name, the own traceback.

Used by `loading` and `worker`.
"""

from __future__ import annotations

import os
import traceback
from difflib import get_close_matches
from types import TracebackType
from typing import Any, Final

from endwell.service.target import Place

__all__ = ("attribute_missing", "module_missing", "program_failed", "program_text")

_OURS: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep  # noqa: PTH100, PTH120 - text
_IMPORTING: Final = "<frozen importlib"
_BETWEEN: Final = frozenset({"importlib", "aiosignal"})
_NAMES: Final = 8


def program_failed(what: str, error: BaseException) -> str:
    """Give `what`, and the traceback of the user's program without the frames of ours that led to it."""
    return f"{what}:\n\n{program_text(error) or ''.join(traceback.format_exception_only(error))}".rstrip("\n")


def program_text(error: BaseException) -> str:
    """Give the traceback of what failed in the user's program; empty if nothing of it had begun."""
    at = error.__traceback__
    while at is not None and _is_ours(at):
        at = at.tb_next
    if at is None and not isinstance(error, SyntaxError):
        return ""
    return "".join(traceback.format_exception(type(error), error, at))


def _is_ours(at: TracebackType) -> bool:
    name = at.tb_frame.f_code.co_filename
    return name.startswith((_OURS, _IMPORTING)) or os.path.basename(os.path.dirname(name)) in _BETWEEN  # noqa: PTH119, PTH120


def module_missing(place: Place, missing: str, directory: str) -> str:
    """Say that there is no such module, and which one may be meant."""
    from pkgutil import iter_modules

    above, _, last = missing.rpartition(".")
    paths = [directory]
    if above:
        import importlib

        paths = list(getattr(importlib.import_module(above), "__path__", ()))
    names = [each.name for each in iter_modules(paths)]
    text = f"There is no module {missing} in {' or '.join(paths) or above}, nor is one of that name installed"
    near = _nearest(last, names)
    if near:
        corrected = f"{above}.{near}" if above else near
        return f"{text}; did you mean {corrected}{place.text.removeprefix(missing)}?"
    if not above:
        text += f"; there are {_some(names)}" if names else "; there is no module at all"
        return f"{text}. Another folder: --app-dir"
    return text


def attribute_missing(place: Place, depth: int, found: Any) -> str:
    """Say that there is no such attribute, and which one may be meant."""
    name = place.attributes[depth]
    owner = ".".join((place.module, *place.attributes[:depth]))
    names = [each for each in dir(found) if not each.startswith("__")]
    text = f"{owner} has no attribute {name}"
    if depth == 0:
        file = getattr(found, "__file__", None)
        text = f"The module {place.module}" + (f" ({file})" if file else "") + f" has no attribute {name}"
    near = _nearest(name, names)
    if near:
        return f"{text}; did you mean {near}?"
    likely = [each for each in names if not each.startswith("_") and _may_be_served(getattr(found, each, None))]
    return f"{text}; it has {_some(likely)}" if likely else text


def _may_be_served(found: object) -> bool:
    kind = type(found)
    return callable(found) and not isinstance(found, type) and kind.__module__ not in {"builtins", "typing"}


def _nearest(name: str, names: list[str]) -> str | None:
    by_folded = {each.lower(): each for each in names}
    near = get_close_matches(name.lower(), by_folded, 1)
    return by_folded[near[0]] if near else None


def _some(names: list[str]) -> str:
    shown = sorted(names)[:_NAMES]
    return ", ".join(shown) + (f" and {len(names) - len(shown)} more" if len(names) > len(shown) else "")
