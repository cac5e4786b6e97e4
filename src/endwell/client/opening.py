"""Opens connections: names, sockets, proxies and TLS, under one time-out (closing.md C6, C9).

Runs in the task of the asker. An `Opening` stands in the ownership tree for what is being opened, so that a closing
connector waits until nothing is left of it; sockets become visible to the tree as soon as they exist.
"""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from endwell.client.errors import (
    AddressDeniedError,
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ClientError,
    ClientProxyConnectionError,
    ConnectionTimeoutError,
    ServerFingerprintMismatch,
    UnixClientConnectorError,
)
from endwell.client.route import ConnectionKey, Route
from endwell.client.tunnel import Tunnel
from endwell.connection.http1 import ClientConnection
from endwell.http.url import Target
from endwell.lifetime import Resource
from endwell.transport import resolver as resolvers
from endwell.transport.address import addr_infos, denied, literal_addresses, spelled_addresses
from endwell.transport.errors import DialDeniedError, FingerprintMismatch, ProxyError, TlsCertificateError, TlsError

if TYPE_CHECKING:
    from endwell.client.connections import ConnectorCore
    from endwell.client.exchange import ClientExchange
    from endwell.client.request import ClientRequest
    from endwell.client.tracing import Trace
    from endwell.transport.address import AddrInfo, Deny
    from endwell.transport.resolver import ResolveResult

__all__ = ("Dialer", "Opening", "TcpDialer", "UnixDialer")


class Dialer(Protocol):
    """How a connector gets its connections."""

    def attach(self, core: ConnectorCore) -> None:
        """Learn whose connections these are."""

    def check_proxied(self, target: Target, route: Route) -> None:
        """Refuse a target that a proxy must not be asked for, before each request to it."""

    async def open(self, request: ClientRequest, exchange: ClientExchange, deadline: float | None) -> ClientConnection:
        """Open a connection for a request, by `deadline` (loop time) at the latest."""

    async def finish(self) -> None:
        """Return when nothing is left of what was used to open."""

    def abort(self) -> None:
        """Free what was used to open, now."""


class Opening(Resource):
    """A connection that is being opened, in its asker's task."""

    __slots__ = ("_done", "_loop", "exchange", "peer")

    kind = "connection being opened"

    def __init__(self, core: ConnectorCore, exchange: ClientExchange, peer: str) -> None:
        super().__init__(core)
        self._loop = core.loop
        self._done: asyncio.Future[None] | None = None
        self.exchange = exchange
        self.peer = peer

    def describe(self) -> str:
        """See `Resource.describe`."""
        return f"connection to {self.peer}, being opened"

    def gone(self) -> asyncio.Future[None] | None:
        """See `Resource.gone`."""
        if self._done is None:
            self._done = self._loop.create_future()
        return self._done

    def over(self) -> None:
        """Note that it was opened, or that nothing is left of the attempt."""
        self.ended()
        if self._done is not None and not self._done.done():
            self._done.set_result(None)


