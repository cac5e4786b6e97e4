"""Conditional and range requests: reading their fields, and deciding what they mean.

RFC 9110 sections 13 (preconditions) and 14 (ranges). Nothing here knows of files or requests. Used by the server's
requests, which show the fields, and by its file responses, which act on them. All of it is linear in the length of a
field.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from endwell.http.dates import parse_http_date
from endwell.http.etag import ETAG_ANY, ETag

__all__ = ("RangeError", "evaluate_preconditions", "parse_etags", "parse_range", "range_applies", "resolve_range")

MAX_ETAGS: Final = 256
"""Tags of one field; a cache asks about the few variants it holds."""

# Quotes do not occur in a tag, so a tag is found, or not, without backtracking (section 8.8.3; space and tab are
# outside the grammar, and in use). What follows it is a comma or the end.
_TAG: Final = re.compile(r'(W/)?"([^"\x00-\x08\x0a-\x1f\x7f]*)"[ \t]*(?:,[ \t,]*|\Z)')
_EMPTY_MEMBERS: Final = re.compile(r"[ \t,]*")
_RANGE: Final = re.compile(r"(?i:bytes)=([0-9]*)-([0-9]*)")
_MAX_DIGITS: Final = 18


class RangeError(ValueError):
    """A `Range` field that is no single range of bytes.

    `ignorable` tells what to do: True for a field that is malformed, or asks for what is not supported (other units,
    several ranges), and may be ignored; False for a range that no content has, such as the last 0 bytes (416).
    Source: RFC 9110 sections 14.1.1, 14.1.2 and 14.2.
    """

    def __init__(self, message: str, *, ignorable: bool) -> None:
        super().__init__(message)
        self.ignorable = ignorable


def parse_etags(field: str) -> tuple[ETag, ...]:
    """Give the tags of an `If-Match` or `If-None-Match` field; ``*`` alone is the one tag `ETAG_ANY`.

    Empty members of the list are skipped. A field that is malformed gives no tag at all: none of it can be relied on.
    So does one with more than 256 tags. Source: RFC 9110 sections 13.1.1, 13.1.2 and 5.6.1.
    """
    field = field.strip(" \t")
    if field == ETAG_ANY:
        return (ETag(ETAG_ANY),)
    start = _EMPTY_MEMBERS.match(field)
    at = start.end() if start is not None else 0
    tags: list[ETag] = []
    while at < len(field):
        tag = _TAG.match(field, at)
        if tag is None or len(tags) == MAX_ETAGS:
            return ()
        tags.append(ETag(tag[2], tag[1] is not None))
        at = tag.end()
    return tuple(tags)


def parse_range(field: str) -> slice[int | None, int | None, int]:
    """Give the one range of bytes that a `Range` field asks for, as a slice with the step 1.

    ``bytes=0-499`` is ``slice(0, 500, 1)``, ``bytes=500-`` is ``slice(500, None, 1)``, ``bytes=-500`` (the last 500
    bytes) is ``slice(-500, None, 1)``. Source: RFC 9110 section 14.1.2.

    Raises:
        RangeError: which is a ValueError: it is something else.

    """
    found = _RANGE.fullmatch(field.strip(" \t"))
    if found is None:
        message = f"Range {field[:40]!r} is not one range of bytes, such as bytes=0-499"
        raise RangeError(message, ignorable=True)
    first, last = found[1], found[2]
    if not first and not last:
        message = "Range 'bytes=-' has neither a first nor a last byte"
        raise RangeError(message, ignorable=True)
    # A number over 18 digits is beyond every content; it is not converted, for that costs the square of its length.
    begin = _number(first)
    end = _number(last)
    if not first:
        if end == 0:
            message = "Range 'bytes=-0' asks for the last 0 bytes, which nothing has"
            raise RangeError(message, ignorable=False)
        return slice(-end, None, 1)
    if not last:
        return slice(begin, None, 1)
    if end < begin:
        message = "Range: the last byte is before the first (start cannot be after end)"
        raise RangeError(message, ignorable=True)
    return slice(begin, end + 1, 1)


def _number(digits: str) -> int:
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) <= _MAX_DIGITS else 10**_MAX_DIGITS


def resolve_range(wanted: slice[int | None, int | None, int], size: int) -> tuple[int, int] | None:
    """Give the first byte and the number of bytes that a range means for `size` bytes; None when it has none (416).

    Source: RFC 9110 section 14.1.2: a last byte beyond the end means the end, so does a long suffix the whole.
    """
    start = wanted.start or 0
    if start < 0:
        start = max(size + start, 0)
    stop = size if wanted.stop is None else min(wanted.stop, size)
    return (start, stop - start) if start < stop else None


def range_applies(if_range: str | None, *, etag: ETag | None = None, modified: float | None = None) -> bool:
    """Tell whether the range is to be sent: there is no `If-Range`, or what it names is what we have.

    Args:
        if_range: the value of the field.
        etag: of what we have. Only strong tags compare equal.
        modified: seconds since the epoch; compared exactly, to the second.

    Source: RFC 9110 section 13.1.5. A field that is malformed names nothing.
    """
    if if_range is None:
        return True
    if_range = if_range.strip(" \t")
    if '"' in if_range:
        tags = parse_etags(if_range)
        return len(tags) == 1 and etag is not None and not etag.is_weak and tags[0] == etag
    date = parse_http_date(if_range)
    return date is not None and modified is not None and date == int(modified)


def evaluate_preconditions(
    method: str,
    *,
    if_match: Sequence[ETag] | None = None,
    if_unmodified_since: float | None = None,
    if_none_match: Sequence[ETag] | None = None,
    if_modified_since: float | None = None,
    etag: ETag | None = None,
    modified: float | None = None,
    exists: bool = True,
) -> int | None:
    """Give what the preconditions of a request decide: None (go on), 304 or 412.

    Args:
        method: of the request.
        if_match: tags of the field, None when there is no such field.
        if_unmodified_since: seconds since the epoch, None when there is no such field or it is no date.
        if_none_match: like `if_match`.
        if_modified_since: like `if_unmodified_since`.
        etag: of what we have, None when it has none.
        modified: seconds since the epoch; fractions are cut off, as a date in a field cannot tell them.
        exists: there is something to have a tag.

    Source: RFC 9110 section 13.2.2, in its order. `If-Range` comes after it: `range_applies`.
    """
    seconds = None if modified is None else int(modified)
    if if_match is not None:
        if not _listed(if_match, etag, exists=exists, weak=False):
            return 412
    elif if_unmodified_since is not None and seconds is not None and seconds > if_unmodified_since:
        return 412
    is_read = method in ("GET", "HEAD")
    if if_none_match is not None:
        if _listed(if_none_match, etag, exists=exists, weak=True):
            return 304 if is_read else 412
    elif is_read and if_modified_since is not None and seconds is not None and seconds <= if_modified_since:
        return 304
    return None


def _listed(tags: Sequence[ETag], etag: ETag | None, *, exists: bool, weak: bool) -> bool:
    """Compare tags, strongly or weakly (RFC 9110 section 8.8.3.2). A quoted asterisk is a tag, not `ETAG_ANY`."""
    if len(tags) == 1 and tags[0] == (ETAG_ANY, False) and exists:
        return True
    if etag is None:
        return False
    if weak:
        return any(tag.value == etag.value for tag in tags)
    return not etag.is_weak and any(tag == etag for tag in tags)
