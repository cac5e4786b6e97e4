"""What a session tells of itself: what it was given. The base of `client.session.ClientSession`."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from multidict import CIMultiDict, CIMultiDictProxy, istr

from endwell.client.auth import BasicAuth
from endwell.client.connector import BaseConnector
from endwell.client.cookiejar import AbstractCookieJar
from endwell.client.core import SessionCore
from endwell.client.options import RequestOptions
from endwell.client.response import ClientResponse
from endwell.client.timeouts import ClientTimeout
from endwell.http.typedefs import JSONEncoder
from endwell.http.version import HttpVersion
from endwell.lifetime import Face

if TYPE_CHECKING:
    from endwell.client.tracing import TraceConfig

__all__ = ("SessionView",)


class SessionView(Face):
    """The properties of a session."""

    _core: SessionCore
    _connector_face: BaseConnector | None
    _cookie_jar: AbstractCookieJar
    _default_auth: BasicAuth | None
    _default_headers: CIMultiDict[str]
    _defaults: RequestOptions
    _json_serialize: JSONEncoder
    _raise_for_status: bool | Callable[[ClientResponse], Awaitable[None]]
    _requote_redirect_url: bool
    _skip_auto_headers: frozenset[istr]
    _trace_configs: list[TraceConfig]
    _trust_env: bool
    _version: HttpVersion

    @property
    def connector(self) -> BaseConnector | None:
        """The connector, None after `detach`."""
        return self._connector_face

    @property
    def connector_owner(self) -> bool:
        """Whether closing the session closes the connector."""
        return self._core.owns_connector

    @property
    def cookie_jar(self) -> AbstractCookieJar:
        """Where cookies are kept."""
        return self._cookie_jar

    @property
    def version(self) -> HttpVersion:
        """The version of HTTP."""
        return self._version

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """The fields for every request: to look at; they are given to the constructor."""
        return CIMultiDictProxy(self._default_headers)

    @property
    def skip_auto_headers(self) -> frozenset[istr]:
        """The names of fields that are not added by themselves."""
        return self._skip_auto_headers

    @property
    def auth(self) -> BasicAuth | None:
        """The credentials for every request. Deprecated."""
        return self._default_auth

    @property
    def json_serialize(self) -> JSONEncoder:
        """How ``json=`` becomes text."""
        return self._json_serialize

    @property
    def raise_for_status(self) -> bool | Callable[[ClientResponse], Awaitable[None]]:
        """What to do with each response."""
        return self._raise_for_status

    @property
    def auto_decompress(self) -> bool:
        """Whether content codings are undone."""
        return self._defaults.auto_decompress

    @property
    def trust_env(self) -> bool:
        """Whether the environment names proxies and credentials."""
        return self._trust_env

    @property
    def trace_configs(self) -> list[TraceConfig]:
        """Who is told what happens."""
        return self._trace_configs

    @property
    def timeout(self) -> ClientTimeout:
        """The time limits of requests."""
        return self._defaults.timeout

    @property
    def close_timeout(self) -> float | None:
        """Seconds that work in flight may take when the session closes."""
        return self._core.close_timeout

    @property
    def requote_redirect_url(self) -> bool:
        """Whether the characters of a Location are put into canonical form."""
        return self._requote_redirect_url

    @requote_redirect_url.setter
    def requote_redirect_url(self, value: bool) -> None:
        self._requote_redirect_url = value

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop. Deprecated."""
        warnings.warn("client.loop property is deprecated", DeprecationWarning, stacklevel=2)
        return self._core.loop
