"""The listening sockets of a service: bound once by the supervisor, and kept for its whole life.

Workers inherit them, so connections wait in the queue of the kernel while a worker is replaced: none is refused.

On Linux each worker slot has a TCP socket of its own (SO_REUSEPORT). The kernel then deals connections out evenly,
which workers that accept from one socket do not: asyncio accepts all that wait at once. Of 50 connections opened
together two workers got 25 each, give or take 5; from one socket, one of them mostly got all 50. What the kernel has
dealt to a slot stays with it: while a slot has no worker, the worker of another one accepts from its socket too
(`service.slots.coverage`). Elsewhere, and for Unix sockets and those that are given, all workers share one.

The first socket of an address is bound without SO_REUSEPORT, which is set only then: or a second service on the same
port would quietly get a part of our connections instead of an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import sys
from typing import Any, Final

from endwell.lifetime import Resource, State
from endwell.service.errors import ServiceError
from endwell.service.logs import logger
from endwell.service.plan import ServicePlan
from endwell.transport.listener import remove_stale_socket  # one rule for whose socket may be removed

__all__ = ("PATIENCE", "Sockets", "bind", "bind_unix", "same_file", "unlink_ours")

PATIENCE: Final = 1.5
"""Seconds that an address in use is tried again: workers of a supervisor that was killed are about to let go of it."""

_PAUSE: Final = 0.05
_KERNEL_BALANCES: Final = sys.platform == "linux"
_NO_FAMILY: Final = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)
_ATTEMPTS: Final = 5


class Sockets(Resource):
    """The sockets, and what there is to remove at the end.

    Attributes:
        shared: those that all workers accept from.
        own: those that only the worker of a slot accepts from, for each slot.
        names: of the addresses, for people.

    """

    __slots__ = ("_paths", "names", "own", "shared")

    kind = "listening sockets"

    def __init__(self, owner: Resource, slots: int) -> None:
        super().__init__(owner)
        self.shared: list[socket.socket] = []
        self.own: list[list[socket.socket]] = [[] for _ in range(slots)]
        self.names: list[str] = []
        self._paths: list[tuple[str, tuple[int, int] | None]] = []

    def describe(self) -> str:
        """See `Resource.describe`."""
        return f"listening sockets of {', '.join(self.names)}"

    def of(self, slot: int) -> list[socket.socket]:
        """Give the sockets that the worker of a slot accepts from."""
        return self.shared + self.own[slot]

    def others(self, slot: int) -> dict[int, list[socket.socket]]:
        """Give those of the other slots."""
        return {number: own for number, own in enumerate(self.own) if own and number != slot}

    def add_path(self, path: str) -> None:
        """Remove this Unix socket at the end, if it is still ours then."""
        self._paths.append((path, same_file(path)))

    def close(self) -> None:
        """Close all of them, and remove the Unix sockets. Idempotent."""
        if self.state in (State.CLOSED, State.FOREIGN):
            return
        for sock in [*self.shared, *(sock for own in self.own for sock in own)]:
            sock.close()
        for path, inode in self._paths:
            unlink_ours(path, inode)
        self._paths.clear()
        self.ended()

    def _stop(self) -> None:
        self.close()  # as a listener does: from here on new connections are refused

    def _abort(self, reason: str) -> None:
        self.close()


async def bind(
    owner: Resource, plan: ServicePlan, inherited: list[tuple[int, str]], *, patience: float = PATIENCE
) -> Sockets:
    """Bind, or take over, all that the plan asks for.

    Args:
        owner: the supervisor.
        plan: where to listen, and for how many workers.
        inherited: descriptors of sockets, with their names.
        patience: seconds that an address in use is tried again.

    Raises:
        ServiceError: an address cannot be had. Then nothing of it is left.

    """
    loop = asyncio.get_running_loop()
    until = loop.time() + patience
    waiting = False
    while True:
        sockets = Sockets(owner, plan.workers)
        done = False
        try:
            _unix(plan, sockets)
            _tcp(plan, sockets, default=not inherited)
            _given(plan, sockets, inherited)
            done = True
        except OSError as error:
            if error.errno != errno.EADDRINUSE or loop.time() >= until:
                raise ServiceError(str(error.strerror or error)) from error
            if not waiting:
                logger.warning("%s; trying again for %g s", error.strerror, patience)
                waiting = True
        finally:
            if not done:
                sockets.close()
        if done:
            return sockets
        await asyncio.sleep(_PAUSE)


def bind_unix(path: str, backlog: int, mode: int | None) -> socket.socket:
    """Listen on a Unix socket, which a service that was killed may have left behind.

    Args:
        path: ``@name`` for an abstract one.
        backlog: connections that wait to be accepted.
        mode: permissions, from the first moment on.

    Raises:
        OSError: it cannot be had; the text says why.

    """
    address = "\0" + path[1:] if path.startswith("@") else path
    taken = remove_stale_socket(address)
    sock = socket.socket(socket.AF_UNIX)
    bound = False
    try:
        if mode is not None and not path.startswith("@"):
            with contextlib.suppress(OSError):  # Linux makes the file with the mode of the socket; others refuse
                os.fchmod(sock.fileno(), mode)
        sock.bind(address)
        if mode is not None and not path.startswith("@"):
            os.chmod(path, mode)  # noqa: PTH101 - what the umask took away, before anybody can connect
        sock.listen(backlog)
        bound = True
    except OSError as error:
        why = taken or error.strerror or error
        raise OSError(error.errno, f"Cannot listen on the Unix socket {path!r}: {why}") from error
    finally:
        if not bound:
            sock.close()
    return sock


def same_file(path: str) -> tuple[int, int] | None:
    """Give what tells this file from another one at the same path."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a text
    except OSError:
        return None
    return found.st_dev, found.st_ino


