"""Path templates: ``/user/{name}/{id:[0-9]+}`` (RFC 3986 section 3.3). Used by the resources and their index.

A path is matched in one form, which `safe_path` makes: percent-encoding is decoded, except ``%2F`` and ``%25``, so that
an encoded slash stays within its segment. The values of the variables are decoded completely.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple
from urllib.parse import quote

from yarl import URL

__all__ = ("SEGMENT", "Template", "Variable", "decode_value", "quote_static", "quote_value", "safe_path")

SEGMENT: Final = "[^{}/]+"
"""What a variable matches that has no regular expression of its own."""

_NAME: Final = re.compile(r"([_a-zA-Z][_a-zA-Z0-9]*)(?::(.+))?", re.DOTALL)
_UNQUOTED: Final = "/!$&'()*+,;=:@~"
# The parts of a regular expression of which it is easy to see whether they match a slash.
_REGEX_PART: Final = re.compile(
    r"(?P<set>\[\^?\]?(?:[^\]\\]|\\.)*\])|(?P<escape>\\[dws])|\\[^\w/\s]|\(\?:|\((?!\?)|[^\\\[(./^$]", re.DOTALL
)


def safe_path(raw: str) -> str:
    """Decode the path of a target, except ``%2F`` and ``%25``: the form in which it is matched."""
    return raw if "%" not in raw else URL.build(path=raw, encoded=True).path_safe


def decode_value(value: str) -> str:
    """Decode what `safe_path` has left."""
    return value.replace("%2F", "/").replace("%25", "%") if "%" in value else value


def quote_static(text: str) -> str:
    """Percent-encode what a path can't hold; what is encoded already stays as it is."""
    return quote(text, safe=_UNQUOTED + "%")


def quote_value(value: str) -> str:
    """Percent-encode a value for a path, except the slash.

    Raises:
        TypeError: it is no string.

    """
    if not isinstance(value, str):
        message = f"a part of a path is a string, not {type(value).__name__}: write str(...)"
        raise TypeError(message)
    return quote(value, safe=_UNQUOTED)


class Variable(NamedTuple):
    """A variable part of a template; `regex` is what the template says, None when it says nothing."""

    name: str
    regex: str | None


Part = str | Variable


def _parse(path: str) -> list[Part]:
    """Split a template into static parts, percent-encoded, and variables.

    Raises:
        ValueError: braces that don't match, or a variable without a good name.

    """
    parts: list[Part] = []
    position = 0
    while position < len(path):
        opening = path.find("{", position)
        static = path[position : opening if opening >= 0 else len(path)]
        if "}" in static:
            message = f"invalid path {path!r}: a closing brace without an opening one"
            raise ValueError(message)
        if static:
            parts.append(quote_static(static))
        if opening < 0:
            break
        closing = _closing_brace(path, opening)
        named = _NAME.fullmatch(path, opening + 1, closing)
        if named is None:
            message = (
                f"invalid path {path!r}: {path[opening : closing + 1]!r} is neither {{name}} nor {{name:regex}},"
                " with a name of ASCII letters, digits and underscores"
            )
            raise ValueError(message)
        parts.append(Variable(named[1], named[2]))
        position = closing + 1
    return parts


def _closing_brace(path: str, opening: int) -> int:
    depth = 0
    for index in range(opening, len(path)):
        if path[index] == "{":
            depth += 1
        elif path[index] == "}":
            depth -= 1
            if depth == 0:
                return index
    message = f"invalid path {path!r}: the brace at {opening} is not closed"
    raise ValueError(message)


def _stands_alone(regex: str | None) -> bool:
    """Whether the expression is one by itself; ``x)|(y`` is one only with what stands around it."""
    try:
        re.compile(regex or "")
    except re.error:
        return False
    return True


def _stays_in_segment(regex: str | None) -> bool:
    """Whether it is plain to see that the expression matches no slash and looks at nothing around it."""
    if regex is None:
        return True
    position = 0
    while position < len(regex):
        part = _REGEX_PART.match(regex, position)
        if part is None or (part["set"] and re.match(part["set"], "/")):
            return False
        position = part.end()
    return True


class _Segment:
    """One segment of a template, matched by itself."""

    __slots__ = ("_literal", "_literals", "_names", "_pattern", "_rest", "_start")

    def __init__(self, parts: list[Part]) -> None:
        self._literal: str | None = None
        self._pattern: re.Pattern[str] | None = None
        self._names = [part.name for part in parts if isinstance(part, Variable)]
        if not self._names:
            self._literal = "".join(str(part) for part in parts)
            return
        if any(isinstance(part, Variable) and part.regex is not None for part in parts) or len(self._names) == 1:
            self._pattern = re.compile(_regex(parts))
            return
        # `{a}-{b}-{c}` as one regular expression would try every combination of hyphens for a path that doesn't match.
        literals = [""]
        for part in parts:
            if isinstance(part, Variable):
                literals.append("")
            else:
                literals[-1] += part
        self._start, *self._literals, self._rest = literals

    def match(self, text: str, values: dict[str, str]) -> bool:
        """Match a segment of a path and put the values of the variables into `values`."""
        if self._literal is not None:
            return text == self._literal
        if self._pattern is not None:
            found = self._pattern.fullmatch(text)
            if found is None:
                return False
            values.update(found.groupdict())
            return True
        return self._split(text, values)

    def _split(self, text: str, values: dict[str, str]) -> bool:
        """Match variables without expressions of their own: the first ones as long as possible, in linear time.

        Each literal between two variables is the last one that leaves the variables after it something; what
        backtracking would find in the end.
        """
        start, end = len(self._start), len(text) - len(self._rest)
        if start >= end or not text.startswith(self._start) or not text.endswith(self._rest):
            return False
        found: list[str] = []
        for literal in reversed(self._literals):
            at = text.rfind(literal, start + 1, end - 1)
            if at < 0:
                return False
            found.append(text[at + len(literal) : end])
            end = at
        found.append(text[start:end])
        if any("{" in value or "}" in value for value in found):
            return False
        values.update(zip(self._names, reversed(found), strict=True))
        return True


