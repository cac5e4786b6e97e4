"""Entity tags (RFC 9110 section 8.8.3)."""

from typing import NamedTuple

__all__ = ("ETAG_ANY", "ETag")

ETAG_ANY = "*"


class ETag(NamedTuple):
    """An entity tag: its opaque value, without quotes, and whether it is a weak one."""

    value: str
    is_weak: bool = False
