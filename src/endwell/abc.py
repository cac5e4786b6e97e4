"""The abstract classes that users may implement, under aiohttp's name of the module."""

from endwell.client.cookiejar import AbstractCookieJar, ClearCookiePredicate
from endwell.http.writer import AbstractStreamWriter
from endwell.transport.address import ResolveResult
from endwell.transport.resolver import AbstractResolver

__all__ = ("AbstractCookieJar", "AbstractResolver", "AbstractStreamWriter", "ClearCookiePredicate", "ResolveResult")
