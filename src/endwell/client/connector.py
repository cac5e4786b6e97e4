"""Connectors: who opens connections, keeps them, and hands them out.

`ConnectorCore` owns the connections and does what the pool decides; the public connectors are faces over it. One
given to several sessions is closed with the last of them (closing.md C16).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from endwell.client.errors import PoolTimeoutError
from endwell.client.exchange import ClientExchange
from endwell.client.opening import Dialer, Opening, TcpDialer, UnixDialer
from endwell.client.options import RequestOptions, check_ssl, sentinel
from endwell.client.pool import Decision, Pool
from endwell.connection.http1 import ClientConnection
from endwell.lifetime import CloseReport, Face, Owner, State, caller, close, guard, start

if TYPE_CHECKING:
    from endwell.client.request import ClientRequest
    from endwell.lifetime import Work
    from endwell.transport.resolver import AbstractResolver

__all__ = ("BaseConnector", "Connection", "ConnectorCore", "NamedPipeConnector", "TCPConnector", "UnixConnector")

_KEEPALIVE: Final = 15.0
_SSL_SHUTDOWN: Final = 0.25


class ConnectorCore(Owner):
    """Owns the connections of one connector."""

    __slots__ = ("_name", "_sweep", "dialer", "force_close", "holders", "pool", "ssl_shutdown_timeout")

    kind = "connector"

    def __init__(
        self,
        name: str,
        loop: asyncio.AbstractEventLoop,
        dialer: Dialer | None,
        pool: Pool[ClientConnection, ClientExchange],
        *,
        force_close: bool,
        ssl_shutdown_timeout: float,
    ) -> None:
        super().__init__(
            loop,
            close_timeout=10.0,
            advice=f"write: async with {name}() as connector: ..., or give it to a session that closes it",
        )
        self._name = name
        self.dialer = dialer
        self.pool = pool
        self.force_close = force_close
        self.ssl_shutdown_timeout = ssl_shutdown_timeout
        self.holders: dict[Owner, None] = {}
        self._sweep: asyncio.TimerHandle | None = None
        guard(self)
        if dialer is not None:
            dialer.attach(self)

    def describe(self) -> str:
        """See `Resource.describe`."""
        return self._name

    def answers_for_itself(self) -> bool:
        """See `Owner.answers_for_itself`: the sessions that own it close it."""
        return self.owner is None and not self.holders

    def busy(self) -> list[Work]:
        """Give the exchanges that are served, or wait to be."""
        served = [node.exchange for node in self.children or () if isinstance(node, ClientConnection)]
        opening = [node.exchange for node in self.children or () if isinstance(node, Opening)]
        work = dict.fromkeys([*served, *opening, *self.pool.waiters()])
        return [exchange for exchange in work if isinstance(exchange, ClientExchange)]

    # Handing out

    async def acquire(self, request: ClientRequest, exchange: ClientExchange, now: float) -> ClientConnection:
        """Give a connection that can carry the request; the exchange has its slot.

        Raises:
            ClientConnectorError: none could be opened.
            ServerTimeoutError: it took longer than ``connect`` or ``sock_connect``.

        """
        key = request.key
        pool = self.pool
        traces = request.traces
        decision = pool.take(key, now)
        deadline = now + request.options.timeout.connect if request.options.timeout.connect else None
        if decision is Decision.WAIT:
            if traces is not None:
                await traces.send_connection_queued_start()
            decision = await self._queue(request, exchange, key, deadline)
            if traces is not None:
                await self._settled(traces.send_connection_queued_end(), key, decision)
        if not isinstance(decision, Decision):
            if traces is not None:
                await self._settled(traces.send_connection_reuseconn(), key, decision)
            return decision
        connection = None
        try:
            if self.dialer is None:
                message = "BaseConnector opens no connections: use TCPConnector or UnixConnector"
                raise TypeError(message)
            surplus = pool.surplus()
            if surplus is not None:
                surplus.close()
            connection = await self.dialer.open(request, exchange, deadline)
        finally:
            if connection is None:
                self._leave(key)
        return connection

    async def _settled(self, step: Awaitable[None], key: Any, decision: ClientConnection | Decision) -> None:
        """Await a tracing step while holding a slot; give the slot back when the step fails."""
        done = False
        try:
            await step
            done = True
        finally:
            if not done:
                if isinstance(decision, ClientConnection):
                    self._put_back(decision)
                else:
                    self._leave(key)

    async def _queue(
        self, request: ClientRequest, exchange: ClientExchange, key: Any, deadline: float | None
    ) -> ClientConnection | Decision:
        pool = self.pool
        pool.wait(exchange, key)
        granted: ClientConnection | Decision | None = None
        try:
            async with asyncio.timeout_at(deadline):
                granted = await exchange.granted()
        except TimeoutError as error:
            if exchange.error is not None:
                raise
            holders = tuple(self._holders())
            shown = "".join(f"\n  {line}" for line in holders)
            message = (
                f"Connection timeout to host {request.url.with_query(None)}: no free connection within "
                f"connect={request.options.timeout.connect} s; limit={pool.limit}, "
                f"limit_per_host={pool.limit_per_host}, held by:{shown}"
            )
            raise PoolTimeoutError(message, holders=holders) from error
        finally:
            pool.give_up(exchange, key)
            if granted is None and (late := exchange.late_grant()) is not None:
                # The slot came in the same pass of the loop as the cancellation.
                if isinstance(late, ClientConnection):
                    self._put_back(late)
                else:
                    self._leave(key)
        assert granted is not None
        return granted

    def release(self, connection: ClientConnection, *, reusable: bool) -> None:
        """Take a connection back from its exchange."""
        key = connection.key
        if connection.finished() and reusable and not self.force_close:
            self._keep(connection)  # the walk of a closing that is under way closes it
        elif reusable:
            connection.close()
        else:
            connection.discard()
        self._leave(key)

    def lost(self, connection: ClientConnection) -> None:
        """Note that an idle connection is of no more use."""
        self.pool.remove(connection)

    def _put_back(self, connection: ClientConnection) -> None:
        """Take back a connection that was handed out and not used."""
        if connection.state is State.OPEN:
            self._keep(connection)
        else:
            connection.close()
        self._leave(connection.key)

    def _keep(self, connection: ClientConnection) -> None:
        self.pool.put(connection, self.loop.time())
        if self._sweep is None and self.state is State.OPEN:
            self._sweep = self.loop.call_later(self.pool.keepalive, self._close_expired)

    def _leave(self, key: Any) -> None:
        pool = self.pool
        pool.leave(key)
        while (granted := pool.grant(key, self.loop.time())) is not None:
            exchange, decision = granted
            if exchange.grant(decision):
                return
            if isinstance(decision, ClientConnection):
                self.pool.put(decision, self.loop.time())
            pool.leave(key := exchange.request.key)

    def _close_expired(self) -> None:
        self._sweep = None
        now = self.loop.time()
        for connection in self.pool.expired(now):
            connection.close()
        if (oldest := self.pool.oldest) is not None:
            self._sweep = self.loop.call_at(oldest + self.pool.keepalive, self._close_expired)

    def _holders(self) -> list[str]:
        """Say who has the connections, for whoever waited in vain (closing.md C11)."""
        waiting = set(self.pool.waiters())
        lines = [f"{work.describe()}, asked for at {work.origin}" for work in self.busy() if work not in waiting]
        return [*lines[:10], f"and {len(lines) - 10} more"] if len(lines) > 10 else lines

    # Closing

    def let_go(self, holder: Owner) -> bool:
        """Note that a session does not use this any more; tell whether it was the last that would close it."""
        return self.holders.pop(holder, False) is None and not self.holders

    def _stop(self) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        if self.dialer is not None:
            self.dialer.stop()

    async def _finish(self) -> None:
        if self.dialer is not None:
            await self.dialer.finish()

    def _abort(self, reason: str) -> None:
        self._stop()
        for connection in self.pool.idle():
            self.pool.remove(connection)


class Connection:
    """A connection that `BaseConnector.connect` gave: give it back by `release` or `close`."""

    __slots__ = ("_core", "_exchange", "protocol")

    def __init__(self, core: ConnectorCore, connection: ClientConnection) -> None:
        self._core = core
        self.protocol: ClientConnection | None = connection

    @property
    def transport(self) -> asyncio.Transport | None:
        """The transport, None when the connection was given back."""
        return None if self.protocol is None else self.protocol.transport

    @property
    def closed(self) -> bool:
        """Whether it was given back or lost."""
        return self.protocol is None or self.protocol.state is State.CLOSED

    def close(self) -> None:
        """Close it."""
        connection, self.protocol = self.protocol, None
        if connection is not None:
            connection.discard()
            self._core._leave(connection.key)

    def release(self) -> None:
        """Give it back."""
        connection, self.protocol = self.protocol, None
        if connection is not None:
            self._core._put_back(connection)


class _Closing:
    """What `close()` of a connector returns: the closing goes on whether or not it is awaited."""

    __slots__ = ("_report", "_task")

    def __init__(self, task: asyncio.Task[CloseReport] | None, report: CloseReport | None) -> None:
        self._task = task
        self._report = report

    def __await__(self) -> Generator[Any, None, CloseReport]:
        if self._task is not None:
            return (yield from self._task.__await__())
        assert self._report is not None
        return self._report


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
        try:
            connection = await core.acquire(req, exchange, core.loop.time())
        finally:
            exchange.dropped()
        return Connection(core, connection)

    def close(self, *, abort_ssl: bool = False) -> Awaitable[CloseReport]:
        """Close all connections; what is returned can be awaited and gives a `CloseReport`.

        Exchanges in flight may finish, as by `ClientSession.close`. With `abort_ssl` they may not, and TLS goodbyes are
        left out.
        """
        core = self._core
        if core.report is not None:
            return _Closing(None, core.report)
        core.check_loop()
        closing = close(core, timeout=0 if abort_ssl else core.close_timeout, at=caller())
        return _Closing(start(core.loop, closing, f"endwell: closing of {core.describe()}"), None)


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

    The others are those of `BaseConnector`; verify_ssl, fingerprint and ssl_context are deprecated for ssl.

    """

    __slots__ = ("_tcp",)

    def __init__(
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

    def __init__(
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
