"""The values of options, parsed: sizes, rates, header fields, bodies, cookies. Pure but for `@file`. Used by `get`.

Each function raises ValueError with a text for the person who typed the value; none repeats a value that may be
secret.
"""

import base64
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

from multidict import CIMultiDict

from endwell.http.fields import TOKEN
from endwell.http.version import HttpVersion

__all__ = ["basic_auth", "body", "cookies", "header_fields", "http_version", "json_body", "rate", "seconds", "size"]

_FORBIDDEN = re.compile(r"[\r\n\0]")
_PER = {"s": 1, "m": 60, "h": 3600}
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30}


def seconds(value: float) -> float | None:
    """Give a time limit in seconds; 0 means none."""
    if not 0 <= value < float("inf"):
        raise ValueError("a time is a number of seconds, 0 for no limit")
    return value or None


def rate(text: str) -> float:
    """Give requests per second from `5`, `5/s`, `90/m` or `1000/h`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(?:/([smh]))?", text.strip())
    number = float(match[1]) / _PER[match[2] or "s"] if match else 0.0
    if number <= 0:
        raise ValueError("write requests per second, or as 90/m (minute), 1000/h (hour)")
    return number


def size(text: str) -> int:
    """Give bytes from `1000`, `64k`, `8MiB`, `1.5GB`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]?i?)b?", text.strip().lower())
    if match is None or match[2] not in _UNITS:
        raise ValueError("write a number of bytes, or with a unit: 64k, 8MiB, 1.5GB")
    return int(float(match[1]) * _UNITS[match[2]])


def http_version(text: str) -> HttpVersion:
    """Give the version of HTTP to speak."""
    known = {"1": HttpVersion(1, 1), "1.0": HttpVersion(1, 0), "1.1": HttpVersion(1, 1)}
    if text not in known:
        raise ValueError(f"HTTP/{text} is not supported; 1.0 and 1.1 are")
    return known[text]


def header_fields(lines: list[str]) -> tuple[CIMultiDict[str], frozenset[str]]:
    """Parse `Name: value`, `Name;` (empty value) and `Name:` (do not send what is sent by default), as curl does."""
    fields: CIMultiDict[str] = CIMultiDict()
    removed = set()
    spelled: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        name, colon, value = line.partition(":")
        if not colon and line.endswith(";"):
            name, colon = line[:-1], ";"
        name, value = name.strip(), value.strip(" \t")
        if not colon or not TOKEN.fullmatch(name):
            raise ValueError(f"header {number} is not of the form 'Name: value'")
        if _FORBIDDEN.search(value):
            raise ValueError(f"the value of {name} has a line end or NUL in it")
        if colon == ":" and not value:
            removed.add(name)
        else:
            fields.add(spelled.setdefault(name.lower(), name), value)  # one spelling: both are sent
    return fields, frozenset(removed)


def body(parts: list[str]) -> bytes:
    """Join the parts of a body with `&`; `@file` is a file's content, `@-` and `-` standard input's, as it is."""
    return b"&".join(_content(part) for part in parts)


def json_body(text: str) -> bytes:
    """Give a JSON body, from a file or standard input too; ValueError says where it is wrong."""
    data = _content(text)
    try:
        json.loads(data)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg}, line {error.lineno}, column {error.colno}") from None
    except (UnicodeDecodeError, RecursionError):
        raise ValueError("not JSON: not UTF-8, or too deep") from None
    return data


def _content(text: str) -> bytes:
    if text in {"-", "@-"}:
        with open(0, "rb", closefd=False) as standard_input:
            return standard_input.read()
    if text.startswith("@"):
        return Path(text[1:]).read_bytes()
    return os.fsencode(text)


def cookies(texts: list[str]) -> dict[str, str]:
    """Parse `a=1; b=2`."""
    found = {}
    if any(map(_FORBIDDEN.search, texts)):
        raise ValueError("a cookie has a line end or NUL in it")
    for pair in ";".join(texts).split(";"):
        name, equals, value = pair.strip().partition("=")
        if not name and not equals:
            continue
        if not equals or not TOKEN.fullmatch(name):
            raise ValueError("write cookies as 'name=value; other=value'")
        found[name] = value
    return found


def basic_auth(user: str, ask: Callable[[], str]) -> str:
    """Give the Authorization value for `name:password` (RFC 7617, UTF-8); `ask` is called for a missing password."""
    name, colon, password = user.partition(":")
    if not colon:
        password = ask()
    if any(ord(char) < 32 or ord(char) == 127 for char in name + password):
        raise ValueError("a user name or password has no control characters")
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode("ascii")
