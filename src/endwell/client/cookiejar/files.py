"""Jars on disk: JSON as this package and aiohttp write it, and the pickles that older versions of aiohttp wrote.

Used by the jar. A file is read as what a stranger could have written: every entry is checked, and from a pickle only
dictionaries and cookies are built.
"""

import json
import os
from collections.abc import Iterable, Iterator
from http.cookies import BaseCookie, Morsel
from math import inf
from pathlib import Path
from typing import Any, Final

from endwell.client.cookiejar.rules import Cookie, expiry
from endwell.http.cookies import is_sendable
from endwell.http.dates import format_http_date
from endwell.http.typedefs import PathLike

__all__ = ("dump", "load_file", "replace_file")

# The jar's own limits make about 15 MB; a file over this was written by something else.
MAX_FILE_SIZE: Final = 64 * 1024 * 1024

_PICKLED: Final = frozenset(
    {
        ("collections", "defaultdict"),
        ("http.cookies", "BaseCookie"),
        ("http.cookies", "SimpleCookie"),
        ("http.cookies", "Morsel"),
    }
)


def dump(cookies: Iterable[Cookie]) -> bytes:
    """Give the text of a file: objects by domain and path, in them the cookies by name."""
    data: dict[str, dict[str, dict[str, Any]]] = {}
    for cookie in cookies:
        path = "" if cookie.path == "/" else cookie.path
        group = data.setdefault(f"{cookie.domain}|{path}", {})
        if cookie.name in group:  # the host's own cookie and one for its subdomains, of one name
            group = data.setdefault(f".{cookie.domain}|{path}", {})
        group[cookie.name] = _entry(cookie)
    return json.dumps(data, indent=2).encode("ascii")


def replace_file(file_path: PathLike, content: bytes) -> None:
    """Write `content` beside `file_path` with mode 0600, then rename it. Raises OSError and leaves nothing behind."""
    target = Path(os.path.realpath(file_path))
    aside = target.with_name(f".{target.name[:200]}.{os.urandom(8).hex()}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
    done = False
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123  # a descriptor, not a path
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        aside.replace(target)
        done = True
    finally:
        if not done:
            aside.unlink(missing_ok=True)


def load_file(file_path: PathLike, now: float) -> list[Cookie]:
    """Give the cookies of a file. Raises OSError, or ValueError that says what is wrong with the file."""
    with Path(file_path).open("rb") as file:
        content = file.read(MAX_FILE_SIZE + 1)
    name = os.fspath(file_path)
    if len(content) > MAX_FILE_SIZE:
        raise ValueError(f"{name!r} is larger than {MAX_FILE_SIZE} bytes: it is no file of a cookie jar")
    try:
        if content[:1] == b"\x80":
            return list(_from_pickle(content, now))
        return list(_from_json(content, now))
    except _DamagedError as error:
        raise ValueError(f"{name!r} is no file of a cookie jar: {error}; the jar is unchanged") from error.__cause__


class _DamagedError(Exception):
    """What is wrong with a file; its text holds no value of a cookie."""


def _entry(cookie: Cookie) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "key": cookie.name,
        "value": cookie.value,
        "coded_value": cookie.coded,
        "path": cookie.path,
        "domain": cookie.domain,
    }
    for flag in ("secure", "httponly", "partitioned"):
        if cookie.secure if flag == "secure" else cookie.attributes.get(flag):
            entry[flag] = True
    if samesite := cookie.attributes.get("samesite"):
        entry["samesite"] = str(samesite)
    if cookie.host_only:
        entry["host_only"] = True
    if cookie.expires != inf:
        entry["expires_timestamp"] = cookie.expires
    return entry


def _from_json(content: bytes, now: float) -> Iterator[Cookie]:
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _DamagedError("it is neither JSON nor a pickle") from error
    for place, group in _items(data, "the file"):
        where, divider, _ = place.partition("|")
        if not divider:
            raise _DamagedError(f"the group {place[:64]!r} does not name a domain and a path")
        for name, entry in _items(group, f"the group {place[:64]!r}"):
            yield _from_entry(entry, name, where.removeprefix("."), now)


