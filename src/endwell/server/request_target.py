"""For whom a request is, and from whom: its target, host, scheme and address (RFC 9112 section 3, RFC 9110 section 7).

The part of `BaseRequest` that makes URLs. The head has checked target and `Host`, so nothing here fails for what a
client sends. A plain path costs no URL.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from multidict import MultiDictProxy
from yarl import URL

from endwell.http import hdrs
from endwell.server.request_fields import RequestFields

if TYPE_CHECKING:
    from endwell.server.seams import RequestExchange

__all__ = ("RequestTarget",)

_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://([^/?#]*)")
_QUERY: Final = re.compile("[?#]")


class RequestTarget(RequestFields):
    """The target of one request."""

    _exchange: RequestExchange
    _target: str
    """As it was sent, or what `clone` put in its place."""
    method: str
    """The method as it was sent, such as ``"GET"``."""

    _scheme: str | None = None
    _host: str | None = None
    _remote: str | None = None
    _path: str | None = None
    _rel_url: URL | None = None
    _url: URL | None = None

    @property
    def scheme(self) -> str:
        """``"https"`` on a connection with TLS, else ``"http"``; a trusted proxy knows better, and `clone` best."""
        if self._scheme is None:
            proxied = self._exchange.proxied
            if proxied is not None and proxied.scheme is not None:
                self._scheme = proxied.scheme
            else:
                self._scheme = "http" if self._exchange.get_extra_info("sslcontext") is None else "https"
        return self._scheme

    @property
    def secure(self) -> bool:
        """Whether the scheme is ``https``."""
        return self.scheme == "https"

    @property
    def host(self) -> str:
        """The host with its port, as an absolute target says, else the field `Host`, else our own address.

        What a trusted proxy says of it, where it is believed about that, comes before all of them.

        Source: RFC 9112 sections 3.2.2 and 3.3.
        """
        if self._host is None:
            self._host = self._find_host()
        return self._host

    def _find_host(self) -> str:
        if self._target is not self._head.target:
            found = _ABSOLUTE.match(self._target)
            if found is not None:
                return found[1].rpartition("@")[2]
        proxied = self._exchange.proxied
        if proxied is not None and proxied.host is not None and self._headers is None:
            return proxied.host
        if self._headers is not None and (named := self._headers.get(hdrs.HOST)) is not None:
            return named
        if self._headers is None and (host := self._head.host) is not None:
            return host
        own = self._exchange.get_extra_info("sockname")
        if not isinstance(own, tuple):
            return "localhost"
        address = str(own[0])
        return f"[{address}]" if ":" in address else address

    @property
    def remote(self) -> str | None:
        """The address of the client, as a trusted proxy says, else of the peer; None when it is not known."""
        if self._remote is None:
            proxied = self._exchange.proxied
            if proxied is not None and proxied.client is not None:
                self._remote = proxied.client[0]
                return self._remote
            peer = self._exchange.get_extra_info("peername")
            if peer is not None:
                self._remote = str(peer[0]) if isinstance(peer, (list, tuple)) else str(peer)
        return self._remote

    # The target

    @property
    def raw_path(self) -> str:
        """The target as it was sent."""
        return self._target

    @property
    def path(self) -> str:
        """The path, decoded, such as ``/a b``; ``*`` for the asterisk, empty for CONNECT."""
        path = self._path
        if path is None:
            path = self._target
            if "?" in path or "#" in path:
                path = _QUERY.split(path, maxsplit=1)[0]
            if path[:1] != "/" or "%" in path:
                path = self.rel_url.path
            self._path = path
        return path

    @property
    def path_qs(self) -> str:
        """Path and query as a string: `rel_url`."""
        return str(self.rel_url)

    @property
    def rel_url(self) -> URL:
        """Path and query as a relative URL."""
        if self._rel_url is None:
            self._rel_url = self._make_rel_url()
        return self._rel_url

    def _make_rel_url(self) -> URL:
        target = self._target
        if target[:1] != "/" and target != "*":
            if self.method == "CONNECT":
                return URL()
            absolute = _ABSOLUTE.match(target)
            if absolute is not None:
                target = target[absolute.end() :]
                if target[:1] != "/":
                    target = "/" + target
        target, _, fragment = target.partition("#")
        path, _, query = target.partition("?")
        return URL.build(path=path, query_string=query, fragment=fragment, encoded=True)

    @property
    def url(self) -> URL:
        """The whole URL: scheme, host, path and query.

        Raises:
            ValueError: a host that was given to `clone` is none.

        """
        if self._url is None:
            scheme = self.scheme
            host = self.host.lower().removesuffix(_DEFAULT_PORTS.get(scheme, " "))
            base = URL.build(scheme=scheme, authority=host)
            rel = self.rel_url
            path = rel.raw_path
            self._url = URL.build(
                scheme=scheme,
                authority=base.raw_authority,
                path="/" + path if path[:1] != "/" else path,
                query_string=rel.raw_query_string,
                fragment=rel.raw_fragment,
                encoded=True,
            )
        return self._url

    @property
    def query(self) -> MultiDictProxy[str]:
        """The parameters of the query, decoded."""
        return self.rel_url.query

    @property
    def query_string(self) -> str:
        """The query, decoded."""
        return self.rel_url.query_string
