"""Connecting sockets: TCP by Happy Eyeballs (RFC 8305) and Unix. Used by the connectors and the proxies.

What comes out is a connected, non-blocking socket; what is cancelled or fails leaves none behind.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Sequence

from endwell.transport.address import AddrInfo, Deny, addr_infos, denied, is_ip_address, literal_addresses
from endwell.transport.errors import DialDeniedError, DialError, host_port

SocketFactory = Callable[[AddrInfo], socket.socket]


def _shown(info: AddrInfo) -> str:
    return host_port(str(info[4][0]), int(info[4][1]))


def _local_infos(local_addr: tuple[str, int]) -> list[AddrInfo]:
    host, port = local_addr[:2]
    results = literal_addresses(host, port)
    if results is None:
        raise ValueError(f"local_addr names {host!r}; give a numeric address of this machine")
    return addr_infos(results)


def _tune(sock: socket.socket) -> None:
    """Send small writes at once, and notice a peer that is gone without a word."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError:
        pass  # a socket_factory may have made something that has no such options


def _cancellations() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


def permitted(infos: Sequence[AddrInfo], deny: Deny, host: str, port: int) -> list[AddrInfo]:
    """Return the addresses that a policy does not refuse; DialDeniedError when there are none."""
    allowed = [info for info in infos if not denied(str(info[4][0]), deny)]
    if not allowed:
        raise DialDeniedError(host, port, tuple(str(info[4][0]) for info in infos))
    return allowed


async def open_tcp(  # long: one attempt with everything that can go wrong in it
    infos: Sequence[AddrInfo],
    *,
    host: str = "",
    port: int = 0,
    local_addr: tuple[str, int] | None = None,
    happy_eyeballs_delay: float | None = 0.25,
    interleave: int | None = None,
    socket_factory: SocketFactory | None = None,
) -> socket.socket:
    """Connect to the first of ``infos`` that answers; returns a non-blocking socket with TCP_NODELAY and keepalive.

    ``host`` and ``port`` name the peer in errors. ``happy_eyeballs_delay`` seconds after an attempt the next one starts
    beside it (None: one after the other); ``interleave`` mixes the families (RFC 8305 section 4). The time is
    bounded by the caller.

    Raises DialError (an OSError) with every address tried; ValueError for a ``local_addr``
    that is not numeric. When cancelled, every socket that was opened is closed.
    """
    if not infos:
        raise DialError(host, port, "there is no address to connect to")
    from aiohappyeyeballs import start_connection

    opened: list[socket.socket] = []
    attempts: list[str] = []

    def make(info: AddrInfo) -> socket.socket:
        attempts.append(_shown(info))
        sock = socket.socket(info[0], info[1], info[2]) if socket_factory is None else socket_factory(info)
        opened.append(sock)
        return sock

    local = _local_infos(local_addr) if local_addr is not None else None
    before = _cancellations()
    winner: socket.socket | None = None
    try:
        connected = await start_connection(
            infos,
            local_addr_infos=local,
            happy_eyeballs_delay=happy_eyeballs_delay,
            interleave=interleave,
            socket_factory=make,
        )
        if _cancellations() > before:
            # The race suppresses a cancellation that arrives while it waits for the losers to end.
            raise asyncio.CancelledError
        _tune(connected)
        winner = connected
    except (OSError, RuntimeError) as exc:  # uvloop has RuntimeErrors for what are OSErrors elsewhere
        reason = (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
        number = exc.errno if isinstance(exc, OSError) else None
        raise DialError(host, port, reason, attempts=tuple(attempts), number=number) from exc
    finally:
        for sock in opened:
            if sock is not winner:
                sock.close()
    return winner


async def open_unix(path: str | bytes | os.PathLike[str]) -> socket.socket:
    """Connect to the Unix socket at ``path``; returns a non-blocking socket.

    Raises DialError (an OSError) with the operating system's ``errno``. When cancelled, the socket is closed.
    """
    address = os.fspath(path)
    shown = address if isinstance(address, str) else os.fsdecode(address)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connected = False
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
        connected = True
    except OSError as exc:
        raise DialError(shown, 0, exc.strerror or str(exc), number=exc.errno) from exc
    finally:
        if not connected:
            sock.close()
    return sock


__all__ = ("SocketFactory", "is_ip_address", "literal_addresses", "open_tcp", "open_unix", "permitted")
