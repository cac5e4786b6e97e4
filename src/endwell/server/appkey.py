"""Keys of what a program keeps in an application, a request or a response, with the type of the value.

`AppKey`, `RequestKey` and `ResponseKey` of the public API; used by `application`, `request` and `response`.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any, Generic, TypeVar

__all__ = ("AppKey", "BaseKey", "NotAppKeyWarning", "RequestKey", "ResponseKey")

T = TypeVar("T")


class NotAppKeyWarning(UserWarning):
    """A key of an application, a request or a response is a plain value, not an `AppKey`, `RequestKey`, `ResponseKey`.

    Two libraries that choose the same string overwrite each other; two keys are never the same.
    """


class BaseKey(Generic[T]):
    """What the three kinds of keys are: a name to show, and a type for the type checker.

    Keys are equal when they are the same object: two modules can never mean the same key by accident.

    Args:
        name: what `repr` shows, behind the name of the module that makes the key.
        t: the type of the value; it is shown and read by type checkers, not checked.

    Raises:
        TypeError: the name is no string.

    """

    # `__orig_class__` is what typing sets for `AppKey[int]("port")`.
    __slots__ = ("__orig_class__", "_name", "_t")

    __orig_class__: type[object]

    def __init__(self, name: str, t: type[T] | None = None) -> None:
        if not isinstance(name, str):
            message = f"the name of the {type(self).__name__} is a string, not {type(name).__name__}"
            raise TypeError(message)
        self._name = f"{_module_of(sys._getframe(1))}.{name}"
        self._t = t

    def __lt__(self, other: object) -> bool:
        """Sort keys by name, and before everything else."""
        return self._name < other._name if isinstance(other, BaseKey) else True

    def __repr__(self) -> str:
        t: Any = self._t
        if t is None and hasattr(self, "__orig_class__"):  # only set after __init__
            t = self.__orig_class__.__args__[0]  # type: ignore[attr-defined]  # it is a generic alias
        if t is None:
            shown = "<<Unknown>>"
        elif not isinstance(t, type):
            shown = repr(t)
        elif t.__module__ == "builtins":
            shown = t.__qualname__
        else:
            shown = f"{t.__module__}.{t.__qualname__}"
        return f"<{type(self).__name__}({self._name}, type={shown})>"


class AppKey(BaseKey[T]):
    """A key of a `web.Application`: ``DB = web.AppKey("db", Pool)``, then ``app[DB]`` is a ``Pool`` for mypy."""

    __slots__ = ()


class RequestKey(BaseKey[T]):
    """A key of a `web.Request`: ``USER = web.RequestKey("user", User)``, then ``request[USER]``."""

    __slots__ = ()


class ResponseKey(BaseKey[T]):
    """A key of a `web.StreamResponse`: ``RULE = web.ResponseKey("rule", str)``, then ``response[RULE]``."""

    __slots__ = ()


def _module_of(frame: FrameType | None) -> str:
    """Name the module that makes a key; `AppKey[int]("port")` passes through typing."""
    while frame is not None:
        module = frame.f_globals.get("__name__")
        if module not in ("typing", __name__):
            return str(module)
        frame = frame.f_back
    return "<unknown module>"
