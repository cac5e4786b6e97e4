"""Ports for test servers: a socket that is bound keeps its port, a number alone may be taken by somebody else."""

from __future__ import annotations

import os
import socket

__all__ = ("get_port_socket", "get_unused_port_socket", "unused_port")


def get_port_socket(host: str, port: int, family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
    """Give a TCP socket that is bound and does not listen yet; whoever asked for it closes it.

    Args:
        host: an address of this machine, or a name of one.
        port: 0 for one that nobody uses.
        family: of the address.

    Raises:
        OSError: the address can't be had.

    """
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            # A port that was in use a moment ago can be had again. On Windows the option would let two have the same.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"Cannot listen on {host}, port {port}: {error.strerror}") from error
    return sock


def get_unused_port_socket(host: str, family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
    """Give a TCP socket that is bound to a port nobody uses. See `get_port_socket`."""
    return get_port_socket(host, 0, family)


def unused_port() -> int:
    """Give the number of a port of 127.0.0.1 that nobody uses now; a moment later somebody may.

    A server that is given no port finds one of its own without that risk.
    """
    with get_unused_port_socket("127.0.0.1") as sock:
        return int(sock.getsockname()[1])
