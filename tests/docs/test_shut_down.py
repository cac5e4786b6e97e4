"""What `docs/how-to/shut-down.md` says of a socket that somebody else keeps open: no connection is ever refused."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests.docs.blocks import ROOT, blocks_of

SECONDS = 30


def _run(program: Path, sock: socket.socket) -> subprocess.Popen[str]:
    """Start a program with the socket as its descriptor 3, as systemd does."""
    code = f"import os, sys; os.dup2({sock.fileno()}, 3); os.execv(sys.executable, [sys.executable, sys.argv[1]])"
    return subprocess.Popen(
        [sys.executable, "-c", code, program.name], cwd=program.parent, pass_fds=[sock.fileno()],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def _answer(client: socket.socket) -> bytes:
    received = b""
    while b"Hello" not in received:
        piece = client.recv(4096)
        assert piece, received
        received += piece
    return received


def test_no_moment_without_a_listener(tmp_path: Path) -> None:
    (block,) = [each for each in blocks_of(ROOT / "docs/how-to/shut-down.md") if "fileno=3" in each.text]
    program = tmp_path / "service.py"
    program.write_text(block.text, encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as sock:
        for _ in range(2):
            with socket.create_connection(sock.getsockname(), SECONDS) as client:  # nobody serves yet
                client.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
                with _run(program, sock) as process:
                    try:
                        assert _answer(client).startswith(b"HTTP/1.1 200 OK\r\n")
                        process.send_signal(signal.SIGTERM)
                        assert process.wait(SECONDS) == 0, process.communicate()
                    finally:
                        process.kill()
