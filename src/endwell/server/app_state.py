"""What an application keeps: a mapping from `AppKey` to whatever the program puts there. The base of `Application`."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, MutableMapping
from typing import Any, TypeVar, overload

from endwell.server.appkey import AppKey, NotAppKeyWarning

__all__ = ("AppState",)

T = TypeVar("T")
D = TypeVar("D")


class AppState(MutableMapping["str | AppKey[Any]", Any]):
    """A mapping that is equal only to itself and always true; keys that are no `AppKey` work, with a warning."""

    def __init__(self) -> None:
        self._state: dict[str | AppKey[Any], Any] = {}
        self._frozen = False

    @overload
    def __getitem__(self, key: AppKey[T]) -> T: ...

    @overload
    def __getitem__(self, key: str) -> Any: ...

    def __getitem__(self, key: str | AppKey[T]) -> Any:
        return self._state[key]

    @overload
    def __setitem__(self, key: AppKey[T], value: T) -> None: ...

    @overload
    def __setitem__(self, key: str, value: Any) -> None: ...

    def __setitem__(self, key: str | AppKey[T], value: Any) -> None:
        self._check_frozen()
        if not isinstance(key, AppKey):
            message = f"app[{key!r}] = ...: two libraries may choose the same key; use one made with web.AppKey(...)"
            warnings.warn(message, NotAppKeyWarning, stacklevel=2)
        self._state[key] = value

    def __delitem__(self, key: str | AppKey[T]) -> None:
        self._check_frozen()
        del self._state[key]

    def __len__(self) -> int:
        return len(self._state)

    def __iter__(self) -> Iterator[str | AppKey[Any]]:
        return iter(self._state)

    def __bool__(self) -> bool:
        return True

    @overload  # type: ignore[override]  # a key says the type of its value
    def get(self, key: AppKey[T], default: None = ...) -> T | None: ...

    @overload
    def get(self, key: AppKey[T], default: D) -> T | D: ...

    @overload
    def get(self, key: str, default: Any = ...) -> Any: ...

    def get(self, key: str | AppKey[T], default: Any = None) -> Any:
        """Give what is kept under a key, or the default."""
        return self._state.get(key, default)

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def _check_frozen(self) -> None:
        if self._frozen:
            message = (
                "Changing state of started or joined application is deprecated: keep an object there, and change that"
            )
            warnings.warn(message, DeprecationWarning, stacklevel=3)