class _DialerBase(ABC):
    """The time-out, TLS and the bookkeeping that both dialers share."""

    core: ConnectorCore
    ssl: Any = True
    """How TLS is spoken where a request does not say it."""

    def attach(self, core: ConnectorCore) -> None:
        """Learn whose connections these are."""
        self.core = core

    async def open(self, request: ClientRequest, exchange: ClientExchange, deadline: float | None) -> ClientConnection:
        """Open a connection for a request.

        Raises:
            ClientConnectorError: and its kin, for what went wrong.
            ConnectionTimeoutError: it took too long.
            TimeoutError: the total time of the request is over.

        """
        loop = self.core.loop
        timeout = request.options.timeout
        traces = request.traces
        times = [exchange.due]
        if deadline is not None:
            times.append(deadline)
        if timeout.sock_connect:
            times.append(loop.time() + timeout.sock_connect)
        opening = Opening(self.core, exchange, request.target.authority)
        total_due = exchange.due
        when = min(times)
        try:
            if traces is not None:
                await traces.send_connection_create_start()
            async with asyncio.timeout_at(None if when == float("inf") else when) as timer:
                exchange.opening(timer)
                connection = await self._open(request, exchange)
        except TimeoutError as error:
            if exchange.error is not None:
                raise exchange.error from None
            shown = request.url.with_query(None)
            if loop.time() >= total_due:
                message = f"{request.method} {shown} did not connect within total={timeout.total} s"
                raise TimeoutError(message) from error
            message = (
                f"Connection timeout to host {shown}: not connected within connect={timeout.connect} s, "
                f"sock_connect={timeout.sock_connect} s"
            )
            raise ConnectionTimeoutError(message) from error
        finally:
            exchange.opened()
            opening.over()
        wanted = False
        try:
            if traces is not None:
                await traces.send_connection_create_end()
            wanted = exchange.error is None
        finally:
            if not wanted:
                connection.discard()
        if exchange.error is not None:
            raise exchange.error
        return connection

    @abstractmethod
    async def _open(self, request: ClientRequest, exchange: ClientExchange) -> ClientConnection: ...

    async def _attach(self, key: Any, peer: str, **where: Any) -> ClientConnection:
        """Make a connection of a connected socket, which it owns from then on, or of one address (`where`).

        It is in the tree from the start, so that a closing finds it; when this raises, nothing is left of it.
        """
        core = self.core
        connection = ClientConnection(core, core, core.loop, key, peer, core.cork)
        made = False
        try:
            await core.loop.create_connection(lambda: connection, **where)
            made = True
        finally:
            if not made:
                if connection.transport is None:
                    connection.ended()
                    if "sock" in where:
                        where["sock"].close()
                else:
                    connection.discard()
                    connection.ended()  # uvloop tells a protocol whose creation was cancelled nothing more
        return connection

    async def _secure(
        self, connection: ClientConnection, ssl: Any, server_hostname: str, port: int, key: ConnectionKey
    ) -> None:
        """Speak TLS from here on. When this raises, nothing is left of the connection."""
        from endwell.transport.tls import context_for, upgrade

        core = self.core
        context, fingerprint = context_for(self.ssl if ssl is True else ssl)
        transport = connection.transport
        assert transport is not None
        try:
            connection.transport = await upgrade(
                core.loop,
                transport,
                connection,
                context,
                server_hostname=server_hostname,
                shutdown_timeout=core.ssl_shutdown_timeout,
            )
            connection.tls = connection.transport.get_extra_info("ssl_object")
            if fingerprint is not None:
                fingerprint.check(connection.transport, server_hostname, port)
        except TlsCertificateError as error:
            cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
            raise ClientConnectorCertificateError(key, cause) from error
        except TlsError as error:
            if error.ssl_error is None:
                raise ClientConnectorError(key, error) from error
            raise ClientConnectorSSLError(key, error.ssl_error) from error
        except FingerprintMismatch as error:
            connection.discard()
            raise ServerFingerprintMismatch(error.expected, error.got, error.host, error.port) from error


