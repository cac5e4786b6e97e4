"""A read-only view of several mappings, the first that has a key wins: aiohttp's `ChainMapProxy`."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, NoReturn

__all__ = ("ChainMapProxy",)


class ChainMapProxy(Mapping[Any, Any]):
    """Looks a key up in each of the mappings in turn; later changes of the mappings show through."""

    __slots__ = ("_maps",)

    def __init__(self, maps: Iterable[Mapping[Any, Any]]) -> None:
        self._maps = tuple(maps)

    def __init_subclass__(cls) -> NoReturn:
        message = f"Inheritance class {cls.__name__} from ChainMapProxy is forbidden"
        raise TypeError(message)

    def __getitem__(self, key: Any) -> Any:
        for mapping in self._maps:
            if key in mapping:
                return mapping[key]
        raise KeyError(key)

    def __len__(self) -> int:
        return len(set(chain.from_iterable(self._maps)))

    def __iter__(self) -> Iterator[Any]:
        return iter(dict.fromkeys(chain.from_iterable(self._maps)))

    def __contains__(self, key: object) -> bool:
        return any(key in mapping for mapping in self._maps)

    def __bool__(self) -> bool:
        return any(self._maps)

    def __repr__(self) -> str:
        return f"ChainMapProxy({', '.join(map(repr, self._maps))})"