def _items(data: Any, what: str) -> Iterable[tuple[str, Any]]:
    if not isinstance(data, dict):
        raise _DamagedError(f"{what} is no JSON object")
    return data.items()


def _from_entry(entry: Any, name: str, domain: str, now: float) -> Cookie:
    what = f"cookie {name[:64]!r}"
    if not isinstance(entry, dict):
        raise _DamagedError(f"{what} is no JSON object")
    texts = [entry.get("key"), entry.get("value"), entry.get("coded_value", entry.get("value"))]
    flags = {flag: bool(entry.get(flag)) for flag in ("secure", "httponly", "partitioned", "host_only")}
    attributes = {key: entry[key] for key in ("max-age", "expires", "samesite") if entry.get(key)}
    ends = entry.get("expires_timestamp")
    if ends is None:
        ends = expiry(attributes, now)
    elif isinstance(ends, bool) or not isinstance(ends, int | float) or not -1e12 < ends < 1e12:
        raise _DamagedError(f"{what} ends at no time")
    else:
        attributes["expires"] = format_http_date(min(max(ends, 0), 253_402_300_799))
    return _cookie(what, texts, (domain, entry.get("path", "/")), {**attributes, **flags}, float(ends))


def _from_pickle(content: bytes, now: float) -> Iterator[Cookie]:
    data = _unpickle(content)
    if not isinstance(data, dict):
        raise _DamagedError("the pickle holds no dictionary")
    for place, group in data.items():
        domain = place[0] if isinstance(place, tuple) and len(place) == 2 else place
        if not isinstance(domain, str) or not isinstance(group, BaseCookie):
            raise _DamagedError("the pickle holds something other than cookies by domain")
        for name, morsel in group.items():
            what = f"cookie {str(name)[:64]!r}"
            if not isinstance(morsel, Morsel):
                raise _DamagedError(f"{what} of the pickle is no Morsel")
            texts = [morsel.key, morsel.value, morsel.coded_value]
            flags = {flag: bool(morsel.get(flag)) for flag in ("secure", "httponly", "partitioned")}
            path = morsel["path"] or "/"
            yield _cookie(what, texts, (domain, path), {**morsel, **flags}, expiry(morsel, now))


def _unpickle(content: bytes) -> Any:
    """Build what is pickled, of the few classes that a jar consists of."""
    import io
    import pickle

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if (module, name) not in _PICKLED:
                raise pickle.UnpicklingError(f"it names {module[:64]}.{name[:64]}, which no cookie is made of")
            return super().find_class(module, name)

    try:
        return Unpickler(io.BytesIO(content)).load()
    except pickle.UnpicklingError as error:
        raise _DamagedError(str(error)) from error
    except Exception as error:  # the bytes of a damaged pickle can raise nearly anything
        raise _DamagedError(f"the pickle is damaged ({type(error).__name__})") from error


def _cookie(what: str, texts: list[Any], place: tuple[str, Any], attributes: dict[str, Any], expires: float) -> Cookie:
    """Check and make one cookie."""
    name, value, coded = texts
    domain, path = place
    if not (isinstance(name, str) and isinstance(value, str) and isinstance(coded, str) and is_sendable(name, coded)):
        raise _DamagedError(f"{what} has a name or a value that cannot be sent")
    if not isinstance(path, str) or not path.startswith("/") or not domain.isascii():
        raise _DamagedError(f"{what} has no path or no domain")
    host_only = bool(domain) and attributes.pop("host_only", False)
    cookie = Cookie(
        name,
        value,
        coded,
        domain=domain.lower(),
        path=path,
        host_only=host_only,
        secure=attributes["secure"],
        expires=expires,
    )
    cookie.attributes = attributes
    return cookie