class TcpDialer(_DialerBase):
    """Opens TCP connections, directly or through proxies, with TLS when it is asked for."""

    def __init__(
        self,
        *,
        ssl: Any,
        family: int,
        local_addr: tuple[str, int] | None,
        resolver: resolvers.AbstractResolver | None,
        use_dns_cache: bool,
        ttl_dns_cache: float | None,
        dns_cache_max_size: int,
        happy_eyeballs_delay: float | None,
        interleave: int | None,
        socket_factory: Callable[[Any], socket.socket] | None,
        deny: Deny | None,
    ) -> None:
        from endwell.transport.dns_cache import DnsCache

        self.ssl = ssl
        self.family = family
        if use_dns_cache and not dns_cache_max_size > 0:
            message = f"dns_cache_max_size must be a positive number, not {dns_cache_max_size!r}"
            raise ValueError(message)
        self.cache = DnsCache(ttl_dns_cache, dns_cache_max_size) if use_dns_cache else None
        self._local_addr = local_addr
        self._resolver = resolver
        self._own_resolver = resolver is None
        self._delay = happy_eyeballs_delay
        self._interleave = interleave
        self._socket_factory = socket_factory
        self.deny = deny

    def check_proxied(self, target: Target, route: Route) -> None:
        """Ask `deny` for a target that is an address: the proxy connects to it, and does not ask.

        Connections to a proxy serve many targets, so this is looked at for each request.

        Raises:
            AddressDeniedError: one of the addresses that the host spells is refused.

        """
        if self.deny is None:
            return
        refused = tuple(each for each in spelled_addresses(target.host) if denied(each, self.deny))
        if refused:
            raise AddressDeniedError(route.connection_key, DialDeniedError(target.host, target.port, refused))

    async def finish(self) -> None:
        """Close the resolver that we made; its threads are gone then."""
        if self._own_resolver and self._resolver is not None:
            await self._resolver.close()

    def abort(self) -> None:
        """See `Dialer.abort`."""
        if self._own_resolver and isinstance(self._resolver, resolvers.AsyncResolver):
            self._resolver.abort()

    async def _open(self, request: ClientRequest, exchange: ClientExchange) -> ClientConnection:
        target = request.target
        if request.session._direct and request.options.direct:
            return await self._direct(target, Route(target), request)
        route = request.route
        if route.proxy is None:
            return await self._direct(target, route, request)
        if route.proxy.scheme.startswith("socks"):
            return await self._socks(route, request)
        return await self._through_proxy(route, request)

    async def _direct(self, target: Target, route: Route, request: ClientRequest) -> ClientConnection:
        connection = await self._connect(
            target.host, target.port, request.traces, route.key, target.authority, (route, ClientConnectorError)
        )
        if target.secure:
            await self._secure(connection, route.ssl, route.server_hostname, target.port, route.connection_key)
        return connection

    async def _socks(self, route: Route, request: ClientRequest) -> ClientConnection:
        from endwell.transport.proxy import open_socks

        target, proxy = route.target, route.proxy
        assert proxy is not None
        key = route.proxy_key

        async def dial(host: str, port: int) -> socket.socket:
            infos = await self._addresses(host, port, request.traces, route)
            return await self._dial(infos, host, port, (route, ClientProxyConnectionError))

        async def resolve(host: str, port: int) -> str:
            infos = await self._addresses(host, port, request.traces, route)
            if self.deny is not None:
                infos = self._permitted(infos, self.deny, host, port, route)
            return str(infos[0][4][0])

        try:
            sock = await open_socks(
                proxy, target.host, target.port, dial=dial, resolve=resolve, credentials=route.credentials
            )
        except ProxyError as error:
            raise ClientProxyConnectionError(key, error) from error
        connection = await self._attach(route.key, target.authority, sock=sock)
        if target.secure:
            await self._secure(connection, route.ssl, route.server_hostname, target.port, route.connection_key)
        return connection

    async def _through_proxy(self, route: Route, request: ClientRequest) -> ClientConnection:
        proxy, target = route.proxy, route.target
        assert proxy is not None
        host, port = proxy.host or "", proxy.port or 80
        key = route.proxy_key
        connection = await self._connect(
            host, port, request.traces, route.key, target.authority, (route, ClientProxyConnectionError)
        )
        done = False
        try:
            if proxy.scheme == "https":
                await self._secure(connection, route.ssl, host, port, key)
            if route.tunnel:
                await Tunnel(connection, request, route).open()
                if target.secure:
                    await self._secure(connection, route.ssl, route.server_hostname, target.port, route.connection_key)
            done = True
        finally:
            if not done:
                connection.discard()
        return connection

    async def _connect(  # noqa: PLR0917
        self,
        host: str,
        port: int,
        traces: Trace | None,
        key: Any,
        peer: str,
        failure: tuple[Route, type[ClientConnectorError]],
    ) -> ClientConnection:
        """Connect to a name or an address; a single address needs no Happy Eyeballs, which cost more than the rest.

        `deny` is asked for what is connected to, after resolving: no answer of a resolver comes between. A proxy is
        named by the program, not by whoever named the target, and is not asked for.
        """
        infos = await self._addresses(host, port, traces, failure[0])
        if self.deny is not None and failure[0].proxy is None:
            infos = self._permitted(infos, self.deny, host, port, failure[0])
        if len(infos) > 1 or self._local_addr is not None or self._socket_factory is not None:
            return await self._attach(key, peer, sock=await self._dial(infos, host, port, failure))
        if not infos:
            raise ClientConnectorDNSError(failure[0].first_key, OSError(f"the resolver gave no address for {host}"))
        family, _, proto, _, address = infos[0]
        try:
            if len(address) == 4 and address[3]:  # a scope id has no place in create_connection
                return await self._attach(key, peer, sock=await self._dial(infos, host, port, failure))
            return await self._attach(key, peer, host=address[0], port=address[1], family=family, proto=proto)
        except OSError as error:
            raise _mapped(error, *failure) from error

    async def _addresses(self, host: str, port: int, traces: Trace | None, route: Route) -> list[AddrInfo]:
        try:
            known = _literal_infos(host, port, self.family)
            return addr_infos(await self._resolve(host, port, traces, route)) if known is None else known
        except OSError as error:  # a zone that names no interface, for one
            raise _mapped(error, route, ClientConnectorError) from error

    @staticmethod
    def _permitted(infos: list[AddrInfo], deny: Deny, host: str, port: int, route: Route) -> list[AddrInfo]:
        from endwell.transport.dial import permitted

        try:
            return permitted(infos, deny, host, port)
        except DialDeniedError as error:
            raise AddressDeniedError(route.connection_key, error) from error

    async def _dial(
        self, infos: list[AddrInfo], host: str, port: int, failure: tuple[Route, type[ClientConnectorError]]
    ) -> socket.socket:
        from endwell.transport.dial import open_tcp

        try:
            return await open_tcp(
                infos,
                host=host,
                port=port,
                local_addr=self._local_addr,
                happy_eyeballs_delay=self._delay,
                interleave=self._interleave,
                socket_factory=self._socket_factory,
            )
        except OSError as error:
            raise _mapped(error, *failure) from error

    async def _resolve(self, host: str, port: int, traces: Trace | None, route: Route) -> Sequence[ResolveResult]:
        loop = self.core.loop
        if self._resolver is None:
            self._resolver = resolvers.default_resolver()()
        resolver, cache = self._resolver, self.cache

        async def ask() -> list[ResolveResult]:
            if traces is not None:
                await traces.send_dns_resolvehost_start(host)
            found = await resolver.resolve(host, port, self.family)  # type: ignore[arg-type]  # 0 is AF_UNSPEC
            if traces is not None:
                await traces.send_dns_resolvehost_end(host)
            return found

        try:
            if cache is None:
                return await ask()
            known = cache.get(host, port, loop.time())
            if known is not None:
                if traces is not None:
                    await traces.send_dns_cache_hit(host)
                return known
            if traces is not None:
                await traces.send_dns_cache_miss(host)
            return await cache.share(host, port, ask, loop.time)
        except OSError as error:
            raise _mapped(error, route, ClientConnectorDNSError) from error


