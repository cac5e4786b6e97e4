"""Where a redirect leads and what of the request goes along (RFC 9110 section 15.4). Decides; does no I/O."""

from __future__ import annotations

from typing import Final, NamedTuple

from multidict import CIMultiDict
from yarl import URL

from endwell.client.errors import (
    InvalidUrlRedirectClientError,
    NonHttpUrlRedirectClientError,
)
from endwell.http import hdrs

__all__ = ("REDIRECTS", "Redirect", "decide", "strip_fields")

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})

_SCHEMES: Final = frozenset({"http", "https"})
_OF_THE_BODY: Final = (
    hdrs.CONTENT_LENGTH,
    hdrs.CONTENT_TYPE,
    hdrs.CONTENT_ENCODING,
    hdrs.TRANSFER_ENCODING,
    hdrs.EXPECT,
)
_OF_THE_ORIGIN: Final = (hdrs.AUTHORIZATION, hdrs.COOKIE, hdrs.PROXY_AUTHORIZATION, hdrs.HOST)


class Redirect(NamedTuple):
    """The next hop."""

    url: URL
    method: str
    keep_body: bool
    same_origin: bool


def decide(status: int, method: str, url: URL, location: str, *, requote: bool, max_size: int) -> Redirect:
    """Decide on the next hop.

    Args:
        status: of the response.
        method: of the request that it answers.
        url: of that request.
        location: its Location (or URI) field.
        requote: whether the characters of the location are put into canonical form.
        max_size: of a location, in bytes.

    Raises:
        InvalidUrlRedirectClientError: the location is no URL.
        NonHttpUrlRedirectClientError: it leads out of HTTP.

    """
    if len(location) > max_size:
        raise InvalidUrlRedirectClientError(location[:80] + "...", "Location is too long")
    try:
        target = URL(location, encoded=not requote)
    except ValueError as error:
        raise InvalidUrlRedirectClientError(
            location, "Server attempted redirecting to a location that does not look like a URL"
        ) from error
    if target.scheme and target.scheme not in _SCHEMES:
        raise NonHttpUrlRedirectClientError(location)
    if target.scheme and not target.raw_host:
        raise InvalidUrlRedirectClientError(location, "Invalid redirect URL origin")
    if not target.scheme:
        try:
            target = url.join(target)
        except ValueError as error:
            raise InvalidUrlRedirectClientError(location, "Invalid redirect URL") from error
    if not target.raw_fragment and url.raw_fragment:
        target = target.with_fragment(url.fragment)  # RFC 9110 section 10.2.2
    if not target.raw_host:
        raise InvalidUrlRedirectClientError(location, "Invalid redirect URL origin")
    keep_body = status in (307, 308) or method == "HEAD"
    if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
        method, keep_body = "GET", False
    elif status in (301, 302):
        keep_body = True
    return Redirect(target, method, keep_body, _origin(target) == _origin(url))


def strip_fields(fields: CIMultiDict[str], redirect: Redirect) -> None:
    """Take out of the user's fields what must not go along."""
    if not redirect.keep_body:
        for name in _OF_THE_BODY:
            fields.popall(name, None)
    if not redirect.same_origin:
        for name in _OF_THE_ORIGIN:
            fields.popall(name, None)


def _origin(url: URL) -> tuple[str, str | None, int | None]:
    return url.scheme, url.raw_host, url.port
