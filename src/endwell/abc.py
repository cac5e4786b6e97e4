"""The abstract classes that users may implement, under aiohttp's name of the module."""

from endwell.client.cookiejar import AbstractCookieJar, ClearCookiePredicate
from endwell.http.writer import AbstractStreamWriter
from endwell.server.abc import AbstractMatchInfo, AbstractRouter, AbstractView
from endwell.server.access_log import AbstractAccessLogger
from endwell.transport.address import ResolveResult
from endwell.transport.resolver import AbstractResolver

__all__ = (
    "AbstractAccessLogger",
    "AbstractCookieJar",
    "AbstractMatchInfo",
    "AbstractResolver",
    "AbstractRouter",
    "AbstractStreamWriter",
    "AbstractView",
    "ClearCookiePredicate",
    "ResolveResult",
)
