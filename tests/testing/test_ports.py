"""Ports: bound sockets keep theirs, and what can't be had is told."""

from __future__ import annotations

import socket

import pytest

from endwell.test_utils import get_port_socket, get_unused_port_socket, unused_port


def test_a_number_that_can_be_had() -> None:
    number = unused_port()
    with get_port_socket("127.0.0.1", number, socket.AF_INET) as sock:
        assert sock.getsockname() == ("127.0.0.1", number)


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_a_socket_that_does_not_listen_yet(host: str, family: socket.AddressFamily) -> None:
    with get_unused_port_socket(host, family) as sock:
        assert sock.family == family
        assert sock.type == socket.SOCK_STREAM
        assert sock.getsockname()[0] == host
        with socket.socket(family) as client, pytest.raises(ConnectionRefusedError):
            client.connect(sock.getsockname())


def test_a_port_that_is_taken() -> None:
    with get_unused_port_socket("127.0.0.1") as sock:
        sock.listen()
        port = sock.getsockname()[1]
        with pytest.raises(OSError, match=rf"Cannot listen on 127\.0\.0\.1, port {port}: Address already in use"):
            get_port_socket("127.0.0.1", port)