def _regex(parts: Iterable[Part]) -> str:
    return "".join(
        f"(?P<{part.name}>{part.regex or SEGMENT})" if isinstance(part, Variable) else re.escape(part) for part in parts
    )


def _split_at_slashes(parts: Iterable[Part]) -> list[list[Part]]:
    segments: list[list[Part]] = [[]]
    for part in parts:
        if isinstance(part, Variable):
            segments[-1].append(part)
            continue
        first, *others = part.split("/")
        if first:
            segments[-1].append(first)
        segments += [[other] if other else [] for other in others]
    return segments


class Template:
    """A path template, ready to match.

    Args:
        path: the template, in which the braces match.

    Raises:
        ValueError: it is no template, or one of its regular expressions is none.

    Attributes:
        formatter: the template without regular expressions, percent-encoded.
        pattern: the template as a regular expression for what `safe_path` makes.
        static_start: what a path begins with that matches.
        static_end: what it ends with.
        literals: the segments of the path that are known, None for the others; empty when a variable may match a slash.

    """

    __slots__ = ("_own_groups", "_parts", "_several", "formatter", "literals", "pattern", "static_end", "static_start")

    def __init__(self, path: str) -> None:
        self._build(_parse(path), path)

    def _build(self, parts: list[Part], path: str) -> None:
        self._parts = parts
        self.formatter = "".join(f"{{{part.name}}}" if isinstance(part, Variable) else part for part in parts)
        plain = [part if isinstance(part, Variable) else safe_path(part) for part in parts]
        try:
            self.pattern = re.compile(_regex(plain))
        except re.error as error:
            message = f"invalid path {path!r}: the pattern {_regex(plain)!r} is none: {error}"
            raise ValueError(message) from None
        self.static_start = plain[0] if isinstance(plain[0], str) else ""
        self.static_end = plain[-1] if isinstance(plain[-1], str) else ""
        self.literals: tuple[str | None, ...] = ()
        self._several: list[_Segment] | None = None
        variables = [part for part in plain if isinstance(part, Variable)]
        self._own_groups = self.pattern.groups > len(variables)
        if not all(_stands_alone(variable.regex) for variable in variables):
            self.static_end = ""
        elif all(_stays_in_segment(variable.regex) for variable in variables):
            segments = _split_at_slashes(plain)
            self.literals = tuple(
                "".join(map(str, each)) if all(isinstance(part, str) for part in each) else None for each in segments
            )
            braces = any(isinstance(part, str) and ("{" in part or "}" in part) for part in plain)
            if not braces and any(sum(isinstance(part, Variable) for part in each) > 1 for each in segments):
                self._several = [_Segment(each) for each in segments]

    def add_prefix(self, prefix: str) -> None:
        """Put a static text before the template."""
        first, *others = self._parts
        prefix = quote_static(prefix)
        parts = [prefix + first, *others] if isinstance(first, str) else [prefix, first, *others]
        self._build(parts, self.formatter)

    def match(self, path: str) -> dict[str, str] | None:
        """Match a path that `safe_path` has made; return the decoded values of the variables, None for no match."""
        if self._several is not None:
            values = self._match_segments(path, self._several)
            if values is None:
                return None
        else:
            found = self.pattern.fullmatch(path)
            if found is None:
                return None
            values = found.groupdict()
            if self._own_groups:  # one that has not matched has no value
                values = {name: value for name, value in values.items() if value is not None}
        if "%" in path:
            return {name: decode_value(value) for name, value in values.items()}
        return values

    @staticmethod
    def _match_segments(path: str, segments: list[_Segment]) -> dict[str, str] | None:
        texts = path.split("/")
        if len(texts) != len(segments):
            return None
        values: dict[str, str] = {}
        for segment, text in zip(segments, texts, strict=True):
            if not segment.match(text, values):
                return None
        return values

    def fill(self, values: Mapping[str, str]) -> URL:
        """Make a relative URL of the template; values without a variable are not used.

        Raises:
            KeyError: a variable has no value.
            TypeError: a value is no string.

        """
        path = ""
        for part in self._parts:
            if not isinstance(part, Variable):
                path += part
            elif part.name in values:
                path += quote_value(values[part.name])
            else:
                message = f"{self.formatter} has a part {part.name!r}: give url_for({part.name}=...)"
                raise KeyError(message)
        return URL.build(path=path, encoded=True)