def unlink_ours(path: str, inode: tuple[int, int] | None) -> None:
    """Remove a Unix socket unless another service has taken its path meanwhile."""
    if inode is not None and same_file(path) == inode:
        with contextlib.suppress(OSError):
            os.unlink(path)  # noqa: PTH108 - a text


def _unix(plan: ServicePlan, sockets: Sockets) -> None:
    for path in plan.unix:
        sockets.shared.append(bind_unix(path, plan.backlog, plan.unix_mode))
        if not path.startswith("@"):
            sockets.add_path(path)
        sockets.names.append(f"{_scheme(plan)}://unix:{path}:")


def _given(plan: ServicePlan, sockets: Sockets, inherited: list[tuple[int, str]]) -> None:
    for fd, name in inherited:
        try:
            # A copy: whoever tries again, or started us, still has the other one.
            sock = socket.socket(fileno=os.dup(fd))
        except OSError as error:
            raise OSError(error.errno, f"Descriptor {fd} ({name}) is not an open socket: {error.strerror}") from error
        sockets.shared.append(sock)
        if sock.type != socket.SOCK_STREAM:
            message = f"Descriptor {fd} ({name}) is not a stream socket, but one of {sock.type!r}"
            raise ServiceError(message)
        try:
            sock.listen(plan.backlog)
        except OSError as error:
            raise OSError(error.errno, f"Cannot listen on descriptor {fd} ({name}): {error.strerror}") from error
        address = sock.getsockname()
        if sock.family == socket.AF_UNIX:
            text = address.decode("utf-8", "replace") if isinstance(address, bytes) else address
            sockets.names.append(f"{_scheme(plan)}://unix:{text.replace(chr(0), '@')}:")
        else:
            sockets.names.append(_name(plan, address))


