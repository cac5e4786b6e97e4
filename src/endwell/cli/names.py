"""The file name of a URL: readable, safe, the same in every run, and different for different URLs.

RFC 3986 for the parts of a URL. Used by `output` (`endwell get -o DIR`); described for users in docs/how-to/endwell-
get.md.

The name is a function of the URL alone, so nothing has to be remembered between runs and `--resume` only looks
whether the file is there. Where the readable name does not say everything (a query, a name that is too long), a hash
of the URL follows a tilde: `search@q=cats~0123456789abcdef.html`. A plain name that looks like that, and the name
`index.html` that stands for a path ending in a slash, get a hash too. So two URLs share a name only if their hashes
collide (64 bits).
"""

import re
from hashlib import blake2b
from pathlib import PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from yarl import URL

__all__ = ["PART_SUFFIX", "Names", "names_of", "url_key"]

PART_SUFFIX = ".endwell-part"
"""How the name of a file that is still being written ends; no finished file is called so."""

_FOLDER_FILE = "index.html"
_SEGMENT_LIMIT = 180  # bytes; file systems allow 255, a part file adds a dot and PART_SUFFIX
_QUERY_LIMIT = 60
_PATH_LIMIT = 1024  # bytes; operating systems allow 4096 and DIR comes in front
_DEPTH_LIMIT = 32
_SUFFIX_LIMIT = 12

_UNSAFE = frozenset('<>:"/\\|?*%~')  # what some file system refuses, and the two characters the naming itself uses
_HASHED = re.compile(r"~[0-9a-f]{16}(?:\.[0-9A-Za-z]{1,11})?\Z")


class Names(NamedTuple):
    """Where the body of one URL goes, relative to the output folder.

    `plain` keeps the structure of the URL. `flat` lies directly in the folder of the host and is for the case that
    `plain` needs a folder where another URL has put a file, or the other way round (`/a` and `/a/b`).
    """

    plain: PurePosixPath
    flat: PurePosixPath


def url_key(url: URL) -> str:
    """What identifies a URL for naming and for `--resume`: its text without credentials and fragment."""
    return str(url.with_user(None).with_fragment(None))


def names_of(url: URL) -> Names:
    """Give the names for the body of an absolute http or https URL; credentials and fragment have no influence."""
    digest = blake2b(url_key(url).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    host = _host_folder(url)
    # An inner empty segment becomes "%": a percent sign is otherwise always followed by two digits.
    raw = url.raw_path.split("/")[1:] or [""]
    folders = [_cut_folder(_segment(part) or "%", raw[: depth + 1]) for depth, part in enumerate(raw[:-1])]
    last = _segment(raw[-1]) or _FOLDER_FILE
    flat = PurePosixPath(host, _hashed(last, "", digest))
    says_all = not url.raw_query_string and raw[-1] != _FOLDER_FILE
    if not says_all or _too_long(last):
        last = _hashed(last, _query(url), digest)
    plain = PurePosixPath(host, *folders, last)
    if len(folders) > _DEPTH_LIMIT or len(str(plain).encode()) > _PATH_LIMIT:
        plain = flat
    return Names(plain, flat)


def _host_folder(url: URL) -> str:
    """Name the origin: `example.org` for https on its own port, else `example.org+80`, `example.org+8443+tls`."""
    host = (url.raw_host or "").lower()
    name = "".join(char if char.isalnum() or char in "-._" else f"%{ord(char):02X}" for char in host)
    if name.startswith("."):
        name = "%2E" + name[1:]
    if len(name) > _SEGMENT_LIMIT:
        name = name[:_SEGMENT_LIMIT] + "~" + _digest(host)
    if url.scheme != "https":
        return f"{name}+{url.port}"
    return name if url.port == 443 else f"{name}+{url.port}+tls"


def _segment(raw: str) -> str:
    """Decode one path segment as far as a file name may show it; the rest stays percent-encoded (UTF-8)."""
    text = unquote_to_bytes(raw).decode("utf-8", "surrogateescape")
    name = "".join(map(_character, text)) if not text.isascii() or not text.isalnum() else text
    if name in {".", ".."} or name.endswith((".", " ")):  # the last two: Windows drops them
        name = name[:-1] + f"%{ord(name[-1]):02X}"
    if name.startswith("."):  # neither hidden nor the name of a part file
        name = "%2E" + name[1:]
    # A tilde is common (`/~user/`) and stays, unless the name would look like one with a hash.
    plain = name.replace("%7E", "~")
    return name if _HASHED.search(plain) else plain


def _character(char: str) -> str:
    if char.isprintable() and char not in _UNSAFE:
        return char
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogateescape"))


def _too_long(name: str) -> bool:
    return len(name.encode()) > _SEGMENT_LIMIT


def _cut_folder(name: str, path: list[str]) -> str:
    """Shorten the name of a folder; the hash is that of the path down to it, so that siblings stay together."""
    return _start(name, _SEGMENT_LIMIT) + "~" + _digest("/".join(path)) if _too_long(name) else name


def _hashed(name: str, query: str, digest: str) -> str:
    """Put the readable part of the query and the hash before the suffix, within the length limit."""
    stem, dot, suffix = name.rpartition(".")
    if not stem or len(suffix) >= _SUFFIX_LIMIT or not (suffix.isascii() and suffix.isalnum()):
        stem, dot, suffix = name, "", ""
    return f"{_start(stem + query, _SEGMENT_LIMIT)}~{digest}{dot}{suffix}"


def _query(url: URL) -> str:
    raw = url.raw_query_string
    return "@" + _start(_segment(raw[: 3 * _QUERY_LIMIT].replace("+", " ")), _QUERY_LIMIT) if raw else ""


def _start(name: str, limit: int) -> str:
    """Cut a name to at most `limit` bytes without splitting a character or a percent-encoded byte."""
    cut = name.encode()[:limit].decode("utf-8", "ignore")
    return re.sub(r"%[0-9A-F]?\Z", "", cut) if len(cut) < len(name) else cut


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
