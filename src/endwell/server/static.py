"""`StaticResource`: the files of a directory below a prefix (RFC 9110 section 15). Made by `UrlDispatcher.add_static`.

The name that a URL gives is taken apart as text first: it may not be absolute, hold a NUL, or lead out of the root by
``..``. What it leads to is found and opened by the `FileResponse` that the handler returns, in one trip to a thread,
and there, once it is open, it must lie in the root, all symbolic links followed (`file_choice`). When there is nothing
to be had, that is raised, and so a middleware can make a page of it.
"""

from __future__ import annotations

import asyncio
import html
import os
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import quote

from yarl import URL

from endwell.connection.open_file import OpenFile
from endwell.http import hdrs
from endwell.http.typedefs import PathLike
from endwell.server.errors import HTTPForbidden, HTTPNotFound
from endwell.server.file_choice import find_file, is_inside, root_of
from endwell.server.file_response import CHUNK_SIZE, FileResponse, check_chunk_size
from endwell.server.router.matches import UrlMappingMatchInfo
from endwell.server.router.patterns import decode_value
from endwell.server.router.resources import NOT_HERE, Found, PrefixResource, Resolved
from endwell.server.router.routes import AbstractRoute, ExpectHandler, Handler, ResourceRoute
from endwell.server.whole import Response

if TYPE_CHECKING:
    from endwell.server.request import Request
    from endwell.server.response import StreamResponse

__all__ = ("StaticResource",)

_UNQUOTED: Final = "/!$&'()*+,;=:@~"
_HASHED_AT_ONCE: Final = 2**18
_VERSIONS_MAX: Final = 1024


