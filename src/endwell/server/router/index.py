"""Which resources can match a path, in the order in which they are asked. Used by the dispatcher.

The order is that of aiohttp: a resource that shares more whole static segments with the beginning of the path comes
before one that shares fewer, and those that share the same come in the order in which they were added.

The number of resources must not matter. So there are, for the static segments a resource begins with, buckets in a
dict; for a plain path that nothing can match before, a dict of its own; and in a bucket of many templates, dicts by
what else is static in them. All of them may name too many resources, never too few: the resources decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import Any, Final

from endwell.server.router.patterns import Template
from endwell.server.router.resources import AbstractResource, DynamicResource, PlainResource, Resource

__all__ = ("ResourceIndex",)

_FEW: Final = 4
"""As many resources are asked one after the other; a dict costs about the same."""

_Ranked = tuple[int, AbstractResource]


def _is_plain(resource: AbstractResource) -> bool:
    """Whether the resource is known to match one path only, also in a subclass."""
    kind = type(resource)
    return (
        isinstance(resource, PlainResource)
        and kind._match is PlainResource._match  # type: ignore[attr-defined] # the class has it, the instance says so
        and kind._find is Resource._find
        and not kind._only_async
    )


def _template(resource: AbstractResource) -> Template | None:
    """Return the template of a resource that is known to match by it, also in a subclass, else None."""
    kind = type(resource)
    if (
        isinstance(resource, DynamicResource)
        and kind._match is DynamicResource._match  # type: ignore[attr-defined] # see above
        and kind._find is Resource._find
        and not kind._only_async
    ):
        return resource._template
    return None


class _Affixes:
    """Templates by the static texts they begin and end with."""

    __slots__ = ("_tables",)

    def __init__(self) -> None:
        # One dict for each pair of lengths. For a static text with a slash the last segment counts as a whole: -1.
        self._tables: dict[tuple[int, int], dict[tuple[str, str], list[_Ranked]]] = {}

    def add(self, ranked: _Ranked, template: Template) -> None:
        """Add a template."""
        start, end = template.static_start, template.static_end
        length = len(end)
        if "/" in end:
            end, length = end.rpartition("/")[2], -1
        self._tables.setdefault((len(start), length), {}).setdefault((start, end), []).append(ranked)

    def select(self, path: str, found: list[_Ranked]) -> None:
        """Add those that can match a path to a list."""
        last = path.rpartition("/")[2]
        for (start, end), table in self._tables.items():
            some = table.get((path[:start], last if end < 0 else path[len(path) - end :]))
            if some is not None:
                found += some


class _Choice:
    """Chooses among the many resources of a bucket. It is made anew when the bucket has changed."""

    __slots__ = ("_always", "_by_affix", "_by_shape", "_plain")

    def __init__(self, key: str, resources: list[AbstractResource]) -> None:
        self._always: list[_Ranked] = []
        self._plain: dict[str, list[_Ranked]] = {}
        self._by_affix = _Affixes()
        # For each number of slashes: what picks the static segments out, and the templates by them.
        self._by_shape: dict[int, list[tuple[Callable[[Any], Any], dict[Any, list[_Ranked] | _Affixes]]]] = {}
        depth = 1 if key == "/" else key.count("/") + 1
        shapes: dict[tuple[int, tuple[int, ...]], dict[Any, list[_Ranked]]] = {}
        for ranked in enumerate(resources):
            resource = ranked[1]
            template = _template(resource)
            if template is not None and template.literals:
                literals = template.literals
                static = tuple(n for n in range(depth, len(literals)) if literals[n] is not None)
                table = shapes.setdefault((len(literals) - 1, static), {})
                table.setdefault(_picker(static)(literals), []).append(ranked)
            elif template is not None:
                self._by_affix.add(ranked, template)
            elif _is_plain(resource):
                assert isinstance(resource, PlainResource)
                self._plain.setdefault(resource._matched, []).append(ranked)
            else:
                self._always.append(ranked)
        for (slashes, static), found in shapes.items():
            narrowed = {segments: _narrow(ranked) for segments, ranked in found.items()}
            self._by_shape.setdefault(slashes, []).append((_picker(static), narrowed))

    def select(self, path: str) -> list[AbstractResource]:
        """Return the resources that can match a path, in order."""
        found = [*self._always, *self._plain.get(path, ())]
        self._by_affix.select(path, found)
        shapes = self._by_shape.get(path.count("/"))
        if shapes is not None:
            segments = path.split("/")
            for pick, table in shapes:
                some = table.get(pick(segments))
                if isinstance(some, list):
                    found += some
                elif some is not None:
                    some.select(path, found)
        if len(found) > 1:
            found.sort(key=_RANK)
        return [resource for _, resource in found]


_RANK: Final = itemgetter(0)


def _picker(positions: tuple[int, ...]) -> Callable[[Any], Any]:
    return itemgetter(*positions) if positions else _pick_nothing


def _pick_nothing(segments: Any) -> None:
    return None


def _narrow(ranked: list[_Ranked]) -> list[_Ranked] | _Affixes:
    """Divide templates whose static segments are the same by what else is static in them, when they are many."""
    if len(ranked) <= _FEW:
        return ranked
    affixes = _Affixes()
    for each in ranked:
        template = _template(each[1])
        assert template is not None
        affixes.add(each, template)
    return affixes


class _Bucket:
    """The resources that begin with the same static segments, in the order in which they were added."""

    __slots__ = ("_choice", "_key", "_others", "_templates", "resources")

    def __init__(self, key: str) -> None:
        self._key = key
        self._choice: _Choice | None = None
        self._templates = self._others = False
        self.resources: list[AbstractResource] = []

    def add(self, resource: AbstractResource) -> str | None:
        """Add a resource; return the path that it matches and none of those before it, where that is known."""
        self.resources.append(resource)
        self._choice = None
        if _template(resource) is not None:
            self._templates = True
        elif not _is_plain(resource):
            self._others = True
        else:
            assert isinstance(resource, PlainResource)
            path = resource._matched
            # A template of this bucket matches what begins with its key and a slash.
            if not self._others and (not self._templates or (path == self._key and path != "/")):
                return path
        return None

    def select(self, path: str) -> list[AbstractResource]:
        """Return the resources that can match a path, in order."""
        if len(self.resources) <= _FEW:
            return self.resources
        if self._choice is None:
            self._choice = _Choice(self._key, self.resources)
        return self._choice.select(path)


class ResourceIndex:
    """The resources of a dispatcher, by path.

    Attributes:
        exact: the resource that is the first to match a path and matches no other, by this path, where that is known.

    """

    __slots__ = ("_buckets", "_longest", "exact")

    def __init__(self) -> None:
        self._buckets: dict[str, _Bucket] = {}
        self._longest = 0
        self.exact: dict[str, PlainResource] = {}

    def add(self, resource: AbstractResource) -> None:
        """Add a resource after the others."""
        key = resource._index_key()
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(key)
            self._longest = max(self._longest, len(key))
        path = bucket.add(resource)
        if path:
            assert isinstance(resource, PlainResource)
            self.exact.setdefault(path, resource)

    def remove(self, resource: AbstractResource) -> None:
        """Take a resource out, whose path must still be the one it was added with.

        Raises:
            ValueError: it is not there.

        """
        key = resource._index_key()
        bucket = self._buckets.get(key)
        if bucket is None or resource not in bucket.resources:
            message = f"{resource!r} is not in the index of this router"
            raise ValueError(message)
        rest = bucket.resources
        rest.remove(resource)
        for each in (*rest, resource):
            if isinstance(each, PlainResource):
                self.exact.pop(each._matched, None)
        del self._buckets[key]
        for each in rest:
            self.add(each)

    def buckets(self, path: str) -> Iterator[_Bucket]:
        """Give the buckets for a path, in order.

        No more prefixes of the path are looked at than the longest key of a bucket has slashes.
        """
        if not path:
            return
        key = path
        if len(path) > self._longest:
            end = path.rfind("/", 0, self._longest + 1)
            key = path[:end] if end > 0 else "/"
        buckets = self._buckets
        while True:
            bucket = buckets.get(key)
            if bucket is not None:
                yield bucket
            if key == "/":
                return
            key = key.rpartition("/")[0] or "/"
