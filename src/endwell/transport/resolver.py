"""Names to addresses: getaddrinfo in threads of our own, or aiodns. Used by the connector, through the DNS cache.

The promise that shapes `ThreadedResolver` (closing contract, C6): after ``close()`` no thread of a resolver is left.
The loop's default executor cannot promise that, so each lookup has a thread of its own that ends with it.
"""

import asyncio
import collections
import functools
import socket
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from endwell.transport.address import NUMERIC, ResolveResult, check_host, is_ip_address, split_zone
from endwell.transport.errors import ResolveError

if TYPE_CHECKING:
    import aiodns

    DefaultResolver: type["AbstractResolver"]

__all__ = (
    "AbstractResolver",
    "AsyncResolver",
    "DefaultResolver",
    "ResolveResult",
    "ThreadedResolver",
)

MAX_THREADS: Final = 32
MAX_ADDRESSES: Final = 64  # of one name: a hostile DNS server could send thousands
_Key = tuple[str, int, int]
_Outcome = list[ResolveResult] | ResolveError


class AbstractResolver(ABC):
    """What turns a host name into addresses; subclass it to bring your own."""

    @abstractmethod
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of ``host``, best first, numeric; OSError when there are none."""

    @abstractmethod
    async def close(self) -> None:
        """Release everything the resolver holds; nothing of it is left when this returns."""


def _ask_system(host: str, port: int, family: int) -> _Outcome:
    """Ask getaddrinfo (blocking); never raises for what a name or a DNS server can cause."""
    try:
        # As bytes an ASCII name is passed on as it is; as str it would go through Python's own IDNA codec first.
        name: str | bytes = host.encode("ascii") if host.isascii() else host
        infos = socket.getaddrinfo(name, port, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)
    except OSError as exc:
        return ResolveError(host, port, exc.strerror or str(exc), number=exc.errno)
    except (ValueError, OverflowError) as exc:
        return ResolveError(host, port, f"not a host name ({exc})")
    found: list[ResolveResult] = []
    for kind, _, proto, _, address in infos[:MAX_ADDRESSES]:
        if kind not in (socket.AF_INET, socket.AF_INET6):
            continue
        text = str(address[0])
        if kind == socket.AF_INET6 and len(address) > 3 and address[3]:
            # A link-local address means nothing without its scope (RFC 4007 section 11); glibc may have added it.
            text = f"{split_zone(text)[0]}%{address[3]}"
        found.append(ResolveResult(hostname=host, host=text, port=port, family=kind, proto=proto, flags=NUMERIC))
    return found or ResolveError(host, port, "the name has no address of a usable family")


class _Lookup:
    """One question, the thread that asks it, and those who wait for the answer."""

    __slots__ = ("askers", "key", "loop", "thread")

    def __init__(self, key: _Key, loop: asyncio.AbstractEventLoop) -> None:
        self.key = key
        self.loop = loop
        self.thread: threading.Thread | None = None
        self.askers: dict[asyncio.Future[_Outcome], None] = {}


class ThreadedResolver(AbstractResolver):
    """Asks the system (getaddrinfo): /etc/hosts, mDNS and whatever else the machine is set up for.

    At most 32 lookups run at once, the others wait in line; askers of the same name share one. A lookup cannot be
    stopped: when its asker is cancelled it runs on in its thread until getaddrinfo returns, and `close` waits for it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        # `loop` is aiohttp's argument; the loop that runs is the one that counts.
        self._closed = False
        self._running: dict[_Key, _Lookup] = {}
        self._waiting: collections.OrderedDict[_Key, _Lookup] = collections.OrderedDict()
        self._closers: list[asyncio.Future[None]] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of ``host`` in the order of the system (RFC 6724).

        Raises ResolveError (an OSError) when there are none, ValueError when ``host`` cannot be one, RuntimeError after
        `close`. When cancelled, the lookup runs on but nobody waits for it; one that had not started never will.
        """
        check_host(host)
        if self._closed:
            raise RuntimeError("the resolver is closed; make a new one")
        key = (host, port, int(family))
        loop = asyncio.get_running_loop()
        lookup = self._running.get(key) or self._waiting.get(key)
        if lookup is None or lookup.loop is not loop:
            lookup = _Lookup(key, loop)
            self._waiting[key] = lookup
            self._start_waiting()
        asker: asyncio.Future[_Outcome] = loop.create_future()
        lookup.askers[asker] = None
        try:
            outcome = await asker
        finally:
            lookup.askers.pop(asker, None)
            if not lookup.askers and self._waiting.get(key) is lookup:
                del self._waiting[key]
        if isinstance(outcome, ResolveError):
            raise outcome.again()
        return [ResolveResult(**each) for each in outcome]

    def _start_waiting(self) -> None:
        while self._waiting and len(self._running) < MAX_THREADS:
            key, lookup = self._waiting.popitem(last=False)
            while key in self._running:  # the same question on behalf of a loop that has ended
                key = (*key[:2], key[2] + 1000)
            lookup.thread = threading.Thread(
                target=self._ask, args=(key, lookup), name=f"resolve {key[0]}", daemon=True
            )
            self._running[key] = lookup
            try:
                lookup.thread.start()
            except RuntimeError as exc:  # no more threads to be had
                self._finished(key, lookup, ResolveError(key[0], key[1], f"no thread for the lookup ({exc})"))

    def _ask(self, key: _Key, lookup: _Lookup) -> None:
        """Run in the thread."""
        outcome = _ask_system(*lookup.key)
        try:
            lookup.loop.call_soon_threadsafe(self._finished, key, lookup, outcome)
        except RuntimeError:  # the loop has ended meanwhile, and everybody who waited with it
            self._running.pop(key, None)

    def _finished(self, key: _Key, lookup: _Lookup, outcome: _Outcome) -> None:
        thread = lookup.thread
        if thread is not None and thread.ident is not None:
            thread.join()  # it has nothing left to do but to end
        self._running.pop(key, None)
        for asker in lookup.askers:
            if not asker.done():
                asker.set_result(outcome)
        self._start_waiting()
        if not self._running:
            for closer in self._closers:
                if not closer.done():
                    closer.set_result(None)

    async def close(self) -> None:
        """Refuse new lookups, fail those that wait in line, and wait until the running ones have ended.

        Idempotent. When cancelled, what still runs is left to end by itself; `pending` names it.
        """
        self._closed = True
        while self._waiting:
            key, lookup = self._waiting.popitem()
            for asker in lookup.askers:
                if not asker.done():
                    asker.set_result(ResolveError(key[0], key[1], "the resolver was closed"))
        loop = asyncio.get_running_loop()
        while self._running and any(lookup.loop is loop for lookup in self._running.values()):
            closer: asyncio.Future[None] = loop.create_future()
            self._closers.append(closer)
            try:
                await closer
            finally:
                self._closers.remove(closer)


@functools.cache
def _on_the_loop() -> "type[aiodns.DNSResolver]":
    """Return aiodns' resolver with its sockets watched by the event loop.

    By default c-ares watches them in a thread of its own; that thread, with its epoll and inotify descriptors, is
    destroyed some time after ``close()``, by yet another thread. On the loop, cancelling the questions closes every
    socket at once, and only memory is left to be freed.
    """
    import aiodns
    import pycares

    class LoopResolver(aiodns.DNSResolver):
        def _make_channel(self, **kwargs: Any) -> tuple[bool, pycares.Channel]:
            myself = weakref.ref(self)  # the channel must not keep its resolver alive

            def changed(fd: int, readable: bool, writable: bool) -> None:
                resolver = myself()
                if resolver is not None:
                    resolver._sock_state_cb(fd, readable, writable)

            return False, pycares.Channel(sock_state_cb=changed, timeout=self._timeout, **kwargs)

    return LoopResolver


class AsyncResolver(AbstractResolver):
    """Asks DNS servers itself, by aiodns (the extra ``dns``); arguments go to ``aiodns.DNSResolver``."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None, *args: Any, **kwargs: Any) -> None:
        try:
            import aiodns
        except ImportError as exc:
            raise RuntimeError("AsyncResolver needs aiodns; install it with: pip install 'endwell[dns]'") from exc
        self._failures: tuple[type[Exception], ...] = (aiodns.error.DNSError,)
        make: Any = _on_the_loop()
        self._channel: aiodns.DNSResolver | None = make(*args, loop=loop, **kwargs)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of ``host`` as the DNS answers; errors and cancellation as in `ThreadedResolver`."""
        check_host(host)
        if self._channel is None:
            raise RuntimeError("the resolver is closed; make a new one")
        try:
            answer = await self._channel.getaddrinfo(
                host, port=port, type=socket.SOCK_STREAM, family=family, flags=socket.AI_ADDRCONFIG
            )
        except self._failures as exc:
            number, reason = (*exc.args, None, None)[:2]
            raise ResolveError(host, port, str(reason or exc), number=number) from exc
        found: list[ResolveResult] = []
        for node in answer.nodes[:MAX_ADDRESSES]:
            raw = node.addr[0]
            text = raw.decode("ascii", "replace") if isinstance(raw, bytes) else str(raw)
            if not is_ip_address(text):
                continue
            if node.family == socket.AF_INET6 and len(node.addr) > 3 and node.addr[3]:
                text = f"{split_zone(text)[0]}%{node.addr[3]}"
            found.append(
                ResolveResult(
                    hostname=host, host=text, port=port, family=node.family, proto=socket.IPPROTO_TCP, flags=NUMERIC
                )
            )
        if not found:
            raise ResolveError(host, port, "the name has no address of a usable family")
        return found

    async def close(self) -> None:
        """End every question and close the channel with its sockets and thread. Idempotent."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    def abort(self) -> None:
        """Close the channel with its sockets, now; questions under way end as cancelled. Idempotent."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.cancel()
            channel._channel.close()  # what its close() does first, without waiting


def default_resolver() -> Callable[[], AbstractResolver]:
    """Return the class to use when the user names none: `AsyncResolver` where aiodns is installed (not imported)."""
    from importlib.util import find_spec

    return AsyncResolver if find_spec("aiodns") is not None else ThreadedResolver


def __getattr__(name: str) -> Any:
    if name == "DefaultResolver":
        globals()[name] = chosen = default_resolver()
        return chosen
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
