"""The media type of a file, by the extension of its name (RFC 9110 section 8.3). Used by file responses.

As with aiohttp the answer is the same on every machine: it comes from the table that Python brings, not from the lists
of the system, nor from what a program adds to `mimetypes`. What that table does not know in older versions of Python,
and browsers ask for, is added here.
"""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Final

from endwell.http.mediatype import DEFAULT_TYPE

if TYPE_CHECKING:
    from mimetypes import MimeTypes

__all__ = ("file_type",)

# A file whose whole content is coded is what the coding makes of it: its own name says nothing of the client's wishes.
_CODED: Final = {
    "br": "application/x-brotli",
    "bzip2": "application/x-bzip2",
    "gzip": "application/gzip",
    "xz": "application/x-xz",
}

_LATER: Final = {
    ".7z": "application/x-7z-compressed",
    ".epub": "application/epub+zip",
    ".flac": "audio/flac",
    ".jxl": "image/jxl",
    ".m4a": "audio/mp4",
    ".map": "application/json",
    ".md": "text/markdown",
    ".oga": "audio/ogg",
    ".ogg": "audio/ogg",
    ".ogv": "video/ogg",
    ".opus": "audio/ogg",
    ".otf": "font/otf",
    ".ttf": "font/ttf",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".zst": "application/zstd",
}


@cache
def _table() -> MimeTypes:
    """Make the table: late, for that reads the lists of the system too, and drops them."""
    from mimetypes import MimeTypes

    table = MimeTypes()
    for extension, kind in _LATER.items():
        if extension not in table.types_map[True]:
            table.add_type(kind, extension)
    return table


def file_type(name: str) -> str:
    """Give the media type for the path of a file; ``application/octet-stream`` when it tells nothing.

    The first call reads files (`mimetypes`), so it belongs into a thread.
    """
    # The slash: `guess_type` takes URLs, and a file may be called "data:text/html,x".
    kind, coding = _table().guess_type("/" + os.path.basename(name))  # noqa: PTH119 - a Path costs more than this
    if coding is not None:
        return _CODED.get(coding, DEFAULT_TYPE)
    return kind or DEFAULT_TYPE