class UnixDialer(_DialerBase):
    """Opens connections to a Unix socket."""

    def __init__(self, path: str) -> None:
        self._path = path

    def check_proxied(self, target: Target, route: Route) -> None:
        """See `Dialer.check_proxied`: there is no proxy."""

    async def finish(self) -> None:
        """See `Dialer.finish`: there is nothing."""

    def abort(self) -> None:
        """See `Dialer.abort`: there is nothing."""

    async def _open(self, request: ClientRequest, exchange: ClientExchange) -> ClientConnection:
        from endwell.transport.dial import open_unix

        key = ConnectionKey(request.target.host, request.target.port, request.target.secure, request.options.ssl)
        try:
            sock = await open_unix(self._path)
        except OSError as error:
            if isinstance(error, TimeoutError) and error.errno is None:
                raise
            raise UnixClientConnectorError(self._path, key, error) from error
        connection = await self._attach(request.key, self._path, sock=sock)
        target = request.target
        if target.secure:
            route = request.route
            await self._secure(connection, route.ssl, route.server_hostname, target.port, key)
        return connection


@lru_cache(maxsize=512)
def _literal_infos(host: str, port: int, family: int) -> list[AddrInfo] | None:
    """Give the addresses of what needs no resolver: an IP address, localhost; None for a name."""
    literal = literal_addresses(host, port, family)
    return None if literal is None else addr_infos(literal)


def _mapped(error: OSError, route: Route, failure: type[ClientConnectorError]) -> BaseException:
    """Return the public error for one of the transport's; what is public, or a time-out of ours, as it is."""
    if isinstance(error, ClientError) or (isinstance(error, TimeoutError) and error.errno is None):
        return error
    return failure(route.first_key, error)
