"""The connections of one connector: owned, handed out and taken back as the pool decides (closing.md C6, C11, C16)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from endwell.client.errors import PoolTimeoutError
from endwell.client.exchange import ClientExchange
from endwell.client.opening import Dialer, Opening
from endwell.client.pool import Decision, Pool
from endwell.connection.http1 import ClientConnection
from endwell.lifetime import Owner, State, guard
from endwell.transport.cork import Cork

if TYPE_CHECKING:
    from endwell.client.request import ClientRequest
    from endwell.lifetime import Work

__all__ = ("Connection", "ConnectorCore")


class ConnectorCore(Owner):
    """Owns the connections of one connector."""

    __slots__ = ("_name", "_sweep", "cork", "dialer", "force_close", "holders", "pool", "ssl_shutdown_timeout")

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
        self.cork = Cork(loop)
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

    def keeper(self) -> Owner | None:
        """See `Owner.keeper`: one of the sessions."""
        return next(iter(self.holders), None)

    def busy(self) -> list[Work]:
        """Give the exchanges that are served, or wait to be."""
        served = [node.exchange for node in self.children or () if isinstance(node, ClientConnection)]
        opening = [node.exchange for node in self.children or () if isinstance(node, Opening)]
        work = dict.fromkeys([*served, *opening, *self.pool.waiters()])
        return [exchange for exchange in work if isinstance(exchange, ClientExchange)]

    # Handing out

    async def acquire(
        self, request: ClientRequest, exchange: ClientExchange, now: float, decision: ClientConnection | Decision
    ) -> ClientConnection:
        """Give a connection that can carry the request, after the pool's first `decision`; the exchange has its slot.

        Raises:
            ClientConnectorError: none could be opened.
            ServerTimeoutError: it took longer than ``connect`` or ``sock_connect``.

        """
        key = request.key
        pool = self.pool
        traces = request.traces
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
                    self.put_back(decision)
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
            message = (
                f"Connection timeout to host {request.url.with_query(None)}: no free connection within "
                f"connect={request.options.timeout.connect} s; limit={pool.limit}, "
                f"limit_per_host={pool.limit_per_host}"
            )
            raise PoolTimeoutError(message, holders=holders) from error
        finally:
            pool.give_up(exchange, key)
            if granted is None and (late := exchange.late_grant()) is not None:
                # The slot came in the same pass of the loop as the cancellation.
                if isinstance(late, ClientConnection):
                    self.put_back(late)
                else:
                    self._leave(key)
        assert granted is not None
        if exchange.error is not None:  # the deadline passed in the same pass of the loop
            if isinstance(granted, ClientConnection):
                self.put_back(granted)
            else:
                self._leave(key)
            raise exchange.error
        return granted

    def take_back(self, connection: ClientConnection, *, reusable: bool) -> None:
        """Take a connection back from its exchange."""
        if connection.finished() and reusable and not self.force_close:
            self._keep(connection)  # the walk of a closing that is under way closes it
        elif reusable:
            connection.close()
        else:
            connection.discard()
        pool = self.pool
        pool.leave(connection.key)
        if pool.queued:
            self._serve(connection.key)

    def lost(self, connection: ClientConnection) -> None:
        """Note that an idle connection is of no more use."""
        self.pool.remove(connection)

    def put_back(self, connection: ClientConnection) -> None:
        """Take back a connection that was handed out and not used."""
        if connection.transport is not None and not connection.transport.is_closing():
            self._keep(connection)
        else:
            connection.close()
        self._leave(connection.key)

    def freed(self, connection: ClientConnection) -> None:
        """Note the end of a connection that was handed out and is not going to be put back: its slot is free."""
        self._leave(connection.key)

    def _keep(self, connection: ClientConnection) -> None:
        self.pool.put(connection, self.loop.time())
        if self._sweep is None and self.state is State.OPEN:
            self._sweep = self.loop.call_later(self.pool.keepalive, self._close_expired)

    def _leave(self, key: Any) -> None:
        """Give a slot back, to the next in line if there is one."""
        self.pool.leave(key)
        self._serve(key)

    def _serve(self, key: Any) -> None:
        pool = self.pool
        while (granted := pool.grant(key, self.loop.time())) is not None:
            exchange, decision = granted
            if exchange.grant(decision):
                return
            if isinstance(decision, ClientConnection):
                self._keep(decision)
            key = exchange.request.key
            pool.leave(key)

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
        nodes = [node for node in self.children or () if isinstance(node, ClientConnection)]
        lines += [node.websocket.name for node in nodes if node.websocket is not None]
        return [*lines[:10], f"and {len(lines) - 10} more"] if len(lines) > 10 else lines

    # Closing

    def let_go(self, holder: Owner) -> bool:
        """Note that a session does not use this any more; tell whether it was the last that would close it."""
        return self.holders.pop(holder, False) is None and not self.holders

    def _stop_sweeping(self) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    def _stop(self) -> None:
        self._stop_sweeping()

    async def _finish(self) -> None:
        if self.dialer is not None:
            await self.dialer.finish()

    def _abort(self, reason: str) -> None:
        self._stop_sweeping()
        if self.dialer is not None:
            self.dialer.abort()
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
            self._core.put_back(connection)
