"""An nginx in front of endwell: the proxy of `tests/functional/test_server_real_peers.py`.

It knows two upstreams, a port and a Unix socket, and speaks HTTP/1.1 (kept connections), HTTP/1.0 and unbuffered with
them; its own clients may speak TLS and HTTP/2. `behind` serves an application where nginx looks for it.
"""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

import pytest

from endwell import web
from endwell.lifetime import CloseReport
from tests.support.programs import free_port, program, running
from tests.support.tls import certificate

CONFIGURATION = """
daemon off; master_process off; worker_processes 1; pid {root}/pid; error_log {root}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {root}/t1; proxy_temp_path {root}/t2; fastcgi_temp_path {root}/t3;
  uwsgi_temp_path {root}/t4; scgi_temp_path {root}/t5;
  client_max_body_size 0; keepalive_requests 10000;
  ssl_certificate {root}/certificate.pem; ssl_certificate_key {root}/key.pem;
  upstream app {{ server 127.0.0.1:{upstream}; keepalive 4; }}
  upstream local {{ server unix:{root}/app.sock; keepalive 4; }}
  server {{
    listen 127.0.0.1:{plain}; listen 127.0.0.1:{tls} ssl http2;
    proxy_set_header Host $http_host; proxy_set_header Connection "";
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $http_host;
    proxy_set_header Forwarded 'for=$remote_addr;proto=$scheme;host="$http_host"';
    location / {{ proxy_pass http://app; proxy_http_version 1.1; }}
    location /old/ {{ proxy_pass http://app/; proxy_http_version 1.0; }}
    location /raw/ {{ proxy_pass http://app/; proxy_http_version 1.1; proxy_buffering off;
      proxy_request_buffering off; }}
    location /local/ {{ proxy_pass http://local/; proxy_http_version 1.1; }}
  }}
}}
"""


class Front(NamedTuple):
    """A running nginx: where it listens, and where it looks for what is behind it."""

    root: pathlib.Path
    port: int
    tls_port: int
    upstream: int

    def url(self, path: str, *, tls: bool = False) -> str:
        return f"https://localhost:{self.tls_port}{path}" if tls else f"http://127.0.0.1:{self.port}{path}"

    @property
    def socket(self) -> pathlib.Path:
        return self.root / "app.sock"


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    path = program("nginx", "nginx-light")
    root = tmp_path_factory.mktemp("front")
    leaf = certificate()
    leaf.private_key_pem.write_to_path(root / "key.pem")
    leaf.cert_chain_pems[0].write_to_path(root / "certificate.pem")
    made = Front(root, free_port(), free_port(), free_port())
    file = root / "nginx.conf"
    file.write_text(CONFIGURATION.format(root=root, plain=made.port, tls=made.tls_port, upstream=made.upstream))
    with running([path, "-p", str(root), "-c", str(file), "-e", str(root / "error.log")], made.port):
        yield made


class Behind:
    """What `behind` gives: `runner`, and at the end `report`."""

    def __init__(self, runner: web.AppRunner) -> None:
        self.runner = runner
        self._report: CloseReport | None = None

    @property
    def report(self) -> CloseReport:
        assert self._report is not None, "the server runs: its report is there after the block"
        return self._report

    async def close(self) -> CloseReport:
        """Close the server before the end of the block."""
        self._report = await self.runner.cleanup()
        return self._report


@contextlib.asynccontextmanager
async def behind(front: Front, app: web.Application, **settings: Any) -> AsyncIterator[Behind]:
    """Serve an application where `front` expects it, on the port and on the Unix socket; nothing may be aborted."""
    runner = web.AppRunner(app, shutdown_timeout=5.0, **settings)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", front.upstream).start()
        await web.UnixSite(runner, front.socket).start()
        server = Behind(runner)
        yield server
    except BaseException:
        await runner.cleanup()
        raise
    report = await server.close()
    assert not report.aborted, report
    assert not report.errors, report
