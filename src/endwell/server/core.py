"""What must be closed of a server: listeners, connections, requests in flight, tasks (closing.md C13)."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, TypeVar

from endwell.connection.served import Times
from endwell.connection.serving import ServerConnection, peer_of
from endwell.http import hdrs
from endwell.http.codings import CodingError, Decoder, MissingCodingError, UnknownCodingError, make_decoder
from endwell.lifetime import CloseReport, Deadlines, Origin, Owner, Starter, State, caller, close, guard, stop
from endwell.lifetime.deadline import GRANULARITY
from endwell.lifetime.tasks import retrieve, spawn
from endwell.server.exchange import Exchange
from endwell.server.handler import serve
from endwell.wire.http1 import Limits, ProtocolError

if TYPE_CHECKING:
    from endwell.connection.body import BodyStream
    from endwell.server.access_log import AbstractAccessLogger
    from endwell.server.proxied import TrustedProxies
    from endwell.server.request import BaseRequest
    from endwell.server.response import StreamResponse
    from endwell.transport.accepted import Accepted
    from endwell.wire.http1.request_head import RequestHead

__all__ = ("ServerCore", "access_logger", "server_logger")

_T = TypeVar("_T")
_INTERNET: Final = (socket.AF_INET, socket.AF_INET6)
_LOOK: Final = 0.02
_HERE: Final = Origin(None, 0)
_TOLD_AGAIN: Final = 10.0
_CODING_KEY: Final = b"\r\n" + hdrs.CONTENT_ENCODING.lower().encode() + b":"

access_logger = logging.getLogger("endwell.access")
server_logger = logging.getLogger("endwell.server")


class ServerCore(Owner):
    """The server as the tree of owners knows it.

    Attributes:
        handle: gives the response to a request.
        make_request: makes the request of an exchange.
        make_exchange: makes the exchange of a request.
        serve: serves an exchange, from its beginning to its end.
        connections: those that are open.
        end_app: ends what is served; set while nobody else is going to do that.
        face: the runner, kept while it listens.
        handshakes: the TLS handshakes that are under way; each counts as a connection.
        has_prepare_hooks: whether anybody may want to see a response before it is sent.
        leaving: the connections whose last bytes are waited for.
        proxies: who is believed about the client, None when nobody is.
        served: requests so far.

    """

    __slots__ = (
        "_told_full", "access_log", "auto_decompress", "connections", "debug", "decompress_limit", "decompress_ratio",
        "end_app", "face", "handle", "handler_cancellation", "handshakes", "has_prepare_hooks", "heads",
        "keepalive_requests", "known",
        "leaving", "limits", "logger", "make_exchange", "make_request", "max_connections", "name", "proxies",
        "read_bufsize",
        "serve", "served", "starter", "tcp_keepalive", "times", "watch",
    )  # fmt: skip

    kind = "server"

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        handle: Callable[[Any], Awaitable[StreamResponse]],
        make_request: Callable[[Any], BaseRequest],
        *,
        name: str,
        shutdown_timeout: float | None = 60.0,
        access_log: AbstractAccessLogger | None = None,
        logger: logging.Logger = server_logger,
        debug: bool = False,
        limits: Limits | None = None,
        times: Times | None = None,
        read_bufsize: int = 2**18,
        auto_decompress: bool = True,
        decompress_limit: int | None = 2**30,
        decompress_ratio: float | None = 200.0,
        handler_cancellation: bool = False,
        keepalive_requests: int = 0,
        max_connections: int = 10_000,
        tcp_keepalive: bool = True,
        proxies: TrustedProxies | None = None,
    ) -> None:
        super().__init__(loop, close_timeout=shutdown_timeout, advice="write: await runner.cleanup()")
        self.name = name
        self.handle = handle
        self.make_request = make_request
        self.make_exchange: Callable[..., Exchange] = Exchange
        self.serve: Callable[[Any, Any], Coroutine[Any, Any, None]] = serve
        self.access_log = access_log
        self.logger = logger
        self.debug = debug
        self.limits = limits or Limits()
        self.times = times or Times()
        self.read_bufsize = read_bufsize
        self.auto_decompress = auto_decompress
        self.decompress_limit = decompress_limit
        self.decompress_ratio = decompress_ratio
        self.handler_cancellation = handler_cancellation
        self.keepalive_requests = keepalive_requests if keepalive_requests > 0 else sys.maxsize
        self.max_connections = max_connections
        self._told_full = -_TOLD_AGAIN
        self.tcp_keepalive = tcp_keepalive
        self.proxies = proxies
        self.end_app: Callable[[], Awaitable[None]] | None = None
        self.face: object = None
        self.has_prepare_hooks = False
        self.heads: dict[bytes, RequestHead] = {}
        self.known: dict[bytes, RequestHead] = {}
        self.watch: Deadlines[ServerConnection] = Deadlines(loop, max(GRANULARITY, self.times.granularity))
        self.connections: dict[ServerConnection, None] = {}
        self.handshakes: dict[Accepted, None] = {}
        self.leaving: dict[Accepted, None] = {}
        self.served = 0
        self.starter = Starter(self)
        guard(self)

    def describe(self) -> str:
        """See `Resource.describe`."""
        return self.name

    def connection(self) -> ServerConnection:
        """Make what serves one accepted connection."""
        return ServerConnection(self, self.loop, self)

    # For those who listen by themselves: ``await loop.create_server(runner.server, host, port)``

    def __call__(self) -> ServerConnection:
        """Make what serves one accepted connection."""
        return self.connection()

    @property
    def requests_count(self) -> int:
        """The requests so far."""
        return self.served

    def pre_shutdown(self) -> None:
        """Close the connections that idle, and each of the others after its answer; `shutdown` is to follow."""
        stop(self)

    async def shutdown(self, timeout: float | None = None) -> CloseReport:
        """Close all connections; return what was done.

        Args:
            timeout: seconds that requests in flight have to end, None for as long as they like.

        Cancelled, it aborts what is left.
        """
        return await close(self, timeout=timeout, at=caller())

    def create_task(self, coro: Coroutine[Any, Any, _T], *, name: str | None, origin: Origin) -> asyncio.Task[_T]:
        """Start a task that the closing of the server awaits, then cancels; an error nobody looks at is logged.

        Raises:
            RuntimeError: the server has ended, or is the one of the parent process.

        """
        if self.state is State.CLOSED or self.state is State.FOREIGN:
            coro.close()
            self.check_loop()
            message = f"{self.name} has ended; a task that nobody awaits could not end well any more"
            raise RuntimeError(message)
        task = spawn(self, coro, origin=origin, name=name)
        task.add_done_callback(lambda task: retrieve(self, task, self._task_failed))
        return task

    # What a connection asks and tells: see `connection.serving.Serving`

    def made(self, connection: ServerConnection) -> bool:
        """See `Serving.made`."""
        if self._is_full(connection):
            return False
        self.connections[connection] = None
        if self.tcp_keepalive:
            sock = connection.get_extra_info("socket")
            if sock is not None and sock.family in _INTERNET:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return True

    def shakes(self, handshake: Accepted) -> bool:
        """See `transport.listener.Gate`."""
        if self._is_full(handshake):
            return False
        self.handshakes[handshake] = None
        return True

    def shook(self, handshake: Accepted) -> None:
        """See `transport.listener.Gate`."""
        self.handshakes.pop(handshake, None)

    def _is_full(self, connection: Accepted) -> bool:
        """Tell whether this connection is one too many, and log it; a flood of them is not to be a flood of lines."""
        most = self.max_connections
        if len(self.connections) + len(self.handshakes) < most:
            return False
        now = self.loop.time()
        if now - self._told_full >= _TOLD_AGAIN:
            self._told_full = now
            text = "A connection from %s was refused: max_connections=%d are open; not said again for %d s"
            self.logger.warning(text, peer_of(connection), most, _TOLD_AGAIN)
        return True

    def lost(self, connection: ServerConnection) -> None:
        """See `Serving.lost`."""
        self.connections.pop(connection, None)
        if self.leaving:
            self.leaving.pop(connection, None)

    def see_off(self, connection: Accepted) -> None:
        """See `Serving.see_off`."""
        if connection not in self.leaving and self.state is not State.CLOSED:
            self.leaving[connection] = None
            name = f"the rest of an answer to {peer_of(connection)}"
            spawn(self, _last_bytes(connection), origin=_HERE, name=name, counts=False)

    def begin(self, connection: ServerConnection, head: RequestHead, incoming: BodyStream | None, whole: bytes) -> None:
        """See `Serving.begin`."""
        exchange = self.make_exchange(self, connection, head, incoming, whole)
        if connection.served >= self.keepalive_requests:
            exchange.keep_alive = False
        if self.proxies is not None:
            exchange.proxied = self.proxies.origin(connection, head)
        connection.exchange = exchange
        self.served += 1
        task = self.starter.start(self.serve(self, exchange), _HERE)
        if task is not None:
            exchange.asker = task
            self.work[exchange] = None

    def decoder(self, head: RequestHead) -> Decoder | None:
        """See `Serving.decoder`; a coding that is not known here is the handler's to undo."""
        if not self.auto_decompress or _CODING_KEY not in head.lower:
            return None
        coding = b", ".join(head.every(_CODING_KEY)).decode("latin-1")
        try:
            return make_decoder(coding, limit=self.decompress_limit, ratio=self.decompress_ratio)
        except (UnknownCodingError, MissingCodingError):
            return None
        except CodingError as error:
            message = f"Too many content codings: {error}"
            raise ProtocolError(message, "body", 415) from error

    def refuse(self, connection: ServerConnection, error: ProtocolError) -> bytes:
        """See `Serving.refuse`."""
        from endwell.server.handler import refusal

        return refusal(self, connection, error)

    def too_slow(self, what: str) -> Exception:
        """See `Serving.too_slow`."""
        from endwell.server.errors import HTTPRequestTimeout

        return HTTPRequestTimeout(text=f"408: Request Timeout ({what})")

    # What the closing walk calls

    async def _finish(self) -> None:
        await asyncio.wait([self.starter.end()])
        end_app, self.end_app = self.end_app, None
        if end_app is not None:
            await end_app()

    def _abort(self, reason: str) -> None:
        if not self.loop.is_closed():
            self.starter.end()

    def ended(self) -> None:
        """See `Owner.ended`."""
        self.watch.stop()
        self.face = None
        super().ended()

    def _task_failed(self, task: asyncio.Task[Any], error: BaseException, origin: Origin) -> None:
        if isinstance(error, Exception):  # the others have left the loop already: GracefulExit
            self.logger.error("The task %r, started at %s, failed", task.get_name(), origin, exc_info=error)


async def _last_bytes(connection: Accepted) -> None:
    """Return when the operating system has all that was sent on a connection, or the connection is gone.

    This looks again and again: no layer of TLS tells when the layer below it has sent everything.
    """
    gone = connection.gone()
    while gone is not None and not gone.done() and connection.unsent():
        await asyncio.wait([gone], timeout=_LOOK)