def _tcp(plan: ServicePlan, sockets: Sockets, *, default: bool) -> None:
    hosts: list[str | None] = [*plan.host]
    if not hosts and (plan.port is not None or (default and not plan.unix)):
        hosts = [None]
    port = plan.port if plan.port is not None else 8443 if plan.tls else 8080
    if not port:
        _on_any_port(plan, sockets, hosts)
        return
    addresses = _addresses(hosts, port)
    _bind_each(plan, sockets, addresses)


def _on_any_port(plan: ServicePlan, sockets: Sockets, hosts: list[str | None]) -> None:
    """Let the kernel choose one port, the same for all addresses."""
    addresses = _addresses(hosts, 0)
    for attempt in range(_ATTEMPTS):
        before = len(sockets.shared), [len(own) for own in sockets.own], len(sockets.names)
        try:
            _bind_each(plan, sockets, addresses)
        except OSError as error:  # it is taken at the next address
            if error.errno != errno.EADDRINUSE or attempt == _ATTEMPTS - 1:
                raise
            _undo(sockets.shared, before[0])
            for own, count in zip(sockets.own, before[1], strict=True):
                _undo(own, count)
            del sockets.names[before[2] :]
        else:
            return


def _undo(sockets: list[socket.socket], count: int) -> None:
    for sock in sockets[count:]:
        sock.close()
    del sockets[count:]


def _addresses(hosts: list[str | None], port: int) -> list[tuple[socket.AddressFamily, Any]]:
    """Give family and address of each, without repetition."""
    found: dict[tuple[socket.AddressFamily, Any], None] = {}
    for host in hosts:
        try:
            infos = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or error
            message = f"Cannot listen at {host!r}: {reason}"
            raise ServiceError(message) from error
        found.update(((info[0], info[4]), None) for info in infos)
    return list(found)


def _bind_each(plan: ServicePlan, sockets: Sockets, addresses: list[tuple[socket.AddressFamily, Any]]) -> None:
    absent: OSError | None = None
    before = len(sockets.names)
    port = 0
    for family, address in addresses:
        where = (address[0], port, *address[2:]) if port else address
        try:
            _bind_one(plan, sockets, family, where)
        except OSError as error:
            if error.errno not in _NO_FAMILY:
                raise
            absent = error
            logger.debug("%s", error.strerror)
        else:
            bound = (sockets.own[0] or sockets.shared)[-1]
            port = port or (0 if address[1] else bound.getsockname()[1])
    if absent is not None and len(sockets.names) == before:
        raise absent


def _bind_one(plan: ServicePlan, sockets: Sockets, family: socket.AddressFamily, address: Any) -> None:
    """Bind one address: once, or once for each slot."""
    reuse = plan.reuse_port if plan.reuse_port is not None else _KERNEL_BALANCES
    count = plan.workers if reuse and plan.workers > 1 and hasattr(socket, "SO_REUSEPORT") else 1
    made: list[socket.socket] = []
    done = False
    try:
        for _ in range(count):
            sock = socket.socket(family)
            made.append(sock)
            _prepare(sock, family)
            if len(made) > 1:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind(made[0].getsockname() if len(made) > 1 else address)
            if count > 1:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        for sock in made:
            sock.listen(plan.backlog)
        done = True
    except OSError as error:
        where = _name(plan, address)
        message = f"Cannot listen on {where}: {error.strerror or error}"
        if error.errno == errno.EADDRINUSE:
            message += "; another program listens there. End it, or choose another port"
        raise OSError(error.errno, message) from error
    finally:
        if not done:
            _undo(made, 0)
    if count == 1:
        sockets.shared += made
    else:
        for own, sock in zip(sockets.own, made, strict=True):
            own.append(sock)
    sockets.names.append(_name(plan, made[0].getsockname()))


def _prepare(sock: socket.socket, family: socket.AddressFamily) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # the IPv4 wildcard is an address of its own


def _scheme(plan: ServicePlan) -> str:
    return "https" if plan.tls else "http"


def _name(plan: ServicePlan, address: Any) -> str:
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"{_scheme(plan)}://{host}:{address[1]}"
