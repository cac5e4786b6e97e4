"""The files of a folder as a whole server: `endwell serve DIR` (RFC 9110 section 15). Used by `loading`.

What `StaticResource` does for a prefix is done here for everything, and more: a folder is answered with its
``index.html`` or, when that is wanted, with a list; names that begin with a dot are nobody's business (``.git``,
``.env``), but for ``.well-known`` (RFC 8615). As there, one trip to a thread finds all that an answer needs.
"""

from __future__ import annotations

import contextlib
import html
import os
import stat
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from endwell.http import hdrs
from endwell.server.application import Application
from endwell.server.errors import HTTPNotFound
from endwell.server.file_choice import Found, find_file, is_inside, refusal_of
from endwell.server.file_response import FileResponse
from endwell.server.static import StaticResource

if TYPE_CHECKING:
    from endwell.server.request import BaseRequest, Request
    from endwell.server.response import StreamResponse

__all__ = ("FolderResource", "folder_app")

_INDEX: Final = "index.html"
_LISTED: Final = 10_000
_SEEN: Final = ".well-known"
_FOLDER_FLAGS: Final = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)

# Kept by a client, and asked for again each time: what is developed is never stale, and 304 costs little.
_FIELDS: Final = {hdrs.CACHE_CONTROL: "no-cache", "X-Content-Type-Options": "nosniff"}

# A document of these says itself in which characters it is written.
_SELF_TOLD: Final = frozenset({"text/html", "text/xml"})


def folder_app(directory: str, *, listing: bool = False, spa: bool = False) -> Application:
    """Make an application that serves the files of a folder.

    Args:
        directory: the folder.
        listing: answer with a list for a folder without ``index.html``, instead of 403.
        spa: answer with the ``/index.html`` where there is no such file, for programs in a browser whose views have
            paths of their own. A name with a dot in its end is still a file that is missing, unless a page is asked
            for.

    Raises:
        ValueError: there is no such folder.

    """
    app = Application()
    app.router.register_resource(FolderResource(directory, listing=listing, spa=spa))
    return app


class FolderResource(StaticResource):
    """The files of a folder, for all paths. See `folder_app`."""

    def __init__(self, directory: str, *, listing: bool, spa: bool) -> None:
        super().__init__("", directory, name="folder")
        self._listing = listing
        self._spa = spa

    async def _handle(self, request: Request) -> StreamResponse:
        name = request.match_info["filename"]
        path = self._locate(name)
        if path is None:
            raise HTTPNotFound
        return _Answer(path, self._bounds, _Wanted(request, name, listing=self._listing, spa=self._spa))

    def _locate(self, name: str) -> str | None:
        path = super()._locate(name)
        if path is None or any(part[0] == "." != part != _SEEN for part in _parts(path[len(self._root) :])):
            return None
        return path


def _parts(below: str) -> list[str]:
    return [part for part in below.replace(os.sep, "/").split("/") if part]


class _Wanted:
    """What a request wants of a folder; plain values, for a thread looks at them.

    Attributes:
        as_folder: whether its path ends with a slash.
        last: the last part of its path as it came, percent-encoded.
        title: its path, for people.
        listing, spa: see `folder_app`.

    """

    __slots__ = ("as_folder", "last", "listing", "query", "spa", "title")

    def __init__(self, request: BaseRequest, name: str, *, listing: bool, spa: bool) -> None:
        path = request.rel_url.raw_path
        self.as_folder = path.endswith("/")
        self.last = path.rpartition("/")[2]
        self.query = request.rel_url.raw_query_string
        self.title = "/" + name.lstrip("/")
        self.listing = listing
        self.spa = spa and ("." not in self.last or "text/html" in (request.headers.get(hdrs.ACCEPT) or ""))


class _Place(Found):
    """What was found when it is no file: where to ask instead, or the list of a folder."""

    __slots__ = ("location",)

    def __init__(self, status: int, location: str = "", page: str = "") -> None:
        super().__init__(status)
        self.location = location
        self.data = page.encode("utf-8", "replace")


