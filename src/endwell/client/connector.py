"""Connectors: the public objects that say how connections are opened, kept and limited (aiohttp's API).

Light faces over `client.connections.ConnectorCore`. One given to several sessions is closed with the last of them
(closing.md C16).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from endwell.client.connections import Connection, ConnectorCore
from endwell.client.exchange import ClientExchange
from endwell.client.opening import Dialer, TcpDialer, UnixDialer
from endwell.client.options import RequestOptions, check_ssl, sentinel
from endwell.client.pool import Pool
from endwell.lifetime import CloseReport, Face, Origin, State, caller, close, start

if TYPE_CHECKING:
    from endwell.client.request import ClientRequest
    from endwell.transport.address import Deny
    from endwell.transport.resolver import AbstractResolver

__all__ = ("BaseConnector", "Connection", "NamedPipeConnector", "TCPConnector", "UnixConnector")

_KEEPALIVE: Final = 15.0
_SSL_SHUTDOWN: Final = 0.25


class _Closing:
    """What `close()` of a connector returns: the closing goes on whether or not it is awaited."""

    __slots__ = ("_at", "_core", "_task")

    def __init__(self, core: ConnectorCore, task: asyncio.Task[CloseReport] | None, at: Origin) -> None:
        self._core = core
        self._task = task
        self._at = at

    def __await__(self) -> Generator[Any, None, CloseReport]:
        # Joins the closing that the task runs: what the awaiting task itself holds open must not be waited for.
        report = yield from close(self._core, timeout=self._core.close_timeout, at=self._at).__await__()
        if self._task is not None:
            yield from self._task.__await__()  # done but for its last step: no task is left when this returns
        return report


class BaseConnector(Face):
    """What all connectors share: limits, keep-alive, the queue, closing.

    Args:
        keepalive_timeout: seconds an idle connection is kept; 15.
        force_close: close each connection after one exchange.
        limit: connections in all, 0 for any number; who finds none waits, first come first served.
        limit_per_host: connections to one (host, port, TLS), 0 for any number.
        enable_cleanup_closed: accepted and ignored, as in aiohttp on current Pythons.
        loop: accepted for compatibility; the running loop is used.
        timeout_ceil_threshold: accepted for compatibility.
        ssl_shutdown_timeout: seconds to wait for the peer's answer to our TLS goodbye (close_notify); 0.25.

    """

    __slots__ = ("__weakref__",)

    _core: ConnectorCore
    allowed_protocol_schema_set: ClassVar[frozenset[str]] = frozenset({"", "http", "https", "ws", "wss"})

    def __init__(
        self,
        *,
        keepalive_timeout: Any = sentinel,
        force_close: bool = False,
        limit: int = 100,
        limit_per_host: int = 0,
        enable_cleanup_closed: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
        timeout_ceil_threshold: float = 5,
        ssl_shutdown_timeout: Any = sentinel,
    ) -> None:
        if force_close and keepalive_timeout is not None and keepalive_timeout is not sentinel:
            message = "keepalive_timeout cannot be set if force_close is True"
            raise ValueError(message)
        for name, value in (("limit", limit), ("limit_per_host", limit_per_host)):
            if not isinstance(value, int) or value < 0:
                message = f"{name} must be 0 (no limit) or a positive number, not {value!r}"
                raise ValueError(message)
        keepalive = _KEEPALIVE if keepalive_timeout is sentinel else keepalive_timeout
        self._core = ConnectorCore(
            type(self).__name__,
            asyncio.get_running_loop(),
            self._dialer(),
            Pool(limit, limit_per_host, float("inf") if keepalive is None else keepalive),
            force_close=force_close,
            ssl_shutdown_timeout=_SSL_SHUTDOWN if ssl_shutdown_timeout in (sentinel, None) else ssl_shutdown_timeout,
        )

    def _dialer(self) -> Dialer | None:
        return None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._core.state.value}, {self._core.pool.in_use} in use>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    @property
    def closed(self) -> bool:
        """Whether it is closed or closing."""
        return self._core.state is not State.OPEN

    @property
    def force_close(self) -> bool:
        """Whether each connection is closed after one exchange."""
        return self._core.force_close

    @property
    def limit(self) -> int:
        """Connections in all, 0 for any number."""
        return self._core.pool.limit

    @property
    def limit_per_host(self) -> int:
        """Connections to one host, 0 for any number."""
        return self._core.pool.limit_per_host

    async def connect(self, req: ClientRequest, traces: Any, timeout: Any) -> Connection:
        """Give a connection for a request, outside any exchange; the caller gives it back."""
        core = self._core
        exchange = ClientExchange(req.session._core, core, req, req.options, req.due)
        now = core.loop.time()
        try:
            connection = await core.acquire(req, exchange, now, core.pool.take(req.key, now))
        finally:
            exchange.dropped()
        return Connection(core, connection)

    def close(self, *, abort_ssl: bool = False) -> Awaitable[CloseReport]:
        """Close all connections; what is returned can be awaited and gives a `CloseReport`.

        Exchanges in flight may finish, as by `ClientSession.close`. With `abort_ssl` they may not, and TLS goodbyes are
        left out.
        """
        core, at = self._core, caller()
        if core.report is not None or core.closing is not None or core.loop.is_closed():
            return _Closing(core, None, at)
        core.check_loop()
        closing = close(core, timeout=0 if abort_ssl else core.close_timeout, at=at)
        return _Closing(core, start(core.loop, closing, f"endwell: closing of {core.describe()}"), at)


class TCPConnector(BaseConnector):
    """Opens TCP connections, with TLS when the URL wants it.

    Args:
        ssl: True verifies certificates, False does not; or an SSLContext, or a `Fingerprint`. A request may differ.
        use_dns_cache, ttl_dns_cache, dns_cache_max_size: keep the answers of the resolver, for so many seconds (None
            for ever), for so many names.
        family: ``socket.AF_INET`` or ``AF_INET6`` to use one of them only.
        local_addr: (address, port) to connect from.
        resolver: who resolves names; by default `DefaultResolver`, which is closed with the connector.
        happy_eyeballs_delay, interleave: see RFC 8305.
        socket_factory: makes the sockets, from a tuple as `socket.getaddrinfo` gives.
        deny: told an IP address (of `ipaddress`), returns True to refuse it; `endwell.private_address` is one, for
            whoever fetches what strangers name. Asked after resolving, on each hop, for each address of a name and for
            addresses in URLs, and also for IPv4 addresses inside IPv6 ones; those that it refuses are not connected to,
            and if none is left, `AddressDeniedError` is raised. Of targets behind proxies: `docs/how-to/strangers.md`.

    The others are those of `BaseConnector`; verify_ssl, fingerprint and ssl_context are deprecated for ssl.

    """

    __slots__ = ("_tcp",)

    def __init__(  # long: one argument a line
        self,
        *,
        verify_ssl: bool = True,
        fingerprint: bytes | None = None,
        use_dns_cache: bool = True,
        ttl_dns_cache: float | None = 10,
        dns_cache_max_size: int = 1000,
        family: socket.AddressFamily = socket.AddressFamily.AF_UNSPEC,
        ssl_context: Any = None,
        ssl: Any = True,
        local_addr: tuple[str, int] | None = None,
        resolver: AbstractResolver | None = None,
        keepalive_timeout: Any = sentinel,
        force_close: bool = False,
        limit: int = 100,
        limit_per_host: int = 0,
        enable_cleanup_closed: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
        timeout_ceil_threshold: float = 5,
        happy_eyeballs_delay: float | None = 0.25,
        interleave: int | None = None,
        socket_factory: Callable[[Any], socket.socket] | None = None,
        ssl_shutdown_timeout: Any = sentinel,
        deny: Deny | None = None,
    ) -> None:
        old = {
            name: value
            for name, value in (("verify_ssl", verify_ssl), ("fingerprint", fingerprint), ("ssl_context", ssl_context))
            if value is not None and value is not True
        }
        if old and ssl is not True:
            message = "verify_ssl, ssl_context, fingerprint and ssl parameters are mutually exclusive"
            raise ValueError(message)
        if old:
            ssl = RequestOptions().merged(old).ssl
        check_ssl(ssl)
        if deny is not None and not callable(deny):
            message = f"deny must be a function of an IP address, endwell.private_address for one, not {deny!r}"
            raise TypeError(message)
        self._tcp = TcpDialer(
            ssl=ssl,
            family=family,
            local_addr=local_addr,
            resolver=resolver,
            use_dns_cache=use_dns_cache,
            ttl_dns_cache=ttl_dns_cache,
            dns_cache_max_size=dns_cache_max_size,
            happy_eyeballs_delay=happy_eyeballs_delay,
            interleave=interleave,
            socket_factory=socket_factory,
            deny=deny,
        )
        super().__init__(
            keepalive_timeout=keepalive_timeout,
            force_close=force_close,
            limit=limit,
            limit_per_host=limit_per_host,
            enable_cleanup_closed=enable_cleanup_closed,
            loop=loop,
            timeout_ceil_threshold=timeout_ceil_threshold,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )

    def _dialer(self) -> Dialer:
        return self._tcp

    @property
    def family(self) -> int:
        """The address family that is used, 0 for any."""
        return self._tcp.family

    @property
    def use_dns_cache(self) -> bool:
        """Whether answers of the resolver are kept."""
        return self._tcp.cache is not None

    def clear_dns_cache(self, host: str | None = None, port: int | None = None) -> None:
        """Forget what was resolved: all of it, or that of one host and port.

        Raises:
            ValueError: only one of host and port was given.

        """
        if (host is None) != (port is None):
            message = "either both host and port or none of them are allowed"
            raise ValueError(message)
        if self._tcp.cache is not None:
            self._tcp.cache.clear(host, port)


class UnixConnector(BaseConnector):
    """Opens connections to a Unix socket; host and port of the URL only name the peer in the request."""

    __slots__ = ("_path",)

    allowed_protocol_schema_set = BaseConnector.allowed_protocol_schema_set | {"unix"}

    def __init__(  # noqa: PLR0917  # aiohttp's signature
        self,
        path: str,
        force_close: bool = False,
        keepalive_timeout: Any = sentinel,
        limit: int = 100,
        limit_per_host: int = 0,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._path = path
        super().__init__(
            force_close=force_close,
            keepalive_timeout=keepalive_timeout,
            limit=limit,
            limit_per_host=limit_per_host,
            loop=loop,
        )

    def _dialer(self) -> Dialer:
        return UnixDialer(self._path)

    @property
    def path(self) -> str:
        """The path of the socket."""
        return self._path


class NamedPipeConnector(BaseConnector):
    """Opens connections to a named pipe of Windows, which this version does not run on."""

    __slots__ = ()

    def __init__(self, path: str, **kwargs: Any) -> None:
        message = f"Named pipes ({path!r}) need Windows and its proactor event loop; endwell runs on POSIX systems"
        raise RuntimeError(message)