class StaticResource(PrefixResource):
    """The files of a directory, for GET and HEAD. The part of the path behind the prefix is the variable ``filename``.

    A file is answered with a `FileResponse`; `HTTPNotFound` is raised when there is none, `HTTPForbidden` when it may
    not be read. Hidden files are files like others.

    Args:
        prefix: of the paths, such as ``/static``.
        directory: the root; a ``~`` at its beginning is the home directory. Links in its own path are followed now.
        name: under which the router gives the resource, None for no name.
        expect_handler: see `Resource.add_route`.
        chunk_size: see `FileResponse`.
        show_index: answer for a directory with a list of what is in it, instead of 403.
        follow_symlinks: serve what links in the root lead to wherever that is; otherwise it must lie in the root.
        append_version: have `url_for` append the version of the file.

    Raises:
        ValueError: it is no prefix, there is no such directory, or `chunk_size` is less than 1.

    """

    VERSION_KEY: ClassVar[str] = "v"
    """The parameter of the query that holds the version."""

    def __init__(
        self,
        prefix: str,
        directory: PathLike,
        *,
        name: str | None = None,
        expect_handler: ExpectHandler | None = None,
        chunk_size: int = CHUNK_SIZE,
        show_index: bool = False,
        follow_symlinks: bool = False,
        append_version: bool = False,
    ) -> None:
        super().__init__(prefix, name=name)
        try:
            self._root = root_of(os.path.expanduser(os.fspath(directory)))  # noqa: PTH111 - it gets and gives text
        except OSError as error:
            message = (
                f"static files are served from a directory, and {os.fspath(directory)!r} is none: {error.strerror}"
            )
            raise ValueError(message) from error
        self._directory = Path(self._root)
        if not self._directory.is_dir():
            message = (
                f"{self._root!r} is not a directory: static files are served from one; for a file take FileResponse"
            )
            raise ValueError(message)
        self._chunk_size = check_chunk_size(chunk_size)
        self._show_index = show_index
        self._bounds = os.sep if follow_symlinks else self._root
        self._append_version = append_version
        self._versions: dict[str, tuple[tuple[int, int], str]] = {}
        self._routes = {
            method: ResourceRoute(method, self._handle, self, expect_handler=expect_handler)
            for method in (hdrs.METH_GET, hdrs.METH_HEAD)
        }

    def __repr__(self) -> str:
        name = "" if self._name is None else f"'{self._name}'"
        return f"<StaticResource {name} {self._prefix} -> {self._directory!r}>"

    def __len__(self) -> int:
        return len(self._routes)

    def __iter__(self) -> Iterator[AbstractRoute]:
        return iter(self._routes.values())

    def get_info(self) -> dict[str, Any]:
        """Give the ``directory``, the ``prefix`` and the ``routes``, a dict by method."""
        return {"directory": self._directory, "prefix": self._prefix, "routes": self._routes}

    def set_options_route(self, handler: Handler) -> None:
        """Have OPTIONS answered, for CORS.

        Raises:
            RuntimeError: it was done already.

        """
        if hdrs.METH_OPTIONS in self._routes:
            message = f"{self!r} has a route for OPTIONS already"
            raise RuntimeError(message)
        self._routes[hdrs.METH_OPTIONS] = ResourceRoute(hdrs.METH_OPTIONS, handler, self)

    # From a request to a file

    async def resolve(self, request: Request) -> Resolved:
        """Find the route of a request; see `AbstractResource.resolve`."""
        found, allowed = self._find(request.method, request.rel_url.path_safe, request)
        return found, set(allowed)

    def _find(self, method: str, path: str, request: Request | None) -> Found:
        name = self._after_prefix(path)
        if name is None:
            return NOT_HERE
        route = self._routes.get(method)
        if route is None:
            return None, self._routes
        return UrlMappingMatchInfo({"filename": decode_value(name)}, route), ()

    async def _handle(self, request: Request) -> StreamResponse:
        path = self._locate(request.match_info["filename"])
        if path is None:
            raise HTTPNotFound
        if self._show_index:
            page = await asyncio.get_running_loop().run_in_executor(None, self._index, path)
            if page is not None:
                return Response(text=page, content_type="text/html")
        response = FileResponse(path, self._chunk_size)
        response._root = self._bounds
        status = await response._look(request)
        if status != 200:  # raised, so that middlewares see it which make pages for errors
            raise HTTPForbidden if status == 403 else HTTPNotFound
        return response

    def _locate(self, name: str) -> str | None:
        """Give the path that a name stands for, as text; None for one that is not in the root, or no name at all."""
        if "\0" in name or (os.sep != "/" and (os.sep in name or ":" in name)):
            return None
        name = posixpath.normpath(name)
        if name[0] == "/" or name == ".." or name.startswith("../"):
            return None
        return self._root if name == "." else os.path.join(self._root, name)  # noqa: PTH118 - a Path costs more

    # The list of a directory

    def _index(self, path: str) -> str | None:
        """Make the page for a directory, in a thread; None when it is none, or none that may be shown."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (OSError, ValueError):
            return None
        try:
            if not is_inside(fd, path, self._bounds):
                return None
            with os.scandir(fd) as entries:
                names = sorted((each.name, _is_directory(each)) for each in entries)
        finally:
            os.close(fd)
        below = path[len(self._root) :].strip("/")
        title = html.escape(_printable("/" + below))
        lines = ["<!DOCTYPE html>", "<html>", "<head>", '<meta charset="utf-8">', f"<title>Index of {title}</title>"]
        lines += ["</head>", "<body>", f"<h1>Index of {title}</h1>", "<ul>"]
        for name, is_directory in names:
            href = html.escape(self._path_of(f"{below}/{name}"))
            lines.append(f'<li><a href="{href}">{html.escape(_printable(name))}{"/" * is_directory}</a></li>')
        return "\n".join([*lines, "</ul>", "</body>", "</html>", ""])

    # From a file to a URL

    def url_for(  # type: ignore[override] # aiohttp's signature: nothing but these two
        self, *, filename: PathLike, append_version: bool | None = None
    ) -> URL:
        """Make a relative URL for a file.

        Args:
            filename: path below the root; slashes at its beginning are left out.
            append_version: append a hash of the content, so that caches ask again once it has changed; None for what
                the resource was made with. Of a file that would not be served there is none.

        The version is remembered; the file is read again when its time or its size is another. Blocks meanwhile.
        """
        name = os.fspath(filename) if isinstance(filename, os.PathLike) else str(filename)
        url = URL.build(path=self._path_of(name), encoded=True)
        if self._append_version if append_version is None else append_version:
            version = self._version(name.lstrip("/"))
            if version is not None:
                url = url.with_query({self.VERSION_KEY: version})
        return url

    def _path_of(self, name: str) -> str:
        quoted = quote(name.lstrip("/").encode("utf-8", "surrogateescape"), safe=_UNQUOTED)
        return f"{self._prefix.rstrip('/')}/{quoted}"

    def _version(self, name: str) -> str | None:
        path = self._locate(name)
        if path is None:
            return None
        try:
            found = find_file(path, root=self._bounds, keep=-1)
        except OSError:
            return None
        file = found.file
        if file is None:
            return None
        try:
            stamp = (found.modified, found.size)
            known = self._versions.get(path)
            if known is not None and known[0] == stamp:
                return known[1]
            version = _hash(file)
        except OSError:
            return None
        finally:
            file.close()
        if len(self._versions) >= _VERSIONS_MAX:
            self._versions.clear()
        self._versions[path] = (stamp, version)
        return version


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _hash(file: OpenFile) -> str:
    from base64 import urlsafe_b64encode
    from hashlib import sha256

    digest, offset = sha256(), 0
    while data := file.read_at(offset, _HASHED_AT_ONCE):
        digest.update(data)
        offset += len(data)
    return urlsafe_b64encode(digest.digest()).decode("ascii")


def _printable(name: str) -> str:
    """Give a name that can be encoded: the bytes of one that is not UTF-8 are replaced."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