class _Answer(FileResponse):
    """A file, the index of a folder, a list of it, or the way to it."""

    def __init__(self, path: str, root: str, wanted: _Wanted) -> None:
        super().__init__(path, headers=_FIELDS)
        self._root = root
        self._wanted = wanted

    def _finder(self, request: BaseRequest) -> partial[Found]:
        return partial(_find, super()._finder(request), self._wanted)

    def _describe(self, request: BaseRequest, found: Found) -> None:
        kind = found.kind
        if kind.startswith("text/") and kind not in _SELF_TOLD:
            found.kind = f"{kind}; charset=utf-8"
        if not isinstance(found, _Place):
            super()._describe(request, found)
            return
        self._say(found.status)
        if found.location:
            self.headers[hdrs.LOCATION] = found.location
            self.headers[hdrs.CONTENT_TYPE] = "text/plain; charset=utf-8"
        else:
            self.headers[hdrs.CONTENT_TYPE] = "text/html; charset=utf-8"
        self._data = found.data or b""
        self._count = len(self._data)


# In a thread: everything from here on blocks


def _find(find: partial[Found], wanted: _Wanted) -> Found:
    """Find the answer.

    Raises:
        OSError: see `find_file`.

    """
    path, siblings, root, keep = find.args
    at = partial(find_file, siblings=siblings, root=root, keep=keep)
    try:
        fd = os.open(path, getattr(os, "O_PATH", os.O_RDONLY) | _FOLDER_FLAGS)
    except (OSError, ValueError):  # no folder: what it is, or why it can't be had, is told by the file
        found = Found(404) if wanted.as_folder else at(path)
    else:
        try:
            found = _in_folder(fd, path, root, wanted, at)
        finally:
            os.close(fd)
    if found.status == 404 and wanted.spa:
        found = at(os.path.join(root, _INDEX))  # noqa: PTH118 - a Path costs more than the call
    return found


def _in_folder(fd: int, path: str, root: str, wanted: _Wanted, at: partial[Found]) -> Found:
    if not is_inside(fd, path, root):
        return Found(404)
    if not wanted.as_folder:
        query = f"?{wanted.query}" if wanted.query else ""
        return _Place(302, f"./{wanted.last}/{query}")  # relative: it holds behind a proxy that strips a prefix
    found = at(os.path.join(path, _INDEX))  # noqa: PTH118 - a Path costs more than the call
    if found.status != 404:
        return found
    if not wanted.listing:
        return Found(403)
    try:
        readable = os.open(".", os.O_RDONLY | _FOLDER_FLAGS, dir_fd=fd)
    except OSError as error:
        status = refusal_of(error)
        if status is None:
            raise
        return Found(status)
    try:
        with os.scandir(readable) as entries:
            return _Place(200, page=_list(wanted.title, entries))
    finally:
        os.close(readable)


def _list(title: str, entries: Iterable[os.DirEntry[str]]) -> str:
    """Make the page that lists a folder: folders first, each with its files' sizes."""
    rows = sorted(_row(each) for each in entries if each.name[0] != "." or each.name == _SEEN)
    name = html.escape(_printable(title))
    lines = [
        "<!DOCTYPE html>",
        '<html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>Index of {name}</title>",
        "<style>body{font-family:sans-serif}td{padding:0 1em 0 0}td+td{text-align:right}</style>",
        f"</head><body><h1>Index of {name}</h1>",
        "<table>",
    ]
    if title != "/":
        lines.append('<tr><td><a href="../">../</a></td><td></td></tr>')
    for is_file, entry, size in rows[:_LISTED]:
        slash = "" if is_file else "/"
        href = quote(os.fsencode(entry)) + slash
        shown = html.escape(_printable(entry)) + slash
        lines.append(f'<tr><td><a href="./{href}">{shown}</a></td><td>{f"{size:,}" if is_file else ""}</td></tr>')
    lines.append("</table>")
    if len(rows) > _LISTED:
        lines.append(f"<p>and {len(rows) - _LISTED:,} more</p>")
    return "\n".join([*lines, "</body></html>", ""])


def _row(entry: os.DirEntry[str]) -> tuple[bool, str, int]:
    size, is_file = 0, True
    with contextlib.suppress(OSError):
        status: Any = entry.stat()
        is_file, size = not stat.S_ISDIR(status.st_mode), status.st_size
    return is_file, entry.name, size


def _printable(name: str) -> str:
    """Give a name that can be encoded: the bytes of one that is not UTF-8 are replaced."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
